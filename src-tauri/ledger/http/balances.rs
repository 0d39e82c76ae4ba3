//! Claimable balances.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Value, json};
use stellar_base::xdr::{ClaimableBalanceId, Hash};

use super::{
    App, Problem, Shared, address, link, list_link, lumens, moment,
    operations::{asset, balance_id, claimant},
    page::{Asked, Query as Asking},
    parse_address,
};
use crate::rules::{
    balances::{Filter, Place},
    entry::{Balance, BalanceKey},
};

/// Hex of the number of a balance's kind, of which there is one.
const KIND: &str = "00000000";

pub(super) async fn show(State(shared): App, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let key = parse_id(&id).ok_or_else(|| Problem::bad_field("id", "Invalid claimable balance ID"))?;
    let balance = shared.engine.state().balance(&key).cloned().ok_or_else(Problem::not_found)?;
    Ok(Json(record(&shared, &balance).await?))
}

fn parse_id(text: &str) -> Option<BalanceKey> {
    if let Some(hex) = text.strip_prefix(KIND) {
        return HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?.try_into().ok();
    }
    let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(key)) = text.parse().ok()?;
    Some(key)
}

pub(super) async fn list(State(shared): App, Query(query): Query<Asking>) -> Result<Json<Value>, Problem> {
    let asked = Asked::read(&query)?;
    let given = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let mut extra = String::new();
    let mut filter = Filter::All;
    for name in ["claimant", "sponsor"] {
        let Some(text) = given(name) else { continue };
        let key = parse_address(text, if name == "claimant" { "claimant" } else { "sponsor" })?;
        if !matches!(filter, Filter::All) {
            return Err(Problem::bad_field(name, "only one of claimant and sponsor can be asked for here"));
        }
        filter = if name == "claimant" { Filter::Claimant(key) } else { Filter::Sponsor(key) };
        extra = format!("&{name}={text}");
    }
    if given("asset").is_some_and(|asset| asset != "native") {
        return Err(Problem::bad_field("asset", "only native can be asked for here"));
    }
    let cursor = asked.cursor.as_deref().map(parse_cursor).transpose()?;
    let balances: Vec<Balance> = {
        let state = shared.engine.state();
        let keys = state.balances().page(filter, cursor, asked.newest_first, asked.limit);
        keys.iter().filter_map(|key| state.balance(key).cloned()).collect()
    };
    let mut records = Vec::with_capacity(balances.len());
    for balance in &balances {
        records.push(record(&shared, balance).await?);
    }
    Ok(Json(asked.answer(&format!("{}/claimable_balances", shared.url), &extra, records)))
}

/// Cursors are the ledger that made a balance, a dash, and its name.
fn parse_cursor(text: &str) -> Result<Place, Problem> {
    let parts = text.split_once('-').and_then(|(ledger, id)| Some((ledger.parse().ok()?, parse_id(id)?)));
    parts.ok_or_else(|| Problem::bad_field("cursor", "The first part should be a number higher than 0 and the second part should be a valid claimable balance ID"))
}

async fn record(shared: &Shared, balance: &Balance) -> Result<Value, Problem> {
    let id = balance_id(&ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(balance.key)));
    let made = shared.engine.db.ledger(balance.modified).await?.ok_or_else(Problem::not_found)?;
    let here = format!("/claimable_balances/{id}");
    let url = &shared.url;
    Ok(json!({
        "_links": {
            "self": link(url, &here),
            "transactions": list_link(url, &format!("{here}/transactions")),
            "operations": list_link(url, &format!("{here}/operations")),
        },
        "id": id,
        "asset": asset(&balance.asset),
        "amount": lumens(balance.amount),
        "sponsor": address(balance.sponsor),
        "last_modified_ledger": balance.modified,
        "last_modified_time": moment(made.closed),
        "claimants": balance.claimants.iter().map(claimant).collect::<Vec<_>>(),
        "flags": { "clawback_enabled": balance.clawback },
        "paging_token": format!("{}-{id}", balance.modified),
    }))
}
