//! The database: WAL, one connection that writes, a few that read. A closed ledger is one transaction.
//!
//! Invariant: what [`Db::write`] returned from is on the disk, whole; after a kill -9 the newest ledger is there whole or
//! not at all.

pub(crate) mod history;
mod write;

pub(crate) use write::ClosedRows;

use std::{io, path::Path, time::Duration};

use sqlx::{
    Row, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use stellar_base::xdr::{LedgerEntry, LedgerHeader, Limits, ReadXdr};

use crate::rules::{entry::Entry, state::State};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
const READERS: u32 = 4;
/// Longest value that a row of ours may hold.
const ROW_BYTES: usize = 1 << 20;

/// Why the database fails.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Written by a later release.
    #[error("the ledger's database was written by a newer release of Hayloft; install that release")]
    FromTheFuture,
    /// A stored value cannot be read.
    #[error("the ledger's database holds a value that cannot be read: {what}")]
    Corrupt {
        /// What it should have been.
        what: &'static str,
    },
    /// The folder cannot be used.
    #[error("the ledger's folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    /// SQLite refused.
    #[error("the ledger's database failed: {0}")]
    Sqlite(#[from] sqlx::Error),
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(_) => Self::FromTheFuture,
            MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => Self::Corrupt { what: "its schema" },
            other => Self::Sqlite(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

/// What makes this network its own.
pub(crate) struct Network {
    pub(crate) passphrase: String,
    /// Secret key of the account that held everything at first, and pays for friendbot.
    pub(crate) root: [u8; 32],
}

pub(crate) struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Db {
    /// Opens the file and brings it up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, DatabaseError> {
        private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .thread_name(|_| "hayloft-ledger-db".to_owned());
        let one = SqlitePoolOptions::new().max_connections(1).min_connections(1).test_before_acquire(false);
        let writer = one.max_lifetime(None).idle_timeout(None).connect_with(options.clone()).await?;
        if let Err(error) = MIGRATIONS.run(&writer).await {
            writer.close().await;
            return Err(error.into());
        }
        let pool = SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false);
        Ok(Self { writer, readers: pool.connect_lazy_with(options.read_only(true)) })
    }

    /// The network and its state; none in a new database.
    pub(crate) async fn load(&self) -> Result<Option<(Network, State)>, DatabaseError> {
        let query = sqlx::query("SELECT passphrase, root FROM network");
        let Some(row) = query.fetch_optional(&self.writer).await? else { return Ok(None) };
        let root: Vec<u8> = row.try_get(1)?;
        let root = root.try_into().map_err(|_| DatabaseError::Corrupt { what: "the root key" })?;
        let network = Network { passphrase: row.try_get(0)?, root };
        let newest = sqlx::query("SELECT header FROM ledgers ORDER BY sequence DESC LIMIT 1");
        let header: Vec<u8> = newest.fetch_one(&self.writer).await?.try_get(0)?;
        let header: LedgerHeader = read(&header, "a ledger's header")?;
        let mut entries = Vec::new();
        for row in sqlx::query("SELECT entry FROM entries").fetch_all(&self.writer).await? {
            let entry: LedgerEntry = read(row.try_get(0)?, "an entry of the ledger")?;
            let entry = Entry::from_ledger_entry(entry);
            entries.push(entry.ok_or(DatabaseError::Corrupt { what: "an entry of the ledger" })?);
        }
        Ok(Some((network, State::new(entries, header))))
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Reads XDR of a row.
pub(crate) fn read<T: ReadXdr>(bytes: &[u8], what: &'static str) -> Result<T, DatabaseError> {
    T::from_xdr(bytes, Limits { depth: 500, len: ROW_BYTES }).map_err(|_| DatabaseError::Corrupt { what })
}

/// Makes the file for its user alone before SQLite, which gives its other files the same rights, looks for it.
fn private(path: &Path) -> Result<(), io::Error> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
