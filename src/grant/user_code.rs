//! The code that a person reads off one device and types into another (RFC 8628 §6.1).

use std::fmt;

use zeroize::Zeroizing;

use crate::secret::{Digest, random};

/// No vowels, so that no words come of it, and nothing that looks like something else.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Eight letters out of twenty are 34.5 bits: enough for minutes, where guesses are counted.
const LETTERS: usize = 8;
/// How much is looked at of what a person typed, in bytes.
const MAX_TYPED: usize = 64;

/// A user code in its plain form: eight letters, nothing between them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UserCode(Zeroizing<String>);

impl UserCode {
    pub(crate) fn random() -> Self {
        let mut letters = Zeroizing::new(String::with_capacity(LETTERS));
        while letters.len() < LETTERS {
            let [byte] = random();
            letters.extend(letter(byte));
        }
        Self(letters)
    }

    /// What a person typed, in any case and with anything between the letters that is neither a
    /// letter nor a digit. `None` when no code can be meant.
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        if typed.len() > MAX_TYPED {
            return None;
        }
        let letters: Zeroizing<String> = Zeroizing::new(
            typed
                .chars()
                .filter(|c| c.is_alphanumeric())
                .map(|c| c.to_ascii_uppercase())
                .collect(),
        );
        let is_code =
            letters.len() == LETTERS && letters.bytes().all(|letter| ALPHABET.contains(&letter));
        is_code.then_some(Self(letters))
    }

    /// What the store is given.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Without anything between the letters.
    pub(crate) fn plain(&self) -> &str {
        &self.0
    }

    /// As people are shown it.
    pub(crate) fn shown(&self) -> Zeroizing<String> {
        let (left, right) = self.0.split_at(LETTERS / 2);
        Zeroizing::new(format!("{left}-{right}"))
    }
}

/// The letter that a random byte stands for; none for a byte that would make some letters likelier
/// than others.
fn letter(byte: u8) -> Option<char> {
    const FAIR: u8 = u8::MAX - u8::MAX % ALPHABET.len() as u8;
    (byte < FAIR).then(|| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_form_that_people_are_shown_and_are_read_back() {
        for _ in 0..200 {
            let code = UserCode::random();
            assert_eq!(code.shown().len(), 9);
            assert_eq!(UserCode::parse(&code.shown()), Some(code));
        }
    }

    #[test]
    fn every_letter_is_as_likely_as_any_other() {
        let mut drawn: Vec<char> = (0..=u8::MAX).filter_map(letter).collect();
        drawn.sort_unstable();
        let fair: Vec<char> = ALPHABET
            .iter()
            .flat_map(|&letter| [char::from(letter); 12])
            .collect();
        assert_eq!(drawn, fair);
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        let code = UserCode::parse("WDJBMJHT").unwrap();
        for typed in [
            "wdjb-mjht",
            " WDJB MJHT ",
            "w.d.j.b_m j-h/t",
            "wdjb\u{2011}mjht",
            "WDJB\u{2014}MJHT\u{a0}",
            &format!("WDJBMJHT{}", "-".repeat(56)),
        ] {
            assert_eq!(UserCode::parse(typed).as_ref(), Some(&code), "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        for typed in [
            "",
            "WDJB-MJH",
            "WDJB-MJHTT",
            "WDJB-MJHA",
            "WDJB-MJH1",
            "WDJB-MJH\u{424}",
            &format!("WDJBMJHT{}", "-".repeat(57)),
        ] {
            assert_eq!(UserCode::parse(typed), None, "{typed}");
        }
    }

    #[test]
    fn nothing_secret_is_debugged() {
        assert_eq!(format!("{:?}", UserCode::random()), "UserCode(..)");
    }
}
