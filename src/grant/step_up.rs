//! Asking for more than before.

use crate::{scope::Scopes, store::record::ConsentRecord};

/// The scopes to ask the user for: what is requested, and, when that goes beyond what they allowed
/// the client at this resource before, its scopes of the resource as well. A client that is told of
/// one missing scope and asks for just that one would lose the others otherwise.
///
/// A challenge names scopes of the resource, so a request for others says what it wants by itself,
/// and gets just that: some clients take no tokens for more than they asked for. A client that asks
/// for less than it was allowed gets less. What counts is the consent, not the grants that came of
/// it: there is one, however often the client signed in since.
pub(crate) fn widen(
    requested: &Scopes,
    consent: Option<&ConsentRecord>,
    of_resource: &Scopes,
) -> Scopes {
    let challenged = requested.of_resource();
    let is_challenge = !challenged.is_empty() && of_resource.contains_all(&challenged);
    match consent.map(|consent| &consent.scopes) {
        Some(allowed) if is_challenge && !allowed.contains_all(requested) => {
            with_allowed(requested, consent, of_resource)
        }
        _ => requested.clone(),
    }
}

/// What is requested, and what the user allowed of the resource. What no longer exists is not asked
/// for again.
pub(crate) fn with_allowed(
    requested: &Scopes,
    consent: Option<&ConsentRecord>,
    of_resource: &Scopes,
) -> Scopes {
    consent.map_or_else(
        || requested.clone(),
        |consent| requested.union(&consent.scopes.intersection(of_resource)),
    )
}
