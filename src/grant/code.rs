//! Whether a code may be redeemed by who presents it.

use super::{ErrorCode, Refusal};
use crate::{
    client::Client,
    store::record::{CodeRecord, GrantRecord},
    uri::ResourceUri,
};

/// What a client sends to redeem a code (RFC 6749 §4.1.3, RFC 7636 §4.5, RFC 8707 §2.2).
#[derive(Debug)]
pub(crate) struct CodeRequest<'a> {
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) verifier: Option<&'a str>,
    pub(crate) resources: Vec<&'a str>,
}

/// Checks everything that does not depend on time or on other requests. What fails here changes
/// nothing: a stolen code presented with the wrong proof costs its owner nothing.
///
/// `redirect_uri` may be left out, as in OAuth 2.1: PKCE already binds the code to the client
/// instance that asked for it.
pub(crate) fn check(
    request: &CodeRequest<'_>,
    client: &Client,
    code: &CodeRecord,
    grant: &GrantRecord,
) -> Result<(), Refusal> {
    if grant.client_id != client.id {
        return Err(Refusal::invalid_grant(
            "code_of_other_client",
            "the code was issued to another client",
        ));
    }
    if request
        .redirect_uri
        .is_some_and(|uri| uri != code.redirect_uri)
    {
        return Err(Refusal::invalid_grant(
            "redirect_uri_differs",
            "redirect_uri is not the one of the authorization request",
        ));
    }
    let Some(verifier) = request.verifier else {
        return Err(Refusal::invalid_request(
            "verifier_missing",
            "code_verifier is missing",
        ));
    };
    if !code.code_challenge.is_met_by(verifier) {
        return Err(Refusal::invalid_grant(
            "verifier_wrong",
            "code_verifier does not match the code_challenge",
        ));
    }
    check_resources(&request.resources, grant)
}

/// A token is for the resource that was consented to and no other (RFC 8707 §2.2).
pub(crate) fn check_resources(asked: &[&str], grant: &GrantRecord) -> Result<(), Refusal> {
    let all_granted = asked
        .iter()
        .all(|text| ResourceUri::parse(text).is_ok_and(|uri| uri == grant.resource));
    if all_granted {
        Ok(())
    } else {
        Err(Refusal::new(
            ErrorCode::InvalidTarget,
            "resource_not_granted",
            "the grant is for another resource",
        ))
    }
}
