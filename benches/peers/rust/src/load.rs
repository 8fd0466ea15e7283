//! Sends requests over many connections, each waiting for its answer.
//!
//! The requests come in as a list of texts in JSON. With a time they are sent over and over for so
//! long; with zero seconds each is sent once, and the bodies of the answers are told.

use std::{
    io::Read,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Work {
    requests: Vec<String>,
    next: AtomicUsize,
    /// Until when, or each only once.
    end: Option<Instant>,
}

impl Work {
    fn next(&self) -> Option<&str> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        match self.end {
            Some(end) => {
                (Instant::now() < end).then(|| &*self.requests[index % self.requests.len()])
            }
            None => self.requests.get(index).map(String::as_str),
        }
    }
}

pub async fn run(port: &str, connections: &str, seconds: &str) {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let begin = Instant::now();
    let time = Duration::from_secs(seconds.parse().unwrap());
    let work = Arc::new(Work {
        requests: serde_json::from_str(&text).unwrap(),
        next: AtomicUsize::new(0),
        end: (!time.is_zero()).then(|| begin + time),
    });
    let port = port.parse().unwrap();
    let tasks: Vec<_> = (0..connections.parse().unwrap())
        .map(|_| tokio::spawn(talk(port, Arc::clone(&work))))
        .collect();
    let (mut count, mut bodies) = (0, Vec::new());
    for task in tasks {
        let (answered, said) = task.await.unwrap();
        count += answered;
        bodies.extend(said);
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"requests": count, "seconds": seconds, "bodies": bodies})
    );
}

async fn talk(port: u16, work: Arc<Work>) -> (usize, Vec<String>) {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    let mut stream = stream.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut count, mut bodies, mut buffer) = (0, Vec::new(), Vec::new());
    while let Some(request) = work.next() {
        stream.write_all(request.as_bytes()).await.unwrap();
        buffer.clear();
        let begins = loop {
            assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "hung up");
            if let Some(begins) = whole(&buffer) {
                break begins;
            }
        };
        let text = || String::from_utf8_lossy(&buffer);
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{request}\n{}", text());
        count += 1;
        if work.end.is_none() {
            // What a chunked body has around its text is no JSON.
            let body = &buffer[begins..];
            let first = body.iter().position(|byte| *byte == b'{').unwrap();
            let last = body.iter().rposition(|byte| *byte == b'}').unwrap();
            bodies.push(String::from_utf8(body[first..=last].to_vec()).unwrap());
        }
    }
    (count, bodies)
}

/// Where the body of an answer begins, once all of it is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let begins = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..begins]).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    match length {
        Some(length) => answer.len() >= begins + length,
        None => answer.ends_with(b"0\r\n\r\n"),
    }
    .then_some(begins)
}
