//! The layer with more and more tokens, in this process.

use std::{convert::Infallible, future::Ready, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

use crate::{
    everybody::{resource, token},
    median,
};

const TURNS: usize = 9;
const CALLS: usize = 200_000;

fn inner(_: Request<Full<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    std::future::ready(Ok(Response::new(Full::default())))
}

/// Tokens, and what the layer adds in nanoseconds.
pub async fn measure() -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for count in [1, 1_000, 10_000, 100_000, 1_000_000] {
        let mut bare = service_fn(inner);
        let mut layered = resource(count as u64 * 2).layer().layer(service_fn(inner));
        for _ in 0..2 {
            for index in 0..count {
                assert_eq!(layered.call(request(index)).await.unwrap().status(), 200);
            }
        }
        let mut added = Vec::new();
        let mut next = 1;
        for _ in 0..TURNS {
            let with = nanoseconds(&mut layered, count, &mut next).await;
            let without = nanoseconds(&mut bare, count, &mut next).await;
            added.push(with - without);
        }
        let added = median(&mut added);
        println!("{count:>9} tokens      {added:8.0}");
        points.push((count as f64, added));
    }
    points
}

async fn nanoseconds<S, B>(service: &mut S, count: usize, next: &mut usize) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let begin = Instant::now();
    for _ in 0..CALLS {
        // Without pattern, and prime to every count.
        *next = (*next * 48_271) % 2_147_483_647;
        let answer = service.call(request(*next % count)).await;
        assert_eq!(answer.unwrap().status(), 200);
    }
    begin.elapsed().as_nanos() as f64 / CALLS as f64
}

fn request(index: usize) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    let value = HeaderValue::try_from(format!("Bearer {}", token(index))).unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}
