//! Issuers elsewhere: finding out where one has what (RFC 8414, OpenID Connect Discovery), and with
//! what it signs.

mod keys;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

pub(crate) use self::keys::{IssuerKeys, KeySets};
use crate::{
    clock::Clock,
    error::{ConfigError, InvalidUri},
    fetch::{
        CachePolicy, CacheSettings, Fetch, FetchCache, FetchError, Fetcher, Lifetimes, Limits,
    },
    json::parse_strictly,
    uri::{Parts, ResourceUri},
};

/// How long a request waits for an issuer before it is told that nobody can say.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Documents and key sets of large issuers stay well below.
pub(crate) const LIMITS: Limits = Limits {
    max_bytes: 128 * 1024,
    deadline: Duration::from_secs(5),
};

/// How documents and key sets are kept.
const SETTINGS: CacheSettings = CacheSettings {
    // Whoever keeps them has one issuer.
    capacity: 4,
    lifetimes: Lifetimes {
        min: Duration::from_secs(60),
        default: Duration::from_secs(60 * 60),
        max: Duration::from_secs(24 * 60 * 60),
    },
    failure: Duration::from_secs(10),
    refetch: Duration::from_secs(10),
    // An outage of theirs need not be one of ours. A key that they have taken back is believed for
    // that long only where they cannot be asked.
    stale: Duration::from_secs(60 * 60),
    // Who is trusted is configured here. What stands in front of an issuer that starts anew knows
    // of nothing.
    may_be_withdrawn: false,
};

/// Somebody who issues tokens, by name. Names are compared letter by letter; unlike our own, those
/// of others may end with a slash.
#[derive(Clone, Debug)]
pub(crate) struct IssuerName(String);

impl IssuerName {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        ResourceUri::parse(text)?;
        if Parts::parse(text).is_some_and(|parts| parts.query.is_some()) {
            return Err(InvalidUri::new(text, "an issuer has no query").into());
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its document may be, most likely first.
    fn documents(&self) -> Vec<String> {
        let whole = self.0.trim_end_matches('/');
        let path = Parts::parse(whole).map_or("", |parts| parts.path);
        let origin = &whole[..whole.len() - path.len()];
        let mut urls = vec![
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
            format!("{whole}/.well-known/openid-configuration"),
        ];
        if !path.is_empty() {
            urls.push(format!("{origin}/.well-known/openid-configuration{path}"));
        }
        urls
    }
}

/// What an issuer's document says, as far as it concerns us.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) jwks_uri: Option<String>,
    pub(crate) introspection_endpoint: Option<String>,
}

/// Reads an issuer's document, now and then.
pub(crate) struct Discovery {
    issuer: IssuerName,
    fetcher: Arc<dyn Fetch>,
    cache: FetchCache<Document>,
}

impl Discovery {
    pub(crate) fn new(issuer: IssuerName, fetcher: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer,
            fetcher,
            cache: FetchCache::new(SETTINGS, clock),
        }
    }

    pub(crate) async fn document(&self) -> Result<Arc<Document>, FetchError> {
        let (issuer, fetcher) = (self.issuer.clone(), Arc::clone(&self.fetcher));
        self.cache.get(&self.issuer.0, load(issuer, fetcher)).await
    }
}

/// The first document that there is. One of the wrong issuer is not passed over in silence if no
/// other is found.
async fn load(
    issuer: IssuerName,
    fetcher: Arc<dyn Fetch>,
) -> Result<(Document, CachePolicy), FetchError> {
    let mut failure = FetchError::Content("it has no document");
    for url in issuer.documents() {
        let read = fetcher.get(&url, LIMITS).await.and_then(|fetched| {
            let members =
                parse_strictly(&fetched.body).ok_or(FetchError::Content("it is no JSON object"))?;
            Ok((document(&members, &issuer)?, fetched.cache))
        });
        match read {
            Ok(found) => return Ok(found),
            // That there is nothing here says less than that there is something wrong.
            Err(FetchError::Status(404)) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn document(members: &Map<String, Value>, issuer: &IssuerName) -> Result<Document, FetchError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    // RFC 8414 §3.3: byte for byte, or whoever has one path of a host speaks for the others.
    if text("issuer").as_deref() != Some(&issuer.0) {
        return Err(FetchError::Content("its document names another issuer"));
    }
    Ok(Document {
        jwks_uri: text("jwks_uri"),
        introspection_endpoint: text("introspection_endpoint"),
    })
}

/// The usual fetcher for an issuer that the developer has named: on this machine if the name says
/// so.
pub(crate) fn fetcher_for(url: &str) -> Result<Fetcher, ConfigError> {
    let loopback = Parts::parse(url).is_some_and(|parts| parts.is_loopback_host());
    Fetcher::builder()
        .danger_allow_loopback(loopback)
        .keep_alive()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_looked_for_where_both_standards_put_them() {
        let documents = |issuer: &str| IssuerName::parse(issuer).unwrap().documents();
        assert_eq!(
            documents("https://a.example/"),
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            documents("https://a.example:8443/realms/x"),
            [
                "https://a.example:8443/.well-known/oauth-authorization-server/realms/x",
                "https://a.example:8443/realms/x/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/openid-configuration/realms/x",
            ]
        );
        for bad in [
            "http://a.example",
            "a.example",
            "https://a.example/?x",
            "https://a.example/#f",
        ] {
            assert!(IssuerName::parse(bad).is_err(), "{bad}");
        }
    }
}
