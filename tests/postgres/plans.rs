//! With many rows in the tables each operation finds its own by an index.

use std::collections::BTreeMap;

use sqlx::{Executor, PgConnection, Row, postgres::PgPoolOptions};
use tower_mcp_auth::{
    Digest, PostgresStore,
    store::{
        BeginDevice, DecideDevice, RevokeTarget, Store,
        record::{DeviceRecord, PendingAuthorization, Record},
    },
};

use super::{
    databases::Database,
    execute,
    flow::{Flow, NOW, after},
    number, until,
};

/// So many that reading all of them is not what a planner does.
const ROWS: u32 = 20_000;

/// Copies the rows that there are, each under many other names.
async fn fill(connection: &mut PgConnection) {
    for (table, key) in [
        ("clients", "id"),
        ("pending_authorizations", "id"),
        ("codes", "digest"),
        ("grants", "id"),
        ("access_tokens", "digest"),
        ("refresh_tokens", "digest"),
        ("devices", "digest"),
        ("used", "digest"),
        ("consents", "subject"),
    ] {
        let names = match table {
            "clients" => "jsonb_build_object('id', 'client' || n)",
            "consents" => "jsonb_build_object('subject', 'user' || n, 'client_id', 'client' || n)",
            _ => {
                "jsonb_build_object('KEY', sha256(n::text::bytea), 'user_code', \
                 sha256(n::text::bytea), 'subject', 'user' || n, 'client_id', 'client' || n)"
            }
        };
        let fill = format!(
            "insert into tower_mcp_auth.{table}
             select filled.* from generate_series(1, {ROWS}) n,
                (select to_jsonb(t) as one from tower_mcp_auth.{table} t limit 1) first,
                jsonb_populate_record(null::tower_mcp_auth.{table}, one || {}) filled;
             analyze tower_mcp_auth.{table}",
            names.replace("KEY", key)
        );
        execute(connection, &fill).await;
    }
}

type Counts = BTreeMap<String, i64>;

/// How often each table was read whole, and each index was used.
async fn scans(connection: &mut PgConnection) -> (Counts, Counts) {
    let mut of = async |sql: &'static str| {
        let rows = connection.fetch_all(sql).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let whole = of("select relname::text, seq_scan from pg_stat_user_tables \
         where schemaname = 'tower_mcp_auth' \
         and relname not in ('counters', 'keys', 'schema_version')");
    let whole: Counts = whole.await;
    let indexes = of(
        "select indexrelname::text, idx_scan from pg_stat_user_indexes \
         where schemaname = 'tower_mcp_auth'",
    );
    (whole, indexes.await)
}

/// Runs an operation often enough that the server settles on its plans, in a session of its own,
/// and compares what that did.
async fn assert_uses(
    database: &Database,
    expected: &[&str],
    operation: impl AsyncFn(&PostgresStore, u32),
) {
    let mut connection = database.connect().await;
    let before = scans(&mut connection).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(database.options())
        .await
        .unwrap();
    let store = PostgresStore::new(pool.clone()).await.unwrap();
    for round in 0..8 {
        operation(&store, round).await;
    }
    pool.close().await;
    // What a session did is told when it ends.
    let others = "select count(*) from pg_stat_activity where pid <> pg_backend_pid() \
        and datname = current_database() and backend_type = 'client backend'";
    until("the session ends", async || {
        number(&mut connection, others).await == 0
    })
    .await;
    let (whole, indexes) = scans(&mut connection).await;
    for (table, count) in whole {
        assert_eq!(count, before.0[&table], "{table} was read whole");
    }
    for index in expected {
        let used = indexes[*index] - before.1[*index];
        assert!(used >= 8, "{index} was used {used} times");
    }
}

fn device() -> DeviceRecord {
    let grant = Flow::new("device").issue_request().grant;
    let asked = serde_json::json!({
        "client_id": grant.client_id, "scopes": grant.scopes, "resource": grant.resource,
        "user_code": Digest::of("user code"), "created_at": NOW, "expires_at": after(600),
        "interval": 5,
    });
    serde_json::from_value(asked).unwrap()
}

fn pending() -> PendingAuthorization {
    let issue = Flow::new("pending").issue_request();
    let asked = serde_json::json!({
        "request": {
            "client_id": issue.grant.client_id, "redirect_uri": issue.code.redirect_uri,
            "scopes": issue.grant.scopes, "resource": issue.grant.resource, "state": null,
            "code_challenge": issue.code.code_challenge, "nonce": null, "prompt_consent": false,
            "prompt_login": false,
        },
        "created_at": NOW, "expires_at": after(600),
    });
    serde_json::from_value(asked).unwrap()
}

fn client(flow: &Flow) -> tower_mcp_auth::store::record::ClientRecord {
    match flow.records().into_iter().next() {
        Some(Record::Client(client)) => client,
        _ => panic!("a client comes first"),
    }
}

fn nth(what: &str, round: u32) -> Flow {
    Flow::new(&format!("{what} {round}"))
}

async fn filled() -> Option<Database> {
    let database = Database::create().await?;
    let store = database.open().await;
    let flow = Flow::new("first");
    store.import(flow.records()).await.unwrap();
    let begun = store.begin_authorization(Digest::of("p"), pending(), 10, NOW);
    begun.await.unwrap();
    let begun = store.begin_device(Digest::of("d"), device(), 10, NOW).await;
    assert_eq!(begun.unwrap(), BeginDevice::Begun);
    fill(&mut database.connect().await).await;
    Some(database)
}

#[tokio::test]
async fn codes_and_tokens_are_found_by_their_digest() {
    let Some(database) = filled().await else {
        return;
    };
    let store = database.open().await;
    for round in 0..8 {
        nth("redeem", round).issue(&store).await;
        nth("rotate", round).redeem(&store).await;
    }
    drop(store);
    let (codes, grants) = ("codes_pkey", "grants_pkey");
    let (access, refresh) = ("access_tokens_pkey", "refresh_tokens_pkey");
    assert_uses(&database, &[codes, grants], async |store, round| {
        let digest = nth("redeem", round).issue_request().digest;
        assert!(store.code(digest).await.unwrap().is_some());
    })
    .await;
    assert_uses(&database, &[codes, grants], async |store, round| {
        nth("redeem", round).redeem_code(store).await;
    })
    .await;
    assert_uses(&database, &[access, grants], async |store, round| {
        assert!(nth("redeem", round).is_live(store).await.unwrap());
    })
    .await;
    assert_uses(&database, &[refresh, grants], async |store, round| {
        let digest = nth("rotate", round).refresh(0);
        assert!(store.refresh_token(digest).await.unwrap().is_some());
    })
    .await;
    assert_uses(
        &database,
        &[refresh, grants, access],
        async |store, round| {
            nth("rotate", round).rotate(store, 0).await;
        },
    )
    .await;
    assert_uses(&database, &[grants, access], async |store, round| {
        let flow = nth("rotate", round);
        let among = store.revoked_among(vec![flow.grant(); 500], vec![flow.access(0); 500]);
        assert!(among.await.unwrap().grants.is_empty());
    })
    .await;
    assert_uses(&database, &[], async |store, round| {
        nth("issue", round).issue(store).await;
    })
    .await;
}

#[tokio::test]
async fn revocations_find_what_they_reach() {
    let Some(database) = filled().await else {
        return;
    };
    let store = database.open().await;
    for round in 0..8 {
        for what in ["token", "grant", "subject", "consent", "client", "deleted"] {
            nth(what, round).redeem(&store).await;
        }
    }
    drop(store);
    let revoke = async |indexes: &[&str], target: &dyn Fn(u32) -> RevokeTarget| {
        assert_uses(&database, indexes, async |store, round| {
            let reached = store.revoke(target(round), NOW).await.unwrap();
            assert_eq!(reached.grants.len() + reached.access_tokens.len(), 1);
        })
        .await;
    };
    revoke(&["access_tokens_pkey"], &|round| {
        RevokeTarget::AccessToken(nth("token", round).access(0))
    })
    .await;
    revoke(&["grants_pkey"], &|round| {
        RevokeTarget::Grant(nth("grant", round).grant())
    })
    .await;
    revoke(&["refresh_tokens_pkey", "grants_pkey"], &|round| {
        RevokeTarget::RefreshToken(nth("token", round).refresh(0))
    })
    .await;
    revoke(&["grants_of_subject", "consents_pkey"], &|round| {
        RevokeTarget::Subject(nth("subject", round).subject())
    })
    .await;
    // A client's own index is as good here.
    revoke(&[], &|round| {
        let flow = nth("consent", round);
        RevokeTarget::Consent(flow.subject(), flow.client())
    })
    .await;
    revoke(&["grants_of_client", "consents_of_client"], &|round| {
        RevokeTarget::Client(nth("client", round).client())
    })
    .await;
    assert_uses(&database, &["clients_pkey"], async |store, round| {
        let deleted = nth("deleted", round).client();
        store.delete_client(deleted, NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn people_and_programs_are_found_by_their_names() {
    let Some(database) = filled().await else {
        return;
    };
    let flow = Flow::new("first");
    assert_uses(&database, &["clients_pkey"], async |store, round| {
        let client = client(&nth("client", round));
        store
            .create_client(client.clone(), u64::MAX, NOW)
            .await
            .unwrap();
        store
            .create_client(client.clone(), u64::MAX, NOW)
            .await
            .unwrap();
        assert!(store.update_client(client.clone(), NOW).await.unwrap());
        assert!(store.client(client.id, NOW).await.unwrap().is_some());
    })
    .await;
    assert_uses(&database, &["grants_of_subject"], async |store, _| {
        let grants = store.grants(flow.subject(), NOW).await.unwrap();
        assert_eq!(grants.len(), 1);
    })
    .await;
    assert_uses(&database, &["consents_pkey"], async |store, _| {
        assert_eq!(store.consents(flow.subject()).await.unwrap().len(), 1);
        let consent = store.consent(
            flow.subject(),
            flow.client(),
            flow.resource(),
            flow.destination(),
        );
        assert!(consent.await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_found_by_what_its_user_brings() {
    let Some(database) = filled().await else {
        return;
    };
    let index = "pending_authorizations_pkey";
    assert_uses(&database, &[index], async |store, round| {
        let id = Digest::of(&format!("pending {round}"));
        let begun = store.begin_authorization(id, pending(), u64::MAX, NOW);
        begun.await.unwrap();
        assert!(
            store
                .pending_authorization(id, NOW)
                .await
                .unwrap()
                .is_some()
        );
        assert!(store.end_authorization(id, NOW).await.unwrap().is_some());
    })
    .await;
    let indexes = ["devices_pkey", "devices_of_user_code"];
    assert_uses(&database, &indexes, async |store, round| {
        let id = Digest::of(&format!("device {round}"));
        let mut device = device();
        device.user_code = Digest::of(&format!("user code {round}"));
        let (code, client) = (device.user_code, device.client_id.clone());
        store.begin_device(id, device, u64::MAX, NOW).await.unwrap();
        assert!(
            store
                .device_by_user_code(code, NOW)
                .await
                .unwrap()
                .is_some()
        );
        store.poll_device(id, client, NOW).await.unwrap();
        assert!(
            store
                .decide_device(code, DecideDevice::Deny, NOW)
                .await
                .unwrap()
        );
    })
    .await;
    assert_uses(&database, &["used_pkey"], async |store, round| {
        let digest = Digest::of(&format!("jti {round}"));
        for _ in 0..2 {
            store
                .use_once(digest, after(60), u64::MAX, NOW)
                .await
                .unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_sweep_finds_what_has_expired() {
    let Some(database) = filled().await else {
        return;
    };
    // Whatever is first in the order of keys has not expired.
    let mut connection = database.connect().await;
    for (table, column) in [
        ("clients", "expires_at"),
        ("pending_authorizations", "expires_at"),
        ("codes", "expires_at"),
        ("grants", "sweep_at"),
        ("access_tokens", "expires_at"),
        ("refresh_tokens", "expires_at"),
        ("devices", "expires_at"),
        ("used", "expires_at"),
    ] {
        let spread = format!(
            "update tower_mcp_auth.{table} set {column} = 2000000 + random() * 1000000;
             update tower_mcp_auth.{table} set {column} = 1000
             where ctid in (select ctid from tower_mcp_auth.{table} limit 100);
             vacuum analyze tower_mcp_auth.{table}"
        );
        for statement in spread.split(';') {
            execute(&mut connection, statement).await;
        }
    }
    execute(
        &mut connection,
        "update tower_mcp_auth.grants set expires_at = sweep_at",
    )
    .await;
    drop(connection);
    let indexes = [
        "clients_expiry",
        "pending_authorizations_expiry",
        "codes_expiry",
        "grants_expiry",
        "access_tokens_expiry",
        "refresh_tokens_expiry",
        "devices_expiry",
        "used_expiry",
        "consents_of_client",
    ];
    assert_uses(&database, &indexes, async |store, round| {
        let swept = store.sweep(NOW, 1000).await.unwrap();
        assert_eq!(swept > 0, round == 0);
    })
    .await;
}
