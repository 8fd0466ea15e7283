//! Tells when a token is good no longer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{McpSession, Refusal, cache::Standing, guard::Guard};

type Over = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Looks after one token for as long as something depends on it.
pub(crate) struct Watch {
    guard: Arc<Guard>,
    standing: Standing,
    /// Only set once there is something to wait for: mostly there never is.
    over: Option<Over>,
}

impl Watch {
    pub(crate) fn new(guard: &Arc<Guard>, standing: Standing) -> Self {
        Self {
            guard: Arc::clone(guard),
            standing,
            over: None,
        }
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn session(&self) -> &McpSession {
        self.standing.session()
    }

    /// Why it is good no longer.
    pub(crate) fn lost(&self) -> Option<Refusal> {
        self.standing.lost(self.guard.clock.now())
    }

    /// Waits for the end, which wakes the task. Needs tokio's time driver.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        loop {
            let over = self.over.get_or_insert_with(|| {
                let (standing, clock) = (self.standing.clone(), Arc::clone(&self.guard.clock));
                Box::pin(async move { standing.until_lost(&*clock).await })
            });
            if over.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.over = None;
            // Unless the clock was set back in between.
            if let Some(refusal) = self.lost() {
                return Poll::Ready(refusal);
            }
        }
    }
}
