//! What was found so far: by this owner, and by the auditors of its contracts, who are asked now; and receipts as files.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{Epoch, Receipt, TagKeyId, VerifierKey},
    auditor::{
        Judgement, Reason, Verdict,
        exported::{Exported, NotBorneOut},
    },
    contract::{Revision, ShardEntry, SignedRevision},
    manifest::ContentRecord,
};
use hayloft_net::{
    Fault, NetError,
    messages::{Answer, Envelope, Request},
};
use hayloft_store::{
    own_audits::{About, OwnAudit},
    owner::OwnerContract,
};

use super::{Inner, OwnerError, audits, put::placements_of};
use crate::{
    auditor::{asking, shown},
    errors::sentence,
    identity::off_the_runtime,
    model::{
        self, ApiError, AuditHistory, EpochVerdict, ErrorCode, FollowedContract, ReceiptWish, VerdictWord,
    },
};

/// Own audits shown.
const OWN: u32 = 500;
/// Auditors asked at once.
const AT_ONCE: usize = 16;
/// Verdicts of one contract that are checked by their receipts.
const CHECKED: usize = 4;
/// So far back they are: of older ones the auditor may have the receipt, and the revision no longer.
const CHECKED_BACK: usize = 64;

/// All that was found, or what concerns the farmers of one file, or of those in a folder.
pub(super) async fn history(owner: &Arc<Inner>, name: Option<&str>) -> Result<AuditHistory, OwnerError> {
    let folder = name.map(|name| format!("{}/", name.trim_end_matches('/'))).unwrap_or_default();
    let (about, contracts) = match name {
        None => (About::All, None),
        Some(name) => match owner.catalog.file(name).await {
            Ok(record) => (About::File(name), Some(contracts_of(owner, &[record]).await?)),
            Err(OwnerError::NoSuchFile(name)) => {
                let inside = inside(owner, &folder).await?;
                if inside.is_empty() {
                    return Err(OwnerError::NoSuchFile(name));
                }
                (About::Folder(&folder), Some(contracts_of(owner, &inside).await?))
            }
            Err(error) => return Err(error),
        },
    };
    let own = owner.catalog.store.own_audits(about, OWN).await?;
    let own = own.into_iter().filter(|audit| {
        audit.name.is_some() || contracts.as_ref().is_none_or(|wanted| wanted.contains(&audit.contract))
    });
    let own = own.map(own_audit).collect();
    let stored = owner.catalog.store.contracts(None).await?;
    let wanted = stored.into_iter().filter(|stored| {
        stored.revision.is_some() && contracts.as_ref().is_none_or(|wanted| wanted.contains(&stored.id))
    });
    let wanted: Vec<_> = wanted.collect();
    let now = owner.clock.now();
    let keeping = wanted.iter().filter(|stored| audits::keeps(stored, now));
    let farmers: BTreeSet<String> = keeping.map(|stored| stored.terms.terms.farmer.to_string()).collect();
    let asked = wanted.into_iter().filter_map(|stored| {
        let auditor = stored.terms.terms.auditor?;
        let owner = owner.clone();
        Some(async move { followed(&owner, stored, auditor).await })
    });
    let asked: Vec<_> = asked.collect();
    let followed = stream::iter(asked).buffered(AT_ONCE).collect().await;
    Ok(AuditHistory { own, farmers: farmers.into_iter().collect(), followed })
}

/// The files whose names begin so.
async fn inside(owner: &Inner, folder: &str) -> Result<Vec<ContentRecord>, OwnerError> {
    let stored = owner.catalog.store.files().await?;
    let records = stored.iter().flat_map(|file| owner.catalog.readable(file));
    Ok(records.filter(|record| record.name.starts_with(folder)).collect())
}

async fn contracts_of(owner: &Inner, records: &[ContentRecord]) -> Result<BTreeSet<ContractId>, OwnerError> {
    let mut contracts = BTreeSet::new();
    for record in records {
        let placements = placements_of(owner, record).await?;
        contracts
            .extend(placements.iter().flat_map(|placement| &placement.shards).map(|shard| shard.contract));
    }
    Ok(contracts)
}

fn own_audit(audit: OwnAudit) -> model::OwnAudit {
    model::OwnAudit {
        name: audit.name,
        at: audit.at.0,
        farmer: audit.farmer.to_string(),
        contract: audit.contract.to_string(),
        verdict: shown::verdict(audit.verdict),
        reason: audit.reason,
        receipt: audit.receipt.is_some(),
    }
}

pub(super) async fn ask(owner: &Inner, auditor: DeviceId, request: Request) -> Result<Answer, NetError> {
    let envelope = Envelope { certificate: Some(owner.certificate.clone()), request };
    owner.net.ask(auditor, &envelope).await
}

async fn followed(owner: &Inner, stored: OwnerContract, auditor: DeviceId) -> FollowedContract {
    let (contract, farmer) = (stored.id, stored.terms.terms.farmer);
    let verdicts = match ask(owner, auditor, Request::Verdicts { contract, before: None }).await {
        Ok(Answer::Verdicts { verdicts, .. }) => Some(checked(owner, &stored, &verdicts).await),
        _ => None,
    };
    let standing = match ask(owner, auditor, Request::Standing { farmer }).await {
        Ok(Answer::Standing(Some(account))) => Some(shown::standing(auditor, &account)),
        _ => None,
    };
    FollowedContract {
        contract: contract.to_string(),
        farmer: farmer.to_string(),
        auditor: auditor.to_string(),
        verdicts,
        standing,
    }
}

/// Verdicts as they are shown. The newest accusations are checked: an auditor that lies shall cost nobody a farmer.
async fn checked(owner: &Inner, stored: &OwnerContract, verdicts: &[(Judgement, bool)]) -> Vec<EpochVerdict> {
    let (mut shown, mut left) = (Vec::with_capacity(verdicts.len()), CHECKED);
    for (place, told) in verdicts.iter().enumerate() {
        let (judgement, receipt) = told;
        let mut line = shown::epoch(told);
        if accuses(judgement) && place < CHECKED_BACK && left > 0 {
            left -= 1;
            if let Err(why) = borne_out(owner, stored, judgement, *receipt).await {
                line.verdict = VerdictWord::Undecided;
                line.reason = Some(format!("The auditor says that the farmer failed. {why}"));
            }
        }
        shown.push(line);
    }
    shown
}

/// Whether a verdict says that a farmer answered wrongly, which a receipt can show; of silence there is none.
fn accuses(judgement: &Judgement) -> bool {
    judgement.verdict == Verdict::Failed && matches!(judgement.reason, Some(Reason::WrongProof(_)))
}

/// Whether an auditor's receipt of an epoch shows what the auditor says of it.
///
/// # Errors
/// [`ApiError`] says why not: it shows none, one that does not hold, or one of something else.
pub(super) async fn borne_out(
    owner: &Inner,
    stored: &OwnerContract,
    judgement: &Judgement,
    receipt: bool,
) -> Result<(), ApiError> {
    let exported = match receipt {
        true => of_auditor(owner, stored, judgement.epoch, Some(judgement)).await?,
        false => None,
    };
    let none = || ApiError::new(ErrorCode::NotFound, "It shows no receipt.");
    exported.map(drop).ok_or_else(none)
}

/// A receipt that shows everything by itself, verified before it is given out.
pub(super) async fn export(owner: &Inner, wish: &ReceiptWish) -> Result<Exported, ApiError> {
    let stored = owner.catalog.store.contracts(None).await.map_err(OwnerError::from)?;
    let of_farmer: Vec<OwnerContract> = stored
        .into_iter()
        .filter(|stored| stored.terms.terms.farmer.to_string().starts_with(&wish.farmer))
        .filter(|stored| wish.contract.as_ref().is_none_or(|wanted| stored.id.to_string() == *wanted))
        .collect();
    let none = |what: &str| ApiError::new(ErrorCode::NotFound, what);
    if of_farmer.is_empty() || wish.farmer.is_empty() {
        return Err(none("There is no contract with such a farmer."));
    }
    for stored in of_farmer {
        let exported = match wish.epoch {
            None => own(owner, stored.id).await?,
            Some(epoch) => of_auditor(owner, &stored, Epoch(epoch), None).await?,
        };
        if let Some(exported) = exported {
            return Ok(exported);
        }
    }
    Err(none("There is no receipt of that audit."))
}

async fn own(owner: &Inner, contract: ContractId) -> Result<Option<Exported>, ApiError> {
    let text = owner.catalog.store.own_receipt(contract).await.map_err(OwnerError::from)?;
    let exported = text.map(|text| serde_json::from_str(&text));
    exported.transpose().map_err(|_| ApiError::disk("The receipt that was kept cannot be read."))
}

/// The auditor's receipt of an epoch. It is believed only if it holds, and bears out what the auditor `said`, if that is known.
async fn of_auditor(
    owner: &Inner,
    stored: &OwnerContract,
    epoch: Epoch,
    said: Option<&Judgement>,
) -> Result<Option<Exported>, ApiError> {
    let Some(auditor) = stored.terms.terms.auditor else { return Ok(None) };
    let (revision, receipt) = match ask(owner, auditor, Request::Receipt { contract: stored.id, epoch }).await
    {
        Ok(Answer::Receipt { revision, receipt }) => (*revision, receipt),
        Ok(_) | Err(NetError::Refused(_)) => return Ok(None),
        Err(error) => {
            let message = format!("The auditor could not be asked: {error}.");
            return Err(ApiError::new(ErrorCode::NotEnoughFarmers, message));
        }
    };
    let lies = |why: String| {
        ApiError::new(
            ErrorCode::BadRequest,
            format!("The auditor's receipt does not hold, so it shows nothing: {why}"),
        )
    };
    let shards = shards(owner, auditor, stored, &revision).await.map_err(|error| lies(sentence(&error)))?;
    let keys = keys(owner, stored, &shards).await.map_err(|error| lies(sentence(&error)))?;
    let receipt = Receipt::decode(&receipt).map_err(|error| lies(sentence(&error)))?;
    let exported = Exported::new(&stored.terms, &revision, &shards, &keys, &receipt);
    let judging = exported.clone();
    let shown = off_the_runtime(move || Ok::<_, ApiError>(judging.judge())).await?;
    let shown = shown.map_err(|error| lies(sentence(&error)))?;
    if shown.receipt.transcript.epoch != epoch {
        return Err(lies(sentence(&NotBorneOut::OtherEpoch)));
    }
    if let Some(said) = said {
        shown.bears_out(said).map_err(|error| lies(sentence(&error)))?;
    }
    Ok(Some(exported))
}

/// The shards under a revision: one's own if it is the newest, else as the auditor tells and the revision proves.
async fn shards(
    owner: &Inner,
    auditor: DeviceId,
    stored: &OwnerContract,
    revision: &SignedRevision,
) -> Result<Vec<ShardEntry>, NetError> {
    let revision: &Revision = &revision.revision;
    if asking::fits(&stored.shards, revision) {
        return Ok(stored.shards.clone());
    }
    let mut all: Vec<ShardEntry> = Vec::new();
    loop {
        let after: Option<ShardId> = all.last().map(|shard| shard.id);
        let request = Request::RevisionShards { contract: stored.id, number: revision.number, after };
        let Answer::Shards { shards, more } = ask(owner, auditor, request).await? else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        let moved = !shards.is_empty();
        all.extend(shards);
        match (more, moved, all.len() as u64 <= revision.shards) {
            (false, _, true) if asking::fits(&all, revision) => return Ok(all),
            (true, true, true) => {}
            _ => return Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }
}

/// The verifier keys of these shards: one's own, else those that the farmer gives.
async fn keys(
    owner: &Inner,
    stored: &OwnerContract,
    shards: &[ShardEntry],
) -> Result<Vec<VerifierKey>, NetError> {
    let own = owner.tagging.verifier_key();
    let due: BTreeSet<TagKeyId> = shards.iter().filter_map(|shard| shard.tag_key).collect();
    if due.iter().all(|id| *id == own.id()) {
        return Ok(vec![own]);
    }
    audits::asking(owner, stored).keys(shards).await
}
