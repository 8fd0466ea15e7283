//! What can become of a connection on its way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// Passes everything on between its own port and a server's, until told otherwise.
pub struct Proxy {
    pub url: String,
    /// The server's, for connections from now on.
    port: Arc<AtomicU16>,
    loses_answers: Arc<AtomicBool>,
    /// Whether connections are let through.
    open: watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        Self::far_from(port, Duration::ZERO).await
    }

    /// To a server whose answers take that long to come.
    pub async fn far_from(port: u16, distance: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let loses_answers = Arc::<AtomicBool>::default();
        let (open, is_open) = watch::channel(true);
        let losing = Arc::clone(&loses_answers);
        let port = Arc::new(AtomicU16::new(port));
        let leads_to = Arc::clone(&port);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let port = leads_to.load(Ordering::SeqCst);
                let losing = Arc::clone(&losing);
                tokio::spawn(pass(client, port, distance, losing, is_open.clone()));
            }
        });
        Self {
            url,
            port,
            loses_answers,
            open,
        }
    }

    /// Where new connections go. Those that are there stay.
    pub fn lead_to(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }

    /// The server's next answer is lost, and its connection with it.
    pub fn lose_the_next_answer(&self) {
        self.loses_answers.store(true, Ordering::SeqCst);
    }

    /// Drops all connections, and takes no new ones.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(
    mut client: TcpStream,
    port: u16,
    distance: Duration,
    loses_answers: Arc<AtomicBool>,
    mut is_open: watch::Receiver<bool>,
) {
    if !*is_open.borrow_and_update() {
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(read @ 1..) => server.write_all(&asked[..read]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(read @ 1..) => {
                    if loses_answers.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    sleep(distance).await;
                    client.write_all(&answered[..read]).await.unwrap();
                }
                _ => return,
            },
            _ = is_open.changed() => return,
        }
    }
}
