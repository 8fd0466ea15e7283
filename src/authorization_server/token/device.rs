//! A device comes for its tokens (RFC 8628 §3.4 and §3.5).

use zeroize::Zeroizing;

use super::{
    super::{AuthorizationServer, response::EndpointResponse, token_call::TokenCall},
    GRANT_REVOKED, Issued, TokenError,
    id_token::About,
};
use crate::{
    grant::{ErrorCode, Refusal, code::check_resources, device, issue},
    secret::{Device, Digest, Refresh, Token, random},
    store::{DeviceTokens, PollDevice, RedeemDevice, record::GrantRecord},
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
                self.redeem_device(call, digest, &grant).await
            }
            PollDevice::Pending => Err(PENDING.into()),
            PollDevice::SlowDown { .. } => Err(SLOW_DOWN.into()),
            PollDevice::Denied => Err(DENIED.into()),
            PollDevice::Expired => Err(EXPIRED.into()),
            PollDevice::Unknown => Err(UNKNOWN.into()),
        }
    }

    async fn redeem_device(
        &self,
        call: &TokenCall<'_>,
        device: Digest,
        grant: &GrantRecord,
    ) -> Result<EndpointResponse, TokenError> {
        let TokenCall { client, params, .. } = call;
        check_resources(&params.all("resource").collect::<Vec<_>>(), grant)?;
        let now = self.now();
        let record = self.access_record(call, grant, grant.scopes.clone(), now);
        let access = self
            .mint(&Zeroizing::new(random()), &record, grant.auth_time)
            .await?;
        let id_token = self
            .id_token(&About {
                client,
                grant,
                nonce: None,
                scopes: &grant.scopes,
                access: &access,
                issued_at: now,
            })
            .await?;
        let refresh = client
            .gets_refresh_token(&grant.scopes)
            .then(Token::<Refresh>::random);
        let tokens = DeviceTokens {
            access: (access.digest(), record),
            refresh: refresh.as_ref().map(|token| {
                (
                    token.digest(),
                    issue::refresh_token(grant, &self.lifetimes, now),
                )
            }),
            // As for a code: whoever has a secret proves itself with that at each refresh.
            dpop_jkt: call.dpop.clone().filter(|_| client.is_public()),
            renew_client: self.lifetimes.renew_client(client.expires_at, now),
        };
        let answer = self.store.redeem_device(device, tokens, now).await;
        let is_done = || self.has_tokens(access.digest());
        match self.settle(answer, RedeemDevice::Redeemed, is_done).await? {
            RedeemDevice::Redeemed => {}
            RedeemDevice::Revoked => return Err(GRANT_REVOKED.into()),
            RedeemDevice::Gone => return Err(UNKNOWN.into()),
        }
        let issued = Issued {
            access,
            lives: self.lifetimes.access_token,
            refresh,
            id_token,
            scopes: &grant.scopes,
        };
        Ok(self.issued(client, grant, &issued))
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
