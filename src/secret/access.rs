//! The forms in which access tokens come.

use super::{Access, Digest, Token, is_base64url};

/// What an access token of a deployment may look like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccessForms {
    /// Whether some are signed (RFC 9068) rather than opaque.
    pub(crate) signed: bool,
}

impl AccessForms {
    /// The digest that a presented token is stored under, `None` when its form shows that it is
    /// none of ours: garbage is refused without a store read.
    pub(crate) fn digest(self, text: &str) -> Option<Digest> {
        Token::<Access>::digest_of_presented(text)
            .or_else(|| (self.signed && is_signed(text)).then(|| Digest::of(text)))
    }
}

/// Whether this has the form of a compact signed token with a JSON header (RFC 7515 §3.1). What is
/// signed needs no checking here: only what was issued is in the store.
fn is_signed(text: &str) -> bool {
    let mut parts = text.split('.');
    let mut part = || {
        let part = parts.next()?;
        (!part.is_empty() && part.bytes().all(is_base64url)).then_some(())
    };
    let three = part().and_then(|()| part()).and_then(|()| part()).is_some();
    text.starts_with("eyJ") && three && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_tokens_are_told_by_their_form_and_only_where_there_are_any() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln";
        let signed = AccessForms { signed: true };
        assert_eq!(signed.digest(token), Some(Digest::of(token)));
        assert_eq!(AccessForms::default().digest(token), None);
        for garbage in [
            "eyJ",
            "eyJ.a",
            "eyJ.a.",
            "eyJ.a.b.c",
            "a.b.c",
            "eyJ.a b.c",
            "eyJ..c",
        ] {
            assert_eq!(signed.digest(garbage), None, "{garbage}");
        }
        let opaque = Token::<Access>::random();
        for forms in [signed, AccessForms::default()] {
            assert_eq!(forms.digest(opaque.reveal()), Some(opaque.digest()));
        }
    }
}
