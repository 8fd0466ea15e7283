//! How soon what one machine revokes is refused by the others, while all of them are busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{BOUND, Kind, Nodes, StatusCode, caller::Caller, common::Tokens, redeem, served};

/// What 99 of 100 revocations may take to be in force on another machine. A debug build shows no
/// more than that none takes longer than [`BOUND`].
const USUAL: Duration = match cfg!(debug_assertions) {
    true => BOUND,
    false => Duration::from_millis(100),
};
const REVOCATIONS: usize = match cfg!(debug_assertions) {
    true => 50,
    false => 250,
};

pub(super) async fn a_revocation_is_in_force_everywhere(kind: Kind) {
    let Some(nodes) = Nodes::start(kind).await else {
        return;
    };
    let load = Load::start(&nodes).await;
    let each: Vec<_> = nodes
        .servers
        .iter()
        .map(|server| Caller::new(&server.origin, "alice"))
        .collect();
    let [first, second, third] = &*each else {
        unreachable!("there are {} machines", each.len())
    };
    let (mut caller, client, _) = nodes.tokens().await;
    let mut delays = Vec::new();
    for _ in 0..REVOCATIONS {
        let code = caller.approve(&client).await.unwrap();
        let tokens = Tokens::from(&redeem(&caller, &client, &code).await);
        for caller in &each {
            assert!(served(caller, &tokens.access).await);
        }
        let form = [("client_id", &*client), ("token", &*tokens.refresh)];
        let revoked = first.call("/oauth/revoke", &form).await.unwrap();
        assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
        let since = Instant::now();
        let refused = async |other: &Caller| {
            while served(other, &tokens.access).await {
                assert!(
                    since.elapsed() < BOUND,
                    "served {:?} later",
                    since.elapsed()
                );
            }
            since.elapsed()
        };
        delays.extend(<[_; 2]>::from(tokio::join!(
            refused(second),
            refused(third)
        )));
        assert!(!served(first, &tokens.access).await);
    }
    delays.sort();
    let percentile = |percent: usize| delays[(delays.len() * percent).div_ceil(100) - 1];
    eprintln!(
        "{kind:?}: {REVOCATIONS} revocations were refused by another machine after {:?} (median), \
         {:?} (99 of 100), {:?} (longest of {}), while {}",
        percentile(50),
        percentile(99),
        percentile(100),
        delays.len(),
        load.end(),
    );
    assert!(percentile(99) <= USUAL, "{:?}", percentile(99));
}

/// Clients that go on meanwhile, as fast as they are answered, on all machines.
struct Load {
    since: Instant,
    changes: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    async fn start(nodes: &Nodes) -> Self {
        let (changes, calls) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for number in 0..2 {
            let mut worker = nodes.worker(number);
            worker.acknowledged = Arc::clone(&changes);
            tasks.spawn(async move { while worker.round().await.is_ok() {} });
            let (caller, _, tokens) = nodes.tokens().await;
            let calls = Arc::clone(&calls);
            tasks.spawn(async move {
                while served(&caller, &tokens.access).await {
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            since: Instant::now(),
            changes,
            calls,
            tasks,
        }
    }

    /// What they did.
    fn end(mut self) -> String {
        assert!(self.tasks.try_join_next().is_none(), "one was refused");
        let a_second = |count: usize| count as f64 / self.since.elapsed().as_secs_f64();
        format!(
            "others made {:.0} changes and {:.0} calls a second",
            a_second(self.changes.available_permits()),
            a_second(self.calls.load(Ordering::Relaxed)),
        )
    }
}
