//! The database: WAL, one connection that writes, a few that read. Writes begin as `BEGIN IMMEDIATE`, because a
//! transaction that upgrades from reading fails at once, whatever the busy timeout.

use std::{path::Path, time::Duration};

use hayloft_core::codec;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Row, Sqlite, SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
const READERS: u32 = 4;
/// Version byte of signed values in rows.
const VERSION: u8 = 1;
/// Longest signed value in a row.
const VALUE_BYTES: usize = 64 << 20;

/// Why the database fails.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Written by a later release.
    #[error(
        "the database was written by a newer release of Hayloft; install that release (nothing was changed)"
    )]
    FromTheFuture,
    /// Its tables are those of another release.
    #[error("this home was made by another release of Hayloft: use that release (nothing was changed)")]
    OtherRelease,
    /// The disk is full.
    #[error("the disk that holds this home's records is full: make room on it")]
    DiskFull,
    /// The disk fails.
    #[error("the disk that holds this home's records fails: look after it, and copy elsewhere what matters")]
    DiskFails,
    /// The folder or its disk cannot be written.
    #[error("this home's records cannot be changed: its folder, or the disk it is on, is read-only")]
    ReadOnly,
    /// Its file cannot be opened (any more).
    #[error(
        "this home's database cannot be opened: it was deleted or moved away, or its folder is read-only; look after the \
         folder, and start Hayloft again"
    )]
    NotOpened,
    /// Another program uses the file.
    #[error("another program holds this home's database: end it, and try again")]
    Busy,
    /// The file that keeps other nodes off the home was deleted or replaced.
    #[error(
        "the file “lock” in this home's folder was deleted or replaced while Hayloft runs, and another node may have begun here: end all \
         nodes of this home, and start one again (nothing was written)"
    )]
    NotLocked,
    /// The store was closed meanwhile.
    #[error("Hayloft is closing: start it again, and try again")]
    Closed,
    /// A stored value cannot be read.
    #[error("the database holds a value that cannot be read: {what}")]
    Corrupt {
        /// What it should have been.
        what: &'static str,
    },
    /// The catalog log beside the database cannot be read or written.
    #[error("this home's records cannot be written: {}", crate::disk::plain(.0))]
    Catalog(#[source] std::io::Error),
    /// SQLite refused for a reason that is not the disk's.
    #[error("this home's database failed inside")]
    Sqlite(#[source] sqlx::Error),
}

const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(SQLITE_FULL) => Self::DiskFull,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt { what: "a page of its file" },
            Some(SQLITE_BUSY | SQLITE_LOCKED) => Self::Busy,
            Some(SQLITE_READONLY) => Self::ReadOnly,
            Some(SQLITE_CANTOPEN) => Self::NotOpened,
            Some(SQLITE_IOERR) => Self::DiskFails,
            _ => Self::of_driver(error),
        }
    }
}

impl DatabaseError {
    fn of_driver(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Io(error) => error.into(),
            sqlx::Error::ColumnDecode { .. } => Self::Corrupt { what: "a value of its kind" },
            error => {
                tracing::error!(%error, "the database failed");
                Self::Sqlite(error)
            }
        }
    }
}

impl From<std::io::Error> for DatabaseError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Catalog(error),
        }
    }
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(_) => Self::FromTheFuture,
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source.into(),
            MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => Self::OtherRelease,
            other => Self::Sqlite(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

/// A write in progress.
pub(crate) type Write = Transaction<'static, Sqlite>;

#[derive(Debug, Clone)]
pub(crate) struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Db {
    /// Opens the file, checks it and brings it up to date. A file from a newer release is not changed.
    pub(crate) async fn open(path: &Path) -> Result<Self, DatabaseError> {
        // Made for its user alone before SQLite, which gives its other files the same rights, looks for it.
        crate::home::private_options().create(true).truncate(false).open(path).map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Pages after which the log is written back: a quarter of the default, so that it stays about as small (1 MB).
            .pragma("wal_autocheckpoint", "256")
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .thread_name(|_| "hayloft-db".to_owned());
        let one = SqlitePoolOptions::new().max_connections(1).min_connections(1).test_before_acquire(false);
        let one = one.max_lifetime(None).idle_timeout(None);
        let writer = one.connect_with(options.clone()).await?;
        match prepare(&writer).await {
            Ok(()) => {
                let pool = SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false);
                let pool = pool.max_lifetime(None).idle_timeout(None);
                Ok(Self { writer, readers: pool.connect_lazy_with(options.read_only(true)) })
            }
            Err(error) => {
                writer.close().await;
                Err(error)
            }
        }
    }

    /// Begins the one write at a time; what it commits is on the disk, with all that was committed before.
    pub(crate) async fn write(&self) -> Result<Write, DatabaseError> {
        self.begin("PRAGMA synchronous = FULL; BEGIN IMMEDIATE").await
    }

    /// Begins a write of what may be lost when the power fails, because nothing was promised on it and whoever needs it
    /// finds out: its commit waits for no disk. A crash of this process alone loses nothing. The next [`Db::write`]
    /// brings it to the disk too.
    pub(crate) async fn write_soft(&self) -> Result<Write, DatabaseError> {
        self.begin("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE").await
    }

    async fn begin(&self, statement: &'static str) -> Result<Write, DatabaseError> {
        match self.writer.begin_with(statement).await {
            // SQLite rolls a write back by itself when the disk is full or fails; the driver still counts it as open.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                Ok(self.writer.begin_with(statement).await?)
            }
            begun => Ok(begun?),
        }
    }

    /// Where reads go.
    pub(crate) fn read(&self) -> &SqlitePool {
        &self.readers
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A value of the home itself.
    pub(crate) async fn home_value(&self, key: &str) -> Result<Option<Vec<u8>>, DatabaseError> {
        let row = sqlx::query("SELECT value FROM home WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.writer)
            .await?;
        row.map(|row| bytes(&row, 0)).transpose()
    }

    pub(crate) async fn set_home_value(&self, key: &str, value: &[u8]) -> Result<(), DatabaseError> {
        let query =
            sqlx::query("INSERT OR REPLACE INTO home (key, value) VALUES (?, ?)").bind(key).bind(value);
        query.execute(&self.writer).await?;
        Ok(())
    }
}

impl Db {
    pub(crate) async fn has_shards(&self) -> Result<bool, DatabaseError> {
        let query = sqlx::query("SELECT EXISTS (SELECT 1 FROM shards WHERE state >= 1)");
        Ok(number(&query.fetch_one(&self.writer).await?, 0)? == 1)
    }
}

async fn prepare(writer: &SqlitePool) -> Result<(), DatabaseError> {
    let said: String = sqlx::query("PRAGMA quick_check(1)").fetch_one(writer).await?.try_get(0)?;
    if said != "ok" {
        return Err(DatabaseError::Corrupt { what: "a page of its file" });
    }
    Ok(MIGRATIONS.run(writer).await?)
}

/// An unsigned number as SQLite keeps it. Greater ones than it can keep become its greatest.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// An unsigned number of a row.
pub(crate) fn number(row: &SqliteRow, column: usize) -> Result<u64, DatabaseError> {
    u64::try_from(row.try_get::<i64, _>(column)?)
        .map_err(|_| DatabaseError::Corrupt { what: "a size or time" })
}

/// An unsigned number of a row that may be missing.
pub(crate) fn maybe_number(row: &SqliteRow, column: usize) -> Result<Option<u64>, DatabaseError> {
    let value: Option<i64> = row.try_get(column)?;
    let checked = value.map(u64::try_from).transpose();
    checked.map_err(|_| DatabaseError::Corrupt { what: "a size or time" })
}

/// Bytes of a row.
pub(crate) fn bytes(row: &SqliteRow, column: usize) -> Result<Vec<u8>, DatabaseError> {
    Ok(row.try_get(column)?)
}

/// 32 bytes of a row.
pub(crate) fn id(row: &SqliteRow, column: usize) -> Result<[u8; 32], DatabaseError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| DatabaseError::Corrupt { what: "an identifier" })
}

/// 32 bytes of a row that may be missing.
pub(crate) fn maybe_id(row: &SqliteRow, column: usize) -> Result<Option<[u8; 32]>, DatabaseError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let checked = bytes.map(<[u8; 32]>::try_from).transpose();
    checked.map_err(|_| DatabaseError::Corrupt { what: "an identifier" })
}

/// A signed value as a row keeps it.
pub(crate) fn to_blob<T: Serialize>(value: &T) -> Vec<u8> {
    codec::encode(VERSION, value)
}

/// A signed value out of a row.
pub(crate) fn from_blob<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DatabaseError> {
    codec::decode(VERSION, bytes, VALUE_BYTES).map_err(|_| DatabaseError::Corrupt { what: "a signed value" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opening_twice_migrates_once_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hayloft.db");
        let db = Db::open(&path).await.unwrap();
        db.set_home_value("id", b"abc").await.unwrap();
        db.close().await;
        let db = Db::open(&path).await.unwrap();
        assert_eq!(db.home_value("id").await.unwrap().as_deref(), Some(&b"abc"[..]));
        let row = sqlx::query("PRAGMA journal_mode").fetch_one(db.read()).await.unwrap();
        assert_eq!(row.get::<String, _>(0), "wal");
        let applied =
            sqlx::query("SELECT count(*) FROM _sqlx_migrations").fetch_one(db.read()).await.unwrap();
        assert_eq!(applied.get::<i64, _>(0), i64::try_from(MIGRATIONS.iter().count()).unwrap());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_database_is_for_its_user_alone_whoever_made_the_home() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let db = Db::open(&folder.path().join("hayloft.db")).await.unwrap();
        db.set_home_value("id", b"abc").await.unwrap();
        for name in ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"] {
            let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn a_database_from_a_newer_release_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hayloft.db");
        let db = Db::open(&path).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9999, 'from the future', 1, x'00', 0)";
        sqlx::query(newer).execute(&db.writer).await.unwrap();
        db.close().await;
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Db::open(&path).await, Err(DatabaseError::FromTheFuture)));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_file_from_another_release_is_refused_and_not_changed() {
        for other in ["checksum = x'00'", "success = 0"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hayloft.db");
            let db = Db::open(&path).await.unwrap();
            let query = sqlx::AssertSqlSafe(format!("UPDATE _sqlx_migrations SET {other}"));
            sqlx::query(query).execute(&db.writer).await.unwrap();
            db.close().await;
            let before = std::fs::read(&path).unwrap();
            assert!(matches!(Db::open(&path).await, Err(DatabaseError::OtherRelease)), "{other}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_told_as_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hayloft.db");
        std::fs::write(&path, [7; 8192]).unwrap();
        assert!(matches!(Db::open(&path).await, Err(DatabaseError::Corrupt { .. })));
    }

    #[tokio::test]
    async fn a_database_that_was_deleted_meanwhile_is_told_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hayloft.db");
        let db = Db::open(&path).await.unwrap();
        std::fs::remove_file(path).unwrap();
        let said = DatabaseError::from(db.read().acquire().await.unwrap_err()).to_string();
        assert!(said.contains("deleted"), "{said}");
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("hayloft.db")).await.unwrap();
        assert!(sqlx::query("DELETE FROM home").execute(db.read()).await.is_err());
    }
}
