//! Tags: what the owner attaches to each block of a sealed shard.
//!
//! ```text
//! tag = (H(id ‖ index) · g1^{f(α)})^x,   f = Σ_j sector_j · X^j
//! ```
//! The owner knows α, so g1^{f(α)} costs one walk through a table. Invariant: one shard id sees one content. This is
//! the caller's to keep (ids are random, drawn for each sealing); see the module's documentation for what breaks
//! otherwise.

use std::{fmt, sync::Arc};

use blstrs::{G1Affine, G1Projective};
use zeroize::Zeroizing;

use super::{
    AuditKey, Sectors,
    curve::{self, G1_BYTES},
    sectors::sectors,
    wide::Evaluation,
};
use crate::ShardId;

/// A block's authenticator, as it travels and lies on disk; unchecked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; G1_BYTES]);

impl Tag {
    /// Bytes of a tag.
    pub const BYTES: usize = G1_BYTES;
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

/// Tags an owner's shards. Not hardened against others on the same machine: its accesses to memory depend on secrets.
/// Clones share the powers of α.
#[derive(Clone)]
pub struct Tagger(Arc<Secrets>);

struct Secrets {
    key: AuditKey,
    powers: Zeroizing<Vec<[u64; 4]>>,
}

impl Tagger {
    /// Computes the powers of α.
    pub fn new(key: &AuditKey) -> Self {
        Self(Arc::new(Secrets { key: key.clone(), powers: key.power_limbs() }))
    }

    /// Sectors per block.
    pub fn sectors(&self) -> Sectors {
        self.0.key.sectors()
    }

    /// Begins a shard, whose bytes then come in pieces of any size.
    pub fn shard(&self, id: ShardId) -> ShardTagger {
        ShardTagger { tagger: self.clone(), id, block: Vec::new(), points: Vec::new() }
    }

    /// All tags of a shard that is there as a whole.
    pub fn tag_shard(&self, id: ShardId, bytes: &[u8]) -> Vec<Tag> {
        let mut shard = self.shard(id);
        shard.push(bytes);
        shard.finish()
    }

    /// The tag of one block, whose place in its shard the caller vouches for.
    pub fn tag_block(&self, id: &ShardId, index: u64, block: &[u8]) -> Tag {
        Tag(G1Affine::from(self.point(id, index, block)).to_compressed())
    }

    fn point(&self, id: &ShardId, index: u64, block: &[u8]) -> G1Projective {
        let mut value = Evaluation::ZERO;
        for (sector, power) in sectors(block).zip(self.0.powers.iter()) {
            value.add_product(&sector, power);
        }
        (curve::hash_block(id, index) + curve::generator_times(&value.reduce())) * self.0.key.x()
    }
}

/// A shard on its way; holds less than one block.
pub struct ShardTagger {
    tagger: Tagger,
    id: ShardId,
    block: Vec<u8>,
    points: Vec<G1Projective>,
}

impl ShardTagger {
    /// Takes the next bytes, and tags every block they complete.
    pub fn push(&mut self, mut bytes: &[u8]) {
        let whole = self.tagger.sectors().block_bytes();
        while self.block.len() + bytes.len() >= whole {
            let (taken, rest) = bytes.split_at(whole - self.block.len());
            bytes = rest;
            if self.block.is_empty() {
                self.tag(taken);
            } else {
                self.block.extend_from_slice(taken);
                let block = std::mem::take(&mut self.block);
                self.tag(&block);
            }
        }
        self.block.extend_from_slice(bytes);
    }

    fn tag(&mut self, block: &[u8]) {
        self.points.push(self.tagger.point(&self.id, self.points.len() as u64, block));
    }

    /// The tags of all blocks, the last of which may be shorter.
    pub fn finish(mut self) -> Vec<Tag> {
        if !self.block.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.tag(&block);
        }
        curve::affine(&self.points).iter().map(G1Affine::to_compressed).map(Tag).collect()
    }
}
