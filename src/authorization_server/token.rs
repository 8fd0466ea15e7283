//! The token endpoint (RFC 6749 §3.2).

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
};
use crate::{
    client::Client,
    event::Event,
    grant::{
        ErrorCode, Refusal,
        code::{self, CodeRequest},
        issue,
        refresh::{self, RefreshRequest},
    },
    params::Params,
    scope::Scopes,
    secret::{Access, Code, GrantId, Refresh, Token},
    store::{
        RedeemCode, RedeemCodeOutcome, Revocation, RotateRefresh, RotateRefreshOutcome, StoreError,
        record::{GrantRecord, RefreshTokenRecord},
    },
};

/// How many different access tokens one refresh token may give within its grace window: one for
/// each way a client narrows its scopes.
const MAX_ACCESS_TOKENS: u8 = 8;

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: String,
}

/// Why there are no tokens.
enum TokenError {
    Refused(Refusal),
    Store(StoreError),
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl AuthorizationServer {
    pub(super) async fn token(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let call = match self.token_call(Endpoint::Token, parts, body).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        let answer = match call.params.get("grant_type") {
            Some("authorization_code") => self.redeem(&call.client, &call.params).await,
            Some("refresh_token") => self.refresh(&call.client, &call.params).await,
            Some(_) => Err(UNSUPPORTED_GRANT.into()),
            None => Err(GRANT_TYPE_MISSING.into()),
        };
        match answer {
            Ok(response) => response,
            Err(TokenError::Refused(refusal)) => self.refuse_call(Endpoint::Token, &call, &refusal),
            Err(TokenError::Store(error)) => {
                self.store_failed(&error);
                response::unavailable()
            }
        }
    }

    async fn redeem(
        &self,
        client: &Client,
        params: &Params<'_>,
    ) -> Result<EndpointResponse, TokenError> {
        let presented = params
            .get("code")
            .ok_or(Refusal::invalid_request("code_missing", "code is missing"))?;
        let digest = Token::<Code>::digest_of_presented(presented).ok_or(CODE_UNKNOWN)?;
        let (record, grant) = self.store.code(digest).await?.ok_or(CODE_UNKNOWN)?;
        let request = CodeRequest {
            redirect_uri: params.get("redirect_uri"),
            verifier: params.get("code_verifier"),
            resources: params.all("resource").collect(),
        };
        code::check(&request, client, &record, &grant)?;

        let now = self.now();
        let access = Token::<Access>::random();
        let may_refresh = client.may_refresh() || grant.scopes.contains("offline_access");
        let refresh = may_refresh.then(Token::<Refresh>::random);
        let outcome = self
            .store
            .redeem_code(
                RedeemCode {
                    code: digest,
                    access: (
                        access.digest(),
                        issue::access_token(&grant, grant.scopes.clone(), &self.lifetimes, now),
                    ),
                    refresh: refresh.as_ref().map(|token| {
                        (
                            token.digest(),
                            issue::refresh_token(&grant, &self.lifetimes, now),
                        )
                    }),
                    renew_client: self.lifetimes.renew_client(client.expires_at, now),
                },
                now,
            )
            .await?;
        match outcome {
            RedeemCodeOutcome::Redeemed => {}
            RedeemCodeOutcome::Replayed(grant) => {
                self.forget_grant(grant);
                self.emit(&Event::CodeReplayed {
                    client_id: &client.id,
                    grant,
                });
                return Err(CODE_USED.into());
            }
            RedeemCodeOutcome::Revoked => return Err(GRANT_REVOKED.into()),
            RedeemCodeOutcome::Expired => {
                return Err(Refusal::invalid_grant("code_expired", "the code has expired").into());
            }
            RedeemCodeOutcome::Unknown => return Err(CODE_UNKNOWN.into()),
        }
        self.emit(&Event::TokensIssued {
            client_id: &client.id,
            subject: &grant.subject,
            grant: grant.id,
            scopes: &grant.scopes,
        });
        Ok(answer(
            &access,
            self.lifetimes.access_token.as_secs(),
            refresh.as_ref(),
            &grant.scopes,
        ))
    }

    async fn refresh(
        &self,
        client: &Client,
        params: &Params<'_>,
    ) -> Result<EndpointResponse, TokenError> {
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
        let scopes = refresh::check(&request, client, &grant)?;

        // A repeat must be answered with the key of the first use, which may have been another's.
        let mut key_id = record.used.as_ref().map(|used| used.key);
        for _ in 0..2 {
            let (key_number, key) = self.refresh_key(key_id).await?;
            let successor = refresh::successor(&key, &grant, &record, presented, &scopes);
            let now = self.now();
            // The access token of a repeat lives no longer than that of the first use: otherwise
            // one that was revoked and forgotten meanwhile could come back.
            let issued_at = record.used.as_ref().map_or(now, |used| used.at);
            let rotate = RotateRefresh {
                presented: digest,
                successor: successor.refresh.digest(),
                successor_expires_at: now.plus(self.lifetimes.refresh_token),
                key: key_number,
                access: (
                    successor.access.digest(),
                    issue::access_token(&grant, scopes.clone(), &self.lifetimes, issued_at),
                ),
                grace: self.lifetimes.refresh_grace.as_secs(),
                max_access_tokens: MAX_ACCESS_TOKENS,
                renew_client: self.lifetimes.renew_client(client.expires_at, now),
            };
            let first_used_at = match self.store.rotate_refresh(rotate, now).await? {
                RotateRefreshOutcome::Rotated => now,
                RotateRefreshOutcome::Repeated { first_used_at } => first_used_at,
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
            self.refreshed(client, &grant, &record, first_used_at != now);
            // Never more than what is left of the token that the first use stored.
            let expires_at = first_used_at.plus(self.lifetimes.access_token);
            return Ok(answer(
                &successor.access,
                now.until(expires_at).as_secs(),
                Some(&successor.refresh),
                &scopes,
            ));
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

    fn forget_grant(&self, grant: GrantId) {
        self.forget(&Revocation {
            grants: vec![grant],
            access_tokens: Vec::new(),
        });
    }
}

fn answer(
    access: &Token<Access>,
    expires_in: u64,
    refresh: Option<&Token<Refresh>>,
    scopes: &Scopes,
) -> EndpointResponse {
    response::json(
        StatusCode::OK,
        &TokenResponse {
            access_token: access.reveal(),
            token_type: "Bearer",
            expires_in,
            refresh_token: refresh.map(Token::reveal),
            scope: scopes.to_string(),
        },
    )
}

const GRANT_TYPE_MISSING: Refusal =
    Refusal::invalid_request("grant_type_missing", "grant_type is missing");
const UNSUPPORTED_GRANT: Refusal = Refusal::new(
    ErrorCode::UnsupportedGrantType,
    "grant_type_unsupported",
    "grant_type must be authorization_code or refresh_token",
);
const CODE_UNKNOWN: Refusal = Refusal::invalid_grant("code_unknown", "there is no such code");
const CODE_USED: Refusal = Refusal::invalid_grant(
    "code_replayed",
    "the code was used before; what it gave is revoked",
);
const GRANT_REVOKED: Refusal =
    Refusal::invalid_grant("grant_revoked", "the user's permission was revoked");
const REFRESH_UNKNOWN: Refusal =
    Refusal::invalid_grant("refresh_token_unknown", "there is no such refresh token");
const REFRESH_EXPIRED: Refusal =
    Refusal::invalid_grant("refresh_token_expired", "the refresh token has expired");
const REFRESH_USED: Refusal = Refusal::invalid_grant(
    "refresh_token_replayed",
    "the refresh token was used before; what it gave is revoked",
);
const TOO_MANY: Refusal = Refusal::invalid_request(
    "refresh_token_overused",
    "the refresh token was repeated with too many different scopes; use its successor",
);
