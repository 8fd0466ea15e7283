//! Making the text of an access token.

use std::fmt;

use zeroize::Zeroizing;

use super::super::AuthorizationServer;
use crate::{
    secret::{Access, Digest, Token},
    store::{StoreError, record::AccessTokenRecord},
};

/// An access token on its way out, and the digest it is stored under.
pub(super) struct Minted {
    text: Zeroizing<String>,
    digest: Digest,
}

impl Minted {
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// The token itself, for the one response that carries it.
    pub(super) fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minted(..)")
    }
}

impl AuthorizationServer {
    /// The access token of `record` that carries exactly these bits: the same inputs give the same
    /// token.
    pub(super) async fn mint(
        &self,
        bits: &[u8; 32],
        record: &AccessTokenRecord,
    ) -> Result<Minted, StoreError> {
        let _ = record;
        let token = Token::<Access>::from_bytes(bits);
        Ok(Minted {
            digest: token.digest(),
            text: Zeroizing::new(token.reveal().to_owned()),
        })
    }
}
