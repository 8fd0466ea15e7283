//! Redirect URIs: which ones may be registered, and when a requested one matches.
//!
//! Matching is exact, letter for letter (RFC 6749 §3.1.2.3), with the one exception of RFC 8252
//! §7.3: on a loopback host every port matches, since a native program gets whichever is free.
//! `localhost` is treated alike because real clients publish it without a port.

use crate::{
    error::InvalidUri,
    uri::{Host, Parts},
};

/// Schemes of well-known programs that have no dot in them, as RFC 8252 §7.1 would want.
const KNOWN_PRIVATE_SCHEMES: [&str; 6] = [
    "cursor",
    "vscode",
    "vscode-insiders",
    "windsurf",
    "zed",
    "claude",
];

/// How systems call themselves in what they resolve without asking anybody; browsers never ask about
/// the first.
const LOCAL_NAMES: [&str; 8] = [
    "localhost",
    "localdomain",
    "localhost4",
    "localhost6",
    "localdomain4",
    "localdomain6",
    "ip6-localhost",
    "ip6-loopback",
];

/// How long a redirect URI may be.
const MAX_LENGTH: usize = 2048;

/// What stands at the other end of a redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedirectKind {
    /// A web server that proved to own its name to the browser.
    Https,
    /// A program on the user's machine: any local program could listen there, be it behind TLS.
    Loopback,
    /// A program that registered a scheme: any local program could have.
    PrivateScheme,
}

/// Tells what kind of redirect URI `text` is.
///
/// # Errors
///
/// When it cannot be one: relative, with a fragment or credentials, plain `http` beyond loopback,
/// or a scheme that a browser would execute or that names no program.
pub(crate) fn classify(text: &str) -> Result<RedirectKind, InvalidUri> {
    let refuse = |why| Err(InvalidUri::new(text, why));
    if text.len() > MAX_LENGTH {
        return refuse("it is too long");
    }
    let Some(parts) = Parts::parse(text) else {
        return refuse("it is not an absolute URI");
    };
    if parts.fragment {
        return refuse("it has a fragment");
    }
    if parts.userinfo.is_some() {
        return refuse("it carries credentials");
    }
    if parts
        .port
        .is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err())
    {
        return refuse("its port is out of range");
    }
    if parts.is_https() || parts.is_http() {
        return match Whose::of(parts.host) {
            None => refuse("it names no host, or names it in a way that browsers rewrite"),
            Some(Whose::Elsewhere) if parts.is_https() => Ok(RedirectKind::Https),
            Some(Whose::ThisMachine) if parts.is_https() || parts.is_loopback_host() => {
                Ok(RedirectKind::Loopback)
            }
            Some(_) => refuse("plain http is allowed on localhost, 127.0.0.1 and [::1] only"),
        };
    }
    let scheme = parts.scheme.to_ascii_lowercase();
    if scheme.contains('.') || KNOWN_PRIVATE_SCHEMES.contains(&scheme.as_str()) {
        Ok(RedirectKind::PrivateScheme)
    } else {
        refuse("use https, a loopback address, or a private scheme in reverse domain order")
    }
}

/// Whether `requested` is what was `registered`.
pub(crate) fn matches(registered: &str, requested: &str) -> bool {
    if registered == requested {
        return true;
    }
    match (around_free_port(registered), around_free_port(requested)) {
        (Some(registered), Some(requested)) => registered == requested,
        _ => false,
    }
}

/// `text` letter for letter, but for a port that is free to change.
pub(crate) fn without_free_port(text: &str) -> String {
    around_free_port(text).map_or_else(
        || text.to_owned(),
        |(before, after)| before.to_owned() + after,
    )
}

/// What stands before and after the port of `text`, where that may be any: on loopback without TLS,
/// which a program serves that takes whichever port is free.
fn around_free_port(text: &str) -> Option<(&str, &str)> {
    let parts = Parts::parse(text)?;
    if !parts.is_http() || classify(text) != Ok(RedirectKind::Loopback) {
        return None;
    }
    let host_end = text.find("://")? + 3 + parts.host.len();
    let port = parts.port.map_or(0, |port| port.len() + 1);
    Some((&text[..host_end], &text[host_end + port..]))
}

/// Whose machine a host leads a browser to.
enum Whose {
    /// The one the browser runs on.
    ThisMachine,
    Elsewhere,
}

impl Whose {
    /// `None` where the host is not written as browsers read it: a user is shown what is written.
    fn of(host: &str) -> Option<Self> {
        let is_local = match Host::parse(host)? {
            Host::Address(address) => {
                let address = address.to_canonical();
                address.is_loopback() || address.is_unspecified()
            }
            Host::Name(name) => {
                let last = name.rsplit('.').next().unwrap_or_default();
                LOCAL_NAMES
                    .iter()
                    .any(|local| last.eq_ignore_ascii_case(local))
            }
        };
        Some(if is_local {
            Self::ThisMachine
        } else {
            Self::Elsewhere
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_clients_can_register() {
        use RedirectKind::*;
        for (uri, kind) in [
            ("https://claude.ai/api/mcp/auth_callback", Https),
            ("https://chatgpt.com/connector/oauth/abc", Https),
            (
                "cursor://anysphere.cursor-mcp/oauth/callback",
                PrivateScheme,
            ),
            ("https://vscode.dev/redirect", Https),
            ("http://127.0.0.1/", Loopback),
            ("http://127.0.0.1:33418/", Loopback),
            ("http://localhost:6274/oauth/callback", Loopback),
            ("http://localhost/callback", Loopback),
            ("http://[::1]:9/cb", Loopback),
            ("com.example.app:/oauth2redirect", PrivateScheme),
            ("https://192.0.2.7:8443/cb", Https),
            ("https://[2001:db8::7]/cb", Https),
            ("https://a.example./cb", Https),
        ] {
            assert_eq!(classify(uri), Ok(kind), "{uri}");
        }
    }

    #[test]
    fn tls_does_not_make_a_local_program_a_web_site() {
        for uri in [
            "https://localhost:8443/cb",
            "https://LOCALHOST./cb",
            "https://app.localhost/cb",
            "https://localhost.localdomain/cb",
            "https://localhost4.localdomain4/cb",
            "https://localhost6.localdomain6/cb",
            "https://ip6-localhost/cb",
            "https://127.0.0.1/cb",
            "https://127.9.9.9:1/cb",
            "https://0.0.0.0/cb",
            "https://[::1]/cb",
            "https://[::]/cb",
            "https://[::ffff:7f00:1]/cb",
        ] {
            assert_eq!(classify(uri), Ok(RedirectKind::Loopback), "{uri}");
        }
        assert_eq!(
            classify("https://localhost.a.example/cb"),
            Ok(RedirectKind::Https)
        );
    }

    #[test]
    fn a_host_is_written_as_browsers_read_it() {
        for uri in [
            "https://2130706433/cb",
            "https://0x7f000001/cb",
            "https://0x7f.1/cb",
            "https://127.1/cb",
            "https://0177.0.0.1/cb",
            "https://1.2.3.4./cb",
            "https://a.example.5/cb",
            "https://claude%2eai/cb",
            "https://claude.ai%2eevil.example/cb",
            "https://./cb",
            "https://a.example../cb",
            "http://2130706433/cb",
            "http://0.0.0.0/cb",
            "http://app.localhost/cb",
        ] {
            assert!(classify(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn doubtful_uris_cannot() {
        for uri in [
            "",
            "/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "http://evil.example/cb",
            "https://a.example/cb#frag",
            "https://user@a.example/cb",
            "https://a.example:99999/",
            "https:///cb",
            "urn:x:y",
            "https://a.example/ü",
            "https://a.example/ x",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "about:blank",
        ] {
            assert!(classify(uri).is_err(), "{uri}");
        }
        assert!(classify(&format!("https://a.example/{}", "x".repeat(2048))).is_err());
    }

    #[test]
    fn only_a_loopback_port_may_differ() {
        assert!(matches(
            "http://localhost/callback",
            "http://localhost:52301/callback"
        ));
        assert!(matches(
            "http://127.0.0.1:1/cb?x=1",
            "http://127.0.0.1:2/cb?x=1"
        ));
        assert!(matches("http://[::1]/cb", "http://[::1]:4000/cb"));
        for (registered, requested) in [
            (
                "http://localhost/callback",
                "http://127.0.0.1:52301/callback",
            ),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb/"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x=1"),
            ("https://a.example/cb", "https://a.example:8443/cb"),
            ("https://a.example/cb", "https://A.example/cb"),
            ("https://localhost/cb", "https://localhost:1/cb"),
            ("https://localhost/cb", "http://localhost/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/%63b"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb"),
            ("cursor://a/cb", "cursor://a:1/cb"),
        ] {
            assert!(!matches(registered, requested), "{registered} {requested}");
        }
    }
}
