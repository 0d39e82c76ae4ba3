//! What changes the set of shards a farmer keeps: revisions, releases and expiry. Rows change in one transaction, then
//! the journal, then files are deleted: a crash in between leaves files that no row knows, never rows without a file. Only
//! a contract that ends loses its journal before its rows, so that no journal ever tells what the rows do not know
//! ([`crate::reconcile`]).

use std::path::Path;

use hayloft_core::{
    ContractId, ShardId, Timestamp,
    audit::TagKeyId,
    contract::{SignedRevision, quota_bytes},
};
use sqlx::sqlite::SqliteRow;

use crate::{
    DatabaseError, Farmer, FarmerError, audit_keys,
    db::{Write, bytes, from_blob, id, int, maybe_id, maybe_number, number, to_blob},
    farmer::{ARRIVED, Contract, Expired, KEPT, to_the_end},
    funding,
    home::sync_folder,
    journal::Record,
    quota,
    shards::{Folder, blocking, delete},
};

/// A journal longer than this, and than so many bytes per shard kept, is rewritten as a snapshot.
const JOURNAL_BYTES: u64 = 1 << 20;
const JOURNAL_BYTES_PER_SHARD: u64 = 512;

fn key(id: ContractId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

impl Farmer {
    /// Applies a revision that both signed, in one transaction: added shards are kept, removed ones deleted.
    ///
    /// # Errors
    /// [`FarmerError::NotNext`], [`FarmerError::NotArrived`], [`FarmerError::OtherTags`] or [`FarmerError::NotKept`] with
    /// nothing changed, or what the disk or database says.
    pub async fn commit_revision(&self, revision: &SignedRevision) -> Result<(), FarmerError> {
        let (farmer, revision) = (self.clone(), revision.clone());
        to_the_end(async move {
            let _gate = farmer.inner.gate.lock().await;
            let mut write = farmer.inner.db.write().await?;
            apply(&mut write, &revision).await?;
            funding::remember(&mut write, &revision).await?;
            crash_point!(RevisionWritten);
            write.commit().await.map_err(DatabaseError::from)?;
            crash_point!(RevisionCommitted);
            farmer.record(revision.revision.contract, &revision).await?;
            crash_point!(RevisionInJournal);
            farmer.delete_files(revision.revision.removed).await;
            Ok(())
        })
        .await
    }

    async fn record(&self, contract: ContractId, revision: &SignedRevision) -> Result<(), FarmerError> {
        let len = self.paths().journal(contract).metadata().map_or(0, |found| found.len());
        let long = JOURNAL_BYTES.max(revision.revision.shards.saturating_mul(JOURNAL_BYTES_PER_SHARD));
        let stale = self.inner.stale_journals.lock().await.contains(&contract);
        if stale || len > long {
            self.snapshot(contract).await
        } else {
            self.write_journal(contract, Record::Revision(Box::new(revision.clone())), false).await;
            Ok(())
        }
    }

    /// Rewrites a contract's journal from the database.
    pub(crate) async fn snapshot(&self, id: ContractId) -> Result<(), FarmerError> {
        let Some(Contract { terms, revision, .. }) = self.contract(id).await? else { return Ok(()) };
        let shards = self.entries(id).await?;
        let (terms, revision) = (Box::new(terms), revision.map(Box::new));
        self.write_journal(id, Record::Snapshot { id, terms, revision, shards }, true).await;
        Ok(())
    }

    /// Gives back what is reserved under the contract and taken by no shard, and deletes those of `shards` that no
    /// revision includes together with their reserved bytes.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn release(&self, contract: ContractId, shards: &[ShardId]) -> Result<(), FarmerError> {
        let (farmer, shards) = (self.clone(), shards.to_vec());
        to_the_end(async move {
            let _gate = farmer.inner.gate.lock().await;
            let mut write = farmer.inner.db.write().await?;
            let mut gone = Vec::new();
            for shard in shards {
                if delete_unkept(&mut write, contract, shard).await? {
                    gone.push(shard);
                }
            }
            quota::end_reservations(&mut write, contract).await?;
            crash_point!(ReleaseWritten);
            write.commit().await.map_err(DatabaseError::from)?;
            crash_point!(ReleaseCommitted);
            farmer.delete_files(gone).await;
            Ok(())
        })
        .await
    }

    /// Deletes what is over: by the clock, which may be wrong, reservations with their shards, which nobody relies on; and
    /// contracts past their end and grace by a time that has surely come.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn expire(&self, now: Timestamp, surely: Timestamp) -> Result<Expired, FarmerError> {
        let farmer = self.clone();
        to_the_end(async move { farmer.expire_all(now, surely).await }).await
    }

    async fn expire_all(&self, now: Timestamp, surely: Timestamp) -> Result<Expired, FarmerError> {
        let reserved_bytes = self.expire_reservations(now).await?;
        let query = "SELECT contract, bytes FROM contracts WHERE delete_after <= ? AND \
                     (number IS NOT NULL OR NOT EXISTS \
                      (SELECT 1 FROM reservations WHERE reservations.contract = contracts.contract) AND NOT EXISTS \
                      (SELECT 1 FROM arrivals WHERE arrivals.contract = contracts.contract))";
        let rows = sqlx::query(query).bind(int(surely.0)).fetch_all(self.inner.db.read()).await;
        let mut contracts = Vec::new();
        for row in rows.map_err(DatabaseError::from)? {
            let contract = ContractId(id(&row, 0)?);
            if self.expire_contract(contract, surely).await? {
                contracts.push((contract, number(&row, 1)?));
            }
        }
        Ok(Expired { reserved_bytes, contracts })
    }

    pub(crate) async fn expire_reservations(&self, now: Timestamp) -> Result<u64, FarmerError> {
        let query = "SELECT EXISTS (SELECT 1 FROM reservations WHERE expires <= ?1) OR \
                            EXISTS (SELECT 1 FROM arrivals WHERE expires <= ?1)";
        let row = sqlx::query(query).bind(int(now.0)).fetch_one(self.inner.db.read()).await;
        if number(&row.map_err(DatabaseError::from)?, 0)? == 0 {
            return Ok(0);
        }
        let farmer = self.clone();
        to_the_end(async move { farmer.end_due(now).await }).await
    }

    async fn end_due(&self, now: Timestamp) -> Result<u64, FarmerError> {
        let _gate = self.inner.gate.lock().await;
        let mut write = self.inner.db.write().await?;
        let due = sqlx::query("DELETE FROM reservations WHERE expires <= ? RETURNING bytes").bind(int(now.0));
        let ended = due.fetch_all(&mut *write).await.map_err(DatabaseError::from)?;
        let query = "DELETE FROM arrivals WHERE expires <= ? RETURNING quota_bytes, shard";
        let rows = sqlx::query(query).bind(int(now.0)).fetch_all(&mut *write).await;
        let rows = rows.map_err(DatabaseError::from)?;
        let mut reserved_bytes = 0;
        for row in ended.iter().chain(&rows) {
            reserved_bytes += number(row, 0)?;
        }
        let gone = delete_rows(&mut write, &rows).await?;
        write.commit().await.map_err(DatabaseError::from)?;
        crash_point!(ReservationsEnded);
        self.delete_files(gone).await;
        Ok(reserved_bytes)
    }

    async fn expire_contract(&self, contract: ContractId, surely: Timestamp) -> Result<bool, FarmerError> {
        let _gate = self.inner.gate.lock().await;
        let mut write = self.inner.db.write().await?;
        let still_due = sqlx::query("SELECT 1 FROM contracts WHERE contract = ? AND delete_after <= ?");
        let still_due = still_due.bind(key(contract)).bind(int(surely.0)).fetch_optional(&mut *write).await;
        if still_due.map_err(DatabaseError::from)?.is_none() {
            return Ok(false);
        }
        let (gone, keys) = delete_contract(&mut write, contract).await?;
        let folder = self.paths();
        let deleted = blocking(move || {
            delete(&folder.journal(contract))?;
            Ok(sync_folder(&folder.journals())?)
        });
        // Written anew if the contract does not end after all.
        self.inner.stale_journals.lock().await.insert(contract);
        if let Err(error) = deleted.await {
            tracing::warn!(%contract, %error, "a contract whose journal cannot be deleted does not end yet");
            return Ok(false);
        }
        crash_point!(ContractJournalDeleted);
        write.commit().await.map_err(DatabaseError::from)?;
        self.inner.stale_journals.lock().await.remove(&contract);
        crash_point!(ContractEnded);
        self.delete_files(gone).await;
        self.delete_keys(keys).await;
        Ok(true)
    }

    /// Deletes files whose rows are gone. What fails is tried again at the next start.
    async fn delete_files(&self, gone: Vec<ShardId>) {
        if gone.is_empty() {
            return;
        }
        let folder = self.paths();
        let deleted = blocking(move || {
            for shard in gone {
                folder.delete(shard)?;
                crash_point!(ShardFileDeleted);
            }
            Ok(())
        });
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "a shard's file cannot be deleted; the next start tries again");
        }
    }

    /// Keeps shards in another folder from now on; refused while there are any, or if the other folder is another node's.
    ///
    /// # Errors
    /// [`FarmerError::FolderInUse`], [`FarmerError::FolderTaken`], or what the disk or database says.
    pub async fn move_to(&self, root: &Path) -> Result<(), FarmerError> {
        let _gate = self.inner.gate.lock().await;
        let row = sqlx::query("SELECT count(*) FROM shards").fetch_one(self.inner.db.read()).await;
        if root == self.folder() {
            return Ok(());
        }
        if number(&row.map_err(DatabaseError::from)?, 0)? > 0 {
            return Err(FarmerError::FolderInUse);
        }
        let (old, new) = (self.paths(), Folder { root: root.to_owned() });
        let marker = self.inner.marker;
        let moved = new.clone();
        blocking(move || match crate::reconcile::marker(&moved)? {
            Some(other) if other != marker => Err(FarmerError::FolderTaken),
            _ => crate::reconcile::begin_folder(&moved, &marker),
        })
        .await?;
        crash_point!(FolderBegun);
        *self.inner.folder.write().unwrap_or_else(std::sync::PoisonError::into_inner) = new;
        for contract in self.contracts().await? {
            self.snapshot(contract.id).await?;
        }
        blocking(move || crate::reconcile::end_folder(&old)).await?;
        crash_point!(FolderLeft);
        Ok(())
    }
}

/// Checks a revision against the tables and writes it to them.
pub(crate) async fn apply(write: &mut Write, signed: &SignedRevision) -> Result<(), FarmerError> {
    let revision = &signed.revision;
    let query =
        sqlx::query("SELECT number, terms FROM contracts WHERE contract = ?").bind(key(revision.contract));
    let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
    let row = row.ok_or(FarmerError::UnknownContract)?;
    let newest = maybe_number(&row, 0)?;
    if newest.map_or(Some(0), |number| number.checked_add(1)) != Some(revision.number) {
        return Err(FarmerError::NotNext { found: revision.number, newest });
    }
    let terms: hayloft_core::contract::SignedTerms = from_blob(&bytes(&row, 1)?)?;
    let added = add(write, signed).await?;
    let removed = remove(write, signed).await?;
    let delete_after = revision.end.plus_seconds(terms.terms.grace_seconds);
    let query = "UPDATE contracts SET revision = ?, number = ?, shards = shards + ? - ?, bytes = bytes + ? - ?, \
                 quota_bytes = quota_bytes + ? - ?, delete_after = ? WHERE contract = ?";
    let query = sqlx::query(query).bind(to_blob(signed)).bind(int(revision.number));
    let query = query.bind(int(revision.added.len() as u64)).bind(int(revision.removed.len() as u64));
    let query = query.bind(int(added.bytes)).bind(int(removed.bytes));
    let query = query.bind(int(added.quota_bytes)).bind(int(removed.quota_bytes)).bind(int(delete_after.0));
    query.bind(key(revision.contract)).execute(&mut **write).await.map_err(DatabaseError::from)?;
    Ok(())
}

/// Sums over the shards that come or go.
#[derive(Default)]
struct Sums {
    bytes: u64,
    quota_bytes: u64,
}

impl Sums {
    fn count(&mut self, shard_bytes: u64, tag_bytes: u64) {
        self.bytes += shard_bytes;
        self.quota_bytes += quota_bytes(shard_bytes + tag_bytes);
    }
}

async fn add(write: &mut Write, signed: &SignedRevision) -> Result<Sums, FarmerError> {
    let mut sums = Sums::default();
    for entry in &signed.revision.added {
        let query = "UPDATE shards SET state = ? WHERE shard = ? AND contract = ? AND bytes = ? AND state = ? \
                     RETURNING tag_bytes, tag_key";
        let query = sqlx::query(query).bind(KEPT).bind(entry.id.as_bytes().to_vec());
        let query = query.bind(key(signed.revision.contract)).bind(int(entry.bytes)).bind(ARRIVED);
        let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
        let row = row.ok_or(FarmerError::NotArrived(entry.id))?;
        let tag_bytes = number(&row, 0)?;
        if maybe_id(&row, 1)? != entry.tag_key || (entry.tag_key.is_none() && tag_bytes > 0) {
            return Err(FarmerError::OtherTags(entry.id));
        }
        quota::end(write, entry.id).await?;
        sums.count(entry.bytes, tag_bytes);
    }
    Ok(sums)
}

async fn remove(write: &mut Write, signed: &SignedRevision) -> Result<Sums, FarmerError> {
    let mut sums = Sums::default();
    for shard in &signed.revision.removed {
        let query =
            "DELETE FROM shards WHERE shard = ? AND contract = ? AND state >= ? RETURNING bytes, tag_bytes";
        let query =
            sqlx::query(query).bind(shard.as_bytes().to_vec()).bind(key(signed.revision.contract)).bind(KEPT);
        let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
        let row = row.ok_or(FarmerError::NotKept(*shard))?;
        sums.count(number(&row, 0)?, number(&row, 1)?);
    }
    Ok(sums)
}

/// Deletes the rows of shards that hold nothing any more; their ids stand in the second column.
async fn delete_rows(write: &mut Write, rows: &[SqliteRow]) -> Result<Vec<ShardId>, DatabaseError> {
    let mut gone = Vec::with_capacity(rows.len());
    for row in rows {
        let shard = ShardId(id(row, 1)?);
        let query = sqlx::query("DELETE FROM shards WHERE shard = ?").bind(shard.as_bytes().to_vec());
        query.execute(&mut **write).await?;
        gone.push(shard);
    }
    Ok(gone)
}

/// Deletes the row of a shard that no revision includes; whether there was one.
async fn delete_unkept(
    write: &mut Write,
    contract: ContractId,
    shard: ShardId,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query("DELETE FROM shards WHERE shard = ? AND contract = ? AND state < ?");
    let query = query.bind(shard.as_bytes().to_vec()).bind(key(contract)).bind(KEPT);
    Ok(query.execute(&mut **write).await?.rows_affected() == 1)
}

/// Deletes a contract's rows, and those of its owner's keys with its last one; answers which files are of no more use.
async fn delete_contract(
    write: &mut Write,
    contract: ContractId,
) -> Result<(Vec<ShardId>, Vec<TagKeyId>), DatabaseError> {
    let query = sqlx::query("DELETE FROM shards WHERE contract = ? RETURNING shard").bind(key(contract));
    let rows = query.fetch_all(&mut **write).await?;
    quota::end_reservations(write, contract).await?;
    let query = sqlx::query("DELETE FROM contracts WHERE contract = ? RETURNING owner").bind(key(contract));
    let keys = match query.fetch_optional(&mut **write).await? {
        Some(row) => audit_keys::forget(write, &bytes(&row, 0)?).await?,
        None => Vec::new(),
    };
    let gone = rows.iter().map(|row| Ok(ShardId(id(row, 0)?))).collect::<Result<_, DatabaseError>>()?;
    Ok((gone, keys))
}
