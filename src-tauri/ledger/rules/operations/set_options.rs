//! Set options (SetOptionsOpFrame).

use stellar_base::xdr::{SetOptionsOp, SetOptionsResult, Signer, SignerKey, Uint256};

use super::{NoRoom, Scene, TooManySubentries, add_subentry, is_plain};
use crate::rules::{
    entry::{ALL_FLAGS, Account, AccountKey, CLAWBACK_FLAG, IMMUTABLE_FLAG, REVOCABLE_FLAG, account_key},
    state::Draft,
};

/// Most signers besides the master key.
const MAX_SIGNERS: usize = 20;
/// Greatest weight and threshold.
const MAX_WEIGHT: u32 = 255;

/// Whether it changes who may sign.
pub(super) fn needs_high(op: &SetOptionsOp) -> bool {
    op.master_weight.is_some()
        || op.low_threshold.is_some()
        || op.med_threshold.is_some()
        || op.high_threshold.is_some()
        || op.signer.is_some()
}

pub(super) fn check(op: &SetOptionsOp, source: AccountKey) -> Option<SetOptionsResult> {
    let (set, clear) = (op.set_flags.unwrap_or(0), op.clear_flags.unwrap_or(0));
    if (set | clear) & !ALL_FLAGS != 0 {
        return Some(SetOptionsResult::UnknownFlag);
    }
    if set & clear != 0 {
        return Some(SetOptionsResult::BadFlags);
    }
    let weights = [op.master_weight, op.low_threshold, op.med_threshold, op.high_threshold];
    if weights.into_iter().flatten().any(|weight| weight > MAX_WEIGHT) {
        return Some(SetOptionsResult::ThresholdOutOfRange);
    }
    if op.signer.as_ref().is_some_and(|signer| !is_valid_signer(signer, source)) {
        return Some(SetOptionsResult::BadSigner);
    }
    let plain = op.home_domain.as_ref().is_none_or(|domain| is_plain(domain.0.as_slice()));
    (!plain).then_some(SetOptionsResult::InvalidHomeDomain)
}

fn is_valid_signer(signer: &Signer, source: AccountKey) -> bool {
    let valid_key = match &signer.key {
        SignerKey::Ed25519(Uint256(key)) => *key != source,
        SignerKey::Ed25519SignedPayload(signed) => !signed.payload.is_empty(),
        SignerKey::PreAuthTx(_) | SignerKey::HashX(_) => true,
    };
    valid_key && signer.weight <= MAX_WEIGHT
}

pub(super) fn apply(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    op: &SetOptionsOp,
) -> Result<SetOptionsResult, TooManySubentries> {
    if op.inflation_dest.as_ref().is_some_and(|to| draft.account(&account_key(to)).is_none()) {
        return Ok(SetOptionsResult::InvalidInflation);
    }
    let Some(mut account) = draft.account(&scene.source).cloned() else {
        return Ok(SetOptionsResult::InvalidInflation);
    };
    if let Some(destination) = &op.inflation_dest {
        account.inflation = Some(account_key(destination));
    }
    if let Err(result) = set_flags(&mut account, op) {
        return Ok(result);
    }
    set_values(&mut account, op);
    if let Some(signer) = &op.signer
        && let Err(result) = set_signer(&mut account, signer)?
    {
        return Ok(result);
    }
    draft.put_account(account);
    Ok(SetOptionsResult::Success)
}

fn set_flags(account: &mut Account, op: &SetOptionsOp) -> Result<(), SetOptionsResult> {
    let changes = op.clear_flags.unwrap_or(0) | op.set_flags.unwrap_or(0);
    if changes & ALL_FLAGS != 0 && account.flags & IMMUTABLE_FLAG != 0 {
        return Err(SetOptionsResult::CantChange);
    }
    account.flags = (account.flags & !op.clear_flags.unwrap_or(0)) | op.set_flags.unwrap_or(0);
    let both = CLAWBACK_FLAG | REVOCABLE_FLAG;
    let asked = op.set_flags.is_some() || op.clear_flags.is_some();
    if asked && account.flags & both == CLAWBACK_FLAG {
        return Err(SetOptionsResult::AuthRevocableRequired);
    }
    Ok(())
}

fn set_values(account: &mut Account, op: &SetOptionsOp) {
    if let Some(domain) = &op.home_domain {
        account.home_domain = domain.clone();
    }
    let weights = [op.master_weight, op.low_threshold, op.med_threshold, op.high_threshold];
    for (threshold, wish) in account.thresholds.iter_mut().zip(weights) {
        if let Some(wish) = wish {
            *threshold = u8::try_from(wish).unwrap_or(u8::MAX);
        }
    }
}

fn set_signer(
    account: &mut Account,
    signer: &Signer,
) -> Result<Result<(), SetOptionsResult>, TooManySubentries> {
    let found = account.signers.binary_search_by(|known| known.key.cmp(&signer.key));
    match (found, signer.weight) {
        (Ok(at), 0) => {
            account.signers.remove(at);
            account.subentries -= 1;
        }
        (Err(_), 0) => {}
        (Ok(at), weight) => account.signers[at].weight = weight,
        (Err(_), _) if account.signers.len() >= MAX_SIGNERS => {
            return Ok(Err(SetOptionsResult::TooManySigners));
        }
        (Err(at), _) => {
            match add_subentry(account) {
                Ok(()) => {}
                Err(NoRoom::TooManySubentries) => return Err(TooManySubentries),
                Err(NoRoom::LowReserve) => return Ok(Err(SetOptionsResult::LowReserve)),
            }
            account.signers.insert(at, signer.clone());
        }
    }
    Ok(Ok(()))
}
