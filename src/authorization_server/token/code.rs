//! Redeeming a code (RFC 6749 §4.1.3).

use zeroize::Zeroizing;

use super::{
    super::{AuthorizationServer, response::EndpointResponse, token_call::TokenCall},
    GRANT_REVOKED, Issued, TokenError,
    id_token::About,
};
use crate::{
    event::Event,
    grant::{self, Refusal, code::CodeRequest, issue},
    secret::{Code, Refresh, Token, random},
    store::{RedeemCode, RedeemCodeOutcome},
};

impl AuthorizationServer {
    pub(super) async fn redeem(
        &self,
        call: &TokenCall<'_>,
    ) -> Result<EndpointResponse, TokenError> {
        let TokenCall { client, params, .. } = call;
        let presented = params
            .get("code")
            .ok_or(Refusal::invalid_request("code_missing", "code is missing"))?;
        let digest = Token::<Code>::digest_of_presented(presented).ok_or(CODE_UNKNOWN)?;
        let (code, grant) = self.store.code(digest).await?.ok_or(CODE_UNKNOWN)?;
        let request = CodeRequest {
            redirect_uri: params.get("redirect_uri"),
            verifier: params.get("code_verifier"),
            resources: params.all("resource").collect(),
        };
        grant::code::check(&request, client, &code, &grant)?;
        self.check_key(call, code.dpop_jkt.as_deref(), &grant.resource)?;

        let now = self.now();
        let record = self.access_record(call, &grant, grant.scopes.clone(), now);
        let access = self
            .mint(&Zeroizing::new(random()), &record, grant.auth_time)
            .await?;
        let id_token = self
            .id_token(&About {
                client,
                grant: &grant,
                nonce: code.nonce.as_deref(),
                scopes: &grant.scopes,
                access: &access,
                issued_at: now,
            })
            .await?;
        let refresh = client
            .gets_refresh_token(&grant.scopes)
            .then(Token::<Refresh>::random);
        let redeem = RedeemCode {
            code: digest,
            access: (access.digest(), record),
            refresh: refresh.as_ref().map(|token| {
                (
                    token.digest(),
                    issue::refresh_token(&grant, &self.lifetimes, now),
                )
            }),
            // Whoever has a secret proves itself with that at each refresh.
            dpop_jkt: call.dpop.clone().filter(|_| client.is_public()),
            renew_client: self.lifetimes.renew_client(client.expires_at, now),
        };
        let answer = self.store.redeem_code(redeem, now).await;
        let is_done = || self.has_tokens(access.digest());
        let outcome = self
            .settle(answer, RedeemCodeOutcome::Redeemed, is_done)
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
        let issued = Issued {
            access,
            lives: self.lifetimes.access_token,
            refresh,
            id_token,
            scopes: &grant.scopes,
        };
        Ok(self.issued(client, &grant, &issued, false))
    }
}

const CODE_UNKNOWN: Refusal = Refusal::invalid_grant("code_unknown", "there is no such code");
const CODE_USED: Refusal = Refusal::invalid_grant(
    "code_replayed",
    "the code was used before; what it gave is revoked",
);
