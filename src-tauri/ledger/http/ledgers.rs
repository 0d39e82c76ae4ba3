//! Ledgers, the root document and the statistics of fees.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use stellar_base::xdr::LedgerHeader;

use super::{App, Problem, Shared, base64, history_links, link, list_link, lumens, moment};
use crate::{
    db::{
        DatabaseError,
        history::{LedgerRow, Page},
        read,
    },
    rules::{BASE_FEE, MAX_LEDGER_OPERATIONS, PROTOCOL},
};

/// The record of a ledger.
pub(super) fn record(shared: &Shared, row: &LedgerRow) -> Result<Value, DatabaseError> {
    let header: LedgerHeader = read(&row.header, "a ledger's header")?;
    let number = header.ledger_seq;
    let here = format!("/ledgers/{number}");
    let hash = HEXLOWER.encode(&row.hash);
    let mut record = json!({
        "_links": history_links(&shared.url, &here),
        "id": hash,
        "paging_token": (i64::from(number) << 32).to_string(),
        "hash": hash,
        "sequence": number,
        "successful_transaction_count": row.successful,
        "failed_transaction_count": row.failed,
        "operation_count": row.operations,
        "tx_set_operation_count": row.tried_operations,
        "closed_at": moment(row.closed),
        "total_coins": lumens(header.total_coins),
        "fee_pool": lumens(header.fee_pool),
        "base_fee_in_stroops": header.base_fee,
        "base_reserve_in_stroops": header.base_reserve,
        "max_tx_set_size": header.max_tx_set_size,
        "protocol_version": header.ledger_version,
        "header_xdr": base64(&row.header),
    });
    if number > 1 {
        record["prev_hash"] = json!(HEXLOWER.encode(&header.previous_ledger_hash.0));
    }
    Ok(record)
}

pub(super) async fn show(State(shared): App, Path(number): Path<String>) -> Result<Json<Value>, Problem> {
    let number = parse_number(&number)?;
    let row = shared.engine.db.ledger(number).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(record(&shared, &row)?))
}

pub(super) fn parse_number(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::bad_field("ledger_id", "Ledger ID must be an integer higher than 0"))
}

pub(super) async fn root(State(shared): App) -> Result<Json<Value>, Problem> {
    let number = shared.engine.state().header().ledger_seq;
    let newest = shared.engine.db.ledger(number).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(root_document(&shared, number, newest.closed)))
}

fn root_document(shared: &Arc<Shared>, number: u32, closed: i64) -> Value {
    let url = &shared.url;
    let templated = |path: &str| json!({ "href": format!("{url}{path}"), "templated": true });
    json!({
        "_links": {
            "account": templated("/accounts/{account_id}"),
            "account_transactions": templated("/accounts/{account_id}/transactions{?cursor,limit,order}"),
            "claimable_balances": templated("/claimable_balances{?asset,sponsor,claimant,cursor,limit,order}"),
            "fee_stats": link(url, "/fee_stats"),
            "friendbot": templated("/friendbot{?addr}"),
            "ledger": templated("/ledgers/{sequence}"),
            "ledgers": list_link(url, "/ledgers"),
            "operation": templated("/operations/{id}"),
            "operations": list_link(url, "/operations"),
            "payments": list_link(url, "/payments"),
            "self": link(url, "/"),
            "transaction": templated("/transactions/{hash}"),
            "transactions": list_link(url, "/transactions"),
        },
        "horizon_version": concat!("hayloft-ledger-", env!("CARGO_PKG_VERSION")),
        "core_version": concat!("hayloft-ledger-", env!("CARGO_PKG_VERSION")),
        "ingest_latest_ledger": number,
        "history_latest_ledger": number,
        "history_latest_ledger_closed_at": moment(closed),
        "history_elder_ledger": 1,
        "core_latest_ledger": number,
        "network_passphrase": shared.engine.passphrase,
        "current_protocol_version": PROTOCOL,
        "supported_protocol_version": PROTOCOL,
        "core_supported_protocol_version": PROTOCOL,
    })
}

/// Every transaction pays the base fee, because there is always room: all figures are the same.
pub(super) async fn fee_stats(State(shared): App) -> Result<Json<Value>, Problem> {
    let number = shared.engine.state().header().ledger_seq;
    let page = Page { cursor: i64::MAX, newest_first: true, limit: 5, include_failed: true };
    let rows = shared.engine.db.ledgers(page).await?;
    let tried: i64 = rows.iter().map(|row| row.tried_operations).sum();
    let room = i64::from(MAX_LEDGER_OPERATIONS) * i64::try_from(rows.len().max(1)).unwrap_or(1);
    let percent = tried * 100 / room;
    let fees: Value =
        ["max", "min", "mode", "p10", "p20", "p30", "p40", "p50", "p60", "p70", "p80", "p90", "p95", "p99"]
            .into_iter()
            .map(|name| (name.to_owned(), json!(BASE_FEE.to_string())))
            .collect();
    Ok(Json(json!({
        "last_ledger": number.to_string(),
        "last_ledger_base_fee": BASE_FEE.to_string(),
        "ledger_capacity_usage": format!("{}.{:02}", percent / 100, percent % 100),
        "fee_charged": fees,
        "max_fee": fees,
    })))
}
