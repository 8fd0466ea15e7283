//! A complete MCP server that signs its clients in, with nothing to install:
//!
//! ```sh
//! cargo run --release --example server
//! ```
//!
//! `/mcp` is an rmcp server behind the bearer layer, `/oauth` are the endpoints, `/sign-in` is the
//! application's own sign-in page. All state is in sled, below `data/`.

mod flags;
mod notes;
mod sign_in;
mod stores;

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tower::Layer;
use tower_mcp_auth::{DpopNonces, Fetcher, McpAuth, Operation, Resource, StaticClient};
use tracing_subscriber::EnvFilter;

use self::{
    flags::{ConfidentialClient, Flags, PublicClient, Switch},
    notes::{Notes, NotesServer},
    sign_in::{Login, SessionKey},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long open requests may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let flags = Flags::read();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // It would tell stderr, and panic where that is what cannot be written.
        .log_internal_errors(false)
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,rmcp=error".into()),
        )
        .init();

    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = flags.workers {
        runtime.worker_threads(workers.get());
    }
    let runtime = runtime.enable_all().build().map_err(Error::from);
    let result = runtime.and_then(|runtime| {
        let result = runtime.block_on(run(flags));
        // Nobody waits for what a name server still owes.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let told = error.to_string();
            let mut text = format!("error: {told}\n");
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            for cause in causes.map(ToString::to_string) {
                if !told.contains(&cause) {
                    text += &format!("  caused by: {cause}\n");
                }
            }
            say(std::io::stderr(), &text);
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Error> {
    if let Some(to) = &flags.copy_to {
        let copied = flags.store.copy_to(to).await?;
        say(std::io::stdout(), &format!("{copied} records copied\n"));
        return Ok(());
    }
    let listener = TcpListener::bind(flags.listen).await?;
    let public = match &flags.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", listener.local_addr()?),
    };
    let key = match &flags.session_key {
        Some(key) => key.clone(),
        None => SessionKey::random()?,
    };
    let login = Login::new(&public, key);
    let auth = authorization(&flags, &public, login.clone()).await?;
    let (mcp, end_sessions) = mcp_server(&public);
    let protected = auth.protect_operations("/mcp")?.require(["notes:read"]);

    let app = Router::new()
        .nest_service("/mcp", protected.layer(mcp))
        .nest_service(auth.endpoints_path(), auth.endpoints())
        .merge(sign_in::routes(auth.clone(), login))
        .layer(auth.well_known())
        // For clients that forget what discovery found, and refresh at /token.
        .layer(auth.fallback_endpoints());

    // Before anyone is told that it runs: from then on they may tell it to stop.
    let stop = stop_signal()?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    announce(&public);
    serve(listener, app, stop, end_sessions).await
}

async fn authorization(flags: &Flags, public: &str, login: Login) -> Result<McpAuth, Error> {
    let mut notes = Resource::new(format!("{public}/mcp"))
        .scopes(["notes:read", "notes:write"])
        .challenge(["notes:read"])
        .operation(Operation::tool("delete_note"), ["notes:write"])
        .describe("notes:read", "Read your notes")
        .describe("notes:write", "Write and delete your notes")
        .name("Notes");
    if flags.jwt_access_tokens {
        notes = notes.jwt_access_tokens();
    }
    let mut builder = McpAuth::builder(public)
        .login_page("/sign-in")
        .authenticator(login.clone())
        .sign_out(login)
        .resource_with(notes)
        .describe_scope("openid", "Know who you are")
        .describe_scope("profile", "See your profile")
        .describe_scope("email", "See your email address")
        .describe_scope("offline_access", "Keep access while you are away")
        .registration_management(true)
        .code_ttl(flags.code_ttl)
        .access_token_ttl(flags.access_token_ttl)
        .refresh_token_ttl(flags.refresh_token_ttl)
        .refresh_grace(flags.refresh_grace)
        .fetcher(
            Fetcher::builder()
                .danger_allow_loopback(flags.danger_allow_loopback_client_metadata)
                .build()?,
        )
        // Whom the limits count for. Behind a proxy every caller has the proxy's address.
        .client_key(|request| {
            let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(match peer.ip().to_canonical() {
                // Whoever has one such address has a whole network of them.
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).to_string(),
                IpAddr::V4(ip) => ip.to_string(),
            })
        });
    if flags.dpop_nonces {
        builder = builder.dpop_nonces(match &flags.session_key {
            Some(key) => key.into(),
            None => DpopNonces::random(),
        });
    }
    if flags.rate_limit == Switch::Off {
        builder = builder.danger_no_rate_limits();
    }
    for ConfidentialClient { id, secret } in &flags.clients {
        builder = builder.client(StaticClient::confidential(id, secret, Vec::<String>::new()));
    }
    // One client may be named several times, with one redirect URI each.
    let mut clients = BTreeMap::<_, Vec<_>>::new();
    for PublicClient { id, redirect_uri } in &flags.public_clients {
        clients.entry(id).or_default().push(redirect_uri);
    }
    for (id, redirect_uris) in clients {
        builder = builder.client(StaticClient::public(id, redirect_uris));
    }
    Ok(flags.store.attach(builder).await?.build()?)
}

/// The rmcp service, and what ends its open streams.
fn mcp_server(
    public: &str,
) -> (
    StreamableHttpService<NotesServer, LocalSessionManager>,
    impl FnOnce() + Send + use<>,
) {
    let mut config = StreamableHttpServerConfig::default();
    // rmcp answers requests for loopback hosts only, unless told which others are its own.
    if let Some(host) = public
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
    {
        config.allowed_hosts.push(host);
    }
    let streams = config.cancellation_token.clone();
    let notes = Notes::default();
    let service = StreamableHttpService::new(
        move || Ok(NotesServer::new(notes.clone())),
        LocalSessionManager::default().into(),
        config,
    );
    (service, move || streams.cancel())
}

/// Waits for SIGTERM or Ctrl-C.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves until told to stop, then lets the requests finish that have begun.
async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    end_sessions: impl FnOnce() + Send + 'static,
) -> Result<(), Error> {
    let (stopping, mut stopped) = watch::channel(false);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        tracing::info!("draining");
        end_sessions();
        let _ = stopping.send(true);
    });
    let overdue = async move {
        let _ = stopped.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => result?,
        () = overdue => tracing::warn!("some requests were still open"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Whether anybody hears it or not: `println!` panics where nobody does.
fn say(mut to: impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes());
}

fn announce(public: &str) {
    let text = format!(
        "\
MCP server    {public}/mcp
Users         demo / demo, alice / alice

Claude Code   claude mcp add --transport http notes {public}/mcp
VS Code       code --add-mcp '{{\"name\":\"notes\",\"type\":\"http\",\"url\":\"{public}/mcp\"}}'
Inspector     npx @modelcontextprotocol/inspector, then Streamable HTTP and the URL above

"
    );
    say(std::io::stdout(), &text);
}
