//! Horizon's HTTP API over the engine.
//!
//! Shapes of answers follow Horizon's documentation and its `protocols/horizon` types. Everything that comes in is
//! bounded; every refusal is a `problem+json`.

mod accounts;
mod balances;
mod ledgers;
mod lists;
mod operations;
mod page;
mod problem;
mod routes;
mod stream;
mod submit;
mod transactions;

use std::sync::Arc;

use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::Engine,
    rules::entry::{AccountKey, account_id, account_key},
};
use problem::Problem;
pub(crate) use routes::router;

/// What every request needs.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    /// Where this server is reached, without a slash at the end.
    pub(crate) url: String,
    pub(crate) closing: CancellationToken,
    /// Event streams that may still be opened.
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
}

type App = axum::extract::State<Arc<Shared>>;

/// Lumens as Horizon writes them: seven places.
pub(super) fn lumens(stroops: i64) -> String {
    let sign = if stroops < 0 { "-" } else { "" };
    let whole = stroops.unsigned_abs() / 10_000_000;
    let part = stroops.unsigned_abs() % 10_000_000;
    format!("{sign}{whole}.{part:07}")
}

/// A moment as Horizon writes it.
pub(super) fn moment(seconds: impl TryInto<i64>) -> String {
    let seconds = seconds.try_into().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.unwrap_or(Timestamp::MAX).to_string()
}

/// The address of an account.
pub(super) fn address(key: AccountKey) -> String {
    account_id(key).to_string()
}

/// The account that an address names.
pub(super) fn parse_address(text: &str, field: &'static str) -> Result<AccountKey, Problem> {
    let id = text.parse().map_err(|_| {
        Problem::bad_field(field, "Account ID must start with `G` and contain 56 alphanum characters")
    })?;
    Ok(account_key(&id))
}

pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// A link of a record.
pub(super) fn link(url: &str, path: &str) -> Value {
    json!({ "href": format!("{url}{path}") })
}

/// A link to a list.
pub(super) fn list_link(url: &str, path: &str) -> Value {
    json!({ "href": format!("{url}{path}{{?cursor,limit,order}}"), "templated": true })
}

/// Links of a record to itself and to what happened to it.
pub(super) fn history_links(url: &str, here: &str) -> Value {
    let list = |name: &str| list_link(url, &format!("{here}/{name}"));
    json!({
        "self": link(url, here),
        "transactions": list("transactions"),
        "operations": list("operations"),
        "payments": list("payments"),
        "effects": list("effects"),
    })
}
