//! What `docs/security.md` names as proof exists.

use std::{fs, path::Path};

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let names: Vec<_> = document
        .split('`')
        .filter_map(|code| code.split_once(".rs::"))
        .collect();
    assert!(names.len() > 100, "{} tests are named", names.len());
    for (file, test) in names {
        let path = format!("{file}.rs");
        let text = fs::read_to_string(root.join(&path)).unwrap_or_else(|_| panic!("no {path}"));
        let after = text
            .split_once(&format!("fn {test}()"))
            .map(|(before, _)| before);
        let before = after.unwrap_or_else(|| panic!("no {test} in {path}"));
        let attribute = before
            .rsplit_once("#[")
            .map_or("", |(_, attribute)| attribute);
        assert!(attribute.contains("test"), "{test} in {path} is no test");
    }
}
