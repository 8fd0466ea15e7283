//! Tokens of somebody else's issuer.

mod introspection;
mod jwt;
#[cfg(test)]
mod tests;

pub use self::{
    introspection::{IntrospectionVerifier, IntrospectionVerifierBuilder},
    jwt::{JwtVerifier, JwtVerifierBuilder},
};

/// Tells whoever debugs a deployment why a token of the right issuer is turned away: what the
/// client sees is the same for all of them.
#[cfg(feature = "tracing")]
fn explain(issuer: &str, reason: &str) {
    tracing::debug!(issuer, reason, "token refused by its claims");
}

#[cfg(not(feature = "tracing"))]
const fn explain(_: &str, _: &str) {}
