//! Account merge (MergeOpFrame).

use stellar_base::xdr::{AccountMergeResult, MuxedAccount};

use super::Scene;
use crate::rules::{
    entry::{AccountKey, IMMUTABLE_FLAG},
    envelope::key,
    state::Draft,
};

pub(super) fn check(to: &MuxedAccount, source: AccountKey) -> Option<AccountMergeResult> {
    (key(to) == source).then_some(AccountMergeResult::Malformed)
}

pub(super) fn apply(draft: &mut Draft<'_>, scene: &Scene<'_>, to: &MuxedAccount) -> AccountMergeResult {
    let destination = key(to);
    let (Some(other), Some(source)) = (draft.account(&destination), draft.account(&scene.source)) else {
        return AccountMergeResult::NoAccount;
    };
    if source.flags & IMMUTABLE_FLAG != 0 {
        return AccountMergeResult::ImmutableSet;
    }
    if usize::try_from(source.subentries) != Ok(source.signers.len()) {
        return AccountMergeResult::HasSubEntries;
    }
    // An account created anew must not jump backwards.
    if source.sequence >= scene.moment.first_sequence() {
        return AccountMergeResult::SeqnumTooFar;
    }
    if source.sponsoring > 0 {
        return AccountMergeResult::IsSponsor;
    }
    let moved = source.balance;
    let Some(merged) = other.balance.checked_add(moved) else { return AccountMergeResult::DestFull };
    draft.change(&destination, |other| other.balance = merged);
    draft.remove_account(&scene.source);
    AccountMergeResult::Success(moved)
}
