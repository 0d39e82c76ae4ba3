//! Which number a transaction used, whatever else it does: of those that this wallet did not make, nothing more is asked.

use ed25519_dalek::{Signature, VerifyingKey};
use stellar_base::xdr::{
    FeeBumpTransactionInnerTx, Hash, Limits, ReadXdr, TransactionEnvelope, TransactionSignaturePayload,
    TransactionSignaturePayloadTaggedTransaction,
};

use super::{MAX_BYTES, MAX_DEPTH, write};
use crate::{Address, Network};

/// A number that an account gave to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Whose.
    pub source: Address,
    /// The number.
    pub sequence: i64,
    /// The transaction.
    pub hash: [u8; 32],
}

impl Used {
    /// What an envelope used, if the account whose number it is has signed it. Nobody else can make one up.
    pub fn read(bytes: &[u8], network: &Network) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let envelope =
            TransactionEnvelope::from_xdr(bytes, Limits { depth: MAX_DEPTH, len: MAX_BYTES }).ok()?;
        let v1 = match envelope {
            TransactionEnvelope::Tx(v1) => v1,
            TransactionEnvelope::TxFeeBump(bump) => match bump.tx.inner_tx {
                FeeBumpTransactionInnerTx::Tx(inner) => inner,
            },
            TransactionEnvelope::TxV0(_) => return None,
        };
        let source = Address::of_muxed(&v1.tx.source_account)?;
        let sequence = v1.tx.seq_num.0;
        let hash = write::sha256(&TransactionSignaturePayload {
            network_id: Hash(*network.id()),
            tagged_transaction: TransactionSignaturePayloadTaggedTransaction::Tx(v1.tx),
        });
        let key = VerifyingKey::from_bytes(&source.0).ok()?;
        let is_signed = v1.signatures.iter().any(|decorated| {
            Signature::from_slice(decorated.signature.0.as_slice())
                .is_ok_and(|signature| key.verify_strict(&hash, &signature).is_ok())
        });
        is_signed.then_some(Self { source, sequence, hash })
    }
}
