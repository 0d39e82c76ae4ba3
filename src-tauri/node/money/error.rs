//! Why nothing came of something about money.

use hayloft_payments::{HorizonError, outbox::SendError, wallet::WalletError};
use hayloft_store::{DatabaseError, HomeError, outbox::OutboxError};

use crate::{
    errors::sentence,
    model::{ApiError, ErrorCode},
};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoneyError {
    /// No ledger was named.
    #[error("this network has no ledger that this node knows: name one when the node is started, with --ledger URL")]
    NoLedger,
    /// The seed is sealed.
    #[error("the wallet is locked: give the passphrase to unlock it")]
    Locked,
    /// The ledger shows less than it did.
    #[error("the ledger is behind what it showed before: nothing is signed until it has caught up")]
    Behind,
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

impl From<MoneyError> for ApiError {
    fn from(error: MoneyError) -> Self {
        let code = match &error {
            MoneyError::Home(_) => ErrorCode::Disk,
            MoneyError::Locked => ErrorCode::Locked,
            MoneyError::NoLedger | MoneyError::Behind => ErrorCode::Ledger,
            MoneyError::Wallet(error) => code_of(error),
        };
        Self::new(code, sentence(&error))
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
