//! Answering audits: what was lost, a nonce, and proofs from the challenged blocks alone. A loss that shows only now is
//! admitted, signed like a proof: silence would be no cheaper, and nobody could repair it.
//!
//! Invariants: an answer is signed for the newest revision and for no epoch that has not begun; a question costs the disk
//! nothing but the blocks it names, and the database no write; the same question gets the same answer; nothing is signed that
//! names a ledger, since this farmer asks none for its hash. Deliberately absent: ledgers as beacons.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{
        self, Beacon, Challenge, ChallengeError, Commitment, Committer, Epoch, KeyProof, LossReport, Part,
        ProveError, Prover, ProverKey, Question, TagKeyId, Transcript, farmer_nonce,
    },
    contract::{CLOCK_TOLERANCE_SECONDS, RevisionError},
    keys::DeviceKey,
};
use hayloft_net::{
    limits::{CONTRACTS_PER_PAGE, SHARDS_PER_PAGE},
    messages::{Answer, Refusal, RefusalCode},
};
use hayloft_store::{
    blocks::{Audited, BlockReader},
    farmer::Contract,
};

use super::{
    Shared,
    audit_keys::unknown_key,
    labours::{Wanted, Worker},
    refuse, scrub,
};

/// While shards are sent or received, a proof rests as long as it works, at most so long at a time.
const REST: Duration = Duration::from_millis(50);

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
enum NoProof {
    #[error(transparent)]
    Challenge(ChallengeError),
    #[error("a key is missing")]
    NoKey,
    #[error("the question is for blocks of another size")]
    OtherSectors,
    /// Known before, or found now.
    #[error("shard {shard} is lost")]
    Lost { shard: ShardId, news: bool },
    #[error(transparent)]
    Disk(io::Error),
    #[error("nobody waits any more")]
    Unwanted,
}

impl From<NoProof> for Refusal {
    fn from(cause: NoProof) -> Self {
        let code = match &cause {
            NoProof::Challenge(ChallengeError::NothingTagged) => RefusalCode::NothingToAudit,
            NoProof::Challenge(ChallengeError::NoSuchShard(_)) => RefusalCode::UnknownShard,
            NoProof::Challenge(ChallengeError::WrongRoot | ChallengeError::BadShardSize(_)) => {
                tracing::error!(%cause, "a contract on this disk contradicts itself");
                RefusalCode::Internal
            }
            NoProof::Challenge(_) | NoProof::OtherSectors => RefusalCode::BadRequest,
            NoProof::NoKey => return unknown_key(),
            NoProof::Lost { .. } => RefusalCode::ShardLost,
            NoProof::Disk(error) => {
                tracing::error!(%error, "a challenged block cannot be read");
                return refuse::refuse(RefusalCode::Internal, "This farmer's own disk failed.");
            }
            NoProof::Unwanted => RefusalCode::Busy,
        };
        refuse::refuse(code, format!("There is no proof: {cause}."))
    }
}

impl Shared {
    /// Contracts that name the asking device as their auditor.
    pub(super) async fn audited(
        &self,
        auditor: DeviceId,
        after: Option<ContractId>,
    ) -> Result<Answer, Refusal> {
        let page = self.parts.store.farmer().audited_by(auditor, after, CONTRACTS_PER_PAGE as u32).await;
        let (contracts, more) = page.map_err(refuse::store)?;
        Ok(Answer::Audited { contracts, more })
    }

    /// What this farmer knows it has lost under a contract.
    pub(super) async fn losses(
        &self,
        contract: ContractId,
        after: Option<ShardId>,
    ) -> Result<Answer, Refusal> {
        let page = self.parts.store.farmer().lost(contract, after, SHARDS_PER_PAGE as u32).await;
        let (shards, more) = page.map_err(refuse::store)?;
        let report = LossReport {
            network: self.parts.network.clone(),
            contract,
            farmer: self.parts.device.id(),
            after,
            shards,
            more,
            at: self.parts.clock.now(),
        };
        Ok(Answer::Lost(Box::new(report.sign(&self.parts.device))))
    }

    /// Commits to the nonce that belongs to the auditor's commitment.
    pub(super) fn commit(&self, contract: ContractId, epoch: Epoch, auditor: &Commitment) -> Answer {
        let nonce = self.nonce(contract, epoch, auditor);
        Answer::Committed { commitment: Commitment::to(&contract, epoch, Committer::Farmer, &nonce) }
    }

    fn nonce(&self, contract: ContractId, epoch: Epoch, auditor: &Commitment) -> [u8; 32] {
        farmer_nonce(&self.parts.device, &self.parts.network, &contract, epoch, auditor)
    }

    /// Proves.
    pub(super) async fn prove(
        &self,
        worker: Worker,
        contract: &Contract,
        question: Question,
    ) -> Result<Answer, Refusal> {
        self.check_epoch(contract, question.epoch)?;
        if question.commitment().is_none() || matches!(question.order, Some(Beacon::Ledger { .. })) {
            let sentence = "This farmer cannot tell whether that ledger's hash is true: commit to a nonce.";
            return Err(refuse::refuse(RefusalCode::BadRequest, sentence));
        }
        // What is told of a contract's shards takes memory: only those whose turn it is have it.
        let turn = self.proofs.admit(worker)?.turn().await?;
        let (id, revision) = (contract.id, question.revision);
        let Asked { transcript, nonce, work } = self.asked(id, question).await?;
        let proving = transcript.clone();
        let answer = match turn.run(move |wanted| work.prove(&proving, wanted)).await? {
            Ok(answer) => answer,
            Err(NoProof::Lost { shard, news }) => {
                if news {
                    self.lost_now(id, revision, shard).await?;
                }
                audit::Answer::admit(&transcript, shard, &self.parts.device)
            }
            Err(cause) => return Err(cause.into()),
        };
        Ok(Answer::Proved { nonce, answer: Box::new(answer) })
    }

    /// What a question is about, and all that its proof needs.
    async fn asked(&self, id: ContractId, question: Question) -> Result<Asked, Refusal> {
        let nonce = question.commitment().map(|commitment| self.nonce(id, question.epoch, &commitment));
        let audited = self.parts.store.farmer().audited(id).await.map_err(refuse::store)?;
        let audited = audited.ok_or_else(refuse::unknown_contract)?;
        let newest = audited.contract.revision.as_ref().map(|newest| &newest.revision);
        let Some(newest) = newest.filter(|newest| newest.number == question.revision) else {
            let expected = newest.map_or(0, |newest| newest.number);
            return Err(refuse::revision(&RevisionError::WrongNumber { expected, found: question.revision }));
        };
        let (network, farmer) = (self.parts.network.clone(), self.parts.device.id());
        let transcript = question.transcript(network, farmer, newest.root, nonce);
        let transcript =
            transcript.ok_or_else(|| refuse::refuse(RefusalCode::BadRequest, "No such beacon."))?;
        let mut keys = HashMap::new();
        for tag_key in self.parts.store.farmer().tag_keys(id, u32::MAX).await.map_err(refuse::store)? {
            keys.extend(self.prover_key(tag_key).await?.map(|key| (tag_key, key)));
        }
        let work = Work {
            audited,
            keys,
            reader: self.parts.store.farmer().blocks(),
            device: self.parts.device.clone(),
            signals: self.scrub.clone(),
        };
        Ok(Asked { transcript, nonce, work })
    }

    /// Takes note of a loss. It is none if a revision that came meanwhile has removed the shard, or the disk is not there.
    async fn lost_now(&self, contract: ContractId, revision: u64, shard: ShardId) -> Result<(), Refusal> {
        let contract = self.parts.store.farmer().contract(contract).await.map_err(refuse::store)?;
        let newest = contract.and_then(|contract| contract.revision).map(|newest| newest.revision.number);
        if let Some(expected) = newest.filter(|newest| *newest != revision) {
            return Err(refuse::revision(&RevisionError::WrongNumber { expected, found: revision }));
        }
        if !self.parts.store.farmer().is_connected().await.map_err(refuse::store)? {
            let sentence = "The disk that holds the pieces is not connected.";
            return Err(refuse::refuse(RefusalCode::Internal, sentence));
        }
        self.scrub.suspect(shard);
        Ok(())
    }

    /// Nobody may collect answers for times to come.
    fn check_epoch(&self, contract: &Contract, epoch: Epoch) -> Result<(), Refusal> {
        let now = self.parts.clock.now().plus_seconds(CLOCK_TOLERANCE_SECONDS);
        match Epoch::at(&contract.terms.terms, now) {
            Some(current) if epoch <= current => Ok(()),
            _ => Err(refuse::refuse(RefusalCode::BadRequest, "That epoch has not begun.")),
        }
    }
}

/// A question that makes sense.
struct Asked {
    transcript: Transcript,
    nonce: Option<[u8; 32]>,
    work: Work,
}

/// All that a proof needs, apart from the async world.
struct Work {
    audited: Audited,
    keys: HashMap<TagKeyId, Arc<ProverKey>>,
    reader: BlockReader,
    device: Arc<DeviceKey>,
    signals: Arc<scrub::Signals>,
}

impl Work {
    fn prove(mut self, transcript: &Transcript, wanted: &Wanted) -> Result<audit::Answer, NoProof> {
        let challenge = Challenge::expand(transcript, &self.audited.entries).map_err(NoProof::Challenge)?;
        let mut proofs = Vec::with_capacity(challenge.parts().len());
        let mut began = Instant::now();
        let mut block = Vec::new();
        for part in challenge.parts() {
            let tag_key = part.tag_key();
            let key = self.keys.get(&tag_key).cloned().ok_or(NoProof::NoKey)?;
            if key.verifier().sectors() != transcript.sectors {
                return Err(NoProof::OtherSectors);
            }
            let mut prover = Prover::new(&key, part).map_err(|_| NoProof::NoKey)?;
            for asked in part.blocks() {
                if !wanted.still() {
                    return Err(NoProof::Unwanted);
                }
                let shard = asked.shard;
                if self.audited.lost.contains(&shard) {
                    return Err(NoProof::Lost { shard, news: false });
                }
                let tag = self
                    .reader
                    .block(shard, self.bytes(&shard), asked.index, asked.range.clone(), &mut block)
                    .map_err(|error| unreadable(shard, error))?;
                prover.push(&block, &tag).map_err(|_| NoProof::Lost { shard, news: true })?;
                began = self.rest(began);
            }
            let proof = prover.finish().map_err(|error| damaged(part, &error))?;
            proofs.push(KeyProof { tag_key, proof });
        }
        Ok(audit::Answer::sign(transcript, proofs, &self.device))
    }

    fn bytes(&self, shard: &ShardId) -> u64 {
        let at = self.audited.entries.binary_search_by_key(shard, |entry| entry.id);
        at.map_or(0, |at| self.audited.entries[at].bytes)
    }

    /// Gives way to transfers.
    fn rest(&self, began: Instant) -> Instant {
        let worked = began.elapsed();
        if worked < REST {
            return began;
        }
        if self.signals.is_serving() {
            std::thread::sleep(worked.min(REST));
        }
        Instant::now()
    }
}

fn unreadable(shard: ShardId, error: io::Error) -> NoProof {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => NoProof::Lost { shard, news: true },
        _ => NoProof::Disk(error),
    }
}

/// The tag of one of these blocks is none any more.
fn damaged(part: &Part, error: &ProveError) -> NoProof {
    let block = match error {
        ProveError::DamagedTag { block, .. } => part.blocks().get(*block),
        _ => None,
    };
    block.map_or(NoProof::NoKey, |block| NoProof::Lost { shard: block.shard, news: true })
}

#[cfg(all(test, target_os = "linux"))]
impl super::Farmer {
    /// Answers a question as ever, and tells what was read from files for it, as the system counts it: how many times, and how
    /// many bytes.
    pub(crate) async fn answer_with_reads(&self, question: Question) -> (audit::Answer, (u64, u64)) {
        let asked = self.shared.asked(question.contract, question).await;
        let Asked { transcript, work, .. } = asked.expect("a question that makes sense");
        let proving = move || {
            let waiting = Arc::new(());
            let before = Counted::now();
            let answer = work.prove(&transcript, &Wanted::by(&waiting)).expect("nothing is lost");
            let after = Counted::now();
            // Looking is one read.
            (answer, (after.reads - before.reads - 1, after.bytes - before.bytes - before.told))
        };
        tokio::task::spawn_blocking(proving).await.expect("no panic")
    }
}

/// What this thread has read so far.
#[cfg(all(test, target_os = "linux"))]
struct Counted {
    reads: u64,
    bytes: u64,
    /// Bytes of this very account.
    told: u64,
}

#[cfg(all(test, target_os = "linux"))]
impl Counted {
    fn now() -> Self {
        let mut account = [0; 4096];
        let told = std::fs::File::open("/proc/thread-self/io")
            .and_then(|mut file| io::Read::read(&mut file, &mut account))
            .expect("the system counts");
        let account = String::from_utf8_lossy(&account[..told]);
        let figure = |name: &str| -> u64 {
            let figure = account.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
            figure.trim().parse().expect("a number")
        };
        Self { reads: figure("syscr:"), bytes: figure("rchar:"), told: told as u64 }
    }
}
