//! Ties an MCP session id to whoever opened the session.
//!
//! Before 2026-07-28 an MCP server hands out `Mcp-Session-Id`, and servers look only at whether the
//! session exists: with somebody else's id, any valid token gets into somebody else's session. So
//! the id goes out with a MAC over user, client and resource, and comes back in only with that MAC.
//! Nothing is stored, and every machine with the same key can tell. It is not over the grant: a
//! client whose user allowed it more meanwhile, or who signed in again, goes on in its session, and
//! the SDKs give up where they cannot.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;

use super::{
    Refusal, headers::MCP_SESSION_ID, patience::patiently, session::McpSession,
    verifier::VerifierUnavailable,
};
use crate::{
    clock::Clock,
    secret::{SecretKey, base64url},
    store::{ErasedStore, SharedKeys, record::KeyPurpose},
};

/// How much of the MAC is sent.
const MAC_BYTES: usize = 16;

/// The key that session ids are signed with, and where it comes from.
pub(crate) struct SessionBinding {
    /// The last one signs, each one verifies.
    keys: SharedKeys,
    store: Option<Arc<dyn ErasedStore>>,
}

impl SessionBinding {
    /// A key of this process alone.
    pub(crate) fn ephemeral() -> Self {
        Self {
            keys: SharedKeys::ephemeral(KeyPurpose::SessionBinding),
            store: None,
        }
    }

    /// The key that all machines of a deployment share; read when it is first needed.
    pub(crate) fn stored(store: Arc<dyn ErasedStore>) -> Self {
        Self {
            keys: SharedKeys::new(KeyPurpose::SessionBinding),
            store: Some(store),
        }
    }

    /// Whether requests can be decided without [`prepare`](Self::prepare).
    pub(crate) fn is_ready(&self) -> bool {
        self.keys.known().is_some()
    }

    pub(crate) async fn prepare(&self, clock: &dyn Clock) -> Result<(), VerifierUnavailable> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        // Around it all: those who wait for somebody else's attempt would make theirs one by one.
        let keys = patiently(async {
            let keys = self.keys.get(&**store, clock.now()).await;
            keys.map_err(VerifierUnavailable::new)
        });
        keys.await.map(|_| ())
    }

    /// Takes the MAC off a request's session id, if it has one.
    pub(crate) fn unbind(
        &self,
        session: &McpSession,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let mut values = headers.get_all(&MCP_SESSION_ID).iter();
        let Some(bound) = values.next() else {
            return Ok(());
        };
        if values.next().is_some() {
            return Err(Refusal::SessionNotFound);
        }
        let plain = self
            .verified(session, bound.as_bytes())
            .and_then(|id| HeaderValue::from_bytes(id).ok())
            .ok_or(Refusal::SessionNotFound)?;
        headers.insert(&MCP_SESSION_ID, plain);
        Ok(())
    }

    /// Puts the MAC on a response's session id, if it has one.
    pub(crate) fn bind(&self, session: &McpSession, headers: &mut HeaderMap) {
        let Some(id) = headers.get(&MCP_SESSION_ID) else {
            return;
        };
        let newest = self.keys.known().and_then(<[_]>::last);
        let bound = newest.and_then(|(_, key)| {
            let mut bound = id.as_bytes().to_vec();
            bound.push(b'.');
            bound.extend_from_slice(mac(key, session, id.as_bytes()).as_bytes());
            HeaderValue::from_maybe_shared(bytes::Bytes::from(bound)).ok()
        });
        match bound {
            Some(bound) => headers.insert(&MCP_SESSION_ID, bound),
            // Without a key there is no session: better than one that anybody may enter.
            None => headers.remove(&MCP_SESSION_ID),
        };
    }

    fn verified<'a>(&self, session: &McpSession, bound: &'a [u8]) -> Option<&'a [u8]> {
        let dot = bound.iter().rposition(|byte| *byte == b'.')?;
        let (id, claimed) = (&bound[..dot], &bound[dot + 1..]);
        self.keys
            .known()?
            .iter()
            .any(|(_, key)| mac(key, session, id).as_bytes().ct_eq(claimed).into())
            .then_some(id)
    }
}

fn mac(key: &SecretKey, session: &McpSession, id: &[u8]) -> String {
    let mac = key.derive(&[
        b"mcp-session",
        session.client_id().as_str().as_bytes(),
        // No user is the client, whatever they are called.
        if session.is_client() {
            b"client"
        } else {
            b"user"
        },
        session.subject().as_str().as_bytes(),
        session.resource().canonical().as_bytes(),
        id,
    ]);
    base64url(&mac[..MAC_BYTES])
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::header::AUTHORIZATION;

    use super::*;
    use crate::{
        clock::{SystemClock, Timestamp},
        event::Events,
        hierarchy::ScopeHierarchy,
        id::{ClientId, Subject},
        resource_server::{
            PresentedToken, TokenCache, TokenVerifier, Verdict,
            guard::Guard,
            guard::{Decision, Protection},
            proof::Proofs,
        },
        scope::Scopes,
        store::MemoryStore,
        uri::ResourceUri,
    };

    #[derive(Default)]
    struct Everybody(Mutex<usize>);

    impl TokenVerifier for Everybody {
        async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
            *self.0.lock().unwrap() += 1;
            Ok(Verdict::Verified(
                McpSession::builder(
                    Subject::new("alice").unwrap(),
                    ClientId::new("agent").unwrap(),
                    ResourceUri::parse("https://a.example/mcp").unwrap(),
                    Timestamp::from_secs(u64::MAX),
                )
                .build(),
            ))
        }
    }

    /// A token may be in a shared cache before the key is here.
    #[tokio::test]
    async fn nobody_is_admitted_before_the_key_is_there() {
        let verifier = Arc::new(Everybody::default());
        let url = ResourceUri::parse("https://a.example/mcp").unwrap();
        let guard = Arc::new(Guard {
            resource: url.clone(),
            metadata_url: url,
            challenge_scopes: Scopes::none(),
            hierarchy: ScopeHierarchy::default(),
            proofs: Proofs::default(),
            requires_dpop: false,
            admissions: Default::default(),
            verifier: Arc::clone(&verifier) as _,
            cache: TokenCache::new(),
            clock: Arc::new(SystemClock),
            events: Events::default(),
            binding: Arc::new(SessionBinding::stored(Arc::new(MemoryStore::new()))),
        });
        let none = Scopes::none();
        let token = PresentedToken::new("t");
        guard
            .cache
            .load(&*guard.verifier, &token, &SystemClock)
            .await
            .unwrap()
            .unwrap();
        let protection = Arc::new(Protection::new(Arc::clone(&guard), none, false));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
        let mut request = http::Request::new(());
        *request.headers_mut() = headers.clone();
        let Decision::Ask(token) = protection.decide(&request) else {
            panic!("the key has to be fetched first");
        };
        let standing = Arc::clone(&protection).ask(token).await.unwrap();
        assert!(matches!(protection.decide(&request), Decision::Admit(..)));

        headers.insert(&MCP_SESSION_ID, HeaderValue::from_static("s"));
        guard.binding.bind(standing.session(), &mut headers);
        guard
            .binding
            .unbind(standing.session(), &mut headers)
            .unwrap();
        assert_eq!(headers[&MCP_SESSION_ID], "s");
    }

    /// Two resources of one server share the key, and not their sessions.
    #[test]
    fn an_id_is_good_for_one_user_client_and_resource() {
        let session = |subject: &str, client: &str, resource: &str| {
            McpSession::builder(
                Subject::new(subject).unwrap(),
                ClientId::new(client).unwrap(),
                ResourceUri::parse(resource).unwrap(),
                Timestamp::from_secs(u64::MAX),
            )
        };
        let (one, two) = ("https://a.example/one", "https://a.example/two");
        let binding = SessionBinding::ephemeral();
        let mut bound = HeaderMap::new();
        bound.insert(&MCP_SESSION_ID, HeaderValue::from_static("s"));
        binding.bind(&session("alice", "agent", one).build(), &mut bound);
        for (other, is_good) in [
            (session("alice", "agent", one), true),
            (session("alice", "agent", two), false),
            (session("alice", "other", one), false),
            (session("bob", "agent", one), false),
            (session("alice", "agent", one).of_client(), false),
        ] {
            let unbound = binding.unbind(&other.clone().build(), &mut bound.clone());
            assert_eq!(unbound.is_ok(), is_good, "{other:?}");
        }
    }
}
