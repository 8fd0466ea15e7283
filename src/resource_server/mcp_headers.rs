//! `Mcp-Method` and `Mcp-Name` (MCP 2026-07-28), which say what a request asks for without its body.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};

use super::{
    Refusal,
    operation::{LISTEN, Needs},
};

const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// The versions whose servers refuse a request with headers that differ from its body. Others may
/// ignore the headers, so there only the body counts. A version not known here may be unknown to
/// the server behind too, and treated as an old one: it is not taken on trust.
const VERSIONS: [&[u8]; 1] = [b"2026-07-28"];

/// Adds to `needs` what the headers say; `false` where only the body can tell.
pub(crate) fn read(headers: &HeaderMap, needs: &mut Needs<'_>) -> Result<bool, Refusal> {
    let mut versions = headers.get_all(MCP_PROTOCOL_VERSION).iter();
    let version = versions.next().map(|version| version.as_bytes());
    if versions.next().is_some() || !version.is_some_and(|version| VERSIONS.contains(&version)) {
        return Ok(false);
    }
    let Some(method) = single(headers, &MCP_METHOD)? else {
        return Ok(false);
    };
    // Its list of resources is in the body alone.
    if method == LISTEN && needs.depend_on_name(method) {
        return Ok(false);
    }
    let name = if needs.depend_on_name(method) {
        single(headers, &MCP_NAME)?.map(decode).transpose()?
    } else {
        None
    };
    needs.add(method, name.as_deref(), Refusal::MalformedHeaders)?;
    Ok(true)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        // HTTP/2 hands on blanks at either end, and a server may not count them.
        (Ok(value), None) if value.trim_ascii() == value => Ok(Some(value)),
        _ => Err(Refusal::MalformedHeaders),
    }
}

/// A name that does not fit into a header comes as `=?base64?..?=`. In any case of letters: a
/// server that is lenient about it must not see another name than this layer.
fn decode(value: &str) -> Result<String, Refusal> {
    const PREFIX: &str = "=?base64?";
    let coded = value
        .get(..PREFIX.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX));
    if !coded {
        return Ok(value.to_owned());
    }
    value
        .get(PREFIX.len()..)
        .and_then(|rest| rest.strip_suffix("?="))
        .and_then(|coded| STANDARD.decode(coded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Refusal::MalformedHeaders)
}
