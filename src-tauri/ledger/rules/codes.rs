//! Horizon's words for result codes.
//!
//! Source: Horizon's `codes` package. The matches are exhaustive for the operations that this ledger has.

use stellar_base::xdr::{
    AccountMergeResultCode, BumpSequenceResultCode, ClaimClaimableBalanceResultCode, CreateAccountResultCode,
    CreateClaimableBalanceResultCode, ManageDataResultCode, OperationResult, OperationResultCode,
    OperationResultTr, OperationType, PaymentResultCode, SetOptionsResultCode, TransactionResultCode,
};

/// The word for a transaction's code.
pub fn transaction(code: TransactionResultCode) -> &'static str {
    use TransactionResultCode as Code;
    match code {
        Code::TxFeeBumpInnerSuccess => "tx_fee_bump_inner_success",
        Code::TxSuccess => "tx_success",
        Code::TxFailed => "tx_failed",
        Code::TxTooEarly => "tx_too_early",
        Code::TxTooLate => "tx_too_late",
        Code::TxMissingOperation => "tx_missing_operation",
        Code::TxBadSeq => "tx_bad_seq",
        Code::TxBadAuth => "tx_bad_auth",
        Code::TxInsufficientBalance => "tx_insufficient_balance",
        Code::TxNoAccount => "tx_no_source_account",
        Code::TxInsufficientFee => "tx_insufficient_fee",
        Code::TxBadAuthExtra => "tx_bad_auth_extra",
        Code::TxInternalError => "tx_internal_error",
        Code::TxNotSupported => "tx_not_supported",
        Code::TxFeeBumpInnerFailed => "tx_fee_bump_inner_failed",
        Code::TxBadSponsorship => "tx_bad_sponsorship",
        Code::TxBadMinSeqAgeOrGap => "tx_bad_minseq_age_or_gap",
        Code::TxMalformed => "tx_malformed",
        Code::TxSorobanInvalid => "tx_soroban_invalid",
    }
}

/// The word for what every operation may answer, whatever it does.
pub fn general(code: OperationResultCode) -> &'static str {
    use OperationResultCode as Code;
    match code {
        Code::OpInner => "op_inner",
        Code::OpBadAuth => "op_bad_auth",
        Code::OpNoAccount => "op_no_source_account",
        Code::OpNotSupported => "op_not_supported",
        Code::OpTooManySubentries => "op_too_many_subentries",
        Code::OpExceededWorkLimit => "op_exceeded_work_limit",
        Code::OpTooManySponsoring => "op_too_many_sponsoring",
    }
}

/// The word for an operation's result.
pub fn operation(result: &OperationResult) -> &'static str {
    let OperationResult::OpInner(inner) = result else { return general(result.discriminant()) };
    match inner {
        OperationResultTr::CreateAccount(result) => create_account(result.discriminant()),
        OperationResultTr::Payment(result) => payment(result.discriminant()),
        OperationResultTr::SetOptions(result) => set_options(result.discriminant()),
        OperationResultTr::AccountMerge(result) => account_merge(result.discriminant()),
        OperationResultTr::ManageData(result) => manage_data(result.discriminant()),
        OperationResultTr::BumpSequence(result) => bump_sequence(result.discriminant()),
        OperationResultTr::CreateClaimableBalance(result) => create_claimable_balance(result.discriminant()),
        OperationResultTr::ClaimClaimableBalance(result) => claim_claimable_balance(result.discriminant()),
        _ => general(OperationResultCode::OpNotSupported),
    }
}

/// The word for a create account result.
pub fn create_account(code: CreateAccountResultCode) -> &'static str {
    use CreateAccountResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::Malformed => "op_malformed",
        Code::Underfunded => "op_underfunded",
        Code::LowReserve => "op_low_reserve",
        Code::AlreadyExist => "op_already_exists",
    }
}

/// The word for a payment result.
pub fn payment(code: PaymentResultCode) -> &'static str {
    use PaymentResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::Malformed => "op_malformed",
        Code::Underfunded => "op_underfunded",
        Code::SrcNoTrust => "op_src_no_trust",
        Code::SrcNotAuthorized => "op_src_not_authorized",
        Code::NoDestination => "op_no_destination",
        Code::NoTrust => "op_no_trust",
        Code::NotAuthorized => "op_not_authorized",
        Code::LineFull => "op_line_full",
        Code::NoIssuer => "op_no_issuer",
    }
}

/// The word for a set options result.
pub fn set_options(code: SetOptionsResultCode) -> &'static str {
    use SetOptionsResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::LowReserve => "op_low_reserve",
        Code::TooManySigners => "op_too_many_signers",
        Code::BadFlags => "op_bad_flags",
        Code::InvalidInflation => "op_invalid_inflation",
        Code::CantChange => "op_cant_change",
        Code::UnknownFlag => "op_unknown_flag",
        Code::ThresholdOutOfRange => "op_threshold_out_of_range",
        Code::BadSigner => "op_bad_signer",
        Code::InvalidHomeDomain => "op_invalid_home_domain",
        Code::AuthRevocableRequired => "op_auth_revocable_required",
    }
}

/// The word for an account merge result.
pub fn account_merge(code: AccountMergeResultCode) -> &'static str {
    use AccountMergeResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::Malformed => "op_malformed",
        Code::NoAccount => "op_no_account",
        Code::ImmutableSet => "op_immutable_set",
        Code::HasSubEntries => "op_has_sub_entries",
        Code::SeqnumTooFar => "op_seq_num_too_far",
        Code::DestFull => "op_dest_full",
        Code::IsSponsor => "op_is_sponsor",
    }
}

/// The word for a manage data result.
pub fn manage_data(code: ManageDataResultCode) -> &'static str {
    use ManageDataResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::NotSupportedYet => "op_not_supported_yet",
        Code::NameNotFound => "op_data_name_not_found",
        Code::LowReserve => "op_low_reserve",
        Code::InvalidName => "op_data_invalid_name",
    }
}

/// The word for a bump sequence result.
pub fn bump_sequence(code: BumpSequenceResultCode) -> &'static str {
    match code {
        BumpSequenceResultCode::Success => "op_success",
        BumpSequenceResultCode::BadSeq => "op_bad_seq",
    }
}

/// The word for a create claimable balance result.
pub fn create_claimable_balance(code: CreateClaimableBalanceResultCode) -> &'static str {
    use CreateClaimableBalanceResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::Malformed => "op_malformed",
        Code::LowReserve => "op_low_reserve",
        Code::NoTrust => "op_no_trust",
        Code::NotAuthorized => "op_not_authorized",
        Code::Underfunded => "op_underfunded",
    }
}

/// The word for a claim claimable balance result.
pub fn claim_claimable_balance(code: ClaimClaimableBalanceResultCode) -> &'static str {
    use ClaimClaimableBalanceResultCode as Code;
    match code {
        Code::Success => "op_success",
        Code::DoesNotExist => "op_does_not_exist",
        Code::CannotClaim => "op_cannot_claim",
        Code::LineFull => "op_line_full",
        Code::NoTrust => "op_no_trust",
        Code::NotAuthorized => "op_not_authorized",
    }
}

/// Horizon's word for a kind of operation.
pub fn operation_type(kind: OperationType) -> &'static str {
    use OperationType as Kind;
    match kind {
        Kind::CreateAccount => "create_account",
        Kind::Payment => "payment",
        Kind::PathPaymentStrictReceive => "path_payment_strict_receive",
        Kind::ManageSellOffer => "manage_sell_offer",
        Kind::CreatePassiveSellOffer => "create_passive_sell_offer",
        Kind::SetOptions => "set_options",
        Kind::ChangeTrust => "change_trust",
        Kind::AllowTrust => "allow_trust",
        Kind::AccountMerge => "account_merge",
        Kind::Inflation => "inflation",
        Kind::ManageData => "manage_data",
        Kind::BumpSequence => "bump_sequence",
        Kind::ManageBuyOffer => "manage_buy_offer",
        Kind::PathPaymentStrictSend => "path_payment_strict_send",
        Kind::CreateClaimableBalance => "create_claimable_balance",
        Kind::ClaimClaimableBalance => "claim_claimable_balance",
        Kind::BeginSponsoringFutureReserves => "begin_sponsoring_future_reserves",
        Kind::EndSponsoringFutureReserves => "end_sponsoring_future_reserves",
        Kind::RevokeSponsorship => "revoke_sponsorship",
        Kind::Clawback => "clawback",
        Kind::ClawbackClaimableBalance => "clawback_claimable_balance",
        Kind::SetTrustLineFlags => "set_trust_line_flags",
        Kind::LiquidityPoolDeposit => "liquidity_pool_deposit",
        Kind::LiquidityPoolWithdraw => "liquidity_pool_withdraw",
        Kind::InvokeHostFunction => "invoke_host_function",
        Kind::ExtendFootprintTtl => "extend_footprint_ttl",
        Kind::RestoreFootprint => "restore_footprint",
    }
}
