//! Operations: what each needs, when it is refused beforehand, and what it does.
//!
//! Invariant: an operation either succeeds or is undone by its caller; kinds that this ledger lacks are refused with
//! `opNOT_SUPPORTED`, none is ignored.

mod assets;
mod balances;
mod create_account;
mod data;
mod merge;
mod payment;
mod predicates;
mod sequence;
mod set_options;

use stellar_base::xdr::{
    AccountMergeResult, BumpSequenceResult, ClaimClaimableBalanceResult, ClaimableBalanceId,
    CreateAccountResult, CreateClaimableBalanceResult, Hash, ManageDataResult, Operation, OperationBody,
    OperationResult, OperationResultTr, PaymentResult, SetOptionsResult,
};

use super::{
    MAX_SUBENTRIES, Moment,
    entry::{Account, AccountKey},
    envelope::{Inner, key},
    state::Draft,
};

/// Which threshold of its source an operation needs: an index into [`Account::thresholds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Low = 1,
    Medium = 2,
    High = 3,
}

/// Where an operation stands.
pub(crate) struct Scene<'a> {
    pub(crate) moment: Moment,
    pub(crate) inner: &'a Inner,
    pub(crate) index: u32,
    pub(crate) source: AccountKey,
}

/// The account that an operation acts for.
pub(crate) fn source(operation: &Operation, inner: &Inner) -> AccountKey {
    operation.source_account.as_ref().map_or_else(|| inner.source(), key)
}

/// Whether this ledger has the operation.
pub(crate) fn supported(body: &OperationBody) -> bool {
    matches!(
        body,
        OperationBody::CreateAccount(_)
            | OperationBody::Payment(_)
            | OperationBody::SetOptions(_)
            | OperationBody::AccountMerge(_)
            | OperationBody::ManageData(_)
            | OperationBody::BumpSequence(_)
            | OperationBody::CreateClaimableBalance(_)
            | OperationBody::ClaimClaimableBalance(_)
    )
}

/// Whether the operation belongs to contracts.
pub(crate) fn is_contract(body: &OperationBody) -> bool {
    matches!(
        body,
        OperationBody::InvokeHostFunction(_)
            | OperationBody::ExtendFootprintTtl(_)
            | OperationBody::RestoreFootprint(_)
    )
}

/// The threshold it needs.
pub(crate) fn level(body: &OperationBody) -> Level {
    match body {
        OperationBody::AccountMerge(_) => Level::High,
        OperationBody::SetOptions(options) if set_options::needs_high(options) => Level::High,
        OperationBody::BumpSequence(_) | OperationBody::ClaimClaimableBalance(_) => Level::Low,
        _ => Level::Medium,
    }
}

/// Why the operation is refused whatever the state; none if it is not.
pub(crate) fn refusal(operation: &Operation, source: AccountKey) -> Option<OperationResult> {
    let refused = match &operation.body {
        OperationBody::CreateAccount(op) => {
            create_account::check(op, source).map(OperationResultTr::CreateAccount)
        }
        OperationBody::Payment(op) => payment::check(op).map(OperationResultTr::Payment),
        OperationBody::SetOptions(op) => set_options::check(op, source).map(OperationResultTr::SetOptions),
        OperationBody::AccountMerge(to) => merge::check(to, source).map(OperationResultTr::AccountMerge),
        OperationBody::ManageData(op) => data::check(op).map(OperationResultTr::ManageData),
        OperationBody::BumpSequence(op) => sequence::check(op).map(OperationResultTr::BumpSequence),
        OperationBody::CreateClaimableBalance(op) => {
            balances::check(op).map(OperationResultTr::CreateClaimableBalance)
        }
        OperationBody::ClaimClaimableBalance(_) => None,
        _ => return Some(OperationResult::OpNotSupported),
    };
    refused.map(OperationResult::OpInner)
}

/// Does the operation; its source exists and there was no [`refusal`].
pub(crate) fn apply(draft: &mut Draft<'_>, scene: &Scene<'_>, operation: &Operation) -> OperationResult {
    let inner = match &operation.body {
        OperationBody::CreateAccount(op) => {
            OperationResultTr::CreateAccount(create_account::apply(draft, scene, op))
        }
        OperationBody::Payment(op) => OperationResultTr::Payment(payment::apply(draft, scene, op)),
        OperationBody::SetOptions(op) => match set_options::apply(draft, scene, op) {
            Ok(result) => OperationResultTr::SetOptions(result),
            Err(TooManySubentries) => return OperationResult::OpTooManySubentries,
        },
        OperationBody::AccountMerge(to) => OperationResultTr::AccountMerge(merge::apply(draft, scene, to)),
        OperationBody::ManageData(op) => match data::apply(draft, scene, op) {
            Ok(result) => OperationResultTr::ManageData(result),
            Err(TooManySubentries) => return OperationResult::OpTooManySubentries,
        },
        OperationBody::BumpSequence(op) => OperationResultTr::BumpSequence(sequence::apply(draft, scene, op)),
        OperationBody::CreateClaimableBalance(op) => match balances::create(draft, scene, op) {
            Some(result) => OperationResultTr::CreateClaimableBalance(result),
            None => return OperationResult::OpTooManySponsoring,
        },
        OperationBody::ClaimClaimableBalance(op) => {
            OperationResultTr::ClaimClaimableBalance(balances::claim(draft, scene, op))
        }
        _ => return OperationResult::OpNotSupported,
    };
    OperationResult::OpInner(inner)
}

/// What stands in a result for an operation that was not reached: a success without content, as in stellar-core.
pub(crate) fn untouched(body: &OperationBody) -> OperationResult {
    let no_id = ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash([0; 32]));
    OperationResult::OpInner(match body {
        OperationBody::CreateAccount(_) => OperationResultTr::CreateAccount(CreateAccountResult::Success),
        OperationBody::Payment(_) => OperationResultTr::Payment(PaymentResult::Success),
        OperationBody::SetOptions(_) => OperationResultTr::SetOptions(SetOptionsResult::Success),
        OperationBody::AccountMerge(_) => OperationResultTr::AccountMerge(AccountMergeResult::Success(0)),
        OperationBody::ManageData(_) => OperationResultTr::ManageData(ManageDataResult::Success),
        OperationBody::BumpSequence(_) => OperationResultTr::BumpSequence(BumpSequenceResult::Success),
        OperationBody::CreateClaimableBalance(_) => {
            OperationResultTr::CreateClaimableBalance(CreateClaimableBalanceResult::Success(no_id))
        }
        OperationBody::ClaimClaimableBalance(_) => {
            OperationResultTr::ClaimClaimableBalance(ClaimClaimableBalanceResult::Success)
        }
        _ => return OperationResult::OpNotSupported,
    })
}

/// Whether the operation did what it should.
pub(crate) fn succeeded(result: &OperationResult) -> bool {
    let OperationResult::OpInner(inner) = result else { return false };
    match inner {
        OperationResultTr::CreateAccount(result) => *result == CreateAccountResult::Success,
        OperationResultTr::Payment(result) => *result == PaymentResult::Success,
        OperationResultTr::SetOptions(result) => *result == SetOptionsResult::Success,
        OperationResultTr::AccountMerge(result) => matches!(result, AccountMergeResult::Success(_)),
        OperationResultTr::ManageData(result) => *result == ManageDataResult::Success,
        OperationResultTr::BumpSequence(result) => *result == BumpSequenceResult::Success,
        OperationResultTr::CreateClaimableBalance(result) => {
            matches!(result, CreateClaimableBalanceResult::Success(_))
        }
        OperationResultTr::ClaimClaimableBalance(result) => *result == ClaimClaimableBalanceResult::Success,
        _ => false,
    }
}

/// The account has as many signers and data entries as one may have.
struct TooManySubentries;

/// Why an account cannot keep one thing more.
enum NoRoom {
    TooManySubentries,
    LowReserve,
}

/// Counts one more signer or data entry of the account.
fn add_subentry(account: &mut Account) -> Result<(), NoRoom> {
    if account.subentries >= MAX_SUBENTRIES {
        return Err(NoRoom::TooManySubentries);
    }
    account.subentries += 1;
    if account.available() < 0 { Err(NoRoom::LowReserve) } else { Ok(()) }
}

/// Whether text is ASCII without control characters, as names on the ledger must be.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_control())
}
