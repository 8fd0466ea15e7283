//! oxide-auth, all in memory behind one lock, with PKCE: the issuing side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::RawQuery,
    routing::{get, post},
};
use http::{StatusCode, header};
use oxide_auth::{
    endpoint::{AccessTokenFlow, AuthorizationFlow, OwnerConsent, RefreshFlow, Solicitation},
    frontends::simple::{
        endpoint::{FnSolicitor, Generic, Vacant},
        extensions::{AddonList, Extended, Pkce},
        request::{Request, Response, Status},
    },
    primitives::{
        authorizer::AuthMap,
        generator::RandomGenerator,
        issuer::TokenMap,
        registrar::{Client, ClientMap, RegisteredUrl},
    },
};
use serde_json::json;

use crate::{Served, common, count};

const CLIENT: &str = "bench";

struct State {
    clients: ClientMap,
    codes: AuthMap<RandomGenerator>,
    tokens: TokenMap<RandomGenerator>,
}

/// The endpoint that the flows work on, for as long as the state is borrowed.
macro_rules! endpoint {
    ($state:expr) => {{
        let mut addons = AddonList::new();
        addons.push_code(Pkce::required());
        let endpoint = Generic {
            registrar: &$state.clients,
            authorizer: &mut $state.codes,
            issuer: &mut $state.tokens,
            scopes: Vacant,
            solicitor: FnSolicitor(|_: &mut Request, _: Solicitation<'_>| {
                OwnerConsent::<Response>::Authorized("alice".to_owned())
            }),
            response: Vacant,
        };
        Extended::extend_with(endpoint, addons)
    }};
}

impl State {
    fn code(&mut self) -> String {
        let query = [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", common::CALLBACK),
            ("code_challenge", common::CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let request = Request {
            query: owned(query.into_iter()),
            ..Request::default()
        };
        let mut flow = AuthorizationFlow::prepare(endpoint!(self)).ok().unwrap();
        let location = flow.execute(request).ok().unwrap().location.unwrap();
        let code = location.query_pairs().find(|(name, _)| name == "code");
        let (client, callback) = (CLIENT, common::CALLBACK);
        let code = common::redemption(&code.unwrap().1.replace('+', "%2B"));
        format!("{code}&client_id={client}&redirect_uri={callback}")
    }

    fn token(&mut self, form: HashMap<String, String>) -> Response {
        let is_refresh = form["grant_type"] == "refresh_token";
        let request = Request {
            urlbody: form,
            ..Request::default()
        };
        if is_refresh {
            let mut flow = RefreshFlow::prepare(endpoint!(self)).ok().unwrap();
            flow.execute(request).ok().unwrap()
        } else {
            let mut flow = AccessTokenFlow::prepare(endpoint!(self)).ok().unwrap();
            flow.allow_credentials_in_body(true);
            flow.execute(request).ok().unwrap()
        }
    }
}

fn owned<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> HashMap<String, String> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub fn server() -> Served {
    let callback = RegisteredUrl::Semantic(common::CALLBACK.parse().unwrap());
    let mut clients = ClientMap::new();
    clients.register_client(Client::public(CLIENT, callback, "mcp".parse().unwrap()));
    let state = Arc::new(Mutex::new(State {
        clients,
        codes: AuthMap::new(RandomGenerator::new(16)),
        tokens: TokenMap::new(RandomGenerator::new(16)),
    }));
    let codes = {
        let state = Arc::clone(&state);
        async move |RawQuery(query): RawQuery| {
            let mut state = state.lock().unwrap();
            let count = count(query.as_deref());
            let codes = std::iter::repeat_with(|| state.code()).take(count);
            Json(codes.collect::<Vec<_>>())
        }
    };
    let token = async move |body: Bytes| {
        let form = form_urlencoded::parse(&body).into_owned().collect();
        let answer = state.lock().unwrap().token(form);
        let status = match answer.status {
            Status::Ok => StatusCode::OK,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = answer.body.map(|body| body.as_str().to_owned());
        (
            status,
            [(header::CONTENT_TYPE, "application/json")],
            body.unwrap_or_default(),
        )
    };
    let app = Router::new()
        .route("/bench/codes", get(codes))
        .route("/token", post(token));
    (json!({"token": "/token", "client_id": CLIENT}), app)
}
