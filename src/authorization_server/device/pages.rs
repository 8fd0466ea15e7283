//! What people see when they let a device in.

/// What the page with the form for the code shows.
///
/// Every text here may come from a stranger: escape it.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeviceCodePage<'a> {
    /// Who is signed in.
    pub user: &'a str,
    /// What is in the field already: empty, or a code that came with the address or was mistyped.
    pub user_code: &'a str,
    /// Why the form is shown again, in a sentence.
    pub problem: Option<&'a str>,
    /// The address to send the form to.
    pub action: &'a str,
    /// Hidden fields that the form must carry: names and values.
    pub fields: Vec<(&'static str, &'a str)>,
}

/// What must be shown to whoever decides about a device (RFC 8628 §5.4).
///
/// Every text here may come from a stranger: escape it.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeviceConfirmPage<'a> {
    /// What the client calls itself. Anyone can call themselves anything.
    pub client_name: &'a str,
    /// The host that describes it, where its id is the address of a document: proof of who it is,
    /// as far as that host is to be trusted.
    pub client_host: Option<&'a str>,
    /// Its home page, if it named one.
    pub client_uri: Option<&'a str>,
    /// The code, as the device shows it. Ask people to compare: a deceiver sends them a code that
    /// their own device does not show.
    pub user_code: &'a str,
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

/// A page that says how something ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessagePage<'a> {
    /// In a word or two.
    pub title: &'a str,
    /// In a sentence or two.
    pub text: &'a str,
}

#[cfg(feature = "pages")]
mod built_in {
    use askama::Template;

    use super::*;

    #[derive(Template)]
    #[template(
        ext = "html",
        source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Sign a device in</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>Sign a device in</h1>
<p>You are signed in as <strong>{{ page.user }}</strong>.</p>
{% if let Some(problem) = page.problem %}<p class="warn" role="alert" id="problem">{{ problem }}</p>
{% endif %}<form method="post" action="{{ page.action }}">
{% for (name, value) in page.fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<p><label for="user_code">The code that your device shows</label>
<input class="code" id="user_code" name="user_code" value="{{ page.user_code }}" required autofocus autocomplete="off" autocapitalize="characters" spellcheck="false"{% if page.problem.is_some() %} aria-invalid="true" aria-describedby="problem"{% endif %}>
</p>
<button class="go" type="submit">Continue</button>
</form>
</main>
</body>
</html>
"#
    )]
    pub(in super::super::super) struct CodeTemplate<'a> {
        pub(in super::super::super) page: &'a DeviceCodePage<'a>,
        pub(in super::super::super) style: &'static str,
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
<title>Allow {{ page.client_name }}?</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>Allow <bdi class="name">{{ page.client_name }}</bdi> on a device to use {{ page.resource }}?</h1>
<p>You are signed in as <strong>{{ page.user }}</strong>.</p>
<p>The answer goes to a device that shows the code <strong class="code">{{ page.user_code }}</strong>.{% if let Some(host) = page.client_host %} The program is described by <span class="to">{{ host }}</span>.{% endif %}{% if let Some(uri) = page.client_uri %} The program says its home page is <code>{{ uri }}</code>.{% endif %}</p>
<p class="warn" role="note">Approve only if you started this on your device yourself and the code matches. If somebody sent you the code or a link, it is their device that you would let in.</p>
<p>It will be able to:</p>
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
    pub(in super::super::super) struct ConfirmTemplate<'a> {
        pub(in super::super::super) page: &'a DeviceConfirmPage<'a>,
        pub(in super::super::super) style: &'static str,
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
<title>{{ page.title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
<p role="status">{{ page.text }}</p>
</main>
</body>
</html>
"#
    )]
    pub(in super::super::super) struct MessageTemplate<'a> {
        pub(in super::super::super) page: &'a MessagePage<'a>,
        pub(in super::super::super) style: &'static str,
    }
}

#[cfg(feature = "pages")]
pub(in super::super) use self::built_in::{CodeTemplate, ConfirmTemplate, MessageTemplate};
