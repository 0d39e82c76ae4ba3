//! The farmer's check of tags, before it signs the revision that adds their shards: an owner cannot plant bad ones.
//!
//! ```text
//! for random 128-bit ρ of the farmer's own:   e(∏ tag^ρ, g2) = e(∏ H(·)^ρ · ∏_j P_j^{B_j}, g2^x),   B = Σ ρ·f
//! ```
//! Each tag is checked for curve and subgroup before it enters. A batch that fails is searched shard by shard.

use blstrs::{G1Affine, G1Projective, Scalar};
use rand::CryptoRng;

use super::{
    ProverKey, Tag,
    curve::{self, MINUS_G2, PointError},
    wide::{Combination, combine_block},
};
use crate::{ShardId, manifest::random};

/// The most shard bytes in one batch.
pub const MAX_BATCH_BYTES: usize = 64 << 20;

/// Why tags are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A tag is no good point.
    #[error("the tag of block {index} is {cause}")]
    BadPoint {
        /// The block.
        index: u64,
        /// Why.
        cause: PointError,
    },
    /// A shard has more or fewer tags than blocks.
    #[error("{found} tags for {expected} blocks")]
    WrongCount {
        /// Blocks.
        expected: u64,
        /// Tags.
        found: u64,
    },
    /// A block is empty or too long.
    #[error("block {index} has {found} bytes")]
    WrongLength {
        /// The block.
        index: u64,
        /// Its bytes.
        found: usize,
    },
    /// More bytes than a batch may have.
    #[error("more than {MAX_BATCH_BYTES} bytes in one batch")]
    BatchFull,
    /// The tags do not belong to these blocks.
    #[error("the tags do not fit the blocks")]
    DoNotFit,
}

/// Blocks and tags that are checked together; holds no block.
pub struct TagBatch<'a> {
    key: &'a ProverKey,
    bytes: usize,
    sums: Vec<Combination>,
    coefficients: Vec<u128>,
    hashes: Vec<G1Projective>,
    tags: Vec<G1Affine>,
}

impl<'a> TagBatch<'a> {
    /// An empty batch.
    pub fn new(key: &'a ProverKey) -> Self {
        let sums = vec![Combination::ZERO; key.powers().len()];
        Self { key, bytes: 0, sums, coefficients: Vec::new(), hashes: Vec::new(), tags: Vec::new() }
    }

    /// Adds one block and its tag. The coefficient is drawn only now, when both are fixed.
    ///
    /// # Errors
    /// [`TagError`] if the tag is no good point, or the block does not fit in; the batch stays as it was.
    pub fn add(
        &mut self,
        shard: &ShardId,
        index: u64,
        block: &[u8],
        tag: &Tag,
        rng: &mut impl CryptoRng,
    ) -> Result<(), TagError> {
        if block.is_empty() || block.len() > self.key.verifier().sectors().block_bytes() {
            return Err(TagError::WrongLength { index, found: block.len() });
        }
        if self.bytes + block.len() > MAX_BATCH_BYTES {
            return Err(TagError::BatchFull);
        }
        let tag = curve::g1_finite(&tag.0).map_err(|cause| TagError::BadPoint { index, cause })?;
        let coefficient = u128::from_le_bytes(random(rng));
        combine_block(&mut self.sums, coefficient, block);
        self.bytes += block.len();
        self.coefficients.push(coefficient);
        self.hashes.push(curve::hash_block(shard, index));
        self.tags.push(tag);
        Ok(())
    }

    /// Adds a whole shard.
    ///
    /// # Errors
    /// As [`TagBatch::add`], and if there is not one tag for each block.
    pub fn add_shard(&mut self, shard: &TaggedShard<'_>, rng: &mut impl CryptoRng) -> Result<(), TagError> {
        let sectors = self.key.verifier().sectors();
        let (expected, found) = (sectors.blocks(shard.bytes.len() as u64), shard.tags.len() as u64);
        if expected != found {
            return Err(TagError::WrongCount { expected, found });
        }
        let blocks = shard.bytes.chunks(sectors.block_bytes()).zip(shard.tags);
        (0..).zip(blocks).try_for_each(|(index, (block, tag))| self.add(&shard.id, index, block, tag, rng))
    }

    /// Whether all tags belong to their blocks.
    ///
    /// # Errors
    /// [`TagError::DoNotFit`] if at least one does not.
    pub fn check(self) -> Result<(), TagError> {
        let values: Vec<Scalar> = self.sums.iter().map(Combination::reduce).collect();
        let tags = curve::combine_short(&self.tags, &self.coefficients);
        let hashes = curve::combine_short(&curve::affine(&self.hashes), &self.coefficients);
        let blocks = hashes + curve::combine_full(self.key.powers(), &values);
        let fit = curve::pairings_cancel(&[(tags, &MINUS_G2), (blocks, self.key.verifier().g2x())]);
        if fit { Ok(()) } else { Err(TagError::DoNotFit) }
    }
}

/// A shard with its tags, in memory.
#[derive(Debug, Clone, Copy)]
pub struct TaggedShard<'a> {
    /// Its id.
    pub id: ShardId,
    /// Its sealed bytes.
    pub bytes: &'a [u8],
    /// One tag for each block.
    pub tags: &'a [Tag],
}

/// Checks the tags of shards that together have at most [`MAX_BATCH_BYTES`], first in one batch, and one by one if that
/// fails.
///
/// # Errors
/// The first shard whose tags are bad, and why.
pub fn check_tags(
    key: &ProverKey,
    shards: &[TaggedShard<'_>],
    rng: &mut impl CryptoRng,
) -> Result<(), (ShardId, TagError)> {
    let mut batch = TagBatch::new(key);
    for shard in shards {
        batch.add_shard(shard, rng).map_err(|error| (shard.id, error))?;
    }
    if shards.is_empty() || batch.check().is_ok() {
        return Ok(());
    }
    shards.iter().try_for_each(|shard| {
        let mut alone = TagBatch::new(key);
        alone.add_shard(shard, rng).and_then(|()| alone.check()).map_err(|error| (shard.id, error))
    })
}
