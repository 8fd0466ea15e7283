//! Scopes that contain others.

use std::collections::BTreeMap;

use crate::scope::Scopes;

/// Which broad scopes imply which narrow ones.
///
/// MCP asks servers to account for hierarchies when they judge whether a token suffices, so that a
/// client with the broad scope is not sent to its user for the narrow one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeHierarchy(BTreeMap<Box<str>, Scopes>);

impl ScopeHierarchy {
    pub(crate) fn add(&mut self, broad: &str, narrow: &Scopes) {
        let all = self.0.entry(broad.into()).or_default();
        *all = all.union(narrow);
    }

    /// Every scope that it speaks of.
    pub(crate) fn scopes(&self) -> Scopes {
        let broad = Scopes::from_tokens(self.0.keys()).unwrap_or_default();
        self.0.values().fold(broad, |all, narrow| all.union(narrow))
    }

    /// `scopes` together with everything that they imply, however indirectly.
    pub(crate) fn close(&self, scopes: &Scopes) -> Scopes {
        let mut closed = scopes.clone();
        // Each round adds a scope or is the last; there are as many rounds as scopes at most.
        loop {
            let implied = closed
                .iter()
                .filter_map(|scope| self.0.get(scope))
                .fold(Scopes::none(), |all, narrow| all.union(narrow));
            if closed.contains_all(&implied) {
                return closed;
            }
            closed = closed.union(&implied);
        }
    }

    /// Whether `granted` suffices for `required`. Where it does to the letter, nothing else is
    /// looked at.
    pub(crate) fn suffices(&self, granted: &Scopes, required: &Scopes) -> bool {
        granted.contains_all(required)
            || (!self.0.is_empty() && self.close(granted).contains_all(required))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(list: &str) -> Scopes {
        Scopes::parse(list).unwrap()
    }

    #[test]
    fn what_is_implied_may_imply_more_and_circles_end() {
        let mut hierarchy = ScopeHierarchy::default();
        hierarchy.add("admin", &scopes("write"));
        hierarchy.add("write", &scopes("read list"));
        hierarchy.add("list", &scopes("write"));
        assert_eq!(
            hierarchy.close(&scopes("admin")),
            scopes("admin list read write")
        );
        assert_eq!(hierarchy.close(&scopes("read")), scopes("read"));
        assert!(hierarchy.suffices(&scopes("admin"), &scopes("read")));
        assert!(!hierarchy.suffices(&scopes("read"), &scopes("write")));
    }
}
