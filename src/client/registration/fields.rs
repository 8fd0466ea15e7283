//! Reading the members of a stranger's JSON.

use serde_json::{Map, Value};

use super::{RegistrationError, invalid};
use crate::uri::ResourceUri;

const MAX_TEXT: usize = 512;
const MAX_URL: usize = 2048;

/// A present, non-null, non-empty member: real clients send `""` and `null` for what they lack.
pub(super) fn member<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields
        .get(name)
        .filter(|value| !value.is_null() && value.as_str() != Some(""))
}

pub(super) fn text(
    fields: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, RegistrationError> {
    let Some(value) = member(fields, name) else {
        return Ok(None);
    };
    let value = value
        .as_str()
        .ok_or_else(|| invalid(format!("{name} must be a string")))?;
    if value.chars().count() > MAX_TEXT {
        return Err(invalid(format!(
            "{name} is longer than {MAX_TEXT} characters"
        )));
    }
    // Invisible and direction-changing characters have no place in a name people decide by.
    let visible: String = value.chars().filter(|c| !is_deceptive(*c)).collect();
    let visible = visible.trim();
    Ok((!visible.is_empty()).then(|| visible.to_owned()))
}

/// How a client calls itself. Pages put it in quotation marks: what it says must not seem to end
/// there. Nor may marks pile up on a letter until they cover the lines above.
pub(super) fn name(
    fields: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, RegistrationError> {
    const PILE: usize = 2;
    let Some(text) = text(fields, name)? else {
        return Ok(None);
    };
    let mut pile = 0;
    let kept = text.chars().filter(|c| {
        pile = if is_combining(*c) { pile + 1 } else { 0 };
        pile <= PILE && !is_quotation_mark(*c)
    });
    let kept: String = kept.collect();
    let kept = kept.trim();
    Ok((!kept.is_empty()).then(|| kept.to_owned()))
}

/// Single ones are apostrophes, too.
fn is_quotation_mark(c: char) -> bool {
    matches!(
        c,
        '"' | '«' | '»' | '“'..='‟' | '〝'..='〟' | '「'..='』' | '\u{2e42}' | '\u{ff02}'
    )
}

/// The blocks of marks that combine with any letter.
fn is_combining(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// What is not seen: controls, all that Unicode says may be ignored when it is shown
/// (`Default_Ignorable_Code_Point`), line breaks and the blank of Braille.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

pub(super) fn strings(
    fields: &Map<String, Value>,
    name: &str,
    max: usize,
) -> Result<Option<Vec<String>>, RegistrationError> {
    let Some(value) = member(fields, name) else {
        return Ok(None);
    };
    let wrong = || invalid(format!("{name} must be an array of at most {max} strings"));
    let items = value
        .as_array()
        .filter(|items| items.len() <= max)
        .ok_or_else(wrong)?;
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(text) if text.len() <= MAX_URL => Ok(text.to_owned()),
            _ => Err(wrong()),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// A page about the client. Only web addresses: they end up as links in front of people.
pub(super) fn url(
    fields: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, RegistrationError> {
    let Some(value) = member(fields, name) else {
        return Ok(None);
    };
    match value.as_str() {
        Some(text) if text.len() <= MAX_URL && ResourceUri::parse(text).is_ok() => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(invalid(format!("{name} must be an https URL"))),
    }
}
