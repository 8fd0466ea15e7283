//! The device authorization endpoint (RFC 8628 §3.1 and §3.2).

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::super::{
    AuthorizationServer, Endpoint,
    response::{self, EndpointResponse},
    token_call::TokenCall,
};
use crate::{
    event::Event,
    grant::{ErrorCode, Refusal, UserCode, device},
    secret::{Device, Token},
    store::{BeginDevice, StoreError},
};

/// How often a user code is drawn anew when another device has it. With as many devices waiting as
/// are allowed unless set otherwise, one draw in 250,000 meets a taken one.
const MAX_DRAWS: usize = 5;

/// RFC 8628 §3.2.
#[derive(Serialize)]
struct DeviceResponse<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: &'a str,
    verification_uri_complete: &'a str,
    expires_in: u64,
    interval: u64,
}

impl AuthorizationServer {
    /// Gives a device its two codes.
    pub(in super::super) async fn begin_device(
        &self,
        parts: &Parts,
        body: &Bytes,
    ) -> EndpointResponse {
        let endpoint = Endpoint::DeviceAuthorization;
        let call = match self.token_call(endpoint, parts, body).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        match self.store_device(&call).await {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => self.refuse_call(endpoint, &call, &refusal),
            Err(error) => {
                self.store_failed(&error);
                response::unavailable()
            }
        }
    }

    async fn store_device(
        &self,
        call: &TokenCall<'_>,
    ) -> Result<Result<EndpointResponse, Refusal>, StoreError> {
        let TokenCall { client, params, .. } = call;
        let now = self.now();
        let ttl = self.lifetimes.device_code;
        let device_code = Token::<Device>::random();
        for _ in 0..MAX_DRAWS {
            let user_code = UserCode::random();
            let digest = user_code.digest();
            let mut record = match device::decide(params, client, &self.catalog, digest, ttl, now) {
                Ok(record) => record,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // As for a pushed request: a proof binds what is to be redeemed (RFC 9449 §10.1).
            record.dpop_jkt.clone_from(&call.dpop);
            let begun = self
                .store
                .begin_device(device_code.digest(), record, self.limits.devices, now)
                .await?;
            match begun {
                BeginDevice::Begun => {}
                BeginDevice::UserCodeTaken => continue,
                BeginDevice::Full => return Ok(Err(TOO_MANY)),
            }
            self.emit(&Event::DeviceBegun {
                client_id: &client.id,
            });
            return Ok(Ok(response::json(
                StatusCode::OK,
                &DeviceResponse {
                    device_code: device_code.reveal(),
                    user_code: &user_code.shown(),
                    verification_uri: &self.url(Endpoint::Device),
                    verification_uri_complete: &self.device_url(Some(&user_code)),
                    expires_in: ttl.as_secs(),
                    interval: device::INTERVAL,
                },
            )));
        }
        Err(StoreError::unavailable("every user code drawn is taken"))
    }
}

const TOO_MANY: Refusal = Refusal::new(
    ErrorCode::Full,
    "devices_full",
    "too many devices wait for their users; try again in a moment",
);
