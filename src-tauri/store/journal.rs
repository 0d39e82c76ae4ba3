//! Each contract's journal beside the shards: its terms and revisions as both signed them, so that the farmer's index
//! can be rebuilt when the database is lost.
//!
//! A journal is a run of records `u32 LE length ‖ BLAKE3(payload)[..8] ‖ payload`, payload = `version ‖ postcard(Record)`.
//! The database is the authority and is written first; a record torn by a crash is the last one and is ignored, and
//! opening a store rewrites each journal that is behind. One that is ahead shows that the database is an older copy.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use hayloft_core::{
    ContractId, ShardId, codec,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};
use serde::{Deserialize, Serialize};

use crate::home::{sync_folder, write_whole};

const VERSION: u8 = 1;
const RECORD_BYTES: usize = 64 << 20;
const FRAME_BYTES: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// The contract as it begins.
    Terms { id: ContractId, terms: Box<SignedTerms> },
    /// One revision on.
    Revision(Box<SignedRevision>),
    /// All at once: written instead of a long history.
    Snapshot {
        id: ContractId,
        terms: Box<SignedTerms>,
        revision: Option<Box<SignedRevision>>,
        shards: Vec<ShardEntry>,
    },
}

/// A contract as its journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) id: ContractId,
    pub(crate) terms: SignedTerms,
    pub(crate) revision: Option<SignedRevision>,
    pub(crate) shards: BTreeMap<ShardId, ShardEntry>,
    /// Whether every byte was understood.
    pub(crate) whole: bool,
}

/// Appends a record and syncs it.
pub(crate) fn append(path: &Path, record: &Record) -> io::Result<()> {
    let new = !path.try_exists()?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&frame(record))?;
    crash_point!(JournalAppended);
    file.sync_data()?;
    crash_point!(JournalSynced);
    match path.parent() {
        Some(folder) if new => sync_folder(folder),
        _ => Ok(()),
    }
}

/// Replaces a journal by one record.
pub(crate) fn rewrite(path: &Path, record: &Record) -> io::Result<()> {
    write_whole(path, &frame(record), true)
}

/// Reads a journal; none if there is none or its first record is damaged.
pub(crate) fn replay(path: &Path) -> io::Result<Option<Replayed>> {
    match fs::read(path) {
        Ok(bytes) => Ok(replay_bytes(&bytes)),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn frame(record: &Record) -> Vec<u8> {
    let payload = codec::encode(VERSION, record);
    let len = u32::try_from(payload.len()).expect("a revision is bounded far below 4 GiB");
    let mut framed = Vec::with_capacity(FRAME_BYTES + payload.len());
    framed.extend_from_slice(&len.to_le_bytes());
    framed.extend_from_slice(&blake3::hash(&payload).as_bytes()[..8]);
    framed.extend_from_slice(&payload);
    framed
}

fn unframe(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<8>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    if blake3::hash(payload).as_bytes()[..8] != check[..] {
        return None;
    }
    Some((codec::decode(VERSION, payload, RECORD_BYTES).ok()?, rest))
}

pub(crate) fn replay_bytes(bytes: &[u8]) -> Option<Replayed> {
    let (first, mut rest) = unframe(bytes)?;
    let mut state = begin(first)?;
    while let Some((Record::Revision(next), after)) = unframe(rest) {
        if !follows(&state, &next) {
            break;
        }
        for gone in &next.revision.removed {
            state.shards.remove(gone);
        }
        state.shards.extend(next.revision.added.iter().map(|entry| (entry.id, entry.clone())));
        state.revision = Some(*next);
        rest = after;
    }
    state.whole = rest.is_empty();
    Some(state)
}

fn begin(first: Record) -> Option<Replayed> {
    let (id, terms, revision, shards) = match first {
        Record::Terms { id, terms } => (id, terms, None, Vec::new()),
        Record::Snapshot { id, terms, revision, shards } => (id, terms, revision, shards),
        Record::Revision(_) => return None,
    };
    let shards = shards.into_iter().map(|entry| (entry.id, entry)).collect();
    Some(Replayed { id, terms: *terms, revision: revision.map(|newest| *newest), shards, whole: true })
}

fn follows(state: &Replayed, next: &SignedRevision) -> bool {
    let expected = state.revision.as_ref().map_or(Some(0), |newest| newest.revision.number.checked_add(1));
    next.revision.contract == state.id && Some(next.revision.number) == expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{contract_id, entry, revision, terms};

    #[test]
    fn a_journal_tells_the_newest_revision_and_its_shards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(replay(&path).unwrap(), None);
        append(&path, &Record::Terms { id: contract_id(1), terms: Box::new(terms(1)) }).unwrap();
        append(&path, &Record::Revision(Box::new(revision(1, 0, vec![entry(1, 10), entry(2, 20)], vec![]))))
            .unwrap();
        append(&path, &Record::Revision(Box::new(revision(1, 1, vec![entry(3, 30)], vec![entry(1, 10).id]))))
            .unwrap();
        let told = replay(&path).unwrap().unwrap();
        assert_eq!(told.terms, terms(1));
        assert_eq!(told.revision.map(|newest| newest.revision.number), Some(1));
        assert_eq!(told.shards.into_values().map(|shard| shard.bytes).sum::<u64>(), 50);
        assert!(told.whole);
    }

    #[test]
    fn a_torn_or_damaged_tail_costs_no_more_than_the_tail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        append(&path, &Record::Terms { id: contract_id(1), terms: Box::new(terms(1)) }).unwrap();
        append(&path, &Record::Revision(Box::new(revision(1, 0, vec![entry(1, 10)], vec![])))).unwrap();
        let sound = fs::read(&path).unwrap();
        append(&path, &Record::Revision(Box::new(revision(1, 1, vec![entry(2, 10)], vec![])))).unwrap();
        let longer = fs::read(&path).unwrap();
        for end in sound.len() + 1..longer.len() {
            let told = replay_bytes(&longer[..end]).unwrap();
            assert!(!told.whole && told.shards.len() == 1);
        }
        for end in 0..FRAME_BYTES {
            assert_eq!(replay_bytes(&longer[..end]), None);
        }
        let mut damaged = longer.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(replay_bytes(&damaged).unwrap().revision.unwrap().revision.number, 0);
    }

    #[test]
    fn a_revision_out_of_turn_is_not_believed() {
        let mut bytes = frame(&Record::Terms { id: contract_id(1), terms: Box::new(terms(1)) });
        bytes.extend(frame(&Record::Revision(Box::new(revision(1, 1, vec![entry(2, 10)], vec![])))));
        let told = replay_bytes(&bytes).unwrap();
        assert!(told.revision.is_none() && !told.whole);
    }
}
