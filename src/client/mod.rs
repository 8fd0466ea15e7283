//! Programs that ask for tokens.

pub(crate) mod destination;
#[cfg(feature = "cimd")]
pub(crate) mod document;
pub(crate) mod metadata;
pub(crate) mod policy;
pub(crate) mod redirect;
pub(crate) mod registration;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt};

use serde_json::Value;

use self::metadata::{ApplicationType, ClientAuthMethod, ClientMetadata};
#[cfg(feature = "jwt")]
use crate::jwt::{Algorithm, JwkSet};
use crate::{
    clock::Timestamp,
    error::{ConfigError, InvalidIdentifier},
    grant::{JWT_BEARER, device},
    id::ClientId,
    scope::Scopes,
    secret::Digest,
    store::record::ClientRecord,
    uri,
};

/// A client that is known from the start, without registration, and never expires.
#[derive(Clone)]
pub struct StaticClient {
    id: String,
    secret: Option<Digest>,
    keys: Option<Keys>,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    name: Option<String>,
}

/// How a client's key is known.
#[derive(Clone)]
#[cfg_attr(
    not(feature = "jwt"),
    allow(dead_code, reason = "nobody checks what it signs")
)]
enum Keys {
    These(Value),
    At(String),
}

impl StaticClient {
    /// A client without a secret, such as a native program.
    pub fn public<I>(id: impl Into<String>, redirect_uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            id: id.into(),
            secret: None,
            keys: None,
            redirect_uris: redirect_uris.into_iter().map(Into::into).collect(),
            post_logout_redirect_uris: Vec::new(),
            name: None,
        }
    }

    /// A client that authenticates with a secret. Only the secret's digest is kept.
    pub fn confidential<I>(id: impl Into<String>, secret: &str, redirect_uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            secret: Some(Digest::of(secret)),
            ..Self::public(id, redirect_uris)
        }
    }

    /// A client that authenticates with a key of its own (`private_key_jwt`, RFC 7523 §2.2), which
    /// is one of these public keys (RFC 7517 §5).
    #[cfg(feature = "jwt")]
    pub fn with_keys<I>(id: impl Into<String>, jwks: Value, redirect_uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            keys: Some(Keys::These(jwks)),
            ..Self::public(id, redirect_uris)
        }
    }

    /// The same, with its public keys at an address, so that it can change them by itself.
    #[cfg(feature = "jwt")]
    pub fn with_keys_at<I>(
        id: impl Into<String>,
        jwks_uri: impl Into<String>,
        redirect_uris: I,
    ) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            keys: Some(Keys::At(jwks_uri.into())),
            ..Self::public(id, redirect_uris)
        }
    }

    /// The name that people see on the consent page.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where it may send its users after they signed out (OpenID Connect RP-Initiated Logout
    /// §3.1), for applications that [can sign out](crate::McpAuthBuilder::sign_out).
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn post_logout_redirect_uris<I>(mut self, uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.post_logout_redirect_uris = uris.into_iter().map(Into::into).collect();
        self
    }
}

impl fmt::Debug for StaticClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticClient")
            .field("id", &self.id)
            .field("confidential", &self.is_confidential())
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}

/// A client, wherever it is known from.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) secret: Option<Digest>,
    pub(crate) secret_expires_at: Option<Timestamp>,
    pub(crate) metadata: ClientMetadata,
    /// Whether it may also come without authenticating, whatever its method says.
    pub(crate) allows_none: bool,
    /// When it will be forgotten if nobody uses it; `None` for one that never is.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Client {
    pub(crate) fn is_public(&self) -> bool {
        self.allows_none || self.metadata.token_endpoint_auth_method == ClientAuthMethod::None
    }

    /// The name for people: what it calls itself, or its id.
    pub(crate) fn display_name(&self) -> &str {
        self.metadata
            .client_name
            .as_deref()
            .unwrap_or(self.id.as_str())
    }

    /// The redirect URI to answer at: `requested` if it is registered, or the only one there is.
    pub(crate) fn redirect_uri<'a>(&'a self, requested: Option<&'a str>) -> Option<&'a str> {
        match (requested, self.metadata.redirect_uris.as_slice()) {
            (Some(requested), registered) => registered
                .iter()
                .any(|known| redirect::matches(known, requested))
                .then_some(requested),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// Whether an answer may go to `uri`: one that is registered now, whatever was when the request
    /// came.
    pub(crate) fn may_be_answered_at(&self, uri: &str) -> bool {
        self.redirect_uri(Some(uri)).is_some()
    }

    /// Whether its users may be sent to `uri` after signing out: one that it registered, compared as
    /// its redirect URIs are.
    #[cfg(feature = "jwt")]
    pub(crate) fn may_return_to(&self, uri: &str) -> bool {
        self.metadata
            .post_logout_redirect_uris
            .iter()
            .any(|known| redirect::matches(known, uri))
    }

    /// What an authorization, or a device that waits, has to remember of it: a document may say
    /// something else by the time its user decides.
    pub(crate) fn snapshot(&self) -> Option<Box<ClientMetadata>> {
        self.is_documented().then(|| {
            let mut metadata = self.metadata.clone();
            // Whoever may come without a key is to be taken for whoever comes.
            if self.allows_none {
                metadata.token_endpoint_auth_method = ClientAuthMethod::None;
            }
            Box::new(metadata)
        })
    }

    /// The client of which that was remembered.
    pub(crate) fn from_snapshot(id: &ClientId, metadata: &ClientMetadata) -> Self {
        Self {
            id: id.clone(),
            secret: None,
            secret_expires_at: None,
            metadata: metadata.clone(),
            allows_none: false,
            expires_at: None,
        }
    }

    /// Whether its id is the address of its description.
    pub(crate) fn is_documented(&self) -> bool {
        self.id.as_str().contains("://")
    }

    /// The host that describes it, with its port where there is one, if its id is the address of its
    /// description.
    pub(crate) fn document_host(&self) -> Option<&str> {
        let (_, rest) = self.id.as_str().split_once("://")?;
        let host = rest.split('/').next()?;
        self.is_documented().then_some(host)
    }

    /// Whether it registered that grant.
    pub(crate) fn may_use(&self, grant_type: &str) -> bool {
        self.metadata
            .grant_types
            .iter()
            .any(|known| known == grant_type)
    }

    /// Whether its tokens for `scopes` come with a refresh token: it registered that grant, or
    /// asked for access while nobody is there.
    pub(crate) fn gets_refresh_token(&self, scopes: &Scopes) -> bool {
        self.may_use("refresh_token") || scopes.contains("offline_access")
    }

    /// What its id_tokens are signed with.
    #[cfg(feature = "jwt")]
    pub(crate) fn id_token_algorithm(&self) -> Algorithm {
        let asked = self.metadata.id_token_signed_response_alg.as_deref();
        asked
            .and_then(Algorithm::from_name)
            .unwrap_or(Algorithm::RS256)
    }
}

impl From<ClientRecord> for Client {
    fn from(record: ClientRecord) -> Self {
        Self {
            id: record.id,
            secret: record.secret,
            secret_expires_at: record.secret_expires_at,
            metadata: record.metadata,
            allows_none: false,
            expires_at: Some(record.expires_at),
        }
    }
}

/// The clients that are known from the start.
#[derive(Debug, Default)]
pub(crate) struct StaticClients(HashMap<ClientId, Client>);

impl StaticClients {
    pub(crate) fn new(clients: Vec<StaticClient>) -> Result<Self, ConfigError> {
        let mut known = HashMap::new();
        for client in clients {
            let client = client.resolve()?;
            if let Some(twice) = known.insert(client.id.clone(), client) {
                return Err(ConfigError::DuplicateClient(twice.id.to_string()));
            }
        }
        Ok(Self(known))
    }

    pub(crate) fn get(&self, id: &ClientId) -> Option<&Client> {
        self.0.get(id)
    }
}

impl StaticClient {
    fn is_confidential(&self) -> bool {
        self.secret.is_some() || self.keys.is_some()
    }

    /// Its method, and its keys or where they are.
    fn authentication(
        &self,
    ) -> Result<(ClientAuthMethod, Option<Value>, Option<String>), ConfigError> {
        Ok(match &self.keys {
            Some(Keys::These(keys)) => {
                check_keys(keys)?;
                (ClientAuthMethod::PrivateKeyJwt, Some(keys.clone()), None)
            }
            Some(Keys::At(url)) => {
                uri::ResourceUri::parse(url)?;
                (ClientAuthMethod::PrivateKeyJwt, None, Some(url.clone()))
            }
            None if self.secret.is_some() => (ClientAuthMethod::ClientSecretBasic, None, None),
            None => (ClientAuthMethod::None, None, None),
        })
    }

    /// The client that is meant.
    pub(crate) fn resolve(self) -> Result<Client, ConfigError> {
        let id = ClientId::new(&self.id)
            .map_err(|InvalidIdentifier(_)| InvalidIdentifier("client id"))?;
        for uri in self
            .redirect_uris
            .iter()
            .chain(&self.post_logout_redirect_uris)
        {
            redirect::classify(uri)?;
        }
        let is_confidential = self.is_confidential();
        let (method, jwks, jwks_uri) = self.authentication()?;
        Ok(Client {
            id,
            secret: self.secret,
            secret_expires_at: None,
            metadata: ClientMetadata {
                application_type: registration::infer_type(&self.redirect_uris),
                redirect_uris: self.redirect_uris,
                token_endpoint_auth_method: method,
                grant_types: [
                    "authorization_code",
                    "refresh_token",
                    "client_credentials",
                    device::GRANT_TYPE,
                    JWT_BEARER,
                ]
                .into_iter()
                .filter(|grant| is_confidential || *grant != "client_credentials")
                .map(str::to_owned)
                .collect(),
                response_types: vec!["code".to_owned()],
                scope: None,
                client_name: self.name,
                client_uri: None,
                logo_uri: None,
                tos_uri: None,
                policy_uri: None,
                contacts: Vec::new(),
                software_id: None,
                software_version: None,
                jwks,
                jwks_uri,
                dpop_bound_access_tokens: false,
                post_logout_redirect_uris: self.post_logout_redirect_uris,
                token_endpoint_auth_signing_alg: None,
                id_token_signed_response_alg: None,
            },
            allows_none: false,
            expires_at: None,
        })
    }
}

#[cfg(feature = "jwt")]
fn check_keys(keys: &Value) -> Result<(), ConfigError> {
    JwkSet::configured(keys).map(drop)
}

/// There are none to check.
#[cfg(not(feature = "jwt"))]
const fn check_keys(_: &Value) -> Result<(), ConfigError> {
    Ok(())
}

impl ApplicationType {
    /// Whether a client of this type may use redirect URIs of that kind (OpenID Connect
    /// Registration §2).
    pub(crate) fn allows(self, kind: redirect::RedirectKind) -> bool {
        match self {
            Self::Native => true,
            Self::Web => kind == redirect::RedirectKind::Https,
        }
    }
}
