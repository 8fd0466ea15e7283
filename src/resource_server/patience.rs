//! How long a request waits for whoever knows its token.

use std::{future::Future, time::Duration};

use super::VerifierUnavailable;

/// After this a request is told that nobody can say: longer than one slow answer, shorter than a
/// client's own patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// What comes of `asked`, unless it takes too long.
pub(super) async fn patiently<T>(
    asked: impl Future<Output = Result<T, VerifierUnavailable>>,
) -> Result<T, VerifierUnavailable> {
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(VerifierUnavailable::new("no answer in time")))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response, StatusCode, request::Parts};
    use http_body_util::Full;
    use tokio::time::timeout;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::{
        Authenticator, AuthenticatorError, McpAuth, SignedIn,
        resource_server::{McpAuthLayer, ProtectedResource, StoreVerifier},
        secret::{SecretKey, opaque, random},
        store::Stuck,
    };

    const MCP: &str = "https://api.example.com/mcp";

    struct Nobody;

    impl Authenticator for Nobody {
        async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
            Ok(None)
        }
    }

    /// Three at once with one token.
    async fn assert_503_in_time(layer: McpAuthLayer) {
        let service = layer.layer(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        let token = opaque(&SecretKey::random(), &random());
        let call = || {
            let request = Request::post("/mcp")
                .header("authorization", format!("Bearer {}", *token))
                .body(Full::default());
            service.clone().oneshot(request.unwrap())
        };
        // One lookup, and one more for those who came while it was under way.
        let all = async { tokio::join!(call(), call(), call()) };
        let (one, two, three) = timeout(3 * PATIENCE, all).await.expect("nobody waits");
        for answer in [one, two, three] {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_keeps_nobody_waiting() {
        let elsewhere = ProtectedResource::builder(MCP, StoreVerifier::new(Stuck));
        assert_503_in_time(elsewhere.build().unwrap().layer()).await;

        let auth = McpAuth::builder("https://api.example.com")
            .login_page("/sign-in")
            .authenticator(Nobody)
            .resource(MCP, ["notes:read"])
            .store(Stuck);
        let layer = auth.build().unwrap().protect("/mcp").unwrap();
        assert_503_in_time(layer).await;
    }
}
