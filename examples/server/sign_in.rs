//! The application's own sign-in: two users, a page with a form, a session cookie. And how to sign
//! out again, which clients ask for.
//!
//! The library asks [`Login`] who is signed in, sends a browser without a session to this page, and
//! takes over again at `auth.resume_url(..)`. How people prove who they are stays in here.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Form, Router,
    extract::{
        Query, Request, State,
        rejection::{FormRejection, QueryRejection},
    },
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header, request::Parts};
use rand::{TryRng, rngs::SysRng};
use serde::Deserialize;
use sha2::Sha256;
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Clock, DpopNonces, McpAuth, SignOut, SignedIn, Subject,
    SystemClock, Timestamp,
};

/// Replace with your own users; passwords belong into a password hash.
const USERS: [(&str, &str); 2] = [("demo", "demo"), ("alice", "alice")];

const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);
const FORM_DEADLINE: Duration = Duration::from_secs(30);

/// Who is signed in: what the session cookie says, which nobody else can sign. So several machines
/// that share a key share their sessions.
#[derive(Clone)]
pub(crate) struct Login {
    cookie_name: Arc<str>,
    secure: bool,
    key: SessionKey,
    /// Sessions that were ended here, by name, until their time would have been over. Neither other
    /// machines know nor this one after a restart: where that matters, keep sessions in a table.
    ended: Arc<Mutex<HashMap<String, Timestamp>>>,
}

#[derive(Clone, Debug)]
struct Session {
    user: &'static str,
    since: Timestamp,
    name: String,
}

impl Login {
    /// Cookies know no ports, so on one machine each server gets a name of its own.
    pub(crate) fn new(public_url: &str, key: SessionKey) -> Self {
        let scheme = public_url.split(':').next().unwrap_or_default();
        let secure = scheme.eq_ignore_ascii_case("https");
        let port = public_url.rsplit(':').next().unwrap_or_default();
        let port = match port.parse::<u16>() {
            Ok(_) => port,
            Err(_) => "80",
        };
        Self {
            cookie_name: match secure {
                true => "__Host-notes".into(),
                false => format!("notes-{port}").into(),
            },
            secure,
            key,
            ended: Arc::default(),
        }
    }

    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let session = cookies
            // One by one: what others set may be no text at all.
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
            .filter(|(name, _)| name.trim_start_matches(' ') == &*self.cookie_name)
            .find_map(|(_, value)| Session::parse(self.key.opened(value)?))?;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let is_live = session.is_live(SystemClock.now()) && !ended.contains_key(&session.name);
        is_live.then_some(session)
    }

    /// Starts a session when the password is right; the `Set-Cookie` header's value.
    fn start(&self, username: &str, password: &str) -> Option<String> {
        let (user, _) = *USERS.iter().find(|user| **user == (username, password))?;
        let session = Session {
            user,
            since: SystemClock.now(),
            name: random()?,
        };
        let signed = self.key.sign(&session.to_string());
        Some(self.cookie(signed).to_string())
    }

    fn end(&self, session: Session) {
        let now = SystemClock.now();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, since| now < since.plus(SESSION_LIFETIME));
        ended.insert(session.name, session.since);
    }

    fn cookie(&self, value: String) -> Cookie<'static> {
        Cookie::build((self.cookie_name.to_string(), value))
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

/// Signs session cookies.
#[derive(Clone)]
pub(crate) struct SessionKey(Hmac<Sha256>);

impl SessionKey {
    /// Of a text that is long enough not to be guessed.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        match Hmac::new_from_slice(text.as_bytes()) {
            Ok(key) if text.len() >= 32 => Ok(Self(key)),
            _ => Err("it needs 32 characters or more"),
        }
    }

    /// One that nobody knows, for as long as this process lives.
    pub(crate) fn random() -> Result<Self, &'static str> {
        Self::new(&random().ok_or("the system has no random numbers")?)
    }

    fn sign(&self, text: &str) -> String {
        let mac = self.0.clone().chain_update(text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// What was signed, if it was.
    fn opened<'t>(&self, signed: &'t str) -> Option<&'t str> {
        let (text, mac) = signed.rsplit_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let expected = self.0.clone().chain_update(text);
        expected.verify_slice(&mac).is_ok().then_some(text)
    }
}

/// The same nonces on every machine that has this key.
impl From<&SessionKey> for DpopNonces {
    fn from(key: &SessionKey) -> Self {
        // What is signed has dots in it, and this has none.
        let secret = key.0.clone().chain_update("DPoP nonces").finalize();
        Self::from_secret(secret.into_bytes().into())
    }
}

// Flags may be logged; a key may not.
impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

impl Session {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (name, since, user) = (parts.next()?, parts.next()?, parts.next()?);
        let (user, _) = USERS.iter().find(|(known, _)| *known == user)?;
        Some(Self {
            user,
            since: Timestamp::from_secs(since.parse().ok()?),
            name: name.to_owned(),
        })
    }

    fn is_live(&self, now: Timestamp) -> bool {
        now < self.since.plus(SESSION_LIFETIME)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.name, self.since, self.user)
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
        if let Some(session) = self.session(&request.headers) {
            self.end(session);
        }
        let mut gone = self.cookie(String::new());
        gone.make_removal();
        let gone = gone.to_string().try_into()?;
        Ok(HeaderMap::from_iter([(header::SET_COOKIE, gone)]))
    }
}

/// The page and the form's target.
pub(crate) fn routes(auth: McpAuth, login: Login) -> Router {
    Router::new()
        .route("/sign-in", get(page).post(submit))
        .layer(middleware::from_fn(in_time))
        .with_state(Page { auth, login })
}

/// Nobody waits for ever for a form that trickles in.
async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(FORM_DEADLINE, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
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
    // A form on another site must not sign anyone in.
    if !auth.is_same_origin(&headers) {
        return (
            StatusCode::FORBIDDEN,
            "This form was sent from another site.\n",
        )
            .into_response();
    }
    match login.start(&form.username, &form.password) {
        Some(cookie) => (
            [
                (header::SET_COOKIE, cookie),
                (header::CACHE_CONTROL, "no-store".into()),
            ],
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
