//! Transactions as Horizon shows them.

use serde_json::{Map, Value, json};
use stellar_base::xdr::{
    DecoratedSignature, Memo, MuxedAccount, Preconditions, PreconditionsV2, TimeBounds, TransactionResult,
    WriteXdr,
};

use super::{Shared, address, base64, link, list_link, moment};
use crate::{
    db::{DatabaseError, history::TransactionRow, read},
    rules::envelope::{Envelope, key},
};
use data_encoding::HEXLOWER;

/// A recorded transaction with its parts decoded.
pub(super) struct Decoded {
    pub(super) row: TransactionRow,
    pub(super) envelope: Envelope,
    pub(super) result: TransactionResult,
}

impl Decoded {
    pub(super) fn new(row: TransactionRow, network: &[u8; 32]) -> Result<Self, DatabaseError> {
        let corrupt = |_| DatabaseError::Corrupt { what: "a transaction" };
        let envelope = Envelope::decode(&row.envelope, network).map_err(corrupt)?;
        let result = read(&row.result, "a transaction's result")?;
        Ok(Self { row, envelope, result })
    }
}

fn signatures(signatures: &[DecoratedSignature]) -> Vec<String> {
    signatures.iter().map(|signature| base64(signature.signature.0.as_slice())).collect()
}

/// The record of a transaction.
pub(super) fn record(shared: &Shared, decoded: &Decoded) -> Value {
    let Decoded { row, envelope, result } = decoded;
    let inner = &envelope.inner;
    let hash = HEXLOWER.encode(&row.hash);
    let payer = envelope.bump.as_ref().map_or(&inner.tx.source_account, |bump| &bump.source);
    let outer = envelope.bump.as_ref().map_or(&inner.signatures, |bump| &bump.signatures);
    let mut record = json!({
        "_links": links(shared, &hash, row.id, inner.source()),
        "id": hash,
        "paging_token": row.id.to_string(),
        "successful": row.successful,
        "hash": hash,
        "ledger": row.id >> 32,
        "created_at": moment(row.closed),
        "source_account": address(inner.source()),
        "source_account_sequence": inner.sequence().to_string(),
        "fee_account": address(key(payer)),
        "fee_charged": result.fee_charged.to_string(),
        "max_fee": envelope.full_fee().to_string(),
        "operation_count": inner.tx.operations.len(),
        "envelope_xdr": base64(&row.envelope),
        "result_xdr": base64(&row.result),
        "fee_meta_xdr": base64(&[0; 4]),
        "signatures": signatures(outer),
    });
    muxed(&mut record, "account", &inner.tx.source_account);
    muxed(&mut record, "fee_account", payer);
    memo(&mut record, &inner.tx.memo);
    preconditions(&mut record, &inner.tx.cond);
    if let Some(bump) = &envelope.bump {
        record["fee_bump_transaction"] = json!({ "hash": hash, "signatures": signatures(&bump.signatures) });
        record["inner_transaction"] = json!({
            "hash": HEXLOWER.encode(&inner.hash),
            "signatures": signatures(&inner.signatures),
            "max_fee": inner.tx.fee.to_string(),
        });
    }
    record
}

fn links(shared: &Shared, hash: &str, id: i64, source: [u8; 32]) -> Value {
    let url = &shared.url;
    let here = format!("/transactions/{hash}");
    let myself = link(url, &here);
    json!({
        "self": myself,
        "account": link(url, &format!("/accounts/{}", address(source))),
        "ledger": link(url, &format!("/ledgers/{}", id >> 32)),
        "operations": list_link(url, &format!("{here}/operations")),
        "effects": list_link(url, &format!("{here}/effects")),
        "precedes": link(url, &format!("/transactions?order=asc&cursor={id}")),
        "succeeds": link(url, &format!("/transactions?order=desc&cursor={id}")),
        "transaction": myself,
    })
}

/// The address with its number, under the names that Horizon gives them.
pub(super) fn muxed(record: &mut Value, name: &str, account: &MuxedAccount) {
    if let MuxedAccount::MuxedEd25519(muxed) = account {
        record[format!("{name}_muxed")] = json!(account.to_string());
        record[format!("{name}_muxed_id")] = json!(muxed.id.to_string());
    }
}

fn memo(record: &mut Value, memo: &Memo) {
    let kind = match memo {
        Memo::None => "none",
        Memo::Text(text) => {
            record["memo"] = json!(String::from_utf8_lossy(text.as_slice()));
            record["memo_bytes"] = json!(base64(text.as_slice()));
            "text"
        }
        Memo::Id(id) => {
            record["memo"] = json!(id.to_string());
            "id"
        }
        Memo::Hash(hash) => {
            record["memo"] = json!(base64(&hash.0));
            "hash"
        }
        Memo::Return(hash) => {
            record["memo"] = json!(base64(&hash.0));
            "return"
        }
    };
    record["memo_type"] = json!(kind);
}

fn time_bounds(times: &TimeBounds) -> Value {
    let mut bounds = json!({ "min_time": times.min_time.0.to_string() });
    if times.max_time.0 > 0 {
        bounds["max_time"] = json!(times.max_time.0.to_string());
    }
    bounds
}

fn preconditions(record: &mut Value, conditions: &Preconditions) {
    let mut shown = Map::new();
    let times = match conditions {
        Preconditions::None => None,
        Preconditions::Time(times) => Some(times),
        Preconditions::V2(more) => {
            further_preconditions(&mut shown, more);
            more.time_bounds.as_ref()
        }
    };
    if let Some(times) = times {
        shown.insert("timebounds".to_owned(), time_bounds(times));
        record["valid_after"] = json!(moment(times.min_time.0));
        if times.max_time.0 > 0 {
            record["valid_before"] = json!(moment(times.max_time.0));
        }
    }
    if !shown.is_empty() {
        record["preconditions"] = Value::Object(shown);
    }
}

fn further_preconditions(shown: &mut Map<String, Value>, conditions: &PreconditionsV2) {
    if let Some(bounds) = &conditions.ledger_bounds {
        let mut value = json!({ "min_ledger": bounds.min_ledger });
        if bounds.max_ledger > 0 {
            value["max_ledger"] = json!(bounds.max_ledger);
        }
        shown.insert("ledgerbounds".to_owned(), value);
    }
    if let Some(least) = &conditions.min_seq_num {
        shown.insert("min_account_sequence".to_owned(), json!(least.0.to_string()));
    }
    if conditions.min_seq_age.0 > 0 {
        shown.insert("min_account_sequence_age".to_owned(), json!(conditions.min_seq_age.0.to_string()));
    }
    if conditions.min_seq_ledger_gap > 0 {
        shown.insert("min_account_sequence_ledger_gap".to_owned(), json!(conditions.min_seq_ledger_gap));
    }
    if !conditions.extra_signers.is_empty() {
        let signers: Vec<_> = conditions.extra_signers.iter().map(ToString::to_string).collect();
        shown.insert("extra_signers".to_owned(), json!(signers));
    }
}

/// What a refused or failed transaction is answered with.
pub(super) fn failure(envelope: &Envelope, result: &TransactionResult) -> Value {
    use crate::rules::codes;
    use stellar_base::xdr::{InnerTransactionResultResult as Inner, TransactionResultResult as Outer};
    let words = |results: &[stellar_base::xdr::OperationResult]| -> Vec<&'static str> {
        results.iter().map(codes::operation).collect()
    };
    let mut shown = json!({ "transaction": codes::transaction(result.result.discriminant()) });
    match &result.result {
        Outer::TxSuccess(results) | Outer::TxFailed(results) => shown["operations"] = json!(words(results)),
        Outer::TxFeeBumpInnerSuccess(pair) | Outer::TxFeeBumpInnerFailed(pair) => {
            let inner = &pair.result.result;
            shown["inner_transaction"] = json!(codes::transaction(inner.discriminant()));
            if let Inner::TxSuccess(results) | Inner::TxFailed(results) = inner {
                shown["operations"] = json!(words(results));
            }
        }
        _ => {}
    }
    json!({
        "hash": HEXLOWER.encode(&envelope.hash()),
        "envelope_xdr": base64(&envelope.bytes),
        "result_xdr": base64(&result.to_xdr(stellar_base::xdr::Limits::none()).unwrap_or_default()),
        "result_codes": shown,
    })
}
