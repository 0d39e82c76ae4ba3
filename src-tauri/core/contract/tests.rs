use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    codec,
    keys::DeviceKey,
    samples::{self, START as NOW, farmer, owner, terms},
};

const MONTH: u64 = 30 * 24 * 60 * 60;

fn sign(terms: Terms) -> SignedTerms {
    samples::sign(terms, &farmer())
}

fn offered() -> TermsOffered {
    let Terms { network, farmer, .. } = terms();
    TermsOffered {
        network,
        farmer,
        storage_price: Amount(0),
        egress_price: Amount(0),
        shortest_epoch_seconds: MIN_EPOCH_SECONDS,
    }
}

fn shard(number: u8, bytes: u64) -> ShardEntry {
    ShardEntry { id: ShardId([number; 32]), bytes, tag_key: number.is_multiple_of(3).then_some([number; 32]) }
}

fn empty() -> State {
    State::new(sign(terms())).unwrap()
}

/// Proposes, has the farmer sign, and applies at the owner's: both must agree.
fn step(state: &State, change: Change, now: Timestamp) -> Result<(State, SignedRevision), RevisionError> {
    let revision = propose(state, change, now)?;
    let by_owner = revision.sign_as_owner(state.terms(), &owner());
    let (at_farmer, signed) = countersign(state, &revision, &by_owner, &farmer(), now)?;
    assert_eq!(apply_signed(state, &signed, now).as_ref(), Ok(&at_farmer));
    Ok((at_farmer, signed))
}

/// A contract with shards 1 to 4 of 10 to 40 bytes.
fn running() -> (State, SignedRevision) {
    let added = (1..=4).rev().map(|i| shard(i, u64::from(i) * 10)).collect();
    let change =
        Change { capacity_bytes: Some(150), end: Some(NOW.plus_seconds(MONTH)), added, ..Change::default() };
    step(&empty(), change, NOW).unwrap()
}

fn naive_root(shards: &[ShardEntry]) -> [u8; 32] {
    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        *blake3::hash(&parts.concat()).as_bytes()
    }
    fn top(shards: &[ShardEntry]) -> ([u8; 32], u64) {
        if let [shard] = shards {
            let tag = shard.tag_key.map_or(vec![0], |key| [&[1][..], &key].concat());
            let leaf = hash(&[b"hayloft shard leaf 1", &shard.id.0, &shard.bytes.to_le_bytes(), &tag]);
            return (leaf, shard.bytes);
        }
        let split = shards.len().next_power_of_two() / 2;
        let ((left, a), (right, b)) = (top(&shards[..split]), top(&shards[split..]));
        (hash(&[b"hayloft shard node 1", &left, &a.to_le_bytes(), &right, &b.to_le_bytes()]), a + b)
    }
    let (hash_of_top, sum) = if shards.is_empty() { ([0; 32], 0) } else { top(shards) };
    let count = (shards.len() as u64).to_le_bytes();
    hash(&[b"hayloft shard root 1", &count, &sum.to_le_bytes(), &hash_of_top])
}

#[test]
fn encodings_ids_hashes_roots_and_signatures_stay_as_they_are() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let signed_terms = sign(terms());
    let (state, first) = running();
    let removal = Change { removed: vec![ShardId([2; 32])], ..Change::default() };
    let (_, second) = step(&state, removal, NOW.plus_seconds(60)).unwrap();
    let revision = |signed: &SignedRevision| {
        json!({
            "encoding": hex(&codec::encode(1, &signed.revision)),
            "hash": signed.revision.hash(),
            "root": hex(&signed.revision.root),
            "owner_signature": signed.owner,
            "farmer_signature": signed.farmer,
        })
    };
    let found = json!({
        "farmer_secret": hex(&[1; 32]),
        "owner_secret": hex(&[2; 32]),
        "terms": {
            "encoding": hex(&codec::encode(1, &signed_terms.terms)),
            "id": signed_terms.terms.id(),
            "owner_signature": signed_terms.owner,
            "farmer_signature": signed_terms.farmer,
        },
        "empty_root": hex(&shard_root([])),
        "revisions": [revision(&first), revision(&second)],
    });
    let kept: Value = serde_json::from_str(include_str!("../../../tests/vectors/contract.json")).unwrap();
    assert_eq!(found, kept, "formats changed");
}

#[test]
fn farmer_signs_what_it_offers() {
    assert_eq!(check_terms(&terms(), &offered(), NOW), Ok(()));
    let dear = TermsOffered { storage_price: Amount(5), egress_price: Amount(6), ..offered() };
    let auditor = Some(DeviceId([9; 32]));
    let paid = Terms { storage_price: Amount(5), egress_price: Amount(7), auditor, ..terms() };
    assert_eq!(check_terms(&paid, &dear, NOW), Ok(()));
}

#[test]
fn terms_are_refused_for_each_reason() {
    let check = |change: &dyn Fn(&mut Terms)| {
        let mut terms = terms();
        change(&mut terms);
        check_terms(&terms, &offered(), NOW)
    };
    assert_eq!(check(&|t| t.network = "there".parse().unwrap()), Err(TermsError::WrongNetwork));
    assert_eq!(check(&|t| t.farmer = DeviceId([9; 32])), Err(TermsError::WrongFarmer));
    assert_eq!(check(&|t| t.start.0 += START_TOLERANCE_SECONDS + 1), Err(TermsError::StartTooFar));
    assert_eq!(check(&|t| t.start.0 -= START_TOLERANCE_SECONDS + 1), Err(TermsError::StartTooFar));
    assert_eq!(check(&|t| t.epoch_seconds = 59), Err(TermsError::BadEpoch));
    assert_eq!(check(&|t| t.epoch_seconds = 32 * 86_400), Err(TermsError::BadEpoch));
    assert_eq!(check(&|t| t.audit_share_ppm = 1_000_001), Err(TermsError::BadAuditShare));
    assert_eq!(check(&|t| t.grace_seconds = MIN_GRACE_SECONDS - 1), Err(TermsError::BadGrace));
    assert_eq!(check(&|t| t.grace_seconds = MAX_GRACE_SECONDS + 1), Err(TermsError::BadGrace));
    assert_eq!(check(&|t| t.auditor = Some(t.farmer)), Err(TermsError::AuditsItself));
    assert_eq!(check(&|t| t.auditor = Some(DeviceId([9; 32]))), Ok(()), "at any price");
    assert_eq!(check(&|t| t.escrow = Some([1; 32])), Err(TermsError::NothingToSettle));
    let low = Err(TermsError::PriceTooLow { asked: Amount(5), offered: Amount(0) });
    let offer = TermsOffered { storage_price: Amount(5), ..offered() };
    assert_eq!(check_terms(&terms(), &offer, NOW), low);
    let offer = TermsOffered { egress_price: Amount(5), ..offered() };
    assert_eq!(check_terms(&terms(), &offer, NOW), low);
}

#[test]
fn terms_without_both_signatures_make_no_contract() {
    let signed = sign(terms());
    assert_eq!(signed.verify(), Ok(()));
    let swapped = SignedTerms { owner: signed.farmer, farmer: signed.owner, ..signed.clone() };
    assert_eq!(State::new(swapped), Err(TermsError::BadOwnerSignature.into()));
    let alone = SignedTerms { farmer: signed.owner, ..signed.clone() };
    assert_eq!(State::new(alone), Err(TermsError::BadFarmerSignature.into()));
    let mut changed = signed;
    changed.terms.nonce[0] ^= 1;
    assert_eq!(State::new(changed), Err(TermsError::BadOwnerSignature.into()));
}

#[derive(Debug, Clone)]
enum Event {
    Add(Vec<(u8, u64)>),
    Remove(Vec<prop::sample::Index>),
    Renew(u64),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let added = prop::collection::vec((any::<u8>(), 1..=MAX_SHARD_BYTES), 0..20);
    let event = prop_oneof![
        4 => added.prop_map(Event::Add),
        2 => prop::collection::vec(any::<prop::sample::Index>(), 0..8).prop_map(Event::Remove),
        1 => (1..MONTH).prop_map(Event::Renew),
        1 => (0..MONTH).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..30)
}

/// What `event` asks of a contract with these shards, leaving out what is there or gone already.
fn change_for(event: &Event, shards: &BTreeMap<ShardId, ShardEntry>, end: Timestamp) -> Change {
    let mut change = Change { capacity_bytes: Some(u64::MAX), ..Change::default() };
    match event {
        Event::Add(wanted) => {
            let mut entries: BTreeMap<ShardId, ShardEntry> = BTreeMap::new();
            for &(number, bytes) in wanted {
                entries.insert(ShardId([number; 32]), shard(number, bytes));
            }
            change.added =
                entries.into_values().filter(|entry| !shards.contains_key(&entry.id)).rev().collect();
        }
        Event::Remove(which) if !shards.is_empty() => {
            let ids: Vec<&ShardId> = shards.keys().collect();
            let picked: std::collections::BTreeSet<ShardId> =
                which.iter().map(|index| *ids[index.index(ids.len())]).collect();
            change.removed = picked.into_iter().rev().collect();
        }
        Event::Renew(seconds) => change.end = Some(end.plus_seconds(*seconds)),
        Event::Remove(_) | Event::Wait(_) => {}
    }
    change
}

proptest! {
    #[test]
    fn any_history_keeps_counts_bytes_and_root_and_can_be_loaded_again(events in events()) {
        let mut now = NOW;
        let start = Change { capacity_bytes: Some(0), end: Some(NOW.plus_seconds(MONTH)), ..Change::default() };
        let (mut state, mut signed) = step(&empty(), start, now).unwrap();
        let mut model: BTreeMap<ShardId, ShardEntry> = BTreeMap::new();
        for event in events {
            if let Event::Wait(seconds) = event {
                now = now.plus_seconds(seconds);
            }
            let change = change_for(&event, &model, state.end().max(now));
            match (state.phase(now), step(&state, change.clone(), now)) {
                (Phase::Over, result) => prop_assert_eq!(result, Err(RevisionError::Over)),
                (Phase::Grace, result) if change.end.is_none() && !change.added.is_empty() => {
                    prop_assert_eq!(result, Err(RevisionError::Ended));
                }
                (_, result) => {
                    let number = signed.revision.number;
                    (state, signed) = result.unwrap();
                    model.extend(change.added.into_iter().map(|entry| (entry.id, entry)));
                    model.retain(|id, _| !change.removed.contains(id));
                    prop_assert_eq!(signed.revision.number, number + 1);
                }
            }
            let entries: Vec<ShardEntry> = model.values().cloned().collect();
            prop_assert!(state.shards().eq(&entries));
            prop_assert_eq!(signed.revision.shards, entries.len() as u64);
            prop_assert_eq!(state.bytes(), entries.iter().map(|entry| entry.bytes).sum::<u64>());
            prop_assert_eq!(signed.revision.root, naive_root(&entries));
            let loaded = State::load(state.signed_terms().clone(), Some(&signed), entries.into_iter().rev());
            prop_assert_eq!(loaded.as_ref(), Ok(&state));
        }
    }

    #[test]
    fn root_changes_with_every_shard_length_and_tag_key(
        lengths in prop::collection::vec(1u64..1000, 1..40), pick: prop::sample::Index, how in 0..4,
    ) {
        let mut entries: Vec<ShardEntry> = (0u8..).zip(lengths).map(|(i, bytes)| shard(i, bytes)).collect();
        let before = shard_root(&entries);
        prop_assert_eq!(before, naive_root(&entries));
        let index = pick.index(entries.len());
        match how {
            0 => entries[index].bytes += 1,
            1 => entries[index].id.0[31] ^= 1,
            2 => entries[index].tag_key = entries[index].tag_key.map_or(Some([9; 32]), |_| None),
            _ => { entries.remove(index); }
        }
        prop_assert_ne!(shard_root(&entries), before);
    }
}

/// The good revision that the mutations start from: adds 5 and 6, removes 1 and 3.
fn next() -> (State, Revision) {
    let (state, _) = running();
    let change = Change {
        added: vec![shard(5, 5), shard(6, 6)],
        removed: vec![ShardId([1; 32]), ShardId([3; 32])],
        ..Change::default()
    };
    let revision = propose(&state, change, NOW.plus_seconds(60)).unwrap();
    (state, revision)
}

fn refused(change: impl Fn(&mut Revision)) -> RevisionError {
    let (state, mut revision) = next();
    change(&mut revision);
    let now = NOW.plus_seconds(60);
    let by_owner = revision.sign_as_owner(state.terms(), &owner());
    let error = apply(&state, &revision, now).unwrap_err();
    assert_eq!(countersign(&state, &revision, &by_owner, &farmer(), now).unwrap_err(), error);
    error
}

#[test]
fn revision_that_changes_no_shard_is_judged_without_them_as_with_them() {
    let (state, newest) = running();
    let end = Some(NOW.plus_seconds(2 * MONTH));
    let sound = propose(&state, Change { end, ..Change::default() }, NOW).unwrap();
    let changes: [fn(&mut Revision); 9] = [
        |_| {},
        |r| r.shards += 1,
        |r| r.bytes += 1,
        |r| r.root[0] ^= 1,
        |r| r.capacity_bytes = 99,
        |r| r.number += 1,
        |r| r.previous.0[0] ^= 1,
        |r| r.end = Timestamp(0),
        |r| r.at.0 += MONTH,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut revision = sound.clone();
        change(&mut revision);
        let by_owner = revision.sign_as_owner(state.terms(), &owner());
        let with = countersign(&state, &revision, &by_owner, &farmer(), NOW).map(|(_, signed)| signed);
        let (terms, key) = (state.signed_terms(), farmer());
        let without = countersign_same_shards(terms, &newest, &revision, &by_owner, &key, NOW);
        assert_eq!(with.is_ok(), number == 0, "{with:?}");
        assert_eq!(with, without);
        let forged = Signature([7; 64]);
        let refused = countersign_same_shards(terms, &newest, &revision, &forged, &key, NOW);
        assert!(refused.is_err());
    }
}

#[test]
fn a_contract_holds_so_many_shards_and_no_more() {
    let shards = (0..MAX_SHARDS + 1).map(|number| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ShardEntry { id: ShardId(id), bytes: 1, tag_key: None }
    });
    let shards: Vec<ShardEntry> = shards.collect();
    let newest = |count: usize| {
        let revision = Revision {
            contract: terms().id(),
            number: 0,
            previous: RevisionHash([0; 32]),
            capacity_bytes: MAX_SHARDS + 1,
            end: NOW.plus_seconds(MONTH),
            added: Vec::new(),
            removed: Vec::new(),
            shards: count as u64,
            bytes: count as u64,
            root: shard_root(&shards[..count]),
            at: NOW,
        };
        let (owner, terms) = (owner(), terms());
        let farmer = farmer().sign("contract revision by farmer", &terms.network, 1, &revision);
        SignedRevision { owner: revision.sign_as_owner(&terms, &owner), farmer, revision }
    };
    let full = MAX_SHARDS as usize;
    let state = State::load(sign(terms()), Some(&newest(full)), shards[..full].iter().cloned()).unwrap();
    assert!(!state.has_room());
    let one_more = Change { added: vec![shards[full].clone()], ..Change::default() };
    assert_eq!(step(&state, one_more, NOW).unwrap_err(), RevisionError::TooManyShards);
    let over = State::load(sign(terms()), Some(&newest(full + 1)), shards.iter().cloned());
    assert_eq!(over.unwrap_err(), RevisionError::TooManyShards);
}

#[test]
fn any_single_mutation_of_a_revision_is_refused_for_its_reason() {
    let id = |number: u8| ShardId([number; 32]);
    assert_eq!(refused(|r| r.contract.0[0] ^= 1), RevisionError::WrongContract);
    assert_eq!(refused(|r| r.number = 0), RevisionError::WrongNumber { expected: 1, found: 0 });
    assert_eq!(refused(|r| r.number = 2), RevisionError::WrongNumber { expected: 1, found: 2 });
    assert_eq!(refused(|r| r.previous.0[0] ^= 1), RevisionError::WrongPredecessor);
    assert_eq!(refused(|r| r.at = Timestamp(NOW.0 - 1)), RevisionError::WrongTime);
    assert_eq!(refused(|r| r.at.0 += CLOCK_TOLERANCE_SECONDS + 1), RevisionError::WrongTime);
    assert_eq!(refused(|r| r.end = NOW), RevisionError::BadEnd);
    assert_eq!(refused(|r| r.end = r.at.plus_seconds(MAX_TERM_SECONDS + 1)), RevisionError::BadEnd);
    assert_eq!(refused(|r| r.added.reverse()), RevisionError::OutOfOrder);
    assert_eq!(refused(|r| r.removed.reverse()), RevisionError::OutOfOrder);
    assert_eq!(refused(|r| r.added.insert(0, r.added[0].clone())), RevisionError::OutOfOrder);
    assert_eq!(refused(|r| r.removed.insert(0, r.removed[0])), RevisionError::OutOfOrder);
    assert_eq!(refused(|r| r.added[0].bytes = 0), RevisionError::BadShardSize(id(5)));
    assert_eq!(refused(|r| r.added[0].bytes = MAX_SHARD_BYTES + 1), RevisionError::BadShardSize(id(5)));
    assert_eq!(refused(|r| r.added[0] = shard(4, 40)), RevisionError::AlreadyThere(id(4)));
    assert_eq!(refused(|r| r.removed[1] = id(9)), RevisionError::NotThere(id(9)));
    assert_eq!(refused(|r| r.removed[1] = id(5)), RevisionError::NotThere(id(5)));
    assert_eq!(refused(|r| r.added[0] = shard(1, 10)), RevisionError::AlreadyThere(id(1)));
    assert_eq!(refused(|r| r.shards += 1), RevisionError::WrongCount);
    assert_eq!(refused(|r| r.removed.truncate(1)), RevisionError::WrongCount);
    assert_eq!(refused(|r| r.added.truncate(1)), RevisionError::WrongCount);
    assert_eq!(refused(|r| r.bytes -= 1), RevisionError::WrongBytes);
    assert_eq!(refused(|r| r.added[0].bytes += 1), RevisionError::WrongBytes);
    let over = RevisionError::OverCapacity { bytes: 71, capacity_bytes: 70 };
    assert_eq!(refused(|r| r.capacity_bytes = 70), over);
    assert_eq!(refused(|r| r.root[0] ^= 1), RevisionError::WrongRoot);
    assert_eq!(refused(|r| r.added[0].tag_key = Some([1; 32])), RevisionError::WrongRoot);
    assert_eq!(refused(|r| r.added[0].id.0[31] ^= 1), RevisionError::WrongRoot);
    let many = |number: u16| {
        let mut id = [7; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        ShardId(id)
    };
    let found = MAX_CHANGES_PER_REVISION + 1;
    let ids = || (0..found as u16).map(many);
    let entries = || ids().map(|id| ShardEntry { id, bytes: 1, tag_key: None }).collect();
    assert_eq!(refused(|r| r.added = entries()), RevisionError::TooManyChanges { found });
    assert_eq!(refused(|r| r.removed = ids().collect()), RevisionError::TooManyChanges { found });
}

#[test]
fn revision_without_both_signatures_is_refused() {
    let (state, revision) = next();
    let (now, mut signature) = (NOW, revision.sign_as_owner(state.terms(), &owner()));
    let (_, signed) = countersign(&state, &revision, &signature, &farmer(), now).unwrap();
    signature.0[0] ^= 1;
    let forged = countersign(&state, &revision, &signature, &farmer(), now).unwrap_err();
    assert_eq!(forged, RevisionError::BadOwnerSignature);
    let swapped = SignedRevision { owner: signed.farmer, ..signed.clone() };
    assert_eq!(apply_signed(&state, &swapped, now), Err(RevisionError::BadOwnerSignature));
    let swapped = SignedRevision { farmer: signed.owner, ..signed.clone() };
    assert_eq!(apply_signed(&state, &swapped, now), Err(RevisionError::BadFarmerSignature));
    let stranger = DeviceKey::from_bytes(&[8; 32]);
    let by_owner = revision.sign_as_owner(state.terms(), &owner());
    let error = countersign(&state, &revision, &by_owner, &stranger, now).unwrap_err();
    assert_eq!(error, RevisionError::BadFarmerSignature);
}

#[test]
fn kept_state_that_does_not_fit_its_revision_is_not_loaded() {
    let (state, signed) = running();
    let terms = || state.signed_terms().clone();
    let shards: Vec<ShardEntry> = state.shards().cloned().collect();
    let load = |signed: Option<&SignedRevision>, shards: &[ShardEntry]| {
        State::load(terms(), signed, shards.to_vec())
    };
    assert_eq!(load(Some(&signed), &shards).as_ref(), Ok(&state));
    assert_eq!(load(None, &[]), Ok(empty()));
    assert_eq!(load(None, &shards), Err(RevisionError::WrongCount));
    assert_eq!(load(Some(&signed), &shards[1..]), Err(RevisionError::WrongCount));
    let mut bent = shards.clone();
    bent[0].tag_key = Some([1; 32]);
    assert_eq!(load(Some(&signed), &bent), Err(RevisionError::WrongRoot));
    let mut unsigned = signed.clone();
    unsigned.revision.at.0 += 1;
    assert_eq!(load(Some(&unsigned), &shards), Err(RevisionError::BadOwnerSignature));
    let other = sign(Terms { nonce: [4; 32], ..terms().terms });
    assert_eq!(State::load(other, Some(&signed), shards), Err(RevisionError::WrongContract));
}

#[test]
fn second_device_that_proposes_on_an_old_state_is_told_to_rebase() {
    let (old, _) = running();
    let (new, _) = step(&old, Change { added: vec![shard(5, 1)], ..Change::default() }, NOW).unwrap();
    let stale = propose(&old, Change { added: vec![shard(6, 1)], ..Change::default() }, NOW).unwrap();
    assert_eq!(apply(&new, &stale, NOW), Err(RevisionError::WrongNumber { expected: 2, found: 1 }));
    assert!(step(&new, Change { added: stale.added, ..Change::default() }, NOW).is_ok());
}

#[test]
fn contract_runs_then_serves_through_its_grace_then_is_over() {
    let (state, _) = running();
    let end = NOW.plus_seconds(MONTH);
    let over = end.plus_seconds(MIN_GRACE_SECONDS);
    let phases = [NOW, Timestamp(end.0 - 1), end, Timestamp(over.0 - 1), over].map(|now| state.phase(now));
    assert_eq!(phases, [Phase::Running, Phase::Running, Phase::Grace, Phase::Grace, Phase::Over]);
    assert_eq!(state.delete_after(), over);
    assert_eq!(empty().phase(NOW), Phase::Unused);
    assert_eq!(empty().phase(NOW.plus_seconds(UNUSED_SECONDS)), Phase::Over);
}

#[test]
fn in_its_grace_a_contract_gives_up_shards_and_can_be_renewed_but_takes_nothing_new() {
    let (state, _) = running();
    let late = NOW.plus_seconds(MONTH + 5);
    let add = Change { added: vec![shard(5, 1)], ..Change::default() };
    assert_eq!(step(&state, add.clone(), late).unwrap_err(), RevisionError::Ended);
    assert!(step(&state, Change { removed: vec![ShardId([1; 32])], ..Change::default() }, late).is_ok());
    let renewed = Change { end: Some(late.plus_seconds(MONTH)), ..add.clone() };
    assert_eq!(step(&state, renewed, late).unwrap().0.phase(late), Phase::Running);
    let over = late.plus_seconds(MIN_GRACE_SECONDS);
    let renew = Change { end: Some(over.plus_seconds(MONTH)), ..Change::default() };
    assert_eq!(step(&state, renew, over).unwrap_err(), RevisionError::Over);
    let early = Change { end: Some(NOW.plus_seconds(60)), ..Change::default() };
    assert_eq!(step(&state, early, NOW).unwrap().0.end(), NOW.plus_seconds(60));
}

#[test]
fn owner_whose_clock_runs_behind_still_gets_its_revision_in_order() {
    let (state, _) = running();
    let behind = Timestamp(NOW.0 - 600);
    let revision = propose(&state, Change { added: vec![shard(5, 1)], ..Change::default() }, behind).unwrap();
    assert_eq!(revision.at, NOW);
    assert!(apply(&state, &revision, NOW).is_ok());
}

#[test]
fn impossible_changes_are_not_even_proposed() {
    let (state, _) = running();
    let propose = |change| propose(&state, change, NOW).unwrap_err();
    let over = RevisionError::OverCapacity { bytes: 151, capacity_bytes: 150 };
    assert_eq!(propose(Change { added: vec![shard(5, 51)], ..Change::default() }), over);
    let twice = vec![shard(5, 1), shard(5, 2)];
    assert_eq!(propose(Change { added: twice, ..Change::default() }), RevisionError::OutOfOrder);
    let gone = Change { removed: vec![ShardId([9; 32])], ..Change::default() };
    assert_eq!(propose(gone), RevisionError::NotThere(ShardId([9; 32])));
}

#[test]
fn people_hear_of_the_end_two_weeks_or_a_quarter_before() {
    let day = |days: u64| NOW.plus_seconds(days * 86_400);
    assert!(!ends_soon(day(0), day(90), day(75)));
    assert!(ends_soon(day(0), day(90), day(76)));
    assert!(ends_soon(day(0), day(90), day(99)));
    assert!(!ends_soon(day(0), day(8), day(5)));
    assert!(ends_soon(day(0), day(8), day(6)));
}

/// Two revisions of number 1, both signed by the farmer.
fn equivocation() -> Equivocation {
    let (state, _) = running();
    let sign = |number| {
        let change = Change { added: vec![shard(number, 1)], ..Change::default() };
        let signed = step(&state, change, NOW).unwrap().1;
        (signed.revision, signed.farmer)
    };
    Equivocation { terms: state.signed_terms().clone(), one: sign(5), other: sign(6) }
}

#[test]
fn two_revisions_of_one_number_prove_fraud_and_nothing_less_does() {
    let verify = |change: &dyn Fn(&mut Equivocation)| {
        let mut proof = equivocation();
        change(&mut proof);
        proof.verify()
    };
    let (_, earlier) = running();
    assert_eq!(verify(&|_| {}), Ok(()));
    assert_eq!(verify(&|p| p.other = p.one.clone()), Err(NotFraud::Same));
    assert_eq!(verify(&|p| p.other = (earlier.revision.clone(), earlier.farmer)), Err(NotFraud::OtherNumber));
    assert_eq!(verify(&|p| p.other.0.contract.0[0] ^= 1), Err(NotFraud::OtherContract));
    assert_eq!(verify(&|p| p.other.0.bytes += 1), Err(NotFraud::NotSigned));
    assert_eq!(verify(&|p| p.one.1.0[0] ^= 1), Err(NotFraud::NotSigned));
    let unsigned = Err(NotFraud::Terms(TermsError::BadOwnerSignature));
    assert_eq!(verify(&|p| p.terms.owner.0[0] ^= 1), unsigned);
}
