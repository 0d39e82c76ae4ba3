//! Epochs, and the public randomness of each.
//!
//! ```text
//! due(epoch)  = start + epoch · length + offset,  offset = u64 of BLAKE3("hayloft beacon offset 1" ‖ contract)
//!                                                          scaled to the first half of an epoch
//! beacon      = the first ledger that closes at or after it: number and hash
//! commitment  = BLAKE3("hayloft beacon commitment 1" ‖ contract ‖ u64 epoch ‖ role ‖ nonce)
//! ```
//! The offset spreads contracts over time. Where there is no ledger, auditor and farmer exchange commitments and then
//! the nonces; whoever reveals last can still withhold, so such a beacon is not publicly random and says so. No farmer takes a
//! ledger from whoever asks until it can ask that ledger itself.
//! Deliberately absent: how a ledger's hash is learnt, which only the ledger can tell.

use serde::{Deserialize, Serialize};

use crate::{ContractId, Timestamp, contract::Terms};

/// A span of a contract over which verdicts are counted: 0 from its start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch in which `now` lies; none before the contract's start.
    pub fn at(terms: &Terms, now: Timestamp) -> Option<Self> {
        let since = now.0.checked_sub(terms.start.0)?;
        since.checked_div(terms.epoch_seconds.into()).map(Self)
    }

    /// When the epoch begins.
    pub fn start(self, terms: &Terms) -> Timestamp {
        terms.start.plus_seconds(self.0.saturating_mul(terms.epoch_seconds.into()))
    }

    /// From when on a ledger that closes can be the epoch's beacon.
    pub fn beacon_due(self, terms: &Terms) -> Timestamp {
        let hash = hash(b"hayloft beacon offset 1", &[&terms.id().0]);
        let fraction = u64::from_le_bytes(hash[..8].try_into().expect("eight bytes"));
        let half = u128::from(terms.epoch_seconds / 2);
        let offset = (u128::from(fraction) * half) >> 64;
        self.start(terms).plus_seconds(offset as u64)
    }

    /// Whether a ledger that closed at `closed`, its predecessor at `before`, is this epoch's beacon.
    pub fn is_beacon(self, terms: &Terms, before: Timestamp, closed: Timestamp) -> bool {
        let due = self.beacon_due(terms);
        before < due && due <= closed
    }
}

/// What makes a challenge unforeseeable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beacon {
    /// A ledger, whose hash anyone can look up by its number.
    Ledger {
        /// Its number.
        sequence: u64,
        /// Its hash.
        hash: [u8; 32],
    },
    /// Nonces that both sides committed to before either showed its own.
    Revealed {
        /// The auditor's.
        auditor: [u8; 32],
        /// The farmer's.
        farmer: [u8; 32],
    },
}

impl Beacon {
    /// Whether it is said to be a ledger. That neither auditor nor farmer chose it is only shown once that ledger is asked: for
    /// its hash, and whether it was the first.
    pub fn names_ledger(&self) -> bool {
        matches!(self, Self::Ledger { .. })
    }
}

/// Who commits to a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committer {
    /// Who asks.
    Auditor,
    /// Who answers.
    Farmer,
}

/// A nonce that is fixed, but not shown yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commitment(pub [u8; 32]);

impl Commitment {
    /// Commits to a nonce of 32 random bytes, for one side of one epoch of one contract.
    pub fn to(contract: &ContractId, Epoch(epoch): Epoch, committer: Committer, nonce: &[u8; 32]) -> Self {
        let role: &[u8] = match committer {
            Committer::Auditor => &[0],
            Committer::Farmer => &[1],
        };
        Self(hash(b"hayloft beacon commitment 1", &[&contract.0, &epoch.to_le_bytes(), role, nonce]))
    }

    /// Whether this is what was committed to.
    pub fn opens_to(
        &self,
        contract: &ContractId,
        epoch: Epoch,
        committer: Committer,
        nonce: &[u8; 32],
    ) -> bool {
        *self == Self::to(contract, epoch, committer, nonce)
    }
}

fn hash(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(label);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
