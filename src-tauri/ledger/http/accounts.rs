//! Accounts, and what they keep.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Map, Value, json};
use stellar_base::xdr::{SignerKey, String64};

use super::{App, Problem, Shared, address, base64, history_links, list_link, lumens, moment, parse_address};
use crate::rules::entry::{Account, CLAWBACK_FLAG, IMMUTABLE_FLAG, REVOCABLE_FLAG};

/// Flag that holders need permission; the others are in the rules because they decide something here.
const REQUIRED_FLAG: u32 = 1;

pub(super) async fn show(State(shared): App, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let key = parse_address(&id, "account_id")?;
    let (account, data) = {
        let state = shared.engine.state();
        let account = state.account(&key).ok_or_else(Problem::not_found)?.clone();
        let data =
            state.data(key).map(|(name, value)| (text(name.0.as_slice()), json!(base64(value.0.as_slice()))));
        (account, data.collect())
    };
    let modified = shared.engine.db.ledger(account.modified).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(record(&shared, &account, data, modified.closed)))
}

/// One value that an account keeps.
pub(super) async fn datum(
    State(shared): App,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let key = parse_address(&id, "account_id")?;
    let name = String64::try_from(name.as_bytes().to_vec()).map_err(|_| Problem::not_found())?;
    let state = shared.engine.state();
    let value =
        state.data(key).find(|(known, _)| **known == name).map(|(_, value)| base64(value.0.as_slice()));
    value.map(|value| Json(json!({ "value": value }))).ok_or_else(Problem::not_found)
}

fn record(shared: &Arc<Shared>, account: &Account, data: Map<String, Value>, modified: i64) -> Value {
    let id = address(account.key);
    let here = format!("/accounts/{id}");
    let url = &shared.url;
    let mut links = history_links(url, &here);
    links["offers"] = list_link(url, &format!("{here}/offers"));
    links["trades"] = list_link(url, &format!("{here}/trades"));
    links["data"] = json!({ "href": format!("{url}{here}/data/{{key}}"), "templated": true });
    let mut record = json!({
        "_links": links,
        "id": id,
        "account_id": id,
        "sequence": account.sequence.to_string(),
        "subentry_count": account.subentries,
        "last_modified_ledger": account.modified,
        "last_modified_time": moment(modified),
        "thresholds": {
            "low_threshold": account.thresholds[1],
            "med_threshold": account.thresholds[2],
            "high_threshold": account.thresholds[3],
        },
        "flags": {
            "auth_required": account.flags & REQUIRED_FLAG != 0,
            "auth_revocable": account.flags & REVOCABLE_FLAG != 0,
            "auth_immutable": account.flags & IMMUTABLE_FLAG != 0,
            "auth_clawback_enabled": account.flags & CLAWBACK_FLAG != 0,
        },
        "balances": [{
            "balance": lumens(account.balance),
            "buying_liabilities": "0.0000000",
            "selling_liabilities": "0.0000000",
            "asset_type": "native",
        }],
        "signers": signers(account),
        "data": data,
        "num_sponsoring": account.sponsoring,
        "num_sponsored": account.sponsored,
        "paging_token": id,
    });
    if account.sequence_ledger > 0 {
        record["sequence_ledger"] = json!(account.sequence_ledger);
        record["sequence_time"] = json!(account.sequence_time.to_string());
    }
    if !account.home_domain.0.is_empty() {
        record["home_domain"] = json!(text(account.home_domain.0.as_slice()));
    }
    if let Some(destination) = account.inflation {
        record["inflation_destination"] = json!(address(destination));
    }
    record
}

fn signers(account: &Account) -> Vec<Value> {
    let others =
        account.signers.iter().map(|signer| (signer.key.to_string(), signer.weight, kind(&signer.key)));
    let master = (address(account.key), u32::from(account.thresholds[0]), "ed25519_public_key");
    others
        .chain([master])
        .map(|(key, weight, kind)| json!({ "weight": weight, "key": key, "type": kind }))
        .collect()
}

fn kind(key: &SignerKey) -> &'static str {
    match key {
        SignerKey::Ed25519(_) => "ed25519_public_key",
        SignerKey::PreAuthTx(_) => "preauth_tx",
        SignerKey::HashX(_) => "sha256_hash",
        SignerKey::Ed25519SignedPayload(_) => "ed25519_signed_payload",
    }
}

/// Names on the ledger are ASCII, which the rules see to.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
