//! A person at a browser, without the browser: follows redirects, keeps cookies, and fills in the
//! forms that are really on the pages.

use reqwest::{Client, Response, Url, header, redirect::Policy};

use crate::Error;

/// Signs in as demo and approves; the URL the browser is sent to in the end, which is not fetched.
pub(crate) async fn authorize(
    authorization_url: &str,
    redirect_uri: &str,
) -> Result<String, Error> {
    let browser = Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()?;
    let mut response = browser.get(authorization_url).send().await?;
    for _ in 0..12 {
        let url = response.url().clone();
        response = match location(&response) {
            Some(target) if target.starts_with(redirect_uri) => return Ok(target.to_owned()),
            Some(target) => browser.get(within(&url, target)?).send().await?,
            None if !response.status().is_success() => {
                let status = response.status();
                return Err(format!("{status} at {url}: {}", response.text().await?).into());
            }
            None => {
                let form = Form::first(&response.text().await?)?;
                browser
                    .post(within(&url, &form.action)?)
                    .header(header::ORIGIN, url.origin().ascii_serialization())
                    .header("sec-fetch-site", "same-origin")
                    .form(&form.fields)
                    .send()
                    .await?
            }
        };
    }
    Err(format!("never came back to {redirect_uri}").into())
}

fn location(response: &Response) -> Option<&str> {
    let location = response.headers().get(header::LOCATION)?;
    location.to_str().ok()
}

/// The sign-in happens in one place; a link that leads elsewhere is a mistake.
fn within(url: &Url, target: &str) -> Result<Url, Error> {
    let target = url.join(target)?;
    if target.origin() == url.origin() {
        Ok(target)
    } else {
        Err(format!("left {url} for {target}").into())
    }
}

/// A form as this person fills it in.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    fn first(html: &str) -> Result<Self, Error> {
        let none = || format!("no form on the page: {html}");
        let start = html.find("<form").ok_or_else(none)?;
        let end = html[start..].find("</form>").ok_or_else(none)? + start;
        let mut tags = html[start..end].split('<').skip(1);
        let action = attribute(tags.next().ok_or_else(none)?, "action").unwrap_or_default();
        let fields = tags
            .filter(|tag| tag.starts_with("input") || tag.starts_with("button"))
            .filter_map(|tag| {
                let name = attribute(tag, "name")?;
                let value = attribute(tag, "value").unwrap_or_default();
                match name.as_str() {
                    "username" | "password" => Some((name, "demo".to_owned())),
                    "decision" if value != "approve" => None,
                    _ => Some((name, value)),
                }
            })
            .collect();
        Ok(Self { action, fields })
    }
}

/// `name="value"` in a tag; the pages write their attributes in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#38;", "&")
            .replace("&amp;", "&"),
    )
}
