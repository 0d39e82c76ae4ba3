//! Audit keys, tags, proofs, challenges and receipts, against one small contract whose data is known.

use std::sync::OnceLock;

use super::{canonical, farmer, network, next, owner, rng};
use crate::{
    ShardId,
    audit::{
        Answer, AuditKey, Beacon, Challenge, Epoch, Evidence, KeyProof, Prepared, Proof, Prover, ProverKey,
        Receipt, Scope, Sectors, Tag, TagBatch, Tagger, Transcript, VerifierKey, check_batch, verify,
    },
    contract::{
        Change, ShardEntry, SignedRevision, SignedTerms, State, Terms, countersign, propose, shard_root,
    },
    keys::AuditRoot,
    samples::{self, START},
};

const SHARD_BYTES: usize = 1_200;

/// One contract with one tagged shard, and a right answer to one challenge.
pub(super) struct World {
    pub(super) prover: ProverKey,
    pub(super) verifier: VerifierKey,
    pub(super) terms: SignedTerms,
    revision: SignedRevision,
    pub(super) entry: ShardEntry,
    data: Vec<u8>,
    tags: Vec<Tag>,
    pub(super) transcript: Transcript,
    challenge: Challenge,
    pub(super) proof: Proof,
}

pub(super) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let key = AuditKey::derive(&AuditRoot::from_bytes(&[1; 32]), Sectors::MIN);
        let (prover, verifier) = (key.prover_key(), key.verifier_key());
        let data: Vec<u8> = (0..SHARD_BYTES).map(|at| (at * 31 % 251) as u8).collect();
        let id = ShardId([5; 32]);
        let tags = Tagger::new(&key).tag_shard(id, &data);
        let entry = ShardEntry { id, bytes: SHARD_BYTES as u64, tag_key: Some(verifier.id()) };
        let terms = samples::sign(samples::terms(), &farmer());
        let revision = first_revision(&terms, entry.clone());
        let transcript = transcript(&terms.terms, &revision);
        let challenge =
            Challenge::expand(&transcript, std::slice::from_ref(&entry)).expect("the list committed to");
        let proof = prove(&prover, &challenge, &data, &tags);
        World { prover, verifier, terms, revision, entry, data, tags, transcript, challenge, proof }
    })
}

fn first_revision(terms: &SignedTerms, entry: ShardEntry) -> SignedRevision {
    let state = State::new(terms.clone()).expect("both signed");
    let end = Some(START.plus_seconds(86_400 * 90));
    let change = Change { capacity_bytes: Some(1 << 30), end, added: vec![entry], ..Change::default() };
    let revision = propose(&state, change, START).expect("a sound change");
    let by_owner = revision.sign_as_owner(state.terms(), &owner());
    countersign(&state, &revision, &by_owner, &farmer(), START).expect("a sound revision").1
}

fn transcript(terms: &Terms, revision: &SignedRevision) -> Transcript {
    Transcript {
        network: network(),
        contract: terms.id(),
        revision: 0,
        root: revision.revision.root,
        farmer: farmer().id(),
        epoch: Epoch(7),
        beacon: Beacon::Ledger { sequence: 1234, hash: [5; 32] },
        order: Beacon::Ledger { sequence: 34, hash: [6; 32] },
        sectors: Sectors::MIN,
        scope: Scope::Epoch,
        blocks: 460,
    }
}

fn prove(key: &ProverKey, challenge: &Challenge, data: &[u8], tags: &[Tag]) -> Proof {
    let part = &challenge.parts()[0];
    let mut prover = Prover::new(key, part).expect("the key fits");
    for block in part.blocks() {
        let range = block.range.start as usize..block.range.end as usize;
        prover.push(&data[range], &tags[block.index as usize]).expect("a sound block");
    }
    prover.finish().expect("all blocks were there")
}

/// Keys as they come from strangers, raw and with a few bytes of a good key changed.
pub fn audit_keys(bytes: &[u8]) {
    key(bytes);
    let mut changes = bytes;
    let mut good = world().prover.encode();
    while !changes.is_empty() {
        let [low, high, value] = next(&mut changes);
        let at = usize::from(u16::from_le_bytes([low, high])) % good.len();
        good[at] = value;
    }
    key(&good);
}

fn key(bytes: &[u8]) {
    if let Ok(key) = VerifierKey::decode(bytes) {
        assert!(key.encode() == bytes);
    }
    if let Ok(key) = ProverKey::from_kept(bytes) {
        assert!(key.to_kept() == bytes);
    }
    if let Ok(key) = ProverKey::decode(bytes, &mut rng()) {
        assert!(key.encode() == bytes);
        // Powers that agree with the verifier's part are this owner's or another's, but no mixture of both.
        let good = world().prover.encode();
        assert!(bytes == good || bytes[3..195] != good[3..195] || bytes[..3] != good[..3]);
    }
}

/// Proofs and tags that are wrong are refused, alone and in a batch; only the right ones pass.
pub fn audit_proofs(mut bytes: &[u8]) {
    let world = world();
    let [kind] = next(&mut bytes);
    if kind % 2 == 0 {
        let proof = Proof(changed(world.proof.0, kind, &mut bytes));
        let part = &world.challenge.parts()[0];
        let verified = verify(&world.verifier, part, &proof);
        assert_eq!(verified.is_ok(), proof.0 == world.proof.0, "{verified:?}");
        if let Ok(prepared) = Prepared::new(&world.verifier, part, &proof) {
            let good = Prepared::new(&world.verifier, part, &world.proof).expect("the right one");
            let wrong = check_batch(&[good, prepared], &mut rng());
            assert_eq!(wrong.is_empty(), verified.is_ok());
        }
    } else {
        let tag = Tag(changed(world.tags[0].0, kind, &mut bytes));
        let block = &world.data[..Sectors::MIN.block_bytes()];
        let mut batch = TagBatch::new(&world.prover);
        let added = batch.add(&world.entry.id, 0, block, &tag, &mut rng());
        let fits = added.and_then(|()| batch.check());
        assert_eq!(fits.is_ok(), tag.0 == world.tags[0].0, "{fits:?}");
    }
}

/// Other bytes altogether, or the right ones with some changed.
fn changed<const N: usize>(good: [u8; N], kind: u8, bytes: &mut &[u8]) -> [u8; N] {
    if kind & 2 == 0 {
        return next(bytes);
    }
    let mut out = good;
    while !bytes.is_empty() {
        let [at, value] = next(bytes);
        out[usize::from(at) % N] = value;
    }
    out
}

/// Transcripts over any list of shards: a challenge asks for blocks that are there, each once.
pub fn challenges(bytes: &[u8]) {
    let Some((mut transcript, mut shards)) = canonical::<(Transcript, Vec<ShardEntry>)>(bytes) else {
        return;
    };
    let _ = Challenge::expand(&transcript, &shards);
    shards.sort_by_key(|shard| shard.id);
    shards.dedup_by_key(|shard| shard.id);
    let sum = shards.iter().try_fold(0u64, |sum, shard| sum.checked_add(shard.bytes));
    if sum.is_none_or(|sum| sum >= 1 << 50) {
        return;
    }
    transcript.root = shard_root(&shards);
    let Ok(challenge) = Challenge::expand(&transcript, &shards) else { return };
    assert!(!challenge.parts().is_empty());
    let mut keys = Vec::new();
    for part in challenge.parts() {
        keys.push(part.tag_key());
        let mut asked: Vec<_> = part.blocks().iter().map(|block| (block.shard, block.index)).collect();
        let count = asked.len();
        asked.dedup();
        assert!(count > 0 && asked.len() == count && asked.is_sorted());
        for block in part.blocks() {
            let shard = shards.iter().find(|shard| shard.id == block.shard).expect("a shard of the list");
            assert_eq!(shard.tag_key, Some(part.tag_key()));
            assert_eq!(block.range, transcript.sectors.block_range(shard.bytes, block.index));
            assert!(!block.range.is_empty());
        }
    }
    assert!(keys.is_sorted());
}

/// Receipts as they come, and as the farmer of a known contract might sign them.
pub fn receipts(bytes: &[u8]) {
    let Ok(receipt) = Receipt::decode(bytes) else { return };
    assert!(receipt.encode() == bytes);
    let world = world();
    let keys = std::slice::from_ref(&world.verifier);
    let evidence = Evidence { terms: &world.terms, revision: &world.revision, shards: None, keys };
    let _ = receipt.judge(&evidence);
    let Receipt { mut transcript, answer, shards } = receipt;
    let subject = &world.transcript;
    (transcript.network, transcript.contract) = (subject.network.clone(), subject.contract);
    (transcript.revision, transcript.root, transcript.farmer) =
        (subject.revision, subject.root, subject.farmer);
    let answer = match answer.lost {
        Some(lost) => Answer::admit(&transcript, lost, &farmer()),
        None => Answer::sign(&transcript, answer.proofs, &farmer()),
    };
    let signed = Receipt { transcript, answer, shards };
    let listed = Evidence { shards: Some(std::slice::from_ref(&world.entry)), ..evidence };
    let Ok(finding) = signed.judge(&listed) else { return };
    assert_eq!(finding.stands_for_epoch, signed.transcript.stands_for_epoch());
    if finding.outcome.is_ok() {
        let right = Challenge::expand(&signed.transcript, std::slice::from_ref(&world.entry));
        let right = right.expect("it was judged");
        let proof = prove(&world.prover, &right, &world.data, &world.tags);
        assert_eq!(signed.answer.proofs, [KeyProof { tag_key: world.verifier.id(), proof }]);
    }
}
