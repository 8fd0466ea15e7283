//! The cookie that ties an authorization to the browser it began in.

use std::fmt;

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use crate::{
    secret::{Digest, base64url, is_handle, random_handle},
    uri::Issuer,
};

/// How the cookie is named and protected, which depends on the issuer alone.
#[derive(Clone, Debug)]
pub(crate) struct BrowserCookie {
    name: String,
    secure: bool,
}

/// One browser, recognised by its cookie.
pub(crate) struct Browser {
    secret: Zeroizing<String>,
    is_new: bool,
}

impl BrowserCookie {
    /// On `https` the `__Host-` prefix keeps sibling hosts from planting a cookie. Development
    /// servers on plain loopback cannot have it; there the port in the name keeps them apart.
    pub(crate) fn new(issuer: &Issuer) -> Self {
        if issuer.is_https() {
            Self {
                name: "__Host-mcp-auth".to_owned(),
                secure: true,
            }
        } else {
            Self {
                name: format!("mcp-auth-{}", issuer.port().unwrap_or(80)),
                secure: false,
            }
        }
    }

    /// The browser that sent `headers`, if it was here before.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<Browser> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(Cookie::split_parse)
            .flatten()
            .find(|cookie| cookie.name() == self.name && is_handle(cookie.value()))
            .map(|cookie| Browser {
                secret: Zeroizing::new(cookie.value().to_owned()),
                is_new: false,
            })
    }

    /// The browser that sent `headers`, under a new name if it was never here.
    pub(crate) fn read_or_create(&self, headers: &HeaderMap) -> Browser {
        self.read(headers).unwrap_or_else(|| Browser {
            secret: random_handle(),
            is_new: true,
        })
    }

    /// What a new browser must be told; nothing for one that was here before.
    pub(crate) fn set_cookie(&self, browser: &Browser) -> Option<HeaderValue> {
        if !browser.is_new {
            return None;
        }
        let cookie = Cookie::build((self.name.as_str(), browser.secret.as_str()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .build();
        let mut value = HeaderValue::from_str(&cookie.to_string()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Browser {
    /// What the store is given.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.secret)
    }

    /// The token of a form shown in this browser: for one authorization and one user, so that
    /// neither another site nor another account can send it.
    pub(crate) fn form_token(&self, authorization: &Digest, subject: &str) -> String {
        let input = Zeroizing::new(format!(
            "{}\n{}\n{subject}",
            *self.secret,
            base64url(authorization.as_bytes())
        ));
        base64url(Digest::of(&input).as_bytes())
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Browser(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_as_strict_as_its_origin_allows() {
        let https = BrowserCookie::new(&Issuer::parse("https://a.example").unwrap());
        let browser = https.read_or_create(&HeaderMap::new());
        let set = https.set_cookie(&browser).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.starts_with("__Host-mcp-auth="), "{set}");
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
            assert!(set.contains(attribute), "{set}");
        }
        let local = BrowserCookie::new(&Issuer::parse("http://127.0.0.1:3000").unwrap());
        let set = local
            .set_cookie(&local.read_or_create(&HeaderMap::new()))
            .unwrap();
        assert!(set.to_str().unwrap().starts_with("mcp-auth-3000="));
        assert!(!set.to_str().unwrap().contains("Secure"));
    }

    #[test]
    fn a_known_browser_is_found_among_other_cookies() {
        let cookie = BrowserCookie::new(&Issuer::parse("https://a.example").unwrap());
        let browser = cookie.read_or_create(&HeaderMap::new());
        let pair = cookie
            .set_cookie(&browser)
            .unwrap()
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            format!("other=1; {pair}; x=y").parse().unwrap(),
        );
        assert_eq!(cookie.read(&headers).unwrap().digest(), browser.digest());
        headers.insert(header::COOKIE, "__Host-mcp-auth=guess".parse().unwrap());
        assert!(cookie.read(&headers).is_none());
    }

    #[test]
    fn a_form_token_is_for_one_browser_one_authorization_and_one_user() {
        let cookie = BrowserCookie::new(&Issuer::parse("https://a.example").unwrap());
        let (one, two) = (
            cookie.read_or_create(&HeaderMap::new()),
            cookie.read_or_create(&HeaderMap::new()),
        );
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let token = one.form_token(&a, "alice");
        assert_eq!(token, one.form_token(&a, "alice"));
        for other in [
            two.form_token(&a, "alice"),
            one.form_token(&b, "alice"),
            one.form_token(&a, "bob"),
        ] {
            assert_ne!(token, other);
        }
    }
}
