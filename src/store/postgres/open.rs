//! From a URL or a pool to a database that is fit for use.

use std::{fmt::Write, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    PostgresOptions,
    failure::NoAnswer,
    migrate::{MigrateError, migrate},
};
use crate::store::StoreError;

/// How long a request waits for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A connection that was idle for so long is tried before it is used: the server may have been
/// restarted. One in steady use is not, since that would double the round trips.
const TRY_AFTER: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 10;

/// What a URL may say in its query, beside `options[..]`.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Reads a URL of a database.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let invalid = |cause: sqlx::Error| StoreError::InvalidUrl(cause.into());
    let is_ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !is_ours {
        let expected = "it must begin with postgres:// or postgresql://";
        return Err(invalid(sqlx::Error::Configuration(expected.into())));
    }
    // sqlx would pass it over, and log it with its value: a password, if its name was mistyped.
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    if names.any(|name| !PARAMETERS.contains(&&*name) && !name.starts_with("options[")) {
        let unknown = "it has a parameter that is not known";
        return Err(invalid(sqlx::Error::Configuration(unknown.into())));
    }
    let options: PgConnectOptions = url.parse().map_err(invalid)?;
    Ok(options
        // pgbouncer refuses connections that set it, and no column has such a number.
        .extra_float_digits(None)
        .disable_statement_logging())
}

/// A pool of connections, none of which is open yet.
pub(super) fn pool(connect: PgConnectOptions, options: &PostgresOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(options.max_connections.unwrap_or(CONNECTIONS))
        .acquire_timeout(CONNECT_WITHIN)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for >= TRY_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(connect)
}

/// Opens one connection, so that what is wrong is said as it is: a pool would try until its time
/// is over.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connected = timeout(CONNECT_WITHIN, options.connect()).await;
    let connected = connected.map_err(|_| StoreError::Unreachable {
        address: address(options),
        source: NoAnswer.into(),
    })?;
    connected.map_err(|error| unreachable(options, error))
}

/// What it means that a database could not be opened, in the server's own words where it has any.
pub(super) fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> StoreError {
    StoreError::Unreachable {
        address: address(options),
        source: match error {
            sqlx::Error::Database(error) => error.message().into(),
            sqlx::Error::Io(error) => error.into(),
            error => error.into(),
        },
    }
}

/// Brings a database up to date that is fit for use, and warns where it keeps its word too late.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(), StoreError> {
    let settings = Settings::read(connection).await;
    let settings = settings.map_err(|error| unreachable(options, error))?;
    if let Some(why) = settings.unsuitable() {
        return Err(StoreError::Unsuitable {
            address: address(options),
            why,
        });
    }
    #[cfg(feature = "tracing")]
    if let Some(risk) = settings.risk() {
        tracing::warn!(address = address(options), "{risk}");
    }
    migrate(connection).await.map_err(|error| match error {
        MigrateError::Store(error) => error,
        MigrateError::Engine(error) => unreachable(options, error),
    })
}

/// Where a database is, without the password.
pub(super) fn address(options: &PgConnectOptions) -> String {
    let mut address = format!("postgres://{}@", options.get_username());
    // Writing to a string does not fail.
    let _ = match options.get_socket() {
        Some(socket) => write!(address, "{}", socket.display()),
        None => write!(address, "{}:{}", options.get_host(), options.get_port()),
    };
    if let Some(database) = options.get_database() {
        address.push('/');
        address.push_str(database);
    }
    address
}

/// Settings of the server that matter.
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "told in the log alone")
)]
struct Settings {
    version: i32,
    encoding: String,
    bytea_output: String,
    isolation: String,
    is_replica: bool,
    fsync: String,
    synchronous_commit: String,
}

impl Settings {
    async fn read(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let row = connection
            .fetch_one(
                "select current_setting('server_version_num')::int4, \
                 current_setting('server_encoding'), current_setting('bytea_output'), \
                 current_setting('default_transaction_isolation'), pg_is_in_recovery(), \
                 current_setting('fsync'), current_setting('synchronous_commit')",
            )
            .await?;
        Ok(Self {
            version: row.try_get(0)?,
            encoding: row.try_get(1)?,
            bytea_output: row.try_get(2)?,
            isolation: row.try_get(3)?,
            is_replica: row.try_get(4)?,
            fsync: row.try_get(5)?,
            synchronous_commit: row.try_get(6)?,
        })
    }

    /// Why this database cannot be used.
    fn unsuitable(&self) -> Option<String> {
        let needed = |name: &str, needed: &str, found: &str| {
            (found != needed).then(|| format!("{name} is {found}, and has to be {needed}"))
        };
        if self.version < 130_000 {
            let found = self.version / 10_000;
            return Some(format!(
                "it is PostgreSQL {found}, and 13 is the oldest that will do"
            ));
        }
        if self.is_replica {
            return Some("it is a replica, which takes no writes".to_owned());
        }
        needed("server_encoding", "UTF8", &self.encoding)
            .or_else(|| needed("bytea_output", "hex", &self.bytea_output))
            .or_else(|| {
                let name = "default_transaction_isolation";
                needed(name, "read committed", &self.isolation)
            })
    }

    /// What may be lost after it was acknowledged.
    #[cfg(feature = "tracing")]
    fn risk(&self) -> Option<&'static str> {
        if self.fsync == "off" {
            return Some("fsync is off: a crash of the machine may destroy the whole database");
        }
        (self.synchronous_commit == "off").then_some(
            "synchronous_commit is off: a crash of the server brings back what was revoked or \
             used up just before",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit() -> Settings {
        Settings {
            version: 130_000,
            encoding: "UTF8".to_owned(),
            bytea_output: "hex".to_owned(),
            isolation: "read committed".to_owned(),
            is_replica: false,
            fsync: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
        }
    }

    #[test]
    fn a_server_that_will_not_do_is_told_why() {
        assert_eq!(fit().unsuitable(), None);
        let why = |change: fn(&mut Settings)| {
            let mut settings = fit();
            change(&mut settings);
            settings.unsuitable().unwrap_or_default()
        };
        assert!(why(|s| s.version = 129_999).contains("it is PostgreSQL 12,"));
        assert!(why(|s| s.is_replica = true).contains("replica"));
        assert!(why(|s| s.encoding = "SQL_ASCII".to_owned()).contains("SQL_ASCII"));
        assert!(why(|s| s.bytea_output = "escape".to_owned()).contains("escape"));
        assert!(why(|s| s.isolation = "serializable".to_owned()).contains("serializable"));
    }

    #[cfg(feature = "tracing")]
    #[test]
    fn a_server_that_may_lose_something_is_a_risk() {
        assert_eq!(fit().risk(), None);
        let risk = |fsync: &str, synchronous_commit: &str| {
            let (fsync, synchronous_commit) = (fsync.to_owned(), synchronous_commit.to_owned());
            let settings = Settings {
                fsync,
                synchronous_commit,
                ..fit()
            };
            settings.risk().unwrap_or_default()
        };
        assert!(risk("off", "on").contains("the whole database"));
        assert!(risk("off", "off").contains("the whole database"));
        assert!(risk("on", "off").contains("was revoked"));
        assert_eq!(risk("on", "local"), "");
    }

    #[test]
    fn an_address_says_where_and_as_whom() {
        for (url, shown) in [
            (
                "postgres://u:secret@db.example:5433/app",
                "postgres://u@db.example:5433/app",
            ),
            (
                "postgres:///app?host=/run/postgresql&user=u&password=secret",
                "postgres://u@/run/postgresql/app",
            ),
        ] {
            assert_eq!(address(&parse(url).unwrap()), shown);
        }
    }

    #[test]
    fn what_is_mistyped_in_a_url_is_refused_and_not_repeated() {
        for known in [
            "postgres://u@127.0.0.1/db",
            "postgresql:///db?host=/run/postgresql&user=u&password=p%26q",
            "postgres://127.0.0.1/db?sslmode=disable&options[search_path]=a#fragment?passwd=x",
        ] {
            assert!(parse(known).is_ok(), "{known}");
        }
        for unknown in [
            "passwd=secret",
            "user=u&Password=secret",
            "=secret",
            "secret",
        ] {
            let refused = parse(&format!("postgres://127.0.0.1/db?{unknown}")).unwrap_err();
            let StoreError::InvalidUrl(why) = &refused else {
                panic!("{refused:?}");
            };
            assert!(!format!("{refused} {refused:?} {why}").contains("secret"));
        }
    }
}
