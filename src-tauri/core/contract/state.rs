//! What one side knows of a contract, and where that stands in time.
//!
//! Invariant: the newest revision's count, bytes and root are those of the shard set beside it.

use std::collections::BTreeMap;

use super::{
    MAX_CHANGES_PER_REVISION, MAX_SHARDS, Revision, RevisionError, ShardEntry, SignedRevision, SignedTerms,
    Terms, revision::check_totals,
};
use crate::{ContractId, RevisionHash, ShardId, Timestamp};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// How long agreed terms stay open while no revision follows.
pub const UNUSED_SECONDS: u64 = DAY_SECONDS;

const WARNING_SECONDS: u64 = 14 * DAY_SECONDS;

/// A contract as one side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(super) contract: ContractId,
    pub(super) terms: SignedTerms,
    pub(super) newest: Option<Revision>,
    pub(super) shards: BTreeMap<ShardId, ShardEntry>,
}

/// Where a contract stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Agreed, and no revision yet: holds nothing.
    Unused,
    /// Before its end.
    Running,
    /// After its end: data is still served, may be removed or renewed, and nothing new comes.
    Grace,
    /// After the grace: the farmer may delete everything.
    Over,
}

impl State {
    /// A contract just agreed on.
    ///
    /// # Errors
    /// [`RevisionError::Terms`] if the terms are not signed by both.
    pub fn new(terms: SignedTerms) -> Result<Self, RevisionError> {
        terms.verify()?;
        Ok(Self { contract: terms.terms.id(), terms, newest: None, shards: BTreeMap::new() })
    }

    /// A contract as it was kept: terms, newest revision and all shards, in any order.
    ///
    /// # Errors
    /// [`RevisionError`] if a signature is missing or the shards are not those that the revision commits to.
    pub fn load(
        terms: SignedTerms,
        newest: Option<&SignedRevision>,
        shards: impl IntoIterator<Item = ShardEntry>,
    ) -> Result<Self, RevisionError> {
        let mut state = Self::new(terms)?;
        state.shards = shards.into_iter().map(|shard| (shard.id, shard)).collect();
        match newest {
            None if state.shards.is_empty() => {}
            None => return Err(RevisionError::WrongCount),
            Some(newest) if newest.revision.contract != state.contract => {
                return Err(RevisionError::WrongContract);
            }
            Some(newest) => {
                newest.verify(&state.terms.terms)?;
                check_totals(&newest.revision, &state.shards)?;
                state.newest = Some(newest.revision.clone());
            }
        }
        Ok(state)
    }

    /// The contract's id.
    pub fn contract(&self) -> ContractId {
        self.contract
    }

    /// The terms.
    pub fn terms(&self) -> &Terms {
        &self.terms.terms
    }

    /// The terms with both signatures.
    pub fn signed_terms(&self) -> &SignedTerms {
        &self.terms
    }

    /// The newest revision; none before the first.
    pub fn newest(&self) -> Option<&Revision> {
        self.newest.as_ref()
    }

    /// The shards in ascending order of id.
    pub fn shards(&self) -> impl Iterator<Item = &ShardEntry> {
        self.shards.values()
    }

    /// One shard, if it is under this contract.
    pub fn shard(&self, id: &ShardId) -> Option<&ShardEntry> {
        self.shards.get(id)
    }

    /// Whether as many shards as one revision may add still find room.
    pub fn has_room(&self) -> bool {
        (self.shards.len() + MAX_CHANGES_PER_REVISION) as u64 <= MAX_SHARDS
    }

    /// Bytes under contract.
    pub fn bytes(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.bytes)
    }

    /// Bytes the owner may keep.
    pub fn capacity_bytes(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.capacity_bytes)
    }

    /// When it ends; while unused, when the agreement lapses.
    pub fn end(&self) -> Timestamp {
        self.newest.as_ref().map_or(self.terms().start.plus_seconds(UNUSED_SECONDS), |newest| newest.end)
    }

    /// From when on the farmer may delete everything.
    pub fn delete_after(&self) -> Timestamp {
        match self.newest {
            Some(_) => self.end().plus_seconds(self.terms().grace_seconds),
            None => self.end(),
        }
    }

    /// Where it stands at `now`.
    pub fn phase(&self, now: Timestamp) -> Phase {
        if now >= self.delete_after() {
            Phase::Over
        } else if self.newest.is_none() {
            Phase::Unused
        } else if now >= self.end() {
            Phase::Grace
        } else {
            Phase::Running
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.number.saturating_add(1))
    }

    pub(super) fn newest_hash(&self) -> RevisionHash {
        self.newest.as_ref().map_or(RevisionHash([0; 32]), Revision::hash)
    }
}

/// Whether people should hear at `now` that something kept from `start` to `end` is about to end: in its last
/// fourteen days, or its last quarter if that is shorter.
pub fn ends_soon(start: Timestamp, end: Timestamp, now: Timestamp) -> bool {
    end.seconds_since(now) <= WARNING_SECONDS.min(end.seconds_since(start) / 4)
}
