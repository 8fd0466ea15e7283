//! What a failure of a statement means for what it was to do.

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer.
pub(super) enum Failure {
    /// The server undid all of it: two transactions were in each other's way.
    Undone(Cause),
    /// The connection is gone, and whether anything came about nobody knows.
    Lost(Cause),
    /// Nothing came about, since this server may not change anything: it is not, or not any more,
    /// the one that may. Another connection may lead to that one.
    Elsewhere(Cause),
    /// The same would come of it again.
    Final(Cause),
}

/// The server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
pub(super) struct NoAnswer;

/// The server began too late with what it was asked, and so did not.
#[derive(Debug, thiserror::Error)]
#[error("it would have been too late")]
pub(super) struct TooLate;

pub(super) fn classify(error: sqlx::Error) -> Failure {
    let sqlx::Error::Database(database) = &error else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Failure::Lost(error.into()),
            _ => Failure::Final(error.into()),
        };
    };
    match database.code().as_deref().unwrap_or_default() {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Failure::Undone(error.into()),
        // read_only_sql_transaction
        "25006" => Failure::Elsewhere(error.into()),
        // admin_shutdown, crash_shutdown, cannot_connect_now, and connection exceptions, which
        // poolers say
        code if code.starts_with("57P0") || code.starts_with("08") => Failure::Lost(error.into()),
        _ => Failure::Final(error.into()),
    }
}
