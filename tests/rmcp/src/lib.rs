//! rmcp's own client: discovery, registration, authorization, tokens, tool calls, step-up, refresh.

mod enterprise;
mod person;

use reqwest::Client as Http;
use rmcp::{
    ClientServiceExt,
    model::{CallToolRequestParams, ClientConfig, JsonObject, ProtocolVersion},
    service::{ClientLifecycleMode, RoleClient, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport,
        auth::{
            AuthClient, AuthorizationCallback, AuthorizationManager, AuthorizationRequest,
            CredentialStore, InMemoryCredentialStore, OAuthState, OAuthTokenResponse,
            StoredCredentials, WWWAuthenticateParams,
        },
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};

pub use self::enterprise::enterprise;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

const REDIRECT_URI: &str = "http://127.0.0.1:33420/callback";

type Session = RunningService<RoleClient, ClientConfig>;

/// Goes the whole way from an unknown server to tools, more scope and a refresh. What it gives back
/// is all that the client keeps.
pub async fn first(mcp_url: &str) -> Result<StoredCredentials, Error> {
    // Nothing is known yet: the server's 401 says where to begin.
    let transport = transport(mcp_url, Http::new());
    let Err(refusal) = ClientConfig::default()
        .serve_with_lifecycle(transport, newest())
        .await
    else {
        return Err("the server let a stranger in".into());
    };
    let challenge = refusal.auth_challenge().ok_or("no challenge")?.to_owned();

    let kept = InMemoryCredentialStore::new();
    let mut manager = AuthorizationManager::new(mcp_url).await?;
    manager.set_credential_store(kept.clone());
    let mut oauth = OAuthState::Unauthorized(manager);
    oauth
        .start_authorization(
            AuthorizationRequest::new(REDIRECT_URI)
                .with_client_name("rmcp 3")
                .with_initial_scope_selection()
                .with_challenge(&challenge),
        )
        .await?;
    let callback = person::authorize(&oauth.get_authorization_url().await?, REDIRECT_URI).await?;
    oauth.handle_callback_url(&callback).await?;
    let manager = oauth.into_authorization_manager().ok_or("not authorized")?;
    let client = AuthClient::new(Http::new(), manager);
    let session = ClientConfig::default()
        .serve_with_lifecycle(transport_for(mcp_url, &client), newest())
        .await?;
    use_tools(&session).await?;

    // This needs `notes:write`, which nobody asked for yet.
    let Err(refusal) = call(&session, "delete_note", "none").await else {
        return Err("notes:write was not needed".into());
    };
    let challenge = refusal.auth_challenge().ok_or("no step-up challenge")?;
    let wanted = WWWAuthenticateParams::parse(challenge, &mcp_url.parse()?);
    if !wanted.is_insufficient_scope() {
        return Err(format!("not a step-up: {challenge}").into());
    }
    let wanted = wanted.scope.ok_or("no scope in the challenge")?;
    {
        let manager = client.auth_manager.lock().await;
        let url = manager.request_scope_upgrade(&wanted).await?;
        let callback = person::authorize(&url, REDIRECT_URI).await?;
        let callback = AuthorizationCallback::from_redirect_url(&callback)?;
        manager
            .exchange_code_for_token_with_issuer(
                &callback.code,
                &callback.csrf_token,
                callback.issuer.as_deref(),
            )
            .await?;
    }
    call(&session, "delete_note", "none").await?;

    refresh(&client, &kept).await?;
    use_tools(&session).await?;
    session.cancel().await?;
    stored(&kept).await
}

/// Goes on with what [`first`] kept: the access token, then the refresh token, in the protocol's
/// older way of opening a session.
pub async fn second(mcp_url: &str, state: StoredCredentials) -> Result<StoredCredentials, Error> {
    let kept = InMemoryCredentialStore::new();
    kept.save(state).await?;
    let mut manager = AuthorizationManager::new(mcp_url).await?;
    manager.set_credential_store(kept.clone());
    if !manager.initialize_from_store().await? {
        return Err("what was kept is no longer good".into());
    }
    let client = AuthClient::new(Http::new(), manager);
    let session = ClientConfig::default()
        .serve_with_lifecycle(
            transport_for(mcp_url, &client),
            ClientLifecycleMode::Initialize,
        )
        .await?;
    use_tools(&session).await?;
    refresh(&client, &kept).await?;
    use_tools(&session).await?;
    session.cancel().await?;
    stored(&kept).await
}

fn newest() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

fn transport(mcp_url: &str, http: Http) -> StreamableHttpClientTransport<Http> {
    let config = StreamableHttpClientTransportConfig::with_uri(mcp_url);
    StreamableHttpClientTransport::with_client(http, config)
}

fn transport_for(
    mcp_url: &str,
    client: &AuthClient<Http>,
) -> StreamableHttpClientTransport<AuthClient<Http>> {
    let config = StreamableHttpClientTransportConfig::with_uri(mcp_url);
    StreamableHttpClientTransport::with_client(client.clone(), config)
}

async fn use_tools(session: &Session) -> Result<(), Error> {
    let mut tools: Vec<_> = session
        .list_all_tools()
        .await?
        .into_iter()
        .map(|tool| tool.name)
        .collect();
    tools.sort();
    expect(&json!(tools), &json!(["delete_note", "echo", "whoami"]))?;
    expect(&call(session, "echo", "grüezi").await?, &json!("grüezi"))?;
    expect(&call(session, "whoami", "").await?, &json!("demo"))
}

/// The text of a tool's answer.
async fn call(session: &Session, tool: &'static str, message: &str) -> Result<Value, ServiceError> {
    let arguments = JsonObject::from_iter([("message".to_owned(), message.into())]);
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let answer = json!(session.call_tool(request).await?);
    Ok(answer["content"][0]["text"].clone())
}

async fn refresh(client: &AuthClient<Http>, kept: &InMemoryCredentialStore) -> Result<(), Error> {
    let before = tokens(kept).await?;
    client.auth_manager.lock().await.refresh_token().await?;
    let after = tokens(kept).await?;
    for name in ["access_token", "refresh_token"] {
        if !after[name].is_string() || after[name] == before[name] {
            return Err(format!("a refresh gives a new {name}").into());
        }
    }
    expect(&after["scope"], &before["scope"])
}

async fn tokens(kept: &InMemoryCredentialStore) -> Result<Value, Error> {
    let tokens: Option<OAuthTokenResponse> = stored(kept).await?.token_response;
    Ok(json!(tokens))
}

async fn stored(kept: &InMemoryCredentialStore) -> Result<StoredCredentials, Error> {
    Ok(kept.load().await?.ok_or("no credentials were kept")?)
}

fn expect(found: &Value, wanted: &Value) -> Result<(), Error> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("expected {wanted}, found {found}").into())
    }
}
