//! Comparing log and rows at a start, and making them agree by the rule of the module.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Change, Entry, HEAD, Log, log, set_head};
use crate::{
    DatabaseError,
    db::{Db, Write, from_blob},
    disk::Disk,
    open::Inner,
};

/// How the owner's records were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogState {
    /// As they were left, or a crash's last step was finished.
    Sound,
    /// The rows were lost or old and came from the log.
    Rebuilt {
        /// Files that are listed again.
        files: u64,
        /// Where a damaged log was copied, of which only the part before the damage could be read.
        damaged: Option<PathBuf>,
    },
}

/// Opens the log and makes the rows follow it.
pub(crate) async fn open(
    path: PathBuf,
    db: &Db,
    marker: &[u8; 16],
    disk: Disk,
) -> Result<(Log, CatalogState), DatabaseError> {
    let kept = db.home_value(HEAD).await?;
    let head = kept.as_deref().and_then(|bytes| from_blob::<log::Head>(bytes).ok());
    if let Some(head) = head
        && log::ends_at(&path, &head)?
    {
        return Ok((Log::open(path, disk, head)?, CatalogState::Sound));
    }
    let Some(mut reading) = log::Reading::begin(&path, marker)? else {
        let Some(head) = head else {
            // Rows and log are both lost: what a log with a damaged beginning holds is all that is left of the files.
            let is_all = kept.is_none() && log::has_entries(&path)?;
            let damaged = if is_all { Some(log::put_aside(&path)?) } else { None };
            let state = match damaged {
                None => CatalogState::Sound,
                damaged => CatalogState::Rebuilt { files: 0, damaged },
            };
            return Ok((Log::unwritten(path, disk), state));
        };
        return Ok((Log::lost(path, disk, head), CatalogState::Sound));
    };
    // Rows that cannot say where they are follow a log that is whole; to one that is not, they are preferred.
    if head.is_none() && kept.is_some() {
        while reading.next()?.is_some() {}
        if !reading.is_whole() {
            return behind(path, head, &reading, disk);
        }
        reading = begin_again(&path, marker)?;
    }
    // Where the rows are: within the log, or older than all of it, or newer.
    if let Some(head) = head {
        while reading.head.check != head.check && reading.next()?.is_some() {}
        if reading.head.check != head.check {
            if reading.head.number <= head.number {
                return behind(path, Some(head), &reading, disk);
            }
            reading = begin_again(&path, marker)?;
        }
    }
    follow(path, db, head, reading, disk).await
}

fn begin_again(path: &Path, marker: &[u8; 16]) -> io::Result<log::Reading> {
    log::Reading::begin(path, marker)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

async fn follow(
    path: PathBuf,
    db: &Db,
    head: Option<log::Head>,
    mut reading: log::Reading,
    disk: Disk,
) -> Result<(Log, CatalogState), DatabaseError> {
    let mut write = db.write().await?;
    let rebuilt = head.is_none_or(|head| head.check != reading.head.check);
    if rebuilt {
        Entry::clear(&mut write).await?;
    }
    replay(&mut write, &mut reading).await?;
    set_head(&mut write, &reading.head).await?;
    let files = count_files(&mut write).await?;
    write.commit().await?;
    if !rebuilt {
        return Ok((Log::open(path, disk, reading.head)?, CatalogState::Sound));
    }
    let damaged = if reading.is_whole() { None } else { Some(log::put_aside(&path)?) };
    let log = match damaged {
        None => Log::open(path, disk, reading.head)?,
        Some(_) => Log::lost(path, disk, beyond(head, &reading)),
    };
    Ok((log, CatalogState::Rebuilt { files, damaged }))
}

/// Brings all of the owner's rows back from the log: answers how many files there are then, or nothing, with all left as it
/// is, if the log does not read up to its head.
pub(crate) async fn restore(inner: &Inner) -> Result<Option<u64>, DatabaseError> {
    let mut write = inner.db.write().await?;
    let log = inner.catalog.lock().await;
    if log.stale {
        return Ok(None);
    }
    let Some(mut reading) = log::Reading::begin(log.path(), &inner.marker)? else { return Ok(None) };
    Entry::clear(&mut write).await?;
    replay(&mut write, &mut reading).await?;
    if reading.head.check != log.head.check {
        return Ok(None);
    }
    let files = count_files(&mut write).await?;
    write.commit().await?;
    Ok(Some(files))
}

/// Does to the rows all that can still be read.
async fn replay(write: &mut Write, reading: &mut log::Reading) -> Result<(), DatabaseError> {
    let mut is_behind = false;
    while let Some(entries) = reading.next()? {
        is_behind = true;
        for entry in entries {
            entry.apply(write).await?;
        }
    }
    if is_behind {
        unsettle(write).await?;
    }
    Ok(())
}

async fn count_files(write: &mut Write) -> Result<u64, DatabaseError> {
    let files = sqlx::query("SELECT count(*) FROM files").fetch_one(&mut **write).await?;
    crate::db::number(&files, 0)
}

/// The log lost what the rows have: it is written anew by the first change.
fn behind(
    path: PathBuf,
    head: Option<log::Head>,
    reading: &log::Reading,
    disk: Disk,
) -> Result<(Log, CatalogState), DatabaseError> {
    if !reading.is_whole() {
        let moved_to = log::put_aside(&path)?;
        tracing::warn!(moved_to = %moved_to.display(), "the catalog log was damaged; it is written anew");
    }
    Ok((Log::lost(path, disk, beyond(head, reading)), CatalogState::Sound))
}

/// A head whose number no batch ever had that rows or log knew of, so that the log written anew is newer than every copy
/// of either. A batch takes more than one byte of what could not be read.
fn beyond(head: Option<log::Head>, reading: &log::Reading) -> log::Head {
    let number = reading.head.number.saturating_add(reading.unread_bytes());
    log::Head { number: number.max(head.map_or(0, |head| head.number)), ..reading.head }
}

/// What the farmers hold may be more than the log knows: what was in flight, or what another copy of this home stored.
async fn unsettle(write: &mut Write) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE owner_contracts SET settled = 0").execute(&mut **write).await?;
    Ok(())
}

impl Change {
    /// Writes a log that is not there yet or not to be trusted, so that the next loss finds one.
    pub(crate) async fn heal(inner: &Arc<Inner>) -> Result<(), DatabaseError> {
        Self::begin(inner).await.map(drop)
    }
}
