//! The catalog log: what an owner cannot make again, kept outside the database too, so that losing the database loses no
//! file and no money. Sealed content and placement records with their notes, contracts with their revisions, transfers,
//! escrows with what they are for, payments, and shards that were given up; all as they are in the rows. Deliberately absent:
//! what can be found again (peers, marks, older revisions and vouchers, which the other party has too), and shards in flight.
//!
//! **A log may be older than the truth.** It may be a copy, one that lost its end, or one of two copies that both went on.
//! What it does not name is therefore no ground to delete anything: farmers are told to delete only what is written down
//! here as given up. That is never taken back, so it holds in every later state of the same records; of two copies that both
//! run, one may give up what the other goes on to name, which nothing here can tell. After rows followed the log each contract is compared with its farmer once ([`crate::Owner::unsettled`]); what only the
//! farmer knows stays with it and is told, even if it was in flight when the database was lost. It ends with its contract.
//!
//! **Log first, rows second.** Every change of these tables is a list of [`Entry`]s. They are applied to the rows in one
//! transaction, appended to the log as one batch and synced, and only then is the transaction committed. The same
//! transaction notes the log's new head, so that log and rows can be compared at any time. When they disagree:
//!
//! | found at a start | because | then |
//! |---|---|---|
//! | the log goes on behind the rows' head | a crash between sync and commit, or the database lost its newest commits | the rows follow |
//! | a torn batch at the end | a crash while it was written | it is cut off; it was never acknowledged |
//! | the rows' head is not in the log, and the log is newer | an old copy of the database | the owner's tables begin anew from the log |
//! | the rows' head is not in the log, and the log is older, damaged or gone | the log was lost | it is written anew from the rows; a damaged one is put aside |
//! | the database is gone or broken | | all tables of the owner come from the log |
//!
//! While running, a batch whose rows cannot be committed is cut off again. A log that cannot be cut, or whose sync
//! failed, or that is not there any more, is stale: it is written anew from the rows (new file, sync, rename) before any
//! other change of the owner's.
//! Rows that do not hold what the log has of them never take its place: [`restore`] brings them back from it.
//! Batches that only save work (revisions, which the farmer has too) are not synced by themselves; the next save does it.

mod anew;
mod copies;
mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod log;
mod opening;
#[cfg(test)]
mod tests;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

pub(crate) use entry::{Entry, EscrowEntry, JobEntry, PaymentEntry};
pub(crate) use log::{Log, marker};
pub use opening::CatalogState;
pub(crate) use opening::{open, restore};

use crate::{
    DatabaseError,
    db::{self, Write},
    open::Inner,
};

/// The rows' head among the home's values.
const HEAD: &str = "catalog";
/// A log shorter than this is never written anew for its length.
const SHORT_BYTES: u64 = 4 << 20;
/// How many times as long as it was when last written anew a log may become.
const GROWTH: u64 = 3;

/// A change of the owner's tables under way; dropped without a commit, nothing has happened.
pub(crate) struct Change {
    inner: Arc<Inner>,
    write: Write,
    entries: Vec<Entry>,
    durable: bool,
}

impl Deref for Change {
    type Target = Write;

    fn deref(&self) -> &Write {
        &self.write
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Write {
        &mut self.write
    }
}

impl Change {
    /// Begins a change. A stale log is written anew first, so that no change is ever missing from it.
    pub(crate) async fn begin(inner: &Arc<Inner>) -> Result<Self, DatabaseError> {
        loop {
            let change = Self::begin_plain(inner).await?;
            // Asked while the writer is held: once it was let go, another change may have made the log stale again.
            let log = inner.catalog.lock().await;
            if !log.stale && !log.is_gone() {
                return Ok(change);
            }
            drop(log);
            to_the_end(change.write_anew()).await?;
        }
    }

    /// Applies an entry to the rows and notes it for the log. The change is on disk when the commit returns.
    pub(crate) async fn make(&mut self, entry: Entry) -> Result<(), DatabaseError> {
        self.durable = true;
        self.make_lazily(entry).await
    }

    /// The same for what can be had again: the log's copy lasts from the next synced change on.
    pub(crate) async fn make_lazily(&mut self, entry: Entry) -> Result<(), DatabaseError> {
        entry.apply(&mut self.write).await?;
        self.entries.push(entry);
        Ok(())
    }

    /// Log first, rows second. Goes on to its end when its caller stops waiting.
    pub(crate) async fn commit(self) -> Result<(), DatabaseError> {
        to_the_end(self.commit_now()).await
    }

    async fn commit_now(mut self) -> Result<(), DatabaseError> {
        if self.entries.is_empty() {
            return Ok(self.write.commit().await?);
        }
        let inner = self.inner.clone();
        let mut log = inner.catalog.lock().await;
        let (framed, head) = Log::frame(&log.head, std::mem::take(&mut self.entries))?;
        set_head(&mut self.write, &head).await?;
        let durable = self.durable;
        on_disk(&mut log, move |log| log.append(&framed, durable)).await?;
        crash_point!(CatalogAppended);
        if let Err(error) = self.write.commit().await {
            on_disk(&mut log, |log| {
                log.cut_back();
                Ok(())
            })
            .await?;
            return Err(error.into());
        }
        log.head = head;
        if head.len > SHORT_BYTES && head.len / GROWTH > head.base {
            drop(log);
            // It only becomes shorter by this: a failure is tried again at the next change.
            if let Err(error) = Self::begin_plain(&inner).await?.write_anew().await {
                tracing::warn!(%error, "the catalog log could not be shortened");
            }
        }
        Ok(())
    }

    /// Two nodes on one home would write over each other's batches.
    async fn begin_plain(inner: &Arc<Inner>) -> Result<Self, DatabaseError> {
        let (home, write) = (inner.home.clone(), inner.db.write().await?);
        let held = tokio::task::spawn_blocking(move || home.is_held()).await;
        if !held.map_err(std::io::Error::other)?? {
            return Err(DatabaseError::NotLocked);
        }
        Ok(Self { inner: inner.clone(), write, entries: Vec::new(), durable: false })
    }

    /// Writes the whole log anew from the rows.
    async fn write_anew(mut self) -> Result<(), DatabaseError> {
        let inner = self.inner.clone();
        let mut log = inner.catalog.lock().await;
        let head = head_of(&mut self.write).await?;
        let anew = anew::write(&mut self.write, &log, head, &inner.marker).await?;
        set_head(&mut self.write, &anew.head()).await?;
        // The rows know the new log before it is there: a crash in between finds an older one, and writes it anew.
        log.stale = true;
        self.write.commit().await?;
        crash_point!(AnewCommitted);
        on_disk(&mut log, move |log| {
            *log = anew.take_place(log.path().to_owned())?;
            crash_point!(AnewInPlace);
            Ok(())
        })
        .await
    }
}

async fn set_head(write: &mut Write, head: &log::Head) -> Result<(), DatabaseError> {
    let query = sqlx::query("INSERT OR REPLACE INTO home (key, value) VALUES (?, ?)");
    query.bind(HEAD).bind(db::to_blob(head)).execute(&mut **write).await?;
    Ok(())
}

/// The rows' head; none if they have none, or it cannot be read.
async fn head_of(write: &mut Write) -> Result<Option<log::Head>, DatabaseError> {
    let query = sqlx::query("SELECT value FROM home WHERE key = ?").bind(HEAD);
    let row = query.fetch_optional(&mut **write).await?;
    Ok(row.and_then(|row| db::from_blob(&db::bytes(&row, 0).ok()?).ok()))
}

/// Works on the log where blocking harms nobody.
async fn on_disk(
    log: &mut Log,
    work: impl FnOnce(&mut Log) -> std::io::Result<()> + Send + 'static,
) -> Result<(), DatabaseError> {
    let mut moved = std::mem::replace(log, Log::lost(log.path().to_owned(), log.disk().clone(), log.head));
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&mut moved);
        (moved, result)
    });
    let (moved, result) = done.await.map_err(|ended| DatabaseError::Catalog(std::io::Error::other(ended)))?;
    *log = moved;
    Ok(result?)
}

/// Runs work that must not stop half way when its caller stops waiting.
async fn to_the_end(
    work: impl Future<Output = Result<(), DatabaseError>> + Send + 'static,
) -> Result<(), DatabaseError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(ended) => Err(DatabaseError::Catalog(std::io::Error::other(ended))),
    }
}
