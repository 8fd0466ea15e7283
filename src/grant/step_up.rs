//! Asking for more than before.

use crate::{scope::Scopes, store::record::ConsentRecord};

/// The scopes to ask the user for: what is requested, and, when that goes beyond what they allowed
/// the client at this resource before, all that as well. A client that is told of one missing scope
/// and asks for just that one would lose the others otherwise.
///
/// A client that asks for less than it was allowed gets less. What counts is the consent, not the
/// grants that came of it: there is one, however often the client signed in since.
pub(crate) fn widen(
    requested: &Scopes,
    consent: Option<&ConsentRecord>,
    grantable: &Scopes,
) -> Scopes {
    match consent.map(|consent| &consent.scopes) {
        // What no longer exists is not asked for again.
        Some(allowed) if !allowed.contains_all(requested) => {
            requested.union(&allowed.intersection(grantable))
        }
        _ => requested.clone(),
    }
}
