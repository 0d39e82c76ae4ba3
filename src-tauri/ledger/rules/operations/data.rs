//! Manage data (ManageDataOpFrame).

use stellar_base::xdr::{ManageDataOp, ManageDataResult};

use super::{NoRoom, Scene, TooManySubentries, add_subentry, is_plain};
use crate::rules::state::Draft;

pub(super) fn check(op: &ManageDataOp) -> Option<ManageDataResult> {
    let name = op.data_name.0.as_slice();
    (name.is_empty() || !is_plain(name)).then_some(ManageDataResult::InvalidName)
}

pub(super) fn apply(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    op: &ManageDataOp,
) -> Result<ManageDataResult, TooManySubentries> {
    let known = draft.has_data(scene.source, &op.data_name);
    let Some(mut account) = draft.account(&scene.source).cloned() else {
        return Ok(ManageDataResult::NameNotFound);
    };
    match (&op.data_value, known) {
        (None, false) => return Ok(ManageDataResult::NameNotFound),
        (None, true) => account.subentries -= 1,
        (Some(_), true) => {}
        (Some(_), false) => match add_subentry(&mut account) {
            Ok(()) => {}
            Err(NoRoom::TooManySubentries) => return Err(TooManySubentries),
            Err(NoRoom::LowReserve) => return Ok(ManageDataResult::LowReserve),
        },
    }
    draft.put_account(account);
    draft.set_data(scene.source, &op.data_name, op.data_value.as_ref());
    Ok(ManageDataResult::Success)
}
