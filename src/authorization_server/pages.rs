//! The pages that people see.

use std::borrow::Cow;

use super::{
    device::{DeviceCodePage, DeviceConfirmPage, MessagePage},
    sign_out_page::SignOutPage,
};

/// What the consent page must show (RFC 9700 §4.11, MCP security best practices).
///
/// Every text here may come from a stranger: escape it.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConsentPage<'a> {
    /// What the client calls itself. Anyone can call themselves anything.
    pub client_name: &'a str,
    /// The host that describes it, where its id is the address of a document: proof of who it is,
    /// as far as that host is to be trusted.
    pub client_host: Option<&'a str>,
    /// Its home page, if it named one.
    pub client_uri: Option<&'a str>,
    /// Where the answer goes: the host, or for a private scheme the scheme. Show it clearly: it
    /// says more than the name.
    pub destination: &'a str,
    /// Whether the answer goes to a program on this very machine, where any local program could
    /// be the one listening.
    pub is_local: bool,
    /// Who is signed in.
    pub user: &'a str,
    /// The name of the resource, or its URL.
    pub resource: &'a str,
    /// What would be allowed: scopes, with a description where the application gave one.
    pub scopes: Vec<(&'a str, Option<String>)>,
    /// The address to send the form to.
    pub action: &'a str,
    /// Hidden fields that the form must carry: names and values.
    pub fields: Vec<(&'static str, &'a str)>,
}

/// What the error page shows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ErrorPage<'a> {
    /// What went wrong, in a sentence.
    pub message: &'a str,
    /// The code, for a developer.
    pub code: &'a str,
}

/// Renders the pages. The headers that protect them (policy, frames, caching, referrer) are set
/// around whatever is rendered, and allow no script.
pub trait Pages: Send + Sync + 'static {
    /// The consent page: a form that posts `page.fields` and `decision`, which is `approve` or
    /// `deny`, to `page.action`.
    fn consent(&self, page: &ConsentPage<'_>) -> String;

    /// The page for errors that cannot be sent to the client.
    fn error(&self, page: &ErrorPage<'_>) -> String;

    /// The page on which a person types the code that a device shows: a form that posts
    /// `page.fields` and `user_code` to `page.action`. Without the feature `pages` there is no page
    /// to fall back on, and this has to be written.
    #[cfg(feature = "pages")]
    fn device_code(&self, page: &DeviceCodePage<'_>) -> String {
        BuiltInPages.device_code(page)
    }

    /// The page on which a person decides about a device: a form that posts `page.fields` and
    /// `decision`, which is `approve` or `deny`, to `page.action`. Without the feature `pages` there
    /// is no page to fall back on, and this has to be written.
    #[cfg(feature = "pages")]
    fn device_confirm(&self, page: &DeviceConfirmPage<'_>) -> String {
        BuiltInPages.device_confirm(page)
    }

    /// The page that asks whether to sign out: a form that posts `page.fields` and `decision`, which
    /// is `approve` or `deny`, to `page.action`. Without the feature `pages` there is no page to fall
    /// back on, and this has to be written.
    #[cfg(feature = "pages")]
    fn sign_out(&self, page: &SignOutPage<'_>) -> String {
        BuiltInPages.sign_out(page)
    }

    /// The page that says how something ended. Without the feature `pages` there is no page to fall
    /// back on, and this has to be written.
    #[cfg(feature = "pages")]
    fn message(&self, page: &MessagePage<'_>) -> String {
        BuiltInPages.message(page)
    }

    /// As above.
    #[cfg(not(feature = "pages"))]
    fn device_code(&self, page: &DeviceCodePage<'_>) -> String;

    /// As above.
    #[cfg(not(feature = "pages"))]
    fn device_confirm(&self, page: &DeviceConfirmPage<'_>) -> String;

    /// As above.
    #[cfg(not(feature = "pages"))]
    fn sign_out(&self, page: &SignOutPage<'_>) -> String;

    /// As above.
    #[cfg(not(feature = "pages"))]
    fn message(&self, page: &MessagePage<'_>) -> String;

    /// The `style-src` of the pages' Content-Security-Policy.
    fn style_source(&self) -> Cow<'_, str> {
        Cow::Borrowed("'self'")
    }
}

/// The pages that come with the crate: plain, accessible, without scripts or images.
#[cfg(feature = "pages")]
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltInPages;

#[cfg(feature = "pages")]
mod built_in {
    use askama::Template;
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;
    use crate::{
        authorization_server::{
            device::{CodeTemplate, ConfirmTemplate, MessageTemplate},
            sign_out_page::SignOutTemplate,
        },
        secret::Digest,
    };

    const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{max-width:34rem;margin:3rem auto;padding:0 1rem}\
h1{font-size:1.4rem}\
.to{font-weight:600;overflow-wrap:anywhere}\
.warn{border-left:.3rem solid #b45309;padding-left:.8rem}\
li{margin:.3rem 0}\
code{overflow-wrap:anywhere}\
.name{display:inline-block;max-width:100%;padding:0 .3em;border:1px solid;border-radius:.3em;vertical-align:bottom;overflow:hidden;overflow-wrap:anywhere}\
.code{font-family:ui-monospace,monospace;font-size:1.2rem;letter-spacing:.1em}\
label{display:block;margin-bottom:.3rem}\
input{font:inherit;box-sizing:border-box;width:100%;max-width:18rem;padding:.5rem;border:1px solid;border-radius:.4rem}\
button{font:inherit;padding:.5rem 1.4rem;margin-right:.8rem;border:1px solid;border-radius:.4rem;cursor:pointer}\
button.go{background:#1d4ed8;border-color:#1d4ed8;color:#fff}\
button:focus-visible,input:focus-visible{outline:.2rem solid #f59e0b;outline-offset:.15rem}";

    #[derive(Template)]
    #[template(
        ext = "html",
        source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Allow {{ page.client_name }}?</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>Allow <bdi class="name">{{ page.client_name }}</bdi> to use {{ page.resource }}?</h1>
<p>You are signed in as <strong>{{ page.user }}</strong>.</p>
<p>The answer goes to <span class="to">{{ page.destination }}</span>.{% if let Some(host) = page.client_host %} The program is described by <span class="to">{{ host }}</span>.{% endif %}{% if let Some(uri) = page.client_uri %} The program says its home page is <code>{{ uri }}</code>.{% endif %}</p>
{% if page.is_local %}<p class="warn" role="note">This is a program on your own computer. Approve only if you have just started it yourself: any program running there could be asking.</p>
{% endif %}<p>It will be able to:</p>
<ul>
{% for (scope, description) in page.scopes %}<li>{% match description %}{% when Some with (text) %}{{ text }} <code>({{ scope }})</code>{% when None %}<code>{{ scope }}</code>{% endmatch %}</li>
{% endfor %}</ul>
<form method="post" action="{{ page.action }}">
{% for (name, value) in page.fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<button class="go" type="submit" name="decision" value="approve">Approve</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>
</main>
</body>
</html>
"#
    )]
    struct Consent<'a> {
        page: &'a ConsentPage<'a>,
        style: &'static str,
    }

    #[derive(Template)]
    #[template(
        ext = "html",
        source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Sign-in cannot go on</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>Sign-in cannot go on</h1>
<p role="alert">{{ page.message }}</p>
<p>Go back to the program that sent you here and start again. For its developer: <code>{{ page.code }}</code></p>
</main>
</body>
</html>
"#
    )]
    struct Error<'a> {
        page: &'a ErrorPage<'a>,
        style: &'static str,
    }

    impl Pages for BuiltInPages {
        fn consent(&self, page: &ConsentPage<'_>) -> String {
            Consent { page, style: STYLE }.render().unwrap_or_default()
        }

        fn error(&self, page: &ErrorPage<'_>) -> String {
            Error { page, style: STYLE }.render().unwrap_or_default()
        }

        fn device_code(&self, page: &DeviceCodePage<'_>) -> String {
            let template = CodeTemplate { page, style: STYLE };
            template.render().unwrap_or_default()
        }

        fn device_confirm(&self, page: &DeviceConfirmPage<'_>) -> String {
            let template = ConfirmTemplate { page, style: STYLE };
            template.render().unwrap_or_default()
        }

        fn sign_out(&self, page: &SignOutPage<'_>) -> String {
            let template = SignOutTemplate { page, style: STYLE };
            template.render().unwrap_or_default()
        }

        fn message(&self, page: &MessagePage<'_>) -> String {
            let template = MessageTemplate { page, style: STYLE };
            template.render().unwrap_or_default()
        }

        fn style_source(&self) -> Cow<'_, str> {
            let digest = STANDARD.encode(Digest::of(STYLE).as_bytes());
            Cow::Owned(format!("'sha256-{digest}'"))
        }
    }
}

#[cfg(all(test, feature = "pages"))]
mod tests {
    use super::*;

    #[test]
    fn every_text_from_outside_is_escaped() {
        let hostile = "\"><script>alert(1)</script>'";
        let html = BuiltInPages.consent(&ConsentPage {
            client_name: hostile,
            client_host: Some(hostile),
            client_uri: Some(hostile),
            destination: hostile,
            is_local: true,
            user: hostile,
            resource: hostile,
            scopes: vec![(hostile, Some(hostile.to_owned())), (hostile, None)],
            action: hostile,
            fields: vec![("transaction", hostile)],
        });
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\"><"), "{html}");
        let pages = [
            BuiltInPages.device_code(&DeviceCodePage {
                user: hostile,
                user_code: hostile,
                problem: Some(hostile),
                action: hostile,
                fields: vec![("token", hostile)],
            }),
            BuiltInPages.device_confirm(&DeviceConfirmPage {
                client_name: hostile,
                client_host: Some(hostile),
                client_uri: Some(hostile),
                user_code: hostile,
                user: hostile,
                resource: hostile,
                scopes: vec![(hostile, Some(hostile.to_owned())), (hostile, None)],
                action: hostile,
                fields: vec![("token", hostile)],
            }),
            BuiltInPages.sign_out(&SignOutPage {
                user: hostile,
                client_name: Some(hostile),
                destination: Some(hostile),
                action: hostile,
                fields: vec![("token", hostile)],
            }),
            BuiltInPages.message(&MessagePage {
                title: hostile,
                text: hostile,
            }),
        ];
        for html in pages {
            assert!(!html.contains("<script"), "{html}");
            assert!(!html.contains("\"><"), "{html}");
        }
        let html = BuiltInPages.error(&ErrorPage {
            message: hostile,
            code: hostile,
        });
        assert!(!html.contains("<script"), "{html}");
    }
}
