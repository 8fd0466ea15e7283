//! A request to sign out: whose it is, whom it is about, and where it wants to go on to (OpenID
//! Connect RP-Initiated Logout §2 to §4).

use http::request::Parts;

use super::super::hint::Hinted;
use crate::{
    authorization_server::{
        AuthorizationServer, Endpoint,
        clients::NoClient,
        response::{self, EndpointResponse},
    },
    client::Client,
    grant::Refusal,
    params::Params,
    store::StoreError,
};

/// What is asked for, once it is known to be in order.
pub(super) struct Asked {
    pub(super) client: Option<Client>,
    /// What the client knows of its user, by an id_token of ours.
    pub(super) hint: Option<Hinted>,
    /// Where to go on to: registered by that client.
    pub(super) return_to: Option<String>,
    /// Handed back as it came.
    pub(super) state: Option<String>,
}

/// Why nothing is asked for.
pub(super) enum NotAsked {
    Refused(Refusal),
    Limited(EndpointResponse),
    Store(StoreError),
}

impl From<StoreError> for NotAsked {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Asked {
    /// The address to go on to.
    pub(super) fn location(&self) -> Option<String> {
        let return_to = self.return_to.as_deref()?;
        Some(match &self.state {
            Some(state) => response::with_query(return_to, &[("state", state)]),
            None => return_to.to_owned(),
        })
    }

    /// What the form has to say again.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let client = self.client.as_ref().map(|client| client.id.as_str());
        [
            ("client_id", client),
            ("post_logout_redirect_uri", self.return_to.as_deref()),
            ("state", self.state.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

impl AuthorizationServer {
    /// Checks a request. What is refused here goes nowhere: nobody is known to redirect to.
    pub(super) async fn asked_to_sign_out(
        &self,
        parts: &Parts,
        params: &Params<'_>,
    ) -> Result<Asked, NotAsked> {
        let hint = match params.get("id_token_hint") {
            Some(hint) => self.read_any_hint(hint).await?,
            None => None,
        };
        let (named, hinted) = (params.get("client_id"), hint.as_ref());
        let hinted = hinted.map(|hint| hint.client.as_str());
        if named.is_some() && hinted.is_some() && named != hinted {
            return Err(NotAsked::Refused(HINT_OF_ANOTHER));
        }
        let return_to = params.get("post_logout_redirect_uri");
        let client = match named.or(hinted) {
            Some(id) => self.client(id, Endpoint::EndSession, parts).await,
            None => Err(NoClient::Unknown),
        };
        let client = match client {
            Ok(client) => Some(client),
            Err(NoClient::Store(error)) => return Err(error.into()),
            // Whoever it was: signing out takes no client.
            Err(_) if return_to.is_none() => None,
            Err(NoClient::Limited(limited)) => return Err(NotAsked::Limited(limited)),
            Err(NoClient::Refused(refusal)) => return Err(NotAsked::Refused(refusal)),
            Err(NoClient::Unknown) => return Err(NotAsked::Refused(CLIENT_UNKNOWN)),
        };
        let is_registered = |uri| client.as_ref().is_some_and(|c| c.may_return_to(uri));
        if !return_to.is_none_or(is_registered) {
            return Err(NotAsked::Refused(UNREGISTERED));
        }
        Ok(Asked {
            client,
            hint,
            return_to: return_to.map(str::to_owned),
            state: params.get("state").map(str::to_owned),
        })
    }
}

const HINT_OF_ANOTHER: Refusal = Refusal::invalid_request(
    "id_token_hint_of_another_client",
    "id_token_hint was made for another client than client_id",
);
const CLIENT_UNKNOWN: Refusal = Refusal::invalid_request(
    "client_unknown",
    "post_logout_redirect_uri takes a client_id, or an id_token_hint, of a client that is \
     registered here",
);
const UNREGISTERED: Refusal = Refusal::invalid_request(
    "post_logout_redirect_uri_unregistered",
    "post_logout_redirect_uri is not one that the client registered",
);
