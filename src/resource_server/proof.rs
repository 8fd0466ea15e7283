//! Whoever sends a token that is bound to a key has that key (RFC 9449 §7).

use http::{Extensions, HeaderMap, Method, Request};

use super::{Refusal, bearer::Scheme, session::McpSession};
use crate::{clock::Timestamp, secret::Digest, uri::ResourceUri};

#[cfg(feature = "jwt")]
use self::seen::Seen;
#[cfg(feature = "jwt")]
use crate::dpop_nonces::DpopNonces;

/// The header that a proof comes in.
#[cfg(feature = "jwt")]
pub(crate) const DPOP: &str = "dpop";

/// How far from now a proof may have been made, before or after (MCP asks for five minutes).
#[cfg(feature = "jwt")]
pub(crate) const WINDOW: std::time::Duration = std::time::Duration::from_secs(300);

/// What a client called, which its proof has to name.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "jwt"),
    allow(dead_code, reason = "nobody proves anything")
)]
pub(crate) enum Called<'a> {
    /// Nobody knows: no proof is good for it.
    Unknown,
    /// A resource. The path is what was left of it by whoever took its beginning away.
    Resource {
        method: &'a Method,
        path: &'a str,
        /// Where a layer further out leaves who stands behind this very request.
        extensions: &'a Extensions,
    },
    /// An address.
    Url { method: &'a Method, url: &'a str },
}

impl<'a> Called<'a> {
    pub(crate) fn by<B>(request: &'a Request<B>) -> Self {
        Self::Resource {
            method: request.method(),
            path: request.uri().path(),
            extensions: request.extensions(),
        }
    }
}

/// How a token is presented.
pub(crate) enum Manner {
    Bearer,
    /// Owned, since it may have to wait for what the verifier says.
    #[cfg(feature = "jwt")]
    Dpop(Box<Proof>),
}

/// A proof as it came, and what it has to be for.
#[cfg(feature = "jwt")]
pub(crate) struct Proof {
    text: Result<String, Refusal>,
    method: Option<Method>,
    urls: Vec<String>,
    token: Digest,
    before: Option<McpSession>,
}

impl Manner {
    #[cfg_attr(
        not(feature = "jwt"),
        allow(unused_variables, reason = "nobody proves anything")
    )]
    pub(crate) fn of(
        scheme: Scheme,
        headers: &HeaderMap,
        called: Called<'_>,
        resource: Option<&ResourceUri>,
        token: Digest,
    ) -> Self {
        match scheme {
            Scheme::Bearer => Self::Bearer,
            #[cfg(feature = "jwt")]
            Scheme::Dpop => {
                let (method, urls, before) = match called {
                    Called::Unknown => (None, Vec::new(), None),
                    Called::Url { method, url } => (Some(method), vec![url.to_owned()], None),
                    Called::Resource {
                        method,
                        path,
                        extensions,
                    } => {
                        let urls = resource.map_or_else(Vec::new, |uri| candidates(uri, path));
                        (Some(method), urls, extensions.get::<McpSession>())
                    }
                };
                Self::Dpop(Box::new(Proof {
                    text: only(headers).map(str::to_owned),
                    method: method.cloned(),
                    urls,
                    token,
                    before: before.cloned(),
                }))
            }
        }
    }
}

/// The algorithms that a proof may be signed with, as challenges list them.
#[cfg(feature = "jwt")]
pub(crate) fn algorithms() -> String {
    let names: Vec<_> = crate::jwt::DpopProof::algorithms().collect();
    names.join(" ")
}

/// The one proof of a request.
#[cfg(feature = "jwt")]
pub(crate) fn only(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(DPOP).iter();
    match (values.next(), values.next()) {
        (Some(proof), None) => proof.to_str().map_err(|_| Refusal::BadProof),
        _ => Err(Refusal::MissingProof),
    }
}

/// What a client may have called when `path` is left: the resource itself, something below it whose
/// mount took the resource's own path away, or something whose path is whole.
#[cfg(feature = "jwt")]
fn candidates(resource: &ResourceUri, path: &str) -> Vec<String> {
    let origin = resource.origin();
    let own = resource.path();
    let below = own.trim_end_matches('/');
    let mut urls = vec![format!("{origin}{below}{path}")];
    // Mounts take away all of the resource's path, none, or some from the front.
    if path == "/" || own.ends_with(path) {
        urls.push(format!("{origin}{own}"));
    }
    // Elsewhere a path is never whole: the mount is the resource.
    let is_whole = path
        .strip_prefix(below)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_whole {
        urls.push(format!("{origin}{path}"));
    }
    urls
}

/// Tells whether a token comes with the key that it is bound to. Clones share which proofs were
/// used.
#[derive(Clone, Default)]
pub(crate) struct Proofs {
    #[cfg(feature = "jwt")]
    seen: Seen,
    /// What proofs have to contain, where anything.
    #[cfg(feature = "jwt")]
    pub(crate) nonces: Option<DpopNonces>,
}

impl Proofs {
    /// Tells a client that comes with proofs what the next one has to contain.
    #[cfg(feature = "jwt")]
    pub(crate) fn offer_nonce(&self, headers: &mut HeaderMap, now: Timestamp) {
        if let Some(nonces) = &self.nonces {
            nonces.offer(headers, now);
        }
    }

    /// Whether `session` may be used by who presents its token in this `manner`; `required` says
    /// that only bound tokens are good here.
    #[inline]
    #[cfg_attr(
        not(feature = "jwt"),
        allow(unused_variables, reason = "nobody proves anything")
    )]
    pub(crate) fn check(
        &self,
        session: &McpSession,
        manner: &Manner,
        required: bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match (manner, session.dpop_thumbprint()) {
            (Manner::Bearer, None) if !required => Ok(()),
            (Manner::Bearer, Some(_)) => Err(Refusal::BoundToken),
            (_, None) => Err(Refusal::UnboundToken),
            #[cfg(feature = "jwt")]
            (Manner::Dpop(proof), Some(thumbprint)) => self.prove(proof, thumbprint, now),
        }
    }

    #[cfg(feature = "jwt")]
    fn prove(&self, proof: &Proof, thumbprint: &str, now: Timestamp) -> Result<(), Refusal> {
        use crate::jwt::{DpopError, DpopProof};

        let text = proof.text.as_deref().map_err(|refusal| *refusal)?;
        let method = proof.method.as_ref().ok_or(Refusal::BadProof)?;
        let urls: Vec<_> = proof.urls.iter().map(String::as_str).collect();
        let token = Some(proof.token);
        let verified = DpopProof::verify_among(text, method.as_str(), &urls, token, now, WINDOW)
            .map_err(|error| match error {
                DpopError::Time => Refusal::StaleProof,
                _ => Refusal::BadProof,
            })?;
        if verified.jkt != thumbprint {
            return Err(Refusal::OtherKey);
        }
        let nonce = verified.nonce.as_deref();
        if self
            .nonces
            .as_ref()
            .is_some_and(|nonces| !nonces.accept(nonce, now))
        {
            return Err(Refusal::MissingNonce);
        }
        // A layer further out has taken this very request's proof.
        let is_known = proof
            .before
            .as_ref()
            .is_some_and(|before| before.dpop_thumbprint() == Some(thumbprint));
        if is_known || self.seen.is_first(verified.jti_digest) {
            Ok(())
        } else {
            Err(Refusal::ReplayedProof)
        }
    }
}

#[cfg(feature = "jwt")]
mod seen {
    use std::time::Duration;

    use moka::{policy::EvictionPolicy, sync::Cache};

    use crate::secret::Digest;

    /// How long a proof is remembered: from a window before it is due until a window after, and a
    /// little more.
    pub(super) const KEPT: Duration = Duration::from_secs(660);
    /// How many proofs are remembered; the oldest go first. Only who has a good token and its key
    /// gets one in here, and needs as many within the window to have another's forgotten.
    const MAX_SEEN: u64 = 100_000;

    /// The proofs that were used in this process.
    #[derive(Clone)]
    pub(super) struct Seen(Cache<[u8; 32], ()>);

    impl Seen {
        pub(super) fn of(proofs: u64) -> Self {
            Self(
                Cache::builder()
                    .max_capacity(proofs)
                    // The usual policy would rather turn a newcomer away.
                    .eviction_policy(EvictionPolicy::lru())
                    .time_to_live(KEPT)
                    .build(),
            )
        }

        /// Whether this is its first use.
        pub(super) fn is_first(&self, proof: Digest) -> bool {
            self.0.entry(*proof.as_bytes()).or_insert(()).is_fresh()
        }

        #[cfg(test)]
        pub(super) fn count(&self) -> u64 {
            self.0.run_pending_tasks();
            self.0.entry_count()
        }
    }

    impl Default for Seen {
        fn default() -> Self {
            Self::of(MAX_SEEN)
        }
    }
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use super::*;

    #[test]
    fn a_mount_may_take_the_resources_path_away() {
        let at = |resource: &str, path: &str, url: &str| {
            let urls = candidates(&ResourceUri::parse(resource).unwrap(), path);
            urls.iter().any(|known| known == url)
        };
        let mcp = "https://a.example/mcp";
        // axum's `nest_service`, `route`, and something below.
        assert!(at(mcp, "/", mcp));
        assert!(at(mcp, "/mcp", mcp));
        assert!(at(
            "https://a.example/api/mcp",
            "/mcp",
            "https://a.example/api/mcp"
        ));
        assert!(at(mcp, "/sub", "https://a.example/mcp/sub"));
        assert!(at(mcp, "/mcp/sub", "https://a.example/mcp/sub"));
        assert!(at("https://a.example", "/x", "https://a.example/x"));
        let tenant = "https://a.example/t/?q=1";
        assert!(at(tenant, "/x", "https://a.example/t/x"));
        assert!(at(tenant, "/", "https://a.example/t/"));
        // A proof for one place is none for another.
        assert!(!at(mcp, "/sub", mcp));
        assert!(!at(mcp, "/mcp/sub", mcp));
        assert!(!at(mcp, "/sub", "https://a.example/sub"));
        assert!(!at(mcp, "/mcpx", "https://a.example/mcpx"));
    }

    #[test]
    fn a_proof_is_seen_once_whichever_clone_looks() {
        let seen = Seen::default();
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        assert!(seen.is_first(one) && seen.clone().is_first(two));
        assert!(!seen.clone().is_first(one) && !seen.is_first(two));
    }

    #[test]
    fn a_proof_is_remembered_for_longer_than_it_is_good() {
        assert!(seen::KEPT > WINDOW * 2);
    }

    #[test]
    fn only_so_many_proofs_are_remembered_the_newest_among_them() {
        let seen = Seen::of(10);
        for number in 0..100 {
            let proof = Digest::of(&number.to_string());
            assert!(seen.is_first(proof));
            assert!(seen.count() <= 10);
            assert!(!seen.is_first(proof), "{number}");
        }
    }
}
