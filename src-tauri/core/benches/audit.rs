//! How fast blocks are tagged, tags checked, proofs made and verified, with plain AES-256-GCM beside it: compare
//! within one run only. Shards have 4 MiB; proofs answer 460 blocks.

use std::{hint::black_box, sync::LazyLock};

use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce, aead::AeadInOut};
use divan::{Bencher, counter::BytesCount};
use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{
        AuditKey, BLOCKS_PER_EPOCH, Beacon, Block, Challenge, Epoch, Prepared, Proof, Prover, ProverKey,
        Scope, Sectors, Tag, TaggedShard, Tagger, Transcript, VerifierKey, check_batch, check_tags, verify,
    },
    contract::{ShardEntry, shard_root},
    keys::AuditRoot,
};
use rand::{SeedableRng, rngs::StdRng};

const SHARD: usize = 4 << 20;
const SHARDS: u8 = 16;

fn main() {
    divan::main();
}

struct Kept {
    key: AuditKey,
    prover: ProverKey,
    verifier: VerifierKey,
    shards: Vec<(ShardId, Vec<u8>, Vec<Tag>)>,
    challenge: Challenge,
}

/// 64 MiB in 16 tagged shards, and an epoch's challenge over them.
static KEPT: LazyLock<Kept> = LazyLock::new(|| {
    let key = AuditKey::derive(&AuditRoot::from_bytes(&[1; 32]), Sectors::DEFAULT);
    let tagger = Tagger::new(&key);
    let shard = |number: u8| {
        let (id, bytes) = (ShardId([number; 32]), bytes(number));
        let tags = tagger.tag_shard(id, &bytes);
        (id, bytes, tags)
    };
    let shards: Vec<_> = (0..SHARDS).map(shard).collect();
    let tag_key = Some(key.verifier_key().id());
    let entries: Vec<_> =
        shards.iter().map(|(id, ..)| ShardEntry { id: *id, bytes: SHARD as u64, tag_key }).collect();
    let beacon = Beacon::Ledger { sequence: 1, hash: [1; 32] };
    let transcript = Transcript {
        network: "bench".parse().expect("a name"),
        contract: ContractId([1; 32]),
        revision: 1,
        root: shard_root(&entries),
        farmer: DeviceId([1; 32]),
        epoch: Epoch(1),
        beacon: beacon.clone(),
        order: beacon,
        sectors: Sectors::DEFAULT,
        scope: Scope::Shards(entries.iter().map(|entry| entry.id).collect()),
        blocks: BLOCKS_PER_EPOCH,
    };
    let challenge = Challenge::expand(&transcript, &entries).expect("a good transcript");
    Kept { prover: key.prover_key(), verifier: key.verifier_key(), key, shards, challenge }
});

fn bytes(number: u8) -> Vec<u8> {
    (0..SHARD).map(|at| ((at * 31 + usize::from(number)) % 251) as u8).collect()
}

fn block_of(block: &Block) -> (&'static [u8], &'static Tag) {
    let (_, bytes, tags) = KEPT.shards.iter().find(|(id, ..)| *id == block.shard).expect("kept");
    (&bytes[block.range.start as usize..block.range.end as usize], &tags[block.index as usize])
}

fn prove() -> Proof {
    let part = &KEPT.challenge.parts()[0];
    let mut prover = Prover::new(&KEPT.prover, part).expect("its key");
    for block in part.blocks() {
        let (bytes, tag) = block_of(block);
        prover.push(bytes, tag).expect("as asked");
    }
    prover.finish().expect("complete")
}

fn tagged(count: usize) -> Vec<TaggedShard<'static>> {
    KEPT.shards.iter().take(count).map(|(id, bytes, tags)| TaggedShard { id: *id, bytes, tags }).collect()
}

#[divan::bench]
fn plain_aes_256_gcm_4_mib(bencher: Bencher) {
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from([7; 32]));
    bencher.counter(BytesCount::new(SHARD)).with_inputs(|| bytes(0)).bench_refs(|bytes| {
        for (index, chunk) in bytes.chunks_mut(64 << 10).enumerate() {
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&(index as u64).to_be_bytes());
            let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), &[], chunk.into());
            black_box(tag.expect("short"));
        }
    });
}

#[divan::bench]
fn tag_4_mib(bencher: Bencher) {
    let (tagger, bytes) = (Tagger::new(&KEPT.key), bytes(0));
    bencher.counter(BytesCount::new(SHARD)).bench(|| tagger.tag_shard(ShardId([0; 32]), &bytes));
}

#[divan::bench(args = [1, 16], sample_count = 20)]
fn check_tags_of_shards_of_4_mib(bencher: Bencher, count: usize) {
    let (shards, mut rng) = (tagged(count), StdRng::seed_from_u64(1));
    let counted = bencher.counter(BytesCount::new(count * SHARD));
    counted.bench_local(|| check_tags(&KEPT.prover, &shards, &mut rng).expect("right"));
}

#[divan::bench]
fn prove_460_blocks(bencher: Bencher) {
    LazyLock::force(&KEPT);
    bencher.bench(prove);
}

#[divan::bench]
fn verify_460_blocks(bencher: Bencher) {
    let (part, proof) = (&KEPT.challenge.parts()[0], prove());
    bencher.bench(|| verify(&KEPT.verifier, part, &proof).expect("right"));
}

#[divan::bench]
fn check_16_prepared_proofs(bencher: Bencher) {
    let proof = prove();
    let prepared = Prepared::new(&KEPT.verifier, &KEPT.challenge.parts()[0], &proof).expect("well-formed");
    let (proofs, mut rng) = (vec![prepared; 16], StdRng::seed_from_u64(1));
    bencher.bench_local(|| check_batch(&proofs, &mut rng));
}

#[divan::bench(sample_count = 10)]
fn accept_owner_key(bencher: Bencher) {
    let (bytes, mut rng) = (KEPT.prover.encode(), StdRng::seed_from_u64(1));
    bencher.bench_local(|| ProverKey::decode(&bytes, &mut rng).expect("sound"));
}
