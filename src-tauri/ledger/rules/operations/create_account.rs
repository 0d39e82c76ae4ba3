//! Create account (CreateAccountOpFrame).

use stellar_base::xdr::{CreateAccountOp, CreateAccountResult};

use super::Scene;
use crate::rules::{
    entry::{Account, AccountKey, account_key},
    state::Draft,
};

pub(super) fn check(op: &CreateAccountOp, source: AccountKey) -> Option<CreateAccountResult> {
    let malformed = op.starting_balance < 0 || account_key(&op.destination) == source;
    malformed.then_some(CreateAccountResult::Malformed)
}

pub(super) fn apply(draft: &mut Draft<'_>, scene: &Scene<'_>, op: &CreateAccountOp) -> CreateAccountResult {
    let destination = account_key(&op.destination);
    if draft.account(&destination).is_some() {
        return CreateAccountResult::AlreadyExist;
    }
    let account = Account::new(destination, op.starting_balance, scene.moment.first_sequence());
    if account.available() < 0 {
        return CreateAccountResult::LowReserve;
    }
    if draft.account(&scene.source).is_none_or(|source| source.available() < op.starting_balance) {
        return CreateAccountResult::Underfunded;
    }
    draft.change(&scene.source, |source| source.balance -= op.starting_balance);
    draft.put_account(account);
    CreateAccountResult::Success
}
