//! JSON objects that are nearly right: those that are asked for, with changes.

use arbitrary::Arbitrary;
use serde_json::{Map, Value};

/// A value of any kind.
#[derive(Arbitrary, Debug)]
pub enum Shape<'a> {
    /// Text.
    Text(&'a str),
    /// A list of texts.
    Many(Vec<&'a str>),
    /// A list of numbers and more.
    Mixed(Vec<Shape<'a>>),
    /// An object.
    Object(Vec<(&'a str, Shape<'a>)>),
    /// A number.
    Whole(i64),
    /// A number near the present.
    Soon(i16),
    /// A number with a fraction.
    Fraction(f64),
    /// Yes or no.
    Truth(bool),
    /// Null.
    Nothing,
}

impl Shape<'_> {
    /// As JSON, at `now`.
    pub fn value(&self, now: u64) -> Value {
        match self {
            Self::Text(text) => (*text).into(),
            Self::Many(texts) => texts.iter().copied().collect(),
            Self::Mixed(items) => items.iter().map(|item| item.value(now)).collect(),
            Self::Object(members) => members
                .iter()
                .map(|(name, shape)| ((*name).to_owned(), shape.value(now)))
                .collect(),
            Self::Whole(number) => (*number).into(),
            Self::Soon(number) => now.saturating_add_signed((*number).into()).into(),
            Self::Fraction(number) => (*number).into(),
            Self::Truth(truth) => (*truth).into(),
            Self::Nothing => Value::Null,
        }
    }
}

/// Changes of an object.
#[derive(Arbitrary, Debug)]
pub struct Members<'a> {
    without: Vec<u8>,
    with: Vec<(u8, Shape<'a>)>,
    own: Vec<(&'a str, Shape<'a>)>,
}

impl Members<'_> {
    /// Applies them: `names` are the members that matter.
    pub fn change(&self, object: &mut Map<String, Value>, names: &[&str], now: u64) {
        let name = |index: &u8| names[usize::from(*index) % names.len()];
        for index in &self.without {
            object.remove(name(index));
        }
        for (index, shape) in &self.with {
            object.insert(name(index).to_owned(), shape.value(now));
        }
        for (name, shape) in &self.own {
            object.insert((*name).to_owned(), shape.value(now));
        }
    }
}
