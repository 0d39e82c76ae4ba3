//! Proposing, checking and signing revisions. Owner and farmer run the same checks on the same state, so that neither
//! signs what the other could not have.

use std::collections::BTreeMap;

use super::{
    MAX_SHARDS, Phase, Revision, ShardEntry, SignedRevision, SignedTerms, State, Terms, TermsError,
    shard_root,
};
use crate::{
    RevisionHash, ShardId, Signature, Timestamp, codec,
    keys::{BadSignature, DeviceKey, OwnerKey},
};

const VERSION: u8 = 1;
const BY_OWNER: &str = "contract revision by owner";
const BY_FARMER: &str = "contract revision by farmer";

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Shards that one revision may add, and that it may remove.
pub const MAX_CHANGES_PER_REVISION: usize = 1024;
/// The largest sealed shard: a whole segment of 64 MiB as one copy, with room for its cells' overhead.
pub const MAX_SHARD_BYTES: u64 = 65 << 20;
/// How far ahead a contract's end may lie.
pub const MAX_TERM_SECONDS: u64 = 5 * 366 * DAY_SECONDS;
/// How far a revision's time may lie from one's own clock.
pub const CLOCK_TOLERANCE_SECONDS: u64 = 60 * 60;

/// What an owner wants changed; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// New capacity.
    pub capacity_bytes: Option<u64>,
    /// New end: later to renew.
    pub end: Option<Timestamp>,
    /// Shards that come, in any order.
    pub added: Vec<ShardEntry>,
    /// Shards that go, in any order.
    pub removed: Vec<ShardId>,
}

/// Why a revision is not signed or not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// It belongs to another contract.
    #[error("the revision belongs to another contract")]
    WrongContract,
    /// Its number does not follow the newest one: ask for that and propose anew.
    #[error("revision {found} came where {expected} was due")]
    WrongNumber {
        /// The number due.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// Its number is due, but it follows another history.
    #[error("the revision names another predecessor")]
    WrongPredecessor,
    /// Its time is too far from now, or before its predecessor's.
    #[error("the revision's time is too far from now: one of the two clocks is wrong")]
    WrongTime,
    /// It adds or removes too many shards at once.
    #[error("the revision changes {found} shards at once, at most {MAX_CHANGES_PER_REVISION} are allowed")]
    TooManyChanges {
        /// The greater of both counts.
        found: usize,
    },
    /// The contract would hold too many shards.
    #[error("a contract holds at most {MAX_SHARDS} shards")]
    TooManyShards,
    /// Its lists are not in strictly ascending order.
    #[error("the revision's shards are out of order or named twice")]
    OutOfOrder,
    /// A shard has no bytes or too many.
    #[error("shard {0} has no bytes or too many")]
    BadShardSize(ShardId),
    /// It adds a shard that is there already.
    #[error("shard {0} is there already")]
    AlreadyThere(ShardId),
    /// It removes a shard that is not there.
    #[error("shard {0} is not there")]
    NotThere(ShardId),
    /// The contract has ended, and the revision adds shards without renewing it.
    #[error("the contract has ended: renew it before anything is added")]
    Ended,
    /// The contract's grace is over.
    #[error("the contract is over")]
    Over,
    /// It moves the end into the past or too far ahead.
    #[error("the new end lies in the past or too far ahead")]
    BadEnd,
    /// More bytes than the capacity.
    #[error("{bytes} bytes are more than the contract's capacity of {capacity_bytes}")]
    OverCapacity {
        /// Bytes after it.
        bytes: u64,
        /// Capacity after it.
        capacity_bytes: u64,
    },
    /// Its count of shards is wrong.
    #[error("the revision's count of shards is wrong")]
    WrongCount,
    /// Its sum of bytes is wrong.
    #[error("the revision's sum of bytes is wrong")]
    WrongBytes,
    /// Its root is wrong.
    #[error("the revision's root is not that of the shards")]
    WrongRoot,
    /// The owner did not sign it.
    #[error("the owner's signature under the revision does not fit")]
    BadOwnerSignature,
    /// The farmer did not sign it.
    #[error("the farmer's signature under the revision does not fit")]
    BadFarmerSignature,
    /// The terms themselves are not signed by both.
    #[error(transparent)]
    Terms(#[from] TermsError),
}

impl Revision {
    /// Whether no shard comes or goes.
    pub fn changes_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// By which the next revision names this one: BLAKE3 of its encoding.
    pub fn hash(&self) -> RevisionHash {
        RevisionHash(*blake3::hash(&codec::encode(VERSION, self)).as_bytes())
    }

    /// The owner's signature.
    pub fn sign_as_owner(&self, terms: &Terms, key: &OwnerKey) -> Signature {
        key.sign(BY_OWNER, &terms.network, VERSION, self)
    }

    /// Whether the owner signed.
    ///
    /// # Errors
    /// [`RevisionError::BadOwnerSignature`].
    pub fn verify_owner(&self, terms: &Terms, signature: &Signature) -> Result<(), RevisionError> {
        let signed = terms.owner.verify(BY_OWNER, &terms.network, VERSION, self, signature);
        signed.map_err(|BadSignature| RevisionError::BadOwnerSignature)
    }

    /// Whether the farmer signed.
    ///
    /// # Errors
    /// [`RevisionError::BadFarmerSignature`].
    pub fn verify_farmer(&self, terms: &Terms, signature: &Signature) -> Result<(), RevisionError> {
        let signed = terms.farmer.verify(BY_FARMER, &terms.network, VERSION, self, signature);
        signed.map_err(|BadSignature| RevisionError::BadFarmerSignature)
    }
}

impl SignedRevision {
    /// Whether both sides signed.
    ///
    /// # Errors
    /// [`RevisionError`] names the side that did not.
    pub fn verify(&self, terms: &Terms) -> Result<(), RevisionError> {
        self.revision.verify_owner(terms, &self.owner)?;
        self.revision.verify_farmer(terms, &self.farmer)
    }
}

/// The revision that makes `change` next.
///
/// # Errors
/// [`RevisionError`] if the other side would refuse it.
pub fn propose(state: &State, change: Change, now: Timestamp) -> Result<Revision, RevisionError> {
    let Change { capacity_bytes, end, mut added, mut removed } = change;
    added.sort_unstable_by_key(|shard| shard.id);
    removed.sort_unstable();
    let earliest = state.newest.as_ref().map_or(now, |newest| newest.at.max(now));
    let mut revision = Revision {
        contract: state.contract,
        number: state.next_number(),
        previous: state.newest_hash(),
        capacity_bytes: capacity_bytes.unwrap_or(state.capacity_bytes()),
        end: end.unwrap_or(state.end()),
        added,
        removed,
        shards: 0,
        bytes: 0,
        root: [0; 32],
        at: earliest,
    };
    let shards = shards_after(state, &revision)?;
    revision.shards = shards.len() as u64;
    revision.bytes = sum(&shards)?;
    revision.root = shard_root(shards.values());
    apply(state, &revision, now)?;
    Ok(revision)
}

/// The state after a revision, whose signatures this does not look at.
///
/// # Errors
/// The first [`RevisionError`] found; the state stays as it was.
pub fn apply(state: &State, revision: &Revision, now: Timestamp) -> Result<State, RevisionError> {
    check_place(state, revision)?;
    check_time(state, revision, now)?;
    let shards = shards_after(state, revision)?;
    check_totals(revision, &shards)?;
    Ok(State { contract: state.contract, terms: state.terms.clone(), newest: Some(revision.clone()), shards })
}

/// The state after a revision that both signed.
///
/// # Errors
/// As [`apply`], and if a signature is missing.
pub fn apply_signed(state: &State, signed: &SignedRevision, now: Timestamp) -> Result<State, RevisionError> {
    signed.verify(state.terms())?;
    apply(state, &signed.revision, now)
}

/// The farmer's side: checks a revision and the owner's signature, and signs. The new state must be on disk before the
/// signature leaves, or the farmer may sign two revisions of one number.
///
/// # Errors
/// As [`apply`], and if the owner did not sign.
pub fn countersign(
    state: &State,
    revision: &Revision,
    owner: &Signature,
    key: &DeviceKey,
    now: Timestamp,
) -> Result<(State, SignedRevision), RevisionError> {
    revision.verify_owner(state.terms(), owner)?;
    let next = apply(state, revision, now)?;
    let signed = signed(&state.terms, revision, owner, key);
    signed.verify(state.terms())?;
    Ok((next, signed))
}

/// [`countersign`] for a revision that changes no shard. The shards need not be at hand, however many there are: their
/// count, bytes and root stay those of `newest`.
///
/// # Errors
/// As [`countersign`]; [`RevisionError::WrongCount`] if shards come or go.
pub fn countersign_same_shards(
    terms: &SignedTerms,
    newest: &SignedRevision,
    revision: &Revision,
    owner: &Signature,
    key: &DeviceKey,
    now: Timestamp,
) -> Result<SignedRevision, RevisionError> {
    check_owner(terms, Some(newest), revision, owner)?;
    let before = &newest.revision;
    let state = State { newest: Some(before.clone()), ..State::new(terms.clone())? };
    check_time(&state, revision, now)?;
    if !revision.changes_nothing() || revision.shards != before.shards {
        return Err(RevisionError::WrongCount);
    }
    if revision.bytes != before.bytes {
        return Err(RevisionError::WrongBytes);
    }
    check_capacity(revision)?;
    if revision.root != before.root {
        return Err(RevisionError::WrongRoot);
    }
    Ok(signed(terms, revision, owner, key))
}

/// What can be refused without the shards: the owner did not sign, or the revision does not follow the newest.
///
/// # Errors
/// The first [`RevisionError`] found.
pub fn check_owner(
    terms: &SignedTerms,
    newest: Option<&SignedRevision>,
    revision: &Revision,
    owner: &Signature,
) -> Result<(), RevisionError> {
    let state = State {
        contract: terms.terms.id(),
        terms: terms.clone(),
        newest: newest.map(|newest| newest.revision.clone()),
        shards: BTreeMap::new(),
    };
    check_place(&state, revision)?;
    check_lists(revision)?;
    revision.verify_owner(&terms.terms, owner)
}

fn signed(terms: &SignedTerms, revision: &Revision, owner: &Signature, key: &DeviceKey) -> SignedRevision {
    let farmer = key.sign(BY_FARMER, &terms.terms.network, VERSION, revision);
    SignedRevision { revision: revision.clone(), owner: *owner, farmer }
}

fn check_place(state: &State, revision: &Revision) -> Result<(), RevisionError> {
    let (expected, found) = (state.next_number(), revision.number);
    if revision.contract != state.contract {
        return Err(RevisionError::WrongContract);
    }
    if found != expected {
        return Err(RevisionError::WrongNumber { expected, found });
    }
    if revision.previous != state.newest_hash() {
        return Err(RevisionError::WrongPredecessor);
    }
    Ok(())
}

fn check_time(state: &State, revision: &Revision, now: Timestamp) -> Result<(), RevisionError> {
    let before = state.newest.as_ref().map_or(Timestamp(0), |newest| newest.at);
    if revision.at.0.abs_diff(now.0) > CLOCK_TOLERANCE_SECONDS || revision.at < before {
        return Err(RevisionError::WrongTime);
    }
    let phase = state.phase(revision.at.max(now));
    let moved = state.newest.as_ref().is_none_or(|newest| newest.end != revision.end);
    if phase == Phase::Over {
        return Err(RevisionError::Over);
    }
    if moved && !(revision.at..=revision.at.plus_seconds(MAX_TERM_SECONDS)).contains(&revision.end) {
        return Err(RevisionError::BadEnd);
    }
    if phase == Phase::Grace && !moved && !revision.added.is_empty() {
        return Err(RevisionError::Ended);
    }
    Ok(())
}

fn check_lists(revision: &Revision) -> Result<(), RevisionError> {
    let found = revision.added.len().max(revision.removed.len());
    if found > MAX_CHANGES_PER_REVISION {
        return Err(RevisionError::TooManyChanges { found });
    }
    if !revision.added.is_sorted_by(|a, b| a.id < b.id) || !revision.removed.is_sorted_by(|a, b| a < b) {
        return Err(RevisionError::OutOfOrder);
    }
    Ok(())
}

fn shards_after(state: &State, revision: &Revision) -> Result<BTreeMap<ShardId, ShardEntry>, RevisionError> {
    check_lists(revision)?;
    let mut shards = state.shards.clone();
    for shard in &revision.added {
        if !(1..=MAX_SHARD_BYTES).contains(&shard.bytes) {
            return Err(RevisionError::BadShardSize(shard.id));
        }
        if shards.insert(shard.id, shard.clone()).is_some() {
            return Err(RevisionError::AlreadyThere(shard.id));
        }
    }
    for id in &revision.removed {
        if !state.shards.contains_key(id) || shards.remove(id).is_none() {
            return Err(RevisionError::NotThere(*id));
        }
    }
    Ok(shards)
}

pub(super) fn check_totals(
    revision: &Revision,
    shards: &BTreeMap<ShardId, ShardEntry>,
) -> Result<(), RevisionError> {
    if revision.shards != shards.len() as u64 {
        return Err(RevisionError::WrongCount);
    }
    if revision.shards > MAX_SHARDS {
        return Err(RevisionError::TooManyShards);
    }
    if revision.bytes != sum(shards)? {
        return Err(RevisionError::WrongBytes);
    }
    check_capacity(revision)?;
    if revision.root != shard_root(shards.values()) {
        return Err(RevisionError::WrongRoot);
    }
    Ok(())
}

fn check_capacity(revision: &Revision) -> Result<(), RevisionError> {
    let Revision { capacity_bytes, bytes, .. } = *revision;
    if bytes > capacity_bytes { Err(RevisionError::OverCapacity { bytes, capacity_bytes }) } else { Ok(()) }
}

fn sum(shards: &BTreeMap<ShardId, ShardEntry>) -> Result<u64, RevisionError> {
    let add = |sum: u64, shard: &ShardEntry| sum.checked_add(shard.bytes);
    shards.values().try_fold(0, add).ok_or(RevisionError::WrongBytes)
}
