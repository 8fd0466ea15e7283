//! What the fuzz targets share: one deployment in memory, a judge of its answers, and keys to sign
//! with.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a panic is what the fuzzer looks for, and here it would be a mistake of the target"
)]

mod json;
mod judge;
mod signer;
mod world;

pub use self::{
    json::{Members, Shape},
    judge::Judge,
    signer::Signer,
    world::{AUDIENCE, CALLBACK, IDP, ORIGIN, SECRET, START, World, names_keys, runtime},
};
