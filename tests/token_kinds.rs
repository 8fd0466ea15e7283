//! Everything that is handed out or signed is good in its own place and in no other.
#![cfg(feature = "jwt")]

mod common;
#[path = "common/device.rs"]
mod devices;
#[path = "common/jws.rs"]
mod jws;
#[path = "common/proofs.rs"]
mod proofs;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower_mcp_auth::{
    AssertedSubject, Authenticator, AuthenticatorError, MemoryStore, Resource, SignedIn,
    StaticClient, Subject, TrustedIssuer,
};

const NOW: u64 = 1_800_000_000;
const IDP: &str = "https://acme.idp.example";
const SIGNED: &str = "https://api.example.com/signed";
const TOKEN: &str = "https://api.example.com/oauth/token";
const ASSERTION_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Everybody;

impl Authenticator for Everybody {
    async fn signed_in(
        &self,
        request: &http::request::Parts,
    ) -> Result<Option<SignedIn>, AuthenticatorError> {
        ByCookie.signed_in(request).await
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        Ok(Some(Subject::new(asserted.subject())?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    SignedAccess,
    IdToken,
    Refresh,
    Code,
    DeviceCode,
    Secret,
    Management,
    Pushed,
    Proof,
    ClientAssertion,
    Assertion,
}

use Kind::*;

const KINDS: [Kind; 12] = [
    Access,
    SignedAccess,
    IdToken,
    Refresh,
    Code,
    DeviceCode,
    Secret,
    Management,
    Pushed,
    Proof,
    ClientAssertion,
    Assertion,
];

struct World {
    app: App,
    public: String,
    confidential: String,
    keyed: String,
    values: Vec<(Kind, String)>,
}

async fn register(app: &App, more: &Value) -> Value {
    let mut metadata = json!({
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token", devices::GRANT],
    });
    for (name, value) in more.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    let answer = app.register(metadata).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

impl World {
    async fn new() -> Self {
        let idp = jws::Key::ed25519();
        let app = App::with(|builder| {
            builder
                .store(MemoryStore::new())
                .authenticator(Everybody)
                .client(StaticClient::confidential("robot", "secret", [CALLBACK]))
                .trust_issuer(TrustedIssuer::new(IDP).jwks(idp.jwks("one")))
                .resource_with(Resource::new(SIGNED).scopes(["s"]).jwt_access_tokens())
                .registration_management(true)
        });
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let public = register(&app, &json!({"token_endpoint_auth_method": "none"})).await;
        let public = text(&public, "client_id");
        let confidential = register(&app, &json!({})).await;
        let key = jws::Key::p256();
        let keyed =
            json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("one")});
        let keyed = text(&register(&app, &keyed).await, "client_id");

        let browser = Browser::of(&app, "alice");
        let all = [("scope", "openid notes:read")];
        let code = browser.approve(&public, &all).await;
        let tokens = app.redeem(&public, &code).await.json();
        let signed = [("scope", "s"), ("resource", SIGNED)];
        let signed = app.tokens(&public, "alice", &signed).await;
        let pushed = Request::post("/oauth/par")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(authorize_params(&public, &all)));
        let pushed = app.send(pushed.unwrap()).await.json();
        let claims =
            json!({"iss": keyed, "sub": keyed, "aud": ORIGIN, "exp": NOW + 60, "jti": "c"});
        let client_assertion = key.sign(json!({"typ": "JWT", "kid": "one"}), &claims);
        let claims = json!({
            "iss": IDP, "sub": "alice", "aud": ORIGIN, "client_id": "robot", "jti": "a",
            "iat": NOW, "exp": NOW + 60, "resource": MCP, "scope": "notes:read",
        });
        let assertion = idp.sign(json!({"typ": "oauth-id-jag+jwt", "kid": "one"}), &claims);
        let proof = proofs::Key::es256().proof("POST", TOKEN, None, NOW).sign();
        let values = vec![
            (Access, text(&tokens, "access_token")),
            (SignedAccess, signed.access),
            (IdToken, text(&tokens, "id_token")),
            (Refresh, text(&tokens, "refresh_token")),
            (Code, browser.approve(&public, &all).await),
            (DeviceCode, devices::device_of(&app, &public).await.code),
            (Secret, text(&confidential, "client_secret")),
            (Management, text(&confidential, "registration_access_token")),
            (Pushed, text(&pushed, "request_uri")),
            (Proof, proof),
            (ClientAssertion, client_assertion),
            (Assertion, assertion),
        ];
        let confidential = text(&confidential, "client_id");
        Self {
            app,
            public,
            confidential,
            keyed,
            values,
        }
    }

    async fn bearer(&self, path: &str, value: &str) -> Answer {
        self.app.call(path, value).await
    }

    /// Whether `value` is taken for a `kind`.
    async fn is_taken(&self, kind: Kind, value: &str) -> bool {
        let (app, public) = (&self.app, ("client_id", self.public.as_str()));
        let token = async |params: &[(&str, &str)]| app.token(params).await;
        let error = |answer: &Answer| answer.json()["error"].as_str().unwrap_or("").to_owned();
        match kind {
            Access => {
                let mcp = self.bearer("/mcp", value).await.status == StatusCode::OK;
                let info = self.bearer("/oauth/userinfo", value).await.status == StatusCode::OK;
                mcp || info
            }
            SignedAccess => {
                let path = format!("/oauth/get-session?{}", form(&[("resource", SIGNED)]));
                self.bearer(&path, value).await.body != "null"
            }
            Refresh => {
                let grant = ("grant_type", "refresh_token");
                let answer = token(&[grant, public, ("refresh_token", value)]).await;
                answer.status == StatusCode::OK
            }
            Code => {
                let grant = ("grant_type", "authorization_code");
                let verifier = ("code_verifier", VERIFIER);
                let answer = token(&[grant, public, verifier, ("code", value)]).await;
                answer.status == StatusCode::OK
            }
            DeviceCode => {
                let answer = devices::poll_as(app, &self.public, value).await;
                error(&answer) == "authorization_pending"
            }
            Secret => {
                let id = ("client_id", self.confidential.as_str());
                let answer = token(&[id, ("grant_type", "x"), ("client_secret", value)]).await;
                error(&answer) != "invalid_client"
            }
            Management => {
                let id = form(&[("client_id", &self.confidential)]);
                let answer = self.bearer(&format!("/oauth/register?{id}"), value).await;
                answer.status == StatusCode::OK
            }
            Pushed => {
                let query = form(&[public, ("request_uri", value)]);
                let path = format!("/oauth/authorize?{query}");
                let answer = Browser::of(app, "alice").get(&path).await;
                // Any other address is refused at the redirect URI, or here.
                let location = answer.header("location");
                answer.status == StatusCode::SEE_OTHER && !location.contains("error=")
            }
            IdToken => {
                let more = [("prompt", "none"), ("id_token_hint", value)];
                let browser = Browser::of(app, "alice");
                let answer = browser.authorize(&self.public, &more).await;
                answer.redirect(CALLBACK).contains_key("code")
            }
            Proof => {
                let params = form(&[public, ("grant_type", "x")]);
                let request = Request::post("/oauth/token")
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .header("dpop", value)
                    .body(Body::from(params));
                error(&app.send(request.unwrap()).await) != "invalid_dpop_proof"
            }
            ClientAssertion => {
                let answer = token(&[
                    ("grant_type", "x"),
                    ("client_id", &self.keyed),
                    ("client_assertion_type", CLIENT_ASSERTION),
                    ("client_assertion", value),
                ])
                .await;
                error(&answer) == "unsupported_grant_type"
            }
            Assertion => {
                let basic = format!("Basic {}", STANDARD.encode("robot:secret"));
                let params = [("grant_type", ASSERTION_GRANT), ("assertion", value)];
                let answer = app.token_as(Some(&basic), &params).await;
                answer.status == StatusCode::OK
            }
        }
    }
}

#[tokio::test]
async fn each_kind_is_good_in_its_own_place_alone() {
    let world = World::new().await;
    for place in KINDS {
        for (kind, value) in world.values.iter().filter(|(kind, _)| *kind != place) {
            assert!(
                !world.is_taken(place, value).await,
                "{kind:?} was taken for {place:?}"
            );
        }
    }
    // None of that used any of them up.
    for (kind, value) in &world.values {
        assert!(world.is_taken(*kind, value).await, "{kind:?}");
    }
}
