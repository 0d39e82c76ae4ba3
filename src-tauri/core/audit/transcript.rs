//! The transcript: all that a challenge depends on, and that a proof therefore cannot be moved away from.
//!
//! ```text
//! seed        = BLAKE3(signing bytes of the transcript under "audit transcript")
//! stream      = BLAKE3 keyed with the seed, over "hayloft audit <label> 1" ‖ extra, as an endless output
//! below(n)    = 8 bytes, masked to the bits of n − 1, until one is below n         (no modulo bias)
//! coefficient = 16 bytes
//! point       = 32 bytes, the topmost bit cleared, until one is below the group's order
//! ```
//! Integers are little-endian. Blocks, coefficients and points come from streams with labels of their own.

use blake3::OutputReader;
use blstrs::Scalar;
use serde::{Deserialize, Serialize};

use super::{Beacon, Epoch, Sectors};
use crate::{ContractId, DeviceId, NetworkName, ShardId, codec};

pub(super) const VERSION: u8 = 1;

/// Blocks that an epoch's audit asks of a contract at random: they catch a loss of 1 % with 99 %.
pub const BLOCKS_PER_EPOCH: u16 = 460;

/// Which of a contract's shards are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The epoch's audit: blocks of all shards, and one more of each shard whose turn it is.
    Epoch,
    /// An audit on demand, of these shards alone, in ascending order. It never stands for an epoch's.
    Shards(Vec<ShardId>),
}

/// One question, in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The network.
    pub network: NetworkName,
    /// The contract.
    pub contract: ContractId,
    /// Number of its newest revision.
    pub revision: u64,
    /// That revision's Merkle-sum root over (shard id, length, tag key).
    pub root: [u8; 32],
    /// Who has to answer.
    pub farmer: DeviceId,
    /// The epoch.
    pub epoch: Epoch,
    /// The epoch's randomness.
    pub beacon: Beacon,
    /// The randomness of the contract's first audit, which fixed the order in which shards have their turn.
    pub order: Beacon,
    /// Sectors per block, alike for all keys of the contract.
    pub sectors: Sectors,
    /// Which shards are asked.
    pub scope: Scope,
    /// Blocks asked at random.
    pub blocks: u16,
}

impl Transcript {
    /// Whether this is a whole audit of its epoch, no easier one.
    pub fn stands_for_epoch(&self) -> bool {
        self.scope == Scope::Epoch && self.blocks >= BLOCKS_PER_EPOCH
    }

    /// Whether the challenge is said to come from a ledger; see [`super::Beacon::names_ledger`].
    pub fn names_ledger(&self) -> bool {
        self.beacon.names_ledger()
    }

    /// What the challenge expands from.
    pub fn seed(&self) -> [u8; 32] {
        let bytes = codec::signing_bytes("audit transcript", &self.network, VERSION, self);
        *blake3::hash(&bytes).as_bytes()
    }
}

/// Public randomness for one purpose.
pub(super) struct Stream(OutputReader);

impl Stream {
    pub(super) fn new(seed: &[u8; 32], label: &str, extra: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(seed);
        hasher.update(format!("hayloft audit {label} 1").as_bytes()).update(extra);
        Self(hasher.finalize_xof())
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let mask = u64::MAX.checked_shr((bound - 1).leading_zeros()).unwrap_or(0);
        loop {
            let number = u64::from_le_bytes(self.bytes()) & mask;
            if number < bound {
                return number;
            }
        }
    }

    pub(super) fn coefficient(&mut self) -> u128 {
        u128::from_le_bytes(self.bytes())
    }

    pub(super) fn point(&mut self) -> Scalar {
        loop {
            let mut bytes: [u8; 32] = self.bytes();
            bytes[31] &= 0x7f;
            if let Some(point) = Scalar::from_bytes_le(&bytes).into() {
                return point;
            }
        }
    }
}
