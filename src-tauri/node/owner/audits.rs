//! Audits that an owner makes by itself: it asks each farmer of a file to prove the file's shards, now. What they show counts
//! for this owner alone, in nobody's public scores.
//!
//! A proof is about all shards asked for at once. Where it fails, each shard is asked for by itself, so that the lost ones are
//! known by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream};
use hayloft_core::{
    ContractId, DeviceId, ShardId, Timestamp,
    audit::{
        BLOCKS_PER_EPOCH, Commitment, Committer, Epoch, MAX_SHARDS_NAMED, Opening, Question, ReceiptError,
        Scope, VerifierKey,
    },
    auditor::exported::Exported,
    manifest::{ContentRecord, Shard},
    settlement::Verdict,
};
use hayloft_net::{NetError, messages::RefusalCode};
use hayloft_store::{holdings::LostShard, own_audits::OwnAudit, owner::OwnerContract};
use rand::{Rng, seq::SliceRandom};

use super::{Inner, OwnerError, contracts::REBASES, losses, put::placements_of};
use crate::{
    auditor::{
        asking::{self, Asking, Heard, Known},
        shown,
    },
    errors::sentence,
    identity::off_the_runtime,
    model::{AuditReport, AuditVerdict},
};

/// Farmers asked at once.
const AT_ONCE: usize = 8;
/// Shards asked for one by one after a proof of many has failed.
const ONE_BY_ONE: usize = 64;

/// What one farmer was found to have.
struct Found {
    contract: ContractId,
    farmer: DeviceId,
    verdict: Verdict,
    reason: Option<String>,
    proof_bytes: u64,
    receipt: Option<Exported>,
}

/// What one question came to.
struct Asked {
    verdict: Verdict,
    reason: Option<String>,
    proof_bytes: u64,
    receipt: Option<Exported>,
}

impl Asked {
    fn unproved(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: Some(reason.into()), proof_bytes: 0, receipt: None }
    }
}

/// The shards that are asked for, by who keeps them.
type Kept = BTreeMap<(DeviceId, ContractId), BTreeSet<ShardId>>;

/// Audits the shards of a file, or all, at their farmers, and writes down what was found.
pub(super) async fn audit(owner: &Arc<Inner>, name: Option<&str>) -> Result<AuditReport, OwnerError> {
    let (name, kept) = match name {
        Some(name) => {
            let record = owner.catalog.file(name).await?;
            let kept = of_file(owner, &record).await?;
            (Some(record.name), kept)
        }
        None => (None, all(owner).await?),
    };
    let asked = kept.into_iter().flat_map(|((farmer, contract), shards)| {
        questions(&shards).into_iter().map(move |shards| (farmer, contract, shards))
    });
    let asked = asked.map(|(farmer, contract, shards)| {
        let owner = owner.clone();
        async move { audit_one(&owner, farmer, contract, &shards).await }
    });
    let found: Vec<Result<Found, OwnerError>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let found = found.into_iter().collect::<Result<Vec<Found>, _>>()?;
    crash_point!(OwnAuditAnswered);
    let now = owner.clock.now();
    let rows = found.iter().map(|found| OwnAudit {
        name: name.clone(),
        contract: found.contract,
        farmer: found.farmer,
        verdict: found.verdict,
        reason: found.reason.clone(),
        proof_bytes: found.proof_bytes,
        at: now,
        receipt: found.receipt.as_ref().and_then(|receipt| serde_json::to_string(receipt).ok()),
    });
    owner.catalog.store.note_audits(&rows.collect::<Vec<_>>()).await?;
    crash_point!(OwnAuditNoted);
    let verdicts = found.into_iter().map(|found| AuditVerdict {
        name: name.clone(),
        farmer: found.farmer.to_string(),
        verdict: shown::verdict(found.verdict),
        reason: found.reason,
        proof_bytes: found.proof_bytes,
    });
    Ok(AuditReport { verdicts: verdicts.collect() })
}

async fn of_file(owner: &Inner, record: &ContentRecord) -> Result<Kept, OwnerError> {
    let mut kept = Kept::new();
    for placement in placements_of(owner, record).await? {
        for shard in &placement.shards {
            kept.entry((shard.farmer, shard.contract)).or_default().insert(shard.id);
        }
    }
    Ok(kept)
}

/// Whether the farmer has something to keep under a contract at `now`.
pub(super) fn keeps(stored: &OwnerContract, now: Timestamp) -> bool {
    !stored.shards.is_empty() && stored.revision.as_ref().is_some_and(|newest| now < newest.revision.end)
}

/// All that farmers keep under contracts that are not over.
async fn all(owner: &Inner) -> Result<Kept, OwnerError> {
    let now = owner.clock.now();
    let stored = owner.catalog.store.contracts(None).await?;
    let live = stored.into_iter().filter(|stored| keeps(stored, now));
    Ok(live
        .map(|stored| {
            let shards = stored.shards.iter().map(|shard| shard.id).collect();
            ((stored.terms.terms.farmer, stored.id), shards)
        })
        .collect())
}

/// As many at a time as one question may name.
fn questions(shards: &BTreeSet<ShardId>) -> Vec<BTreeSet<ShardId>> {
    let shards: Vec<ShardId> = shards.iter().copied().collect();
    shards.chunks(MAX_SHARDS_NAMED).map(|some| some.iter().copied().collect()).collect()
}

async fn audit_one(
    owner: &Inner,
    farmer: DeviceId,
    contract: ContractId,
    shards: &BTreeSet<ShardId>,
) -> Result<Found, OwnerError> {
    let mut asked = ask_of_newest(owner, contract, shards).await?;
    // Blocks of many shards are drawn together: that some of them are there says nothing of each.
    if asked.verdict == Verdict::Passed && shards.len() == 1 {
        losses::found_again(owner, &shards.iter().copied().collect::<Vec<_>>()).await;
    }
    if asked.verdict == Verdict::Failed {
        let some: Vec<ShardId> = shards.iter().take(ONE_BY_ONE).copied().collect();
        let lost = one_by_one(owner, farmer, contract, &some).await?.lost;
        if asked.receipt.is_some() && shards.len() > 1 {
            let reason = asked.reason.unwrap_or_default();
            asked.reason =
                Some(format!("{reason} Of {} pieces asked for one by one, {lost} are lost.", some.len()));
        }
    }
    let Asked { verdict, reason, proof_bytes, receipt } = asked;
    Ok(Found { contract, farmer, verdict, reason, proof_bytes, receipt })
}

/// What asking one by one came to.
struct Each {
    lost: usize,
    /// Whether each was proved or shown to be lost.
    clear: bool,
}

/// Asks for each of these shards by itself; those that are lost are written down.
async fn one_by_one(
    owner: &Inner,
    farmer: DeviceId,
    contract: ContractId,
    shards: &[ShardId],
) -> Result<Each, OwnerError> {
    let (mut lost, mut whole, mut clear) = (Vec::new(), Vec::new(), true);
    for shard in shards {
        let alone = ask_of_newest(owner, contract, &BTreeSet::from([*shard])).await?;
        match alone.verdict {
            Verdict::Failed => lost.push(LostShard {
                shard: *shard,
                farmer,
                contract,
                // Proved wrong, admitted or denied: that its farmer's list of losses leaves it out does not undo it.
                shown: true,
                reason: alone.reason.unwrap_or_default(),
                at: owner.clock.now(),
            }),
            Verdict::Passed => whole.push(*shard),
            Verdict::Undecided => clear = false,
            // Whoever does not answer one question answers no other now.
            Verdict::Missed => {
                clear = false;
                break;
            }
        }
    }
    losses::note(owner, &lost).await;
    losses::found_again(owner, &whole).await;
    Ok(Each { lost: lost.len(), clear })
}

/// Looks for lost shards at a farmer that an auditor found to have failed: of very many shards at some of them, drawn anew each
/// time. Whether each that was asked for was answered.
pub(super) async fn each_is_asked(
    owner: &Inner,
    contract: ContractId,
    shards: &[Shard],
) -> Result<bool, OwnerError> {
    let Some(farmer) = shards.first().map(|shard| shard.farmer) else { return Ok(true) };
    let mut ids: Vec<ShardId> = shards.iter().map(|shard| shard.id).collect();
    ids.shuffle(&mut rand::rng());
    ids.truncate(ONE_BY_ONE);
    Ok(one_by_one(owner, farmer, contract, &ids).await?.clear)
}

/// Asks under the newest revision that both sides know.
async fn ask_of_newest(
    owner: &Inner,
    contract: ContractId,
    shards: &BTreeSet<ShardId>,
) -> Result<Asked, OwnerError> {
    for _ in 0..=REBASES {
        let Some(stored) = owner.catalog.store.contract(contract).await? else { break };
        let number = |stored: &OwnerContract| stored.revision.as_ref().map(|signed| signed.revision.number);
        let asked_about = number(&stored);
        let error = match ask(owner, stored, shards).await {
            Ok(asked) => return Ok(asked),
            Err(error) => error,
        };
        if !matches!(&error, NetError::Refused(refusal) if refusal.code == RefusalCode::StaleRevision) {
            return Ok(unanswered(&error));
        }
        if let Err(error) = owner.contracts.sync(contract).await {
            tracing::debug!(%contract, %error, "a newer revision could not be taken over");
        }
        // One that says so of the newest revision answers nothing.
        let now = owner.catalog.store.contract(contract).await?;
        if now.is_some_and(|now| number(&now) == asked_about) {
            return Ok(unanswered(&error));
        }
    }
    let reason = "No contract with this farmer is known any more, or it changed again and again.";
    Ok(Asked::unproved(Verdict::Undecided, reason))
}

/// What it means that no proof came.
fn unanswered(error: &NetError) -> Asked {
    let verdict = match error {
        NetError::Refused(refusal) => match refusal.code {
            RefusalCode::ShardLost | RefusalCode::UnknownShard | RefusalCode::UnknownContract => {
                Verdict::Failed
            }
            RefusalCode::NothingToAudit | RefusalCode::UnknownKey => Verdict::Undecided,
            _ => Verdict::Missed,
        },
        NetError::Cancelled => Verdict::Undecided,
        NetError::Unreachable(_) | NetError::Silent | NetError::Protocol(_) => Verdict::Missed,
    };
    let reason = match error {
        NetError::Refused(refusal) => format!("The farmer says: {}", refusal.sentence),
        NetError::Unreachable(_) => "The farmer cannot be reached.".into(),
        error => sentence(error),
    };
    Asked::unproved(verdict, reason)
}

/// How this owner asks a farmer about a contract.
pub(super) fn asking<'a>(owner: &'a Inner, stored: &OwnerContract) -> Asking<'a> {
    Asking {
        net: &owner.net,
        certificate: Some(&owner.certificate),
        network: &owner.catalog.network,
        farmer: stored.terms.terms.farmer,
        contract: stored.id,
        through: None,
        until: asking::until(),
    }
}

async fn ask(owner: &Inner, stored: OwnerContract, shards: &BTreeSet<ShardId>) -> Result<Asked, NetError> {
    let Some(revision) = stored.revision.clone() else {
        return Ok(Asked::unproved(Verdict::Undecided, "Nothing is kept under the contract."));
    };
    let tagged = stored.shards.iter().filter(|shard| shard.tag_key.is_some() && shards.contains(&shard.id));
    let mut ids: Vec<ShardId> = tagged.map(|shard| shard.id).collect();
    if ids.is_empty() {
        return Ok(Asked::unproved(
            Verdict::Undecided,
            "The pieces were stored without tags: they cannot be audited.",
        ));
    }
    let asking = asking(owner, &stored);
    let lost = asking.lost().await?;
    let all = ids.len();
    ids.retain(|id| lost.binary_search(id).is_err());
    let missing = all - ids.len();
    if ids.is_empty() {
        return Ok(Asked::unproved(Verdict::Failed, "The farmer reports that it lost all of it."));
    }
    let keys = asking.keys(&stored.shards).await?;
    let Some(sectors) = keys.first().map(VerifierKey::sectors) else {
        return Ok(Asked::unproved(Verdict::Undecided, "The pieces' audit key is not known."));
    };
    let mut nonce = [0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let epoch = Epoch::at(&stored.terms.terms, owner.clock.now()).unwrap_or(Epoch(0));
    let commitment = Commitment::to(&stored.id, epoch, Committer::Auditor, &nonce);
    let committed = asking.commit(epoch, commitment).await?;
    let question = Question {
        contract: stored.id,
        revision: revision.revision.number,
        epoch,
        beacon: Opening::Revealed { auditor: nonce },
        order: None,
        sectors,
        scope: Scope::Shards(ids),
        blocks: BLOCKS_PER_EPOCH,
    };
    let (farmers, answer) = asking.challenge(question.clone()).await?;
    let proof_bytes = answer.bytes();
    let judged = off_the_runtime(move || {
        let (terms, revision) = (&stored.terms, &revision);
        let known = Known { terms, revision, shards: &stored.shards, keys: &keys };
        let heard = asking::judge(&known, question, Some(committed), farmers, answer);
        let receipt = heard.as_ref().filter(|heard| heard.finding.is_ok());
        let receipt =
            receipt.map(|heard| Exported::new(terms, revision, &stored.shards, &keys, &heard.receipt));
        Ok((heard, receipt))
    });
    let (heard, receipt) = judged.await.unwrap_or((None, None));
    Ok(Asked { proof_bytes, receipt, ..verdict_of(heard, missing, all) })
}

fn verdict_of(heard: Option<Heard>, missing: usize, all: usize) -> Asked {
    let Some(heard) = heard else {
        return Asked::unproved(Verdict::Missed, "The farmer's answer is not the one it committed to.");
    };
    match heard.finding.map(|finding| finding.outcome) {
        Ok(Ok(())) if missing == 0 => {
            Asked { verdict: Verdict::Passed, reason: None, proof_bytes: 0, receipt: None }
        }
        Ok(Ok(())) => {
            let reason =
                format!("The farmer reports that it lost {missing} of {all} pieces, and proved the rest.");
            Asked::unproved(Verdict::Failed, reason)
        }
        Ok(Err(failure)) => Asked::unproved(Verdict::Failed, shown::wrong(&failure)),
        Err(ReceiptError::BadSignature) => {
            Asked::unproved(Verdict::Missed, "The farmer did not sign its answer.")
        }
        Err(error @ ReceiptError::NotAsked(_)) => Asked::unproved(Verdict::Missed, sentence(&error)),
        Err(error) => Asked::unproved(Verdict::Undecided, sentence(&error)),
    }
}
