//! The public keys (RFC 7517), where `jwks_uri` says.

use http::{HeaderValue, StatusCode, header};

use super::super::{
    AuthorizationServer,
    response::{self, EndpointResponse},
};

/// Far less than a new key is published ahead of its first signature.
const MAX_AGE: &str = "public, max-age=300";

impl AuthorizationServer {
    pub(in super::super) async fn jwks(&self) -> EndpointResponse {
        match self.signing_keys().await {
            Ok(ring) => {
                let mut response = response::json(StatusCode::OK, &ring.document(self.now()));
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(MAX_AGE));
                headers.remove(header::PRAGMA);
                response
            }
            Err(error) => {
                self.store_failed(&error);
                response::unavailable()
            }
        }
    }
}
