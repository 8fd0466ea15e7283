//! The fetcher against servers that mean ill.

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    BasicCredentials, BoxFuture, Fetch, FetchError, FetchResult, Fetcher, Limits, connect::Resolve,
};

const LIMITS: Limits = Limits {
    max_bytes: 5 * 1024,
    deadline: Duration::from_secs(5),
};

/// Answers every connection with the same bytes, then waits for its end. Remembers what it was
/// sent, and how many came.
struct Peer {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let (answer, seen) = (answer.into(), Arc::<Mutex<Vec<String>>>::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    request.truncate(length);
                    log.lock()
                        .unwrap()
                        .push(String::from_utf8(request).unwrap());
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.read(&mut [0; 16]).await;
                });
            }
        });
        Self { port, seen }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/client.json", self.port)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn loopback() -> Fetcher {
    Fetcher::builder()
        .danger_allow_loopback(true)
        .build()
        .unwrap()
}

fn answer(head: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn get(fetcher: &Fetcher, url: &str) -> FetchResult {
    fetcher.get(url, LIMITS).await
}

fn refused(result: FetchResult) -> FetchError {
    result.expect_err("it is refused")
}

/// CM-2, CM-6.
#[tokio::test]
async fn a_document_is_asked_for_without_anything_of_ours_and_kept_as_long_as_it_says() {
    let peer = Peer::answering(answer(
        "200 OK\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: max-age=77\r\n\
         Set-Cookie: a=b",
        "{}",
    ))
    .await;
    for _ in 0..2 {
        let fetched = get(&loopback(), &peer.url()).await.unwrap();
        assert_eq!(&*fetched.body, b"{}");
        assert_eq!(fetched.cache.max_age, Some(Duration::from_secs(77)));
    }
    for request in peer.seen() {
        let request = request.to_ascii_lowercase();
        assert!(
            request.starts_with("get /client.json http/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("\r\naccept: application/json\r\n"),
            "{request}"
        );
        for absent in ["cookie", "authorization", "referer", "accept-encoding"] {
            assert!(!request.contains(absent), "{request}");
        }
    }
}

#[tokio::test]
async fn a_form_is_sent_with_credentials_encoded_twice() {
    let peer = Peer::answering(answer("200 OK\r\nContent-Type: application/json", "{}")).await;
    let credentials = BasicCredentials {
        client_id: "a b",
        client_secret: "p:ä",
    };
    let form = "token=x".to_owned();
    let fetcher = loopback();
    let sent = fetcher.post_form(&peer.url(), Some(credentials), form, LIMITS);
    sent.await.unwrap();
    let request = peer.seen().remove(0);
    // RFC 6749 §2.3.1: `a+b:p%3A%C3%A4`.
    assert!(
        request.contains("Basic YStiOnAlM0ElQzMlQTQ=\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\ntoken=x"), "{request}");
}

/// CM-1, CM-7: refused before anything is looked up.
#[tokio::test]
async fn what_is_no_plain_https_url_is_not_fetched() {
    let fetcher = Fetcher::builder()
        .resolver(Answers::none())
        .build()
        .unwrap();
    for url in [
        "",
        "client.json",
        "//a.example/c",
        "http://a.example/c",
        "http://127.0.0.1/c",
        "http://localhost/c",
        "ftp://a.example/c",
        "file:///etc/passwd",
        "https:///c",
        "https://u@a.example/c",
        "https://u:p@a.example/c",
        "https://a.example/c#f",
        "https://a.example:0/c",
        "https://a.example:65536/c",
        "https://a.example:x/c",
        "https://2130706433/c",
        "https://0x7f000001/c",
        "https://0x7f.1/c",
        "https://127.1/c",
        "https://0177.0.0.1/c",
        "https://127.0.0.1./c",
        "https://[::1%25lo]/c",
        "https://[fe80::1%eth0]/c",
        "https://a example/c",
        "https://a.example\\@127.0.0.1/c",
        "https://①②⑦.0.0.1/c",
        "https://%31%32%37.0.0.1/c",
        &format!("https://a.example/{}", "x".repeat(2048)),
    ] {
        let error = refused(get(&fetcher, url).await);
        assert!(matches!(error, FetchError::Url(_)), "{url}: {error:?}");
    }
}

/// CM-7: every notation of an address that is refused, in the URL itself.
#[tokio::test]
async fn addresses_that_are_not_public_are_not_connected_to() {
    let fetcher = Fetcher::builder()
        .resolver(Answers::none())
        .build()
        .unwrap();
    for host in [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:a00:1::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "localhost",
        "LOCALHOST",
    ] {
        let error = refused(get(&fetcher, &format!("https://{host}/c")).await);
        assert_eq!(error, FetchError::ForbiddenAddress, "{host}");
    }
}

#[tokio::test]
async fn with_loopback_open_nothing_else_is() {
    let fetcher = Fetcher::builder()
        .danger_allow_loopback(true)
        .resolver(Answers::of([
            vec!["127.0.0.1"],
            vec!["::1"],
            vec!["10.0.0.1"],
        ]))
        .build()
        .unwrap();
    for url in [
        "https://evil.example/c",
        "https://localhost.evil.example/c",
        "https://evil.localhost/c",
        "https://127.0.0.2/c",
        "https://[::ffff:127.0.0.1]/c",
        "https://10.0.0.1/c",
        "https://169.254.169.254/latest/meta-data",
    ] {
        assert_eq!(
            refused(get(&fetcher, url).await),
            FetchError::ForbiddenAddress,
            "{url}"
        );
    }
    for url in [
        "http://127.0.0.2/c",
        "http://evil.example/c",
        "http://10.0.0.1/c",
    ] {
        assert!(
            matches!(refused(get(&fetcher, url).await), FetchError::Url(_)),
            "{url}"
        );
    }
}

/// Answers of a name server, one a question.
struct Answers(Mutex<VecDeque<Vec<IpAddr>>>, Arc<AtomicUsize>);

impl Answers {
    fn none() -> Self {
        Self::of([])
    }

    fn of<const N: usize>(answers: [Vec<&str>; N]) -> Self {
        let parse = |list: Vec<&str>| list.into_iter().map(|ip| ip.parse().unwrap()).collect();
        Self(
            Mutex::new(answers.into_iter().map(parse).collect()),
            Arc::default(),
        )
    }
}

impl Resolve for Answers {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let next = self.0.lock().unwrap().pop_front();
        Box::pin(std::future::ready(
            next.ok_or_else(|| io::Error::other("no such name")),
        ))
    }
}

/// CM-7: the name leads to a public address when it is first asked for, and home afterwards. What
/// was checked is what is connected to, and there is one question for each connection.
#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    // Reserved addresses do not answer; a real public one must not be bothered by a test.
    let answers = Answers::of([vec!["127.0.0.1"], vec!["10.0.0.1", "::1"], vec![]]);
    let questions = Arc::clone(&answers.1);
    let fetcher = Fetcher::builder().resolver(answers).build().unwrap();
    let url = "https://rebind.example/c";
    assert_eq!(
        refused(get(&fetcher, url).await),
        FetchError::ForbiddenAddress
    );
    assert_eq!(
        refused(get(&fetcher, url).await),
        FetchError::ForbiddenAddress
    );
    assert_eq!(refused(get(&fetcher, url).await), FetchError::UnknownHost);
    assert_eq!(refused(get(&fetcher, url).await), FetchError::UnknownHost);
    assert_eq!(questions.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_ones_are_tried() {
    let peer = Peer::answering("").await;
    // The private network that was opened stands for the public; the peer for what is inside.
    let answers = Answers::of([vec!["127.0.0.1", "127.9.9.9"], vec!["127.9.9.9"]]);
    let questions = Arc::clone(&answers.1);
    let fetcher = Fetcher::builder()
        .danger_allow_network("127.9.9.9".parse().unwrap(), 32)
        .resolver(answers)
        .build()
        .unwrap();
    let url = format!("https://rebind.example:{}/c", peer.port);
    assert_eq!(refused(get(&fetcher, &url).await), FetchError::Connection);
    assert_eq!(
        questions.load(Ordering::SeqCst),
        1,
        "checked and connected with one answer"
    );
    assert!(peer.seen().is_empty(), "127.0.0.1 was not connected to");
}

/// CM-2, CM-7.
#[tokio::test]
async fn redirects_are_errors_wherever_they_lead() {
    let target = Peer::answering(answer("200 OK\r\nContent-Type: application/json", "{}")).await;
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::answering(answer(
            &format!("{status} Moved\r\nLocation: {}", target.url()),
            "",
        ))
        .await;
        let error = refused(get(&loopback(), &peer.url()).await);
        assert_eq!(error, FetchError::Redirect(status));
    }
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn only_200_with_json_counts() {
    const JSON: &str = "Content-Type: application/json";
    for (head, error) in [
        (format!("201 Created\r\n{JSON}"), FetchError::Status(201)),
        (format!("206 Partial\r\n{JSON}"), FetchError::Status(206)),
        (format!("404 Not Found\r\n{JSON}"), FetchError::Status(404)),
        (format!("500 Oh\r\n{JSON}"), FetchError::Status(500)),
        ("200 OK".to_owned(), FetchError::ContentType),
        (
            "200 OK\r\nContent-Type: text/html".to_owned(),
            FetchError::ContentType,
        ),
        (
            "200 OK\r\nContent-Type: text/json".to_owned(),
            FetchError::ContentType,
        ),
        (
            "200 OK\r\nContent-Type: application/jsonp".to_owned(),
            FetchError::ContentType,
        ),
        (
            "200 OK\r\nContent-Type: application/+json".to_owned(),
            FetchError::ContentType,
        ),
        (
            format!("200 OK\r\n{JSON}\r\nContent-Encoding: gzip"),
            FetchError::ContentType,
        ),
        ("nonsense".to_owned(), FetchError::Connection),
    ] {
        let peer = Peer::answering(answer(&head, "{}")).await;
        assert_eq!(
            refused(get(&loopback(), &peer.url()).await),
            error,
            "{head}"
        );
    }
    for kind in ["application/jwk-set+json", "APPLICATION/JSON;charset=utf-8"] {
        let peer = Peer::answering(answer(&format!("200 OK\r\nContent-Type: {kind}"), "{}")).await;
        get(&loopback(), &peer.url()).await.unwrap();
    }
}

#[tokio::test]
async fn a_huge_answer_is_cut_off_announced_or_not() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let announced = format!("{HEAD}Content-Length: 99999999999\r\n\r\n");
    let silent = format!("{HEAD}Connection: close\r\n\r\n{}", " ".repeat(1024 * 1024));
    let chunked = format!(
        "{HEAD}Transfer-Encoding: chunked\r\n\r\n{}",
        format!("400\r\n{}\r\n", " ".repeat(1024)).repeat(512)
    );
    for huge in [announced, silent, chunked] {
        let peer = Peer::answering(huge).await;
        assert_eq!(
            refused(get(&loopback(), &peer.url()).await),
            FetchError::TooLarge
        );
    }
    let exact = answer(
        "200 OK\r\nContent-Type: application/json",
        &" ".repeat(5 * 1024),
    );
    let peer = Peer::answering(exact).await;
    assert_eq!(
        get(&loopback(), &peer.url()).await.unwrap().body.len(),
        5 * 1024
    );

    let headers = "X: y\r\n".repeat(100_000);
    let peer = Peer::answering(format!("{HEAD}{headers}\r\n{{}}")).await;
    assert_eq!(
        refused(get(&loopback(), &peer.url()).await),
        FetchError::Connection
    );
}

#[tokio::test]
async fn slowness_ends_at_the_deadline_wherever_it_sits() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let limits = Limits {
        deadline: Duration::from_millis(200),
        ..LIMITS
    };
    for slow in [
        String::new(),
        HEAD.to_owned(),
        format!("{HEAD}Content-Length: 2\r\n\r\n{{"),
    ] {
        let peer = Peer::answering(slow).await;
        let begin = Instant::now();
        let result = loopback().get(&peer.url(), limits).await;
        assert_eq!(refused(result), FetchError::Deadline);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }

    struct NeverAnswers;
    impl Resolve for NeverAnswers {
        fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            Box::pin(std::future::pending())
        }
    }
    let fetcher = Fetcher::builder().resolver(NeverAnswers).build().unwrap();
    let result = fetcher.get("https://slow.example/c", limits).await;
    assert_eq!(refused(result), FetchError::Deadline);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    // Plain HTTP where TLS is spoken: no certificate at all.
    let peer = Peer::answering(answer("200 OK\r\nContent-Type: application/json", "{}")).await;
    let url = format!("https://127.0.0.1:{}/c", peer.port);
    assert_eq!(
        refused(get(&loopback(), &url).await),
        FetchError::Connection
    );

    let bad = Fetcher::builder()
        .root_certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(bad.build().is_err());
    let bad = Fetcher::builder().danger_allow_network("10.0.0.0".parse().unwrap(), 33);
    assert!(bad.build().is_err());
}

#[tokio::test]
async fn one_slow_site_leaves_room_for_the_others() {
    let silent = Peer::answering("").await;
    let quick = Peer::answering(answer("200 OK\r\nContent-Type: application/json", "{}")).await;
    let fetcher = loopback();
    for _ in 0..200 {
        let fetch = fetcher.get(&silent.url(), LIMITS);
        tokio::spawn(fetch);
    }
    // Each of them had its turn to begin.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let url = quick.url().replace("127.0.0.1", "localhost");
    let limits = Limits {
        deadline: LIMITS.deadline / 2,
        ..LIMITS
    };
    assert!(fetcher.get(&url, limits).await.is_ok());
    assert!(silent.seen().len() < 64, "{}", silent.seen().len());
}
