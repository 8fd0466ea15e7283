//! What the command line may say.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use clap::{
    Parser, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{sign_in::SessionKey, stores::StoreUrl};

/// An MCP server that signs its clients in: tools at /mcp, OAuth and discovery beside it.
#[derive(Debug, Parser)]
#[command(name = "server")]
pub(crate) struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,

    /// The origin that clients see, where it differs from http://<listen>
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,

    /// Where clients, grants and tokens are kept: `sled:PATH`, `postgres://..`, `redis://..` or
    /// `memory:`
    #[arg(long, value_name = "URL", default_value = "sled:data/auth")]
    pub(crate) store: StoreUrl,

    /// Copy everything that is kept, but sign-ins under way and devices without their tokens, into
    /// this store too, and end: the way to another one. Stop the server first. After a copy that broke off the other store
    /// has some of it only: empty it, and copy again before a server starts there
    #[arg(long, value_name = "URL")]
    pub(crate) copy_to: Option<StoreUrl>,

    /// Lifetime of an authorization code
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub(crate) code_ttl: Duration,

    /// Lifetime of an access token
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub(crate) access_token_ttl: Duration,

    /// Lifetime of a refresh token
    #[arg(long, value_name = "SECONDS", default_value = "604800", value_parser = seconds)]
    pub(crate) refresh_token_ttl: Duration,

    /// For how long a used refresh token still gives the same successor
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) refresh_grace: Duration,

    /// Give out signed access tokens (RFC 9068), which other servers can check by themselves
    #[arg(long)]
    pub(crate) jwt_access_tokens: bool,

    /// Take only DPoP proofs with a nonce of this server's (RFC 9449), where there are proofs
    #[arg(long)]
    pub(crate) dpop_nonces: bool,

    /// A confidential client, for client credentials, introspection and revocation; may be repeated
    #[arg(long = "client", value_name = "ID:SECRET")]
    pub(crate) clients: Vec<ConfidentialClient>,

    /// A client without a secret, known without registration; may be repeated
    #[arg(long = "public-client", value_name = "ID=REDIRECT_URI")]
    pub(crate) public_clients: Vec<PublicClient>,

    /// Also accept client metadata documents on this machine, for development
    #[arg(long)]
    pub(crate) danger_allow_loopback_client_metadata: bool,

    /// Limits on authorization, registration and token requests
    #[arg(
        long,
        value_name = "on|off",
        default_value = "on",
        hide_possible_values = true
    )]
    pub(crate) rate_limit: Switch,

    /// What sign-in cookies are signed with, and nonces derived from, the same on every machine: 32
    /// random characters or more. Made up at each start unless set
    #[arg(long, value_name = "KEY", env = "SESSION_KEY", hide_env_values = true, value_parser = SessionKey::new)]
    pub(crate) session_key: Option<SessionKey>,

    /// Worker threads, where tokio's default does not fit
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<std::num::NonZeroUsize>,
}

/// Those whose values are secrets, or have one in them.
const SECRETS: [&str; 4] = ["--store", "--copy-to", "--client", "--session-key"];

impl Flags {
    /// Reads the command line and the environment; ends the program where they say nothing that can
    /// be done.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|mut error| {
            // What was mistyped is a secret all the same, and this is written to a log.
            let arg = error.get(ContextKind::InvalidArg).map(ToString::to_string);
            let arg = arg.unwrap_or_default();
            let name = arg.split(' ').next().unwrap_or_default();
            // So is one that has its blank forgotten before it.
            let is_secret = SECRETS.iter().any(|flag| name.starts_with(flag));
            let is_stray =
                error.kind() == ErrorKind::UnknownArgument && (is_secret || !name.starts_with('-'));
            let hidden = if is_stray {
                Some(ContextKind::InvalidArg)
            } else {
                SECRETS.contains(&name).then_some(ContextKind::InvalidValue)
            };
            if let Some(kind) = hidden {
                error.insert(kind, ContextValue::String("..".to_owned()));
            }
            error.exit()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone)]
pub(crate) struct ConfidentialClient {
    pub(crate) id: String,
    pub(crate) secret: String,
}

// Flags may be logged; a secret may not.
impl std::fmt::Debug for ConfidentialClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ConfidentialClient").field(&self.id).finish()
    }
}

impl FromStr for ConfidentialClient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            _ => Err("expected ID:SECRET"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicClient {
    pub(crate) id: String,
    pub(crate) redirect_uri: String,
}

impl FromStr for PublicClient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((id, uri)) if !id.is_empty() && !uri.is_empty() => Ok(Self {
                id: id.to_owned(),
                redirect_uri: uri.to_owned(),
            }),
            _ => Err("expected ID=REDIRECT_URI"),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
