//! Keys that clients prove to have, and what is bound to them (RFC 9449).

use http::request::Parts;

use super::{AuthorizationServer, Endpoint, response::EndpointResponse, token_call::TokenCall};
use crate::{
    client::Client,
    clock::Timestamp,
    grant::{ErrorCode, Refusal, issue},
    scope::Scopes,
    store::record::{AccessTokenRecord, AuthorizationRequest, GrantRecord},
    uri::ResourceUri,
};

const fn refused(reason: &'static str, description: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidDpopProof, reason, description)
}

const CLIENT_WANTS_PROOF: Refusal = refused(
    "dpop_missing",
    "the client is registered for tokens that are bound to a key; send a DPoP proof",
);
const RESOURCE_WANTS_PROOF: Refusal = refused(
    "dpop_missing_for_resource",
    "the resource takes only tokens that are bound to a key; send a DPoP proof",
);
const OTHER_KEY: Refusal = Refusal::invalid_grant(
    "dpop_other_key",
    "this is bound to a key; send a DPoP proof of that key",
);

impl AuthorizationServer {
    /// The key that the client has proven in this request, by its thumbprint; refuses where one is
    /// needed always and there is none. Comes after the client is known: strangers cost nothing.
    pub(super) async fn proven_key(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        client: &Client,
    ) -> Result<Option<String>, EndpointResponse> {
        if !takes_proofs(endpoint) {
            return Ok(None);
        }
        #[cfg(feature = "jwt")]
        let proven = self.prove(endpoint, parts, client).await?;
        #[cfg(not(feature = "jwt"))]
        let proven = {
            let _ = parts;
            None
        };
        if endpoint == Endpoint::Token
            && client.metadata.dpop_bound_access_tokens
            && proven.is_none()
        {
            return Err(self.refuse_json(endpoint, Some(client.id.as_str()), &CLIENT_WANTS_PROOF));
        }
        Ok(proven)
    }

    /// Whether the client has proven the key that what it presents is `bound` to, and any key at
    /// all where `resource` takes no other tokens. What fails here changes nothing.
    pub(super) fn check_key(
        &self,
        call: &TokenCall<'_>,
        bound: Option<&str>,
        resource: &ResourceUri,
    ) -> Result<(), Refusal> {
        if bound.is_some() && bound != call.dpop.as_deref() {
            return Err(OTHER_KEY);
        }
        let is_needed = || {
            let known = self.catalog.find(resource);
            known.is_some_and(|known| known.requires_dpop)
        };
        if call.dpop.is_none() && is_needed() {
            return Err(RESOURCE_WANTS_PROOF);
        }
        Ok(())
    }

    /// The record of an access token of `grant`, bound to the key that the client has proven.
    pub(super) fn access_record(
        &self,
        call: &TokenCall<'_>,
        grant: &GrantRecord,
        scopes: Scopes,
        issued_at: Timestamp,
    ) -> AccessTokenRecord {
        AccessTokenRecord {
            dpop_jkt: call.dpop.clone(),
            ..issue::access_token(grant, scopes, &self.lifetimes, issued_at)
        }
    }
}

fn takes_proofs(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::Token | Endpoint::PushedAuthorization | Endpoint::DeviceAuthorization
    )
}

/// A proof that comes with a pushed request binds its code, as `dpop_jkt` does (RFC 9449 §10.1).
pub(super) fn bind_code(
    request: &mut AuthorizationRequest,
    call: &TokenCall<'_>,
) -> Result<(), Refusal> {
    match (&request.dpop_jkt, &call.dpop) {
        (Some(named), Some(proven)) if named != proven => Err(Refusal::invalid_request(
            "dpop_jkt_differs",
            "dpop_jkt names another key than the DPoP proof",
        )),
        (None, Some(proven)) => {
            request.dpop_jkt = Some(proven.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(feature = "jwt")]
mod proof {
    use std::time::Duration;

    use http::request::Parts;

    use super::{
        super::{
            AuthorizationServer, Endpoint,
            layer::AtOrigin,
            response::{self, EndpointResponse},
        },
        refused, takes_proofs,
    };
    use crate::{
        client::Client,
        grant::{ErrorCode, Refusal},
        jwt::{DpopError, DpopProof, Jws},
        resource_server::{
            Refusal as Unproven,
            proof::{DPOP, WINDOW, only},
        },
        store::UseOnce,
    };

    const NONCE_MISSING: Refusal = Refusal::new(
        ErrorCode::UseDpopNonce,
        "dpop_nonce",
        "the DPoP proof needs the nonce of the header DPoP-Nonce",
    );
    const REPLAYED: Refusal = refused("dpop_replayed", "the DPoP proof was used before");

    impl AuthorizationServer {
        /// Refuses a proof without a nonce of ours before anything is used up, whoever sends it. What
        /// else may be wrong with the proof shows later.
        pub(in super::super) fn ask_for_nonce(
            &self,
            endpoint: Endpoint,
            parts: &Parts,
        ) -> Result<(), EndpointResponse> {
            let Some(nonces) = self.gate.nonces().filter(|_| takes_proofs(endpoint)) else {
                return Ok(());
            };
            let proof = only(&parts.headers).ok();
            let lacks_nonce = proof
                .and_then(|proof| Jws::parse(proof).ok())
                .is_some_and(|proof| !nonces.accept(proof.unverified("nonce"), self.now()));
            if lacks_nonce {
                return Err(self.refuse_json(endpoint, None, &NONCE_MISSING));
            }
            Ok(())
        }

        /// The key of the request's proof, if it has one. The store remembers which were used, so
        /// that none is good twice on any machine.
        pub(super) async fn prove(
            &self,
            endpoint: Endpoint,
            parts: &Parts,
            client: &Client,
        ) -> Result<Option<String>, EndpointResponse> {
            if !parts.headers.contains_key(DPOP) {
                return Ok(None);
            }
            let refuse = |refusal| self.refuse_json(endpoint, Some(client.id.as_str()), &refusal);
            let proof = only(&parts.headers).map_err(|why| refuse(header(why)))?;
            let now = self.now();
            // The address that was called (RFC 9449 §4.3).
            let url = match parts.extensions.get::<AtOrigin>() {
                Some(AtOrigin) => format!("{}/{}", self.issuer.origin(), endpoint.segment()),
                None => self.url(endpoint),
            };
            let verified = DpopProof::verify(proof, parts.method.as_str(), &url, None, now, WINDOW)
                .map_err(|error| refuse(invalid(error)))?;
            let nonce = verified.nonce.as_deref();
            let nonces = self.gate.nonces();
            if nonces.is_some_and(|nonces| !nonces.accept(nonce, now)) {
                return Err(refuse(NONCE_MISSING));
            }
            // In its last second it is still good.
            let until = verified.issued_at.plus(WINDOW + Duration::from_secs(1));
            let used = self
                .store
                .use_once(verified.jti_digest, until, self.limits.used, now)
                .await;
            match used {
                Ok(UseOnce::First) => Ok(Some(verified.jkt)),
                Ok(UseOnce::Again) => Err(refuse(REPLAYED)),
                // Nobody can say whether it was used before.
                Ok(UseOnce::Full) => Err(response::unavailable()),
                Err(error) => {
                    self.store_failed(&error);
                    Err(response::unavailable())
                }
            }
        }
    }

    fn header(why: Unproven) -> Refusal {
        match why {
            Unproven::MissingProof => refused("dpop_repeated", "send exactly one DPoP header"),
            _ => refused("dpop_malformed", "the DPoP proof is not well-formed"),
        }
    }

    fn invalid(error: DpopError) -> Refusal {
        refused(
            error.reason(),
            match error {
                DpopError::Jwt(_) => "the DPoP proof is not a signed token of its kind",
                DpopError::Key => "the DPoP proof carries no public key that can be used",
                DpopError::Method => "the DPoP proof is for another method",
                DpopError::Url => "the DPoP proof is for another address",
                DpopError::Time => "the DPoP proof is too old or from the future",
                DpopError::AccessToken => "the DPoP proof is for another access token",
            },
        )
    }
}
