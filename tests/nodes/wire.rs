//! The network between a machine and its database, which can break.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Connections are dropped, and new ones as well.
    Cut,
    /// Connections are held, and nothing gets through. What was sent arrives when that is over.
    Silent,
}

/// With how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The connection by which a machine hears of revocations.
    Feed,
    Everything,
}

type State = Option<(Fault, Reach)>;

/// What is sent when a machine begins to listen, by either engine's protocol.
const LISTENS: &[&[u8]] = &[b"LISTEN ", b"SUBSCRIBE"];
/// What each operation of the store is sent with,
const OPERATIONS: &[&[u8]] = &[b"then tower_mcp_auth.", b"EVALSHA", b"HGETALL"];
/// and the messages to itself by which a machine knows that it hears.
const BEATS: &[&[u8]] = &[b":beat:"];

/// A port behind which the database is.
pub(crate) struct Wire {
    pub(crate) port: u16,
    fault: watch::Sender<State>,
    operations: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Wire {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (fault, seen) = watch::channel(None);
        let operations = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&operations);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let stretch = Stretch {
                    client,
                    fault: seen.clone(),
                    is_feed: false,
                    operations: Arc::clone(&counter),
                };
                tokio::spawn(stretch.pass(port));
            }
        });
        Self {
            port: own_port,
            fault,
            operations,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn breaks(&self, fault: Fault, reach: Reach) {
        self.fault.send_replace(Some((fault, reach)));
    }

    pub(crate) fn heals(&self) {
        self.fault.send_replace(None);
    }

    /// How many operations of the store went through.
    pub(crate) fn operations(&self) -> usize {
        self.operations.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
struct Stretch {
    client: TcpStream,
    fault: watch::Receiver<State>,
    is_feed: bool,
    operations: Arc<AtomicUsize>,
}

impl Stretch {
    async fn pass(mut self, port: u16) {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            let (is_question, read) = tokio::select! {
                read = self.client.read(&mut asked) => (true, read),
                read = server.read(&mut answered) => (false, read),
                // To be dropped, though nothing is sent.
                () = cut(&mut self.fault, self.is_feed) => return,
            };
            let Ok(read @ 1..) = read else { return };
            if is_question {
                self.look_at(&asked[..read]);
            }
            let is_feed = self.is_feed;
            let speaks = |state: &State| !hits(*state, Fault::Silent, is_feed);
            if self.fault.wait_for(speaks).await.is_err() {
                return;
            }
            let (to, bytes) = match is_question {
                true => (&mut server, &asked[..read]),
                false => (&mut self.client, &answered[..read]),
            };
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }

    fn look_at(&mut self, question: &[u8]) {
        let count = |words: &[&[u8]]| {
            let found = |word: &[u8]| {
                question
                    .windows(word.len())
                    .filter(|at| *at == word)
                    .count()
            };
            words.iter().copied().map(found).sum::<usize>()
        };
        self.is_feed |= count(LISTENS) > 0;
        let operations = count(OPERATIONS).saturating_sub(count(BEATS));
        self.operations.fetch_add(operations, Ordering::SeqCst);
    }
}

/// Returns once connections of that kind are dropped.
async fn cut(fault: &mut watch::Receiver<State>, is_feed: bool) {
    let cut = fault.wait_for(|state| hits(*state, Fault::Cut, is_feed));
    // When nobody breaks or heals it any longer it is over too.
    let _ = cut.await;
}

fn hits(state: State, fault: Fault, is_feed: bool) -> bool {
    state.is_some_and(|(what, reach)| what == fault && (is_feed || reach == Reach::Everything))
}
