//! Refreshing (RFC 6749 §6).

use super::{
    super::{AuthorizationServer, response::EndpointResponse, token_call::TokenCall},
    GRANT_REVOKED, Issued, TokenError,
    id_token::About,
};
use crate::{
    client::Client,
    event::Event,
    grant::{
        Refusal,
        refresh::{self, RefreshRequest},
    },
    secret::{Refresh, Token},
    store::{
        RotateRefresh, RotateRefreshOutcome, StoreError,
        record::{GrantRecord, RefreshTokenRecord},
    },
};

impl AuthorizationServer {
    pub(super) async fn refresh(
        &self,
        call: &TokenCall<'_>,
    ) -> Result<EndpointResponse, TokenError> {
        let TokenCall { client, params, .. } = call;
        let presented = params.get("refresh_token").ok_or(Refusal::invalid_request(
            "refresh_token_missing",
            "refresh_token is missing",
        ))?;
        let digest = Token::<Refresh>::digest_of_presented(presented).ok_or(REFRESH_UNKNOWN)?;
        let (record, grant) = self
            .store
            .refresh_token(digest)
            .await?
            .ok_or(REFRESH_UNKNOWN)?;
        let request = RefreshRequest {
            scope: params.get("scope"),
            resources: params.all("resource").collect(),
        };
        // What it gave would be good nowhere, and the client none the wiser.
        let resource = self.catalog.find(&grant.resource).ok_or(RESOURCE_GONE)?;
        let grantable = self.catalog.grantable(resource);
        let scopes = refresh::check(&request, client, &grant, &grantable)?;
        self.check_key(call, grant.dpop_jkt.as_deref(), &grant.resource)?;
        // A public client's refresh token is bound to a key with which it asks for bound access
        // tokens (RFC 9449 §5). Bound from here on, whoever stole it could take it away from its
        // owner, whose next refresh would then be no replay but a missing proof.
        if client.is_public() && grant.dpop_jkt.is_none() && call.dpop.is_some() {
            return Err(BOUND_TO_NO_KEY.into());
        }

        // A repeat must be answered with the key of the first use, which may have been another's.
        let mut key_id = record.used.as_ref().map(|used| used.key);
        for _ in 0..2 {
            let (key_number, key) = self.refresh_key(key_id).await?;
            let successor = refresh::successor(
                &key,
                &grant,
                &record,
                presented,
                &scopes,
                call.dpop.as_deref(),
            );
            let now = self.now();
            let issued_at = refresh::issued_at(&record, now);
            let access_record = self.access_record(call, &grant, scopes.clone(), issued_at);
            let access = self
                .mint(&successor.access, &access_record, grant.auth_time)
                .await?;
            let id_token = self
                .id_token(&About {
                    client,
                    grant: &grant,
                    // OpenID Connect Core §12.2.
                    nonce: None,
                    scopes: &scopes,
                    access: &access,
                    issued_at,
                })
                .await?;
            let rotate = RotateRefresh {
                renew_client: self.lifetimes.renew_client(client.expires_at, now),
                ..refresh::rotation(
                    digest,
                    &successor.refresh,
                    key_number,
                    (access.digest(), access_record),
                    &self.lifetimes,
                    now,
                )
            };
            let (first_used_at, repeated) = match self.store.rotate_refresh(rotate, now).await? {
                RotateRefreshOutcome::Rotated => (now, false),
                RotateRefreshOutcome::Repeated { first_used_at } => (first_used_at, true),
                RotateRefreshOutcome::OtherKey { key, .. } => {
                    key_id = Some(key);
                    continue;
                }
                RotateRefreshOutcome::Replayed(grant) => {
                    self.forget_grant(grant);
                    self.emit(&Event::RefreshReplayed {
                        client_id: &client.id,
                        grant,
                    });
                    return Err(REFRESH_USED.into());
                }
                RotateRefreshOutcome::TooManyAccessTokens => return Err(TOO_MANY.into()),
                RotateRefreshOutcome::Revoked => return Err(GRANT_REVOKED.into()),
                RotateRefreshOutcome::Expired => return Err(REFRESH_EXPIRED.into()),
                RotateRefreshOutcome::Unknown => return Err(REFRESH_UNKNOWN.into()),
            };
            self.refreshed(client, &grant, &record, repeated);
            // Never more than what is left of the token that the first use stored.
            let expires_at = first_used_at.plus(self.lifetimes.access_token);
            let issued = Issued {
                access,
                lives: now.until(expires_at),
                refresh: Some(successor.refresh),
                id_token,
                scopes: &scopes,
            };
            return Ok(issued.answer());
        }
        Err(StoreError::unavailable("the store names a key that it does not use").into())
    }

    fn refreshed(
        &self,
        client: &Client,
        grant: &GrantRecord,
        record: &RefreshTokenRecord,
        repeated: bool,
    ) {
        self.emit(&Event::Refreshed {
            client_id: &client.id,
            subject: &grant.subject,
            grant: grant.id,
            generation: record.generation,
            repeated,
        });
    }
}

const REFRESH_UNKNOWN: Refusal =
    Refusal::invalid_grant("refresh_token_unknown", "there is no such refresh token");
const RESOURCE_GONE: Refusal = Refusal::invalid_grant(
    "resource_gone",
    "what the refresh token was issued for is no longer here; have the user sign in anew",
);
const REFRESH_EXPIRED: Refusal =
    Refusal::invalid_grant("refresh_token_expired", "the refresh token has expired");
const REFRESH_USED: Refusal = Refusal::invalid_grant(
    "refresh_token_replayed",
    "the refresh token was used before; what it gave is revoked",
);
const BOUND_TO_NO_KEY: Refusal = Refusal::invalid_grant(
    "refresh_token_without_key",
    "the refresh token is bound to no key: leave the DPoP proof out, or have the user sign in anew",
);
const TOO_MANY: Refusal = Refusal::invalid_request(
    "refresh_token_overused",
    "the refresh token was repeated too often with other scopes or keys; use its successor",
);
