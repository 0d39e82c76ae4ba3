//! Golden vectors: `tests/vectors/audit.json` holds what this format looked like when it was laid down, with bad
//! proofs, keys and tags by name. Whatever changes a byte of it makes tags on farmers' disks worthless. After adding
//! a new version beside the old one, `UPDATE_VECTORS=1` writes it again.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{agreement::questions, reference::Reference, *};
use crate::codec;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/audit.json");

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    HEXLOWER.encode(bytes.as_ref()).into()
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn unhex_array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn world() -> World {
    World::new(&[2 * BLOCK + 1, 40])
}

fn shards(world: &World) -> Value {
    let shard = |Kept { entry, bytes, tags }: &Kept| {
        let tags: Vec<_> = tags.iter().map(|tag| hex(tag.0)).collect();
        json!({ "id": hex(entry.id.0), "bytes": hex(bytes), "tags": tags })
    };
    world.shards.iter().map(shard).collect()
}

fn challenge(part: &Part) -> Value {
    let block = |block: &Block| {
        json!({ "shard": hex(block.shard.0), "index": block.index,
            "coefficient": hex(block.coefficient.to_le_bytes()) })
    };
    let blocks: Vec<_> = part.blocks().iter().map(block).collect();
    json!({ "tag_key": hex(part.tag_key()), "r": hex(part.r.to_bytes_le()), "blocks": blocks })
}

/// Every bad point in the place of σ and of ψ, and proofs of the wrong thing.
fn bad_proofs(world: &World, part: &Part, proof: &Proof) -> Value {
    let mut bad: Vec<(String, Proof)> = Vec::new();
    let put = |at: usize, bytes: &[u8]| {
        let mut changed = *proof;
        changed.0[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    for (place, at) in [("sigma", 0), ("psi", 80)] {
        let good = proof.0[at..at + 48].try_into().unwrap();
        for (name, point, _) in points::bad_points(&good) {
            bad.push((format!("{place} {name}"), put(at, &point)));
        }
        bad.push((format!("{place} at infinity"), put(at, &points::INFINITY)));
    }
    bad.push(("sigma negated".into(), put(0, &[proof.0[0] ^ 0x20])));
    bad.push(("psi negated".into(), put(80, &[proof.0[80] ^ 0x20])));
    bad.push(("y above the field's order".into(), put(48, &[0xff; 32])));
    bad.push(("y zero".into(), put(48, &[0; 32])));
    bad.push(("zeros".into(), Proof([0; 128])));
    let older = Transcript { epoch: Epoch(6), ..world.transcript() };
    bad.push(("of the epoch before".into(), world.prove(&older)[0].proof));
    let mut damaged = world.clone();
    damaged.shards[0].bytes[3] ^= 4;
    bad.push(("of data with one bit flipped".into(), damaged.prove_part(part)));
    let entry = |(name, proof): (String, Proof)| {
        let error = verify(&world.verifiers[0], part, &proof).unwrap_err();
        json!({ "name": name, "proof": hex(proof.0), "refused": format!("{error:?}") })
    };
    bad.into_iter().map(entry).collect()
}

fn bad_keys() -> Value {
    let good = audit_key(1).prover_key().encode();
    let put = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let power = |j: usize| VerifierKey::BYTES + 48 * j;
    let infinity = bls12_381::G2Affine::identity().to_compressed();
    let mut bad = vec![
        ("empty".to_owned(), vec![]),
        ("one power short".to_owned(), good[..good.len() - 48].to_vec()),
        ("one byte long".to_owned(), [good.as_slice(), &[0]].concat()),
        ("of the next version".to_owned(), put(0, &[2])),
        ("of no sectors".to_owned(), put(1, &[0, 0])),
        ("g2^x at infinity".to_owned(), put(3, &infinity)),
        ("g2^{x alpha} at infinity".to_owned(), put(99, &infinity)),
        ("not beginning with the generator".to_owned(), put(power(0), &good[power(1)..power(2)])),
        ("with one power twice".to_owned(), put(power(8), &good[power(7)..power(8)])),
        ("with the last power negated".to_owned(), put(power(15), &[good[power(15)] ^ 0x20])),
        ("with another's powers".to_owned(), put(195, &audit_key(2).prover_key().encode()[195..])),
    ];
    for (name, point, _) in points::bad_points(good[power(3)..power(4)].try_into().unwrap()) {
        bad.push((format!("with a power {name}"), put(power(3), &point)));
    }
    let entry = |(name, key): (String, Vec<u8>)| {
        let error = ProverKey::decode(&key, &mut rng("bad keys")).unwrap_err();
        json!({ "name": name, "key": hex(key), "refused": format!("{error:?}") })
    };
    bad.into_iter().map(entry).collect()
}

/// Tags for the first block of the first shard.
fn bad_tags(world: &World) -> Value {
    let Kept { entry, bytes, tags } = &world.shards[0];
    let good = tags[0].0;
    let mut negated = good;
    negated[0] ^= 0x20;
    let of = |key: u8, id: ShardId, bytes: &[u8]| Tagger::new(&audit_key(key)).tag_shard(id, bytes)[0].0;
    let mut bad = vec![
        ("at infinity", points::INFINITY),
        ("negated", negated),
        ("of another shard", of(1, shard_id("other"), bytes)),
        ("of another key", of(2, entry.id, bytes)),
        ("of other bytes", of(1, entry.id, &plain("other", bytes.len()))),
    ];
    bad.extend(points::bad_points(&good).into_iter().map(|(name, point, _)| (name, point)));
    let refused = |(name, tag): (&str, [u8; 48])| {
        let error = check_first(world, Tag(tag)).unwrap_err();
        json!({ "name": name, "tag": hex(tag), "refused": format!("{error:?}") })
    };
    bad.into_iter().map(refused).collect()
}

fn check_first(world: &World, tag: Tag) -> Result<(), TagError> {
    let Kept { entry, bytes, .. } = &world.shards[0];
    let mut batch = TagBatch::new(&world.provers[0]);
    batch.add(&entry.id, 0, &bytes[..bytes.len().min(BLOCK)], &tag, &mut rng("bad tags"))?;
    batch.check()
}

fn build() -> Value {
    let world = world();
    let transcript = world.transcript();
    let challenged = world.challenge(&transcript);
    let part = &challenged.parts()[0];
    let proof = world.prove_part(part);
    json!({
        "audit_root": hex([1; 32]),
        "sectors": S.count(),
        "prover_key": hex(world.provers[0].encode()),
        "key_id": hex(world.verifiers[0].id()),
        "shards": shards(&world),
        "transcript": hex(codec::encode(1, &transcript)),
        "seed": hex(transcript.seed()),
        "challenge": challenge(part),
        "proof": hex(proof.0),
        "terms": hex(codec::encode(1, &world.terms)),
        "revision": hex(codec::encode(1, &world.revision)),
        "receipt": hex(world.receipt(&transcript).encode()),
        "bad_proofs": bad_proofs(&world, part, &proof),
        "bad_keys": bad_keys(),
        "bad_tags": bad_tags(&world),
    })
}

fn stored() -> Value {
    serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap()
}

#[test]
fn what_is_made_today_is_what_was_stored() {
    let built = build();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(PATH, serde_json::to_string_pretty(&built).unwrap() + "\n").unwrap();
    }
    let stored = stored();
    for (name, value) in built.as_object().unwrap() {
        assert_eq!(value, &stored[name], "{name}");
    }
    assert_eq!(stored.as_object().unwrap().len(), built.as_object().unwrap().len());
}

#[test]
fn the_stored_receipt_is_judged_from_stored_bytes_alone() {
    let stored = stored();
    let decode = |name: &str| unhex(&stored[name]);
    let terms: SignedTerms = codec::decode(1, &decode("terms"), 10_000).unwrap();
    let revision: SignedRevision = codec::decode(1, &decode("revision"), 10_000).unwrap();
    let keys = [VerifierKey::decode(&decode("prover_key")[..VerifierKey::BYTES]).unwrap()];
    let evidence = Evidence { terms: &terms, revision: &revision, shards: None, keys: &keys };
    let finding = Receipt::decode(&decode("receipt")).unwrap().judge(&evidence);
    assert_eq!(finding, Ok(Finding { outcome: Ok(()), names_ledger: true, stands_for_epoch: true }));
}

#[test]
fn the_reference_makes_the_stored_key_tags_and_proof_and_refuses_the_bad_proofs() {
    let stored = stored();
    let reference = Reference::new(&unhex_array(&stored["audit_root"]), 16);
    assert_eq!(reference.prover_key(), unhex(&stored["prover_key"]));
    assert_eq!(reference.key_id(), unhex_array(&stored["key_id"]));
    let shards = stored["shards"].as_array().unwrap();
    for shard in shards {
        let tags = reference.tags(&unhex_array(&shard["id"]), &unhex(&shard["bytes"]));
        assert_eq!(tags, shard["tags"].as_array().unwrap().iter().map(unhex_array).collect::<Vec<_>>());
    }
    let transcript: Transcript = codec::decode(1, &unhex(&stored["transcript"]), 10_000).unwrap();
    let question = questions(&transcript, &world().entries()).remove(0);
    let blocks = question.blocks.iter().map(|asked| {
        let shard = shards.iter().find(|shard| unhex_array(&shard["id"]) == asked.0).unwrap();
        let bytes = unhex(&shard["bytes"]);
        (*asked, bytes.chunks(BLOCK).nth(asked.1 as usize).unwrap().to_vec())
    });
    let blocks: Vec<_> = blocks.collect();
    let blocks: Vec<_> = blocks.iter().map(|(asked, bytes)| (*asked, bytes.as_slice())).collect();
    assert_eq!(reference.prove(&blocks, question.r), unhex(&stored["proof"]));
    let key = reference.verifier_key();
    assert!(super::reference::verify(&key, &question, &unhex(&stored["proof"])));
    for bad in stored["bad_proofs"].as_array().unwrap() {
        assert!(!super::reference::verify(&key, &question, &unhex(&bad["proof"])), "{}", bad["name"]);
    }
}

#[test]
fn stored_bad_proofs_keys_and_tags_are_refused_by_name() {
    let (stored, world) = (stored(), world());
    let list = |name: &str| stored[name].as_array().unwrap().clone();
    let challenge = world.challenge(&world.transcript());
    for bad in list("bad_proofs") {
        let refused = verify(&world.verifiers[0], &challenge.parts()[0], &Proof(unhex_array(&bad["proof"])));
        assert_eq!(format!("{:?}", refused.unwrap_err()), bad["refused"], "{}", bad["name"]);
    }
    for bad in list("bad_keys") {
        let refused = ProverKey::decode(&unhex(&bad["key"]), &mut rng("stored"));
        assert_eq!(format!("{:?}", refused.unwrap_err()), bad["refused"], "{}", bad["name"]);
    }
    for bad in list("bad_tags") {
        let refused = check_first(&world, Tag(unhex_array(&bad["tag"])));
        assert_eq!(format!("{:?}", refused.unwrap_err()), bad["refused"], "{}", bad["name"]);
    }
}
