//! Which document stands at which path.
//!
//! Clients look in different places for the same thing: before the path, after it, under the name
//! of OpenID Connect, with and without a slash at the end. All of them are answered; what is not
//! known is a JSON 404, since a page would make some clients crash.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::{
    metadata::{AuthorizationServerMetadata, ProtectedResourceMetadata},
    responder::{MetadataResponder, share},
};
#[cfg(feature = "jwt")]
use crate::jwt::DpopProof;
use crate::{
    resource::{Catalog, KnownResource},
    uri::Issuer,
};

const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
const NAMES: [&str; 3] = [
    AUTHORIZATION_SERVER,
    OPENID_CONFIGURATION,
    PROTECTED_RESOURCE,
];

/// Every document of a deployment, by path.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    by_path: HashMap<String, MetadataResponder>,
    server: MetadataResponder,
    default_resource: MetadataResponder,
}

impl Documents {
    pub(crate) fn new(
        server: &AuthorizationServerMetadata,
        issuer: &Issuer,
        catalog: &Catalog,
        endpoints_path: &str,
    ) -> Self {
        let server = MetadataResponder::new(server);
        let of_resource = |resource| MetadataResponder::new(&protected_resource(resource, issuer));
        let default_resource = of_resource(catalog.default_resource());
        let mut by_path = HashMap::new();

        for name in [AUTHORIZATION_SERVER, OPENID_CONFIGURATION] {
            // RFC 8414 §3.1 puts the name before the issuer's path, OpenID Connect Discovery §4
            // after it.
            by_path.insert(format!("{name}{}", issuer.path()), server.clone());
            by_path.insert(format!("{}{name}", issuer.path()), server.clone());
            by_path.insert(format!("{endpoints_path}{name}"), server.clone());
        }
        // Clients that only know the root form mean the default resource, unless one is there.
        by_path.insert(PROTECTED_RESOURCE.to_owned(), default_resource.clone());
        by_path.insert(
            format!("{endpoints_path}{PROTECTED_RESOURCE}"),
            default_resource.clone(),
        );
        for resource in catalog.resources() {
            let path = resource.uri.path().trim_end_matches('/');
            let document = of_resource(resource);
            by_path.insert(format!("{PROTECTED_RESOURCE}{path}"), document.clone());
            by_path.insert(format!("{path}{PROTECTED_RESOURCE}"), document);
        }
        Self {
            by_path,
            server,
            default_resource,
        }
    }

    pub(crate) fn server(&self) -> &MetadataResponder {
        &self.server
    }

    /// The answer for a path of the whole origin, `None` when it is none of ours.
    pub(super) fn answer<B>(
        &self,
        path: &str,
        request: &Request<B>,
    ) -> Option<Response<Full<Bytes>>> {
        is_ours(path).then(|| {
            self.by_path
                .get(path.trim_end_matches('/'))
                .map_or_else(not_found, |document| {
                    document.answer(request.method(), request.headers())
                })
        })
    }

    /// The answer for a path below wherever the endpoints are mounted.
    pub(crate) fn answer_below_base<B>(
        &self,
        path: &str,
        request: &Request<B>,
    ) -> Option<Response<Full<Bytes>>> {
        let document = match path.trim_end_matches('/') {
            AUTHORIZATION_SERVER | OPENID_CONFIGURATION => &self.server,
            PROTECTED_RESOURCE => &self.default_resource,
            _ => return is_ours(path).then(not_found),
        };
        Some(document.answer(request.method(), request.headers()))
    }
}

/// Whether a path is in the namespace of these documents: one of the names, whole, anywhere.
fn is_ours(path: &str) -> bool {
    // Almost every request stops here.
    let Some(start) = path.find("/.well-known/") else {
        return false;
    };
    let tail = &path[start..];
    NAMES.iter().any(|name| {
        tail.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn not_found() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(
        r#"{"error":"not_found","error_description":"there is no such document"}"#,
    ));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    share(&mut response);
    response
}

/// The document of one resource.
pub(crate) fn protected_resource(
    resource: &KnownResource,
    issuer: &Issuer,
) -> ProtectedResourceMetadata {
    let mut document = ProtectedResourceMetadata::new(resource.uri.as_str(), [issuer.as_str()]);
    document.scopes_supported = resource
        .scopes
        .iter()
        .filter(|scope| *scope != "offline_access")
        .map(str::to_owned)
        .collect();
    #[cfg(feature = "jwt")]
    {
        document.dpop_signing_alg_values_supported = DpopProof::algorithms().collect();
        document.dpop_bound_access_tokens_required = resource.requires_dpop;
    }
    document.resource_name.clone_from(&resource.name);
    document
        .resource_documentation
        .clone_from(&resource.documentation);
    document
}
