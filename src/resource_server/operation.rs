//! What an MCP request asks for, and which scopes that takes.

use std::{collections::HashMap, fmt};

use super::Refusal;
use crate::{hierarchy::ScopeHierarchy, scope::Scopes};

/// The method that names a list of resources to hear about (MCP 2026-07-28).
pub(super) const LISTEN: &str = "subscriptions/listen";

/// Something an MCP client can ask a server to do.
///
/// ```
/// use tower_mcp_auth::Operation;
///
/// let delete = Operation::tool("delete_note");
/// let read_any = Operation::method("resources/read");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Method(Box<str>),
    Named(&'static [&'static str], Box<str>),
}

impl Operation {
    /// Every use of one JSON-RPC method, such as `resources/read`.
    pub fn method(method: impl Into<Box<str>>) -> Self {
        Self(Kind::Method(method.into()))
    }

    /// A call of one tool.
    pub fn tool(name: impl Into<Box<str>>) -> Self {
        Self(Kind::Named(&["tools/call"], name.into()))
    }

    /// One prompt.
    pub fn prompt(name: impl Into<Box<str>>) -> Self {
        Self(Kind::Named(&["prompts/get"], name.into()))
    }

    /// Reading one MCP resource, and subscribing to it, by whichever method. The URI is compared
    /// letter by letter.
    pub fn resource(uri: impl Into<Box<str>>) -> Self {
        Self(Kind::Named(
            &["resources/read", "resources/subscribe", LISTEN],
            uri.into(),
        ))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Method(method) => f.write_str(method),
            Kind::Named(_, name) => f.write_str(name),
        }
    }
}

/// Which operation takes which scopes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    methods: HashMap<Box<str>, Scopes>,
    named: HashMap<&'static str, HashMap<Box<str>, Scopes>>,
}

impl Rules {
    pub(crate) fn add(&mut self, operation: Operation, scopes: &Scopes) {
        let put = |rules: &mut HashMap<Box<str>, Scopes>, key| {
            let all = rules.entry(key).or_default();
            *all = all.union(scopes);
        };
        match operation.0 {
            Kind::Method(method) => put(&mut self.methods, method),
            Kind::Named(methods, name) => {
                for method in methods {
                    put(self.named.entry(method).or_default(), name.clone());
                }
            }
        }
    }

    pub(crate) fn needs(&self) -> Needs<'_> {
        Needs {
            rules: self,
            scopes: Vec::new(),
        }
    }
}

/// What one request takes: one message, or all messages of a batch.
pub(crate) struct Needs<'r> {
    rules: &'r Rules,
    /// Each rule once, so a batch takes no more room than there are rules.
    scopes: Vec<&'r Scopes>,
}

impl<'r> Needs<'r> {
    /// Whether it depends on a name what `method` takes.
    pub(crate) fn depend_on_name(&self, method: &str) -> bool {
        self.rules.named.contains_key(method)
    }

    /// Adds what one message takes; `unnamed` is the refusal for a message whose name matters and
    /// is missing.
    pub(crate) fn add(
        &mut self,
        method: &str,
        name: Option<&str>,
        unnamed: Refusal,
    ) -> Result<(), Refusal> {
        let by_name = match self.rules.named.get(method) {
            Some(names) => names.get(name.ok_or(unnamed)?),
            None => None,
        };
        self.push(self.rules.methods.get(method));
        self.push(by_name);
        Ok(())
    }

    /// Adds what a message takes that asks to hear about resources.
    pub(crate) fn add_listening(&mut self, uris: &[String]) {
        self.push(self.rules.methods.get(LISTEN));
        if let Some(names) = self.rules.named.get(LISTEN) {
            for uri in uris {
                self.push(names.get(uri.as_str()));
            }
        }
    }

    fn push(&mut self, scopes: Option<&'r Scopes>) {
        if let Some(scopes) = scopes
            && !self.scopes.iter().any(|known| std::ptr::eq(*known, scopes))
        {
            self.scopes.push(scopes);
        }
    }

    pub(crate) fn are_met_by(&self, granted: &Scopes, hierarchy: &ScopeHierarchy) -> bool {
        self.scopes
            .iter()
            .all(|scopes| hierarchy.suffices(granted, scopes))
    }

    /// All of it together with `base`.
    pub(crate) fn with(&self, base: &Scopes) -> Scopes {
        self.scopes
            .iter()
            .fold(base.clone(), |all, scopes| all.union(scopes))
    }
}
