//! The database: WAL, one connection that writes, a few that read.

/// Why the database fails.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Written by a later release.
    #[error("the database was written by a newer release of Hayloft; install that release (nothing was changed)")]
    FromTheFuture,
    /// The disk is full.
    #[error("the disk that holds the database is full")]
    DiskFull,
    /// A stored value cannot be read.
    #[error("the database holds a value that cannot be read: {what}")]
    Corrupt {
        /// What it should have been.
        what: &'static str,
    },
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Sqlite(#[source] sqlx::Error),
}
