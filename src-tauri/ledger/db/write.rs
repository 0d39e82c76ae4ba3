//! Writing a closed ledger: its header, what it changed, and its transactions, all or nothing.

use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::{DatabaseError, Db, Network, history::TransactionRow};
use crate::rules::{
    entry::EntryKey,
    envelope::Envelope,
    history,
    state::{Changes, State},
    to_xdr,
};

/// Rows per statement: many, but few enough that their values stay below SQLite's bound.
const ROWS: usize = 500;

/// A closed ledger as it is written.
pub(crate) struct ClosedRows<'a> {
    pub(crate) header: &'a stellar_base::xdr::LedgerHeader,
    pub(crate) hash: [u8; 32],
    pub(crate) changes: &'a Changes,
    pub(crate) transactions: &'a [(&'a Envelope, &'a TransactionRow)],
}

type Write = Transaction<'static, Sqlite>;

impl Db {
    /// Writes the first ledger of a new network.
    pub(crate) async fn found(&self, network: &Network, state: &State) -> Result<(), DatabaseError> {
        let mut write = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let query = sqlx::query("INSERT INTO network (passphrase, root) VALUES (?, ?)");
        query.bind(&network.passphrase).bind(network.root.as_slice()).execute(&mut *write).await?;
        let changes = state.entries().map(|(key, entry)| (key.clone(), Some(entry.clone()))).collect();
        let rows =
            ClosedRows { header: state.header(), hash: state.hash(), changes: &changes, transactions: &[] };
        write_rows(&mut write, &rows).await?;
        Ok(write.commit().await?)
    }

    /// Writes a closed ledger; it is on the disk when this returns.
    pub(crate) async fn write(&self, closed: &ClosedRows<'_>) -> Result<(), DatabaseError> {
        let mut write = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        write_rows(&mut write, closed).await?;
        Ok(write.commit().await?)
    }
}

async fn write_rows(write: &mut Write, closed: &ClosedRows<'_>) -> Result<(), DatabaseError> {
    write_header(write, closed).await?;
    write_changes(write, closed.changes).await?;
    write_transactions(write, closed.transactions).await?;
    write_operations(write, closed.transactions).await?;
    write_accounts(write, closed.transactions).await
}

async fn write_header(write: &mut Write, closed: &ClosedRows<'_>) -> Result<(), DatabaseError> {
    let operations = |successful: bool| -> usize {
        let counted = closed.transactions.iter().filter(|(_, row)| row.successful || !successful);
        counted.map(|(envelope, _)| envelope.inner.tx.operations.len()).sum()
    };
    let successful = closed.transactions.iter().filter(|(_, row)| row.successful).count();
    let query = sqlx::query(
        "INSERT INTO ledgers (sequence, hash, header, closed, successful, failed, operations, tried_operations) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let query = query
        .bind(i64::from(closed.header.ledger_seq))
        .bind(closed.hash.as_slice())
        .bind(to_xdr(closed.header))
        .bind(int(closed.header.scp_value.close_time.0))
        .bind(int(successful))
        .bind(int(closed.transactions.len() - successful))
        .bind(int(operations(true)))
        .bind(int(operations(false)));
    query.execute(&mut **write).await?;
    Ok(())
}

fn int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

fn row_key(key: &EntryKey) -> Vec<u8> {
    match key {
        EntryKey::Account(key) => [&[0], key.as_slice()].concat(),
        EntryKey::Data(account, name) => [&[3], account.as_slice(), name.0.as_slice()].concat(),
        EntryKey::Balance(key) => [&[4], key.as_slice()].concat(),
    }
}

async fn write_changes(write: &mut Write, changes: &Changes) -> Result<(), DatabaseError> {
    let kept: Vec<_> = changes
        .iter()
        .filter_map(|(key, entry)| Some((row_key(key), entry.as_ref()?.to_ledger_entry(key))))
        .collect();
    for rows in kept.chunks(ROWS) {
        let mut query = QueryBuilder::new("INSERT OR REPLACE INTO entries (key, entry) ");
        query.push_values(rows, |mut row, (key, entry)| {
            row.push_bind(key.as_slice()).push_bind(to_xdr(entry));
        });
        query.build().execute(&mut **write).await?;
    }
    for (key, _) in changes.iter().filter(|(_, entry)| entry.is_none()) {
        sqlx::query("DELETE FROM entries WHERE key = ?").bind(row_key(key)).execute(&mut **write).await?;
    }
    Ok(())
}

async fn write_transactions(
    write: &mut Write,
    transactions: &[(&Envelope, &TransactionRow)],
) -> Result<(), DatabaseError> {
    for rows in transactions.chunks(ROWS) {
        let mut query = QueryBuilder::new(
            "INSERT INTO transactions (id, hash, inner_hash, closed, successful, envelope, result) ",
        );
        query.push_values(rows, |mut values, (_, row)| {
            values
                .push_bind(row.id)
                .push_bind(row.hash.as_slice())
                .push_bind(row.inner_hash.as_ref().map(<[u8; 32]>::as_slice))
                .push_bind(row.closed)
                .push_bind(row.successful)
                .push_bind(row.envelope.as_slice())
                .push_bind(row.result.as_slice());
        });
        query.build().execute(&mut **write).await?;
    }
    Ok(())
}

async fn write_operations(
    write: &mut Write,
    transactions: &[(&Envelope, &TransactionRow)],
) -> Result<(), DatabaseError> {
    let rows = transactions.iter().flat_map(|(envelope, row)| {
        let operations = (1..).zip(envelope.inner.tx.operations.iter());
        operations.map(|(index, op)| (row.id + index, history::is_payment(&op.body), row.successful))
    });
    let rows: Vec<(i64, bool, bool)> = rows.collect();
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::new("INSERT INTO operations (id, payment, successful) ");
        query.push_values(rows, |mut values, (id, payment, successful)| {
            values.push_bind(*id).push_bind(*payment).push_bind(*successful);
        });
        query.build().execute(&mut **write).await?;
    }
    Ok(())
}

async fn write_accounts(
    write: &mut Write,
    transactions: &[(&Envelope, &TransactionRow)],
) -> Result<(), DatabaseError> {
    let whole = transactions.iter().flat_map(|(envelope, row)| {
        history::transaction_accounts(envelope).into_iter().map(|account| (account, row.id, row.successful))
    });
    let whole: Vec<([u8; 32], i64, bool)> = whole.collect();
    for rows in whole.chunks(ROWS) {
        let mut query = QueryBuilder::new("INSERT INTO transaction_accounts (account, id, successful) ");
        query.push_values(rows, |mut values, (account, id, successful)| {
            values.push_bind(account.as_slice()).push_bind(*id).push_bind(*successful);
        });
        query.build().execute(&mut **write).await?;
    }
    let mut single: Vec<([u8; 32], i64, bool, bool)> = Vec::new();
    for (envelope, row) in transactions {
        for (index, op) in (1..).zip(envelope.inner.tx.operations.iter()) {
            let payment = history::is_payment(&op.body);
            let accounts = history::operation_accounts(envelope, op).into_iter();
            single.extend(accounts.map(|account| (account, row.id + index, payment, row.successful)));
        }
    }
    for rows in single.chunks(ROWS) {
        let mut query =
            QueryBuilder::new("INSERT INTO operation_accounts (account, id, payment, successful) ");
        query.push_values(rows, |mut values, (account, id, payment, successful)| {
            values.push_bind(account.as_slice()).push_bind(*id).push_bind(*payment).push_bind(*successful);
        });
        query.build().execute(&mut **write).await?;
    }
    Ok(())
}
