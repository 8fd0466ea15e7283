//! How single values travel: `bytea` as hexadecimal digits, times and numbers as `bigint`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    clock::Timestamp,
    secret::{Digest, GrantId, KeyMaterial},
};

/// The largest number that a column holds: as a time it is as good as never.
const MOST: u64 = i64::MAX as u64;

/// A value of a column, where it is not what serde makes of it anyway.
pub(super) trait Column: Sized {
    /// What stands in JSON.
    type Json: Serialize + for<'de> Deserialize<'de>;

    fn to_json(&self) -> Self::Json;
    fn from_json(json: Self::Json) -> Option<Self>;
}

impl Column for Digest {
    type Json = String;

    fn to_json(&self) -> String {
        to_hex(self.as_bytes())
    }

    fn from_json(json: String) -> Option<Self> {
        from_hex(&json)?.try_into().ok().map(Self::from_bytes)
    }
}

impl Column for GrantId {
    type Json = String;

    fn to_json(&self) -> String {
        to_hex(self.as_bytes())
    }

    fn from_json(json: String) -> Option<Self> {
        from_hex(&json)?.try_into().ok().map(Self::from_bytes)
    }
}

impl Column for KeyMaterial {
    type Json = String;

    fn to_json(&self) -> String {
        to_hex(self.as_bytes())
    }

    fn from_json(json: String) -> Option<Self> {
        from_hex(&json).map(Self::new)
    }
}

impl Column for Timestamp {
    type Json = u64;

    fn to_json(&self) -> u64 {
        self.as_secs().to_json()
    }

    fn from_json(json: u64) -> Option<Self> {
        Some(Self::from_secs(json))
    }
}

impl Column for u64 {
    type Json = Self;

    fn to_json(&self) -> Self {
        (*self).min(MOST)
    }

    fn from_json(json: Self) -> Option<Self> {
        Some(json)
    }
}

impl<C: Column> Column for Option<C> {
    type Json = Option<C::Json>;

    fn to_json(&self) -> Self::Json {
        self.as_ref().map(C::to_json)
    }

    fn from_json(json: Self::Json) -> Option<Self> {
        match json {
            Some(json) => C::from_json(json).map(Some),
            None => Some(None),
        }
    }
}

impl<C: Column> Column for Vec<C> {
    type Json = Vec<C::Json>;

    fn to_json(&self) -> Self::Json {
        self.iter().map(C::to_json).collect()
    }

    fn from_json(json: Self::Json) -> Option<Self> {
        json.into_iter().map(C::from_json).collect()
    }
}

/// For `#[serde(with = "column")]`.
pub(super) mod column {
    use super::{Column, Deserialize, Deserializer, Serialize, Serializer, de};

    pub(in super::super) fn serialize<C: Column, S: Serializer>(
        value: &C,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.to_json().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, C: Column, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<C, D::Error> {
        let json = C::Json::deserialize(deserializer)?;
        C::from_json(json).ok_or_else(|| de::Error::custom("no bytea of the right form"))
    }
}

/// The form in which PostgreSQL writes and reads `bytea`.
fn to_hex(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("\\x")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_travel_in_the_form_of_bytea() {
        let digest = Digest::of("token");
        let json = digest.to_json();
        assert!(json.starts_with("\\x") && json.len() == 66, "{json}");
        assert_eq!(Digest::from_json(json.clone()), Some(digest));
        for wrong in ["", "\\x", "\\xzz", &json[..64], &json[2..]] {
            assert_eq!(Digest::from_json(wrong.to_owned()), None, "{wrong}");
        }
        let material = KeyMaterial::new(vec![0, 255]);
        assert_eq!(material.to_json(), "\\x00ff");
        assert_eq!(KeyMaterial::from_json("\\x00ff".to_owned()), Some(material));
    }

    #[test]
    fn what_is_later_than_a_column_holds_is_as_late_as_it_holds() {
        let never = Timestamp::from_secs(u64::MAX);
        assert_eq!(never.to_json(), i64::MAX as u64);
        assert_eq!(Some(never).to_json(), Some(i64::MAX as u64));
        assert_eq!(Option::<Timestamp>::from_json(None), Some(None));
    }
}
