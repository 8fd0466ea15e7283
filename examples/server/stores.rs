//! The stores that the command line can name.

use std::{fmt, path::PathBuf, str::FromStr};

#[cfg(feature = "postgres")]
use tower_mcp_auth::store::PostgresStore;
#[cfg(feature = "redis")]
use tower_mcp_auth::store::RedisStore;
use tower_mcp_auth::{
    McpAuthBuilder,
    store::{self, MemoryStore, SledStore, Store},
};

use crate::Error;

#[derive(Clone)]
pub(crate) enum StoreUrl {
    Memory,
    Sled(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(String),
    #[cfg(feature = "redis")]
    Redis(String),
}

// Some have a password in them.
impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl")
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sled", path)) if !path.is_empty() => Ok(Self::Sled(path.into())),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text.to_owned())),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => Err(without("postgres")),
            #[cfg(feature = "redis")]
            Some(("redis" | "rediss", _)) => Ok(Self::Redis(text.to_owned())),
            #[cfg(not(feature = "redis"))]
            Some(("redis" | "rediss", _)) => Err(without("redis")),
            _ => Err("expected sled:PATH, postgres://.., redis://.. or memory:".to_owned()),
        }
    }
}

#[cfg(not(all(feature = "postgres", feature = "redis")))]
fn without(feature: &str) -> String {
    format!(
        "this program was built without the feature `{feature}`: \
         cargo run --release --features {feature} --example server"
    )
}

/// What is done with an open store, of whatever kind.
trait Use {
    type Output;

    async fn with(self, store: impl Store) -> Result<Self::Output, Error>;
}

impl StoreUrl {
    /// Has `builder` keep everything there.
    pub(crate) async fn attach(&self, builder: McpAuthBuilder) -> Result<McpAuthBuilder, Error> {
        self.open(Attach(builder)).await
    }

    /// Copies everything to another store, and says how many records that were.
    pub(crate) async fn copy_to(&self, other: &Self) -> Result<u64, Error> {
        // Opening makes what is not there, and there would be nothing in it.
        if let Self::Sled(path) = self
            && !path.exists()
        {
            return Err(format!("there is no store at {}", path.display()).into());
        }
        self.open(CopyTo(other)).await
    }

    async fn open<U: Use>(&self, then: U) -> Result<U::Output, Error> {
        match self {
            Self::Memory => then.with(MemoryStore::new()).await,
            Self::Sled(path) => then.with(SledStore::open(path)?).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => then.with(PostgresStore::connect(url).await?).await,
            #[cfg(feature = "redis")]
            Self::Redis(url) => then.with(RedisStore::connect(url).await?).await,
        }
    }
}

struct Attach(McpAuthBuilder);

impl Use for Attach {
    type Output = McpAuthBuilder;

    async fn with(self, store: impl Store) -> Result<McpAuthBuilder, Error> {
        Ok(self.0.store(store))
    }
}

struct CopyTo<'a>(&'a StoreUrl);

impl Use for CopyTo<'_> {
    type Output = u64;

    async fn with(self, from: impl Store) -> Result<u64, Error> {
        self.0.open(Copy(&from)).await
    }
}

struct Copy<'a, S>(&'a S);

impl<S: Store> Use for Copy<'_, S> {
    type Output = u64;

    async fn with(self, to: impl Store) -> Result<u64, Error> {
        Ok(store::copy(self.0, &to).await?)
    }
}
