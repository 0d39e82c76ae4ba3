//! Golden vectors: `tests/vectors/content.json` and `manifest.json` hold what this format looked like when it was laid
//! down. Whatever changes a byte of them makes stored files unreadable. After adding a new version beside the old one,
//! `UPDATE_VECTORS=1` writes them again.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::*;
use crate::{
    ContractId, DeviceId, NetworkName, ShardId, Timestamp,
    keys::{ContentRoot, OwnerKey, RepairRoot},
    manifest::{ContentRecord, PlacementRecord, Shard, sign_roots},
};

fn hex(bytes: &[u8]) -> Value {
    HEXLOWER.encode(bytes).into()
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn unhex_array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn hash(bytes: &[u8]) -> Value {
    hex(blake3::hash(bytes).as_bytes())
}

fn path(name: &str) -> String {
    format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The file as it is on disk; with `UPDATE_VECTORS` it is written first.
fn stored(name: &str, built: &Value) -> Value {
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path(name), serde_json::to_string_pretty(built).unwrap() + "\n").unwrap();
    }
    read(name)
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn item_json(item: &Item, sealed: &[u8]) -> Value {
    let range = item.chunks_range(0..item.chunks());
    json!({ "id": hex(&item.id), "segment": hex(&item.segment.0), "offset": item.offset, "bytes": item.bytes,
        "key": hex(&item.key.0), "sealed_blake3": hash(&sealed[range.start as usize..range.end as usize]) })
}

struct Built {
    segment: SealedSegment,
    coded: Arc<CodedSegment>,
    placed: Placed,
}

fn build(seed: &str, files: &[Vec<u8>], k: u8, n: u8) -> Built {
    let mut rng = FixedRng::new(seed);
    let segment = pack(1 << 20, files, 1 << 20, &mut rng).remove(0);
    let coded = Coder::new(Coding::new(k, n).unwrap()).encode(segment.bytes.clone()).unwrap();
    let coded = Arc::new(coded);
    let placed = place(&coded, &mut rng);
    Built { segment, coded, placed }
}

/// A segment with every byte for small ones, and hashes for larger ones.
fn segment_json(built: &Built, files: &[Vec<u8>], whole: bool) -> Value {
    let Built { segment, coded, placed } = built;
    let bytes = |bytes: &[u8]| if whole { hex(bytes) } else { hash(bytes) };
    let shards = placed.shards.iter().map(|(id, shard)| json!({ "id": hex(&id.0), "sealed": bytes(shard) }));
    json!({
        "plain": files.iter().map(|file| bytes(file)).collect::<Vec<_>>(),
        "k": coded.coding().k(), "n": coded.coding().n(),
        "items": segment.items.iter().map(|(_, item)| item_json(item, &segment.bytes)).collect::<Vec<_>>(),
        "sealed": bytes(&segment.bytes),
        "roots": coded.roots().iter().map(|root| hex(root)).collect::<Vec<_>>(),
        "outer_key": hex(&placed.outer.0),
        "shards": shards.collect::<Vec<_>>(),
    })
}

fn small_files() -> Vec<Vec<u8>> {
    vec![b"Hayloft keeps what you give it.".to_vec(), Vec::new(), b"!".to_vec()]
}

#[test]
fn content_is_sealed_and_coded_as_it_always_was() {
    let (small, large) = (small_files(), vec![plain("vector", 300_000)]);
    let built = json!({
        "about": "format 1; small: bytes in hex; large: BLAKE3 of the bytes, plain = BLAKE3 XOF of 'plain vector'",
        "small": segment_json(&build("vector small", &small, 2, 3), &small, true),
        "large": segment_json(&build("vector large", &large, 3, 5), &large, false),
    });
    assert_eq!(stored("content.json", &built), built);
}

#[test]
fn stored_vectors_open_from_their_parity() {
    let small = small_files();
    let vector = read("content.json")["small"].take();
    let layout = Layout::new(unhex(&vector["sealed"]).len() as u64, 2).unwrap();
    let outer = SecretKey(unhex_array(&vector["outer_key"]));
    let mut columns: Vec<_> = [2usize, 1]
        .map(|column| {
            let id = ShardId(unhex_array(&vector["shards"][column]["id"]));
            let mut reader = ShardOpener::new(&outer, &id, layout).read(0..1);
            reader.push(&unhex(&vector["shards"][column]["sealed"])).unwrap();
            (column as u8, reader.finish().unwrap())
        })
        .to_vec();
    for (column, bytes) in &columns {
        check_root(bytes, &unhex_array(&vector["roots"][usize::from(*column)])).unwrap();
    }
    let coder = Coder::new(Coding::new(2, 3).unwrap());
    let mut sealed = coder.decode(&layout, 0..1, &mut columns).unwrap();
    assert_eq!(hex(&sealed), vector["sealed"]);
    for (file, item) in small.iter().zip(vector["items"].as_array().unwrap()) {
        let item = Item {
            id: unhex_array(&item["id"]),
            segment: crate::SegmentId(unhex_array(&item["segment"])),
            offset: item["offset"].as_u64().unwrap(),
            bytes: item["bytes"].as_u64().unwrap(),
            key: SecretKey(unhex_array(&item["key"])),
        };
        let (opener, mut out) = (ItemOpener::new(&item), Vec::new());
        let needs = opener.needs(0..item.bytes);
        opener
            .open_range(0..item.bytes, &mut sealed[needs.start as usize..needs.end as usize], &mut out)
            .unwrap();
        assert_eq!(&out, file);
    }
}

#[test]
fn manifest_records_and_signatures_are_as_they_always_were() {
    let Built { segment, coded, placed } = build("vector small", &small_files(), 2, 3);
    let (content, placement) = records(&segment, &coded, &placed);
    let (mut rng, network) = (FixedRng::new("vector records"), network());
    let (content_root, repair_root) = roots();
    let built = json!({
        "network": network.as_str(), "content_root": hex(&[1; 32]), "repair_root": hex(&[2; 32]),
        "owner_secret": hex(&[3; 32]), "owner": owner().id().to_string(),
        "segment": segment.id.to_string(), "roots_signature": placement.signature.to_string(),
        "content_record": hex(&content.seal(&content_root, &network, &mut rng)),
        "placement_record": hex(&placement.seal(&repair_root, &network, &mut rng)),
    });
    let stored = stored("manifest.json", &built);
    assert_eq!(stored, built);
    let sealed = unhex(&stored["content_record"]);
    assert_eq!(ContentRecord::open(&sealed, &content_root, &network).unwrap(), content);
    let sealed = unhex(&stored["placement_record"]);
    assert_eq!(PlacementRecord::open(&sealed, &repair_root, &network, &owner().id()).unwrap(), placement);
}

fn network() -> NetworkName {
    "testnet".parse().unwrap()
}

fn roots() -> (ContentRoot, RepairRoot) {
    (ContentRoot::from_bytes(&[1; 32]), RepairRoot::from_bytes(&[2; 32]))
}

fn owner() -> OwnerKey {
    OwnerKey::from_bytes(&[3; 32])
}

fn records(
    segment: &SealedSegment,
    coded: &CodedSegment,
    placed: &Placed,
) -> (ContentRecord, PlacementRecord) {
    let (file, item) = segment.items[0].clone();
    let content = ContentRecord {
        file,
        name: "notes/grüße.txt".into(),
        bytes: item.bytes,
        hash: *blake3::hash(&small_files()[0]).as_bytes(),
        stored: Timestamp(1_800_000_000),
        keep_until: Timestamp(1_807_776_000),
        renew: true,
        items: vec![item],
    };
    let shards = placed.shards.iter().zip(0..).map(|((id, _), column)| Shard {
        column,
        id: *id,
        farmer: DeviceId([column; 32]),
        contract: ContractId([column + 100; 32]),
    });
    let placement = PlacementRecord {
        segment: segment.id,
        k: coded.coding().k(),
        n: coded.coding().n(),
        bytes: coded.layout().bytes(),
        outer_key: placed.outer.clone(),
        roots: coded.roots().to_vec(),
        signature: sign_roots(&owner(), &network(), segment.id, coded),
        shards: shards.collect(),
    };
    (content, placement)
}
