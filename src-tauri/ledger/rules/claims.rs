//! Which result codes this ledger claims to give, and which it never gives and why.
//!
//! The official SDK's tests provoke every claimed code; the committed list they work from is compared with this one.

use stellar_base::xdr::{
    AccountMergeResultCode, BumpSequenceResultCode, ClaimClaimableBalanceResultCode, CreateAccountResultCode,
    CreateClaimableBalanceResultCode, ManageDataResultCode, OperationResultCode, OperationType,
    PaymentResultCode, SetOptionsResultCode, TransactionResultCode,
};

use super::codes;

/// Codes that exist on a Stellar network but never here: (where, code, why not).
pub const NEVER: [(&str, &str, &str); 15] = [
    ("transaction", "tx_internal_error", "nothing here throws"),
    ("transaction", "tx_not_supported", "version 0 envelopes are converted, as stellar-core does"),
    ("transaction", "tx_bad_sponsorship", "sponsoring operations are refused one by one"),
    ("transaction", "tx_soroban_invalid", "contract operations are refused as not supported"),
    ("operation", "op_inner", "is not an answer but says that the operation's own code follows"),
    ("operation", "op_exceeded_work_limit", "only offers can exceed it"),
    ("operation", "op_too_many_sponsoring", "takes four billion reserves"),
    ("payment", "op_src_not_authorized", "there are no trust lines"),
    ("payment", "op_not_authorized", "there are no trust lines"),
    ("payment", "op_no_issuer", "gone since protocol 13"),
    ("account_merge", "op_dest_full", "all lumens together fit one account"),
    ("manage_data", "op_not_supported_yet", "gone since protocol 2"),
    ("create_claimable_balance", "op_not_authorized", "there are no trust lines"),
    ("claim_claimable_balance", "op_line_full", "all lumens together fit one account"),
    ("claim_claimable_balance", "op_not_authorized", "there are no trust lines"),
];

/// Every (operation, code) that this ledger claims; what is no operation's own is under `transaction` or `operation`,
/// and each operation that is not supported is claimed as refused.
pub fn claims() -> Vec<(&'static str, &'static str)> {
    let supported = [
        OperationType::CreateAccount,
        OperationType::Payment,
        OperationType::SetOptions,
        OperationType::AccountMerge,
        OperationType::ManageData,
        OperationType::BumpSequence,
        OperationType::CreateClaimableBalance,
        OperationType::ClaimClaimableBalance,
    ];
    let refused = OperationType::variants().into_iter().filter(|kind| !supported.contains(kind));
    let refused = refused
        .map(|kind| (codes::operation_type(kind), codes::general(OperationResultCode::OpNotSupported)));
    let mut all: Vec<_> = TransactionResultCode::variants()
        .into_iter()
        .map(|code| ("transaction", codes::transaction(code)))
        .chain(OperationResultCode::variants().into_iter().map(|code| ("operation", codes::general(code))))
        .chain(own_codes())
        .chain(refused)
        .filter(|(at, code)| !NEVER.iter().any(|(never_at, never, _)| never_at == at && never == code))
        .collect();
    all.sort_unstable();
    all
}

fn own_codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let create_account =
        CreateAccountResultCode::variants().map(codes::create_account).map(|c| ("create_account", c));
    let payment = PaymentResultCode::variants().map(codes::payment).map(|c| ("payment", c));
    let set_options = SetOptionsResultCode::variants().map(codes::set_options).map(|c| ("set_options", c));
    let merge = AccountMergeResultCode::variants().map(codes::account_merge).map(|c| ("account_merge", c));
    let data = ManageDataResultCode::variants().map(codes::manage_data).map(|c| ("manage_data", c));
    let bump = BumpSequenceResultCode::variants().map(codes::bump_sequence).map(|c| ("bump_sequence", c));
    let create = CreateClaimableBalanceResultCode::variants()
        .map(codes::create_claimable_balance)
        .map(|c| ("create_claimable_balance", c));
    let claim = ClaimClaimableBalanceResultCode::variants()
        .map(codes::claim_claimable_balance)
        .map(|c| ("claim_claimable_balance", c));
    create_account
        .into_iter()
        .chain(payment)
        .chain(set_options)
        .chain(merge)
        .chain(data)
        .chain(bump)
        .chain(create)
        .chain(claim)
}
