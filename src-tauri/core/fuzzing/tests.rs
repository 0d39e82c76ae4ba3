//! Seeds for the corpora, made from the golden vectors and from sound values; `UPDATE_CORPUS=1` writes them where
//! cargo-fuzz takes them up (`./dev fuzz` minimises afterwards).

use std::{fs, path::Path};

use serde_json::Value;

use super::*;
use crate::{
    Amount, DeviceId, FileId, SegmentId, ShardId, Signature, Timestamp,
    audit::{Answer, KeyProof, Receipt},
    content::{Coder, Coding},
    contract::{Change, SignedTerms, State, countersign, propose},
    manifest::{ContentRecord, Item, PlacementRecord, SecretKey, Shard},
    record::{DeviceCertificate, FarmerRecord},
};

const NOW: Timestamp = Timestamp(1_800_000_000);

#[test]
fn every_target_survives_its_seeds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, seed) in seeds() {
        let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
        target(&seed);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            let folder = corpus.join(name);
            fs::create_dir_all(&folder).expect("a folder");
            let file = format!("seed-{}", &blake3::hash(&seed).to_hex()[..12]);
            fs::write(folder.join(file), seed).expect("written");
        }
    }
}

/// All bytes in hex of a vector file.
fn bytes_of(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => found.extend(data_encoding::HEXLOWER.decode(text.as_bytes())),
        Value::Array(values) => values.iter().for_each(|value| bytes_of(value, found)),
        Value::Object(values) => values.values().for_each(|value| bytes_of(value, found)),
        _ => {}
    }
}

fn vectors(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/vectors/{name}.json"));
    let text = fs::read_to_string(path).expect("the vectors");
    let mut found = Vec::new();
    bytes_of(&serde_json::from_str(&text).expect("JSON"), &mut found);
    found
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    let targets = [
        ("record", &["records"][..]),
        ("contract", &["contracts"]),
        ("manifest", &["manifests"]),
        ("content", &["manifests"]),
        ("audit", &["audit_keys", "receipts", "challenges"]),
    ];
    for (file, targets) in targets {
        for bytes in vectors(file).into_iter().filter(|bytes| bytes.len() > 8 && bytes.len() < 8192) {
            seeds.extend(targets.iter().map(|target| (*target, bytes.clone())));
        }
    }
    seeds
        .extend(["here", "test-net-1", "", &"ab".repeat(32)].map(|text| ("names", text.as_bytes().to_vec())));
    seeds.push(("names", "abandon ability able about above absent absorb abstract".as_bytes().to_vec()));
    for len in [0u8, 1, 40, 200] {
        let noise: Vec<u8> = (0..len).map(|at| at.wrapping_mul(37)).collect();
        seeds.extend(
            ["items", "shards", "coding", "layouts", "audit_proofs"].map(|target| (target, noise.clone())),
        );
    }
    seeds.push(("audit_proofs", vec![2]));
    seeds.push(("audit_proofs", vec![3]));
    seeds.push(("audit_proofs", [&[0], audit::world().proof.0.as_slice()].concat()));
    seeds.push(("audit_keys", vec![]));
    seeds.extend(offers());
    seeds.extend(files());
    seeds.extend(agreements());
    seeds.extend(audits());
    seeds
}

fn offers() -> Vec<(&'static str, Vec<u8>)> {
    let record = FarmerRecord {
        network: network(),
        device: farmer().id(),
        protocol: 1,
        accepting: true,
        free_bytes: 1 << 40,
        storage_price: Amount(5),
        egress_price: Amount(0),
        operator: Some("us".into()),
        country: Some(*b"CH"),
        leaves: None,
        at: NOW,
        expires: NOW.plus_seconds(600),
    };
    let certificate = DeviceCertificate::issue(&owner(), &network(), farmer().id(), NOW, 86_400);
    vec![("records", codec::encode(1, &record.sign(&farmer()))), ("records", codec::encode(1, &certificate))]
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let key = SecretKey::random(&mut rng());
    let segment = SegmentId([8; 32]);
    let item = Item { id: [1; 16], segment, offset: 0, bytes: 100, key: key.clone() };
    let content = ContentRecord {
        file: FileId([1; 32]),
        name: "letters/one.txt".into(),
        bytes: 100,
        hash: [2; 32],
        stored: NOW,
        keep_until: NOW.plus_seconds(86_400),
        renew: true,
        items: vec![item],
    };
    let coded = Coder::new(Coding::new(2, 3).expect("in bounds")).encode(vec![7; 116]).expect("bytes");
    let shard = |column| Shard {
        column,
        id: ShardId([column; 32]),
        farmer: DeviceId([9; 32]),
        contract: crate::ContractId([7; 32]),
    };
    let placement = PlacementRecord {
        segment,
        k: 2,
        n: 3,
        bytes: 116,
        outer_key: key,
        roots: coded.roots().to_vec(),
        signature: Signature([0; 64]),
        shards: (0..3).map(shard).collect(),
    };
    vec![("manifests", codec::encode(1, &content)), ("manifests", codec::encode(1, &placement))]
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short").to_le_bytes(), bytes].concat()
}

fn agreements() -> Vec<(&'static str, Vec<u8>)> {
    let signed: SignedTerms = audit::world().terms.clone();
    let mut state = State::new(signed.clone()).expect("both signed");
    let mut lived = framed(&codec::encode(1, &signed.terms));
    let entry = |number: u8| crate::contract::ShardEntry {
        id: ShardId([number; 32]),
        bytes: 1_000,
        tag_key: (number == 2).then_some([4; 32]),
    };
    let changes = [
        (vec![entry(1), entry(2)], vec![]),
        (vec![entry(3)], vec![entry(1).id]),
        (vec![], vec![entry(2).id]),
    ];
    for (at, (added, removed)) in (0u64..).zip(changes) {
        let (capacity_bytes, end) = (Some(1 << 30), Some(NOW.plus_seconds(86_400 * (90 + at))));
        let change = Change { capacity_bytes, end, added, removed };
        let revision = propose(&state, change, NOW).expect("a sound change");
        let by_owner = revision.sign_as_owner(state.terms(), &owner());
        lived.extend(framed(&codec::encode(1, &revision)));
        state = countersign(&state, &revision, &by_owner, &farmer(), NOW).expect("sound").0;
    }
    vec![("contracts", codec::encode(1, &signed)), ("contracts", lived)]
}

fn audits() -> Vec<(&'static str, Vec<u8>)> {
    let world = audit::world();
    let proofs = vec![KeyProof { tag_key: world.verifier.id(), proof: world.proof }];
    let answer = Answer::sign(&world.transcript, proofs, &farmer());
    let entries = vec![world.entry.clone()];
    let receipt = Receipt::new(world.transcript.clone(), answer, &entries);
    vec![
        ("receipts", receipt.encode()),
        ("challenges", codec::encode(1, &(world.transcript.clone(), entries))),
        ("audit_keys", world.prover.encode()),
    ]
}
