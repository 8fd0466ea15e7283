//! The example server as a process: its flags, its sign-in page, and how it ends.

mod outside;

use std::{
    fs::File,
    process::{Command, Output},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use self::outside::{PATIENCE, Server, server::binary};

#[test]
fn a_database_that_cannot_be_reached_is_an_error_without_the_password() {
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--store",
        "postgres://somebody:hunter2@127.0.0.1:1/auth",
    ];
    let Output { status, stderr, .. } = Command::new(binary()).args(flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("somebody@127.0.0.1:1/auth"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_store_of_an_unknown_kind_is_a_clear_error() {
    let flags = ["--store", "mysql://localhost"];
    let Output { status, stderr, .. } = Command::new(binary()).args(flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--store"), "{stderr}");
    assert!(stderr.contains("postgres://"), "{stderr}");
}

#[test]
fn a_secret_is_not_told_again_because_it_was_mistyped() {
    for (flag, value) in [
        ("--session-key", "hunter2"),
        ("--client", "hunter2"),
        ("--store", "postgress://somebody:hunter2@localhost/auth"),
        ("--copy-to", "reddis://:hunter2@localhost"),
    ] {
        let Output { status, stderr, .. } =
            Command::new(binary()).args([flag, value]).output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(flag), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    for flags in [
        vec!["--client", "somebody", "hunter2"],
        vec!["somebody:hunter2"],
        vec!["--clientsomebody:hunter2"],
        vec![
            "--session-key",
            "thirty-two random characters and",
            "hunter2",
        ],
    ] {
        let Output { status, stderr, .. } = Command::new(binary()).args(&flags).output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{flags:?}: {stderr}");
    }
    let mut command = Command::new(binary());
    let Output { stderr, .. } = command.env("SESSION_KEY", "hunter2").output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.contains("--session-key"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_store_that_cannot_be_opened_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let store = format!("sled:{}", file.path().display());
    let flags = ["--listen", "127.0.0.1:0", "--store", &store];
    let Output { status, stderr, .. } = Command::new(binary()).args(flags).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.starts_with("error: "), "{stderr}");
}

#[tokio::test]
async fn a_store_in_use_or_damaged_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth");
    let store = format!("sled:{}", path.display());
    let refused = || {
        let flags = ["--listen", "127.0.0.1:0", "--store", &store];
        let Output { status, stderr, .. } = Command::new(binary()).args(flags).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&path.display().to_string()), "{stderr}");
        stderr
    };
    let server = Server::start(&store).await;
    let told = refused();
    assert!(told.contains("in use by another process"), "{told}");
    let answer = get(&server, "/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(answer.status(), StatusCode::OK, "the first one goes on");
    let json = r#"{"redirect_uris":["http://127.0.0.1/callback"]}"#;
    let headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
    let path_of = "/oauth/register";
    let answer = send(&server, Method::POST, path_of, &headers, json.to_owned()).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(server.terminate().await.success());

    std::fs::write(path.join("db"), "").unwrap();
    for _ in 0..2 {
        let told = refused();
        assert!(told.contains("is damaged"), "{told}");
        assert!(told.contains("restore it from a backup"), "{told}");
        assert!(told.contains("breaks off at change 0"), "{told}");
    }
}

#[tokio::test]
async fn sigterm_ends_it_with_0() {
    let server = Server::start("memory:").await;
    assert!(server.terminate().await.success());
}

/// Where neither its log nor its greeting can be written, as on a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_serves_whether_anybody_can_hear_it_or_not() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut server = tokio::process::Command::new(binary())
        .args(["--store", "memory:", "--listen", &address.to_string()])
        .stdout(full())
        .stderr(full())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listens = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(server.try_wait().unwrap().is_none(), "it gave up");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.unwrap();

    let uri = |path: &str| format!("http://{address}{path}");
    // Each of them is told to the log.
    for round in 0..3 {
        let body = r#"{"redirect_uris":["http://127.0.0.1/cb"]}"#;
        let request = http::Request::post(uri("/oauth/register"))
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body))
            .unwrap();
        assert_eq!(ask(request).await.status(), 201, "{round}");
        let request = http::Request::post(uri("/mcp"))
            .header("authorization", "Bearer nonsense")
            .body(Full::<Bytes>::default())
            .unwrap();
        assert_eq!(ask(request).await.status(), 401, "{round}");
    }
}

#[tokio::test]
async fn a_public_client_is_known_without_registration() {
    let flags = ["--public-client", "cli=http://127.0.0.1/callback"];
    let server = Server::start_with("memory:", &flags).await;
    let authorize = |client: &str| {
        format!(
            "/oauth/authorize?response_type=code&client_id={client}&code_challenge_method=S256\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A5000%2Fcallback\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        )
    };
    let known = get(&server, &authorize("cli")).await;
    assert_eq!(known.status(), StatusCode::SEE_OTHER);
    let location = known.headers()[header::LOCATION].to_str().unwrap();
    assert!(location.contains("/sign-in?transaction="), "{location}");
    let unknown = get(&server, &authorize("another")).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_public_url_is_used_everywhere() {
    let flags = ["--public-url", "https://notes.example.com/"];
    let server = Server::start_with("memory:", &flags).await;
    let document = get(&server, "/.well-known/oauth-protected-resource/mcp").await;
    let document: serde_json::Value = serde_json::from_slice(document.body()).unwrap();
    assert_eq!(document["resource"], "https://notes.example.com/mcp");
    assert_eq!(
        document["authorization_servers"],
        serde_json::json!(["https://notes.example.com"])
    );
}

#[tokio::test]
async fn a_wrong_password_is_401_and_the_form_again() {
    let server = Server::start("memory:").await;
    let answer = sign_in(&server, "demo", "guess", &HeaderMap::new()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(!answer.headers().contains_key(header::SET_COOKIE));
    let html = String::from_utf8_lossy(answer.body());
    assert!(html.contains("do not match"), "{html}");
    assert!(
        html.contains(r#"name="transaction" value="opaque""#),
        "{html}"
    );
}

#[tokio::test]
async fn signing_in_starts_a_session_and_resumes() {
    let server = Server::start("memory:").await;
    let answer = sign_in(&server, "alice", "alice", &HeaderMap::new()).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        answer.headers()[header::LOCATION],
        format!("{}/oauth/consent?transaction=opaque", server.origin)
    );
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
}

#[tokio::test]
async fn another_site_cannot_sign_anyone_in() {
    let server = Server::start("memory:").await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://other.example"),
        ("origin", "null"),
    ] {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        let answer = sign_in(&server, "demo", "demo", &headers).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
    }
}

#[tokio::test]
async fn a_transaction_is_opaque_text_or_refused() {
    let server = Server::start("memory:").await;
    for transaction in ["", "%22%3E%3Cscript%3E", "a%20b", "a/b"] {
        let answer = get(&server, &format!("/sign-in?transaction={transaction}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(!String::from_utf8_lossy(answer.body()).contains("<script"));
    }
    assert_eq!(
        get(&server, "/sign-in").await.status(),
        StatusCode::BAD_REQUEST
    );
}

async fn sign_in(
    server: &Server,
    username: &str,
    password: &str,
    headers: &HeaderMap,
) -> Response<Bytes> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("transaction", "opaque")
        .append_pair("username", username)
        .append_pair("password", password)
        .finish();
    send(server, Method::POST, "/sign-in", headers, form).await
}

async fn get(server: &Server, path: &str) -> Response<Bytes> {
    send(server, Method::GET, path, &HeaderMap::new(), String::new()).await
}

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: String,
) -> Response<Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.origin))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    request.headers_mut().extend(headers.clone());
    ask(request).await
}

async fn ask(request: Request<Full<Bytes>>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}
