//! What OpenID Connect adds to OAuth: signed statements about who signed in, and their keys.

mod hint;
mod id_token;
mod jwks;
