//! One transaction: whether it is valid, what it pays, and what applying it does (TransactionFrame, and
//! FeeBumpTransactionFrame around it).
//!
//! Invariant: once its fee is charged a transaction is recorded whatever comes of it, its sequence number is used unless
//! it is wrong or its account is gone, and its pre-authorised hash is removed from every account that it acts for.

use stellar_base::xdr::{
    Hash, InnerTransactionResult, InnerTransactionResultExt, InnerTransactionResultPair,
    InnerTransactionResultResult, Operation, OperationResult, Preconditions, PreconditionsV2, SignerKey,
    TransactionExt, TransactionResult, TransactionResultCode as Code, TransactionResultExt,
    TransactionResultResult, Uint256, VecM,
};

use super::{
    BASE_FEE, Moment,
    entry::{Account, AccountKey},
    envelope::{Bump, Envelope, Inner, key},
    operations::{self, Scene},
    signatures::Checker,
    state::Draft,
};

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it was refused or whether it succeeded; of a fee bump what befell the bump, or its inner code.
    pub code: Code,
    /// What its operations answered, where the code says so.
    pub operations: Vec<OperationResult>,
    /// Stroops charged; of a refused one what would be.
    pub fee: i64,
    /// Whether a refusal is the fee bump's own, not that of the transaction in it.
    pub outer: bool,
}

impl Outcome {
    /// Whether all operations did what they should.
    pub fn success(&self) -> bool {
        self.code == Code::TxSuccess
    }

    /// The result as a Stellar network gives it.
    pub fn to_result(&self, envelope: &Envelope) -> TransactionResult {
        let result = match (&envelope.bump, self.outer) {
            (Some(_), false) => {
                let pair = InnerTransactionResultPair {
                    transaction_hash: Hash(envelope.inner.hash),
                    result: InnerTransactionResult {
                        fee_charged: 0,
                        result: self.inner_result(),
                        ext: InnerTransactionResultExt::V0,
                    },
                };
                if self.success() {
                    TransactionResultResult::TxFeeBumpInnerSuccess(pair)
                } else {
                    TransactionResultResult::TxFeeBumpInnerFailed(pair)
                }
            }
            _ => plain_result(self.inner_result()),
        };
        TransactionResult { fee_charged: self.fee, result, ext: TransactionResultExt::V0 }
    }

    fn inner_result(&self) -> InnerTransactionResultResult {
        use InnerTransactionResultResult as Result;
        let results = || VecM::try_from(self.operations.clone()).unwrap_or_default();
        match self.code {
            Code::TxSuccess | Code::TxFeeBumpInnerSuccess => Result::TxSuccess(results()),
            Code::TxFailed | Code::TxFeeBumpInnerFailed => Result::TxFailed(results()),
            Code::TxTooEarly => Result::TxTooEarly,
            Code::TxTooLate => Result::TxTooLate,
            Code::TxMissingOperation => Result::TxMissingOperation,
            Code::TxBadSeq => Result::TxBadSeq,
            Code::TxBadAuth => Result::TxBadAuth,
            Code::TxInsufficientBalance => Result::TxInsufficientBalance,
            Code::TxNoAccount => Result::TxNoAccount,
            Code::TxInsufficientFee => Result::TxInsufficientFee,
            Code::TxBadAuthExtra => Result::TxBadAuthExtra,
            Code::TxInternalError => Result::TxInternalError,
            Code::TxNotSupported => Result::TxNotSupported,
            Code::TxBadSponsorship => Result::TxBadSponsorship,
            Code::TxBadMinSeqAgeOrGap => Result::TxBadMinSeqAgeOrGap,
            Code::TxMalformed => Result::TxMalformed,
            Code::TxSorobanInvalid => Result::TxSorobanInvalid,
        }
    }
}

fn plain_result(inner: InnerTransactionResultResult) -> TransactionResultResult {
    use InnerTransactionResultResult as Inner;
    use TransactionResultResult as Result;
    match inner {
        Inner::TxSuccess(results) => Result::TxSuccess(results),
        Inner::TxFailed(results) => Result::TxFailed(results),
        Inner::TxTooEarly => Result::TxTooEarly,
        Inner::TxTooLate => Result::TxTooLate,
        Inner::TxMissingOperation => Result::TxMissingOperation,
        Inner::TxBadSeq => Result::TxBadSeq,
        Inner::TxBadAuth => Result::TxBadAuth,
        Inner::TxInsufficientBalance => Result::TxInsufficientBalance,
        Inner::TxNoAccount => Result::TxNoAccount,
        Inner::TxInsufficientFee => Result::TxInsufficientFee,
        Inner::TxBadAuthExtra => Result::TxBadAuthExtra,
        Inner::TxInternalError => Result::TxInternalError,
        Inner::TxNotSupported => Result::TxNotSupported,
        Inner::TxBadSponsorship => Result::TxBadSponsorship,
        Inner::TxBadMinSeqAgeOrGap => Result::TxBadMinSeqAgeOrGap,
        Inner::TxMalformed => Result::TxMalformed,
        Inner::TxSorobanInvalid => Result::TxSorobanInvalid,
    }
}

/// How far a transaction got before it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// Its sequence number stays unused.
    Nothing,
    /// Its sequence number is used.
    Sequence,
}

type Refusal = (Reached, Code);

/// Who pays what, while validity is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fee {
    /// The source pays, and has not yet.
    Due,
    /// The source paid, in this ledger.
    Charged,
    /// Somebody else pays.
    Bumped,
}

/// Whether a transaction may enter the ledger. `current` is the source's sequence number if transactions before this one
/// will move it. Of a valid one the outcome says success, with results of operations not yet reached.
pub fn validate(view: &Draft<'_>, moment: Moment, envelope: &Envelope, current: Option<i64>) -> Outcome {
    let fee = BASE_FEE * envelope.fee_operations();
    let refused = |code, outer, fee| Outcome { code, operations: Vec::new(), fee, outer };
    if let Some(bump) = &envelope.bump
        && let Err((code, fee)) = validate_bump(view, envelope, bump, Fee::Due, fee)
    {
        return refused(code, true, fee);
    }
    let paying = if envelope.bump.is_some() { Fee::Bumped } else { Fee::Due };
    let inner = &envelope.inner;
    let mut checker = Checker::new(inner.hash, &inner.signatures, &inner.verdicts);
    if let Err((_, code)) = common(view, moment, inner, &mut checker, current, paying) {
        return refused(code, false, fee);
    }
    let mut results: Vec<_> = inner.tx.operations.iter().map(|op| operations::untouched(&op.body)).collect();
    for (operation, result) in inner.tx.operations.iter().zip(&mut results) {
        if let Some(reason) = operation_refusal(view, inner, operation, &mut checker) {
            *result = reason;
            return Outcome { code: Code::TxFailed, operations: results, fee, outer: false };
        }
    }
    if !checker.all_used() {
        return refused(Code::TxBadAuthExtra, false, fee);
    }
    Outcome { code: Code::TxSuccess, operations: results, fee, outer: false }
}

/// Why an operation keeps its transaction out of the ledger; none if it does not.
fn operation_refusal(
    view: &Draft<'_>,
    inner: &Inner,
    operation: &Operation,
    checker: &mut Checker<'_>,
) -> Option<OperationResult> {
    if !operations::supported(&operation.body) {
        return Some(OperationResult::OpNotSupported);
    }
    let unsigned = signature_refusal(view, inner, operation, checker);
    unsigned.or_else(|| operations::refusal(operation, operations::source(operation, inner)))
}

/// None if the operation's source signed. One that does not exist yet signs with its master key alone.
fn signature_refusal(
    view: &Draft<'_>,
    inner: &Inner,
    operation: &Operation,
    checker: &mut Checker<'_>,
) -> Option<OperationResult> {
    let source = operations::source(operation, inner);
    let signed = match view.account(&source) {
        Some(account) => {
            let needed = account.thresholds[operations::level(&operation.body) as usize];
            checker.check(&account.all_signers(), u32::from(needed))
        }
        None if operation.source_account.is_none() => return Some(OperationResult::OpNoAccount),
        None => checker.check(&Account::new(source, 0, 0).all_signers(), 0),
    };
    (!signed).then_some(OperationResult::OpBadAuth)
}

/// Checks what a fee bump promises; a refusal comes with the fee that its result names.
fn validate_bump(
    view: &Draft<'_>,
    envelope: &Envelope,
    bump: &Bump,
    paying: Fee,
    fee: i64,
) -> Result<(), (Code, i64)> {
    let inner_fee = i128::from(envelope.inner.tx.fee);
    let inner_least = i128::from(BASE_FEE * envelope.inner.operation_count().max(1));
    let least = i128::from(BASE_FEE * envelope.fee_operations());
    let offered = i128::from(bump.fee);
    if offered < least {
        return Err((Code::TxInsufficientFee, fee));
    }
    // It must pay at least as much per operation as the transaction in it.
    if offered * inner_least < inner_fee * least {
        let needed = (inner_fee * least + inner_least - 1) / inner_least;
        return Err((Code::TxInsufficientFee, i64::try_from(needed).unwrap_or(i64::MAX)));
    }
    let Some(source) = view.account(&key(&bump.source)) else { return Err((Code::TxNoAccount, fee)) };
    let mut checker = Checker::new(bump.hash, &bump.signatures, &bump.verdicts);
    if !checker.check(&source.all_signers(), u32::from(source.thresholds[1])) {
        return Err((Code::TxBadAuth, fee));
    }
    let due = if paying == Fee::Due { bump.fee } else { 0 };
    if source.available() < due {
        return Err((Code::TxInsufficientBalance, fee));
    }
    if !checker.all_used() {
        return Err((Code::TxBadAuthExtra, fee));
    }
    Ok(())
}

/// What must hold of a transaction whatever its operations do.
fn common(
    view: &Draft<'_>,
    moment: Moment,
    inner: &Inner,
    checker: &mut Checker<'_>,
    current: Option<i64>,
    paying: Fee,
) -> Result<(), Refusal> {
    let nothing = |code| (Reached::Nothing, code);
    well_formed(inner).map_err(nothing)?;
    in_time(inner, moment).map_err(nothing)?;
    let fee = i64::from(inner.tx.fee);
    if paying != Fee::Bumped && fee < BASE_FEE * inner.operation_count() {
        return Err(nothing(Code::TxInsufficientFee));
    }
    let Some(source) = view.account(&inner.source()) else { return Err(nothing(Code::TxNoAccount)) };
    if !next_sequence(inner, moment, current.unwrap_or(source.sequence)) {
        return Err(nothing(Code::TxBadSeq));
    }
    let used = |code| (Reached::Sequence, code);
    if !rested(inner, moment, source) {
        return Err(used(Code::TxBadMinSeqAgeOrGap));
    }
    if !checker.check(&source.all_signers(), u32::from(source.thresholds[1])) {
        return Err(used(Code::TxBadAuth));
    }
    if !extra_signed(inner, checker) {
        return Err(used(Code::TxBadAuth));
    }
    let due = if paying == Fee::Due { fee } else { 0 };
    if paying != Fee::Bumped && source.available() < due {
        return Err(used(Code::TxInsufficientBalance));
    }
    Ok(())
}

fn conditions(inner: &Inner) -> Option<&PreconditionsV2> {
    match &inner.tx.cond {
        Preconditions::V2(conditions) => Some(conditions),
        Preconditions::None | Preconditions::Time(_) => None,
    }
}

fn well_formed(inner: &Inner) -> Result<(), Code> {
    let extra = conditions(inner).map_or(&[][..], |conditions| conditions.extra_signers.as_slice());
    let twice = matches!(extra, [one, other] if one == other);
    let empty = |signer: &SignerKey| matches!(signer, SignerKey::Ed25519SignedPayload(signed) if signed.payload.is_empty());
    if twice || extra.iter().any(empty) {
        return Err(Code::TxMalformed);
    }
    let operations = inner.tx.operations.as_slice();
    if operations.is_empty() {
        return Err(Code::TxMissingOperation);
    }
    let contracts = operations.iter().filter(|op| operations::is_contract(&op.body)).count();
    let mixed = contracts > 0 && operations.len() > 1;
    let stray = contracts == 0 && inner.tx.ext != TransactionExt::V0;
    if mixed || stray { Err(Code::TxMalformed) } else { Ok(()) }
}

fn in_time(inner: &Inner, moment: Moment) -> Result<(), Code> {
    let times = match &inner.tx.cond {
        Preconditions::None => None,
        Preconditions::Time(times) => Some(times),
        Preconditions::V2(conditions) => conditions.time_bounds.as_ref(),
    };
    let ledgers = conditions(inner).and_then(|conditions| conditions.ledger_bounds.as_ref());
    let early = times.is_some_and(|times| times.min_time.0 > moment.close_time)
        || ledgers.is_some_and(|ledgers| ledgers.min_ledger > moment.ledger);
    if early {
        return Err(Code::TxTooEarly);
    }
    let late = times.is_some_and(|times| times.max_time.0 != 0 && times.max_time.0 < moment.close_time)
        || ledgers.is_some_and(|ledgers| ledgers.max_ledger != 0 && ledgers.max_ledger <= moment.ledger);
    if late { Err(Code::TxTooLate) } else { Ok(()) }
}

fn next_sequence(inner: &Inner, moment: Moment, current: i64) -> bool {
    let wanted = inner.sequence();
    if wanted == moment.first_sequence() {
        return false;
    }
    match conditions(inner).and_then(|conditions| conditions.min_seq_num.as_ref()) {
        Some(least) => current >= least.0 && current < wanted,
        None => current.checked_add(1) == Some(wanted),
    }
}

/// Whether the account's sequence number has rested as long as the transaction asks.
fn rested(inner: &Inner, moment: Moment, source: &Account) -> bool {
    let Some(conditions) = conditions(inner) else { return true };
    let aged = moment.close_time.checked_sub(conditions.min_seq_age.0);
    let apart = moment.ledger.checked_sub(conditions.min_seq_ledger_gap);
    aged.is_some_and(|time| time >= source.sequence_time)
        && apart.is_some_and(|ledger| ledger >= source.sequence_ledger)
}

fn extra_signed(inner: &Inner, checker: &mut Checker<'_>) -> bool {
    let extra = conditions(inner).map_or(&[][..], |conditions| conditions.extra_signers.as_slice());
    let signers: Vec<_> =
        extra.iter().map(|key| stellar_base::xdr::Signer { key: key.clone(), weight: 1 }).collect();
    signers.is_empty() || checker.check(&signers, u32::try_from(signers.len()).unwrap_or(u32::MAX))
}

/// Takes the fee, as much of it as is there. Returns what was taken.
pub(crate) fn charge(draft: &mut Draft<'_>, envelope: &Envelope) -> i64 {
    let due = envelope.full_fee().min(BASE_FEE * envelope.fee_operations());
    let payer = envelope.fee_source();
    let fee = draft.account(&payer).map_or(0, |account| due.min(account.balance));
    draft.change(&payer, |account| account.balance -= fee);
    fee
}

/// Applies a transaction whose fee was charged. Everything it did is in the draft, or nothing but what every recorded
/// transaction does.
pub(crate) fn apply(draft: &mut Draft<'_>, moment: Moment, envelope: &Envelope, fee: i64) -> Outcome {
    let inner = &envelope.inner;
    if let Some(bump) = &envelope.bump {
        remove_used_hash(draft, &key(&bump.source), bump.hash);
    }
    let mut checker = Checker::new(inner.hash, &inner.signatures, &inner.verdicts);
    let paying = if envelope.bump.is_some() { Fee::Bumped } else { Fee::Charged };
    let judged = common(draft, moment, inner, &mut checker, None, paying);
    if !matches!(judged, Err((Reached::Nothing, _))) {
        draft.change(&inner.source(), |account| {
            account.sequence = inner.sequence();
            account.sequence_ledger = moment.ledger;
            account.sequence_time = moment.close_time;
        });
    }
    let signed =
        judged.map_err(|(_, code)| (code, Vec::new())).and_then(|()| all_signed(draft, inner, &mut checker));
    remove_used_hashes(draft, inner);
    let (code, operations) = match signed {
        Err(refused) => refused,
        Ok(()) => apply_operations(draft, moment, inner),
    };
    Outcome { code, operations, fee, outer: false }
}

/// Whether every operation is signed for, and every signature was needed.
fn all_signed(
    draft: &Draft<'_>,
    inner: &Inner,
    checker: &mut Checker<'_>,
) -> Result<(), (Code, Vec<OperationResult>)> {
    let judge = |operation: &Operation| match signature_refusal(draft, inner, operation, checker) {
        None => (true, operations::untouched(&operation.body)),
        Some(reason) => (false, reason),
    };
    let (signed, results): (Vec<bool>, Vec<_>) = inner.tx.operations.iter().map(judge).unzip();
    if signed.contains(&false) {
        return Err((Code::TxFailed, results));
    }
    if checker.all_used() { Ok(()) } else { Err((Code::TxBadAuthExtra, Vec::new())) }
}

fn remove_used_hashes(draft: &mut Draft<'_>, inner: &Inner) {
    remove_used_hash(draft, &inner.source(), inner.hash);
    for operation in inner.tx.operations.iter() {
        remove_used_hash(draft, &operations::source(operation, inner), inner.hash);
    }
}

/// Removes a pre-authorised transaction's hash from an account's signers.
fn remove_used_hash(draft: &mut Draft<'_>, account: &AccountKey, hash: [u8; 32]) {
    let used = SignerKey::PreAuthTx(Uint256(hash));
    let holds = |account: &Account| account.signers.iter().any(|signer| signer.key == used);
    if draft.account(account).is_some_and(holds) {
        draft.change(account, |account| {
            account.signers.retain(|signer| signer.key != used);
            account.subentries -= 1;
        });
    }
}

/// Applies all operations, also those after one that failed, and keeps them only if none did.
fn apply_operations(draft: &mut Draft<'_>, moment: Moment, inner: &Inner) -> (Code, Vec<OperationResult>) {
    let before = draft.mark();
    let mut results = Vec::with_capacity(inner.tx.operations.len());
    for (index, operation) in (0..).zip(inner.tx.operations.iter()) {
        let mark = draft.mark();
        let scene = Scene { moment, inner, index, source: operations::source(operation, inner) };
        let result = if !operations::supported(&operation.body) {
            OperationResult::OpNotSupported
        } else if draft.account(&scene.source).is_none() {
            OperationResult::OpNoAccount
        } else {
            operations::refusal(operation, scene.source)
                .unwrap_or_else(|| operations::apply(draft, &scene, operation))
        };
        if !operations::succeeded(&result) {
            draft.undo(mark);
        }
        results.push(result);
    }
    if results.iter().all(operations::succeeded) {
        return (Code::TxSuccess, results);
    }
    draft.undo(before);
    (Code::TxFailed, results)
}
