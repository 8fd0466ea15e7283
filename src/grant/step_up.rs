//! Asking for more than before.

use crate::{scope::Scopes, store::record::GrantRecord, uri::ResourceUri};

/// The scopes to ask the user for: what is requested, and, when that goes beyond what the client
/// has at this resource, all that it has as well. A client that is told of one missing scope and
/// asks for just that one would lose the others otherwise.
///
/// A client that asks for less than it has gets less.
pub(crate) fn widen(
    requested: &Scopes,
    resource: &ResourceUri,
    granted: &[GrantRecord],
    grantable: &Scopes,
) -> Scopes {
    let has = granted
        .iter()
        .filter(|grant| grant.resource == *resource)
        .fold(Scopes::none(), |all, grant| all.union(&grant.scopes));
    if has.contains_all(requested) {
        requested.clone()
    } else {
        // What no longer exists is not asked for again.
        requested.union(&has.intersection(grantable))
    }
}
