//! Bump sequence (BumpSequenceOpFrame).

use stellar_base::xdr::{BumpSequenceOp, BumpSequenceResult};

use super::Scene;
use crate::rules::state::Draft;

pub(super) fn check(op: &BumpSequenceOp) -> Option<BumpSequenceResult> {
    (op.bump_to.0 < 0).then_some(BumpSequenceResult::BadSeq)
}

pub(super) fn apply(draft: &mut Draft<'_>, scene: &Scene<'_>, op: &BumpSequenceOp) -> BumpSequenceResult {
    draft.change(&scene.source, |account| {
        account.sequence = account.sequence.max(op.bump_to.0);
        account.sequence_ledger = scene.moment.ledger;
        account.sequence_time = scene.moment.close_time;
    });
    BumpSequenceResult::Success
}
