//! Which address answers what.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{MethodRouter, get},
};

use super::{
    Problem, Shared, accounts, balances, ledgers,
    lists::{self, Kind},
    submit,
};

/// Longest body: the longest envelope in base64 with every sign escaped, and a little.
const MAX_BODY: usize = 512 << 10;

type Routes = MethodRouter<Arc<Shared>>;

fn all(kind: Kind) -> Routes {
    get(move |app, query, headers| lists::all(kind, app, query, headers))
}

fn of_account(kind: Kind) -> Routes {
    get(move |app, path, query, headers| lists::of_account(kind, app, path, query, headers))
}

fn of_ledger(kind: Kind) -> Routes {
    get(move |app, path, query, headers| lists::of_ledger(kind, app, path, query, headers))
}

fn of_transaction(kind: Kind) -> Routes {
    get(move |app, path, query, headers| lists::of_transaction(kind, app, path, query, headers))
}

/// The whole API.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(ledgers::root))
        .route("/fee_stats", get(ledgers::fee_stats))
        .route("/friendbot", get(submit::friendbot).post(submit::friendbot))
        .route("/accounts/{id}", get(accounts::show))
        .route("/accounts/{id}/data/{name}", get(accounts::datum))
        .route("/accounts/{id}/transactions", of_account(Kind::Transactions))
        .route("/accounts/{id}/operations", of_account(Kind::Operations))
        .route("/accounts/{id}/payments", of_account(Kind::Payments))
        .route("/ledgers", all(Kind::Ledgers))
        .route("/ledgers/{number}", get(ledgers::show))
        .route("/ledgers/{number}/transactions", of_ledger(Kind::Transactions))
        .route("/ledgers/{number}/operations", of_ledger(Kind::Operations))
        .route("/ledgers/{number}/payments", of_ledger(Kind::Payments))
        .route("/transactions", all(Kind::Transactions).post(submit::submit))
        .route("/transactions/{hash}", get(lists::transaction))
        .route("/transactions/{hash}/operations", of_transaction(Kind::Operations))
        .route("/transactions/{hash}/payments", of_transaction(Kind::Payments))
        .route("/operations", all(Kind::Operations))
        .route("/operations/{id}", get(lists::operation))
        .route("/payments", all(Kind::Payments))
        .route("/claimable_balances", get(balances::list))
        .route("/claimable_balances/{id}", get(balances::show))
        .fallback(async || Problem::not_found())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}
