//! One operation, one statement: how a function of the database is called.
//!
//! A call is a simple query without parameters: one round trip, also the first time, and nothing of
//! it stays behind in the session, so that poolers of every kind and age can be in between (a
//! prepared statement would be looked for in whatever session the pooler has at hand). The server
//! keeps the plans of what is inside its functions.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Row};
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::{Failure, NoAnswer, TooLate, classify};
use crate::store::{StoreError, server_clock::ServerClock};

/// How long an operation may take with everything that is tried for it; less than what the layer
/// gives a store.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How often a statement of which nothing came about is tried.
const TRIES: u32 = 8;
/// How often a question is tried whose answer was lost.
const ASKS: u32 = 3;

/// Calls functions of the database.
#[derive(Clone)]
pub(super) struct Calls {
    pool: PgPool,
    clock: ServerClock,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changes nothing: may be asked again.
    Question,
    /// When its answer is lost nobody knows what came of it.
    Change,
    /// As a change; what it is given is kept out of the server's logs.
    Secret,
}

impl Calls {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            clock: ServerClock::default(),
        }
    }

    pub(super) async fn question<R: DeserializeOwned>(
        &self,
        function: &'static str,
        given: impl Serialize,
    ) -> Result<R, StoreError> {
        self.call(Kind::Question, function, given).await
    }

    pub(super) async fn change<R: DeserializeOwned>(
        &self,
        function: &'static str,
        given: impl Serialize,
    ) -> Result<R, StoreError> {
        self.call(Kind::Change, function, given).await
    }

    pub(super) async fn secret_change<R: DeserializeOwned>(
        &self,
        function: &'static str,
        given: impl Serialize,
    ) -> Result<R, StoreError> {
        self.call(Kind::Secret, function, given).await
    }

    async fn call<R: DeserializeOwned>(
        &self,
        kind: Kind,
        function: &'static str,
        given: impl Serialize,
    ) -> Result<R, StoreError> {
        let given = serde_json::to_string(&given).map_err(StoreError::unavailable)?;
        let statement = Statement::new(kind, function, without_nul(given));
        // A task of its own: a caller who does not wait any longer must not leave a connection
        // behind in the middle of an answer.
        let task = tokio::spawn(run(self.clone(), statement));
        let answer = task.await.map_err(StoreError::unavailable)??;
        serde_json::from_str(answer.as_deref().unwrap_or("null")).map_err(StoreError::unavailable)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

struct Statement {
    kind: Kind,
    call: String,
    parameter: Option<String>,
}

/// Until when the server may begin, in milliseconds by its clock, and for how long it may go on.
struct Limits {
    begin: u64,
    end: Duration,
}

/// What a function gave, unless it was too late for it, and what time it was.
struct Answer {
    given: Result<Option<String>, TooLate>,
    now: u64,
}

impl Statement {
    fn new(kind: Kind, function: &'static str, given: String) -> Self {
        if kind == Kind::Secret {
            return Self {
                kind,
                call: format!("tower_mcp_auth.{function}($1::jsonb)"),
                parameter: Some(given),
            };
        }
        // Base64 has no character that means anything to SQL.
        let given = STANDARD.encode(given);
        Self {
            kind,
            call: format!(
                "tower_mcp_auth.{function}(convert_from(decode('{given}', 'base64'), 'UTF8')::jsonb)"
            ),
            parameter: None,
        }
    }

    /// The server does nothing that it does not begin in time, and undoes what it cannot end in time.
    /// Otherwise it would do it after all, long after somebody was told that it failed: a refresh that
    /// was repeated meanwhile would be taken for theft. Until then it would keep a connection, too,
    /// that nobody here counts any more.
    async fn ask(&self, connection: &mut PgConnection, limits: Limits) -> sqlx::Result<Answer> {
        let Limits { begin, end } = limits;
        // Of 0 the server would make no limit at all.
        let end = end.as_millis().max(1);
        let end = format!("set local statement_timeout = {end}");
        // Asked once, before the function is called. `extract` would count with decimal digits.
        let sql = format!(
            "select case when now < {begin} then {}::text end, now \
             from (select (date_part('epoch', clock_timestamp()) * 1000)::int8 as now) clock",
            self.call
        );
        let row = if let Some(given) = &self.parameter {
            // Prepared, so in a transaction: only there does a pooler keep to one session.
            let mut transaction = connection.begin().await?;
            // Nor does it wait for the next message any longer, with what it has locked.
            let idle = end.replace("statement", "idle_in_transaction_session");
            transaction
                .execute(sqlx::raw_sql(AssertSqlSafe(format!("{end}; {idle}"))))
                .await?;
            let query = sqlx::query(AssertSqlSafe(sql)).bind(given);
            let row = transaction.fetch_one(query.persistent(false)).await?;
            transaction.commit().await?;
            row
        } else {
            // One message, so one transaction and one round trip.
            let sql = AssertSqlSafe(format!("{end}; {sql}"));
            connection.fetch_one(sqlx::raw_sql(sql)).await?
        };
        let now = u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
        let given = if now < begin {
            Ok(row.try_get(0)?)
        } else {
            Err(TooLate)
        };
        Ok(Answer { given, now })
    }
}

/// Runs a statement, again where that is safe.
async fn run(calls: Calls, statement: Statement) -> Result<Option<String>, StoreError> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut tries = 0;
    loop {
        tries += 1;
        let acquired = timeout_at(deadline, calls.pool.acquire()).await;
        let acquired = acquired.map_err(|_| StoreError::unavailable(NoAnswer))?;
        let mut connection = acquired.map_err(StoreError::unavailable)?;
        // A little less than is left: then the server says so, and the connection stays whole.
        let now = Instant::now();
        let left = deadline.duration_since(now);
        let limits = Limits {
            begin: calls.clock.at((now + left / 4).into_std()),
            end: left * 5 / 8,
        };
        let answer = timeout_at(deadline, statement.ask(&mut connection, limits));
        let failure = match answer.await {
            Ok(Ok(answer)) => {
                calls.clock.heard(answer.now);
                match answer.given {
                    Ok(given) => return Ok(given),
                    Err(late) => Failure::Undone(late.into()),
                }
            }
            Ok(Err(error)) => classify(error),
            Err(_) => Failure::Lost(NoAnswer.into()),
        };
        let (error, may_try) = match failure {
            Failure::Undone(error) => (error, tries < TRIES),
            Failure::Lost(error) => {
                connection.close_on_drop();
                (error, statement.kind == Kind::Question && tries < ASKS)
            }
            Failure::Elsewhere(error) => {
                connection.close_on_drop();
                (error, tries < ASKS)
            }
            Failure::Final(error) => (error, false),
        };
        if !may_try {
            return Err(StoreError::Unavailable(error));
        }
        drop(connection);
        // Those who were in each other's way must not meet again.
        sleep(Duration::from_millis(1 << tries)).await;
    }
}

/// `json` without the one character that PostgreSQL cannot store. It has no meaning anywhere in
/// the protocol, but may stand in a key set that a stranger registers.
fn without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        // Every escape has two characters at least; the one of NUL has six.
        let length = if escape.starts_with(NUL) { 6 } else { 2 };
        let (escape, after) = escape.split_at(length);
        clean.push_str(if length == 6 { "\\ufffd" } else { escape });
        rest = after;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_nul_is_replaced() {
        for (given, kept) in [
            ("plain", "plain"),
            ("a\0b\0", "a\u{fffd}b\u{fffd}"),
            ("\\u0000", "\\u0000"),
            ("\\\0\\\\u0000\"\u{1}", "\\\u{fffd}\\\\u0000\"\u{1}"),
        ] {
            let json = json!({ "x": given }).to_string();
            let clean: Value = serde_json::from_str(&without_nul(json)).unwrap();
            assert_eq!(clean, json!({ "x": kept }));
        }
    }

    #[test]
    fn what_is_given_never_stands_in_a_statement_as_it_is() {
        let given = "'; drop schema tower_mcp_auth cascade; --";
        let json = json!({ "x": given }).to_string();
        let statement = Statement::new(Kind::Change, "revoke_grant", json.clone());
        assert!(!statement.call.contains("drop"), "{}", statement.call);
        assert_eq!(statement.call.matches('\'').count(), 6);
        let secret = Statement::new(Kind::Secret, "add_key", json.clone());
        assert_eq!(secret.call, "tower_mcp_auth.add_key($1::jsonb)");
        assert_eq!(secret.parameter, Some(json));
    }
}
