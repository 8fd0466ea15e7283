//! What cannot be seen from outside: what is left behind, and moments between two polls.

mod front;
mod lookups;
mod room;
mod streams;

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    clock::SystemClock,
    id::{ClientId, Subject},
    resource_server::TokenVerifier,
    uri::ResourceUri,
};

fn good(grant: Option<u8>) -> Verdict {
    let builder = McpSession::builder(
        Subject::new("alice").unwrap(),
        ClientId::new("agent").unwrap(),
        ResourceUri::parse("https://a.example/mcp").unwrap(),
        Timestamp::from_secs(u64::MAX),
    );
    Verdict::Verified(match grant {
        Some(id) => builder.grant_id(GrantId::from_bytes([id; 16])).build(),
        None => builder.build(),
    })
}

/// Answers with the next verdict in its list, and not at all while there is none.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<Verdict>>>);

impl TokenVerifier for Script {
    async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        std::future::poll_fn(|_| match self.0.lock().unwrap().pop_front() {
            Some(verdict) => Poll::Ready(Ok(verdict)),
            None => Poll::Pending,
        })
        .await
    }
}

/// What a request is told.
type Told = Result<McpSession, Refusal>;

fn told(found: Found) -> Told {
    found.map(|standing| standing.session().clone())
}

/// What it is told of a token with this verdict.
fn is(verdict: Verdict) -> Option<Told> {
    Some(verdict.session())
}

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Found, VerifierUnavailable>> + 'a>>;

fn ask<'a>(cache: &'a TokenCache, script: &'a Script, token: &'a PresentedToken) -> Asking<'a> {
    Box::pin(cache.load(script, token, &SystemClock))
}

/// Polls once.
fn poll(asking: &mut Asking<'_>) -> Option<Told> {
    match asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(found) => Some(told(found.unwrap())),
        Poll::Pending => None,
    }
}

/// Loads `token` with the verdict that the script has next.
fn load(cache: &TokenCache, script: &Script, token: &PresentedToken, verdict: Verdict) -> Standing {
    script.0.lock().unwrap().push_back(verdict);
    let mut asking = ask(cache, script, token);
    let Poll::Ready(Ok(Ok(standing))) = asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("the script has a good verdict");
    };
    standing
}
