//! Starts servers and sends them as many requests as they take.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::everybody::token;

/// A server process with a core of its own.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub fn start(kind: &str) -> Self {
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(env::current_exe().unwrap())
            .args(["--serve", kind])
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset is installed");
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }

    /// What it has computed so far: it has one thread.
    fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Leaves core 0 to the servers.
pub fn keep_off() {
    let mut command = Command::new("taskset");
    command.args(["-cp", "1", &std::process::id().to_string()]);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
}

/// What a server did.
#[allow(dead_code, reason = "each program prints a part of it")]
pub struct Measured {
    pub requests: u64,
    pub seconds: f64,
    /// Its own CPU time.
    pub cpu_us: f64,
}

impl Measured {
    pub fn cpu_per_request(&self) -> f64 {
        self.cpu_us / self.requests as f64
    }

    #[allow(dead_code, reason = "each program prints a part of it")]
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// Requests with so many tokens, in an order without pattern.
pub fn requests(tokens: usize) -> Arc<[Vec<u8>]> {
    (0..tokens.max(1))
        .map(|index| {
            let token = token(index * 7919 % tokens.max(1));
            format!("GET /mcp HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {token}\r\n\r\n")
                .into_bytes()
        })
        .collect()
}

/// Sends requests over `connections`, each waiting for its answer, for so long.
pub async fn load(
    server: &Server,
    connections: usize,
    requests: &Arc<[Vec<u8>]>,
    time: Duration,
) -> Measured {
    let (cpu, begin) = (server.cpu(), Instant::now());
    let end = begin + time;
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let first = connection * requests.len() / connections;
            let (port, requests) = (server.port, Arc::clone(requests));
            tokio::spawn(talk(port, requests, first, end))
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    Measured {
        requests: count,
        seconds: begin.elapsed().as_secs_f64(),
        cpu_us: (server.cpu() - cpu).as_secs_f64() * 1e6,
    }
}

async fn talk(port: u16, requests: Arc<[Vec<u8>]>, first: usize, end: Instant) -> u64 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 4096];
    let mut length = None;
    for (count, request) in (0..).zip(requests.iter().cycle().skip(first)) {
        if Instant::now() >= end {
            return count;
        }
        stream.write_all(request).await.unwrap();
        let mut read = 0;
        // All answers of a server are as long as its first.
        while length.is_none_or(|length| read < length) {
            let more = stream.read(&mut buffer[read..]).await.unwrap();
            assert!(more > 0, "the server hung up");
            read += more;
            length = length.or_else(|| full_length(&buffer[..read]));
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "not served");
    }
    unreachable!("the requests never end")
}

/// How long an answer is, once its head is there.
fn full_length(answer: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(answer).unwrap();
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    Some(head.len() + 4 + length.unwrap().parse::<usize>().unwrap())
}
