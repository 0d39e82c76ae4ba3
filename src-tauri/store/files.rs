//! An owner's files and segments, as sealed records. A file is listed only once all its segments are placed.

use hayloft_core::{ContractId, DeviceId, FileId, SegmentId, ShardId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    DatabaseError, Owner,
    catalog::Entry,
    db::{Write, bytes, id, int, maybe_number, number},
    owner::{OwnerError, give_up, job_of, settle_placing},
};

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Keyed hash of its name.
    pub name_key: [u8; 32],
    /// Its id.
    pub file: FileId,
    /// The sealed content record.
    pub content: Vec<u8>,
    /// Plain bytes.
    pub bytes: u64,
    /// When it was stored.
    pub stored: Timestamp,
    /// Until when it is kept.
    pub keep_until: Timestamp,
    /// Whether it is renewed by itself.
    pub renew: bool,
    /// Its segments in the file's order, with the sealed bytes of its items in each.
    pub segments: Vec<FileSegment>,
}

/// A file's part in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Sealed bytes of the file's items in it.
    pub live_bytes: u64,
}

/// A placed segment to save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSegment {
    /// The segment.
    pub segment: SegmentId,
    /// The sealed placement record.
    pub placement: Vec<u8>,
    /// Its sealed bytes.
    pub sealed_bytes: u64,
    /// Bytes of all its shards on farmers' disks.
    pub stored_bytes: u64,
    /// Sealed notes by which its job goes on after a restart (which items of which files); dropped with the job.
    pub notes: Vec<u8>,
}

/// A placed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The segment.
    pub segment: SegmentId,
    /// The sealed placement record.
    pub placement: Vec<u8>,
    /// Its sealed bytes.
    pub sealed_bytes: u64,
    /// Of those, bytes that stored files use.
    pub live_bytes: u64,
    /// Bytes of all its shards on farmers' disks.
    pub stored_bytes: u64,
    /// The unfinished job that it belongs to.
    pub job: Option<u32>,
    /// The job's sealed notes.
    pub notes: Vec<u8>,
}

/// What is saved at once, in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Save {
    /// The job that made the segments, to which they belong until it ends.
    pub job: Option<u32>,
    /// Segments placed.
    pub segments: Vec<NewSegment>,
    /// Files all of whose segments are placed, by this save or earlier ones.
    pub files: Vec<StoredFile>,
    /// Whether files of the same name are replaced.
    pub replace: bool,
    /// Shards no longer in flight: their rows among the placing are cleared.
    pub placed: Vec<ShardId>,
}

/// A shard that its farmer is to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Removal {
    /// Which farmer.
    pub farmer: DeviceId,
    /// Under which contract.
    pub contract: ContractId,
    /// The sealing.
    pub shard: ShardId,
}

/// Selects segments with their live bytes; a condition follows.
macro_rules! select_segments {
    ($rest:literal) => {
        concat!(
            "SELECT segment, placement, sealed_bytes, live, stored_bytes, job, notes FROM (SELECT *, \
             (SELECT coalesce(sum(live_bytes), 0) FROM file_segments WHERE file_segments.segment = segments.segment) \
             AS live, \
             EXISTS (SELECT 1 FROM file_segments WHERE file_segments.segment = segments.segment) AS used \
             FROM segments) ",
            $rest
        )
    };
}

impl Owner {
    /// Saves segments and files in one transaction; nothing is saved when it fails. Segments that replaced files used
    /// stay until they are removed: see [`Owner::dead_segments`].
    ///
    /// # Errors
    /// [`OwnerError::NameTaken`] without `replace`, [`OwnerError::UnknownSegment`] if a file names one that is not
    /// placed, [`OwnerError::GivenUp`] if a shard is no longer in flight, or [`OwnerError::Database`].
    pub async fn save(&self, save: &Save) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        for segment in &save.segments {
            write.make(Entry::Segment { segment: segment.clone(), job: save.job }).await?;
        }
        for file in &save.files {
            if !save.replace && is_named(&mut write, &file.name_key).await? {
                return Err(OwnerError::NameTaken { name_key: file.name_key });
            }
            are_placed(&mut write, &file.segments).await?;
            write.make(Entry::File(file.clone())).await?;
        }
        settle_placing(&mut write, &save.placed).await?;
        crash_point!(SaveWritten);
        write.commit().await?;
        crash_point!(SaveCommitted);
        Ok(())
    }

    /// The file of that name.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn file(&self, name_key: &[u8; 32]) -> Result<Option<StoredFile>, OwnerError> {
        let mut read = self.inner.db.read().begin().await.map_err(DatabaseError::from)?;
        let query =
            "SELECT name_key, file, content, bytes, stored, keep_until, renew FROM files WHERE name_key = ?";
        let row = sqlx::query(query).bind(name_key.to_vec()).fetch_optional(&mut *read).await;
        let Some(row) = row.map_err(DatabaseError::from)? else { return Ok(None) };
        let mut file = file_of(&row, 0)?;
        file.segments = segments_of(&mut read, file.file).await?;
        Ok(Some(file))
    }

    /// All files, last stored first.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn files(&self) -> Result<Vec<StoredFile>, OwnerError> {
        let mut read = self.inner.db.read().begin().await.map_err(DatabaseError::from)?;
        let query = "SELECT name_key, file, content, bytes, stored, keep_until, renew FROM files \
                     ORDER BY stored DESC, rowid DESC";
        let rows = sqlx::query(query).fetch_all(&mut *read).await.map_err(DatabaseError::from)?;
        let query = "SELECT segment, live_bytes, file FROM file_segments ORDER BY file, position";
        let mut parts = std::collections::HashMap::<FileId, Vec<FileSegment>>::new();
        for row in sqlx::query(query).fetch_all(&mut *read).await.map_err(DatabaseError::from)? {
            parts.entry(FileId(id(&row, 2)?)).or_default().push(file_segment_of(&row)?);
        }
        let files = rows.iter().map(|row| {
            let mut file = file_of(row, 0)?;
            file.segments = parts.remove(&file.file).unwrap_or_default();
            Ok(file)
        });
        Ok(files.collect::<Result<_, DatabaseError>>()?)
    }

    /// Files with items in that segment, in order of id.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn files_in(&self, segment: SegmentId) -> Result<Vec<StoredFile>, OwnerError> {
        let mut read = self.inner.db.read().begin().await.map_err(DatabaseError::from)?;
        let query = "SELECT name_key, file, content, bytes, stored, keep_until, renew FROM files \
                     WHERE file IN (SELECT file FROM file_segments WHERE segment = ?) ORDER BY file";
        let query = sqlx::query(query).bind(segment.0.to_vec());
        let mut files = Vec::new();
        for row in query.fetch_all(&mut *read).await.map_err(DatabaseError::from)? {
            let mut file = file_of(&row, 0)?;
            file.segments = segments_of(&mut read, file.file).await?;
            files.push(file);
        }
        Ok(files)
    }

    /// Removes files in one transaction; their segments stay until [`Owner::remove_segments`].
    ///
    /// # Errors
    /// [`OwnerError::UnknownFile`] with nothing changed, or [`OwnerError::Database`].
    pub async fn remove_files(&self, name_keys: &[[u8; 32]]) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        for name_key in name_keys {
            if !is_named(&mut write, name_key).await? {
                return Err(OwnerError::UnknownFile);
            }
            write.make(Entry::FileGone(*name_key)).await?;
        }
        write.commit().await?;
        crash_point!(FilesRemoved);
        Ok(())
    }

    /// Writes a changed content record (renewal) with its columns.
    ///
    /// # Errors
    /// [`OwnerError::UnknownFile`] or [`OwnerError::Database`].
    pub async fn update_file(
        &self,
        name_key: &[u8; 32],
        content: &[u8],
        keep_until: Timestamp,
        renew: bool,
    ) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        if !is_named(&mut write, name_key).await? {
            return Err(OwnerError::UnknownFile);
        }
        let (name_key, content) = (*name_key, content.to_vec());
        write.make(Entry::Kept { name_key, content, keep_until, renew }).await?;
        Ok(write.commit().await?)
    }

    /// The segment.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn segment(&self, segment: SegmentId) -> Result<Option<Segment>, OwnerError> {
        let query = sqlx::query(select_segments!("WHERE segment = ?")).bind(segment.0.to_vec());
        let row = query.fetch_optional(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(row.as_ref().map(segment_of).transpose()?)
    }

    /// A segment's sealed placement record alone: what else there is of a segment takes a look at every file in it.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn placement(&self, segment: SegmentId) -> Result<Option<Vec<u8>>, OwnerError> {
        let query = sqlx::query("SELECT placement FROM segments WHERE segment = ?").bind(segment.0.to_vec());
        let row = query.fetch_optional(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(row.as_ref().map(|row| bytes(row, 0)).transpose()?)
    }

    /// All placed segments, in the order they were saved.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn segments(&self) -> Result<Vec<Segment>, OwnerError> {
        self.select(sqlx::query(select_segments!("ORDER BY number"))).await
    }

    /// Segments of a job, in the order they were saved.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn job_segments(&self, job: u32) -> Result<Vec<Segment>, OwnerError> {
        self.select(sqlx::query(select_segments!("WHERE job = ? ORDER BY number")).bind(i64::from(job))).await
    }

    /// Segments that serve no file and no job.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn dead_segments(&self) -> Result<Vec<Segment>, OwnerError> {
        self.select(sqlx::query(select_segments!("WHERE NOT used AND job IS NULL ORDER BY number"))).await
    }

    /// Segments that serve files but no job, and at least half of whose bytes are dead.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn half_dead_segments(&self) -> Result<Vec<Segment>, OwnerError> {
        let query =
            select_segments!("WHERE used AND job IS NULL AND live * 2 <= sealed_bytes ORDER BY number");
        self.select(sqlx::query(query)).await
    }

    async fn select(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<Segment>, OwnerError> {
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(segment_of).collect::<Result<_, _>>()?)
    }

    /// Replaces a segment's placement record, clears shards no longer in flight and writes those that it no longer names
    /// down for removal, in one transaction.
    ///
    /// # Errors
    /// [`OwnerError::UnknownSegment`], [`OwnerError::GivenUp`] or [`OwnerError::Database`].
    pub async fn update_placement(
        &self,
        segment: SegmentId,
        placement: &[u8],
        placed: &[ShardId],
        gone: &[Removal],
    ) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        let is_there = sqlx::query("SELECT 1 FROM segments WHERE segment = ?").bind(segment.0.to_vec());
        if is_there.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?.is_none() {
            return Err(OwnerError::UnknownSegment);
        }
        write.make(Entry::Moved { segment, placement: placement.to_vec() }).await?;
        settle_placing(&mut write, placed).await?;
        give_up(&mut write, gone).await?;
        Ok(write.commit().await?)
    }

    /// Ends a job's hold on its segments and drops its notes: those that serve no file are dead from now on.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn end_job_segments(&self, job: u32) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        write.make_lazily(Entry::Released(job)).await?;
        write.commit().await?;
        crash_point!(JobSegmentsEnded);
        Ok(())
    }

    /// Forgets dead segments and writes down their shards for removal, in one transaction. Those that somebody else has
    /// removed meanwhile are passed over.
    ///
    /// # Errors
    /// [`OwnerError::SegmentInUse`] with nothing changed, or [`OwnerError::Database`].
    pub async fn remove_segments(&self, dead: &[(SegmentId, Vec<Removal>)]) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        for (segment, removals) in dead {
            let query = "SELECT job IS NULL AND NOT EXISTS (SELECT 1 FROM file_segments WHERE segment = ?1) \
                         FROM segments WHERE segment = ?1";
            let query = sqlx::query(query).bind(segment.0.to_vec());
            let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
            let Some(row) = row else { continue };
            if number(&row, 0)? == 0 {
                return Err(OwnerError::SegmentInUse);
            }
            write.make_lazily(Entry::SegmentGone(*segment)).await?;
            give_up(&mut write, removals).await?;
        }
        write.commit().await?;
        crash_point!(SegmentsRemoved);
        Ok(())
    }
}

/// A file without its segments, from a row whose columns begin at `at`.
pub(crate) fn file_of(row: &SqliteRow, at: usize) -> Result<StoredFile, DatabaseError> {
    Ok(StoredFile {
        name_key: id(row, at)?,
        file: FileId(id(row, at + 1)?),
        content: bytes(row, at + 2)?,
        bytes: number(row, at + 3)?,
        stored: Timestamp(number(row, at + 4)?),
        keep_until: Timestamp(number(row, at + 5)?),
        renew: number(row, at + 6)? != 0,
        segments: Vec::new(),
    })
}

fn file_segment_of(row: &SqliteRow) -> Result<FileSegment, DatabaseError> {
    Ok(FileSegment { segment: SegmentId(id(row, 0)?), live_bytes: number(row, 1)? })
}

fn segment_of(row: &SqliteRow) -> Result<Segment, DatabaseError> {
    Ok(Segment {
        segment: SegmentId(id(row, 0)?),
        placement: bytes(row, 1)?,
        sealed_bytes: number(row, 2)?,
        live_bytes: number(row, 3)?,
        stored_bytes: number(row, 4)?,
        job: job_of(maybe_number(row, 5)?)?,
        notes: bytes(row, 6)?,
    })
}

pub(crate) async fn segments_of(
    read: &mut SqliteConnection,
    file: FileId,
) -> Result<Vec<FileSegment>, DatabaseError> {
    let query = sqlx::query("SELECT segment, live_bytes FROM file_segments WHERE file = ? ORDER BY position");
    query.bind(file.0.to_vec()).fetch_all(read).await?.iter().map(file_segment_of).collect()
}

pub(crate) async fn insert_segment(
    write: &mut Write,
    segment: &NewSegment,
    job: Option<u32>,
) -> Result<(), DatabaseError> {
    let query = "INSERT INTO segments (segment, placement, sealed_bytes, stored_bytes, job, notes) \
                 VALUES (?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(query).bind(segment.segment.0.to_vec()).bind(segment.placement.clone());
    let query = query.bind(int(segment.sealed_bytes)).bind(int(segment.stored_bytes));
    query.bind(job.map(i64::from)).bind(segment.notes.clone()).execute(&mut **write).await?;
    Ok(())
}

pub(crate) async fn insert_file(write: &mut Write, file: &StoredFile) -> Result<(), DatabaseError> {
    let query = "INSERT INTO files (name_key, file, content, bytes, stored, keep_until, renew) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(query).bind(file.name_key.to_vec()).bind(file.file.0.to_vec());
    let query = query.bind(file.content.clone()).bind(int(file.bytes)).bind(int(file.stored.0));
    query.bind(int(file.keep_until.0)).bind(file.renew).execute(&mut **write).await?;
    for (position, part) in (0_i64..).zip(&file.segments) {
        let query = "INSERT INTO file_segments (file, position, segment, live_bytes) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(query).bind(file.file.0.to_vec()).bind(position);
        query.bind(part.segment.0.to_vec()).bind(int(part.live_bytes)).execute(&mut **write).await?;
    }
    Ok(())
}

async fn is_named(write: &mut Write, name_key: &[u8; 32]) -> Result<bool, DatabaseError> {
    let query = sqlx::query("SELECT 1 FROM files WHERE name_key = ?").bind(name_key.to_vec());
    Ok(query.fetch_optional(&mut **write).await?.is_some())
}

async fn are_placed(write: &mut Write, parts: &[FileSegment]) -> Result<(), OwnerError> {
    for part in parts {
        let query = sqlx::query("SELECT 1 FROM segments WHERE segment = ?").bind(part.segment.0.to_vec());
        let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
        row.ok_or(OwnerError::UnknownSegment)?;
    }
    Ok(())
}

pub(crate) async fn delete_file(write: &mut Write, name_key: &[u8; 32]) -> Result<(), DatabaseError> {
    let query = sqlx::query("DELETE FROM files WHERE name_key = ?").bind(name_key.to_vec());
    query.execute(&mut **write).await?;
    Ok(())
}
