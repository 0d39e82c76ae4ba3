//! Reading what closed: ledgers, transactions and operations, page by page.

use sqlx::{Row, sqlite::SqliteRow};

use super::{DatabaseError, Db};

/// A recorded transaction.
#[derive(Debug, Clone)]
pub(crate) struct TransactionRow {
    pub(crate) id: i64,
    pub(crate) hash: [u8; 32],
    pub(crate) inner_hash: Option<[u8; 32]>,
    pub(crate) closed: i64,
    pub(crate) successful: bool,
    pub(crate) envelope: Vec<u8>,
    pub(crate) result: Vec<u8>,
}

/// A closed ledger.
#[derive(Debug, Clone)]
pub(crate) struct LedgerRow {
    pub(crate) hash: [u8; 32],
    pub(crate) header: Vec<u8>,
    pub(crate) closed: i64,
    pub(crate) successful: i64,
    pub(crate) failed: i64,
    pub(crate) operations: i64,
    pub(crate) tried_operations: i64,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Ids after this one, or before it if `newest_first`.
    pub(crate) cursor: i64,
    pub(crate) newest_first: bool,
    pub(crate) limit: i64,
    pub(crate) include_failed: bool,
}

/// Whose transactions or operations are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    Everybody,
    Account([u8; 32]),
    /// Ids from one (exclusive) to the other (exclusive): those of a ledger or of a transaction.
    Between(i64, i64),
}

/// The bits of an id that are the operation's index.
pub(crate) const OPERATION_BITS: i64 = 0xfff;

impl Page {
    fn bounds(self, of: Of) -> (i64, i64) {
        let (low, high) = match of {
            Of::Between(low, high) => (low, high),
            Of::Everybody | Of::Account(_) => (-1, i64::MAX),
        };
        if self.newest_first { (low, high.min(self.cursor)) } else { (low.max(self.cursor), high) }
    }
}

fn bytes32(row: &SqliteRow, column: usize) -> Result<[u8; 32], DatabaseError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| DatabaseError::Corrupt { what: "a hash" })
}

fn transaction(row: &SqliteRow) -> Result<TransactionRow, DatabaseError> {
    let inner: Option<&[u8]> = row.try_get(2)?;
    let inner = inner.map(<[u8; 32]>::try_from).transpose();
    Ok(TransactionRow {
        id: row.try_get(0)?,
        hash: bytes32(row, 1)?,
        inner_hash: inner.map_err(|_| DatabaseError::Corrupt { what: "a hash" })?,
        closed: row.try_get(3)?,
        successful: row.try_get(4)?,
        envelope: row.try_get(5)?,
        result: row.try_get(6)?,
    })
}

fn ledger(row: &SqliteRow) -> Result<LedgerRow, DatabaseError> {
    Ok(LedgerRow {
        hash: bytes32(row, 0)?,
        header: row.try_get(1)?,
        closed: row.try_get(2)?,
        successful: row.try_get(3)?,
        failed: row.try_get(4)?,
        operations: row.try_get(5)?,
        tried_operations: row.try_get(6)?,
    })
}

impl Db {
    /// The transaction with this hash, its own or that of the one inside a fee bump.
    pub(crate) async fn transaction(&self, hash: [u8; 32]) -> Result<Option<TransactionRow>, DatabaseError> {
        let query = sqlx::query(
            "SELECT id, hash, inner_hash, closed, successful, envelope, result FROM transactions \
             WHERE hash = ?1 OR inner_hash = ?1 ORDER BY hash = ?1 DESC, id DESC LIMIT 1",
        );
        query.bind(hash.as_slice()).fetch_optional(&self.readers).await?.as_ref().map(transaction).transpose()
    }

    /// The transaction that an id names, or that holds the operation which it names.
    pub(crate) async fn transaction_by_id(&self, id: i64) -> Result<Option<TransactionRow>, DatabaseError> {
        let query = sqlx::query(
            "SELECT id, hash, inner_hash, closed, successful, envelope, result FROM transactions WHERE id = ?",
        );
        let row = query.bind(id & !OPERATION_BITS).fetch_optional(&self.readers).await?;
        row.as_ref().map(transaction).transpose()
    }

    /// A page of transactions.
    pub(crate) async fn transactions(
        &self,
        of: Of,
        page: Page,
    ) -> Result<Vec<TransactionRow>, DatabaseError> {
        let (low, high) = page.bounds(of);
        let account = matches!(of, Of::Account(_));
        let query = match (account, page.newest_first) {
            (false, false) => sqlx::query(
                "SELECT id, hash, inner_hash, closed, successful, envelope, result FROM transactions \
                 WHERE id > ?1 AND id < ?2 AND (?3 OR successful) ORDER BY id LIMIT ?4",
            ),
            (false, true) => sqlx::query(
                "SELECT id, hash, inner_hash, closed, successful, envelope, result FROM transactions \
                 WHERE id > ?1 AND id < ?2 AND (?3 OR successful) ORDER BY id DESC LIMIT ?4",
            ),
            (true, false) => sqlx::query(
                "SELECT t.id, hash, inner_hash, closed, t.successful, envelope, result \
                 FROM transaction_accounts a JOIN transactions t ON t.id = a.id \
                 WHERE account = ?5 AND a.id > ?1 AND a.id < ?2 AND (?3 OR a.successful) \
                 ORDER BY a.id LIMIT ?4",
            ),
            (true, true) => sqlx::query(
                "SELECT t.id, hash, inner_hash, closed, t.successful, envelope, result \
                 FROM transaction_accounts a JOIN transactions t ON t.id = a.id \
                 WHERE account = ?5 AND a.id > ?1 AND a.id < ?2 AND (?3 OR a.successful) \
                 ORDER BY a.id DESC LIMIT ?4",
            ),
        };
        let query = query.bind(low).bind(high).bind(page.include_failed).bind(page.limit);
        let query = if let Of::Account(account) = of { query.bind(account.to_vec()) } else { query };
        query.fetch_all(&self.readers).await?.iter().map(transaction).collect()
    }

    /// Ids of a page of operations, of payments alone if so asked.
    pub(crate) async fn operations(
        &self,
        of: Of,
        payments: bool,
        page: Page,
    ) -> Result<Vec<i64>, DatabaseError> {
        let (low, high) = page.bounds(of);
        let account = matches!(of, Of::Account(_));
        let query = match (account, page.newest_first) {
            (false, false) => sqlx::query(
                "SELECT id FROM operations WHERE id > ?1 AND id < ?2 AND (?3 OR successful) \
                 AND (payment OR NOT ?4) ORDER BY id LIMIT ?5",
            ),
            (false, true) => sqlx::query(
                "SELECT id FROM operations WHERE id > ?1 AND id < ?2 AND (?3 OR successful) \
                 AND (payment OR NOT ?4) ORDER BY id DESC LIMIT ?5",
            ),
            (true, false) => sqlx::query(
                "SELECT id FROM operation_accounts WHERE account = ?6 AND id > ?1 AND id < ?2 \
                 AND (?3 OR successful) AND (payment OR NOT ?4) ORDER BY id LIMIT ?5",
            ),
            (true, true) => sqlx::query(
                "SELECT id FROM operation_accounts WHERE account = ?6 AND id > ?1 AND id < ?2 \
                 AND (?3 OR successful) AND (payment OR NOT ?4) ORDER BY id DESC LIMIT ?5",
            ),
        };
        let query = query.bind(low).bind(high).bind(page.include_failed).bind(payments).bind(page.limit);
        let query = if let Of::Account(account) = of { query.bind(account.to_vec()) } else { query };
        let rows = query.fetch_all(&self.readers).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// A ledger.
    pub(crate) async fn ledger(&self, sequence: u32) -> Result<Option<LedgerRow>, DatabaseError> {
        let query = sqlx::query(
            "SELECT hash, header, closed, successful, failed, operations, tried_operations FROM ledgers WHERE sequence = ?",
        );
        let row = query.bind(i64::from(sequence)).fetch_optional(&self.readers).await?;
        row.as_ref().map(ledger).transpose()
    }

    /// A page of ledgers; cursors are ids, whose upper half is the ledger's number.
    pub(crate) async fn ledgers(&self, page: Page) -> Result<Vec<LedgerRow>, DatabaseError> {
        let (low, high) = page.bounds(Of::Everybody);
        // A cursor inside a ledger lies after that ledger's own id.
        let (low, high) = (low >> 32, high.saturating_add(0xffff_ffff) >> 32);
        let query = if page.newest_first {
            sqlx::query(
                "SELECT hash, header, closed, successful, failed, operations, tried_operations FROM ledgers \
                 WHERE sequence > ? AND sequence < ? ORDER BY sequence DESC LIMIT ?",
            )
        } else {
            sqlx::query(
                "SELECT hash, header, closed, successful, failed, operations, tried_operations FROM ledgers \
                 WHERE sequence > ? AND sequence < ? ORDER BY sequence LIMIT ?",
            )
        };
        let rows = query.bind(low).bind(high).bind(page.limit).fetch_all(&self.readers).await?;
        rows.iter().map(ledger).collect()
    }
}
