//! Several machines with one database: here processes, behind ports of their own.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod cpu;
pub(crate) mod engine;
pub(crate) mod proxy;
pub(crate) mod wire;
