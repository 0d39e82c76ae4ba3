//! A receipt as a file that shows everything by itself: anyone checks it offline, with nothing else at hand.
//!
//! ```text
//! {"hayloft_receipt": 1,
//!  "terms":    signed terms of the contract,       "revision": the signed revision that was asked about,
//!  "shards":   its shards in ascending order,      "keys":     the owner's verifier keys,
//!  "receipt":  transcript and the farmer's signed answer}
//! ```
//! Each value is the hex form of the very bytes that are signed or hashed elsewhere ([`crate::codec`]); nothing in the file
//! is only said. Who made it does not matter: all of it is signed by owner and farmer, or named by what they signed.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Judgement, Reason, Verdict};
use crate::{
    audit::{Evidence, Finding, Receipt, ReceiptError, VerifierKey},
    codec::{self, CodecError},
    contract::{ShardEntry, SignedRevision, SignedTerms},
};

const VERSION: u8 = 1;
/// The longest part, in bytes: the shards of the largest contract.
const PART_BYTES: usize = 8 << 20;
/// The longest such file, in bytes.
pub const MAX_EXPORTED_BYTES: usize = 24 << 20;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    hayloft_receipt: u8,
    terms: String,
    revision: String,
    shards: String,
    keys: Vec<String>,
    receipt: String,
}

/// Why a file shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportedError {
    /// Of another version.
    #[error("the receipt is of version {found}, which this release does not read")]
    Version {
        /// Which.
        found: u8,
    },
    /// A part is not what it should be.
    #[error("the receipt's {part} cannot be read")]
    Part {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        cause: CodecError,
    },
    /// An audit key is unsound.
    #[error("an audit key in the receipt is no sound key")]
    Key,
    /// It is well formed and shows nothing.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

/// Why a receipt does not bear out what its auditor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBorneOut {
    /// It is about another epoch.
    #[error("the auditor's receipt is about another epoch")]
    OtherEpoch,
    /// It is about another revision.
    #[error("the auditor's receipt is about another revision")]
    OtherRevision,
    /// It shows something else.
    #[error("the auditor's receipt shows something else than the auditor says")]
    OtherOutcome,
}

/// What a file shows, all of it verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The contract.
    pub terms: SignedTerms,
    /// Question and answer.
    pub receipt: Receipt,
    /// What they show.
    pub finding: Finding,
}

impl Exported {
    /// Puts receipt and evidence together.
    pub fn new(
        terms: &SignedTerms,
        revision: &SignedRevision,
        shards: &[ShardEntry],
        keys: &[VerifierKey],
        receipt: &Receipt,
    ) -> Self {
        let receipt = Receipt { shards: None, ..receipt.clone() };
        Self {
            hayloft_receipt: VERSION,
            terms: text(&codec::encode(VERSION, terms)),
            revision: text(&codec::encode(VERSION, revision)),
            shards: text(&codec::encode(VERSION, &shards)),
            keys: keys.iter().map(|key| text(key.encode())).collect(),
            receipt: text(&receipt.encode()),
        }
    }

    /// What it shows. All signatures, the shard list and the proofs are verified.
    ///
    /// # Errors
    /// [`ExportedError`] if it shows nothing.
    pub fn judge(&self) -> Result<Shown, ExportedError> {
        if self.hayloft_receipt != VERSION {
            return Err(ExportedError::Version { found: self.hayloft_receipt });
        }
        let terms: SignedTerms = part("contract", &self.terms)?;
        let revision: SignedRevision = part("revision", &self.revision)?;
        let shards: Vec<ShardEntry> = part("shard list", &self.shards)?;
        let receipt = Receipt::decode(&bytes("proof", &self.receipt)?)?;
        let keys = self.keys.iter().take(crate::audit::MAX_TAG_KEYS);
        let keys =
            keys.map(|key| VerifierKey::decode(&bytes("audit key", key)?).map_err(|_| ExportedError::Key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let evidence = Evidence { terms: &terms, revision: &revision, shards: Some(&shards), keys: &keys };
        let finding = receipt.judge(&evidence)?;
        Ok(Shown { finding, terms, receipt })
    }
}

impl Shown {
    /// Whether this shows what an auditor says came of an epoch. What it says without a receipt, of silence, is its word alone.
    ///
    /// # Errors
    /// [`NotBorneOut`] if it does not.
    pub fn bears_out(&self, said: &Judgement) -> Result<(), NotBorneOut> {
        let transcript = &self.receipt.transcript;
        if transcript.epoch != said.epoch {
            return Err(NotBorneOut::OtherEpoch);
        }
        if transcript.revision != said.revision {
            return Err(NotBorneOut::OtherRevision);
        }
        let Finding { outcome, stands_for_epoch, .. } = self.finding;
        let shown = match (said.verdict, said.reason) {
            (Verdict::Passed, None) => outcome.is_ok() && stands_for_epoch,
            (Verdict::Failed, Some(Reason::WrongProof(failure))) => outcome == Err(failure),
            (Verdict::Undecided, Some(Reason::LossReported)) => outcome.is_ok(),
            _ => false,
        };
        if shown { Ok(()) } else { Err(NotBorneOut::OtherOutcome) }
    }
}

fn text(bytes: &[u8]) -> String {
    HEXLOWER_PERMISSIVE.encode(bytes)
}

fn bytes(part: &'static str, text: &str) -> Result<Vec<u8>, ExportedError> {
    let cause = CodecError::Malformed;
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ExportedError::Part { part, cause })
}

fn part<T: Serialize + DeserializeOwned>(part: &'static str, text: &str) -> Result<T, ExportedError> {
    codec::decode(VERSION, &bytes(part, text)?, PART_BYTES)
        .map_err(|cause| ExportedError::Part { part, cause })
}
