//! From our types to XDR.

use hayloft_core::{Amount, Timestamp};
use sha2::{Digest, Sha256};
use stellar_base::xdr::{
    Asset, ClaimClaimableBalanceOp, ClaimPredicate, ClaimableBalanceId, Claimant, ClaimantV0,
    CreateAccountOp, CreateClaimableBalanceOp, DecoratedSignature, Duration, Hash, HashIdPreimage,
    HashIdPreimageOperationId, LedgerBounds, Limits, Memo as XdrMemo, Operation, OperationBody, PaymentOp,
    Preconditions, PreconditionsV2, SequenceNumber, SetOptionsOp, Signature, SignatureHint, Signer,
    SignerKey, StringM, TimeBounds, TimePoint, Transaction, TransactionEnvelope, TransactionExt,
    TransactionSignaturePayload, TransactionSignaturePayloadTaggedTransaction, TransactionV1Envelope,
    Uint256, VecM, WriteXdr,
};

use super::{Do, Draft, Lock, Memo, Signed, Step, Window};
use crate::{Address, Network, horizon::BalanceId};

const FITS: &str = "a draft holds no more than a transaction can";

pub(super) fn hash(draft: &Draft, network: &Network) -> [u8; 32] {
    sha256(&TransactionSignaturePayload {
        network_id: Hash(*network.id()),
        tagged_transaction: TransactionSignaturePayloadTaggedTransaction::Tx(transaction(draft)),
    })
}

pub(super) fn balance_id(source: Address, sequence: i64, index: u32) -> BalanceId {
    BalanceId(sha256(&HashIdPreimage::OpId(HashIdPreimageOperationId {
        source_account: source.to_id(),
        seq_num: SequenceNumber(sequence),
        op_num: index,
    })))
}

pub(super) fn sha256(value: &impl WriteXdr) -> [u8; 32] {
    Sha256::digest(value.to_xdr(Limits::none()).expect("it is bounded and writes to memory")).into()
}

pub(super) fn envelope(signed: &Signed) -> TransactionEnvelope {
    let signature = |(hint, bytes): &([u8; 4], [u8; 64])| DecoratedSignature {
        hint: SignatureHint(*hint),
        signature: Signature(bytes.to_vec().try_into().expect("64 bytes")),
    };
    let signatures: Vec<_> = signed.signatures.iter().map(signature).collect();
    TransactionEnvelope::Tx(TransactionV1Envelope {
        tx: transaction(&signed.draft),
        signatures: signatures.try_into().expect(FITS),
    })
}

fn transaction(draft: &Draft) -> Transaction {
    let memo = match &draft.memo {
        Memo::None => XdrMemo::None,
        Memo::Text(text) => XdrMemo::Text(StringM::try_from(text.as_bytes().to_vec()).expect(FITS)),
        Memo::Hash(hash) => XdrMemo::Hash(Hash(*hash)),
    };
    let operations: Vec<_> = draft.steps.iter().map(operation).collect();
    Transaction {
        source_account: draft.source.to_muxed(),
        fee: draft.fee,
        seq_num: SequenceNumber(draft.sequence),
        cond: conditions(&draft.window),
        memo,
        operations: operations.try_into().expect(FITS),
        ext: TransactionExt::V0,
    }
}

fn conditions(window: &Window) -> Preconditions {
    let times = TimeBounds {
        min_time: TimePoint(window.from.0),
        max_time: TimePoint(window.until.map_or(0, |time| time.0)),
    };
    if window.is_plain() {
        return Preconditions::Time(times);
    }
    let bounds =
        LedgerBounds { min_ledger: window.from_ledger, max_ledger: window.before_ledger.unwrap_or(0) };
    Preconditions::V2(PreconditionsV2 {
        time_bounds: Some(times),
        ledger_bounds: Some(bounds),
        min_seq_num: window.skips_numbers.then_some(SequenceNumber(0)),
        min_seq_age: Duration(0),
        min_seq_ledger_gap: 0,
        extra_signers: VecM::default(),
    })
}

fn stroops(amount: Amount) -> i64 {
    i64::try_from(amount.0).expect("an amount on a ledger is below 2^63")
}

fn operation(step: &Step) -> Operation {
    let body = match &step.deed {
        Do::Create { account, balance } => OperationBody::CreateAccount(CreateAccountOp {
            destination: account.to_id(),
            starting_balance: stroops(*balance),
        }),
        Do::Pay { to, amount } => OperationBody::Payment(PaymentOp {
            destination: to.to_muxed(),
            asset: Asset::Native,
            amount: stroops(*amount),
        }),
        Do::Sign { who, weight } => {
            let key = match who {
                Lock::Key(address) => SignerKey::Ed25519(Uint256(address.0)),
                Lock::Transaction(hash) => SignerKey::PreAuthTx(Uint256(*hash)),
            };
            let signer = Some(Signer { key, weight: u32::from(*weight) });
            OperationBody::SetOptions(SetOptionsOp { signer, ..nothing() })
        }
        Do::Rule { own, needed } => OperationBody::SetOptions(SetOptionsOp {
            master_weight: Some(u32::from(*own)),
            low_threshold: Some(u32::from(*needed)),
            med_threshold: Some(u32::from(*needed)),
            high_threshold: Some(u32::from(*needed)),
            ..nothing()
        }),
        Do::Lock { amount, claimants } => {
            let claimants: Vec<_> = claimants.iter().map(|(who, from)| claimant(*who, *from)).collect();
            OperationBody::CreateClaimableBalance(CreateClaimableBalanceOp {
                asset: Asset::Native,
                amount: stroops(*amount),
                claimants: claimants.try_into().expect(FITS),
            })
        }
        Do::Claim { balance } => OperationBody::ClaimClaimableBalance(ClaimClaimableBalanceOp {
            balance_id: ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(balance.0)),
        }),
        Do::Merge { into } => OperationBody::AccountMerge(into.to_muxed()),
    };
    Operation { source_account: step.by.map(Address::to_muxed), body }
}

/// Options that set nothing.
pub(super) fn nothing() -> SetOptionsOp {
    SetOptionsOp {
        inflation_dest: None,
        clear_flags: None,
        set_flags: None,
        master_weight: None,
        low_threshold: None,
        med_threshold: None,
        high_threshold: None,
        home_domain: None,
        signer: None,
    }
}

fn claimant(who: Address, from: Timestamp) -> Claimant {
    let time = i64::try_from(from.0).expect("a time on a ledger is below 2^63");
    let predicate = ClaimPredicate::Not(Some(Box::new(ClaimPredicate::BeforeAbsoluteTime(time))));
    Claimant::ClaimantTypeV0(ClaimantV0 { destination: who.to_id(), predicate })
}
