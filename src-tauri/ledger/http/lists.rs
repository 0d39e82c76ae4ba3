//! Lists of what closed: transactions, operations, payments and ledgers, as pages or as streams.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value;

use super::{
    App, Problem, Shared, ledgers, operations,
    page::{Asked, Query as Asking},
    parse_address, stream,
    transactions::{self, Decoded},
};
use crate::db::history::{OPERATION_BITS, Of, Page};

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Transactions,
    Operations,
    Payments,
    Ledgers,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Operations => "operations",
            Self::Payments => "payments",
            Self::Ledgers => "ledgers",
        }
    }
}

/// A list: what it holds and of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    pub(super) kind: Kind,
    pub(super) of: Of,
}

impl List {
    /// One page of its records.
    pub(super) async fn page(self, shared: &Shared, page: Page) -> Result<Vec<Value>, Problem> {
        let engine = &shared.engine;
        match self.kind {
            Kind::Transactions => {
                let rows = engine.db.transactions(self.of, page).await?;
                let decoded = rows.into_iter().map(|row| Decoded::new(row, &engine.network));
                decoded.map(|decoded| Ok(transactions::record(shared, &decoded?))).collect()
            }
            Kind::Operations | Kind::Payments => self.operations(shared, page).await,
            Kind::Ledgers => {
                let rows = engine.db.ledgers(page).await?;
                Ok(rows.iter().map(|row| ledgers::record(shared, row)).collect::<Result<_, _>>()?)
            }
        }
    }

    async fn operations(self, shared: &Shared, page: Page) -> Result<Vec<Value>, Problem> {
        let ids = shared.engine.db.operations(self.of, self.kind == Kind::Payments, page).await?;
        let mut records = Vec::with_capacity(ids.len());
        let mut newest: Option<Decoded> = None;
        for id in ids {
            if newest.as_ref().is_none_or(|decoded| decoded.row.id != id & !OPERATION_BITS) {
                let row = shared.engine.db.transaction_by_id(id).await?.ok_or_else(Problem::not_found)?;
                newest = Some(Decoded::new(row, &shared.engine.network)?);
            }
            records.extend(newest.as_ref().and_then(|decoded| operations::record(shared, decoded, id)));
        }
        Ok(records)
    }

    async fn answer(
        self,
        shared: Arc<Shared>,
        path: String,
        query: Asking,
        headers: HeaderMap,
    ) -> Result<Response, Problem> {
        let asked = Asked::read(&query)?;
        let page = asked.by_id(shared.engine.state().header().ledger_seq)?;
        if stream::is_wanted(&headers) {
            return stream::open(shared, self, page, &headers);
        }
        let records = self.page(&shared, page).await?;
        Ok(Json(asked.answer(&format!("{}{path}", shared.url), "", records)).into_response())
    }
}

/// A list of everything.
pub(super) async fn all(
    kind: Kind,
    State(shared): App,
    Query(query): Query<Asking>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    List { kind, of: Of::Everybody }.answer(shared, format!("/{}", kind.word()), query, headers).await
}

/// What an address may name of which there are lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Account,
    Ledger,
    Transaction,
}

impl Holder {
    fn word(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::Ledger => "ledgers",
            Self::Transaction => "transactions",
        }
    }

    async fn named(self, shared: &Shared, name: &str) -> Result<Of, Problem> {
        let db = &shared.engine.db;
        Ok(match self {
            Self::Account => Of::Account(parse_address(name, "account_id")?),
            Self::Ledger => {
                let sequence = ledgers::parse_number(name)?;
                db.ledger(sequence).await?.ok_or_else(Problem::not_found)?;
                Of::Between(i64::from(sequence) << 32, (i64::from(sequence) + 1) << 32)
            }
            Self::Transaction => {
                let row = db.transaction(parse_hash(name)?).await?.ok_or_else(Problem::not_found)?;
                Of::Between(row.id, row.id + OPERATION_BITS + 1)
            }
        })
    }
}

/// A list of what one account, ledger or transaction holds.
pub(super) async fn of(
    holder: Holder,
    kind: Kind,
    State(shared): App,
    Path(name): Path<String>,
    Query(mut query): Query<Asking>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let of = holder.named(&shared, &name).await?;
    if holder == Holder::Transaction {
        // Who asks for one transaction's operations wants them whatever came of it.
        query.insert("include_failed".to_owned(), "true".to_owned());
    }
    let path = format!("/{}/{name}/{}", holder.word(), kind.word());
    List { kind, of }.answer(shared, path, query, headers).await
}

/// One transaction.
pub(super) async fn transaction(
    State(shared): App,
    Path(hash): Path<String>,
) -> Result<Json<Value>, Problem> {
    let row = shared.engine.db.transaction(parse_hash(&hash)?).await?.ok_or_else(Problem::not_found)?;
    let decoded = Decoded::new(row, &shared.engine.network)?;
    Ok(Json(transactions::record(&shared, &decoded)))
}

/// One operation.
pub(super) async fn operation(State(shared): App, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id: i64 =
        id.parse().map_err(|_| Problem::bad_field("id", "Operation ID must be an integer higher than 0"))?;
    let row = shared.engine.db.transaction_by_id(id).await?.ok_or_else(Problem::not_found)?;
    let decoded = Decoded::new(row, &shared.engine.network)?;
    operations::record(&shared, &decoded, id).map(Json).ok_or_else(Problem::not_found)
}

fn parse_hash(text: &str) -> Result<[u8; 32], Problem> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let hash = bytes.and_then(|bytes| bytes.try_into().ok());
    hash.ok_or_else(|| {
        Problem::bad_field("tx_id", "Transaction hash must be a hex-encoded, lowercase SHA-256 hash")
    })
}
