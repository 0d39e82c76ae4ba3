//! Why nothing came of something about money.

use hayloft_net::NetError;
use hayloft_payments::{HorizonError, escrow::Fault, outbox::SendError, wallet::WalletError};
use hayloft_store::{DatabaseError, HomeError, outbox::OutboxError};

use crate::{
    errors::sentence,
    model::{ApiError, ErrorCode},
};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoneyError {
    /// No ledger was named.
    #[error(
        "this network has no ledger that this node knows: name one when the node is started, with --ledger URL"
    )]
    NoLedger,
    /// The seed is sealed.
    #[error("the wallet is locked: give the passphrase to unlock it (`hayloft unlock`, or in the window)")]
    Locked,
    /// The ledger shows less than it did.
    #[error("the ledger is behind what it showed before: nothing is signed until it has caught up")]
    Behind,
    /// Another ledger at another address.
    #[error(
        "this is another ledger than the one that this home's escrows and payments are on: start the node with \
         --ledger {0} (if that ledger was wiped, start it at that address again). Nothing was changed"
    )]
    AnotherLedger(String),
    /// No auditor.
    #[error(
        "a contract with a price names an auditor, and this node knows none: name one with --auditor ADDR"
    )]
    NoAuditor,
    /// A price times bytes that is no amount.
    #[error("at this price, more would be owed than any amount can be")]
    TooDear,
    /// The escrow's setup came to nothing.
    #[error("the escrow was not set up: {0}")]
    NotSetUp(String),
    /// A settlement came to nothing.
    #[error("the settlement did not take effect: {0}")]
    NotSettled(String),
    /// The ledger shows something else than was agreed.
    #[error("{0}: nothing more is kept or paid under it")]
    Broken(Fault),
    /// Another gave no answer, or refused.
    #[error(transparent)]
    Net(#[from] NetError),
    /// What another shows of a contract's past does not hold.
    #[error("what was shown of the contract's revisions does not hold")]
    History,
    /// What is owed cannot be computed.
    #[error(transparent)]
    Settlement(#[from] hayloft_core::settlement::SettlementError),
    /// There is nothing to settle.
    #[error(transparent)]
    Nothing(#[from] hayloft_payments::escrow::SettlementError),
    /// The auditor's books.
    #[error("the auditor's books cannot be read: {0}")]
    Books(String),
    /// The wallet, the outbox or the ledger.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The home's keys.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl From<HorizonError> for MoneyError {
    fn from(error: HorizonError) -> Self {
        Self::Wallet(error.into())
    }
}

impl From<SendError> for MoneyError {
    fn from(error: SendError) -> Self {
        Self::Wallet(error.into())
    }
}

impl From<DatabaseError> for MoneyError {
    fn from(error: DatabaseError) -> Self {
        Self::Wallet(error.into())
    }
}

impl MoneyError {
    /// Its kind, for programs.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Home(_) => ErrorCode::Disk,
            Self::Locked => ErrorCode::Locked,
            Self::NoLedger | Self::Behind | Self::AnotherLedger(_) | Self::Broken(_) => ErrorCode::Ledger,
            Self::NoAuditor => ErrorCode::BadRequest,
            Self::TooDear | Self::NotSetUp(_) | Self::NotSettled(_) => ErrorCode::Money,
            Self::Net(_) => ErrorCode::NotEnoughFarmers,
            Self::History | Self::Settlement(_) | Self::Nothing(_) | Self::Books(_) => ErrorCode::Internal,
            Self::Wallet(error) => code_of(error),
        }
    }
}

impl From<MoneyError> for ApiError {
    fn from(error: MoneyError) -> Self {
        Self::new(error.code(), sentence(&error))
    }
}

fn code_of(error: &WalletError) -> ErrorCode {
    match error {
        WalletError::TooLittle { .. } => ErrorCode::Money,
        WalletError::Send(error) => match error {
            SendError::Outbox(OutboxError::OverLimit(_)) | SendError::NoAccount => ErrorCode::Money,
            SendError::Outbox(OutboxError::Database(_)) | SendError::Row(_) => ErrorCode::Disk,
            SendError::Outbox(OutboxError::Busy) => ErrorCode::BadRequest,
            SendError::Horizon(_) => ErrorCode::Ledger,
            SendError::NoLatestTime | SendError::NotSigned => ErrorCode::Internal,
        },
        WalletError::Horizon(_) => ErrorCode::Ledger,
        WalletError::Plan(_) | WalletError::Escrow(_) | WalletError::NotCosigned => ErrorCode::Internal,
        WalletError::BadAmount
        | WalletError::ToItself
        | WalletError::NoDestination
        | WalletError::MemoRequired
        | WalletError::LongMemo => ErrorCode::BadRequest,
    }
}
