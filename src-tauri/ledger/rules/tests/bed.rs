//! A network in memory with keys for everybody.

use ed25519_dalek::{Signer as _, SigningKey};
use stellar_base::xdr::{
    CreateAccountOp, DecoratedSignature, FeeBumpTransaction, FeeBumpTransactionEnvelope,
    FeeBumpTransactionExt, FeeBumpTransactionInnerTx, Memo, MuxedAccount, Operation, OperationBody,
    Preconditions, SequenceNumber, Signature, SignatureHint, Transaction, TransactionEnvelope,
    TransactionExt, TransactionV1Envelope, Uint256,
};

use crate::rules::{
    BASE_RESERVE, TOTAL_STROOPS,
    close::{Closed, Fate, close, genesis},
    entry::{Account, AccountKey, Entry, account_id},
    envelope::Envelope,
    state::State,
};

pub(super) const NETWORK: [u8; 32] = [7; 32];

pub(super) fn signer(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn account(seed: u8) -> AccountKey {
    signer(seed).verifying_key().to_bytes()
}

pub(super) fn operation(source: Option<u8>, body: OperationBody) -> Operation {
    let source_account = source.map(|seed| MuxedAccount::Ed25519(Uint256(account(seed))));
    Operation { source_account, body }
}

fn sign(hash: &[u8], seeds: &[u8]) -> Vec<DecoratedSignature> {
    let sign = |seed: &u8| {
        let [.., a, b, c, d] = account(*seed);
        let signature = signer(*seed).sign(hash).to_bytes().to_vec();
        DecoratedSignature {
            hint: SignatureHint([a, b, c, d]),
            signature: Signature(signature.try_into().unwrap()),
        }
    };
    seeds.iter().map(sign).collect()
}

/// A transaction of `source` with this sequence number, signed by `seeds`.
pub(super) fn transaction(
    source: u8,
    sequence: i64,
    cond: Preconditions,
    operations: Vec<Operation>,
    seeds: &[u8],
) -> Envelope {
    let tx = Transaction {
        source_account: MuxedAccount::Ed25519(Uint256(account(source))),
        fee: 100 * u32::try_from(operations.len()).unwrap().max(1),
        seq_num: SequenceNumber(sequence),
        cond,
        memo: Memo::None,
        operations: operations.try_into().unwrap(),
        ext: TransactionExt::V0,
    };
    let envelope = TransactionV1Envelope { tx, signatures: Vec::new().try_into().unwrap() };
    let hash = Envelope::new(TransactionEnvelope::Tx(envelope.clone()), &NETWORK).hash();
    let signatures = sign(&hash, seeds).try_into().unwrap();
    Envelope::new(TransactionEnvelope::Tx(TransactionV1Envelope { signatures, ..envelope }), &NETWORK)
}

/// A fee bump around a transaction.
pub(super) fn bump(inner: &Envelope, payer: u8, fee: i64) -> Envelope {
    let inner = TransactionV1Envelope {
        tx: inner.inner.tx.clone(),
        signatures: inner.inner.signatures.clone().try_into().unwrap(),
    };
    let tx = FeeBumpTransaction {
        fee_source: MuxedAccount::Ed25519(Uint256(account(payer))),
        fee,
        inner_tx: FeeBumpTransactionInnerTx::Tx(inner),
        ext: FeeBumpTransactionExt::V0,
    };
    let envelope = FeeBumpTransactionEnvelope { tx, signatures: Vec::new().try_into().unwrap() };
    let hash = Envelope::new(TransactionEnvelope::TxFeeBump(envelope.clone()), &NETWORK).hash();
    let signatures = sign(&hash, &[payer]).try_into().unwrap();
    Envelope::new(
        TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope { signatures, ..envelope }),
        &NETWORK,
    )
}

/// The network: its state, moved on ledger by ledger.
pub(super) struct Bed {
    pub(super) state: State,
}

/// The account that holds everything at first.
pub(super) const ROOT: u8 = 200;

impl Bed {
    /// A network on which these accounts have a thousand lumens each, in ledger 2.
    pub(super) fn new(seeds: &[u8]) -> Self {
        let mut bed = Self { state: genesis(account(ROOT), 1000) };
        let create = |seed: &u8| {
            let op = CreateAccountOp {
                destination: account_id(account(*seed)),
                starting_balance: 2000 * BASE_RESERVE,
            };
            operation(None, OperationBody::CreateAccount(op))
        };
        let tx = transaction(ROOT, 1, Preconditions::None, seeds.iter().map(create).collect(), &[ROOT]);
        assert!(matches!(bed.close(&[&tx], 1005).fates[..], [Fate::Applied { success: true, .. }]));
        bed
    }

    /// Closes a ledger and checks what must hold in every one.
    pub(super) fn close(&mut self, offered: &[&Envelope], time: u64) -> Closed {
        let closed = close(&self.state, offered, time);
        let before = self.state.hash();
        assert_eq!(closed.header.previous_ledger_hash.0, before);
        self.state.advance(closed.changes.clone(), closed.header.clone());
        self.check();
        closed
    }

    /// Lumens are neither made nor lost, nobody is below the reserve but by fees, and reserves are counted right.
    fn check(&self) {
        let mut sum = self.state.header().fee_pool;
        let mut reserves = std::collections::HashMap::<AccountKey, u32>::new();
        for (_, entry) in self.state.entries() {
            match entry {
                Entry::Account(account) => sum += account.balance,
                Entry::Balance(balance) => {
                    if balance.asset == stellar_base::xdr::Asset::Native {
                        sum += balance.amount;
                    }
                    *reserves.entry(balance.sponsor).or_default() +=
                        u32::try_from(balance.claimants.len()).unwrap();
                }
                Entry::Data(..) => {}
            }
        }
        assert_eq!(sum, TOTAL_STROOPS);
        for (key, entry) in self.state.entries() {
            if let Entry::Account(account) = entry {
                assert!(account.balance >= 0);
                assert_eq!(account.sponsoring, reserves.remove(&account.key).unwrap_or(0));
                let data = self.state.data(account.key).count();
                assert_eq!(usize::try_from(account.subentries).unwrap(), account.signers.len() + data);
            }
            let (read_key, read) = Entry::from_ledger_entry(entry.to_ledger_entry(key)).unwrap();
            assert_eq!((&read_key, &read), (key, entry));
        }
        assert!(reserves.is_empty(), "reserves held by nobody");
    }

    pub(super) fn find(&self, seed: u8) -> Option<&Account> {
        self.state.account(&account(seed))
    }

    /// The sequence number that an account's next transaction needs.
    pub(super) fn next(&self, seed: u8) -> i64 {
        self.find(seed).map_or(1, |account| account.sequence + 1)
    }
}
