//! What a client may have in its own name.

use super::{ErrorCode, Refusal};
use crate::{params::Params, resource::KnownResource, scope::Scopes};

/// The scopes of a client without a user: those of the resource that it asks for, or what the
/// resource's challenge names. Never one that is about a user.
pub(crate) fn scopes(params: &Params<'_>, resource: &KnownResource) -> Result<Scopes, Refusal> {
    let asked = match params.get("scope") {
        None => resource.challenge.clone(),
        Some(asked) => Scopes::parse(asked).map_err(|_| {
            Refusal::new(
                ErrorCode::InvalidScope,
                "scope_malformed",
                "scope is not a space-separated list of scopes",
            )
        })?,
    };
    let granted = asked.intersection(&resource.scopes);
    if granted.is_empty() && !resource.scopes.is_empty() {
        return Err(Refusal::new(
            ErrorCode::InvalidScope,
            "scope_unknown",
            "none of the scopes exists at this resource",
        ));
    }
    Ok(resource.hierarchy.close(&granted))
}
