//! Two charts in one picture.

use std::error::Error;

use plotters::prelude::*;

pub fn draw(
    file: &str,
    by_tokens: &[(f64, f64)],
    by_connections: &[(f64, f64, f64)],
) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(file, (960, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(480);
    let highest = by_tokens.iter().map(|point| point.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&left)
        .caption("ns that the layer adds, by tokens", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(35)
        .y_label_area_size(50)
        .build_cartesian_2d((1.0..1_000_000.0).log_scale(), 0.0..highest * 1.1)?;
    chart.configure_mesh().x_desc("tokens in turn").draw()?;
    chart.draw_series(LineSeries::new(by_tokens.iter().copied(), &BLUE).point_size(3))?;

    let highest = by_connections.iter().map(|point| point.1.max(point.2));
    let highest = highest.fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&right)
        .caption("µs of CPU per request, by connections", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(35)
        .y_label_area_size(50)
        .build_cartesian_2d((1.0..256.0).log_scale(), 0.0..highest * 1.1)?;
    chart.configure_mesh().x_desc("connections").draw()?;
    let with = by_connections.iter().map(|point| (point.0, point.1));
    let without = by_connections.iter().map(|point| (point.0, point.2));
    for (name, points, colour) in [
        ("behind the layer", with.collect::<Vec<_>>(), BLUE),
        ("bare axum", without.collect::<Vec<_>>(), BLACK),
    ] {
        chart
            .draw_series(LineSeries::new(points, &colour).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 15, y)], colour));
    }
    chart.configure_series_labels().border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
