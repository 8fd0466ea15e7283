//! The schema and its versions.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::store::StoreError;

/// The version of the tables and functions below.
const VERSION: u32 = STEPS.len() as u32;

/// What makes each version of the tables out of the one before.
const STEPS: [&str; 2] = [
    include_str!("sql/tables.sql"),
    include_str!("sql/destinations.sql"),
];

/// The functions of the newest version; all are replaced when the version changes.
const FUNCTIONS: [&str; 14] = [
    include_str!("sql/counters.sql"),
    include_str!("sql/rows.sql"),
    include_str!("sql/consents.sql"),
    include_str!("sql/clients.sql"),
    include_str!("sql/authorizations.sql"),
    include_str!("sql/feed.sql"),
    include_str!("sql/revocation.sql"),
    include_str!("sql/tokens.sql"),
    include_str!("sql/codes.sql"),
    include_str!("sql/once.sql"),
    include_str!("sql/devices.sql"),
    include_str!("sql/keys.sql"),
    include_str!("sql/sweep.sql"),
    include_str!("sql/transfer.sql"),
];

/// Why the schema could not be brought up to date.
pub(super) enum MigrateError {
    Store(StoreError),
    Engine(sqlx::Error),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error)
    }
}

/// Brings the schema up to date. Any number of instances may do so at once.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    // Mostly it is, and nobody needs to wait for anybody.
    if version(connection).await? == VERSION {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    transaction
        .execute("select pg_advisory_xact_lock(hashtextextended('tower_mcp_auth schema', 0))")
        .await?;
    let found = version(&mut transaction).await?;
    if found == 0 {
        create(&mut transaction).await?;
    }
    for step in STEPS.iter().skip(found as usize) {
        transaction.execute(sqlx::raw_sql(*step)).await?;
    }
    if found < VERSION {
        for functions in FUNCTIONS {
            transaction.execute(sqlx::raw_sql(functions)).await?;
        }
        let update = format!("update tower_mcp_auth.schema_version set version = {VERSION}");
        transaction
            .execute(sqlx::raw_sql(AssertSqlSafe(update)))
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn create(connection: &mut PgConnection) -> sqlx::Result<()> {
    // Whoever may not create schemas can be given an empty one.
    let exists = "select exists (select from pg_namespace where nspname = 'tower_mcp_auth')";
    let exists: bool = connection
        .fetch_one(sqlx::raw_sql(exists))
        .await?
        .try_get(0)?;
    if !exists {
        connection.execute("create schema tower_mcp_auth").await?;
    }
    let first = "create table tower_mcp_auth.schema_version (version bigint not null); \
         insert into tower_mcp_auth.schema_version values (0)";
    connection.execute(sqlx::raw_sql(first)).await?;
    Ok(())
}

/// The version that is there, 0 where there is nothing.
async fn version(connection: &mut PgConnection) -> Result<u32, MigrateError> {
    // Not `to_regclass`, which may remember what it found before somebody else committed.
    let exists = "select exists (select from pg_tables \
         where schemaname = 'tower_mcp_auth' and tablename = 'schema_version')";
    let exists: bool = connection
        .fetch_one(sqlx::raw_sql(exists))
        .await?
        .try_get(0)?;
    if !exists {
        return Ok(0);
    }
    let found = "select version from tower_mcp_auth.schema_version";
    let found: i64 = connection
        .fetch_one(sqlx::raw_sql(found))
        .await?
        .try_get(0)?;
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > VERSION {
        return Err(MigrateError::Store(StoreError::NewerSchema {
            found,
            supported: VERSION,
        }));
    }
    Ok(found)
}
