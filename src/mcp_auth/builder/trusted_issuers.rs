//! Settings of the grant of signed assertions (RFC 7523 §2.1).

use super::McpAuthBuilder;
use crate::authorization_server::TrustedIssuer;

impl McpAuthBuilder {
    /// Takes the word of an enterprise's identity provider for who its users are and what they
    /// allow (MCP's enterprise-managed authorization, ID-JAG); may be given several times. Nobody
    /// is admitted before the application
    /// [says who they are here](crate::Authenticator::enterprise_subject).
    pub fn trust_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.trusted_issuers.push(issuer);
        self
    }
}
