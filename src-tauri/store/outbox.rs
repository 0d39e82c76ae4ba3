//! Transactions that were handed in to the ledger or may be, and the escrows that they serve.
//!
//! Invariants: a row is on the disk before its transaction can be in anybody else's hands; each account has at most one open
//! row; what may be spent is judged in the same write that makes the row, so that no two of them pass one limit together.
//! What a row closed with never changes. Deliberately absent: what a transaction says, and when it can no longer apply.

use std::sync::Arc;

use hayloft_core::{
    Amount, Timestamp,
    spending::{self, Limits, OverLimit, Spent},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    DatabaseError,
    catalog::{Change, Entry, EscrowEntry, PaymentEntry},
    db::{bytes, id, int, maybe_number, number},
    open::Inner,
};

/// Key of the home's value that says which ledger was seen.
const ANCHOR: &str = "ledger";
/// Transactions shown at most.
const LISTED: u32 = 1000;

/// A transaction to be handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// The network it is signed for.
    pub network: [u8; 32],
    /// Its hash.
    pub hash: [u8; 32],
    /// Whose sequence number it uses.
    pub source: [u8; 32],
    /// That number.
    pub sequence: i64,
    /// After this time it cannot get into a ledger.
    pub latest: Timestamp,
    /// The signed whole.
    pub envelope: Vec<u8>,
    /// What it is for, in the caller's words.
    pub purpose: Vec<u8>,
    /// What it spends, fee included.
    pub spends: Amount,
}

/// A transaction that was handed in or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// In the order in which they were made.
    pub number: u64,
    /// What was to be handed in.
    pub row: NewRow,
    /// When the row was made.
    pub signed: Timestamp,
    /// What came of it.
    pub fate: Fate,
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nobody knows yet.
    Open,
    /// It is in this ledger and took effect.
    Applied {
        /// Which.
        ledger: u32,
    },
    /// It is in this ledger and failed; its fee is gone.
    Failed {
        /// Which.
        ledger: u32,
        /// Why, in a few words.
        reason: String,
    },
    /// It can no longer get into a ledger.
    Void {
        /// Why, in a few words.
        reason: String,
    },
}

/// Which side of an escrow this node is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It pays.
    Owner,
    /// It is paid.
    Farmer,
    /// It judges.
    Auditor,
}

/// How far an escrow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscrowState {
    /// Its setup is not yet on the ledger.
    Expected,
    /// The ledger shows it.
    Seen,
    /// Nothing of it is left to do.
    Over,
}

/// An escrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscrowRow {
    /// Its account.
    pub account: [u8; 32],
    /// What it is, in the caller's words.
    pub plan: Vec<u8>,
    /// This node's side.
    pub role: Role,
    /// How far it is.
    pub state: EscrowState,
}

/// Why a transaction is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The account's last transaction is still open.
    #[error("an earlier payment is still under way; this one can be made once it is known what came of that")]
    Busy,
    /// More than the limits allow.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for OutboxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The outbox. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(crate) inner: Arc<Inner>,
}

impl Outbox {
    /// Makes a row for a transaction that may be handed in from now on.
    ///
    /// # Errors
    /// [`OutboxError`]; the transaction must then not leave this process.
    pub async fn insert(&self, row: &NewRow, limits: &Limits, now: Timestamp) -> Result<u64, OutboxError> {
        let mut write = Change::begin(&self.inner).await?;
        let query = sqlx::query("SELECT EXISTS (SELECT 1 FROM outbox WHERE source = ? AND state = 0)");
        if number(&query.bind(row.source.to_vec()).fetch_one(&mut **write).await?, 0)? == 1 {
            return Err(OutboxError::Busy);
        }
        spending::allow(limits, &spent(&mut write, now).await?, row.spends)?;
        let query = sqlx::query("SELECT COALESCE(MAX(number), 0) + 1 FROM outbox");
        let next = number(&query.fetch_one(&mut **write).await?, 0)?;
        let payment = PaymentEntry {
            number: next,
            network: row.network,
            hash: row.hash,
            source: row.source,
            sequence: row.sequence,
            latest: row.latest.0,
            envelope: row.envelope.clone(),
            purpose: row.purpose.clone(),
            spends: row.spends.0,
            signed: now.0,
            state: 0,
            ledger: None,
            reason: None,
        };
        write.make(Entry::Payment(payment)).await?;
        write.commit().await?;
        Ok(next)
    }

    /// What was spent and counts against limits: all that took effect or may.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn spent(&self, now: Timestamp) -> Result<Spent, DatabaseError> {
        let mut read = self.inner.db.read().acquire().await?;
        spent(&mut read, now).await
    }

    /// Closes an open row; one that is closed stays as it is.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn close(&self, hash: &[u8; 32], fate: &Fate) -> Result<(), DatabaseError> {
        let (state, ledger, reason) = match fate {
            Fate::Open => return Ok(()),
            Fate::Applied { ledger } => (1, Some(*ledger), None),
            Fate::Failed { ledger, reason } => (2, Some(*ledger), Some(reason.clone())),
            Fate::Void { reason } => (3, None, Some(reason.clone())),
        };
        let mut write = Change::begin(&self.inner).await?;
        write.make(Entry::PaymentClosed { hash: *hash, state, ledger, reason }).await?;
        write.commit().await
    }

    /// Rows that nobody knows the fate of, oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn open(&self) -> Result<Vec<OutboxRow>, DatabaseError> {
        let query = "SELECT number, network, hash, source, sequence, latest, envelope, purpose, spends, signed, \
                     state, ledger, reason FROM outbox WHERE state = 0 ORDER BY number";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await?;
        rows.iter().map(row_of).collect()
    }

    /// The row of a transaction; none if it is not one of ours.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn get(&self, hash: &[u8; 32]) -> Result<Option<OutboxRow>, DatabaseError> {
        let query = "SELECT number, network, hash, source, sequence, latest, envelope, purpose, spends, signed, \
                     state, ledger, reason FROM outbox WHERE hash = ?";
        let row = sqlx::query(query).bind(hash.to_vec()).fetch_optional(self.inner.db.read()).await?;
        row.as_ref().map(row_of).transpose()
    }

    /// The newest rows, newest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list(&self) -> Result<Vec<OutboxRow>, DatabaseError> {
        let query = "SELECT number, network, hash, source, sequence, latest, envelope, purpose, spends, signed, \
                     state, ledger, reason FROM outbox ORDER BY number DESC LIMIT ?";
        let rows = sqlx::query(query).bind(i64::from(LISTED)).fetch_all(self.inner.db.read()).await?;
        rows.iter().map(row_of).collect()
    }

    /// The ledger as it was last seen, in the caller's words.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn anchor(&self) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.inner.db.home_value(ANCHOR).await
    }

    /// Keeps how the ledger was last seen.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep_anchor(&self, anchor: &[u8]) -> Result<(), DatabaseError> {
        self.inner.db.set_home_value(ANCHOR, anchor).await
    }

    /// Keeps how the ledger is seen now that it began anew, and that every escrow on the old one is over: both or neither.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin_anew(&self, anchor: &[u8]) -> Result<(), DatabaseError> {
        let mut write = Change::begin(&self.inner).await?;
        write.make(Entry::LedgerAnew).await?;
        let query = sqlx::query("INSERT OR REPLACE INTO home (key, value) VALUES (?, ?)");
        query.bind(ANCHOR).bind(anchor.to_vec()).execute(&mut **write).await?;
        write.commit().await
    }

    /// Keeps an escrow, before its setup is handed in.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep_escrow(&self, escrow: &EscrowRow) -> Result<(), DatabaseError> {
        let mut write = Change::begin(&self.inner).await?;
        let role = match escrow.role {
            Role::Owner => 0,
            Role::Farmer => 1,
            Role::Auditor => 2,
        };
        let state = match escrow.state {
            EscrowState::Expected => 0,
            EscrowState::Seen => 1,
            EscrowState::Over => 2,
        };
        let query = sqlx::query("SELECT state FROM escrows WHERE account = ?").bind(escrow.account.to_vec());
        let known: Option<i64> =
            query.fetch_optional(&mut **write).await?.map(|row| row.try_get(0)).transpose()?;
        if known.is_none_or(|known| known < state) {
            let (account, plan) = (escrow.account, escrow.plan.clone());
            write.make(Entry::Escrow(EscrowEntry { account, plan, role, state })).await?;
        }
        write.commit().await
    }

    /// All escrows, also those that are over: what happened to them is still told.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn escrows(&self) -> Result<Vec<EscrowRow>, DatabaseError> {
        let query = "SELECT account, plan, role, state FROM escrows ORDER BY account";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await?;
        rows.iter().map(escrow_of).collect()
    }
}

async fn spent(connection: &mut SqliteConnection, now: Timestamp) -> Result<Spent, DatabaseError> {
    let query = "SELECT COALESCE(SUM(CASE WHEN signed > ? THEN spends ELSE 0 END), 0), \
                 COALESCE(SUM(spends), 0) FROM outbox WHERE state < 2";
    let since = int(now.0.saturating_sub(spending::DAY_SECONDS));
    let sums = sqlx::query(query).bind(since).fetch_one(connection).await?;
    Ok(Spent { today: Amount(number(&sums, 0)?), in_all: Amount(number(&sums, 1)?) })
}

/// Reads an escrow from the first four columns: account, plan, role and state.
pub(crate) fn escrow_of(row: &SqliteRow) -> Result<EscrowRow, DatabaseError> {
    let corrupt = DatabaseError::Corrupt { what: "an escrow" };
    let role = match number(row, 2)? {
        0 => Role::Owner,
        1 => Role::Farmer,
        2 => Role::Auditor,
        _ => return Err(corrupt),
    };
    let state = match number(row, 3)? {
        0 => EscrowState::Expected,
        1 => EscrowState::Seen,
        2 => EscrowState::Over,
        _ => return Err(corrupt),
    };
    Ok(EscrowRow { account: id(row, 0)?, plan: bytes(row, 1)?, role, state })
}

fn row_of(row: &SqliteRow) -> Result<OutboxRow, DatabaseError> {
    let corrupt = || DatabaseError::Corrupt { what: "a payment" };
    let ledger = || -> Result<u32, DatabaseError> {
        let ledger = maybe_number(row, 11)?.and_then(|ledger| u32::try_from(ledger).ok());
        ledger.ok_or_else(corrupt)
    };
    let reason =
        || -> Result<String, DatabaseError> { Ok(row.try_get::<Option<String>, _>(12)?.unwrap_or_default()) };
    let fate = match number(row, 10)? {
        0 => Fate::Open,
        1 => Fate::Applied { ledger: ledger()? },
        2 => Fate::Failed { ledger: ledger()?, reason: reason()? },
        3 => Fate::Void { reason: reason()? },
        _ => return Err(corrupt()),
    };
    let inner = NewRow {
        network: id(row, 1)?,
        hash: id(row, 2)?,
        source: id(row, 3)?,
        sequence: row.try_get(4)?,
        latest: Timestamp(number(row, 5)?),
        envelope: bytes(row, 6)?,
        purpose: bytes(row, 7)?,
        spends: Amount(number(row, 8)?),
    };
    Ok(OutboxRow { number: number(row, 0)?, row: inner, signed: Timestamp(number(row, 9)?), fate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guard, Home, Store, StoreOptions};

    const NOW: Timestamp = Timestamp(2_000_000);
    const FREE: Limits = Limits { per_day: None, in_all: None };

    async fn outbox() -> (tempfile::TempDir, Outbox) {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
        let (store, _) = Store::open(Home::open(folder.path()).unwrap(), options).await.unwrap();
        (folder, store.outbox())
    }

    fn row(hash: u8, source: u8, spends: u64) -> NewRow {
        NewRow {
            network: [1; 32],
            hash: [hash; 32],
            source: [source; 32],
            sequence: 5,
            latest: NOW.plus_seconds(300),
            envelope: vec![1, 2],
            purpose: vec![3],
            spends: Amount(spends),
        }
    }

    #[tokio::test]
    async fn an_account_has_one_open_transaction_and_what_closed_stays_so() {
        let (_folder, outbox) = outbox().await;
        outbox.insert(&row(1, 1, 10), &FREE, NOW).await.unwrap();
        assert!(matches!(outbox.insert(&row(2, 1, 10), &FREE, NOW).await, Err(OutboxError::Busy)));
        outbox.insert(&row(3, 2, 10), &FREE, NOW).await.unwrap();
        assert_eq!(outbox.open().await.unwrap().len(), 2);
        outbox.close(&[1; 32], &Fate::Applied { ledger: 7 }).await.unwrap();
        outbox.close(&[1; 32], &Fate::Void { reason: "late".to_owned() }).await.unwrap();
        let known = outbox.get(&[1; 32]).await.unwrap().unwrap();
        assert_eq!((known.row, known.fate, known.signed), (row(1, 1, 10), Fate::Applied { ledger: 7 }, NOW));
        outbox.insert(&row(2, 1, 10), &FREE, NOW).await.unwrap();
        let failed = Fate::Failed { ledger: 8, reason: "op".to_owned() };
        outbox.close(&[2; 32], &failed).await.unwrap();
        let listed = outbox.list().await.unwrap();
        let fates: Vec<Fate> = listed.into_iter().map(|row| row.fate).collect();
        assert_eq!(fates, [failed, Fate::Open, Fate::Applied { ledger: 7 }]);
        assert_eq!(outbox.get(&[9; 32]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_open_or_took_effect_counts_against_the_limits() {
        let (_folder, outbox) = outbox().await;
        let limits = Limits { per_day: Some(Amount(100)), in_all: Some(Amount(150)) };
        outbox.insert(&row(1, 1, 60), &limits, NOW).await.unwrap();
        let refused = outbox.insert(&row(2, 2, 41), &limits, NOW).await;
        assert!(matches!(refused, Err(OutboxError::OverLimit(_))));
        let spent = Spent { today: Amount(60), in_all: Amount(60) };
        assert_eq!(outbox.spent(NOW).await.unwrap(), spent);
        outbox.insert(&row(2, 2, 40), &limits, NOW).await.unwrap();
        // What could not apply was not spent.
        outbox.close(&[2; 32], &Fate::Void { reason: String::new() }).await.unwrap();
        outbox.insert(&row(3, 3, 40), &limits, NOW).await.unwrap();
        let tomorrow = NOW.plus_seconds(spending::DAY_SECONDS);
        assert!(outbox.insert(&row(4, 4, 51), &limits, tomorrow).await.is_err());
        outbox.insert(&row(4, 4, 50), &limits, tomorrow).await.unwrap();
    }

    #[tokio::test]
    async fn an_escrow_is_kept_and_never_goes_back() {
        let (_folder, outbox) = outbox().await;
        let escrow = |state| EscrowRow { account: [1; 32], plan: vec![7], role: Role::Farmer, state };
        for state in [EscrowState::Expected, EscrowState::Seen, EscrowState::Expected] {
            outbox.keep_escrow(&escrow(state)).await.unwrap();
        }
        assert_eq!(outbox.escrows().await.unwrap(), [escrow(EscrowState::Seen)]);
        outbox.keep_escrow(&EscrowRow { account: [2; 32], ..escrow(EscrowState::Expected) }).await.unwrap();
        outbox.begin_anew(b"new").await.unwrap();
        assert!(outbox.escrows().await.unwrap().iter().all(|row| row.state == EscrowState::Over));
        assert_eq!(outbox.anchor().await.unwrap().as_deref(), Some(&b"new"[..]));
        outbox.keep_escrow(&escrow(EscrowState::Seen)).await.unwrap();
        assert_eq!(outbox.escrows().await.unwrap()[0], escrow(EscrowState::Over));
    }
}
