//! What stands in Redis, key by key: the next version of this crate has to find it there.

use std::{fmt::Write, time::Duration};

use redis::{Connection, ConnectionLike, FromRedisValue};
use tower_mcp_auth::{
    Digest, KeyMaterial, Scopes, Timestamp,
    store::{
        BeginDevice, DecideDevice, Store,
        record::{DeviceRecord, KeyPurpose, KeyRecord, Record},
    },
};

use super::{
    flow::{Flow, NOW, after},
    servers::Deployment,
};

/// All that can be stored for long, and what waits for a user.
async fn fill(store: &impl Store) {
    let flow = Flow::new("alice");
    let mut records = flow.records();
    for record in &mut records {
        match record {
            Record::Grant(grant) => {
                grant.session = Some("her browser".to_owned());
                grant.dpop_jkt = Some("a thumbprint".to_owned());
                grant.revoked_at = Some(after(5));
            }
            Record::AccessToken { record, .. } => record.revoked_at = Some(after(6)),
            Record::Used { expires_at, .. } => *expires_at = Timestamp::from_secs(u64::MAX),
            _ => {}
        }
    }
    store.import(records).await.unwrap();
    for purpose in [
        KeyPurpose::RefreshSuccessor,
        KeyPurpose::SessionBinding,
        KeyPurpose::SignEdDsa,
        KeyPurpose::SignRs256,
    ] {
        for id in 0..2 {
            let key = KeyRecord {
                purpose,
                id,
                key: KeyMaterial::new(b"secret".to_vec()),
                created_at: NOW,
                retires_at: None,
                expires_at: None,
            };
            let added = store.add_key(key, Duration::from_secs(7), NOW).await;
            added.unwrap();
        }
    }
    for (name, decision) in [
        ("television", None),
        ("radio", Some(DecideDevice::Deny)),
        (
            "car",
            Some(DecideDevice::Approve {
                grant: Flow::new("bob").issue_request().grant,
                consent: None,
            }),
        ),
    ] {
        let user_code = Digest::of(&format!("user code of the {name}"));
        let device = DeviceRecord {
            client_id: flow.client(),
            user_code,
            scopes: Scopes::parse("notes:read").unwrap(),
            resource: flow.resource(),
            created_at: NOW,
            expires_at: after(600),
            interval: 5,
            last_poll: None,
            decision: None,
            client: None,
            dpop_jkt: None,
        };
        let begun = store.begin_device(Digest::of(name), device, 10, NOW).await;
        assert_eq!(begun.unwrap(), BeginDevice::Begun);
        if let Some(decision) = decision {
            let decided = store.decide_device(user_code, decision, NOW).await;
            assert!(decided.unwrap());
        }
    }
}

fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    let answer = connection.req_command(&command).unwrap();
    T::from_redis_value(answer).unwrap()
}

/// Every key with what it has, in order.
fn written(deployment: &Deployment) -> String {
    let mut connection = deployment.connect();
    let (mut keys, mut text) = (deployment.keys(), String::new());
    keys.sort();
    for key in keys {
        let kind: String = ask(&mut connection, &["TYPE", &key]);
        let name = key.replace(&deployment.prefix, "");
        writeln!(text, "{name} ({kind})").unwrap();
        let pairs: Vec<(String, String)> = match &*kind {
            "hash" => ask(&mut connection, &["HGETALL", &key]),
            "zset" => {
                let all = ["ZRANGE", &key, "0", "-1", "WITHSCORES"];
                ask(&mut connection, &all)
            }
            _ => {
                let value = ask(&mut connection, &["GET", &key]);
                vec![(String::new(), value)]
            }
        };
        let mut lines: Vec<_> = pairs
            .into_iter()
            .map(|(name, value)| format!("    {name} = {value}\n"))
            .collect();
        lines.sort();
        text.extend(lines);
    }
    text
}

#[tokio::test]
async fn what_is_stored_stands_where_the_next_version_looks() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    fill(&deployment.open().await).await;
    let written = written(&deployment);
    assert_eq!(written, include_str!("layout.txt"), "{written}");
}
