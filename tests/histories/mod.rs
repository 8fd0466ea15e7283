//! Random histories of a store, and what they must answer.

pub mod calls;
pub mod plan;
pub mod reference;
pub mod tables;
