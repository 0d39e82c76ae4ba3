//! Payment (PaymentOpFrame, which is a path payment without a path).
//!
//! Credit is answered as on a network where nobody trusts anybody: only an issuer can send its own credit to itself.

use stellar_base::xdr::{PaymentOp, PaymentResult};

use super::{Scene, assets};
use crate::rules::{entry::AccountKey, envelope::key, state::Draft};

pub(super) fn check(op: &PaymentOp) -> Option<PaymentResult> {
    (op.amount <= 0 || !assets::is_valid(&op.asset)).then_some(PaymentResult::Malformed)
}

pub(super) fn apply(draft: &mut Draft<'_>, scene: &Scene<'_>, op: &PaymentOp) -> PaymentResult {
    let destination = key(&op.destination);
    match assets::issuer(&op.asset) {
        Some(issuer) => credit(draft, scene, issuer, destination),
        None if destination == scene.source => PaymentResult::Success,
        None => lumens(draft, scene, destination, op.amount),
    }
}

fn credit(
    draft: &Draft<'_>,
    scene: &Scene<'_>,
    issuer: AccountKey,
    destination: AccountKey,
) -> PaymentResult {
    if destination != issuer {
        let exists = draft.account(&destination).is_some();
        return if exists { PaymentResult::NoTrust } else { PaymentResult::NoDestination };
    }
    if scene.source == issuer { PaymentResult::Success } else { PaymentResult::SrcNoTrust }
}

fn lumens(draft: &mut Draft<'_>, scene: &Scene<'_>, destination: AccountKey, amount: i64) -> PaymentResult {
    let Some(to) = draft.account(&destination) else { return PaymentResult::NoDestination };
    let Some(credited) = to.balance.checked_add(amount) else { return PaymentResult::LineFull };
    if draft.account(&scene.source).is_none_or(|source| source.available() < amount) {
        return PaymentResult::Underfunded;
    }
    draft.change(&destination, |to| to.balance = credited);
    draft.change(&scene.source, |source| source.balance -= amount);
    PaymentResult::Success
}
