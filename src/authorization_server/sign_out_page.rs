//! What people see when a client sends them to sign out.

/// What the page shows that asks whether to sign out.
///
/// Every text here may come from a stranger: escape it.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignOutPage<'a> {
    /// Who is signed in.
    pub user: &'a str,
    /// What the client that is said to ask calls itself. Anyone can call themselves anything, and
    /// anyone can ask in its name.
    pub client_name: Option<&'a str>,
    /// Where the browser goes on to afterwards: the host, or for a private scheme the scheme.
    pub destination: Option<&'a str>,
    /// The address to send the form to.
    pub action: &'a str,
    /// Hidden fields that the form must carry: names and values.
    pub fields: Vec<(&'static str, &'a str)>,
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
<title>Sign out?</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>Do you want to sign out?</h1>
<p>You are signed in as <strong>{{ page.user }}</strong>.{% if let Some(name) = page.client_name %} <bdi class="name">{{ name }}</bdi> asks you to sign out here too.{% endif %}</p>
{% if let Some(destination) = page.destination %}<p>Afterwards you go on to <span class="to">{{ destination }}</span>.</p>
{% endif %}<form method="post" action="{{ page.action }}">
{% for (name, value) in page.fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<button class="go" type="submit" name="decision" value="approve">Sign out</button>
<button type="submit" name="decision" value="deny">Stay signed in</button>
</form>
</main>
</body>
</html>
"#
    )]
    pub(in super::super) struct SignOutTemplate<'a> {
        pub(in super::super) page: &'a SignOutPage<'a>,
        pub(in super::super) style: &'static str,
    }
}

#[cfg(feature = "pages")]
pub(super) use self::built_in::SignOutTemplate;
