//! What `cargo mutants --list --json` tells of a mutant.

use serde::Deserialize;

/// A number for each mutant, from 1.
pub type Id = usize;

#[derive(Clone, Deserialize)]
pub struct Mutant {
    pub file: String,
    pub function: Option<Function>,
    pub genre: Genre,
    pub name: String,
    pub replacement: String,
    pub span: Span,
}

impl Mutant {
    /// Whether what its function gives back has a type that the body alone decides on: together with
    /// that body, another value does not compile, which says nothing about the value alone.
    pub fn has_hidden_type(&self) -> bool {
        self.function
            .as_ref()
            .is_some_and(|function| function.return_type.contains("impl "))
    }

    /// Whether it is in a function of that name, of whatever type.
    pub fn is_in(&self, name: &str) -> bool {
        self.function
            .as_ref()
            .is_some_and(|function| function.function_name.rsplit("::").next() == Some(name))
    }
}

#[derive(Clone, Deserialize)]
pub struct Function {
    pub function_name: String,
    pub return_type: String,
}

/// In the order in which they enclose each other where they begin and end together.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Genre {
    FnValue,
    MatchArm,
    MatchArmGuard,
    StructField,
    BinaryOperator,
    UnaryOperator,
}

#[derive(Clone, Deserialize)]
pub struct Span {
    pub start: Position,
    pub end: Position,
}

/// Lines and columns from 1, columns in characters.
#[derive(Clone, Copy, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}
