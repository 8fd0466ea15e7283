//! Reads from a JSON-RPC message no more than what decides about scopes, and takes no message that
//! another parser might read differently.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Refusal,
    operation::{LISTEN, Needs},
};

/// Adds to `needs` what one message or a batch takes.
pub(crate) fn read(body: &[u8], needs: &mut Needs<'_>) -> Result<(), Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Body(needs)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|_| Refusal::MalformedMessage)
}

/// One message, or a list of them. A list is worked off while it is read, so that its memory does
/// not grow with the number of messages.
struct Body<'a, 'r>(&'a mut Needs<'r>);

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Message(self.0).visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Message(self.0))?.is_some() {}
        Ok(())
    }
}

struct Message<'a, 'r>(&'a mut Needs<'r>);

impl<'de> DeserializeSeed<'de> for Message<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Member {
            Method,
            Params,
            #[serde(other)]
            Other,
        }
        let mut method: Option<String> = None;
        let mut params: Option<Params> = None;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Method => once(&mut method, map.next_value()?)?,
                Member::Params => once(&mut params, map.next_value()?)?,
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // Without a method it is the answer to a request of the server's.
        let Some(method) = method else { return Ok(()) };
        let params = params.unwrap_or_default();
        if method == LISTEN {
            match params.notifications {
                Some(Notifications::Filter(filter)) => {
                    self.0.add_listening(&filter.resources.unwrap_or_default());
                }
                Some(Notifications::Other(_)) => {
                    return Err(Error::custom("notifications must say what to hear about"));
                }
                None => self.0.add_listening(&[]),
            }
            return Ok(());
        }
        let name = match method.as_str() {
            "resources/read" | "resources/subscribe" => params.uri,
            _ => params.name,
        };
        let name = name.and_then(|Text(text)| text);
        self.0
            .add(&method, name.as_deref(), Refusal::MalformedMessage)
            .map_err(Error::custom)
    }
}

/// Which of two members counts, parsers do not agree on.
fn once<T, E: Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a member appears twice")),
    }
}

/// `params` by name. By position is refused: MCP has no such thing, and who would know which
/// position a server takes for the name.
#[derive(Default)]
struct Params {
    name: Option<Text>,
    uri: Option<Text>,
    notifications: Option<Notifications>,
}

/// What `subscriptions/listen` is to tell; something else in another method.
#[derive(Deserialize)]
#[serde(untagged)]
enum Notifications {
    Filter(Filter),
    Other(IgnoredAny),
}

/// A member that stands twice makes it something else.
#[derive(Deserialize)]
struct Filter {
    #[serde(rename = "resourceSubscriptions")]
    resources: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByName;

        impl<'de> Visitor<'de> for ByName {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("params by name")
            }

            fn visit_unit<E: Error>(self) -> Result<Params, E> {
                Ok(Params::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                #[derive(Deserialize)]
                #[serde(field_identifier, rename_all = "lowercase")]
                enum Member {
                    Name,
                    Uri,
                    Notifications,
                    #[serde(other)]
                    Other,
                }
                let mut params = Params::default();
                while let Some(member) = map.next_key()? {
                    match member {
                        Member::Name => once(&mut params.name, map.next_value()?)?,
                        Member::Uri => once(&mut params.uri, map.next_value()?)?,
                        Member::Notifications => {
                            once(&mut params.notifications, map.next_value()?)?;
                        }
                        Member::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(params)
            }
        }

        deserializer.deserialize_any(ByName)
    }
}

/// A string, or something else where the method gives the member another meaning.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}
