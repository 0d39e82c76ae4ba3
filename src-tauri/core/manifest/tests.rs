//! Records that were damaged, moved, made by others or contradict themselves: each refused by its own name.

use std::collections::BTreeMap;

use super::*;
use crate::{
    NetworkName, OwnerId,
    codec::CodecError,
    content::{Coder, Coding, CodingError, Columns, tests::FixedRng},
    keys::{ContentRoot, OwnerKey, RepairRoot},
};

fn network() -> NetworkName {
    "here".parse().unwrap()
}

fn content_root() -> ContentRoot {
    ContentRoot::from_bytes(&[1; 32])
}

fn repair_root() -> RepairRoot {
    RepairRoot::from_bytes(&[1; 32])
}

fn owner() -> OwnerKey {
    OwnerKey::from_bytes(&[3; 32])
}

fn content() -> ContentRecord {
    let segment = SegmentId([4; 32]);
    let item = |bytes| Item { id: [5; 16], segment, offset: 32, bytes, key: SecretKey([6; 32]) };
    ContentRecord {
        file: FileId([7; 32]),
        name: "a name".into(),
        bytes: 300,
        hash: [8; 32],
        stored: Timestamp(1),
        keep_until: Timestamp(2),
        renew: false,
        items: vec![item(100), item(200)],
    }
}

fn placement() -> PlacementRecord {
    let coded = coder().encode(vec![9; 1000]).unwrap();
    let segment = SegmentId([4; 32]);
    let shard = |column: u8| Shard {
        column,
        id: ShardId([column; 32]),
        farmer: DeviceId([column; 32]),
        contract: ContractId([column; 32]),
    };
    PlacementRecord {
        segment,
        k: 2,
        n: 3,
        bytes: 1000,
        outer_key: SecretKey([10; 32]),
        roots: coded.roots().to_vec(),
        signature: sign_roots(&owner(), &network(), segment, &coded),
        shards: (0..3).map(shard).collect(),
    }
}

fn coder() -> Coder {
    Coder::new(Coding::new(2, 3).unwrap())
}

fn sealed_content(record: &ContentRecord) -> Vec<u8> {
    record.seal(&content_root(), &network(), &mut FixedRng::new("content"))
}

fn open_content(sealed: &[u8]) -> Result<ContentRecord, RecordError> {
    ContentRecord::open(sealed, &content_root(), &network())
}

/// Seals a placement and opens it as `owner`'s.
fn reopen(record: &PlacementRecord, owner: OwnerId) -> Result<PlacementRecord, RecordError> {
    let sealed = record.seal(&repair_root(), &network(), &mut FixedRng::new("placement"));
    PlacementRecord::open(&sealed, &repair_root(), &network(), &owner)
}

#[test]
fn records_come_back_as_they_were() {
    assert_eq!(open_content(&sealed_content(&content())), Ok(content()));
    assert_eq!(reopen(&placement(), owner().id()), Ok(placement()));
}

#[test]
fn a_record_sealed_twice_looks_different() {
    let mut rng = FixedRng::new("twice");
    let mut seal = || content().seal(&content_root(), &network(), &mut rng);
    assert_ne!(seal(), seal());
}

#[test]
fn a_bit_flipped_anywhere_in_a_record_is_noticed() {
    let sealed = sealed_content(&content());
    for at in 1..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 4;
        assert_eq!(open_content(&bytes), Err(RecordError::NotAuthentic), "byte {at}");
    }
}

#[test]
fn a_record_cut_off_is_refused() {
    let sealed = sealed_content(&content());
    for len in [0, 1, 12, 13, 28] {
        assert_eq!(open_content(&sealed[..len]), Err(RecordError::Truncated), "{len} bytes");
    }
    assert_eq!(open_content(&sealed[..sealed.len() - 1]), Err(RecordError::NotAuthentic));
}

#[test]
fn a_record_from_the_future_says_so() {
    let mut sealed = sealed_content(&content());
    sealed[0] = 2;
    assert_eq!(open_content(&sealed), Err(CodecError::FromTheFuture { found: 2, known: 1 }.into()));
}

#[test]
fn a_record_under_another_root_network_or_kind_does_not_open() {
    let sealed = sealed_content(&content());
    let other_root = ContentRoot::from_bytes(&[2; 32]);
    let elsewhere = "elsewhere".parse().unwrap();
    let refused = Err(RecordError::NotAuthentic);
    assert_eq!(ContentRecord::open(&sealed, &other_root, &network()), refused);
    assert_eq!(ContentRecord::open(&sealed, &content_root(), &elsewhere), refused);
    let as_placement = PlacementRecord::open(&sealed, &repair_root(), &network(), &owner().id());
    assert_eq!(as_placement, Err(RecordError::NotAuthentic), "the roots' bytes are equal, the kinds are not");
}

#[test]
fn roots_that_this_owner_did_not_sign_are_refused() {
    let mut wrong = vec![placement(), placement(), placement()];
    wrong[0].roots[1][0] ^= 1;
    wrong[1].segment.0[0] ^= 1;
    wrong[2].bytes += 1;
    for record in wrong {
        assert_eq!(reopen(&record, owner().id()), Err(RecordError::Signature));
    }
    let stranger = OwnerKey::from_bytes(&[33; 32]).id();
    assert_eq!(reopen(&placement(), stranger), Err(RecordError::Signature));
}

#[test]
fn placements_that_contradict_themselves_are_refused() {
    type Change = fn(&mut PlacementRecord);
    let changes: [Change; 8] = [
        |record| record.k = 0,
        |record| record.k = 4,
        |record| record.bytes = 0,
        |record| record.bytes = u64::MAX,
        |record| record.roots.truncate(2),
        |record| record.shards[1].column = 0,
        |record| record.shards[2].column = 3,
        |record| record.shards[1].id = record.shards[0].id,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut record = placement();
        change(&mut record);
        let refused = reopen(&record, owner().id());
        assert!(matches!(refused, Err(RecordError::Impossible(_))), "change {number}: {refused:?}");
    }
}

#[test]
fn contents_that_contradict_themselves_are_refused() {
    type Change = fn(&mut ContentRecord);
    let changes: [Change; 6] = [
        |record| record.name.clear(),
        |record| record.name = "x".repeat(1025),
        |record| record.bytes += 1,
        |record| record.items.clear(),
        |record| record.items[0].offset = u64::MAX,
        |record| (record.items[0].bytes, record.items[1].bytes) = (u64::MAX, 301),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut record = content();
        change(&mut record);
        let refused = open_content(&sealed_content(&record));
        assert!(matches!(refused, Err(RecordError::Impossible(_))), "change {number}: {refused:?}");
    }
}

#[test]
fn only_the_signed_segment_is_rebuilt() {
    let record = placement();
    let column = |bytes: &[u8]| record.rebuild(&coder(), bytes.to_vec()).map(|coded| coded.column(2));
    assert_eq!(column(&[9; 1000]), Ok(coder().encode(vec![9; 1000]).unwrap().column(2)));
    let mut other = vec![9; 1000];
    other[700] = 0;
    assert_eq!(column(&other), Err(RebuildError::Root { column: 1 }));
    assert_eq!(column(&[9; 999]), Err(RebuildError::OtherSegment));
    assert!(matches!(column(&[]), Err(RebuildError::Coding(_))));
}

#[test]
fn only_signed_columns_are_taken_over() {
    let record = placement();
    let coded = coder().encode(vec![9; 1000]).unwrap();
    let taken = |columns: [(u8, Vec<u8>); 2]| record.columns(BTreeMap::from(columns));
    let some = taken([(0, coded.column(0)), (2, coded.column(2))]).unwrap();
    let unit = |columns: &dyn Columns, column| columns.unit(column, 0).to_vec();
    assert_eq!((unit(&some, 2), some.has(1)), (unit(&coded, 2), false));
    assert_eq!(unit(&coded.only(&[1]), 1), unit(&coded, 1));
    let mut other = coded.column(2);
    other[0] ^= 1;
    let changed = taken([(0, coded.column(0)), (2, other)]).map(drop);
    assert_eq!(changed, Err(RebuildError::Root { column: 2 }));
    let strange = taken([(0, coded.column(0)), (200, vec![])]).map(drop);
    assert_eq!(strange, Err(RebuildError::Coding(CodingError::Column { column: 200 })));
}

#[test]
fn notes_open_for_their_owner_and_as_notes_alone() {
    let noted = vec![("a name".to_owned(), 7u64)];
    let sealed = seal_notes(&noted, &content_root(), &network(), &mut FixedRng::new("notes"));
    assert_eq!(open_notes(&sealed, &content_root(), &network()), Ok(noted));
    assert_eq!(open_content(&sealed), Err(RecordError::NotAuthentic));
    let strange = open_notes::<Vec<u8>>(&sealed, &ContentRoot::from_bytes(&[2; 32]), &network());
    assert_eq!(strange, Err(RecordError::NotAuthentic));
}

#[test]
fn secrets_are_not_shown() {
    assert_eq!(format!("{:?}", SecretKey([6; 32])), "SecretKey(..)");
}
