//! Create and claim a claimable balance (CreateClaimableBalanceOpFrame, ClaimClaimableBalanceOpFrame).
//!
//! Whoever creates a balance holds one reserve for each claimant until it is claimed.

use std::collections::BTreeSet;

use stellar_base::xdr::{
    ClaimClaimableBalanceOp, ClaimClaimableBalanceResult, ClaimableBalanceId, Claimant, ClaimantV0,
    CreateClaimableBalanceOp, CreateClaimableBalanceResult, Hash, HashIdPreimage, HashIdPreimageOperationId,
    SequenceNumber,
};

use super::{Scene, assets, predicates};
use crate::rules::{
    entry::{Balance, BalanceKey, CLAWBACK_FLAG, account_id, account_key},
    sha256,
    state::Draft,
    to_xdr,
};

pub(super) fn check(op: &CreateClaimableBalanceOp) -> Option<CreateClaimableBalanceResult> {
    let claimants: Vec<&ClaimantV0> = op.claimants.iter().map(claimant).collect();
    let distinct: BTreeSet<_> = claimants.iter().map(|claimant| account_key(&claimant.destination)).collect();
    let valid = assets::is_valid(&op.asset)
        && op.amount > 0
        && !claimants.is_empty()
        && distinct.len() == claimants.len()
        && claimants.iter().all(|claimant| predicates::is_valid(&claimant.predicate, 1));
    (!valid).then_some(CreateClaimableBalanceResult::Malformed)
}

fn claimant(claimant: &Claimant) -> &ClaimantV0 {
    let Claimant::ClaimantTypeV0(claimant) = claimant;
    claimant
}

/// Name of the balance that an operation makes: SHA-256 of its transaction's source and sequence number and its index.
fn balance_key(scene: &Scene<'_>) -> BalanceKey {
    let preimage = HashIdPreimage::OpId(HashIdPreimageOperationId {
        source_account: account_id(scene.inner.source()),
        seq_num: SequenceNumber(scene.inner.sequence()),
        op_num: scene.index,
    });
    sha256(&[&to_xdr(&preimage)])
}

/// None when the source would hold more reserves than can be counted.
pub(super) fn create(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    op: &CreateClaimableBalanceOp,
) -> Option<CreateClaimableBalanceResult> {
    let Some(mut source) = draft.account(&scene.source).cloned() else {
        return Some(CreateClaimableBalanceResult::Underfunded);
    };
    let issuer = assets::issuer(&op.asset);
    match issuer {
        None if source.available() < op.amount => return Some(CreateClaimableBalanceResult::Underfunded),
        None => source.balance -= op.amount,
        Some(issuer) if issuer != scene.source => return Some(CreateClaimableBalanceResult::NoTrust),
        Some(_) => {}
    }
    source.sponsoring = source.sponsoring.checked_add(u32::try_from(op.claimants.len()).ok()?)?;
    if source.available() < 0 {
        return Some(CreateClaimableBalanceResult::LowReserve);
    }
    let key = balance_key(scene);
    let claimants = op.claimants.iter().map(claimant).map(|claimant| {
        Claimant::ClaimantTypeV0(ClaimantV0 {
            destination: claimant.destination.clone(),
            predicate: predicates::absolute(&claimant.predicate, scene.moment.close_time),
        })
    });
    draft.put_balance(Balance {
        key,
        claimants: claimants.collect(),
        asset: op.asset.clone(),
        amount: op.amount,
        clawback: issuer.is_some() && source.flags & CLAWBACK_FLAG != 0,
        sponsor: scene.source,
        modified: scene.moment.ledger,
    });
    draft.put_account(source);
    let id = ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(key));
    Some(CreateClaimableBalanceResult::Success(id))
}

pub(super) fn claim(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    op: &ClaimClaimableBalanceOp,
) -> ClaimClaimableBalanceResult {
    let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(key)) = &op.balance_id;
    let Some(balance) = draft.balance(key).cloned() else { return ClaimClaimableBalanceResult::DoesNotExist };
    let mine =
        balance.claimants.iter().map(claimant).find(|one| account_key(&one.destination) == scene.source);
    if !mine.is_some_and(|mine| predicates::holds(&mine.predicate, scene.moment.close_time)) {
        return ClaimClaimableBalanceResult::CannotClaim;
    }
    match assets::issuer(&balance.asset) {
        Some(issuer) if issuer != scene.source => return ClaimClaimableBalanceResult::NoTrust,
        Some(_) => {}
        None => {
            let credited = draft.account(&scene.source).and_then(|to| to.balance.checked_add(balance.amount));
            let Some(credited) = credited else { return ClaimClaimableBalanceResult::LineFull };
            draft.change(&scene.source, |to| to.balance = credited);
        }
    }
    let reserves = u32::try_from(balance.claimants.len()).unwrap_or(0);
    draft
        .change(&balance.sponsor, |sponsor| sponsor.sponsoring = sponsor.sponsoring.saturating_sub(reserves));
    draft.remove_balance(key);
    ClaimClaimableBalanceResult::Success
}
