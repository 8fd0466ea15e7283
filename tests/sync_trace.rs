//! A data sync stands between each request that changes something and its answer: in the system
//! calls of the example server, as its users run it.
#![cfg(all(feature = "sled", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod outside;

#[path = "common/caller.rs"]
mod caller;
#[path = "common/trace.rs"]
mod trace;

use std::{fs, path::Path, time::Duration};

use http::Method;
use serde_json::json;

use self::{
    caller::{Caller, PUBLIC},
    common::{CALLBACK, Tokens, VERIFIER},
    outside::Server,
    trace::{calls, can_trace},
};

/// What `strace` is told to write down.
const CALLS: &str = "trace=recvfrom,recvmsg,read,readv,sendto,sendmsg,write,writev,\
    pwrite64,fdatasync,fsync";

/// The requests that change something, one after the other, and what each is answered.
async fn change_everything(caller: &mut Caller) -> Vec<(&'static str, u16)> {
    let mut made = Vec::new();
    let metadata = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let answer = caller.register(&metadata).await.unwrap();
    made.push(("POST /oauth/register", answer.status.as_u16()));
    let client = answer.json();
    let text = |name: &str| client[name].as_str().unwrap();
    let (id, secret) = (text("client_id"), text("client_secret"));
    for ending in ["revoke", "replay", "delete"] {
        let code = caller.approve(id).await.unwrap();
        // The consent is remembered from then on.
        if ending == "revoke" {
            made.push(("POST /oauth/consent", 303));
        } else {
            made.push(("GET /oauth/authorize", 303));
        }
        let mine = [("client_id", id), ("client_secret", secret)];
        let call = async |path: &str, more: &[(&str, &str)]| {
            let pairs = [&mine, more].concat();
            caller.call(path, &pairs).await.unwrap()
        };
        let redemption = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ];
        let first = Tokens::from(&call("/oauth/token", &redemption).await);
        made.push(("POST /oauth/token", 200));
        let refresh = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &first.refresh),
        ];
        let second = Tokens::from(&call("/oauth/token", &refresh).await);
        made.push(("POST /oauth/token", 200));
        if ending == "revoke" {
            for token in [&second.access, &second.refresh] {
                let answer = call("/oauth/revoke", &[("token", token)]).await;
                made.push(("POST /oauth/revoke", answer.status.as_u16()));
            }
        } else if ending == "replay" {
            let answer = call("/oauth/token", &redemption).await;
            answer.assert_error(400, "invalid_grant");
            made.push(("POST /oauth/token", 400));
        }
    }
    let path = format!("/oauth/register?client_id={id}");
    let token = text("registration_access_token");
    let answer = caller.bearing(Method::DELETE, &path, token).await.unwrap();
    made.push(("DELETE /oauth/register", answer.status.as_u16()));
    made
}

/// The trace, once everything is in it.
async fn finished(log: &Path) -> String {
    for _ in 0..1000 {
        let trace = fs::read_to_string(log).unwrap();
        if trace.trim_end().ends_with("+++ exited with 0 +++") {
            return trace;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("strace does not end");
}

#[tokio::test]
async fn a_data_sync_stands_between_each_changing_request_and_its_answer() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("trace");
    let store = format!("sled:{}", directory.path().join("auth").display());
    // -D: the tracer is the server's child, not its parent.
    let wrapper = ["strace", "-D", "-f", "-y", "-s", "60", "-e", CALLS, "-o"];
    let wrapper = [&wrapper, [log.to_str().unwrap(), "--"].as_slice()].concat();
    let server = Server::start_under(&wrapper, &store, &["--public-url", PUBLIC]).await;
    let mut caller = Caller::new(&server.origin, "demo");
    let made = change_everything(&mut caller).await;
    assert!(server.terminate().await.success());

    let trace = finished(&log).await;
    let calls = calls(&trace);
    let mut from = 0;
    for (number, (request, status)) in made.into_iter().enumerate() {
        let name = format!("request {number}, {request}");
        let answer = format!("\"HTTP/1.1 {status} ");
        let received = calls
            .iter()
            .filter(|call| call.began >= from && call.text.contains(&format!("\"{request}")))
            .min_by_key(|call| call.ended)
            .unwrap_or_else(|| panic!("{name} is not in the trace"));
        let answered = calls
            .iter()
            .filter(|call| call.began > received.ended && call.text.contains(&answer))
            .min_by_key(|call| call.began)
            .unwrap_or_else(|| panic!("the answer to {name} is not in the trace"));
        from = answered.ended;
        let on_database = |what: &'static str| {
            calls.iter().filter(move |call| {
                call.began > received.ended
                    && call.ended < answered.began
                    && call.text.starts_with(what)
                    && call.text.contains("/auth/db>")
            })
        };
        let written = on_database("pwrite64").map(|call| call.ended).min();
        let written = written.unwrap_or_else(|| panic!("{name} wrote nothing"));
        assert!(
            on_database("fdatasync")
                .any(|sync| sync.began > written && sync.text.trim_end().ends_with("= 0")),
            "{name} was answered without a data sync"
        );
    }
}
