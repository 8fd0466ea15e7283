//! How clients authenticate.

use super::McpAuthBuilder;

impl McpAuthBuilder {
    /// Takes a client's secret only the way the client registered for: in the `Authorization`
    /// header for `client_secret_basic`, in the body for `client_secret_post`. Not by default,
    /// since real clients mix the two up and a secret proves the same either way. Clients that are
    /// configured with a secret count as registered for `client_secret_basic`.
    pub fn require_registered_auth_method(mut self) -> Self {
        self.requires_registered_method = true;
        self
    }
}
