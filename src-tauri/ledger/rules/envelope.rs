//! A transaction as it was signed: decoded within limits, with the hashes that its signatures cover.
//!
//! Invariant: an [`Envelope`] has at most a hundred operations and twenty signatures on each level; its bytes are its
//! canonical XDR. Envelopes of version 0 become version 1, as stellar-core makes them, which keeps their hash.

use stellar_base::xdr::{
    DecoratedSignature, EnvelopeType, FeeBumpTransactionInnerTx, Limits, MuxedAccount, ReadXdr, Transaction,
    TransactionEnvelope, TransactionV1Envelope, WriteXdr,
};

use super::{
    entry::{AccountKey, account_key},
    sha256,
    signatures::Verdicts,
    to_xdr,
};

/// Longest envelope, in bytes: what stellar-core takes for a transaction without contracts.
pub const MAX_BYTES: usize = 100 << 10;
/// Deepest nesting that is decoded.
const MAX_DEPTH: u32 = 200;

/// Why bytes are no transaction.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`MAX_BYTES`].
    #[error("the transaction is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not the XDR of an envelope, or one beyond the limits of XDR.
    #[error("the bytes are not the XDR of a transaction envelope: {0}")]
    Malformed(#[from] stellar_base::xdr::Error),
}

/// A transaction and what signs it.
#[derive(Debug)]
pub struct Inner {
    /// The transaction.
    pub tx: Transaction,
    /// Its signatures.
    pub signatures: Vec<DecoratedSignature>,
    /// What they cover.
    pub hash: [u8; 32],
    pub(crate) verdicts: Verdicts,
}

/// Somebody else's promise to pay the fee.
#[derive(Debug)]
pub struct Bump {
    /// Who pays.
    pub source: MuxedAccount,
    /// At most this.
    pub fee: i64,
    /// Signatures of the one who pays.
    pub signatures: Vec<DecoratedSignature>,
    /// What they cover.
    pub hash: [u8; 32],
    pub(crate) verdicts: Verdicts,
}

/// A decoded envelope.
#[derive(Debug)]
pub struct Envelope {
    /// The transaction itself.
    pub inner: Inner,
    /// The fee bump around it.
    pub bump: Option<Bump>,
    /// The whole as XDR.
    pub bytes: Vec<u8>,
}

impl Envelope {
    /// Decodes an envelope for the network with this id.
    ///
    /// # Errors
    /// [`EnvelopeError`]; bytes after the envelope are refused too.
    pub fn decode(bytes: &[u8], network: &[u8; 32]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_BYTES {
            return Err(EnvelopeError::TooLong);
        }
        let envelope = TransactionEnvelope::from_xdr(bytes, Limits { depth: MAX_DEPTH, len: MAX_BYTES })?;
        Ok(Self::new(envelope, network))
    }

    /// Takes over an envelope that was decoded within limits or made here.
    pub fn new(envelope: TransactionEnvelope, network: &[u8; 32]) -> Self {
        let envelope = match envelope {
            TransactionEnvelope::TxV0(v0) => {
                TransactionEnvelope::Tx(TransactionV1Envelope { tx: v0.tx.into(), signatures: v0.signatures })
            }
            other => other,
        };
        let bytes = to_xdr(&envelope);
        match envelope {
            TransactionEnvelope::TxFeeBump(outer) => {
                let hash = hash(network, EnvelopeType::TxFeeBump, &outer.tx);
                let bump = Bump {
                    source: outer.tx.fee_source,
                    fee: outer.tx.fee,
                    signatures: outer.signatures.into_vec(),
                    hash,
                    verdicts: Verdicts::default(),
                };
                let FeeBumpTransactionInnerTx::Tx(inner) = outer.tx.inner_tx;
                Self { inner: Inner::new(inner, network), bump: Some(bump), bytes }
            }
            TransactionEnvelope::Tx(v1) => Self { inner: Inner::new(v1, network), bump: None, bytes },
            TransactionEnvelope::TxV0(v0) => {
                let v1 = TransactionV1Envelope { tx: v0.tx.into(), signatures: v0.signatures };
                Self { inner: Inner::new(v1, network), bump: None, bytes }
            }
        }
    }

    /// The name under which it is known: the hash of the outermost transaction.
    pub fn hash(&self) -> [u8; 32] {
        self.bump.as_ref().map_or(self.inner.hash, |bump| bump.hash)
    }

    /// Who pays the fee.
    pub fn fee_source(&self) -> AccountKey {
        self.bump.as_ref().map_or_else(|| self.inner.source(), |bump| key(&bump.source))
    }

    /// At most what is paid.
    pub fn full_fee(&self) -> i64 {
        self.bump.as_ref().map_or_else(|| i64::from(self.inner.tx.fee), |bump| bump.fee)
    }

    /// Operations whose fee is paid: a fee bump counts as one more.
    pub fn fee_operations(&self) -> i64 {
        self.inner.operation_count().max(1) + i64::from(self.bump.is_some())
    }
}

impl Inner {
    fn new(envelope: TransactionV1Envelope, network: &[u8; 32]) -> Self {
        let hash = hash(network, EnvelopeType::Tx, &envelope.tx);
        Self {
            tx: envelope.tx,
            signatures: envelope.signatures.into_vec(),
            hash,
            verdicts: Verdicts::default(),
        }
    }

    /// The account whose sequence number it uses.
    pub fn source(&self) -> AccountKey {
        key(&self.tx.source_account)
    }

    /// Its sequence number.
    pub fn sequence(&self) -> i64 {
        self.tx.seq_num.0
    }

    pub(crate) fn operation_count(&self) -> i64 {
        i64::try_from(self.tx.operations.len()).unwrap_or(i64::MAX)
    }
}

/// The account of an address that may carry a number for its holder's books.
pub fn key(muxed: &MuxedAccount) -> AccountKey {
    account_key(&muxed.clone().account_id())
}

/// SHA-256 of network id ‖ envelope type ‖ transaction: what a signature covers.
fn hash(network: &[u8; 32], kind: EnvelopeType, tx: &impl WriteXdr) -> [u8; 32] {
    sha256(&[network, &(kind as i32).to_be_bytes(), &to_xdr(tx)])
}
