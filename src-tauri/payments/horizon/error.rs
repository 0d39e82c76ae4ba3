//! Why a Horizon gave no answer that counts.

use crate::network::NetworkError;

/// Why a Horizon gave no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum HorizonError {
    /// The settings name no address that could be one.
    #[error("the ledger's address is no web address, such as https://horizon-testnet.stellar.org")]
    BadAddress,
    /// No connection, or one that broke.
    #[error("the ledger cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// No answer in time.
    #[error("the ledger did not answer in time")]
    Silent,
    /// An answer that goes on and on.
    #[error("the ledger answered with more than {limit_bytes} bytes")]
    TooLong {
        /// Bytes that would have been read.
        limit_bytes: usize,
    },
    /// An answer that is not what was asked for.
    #[error("the ledger answered with something that is no {what}")]
    Rubbish {
        /// What it should have been.
        what: &'static str,
    },
    /// It wants to be asked later.
    #[error("the ledger is busy and wants to be asked again later")]
    Busy {
        /// In how many seconds, if it says so.
        retry_seconds: Option<u64>,
    },
    /// It refused, with a reason of its own.
    #[error("the ledger refused: {title} ({status})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words, cut to a sentence.
        title: String,
    },
    /// No lumens are given away here.
    #[error("this ledger has no place that gives lumens to new accounts")]
    NoFriendbot,
    /// Not the network that was asked for.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl From<reqwest::Error> for HorizonError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Silent } else { Self::Unreachable(error) }
    }
}
