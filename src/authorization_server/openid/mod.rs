//! What OpenID Connect adds to OAuth: signed statements about who signed in, their keys, and
//! signing out.

mod end_session;
mod hint;
mod id_token;
mod jwks;
