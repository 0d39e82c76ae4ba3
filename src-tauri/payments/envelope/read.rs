//! From XDR to our types; whatever they cannot say is refused by name.

use hayloft_core::{Amount, Timestamp};
use stellar_base::xdr::{
    Asset, ClaimPredicate, ClaimableBalanceId, Claimant, ClaimantV0, Hash, Memo as XdrMemo, Operation,
    OperationBody, Preconditions, SetOptionsOp, SignerKey, TimeBounds, Transaction, TransactionEnvelope,
    TransactionExt, Uint256,
};

use super::{Do, Draft, EnvelopeError, Lock, MAX_MEMO_BYTES, Memo, Signed, Step, Window, write};
use crate::{Address, horizon::BalanceId};

type Read<T> = Result<T, EnvelopeError>;

fn other<T>(what: &'static str) -> Read<T> {
    Err(EnvelopeError::NotUnderstood { what })
}

pub(super) fn envelope(envelope: &TransactionEnvelope) -> Read<Signed> {
    let TransactionEnvelope::Tx(v1) = envelope else { return other("another kind of envelope") };
    let mut signatures = Vec::with_capacity(v1.signatures.len());
    for decorated in v1.signatures.iter() {
        match decorated.signature.0.as_slice().try_into() {
            Ok(bytes) => signatures.push((decorated.hint.0, bytes)),
            Err(_) => return other("another kind of signature"),
        }
    }
    Ok(Signed { draft: draft(&v1.tx)?, signatures })
}

fn draft(tx: &Transaction) -> Read<Draft> {
    let memo = match &tx.memo {
        XdrMemo::None => Memo::None,
        XdrMemo::Text(text) => match text.to_utf8_string() {
            Ok(text) if text.len() <= MAX_MEMO_BYTES => Memo::Text(text),
            _ => return other("a memo that is no text"),
        },
        XdrMemo::Hash(Hash(hash)) => Memo::Hash(*hash),
        XdrMemo::Id(_) | XdrMemo::Return(_) => return other("another kind of memo"),
    };
    if tx.ext != TransactionExt::V0 {
        return other("resources");
    }
    Ok(Draft {
        source: account(&tx.source_account)?,
        sequence: tx.seq_num.0,
        fee: tx.fee,
        window: window(&tx.cond)?,
        memo,
        steps: tx.operations.iter().map(step).collect::<Read<_>>()?,
    })
}

fn account(muxed: &stellar_base::xdr::MuxedAccount) -> Read<Address> {
    Address::of_muxed(muxed).map_or_else(|| other("an account with a number"), Ok)
}

fn window(conditions: &Preconditions) -> Read<Window> {
    let times = |times: &TimeBounds| Window {
        from: Timestamp(times.min_time.0),
        until: (times.max_time.0 != 0).then_some(Timestamp(times.max_time.0)),
        ..Window::default()
    };
    match conditions {
        Preconditions::Time(bounds) => Ok(times(bounds)),
        Preconditions::V2(all) => {
            let (Some(bounds), Some(ledgers)) = (&all.time_bounds, &all.ledger_bounds) else {
                return other("other conditions");
            };
            let skips_numbers = match &all.min_seq_num {
                None => false,
                Some(least) if least.0 == 0 => true,
                Some(_) => return other("another least number"),
            };
            if all.min_seq_age.0 != 0 || all.min_seq_ledger_gap != 0 || !all.extra_signers.is_empty() {
                return other("other conditions");
            }
            Ok(Window {
                from_ledger: ledgers.min_ledger,
                before_ledger: (ledgers.max_ledger != 0).then_some(ledgers.max_ledger),
                skips_numbers,
                ..times(bounds)
            })
        }
        Preconditions::None => other("no latest time"),
    }
}

fn amount(stroops: i64) -> Read<Amount> {
    u64::try_from(stroops).map(Amount).or_else(|_| other("a negative amount"))
}

fn native(asset: &Asset) -> Read<()> {
    if *asset == Asset::Native { Ok(()) } else { other("something that is no lumens") }
}

fn step(operation: &Operation) -> Read<Step> {
    let by = operation.source_account.as_ref().map(account).transpose()?;
    let deed = match &operation.body {
        OperationBody::CreateAccount(op) => {
            Do::Create { account: Address::of_id(&op.destination), balance: amount(op.starting_balance)? }
        }
        OperationBody::Payment(op) => {
            native(&op.asset)?;
            Do::Pay { to: account(&op.destination)?, amount: amount(op.amount)? }
        }
        OperationBody::SetOptions(op) => options(op)?,
        OperationBody::CreateClaimableBalance(op) => {
            native(&op.asset)?;
            let claimants = op.claimants.iter().map(claimant).collect::<Read<_>>()?;
            Do::Lock { amount: amount(op.amount)?, claimants }
        }
        OperationBody::ClaimClaimableBalance(op) => {
            let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(balance)) = &op.balance_id;
            Do::Claim { balance: BalanceId(*balance) }
        }
        OperationBody::AccountMerge(into) => Do::Merge { into: account(into)? },
        _ => return other("another kind of operation"),
    };
    Ok(Step { by, deed })
}

fn small(number: u32) -> Read<u8> {
    u8::try_from(number).or_else(|_| other("a weight beyond 255"))
}

fn options(op: &SetOptionsOp) -> Read<Do> {
    if let Some(signer) = &op.signer {
        if *op != (SetOptionsOp { signer: Some(signer.clone()), ..write::nothing() }) {
            return other("several options at once");
        }
        let who = match &signer.key {
            SignerKey::Ed25519(Uint256(key)) => Lock::Key(Address(*key)),
            SignerKey::PreAuthTx(Uint256(hash)) => Lock::Transaction(*hash),
            SignerKey::HashX(_) | SignerKey::Ed25519SignedPayload(_) => {
                return other("another kind of signer");
            }
        };
        return Ok(Do::Sign { who, weight: small(signer.weight)? });
    }
    let (Some(own), Some(needed)) = (op.master_weight, op.med_threshold) else {
        return other("other options");
    };
    let expected = SetOptionsOp {
        master_weight: Some(own),
        low_threshold: Some(needed),
        med_threshold: Some(needed),
        high_threshold: Some(needed),
        ..write::nothing()
    };
    if *op != expected {
        return other("other options");
    }
    Ok(Do::Rule { own: small(own)?, needed: small(needed)? })
}

fn claimant(claimant: &Claimant) -> Read<(Address, Timestamp)> {
    let Claimant::ClaimantTypeV0(ClaimantV0 { destination, predicate }) = claimant;
    let ClaimPredicate::Not(Some(part)) = predicate else { return other("another condition of a claim") };
    let ClaimPredicate::BeforeAbsoluteTime(time) = **part else {
        return other("another condition of a claim");
    };
    match u64::try_from(time) {
        Ok(time) => Ok((Address::of_id(destination), Timestamp(time))),
        Err(_) => other("a time before all times"),
    }
}
