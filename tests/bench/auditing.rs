//! What audits cost one core: tagging, checking tags, proving, verifying; and one challenge over a terabyte at one farmer. The
//! processor time of this process counts, but for the terabyte, whose reading waits for a disk.

use std::{
    fs::File,
    hint::black_box,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{
        Answer, AuditKey, BLOCKS_PER_EPOCH, Beacon, Block, Challenge, Epoch, KeyProof, Opening, Proof,
        Prover, ProverKey, Question, Scope, Sectors, Tag, TaggedShard, Tagger, Transcript, VerifierKey,
        check_tags, verify,
    },
    codec,
    contract::{ShardEntry, shard_root},
    keys::{AuditRoot, DeviceKey},
};

use crate::{
    table::{Reference, Table, Target},
    usage::cpu_seconds,
};

const SHARD: usize = 4 << 20;
const SHARDS: u8 = 16;
/// Processor seconds that each figure is measured for.
const LONG_ENOUGH: f64 = 2.0;
/// 62,500 shards of 16 MiB: 1.05 TB in one contract.
const MANY: u32 = 62_500;
const LARGE: u64 = 16 << 20;

struct Kept {
    key: AuditKey,
    prover: ProverKey,
    verifier: VerifierKey,
    shards: Vec<(ShardId, Vec<u8>, Vec<Tag>)>,
    challenge: Challenge,
}

fn noise(seed: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed).finalize_xof().fill(&mut bytes);
    bytes
}

fn transcript(entries: &[ShardEntry], scope: Scope, farmer: DeviceId) -> Result<Transcript> {
    let beacon = Beacon::Ledger { sequence: 1, hash: [1; 32] };
    Ok(Transcript {
        network: "bench".parse()?,
        contract: ContractId([1; 32]),
        revision: 1,
        root: shard_root(entries),
        farmer,
        epoch: Epoch(1),
        beacon: beacon.clone(),
        order: beacon,
        sectors: Sectors::DEFAULT,
        scope,
        blocks: BLOCKS_PER_EPOCH,
    })
}

impl Kept {
    /// 64 MiB in 16 tagged shards, and a challenge of 460 blocks of them.
    fn new() -> Result<Self> {
        let key = AuditKey::derive(&AuditRoot::from_bytes(&[1; 32]), Sectors::DEFAULT);
        let tagger = Tagger::new(&key);
        let shards = (0..SHARDS).map(|number| {
            let (id, bytes) = (ShardId([number; 32]), noise(&[number], SHARD));
            let tags = tagger.tag_shard(id, &bytes);
            (id, bytes, tags)
        });
        let shards: Vec<_> = shards.collect();
        let tag_key = Some(key.verifier_key().id());
        let entry = |id: &ShardId| ShardEntry { id: *id, bytes: SHARD as u64, tag_key };
        let entries: Vec<_> = shards.iter().map(|(id, ..)| entry(id)).collect();
        let scope = Scope::Shards(entries.iter().map(|entry| entry.id).collect());
        let challenge = Challenge::expand(&transcript(&entries, scope, DeviceId([1; 32]))?, &entries)?;
        Ok(Self { prover: key.prover_key(), verifier: key.verifier_key(), key, shards, challenge })
    }

    fn tagged(&self, count: usize) -> Vec<TaggedShard<'_>> {
        let first = self.shards.iter().take(count);
        first.map(|(id, bytes, tags)| TaggedShard { id: *id, bytes, tags }).collect()
    }

    fn block(&self, block: &Block) -> Result<(&[u8], &Tag)> {
        let (_, bytes, tags) = self.shards.iter().find(|(id, ..)| *id == block.shard).context("not kept")?;
        let range = usize::try_from(block.range.start)?..usize::try_from(block.range.end)?;
        Ok((&bytes[range], &tags[usize::try_from(block.index)?]))
    }

    fn prove(&self) -> Result<Proof> {
        let part = &self.challenge.parts()[0];
        let mut prover = Prover::new(&self.prover, part)?;
        for asked in part.blocks() {
            let (bytes, tag) = self.block(asked)?;
            prover.push(bytes, tag)?;
        }
        Ok(prover.finish()?)
    }
}

/// Adds all of them.
pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let kept = Kept::new()?;
    let (tagger, id) = (Tagger::new(&kept.key), ShardId([9; 32]));
    let mib = SHARD as f64;
    let ms = ms_of(|| {
        black_box(tagger.tag_shard(id, &kept.shards[0].1));
        Ok(())
    })?;
    let note = "one core; s = 2048".to_owned();
    table.rate("tagging", mib / 1e3 / ms, Target::AtLeast(300.0), Reference::Aes, note);
    let (one, all) = (kept.tagged(1), kept.tagged(SHARDS.into()));
    let alone = ms_of(|| Ok(check_tags(&kept.prover, &one, &mut rand::rng()).map_err(|(_, error)| error)?))?;
    table.time("tag check, 4 MiB alone", alone, mib, Target::AtMost(45.0), "one core".into());
    let batch = ms_of(|| Ok(check_tags(&kept.prover, &all, &mut rand::rng()).map_err(|(_, error)| error)?))?;
    let each = batch / f64::from(SHARDS);
    table.time("tag check, 4 MiB in a batch of 64", each, mib, Target::AtMost(15.0), "one core".into());
    let part = &kept.challenge.parts()[0];
    let asked: u64 = part.blocks().iter().map(|block| block.range.end - block.range.start).sum();
    let proof = kept.prove()?;
    let proving = ms_of(|| {
        kept.prove().map(|proof| {
            black_box(proof);
        })
    })?;
    let note = format!("{} blocks, one core, from memory", part.blocks().len());
    table.time("proving", proving, asked as f64, Target::AtMost(100.0), note);
    let verifying = ms_of(|| Ok(verify(&kept.verifier, part, &proof)?))?;
    table.time("verifying", verifying, asked as f64, Target::AtMost(45.0), "the same, one core".into());
    terabyte(&kept, table)
}

/// Processor milliseconds of one round.
fn ms_of(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let used = || cpu_seconds(std::process::id());
    work()?;
    let (begun, mut rounds) = (used()?, 0.0);
    while used()? - begun < LONG_ENOUGH {
        work()?;
        rounds += 1.0;
    }
    Ok((used()? - begun) * 1e3 / rounds)
}

/// A farmer's answer to an epoch's challenge over a terabyte. Only the blocks asked for are really there, in a file with holes;
/// they and their tags are made before anything is measured, and read back from the file.
fn terabyte(kept: &Kept, table: &mut Table) -> Result<()> {
    let tag_key = Some(kept.verifier.id());
    let entry = |number: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ShardEntry { id: ShardId(id), bytes: LARGE, tag_key }
    };
    let entries: Vec<ShardEntry> = (0..MANY).map(entry).collect();
    let device = DeviceKey::from_bytes(&[1; 32]);
    let transcript = transcript(&entries, Scope::Epoch, device.id())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("shards");
    let file = File::create(&path)?;
    let challenge = Challenge::expand(&transcript, &entries)?;
    let part = &challenge.parts()[0];
    let tagger = Tagger::new(&kept.key);
    let at = |block: &Block| -> Result<u64> {
        let number = u32::from_be_bytes(*block.shard.0.first_chunk().context("32 bytes")?);
        Ok(u64::from(number) * (LARGE + Sectors::DEFAULT.tag_bytes(LARGE)))
    };
    for block in part.blocks() {
        let seed = [&block.shard.0[..], &block.index.to_be_bytes()].concat();
        let bytes = noise(&seed, usize::try_from(block.range.end - block.range.start)?);
        let tag = tagger.tag_block(&block.shard, block.index, &bytes);
        file.write_all_at(&bytes, at(block)? + block.range.start)?;
        file.write_all_at(&tag.0, at(block)? + LARGE + block.index * Tag::BYTES as u64)?;
    }
    file.sync_all()?;
    let file = File::open(&path)?;
    let (begun, used) = (Instant::now(), cpu_seconds(std::process::id())?);
    let expanded = Challenge::expand(&transcript, &entries)?;
    let part = &expanded.parts()[0];
    let mut prover = Prover::new(&kept.prover, part)?;
    let (mut read, mut bytes, mut tag) = (0, Vec::new(), [0; Tag::BYTES]);
    for block in part.blocks() {
        bytes.resize(usize::try_from(block.range.end - block.range.start)?, 0);
        file.read_exact_at(&mut bytes, at(block)? + block.range.start)?;
        file.read_exact_at(&mut tag, at(block)? + LARGE + block.index * Tag::BYTES as u64)?;
        read += bytes.len() + tag.len();
        prover.push(&bytes, &Tag(tag))?;
    }
    let proof = prover.finish()?;
    let answer = Answer::sign(&transcript, vec![KeyProof { tag_key: part.tag_key(), proof }], &device);
    let (took, cpu): (Duration, f64) = (begun.elapsed(), cpu_seconds(std::process::id())? - used);
    ensure!(verify(&kept.verifier, part, &proof).is_ok(), "the proof over a terabyte does not hold");
    let blocks = part.blocks().len();
    let note = format!("{MANY} shards of 16 MiB, {blocks} blocks; {cpu:.2} s of processor");
    table.figure("a challenge over 1.05 TB at one farmer", took.as_secs_f64(), "s", Target::None, note);
    table.figure("read for it", read as f64 / 1e6, "MB", Target::None, "blocks and tags".into());
    let sent = answer.bytes() as f64;
    table.figure("sent for it", sent, "bytes", Target::AtMost(300.0), "whatever the size".into());
    let question = Question {
        contract: transcript.contract,
        revision: transcript.revision,
        epoch: transcript.epoch,
        beacon: Opening::Revealed { auditor: [1; 32] },
        order: Some(transcript.order),
        sectors: transcript.sectors,
        scope: Scope::Epoch,
        blocks: transcript.blocks,
    };
    let asked = codec::encode(1, &question).len() as f64;
    table.figure("asked by", asked, "bytes", Target::None, "the question".into());
    Ok(())
}
