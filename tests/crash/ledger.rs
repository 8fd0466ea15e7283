//! What the server acknowledged, and what it was asked for when it died.

use std::collections::BTreeSet;

use crate::common::Tokens;

/// A registered client, with all that came of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
    /// What it manages its registration with.
    pub(crate) management: Option<String>,
    pub(crate) deletion: Deletion,
    pub(crate) grants: Vec<Grant>,
}

impl Client {
    /// The parameters of a request that the client makes for itself.
    pub(crate) fn form<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut pairs = vec![("client_id", &*self.id)];
        pairs.extend(
            self.secret
                .as_deref()
                .map(|secret| ("client_secret", secret)),
        );
        pairs.extend(more);
        pairs
    }
}

/// Whether a client was told to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    None,
    /// No answer came.
    Asked,
    Acknowledged,
}

/// An acknowledged code, with its consent and all that came of it.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) code: String,
    /// The answers to the code, to the first refresh token, to the second, ...
    pub(crate) tokens: Vec<Tokens>,
    /// Whose access token was revoked by itself.
    pub(crate) gone: BTreeSet<usize>,
    /// With everything.
    pub(crate) revoked: bool,
    /// What no answer came for.
    pub(crate) asked: Option<Asked>,
}

impl Grant {
    pub(crate) fn new(code: String) -> Self {
        Self {
            code,
            tokens: Vec::new(),
            gone: BTreeSet::new(),
            revoked: false,
            asked: None,
        }
    }

    /// The refresh token that was never presented, or not with an answer.
    pub(crate) fn latest(&self) -> Option<&str> {
        self.tokens.last().map(|tokens| &*tokens.refresh)
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The code's tokens.
    Tokens,
    /// The successors of the latest.
    Refresh,
    /// An end to the access token of that number.
    RevokeAccess(usize),
    /// An end to everything.
    Revoke,
}
