//! The owner's side beside its files: contracts with farmers, shards in flight, shards to remove.

use std::sync::Arc;

use hayloft_core::{
    ContractId, DeviceId, SegmentId, ShardId, Timestamp,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};

use crate::{
    DatabaseError,
    catalog::{self, Change, Entry},
    db::{Write, bytes, from_blob, id, int, maybe_id, maybe_number, number, to_blob},
    files::Removal,
    funding,
    holdings::forget_lost,
    open::Inner,
};

/// Why the owner's tables refuse or fail.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// A file of that name is there.
    #[error("a file of this name is stored already")]
    NameTaken {
        /// Keyed hash of the name.
        name_key: [u8; 32],
    },
    /// No such file.
    #[error("no file of this name is stored")]
    UnknownFile,
    /// No such segment.
    #[error("no such segment is placed")]
    UnknownSegment,
    /// No such contract.
    #[error("no such contract is kept")]
    UnknownContract,
    /// The revision is not the next one.
    #[error("revision {found} does not follow the newest, {newest:?}")]
    NotNext {
        /// The number given.
        found: u64,
        /// The newest number here; none before the first.
        newest: Option<u64>,
    },
    /// The segment still serves files or a job.
    #[error("the segment is still in use")]
    SegmentInUse,
    /// A shard that was placed has been given up meanwhile: its farmer is told to remove it.
    #[error("shard {0} was given up meanwhile")]
    GivenUp(ShardId),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A contract as its owner keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerContract {
    /// Its id.
    pub id: ContractId,
    /// Its terms, signed by both.
    pub terms: SignedTerms,
    /// The newest revision; none before the first.
    pub revision: Option<SignedRevision>,
    /// All shards after it, in order of id.
    pub shards: Vec<ShardEntry>,
    /// When its farmer last denied it, although it signed.
    pub denied: Option<Timestamp>,
}

/// A shard in flight: written down before its upload, so that a crash leaves nothing unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placing {
    /// The sealing.
    pub shard: ShardId,
    /// The farmer it goes to.
    pub farmer: DeviceId,
    /// Under which contract.
    pub contract: ContractId,
    /// The segment it belongs to.
    pub segment: SegmentId,
    /// The job that sends it.
    pub job: Option<u32>,
}

/// The owner's part of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Owner {
    pub(crate) inner: Arc<Inner>,
}

impl Owner {
    pub(crate) async fn change(&self) -> Result<Change, DatabaseError> {
        Change::begin(&self.inner).await
    }

    /// Reads every contract, segment and file once.
    ///
    /// # Errors
    /// [`DatabaseError`] if one of them cannot be read.
    pub(crate) async fn check(&self) -> Result<(), OwnerError> {
        self.contracts(None).await?;
        self.segments().await?;
        self.files().await.map(drop)
    }

    /// Brings everything that the owner keeps back from the catalog log, for records that do not open any more: answers
    /// how many files there are then, or nothing, with all left as it is, if the log has not all of it either. Shards in
    /// flight are forgotten: no job may be running.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn restore(&self) -> Result<Option<u64>, OwnerError> {
        Ok(catalog::restore(&self.inner).await?)
    }

    /// Keeps a contract. The same again is no error.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn insert_contract(&self, id: ContractId, terms: &SignedTerms) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        let known = sqlx::query("SELECT 1 FROM owner_contracts WHERE contract = ?").bind(id.0.to_vec());
        if known.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?.is_none() {
            write.make(Entry::Contract { id, terms: Box::new(terms.clone()) }).await?;
        }
        Ok(write.commit().await?)
    }

    /// The contract.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn contract(&self, id: ContractId) -> Result<Option<OwnerContract>, OwnerError> {
        let mut read = self.inner.db.read().begin().await.map_err(DatabaseError::from)?;
        let query =
            sqlx::query("SELECT contract, terms, revision, denied FROM owner_contracts WHERE contract = ?");
        let row = query.bind(id.0.to_vec()).fetch_optional(&mut *read).await.map_err(DatabaseError::from)?;
        match row {
            Some(row) => Ok(Some(contract_of(&mut read, &row).await?)),
            None => Ok(None),
        }
    }

    /// All contracts, or those with one farmer, newest first.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn contracts(&self, farmer: Option<DeviceId>) -> Result<Vec<OwnerContract>, OwnerError> {
        let mut read = self.inner.db.read().begin().await.map_err(DatabaseError::from)?;
        let query = "SELECT contract, terms, revision, denied FROM owner_contracts \
                     WHERE ?1 IS NULL OR farmer = ?1 ORDER BY number DESC";
        let query = sqlx::query(query).bind(farmer.map(|farmer| farmer.0.to_vec()));
        let mut contracts = Vec::new();
        for row in query.fetch_all(&mut *read).await.map_err(DatabaseError::from)? {
            contracts.push(contract_of(&mut read, &row).await?);
        }
        Ok(contracts)
    }

    /// Keeps a revision that both signed, and the contract's shards after it. The newest once more is no error.
    ///
    /// # Errors
    /// [`OwnerError::UnknownContract`] or [`OwnerError::NotNext`] with nothing changed, or [`OwnerError::Database`].
    pub async fn save_revision(&self, revision: &SignedRevision) -> Result<(), OwnerError> {
        let (contract, found) = (revision.revision.contract, revision.revision.number);
        let mut write = self.change().await?;
        let query = sqlx::query("SELECT revision_number, revision FROM owner_contracts WHERE contract = ?");
        let row = query
            .bind(contract.0.to_vec())
            .fetch_optional(&mut **write)
            .await
            .map_err(DatabaseError::from)?;
        let row = row.ok_or(OwnerError::UnknownContract)?;
        let newest = maybe_number(&row, 0)?;
        if newest == Some(found) && bytes(&row, 1)? == to_blob(revision) {
            return Ok(());
        }
        if newest.map_or(Some(0), |number| number.checked_add(1)) != Some(found) {
            return Err(OwnerError::NotNext { found, newest });
        }
        write.make_lazily(Entry::Revision(Box::new(revision.clone()))).await?;
        funding::remember(&mut write, revision).await?;
        crash_point!(OwnerRevisionWritten);
        write.commit().await?;
        crash_point!(OwnerRevisionCommitted);
        Ok(())
    }

    /// Replaces all that is known of a contract by what its farmer proved (a rebase): revision and shards.
    ///
    /// # Errors
    /// [`OwnerError::UnknownContract`] or [`OwnerError::Database`].
    pub async fn rebase(&self, revision: &SignedRevision, shards: &[ShardEntry]) -> Result<(), OwnerError> {
        let contract = revision.revision.contract;
        let mut write = self.change().await?;
        let known = sqlx::query("SELECT 1 FROM owner_contracts WHERE contract = ?").bind(contract.0.to_vec());
        if known.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?.is_none() {
            return Err(OwnerError::UnknownContract);
        }
        funding::remember(&mut write, revision).await?;
        let (revision, shards) = (Box::new(revision.clone()), shards.to_vec());
        write.make_lazily(Entry::Rebased { revision, shards }).await?;
        Ok(write.commit().await?)
    }

    /// Writes down that its farmer denied a contract. What both signed stays: it is the evidence.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn deny_contract(&self, id: ContractId, at: Timestamp) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        write.make_lazily(Entry::Denied { id, at }).await?;
        Ok(write.commit().await?)
    }

    /// Forgets a contract that is over, with its shards and what was to be removed under it.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn remove_contract(&self, id: ContractId) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        write.make_lazily(Entry::ContractGone(id)).await?;
        Ok(write.commit().await?)
    }

    /// Clears shards no longer in flight.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn clear_placing(&self, shards: &[ShardId]) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        for shard in shards {
            clear_placing(&mut write, *shard).await?;
        }
        Ok(write.commit().await?)
    }

    /// Shards in flight, or left over by a crash.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn placing(&self) -> Result<Vec<Placing>, OwnerError> {
        let query = sqlx::query("SELECT shard, farmer, contract, segment, job FROM placing ORDER BY shard");
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let placing = rows.iter().map(|row| {
            Ok(Placing {
                shard: ShardId(id(row, 0)?),
                farmer: DeviceId(id(row, 1)?),
                contract: ContractId(id(row, 2)?),
                segment: SegmentId(id(row, 3)?),
                job: job_of(maybe_number(row, 4)?)?,
            })
        });
        Ok(placing.collect::<Result<_, DatabaseError>>()?)
    }

    /// Gives up shards in flight: those that are still among the placing move to the removals, in one transaction.
    /// Others belong to a saved segment by now and stay.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn give_up_placing(&self, removals: &[Removal]) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        let mut given_up = Vec::new();
        for removal in removals {
            if clear_placing(&mut write, removal.shard).await? {
                given_up.push(*removal);
            }
        }
        give_up(&mut write, &given_up).await?;
        write.commit().await?;
        crash_point!(GivenUpCommitted);
        Ok(())
    }

    /// Shards to remove, of all farmers, in order of farmer and contract.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn removals(&self) -> Result<Vec<Removal>, OwnerError> {
        let query =
            sqlx::query("SELECT farmer, contract, shard FROM removals ORDER BY farmer, contract, shard");
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let removals = rows.iter().map(|row| {
            let (farmer, contract) = (DeviceId(id(row, 0)?), ContractId(id(row, 1)?));
            Ok(Removal { farmer, contract, shard: ShardId(id(row, 2)?) })
        });
        Ok(removals.collect::<Result<_, DatabaseError>>()?)
    }

    /// Contracts whose farmers may hold shards that nothing here knows, since rows were made again from the catalog log.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn unsettled(&self) -> Result<Vec<ContractId>, OwnerError> {
        let query = sqlx::query("SELECT contract FROM owner_contracts WHERE settled = 0 ORDER BY number");
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(|row| Ok(ContractId(id(row, 0)?))).collect::<Result<_, DatabaseError>>()?)
    }

    /// Its farmer holds nothing under the contract that is not known here.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn settle(&self, contract: ContractId) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        let query = sqlx::query("UPDATE owner_contracts SET settled = 1 WHERE contract = ?");
        let query = query.bind(contract.0.to_vec());
        query.execute(&mut **write).await.map_err(DatabaseError::from)?;
        Ok(write.commit().await?)
    }

    /// Clears removals that are done.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn clear_removals(&self, shards: &[ShardId]) -> Result<(), OwnerError> {
        let mut write = self.change().await?;
        write.make_lazily(Entry::Gone(shards.to_vec())).await?;
        write.commit().await?;
        crash_point!(RemovalsCleared);
        Ok(())
    }
}

pub(crate) fn job_of(number: Option<u64>) -> Result<Option<u32>, DatabaseError> {
    let job = number.map(u32::try_from).transpose();
    job.map_err(|_| DatabaseError::Corrupt { what: "a job's number" })
}

async fn contract_of(
    read: &mut sqlx::SqliteConnection,
    row: &sqlx::sqlite::SqliteRow,
) -> Result<OwnerContract, DatabaseError> {
    let contract = ContractId(id(row, 0)?);
    let revision: Option<Vec<u8>> = sqlx::Row::try_get(row, 2)?;
    Ok(OwnerContract {
        id: contract,
        terms: from_blob(&bytes(row, 1)?)?,
        revision: revision.map(|bytes| from_blob(&bytes)).transpose()?,
        shards: shards_of(read, contract).await?,
        denied: maybe_number(row, 3)?.map(Timestamp),
    })
}

/// A contract's shards, in order of id.
pub(crate) async fn shards_of(
    read: &mut sqlx::SqliteConnection,
    contract: ContractId,
) -> Result<Vec<ShardEntry>, DatabaseError> {
    let query =
        sqlx::query("SELECT shard, bytes, tag_key FROM owner_shards WHERE contract = ? ORDER BY shard");
    let rows = query.bind(contract.0.to_vec()).fetch_all(read).await?;
    let shards = rows.iter().map(|row| {
        Ok(ShardEntry { id: ShardId(id(row, 0)?), bytes: number(row, 1)?, tag_key: maybe_id(row, 2)? })
    });
    shards.collect()
}

pub(crate) async fn insert_contract(
    write: &mut Write,
    id: ContractId,
    terms: &SignedTerms,
) -> Result<(), DatabaseError> {
    let query = "INSERT INTO owner_contracts (contract, farmer, terms) VALUES (?, ?, ?)";
    let query = sqlx::query(query).bind(id.0.to_vec()).bind(terms.terms.farmer.0.to_vec());
    query.bind(to_blob(terms)).execute(&mut **write).await?;
    Ok(())
}

pub(crate) async fn set_revision(write: &mut Write, signed: &SignedRevision) -> Result<u64, DatabaseError> {
    // Who signs a contract's revision knows the contract, whatever it said before.
    let query =
        "UPDATE owner_contracts SET revision = ?, revision_number = ?, denied = NULL WHERE contract = ?";
    let query = sqlx::query(query);
    let query = query.bind(to_blob(signed)).bind(int(signed.revision.number));
    let changed = query.bind(signed.revision.contract.0.to_vec()).execute(&mut **write).await?;
    Ok(changed.rows_affected())
}

pub(crate) async fn insert_shard(
    write: &mut Write,
    contract: ContractId,
    entry: &ShardEntry,
) -> Result<(), DatabaseError> {
    let query = "INSERT OR REPLACE INTO owner_shards (contract, shard, bytes, tag_key) VALUES (?, ?, ?, ?)";
    let query = sqlx::query(query).bind(contract.0.to_vec()).bind(entry.id.0.to_vec()).bind(int(entry.bytes));
    query.bind(entry.tag_key.map(|tag_key| tag_key.to_vec())).execute(&mut **write).await?;
    Ok(())
}

/// Whether the shard was in flight.
pub(crate) async fn clear_placing(write: &mut Write, shard: ShardId) -> Result<bool, DatabaseError> {
    let query = sqlx::query("DELETE FROM placing WHERE shard = ?").bind(shard.0.to_vec());
    Ok(query.execute(&mut **write).await?.rows_affected() == 1)
}

/// Clears shards that a segment to be saved needs; refused if one was given up, because it is removed then.
pub(crate) async fn settle_placing(write: &mut Change, shards: &[ShardId]) -> Result<(), OwnerError> {
    for shard in shards {
        if !clear_placing(write, *shard).await? {
            return Err(OwnerError::GivenUp(*shard));
        }
    }
    // The log must know too: what is in flight when rows follow it belongs to the segment then.
    if !shards.is_empty() {
        write.make(Entry::Placed(shards.to_vec())).await?;
    }
    Ok(())
}

/// Writes shards down for removal, in the log too: it is the one ground on which a farmer is ever told to delete.
pub(crate) async fn give_up(write: &mut Change, removals: &[Removal]) -> Result<(), DatabaseError> {
    if removals.is_empty() { Ok(()) } else { write.make_lazily(Entry::GivenUp(removals.to_vec())).await }
}

pub(crate) async fn delete_removal(write: &mut Write, shard: ShardId) -> Result<(), DatabaseError> {
    let query = sqlx::query("DELETE FROM removals WHERE shard = ?").bind(shard.0.to_vec());
    query.execute(&mut **write).await?;
    Ok(())
}

pub(crate) async fn insert_removals(write: &mut Write, removals: &[Removal]) -> Result<(), DatabaseError> {
    for removal in removals {
        let query = "INSERT OR REPLACE INTO removals (shard, farmer, contract) VALUES (?, ?, ?)";
        let query = sqlx::query(query).bind(removal.shard.0.to_vec()).bind(removal.farmer.0.to_vec());
        query.bind(removal.contract.0.to_vec()).execute(&mut **write).await?;
        clear_placing(write, removal.shard).await?;
        forget_lost(write, removal.shard).await?;
    }
    Ok(())
}
