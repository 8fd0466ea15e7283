//! The application's own sign-in: two users, a page with a form, a session cookie. And how to sign
//! out again, which clients ask for.
//!
//! The library asks [`Login`] who is signed in, sends a browser without a session to this page, and
//! takes over again at `auth.resume_url(..)`. How people prove who they are stays in here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Form, Router,
    extract::{
        Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use http::{HeaderMap, StatusCode, header, request::Parts};
use rand::{TryRng, rngs::SysRng};
use serde::Deserialize;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Clock, McpAuth, SignOut, SignedIn, Subject, SystemClock,
    Timestamp,
};

/// Replace with your own users; passwords belong into a password hash.
const USERS: [(&str, &str); 2] = [("demo", "demo"), ("alice", "alice")];

const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Who is signed in, by the value of the session cookie.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    cookie_name: Arc<str>,
    secure: bool,
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

#[derive(Clone, Debug)]
struct Session {
    user: &'static str,
    /// What it is called where anyone may read it; the cookie's value is a secret.
    name: String,
    since: Timestamp,
}

impl Login {
    /// Cookies know no ports, so on one machine each server gets a name of its own.
    pub(crate) fn new(public_url: &str) -> Self {
        let secure = public_url.starts_with("https://");
        let port = public_url.rsplit(':').next().unwrap_or_default();
        Self {
            cookie_name: match secure {
                true => "__Host-notes".into(),
                false => format!("notes-{port}").into(),
            },
            secure,
            sessions: Arc::default(),
        }
    }

    /// The value of the session cookie.
    fn id<'h>(&self, headers: &'h HeaderMap) -> Option<Cookie<'h>> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(Cookie::split_parse)
            .flatten()
            .find(|cookie| cookie.name() == &*self.cookie_name)
    }

    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let id = self.id(headers)?;
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(id.value())?;
        session.is_live(SystemClock.now()).then(|| session.clone())
    }

    /// Starts a session when the password is right; the `Set-Cookie` header's value.
    fn start(&self, username: &str, password: &str) -> Option<String> {
        let (user, _) = *USERS.iter().find(|user| **user == (username, password))?;
        let (id, name) = (random()?, random()?);
        let cookie = self.cookie(&id).to_string();
        let since = SystemClock.now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.is_live(since));
        sessions.insert(id, Session { user, name, since });
        Some(cookie)
    }

    fn cookie<'v>(&'v self, value: &'v str) -> Cookie<'v> {
        Cookie::build((&*self.cookie_name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .build()
    }
}

/// 256 bits that nobody can guess.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

impl Session {
    fn is_live(&self, now: Timestamp) -> bool {
        now < self.since.plus(SESSION_LIFETIME)
    }
}

impl Authenticator for Login {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        let Some(session) = self.session(&request.headers) else {
            return Ok(None);
        };
        let subject = Subject::new(session.user)?;
        Ok(Some(
            SignedIn::new(subject)
                .auth_time(session.since)
                .session(session.name),
        ))
    }
}

impl SignOut for Login {
    async fn sign_out(&self, request: &Parts) -> Result<HeaderMap, AuthenticatorError> {
        if let Some(id) = self.id(&request.headers) {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.remove(id.value());
        }
        let mut gone = self.cookie("");
        gone.make_removal();
        let gone = gone.to_string().try_into()?;
        Ok(HeaderMap::from_iter([(header::SET_COOKIE, gone)]))
    }
}

/// The page and the form's target.
pub(crate) fn routes(auth: McpAuth, login: Login) -> Router {
    Router::new()
        .route("/sign-in", get(page).post(submit))
        .with_state(Page { auth, login })
}

#[derive(Clone)]
struct Page {
    auth: McpAuth,
    login: Login,
}

/// What the library calls the sign-in it is waiting for. It means nothing here, and is passed on.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Transaction(String);

impl TryFrom<String> for Transaction {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let opaque = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if (1..=256).contains(&text.len()) && text.chars().all(opaque) {
            Ok(Self(text))
        } else {
            Err("not a transaction")
        }
    }
}

#[derive(Debug, Deserialize)]
struct PageQuery {
    transaction: Transaction,
}

#[derive(Deserialize)]
struct SignInForm {
    transaction: Transaction,
    username: String,
    password: String,
}

async fn page(query: Result<Query<PageQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(query)) => render(StatusCode::OK, &query.transaction, ""),
        Err(_) => not_begun(),
    }
}

/// Nobody gets here without a program that wants to sign in.
fn not_begun() -> Response {
    let text = "This page signs you in to a program that uses your notes. Begin there.\n";
    (StatusCode::BAD_REQUEST, text).into_response()
}

async fn submit(
    State(Page { auth, login }): State<Page>,
    headers: HeaderMap,
    form: Result<Form<SignInForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return not_begun();
    };
    // A form on another site must not sign anyone in. Every browser says where one comes from.
    let from_here = match (headers.get("sec-fetch-site"), headers.get(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == auth.issuer().origin(),
        (None, None) => true,
    };
    if !from_here {
        return (
            StatusCode::FORBIDDEN,
            "This form was sent from another site.\n",
        )
            .into_response();
    }
    match login.start(&form.username, &form.password) {
        Some(cookie) => (
            [(header::SET_COOKIE, cookie)],
            Redirect::to(&auth.resume_url(&form.transaction.0)),
        )
            .into_response(),
        None => render(
            StatusCode::UNAUTHORIZED,
            &form.transaction,
            r#"<p role="alert" id="problem">This username and password do not match. Please try again.</p>"#,
        ),
    }
}

/// `problem` is our own markup, and a transaction has no character that means anything in HTML.
fn render(status: StatusCode, Transaction(transaction): &Transaction, problem: &str) -> Response {
    let html = include_str!("sign_in.html")
        .replace("{problem}", problem)
        .replace("{transaction}", transaction);
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, Html(html)).into_response()
}
