//! Single blocks of shards and their tags, and what an audit needs of the index.
//!
//! ```text
//! file = header (128) ‖ sealed bytes ‖ tag of block 0 (48) ‖ tag of block 1 ‖ …
//! ```
//! Invariant: a block that was asked for costs the disk its own bytes and those of its tag, and nothing else is read; a
//! test counts it. Deliberately absent: which blocks are asked, and what is computed of them (`core::audit`).

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Seek, SeekFrom},
    ops::Range,
};

use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{Tag, TagKeyId},
    contract::ShardEntry,
};

use crate::{
    DatabaseError, Farmer, FarmerError,
    db::{id, maybe_id, number},
    disk::Disk,
    farmer::{ARRIVED, Contract, contract_of, entry_of, key},
    shards::{Folder, HEADER_BYTES, blocking},
};

/// A contract at one revision, with its shards and what is known to be lost of them.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The contract with its newest revision.
    pub contract: Contract,
    /// All shards under it, in ascending order of id.
    pub entries: Vec<ShardEntry>,
    /// Those that this disk has lost.
    pub lost: BTreeSet<ShardId>,
}

/// A shard that has wholly come and waits for its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// The shard.
    pub shard: ShardId,
    /// Its sealed bytes.
    pub bytes: u64,
    /// Bytes of its tags.
    pub tag_bytes: u64,
    /// The key under which they were found right; none if they were not checked yet.
    pub tag_key: Option<TagKeyId>,
}

/// Reads blocks and tags, one after the other; keeps one file open. It waits for the disk: not for async workers.
#[derive(Debug)]
pub struct BlockReader {
    folder: Folder,
    disk: Disk,
    open: Option<(ShardId, File)>,
}

impl BlockReader {
    /// Reads one block of a shard of `bytes` into `block`, and gives its tag.
    ///
    /// # Errors
    /// What the disk says: [`io::ErrorKind::NotFound`] if the shard's file is gone, [`io::ErrorKind::UnexpectedEof`] if
    /// it is too short.
    pub fn block(
        &mut self,
        shard: ShardId,
        bytes: u64,
        index: u64,
        range: Range<u64>,
        block: &mut Vec<u8>,
    ) -> io::Result<Tag> {
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        block.resize(len, 0);
        self.read(shard, range.start, block)?;
        let mut tag = [0; Tag::BYTES];
        self.read(shard, bytes.saturating_add(index.saturating_mul(Tag::BYTES as u64)), &mut tag)?;
        Ok(Tag(tag))
    }

    fn read(&mut self, shard: ShardId, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != shard) {
            self.open = Some((shard, File::open(self.folder.shard(shard))?));
        }
        let Some((_, file)) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        file.seek(SeekFrom::Start(HEADER_BYTES.saturating_add(offset)))?;
        self.disk.read(file, shard, offset, out)
    }
}

impl Farmer {
    /// Begins to read blocks.
    pub fn blocks(&self) -> BlockReader {
        BlockReader { folder: self.paths(), disk: self.inner.disk.clone(), open: None }
    }

    /// Whether the folder of the shards is there: without its marker it may be a disk that is not connected, and what is
    /// not found says nothing.
    ///
    /// # Errors
    /// [`FarmerError::Io`] if the disk fails.
    pub async fn is_connected(&self) -> Result<bool, FarmerError> {
        let folder = self.paths();
        let marker = blocking(move || Ok(crate::reconcile::marker(&folder)?)).await?;
        Ok(marker == Some(self.inner.marker))
    }

    /// A contract, its shards and its losses, all at one revision; none if there is no such contract.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn audited(&self, contract: ContractId) -> Result<Option<Audited>, FarmerError> {
        // One transaction sees one state.
        let mut read = self.inner.db.read().begin().await.map_err(DatabaseError::from)?;
        let query = "SELECT contract, terms, revision, shards, bytes FROM contracts WHERE contract = ?";
        let row = sqlx::query(query).bind(key(contract)).fetch_optional(&mut *read).await;
        let Some(row) = row.map_err(DatabaseError::from)? else { return Ok(None) };
        let query = "SELECT shard, bytes, tag_key, state IN (3, 4) FROM shards \
                     WHERE contract = ? AND state >= 2 ORDER BY shard";
        let rows = sqlx::query(query).bind(key(contract)).fetch_all(&mut *read).await;
        let (mut entries, mut lost) = (Vec::new(), BTreeSet::new());
        for row in rows.map_err(DatabaseError::from)? {
            let entry = entry_of(&row)?;
            if number(&row, 3)? != 0 {
                lost.insert(entry.id);
            }
            entries.push(entry);
        }
        Ok(Some(Audited { contract: contract_of(&row)?, entries, lost }))
    }

    /// Shards under the contract that this disk has lost, with greater ids than `after`, in order of id, at most `limit`,
    /// and whether more follow.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn lost(
        &self,
        contract: ContractId,
        after: Option<ShardId>,
        limit: u32,
    ) -> Result<(Vec<ShardId>, bool), FarmerError> {
        let query = "SELECT shard FROM shards WHERE contract = ? AND shard > ? AND state IN (3, 4) \
                     ORDER BY shard LIMIT ?";
        let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
        let query = sqlx::query(query).bind(key(contract)).bind(after).bind(i64::from(limit) + 1);
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let more = rows.len() > limit as usize;
        let lost = rows.iter().take(limit as usize).map(|row| Ok(ShardId(id(row, 0)?)));
        Ok((lost.collect::<Result<_, DatabaseError>>()?, more))
    }

    /// The names of the keys that the contract's shards are tagged with, in order, at most `limit`.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn tag_keys(&self, contract: ContractId, limit: u32) -> Result<Vec<TagKeyId>, FarmerError> {
        let query = "SELECT DISTINCT tag_key FROM shards \
                     WHERE contract = ? AND state >= 2 AND tag_key IS NOT NULL ORDER BY tag_key LIMIT ?";
        let query = sqlx::query(query).bind(key(contract)).bind(i64::from(limit));
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(|row| id(row, 0)).collect::<Result<_, _>>()?)
    }

    /// Contracts that name this auditor, with greater ids than `after`, in order of id, at most `limit`, and whether more
    /// follow.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn audited_by(
        &self,
        auditor: DeviceId,
        after: Option<ContractId>,
        limit: u32,
    ) -> Result<(Vec<ContractId>, bool), FarmerError> {
        let query =
            "SELECT contract FROM contracts WHERE auditor = ? AND contract > ? ORDER BY contract LIMIT ?";
        let after = after.map_or(Vec::new(), key);
        let query = sqlx::query(query).bind(auditor.as_bytes().to_vec()).bind(after);
        let rows = query.bind(i64::from(limit) + 1).fetch_all(self.inner.db.read()).await;
        let rows = rows.map_err(DatabaseError::from)?;
        let more = rows.len() > limit as usize;
        let contracts = rows.iter().take(limit as usize).map(|row| Ok(ContractId(id(row, 0)?)));
        Ok((contracts.collect::<Result<_, DatabaseError>>()?, more))
    }

    /// A shard of the contract that waits for its revision; none if it has not wholly come.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn arrived(
        &self,
        contract: ContractId,
        shard: ShardId,
    ) -> Result<Option<Arrived>, FarmerError> {
        let query =
            "SELECT bytes, tag_bytes, tag_key FROM shards WHERE shard = ? AND contract = ? AND state = ?";
        let query = sqlx::query(query).bind(shard.as_bytes().to_vec()).bind(key(contract)).bind(ARRIVED);
        let row = query.fetch_optional(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let Some(row) = row else { return Ok(None) };
        let (bytes, tag_bytes) = (number(&row, 0)?, number(&row, 1)?);
        Ok(Some(Arrived { shard, bytes, tag_bytes, tag_key: maybe_id(&row, 2)? }))
    }

    /// Writes down that the tags of these shards, which wait for their revision, are right under a key.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn tags_are_right(&self, shards: &[ShardId], tag_key: TagKeyId) -> Result<(), FarmerError> {
        let mut write = self.inner.db.write_soft().await?;
        for shard in shards {
            let query = sqlx::query("UPDATE shards SET tag_key = ? WHERE shard = ? AND state = ?");
            let query = query.bind(tag_key.to_vec()).bind(shard.as_bytes().to_vec()).bind(ARRIVED);
            query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        }
        crash_point!(TagsWritten);
        write.commit().await.map_err(DatabaseError::from)?;
        crash_point!(TagsCommitted);
        Ok(())
    }
}
