//! The key sets of others.

use std::sync::Arc;

use super::{Discovery, IssuerName, LIMITS, PATIENCE, SETTINGS};
use crate::{
    clock::Clock,
    fetch::{CachePolicy, CacheSettings, Fetch, FetchCache, FetchError, Limits},
    jwt::{JwkSet, JwtError},
};

/// Key sets by address.
pub(crate) struct KeySets {
    fetcher: Arc<dyn Fetch>,
    limits: Limits,
    cache: FetchCache<JwkSet>,
}

impl KeySets {
    pub(crate) fn new(
        fetcher: Arc<dyn Fetch>,
        limits: Limits,
        settings: CacheSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            fetcher,
            limits,
            cache: FetchCache::new(settings, clock),
        }
    }

    /// What `judge` says with the keys at `url`, fetched anew once if they lack the one that a
    /// token is signed with.
    ///
    /// # Errors
    ///
    /// When there are no keys to be had.
    pub(crate) async fn judge<T>(
        &self,
        url: &str,
        judge: impl Fn(&JwkSet) -> Result<T, JwtError>,
    ) -> Result<Result<T, JwtError>, FetchError> {
        self.judge_if(url, judge, || Ok(())).await
    }

    /// As [`judge`](Self::judge), asking `may_fetch` before each fetch.
    ///
    /// # Errors
    ///
    /// Also what `may_fetch` says.
    pub(crate) async fn judge_if<T, E: From<FetchError>>(
        &self,
        url: &str,
        judge: impl Fn(&JwkSet) -> Result<T, JwtError>,
        may_fetch: impl Fn() -> Result<(), E>,
    ) -> Result<Result<T, JwtError>, E> {
        let keys = self.cache.get_if(url, &may_fetch, self.load(url)).await?;
        match judge(&keys) {
            Err(JwtError::UnknownKey) => {
                let load = self.load(url);
                let newer = self.cache.refresh_if(url, &keys, may_fetch, load).await?;
                Ok(judge(&newer))
            }
            judged => Ok(judged),
        }
    }

    fn load(
        &self,
        url: &str,
    ) -> impl Future<Output = Result<(JwkSet, CachePolicy), FetchError>> + Send + 'static {
        let (fetcher, url, limits) = (Arc::clone(&self.fetcher), url.to_owned(), self.limits);
        async move {
            let fetched = fetcher.get(&url, limits).await?;
            let keys = JwkSet::parse(&fetched.body);
            let keys = keys.map_err(|error| FetchError::Content(error.message()))?;
            Ok((keys, fetched.cache))
        }
    }
}

/// With what one issuer signs.
pub(crate) enum IssuerKeys {
    /// With these and no others.
    Fixed(JwkSet),
    /// With those at an address.
    At(String, KeySets),
    /// With those at the address that its document names.
    Discovered(Discovery, KeySets),
}

impl IssuerKeys {
    /// Those that the issuer publishes: at `jwks_uri`, or where its document says. Nothing is
    /// fetched yet.
    pub(crate) fn published(
        issuer: IssuerName,
        jwks_uri: Option<String>,
        fetcher: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sets = KeySets::new(Arc::clone(&fetcher), LIMITS, SETTINGS, Arc::clone(&clock));
        match jwks_uri {
            Some(url) => Self::At(url, sets),
            None => Self::Discovered(Discovery::new(issuer, fetcher, clock), sets),
        }
    }

    /// What `judge` says with the keys, fetched anew once if they lack the one that a token is
    /// signed with.
    ///
    /// # Errors
    ///
    /// When there are no keys to be had, within a time that a request can wait.
    pub(crate) async fn judge<T>(
        &self,
        judge: impl Fn(&JwkSet) -> Result<T, JwtError>,
    ) -> Result<Result<T, JwtError>, FetchError> {
        let judged = async {
            match self {
                Self::Fixed(keys) => Ok(judge(keys)),
                Self::At(url, sets) => sets.judge(url, judge).await,
                Self::Discovered(discovery, sets) => {
                    let document = discovery.document().await?;
                    let url = document.jwks_uri.as_deref();
                    let url = url.ok_or(FetchError::Content("its document names no key set"))?;
                    sets.judge(url, judge).await
                }
            }
        };
        tokio::time::timeout(PATIENCE, judged)
            .await
            .unwrap_or(Err(FetchError::Deadline))
    }
}
