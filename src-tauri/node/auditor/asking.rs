//! Asking a farmer about one contract, as its auditor or as its owner: what it has lost, its commitment, its proof, and the
//! public data behind them. Nothing of what it answers is believed unverified.

use std::{collections::BTreeSet, time::Duration};

use hayloft_core::{
    ContractId, DeviceId, NetworkName, ShardId,
    audit::{
        self, Commitment, Committer, Epoch, Evidence, Finding, MAX_SHARDS_NAMED, Question, Receipt,
        ReceiptError, TagKeyId, VerifierKey,
    },
    contract::{Revision, ShardEntry, SignedRevision, SignedTerms, shard_root},
    record::DeviceCertificate,
};
use hayloft_net::{
    Fault, Net, NetError,
    messages::{Answer, Envelope, RefusalCode, Request},
};

use tokio::time::Instant;

use super::second::Through;

/// How long a farmer may take for all that it is asked at once, whatever it says meanwhile: an answer that comes later is none.
/// Hundreds of blocks are read from a slow disk, and the shards of a large contract told, in far less.
const PATIENCE: Duration = Duration::from_secs(300);
/// The pause before a farmer that is busy is asked again.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Whom to ask, about what, and by whose right: an auditor that the terms name needs no certificate.
#[derive(Clone)]
pub(crate) struct Asking<'a> {
    pub(crate) net: &'a Net,
    pub(crate) certificate: Option<&'a DeviceCertificate>,
    pub(crate) network: &'a NetworkName,
    pub(crate) farmer: DeviceId,
    pub(crate) contract: ContractId,
    /// Who asks in this one's place; none if it asks itself.
    pub(crate) through: Option<&'a Through>,
    /// When no answer counts any more.
    pub(crate) until: Instant,
}

/// Asks again while a farmer is busy.
pub(super) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, NetError>
where
    F: Future<Output = Result<T, NetError>>,
{
    loop {
        match ask().await {
            Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::Busy => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// When an answer to what is asked from now on comes too late.
pub(crate) fn until() -> Instant {
    Instant::now() + PATIENCE
}

/// What a farmer's answer to a question is.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Question and answer, without the shard list.
    pub(crate) receipt: Receipt,
    /// What they show.
    pub(crate) finding: Result<Finding, ReceiptError>,
}

impl Asking<'_> {
    async fn ask(&self, request: Request) -> Result<Answer, NetError> {
        let envelope = Envelope { certificate: self.certificate.cloned(), request };
        let answer = async {
            match self.through {
                Some(through) => through.ask(self.net, self.farmer, envelope.request).await,
                // One that is asked about many contracts at once takes few of them at a time: that is no silence.
                None => patiently(|| self.net.ask(self.farmer, &envelope)).await,
            }
        };
        tokio::time::timeout_at(self.until, answer).await.unwrap_or(Err(NetError::Silent))
    }

    /// The shards that the farmer says it has lost, in ascending order; one more than can be named if there are more.
    pub(crate) async fn lost(&self) -> Result<Vec<ShardId>, NetError> {
        let mut lost: Vec<ShardId> = Vec::new();
        loop {
            let after = lost.last().copied();
            let Answer::Lost(signed) = self.ask(Request::Lost { contract: self.contract, after }).await?
            else {
                return Err(wrong());
            };
            let page =
                signed.verify(self.network, &self.contract, &self.farmer, after).map_err(|_| wrong())?;
            lost.extend(&page.shards);
            if !page.more || page.shards.is_empty() || lost.len() > MAX_SHARDS_NAMED {
                return Ok(lost);
            }
        }
    }

    /// The farmer's commitment to its nonce.
    pub(crate) async fn commit(&self, epoch: Epoch, commitment: Commitment) -> Result<Commitment, NetError> {
        match self.ask(Request::Commit { contract: self.contract, epoch, commitment }).await? {
            Answer::Committed { commitment } => Ok(commitment),
            _ => Err(wrong()),
        }
    }

    /// Asks a question; the answer is not looked at yet.
    pub(crate) async fn challenge(
        &self,
        question: Question,
    ) -> Result<(Option<[u8; 32]>, audit::Answer), NetError> {
        match self.ask(Request::Challenge(Box::new(question))).await? {
            Answer::Proved { nonce, answer } => Ok((nonce, *answer)),
            _ => Err(wrong()),
        }
    }

    /// The contract as its farmer knows it, both signatures verified.
    pub(crate) async fn contract(&self) -> Result<(SignedTerms, Option<SignedRevision>), NetError> {
        let Answer::Contract { terms, revision } =
            self.ask(Request::Contract { contract: self.contract }).await?
        else {
            return Err(wrong());
        };
        let sound = terms.terms.id() == self.contract
            && terms.verify().is_ok()
            && revision.as_ref().is_none_or(|signed| {
                signed.revision.contract == self.contract && signed.verify(&terms.terms).is_ok()
            });
        if sound { Ok((*terms, revision.map(|signed| *signed))) } else { Err(wrong()) }
    }

    /// All shards under a revision that both signed, as its farmer tells and the revision proves.
    pub(crate) async fn shards(&self, revision: &Revision) -> Result<Vec<ShardEntry>, NetError> {
        let mut all: Vec<ShardEntry> = Vec::new();
        loop {
            let after = all.last().map(|shard| shard.id);
            let request = Request::Shards { contract: self.contract, after };
            let Answer::Shards { shards, more } = self.ask(request).await? else { return Err(wrong()) };
            let moved = !shards.is_empty();
            all.extend(shards);
            match (more, moved, all.len() as u64 <= revision.shards) {
                (false, _, true) if fits(&all, revision) => return Ok(all),
                (true, true, true) => {}
                _ => return Err(wrong()),
            }
        }
    }

    /// The verifier keys that these shards are tagged with: a key is proved by its name, which the revision signs.
    pub(crate) async fn keys(&self, shards: &[ShardEntry]) -> Result<Vec<VerifierKey>, NetError> {
        let due: BTreeSet<TagKeyId> = shards.iter().filter_map(|shard| shard.tag_key).collect();
        let Answer::AuditKeys(keys) = self.ask(Request::AuditKeys { contract: self.contract }).await? else {
            return Err(wrong());
        };
        let keys = keys.iter().take(audit::MAX_TAG_KEYS).flat_map(|key| VerifierKey::decode(key));
        let keys: Vec<VerifierKey> = keys.filter(|key| due.contains(&key.id())).collect();
        if due.iter().all(|id| keys.iter().any(|key| key.id() == *id)) { Ok(keys) } else { Err(wrong()) }
    }
}

fn wrong() -> NetError {
    NetError::Protocol(Fault::WrongAnswer)
}

/// Whether these are the shards that a revision commits to.
pub(crate) fn fits(shards: &[ShardEntry], revision: &Revision) -> bool {
    shards.len() as u64 == revision.shards
        && shards.is_sorted_by(|left, right| left.id < right.id)
        && shards.iter().try_fold(0_u64, |sum, shard| sum.checked_add(shard.bytes)) == Some(revision.bytes)
        && shard_root(shards) == revision.root
}

/// The shards after a revision that follows the one known, or that is the first; none if it is neither, or does not fit.
pub(crate) fn following(
    before: Option<(&Revision, &[ShardEntry])>,
    next: &Revision,
) -> Option<Vec<ShardEntry>> {
    let mut shards = match before {
        None if next.number == 0 => Vec::new(),
        Some((known, shards))
            if known.number.checked_add(1) == Some(next.number) && next.previous == known.hash() =>
        {
            let stays = |shard: &&ShardEntry| next.removed.binary_search(&shard.id).is_err();
            shards.iter().filter(stays).cloned().collect()
        }
        _ => return None,
    };
    shards.extend(next.added.iter().cloned());
    shards.sort_unstable_by_key(|shard| shard.id);
    fits(&shards, next).then_some(shards)
}

/// Everything that a question is judged by.
pub(crate) struct Known<'a> {
    pub(crate) terms: &'a SignedTerms,
    pub(crate) revision: &'a SignedRevision,
    pub(crate) shards: &'a [ShardEntry],
    pub(crate) keys: &'a [VerifierKey],
}

/// Puts question and answer together and verifies them: some tens of milliseconds of work. None if the farmer's nonce is not
/// the one that it committed to: that is no answer to this question.
pub(crate) fn judge(
    known: &Known<'_>,
    question: Question,
    committed: Option<Commitment>,
    nonce: Option<[u8; 32]>,
    answer: audit::Answer,
) -> Option<Heard> {
    let (contract, epoch) = (question.contract, question.epoch);
    let opens = match (committed, &nonce) {
        (Some(committed), Some(nonce)) => committed.opens_to(&contract, epoch, Committer::Farmer, nonce),
        (None, None) => true,
        _ => false,
    };
    let terms = &known.terms.terms;
    let root = known.revision.revision.root;
    let transcript = question.transcript(terms.network.clone(), terms.farmer, root, nonce)?;
    let receipt = Receipt { transcript, answer, shards: None };
    let evidence = Evidence {
        terms: known.terms,
        revision: known.revision,
        shards: Some(known.shards),
        keys: known.keys,
    };
    opens.then(|| Heard { finding: receipt.judge(&evidence), receipt })
}
