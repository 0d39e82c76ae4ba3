//! Operations as Horizon shows them.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use stellar_base::xdr::{
    Asset, ClaimPredicate, ClaimableBalanceId, Claimant, ClaimantV0, CreateClaimableBalanceOp, Hash,
    MuxedAccount, OperationBody, PaymentOp, SetOptionsOp,
};

use super::{
    Shared, address, base64, link, lumens, moment,
    transactions::{Decoded, muxed},
};
use crate::{
    db::history::OPERATION_BITS,
    rules::{codes, entry::account_key, envelope::key, history},
};

/// The record of the operation with this id; none if the transaction has no such operation.
pub(super) fn record(shared: &Shared, decoded: &Decoded, id: i64) -> Option<Value> {
    let index = usize::try_from(id & OPERATION_BITS).ok()?.checked_sub(1)?;
    let operation = decoded.envelope.inner.tx.operations.get(index)?;
    let source = operation.source_account.as_ref().unwrap_or(&decoded.envelope.inner.tx.source_account);
    let hash = HEXLOWER.encode(&decoded.row.hash);
    let kind = operation.body.discriminant();
    let url = &shared.url;
    let mut record = json!({
        "_links": {
            "self": link(url, &format!("/operations/{id}")),
            "transaction": link(url, &format!("/transactions/{hash}")),
            "effects": link(url, &format!("/operations/{id}/effects")),
            "succeeds": link(url, &format!("/effects?order=desc&cursor={id}")),
            "precedes": link(url, &format!("/effects?order=asc&cursor={id}")),
        },
        "id": id.to_string(),
        "paging_token": id.to_string(),
        "transaction_successful": decoded.row.successful,
        "source_account": address(history::operation_source(&decoded.envelope, operation)),
        "type": codes::operation_type(kind),
        "type_i": kind as i32,
        "created_at": moment(decoded.row.closed),
        "transaction_hash": hash,
    });
    muxed(&mut record, "source_account", source);
    details(&mut record, &operation.body, source);
    Some(record)
}

fn details(record: &mut Value, body: &OperationBody, source: &MuxedAccount) {
    let own = address(key(source));
    match body {
        OperationBody::CreateAccount(op) => {
            record["starting_balance"] = json!(lumens(op.starting_balance));
            record["funder"] = json!(own);
            record["account"] = json!(address(account_key(&op.destination)));
            muxed(record, "funder", source);
        }
        OperationBody::Payment(op) => payment(record, op, source),
        OperationBody::SetOptions(op) => options(record, op),
        OperationBody::AccountMerge(to) => {
            record["account"] = json!(own);
            record["into"] = json!(address(key(to)));
            muxed(record, "account", source);
            muxed(record, "into", to);
        }
        OperationBody::ManageData(op) => {
            record["name"] = json!(String::from_utf8_lossy(op.data_name.0.as_slice()));
            record["value"] =
                json!(op.data_value.as_ref().map(|value| base64(value.0.as_slice())).unwrap_or_default());
        }
        OperationBody::BumpSequence(op) => record["bump_to"] = json!(op.bump_to.0.to_string()),
        OperationBody::CreateClaimableBalance(op) => created_balance(record, op, &own),
        OperationBody::ClaimClaimableBalance(op) => {
            record["balance_id"] = json!(balance_id(&op.balance_id));
            record["claimant"] = json!(own);
            muxed(record, "claimant", source);
        }
        _ => {}
    }
}

fn payment(record: &mut Value, op: &PaymentOp, source: &MuxedAccount) {
    record["from"] = json!(address(key(source)));
    record["to"] = json!(address(key(&op.destination)));
    record["amount"] = json!(lumens(op.amount));
    muxed(record, "from", source);
    muxed(record, "to", &op.destination);
    let (kind, credit) = match &op.asset {
        Asset::Native => ("native", None),
        Asset::CreditAlphanum4(credit) => {
            ("credit_alphanum4", Some((credit.asset_code.to_string(), &credit.issuer)))
        }
        Asset::CreditAlphanum12(credit) => {
            ("credit_alphanum12", Some((credit.asset_code.to_string(), &credit.issuer)))
        }
    };
    record["asset_type"] = json!(kind);
    if let Some((code, issuer)) = credit {
        record["asset_code"] = json!(code);
        record["asset_issuer"] = json!(issuer.to_string());
    }
}

fn options(record: &mut Value, op: &SetOptionsOp) {
    let numbers = [
        ("master_key_weight", op.master_weight),
        ("low_threshold", op.low_threshold),
        ("med_threshold", op.med_threshold),
        ("high_threshold", op.high_threshold),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            record[name] = json!(number);
        }
    }
    if let Some(domain) = &op.home_domain {
        record["home_domain"] = json!(String::from_utf8_lossy(domain.0.as_slice()));
    }
    if let Some(destination) = &op.inflation_dest {
        record["inflation_dest"] = json!(destination.to_string());
    }
    if let Some(signer) = &op.signer {
        record["signer_key"] = json!(signer.key.to_string());
        record["signer_weight"] = json!(signer.weight);
    }
    for (name, flags) in [("set_flags", op.set_flags), ("clear_flags", op.clear_flags)] {
        let Some(flags) = flags.filter(|flags| *flags != 0) else { continue };
        let words = ["auth_required", "auth_revocable", "auth_immutable", "auth_clawback_enabled"];
        let set: Vec<usize> = (0..words.len()).filter(|bit| flags & (1 << bit) != 0).collect();
        record[name] = json!(set.iter().map(|bit| 1 << bit).collect::<Vec<u32>>());
        record[format!("{name}_s")] = json!(set.iter().map(|bit| words[*bit]).collect::<Vec<_>>());
    }
}

fn created_balance(record: &mut Value, op: &CreateClaimableBalanceOp, own: &str) {
    record["asset"] = json!(asset(&op.asset));
    record["amount"] = json!(lumens(op.amount));
    record["sponsor"] = json!(own);
    record["claimants"] = json!(op.claimants.iter().map(claimant).collect::<Vec<_>>());
}

/// An asset in Horizon's canonical form.
pub(super) fn asset(asset: &Asset) -> String {
    match asset {
        Asset::Native => "native".to_owned(),
        Asset::CreditAlphanum4(credit) => format!("{}:{}", credit.asset_code, credit.issuer),
        Asset::CreditAlphanum12(credit) => format!("{}:{}", credit.asset_code, credit.issuer),
    }
}

/// A balance's name in hex, with the number of its kind before it.
pub(super) fn balance_id(id: &ClaimableBalanceId) -> String {
    let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(hash)) = id;
    format!("00000000{}", HEXLOWER.encode(hash))
}

/// Who may claim, and when.
pub(super) fn claimant(claimant: &Claimant) -> Value {
    let Claimant::ClaimantTypeV0(ClaimantV0 { destination, predicate: when }) = claimant;
    json!({ "destination": destination.to_string(), "predicate": predicate(when) })
}

fn predicate(when: &ClaimPredicate) -> Value {
    match when {
        ClaimPredicate::Unconditional => json!({ "unconditional": true }),
        ClaimPredicate::And(parts) => json!({ "and": parts.iter().map(predicate).collect::<Vec<_>>() }),
        ClaimPredicate::Or(parts) => json!({ "or": parts.iter().map(predicate).collect::<Vec<_>>() }),
        ClaimPredicate::Not(part) => json!({ "not": part.as_ref().map(|part| predicate(part)) }),
        ClaimPredicate::BeforeAbsoluteTime(time) => {
            json!({ "abs_before": moment(*time), "abs_before_epoch": time.to_string() })
        }
        ClaimPredicate::BeforeRelativeTime(span) => json!({ "rel_before": span.to_string() }),
    }
}
