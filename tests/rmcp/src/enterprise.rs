//! A user who signed in elsewhere: nobody is asked anything.

use oauth2::ClientSecret;
use reqwest::Client as Http;
use rmcp::{
    ClientServiceExt,
    model::ClientConfig,
    transport::{
        StreamableHttpClientTransport,
        auth::{default_oauth_http_client, enterprise::*},
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::json;

use crate::{Error, call, expect, newest};

/// Trades what the identity provider said for an access token, once for less and once for more, and
/// uses the tools with it.
pub async fn enterprise(mcp_url: &str, idp_url: &str) -> Result<(), Error> {
    let few = token(mcp_url, idp_url, &["notes:read"]).await?;
    expect(&json!(few.scopes), &json!(["notes:read"]))?;
    let session = ClientConfig::default()
        .serve_with_lifecycle(transport(mcp_url, &few), newest())
        .await?;
    expect(&call(&session, "whoami", "").await?, &json!("alice"))?;
    if call(&session, "delete_note", "none").await.is_ok() {
        return Err("notes:write was not needed".into());
    }
    session.cancel().await?;

    let all = token(mcp_url, idp_url, &["notes:read", "notes:write"]).await?;
    let session = ClientConfig::default()
        .serve_with_lifecycle(transport(mcp_url, &all), newest())
        .await?;
    call(&session, "delete_note", "none").await?;
    session.cancel().await?;
    Ok(())
}

async fn token(mcp_url: &str, idp_url: &str, scopes: &[&str]) -> Result<EmaAccessToken, Error> {
    let secret =
        |text: &str| EmaClientAuthentication::ClientSecretBasic(ClientSecret::new(text.to_owned()));
    let issuer = mcp_url.trim_end_matches("/mcp");
    let idp = EmaAuthorizationServer::new(idp_url, format!("{idp_url}/token"), "assistant-at-acme");
    let here = EmaAuthorizationServer::new(issuer, format!("{issuer}/oauth/token"), "assistant");
    let http = default_oauth_http_client()?;
    let token = EmaExchangeRequest::new_with_id_token(
        idp.with_client_authentication(secret("acme secret")),
        here.with_client_authentication(secret("secret: +%")),
        mcp_url,
        "the id_token of alice",
    )
    .with_scopes(scopes.iter().copied())
    .exchange(&http, &http)
    .await?;
    Ok(token)
}

fn transport(mcp_url: &str, token: &EmaAccessToken) -> StreamableHttpClientTransport<Http> {
    let config = StreamableHttpClientTransportConfig::with_uri(mcp_url)
        .auth_header(token.access_token.secret());
    StreamableHttpClientTransport::with_client(Http::new(), config)
}
