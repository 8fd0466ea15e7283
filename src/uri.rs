//! URLs as OAuth uses them: kept byte for byte as configured, compared in canonical form.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use iri_string::types::UriStr;
use serde::{Deserialize, Serialize};

use crate::error::InvalidUri;

/// The parts of an absolute URI (RFC 3986 §3), borrowed from its text; nothing is normalised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) userinfo: Option<&'a str>,
    /// Empty where there is no authority; an IPv6 address keeps its brackets.
    pub(crate) host: &'a str,
    pub(crate) port: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) fragment: bool,
}

impl<'a> Parts<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let uri = UriStr::new(text).ok()?;
        let authority = uri.authority_components();
        Some(Self {
            scheme: uri.scheme_str(),
            userinfo: authority.and_then(|a| a.userinfo()),
            host: authority.map_or("", |a| a.host()),
            port: authority.and_then(|a| a.port()),
            path: uri.path_str(),
            query: uri.query_str(),
            fragment: uri.fragment().is_some(),
        })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("https")
    }

    pub(crate) fn is_http(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("http")
    }

    /// `localhost` and the loopback addresses in their usual spelling (RFC 8252 §7.3, §8.3).
    pub(crate) fn is_loopback_host(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// A port that is written out and is not the scheme's own.
    fn own_port(&self) -> Option<&'a str> {
        let default = if self.is_https() { "443" } else { "80" };
        self.port
            .filter(|port| !port.is_empty() && *port != default)
    }

    /// Scheme and host in lower case, the default port left out, an empty path as `/`.
    pub(crate) fn canonical(&self) -> String {
        let mut text = format!(
            "{}://{}",
            self.scheme.to_ascii_lowercase(),
            self.host.to_ascii_lowercase()
        );
        if let Some(port) = self.own_port() {
            text.push(':');
            text.push_str(port);
        }
        text.push_str(if self.path.is_empty() { "/" } else { self.path });
        if let Some(query) = self.query {
            text.push('?');
            text.push_str(query);
        }
        text
    }
}

/// What a host is to a browser (WHATWG URL §3.5).
pub(crate) enum Host<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl<'a> Host<'a> {
    /// Reads a host as it is written: `None` where there is none, or where browsers would write
    /// another in its place, be it the same one. Case is not looked at.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[') {
            let address = address.strip_suffix(']')?;
            let parsed: Ipv6Addr = address.parse().ok()?;
            let shortest = match (parsed.to_ipv4_mapped(), parsed.segments()) {
                // They do not mix it with decimal numbers.
                (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
                (None, _) => parsed.to_string(),
            };
            return shortest
                .eq_ignore_ascii_case(address)
                .then_some(Self::Address(parsed.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let last = name.rsplit('.').next().filter(|last| !last.is_empty())?;
        if name.contains('%') {
            return None;
        }
        // Browsers take whatever ends in a number for an address, octal and hexadecimal too.
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        if is_number {
            return text
                .parse()
                .ok()
                .map(|address: Ipv4Addr| Self::Address(address.into()));
        }
        Some(Self::Name(name))
    }
}

/// Parses what must be an `https` URL, or `http` on a loopback host for development.
fn parse_web<'a>(text: &'a str) -> Result<Parts<'a>, InvalidUri> {
    let refuse = |why| Err(InvalidUri::new(text, why));
    let Some(parts) = Parts::parse(text) else {
        return refuse("it is not an absolute URL");
    };
    if parts.fragment {
        return refuse("it has a fragment");
    }
    if parts.userinfo.is_some() {
        return refuse("it carries credentials");
    }
    if parts.host.is_empty() {
        return refuse("it names no host");
    }
    if Host::parse(parts.host).is_none() {
        return refuse("its host is written in a way that clients and browsers rewrite");
    }
    if parts
        .port
        .is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err())
    {
        return refuse("its port is out of range");
    }
    if parts.port.is_some_and(|port| port.starts_with('0')) {
        return refuse("its port begins with a zero, which clients and browsers leave out");
    }
    if parts.is_https() || (parts.is_http() && parts.is_loopback_host()) {
        Ok(parts)
    } else {
        refuse("only https is allowed, and http on localhost, 127.0.0.1 and [::1]")
    }
}

/// Whether a path has segments that clients leave out (RFC 3986 §5.2.4), however they are written.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        matches!(&*plain, "." | "..")
    })
}

/// The authorization server's name (RFC 8414 §2): one string, the same byte for byte in every
/// document and every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Takes the issuer as it is to be published.
    ///
    /// # Errors
    ///
    /// When it is no `https` URL (`http` on loopback), or has a query, a fragment, credentials, a
    /// trailing slash, or anything that clients may rewrite: capital letters in the host, say, or the
    /// scheme's own port. They compare issuers letter by letter (RFC 9207 §2.4), so there is only one
    /// spelling.
    pub fn parse(text: &str) -> Result<Self, InvalidUri> {
        let parts = parse_web(text)?;
        if parts.query.is_some() {
            return Err(InvalidUri::new(text, "an issuer has no query"));
        }
        if parts.path.ends_with('/') {
            return Err(InvalidUri::new(
                text,
                "leave out the trailing slash: clients compare issuers letter by letter",
            ));
        }
        let canonical = parts.canonical();
        if canonical.strip_suffix('/').unwrap_or(&canonical) != text || has_dots(parts.path) {
            return Err(InvalidUri::new(
                text,
                "write it as clients do: scheme and host in small letters, without the scheme's own \
                 port, and no dots alone in the path",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The issuer as published.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `https://host[:port]`, without any path.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0[..self.0.len() - self.path().len()]
    }

    /// The path: empty, or `/` and more without a slash at the end.
    #[must_use]
    pub fn path(&self) -> &str {
        Parts::parse(&self.0).map_or("", |parts| parts.path)
    }

    pub(crate) fn is_https(&self) -> bool {
        Parts::parse(&self.0).is_some_and(|parts| parts.is_https())
    }

    pub(crate) fn port(&self) -> Option<u16> {
        Parts::parse(&self.0).and_then(|parts| parts.port?.parse().ok())
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifier of a protected resource (RFC 8707 §2, RFC 9728 §1.2): published as written,
/// equal to every spelling that RFC 3986 calls equivalent in scheme, host, port and empty path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceUri(Arc<Spelling>);

#[derive(Debug)]
struct Spelling {
    text: Box<str>,
    /// `None` when it is written so.
    canonical: Option<Box<str>>,
}

impl ResourceUri {
    /// Takes a resource identifier as it came.
    ///
    /// # Errors
    ///
    /// When it is no absolute `https` URL (`http` on loopback), or has a fragment or credentials.
    pub fn parse(text: &str) -> Result<Self, InvalidUri> {
        let canonical = parse_web(text)?.canonical();
        Ok(Self(Arc::new(Spelling {
            text: text.into(),
            canonical: (canonical != text).then(|| canonical.into()),
        })))
    }

    /// The identifier as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn canonical(&self) -> &str {
        let Spelling { text, canonical } = &*self.0;
        canonical.as_ref().unwrap_or(text)
    }

    /// `scheme://host[:port]` as written.
    pub(crate) fn origin(&self) -> &str {
        let tail = self.path().len() + self.query().map_or(0, |query| query.len() + 1);
        &self.0.text[..self.0.text.len() - tail]
    }

    /// The path as written, possibly empty.
    #[must_use]
    pub fn path(&self) -> &str {
        Parts::parse(&self.0.text).map_or("", |parts| parts.path)
    }

    pub(crate) fn query(&self) -> Option<&str> {
        Parts::parse(&self.0.text).and_then(|parts| parts.query)
    }
}

impl PartialEq for ResourceUri {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.canonical() == other.canonical()
    }
}

impl Eq for ResourceUri {}

impl std::hash::Hash for ResourceUri {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl TryFrom<String> for ResourceUri {
    type Error = InvalidUri;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ResourceUri> for String {
    fn from(uri: ResourceUri) -> Self {
        uri.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_one_spelling() {
        for good in [
            "https://a.example",
            "https://a.example:8443/tenant",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "https://[2001:db8::1]",
            "https://[::ffff:c000:20a]",
            "https://a.example/T/..t",
            "https://192.0.2.10",
            "https://a.example.:8443",
            "https://0x.example",
        ] {
            assert_eq!(Issuer::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "https://a.example/",
            "https://a.example/t/",
            "https://a.example?x",
            "https://a.example#f",
            "http://a.example",
            "https://u@a.example",
            "a.example",
            "https://a.example:99999",
            "https://a.example:0443",
            "https://[2001:db8:0:0:0:0:0:1]",
            "https://[::01]",
            "https://[::ffff:192.0.2.10]",
            "https://192.0.2.010",
            "https://192.0.2",
            "https://3221225994",
            "https://0XC0000201",
            "https://ex%61mple.com",
            "https://a..",
            "https://A.example",
            "HTTPS://a.example/t",
            "http://LOCALHOST:3000",
            "https://[2001:DB8::1]",
            "https://a.example:443",
            "https://a.example:/t",
            "http://127.0.0.1:80",
            "https://a.example/t/../u",
            "https://a.example/%2E/t",
            "https://.",
            "",
        ] {
            assert!(Issuer::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Issuer::parse("https://a.example/t").unwrap().origin(),
            "https://a.example"
        );
    }

    #[test]
    fn resources_are_compared_canonically_and_shown_as_written() {
        let written = ResourceUri::parse("HTTPS://A.example:443").unwrap();
        assert_eq!(written.as_str(), "HTTPS://A.example:443");
        assert_eq!(written, ResourceUri::parse("https://a.example/").unwrap());
        assert_ne!(
            written,
            ResourceUri::parse("https://a.example/mcp").unwrap()
        );
        assert_ne!(
            ResourceUri::parse("https://a.example/mcp").unwrap(),
            ResourceUri::parse("https://a.example/mcp/").unwrap()
        );
        assert_ne!(
            ResourceUri::parse("https://a.example/mcp").unwrap(),
            ResourceUri::parse("https://a.example/MCP").unwrap()
        );
    }
}
