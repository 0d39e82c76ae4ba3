//! Checking the tags of the shards that a revision adds, before it is signed: an owner cannot plant bad ones.
//!
//! Shards are checked in batches that share the costly part of the check; a batch holds sums and points, and one block at
//! a time. What was found right is written down, so that a revision that is proposed again, also after a crash, costs
//! nothing twice. Invariant: a shard is signed for under a tag key only if its tags were found right under that key.

use std::io;

use hayloft_core::{
    OwnerId, ShardId,
    audit::{MAX_BATCH_BYTES, ProverKey, TagBatch, TagError, TagKeyId},
    contract::{MAX_CHANGES_PER_REVISION, Revision, RevisionError},
};
use hayloft_net::messages::{Refusal, RefusalCode};
use hayloft_store::{
    FarmerError,
    blocks::{Arrived, BlockReader},
};

use super::{
    Shared,
    audit_keys::unknown_key,
    labours::{Wanted, Worker},
    refuse,
};

/// Blocks in one batch at most: small blocks shall not make it large.
const BATCH_BLOCKS: u64 = 8192;

/// Why tags were not found right.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    /// These are bad.
    #[error("shard {0}: {1}")]
    Tags(ShardId, TagError),
    /// The shard is gone, or its file is cut off.
    #[error("shard {0} is gone")]
    Gone(ShardId),
    /// The disk failed.
    #[error(transparent)]
    Disk(io::Error),
    /// Nobody waits for the answer any more.
    #[error("nobody waits any more")]
    Unwanted,
}

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Tags(shard, error) => refuse::refuse(
                RefusalCode::BadTags,
                format!("The tags of shard {shard} do not hold: {error}."),
            ),
            Wrong::Gone(shard) => refuse::store(FarmerError::NotArrived(shard)),
            Wrong::Disk(error) => refuse::store(FarmerError::Io(error)),
            Wrong::Unwanted => refuse::refuse(RefusalCode::Busy, "You did not wait for the answer."),
        }
    }
}

impl Shared {
    /// Checks the tags of all added shards that were not found right before.
    pub(super) async fn check_tags(
        &self,
        worker: Worker,
        owner: OwnerId,
        revision: &Revision,
    ) -> Result<(), Refusal> {
        for (tag_key, shards) in self.unchecked(owner, revision).await? {
            let key = self.prover_key(tag_key).await?.ok_or_else(unknown_key)?;
            let sectors = key.verifier().sectors();
            for batch in batches(shards, |shard| sectors.blocks(shard.bytes)) {
                let (key, reader) = (key.clone(), self.parts.store.farmer().blocks());
                let ids: Vec<ShardId> = batch.iter().map(|arrived| arrived.shard).collect();
                let work = move |wanted: &Wanted| Check { key: &key, reader, wanted }.all(&batch);
                self.checks.run(worker, work).await??;
                self.parts.store.farmer().tags_are_right(&ids, tag_key).await.map_err(refuse::store)?;
            }
        }
        Ok(())
    }

    /// By key, in order of key and then of shard.
    async fn unchecked(
        &self,
        owner: OwnerId,
        revision: &Revision,
    ) -> Result<Vec<(TagKeyId, Vec<Arrived>)>, Refusal> {
        let found = revision.added.len();
        if found > MAX_CHANGES_PER_REVISION {
            return Err(refuse::revision(&RevisionError::TooManyChanges { found }));
        }
        let farmer = self.parts.store.farmer();
        let known = farmer.audit_keys_of(owner).await.map_err(refuse::store)?;
        let mut unchecked: std::collections::BTreeMap<TagKeyId, Vec<Arrived>> = Default::default();
        for entry in &revision.added {
            let arrived = farmer.arrived(revision.contract, entry.id).await.map_err(refuse::store)?;
            let Some(arrived) = arrived.filter(|arrived| arrived.bytes == entry.bytes) else {
                return Err(refuse::store(FarmerError::NotArrived(entry.id)));
            };
            match entry.tag_key {
                None if arrived.tag_bytes > 0 => return Err(refuse::store(FarmerError::OtherTags(entry.id))),
                Some(key) if !known.contains(&key) => return Err(unknown_key()),
                Some(key) if arrived.tag_key != Some(key) => unchecked.entry(key).or_default().push(arrived),
                _ => {}
            }
        }
        Ok(unchecked.into_iter().collect())
    }
}

/// Cuts shards into batches, each as large as it may be; a shard that is larger alone is one of its own.
fn batches(shards: Vec<Arrived>, blocks: impl Fn(&Arrived) -> u64) -> Vec<Vec<Arrived>> {
    let mut batches: Vec<Vec<Arrived>> = Vec::new();
    let mut filled = (0, 0);
    for shard in shards {
        let with = (filled.0 + shard.bytes, filled.1 + blocks(&shard));
        let fits = with.0 <= MAX_BATCH_BYTES as u64 && with.1 <= BATCH_BLOCKS;
        match batches.last_mut().filter(|_| fits) {
            Some(batch) => {
                batch.push(shard);
                filled = with;
            }
            None => {
                filled = (shard.bytes, blocks(&shard));
                batches.push(vec![shard]);
            }
        }
    }
    batches
}

struct Check<'a> {
    key: &'a ProverKey,
    reader: BlockReader,
    wanted: &'a Wanted,
}

impl Check<'_> {
    /// All at once, and one by one if that fails.
    fn all(mut self, shards: &[Arrived]) -> Result<(), Wrong> {
        match self.together(shards) {
            Err(Wrong::Tags(_, TagError::DoNotFit)) if shards.len() > 1 => {
                shards.iter().try_for_each(|shard| self.together(std::slice::from_ref(shard)))
            }
            result => result,
        }
    }

    fn together(&mut self, shards: &[Arrived]) -> Result<(), Wrong> {
        let mut batch = Batch::new(self.key);
        for shard in shards {
            self.add(shard, &mut batch)?;
        }
        let last = shards.last().map_or(ShardId([0; 32]), |shard| shard.shard);
        batch.end(last)
    }

    fn add(&mut self, shard: &Arrived, batch: &mut Batch<'_>) -> Result<(), Wrong> {
        let sectors = self.key.verifier().sectors();
        let (id, bytes) = (shard.shard, shard.bytes);
        let (expected, found) = (sectors.tag_bytes(bytes), shard.tag_bytes);
        if expected != found {
            let of = |bytes| bytes / hayloft_core::audit::Tag::BYTES as u64;
            let error = TagError::WrongCount { expected: of(expected), found: of(found) };
            return Err(Wrong::Tags(id, error));
        }
        let mut block = Vec::new();
        for index in 0..sectors.blocks(bytes) {
            if !self.wanted.still() {
                return Err(Wrong::Unwanted);
            }
            let range = sectors.block_range(bytes, index);
            let tag =
                self.reader.block(id, bytes, index, range, &mut block).map_err(|error| gone(id, error))?;
            batch.make_room(block.len(), id)?;
            batch.blocks += 1;
            batch.bytes += block.len();
            let added = batch.sums.add(&id, index, &block, &tag, &mut rand::rng());
            added.map_err(|error| Wrong::Tags(id, error))?;
        }
        Ok(())
    }
}

fn gone(shard: ShardId, error: io::Error) -> Wrong {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Wrong::Gone(shard),
        _ => Wrong::Disk(error),
    }
}

/// A batch that is checked, and begun anew, whenever it is full.
struct Batch<'a> {
    key: &'a ProverKey,
    sums: TagBatch<'a>,
    blocks: u64,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(key: &'a ProverKey) -> Self {
        Self { key, sums: TagBatch::new(key), blocks: 0, bytes: 0 }
    }

    fn make_room(&mut self, bytes: usize, shard: ShardId) -> Result<(), Wrong> {
        if self.blocks < BATCH_BLOCKS && self.bytes + bytes <= MAX_BATCH_BYTES {
            return Ok(());
        }
        std::mem::replace(self, Self::new(self.key)).end(shard)
    }

    fn end(self, shard: ShardId) -> Result<(), Wrong> {
        if self.blocks == 0 {
            return Ok(());
        }
        self.sums.check().map_err(|error| Wrong::Tags(shard, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u64], blocks: u64) -> Vec<Vec<u64>> {
        let arrived = |&bytes| Arrived { shard: ShardId([1; 32]), bytes, tag_bytes: 0, tag_key: None };
        let cut = batches(bytes.iter().map(arrived).collect(), |_| blocks);
        cut.into_iter().map(|batch| batch.into_iter().map(|shard| shard.bytes).collect()).collect()
    }

    #[test]
    fn batches_hold_as_many_bytes_and_blocks_as_they_may_and_lose_no_shard() {
        const MIB: u64 = 1 << 20;
        assert!(cut(&[], 1).is_empty());
        assert_eq!(cut(&[30 * MIB, 30 * MIB, 4 * MIB, 1], 1), [vec![30 * MIB, 30 * MIB, 4 * MIB], vec![1]]);
        assert_eq!(cut(&[1, 65 * MIB, 1], 1), [vec![1], vec![65 * MIB], vec![1]]);
        assert_eq!(cut(&[1, 2, 3], BATCH_BLOCKS / 2), [vec![1, 2], vec![3]]);
        assert_eq!(cut(&[1, 2], BATCH_BLOCKS + 1), [vec![1], vec![2]]);
    }
}
