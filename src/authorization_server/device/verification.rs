//! Where a person types the code that a device shows, and decides (RFC 8628 §3.3).
//!
//! Two forms, one after the other: the code, and the decision. A code in the address is put into
//! the first form and no further: whoever follows a link still sees what it is about and has to
//! agree. Each form is accepted from this origin, from the browser and the user it was shown to,
//! and the second one only with the code that it was shown for.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::{
    super::{
        AuthorizationServer, Endpoint,
        clients::NoClient,
        consent::{NO_DECISION, OTHER_ORIGIN},
        refuse::{MALFORMED, NOT_A_FORM, wants_html},
        request::form_text,
        response::{self, EndpointResponse},
    },
    pages::{DeviceCodePage, DeviceConfirmPage, MessagePage},
    transaction::transaction,
};
use crate::{
    authenticator::SignedIn,
    client::Client,
    event::Event,
    grant::{ErrorCode, Refusal, UserCode, device},
    params::Params,
    secret::Digest,
    store::{DecideDevice, StoreError, record::DeviceRecord},
};

/// How much of a mistyped code is shown again, in characters.
const MAX_SHOWN: usize = 32;

/// Why nobody can say which device a code is for.
enum NoDevice {
    Limited(EndpointResponse),
    Store(StoreError),
}

impl From<StoreError> for NoDevice {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl AuthorizationServer {
    /// The form for the code, perhaps with one in it.
    pub(in super::super) async fn device_page(&self, parts: &Parts) -> EndpointResponse {
        let params = match Params::parse(parts.uri.query().unwrap_or_default()) {
            Ok(params) if !params.any_repeated() => params,
            _ => return self.refuse_here(parts, Endpoint::Device, None, &MALFORMED),
        };
        let code = params.get("user_code").and_then(UserCode::parse);
        let user = match self.device_user(parts, code.as_ref()).await {
            Ok(user) => user,
            Err(response) => return response,
        };
        let shown = code.as_ref().map(UserCode::shown).unwrap_or_default();
        self.device_code_page(parts, &user, &shown, None).await
    }

    /// A form came back.
    pub(in super::super) async fn answer_device_form(
        &self,
        parts: &Parts,
        body: &Bytes,
    ) -> EndpointResponse {
        if !self.is_same_origin(&parts.headers) {
            return self.refuse_here(parts, Endpoint::Device, None, &OTHER_ORIGIN);
        }
        let Some(text) = form_text(parts, body) else {
            return self.refuse_here(parts, Endpoint::Device, None, &NOT_A_FORM);
        };
        let params = match Params::parse(text) {
            Ok(params) if !params.any_repeated() => params,
            _ => return self.refuse_here(parts, Endpoint::Device, None, &MALFORMED),
        };
        let typed = params.get("user_code").unwrap_or_default();
        let code = UserCode::parse(typed);
        let user = match self.device_user(parts, code.as_ref()).await {
            Ok(user) => user,
            Err(response) => return response,
        };
        let decision = match params.get("decision") {
            None => None,
            Some("approve") => Some(true),
            Some("deny") => Some(false),
            Some(_) => return self.refuse_here(parts, Endpoint::Device, None, &NO_DECISION),
        };
        let form = match (decision, &code) {
            (None, _) => Form::Code,
            (Some(_), Some(code)) => Form::Decision(code),
            (Some(_), None) => return self.refuse_here(parts, Endpoint::Device, None, &MALFORMED),
        };
        let token = params.get("token").unwrap_or_default();
        match self.is_own_device_form(parts, &form, &user, token).await {
            Ok(true) => {}
            Ok(false) => {
                // Somebody else may have filled it in: all that is kept is a code to look at again.
                let shown = code.as_ref().map(UserCode::shown).unwrap_or_default();
                return self
                    .device_code_page(parts, &user, &shown, Some(&WRONG_TOKEN))
                    .await;
            }
            Err(error) => return self.unavailable_here(parts, &error),
        }
        let answer = match (form, decision) {
            (Form::Decision(code), Some(approves)) => {
                self.decide_device(parts, &user, code, approves).await
            }
            _ => {
                self.look_up_device(parts, &user, typed, code.as_ref())
                    .await
            }
        };
        answer.unwrap_or_else(|failed| match failed {
            NoDevice::Limited(limited) => self.limited_here(parts, limited),
            NoDevice::Store(error) => self.unavailable_here(parts, &error),
        })
    }

    /// Who is signed in, or the way to the sign-in page.
    async fn device_user(
        &self,
        parts: &Parts,
        code: Option<&UserCode>,
    ) -> Result<SignedIn, EndpointResponse> {
        match self.authenticator.signed_in(parts).await {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(response::see_other(
                &self.login_url(&transaction(code), None),
            )),
            Err(error) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                Err(self.later_here(parts))
            }
        }
    }

    async fn is_own_device_form(
        &self,
        parts: &Parts,
        form: &Form<'_>,
        user: &SignedIn,
        token: &str,
    ) -> Result<bool, StoreError> {
        let key = self.form_key().await?;
        Ok(self.cookie.read(&parts.headers).is_some_and(|browser| {
            let expected = browser.form_token(&key, &form.id(), user.subject.as_str());
            // Compared as digests, and so in constant time.
            Digest::of(token) == Digest::of(&expected)
        }))
    }

    /// Somebody typed a code.
    async fn look_up_device(
        &self,
        parts: &Parts,
        user: &SignedIn,
        typed: &str,
        code: Option<&UserCode>,
    ) -> Result<EndpointResponse, NoDevice> {
        let Some(code) = code else {
            let typed: String = typed.chars().take(MAX_SHOWN).collect();
            return Ok(self
                .device_code_page(parts, user, &typed, Some(&NO_CODE))
                .await);
        };
        let (device, client) = match self.guessed_device(parts, user, code).await? {
            Guess::Right(device, client) => (device, client),
            Guess::Wrong => {
                let shown = code.shown();
                return Ok(self
                    .device_code_page(parts, user, &shown, Some(&UNKNOWN))
                    .await);
            }
            Guess::TooMany(wait) => return Ok(self.too_many_guesses(wait.as_secs())),
        };
        Ok(self
            .device_confirm_page(parts, user, code, &device, &client)
            .await)
    }

    /// Somebody pressed a button.
    async fn decide_device(
        &self,
        parts: &Parts,
        user: &SignedIn,
        code: &UserCode,
        approves: bool,
    ) -> Result<EndpointResponse, NoDevice> {
        // No guess, so not counted as one: the form's token was made when the code was right.
        let Some((device, client)) = self.waiting_device(parts, code).await? else {
            return Ok(self.device_code_page(parts, user, "", Some(&UNKNOWN)).await);
        };
        let now = self.now();
        let approval = approves.then(|| device::approve(&device, user, now));
        let grant = approval.as_ref().map(|(grant, _)| grant.id);
        let decision = match approval {
            Some((grant, consent)) => DecideDevice::Approve {
                grant,
                consent: Some(consent),
            },
            None => DecideDevice::Deny,
        };
        let answer = self.store.decide_device(code.digest(), decision, now);
        let is_done = || self.has_decision(code.digest(), grant);
        // Somebody may have been faster.
        let is_decided = self.settle(answer.await, true, is_done).await?;
        if !is_decided || (approves && self.was_deleted(&client).await) {
            return Ok(self.device_code_page(parts, user, "", Some(&UNKNOWN)).await);
        }
        let (client_id, subject) = (&client.id, &user.subject);
        let page = match grant {
            Some(grant) => {
                self.emit(&Event::DeviceApproved {
                    client_id,
                    subject,
                    grant,
                    scopes: &device.scopes,
                });
                &APPROVED
            }
            None => {
                self.emit(&Event::ConsentDenied { client_id, subject });
                &DENIED
            }
        };
        Ok(self.device_message(StatusCode::OK, page))
    }

    /// Looks a code up, and counts it where it is wrong.
    async fn guessed_device(
        &self,
        parts: &Parts,
        user: &SignedIn,
        code: &UserCode,
    ) -> Result<Guess, NoDevice> {
        if let Err(wait) = self.user_code_guesses.count(&user.subject, self.now()) {
            return Ok(Guess::TooMany(wait));
        }
        let found = self.waiting_device(parts, code).await;
        // Nor is it a wrong guess when nobody can say.
        if !matches!(found, Ok(None)) {
            self.user_code_guesses.forgive(&user.subject);
        }
        Ok(match found? {
            Some((device, client)) => Guess::Right(Box::new(device), Box::new(client)),
            None => Guess::Wrong,
        })
    }

    /// The device of that code, if nobody has decided about it, and its client.
    async fn waiting_device(
        &self,
        parts: &Parts,
        code: &UserCode,
    ) -> Result<Option<(DeviceRecord, Client)>, NoDevice> {
        let now = self.now();
        let device = self.store.device_by_user_code(code.digest(), now);
        // One that may not come once more before its time is over would not get what is approved.
        let waits = |device: &DeviceRecord| {
            let comes = now.plus(Duration::from_secs(device.interval));
            device.decision.is_none() && comes < device.expires_at
        };
        let Some(device) = device.await?.filter(waits) else {
            return Ok(None);
        };
        let (id, remembered) = (&device.client_id, device.client.as_deref());
        let client = self.client_then(id, remembered, Endpoint::Device, parts);
        match client.await {
            Ok(client) => Ok(Some((device, client))),
            Err(NoClient::Unknown | NoClient::Refused(_)) => Ok(None),
            Err(NoClient::Limited(limited)) => Err(NoDevice::Limited(limited)),
            Err(NoClient::Store(error)) => Err(error.into()),
        }
    }

    /// The form for the code, and why it is shown again.
    async fn device_code_page(
        &self,
        parts: &Parts,
        user: &SignedIn,
        user_code: &str,
        refusal: Option<&Refusal>,
    ) -> EndpointResponse {
        if let Some(refusal) = refusal {
            self.refused(Endpoint::Device, None, refusal);
            if !wants_html(parts) {
                return response::refusal(StatusCode::BAD_REQUEST, refusal);
            }
        }
        let status = match refusal {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        };
        self.device_form_page(parts, status, &Form::Code, user, |token, action| {
            self.pages.device_code(&DeviceCodePage {
                user: user.name(),
                user_code,
                problem: refusal.map(|refusal| refusal.description),
                action,
                fields: vec![("token", token)],
            })
        })
        .await
    }

    async fn device_confirm_page(
        &self,
        parts: &Parts,
        user: &SignedIn,
        code: &UserCode,
        device: &DeviceRecord,
        client: &Client,
    ) -> EndpointResponse {
        let resource = self.catalog.find(&device.resource);
        let form = Form::Decision(code);
        self.device_form_page(parts, StatusCode::OK, &form, user, |token, action| {
            self.pages.device_confirm(&DeviceConfirmPage {
                client_name: client.display_name(),
                client_host: client.document_host(),
                client_uri: client.metadata.client_uri.as_deref(),
                user_code: &code.shown(),
                user: user.name(),
                resource: resource
                    .and_then(|known| known.name.as_deref())
                    .unwrap_or(device.resource.as_str()),
                scopes: device
                    .scopes
                    .iter()
                    .map(|scope| (scope, self.describe(resource, scope)))
                    .collect(),
                action,
                fields: vec![("user_code", code.plain()), ("token", token)],
            })
        })
        .await
    }

    /// A page with a form on it, for this browser and this user.
    async fn device_form_page(
        &self,
        parts: &Parts,
        status: StatusCode,
        form: &Form<'_>,
        user: &SignedIn,
        render: impl FnOnce(&str, &str) -> String + Send,
    ) -> EndpointResponse {
        let browser = self.cookie.read_or_create(&parts.headers);
        let token = match self.form_key().await {
            Ok(key) => browser.form_token(&key, &form.id(), user.subject.as_str()),
            Err(error) => return self.unavailable_here(parts, &error),
        };
        let html = render(&token, &self.url(Endpoint::Device));
        let mut response = response::page(status, html, &self.pages.style_source());
        if let Some(cookie) = self.cookie.set_cookie(&browser) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    fn device_message(&self, status: StatusCode, page: &MessagePage<'_>) -> EndpointResponse {
        let html = self.pages.message(page);
        response::page(status, html, &self.pages.style_source())
    }

    fn too_many_guesses(&self, wait: u64) -> EndpointResponse {
        self.refused(Endpoint::Device, None, &GUESSED);
        let page = MessagePage {
            title: "Too many wrong codes",
            text: GUESSED.description,
        };
        let mut response = self.device_message(StatusCode::TOO_MANY_REQUESTS, &page);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait));
        response
    }
}

/// What came of a code that somebody typed.
enum Guess {
    Right(Box<DeviceRecord>, Box<Client>),
    Wrong,
    /// Nobody looked: this is how long to wait.
    TooMany(Duration),
}

/// One of the two forms.
enum Form<'a> {
    Code,
    Decision(&'a UserCode),
}

impl Form<'_> {
    /// What the form's token is for. No authorization has the digest of so short a text.
    fn id(&self) -> Digest {
        match self {
            Self::Code => Digest::of("device"),
            Self::Decision(code) => code.digest(),
        }
    }
}

const APPROVED: MessagePage<'_> = MessagePage {
    title: "Approved",
    text: "You can go back to your device now. It signs in within a few seconds.",
};
const DENIED: MessagePage<'_> = MessagePage {
    title: "Denied",
    text: "The device was given nothing. You can close this page.",
};
const NO_CODE: Refusal = Refusal::invalid_request(
    "user_code_malformed",
    "This is no code. A code has eight letters, none of them a vowel, such as BCDF-GHJK.",
);
const UNKNOWN: Refusal = Refusal::invalid_request(
    "user_code_unknown",
    "No device waits with this code. It may have expired, or been used already: compare it with \
     what your device shows now.",
);
const WRONG_TOKEN: Refusal = Refusal::invalid_request(
    "form_token_wrong",
    "The form was not shown to this browser and user. Compare the code with your device once more.",
);
const GUESSED: Refusal = Refusal::new(
    ErrorCode::TemporarilyUnavailable,
    "user_code_guessed",
    "You have typed too many codes that do not exist. Wait ten minutes and try again.",
);
