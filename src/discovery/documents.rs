//! Which document stands at which path.
//!
//! Clients look in different places for the same thing: before the path, after it, under the name
//! of OpenID Connect, with and without a slash at the end. All of them are answered; what is not
//! known is a JSON 404, since a page would make some clients crash.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::{
    metadata::{AuthorizationServerMetadata, ProtectedResourceMetadata},
    responder::{MetadataResponder, share},
    well_known::WellKnownLayer,
};
#[cfg(feature = "jwt")]
use crate::jwt::DpopProof;
use crate::{
    resource::{Catalog, KnownResource},
    scope::Scopes,
    uri::{Issuer, ResourceUri},
};

const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
const NAMES: [&str; 3] = [
    AUTHORIZATION_SERVER,
    OPENID_CONFIGURATION,
    PROTECTED_RESOURCE,
];

/// Documents by their path in the whole origin.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    by_path: HashMap<String, MetadataResponder>,
    /// Whether no one else has documents of these names, so that what is not here is nowhere.
    complete: bool,
}

impl Paths {
    /// The answer for a path of the whole origin, `None` when it is none of ours.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let path = request.uri().path();
        if !is_ours(path) {
            return None;
        }
        match self.by_path.get(path.trim_end_matches('/')) {
            Some(document) => Some(document.answer(request.method(), request.headers())),
            None => self.complete.then(not_found),
        }
    }
}

/// Where the document of one resource is looked for: where RFC 9728 §3.1 puts it, and behind the
/// path.
fn paths_of(resource: &ResourceUri) -> [String; 2] {
    let path = resource.path().trim_end_matches('/');
    [
        format!("{PROTECTED_RESOURCE}{path}"),
        format!("{path}{PROTECTED_RESOURCE}"),
    ]
}

/// The document of a resource that stands by itself, at all its paths and at `published`, where the
/// challenges say it is.
pub(crate) fn standalone(
    document: &MetadataResponder,
    resource: &ResourceUri,
    published: &ResourceUri,
) -> WellKnownLayer {
    let mut by_path = HashMap::new();
    let published = published.path().trim_end_matches('/').to_owned();
    // Clients that only know the root form mean the one resource there is.
    let root = PROTECTED_RESOURCE.to_owned();
    for path in paths_of(resource).into_iter().chain([published, root]) {
        by_path.insert(path, document.clone());
    }
    WellKnownLayer::of(Arc::new(Paths {
        by_path,
        complete: false,
    }))
}

/// Every document of a deployment, by path.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    paths: Arc<Paths>,
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
            let document = of_resource(resource);
            for path in paths_of(&resource.uri) {
                by_path.insert(path, document.clone());
            }
        }
        Self {
            paths: Arc::new(Paths {
                by_path,
                complete: true,
            }),
            server,
            default_resource,
        }
    }

    pub(crate) fn server(&self) -> &MetadataResponder {
        &self.server
    }

    pub(super) fn paths(&self) -> Arc<Paths> {
        Arc::clone(&self.paths)
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
    document.scopes_supported = published_scopes(&resource.scopes);
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

/// The scopes that a resource names as its own.
pub(crate) fn published_scopes(scopes: &Scopes) -> Vec<String> {
    scopes.of_resource().iter().map(str::to_owned).collect()
}
