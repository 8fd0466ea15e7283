//! Keys that all nodes share.

use std::{sync::Arc, time::Duration};

use super::fixtures::*;
use crate::store::contract::prelude::*;

const OVERLAP: Duration = Duration::from_secs(100);

/// The first key of a purpose.
pub(super) fn key(purpose: KeyPurpose) -> KeyRecord {
    KeyRecord {
        purpose,
        id: 0,
        key: crate::SecretKey::random().into(),
        created_at: NOW,
        retires_at: None,
        expires_at: None,
    }
}

/// All who bring a first key get the same one, whoever came first.
pub async fn all_callers_get_the_same_key<S: Store>(store: Arc<S>) {
    let purpose = KeyPurpose::RefreshSuccessor;
    let none = store.keys(purpose).await;
    assert_eq!(none.expect("no store error"), [], "there is none yet");
    let answers = {
        let store = store.clone();
        all(20, move |_| {
            let store = store.clone();
            async move { store.add_key(key(purpose), OVERLAP, NOW).await }
        })
        .await
    };
    let first = &answers[0];
    assert_eq!(first.len(), 1, "there is one key");
    assert_eq!((first[0].purpose, first[0].id), (purpose, 0));
    for other in &answers {
        assert_eq!(first, other, "every caller gets the same key");
    }
    let second = numbered(purpose, 1);
    let imported = store.import(vec![Record::Key(second.clone())]).await;
    imported.expect("no store error");
    let keys = store.keys(purpose).await;
    assert_eq!(
        keys.expect("no store error"),
        [first[0].clone(), second],
        "keys come lowest number first"
    );
    let purpose = KeyPurpose::SessionBinding;
    let candidate = key(purpose);
    let keys = store.add_key(candidate.clone(), OVERLAP, NOW).await;
    assert_eq!(
        keys.expect("no store error"),
        [candidate],
        "purposes are kept apart"
    );
}

fn numbered(purpose: KeyPurpose, id: u32) -> KeyRecord {
    KeyRecord { id, ..key(purpose) }
}

/// `key` as it is once the next one came at `at`.
fn retired(key: &KeyRecord, at: Timestamp) -> KeyRecord {
    KeyRecord {
        retires_at: Some(at),
        expires_at: Some(at.plus(OVERLAP)),
        ..key.clone()
    }
}

async fn add<S: Store>(store: &S, key: &KeyRecord, now: Timestamp) -> Vec<KeyRecord> {
    let added = store.add_key(key.clone(), OVERLAP, now).await;
    added.expect("no store error")
}

/// A key with the next number retires those before it, and they are forgotten in the end.
pub async fn a_new_key_retires_the_old_ones<S: Store>(store: Arc<S>) {
    let purpose = KeyPurpose::SignEdDsa;
    let mut first = key(purpose);
    // As long as a PKCS#8 document of an RSA key.
    first.key = crate::KeyMaterial::new((0..=255).cycle().take(2400).collect());
    let seeded = store.add_key(first.clone(), OVERLAP, NOW).await;
    assert_eq!(seeded.expect("no store error"), [first.clone()]);
    let other = key(KeyPurpose::SignRs256);
    let added = add(&*store, &other, NOW).await;
    assert_eq!(added, std::slice::from_ref(&other), "the first number is 0");

    for wrong in [0, 2, u32::MAX] {
        let kept = add(&*store, &numbered(purpose, wrong), NOW).await;
        assert_eq!(kept, [first.clone()], "{wrong} is not the next number");
    }
    let second = numbered(purpose, 1);
    let both = [retired(&first, NOW), second.clone()];
    assert_eq!(add(&*store, &second, NOW).await, both, "it is added");
    let stored = store.keys(purpose).await;
    assert_eq!(stored.expect("no store error"), both, "and stored");
    let late = add(&*store, &numbered(purpose, 1), after(99)).await;
    assert_eq!(late, both, "its number is taken");

    let third = numbered(purpose, 2);
    let expected = [retired(&first, NOW), retired(&second, after(50)), third];
    let added = add(&*store, &expected[2], after(50)).await;
    assert_eq!(added, expected, "who retired before keeps the date");
    let added = add(&*store, &numbered(purpose, 1), after(100)).await;
    assert_eq!(added, expected[1..], "an expired key is not among them");
    let swept = store.sweep(after(150), 100).await;
    assert_eq!(swept.expect("no store error"), 2, "nor is it kept");
    let stored = store.keys(purpose).await;
    assert_eq!(stored.expect("no store error"), expected[2..]);
    let stored = store.keys(other.purpose).await;
    assert_eq!(
        stored.expect("no store error"),
        [other],
        "purposes are kept apart"
    );
}

/// Of several nodes that rotate at once one wins, and all see the same keys.
pub async fn parallel_rotations_of_a_key_agree<S: Store>(store: Arc<S>) {
    let purpose = KeyPurpose::SignRs256;
    let first = key(purpose);
    let seeded = store.add_key(first.clone(), OVERLAP, NOW).await;
    seeded.expect("no store error");
    let answers = {
        let store = store.clone();
        all(20, move |_| {
            let store = store.clone();
            async move { store.add_key(numbered(purpose, 1), OVERLAP, NOW).await }
        })
        .await
    };
    assert_eq!(answers[0].len(), 2, "one key is added");
    assert_eq!(answers[0][0], retired(&first, NOW), "the old one retires");
    for other in &answers {
        assert_eq!(&answers[0], other, "every caller gets the same keys");
    }
}
