//! What an auditor knows, and how that moves on: of each contract it follows ([`follow`]), of each farmer ([`record`]), and of
//! all its farmers together ([`round`], the brake's memory).
//!
//! ```text
//! epoch begins ──► committing ──(farmer's commitment)──► asking ──► passed | failed
//!                       │                                  │
//!                       └─────── silence for a while ──────┴──► missed: stays open beside the next epochs' questions,
//!                                                          passed if a right proof comes, failed when it is closed
//! the auditor's own line, disk or absence ───────────────► undecided
//! ```
//! One question for each epoch, whatever crashes in between: its nonce is drawn when it begins and kept before it is
//! shown, so that asking again is asking the same. All consequences of an event come out of one call, for whoever runs this
//! to keep in one transaction.
//!
//! Where a ledger gives the beacon, [`follow::Randomness::Ledger`] fixes the question instead of the two nonces; nothing else
//! differs.
//! Deliberately absent: connections, disks, and verifying proofs ([`crate::audit`]).

pub mod choice;
pub mod exported;
pub mod follow;
pub mod record;
pub mod round;
pub mod turns;
pub mod vetting;

use serde::{Deserialize, Serialize};

pub use crate::settlement::Verdict;
use crate::{
    Timestamp,
    audit::{Epoch, Failure},
};

/// Why a verdict is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reason {
    /// The farmer signed an answer that proves nothing.
    #[error("{0}")]
    WrongProof(Failure),
    /// No answer came.
    #[error("the farmer did not answer")]
    Silence,
    /// The farmer said beforehand that it lost some of the shards; the rest it proved.
    #[error("the farmer reported that it lost some pieces, and proved the rest")]
    LossReported,
    /// The farmer said beforehand that it lost more than can be named, or all.
    #[error("the farmer reported that it lost what was asked for")]
    AllLost,
    /// There was nothing to ask for.
    #[error("nothing that can be audited is kept under the contract")]
    NothingToAsk,
    /// The auditor was not running in that epoch.
    #[error("the auditor was away")]
    AuditorAway,
    /// The auditor's own line or records kept it from asking.
    #[error("the auditor could not ask")]
    AuditorHindered,
}

/// What became of one epoch of one contract; a later one about the same epoch replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The epoch.
    pub epoch: Epoch,
    /// Number of the revision that was asked about.
    pub revision: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Why; none for a pass.
    pub reason: Option<Reason>,
    /// When it was judged.
    pub at: Timestamp,
}

impl Judgement {
    /// Whether nothing can replace it any more.
    pub fn is_final(&self) -> bool {
        self.verdict != Verdict::Missed
    }
}

#[cfg(test)]
mod tests;
