//! What the server keeps its records in, and how either of them dies.

use std::time::Duration;

use tempfile::TempDir;

use super::rng::Rng;
use crate::{nodes::engine::Engine, outside::Server};

/// How long a database that is to die while it recovers gets to live.
const YOUNG: u64 = 150_000;

#[cfg_attr(
    not(all(feature = "postgres", feature = "redis")),
    allow(dead_code, reason = "the engines need features")
)]
pub(crate) enum Kept {
    Sled(TempDir),
    Engine(Box<Engine>),
}

impl Kept {
    /// An empty directory.
    pub(crate) fn directory() -> Self {
        Self::Sled(tempfile::tempdir().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sled(directory) => format!("sled:{}", directory.path().join("auth").display()),
            Self::Engine(engine) => engine.url(),
        }
    }

    /// Kills the server, the database, or both at once; then the database is up again. The server,
    /// if it lives.
    pub(crate) async fn crash(&mut self, server: Server, rng: &mut Rng) -> Option<Server> {
        let Self::Engine(engine) = self else {
            server.kill().await;
            return None;
        };
        let lives = match rng.below(3) {
            0 => {
                server.kill().await;
                return None;
            }
            1 => {
                engine.kill().await;
                Some(server)
            }
            _ => {
                tokio::join!(engine.kill(), server.kill());
                None
            }
        };
        // What it recovers must bear that too.
        if rng.one_in(2) {
            let age = Duration::from_micros(rng.below(YOUNG));
            engine.die_young(age).await;
        }
        engine.restart().await;
        lives
    }

    /// How much of it sled keeps in files of their own.
    pub(crate) fn giants(&self) -> usize {
        match self {
            Self::Sled(directory) => {
                let blobs = directory.path().join("auth/blobs").read_dir();
                blobs.unwrap().count()
            }
            Self::Engine(_) => 0,
        }
    }
}
