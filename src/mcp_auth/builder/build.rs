//! Checking everything and putting it together.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "jwt")]
use super::openid;
use super::{
    super::{McpAuth, documents},
    McpAuthBuilder, lifetimes,
};
#[cfg(feature = "cimd")]
use crate::authorization_server::ClientDocuments;
#[cfg(feature = "rate-limit")]
use crate::authorization_server::RateLimiter;
#[cfg(feature = "jwt")]
use crate::authorization_server::{SigningKeys, TrustedIssuers, client_key_sets};
#[cfg(any(feature = "cimd", feature = "jwt"))]
use crate::fetch::Fetcher;
use crate::{
    authorization_server::{AuthorizationServer, BrowserCookie, Guesses},
    client::StaticClients,
    error::{ConfigError, InvalidUri},
    resource::Catalog,
    resource_server::TokenGate,
    scope::Scopes,
    secret::AccessForms,
    store::{SharedKeys, Sweeper, record::KeyPurpose},
    uri::{Issuer, ResourceUri},
};

/// How often what has expired is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

impl McpAuthBuilder {
    /// Checks everything and puts it together.
    ///
    /// # Errors
    ///
    /// Says which setting is wrong or missing.
    pub fn build(self) -> Result<McpAuth, ConfigError> {
        let issuer = Issuer::parse(&self.issuer)?;
        let endpoints_path = check_path(&self.endpoints_path)?;
        let login_page = self
            .login_page
            .as_deref()
            .ok_or(ConfigError::Missing("login_page"))?;
        let login_page = absolute(&issuer, login_page)?;
        lifetimes::check(&self.lifetimes)?;
        let catalog = Catalog::new(
            self.resources,
            Scopes::from_tokens(&self.user_scopes)?,
            Scopes::parse(&self.default_scope)?,
        )?;
        let store = self.store.ok_or(ConfigError::Missing("store"))?;
        #[cfg(feature = "jwt")]
        let trusted_issuers = TrustedIssuers::new(self.trusted_issuers, &issuer, &self.clock)?;
        #[cfg(feature = "jwt")]
        let signs_out = self.sign_out.is_some();
        #[cfg(not(feature = "jwt"))]
        let signs_out = false;
        let documents = Arc::new(documents::of(
            &issuer,
            &endpoints_path,
            &catalog,
            self.requires_push,
            #[cfg(feature = "jwt")]
            &trusted_issuers,
            signs_out,
        ));
        let access_forms = AccessForms::new(catalog.signs_access_tokens());
        let gate = TokenGate::new(
            &store,
            self.cache,
            Arc::clone(&self.clock),
            self.events.clone(),
            access_forms.clone(),
            self.when_stale,
            self.proofs,
        );
        let resources = catalog
            .resources()
            .iter()
            .map(|resource| gate.protect(resource))
            .collect::<Result<_, _>>()?;
        let sweeper = Sweeper::new(Arc::clone(&store), Arc::clone(&self.clock), SWEEP_EVERY);
        #[cfg(any(feature = "cimd", feature = "jwt"))]
        let fetcher = match self.fetcher {
            Some(fetcher) => fetcher,
            None => Fetcher::builder().build()?,
        };
        let server = AuthorizationServer {
            cookie: BrowserCookie::new(&issuer),
            issuer,
            endpoints_path,
            login_page,
            catalog,
            scope_descriptions: self.scope_descriptions,
            lifetimes: self.lifetimes,
            limits: self.limits,
            requires_push: self.requires_push,
            clients: StaticClients::new(self.clients)?,
            registration: self.registration,
            requires_registered_method: self.requires_registered_method,
            #[cfg(feature = "cimd")]
            client_documents: ClientDocuments::new(
                fetcher.clone(),
                self.trusts_client_host,
                Arc::clone(&self.clock),
            ),
            #[cfg(feature = "jwt")]
            key_sets: client_key_sets(fetcher, Arc::clone(&self.clock)),
            #[cfg(feature = "jwt")]
            trusted_issuers,
            #[cfg(feature = "jwt")]
            accepts_endpoint_audience: self.accepts_endpoint_audience,
            #[cfg(feature = "jwt")]
            signing_keys: SigningKeys::new(openid::check_rotation(self.key_rotation)?),
            #[cfg(feature = "jwt")]
            sign_out: self.sign_out,
            store,
            authenticator: self
                .authenticator
                .ok_or(ConfigError::Missing("authenticator"))?,
            pages: self.pages.ok_or(ConfigError::Missing("pages"))?,
            clock: self.clock,
            events: self.events,
            documents,
            access_forms,
            gate,
            resources,
            refresh_keys: SharedKeys::new(KeyPurpose::RefreshSuccessor),
            user_code_guesses: Guesses::default(),
            sweeper,
            #[cfg(feature = "rate-limit")]
            rate_limiter: self
                .rate_limits
                .map(|limits| RateLimiter::new(limits, self.client_key)),
        };
        Ok(McpAuth::new(server))
    }
}

fn check_path(path: &str) -> Result<String, ConfigError> {
    let probe = format!("https://host{path}");
    let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains(['?', '#', '{']);
    match ResourceUri::parse(&probe) {
        Ok(_) if is_path => Ok(path.to_owned()),
        _ => Err(InvalidUri::new(path, "the endpoints need a path such as /oauth").into()),
    }
}

/// A path on the issuer's origin, or a URL as it is.
fn absolute(issuer: &Issuer, page: &str) -> Result<String, ConfigError> {
    let url = if page.starts_with('/') && !page.starts_with("//") {
        format!("{}{page}", issuer.origin())
    } else {
        page.to_owned()
    };
    ResourceUri::parse(&url)?;
    Ok(url)
}
