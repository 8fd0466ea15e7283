//! Statements of ours that come back as a hint about the user (OpenID Connect Core §3.1.2.1).

use std::time::Duration;

use super::super::{AuthorizationServer, signing};
use crate::{
    client::Client,
    clock::Timestamp,
    id::Subject,
    jwt::{Expect, Typ, verify},
    store::StoreError,
};

/// Whom an id_token of ours is about, and in which session they signed in.
pub(in super::super) struct Hinted {
    pub(in super::super) subject: Subject,
}

impl AuthorizationServer {
    /// Reads an id_token that was made here for `client`, however long ago. `None` for anything
    /// else: a hint is never more than a hint.
    pub(in super::super) async fn read_hint(
        &self,
        hint: &str,
        client: &Client,
    ) -> Result<Option<Hinted>, StoreError> {
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
                audience: &[client.id.as_str()],
                sole_audience: true,
                // Whom it is about does not expire: all time since the beginning is leeway.
                now: Timestamp::from_secs(0),
                max_lifetime: None,
                leeway: Duration::from_secs(now.as_secs()),
            },
        );
        let subject = claims.ok().and_then(|claims| claims.subject);
        Ok(subject
            .and_then(|subject| Subject::new(subject).ok())
            .map(|subject| Hinted { subject }))
    }
}
