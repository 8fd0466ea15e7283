//! All secrets that go over the wire, in either direction.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header, request::Parts};
use serde_json::Value;

use super::common::{Answer, Tap};

/// Parameters and members that carry one.
const NAMES: &[&str] = &[
    "access_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "id_token",
    "id_token_hint",
    "password",
    "refresh_token",
    "registration_access_token",
    "request_uri",
    "token",
    "transaction",
    "user_code",
];
/// What is shorter is a word of the test's own.
const SHORTEST: usize = 8;

/// The secrets by what they were called first.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeMap<String, String>>>);

impl Secrets {
    pub(crate) fn tap(&self) -> Tap {
        let all = self.clone();
        Arc::new(move |asked, body, answer| all.see(asked, body, answer))
    }

    /// One that is known otherwise.
    pub(crate) fn note(&self, secret: &str) {
        self.note_as("known", secret);
    }

    fn note_as(&self, name: &str, secret: &str) {
        // What is in a form twice over is a secret in the wrong place, and known already.
        if secret.len() < SHORTEST || secret == "BBBB-BBBB" || secret == "BBBBBBBB" {
            return;
        }
        let secret = secret
            .strip_prefix("urn:ietf:params:oauth:request_uri:")
            .unwrap_or(secret);
        let mut all = self.0.lock().unwrap();
        all.entry(secret.to_owned()).or_insert(name.to_owned());
    }

    /// One of each name, and the forms that tokens come in.
    pub(crate) fn samples(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let mut by_name = BTreeMap::new();
        for (secret, name) in &*all {
            by_name.entry(name.clone()).or_insert(secret.clone());
        }
        by_name.into_values().collect()
    }

    pub(crate) fn assert_none_in(&self, written: &str) {
        let all = self.0.lock().unwrap();
        assert!(all.len() > 50, "{} secrets", all.len());
        let leaks: BTreeMap<_, _> = all
            .iter()
            .filter_map(|(secret, name)| {
                let at = written.find(secret)?;
                let start = written[..at].rfind('\n').map_or(0, |line| line + 1);
                Some((name, written[start..].lines().next()))
            })
            .collect();
        assert!(leaks.is_empty(), "written down: {leaks:#?}");
    }

    fn see(&self, asked: &Parts, body: &str, answer: &Answer) {
        self.see_headers(&asked.headers);
        self.see_form(asked.uri.query().unwrap_or_default());
        self.see_text(body);
        self.see_text(&answer.body);
        for (name, value) in answer.fields() {
            if NAMES.contains(&&*name) {
                self.note_as(&name, &value);
            }
        }
        let location = answer.header("location");
        self.see_form(location.split_once('?').map_or("", |(_, query)| query));
        for set in answer.headers.get_all(header::SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            self.note_as(
                "cookie",
                pair.split_once('=').map_or("", |(_, value)| value),
            );
        }
    }

    fn see_headers(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some((scheme, credentials)) = text("authorization").and_then(|a| a.split_once(' ')) {
            self.note_as(scheme, credentials);
            let pair = STANDARD.decode(credentials).ok();
            let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
            if let Some((_, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                self.note_as("Basic", secret);
            }
        }
        self.note_as("dpop", text("dpop").unwrap_or_default());
    }

    fn see_text(&self, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(members)) => {
                for (name, value) in &members {
                    if let Some(value) = value.as_str().filter(|_| NAMES.contains(&name.as_str())) {
                        self.note_as(name, value);
                    }
                }
            }
            _ => self.see_form(text),
        }
    }

    fn see_form(&self, text: &str) {
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if NAMES.contains(&&*name) {
                self.note_as(&name, &value);
            }
        }
    }
}
