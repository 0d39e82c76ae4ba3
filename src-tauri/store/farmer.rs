//! The farmer's side: contracts, reservations, and the shards under them.
//!
//! A shard is *incoming* while its bytes arrive, *arrived* once it is whole and synced, and *kept* once a revision
//! includes it. Incoming and arrived shards live inside their contract's reservation, kept ones count as used:
//! used + reserved never passes the quota. A kept shard's row is deleted before its file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use hayloft_core::{
    ContractId, OwnerId, ShardId, Timestamp,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};
use sqlx::sqlite::SqliteRow;

use crate::{
    DatabaseError,
    db::{self, from_blob, id, int, maybe_id, number, to_blob},
    journal::{self, Record},
    open::Inner,
    quota::{self, Taken},
    shards::{Folder, HEADER_BYTES, Header, Part, blocking},
};
pub use crate::{
    quota::{Figures, Limits, Wish},
    shards::{ShardReader, ShardWriter},
};

/// How long a reservation holds without bytes.
pub const RESERVATION_SECONDS: u64 = 600;
/// How long a contract that has never been revised is remembered.
pub const UNREVISED_SECONDS: u64 = 24 * 3600;
/// The most one call to [`Farmer::read_shard`] returns.
pub const READ_BYTES: u64 = 4 << 20;

/// Why the farmer's store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum FarmerError {
    /// No such contract.
    #[error("this farmer has no such contract")]
    UnknownContract,
    /// No such shard under that contract.
    #[error("this farmer has no such shard")]
    UnknownShard,
    /// The quota is used up.
    #[error("the offered space is used up: {free_bytes} bytes are left")]
    QuotaFull {
        /// Bytes left of the quota.
        free_bytes: u64,
    },
    /// The disk has to keep some free space.
    #[error("the disk is nearly full: {free_bytes} bytes are free, and {guard_bytes} must stay free")]
    DiskFull {
        /// Bytes free on the disk.
        free_bytes: u64,
        /// Bytes that must stay free.
        guard_bytes: u64,
    },
    /// This owner has reserved as much as one owner may.
    #[error("this owner has reserved as much as one owner may at once")]
    OwnerCap,
    /// This subnet has reserved as much as one subnet may.
    #[error("this subnet has reserved as much as one subnet may at once")]
    SubnetCap,
    /// Nothing, or too little, is reserved.
    #[error("{wanted} bytes were to come, but {reserved} are reserved")]
    NotReserved {
        /// Bytes that were to come.
        wanted: u64,
        /// Bytes still reserved and not taken by other shards.
        reserved: u64,
    },
    /// That shard is being written by another transfer right now.
    #[error("this shard is being received already")]
    ShardBusy,
    /// A shard of that id is here already, with another length or under another contract.
    #[error("another shard with this id is here")]
    ShardTaken,
    /// More bytes came than were announced.
    #[error("the shard is longer than its announced {bytes} bytes")]
    TooLong {
        /// Announced bytes.
        bytes: u64,
    },
    /// The transfer ended early.
    #[error("the shard ended after {have} of {bytes} bytes")]
    TooShort {
        /// Bytes that came.
        have: u64,
        /// Announced bytes.
        bytes: u64,
    },
    /// The range does not lie within the shard.
    #[error("the shard has no such bytes")]
    OutOfRange,
    /// The revision is not the next one.
    #[error("revision {found} does not follow the newest, {newest:?}")]
    NotNext {
        /// The number offered.
        found: u64,
        /// The newest number here; none before the first.
        newest: Option<u64>,
    },
    /// A shard that the revision adds has not arrived with that length.
    #[error("shard {0} has not arrived in that length")]
    NotArrived(ShardId),
    /// A shard that the revision removes is not kept under the contract.
    #[error("shard {0} is not kept under this contract")]
    NotKept(ShardId),
    /// Shards are in the old folder: it cannot be changed.
    #[error("the folder holds shards under contract; it can be changed only while it is empty")]
    FolderInUse,
    /// The folder is another node's.
    #[error("the folder holds the shards of another node; choose another one")]
    FolderTaken,
    /// A file could not be read or written.
    #[error("cannot use the farmer's folder: {0}")]
    Io(#[from] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

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

/// A shard's state in its row.
pub(crate) const INCOMING: i64 = 0;
pub(crate) const ARRIVED: i64 = 1;
pub(crate) const KEPT: i64 = 2;
pub(crate) const MISSING: i64 = 3;

/// The farmer's part of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Farmer {
    pub(crate) inner: Arc<Inner>,
}

fn key(id: ContractId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn contract_of(row: &SqliteRow) -> Result<Contract, DatabaseError> {
    let revision: Option<Vec<u8>> = sqlx::Row::try_get(row, 2)?;
    Ok(Contract {
        id: ContractId(id(row, 0)?),
        terms: from_blob(&db::bytes(row, 1)?)?,
        revision: revision.map(|bytes| from_blob(&bytes)).transpose()?,
        shards: number(row, 3)?,
        bytes: number(row, 4)?,
    })
}

fn entry_of(row: &SqliteRow) -> Result<ShardEntry, DatabaseError> {
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
            write.commit().await.map_err(DatabaseError::from)?;
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

    /// Holds space for shards about to come, on top of what the contract has reserved; answers until when.
    ///
    /// # Errors
    /// [`FarmerError::UnknownContract`], or which limit is reached.
    pub async fn reserve(
        &self,
        wish: &Wish,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Timestamp, FarmerError> {
        self.expire_reservations(now).await?;
        let space = self.space().await?;
        let expires = now.plus_seconds(RESERVATION_SECONDS);
        let mut write = self.inner.db.write().await?;
        known(&mut write, wish.contract).await?;
        quota::reserve(&mut write, wish, limits, space, space.guarded(self.inner.guard), expires).await?;
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(expires)
    }

    /// Lets the contract's reservations hold on because bytes flow; answers until when.
    ///
    /// # Errors
    /// [`FarmerError::NotReserved`] if there are none.
    pub async fn extend(&self, contract: ContractId, now: Timestamp) -> Result<Timestamp, FarmerError> {
        let expires = now.plus_seconds(RESERVATION_SECONDS);
        let mut write = self.inner.db.write().await?;
        if quota::extend(&mut write, contract, expires).await? == 0 {
            return Err(FarmerError::NotReserved { wanted: 0, reserved: 0 });
        }
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(expires)
    }

    /// Takes a shard out of the reserved space; the writer goes on where an earlier transfer stopped. A shard that has
    /// wholly arrived gives a writer that has all its bytes.
    ///
    /// # Errors
    /// [`FarmerError::NotReserved`], [`FarmerError::ShardBusy`], [`FarmerError::ShardTaken`],
    /// [`FarmerError::UnknownContract`], or what the disk or database says.
    pub async fn begin_shard(
        &self,
        contract: ContractId,
        shard: ShardId,
        bytes: u64,
    ) -> Result<ShardWriter, FarmerError> {
        let _gate = self.inner.gate.lock().await;
        let active = self.inner.active.enter(shard).ok_or(FarmerError::ShardBusy)?;
        if let Some(header) = self.take(contract, shard, bytes).await? {
            return Ok(ShardWriter::whole(self.clone(), header));
        }
        let (folder, probe, guard) = (self.paths(), self.inner.probe.clone(), self.inner.guard);
        let part =
            blocking(move || Ok(Part::open(folder, shard, contract, bytes, probe, guard, active)?)).await?;
        Ok(ShardWriter::new(self.clone(), part))
    }

    /// Makes the row of an incoming shard; the header if it is here already.
    async fn take(
        &self,
        contract: ContractId,
        shard: ShardId,
        bytes: u64,
    ) -> Result<Option<Header>, FarmerError> {
        let mut write = self.inner.db.write().await?;
        known(&mut write, contract).await?;
        let query = sqlx::query("SELECT contract, bytes, state, hash FROM shards WHERE shard = ?");
        let row = query.bind(shard.as_bytes().to_vec()).fetch_optional(&mut *write).await;
        if let Some(row) = row.map_err(DatabaseError::from)? {
            if ContractId(id(&row, 0)?) != contract || number(&row, 1)? != bytes {
                return Err(FarmerError::ShardTaken);
            }
            return match (i64::try_from(number(&row, 2)?), maybe_id(&row, 3)?) {
                (Ok(ARRIVED | KEPT), Some(hash)) => Ok(Some(Header { shard, contract, bytes, hash })),
                (Ok(INCOMING), _) => Ok(None),
                _ => Err(FarmerError::ShardTaken),
            };
        }
        let reserved = quota::untaken(&mut write, contract).await?;
        if bytes > reserved {
            return Err(FarmerError::NotReserved { wanted: bytes, reserved });
        }
        let query = sqlx::query("INSERT INTO shards (shard, contract, bytes, state) VALUES (?, ?, ?, ?)");
        let query = query.bind(shard.as_bytes().to_vec()).bind(key(contract)).bind(int(bytes)).bind(INCOMING);
        query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(None)
    }

    /// Gives a synced shard its final name, then its row the state arrived.
    pub(crate) async fn arrive(&self, part: Part, header: Header) -> Result<(), FarmerError> {
        let _gate = self.inner.gate.lock().await;
        let mut write = self.inner.db.write().await?;
        let query = "UPDATE shards SET state = ?, hash = ? WHERE shard = ? AND contract = ? AND state = ?";
        let query = sqlx::query(query).bind(ARRIVED).bind(header.hash.to_vec());
        let query = query.bind(header.shard.as_bytes().to_vec()).bind(key(header.contract)).bind(INCOMING);
        let changed = query.execute(&mut *write).await.map_err(DatabaseError::from)?.rows_affected();
        if changed == 0 {
            let folder = self.paths();
            blocking(move || Ok(folder.delete(header.shard)?)).await?;
            return Err(FarmerError::NotReserved { wanted: header.bytes, reserved: 0 });
        }
        let _part = blocking(move || {
            part.settle()?;
            Ok(part)
        })
        .await?;
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Opens a shard for reading.
    ///
    /// # Errors
    /// [`FarmerError::UnknownShard`], or what the disk or database says.
    pub async fn open_shard(&self, contract: ContractId, shard: ShardId) -> Result<ShardReader, FarmerError> {
        let query =
            sqlx::query("SELECT bytes FROM shards WHERE shard = ? AND contract = ? AND state IN (1, 2)");
        let query = query.bind(shard.as_bytes().to_vec()).bind(key(contract));
        let row = query.fetch_optional(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let bytes = number(&row.ok_or(FarmerError::UnknownShard)?, 0)?;
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

    pub(crate) async fn space(&self) -> Result<crate::disk::Space, FarmerError> {
        let (probe, root) = (self.inner.probe.clone(), self.folder());
        blocking(move || Ok(probe.space(&root)?)).await
    }

    /// What new data may take now, by quota and by the disk's free space.
    ///
    /// # Errors
    /// What the disk or database says.
    pub async fn free_bytes(&self, limits: &Limits) -> Result<u64, FarmerError> {
        let space = self.space().await?;
        let taken = Taken::read(self.inner.db.read()).await?;
        let disk_left = taken.disk_left(space, space.guarded(self.inner.guard));
        Ok(taken.quota_left(limits.quota_bytes).min(disk_left))
    }

    /// Exact figures of the farmer's disk.
    ///
    /// # Errors
    /// What the disk or database says.
    pub async fn figures(&self, limits: &Limits) -> Result<Figures, FarmerError> {
        let room = self.room(limits).await?;
        let row = sqlx::query("SELECT count(*) FROM shards").fetch_one(self.inner.db.read()).await;
        let headers = number(&row.map_err(DatabaseError::from)?, 0)?.saturating_mul(HEADER_BYTES);
        let (folder, home) = (self.paths(), self.inner.home.path().to_owned());
        let files = blocking(move || Ok(overhead(&folder, &home)?)).await?;
        Ok(Figures { overhead_bytes: headers + files, ..room })
    }

    /// The figures without the overhead, which is counted shard by shard: cheap enough to answer any stranger.
    ///
    /// # Errors
    /// What the disk or database says.
    pub async fn room(&self, limits: &Limits) -> Result<Figures, FarmerError> {
        let space = self.space().await?;
        let guard_bytes = space.guarded(self.inner.guard);
        let taken = Taken::read(self.inner.db.read()).await?;
        Ok(Figures {
            used_bytes: taken.used_bytes,
            reserved_bytes: taken.reserved_bytes,
            free_bytes: taken.quota_left(limits.quota_bytes).min(taken.disk_left(space, guard_bytes)),
            overhead_bytes: 0,
            disk_free_bytes: space.free_bytes,
            guard_bytes,
        })
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
    let query = "INSERT INTO contracts (contract, owner, terms, delete_after) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING";
    let delete_after = terms.terms.start.plus_seconds(UNREVISED_SECONDS);
    let query = sqlx::query(query).bind(key(id)).bind(terms.terms.owner.as_bytes().to_vec());
    let query = query.bind(to_blob(terms)).bind(int(delete_after.0));
    Ok(query.execute(&mut **write).await?.rows_affected() == 1)
}

async fn known(write: &mut db::Write, contract: ContractId) -> Result<(), FarmerError> {
    let query = sqlx::query("SELECT 1 FROM contracts WHERE contract = ?").bind(key(contract));
    let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
    row.map(|_| ()).ok_or(FarmerError::UnknownContract)
}

fn overhead(folder: &Folder, home: &Path) -> std::io::Result<u64> {
    let len = |path: PathBuf| path.metadata().map_or(0, |found| found.len());
    let database: u64 =
        ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"].map(|name| len(home.join(name))).iter().sum();
    let mut journals = 0;
    for journal in std::fs::read_dir(folder.journals())? {
        journals += len(journal?.path());
    }
    Ok(database + journals)
}
