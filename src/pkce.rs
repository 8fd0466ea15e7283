//! Proof Key for Code Exchange (RFC 7636), `S256` only.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::secret::{Digest, base64url};

/// A well-formed `code_challenge`: 43 to 128 unreserved characters (RFC 7636 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Takes a challenge as it came over the wire, `None` when its form is wrong.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_well_formed(text).then(|| Self(text.to_owned()))
    }

    /// Whether `verifier` is what the challenge was made from.
    #[must_use]
    pub fn is_met_by(&self, verifier: &str) -> bool {
        let made = base64url(Digest::of(verifier).as_bytes());
        is_well_formed(verifier) && bool::from(made.as_bytes().ct_eq(self.0.as_bytes()))
    }
}

/// RFC 7636 §4.1 asks the same of verifiers and challenges.
fn is_well_formed(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn the_rfc_example_is_met() {
        let challenge =
            CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        assert!(challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!challenge.is_met_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"));
    }

    #[test]
    fn a_challenge_is_never_its_own_verifier() {
        let plain = "a".repeat(43);
        assert!(!CodeChallenge::parse(&plain).unwrap().is_met_by(&plain));
    }

    #[test]
    fn lengths_and_letters_are_bounded() {
        for length in [43, 128] {
            let verifier = "-._~Az09".repeat(16)[..length].to_owned();
            let challenge = base64url(Digest::of(&verifier).as_bytes());
            assert!(
                CodeChallenge::parse(&challenge)
                    .unwrap()
                    .is_met_by(&verifier)
            );
            assert!(CodeChallenge::parse(&verifier).is_some());
        }
        assert!(CodeChallenge::parse(&"a".repeat(42)).is_none());
        assert!(CodeChallenge::parse(&"a".repeat(129)).is_none());
        assert!(CodeChallenge::parse(&format!("{}+", "a".repeat(43))).is_none());
    }
}
