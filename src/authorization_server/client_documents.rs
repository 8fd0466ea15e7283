//! Fetching what clients publish about themselves.

use std::{sync::Arc, time::Duration};

use http::request;

use super::{AuthorizationServer, Endpoint, clients::NoClient};
use crate::{
    client::{
        Client,
        document::{self, ClientDocument},
    },
    clock::Clock,
    fetch::{CacheSettings, Fetch, FetchCache, FetchError, Fetcher, Lifetimes, Limits},
    grant::{ErrorCode, Refusal},
    id::ClientId,
    uri,
};

/// What one document may cost.
const LIMITS: Limits = Limits {
    max_bytes: 5 * 1024,
    deadline: Duration::from_secs(5),
};
const CACHE: CacheSettings = CacheSettings {
    capacity: 1000,
    lifetimes: Lifetimes {
        min: Duration::from_secs(60),
        default: Duration::from_secs(600),
        max: Duration::from_secs(24 * 3600),
    },
    failure: Duration::from_secs(10),
    refetch: Duration::from_secs(60),
    // A client whose site is down for a moment keeps working.
    stale: Duration::from_secs(3600),
    may_be_withdrawn: true,
};

/// Whether a host may describe clients.
pub(crate) type HostPolicy = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What fetches documents and remembers them.
pub(crate) struct ClientDocuments {
    fetcher: Arc<dyn Fetch>,
    cache: FetchCache<ClientDocument>,
    trusts: Option<HostPolicy>,
}

impl ClientDocuments {
    pub(crate) fn new(fetcher: Fetcher, trusts: Option<HostPolicy>, clock: Arc<dyn Clock>) -> Self {
        Self {
            fetcher: Arc::new(fetcher),
            cache: FetchCache::new(CACHE, clock),
            trusts,
        }
    }
}

impl AuthorizationServer {
    /// The client that the document at `id` describes.
    pub(super) async fn documented_client(
        &self,
        id: ClientId,
        endpoint: Endpoint,
        request: &request::Parts,
    ) -> Result<Client, NoClient> {
        let documents = &self.client_documents;
        let host = uri::Parts::parse(id.as_str()).map_or("", |parts| parts.host);
        // As names are compared: what is refused in one spelling is refused in all.
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        if documents
            .trusts
            .as_ref()
            .is_some_and(|trusts| !trusts(host))
        {
            return Err(NoClient::Refused(UNTRUSTED));
        }
        let may_fetch = || match self.fetch_limited(endpoint, &id, request) {
            Some(limited) => Err(NoClient::Limited(limited)),
            None => Ok(()),
        };
        let (url, offer) = (id.to_string(), self.offer());
        let fetcher = Arc::clone(&documents.fetcher);
        let load = async move {
            let fetched = fetcher.get(&url, LIMITS).await?;
            let document =
                document::parse(&url, &fetched.body, &offer).map_err(FetchError::Content)?;
            Ok((document, fetched.cache))
        };
        let cache = &documents.cache;
        let document = cache.get_if(id.as_str(), may_fetch, load).await?;
        Ok(Client {
            id,
            secret: None,
            secret_expires_at: None,
            metadata: document.metadata.clone(),
            allows_none: document.allows_none,
            expires_at: None,
        })
    }
}

/// A document that is wrong is no client; one that cannot be had now may be one later.
impl From<FetchError> for NoClient {
    fn from(error: FetchError) -> Self {
        Self::Refused(match error {
            // Where a name leads inside of this network is nobody's business who merely names it.
            FetchError::ForbiddenAddress => UNREACHABLE,
            // A site under repair does that as well.
            FetchError::Redirect(_) => MOVED,
            FetchError::ContentType => NO_JSON,
            error if error.is_outage() => UNREACHABLE,
            _ => UNUSABLE,
        })
    }
}

const fn later(description: &'static str) -> Refusal {
    Refusal::new(
        ErrorCode::TemporarilyUnavailable,
        "client_document_unreachable",
        description,
    )
}

const UNREACHABLE: Refusal =
    later("the client_id is an address that gives no client metadata document now");
const MOVED: Refusal = later(
    "the client_id is an address that redirects; its document has to be at that very address",
);
const NO_JSON: Refusal =
    later("the client_id is an address that answers with something other than JSON");
const UNUSABLE: Refusal = Refusal::invalid_client(
    "client_document_unusable",
    "the client_id is an address without a usable client metadata document",
);
const UNTRUSTED: Refusal = Refusal::invalid_client(
    "client_document_untrusted",
    "clients of that host are not accepted here",
);
