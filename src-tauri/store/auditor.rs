//! The auditor's books: the contracts it follows, what became of each epoch, the receipts, and a record of each farmer.
//!
//! Invariants: the state of a contract, the verdict that came out of it and what that does to the farmer's record are
//! written in one transaction, so that no audit is counted twice or lost wherever the process dies; a question's nonce is on
//! the disk before [`Auditor::step`] returns; whatever strangers ask this auditor to follow is bounded by [`Bounds`].
//!
//! Deliberately absent: what follows from what (`core::auditor`), and who may ask for a contract to be followed.

use std::sync::Arc;

use hayloft_core::{
    ContractId, DeviceId, OwnerId, Timestamp,
    audit::Epoch,
    auditor::{Judgement, follow, record, round},
    contract::{ShardEntry, SignedRevision, SignedTerms},
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    DatabaseError,
    db::{Write, bytes, from_blob, id, int, maybe_number, number, to_blob},
    funding,
    open::Inner,
};

/// Verdicts kept of one contract, the newest; of one that is paid for each with its receipt, for what is to be paid is computed
/// from them all.
pub const VERDICTS_KEPT: u64 = 400;
/// Receipts kept of any other contract, the newest.
pub const RECEIPTS_KEPT: u64 = 64;
/// Older revisions kept of one contract, with their shards: without them a receipt cannot be shown whole.
pub const REVISIONS_KEPT: u64 = 4;
/// Farmers whose record is kept: those met first.
pub const FARMERS_KEPT: u64 = 65_536;
const ROUND: &str = "audits round";

/// How much an auditor lets others make it keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Contracts in all.
    pub contracts: u64,
    /// Contracts of one owner.
    pub contracts_per_owner: u64,
    /// Shards listed in all.
    pub shards: u64,
    /// Shards listed of one owner: each takes up to 70 bytes.
    pub shards_per_owner: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { contracts: 16_384, contracts_per_owner: 512, shards: 4 << 20, shards_per_owner: 1 << 18 }
    }
}

/// Why the auditor's books refuse or fail.
#[derive(Debug, thiserror::Error)]
pub enum AuditorError {
    /// The contract is not followed.
    #[error("this auditor does not follow that contract")]
    NotFollowed,
    /// The owner has as much followed here as it may.
    #[error("this auditor follows as much of that owner as it may")]
    OwnersShare,
    /// No more can be followed.
    #[error("this auditor follows as much as it can")]
    Full,
    /// A newer revision is known.
    #[error("this auditor knows a newer revision of that contract")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for AuditorError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A contract as its auditor keeps it, but for its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Its id.
    pub contract: ContractId,
    /// The terms, signed by both.
    pub terms: SignedTerms,
    /// The newest revision known.
    pub revision: SignedRevision,
    /// The owner's verifier keys, encoded.
    pub keys: Vec<Vec<u8>>,
    /// Where its audits stand.
    pub state: follow::State,
    /// When they are to be moved on.
    pub due: Option<Timestamp>,
    /// When it is forgotten.
    pub until: Timestamp,
}

/// One epoch's verdict, and whether there is a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub judgement: Judgement,
    /// Whether a receipt is kept.
    pub receipt: bool,
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhibit {
    /// The verdict.
    pub judgement: Judgement,
    /// Its receipt, without the shards.
    pub receipt: Option<Vec<u8>>,
    /// The verifier keys that the contract's shards were tagged with then, encoded.
    pub keys: Vec<Vec<u8>>,
}

/// A farmer's record as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The farmer.
    pub farmer: DeviceId,
    /// The address that its connection showed last.
    pub address: Option<String>,
    /// What is known of it.
    pub record: record::Record,
}

/// All that one event changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The contract.
    pub contract: ContractId,
    /// Where its audits stand now.
    pub state: follow::State,
    /// When they are next to be moved on.
    pub due: Option<Timestamp>,
    /// Verdicts, and the receipts of those that have one.
    pub judged: Vec<(Judgement, Option<Vec<u8>>)>,
    /// The farmer's record, if it changed.
    pub farmer: Option<Known>,
    /// The round of all farmers, if it changed.
    pub round: Option<round::Kept>,
}

/// The auditor's part of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auditor {
    pub(crate) inner: Arc<Inner>,
}

impl Auditor {
    /// Begins to follow a contract.
    ///
    /// # Errors
    /// [`AuditorError::OwnersShare`] and [`AuditorError::Full`] if it is one too many, with nothing changed; the same
    /// contract again is [`AuditorError::Stale`].
    pub async fn follow(
        &self,
        followed: &Followed,
        shards: &[ShardEntry],
        bounds: Bounds,
    ) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let revision = &followed.revision.revision;
        if newest(&mut write, followed.contract).await?.is_some() {
            return Err(AuditorError::Stale);
        }
        let owner = followed.terms.terms.owner;
        let (contracts, listed) = figures(&mut write, Some(owner)).await?;
        if contracts >= bounds.contracts_per_owner || listed + revision.shards > bounds.shards_per_owner {
            return Err(AuditorError::OwnersShare);
        }
        let (contracts, listed) = figures(&mut write, None).await?;
        if contracts >= bounds.contracts || listed + revision.shards > bounds.shards {
            return Err(AuditorError::Full);
        }
        let query = "INSERT INTO audited \
                     (contract, owner, farmer, terms, number, shards, bytes, keys, state, due, until) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(query).bind(followed.contract.0.to_vec()).bind(owner.0.to_vec());
        let query = query.bind(followed.terms.terms.farmer.0.to_vec()).bind(to_blob(&followed.terms));
        let query = query.bind(int(revision.number)).bind(int(revision.shards)).bind(int(revision.bytes));
        let query = query.bind(to_blob(&followed.keys)).bind(to_blob(&followed.state));
        let query = query.bind(followed.due.map(|due| int(due.0))).bind(int(followed.until.0));
        query.execute(&mut *write).await?;
        insert_revision(&mut write, followed.contract, &followed.revision, shards).await?;
        funding::remember(&mut write, &followed.revision).await?;
        crash_point!(FollowWritten);
        write.commit().await?;
        crash_point!(FollowCommitted);
        Ok(())
    }

    /// Takes over a newer revision with its shards, and keys. The audits stay where they stand.
    ///
    /// # Errors
    /// [`AuditorError::NotFollowed`], [`AuditorError::Stale`] and [`AuditorError::OwnersShare`] with nothing changed.
    pub async fn revise(
        &self,
        followed: &Followed,
        shards: &[ShardEntry],
        bounds: Bounds,
    ) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let (contract, revision) = (followed.contract, &followed.revision.revision);
        let (known, before) = newest(&mut write, contract).await?.ok_or(AuditorError::NotFollowed)?;
        if known >= revision.number {
            return Err(AuditorError::Stale);
        }
        let (_, listed) = figures(&mut write, Some(followed.terms.terms.owner)).await?;
        if listed - before.min(listed) + revision.shards > bounds.shards_per_owner {
            return Err(AuditorError::OwnersShare);
        }
        let query =
            "UPDATE audited SET number = ?, shards = ?, bytes = ?, keys = ?, until = ? WHERE contract = ?";
        let query = sqlx::query(query).bind(int(revision.number)).bind(int(revision.shards));
        let query = query.bind(int(revision.bytes)).bind(to_blob(&followed.keys));
        let query = query.bind(int(followed.until.0)).bind(contract.0.to_vec());
        query.execute(&mut *write).await?;
        insert_revision(&mut write, contract, &followed.revision, shards).await?;
        funding::remember(&mut write, &followed.revision).await?;
        let query = "DELETE FROM audited_revisions WHERE contract = ?1 AND number NOT IN \
                     (SELECT number FROM audited_revisions WHERE contract = ?1 ORDER BY number DESC LIMIT ?2)";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(int(1 + REVISIONS_KEPT));
        query.execute(&mut *write).await?;
        crash_point!(FollowRevisionWritten);
        write.commit().await?;
        crash_point!(FollowRevisionCommitted);
        Ok(())
    }

    /// Keeps the verifier keys that a contract's shards are tagged with.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn keep_keys(&self, contract: ContractId, keys: &[Vec<u8>]) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("UPDATE audited SET keys = ? WHERE contract = ?");
        query.bind(to_blob(&keys)).bind(contract.0.to_vec()).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// Writes down what one event changed, all or nothing.
    ///
    /// # Errors
    /// [`AuditorError::NotFollowed`] if the contract was forgotten meanwhile, with nothing changed.
    pub async fn step(&self, step: &Step) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let contract = step.contract.0.to_vec();
        let query = sqlx::query("UPDATE audited SET state = ?, due = ? WHERE contract = ?");
        let query = query.bind(to_blob(&step.state)).bind(step.due.map(|due| int(due.0)));
        if query.bind(contract.clone()).execute(&mut *write).await?.rows_affected() == 0 {
            return Err(AuditorError::NotFollowed);
        }
        for (judgement, receipt) in &step.judged {
            let query = "INSERT OR REPLACE INTO verdicts (contract, epoch, number, judgement, receipt, keys) \
                         SELECT ?1, ?2, ?3, ?4, ?5, iif(?5 IS NULL, NULL, keys) FROM audited WHERE contract = ?1";
            let query = sqlx::query(query).bind(contract.clone()).bind(int(judgement.epoch.0));
            let query = query.bind(int(judgement.revision)).bind(to_blob(judgement)).bind(receipt.clone());
            query.execute(&mut *write).await?;
        }
        if !step.judged.is_empty() {
            prune(&mut write, &contract).await?;
        }
        if let Some(farmer) = &step.farmer {
            keep_farmer(&mut write, farmer).await?;
        }
        if let Some(round) = &step.round {
            keep_round(&mut write, round).await?;
        }
        crash_point!(AuditWritten);
        write.commit().await?;
        crash_point!(AuditCommitted);
        Ok(())
    }

    /// Writes down a farmer's record that changed by itself.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn keep_farmer(&self, farmer: &Known) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        keep_farmer(&mut write, farmer).await?;
        Ok(write.commit().await?)
    }

    /// A followed contract.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn followed(&self, contract: ContractId) -> Result<Option<Followed>, AuditorError> {
        let query = "SELECT terms, revision, keys, state, due, until FROM audited \
                     JOIN audited_revisions USING (contract, number) WHERE contract = ?";
        let row = sqlx::query(query).bind(contract.0.to_vec()).fetch_optional(self.inner.db.read()).await?;
        read(row, |row| {
            Ok(Followed {
                contract,
                terms: from_blob(&bytes(row, 0)?)?,
                revision: from_blob(&bytes(row, 1)?)?,
                keys: from_blob(&bytes(row, 2)?)?,
                state: from_blob(&bytes(row, 3)?)?,
                due: maybe_number(row, 4)?.map(Timestamp),
                until: Timestamp(number(row, 5)?),
            })
        })
    }

    /// A revision that is kept, with its shards in ascending order of id.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn revision(
        &self,
        contract: ContractId,
        number: u64,
    ) -> Result<Option<(SignedRevision, Vec<ShardEntry>)>, AuditorError> {
        let query = "SELECT revision, shards FROM audited_revisions WHERE contract = ? AND number = ?";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(int(number));
        let row = query.fetch_optional(self.inner.db.read()).await?;
        read(row, |row| Ok((from_blob(&bytes(row, 0)?)?, from_blob(&bytes(row, 1)?)?)))
    }

    /// Contracts that are to be moved on at `now`, the longest waiting first.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<(ContractId, DeviceId)>, AuditorError> {
        let query = "SELECT contract, farmer FROM audited WHERE due <= ? ORDER BY due, contract LIMIT ?";
        let query = sqlx::query(query).bind(int(now.0)).bind(most);
        let rows = query.fetch_all(self.inner.db.read()).await?;
        let due = rows.iter().map(|row| Ok((ContractId(id(row, 0)?), DeviceId(id(row, 1)?))));
        Ok(due.collect::<Result<_, DatabaseError>>()?)
    }

    /// When a contract that is not due yet is the next to be moved on.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, AuditorError> {
        let query = sqlx::query("SELECT min(due) FROM audited WHERE due > ?").bind(int(now.0));
        let row = query.fetch_one(self.inner.db.read()).await?;
        Ok(maybe_number(&row, 0)?.map(Timestamp))
    }

    /// Forgets contracts whose time is over, with all that was judged; how many.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn forget_over(&self, surely: Timestamp) -> Result<u64, AuditorError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("DELETE FROM audited WHERE until <= ?").bind(int(surely.0));
        let gone = query.execute(&mut *write).await?.rows_affected();
        write.commit().await?;
        crash_point!(FollowsForgotten);
        Ok(gone)
    }

    /// Contracts followed and shards listed: of one owner, or in all.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn figures(&self, owner: Option<OwnerId>) -> Result<(u64, u64), AuditorError> {
        let row = figures_query(owner).fetch_one(self.inner.db.read()).await?;
        Ok((number(&row, 0)?, number(&row, 1)?))
    }

    /// Contracts followed with a farmer, and their bytes.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn kept_by(&self, farmer: DeviceId) -> Result<(u64, u64), AuditorError> {
        let query = sqlx::query("SELECT count(*), coalesce(sum(bytes), 0) FROM audited WHERE farmer = ?");
        let row = query.bind(farmer.0.to_vec()).fetch_one(self.inner.db.read()).await?;
        Ok((number(&row, 0)?, number(&row, 1)?))
    }

    /// Verdicts of a contract before an epoch, or the newest: in descending order, at most `most`.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn verdicts(
        &self,
        contract: ContractId,
        before: Option<Epoch>,
        most: u32,
    ) -> Result<Vec<Judged>, AuditorError> {
        let query = "SELECT judgement, receipt IS NOT NULL FROM verdicts \
                     WHERE contract = ? AND epoch < ? ORDER BY epoch DESC LIMIT ?";
        let query = sqlx::query(query).bind(contract.0.to_vec());
        let query = query.bind(before.map_or(i64::MAX, |epoch| int(epoch.0))).bind(most);
        let rows = query.fetch_all(self.inner.db.read()).await?;
        let judged = rows.iter().map(|row| -> Result<_, DatabaseError> {
            Ok(Judged { judgement: from_blob(&bytes(row, 0)?)?, receipt: number(row, 1)? == 1 })
        });
        Ok(judged.collect::<Result<_, _>>()?)
    }

    /// All verdicts of a contract by epoch, each with what it rests on.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn exhibits(&self, contract: ContractId) -> Result<Vec<Exhibit>, AuditorError> {
        let query = "SELECT judgement, receipt, keys FROM verdicts WHERE contract = ? ORDER BY epoch";
        let rows = sqlx::query(query).bind(contract.0.to_vec()).fetch_all(self.inner.db.read()).await?;
        let exhibits = rows.iter().map(|row| -> Result<_, DatabaseError> {
            let keys: Option<Vec<u8>> = row.try_get(2)?;
            let keys = keys.map_or_else(|| Ok(Vec::new()), |keys| from_blob(&keys))?;
            Ok(Exhibit { judgement: from_blob(&bytes(row, 0)?)?, receipt: row.try_get(1)?, keys })
        });
        Ok(exhibits.collect::<Result<_, _>>()?)
    }

    /// The receipt of an epoch, without the shards, and the number of its revision.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn receipt(
        &self,
        contract: ContractId,
        epoch: Epoch,
    ) -> Result<Option<(u64, Vec<u8>)>, AuditorError> {
        let query = "SELECT number, receipt FROM verdicts \
                     WHERE contract = ? AND epoch = ? AND receipt IS NOT NULL";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(int(epoch.0));
        let row = query.fetch_optional(self.inner.db.read()).await?;
        read(row, |row| Ok((number(row, 0)?, bytes(row, 1)?)))
    }

    /// A farmer's record.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn farmer(&self, farmer: DeviceId) -> Result<Option<Known>, AuditorError> {
        let query = sqlx::query("SELECT farmer, address, record FROM audited_farmers WHERE farmer = ?");
        let row = query.bind(farmer.0.to_vec()).fetch_optional(self.inner.db.read()).await?;
        read(row, known)
    }

    /// All farmers' records.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn farmers(&self) -> Result<Vec<Known>, AuditorError> {
        let query = sqlx::query("SELECT farmer, address, record FROM audited_farmers ORDER BY farmer");
        let rows = query.fetch_all(self.inner.db.read()).await?;
        Ok(rows.iter().map(known).collect::<Result<_, DatabaseError>>()?)
    }

    /// The round of all farmers, as it was kept.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn round(&self) -> Result<Option<round::Kept>, AuditorError> {
        let value = self.inner.db.home_value(ROUND).await?;
        Ok(value.map(|value| from_blob(&value)).transpose()?)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn keep_round(&self, round: &round::Kept) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        keep_round(&mut write, round).await?;
        Ok(write.commit().await?)
    }
}

/// What a row says, if there is one.
fn read<T>(
    row: Option<SqliteRow>,
    read: impl FnOnce(&SqliteRow) -> Result<T, DatabaseError>,
) -> Result<Option<T>, AuditorError> {
    Ok(row.as_ref().map(read).transpose()?)
}

fn known(row: &SqliteRow) -> Result<Known, DatabaseError> {
    Ok(Known { farmer: DeviceId(id(row, 0)?), address: row.try_get(1)?, record: from_blob(&bytes(row, 2)?)? })
}

/// Number and shards of the newest revision known.
async fn newest(write: &mut Write, contract: ContractId) -> Result<Option<(u64, u64)>, AuditorError> {
    let query = sqlx::query("SELECT number, shards FROM audited WHERE contract = ?");
    let row = query.bind(contract.0.to_vec()).fetch_optional(&mut **write).await?;
    read(row, |row| Ok((number(row, 0)?, number(row, 1)?)))
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn figures_query(owner: Option<OwnerId>) -> Query {
    let query = "SELECT count(*), coalesce(sum(shards), 0) FROM audited WHERE ?1 IS NULL OR owner = ?1";
    sqlx::query(query).bind(owner.map(|owner| owner.0.to_vec()))
}

async fn figures(write: &mut Write, owner: Option<OwnerId>) -> Result<(u64, u64), AuditorError> {
    let row = figures_query(owner).fetch_one(&mut **write).await?;
    Ok((number(&row, 0)?, number(&row, 1)?))
}

async fn insert_revision(
    write: &mut Write,
    contract: ContractId,
    revision: &SignedRevision,
    shards: &[ShardEntry],
) -> Result<(), AuditorError> {
    let query =
        "INSERT OR REPLACE INTO audited_revisions (contract, number, revision, shards) VALUES (?, ?, ?, ?)";
    let query = sqlx::query(query).bind(contract.0.to_vec()).bind(int(revision.revision.number));
    let query = query.bind(to_blob(revision)).bind(to_blob(&shards));
    query.execute(&mut **write).await?;
    Ok(())
}

/// Forgets what is beyond the newest verdicts, and receipts that nothing is paid by.
async fn prune(write: &mut Write, contract: &[u8]) -> Result<(), AuditorError> {
    let old = "DELETE FROM verdicts WHERE contract = ?1 AND epoch <= \
               (SELECT epoch FROM verdicts WHERE contract = ?1 ORDER BY epoch DESC LIMIT 1 OFFSET ?2)";
    sqlx::query(old).bind(contract.to_vec()).bind(int(VERDICTS_KEPT)).execute(&mut **write).await?;
    let old = "UPDATE verdicts SET receipt = NULL, keys = NULL WHERE contract = ?1 AND receipt IS NOT NULL \
               AND contract NOT IN (SELECT contract FROM funding) AND epoch <= \
               (SELECT epoch FROM verdicts WHERE contract = ?1 ORDER BY epoch DESC LIMIT 1 OFFSET ?2)";
    sqlx::query(old).bind(contract.to_vec()).bind(int(RECEIPTS_KEPT)).execute(&mut **write).await?;
    Ok(())
}

/// Keeps a record. Beyond [`FARMERS_KEPT`] newcomers are not kept: a flood of them must not push out those known.
async fn keep_farmer(write: &mut Write, known: &Known) -> Result<(), AuditorError> {
    let query = "INSERT INTO audited_farmers (farmer, address, record) SELECT ?1, ?2, ?3 \
                 WHERE EXISTS (SELECT 1 FROM audited_farmers WHERE farmer = ?1) \
                 OR (SELECT count(*) FROM audited_farmers) < ?4 \
                 ON CONFLICT (farmer) DO UPDATE SET address = coalesce(?2, address), record = ?3";
    let query = sqlx::query(query).bind(known.farmer.0.to_vec()).bind(known.address.clone());
    query.bind(to_blob(&known.record)).bind(int(FARMERS_KEPT)).execute(&mut **write).await?;
    Ok(())
}

async fn keep_round(write: &mut Write, round: &round::Kept) -> Result<(), AuditorError> {
    let query = sqlx::query("INSERT OR REPLACE INTO home (key, value) VALUES (?, ?)");
    query.bind(ROUND).bind(to_blob(round)).execute(&mut **write).await?;
    Ok(())
}
