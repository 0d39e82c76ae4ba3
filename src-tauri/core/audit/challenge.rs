//! From a transcript and the shard list to the very blocks, coefficients and points: a pure function, so that farmer,
//! auditor and any third party come to the same challenge.
//!
//! ```text
//! blocks of the contract  = those of its tagged shards, in ascending order of shard id, numbered from 0
//! asked                   = min(all, n) different ones: all, or draws from stream "blocks" until n differ
//! turn of a shard         = below(30) of the stream "turn" ‖ shard id, seeded with BLAKE3 of the order's beacon
//! touched in an epoch     = if turn = epoch mod 30: block below(count) of stream "touch" ‖ shard id
//! coefficients ν          = from stream "coefficients", over asked ∪ touched in ascending order
//! r of a tag key          = from stream "point" ‖ tag key
//! ```
//! A shard keeps its turn whatever else comes and goes, so each is touched once in any 30 epochs. Its turn can be
//! foreseen, the block cannot; and blocks asked at random strike on any day.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use blstrs::Scalar;

use super::{
    Scope, TagKeyId, Transcript,
    transcript::{Stream, VERSION},
};
use crate::{
    ShardId, codec,
    contract::{ShardEntry, shard_root},
};

/// Epochs within which every shard is touched.
pub const TURNS: u64 = 30;
/// The most blocks asked at random.
pub const MAX_BLOCKS_ASKED: u16 = 4096;
/// The most shards in a list.
pub const MAX_SHARDS: usize = 1 << 20;
/// The most shards that an audit on demand names.
pub const MAX_SHARDS_NAMED: usize = 4096;
/// The most tag keys in one challenge; each has a proof of its own.
pub const MAX_TAG_KEYS: usize = 64;

/// Why there is no such challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// No block is asked, or too many are.
    #[error("a challenge asks between 1 and {MAX_BLOCKS_ASKED} blocks, not {found}")]
    BadCount {
        /// Blocks asked.
        found: u16,
    },
    /// More shards listed, or named, than may be.
    #[error("{found} shards are too many for one challenge")]
    TooManyShards {
        /// Shards listed or named.
        found: usize,
    },
    /// Not in strictly ascending order.
    #[error("shards are out of order or named twice")]
    OutOfOrder,
    /// A shard without bytes, or more bytes than can be.
    #[error("shard {0} has no bytes or too many")]
    BadShardSize(ShardId),
    /// The list is not the one that the contract's revision commits to.
    #[error("the shard list is not the one that the revision commits to")]
    WrongRoot,
    /// A shard asked for is not in the list.
    #[error("shard {0} is not in the list")]
    NoSuchShard(ShardId),
    /// Shards under more tag keys than one challenge takes.
    #[error("shards under more than {MAX_TAG_KEYS} tag keys")]
    TooManyKeys,
    /// There is no tagged block to ask for.
    #[error("nothing to audit: no shard has tags")]
    NothingTagged,
}

/// One challenged block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its shard.
    pub shard: ShardId,
    /// Its index there.
    pub index: u64,
    /// Where its bytes lie in the shard.
    pub range: Range<u64>,
    pub(super) coefficient: u128,
}

/// What one proof answers: all challenged blocks under one tag key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub(super) tag_key: TagKeyId,
    pub(super) blocks: Vec<Block>,
    pub(super) r: Scalar,
}

impl Part {
    /// The key that these blocks' tags were made with.
    pub fn tag_key(&self) -> TagKeyId {
        self.tag_key
    }

    /// The blocks, in the order in which the prover takes them: by shard, then by index. Never empty.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

/// A whole challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    parts: Vec<Part>,
}

impl Challenge {
    /// Expands a transcript over the contract's whole shard list, in ascending order of id.
    ///
    /// # Errors
    /// [`ChallengeError`] if the list is not the one committed to, or the transcript asks for what cannot be.
    pub fn expand(transcript: &Transcript, shards: &[ShardEntry]) -> Result<Self, ChallengeError> {
        check_bounds(transcript, shards)?;
        let asked = in_scope(&transcript.scope, shards)?;
        let tagged = Tagged::new(transcript, &asked)?;
        let seed = transcript.seed();
        let mut sample = tagged.draw(&seed, transcript.blocks.into());
        if transcript.scope == Scope::Epoch {
            sample.extend(tagged.touched(&seed, transcript));
        }
        Ok(Self { parts: tagged.parts(&seed, &sample) })
    }

    /// One part for each tag key, in ascending order of key. Never empty.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

fn check_bounds(transcript: &Transcript, shards: &[ShardEntry]) -> Result<(), ChallengeError> {
    if !(1..=MAX_BLOCKS_ASKED).contains(&transcript.blocks) {
        return Err(ChallengeError::BadCount { found: transcript.blocks });
    }
    if shards.len() > MAX_SHARDS {
        return Err(ChallengeError::TooManyShards { found: shards.len() });
    }
    if !shards.is_sorted_by(|left, right| left.id < right.id) {
        return Err(ChallengeError::OutOfOrder);
    }
    if shard_root(shards) == transcript.root { Ok(()) } else { Err(ChallengeError::WrongRoot) }
}

fn in_scope<'a>(scope: &Scope, shards: &'a [ShardEntry]) -> Result<Vec<&'a ShardEntry>, ChallengeError> {
    let Scope::Shards(ids) = scope else { return Ok(shards.iter().collect()) };
    if ids.len() > MAX_SHARDS_NAMED {
        return Err(ChallengeError::TooManyShards { found: ids.len() });
    }
    if !ids.is_sorted_by(|left, right| left < right) {
        return Err(ChallengeError::OutOfOrder);
    }
    let find = |id: &ShardId| {
        let at = shards.binary_search_by_key(id, |shard| shard.id);
        at.map(|at| &shards[at]).map_err(|_| ChallengeError::NoSuchShard(*id))
    };
    ids.iter().map(find).collect()
}

/// A tagged shard, with the number of its first block.
struct Numbered<'a> {
    entry: &'a ShardEntry,
    key: TagKeyId,
    first: u64,
    blocks: u64,
}

struct Tagged<'a> {
    shards: Vec<Numbered<'a>>,
    blocks: u64,
    transcript: &'a Transcript,
}

impl<'a> Tagged<'a> {
    fn new(transcript: &'a Transcript, entries: &[&'a ShardEntry]) -> Result<Self, ChallengeError> {
        let mut tagged = Self { shards: Vec::new(), blocks: 0, transcript };
        for entry in entries {
            let Some(key) = entry.tag_key else { continue };
            let (first, blocks) = (tagged.blocks, transcript.sectors.blocks(entry.bytes));
            let sum = first.checked_add(blocks).filter(|_| blocks > 0);
            tagged.blocks = sum.ok_or(ChallengeError::BadShardSize(entry.id))?;
            tagged.shards.push(Numbered { entry, key, first, blocks });
        }
        let keys: BTreeSet<TagKeyId> = tagged.shards.iter().map(|shard| shard.key).collect();
        match keys.len() {
            0 => Err(ChallengeError::NothingTagged),
            1..=MAX_TAG_KEYS => Ok(tagged),
            _ => Err(ChallengeError::TooManyKeys),
        }
    }

    fn draw(&self, seed: &[u8; 32], asked: u64) -> BTreeSet<u64> {
        if asked >= self.blocks {
            return (0..self.blocks).collect();
        }
        let mut stream = Stream::new(seed, "blocks", &[]);
        let mut sample = BTreeSet::new();
        while (sample.len() as u64) < asked {
            sample.insert(stream.below(self.blocks));
        }
        sample
    }

    fn touched(&self, seed: &[u8; 32], transcript: &Transcript) -> impl Iterator<Item = u64> {
        let order = *blake3::hash(&codec::encode(VERSION, &transcript.order)).as_bytes();
        let due = transcript.epoch.0 % TURNS;
        let turn = move |id: &ShardId| Stream::new(&order, "turn", &id.0).below(TURNS);
        let touched = self.shards.iter().filter(move |shard| turn(&shard.entry.id) == due);
        touched.map(|shard| shard.first + Stream::new(seed, "touch", &shard.entry.id.0).below(shard.blocks))
    }

    fn parts(&self, seed: &[u8; 32], sample: &BTreeSet<u64>) -> Vec<Part> {
        let mut coefficients = Stream::new(seed, "coefficients", &[]);
        let mut by_key: BTreeMap<TagKeyId, Vec<Block>> = BTreeMap::new();
        for &number in sample {
            let shard = &self.shards[self.shards.partition_point(|shard| shard.first <= number) - 1];
            let index = number - shard.first;
            let range = self.transcript.sectors.block_range(shard.entry.bytes, index);
            let coefficient = coefficients.coefficient();
            let block = Block { shard: shard.entry.id, index, range, coefficient };
            by_key.entry(shard.key).or_default().push(block);
        }
        let part = |(tag_key, blocks): (TagKeyId, Vec<Block>)| {
            let r = Stream::new(seed, "point", &tag_key).point();
            Part { tag_key, blocks, r }
        };
        by_key.into_iter().map(part).collect()
    }
}
