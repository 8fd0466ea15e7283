//! What no well-meaning client sends, over raw sockets, at every path of the running example server:
//! it never answers 5xx, never leaves anybody waiting, and goes on for everybody else.

mod outside;

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use self::outside::Server;

/// Far more than any answer takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of an answer is read: all of them are shorter.
const MAX_ANSWER: u64 = 1024 * 1024;
const DISCOVERY: &str = "/.well-known/oauth-authorization-server";

/// Everything that came back until the server closed the connection.
#[derive(Debug)]
struct Answer(String);

impl Answer {
    /// Of every response in it; none where the server only hung up.
    fn statuses(&self) -> Vec<u16> {
        self.0
            .split("HTTP/1.")
            .skip(1)
            .filter_map(|rest| rest.get(2..5)?.parse().ok())
            .collect()
    }

    #[track_caller]
    fn status(&self) -> u16 {
        match *self.statuses() {
            [status] => status,
            _ => panic!("one response, not: {self:?}"),
        }
    }
}

struct Target {
    server: Server,
    /// Every path that there is.
    paths: Vec<String>,
}

impl Target {
    async fn start() -> Self {
        // The limits would answer most of this instead of the endpoints.
        let server = Server::start_with("memory:", &["--rate-limit", "off"]).await;
        let mut target = Self {
            server,
            paths: Vec::new(),
        };
        let document = target.get(DISCOVERY).await.0;
        let (_, document) = document.split_once("\r\n\r\n").unwrap();
        let document: Value = serde_json::from_str(document).unwrap();
        let advertised = document
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
            .map(|(_, url)| url.as_str().unwrap().strip_prefix(&target.server.origin));
        let more = [
            DISCOVERY,
            "/.well-known/openid-configuration",
            "/.well-known/oauth-protected-resource/mcp",
            "/mcp",
            "/sign-in",
            "/oauth/consent",
            "/oauth/userinfo",
            "/oauth/get-session",
            "/oauth/nothing-here",
            "/token",
            "/",
        ];
        let mut paths: Vec<_> = advertised.flatten().chain(more).map(Into::into).collect();
        paths.sort();
        paths.dedup();
        assert!(paths.len() > 12, "{paths:?}");
        target.paths = paths;
        target
    }

    async fn connect(&self) -> TcpStream {
        let address = self.server.origin.strip_prefix("http://").unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// Sends these bytes; nobody waits longer than [`PATIENCE`].
    async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect().await;
        let request = request.as_ref();
        let exchange = async {
            // The server may have seen enough before it has all of it.
            let _ = connection.write_all(request).await;
            read(&mut connection).await
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| {
            let begin = String::from_utf8_lossy(&request[..request.len().min(200)]);
            panic!("no end of an answer to: {begin}")
        })
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, "", "")).await
    }

    /// Nothing that was sent has changed what others get.
    async fn is_well(&self) {
        assert_eq!(self.get(DISCOVERY).await.status(), 200);
        assert!(!self.server.log().contains("panicked"));
    }

    /// Sends this to every path and asserts that it is refused, or answered, in an orderly way.
    async fn is_not_upset_by<R: AsRef<[u8]>>(&self, request: impl Fn(&str) -> R) {
        for path in &self.paths {
            let answer = self.send(request(path)).await;
            let statuses = answer.statuses();
            assert!(
                statuses.iter().all(|status| *status < 500),
                "{path}: {answer:?}"
            );
        }
        self.is_well().await;
    }
}

async fn read(connection: &mut TcpStream) -> Answer {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = connection.take(MAX_ANSWER).read_to_end(&mut answer).await;
    Answer(String::from_utf8_lossy(&answer).into_owned())
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}"
    )
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn every_method_everywhere() {
    let target = Target::start().await;
    let methods = [
        "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "BREW", "get",
    ];
    for method in methods {
        target
            .is_not_upset_by(|path| request(method, path, "", ""))
            .await;
    }
}

#[tokio::test]
async fn head_has_no_body() {
    let target = Target::start().await;
    for path in &target.paths {
        let answer = target.send(request("HEAD", path, "", "")).await;
        assert_eq!(answer.statuses().len(), 1, "{path}: {answer:?}");
        assert!(answer.0.ends_with("\r\n\r\n"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn headers_of_64_kib() {
    let target = Target::start().await;
    let long = "a".repeat(64 * 1024);
    for name in [
        "Authorization: Bearer",
        "Authorization: Basic",
        "Cookie: a=",
        "X-Long:",
        "Origin:",
        "Accept:",
        "Host:",
    ] {
        target
            .is_not_upset_by(|path| {
                request("POST", path, &format!("{name} {long}\r\n{FORM}"), "a=b")
            })
            .await;
    }
}

#[tokio::test]
async fn ten_thousand_headers() {
    let target = Target::start().await;
    let many: String = (0..10_000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    target
        .is_not_upset_by(|path| request("GET", path, &many, ""))
        .await;
}

#[tokio::test]
async fn headers_without_end() {
    let target = Target::start().await;
    let endless = "a".repeat(2 * 1024 * 1024);
    target
        .is_not_upset_by(|path| format!("GET {path} HTTP/1.1\r\nX-Long: {endless}"))
        .await;
}

#[tokio::test]
async fn a_very_long_query() {
    let target = Target::start().await;
    let long = "a".repeat(60 * 1024);
    let many = "a=b&".repeat(15 * 1024);
    for query in [format!("state={long}"), long, many] {
        target
            .is_not_upset_by(|path| request("GET", &format!("{path}?{query}"), "", ""))
            .await;
    }
}

#[tokio::test]
async fn a_request_line_of_a_megabyte() {
    let target = Target::start().await;
    let long = "a".repeat(1024 * 1024);
    target
        .is_not_upset_by(|path| request("GET", &format!("{path}/{long}"), "", ""))
        .await;
}

#[tokio::test]
async fn what_is_not_utf_8() {
    let target = Target::start().await;
    for (escaped, raw) in [
        ("%ff%fe", b"\xff\xfe"),
        ("%c0%af", b"\xc0\xaf"),
        ("%ed%a0", b"\xed\xa0"),
    ] {
        target
            .is_not_upset_by(|path| request("GET", &format!("{path}{escaped}?a={escaped}"), "", ""))
            .await;
        target
            .is_not_upset_by(|path| {
                request(
                    "GET",
                    &format!("{path}?client_id={escaped}&state={escaped}"),
                    "",
                    "",
                )
            })
            .await;
        target
            .is_not_upset_by(|path| {
                request("POST", path, FORM, &format!("token={escaped}&{escaped}=a"))
            })
            .await;
        target
            .is_not_upset_by(|path| {
                [
                    format!("GET {path}").as_bytes(),
                    raw,
                    b"?a=",
                    raw,
                    b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                ]
                .concat()
            })
            .await;
        target
            .is_not_upset_by(|path| {
                let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{JSON}Authorization: Bearer ");
                [head.as_bytes(), raw, b"\r\nContent-Length: 2\r\n\r\n", raw].concat()
            })
            .await;
    }
}

#[tokio::test]
async fn nul_bytes() {
    let target = Target::start().await;
    target
        .is_not_upset_by(|path| {
            request(
                "GET",
                &format!("{path}%00?client_id=%00&redirect_uri=http://127.0.0.1/%00"),
                "",
                "",
            )
        })
        .await;
    target
        .is_not_upset_by(|path| request("GET", &format!("{path}\0"), "", ""))
        .await;
    target
        .is_not_upset_by(|path| request("GET", path, "Authorization: Bearer a\0b\r\n", ""))
        .await;
    target
        .is_not_upset_by(|path| {
            request("POST", path, FORM, "client_id=\0&token=%00&grant_type=%00")
        })
        .await;
    target
        .is_not_upset_by(|path| {
            request(
                "POST",
                path,
                JSON,
                "{\"client_name\":\"\\u0000\",\"redirect_uris\":[\"http://127.0.0.1/\\u0000\"]}",
            )
        })
        .await;
    target
        .is_not_upset_by(|path| request("POST", path, JSON, "\0"))
        .await;
}

#[tokio::test]
async fn http_1_0() {
    let target = Target::start().await;
    target
        .is_not_upset_by(|path| format!("GET {path} HTTP/1.0\r\n\r\n"))
        .await;
    target
        .is_not_upset_by(|path| {
            format!("POST {path} HTTP/1.0\r\n{FORM}Content-Length: 3\r\n\r\na=b")
        })
        .await;
    let document = target
        .send(format!("GET {DISCOVERY} HTTP/1.0\r\n\r\n"))
        .await;
    assert_eq!(document.status(), 200, "no Host header is needed");
}

#[tokio::test]
async fn other_versions_of_http() {
    let target = Target::start().await;
    for version in [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/9.9",
        "HTTPS/1.1",
        "",
    ] {
        target
            .is_not_upset_by(|path| {
                format!("GET {path} {version}\r\nHost: a\r\nConnection: close\r\n\r\n")
            })
            .await;
    }
    target
        .is_not_upset_by(|path| {
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET {path} HTTP/1.1\r\n\r\n")
        })
        .await;
}

#[tokio::test]
async fn a_foreign_name_for_the_server_changes_nothing_in_the_documents() {
    let target = Target::start().await;
    let body = |answer: &Answer| answer.0.split_once("\r\n\r\n").unwrap().1.to_owned();
    let expected = body(&target.get(DISCOVERY).await);
    for other in [
        request("GET", &format!("http://evil.example{DISCOVERY}"), "", ""),
        request(
            "GET",
            DISCOVERY,
            "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example;proto=https\r\n",
            "",
        ),
        format!("GET {DISCOVERY} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = target.send(other).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(body(&answer), expected);
    }
    target
        .is_not_upset_by(|path| request("GET", &format!("http://evil.example:99{path}"), "", ""))
        .await;
    let challenge = target
        .send(request(
            "GET",
            "http://evil.example/mcp",
            "X-Forwarded-Host: evil.example\r\n",
            "",
        ))
        .await;
    assert_eq!(challenge.status(), 401);
    assert!(!challenge.0.contains("evil.example"), "{challenge:?}");
}

#[tokio::test]
async fn targets_that_are_no_paths() {
    let target = Target::start().await;
    for uri in [
        "*",
        "//",
        "///oauth/token",
        "?",
        "#",
        "/%",
        "/%zz",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e",
        "/oauth/../mcp",
        "http://",
        "http:///",
        "a:b",
        "localhost:80",
        "/oauth//token",
        "/oauth/token/",
        "/mcp/../mcp",
        "/;a=b",
    ] {
        for method in ["GET", "POST", "OPTIONS", "CONNECT"] {
            let answer = target.send(request(method, uri, FORM, "")).await;
            assert!(
                answer.statuses().iter().all(|status| *status < 500),
                "{method} {uri}: {answer:?}"
            );
        }
    }
    target.is_well().await;
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let target = Target::start().await;
    let two = "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n";
    let refused = target
        .send(request("POST", "/mcp", &format!("{two}{JSON}"), "{}"))
        .await;
    assert_eq!(refused.status(), 400);
    let two = "Authorization: Basic YTpi\r\nAuthorization: Basic YTpj\r\n";
    target
        .is_not_upset_by(|path| {
            request(
                "POST",
                path,
                &format!("{two}{FORM}"),
                "grant_type=refresh_token",
            )
        })
        .await;
    target
        .is_not_upset_by(|path| request("GET", path, two, ""))
        .await;
}

#[tokio::test]
async fn credentials_of_every_shape() {
    let target = Target::start().await;
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer a b",
        "Bearer \"a\"",
        "Basic",
        "Basic !!!",
        "Basic Og==",
        "Basic /w==",
        "Basic YQ==",
        "Negotiate a",
        "DPoP a",
        "Digest username=\"\"",
        "bearer,bearer",
        "Bearer a, Bearer b",
        "=",
        "\t",
    ] {
        target
            .is_not_upset_by(|path| {
                request(
                    "POST",
                    path,
                    &format!("Authorization: {value}\r\n{FORM}"),
                    "a=b",
                )
            })
            .await;
    }
}

#[tokio::test]
async fn pipelined_garbage() {
    let target = Target::start().await;
    let good = format!("GET {DISCOVERY} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for garbage in [
        "garbage",
        "\r\n\r\n\r\n",
        "\0\0\0\0",
        "GET",
        "{\"jsonrpc\":\"2.0\"}",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
    ] {
        let answer = target
            .send(format!(
                "{good}{good}{garbage}\r\n\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let statuses = answer.statuses();
        assert_eq!(statuses[..2], [200, 200], "what came before: {answer:?}");
        assert!(statuses.iter().all(|status| *status < 500), "{answer:?}");
    }
    target.is_well().await;
}

#[tokio::test]
async fn a_hundred_pipelined_requests_are_answered_in_order() {
    let target = Target::start().await;
    let requests: String = (0..100)
        .map(|n| match n % 2 {
            0 => format!("GET {DISCOVERY} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            _ => "GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        })
        .collect();
    let last = request("GET", "/oauth/nothing-here", "", "");
    let answer = target.send(format!("{requests}{last}")).await;
    let statuses = answer.statuses();
    assert_eq!(statuses.len(), 101);
    assert_eq!(statuses[..4], [200, 401, 200, 401]);
    assert_eq!(statuses[100], 404);
}

#[tokio::test]
async fn lengths_that_contradict_each_other() {
    let target = Target::start().await;
    for headers in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        // The second request must not be taken for a first one of somebody else's.
        let smuggled =
            "0\r\n\r\nGET /oauth/smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        target
            .is_not_upset_by(|path| format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{FORM}{headers}\r\n{smuggled}"))
            .await;
    }
}

#[tokio::test]
async fn lines_that_are_not_http() {
    let target = Target::start().await;
    for head in [
        "\nHost: a\n\n",
        " HTTP/1.1\rHost: a\r\r",
        " HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        " HTTP/1.1\r\nHost : a\r\n\r\n",
        " HTTP/1.1\r\n: a\r\n\r\n",
        " HTTP/1.1\r\nHost\r\n\r\n",
        " HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        " HTTP/1.1\r\nH\u{f6}st: a\r\n\r\n",
        " HTTP/1.1\r\nConnection: close\r\n\r\n",
    ] {
        for path in &target.paths {
            let mut connection = target.connect().await;
            connection
                .write_all(format!("GET {path}{head}").as_bytes())
                .await
                .unwrap();
            // Half a request is the client's own affair; that nothing more comes must end it.
            connection.shutdown().await.unwrap();
            let answer = timeout(PATIENCE, read(&mut connection))
                .await
                .unwrap_or_else(|_| panic!("{path}{head:?}"));
            assert!(
                answer.statuses().iter().all(|status| *status < 500),
                "{path}{head:?}: {answer:?}"
            );
        }
    }
    target.is_well().await;
}

/// `size` bytes in chunks, and no end.
fn endless_chunks(size: usize) -> String {
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    chunk.repeat(size / 0x1000)
}

#[tokio::test]
async fn chunked_bodies_over_the_limit_are_not_read_to_their_end() {
    let target = Target::start().await;
    let body = endless_chunks(32 * 1024 * 1024);
    for kind in [FORM, JSON] {
        target
            .is_not_upset_by(|path| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}Transfer-Encoding: chunked\r\n\r\n{body}"))
            .await;
    }
}

#[tokio::test]
async fn who_sends_far_too_much_learns_that_it_is_too_much() {
    let target = Target::start().await;
    let body = endless_chunks(8 * 1024 * 1024);
    for path in ["/oauth/token", "/oauth/register"] {
        let answer = target
            .send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"))
            .await;
        assert_eq!(answer.status(), 413, "{path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413() {
    let target = Target::start().await;
    let body = format!("token={}", "a".repeat(64 * 1024));
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for path in [
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/introspect",
        "/oauth/register",
    ] {
        let answer = target.send(request("POST", path, FORM, &body)).await;
        assert_eq!(answer.status(), 413, "{path}");
        let answer = target.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n{chunked}")).await;
        assert_eq!(answer.status(), 413, "{path}, chunked");
    }
}

#[tokio::test]
async fn chunks_that_are_none() {
    let target = Target::start().await;
    for chunks in [
        "zz\r\na\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\na\r\n",
        "-1\r\n\r\n",
        "3\r\na=bcd\r\n0\r\n\r\n",
        "\r\n\r\n",
        "3;ext=\"\0\"\r\na=b\r\n0\r\n\r\n",
        "3\r\na=b\r\n0\r\nTrailer: a\r\n\r\n",
    ] {
        target
            .is_not_upset_by(|path| format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n{chunks}"))
            .await;
    }
}

#[tokio::test]
async fn forms_that_are_none() {
    let target = Target::start().await;
    let many = "a=b&".repeat(15_000);
    for body in [
        "&&&&",
        "====",
        "%",
        "%%%",
        "%zz=%zz",
        "a",
        "grant_type",
        "grant_type=&grant_type=",
        "grant_type=a&grant_type=b",
        "{}",
        "<a/>",
        many.as_str(),
    ] {
        for kind in [
            FORM,
            JSON,
            "Content-Type: \r\n",
            "Content-Type: multipart/form-data; boundary=a\r\n",
            "Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\n",
            "",
        ] {
            target
                .is_not_upset_by(|path| request("POST", path, kind, body))
                .await;
        }
    }
}

#[tokio::test]
async fn json_that_is_none() {
    let target = Target::start().await;
    let (nested, objects) = ("[".repeat(50_000), "{\"a\":".repeat(10_000));
    for body in [
        nested.as_str(),
        &objects,
        "null",
        "1e999",
        "\"\\ud800\"",
        "{\"redirect_uris\":{}}",
        "{\"redirect_uris\":[1]}",
        "{\"redirect_uris\":null}",
        "{\"client_name\":\"\\u202e\",\"redirect_uris\":[\"http://127.0.0.1/\"],\"client_name\":1}",
        "{\"redirect_uris\":[\"javascript:alert(1)\",\"data:,\",\"//\"]}",
        "{",
        "[]",
        "[[]]",
    ] {
        target
            .is_not_upset_by(|path| request("POST", path, JSON, body))
            .await;
    }
}

#[tokio::test]
async fn upgrades_and_expectations() {
    let target = Target::start().await;
    for headers in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
        "Expect: 100-continue\r\n",
        "Expect: 200-ok\r\n",
        "TE: trailers, deflate\r\n",
        "Range: bytes=0-18446744073709551615,-1\r\n",
        "If-None-Match: *\r\nIf-Modified-Since: never\r\n",
        "Content-Encoding: gzip\r\n",
    ] {
        target
            .is_not_upset_by(|path| request("POST", path, &format!("{headers}{FORM}"), "a=b"))
            .await;
    }
}

#[tokio::test]
async fn origins_and_cookies_of_every_shape() {
    let target = Target::start().await;
    for headers in [
        "Origin: null\r\n".to_owned(),
        "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: a,,b\r\n".to_owned(),
        "Origin: \u{fc}\r\n".to_owned(),
        "Cookie: =;=;;;a;\u{e4}=\u{e4};a=\"\r\n".to_owned(),
        format!("Cookie: {}\r\n", "a=b; ".repeat(5_000)),
        "Cookie: a=b\r\nCookie: a=c\r\n".to_owned(),
        "Mcp-Session-Id: \u{fc}\r\nMcp-Session-Id: b\r\n".to_owned(),
        "MCP-Protocol-Version: 9999-99-99\r\nMcp-Method: =?base64?!!?=\r\nMcp-Name: a\r\nMcp-Name: b\r\n".to_owned(),
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            target
                .is_not_upset_by(|path| request(method.as_str(), path, &format!("{headers}{FORM}"), ""))
                .await;
        }
    }
}

#[tokio::test]
async fn bodies_that_do_not_come_hold_nobody_else_up() {
    let target = Target::start().await;
    let mut waiting = Vec::new();
    for n in 0..200 {
        let path = &target.paths[n % target.paths.len()];
        let mut connection = target.connect().await;
        let begun = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{FORM}Content-Length: 1000\r\n\r\na="
        );
        connection.write_all(begun.as_bytes()).await.unwrap();
        waiting.push(connection);
    }
    target.is_well().await;
    let refused = target
        .send(request("POST", "/oauth/token", FORM, "grant_type=a"))
        .await;
    assert!((400..500).contains(&refused.status()), "{refused:?}");
    // And hanging up half-way is no trouble either.
    drop(waiting);
    target.is_well().await;
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let target = Target::start().await;
    let mut connection = target.connect().await;
    let begun = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{FORM}Content-Length: 60000\r\n\r\n"
    );
    connection.write_all(begun.as_bytes()).await.unwrap();
    let (mut from, mut to) = connection.split();
    let mut first = [0; 12];
    let patient = async {
        let mut next = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                read = from.read_exact(&mut first) => break read.map(|_| ()),
                _ = next.tick() => {
                    // It says so before it hangs up.
                    let _ = to.write_all(b"a").await;
                }
            }
        }
    };
    timeout(Duration::from_secs(60), patient)
        .await
        .expect("it does not wait for ever")
        .unwrap();
    assert_eq!(&first, b"HTTP/1.1 408");
    target.is_well().await;
}

#[tokio::test]
async fn connections_that_say_nothing_hold_nobody_up() {
    let target = Target::start().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(target.connect().await);
    }
    target.is_well().await;
    drop(silent);
    target.is_well().await;
}
