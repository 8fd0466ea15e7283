//! A device comes for its tokens (RFC 8628 §3.4 and §3.5).

use super::{
    super::{AuthorizationServer, response::EndpointResponse, token_call::TokenCall},
    GRANT_REVOKED, Issued, TokenError,
    id_token::About,
};
use crate::{
    clock::Timestamp,
    grant::{ErrorCode, Refusal, code::check_resources, device, issue, refresh::Successor},
    secret::{Device, Digest, Token},
    store::{DeviceTokens, PollDevice, RedeemDevice, StoreError, record::GrantRecord},
};

impl AuthorizationServer {
    pub(super) async fn poll_device(
        &self,
        call: &TokenCall<'_>,
    ) -> Result<EndpointResponse, TokenError> {
        let TokenCall { client, params, .. } = call;
        device::check_client(client)?;
        let presented = params.get("device_code").ok_or(Refusal::invalid_request(
            "device_code_missing",
            "device_code is missing",
        ))?;
        let digest = Token::<Device>::digest_of_presented(presented).ok_or(UNKNOWN)?;
        let polled = self
            .store
            .poll_device(digest, client.id.clone(), self.now())
            .await?;
        match polled {
            PollDevice::Approved { record, grant } => {
                self.check_key(call, record.dpop_jkt.as_deref(), &grant.resource)?;
                self.redeem_device(call, presented, digest, &grant).await
            }
            PollDevice::Pending => Err(PENDING.into()),
            PollDevice::SlowDown { .. } => Err(SLOW_DOWN.into()),
            PollDevice::Denied => Err(DENIED.into()),
            PollDevice::Expired => Err(EXPIRED.into()),
            PollDevice::Unknown => self.tell_device_again(call, presented, digest).await,
        }
    }

    async fn redeem_device(
        &self,
        call: &TokenCall<'_>,
        presented: &str,
        device: Digest,
        grant: &GrantRecord,
    ) -> Result<EndpointResponse, TokenError> {
        let now = self.now();
        let tokens = self.device_tokens(call, presented).await?;
        let (issued, redeem) = self.device_answer(call, tokens, grant, now).await?;
        let access = issued.access.digest();
        let answer = self.store.redeem_device(device, redeem, now).await;
        let is_done = || self.has_tokens(access);
        match self.settle(answer, RedeemDevice::Redeemed, is_done).await? {
            RedeemDevice::Redeemed => Ok(self.issued(&call.client, grant, &issued, false)),
            RedeemDevice::Revoked => Err(GRANT_REVOKED.into()),
            RedeemDevice::Gone => self.tell_device_again(call, presented, device).await,
        }
    }

    /// Answers once more what a device was answered a moment ago, and may not have heard.
    async fn tell_device_again(
        &self,
        call: &TokenCall<'_>,
        presented: &str,
        device: Digest,
    ) -> Result<EndpointResponse, TokenError> {
        let (client, now) = (&call.client, self.now());
        let tokens = self.device_tokens(call, presented).await?;
        let found = self.store.refresh_token(tokens.refresh.digest()).await?;
        let (record, grant) = found.ok_or(UNKNOWN)?;
        let told_at = device::told_at(&record, &self.lifetimes, now)
            .filter(|_| grant.client_id == client.id)
            .ok_or(UNKNOWN)?;
        let (issued, redeem) = self.device_answer(call, tokens, &grant, told_at).await?;
        let access = issued.access.digest();
        // Somebody may be about to store this very answer. A change is not answered before what it
        // found will stay, unlike a question.
        let redeemed = self.store.redeem_device(device, redeem, now).await?;
        // It may have been revoked meanwhile, be bound to another key, or have been given at another
        // time, where refresh tokens lived for longer or shorter then.
        let known = self.store.access_token(access).await?;
        let is_same =
            known.is_some_and(|known| !known.revoked && known.record.issued_at == told_at);
        if redeemed == RedeemDevice::Gone && is_same {
            Ok(self.issued(client, &grant, &issued, true))
        } else {
            Err(UNKNOWN.into())
        }
    }

    async fn device_tokens(
        &self,
        call: &TokenCall<'_>,
        device_code: &str,
    ) -> Result<Successor, StoreError> {
        let key = self.oldest_key().await?;
        Ok(device::tokens(&key, device_code, call.dpop.as_deref()))
    }

    /// What a device is answered that is given its tokens at this moment, and what is stored of it.
    /// The same moment gives the same.
    async fn device_answer<'a>(
        &self,
        call: &TokenCall<'_>,
        tokens: Successor,
        grant: &'a GrantRecord,
        issued_at: Timestamp,
    ) -> Result<(Issued<'a>, DeviceTokens), TokenError> {
        let TokenCall { client, params, .. } = call;
        check_resources(&params.all("resource").collect::<Vec<_>>(), grant)?;
        let record = self.access_record(call, grant, grant.scopes.clone(), issued_at);
        let access = self.mint(&tokens.access, &record, grant.auth_time).await?;
        let id_token = self
            .id_token(&About {
                client,
                grant,
                nonce: None,
                scopes: &grant.scopes,
                access: &access,
                issued_at,
            })
            .await?;
        let gets_refresh_token = client.gets_refresh_token(&grant.scopes);
        let now = self.now();
        let issued = Issued {
            lives: now.until(record.expires_at),
            access,
            refresh: gets_refresh_token.then_some(tokens.refresh),
            id_token,
            scopes: &grant.scopes,
        };
        let redeem = DeviceTokens {
            access: (issued.access.digest(), record),
            refresh: issued.refresh.as_ref().map(|token| {
                (
                    token.digest(),
                    issue::refresh_token(grant, &self.lifetimes, issued_at),
                )
            }),
            // As for a code: whoever has a secret proves itself with that at each refresh.
            dpop_jkt: call.dpop.clone().filter(|_| client.is_public()),
            renew_client: self.lifetimes.renew_client(client.expires_at, now),
        };
        Ok((issued, redeem))
    }
}

const PENDING: Refusal = Refusal::new(
    ErrorCode::AuthorizationPending,
    "device_pending",
    "the user has not decided yet; ask again after the interval",
);
const SLOW_DOWN: Refusal = Refusal::new(
    ErrorCode::SlowDown,
    "device_polls_too_often",
    "asked too soon; wait five seconds longer between requests from now on",
);
const DENIED: Refusal = Refusal::new(
    ErrorCode::AccessDenied,
    "device_denied",
    "the user denied access",
);
const EXPIRED: Refusal = Refusal::new(
    ErrorCode::ExpiredToken,
    "device_code_expired",
    "the device code has expired; begin again",
);
const UNKNOWN: Refusal = Refusal::invalid_grant(
    "device_code_unknown",
    "there is no such device code, or it was used before",
);
