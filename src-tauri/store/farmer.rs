//! The farmer's side: contracts, reservations, and the shards under them.
//!
//! A shard is *incoming* while its bytes arrive, *arrived* once it is whole and synced, and *kept* once a revision
//! includes it. Incoming and arrived shards live inside their contract's reservation, kept ones count as used:
//! used + reserved never passes the quota. A kept shard's row is deleted before its file. How shards come in is in
//! `intake`, how they go in `keep`, what is left of the disk in `figures`.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use hayloft_core::{
    ContractId, OwnerId, ShardId,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};
use sqlx::sqlite::SqliteRow;

use crate::{
    DatabaseError,
    db::{self, from_blob, id, int, maybe_id, number, to_blob},
    journal::{self, Record},
    open::Inner,
    shards::{Folder, blocking},
};
pub use crate::{
    farmer_error::FarmerError,
    quota::{Figures, Limits, Wish},
    shards::{ShardReader, ShardWriter},
};

/// How long a reservation holds without bytes, and an upload without enough of them.
pub const RESERVATION_SECONDS: u64 = 600;
/// How long a shard that has wholly come waits for its revision: the slowest of its segment may still be under way.
pub const ARRIVED_SECONDS: u64 = 3600;
/// How long a contract that has never been revised is remembered.
pub const UNREVISED_SECONDS: u64 = 24 * 3600;
/// The most one call to [`Farmer::read_shard`] returns.
pub const READ_BYTES: u64 = 4 << 20;

/// A contract as its farmer keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// Its terms, signed by both.
    pub terms: SignedTerms,
    /// The newest revision; none before the first.
    pub revision: Option<SignedRevision>,
    /// Shards kept.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What [`Farmer::expire`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Bytes of reservations that ended.
    pub reserved_bytes: u64,
    /// Contracts that ended with their grace, and their bytes.
    pub contracts: Vec<(ContractId, u64)>,
}

/// A shard's state in its row. All from [`KEPT`] on are under contract and count as used, lost ones too: their bytes stay
/// the owner's until a revision removes them.
pub(crate) const INCOMING: i64 = 0;
pub(crate) const ARRIVED: i64 = 1;
pub(crate) const KEPT: i64 = 2;
pub(crate) const MISSING: i64 = 3;
pub(crate) const DAMAGED: i64 = 4;
pub(crate) const UNREADABLE: i64 = 5;

/// The farmer's part of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Farmer {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) fn key(id: ContractId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

pub(crate) fn contract_of(row: &SqliteRow) -> Result<Contract, DatabaseError> {
    let revision: Option<Vec<u8>> = sqlx::Row::try_get(row, 2)?;
    Ok(Contract {
        id: ContractId(id(row, 0)?),
        terms: from_blob(&db::bytes(row, 1)?)?,
        revision: revision.map(|bytes| from_blob(&bytes)).transpose()?,
        shards: number(row, 3)?,
        bytes: number(row, 4)?,
    })
}

pub(crate) fn entry_of(row: &SqliteRow) -> Result<ShardEntry, DatabaseError> {
    Ok(ShardEntry { id: ShardId(id(row, 0)?), bytes: number(row, 1)?, tag_key: maybe_id(row, 2)? })
}

impl Farmer {
    pub(crate) fn paths(&self) -> Folder {
        self.inner.folder.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder that holds the shards.
    pub fn folder(&self) -> PathBuf {
        self.paths().root
    }

    /// Keeps a contract. The same contract again is no error.
    ///
    /// # Errors
    /// [`FarmerError::Database`] or [`FarmerError::Io`].
    pub async fn insert_contract(&self, id: ContractId, terms: &SignedTerms) -> Result<(), FarmerError> {
        let (farmer, terms) = (self.clone(), terms.clone());
        to_the_end(async move {
            let _gate = farmer.inner.gate.lock().await;
            let mut write = farmer.inner.db.write().await?;
            let new = insert_contract(&mut write, id, &terms).await?;
            crash_point!(ContractWritten);
            write.commit().await.map_err(DatabaseError::from)?;
            crash_point!(ContractCommitted);
            if new {
                farmer.write_journal(id, Record::Terms { id, terms: Box::new(terms) }, false).await;
            }
            Ok(())
        })
        .await
    }

    /// The contract with its newest revision.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn contract(&self, id: ContractId) -> Result<Option<Contract>, FarmerError> {
        let query = "SELECT contract, terms, revision, shards, bytes FROM contracts WHERE contract = ?";
        let row = sqlx::query(query).bind(key(id)).fetch_optional(self.inner.db.read()).await;
        Ok(row.map_err(DatabaseError::from)?.as_ref().map(contract_of).transpose()?)
    }

    /// All contracts, in order of id.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn contracts(&self) -> Result<Vec<Contract>, FarmerError> {
        let query = "SELECT contract, terms, revision, shards, bytes FROM contracts ORDER BY contract";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(contract_of).collect::<Result<_, _>>()?)
    }

    /// How many contracts this owner has here.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn contracts_of(&self, owner: OwnerId) -> Result<u64, FarmerError> {
        let query =
            sqlx::query("SELECT count(*) FROM contracts WHERE owner = ?").bind(owner.as_bytes().to_vec());
        let row = query.fetch_one(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(number(&row, 0)?)
    }

    /// Kept shards with greater ids than `after`, in order of id, at most `limit`, and whether more follow.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn shards(
        &self,
        contract: ContractId,
        after: Option<ShardId>,
        limit: u32,
    ) -> Result<(Vec<ShardEntry>, bool), FarmerError> {
        let query = "SELECT shard, bytes, tag_key FROM shards \
                     WHERE contract = ? AND shard > ? AND state >= 2 ORDER BY shard LIMIT ?";
        let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
        let query = sqlx::query(query).bind(key(contract)).bind(after).bind(i64::from(limit) + 1);
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let more = rows.len() > limit as usize;
        let entries = rows.iter().take(limit as usize).map(entry_of).collect::<Result<_, _>>()?;
        Ok((entries, more))
    }

    /// All kept shards of a contract, in order of id.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn entries(&self, contract: ContractId) -> Result<Vec<ShardEntry>, FarmerError> {
        let query =
            "SELECT shard, bytes, tag_key FROM shards WHERE contract = ? AND state >= 2 ORDER BY shard";
        let rows = sqlx::query(query).bind(key(contract)).fetch_all(self.inner.db.read()).await;
        let rows = rows.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(entry_of).collect::<Result<_, _>>()?)
    }

    /// Opens a shard for reading. One that is known to be lost is never read as if it were whole.
    ///
    /// # Errors
    /// [`FarmerError::UnknownShard`], [`FarmerError::ShardLost`], or what the disk or database says.
    pub async fn open_shard(&self, contract: ContractId, shard: ShardId) -> Result<ShardReader, FarmerError> {
        let query =
            sqlx::query("SELECT bytes, state FROM shards WHERE shard = ? AND contract = ? AND state >= 1");
        let query = query.bind(shard.as_bytes().to_vec()).bind(key(contract));
        let row = query.fetch_optional(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let row = row.ok_or(FarmerError::UnknownShard)?;
        let bytes = number(&row, 0)?;
        if let Ok(MISSING | DAMAGED) = i64::try_from(number(&row, 1)?) {
            return Err(FarmerError::ShardLost);
        }
        let path = self.paths().shard(shard);
        blocking(move || ShardReader::open(&path, bytes)).await
    }

    /// Reads a range of a shard, at most [`READ_BYTES`].
    ///
    /// # Errors
    /// [`FarmerError::UnknownShard`], [`FarmerError::OutOfRange`], or what the disk or database says.
    pub async fn read_shard(
        &self,
        contract: ContractId,
        shard: ShardId,
        offset: u64,
        bytes: u64,
    ) -> Result<Bytes, FarmerError> {
        self.open_shard(contract, shard).await?.read(offset, bytes).await
    }

    /// Writes to a contract's journal. The database is the authority, so a failure is told and mended at the next
    /// revision or start.
    pub(crate) async fn write_journal(&self, id: ContractId, record: Record, anew: bool) {
        let path = self.paths().journal(id);
        let written = blocking(move || {
            let written =
                if anew { journal::rewrite(&path, &record) } else { journal::append(&path, &record) };
            Ok(written?)
        });
        let mut stale = self.inner.stale_journals.lock().await;
        match written.await {
            Ok(()) => {
                if anew {
                    stale.remove(&id);
                }
            }
            Err(error) => {
                tracing::warn!(contract = %id, %error, "a contract's journal cannot be written; the database has it");
                stale.insert(id);
            }
        }
    }
}

/// Runs work that must not stop half way when its caller stops waiting.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, FarmerError>> + Send + 'static,
) -> Result<T, FarmerError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(ended) => Err(FarmerError::Io(std::io::Error::other(ended))),
    }
}

/// Writes a contract's row; whether it is new.
pub(crate) async fn insert_contract(
    write: &mut db::Write,
    id: ContractId,
    terms: &SignedTerms,
) -> Result<bool, DatabaseError> {
    let query = "INSERT INTO contracts (contract, owner, auditor, terms, delete_after) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING";
    let delete_after = terms.terms.start.plus_seconds(UNREVISED_SECONDS);
    let query = sqlx::query(query).bind(key(id)).bind(terms.terms.owner.as_bytes().to_vec());
    let query = query.bind(terms.terms.auditor.map(|auditor| auditor.as_bytes().to_vec()));
    let query = query.bind(to_blob(terms)).bind(int(delete_after.0));
    Ok(query.execute(&mut **write).await?.rows_affected() == 1)
}
