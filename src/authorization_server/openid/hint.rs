//! Statements of ours that come back as a hint about the user (OpenID Connect Core §3.1.2.1).

use std::time::Duration;

use super::super::{AuthorizationServer, signing};
use crate::{
    authenticator::SignedIn,
    client::Client,
    clock::Timestamp,
    id::{ClientId, Subject},
    jwt::{Claims, Expect, Typ, verify},
    store::StoreError,
};

/// Whom an id_token of ours is about, in which session they signed in, and which client it was
/// made for.
pub(in super::super) struct Hinted {
    pub(super) client: ClientId,
    pub(in super::super) subject: Subject,
    session: Option<String>,
}

impl Hinted {
    /// What an id_token says, `None` where it says too little or too much.
    fn of(claims: &Claims) -> Option<Self> {
        let [client] = claims.audience.as_slice() else {
            return None;
        };
        Some(Self {
            client: ClientId::new(client).ok()?,
            subject: Subject::new(claims.subject.as_deref()?).ok()?,
            session: claims.text("sid").map(str::to_owned),
        })
    }

    /// Whether this is about who is signed in now, and about that session where both are known.
    pub(super) fn is_about(&self, user: &SignedIn) -> bool {
        let is_session = match (&self.session, &user.session) {
            (Some(hinted), Some(current)) => hinted == current,
            _ => true,
        };
        self.subject == user.subject && is_session
    }
}

impl AuthorizationServer {
    /// Reads an id_token that was made here for `client`, however long ago. `None` for anything
    /// else: a hint is never more than a hint.
    pub(in super::super) async fn read_hint(
        &self,
        hint: &str,
        client: &Client,
    ) -> Result<Option<Hinted>, StoreError> {
        let hinted = self.read_any_hint(hint).await?;
        Ok(hinted.filter(|hinted| hinted.client == client.id))
    }

    /// Reads an id_token that was made here, for whichever client.
    pub(super) async fn read_any_hint(&self, hint: &str) -> Result<Option<Hinted>, StoreError> {
        let ring = self.signing_keys().await?;
        let now = self.now();
        let claims = verify(
            hint,
            &ring.public(now),
            &Expect {
                typ: Typ::OneOf(&["JWT"]),
                algorithms: &signing::ALGORITHMS,
                issuer: self.issuer.as_str(),
                subject: None,
                // Looked at afterwards: it must name one client.
                audience: &[],
                sole_audience: true,
                // Whom it is about does not expire: all time since the beginning is leeway.
                now: Timestamp::from_secs(0),
                max_lifetime: None,
                leeway: Duration::from_secs(now.as_secs()),
            },
        );
        Ok(claims.ok().as_ref().and_then(Hinted::of))
    }
}
