//! Friendbot: an account with ten thousand lumens for anyone who asks, by an ordinary transaction.

use ed25519_dalek::Signer;
use stellar_base::xdr::{
    CreateAccountOp, DecoratedSignature, Memo, MuxedAccount, Operation, OperationBody, Preconditions,
    SequenceNumber, Signature, SignatureHint, Transaction, TransactionEnvelope, TransactionExt,
    TransactionV1Envelope, Uint256, VecM,
};

use super::{Answer, Engine, Pending, SubmitError};
use crate::rules::{
    entry::{AccountKey, account_id},
    envelope::Envelope,
};

/// What it gives: ten thousand lumens.
const GIFT: i64 = 100_000_000_000;
/// What it pays for the transaction.
const FEE: u32 = 100;

/// Why friendbot gives nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FriendbotError {
    /// The account is there already.
    #[error("account already funded to starting balance")]
    Exists,
    /// Its transaction could not be submitted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl Engine {
    /// Creates an account with ten thousand lumens.
    pub(crate) async fn befriend(&self, account: AccountKey) -> Result<Answer, FriendbotError> {
        if self.state().account(&account).is_some() {
            return Err(FriendbotError::Exists);
        }
        Ok(self.enqueue_gift(account)?.answer().await?)
    }

    fn enqueue_gift(&self, account: AccountKey) -> Result<std::sync::Arc<Pending>, SubmitError> {
        let source = self.root.verifying_key().to_bytes();
        // Under the queue's lock nobody else takes the next sequence number.
        let mut queue = self.queue();
        let state = self.state();
        let sequence = queue.next_sequence(&state, &source).ok_or(SubmitError::Unavailable)?;
        let envelope = self.sign_gift(account, source, sequence);
        self.offer(&mut queue, &state, envelope)
    }

    fn sign_gift(&self, account: AccountKey, source: AccountKey, sequence: i64) -> Envelope {
        let create = CreateAccountOp { destination: account_id(account), starting_balance: GIFT };
        let operation = Operation { source_account: None, body: OperationBody::CreateAccount(create) };
        let tx = Transaction {
            source_account: MuxedAccount::Ed25519(Uint256(source)),
            fee: FEE,
            seq_num: SequenceNumber(sequence),
            cond: Preconditions::None,
            memo: Memo::None,
            operations: VecM::try_from(vec![operation]).expect("one operation is within the bounds of XDR"),
            ext: TransactionExt::V0,
        };
        let unsigned = TransactionV1Envelope { tx, signatures: VecM::default() };
        let hash = Envelope::new(TransactionEnvelope::Tx(unsigned.clone()), &self.network).hash();
        let signature = self.root.sign(&hash).to_bytes().to_vec();
        let [.., a, b, c, d] = source;
        let signature = DecoratedSignature {
            hint: SignatureHint([a, b, c, d]),
            signature: Signature(signature.try_into().expect("64 bytes are within the bounds of XDR")),
        };
        let signatures = VecM::try_from(vec![signature]).expect("one signature is within the bounds of XDR");
        Envelope::new(
            TransactionEnvelope::Tx(TransactionV1Envelope { signatures, ..unsigned }),
            &self.network,
        )
    }
}
