//! The cookie that ties an authorization to the browser it began in.

use std::{fmt, time::Duration};

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use crate::{
    secret::{Digest, SecretKey, base64url, is_handle, random_handle},
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

/// What the tokens of forms are made with.
pub(crate) struct FormKey(SecretKey);

impl From<SecretKey> for FormKey {
    fn from(key: SecretKey) -> Self {
        Self(key)
    }
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
        Self::named(headers, &self.name)
    }

    /// The browser that began the authorization `id` and sent `headers`, if `digest` is its.
    pub(crate) fn find(&self, headers: &HeaderMap, id: &Digest, digest: Digest) -> Option<Browser> {
        [self.name.clone(), self.name_for(id)]
            .iter()
            .filter_map(|name| Self::named(headers, name))
            .find(|browser| browser.digest() == digest)
    }

    fn named(headers: &HeaderMap, name: &str) -> Option<Browser> {
        // Byte for byte: what others set in whatever script must not hide ours, and what is like
        // white space to somebody must not make a name ours that has no prefix for browsers.
        headers
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| {
                let begins = pair.iter().position(|byte| !b" \t".contains(byte))?;
                let value = pair[begins..].strip_prefix(name.as_bytes())?;
                std::str::from_utf8(value.strip_prefix(b"=")?).ok()
            })
            .find(|value| is_handle(value))
            .map(|value| Browser {
                secret: Zeroizing::new(value.to_owned()),
                is_new: false,
            })
    }

    /// The name of a cookie for one authorization alone.
    fn name_for(&self, id: &Digest) -> String {
        format!("{}-{}", self.name, &base64url(id.as_bytes())[..16])
    }

    /// The browser that sent `headers`, under a new name if it was never here.
    pub(crate) fn read_or_create(&self, headers: &HeaderMap) -> Browser {
        self.read(headers).unwrap_or_else(|| Browser {
            secret: random_handle(),
            is_new: true,
        })
    }

    /// What a new browser must be told when it begins the authorization `id`; nothing for one that
    /// was here before.
    ///
    /// A new browser may open two tabs in one moment. Each is then told another secret, and keeps
    /// the one told last: so each authorization's own is told beside, for as long as it lives.
    pub(crate) fn set_cookies(
        &self,
        browser: &Browser,
        id: &Digest,
        lifetime: Duration,
    ) -> impl Iterator<Item = HeaderValue> {
        let lasting = self.set_cookie(browser);
        let own = lasting
            .as_ref()
            .and_then(|_| self.named_cookie(browser, self.name_for(id), Some(lifetime)));
        [lasting, own].into_iter().flatten()
    }

    /// What a new browser must be told where no authorization begins; nothing for one that was
    /// here before.
    pub(crate) fn set_cookie(&self, browser: &Browser) -> Option<HeaderValue> {
        if !browser.is_new {
            return None;
        }
        self.named_cookie(browser, self.name.clone(), None)
    }

    fn named_cookie(
        &self,
        browser: &Browser,
        name: String,
        lifetime: Option<Duration>,
    ) -> Option<HeaderValue> {
        let max_age = lifetime.and_then(|lifetime| lifetime.try_into().ok());
        let mut cookie = Cookie::build((name, browser.secret.as_str()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .build();
        cookie.set_max_age(max_age);
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

    /// The token of a form shown in this browser: for one authorization, and for what was `shown`,
    /// such as the user, so that neither another site nor another account can send it.
    pub(crate) fn form_token(&self, key: &FormKey, authorization: &Digest, shown: &str) -> String {
        let parts = [
            b"form",
            self.secret.as_bytes(),
            authorization.as_bytes(),
            shown.as_bytes(),
        ];
        base64url(&*key.0.derive(&parts))
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

    fn https() -> BrowserCookie {
        BrowserCookie::new(&Issuer::parse("https://a.example").unwrap())
    }

    /// What a browser without cookies is told at the start of the authorization `id`.
    fn told(cookie: &BrowserCookie, id: &Digest) -> (Browser, Vec<String>) {
        let browser = cookie.read_or_create(&HeaderMap::new());
        let set = cookie.set_cookies(&browser, id, Duration::from_secs(600));
        let set = set.map(|value| value.to_str().unwrap().to_owned());
        let set = set.collect();
        (browser, set)
    }

    fn sent(set: &[&str]) -> HeaderMap {
        let pairs = set.iter().map(|set| set.split(';').next().unwrap());
        let line = pairs.collect::<Vec<_>>().join("; ");
        HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())])
    }

    #[test]
    fn the_cookie_is_as_strict_as_its_origin_allows() {
        let (_, set) = told(&https(), &Digest::of("a"));
        assert!(set[0].starts_with("__Host-mcp-auth="), "{set:?}");
        for set in set {
            for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
                assert!(set.contains(attribute), "{set}");
            }
        }
        let local = BrowserCookie::new(&Issuer::parse("http://127.0.0.1:3000").unwrap());
        let (_, set) = told(&local, &Digest::of("a"));
        assert!(set[0].starts_with("mcp-auth-3000="));
        assert!(!set[0].contains("Secure"));
    }

    #[test]
    fn what_others_set_neither_hides_a_browser_nor_passes_for_one() {
        let (cookie, id) = (https(), Digest::of("a"));
        let (browser, set) = told(&cookie, &id);
        let ours = set[0].split(';').next().unwrap();
        let found = |line: String| {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
            cookie.read(&headers).map(|found| found.digest())
        };
        for line in [
            format!("theme=d\u{fc}nkel; {ours}"),
            format!("{ours};  a=\u{fc}"),
            format!("a=\t{ours}; \t{ours}"),
            format!("; =; a; {ours}; {ours}"),
        ] {
            assert_eq!(found(line.clone()), Some(browser.digest()), "{line}");
        }
        for line in [
            format!("\u{a0}{ours}"),
            format!("\u{3000}{ours}"),
            format!("a={ours}"),
            format!("x{ours}"),
            ours.to_lowercase(),
            ours.replace('=', " ="),
            format!("{ours}\u{a0}"),
        ] {
            assert_eq!(found(line.clone()), None, "{line}");
        }
    }

    #[test]
    fn a_known_browser_is_found_among_other_cookies_and_told_nothing() {
        let (cookie, id) = (https(), Digest::of("a"));
        let (browser, set) = told(&cookie, &id);
        let known = cookie.read_or_create(&sent(&["other=1", &set[0], "x=y"]));
        assert_eq!(known.digest(), browser.digest());
        let lifetime = Duration::from_secs(600);
        assert_eq!(cookie.set_cookies(&known, &id, lifetime).count(), 0);
        assert!(cookie.read(&sent(&["__Host-mcp-auth=guess"])).is_none());
    }

    #[test]
    fn two_tabs_of_a_new_browser_do_not_lose_each_other() {
        let cookie = https();
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        let (first, set_first) = told(&cookie, &one);
        let (second, set_second) = told(&cookie, &two);
        // The second answer has replaced the cookie they share.
        let headers = sent(&[&set_second[0], &set_first[1], &set_second[1]]);
        let found = |id, browser: &Browser| cookie.find(&headers, id, browser.digest());
        assert!(found(&one, &first).is_some());
        assert!(found(&two, &second).is_some());
        assert!(found(&two, &first).is_none(), "bound to its authorization");
    }

    #[test]
    fn a_form_token_is_for_one_browser_one_authorization_and_one_user() {
        let cookie = BrowserCookie::new(&Issuer::parse("https://a.example").unwrap());
        let (one, two) = (
            cookie.read_or_create(&HeaderMap::new()),
            cookie.read_or_create(&HeaderMap::new()),
        );
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let key = || FormKey::from(SecretKey::random());
        let (ours, theirs) = (key(), key());
        let token = one.form_token(&ours, &a, "alice");
        assert_eq!(token, one.form_token(&ours, &a, "alice"));
        for other in [
            one.form_token(&theirs, &a, "alice"),
            two.form_token(&ours, &a, "alice"),
            one.form_token(&ours, &b, "alice"),
            one.form_token(&ours, &a, "bob"),
        ] {
            assert_ne!(token, other);
        }
    }
}
