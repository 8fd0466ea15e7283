//! The settings of Better Auth's MCP plugin under their own names, for configuration files that
//! move over as they are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `mcp({loginPage, resource, oidcConfig})`, as JSON or any other format that serde reads.
///
/// ```
/// use tower_mcp_auth::McpOptions;
///
/// let options: McpOptions = serde_json::from_str(
///     r#"{"loginPage": "/sign-in", "oidcConfig": {"accessTokenExpiresIn": 900}}"#,
/// )?;
/// assert_eq!(options.oidc_config.access_token_expires_in, 900);
/// assert_eq!(options.oidc_config.refresh_token_expires_in, 604_800);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct McpOptions {
    /// Where a browser without a session goes.
    pub login_page: String,
    /// The protected resource; the issuer's origin by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Everything else.
    #[serde(default)]
    pub oidc_config: OidcConfig,
}

impl McpOptions {
    /// The defaults, with this sign-in page.
    pub fn new(login_page: impl Into<String>) -> Self {
        Self {
            login_page: login_page.into(),
            resource: None,
            oidc_config: OidcConfig::default(),
        }
    }
}

/// `oidcConfig`: lifetimes in seconds, and scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OidcConfig {
    /// How long an authorization code lives: 600.
    pub code_expires_in: u64,
    /// How long an access token lives: 3600.
    pub access_token_expires_in: u64,
    /// How long a refresh token lives, counted anew at each refresh: 604800, a week.
    pub refresh_token_expires_in: u64,
    /// What a request without `scope` gets besides the resource's own scopes: `openid`.
    pub default_scope: String,
    /// The scopes that exist: `openid profile email offline_access`.
    pub scopes: Vec<String>,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            code_expires_in: 600,
            access_token_expires_in: 3600,
            refresh_token_expires_in: 604_800,
            default_scope: "openid".to_owned(),
            scopes: ["openid", "profile", "email", "offline_access"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

impl OidcConfig {
    pub(super) fn code_ttl(&self) -> Duration {
        Duration::from_secs(self.code_expires_in)
    }

    pub(super) fn access_token_ttl(&self) -> Duration {
        Duration::from_secs(self.access_token_expires_in)
    }

    pub(super) fn refresh_token_ttl(&self) -> Duration {
        Duration::from_secs(self.refresh_token_expires_in)
    }
}
