//! One connection that is kept.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn get(&mut self, path: &str, token: &str) -> Answer<'_> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\n");
        self.send(&format!("{head}Authorization: Bearer {token}\r\n\r\n"))
            .await
    }

    pub async fn post(&mut self, path: &str, authorization: &str, form: &str) -> Answer<'_> {
        let length = form.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        self.send(&request).await
    }

    /// The server always says how long its answers are.
    async fn send(&mut self, request: &str) -> Answer<'_> {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        let (begins, length) = loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "hung up");
            if let Some(whole) = parts(&self.buffer)
                && self.buffer.len() >= whole.0 + whole.1
            {
                break whole;
            }
        };
        let status = std::str::from_utf8(&self.buffer[9..12]).unwrap();
        Answer {
            status: status.parse().unwrap(),
            body: &self.buffer[begins..begins + length],
        }
    }
}

/// Where the body begins and how long it is, once the head is there.
fn parts(answer: &[u8]) -> Option<(usize, usize)> {
    let begins = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..begins]).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    Some((begins, length.map_or(0, |length| length.parse().unwrap())))
}

/// Holds a stream open for as long as the server does; `false` where it never did.
pub async fn hold(port: u16, token: String) -> bool {
    let mut connection = Connection::open(port).await;
    let request = format!(
        "GET /events HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let stream = &mut connection.stream;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    while stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {
        if all.starts_with(b"HTTP/1.1 401") {
            return false;
        }
        // The last chunk of a chunked body.
        if all.ends_with(b"0\r\n\r\n") {
            return true;
        }
        all.clear();
    }
    panic!("hung up");
}
