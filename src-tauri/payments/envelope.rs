//! Transactions that Hayloft makes and signs: a few kinds of operation, without anything else.
//!
//! A [`Draft`] is what a transaction says, in types of ours; [`Signed`] is one with signatures. What comes from a stranger
//! is decoded within limits, taken apart into a [`Draft`], and must be written as the very same bytes again. So whatever a
//! draft cannot say — another operation, asset, precondition, kind of memo or account — is refused, and nothing that is
//! not fully understood is ever signed.
//!
//! Signatures are Ed25519 over SHA-256(network id ‖ kind of envelope ‖ transaction), checked by the strict rules.

mod read;
mod used;
mod write;

use data_encoding::BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use hayloft_core::{Amount, Timestamp, keys::StellarKey};
use stellar_base::xdr::{Limits, ReadXdr, TransactionEnvelope, WriteXdr};

pub use self::used::Used;
use crate::{Address, Network, horizon::BalanceId};

/// Operations that a transaction can have.
pub const MAX_STEPS: usize = 100;
/// Signatures that a transaction can have.
pub const MAX_SIGNATURES: usize = 20;
/// Longest envelope, in bytes.
pub const MAX_BYTES: usize = 100 << 10;
/// Longest memo, in bytes.
pub const MAX_MEMO_BYTES: usize = 28;
const MAX_DEPTH: u32 = 50;

/// Why bytes are no transaction that Hayloft understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than any.
    #[error("the transaction is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// No transaction.
    #[error("the bytes are no transaction")]
    Malformed,
    /// It does something that Hayloft never does.
    #[error("the transaction does something that Hayloft does not know: {what}")]
    NotUnderstood {
        /// What.
        what: &'static str,
    },
}

/// What a transaction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Whose sequence number it uses, and who pays its fee.
    pub source: Address,
    /// The number.
    pub sequence: i64,
    /// Stroops that may be taken for all of it.
    pub fee: u32,
    /// When it may be applied.
    pub window: Window,
    /// What it is for.
    pub memo: Memo,
    /// What it does, in this order and wholly or not at all.
    pub steps: Vec<Step>,
}

/// When a transaction may be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Not before.
    pub from: Timestamp,
    /// Not after; none is never too late.
    pub until: Option<Timestamp>,
    /// From this ledger on.
    pub from_ledger: u32,
    /// Only before this ledger; none is never too late.
    pub before_ledger: Option<u32>,
    /// Whether the source's sequence number may be any lower one, not only the one before.
    pub skips_numbers: bool,
}

impl Window {
    /// Up to this time.
    pub fn until(time: Timestamp) -> Self {
        Self { until: Some(time), ..Self::default() }
    }

    fn is_plain(&self) -> bool {
        self.from_ledger == 0 && self.before_ledger.is_none() && !self.skips_numbers
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Memo {
    /// Nothing is said.
    #[default]
    None,
    /// At most [`MAX_MEMO_BYTES`] bytes.
    Text(String),
    /// 32 bytes, such as a contract's id.
    Hash([u8; 32]),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// On whose behalf; none is the transaction's source.
    pub by: Option<Address>,
    /// What.
    pub deed: Do,
}

/// What an operation does. All amounts are lumens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Makes an account.
    Create {
        /// Which.
        account: Address,
        /// What it begins with.
        balance: Amount,
    },
    /// Pays.
    Pay {
        /// Whom.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// Lets another sign for the account, or no longer if the weight is 0.
    Sign {
        /// Who.
        who: Lock,
        /// How much its signature counts.
        weight: u8,
    },
    /// Sets how much the account's own key counts, and how much every operation needs.
    Rule {
        /// What the account's own key counts.
        own: u8,
        /// What each operation needs.
        needed: u8,
    },
    /// Locks lumens for whoever may claim them.
    Lock {
        /// How much.
        amount: Amount,
        /// Who, each from a time on.
        claimants: Vec<(Address, Timestamp)>,
    },
    /// Claims what was locked.
    Claim {
        /// Which balance.
        balance: BalanceId,
    },
    /// Ends the account and gives all it has to another.
    Merge {
        /// Which.
        into: Address,
    },
}

/// Who or what signs for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// An account's own key.
    Key(Address),
    /// The transaction with this hash, which needs no signature then.
    Transaction([u8; 32]),
}

/// A transaction with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    draft: Draft,
    signatures: Vec<([u8; 4], [u8; 64])>,
}

impl Draft {
    /// What signatures cover, and the name under which the ledger knows it.
    pub fn hash(&self, network: &Network) -> [u8; 32] {
        write::hash(self, network)
    }

    /// Without signatures yet.
    pub fn unsigned(self) -> Signed {
        Signed { draft: self, signatures: Vec::new() }
    }

    /// The name that a balance will have which this transaction's step of that index locks.
    pub fn balance_id(&self, index: u32) -> BalanceId {
        write::balance_id(self.source, self.sequence, index)
    }

    /// Lumens that leave its source for elsewhere, its fee not counted.
    pub fn spends(&self) -> Amount {
        let of = |step: &Step| match (&step.deed, step.by) {
            (_, Some(by)) if by != self.source => 0,
            (Do::Create { balance: amount, .. } | Do::Pay { amount, .. } | Do::Lock { amount, .. }, _) => {
                amount.0
            }
            (Do::Sign { .. } | Do::Rule { .. } | Do::Claim { .. } | Do::Merge { .. }, _) => 0,
        };
        Amount(self.steps.iter().map(of).fold(0, u64::saturating_add))
    }
}

impl Signed {
    /// Decodes a stranger's bytes.
    ///
    /// # Errors
    /// [`EnvelopeError`] unless every byte of it is understood.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_BYTES {
            return Err(EnvelopeError::TooLong);
        }
        let limits = Limits { depth: MAX_DEPTH, len: MAX_BYTES };
        let envelope = TransactionEnvelope::from_xdr(bytes, limits).map_err(|_| EnvelopeError::Malformed)?;
        let signed = read::envelope(&envelope)?;
        // What was read must be all that is there.
        if signed.to_bytes() != bytes {
            return Err(EnvelopeError::NotUnderstood { what: "another way to write it" });
        }
        Ok(signed)
    }

    /// What it says.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Adds a signature.
    pub fn sign(&mut self, key: &StellarKey, network: &Network) {
        let public = key.public();
        let hint = [public[28], public[29], public[30], public[31]];
        self.signatures.push((hint, key.sign(&self.draft.hash(network))));
    }

    /// The same, signed.
    #[must_use]
    pub fn signed(mut self, key: &StellarKey, network: &Network) -> Self {
        self.sign(key, network);
        self
    }

    /// Whether one of its signatures is this account's own.
    pub fn is_signed_by(&self, who: Address, network: &Network) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&who.0) else { return false };
        let hash = self.draft.hash(network);
        self.signatures
            .iter()
            .any(|(_, bytes)| key.verify_strict(&hash, &Signature::from_bytes(bytes)).is_ok())
    }

    /// How many signatures it has.
    pub fn signatures(&self) -> usize {
        self.signatures.len()
    }

    /// As XDR.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::envelope(self).to_xdr(Limits::none()).expect("a draft is bounded and writes to memory")
    }

    /// As XDR in base64, as Horizon takes it.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.to_bytes())
    }
}

#[cfg(test)]
mod tests;
