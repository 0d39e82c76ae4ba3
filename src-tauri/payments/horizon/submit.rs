//! Handing in a transaction.
//!
//! Horizon answers once its ledger closed, at most after a minute. A 504, a broken connection or silence say nothing: the
//! transaction may be in a ledger, may get into one until its latest time, or may be lost. Handing in the identical
//! envelope again is safe, and answered with what came of it. A refusal too may only mean that its twin got in before:
//! so what counts is the ledger, asked by hash.

use reqwest::StatusCode;
use serde::Deserialize;

use super::{Horizon, HorizonError, http};
use crate::envelope::Signed;

/// Characters of a code, and codes of a refusal, that are kept.
const CODE_CHARS: usize = 64;
const MAX_CODES: usize = 100;

/// What Horizon said of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// It is in this ledger and took effect.
    Applied {
        /// Which.
        ledger: u32,
    },
    /// It did not take effect. Whether it is in a ledger, with its fee paid, only the ledger says.
    Declined(Codes),
    /// Nobody knows: ask the ledger, and hand the identical envelope in again.
    Unknown,
}

/// Stellar's words for why something did not take effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Codes {
    /// Of the transaction, such as `tx_bad_seq`.
    pub transaction: String,
    /// Of its operations, such as `op_no_destination`.
    pub operations: Vec<String>,
}

impl std::fmt::Display for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.transaction)?;
        let failed = self.operations.iter().filter(|code| *code != "op_success").take(3);
        failed.into_iter().try_for_each(|code| write!(f, ", {code}"))
    }
}

#[derive(Deserialize)]
struct RawApplied {
    hash: String,
    ledger: u32,
    successful: bool,
}

#[derive(Deserialize)]
struct RawDeclined {
    extras: RawExtras,
}

#[derive(Deserialize)]
struct RawExtras {
    result_codes: RawCodes,
}

#[derive(Deserialize)]
struct RawCodes {
    transaction: String,
    #[serde(default)]
    operations: Vec<String>,
}

impl RawCodes {
    fn read(self) -> Codes {
        let code = |text: String| -> String {
            text.chars().filter(char::is_ascii_graphic).take(CODE_CHARS).collect()
        };
        Codes {
            transaction: code(self.transaction),
            operations: self.operations.into_iter().take(MAX_CODES).map(code).collect(),
        }
    }
}

impl Horizon {
    /// Hands in a transaction and waits for its ledger.
    ///
    /// # Errors
    /// [`HorizonError::Refused`] if Horizon does not take it for a transaction, [`HorizonError::Unreachable`] if it was
    /// surely not handed in. All else is a [`Submission`].
    pub async fn submit(&self, signed: &Signed, hash: &[u8; 32]) -> Result<Submission, HorizonError> {
        let request = self.http.post(self.url(&["transactions"], &[])).form(&[("tx", signed.to_base64())]);
        let answer = match self.exchange(request, self.limits.submit).await {
            Ok(answer) => answer,
            Err(HorizonError::Unreachable(error)) if error.is_connect() => {
                return Err(HorizonError::Unreachable(error));
            }
            Err(error) => {
                tracing::debug!(%error, "no answer to a transaction");
                return Ok(Submission::Unknown);
            }
        };
        match answer.status {
            StatusCode::OK => Ok(applied(&answer.body, hash)),
            StatusCode::BAD_REQUEST => match http::record::<RawDeclined>(&answer.body, "refusal") {
                Ok(declined) => Ok(Submission::Declined(declined.extras.result_codes.read())),
                Err(_) => Err(answer.refusal()),
            },
            // Busy, out of order or too slow: all may have passed it on.
            _ => Ok(Submission::Unknown),
        }
    }
}

/// An answer about another transaction, or that contradicts itself, is none.
fn applied(body: &[u8], hash: &[u8; 32]) -> Submission {
    match http::record::<RawApplied>(body, "transaction") {
        Ok(raw) if raw.successful && raw.hash == data_encoding::HEXLOWER.encode(hash) => {
            Submission::Applied { ledger: raw.ledger }
        }
        _ => Submission::Unknown,
    }
}
