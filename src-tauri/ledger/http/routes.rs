//! Which address answers what.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{MethodRouter, get},
};

use super::{
    Problem, Shared, accounts, balances, ledgers,
    lists::{self, Holder, Kind},
    submit,
};

/// Longest body: the longest envelope in base64 with every sign escaped, and a little.
const MAX_BODY: usize = 512 << 10;

type Routes = MethodRouter<Arc<Shared>>;

fn all(kind: Kind) -> Routes {
    get(move |app, query, headers| lists::all(kind, app, query, headers))
}

fn of(holder: Holder, kind: Kind) -> Routes {
    get(move |app, path, query, headers| lists::of(holder, kind, app, path, query, headers))
}

/// The whole API.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(ledgers::root))
        .route("/fee_stats", get(ledgers::fee_stats))
        .route("/friendbot", get(submit::friendbot).post(submit::friendbot))
        .route("/accounts/{id}", get(accounts::show))
        .route("/accounts/{id}/data/{name}", get(accounts::datum))
        .route("/accounts/{id}/transactions", of(Holder::Account, Kind::Transactions))
        .route("/accounts/{id}/operations", of(Holder::Account, Kind::Operations))
        .route("/accounts/{id}/payments", of(Holder::Account, Kind::Payments))
        .route("/ledgers", all(Kind::Ledgers))
        .route("/ledgers/{number}", get(ledgers::show))
        .route("/ledgers/{number}/transactions", of(Holder::Ledger, Kind::Transactions))
        .route("/ledgers/{number}/operations", of(Holder::Ledger, Kind::Operations))
        .route("/ledgers/{number}/payments", of(Holder::Ledger, Kind::Payments))
        .route("/transactions", all(Kind::Transactions).post(submit::submit))
        .route("/transactions/{hash}", get(lists::transaction))
        .route("/transactions/{hash}/operations", of(Holder::Transaction, Kind::Operations))
        .route("/transactions/{hash}/payments", of(Holder::Transaction, Kind::Payments))
        .route("/operations", all(Kind::Operations))
        .route("/operations/{id}", get(lists::operation))
        .route("/payments", all(Kind::Payments))
        .route("/claimable_balances", get(balances::list))
        .route("/claimable_balances/{id}", get(balances::show))
        .fallback(async || Problem::not_found())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}
