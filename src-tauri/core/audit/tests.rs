//! A contract with an owner, a farmer and tagged shards; each file is one theme.

mod agreement;
mod binding;
mod borrowing;
mod keys;
mod lying;
mod points;
mod proofs;
mod receipts;
mod reference;
mod sampling;
mod storj;
mod tags;
mod vectors;

use super::*;
use crate::{
    DeviceId, ShardId, Timestamp,
    content::tests::{FixedRng, plain},
    contract::{Change, ShardEntry, SignedRevision, SignedTerms, State, Terms, countersign, propose},
    keys::{AuditRoot, DeviceKey},
    samples::{self, START, farmer, owner},
};

const S: Sectors = Sectors::MIN;
const BLOCK: usize = 16 * SECTOR_BYTES;

fn rng(seed: &str) -> FixedRng {
    FixedRng::new(seed)
}

fn audit_key(number: u8) -> AuditKey {
    AuditKey::derive(&AuditRoot::from_bytes(&[number; 32]), S)
}

/// A shard as its farmer keeps it.
#[derive(Clone)]
struct Kept {
    entry: ShardEntry,
    bytes: Vec<u8>,
    tags: Vec<Tag>,
}

fn shard_id(name: &str) -> ShardId {
    ShardId(*blake3::hash(name.as_bytes()).as_bytes())
}

fn kept(name: &str, len: usize, key: &AuditKey) -> Kept {
    let (id, bytes) = (shard_id(name), plain(name, len));
    let tags = Tagger::new(key).tag_shard(id, &bytes);
    let entry = ShardEntry { id, bytes: len as u64, tag_key: Some(key.verifier_key().id()) };
    Kept { entry, bytes, tags }
}

/// One contract, as owner, farmer and auditor see it together.
#[derive(Clone)]
struct World {
    provers: Vec<ProverKey>,
    verifiers: Vec<VerifierKey>,
    terms: SignedTerms,
    revision: SignedRevision,
    shards: Vec<Kept>,
}

impl World {
    /// Shards of these lengths, under one tag key.
    fn new(lengths: &[usize]) -> Self {
        let key = audit_key(1);
        let shards = (0..).zip(lengths).map(|(i, &len)| kept(&format!("shard {i}"), len, &key)).collect();
        Self::with(shards, &[key])
    }

    fn with(mut shards: Vec<Kept>, keys: &[AuditKey]) -> Self {
        shards.sort_by_key(|shard| shard.entry.id);
        let terms = terms("here", farmer().id());
        let added = shards.iter().map(|shard| shard.entry.clone()).collect();
        let revision = revise(&State::new(terms.clone()).unwrap(), added).1;
        Self {
            provers: keys.iter().map(AuditKey::prover_key).collect(),
            verifiers: keys.iter().map(AuditKey::verifier_key).collect(),
            terms,
            revision,
            shards,
        }
    }

    fn entries(&self) -> Vec<ShardEntry> {
        self.shards.iter().map(|shard| shard.entry.clone()).collect()
    }

    fn transcript(&self) -> Transcript {
        let Terms { network, farmer, .. } = self.terms.terms.clone();
        Transcript {
            network,
            contract: self.terms.terms.id(),
            revision: self.revision.revision.number,
            root: self.revision.revision.root,
            farmer,
            epoch: Epoch(7),
            beacon: Beacon::Ledger { sequence: 1234, hash: [5; 32] },
            order: Beacon::Ledger { sequence: 34, hash: [6; 32] },
            sectors: S,
            scope: Scope::Epoch,
            blocks: BLOCKS_PER_EPOCH,
        }
    }

    fn challenge(&self, transcript: &Transcript) -> Challenge {
        Challenge::expand(transcript, &self.entries()).unwrap()
    }

    fn kept(&self, id: &ShardId) -> &Kept {
        self.shards.iter().find(|shard| shard.entry.id == *id).unwrap()
    }

    fn prove_part(&self, part: &Part) -> Proof {
        let key = self.provers.iter().find(|key| key.verifier().id() == part.tag_key()).unwrap();
        let mut prover = Prover::new(key, part).unwrap();
        for block in part.blocks() {
            let Kept { bytes, tags, .. } = self.kept(&block.shard);
            let range = block.range.start as usize..block.range.end as usize;
            prover.push(&bytes[range], &tags[block.index as usize]).unwrap();
        }
        prover.finish().unwrap()
    }

    fn prove(&self, transcript: &Transcript) -> Vec<KeyProof> {
        let prove = |part: &Part| KeyProof { tag_key: part.tag_key(), proof: self.prove_part(part) };
        self.challenge(transcript).parts().iter().map(prove).collect()
    }

    fn answer(&self, transcript: &Transcript) -> Answer {
        Answer::sign(transcript, self.prove(transcript), &farmer())
    }

    fn receipt(&self, transcript: &Transcript) -> Receipt {
        Receipt::new(transcript.clone(), self.answer(transcript), &self.entries())
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence { terms: &self.terms, revision: &self.revision, shards: None, keys: &self.verifiers }
    }

    fn judge(&self, receipt: &Receipt) -> Result<Finding, ReceiptError> {
        receipt.judge(&self.evidence())
    }
}

fn terms(network: &str, farmer_id: DeviceId) -> SignedTerms {
    let key = if farmer_id == farmer().id() { farmer() } else { other_farmer() };
    let network = network.parse().unwrap();
    samples::sign(Terms { network, farmer: farmer_id, ..samples::terms() }, &key)
}

fn other_farmer() -> DeviceKey {
    DeviceKey::from_bytes(&[9; 32])
}

fn revise(state: &State, added: Vec<ShardEntry>) -> (State, SignedRevision) {
    let end = Some(START.plus_seconds(86_400 * 90));
    let change = Change { capacity_bytes: Some(1 << 40), end, added, ..Change::default() };
    let revision = propose(state, change, START).unwrap();
    let by_owner = revision.sign_as_owner(state.terms(), &owner());
    let key = if state.terms().farmer == farmer().id() { farmer() } else { other_farmer() };
    countersign(state, &revision, &by_owner, &key, START).unwrap()
}
