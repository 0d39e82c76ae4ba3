//! Scrub: kept shards are read again, pass after pass in order of id, so that what the disk lost is known before its owner
//! needs it. How fast is the caller's business; where a pass stands outlives a restart.
//!
//! A file that is gone, of another length, or whose bytes do not hash to what arrived makes its shard *lost*: it is never
//! served again as if it were whole. Its bytes go on counting as used, because the contract still promises them, until
//! the owner's next revision removes it; a scrub that finds the file whole again takes the word back. A file that cannot
//! be read at all is told apart: the disk may be failing or merely loose, so its shard stays served as well as it can be.
//! Nothing is called lost while the folder does not show its marker, since the disk itself may be away.
//!
//! Safe beside uploads and removals: only kept shards are looked at, their bytes never change (a wrong header before
//! right bytes is written anew in place, and nobody who serves a shard reads it), and a finding about a shard that is
//! removed meanwhile finds no row. Deliberately absent: deleting. Damaged files stay for a person to look at.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use hayloft_core::{ContractId, ShardId, Timestamp};
use sqlx::sqlite::SqliteRow;

use crate::{
    DatabaseError, Farmer, FarmerError,
    db::{Write as Transaction, id, int, maybe_id, maybe_number, number},
    farmer::{DAMAGED, KEPT, MISSING, UNREADABLE},
    shards::{HEADER_BYTES, Header, blocking},
};

/// Bytes read between two rests.
pub const STEP_BYTES: usize = 1 << 20;

/// A pass over all kept shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// When it began.
    pub begun: Timestamp,
    /// Whether a person waits for it.
    pub hurried: bool,
    /// Shards looked at.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Shards newly found lost.
    pub lost: u64,
    /// Shards newly found unreadable.
    pub unreadable: u64,
    /// Shards that this pass has not come to yet.
    pub ahead_shards: u64,
    /// Their bytes.
    pub ahead_bytes: u64,
}

/// Where scrubbing stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrub {
    /// The pass under way.
    pub pass: Option<Pass>,
    /// When the last pass over everything ended.
    pub ended: Option<Timestamp>,
    /// When the next one is to begin.
    pub next: Timestamp,
}

/// What is wrong with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its file is gone or has another length.
    Missing,
    /// Its bytes are not those that arrived.
    Damaged,
    /// The disk does not give its bytes just now.
    Unreadable,
}

/// A kept shard in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Troubled {
    /// The shard.
    pub shard: ShardId,
    /// Under which contract.
    pub contract: ContractId,
    /// Its bytes.
    pub bytes: u64,
    /// What is wrong.
    pub trouble: Trouble,
    /// When that was noticed.
    pub noticed: Timestamp,
}

/// All troubles in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Shards that are missing or damaged.
    pub lost_shards: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Shards that cannot be read just now.
    pub unreadable_shards: u64,
}

/// A kept shard as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    shard: ShardId,
    contract: ContractId,
    bytes: u64,
    tag_bytes: u64,
    hash: Option<[u8; 32]>,
}

impl Kept {
    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes behind its file's header: its own and its tags'.
    fn payload(&self) -> u64 {
        self.bytes.saturating_add(self.tag_bytes)
    }
}

/// What an examination found.
#[derive(Debug)]
pub enum Finding {
    /// Every byte is as it arrived.
    Whole,
    /// Something is wrong.
    Trouble(Trouble),
}

/// How an examination goes on.
#[derive(Debug)]
pub enum Step {
    /// So many bytes were read; more are left.
    Read(u64),
    /// It is over.
    Over(Finding),
}

/// Reads one shard's file, a bounded step at a time.
#[derive(Debug)]
pub struct Examination {
    farmer: Farmer,
    kept: Kept,
    reading: Option<Reading>,
}

impl Examination {
    /// Reads on.
    ///
    /// # Errors
    /// [`FarmerError`] if nothing can be said, because the folder itself is not there.
    pub async fn step(&mut self) -> Result<Step, FarmerError> {
        let (farmer, kept, reading) = (self.farmer.clone(), self.kept.clone(), self.reading.take());
        let (step, reading) = blocking(move || step(&farmer, &kept, reading)).await?;
        self.reading = reading;
        Ok(step)
    }
}

#[derive(Debug)]
struct Reading {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    at: u64,
    buffer: Vec<u8>,
}

fn step(
    farmer: &Farmer,
    kept: &Kept,
    reading: Option<Reading>,
) -> Result<(Step, Option<Reading>), FarmerError> {
    let path = farmer.paths().shard(kept.shard);
    let stepped = match reading {
        Some(reading) => Ok(reading),
        None => begin(path, kept),
    };
    match stepped.and_then(|reading| read_on(reading, kept)) {
        Ok(stepped) => Ok(stepped),
        Err(error) => {
            let trouble = match error.kind() {
                io::ErrorKind::NotFound => Trouble::Missing,
                io::ErrorKind::UnexpectedEof => Trouble::Missing,
                _ => Trouble::Unreadable,
            };
            // Without its marker the folder may be a disk that is not connected: that says nothing about shards.
            match crate::reconcile::marker(&farmer.paths())? {
                Some(marker) if marker == farmer.inner.marker => {}
                _ => return Err(error.into()),
            }
            tracing::warn!(shard = %kept.shard, %error, "a shard cannot be read from the disk");
            Ok((Step::Over(Finding::Trouble(trouble)), None))
        }
    }
}

fn begin(path: PathBuf, kept: &Kept) -> io::Result<Reading> {
    let mut file = File::open(&path)?;
    if file.metadata()?.len() != kept.payload() + HEADER_BYTES {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    forget_cached(&file, 0, kept.payload() + HEADER_BYTES);
    file.seek(SeekFrom::Start(HEADER_BYTES))?;
    Ok(Reading { path, file, hasher: blake3::Hasher::new(), at: 0, buffer: vec![0; STEP_BYTES] })
}

fn read_on(mut reading: Reading, kept: &Kept) -> io::Result<(Step, Option<Reading>)> {
    let left = usize::try_from(kept.payload() - reading.at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
    reading.file.read_exact(&mut reading.buffer[..left])?;
    reading.hasher.update(&reading.buffer[..left]);
    forget_cached(&reading.file, HEADER_BYTES + reading.at, left as u64);
    reading.at += left as u64;
    if reading.at < kept.payload() {
        return Ok((Step::Read(left as u64), Some(reading)));
    }
    let hash = *reading.hasher.finalize().as_bytes();
    let said = Header::read(&reading.path)?;
    let short = |bytes: u64| u32::try_from(bytes).map_err(io::Error::other);
    let (bytes, tag_bytes) = (short(kept.bytes)?, short(kept.tag_bytes)?);
    let sound = Header { shard: kept.shard, contract: kept.contract, bytes, tag_bytes, hash };
    let finding = match (kept.hash, said) {
        (Some(arrived), _) if arrived != hash => Finding::Trouble(Trouble::Damaged),
        (Some(_), said) if said != Some(sound) => {
            // The bytes are right and only the label on them is not.
            write_header(&reading.path, &sound)?;
            Finding::Whole
        }
        (None, said) if said != Some(sound) => Finding::Trouble(Trouble::Damaged),
        _ => Finding::Whole,
    };
    Ok((Step::Over(finding), None))
}

fn write_header(path: &std::path::Path, header: &Header) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&header.encode())?;
    file.sync_data()
}

/// Lets the disk be read rather than memory, and memory keep what others read.
#[cfg(target_os = "linux")]
fn forget_cached(file: &File, offset: u64, bytes: u64) {
    // Only advice: a file system that does not take it is read through its cache.
    let _ = rustix::fs::fadvise(file, offset, std::num::NonZero::new(bytes), rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget_cached(_file: &File, _offset: u64, _bytes: u64) {}

impl Farmer {
    /// Where scrubbing stands.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn scrub(&self) -> Result<Scrub, FarmerError> {
        let query = "SELECT begun, hurried, shards, bytes, lost, unreadable, ended, next, \
                     (SELECT count(*) FROM shards WHERE state >= 2 AND shard > scrub.after), \
                     (SELECT coalesce(sum(bytes), 0) FROM shards WHERE state >= 2 AND shard > scrub.after) \
                     FROM scrub WHERE id = 1";
        let row = sqlx::query(query).fetch_one(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let (ended, next) = (maybe_number(&row, 6)?.map(Timestamp), Timestamp(number(&row, 7)?));
        let Some(begun) = maybe_number(&row, 0)?.map(Timestamp) else {
            return Ok(Scrub { pass: None, ended, next });
        };
        let pass = Pass {
            begun,
            hurried: number(&row, 1)? != 0,
            shards: number(&row, 2)?,
            bytes: number(&row, 3)?,
            lost: number(&row, 4)?,
            unreadable: number(&row, 5)?,
            ahead_shards: number(&row, 8)?,
            ahead_bytes: number(&row, 9)?,
        };
        Ok(Scrub { pass: Some(pass), ended, next })
    }

    /// Begins a pass at the first shard, in place of the one under way.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn begin_scrub(&self, hurried: bool, now: Timestamp) -> Result<(), FarmerError> {
        let query = "UPDATE scrub SET begun = ?, hurried = ?, after = x'', shards = 0, bytes = 0, lost = 0, unreadable = 0";
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query(query).bind(int(now.0)).bind(i64::from(hurried));
        query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// Ends the pass under way if all was looked at; one that began meanwhile, or has more to look at, goes on.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn end_scrub(&self, now: Timestamp, next: Timestamp) -> Result<(), FarmerError> {
        let mut write = self.inner.db.write().await?;
        let query = "UPDATE scrub SET begun = NULL, hurried = 0, ended = ?, next = ? \
                     WHERE NOT EXISTS (SELECT 1 FROM shards WHERE state >= 2 AND shard > scrub.after)";
        let query = sqlx::query(query).bind(int(now.0)).bind(int(next.0));
        query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// Lets the pass under way go on at leisure.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn slow_scrub(&self) -> Result<(), FarmerError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("UPDATE scrub SET hurried = 0").execute(&mut *write).await;
        query.map_err(DatabaseError::from)?;
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// The next shards of the pass under way, at most `limit`; none when it has come to its end.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn next_to_scrub(&self, limit: u32) -> Result<Vec<Kept>, FarmerError> {
        let query = "SELECT shard, contract, bytes, hash, tag_bytes FROM shards \
                     WHERE state >= 2 AND shard > (SELECT after FROM scrub) ORDER BY shard LIMIT ?";
        let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(self.inner.db.read()).await;
        let rows = rows.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(kept_of).collect::<Result<_, _>>()?)
    }

    /// One kept shard out of turn, because something was wrong when it was read; none if it is not kept.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn kept(&self, shard: ShardId) -> Result<Option<Kept>, FarmerError> {
        let query =
            "SELECT shard, contract, bytes, hash, tag_bytes FROM shards WHERE shard = ? AND state >= 2";
        let row =
            sqlx::query(query).bind(shard.as_bytes().to_vec()).fetch_optional(self.inner.db.read()).await;
        Ok(row.map_err(DatabaseError::from)?.as_ref().map(kept_of).transpose()?)
    }

    /// Begins to read a shard's file.
    pub fn examine(&self, kept: &Kept) -> Examination {
        Examination { farmer: self.clone(), kept: kept.clone(), reading: None }
    }

    /// Writes findings down, and that this pass has come so far unless another has begun meanwhile; out of turn there is
    /// no pass. Answers what is newly wrong.
    ///
    /// # Errors
    /// [`FarmerError::Database`] with nothing written.
    pub async fn record_findings(
        &self,
        findings: &[(Kept, Finding)],
        in_turn: Option<&Pass>,
        now: Timestamp,
    ) -> Result<Vec<Troubled>, FarmerError> {
        let mut write = self.inner.db.write().await?;
        let mut news = Vec::new();
        for (kept, finding) in findings {
            news.extend(record(&mut write, kept, finding, now).await?);
        }
        let lost = news.iter().filter(|troubled| troubled.trouble != Trouble::Unreadable).count() as u64;
        let query = "UPDATE scrub SET lost = lost + ?, unreadable = unreadable + ?";
        let query = sqlx::query(query).bind(int(lost)).bind(int(news.len() as u64 - lost));
        query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        if let (Some((last, _)), Some(pass)) = (findings.last(), in_turn) {
            let bytes = findings.iter().map(|(kept, _)| kept.bytes).sum();
            let query = "UPDATE scrub SET after = ?, shards = shards + ?, bytes = bytes + ? \
                         WHERE begun = ? AND hurried = ?";
            let query = sqlx::query(query).bind(last.shard.as_bytes().to_vec());
            let query = query.bind(int(findings.len() as u64)).bind(int(bytes));
            let query = query.bind(int(pass.begun.0)).bind(i64::from(pass.hurried));
            query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        }
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(news)
    }

    /// All troubles in figures.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn troubles(&self) -> Result<Troubles, FarmerError> {
        let query = "SELECT coalesce(sum(state < 5), 0), coalesce(sum(bytes) FILTER (WHERE state < 5), 0), \
                     coalesce(sum(state = 5), 0) FROM shards WHERE state > 2";
        let row = sqlx::query(query).fetch_one(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(Troubles {
            lost_shards: number(&row, 0)?,
            lost_bytes: number(&row, 1)?,
            unreadable_shards: number(&row, 2)?,
        })
    }

    /// Shards in trouble, the latest noticed first, at most `limit`.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn troubled(&self, limit: u32) -> Result<Vec<Troubled>, FarmerError> {
        let query = "SELECT shard, contract, bytes, state, noticed FROM shards \
                     WHERE state > 2 ORDER BY noticed DESC, shard LIMIT ?";
        let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(self.inner.db.read()).await;
        let rows = rows.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(troubled_of).collect::<Result<_, _>>()?)
    }
}

fn kept_of(row: &SqliteRow) -> Result<Kept, DatabaseError> {
    Ok(Kept {
        shard: ShardId(id(row, 0)?),
        contract: ContractId(id(row, 1)?),
        bytes: number(row, 2)?,
        hash: maybe_id(row, 3)?,
        tag_bytes: number(row, 4)?,
    })
}

fn troubled_of(row: &SqliteRow) -> Result<Troubled, DatabaseError> {
    let trouble = match i64::try_from(number(row, 3)?) {
        Ok(MISSING) => Trouble::Missing,
        Ok(DAMAGED) => Trouble::Damaged,
        Ok(UNREADABLE) => Trouble::Unreadable,
        _ => return Err(DatabaseError::Corrupt { what: "a shard's state" }),
    };
    Ok(Troubled {
        shard: ShardId(id(row, 0)?),
        contract: ContractId(id(row, 1)?),
        bytes: number(row, 2)?,
        trouble,
        noticed: Timestamp(maybe_number(row, 4)?.unwrap_or(0)),
    })
}

/// Writes one finding down; what is newly wrong. A shard that was removed meanwhile has no row, and nothing is written.
async fn record(
    write: &mut Transaction,
    kept: &Kept,
    finding: &Finding,
    now: Timestamp,
) -> Result<Option<Troubled>, DatabaseError> {
    let (state, was) = match finding {
        Finding::Whole => (KEPT, KEPT..=UNREADABLE),
        Finding::Trouble(Trouble::Missing) => (MISSING, KEPT..=UNREADABLE),
        Finding::Trouble(Trouble::Damaged) => (DAMAGED, KEPT..=UNREADABLE),
        // What is known to be lost is not less lost because it cannot even be read.
        Finding::Trouble(Trouble::Unreadable) => (UNREADABLE, KEPT..=KEPT),
    };
    let noticed = (state > KEPT).then(|| int(now.0));
    let query = "UPDATE shards SET state = ?1, noticed = ?2 \
                 WHERE shard = ?3 AND contract = ?4 AND state <> ?1 AND state BETWEEN ?5 AND ?6 \
                 RETURNING shard, contract, bytes, state, noticed";
    let query = sqlx::query(query).bind(state).bind(noticed).bind(kept.shard.as_bytes().to_vec());
    let query = query.bind(kept.contract.as_bytes().to_vec()).bind(*was.start()).bind(*was.end());
    let row = query.fetch_optional(&mut **write).await?;
    row.filter(|_| state > KEPT).as_ref().map(troubled_of).transpose()
}
