//! The decision itself: what the layer, the service and `session()` share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use http_body::Body;

use super::{
    Refusal,
    bearer::{self, Scheme},
    binding::SessionBinding,
    body::ResponseBody,
    cache::{Found, Standing, TokenCache},
    challenge::Challenges,
    cors,
    headers::{self, Marks},
    lease::Lease,
    proof::{Called, Manner, Proofs},
    session::McpSession,
    verifier::{ErasedVerifier, PresentedToken, VerifierUnavailable},
};
use crate::{
    clock::{Clock, Timestamp},
    event::{Admissions, Event, Events},
    hierarchy::ScopeHierarchy,
    remainder::is_grpc,
    scope::Scopes,
    secret::Digest,
    uri::ResourceUri,
};

/// One protected resource.
pub(crate) struct Guard {
    pub(crate) resource: ResourceUri,
    pub(crate) metadata_url: ResourceUri,
    /// What a request without a good token is told to ask for.
    pub(crate) challenge_scopes: Scopes,
    /// Which scopes contain others.
    pub(crate) hierarchy: ScopeHierarchy,
    pub(crate) verifier: Arc<dyn ErasedVerifier>,
    pub(crate) cache: TokenCache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) binding: Arc<SessionBinding>,
    pub(crate) proofs: Proofs,
    /// Whether only tokens that are bound to a key are good.
    pub(crate) requires_dpop: bool,
    pub(crate) admissions: Admissions,
}

/// What can be said of a request at once.
pub(crate) enum Decision {
    Admit(Standing, Marks),
    Refuse(Refused),
    /// Somebody has to be asked about this token.
    Ask(Question),
}

/// A token that somebody has to be asked about, and how it came.
pub(crate) struct Question {
    pub(crate) token: PresentedToken,
    pub(crate) manner: Manner,
}

/// A request turned away, and who it spoke for if that is known.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) session: Option<McpSession>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            session: None,
        }
    }
}

impl Guard {
    /// Credentials and lookup. Without `at_once`, nothing is decided from the cache.
    pub(crate) fn decide(
        &self,
        headers: &HeaderMap,
        called: Called<'_>,
        demand: &Demand,
        at_once: bool,
    ) -> Decision {
        let heard = headers::hear(headers);
        let (scheme, token) = match heard.authorization.and_then(bearer::read) {
            Ok(credentials) => credentials,
            Err(refusal) => return Decision::Refuse(refusal.into()),
        };
        let now = self.clock.now();
        let digest = Digest::of_bytes(token);
        let manner = || Manner::of(scheme, headers, called, Some(&self.resource), digest);
        if let Some(found) = self.cache.get(digest, now)
            && at_once
        {
            return match self.judge(found, &manner(), now, demand) {
                Ok(standing) => Decision::Admit(standing, heard.marks),
                Err(refused) => Decision::Refuse(refused),
            };
        }
        match bearer::text(token) {
            Ok(token) if !bearer::is_token68(token) => {
                Decision::Refuse(Refusal::MalformedToken.into())
            }
            Ok(token) if !self.verifier.recognises(token) => {
                Decision::Refuse(Refusal::UnknownToken.into())
            }
            Ok(token) => Decision::Ask(Question {
                token: PresentedToken::with_digest(token, digest),
                manner: manner(),
            }),
            Err(refusal) => Decision::Refuse(refusal.into()),
        }
    }

    /// As [`decide`](Self::decide), for a token that somebody has to be asked about.
    pub(crate) async fn ask(
        &self,
        question: &Question,
        demand: &Demand,
    ) -> Result<Standing, Refused> {
        let Question { token, manner } = question;
        let found = async {
            // First, so that whatever is in the cache can be admitted at once.
            self.binding.prepare(&*self.clock).await?;
            self.cache.load(&*self.verifier, token, &*self.clock).await
        };
        match found.await {
            Ok(found) => self.judge(found, manner, self.clock.now(), demand),
            Err(error) => {
                self.unavailable(&error);
                Err(Refusal::VerifierUnavailable.into())
            }
        }
    }

    pub(crate) fn unavailable(&self, error: &VerifierUnavailable) {
        self.events.emit(&Event::VerifierUnavailable {
            resource: &self.resource,
            cause: std::error::Error::source(error).unwrap_or(error),
        });
    }

    /// Revoked, expired, key, audience, scope: in this order.
    pub(crate) fn judge(
        &self,
        found: Found,
        manner: &Manner,
        now: Timestamp,
        demand: &Demand,
    ) -> Result<Standing, Refused> {
        let standing = found?;
        let session = standing.session();
        let is_for_us = || session.resource() == &self.resource;
        let suffices = || self.hierarchy.suffices(session.scopes(), &demand.scopes);
        let refusal = if session.expires_at() <= now {
            Refusal::ExpiredToken
        } else if let Err(refusal) = self.proofs.check(session, manner, self.requires_dpop, now) {
            refusal
        } else if standing.suits(demand.number, || is_for_us() && suffices()) {
            return Ok(standing);
        } else if !is_for_us() {
            Refusal::WrongAudience
        } else {
            Refusal::InsufficientScope
        };
        Err(Refused {
            refusal,
            session: Some(session.clone()),
        })
    }

    #[cfg(feature = "jwt")]
    fn offer_nonce(&self, headers: &mut HeaderMap) {
        self.proofs.offer_nonce(headers, self.clock.now());
    }

    /// Tells whoever watches.
    pub(crate) fn report(&self, refused: &Refused) {
        self.events.emit(&Event::Refused {
            resource: &self.resource,
            refusal: refused.refusal,
            session: refused.session.as_ref(),
        });
    }
}

/// The scopes that one user of a guard asks for.
#[derive(Clone)]
pub(crate) struct Demand {
    scopes: Scopes,
    /// Of this demand at this guard and no other, so that a session that met it can be told.
    number: u64,
}

impl Demand {
    pub(crate) fn new(scopes: Scopes) -> Self {
        // Zero is nobody's.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            scopes,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// A guard with what one layer asks for on top.
pub(crate) struct Protection {
    pub(crate) guard: Arc<Guard>,
    /// What every request needs.
    pub(crate) required: Scopes,
    /// What is checked of it here.
    demand: Demand,
    /// Whether the rest is checked by somebody behind.
    deferred: bool,
    pub(crate) challenges: Challenges,
}

impl Protection {
    /// With `deferred`, somebody behind this layer checks `required`, together with what an
    /// operation needs, so that a client learns of both at once.
    pub(crate) fn new(guard: Arc<Guard>, required: Scopes, deferred: bool) -> Self {
        // Asking for less than the layer requires would send the client round twice.
        let wanted = guard.challenge_scopes.union(&required);
        Self {
            challenges: Challenges::new(&guard, &wanted, &required),
            demand: Demand::new(if deferred {
                Scopes::none()
            } else {
                required.clone()
            }),
            guard,
            required,
            deferred,
        }
    }

    pub(crate) fn decide<B>(&self, request: &Request<B>) -> Decision {
        // Not ready before the first request of a process that verifies nothing itself.
        let ready = self.guard.binding.is_ready();
        let called = Called::by(request);
        self.guard
            .decide(request.headers(), called, &self.demand, ready)
    }

    pub(crate) async fn ask(self: Arc<Self>, question: Question) -> Result<Standing, Refused> {
        self.guard.ask(&question, &self.demand).await
    }

    /// The answer to a request that is turned away, which came in `scheme`.
    pub(crate) fn refuse(&self, refused: &Refused, scheme: Scheme) -> Response<Bytes> {
        self.guard.report(refused);
        #[cfg_attr(
            not(feature = "jwt"),
            allow(unused_mut, reason = "nobody proves anything")
        )]
        let mut response = self.challenges.response(refused.refusal, scheme);
        #[cfg(feature = "jwt")]
        if scheme == Scheme::Dpop {
            self.guard.offer_nonce(response.headers_mut());
        }
        response
    }

    /// The same where the request's headers are at hand. A gRPC client takes any body for messages
    /// and goes by the status where there is none.
    pub(crate) fn refuse_to(&self, headers: &HeaderMap, refused: &Refused) -> Response<Bytes> {
        let mut response = self.refuse(refused, bearer::scheme(headers));
        if is_grpc(headers) {
            response.body_mut().clear();
        }
        response
    }

    /// The last step of letting a request in.
    pub(crate) fn admit<B>(
        self: &Arc<Self>,
        standing: Standing,
        marks: Marks,
        request: &mut Request<B>,
    ) -> Result<Admitted, Refused> {
        let session = standing.session();
        if marks.session_id
            && let Err(refusal) = self.guard.binding.unbind(session, request.headers_mut())
        {
            return Err(Refused {
                refusal,
                session: Some(session.clone()),
            });
        }
        request.extensions_mut().insert(session.clone());
        if self.deferred {
            request.extensions_mut().insert(standing.clone());
        }
        self.guard.admissions.count(&self.guard.resource);
        self.guard.events.observe(|| Event::Admitted {
            resource: &self.guard.resource,
            session,
        });
        Ok(Admitted {
            protection: Arc::clone(self),
            standing,
            cross_origin: marks.origin,
        })
    }
}

/// A request that was let in and has not been answered.
pub(crate) struct Admitted {
    protection: Arc<Protection>,
    standing: Standing,
    cross_origin: bool,
}

impl Admitted {
    /// The last touches on the inner service's response. Its body streams through as it is, for as
    /// long as the token is good.
    pub(crate) fn finish<B: Body>(self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        // A server that says 401 to an authenticated request means its own session; a client would
        // take it for a bad token and sign in over and over. 404 is how MCP says "start anew".
        // One with a challenge of its own knows what it does.
        if response.status() == StatusCode::UNAUTHORIZED
            && !response.headers().contains_key(WWW_AUTHENTICATE)
        {
            let refused = Refused {
                refusal: Refusal::SessionNotFound,
                session: Some(self.standing.session().clone()),
            };
            // No challenge comes with this one, so the scheme does not matter.
            let response = self.protection.refuse(&refused, Scheme::Bearer);
            return response.map(ResponseBody::own);
        }
        let headers = response.headers_mut();
        if headers::has_session_id(headers) {
            let binding = &self.protection.guard.binding;
            binding.bind(self.standing.session(), headers);
        }
        #[cfg(feature = "jwt")]
        if self.standing.session().dpop_thumbprint().is_some() {
            self.protection.guard.offer_nonce(headers);
        }
        // Only browsers read these, and browsers always say where they come from.
        if self.cross_origin {
            cors::allow(headers);
        }
        if !Lease::is_for(&response) {
            return response.map(ResponseBody::inner);
        }
        let lease = Lease::new(&self.protection.guard, self.standing, response.headers());
        response.map(|body| ResponseBody::leased(body, lease))
    }
}
