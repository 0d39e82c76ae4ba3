//! The changes that a catalog is made of, and what each does to the rows: the same code while running and when the rows
//! are made again from the log.

use hayloft_core::{
    ContractId, SegmentId, ShardId, Timestamp,
    contract::{ShardEntry, SignedRevision, SignedTerms, Terms},
};
use serde::{Deserialize, Serialize};

use crate::{
    DatabaseError,
    db::{Write, int, to_blob},
    files::{NewSegment, Removal, StoredFile, delete_file, insert_file, insert_segment},
    owner::{clear_placing, delete_removal, insert_contract, insert_removals, insert_shard, set_revision},
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A segment was placed; its shards in flight arrived.
    Segment { segment: NewSegment, job: Option<u32> },
    /// These shards in flight belong to a segment from now on.
    Placed(Vec<ShardId>),
    /// A file is stored, in place of one of the same name.
    File(StoredFile),
    /// A file is kept for longer.
    Kept { name_key: [u8; 32], content: Vec<u8>, keep_until: Timestamp, renew: bool },
    /// A file was removed.
    FileGone([u8; 32]),
    /// A segment's shards lie elsewhere.
    Moved { segment: SegmentId, placement: Vec<u8> },
    /// A segment is forgotten.
    SegmentGone(SegmentId),
    /// A job holds its segments no more.
    Released(u32),
    /// A contract was agreed on.
    Contract { id: ContractId, terms: Box<SignedTerms> },
    /// It was revised.
    Revision(Box<SignedRevision>),
    /// All that holds of it.
    Rebased { revision: Box<SignedRevision>, shards: Vec<ShardEntry> },
    /// Its farmer denied it.
    Denied { id: ContractId, at: Timestamp },
    /// It is forgotten.
    ContractGone(ContractId),
    /// A transfer as it stands.
    Job(JobEntry),
    /// It stands elsewhere.
    JobMoved { id: u32, state: i64, progress: String, report: Option<String>, ended: Option<u64> },
    /// An escrow is for a contract with these terms.
    Funding { account: [u8; 32], terms: Box<Terms> },
    /// An escrow as it stands; one that is over stays so.
    Escrow(EscrowEntry),
    /// A transaction that may be handed in.
    Payment(PaymentEntry),
    /// What came of it.
    PaymentClosed { hash: [u8; 32], state: i64, ledger: Option<u32>, reason: Option<String> },
    /// The ledger began anew: every escrow is over.
    LedgerAnew,
    /// These shards serve nothing for good: their farmers are to delete them.
    GivenUp(Vec<Removal>),
    /// Their farmers have deleted these.
    Gone(Vec<ShardId>),
}

/// An escrow's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EscrowEntry {
    pub(crate) account: [u8; 32],
    pub(crate) plan: Vec<u8>,
    pub(crate) role: i64,
    pub(crate) state: i64,
}

/// A transaction's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaymentEntry {
    pub(crate) number: u64,
    pub(crate) network: [u8; 32],
    pub(crate) hash: [u8; 32],
    pub(crate) source: [u8; 32],
    pub(crate) sequence: i64,
    pub(crate) latest: u64,
    pub(crate) envelope: Vec<u8>,
    pub(crate) purpose: Vec<u8>,
    pub(crate) spends: u64,
    pub(crate) signed: u64,
    pub(crate) state: i64,
    pub(crate) ledger: Option<u32>,
    pub(crate) reason: Option<String>,
}

/// A transfer's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobEntry {
    pub(crate) id: u32,
    pub(crate) kind: String,
    pub(crate) state: i64,
    pub(crate) spec: String,
    pub(crate) progress: String,
    pub(crate) report: Option<String>,
    pub(crate) begun: u64,
    pub(crate) ended: Option<u64>,
}

impl Entry {
    /// Changes the rows. Whether the change is allowed was asked before.
    pub(crate) async fn apply(&self, write: &mut Write) -> Result<(), DatabaseError> {
        match self {
            Self::Segment { segment, job } => insert_segment(write, segment, *job).await,
            Self::Placed(shards) => {
                for shard in shards {
                    clear_placing(write, *shard).await?;
                }
                Ok(())
            }
            Self::File(file) => {
                delete_file(write, &file.name_key).await?;
                insert_file(write, file).await
            }
            Self::Kept { name_key, content, keep_until, renew } => {
                let query = "UPDATE files SET content = ?, keep_until = ?, renew = ? WHERE name_key = ?";
                let query = sqlx::query(query).bind(content.clone()).bind(int(keep_until.0)).bind(*renew);
                query.bind(name_key.to_vec()).execute(&mut **write).await?;
                Ok(())
            }
            Self::FileGone(name_key) => delete_file(write, name_key).await.map(drop),
            Self::Moved { segment, placement } => {
                let query = sqlx::query("UPDATE segments SET placement = ? WHERE segment = ?");
                let query = query.bind(placement.clone()).bind(segment.0.to_vec());
                query.execute(&mut **write).await?;
                Ok(())
            }
            Self::SegmentGone(segment) => {
                let query = sqlx::query("DELETE FROM segments WHERE segment = ?").bind(segment.0.to_vec());
                query.execute(&mut **write).await?;
                Ok(())
            }
            Self::Released(job) => {
                let query = "UPDATE segments SET job = NULL, notes = x'' WHERE job = ?";
                sqlx::query(query).bind(i64::from(*job)).execute(&mut **write).await?;
                Ok(())
            }
            Self::Job(job) => job.apply(write).await,
            Self::JobMoved { id, state, progress, report, ended } => {
                let query = "UPDATE jobs SET state = ?, progress = ?, report = ?, ended = ? WHERE id = ?";
                let query = sqlx::query(query).bind(*state).bind(progress.clone()).bind(report.clone());
                let query = query.bind(ended.map(int)).bind(i64::from(*id));
                query.execute(&mut **write).await?;
                Ok(())
            }
            Self::Contract { id, terms } => insert_contract(write, *id, terms).await,
            Self::Revision(signed) => revise(write, signed).await,
            Self::Rebased { revision, shards } => rebase(write, revision, shards).await,
            Self::Denied { id, at } => {
                let query = sqlx::query("UPDATE owner_contracts SET denied = ? WHERE contract = ?");
                query.bind(int(at.0)).bind(id.0.to_vec()).execute(&mut **write).await?;
                Ok(())
            }
            Self::ContractGone(id) => forget_contract(write, *id).await,
            Self::Funding { account, terms } => {
                let query = "INSERT OR IGNORE INTO funding (account, contract, terms) VALUES (?, ?, ?)";
                let query = sqlx::query(query).bind(account.to_vec()).bind(terms.id().0.to_vec());
                query.bind(to_blob(&**terms)).execute(&mut **write).await?;
                Ok(())
            }
            Self::Escrow(escrow) => escrow.apply(write).await,
            Self::Payment(payment) => payment.apply(write).await,
            Self::PaymentClosed { hash, state, ledger, reason } => {
                let query =
                    "UPDATE outbox SET state = ?, ledger = ?, reason = ? WHERE hash = ? AND state = 0";
                let query = sqlx::query(query).bind(*state).bind(ledger.map(i64::from)).bind(reason.clone());
                query.bind(hash.to_vec()).execute(&mut **write).await?;
                Ok(())
            }
            Self::LedgerAnew => {
                sqlx::query("UPDATE escrows SET state = 2").execute(&mut **write).await?;
                Ok(())
            }
            Self::GivenUp(removals) => insert_removals(write, removals).await,
            Self::Gone(shards) => {
                for shard in shards {
                    delete_removal(write, *shard).await?;
                }
                Ok(())
            }
        }
    }

    /// Clears all tables that entries are applied to. Shards in flight go too, which no entry brings back: what farmers hold of
    /// them is kept.
    pub(crate) async fn clear(write: &mut Write) -> Result<(), DatabaseError> {
        for table in [
            "DELETE FROM file_segments",
            "DELETE FROM files",
            "DELETE FROM segments",
            "DELETE FROM owner_shards",
            "DELETE FROM owner_contracts",
            "DELETE FROM placing",
            "DELETE FROM removals",
            "DELETE FROM jobs",
            "DELETE FROM funding",
            "DELETE FROM escrows",
            "DELETE FROM outbox",
        ] {
            sqlx::query(table).execute(&mut **write).await?;
        }
        Ok(())
    }
}

async fn revise(write: &mut Write, signed: &SignedRevision) -> Result<(), DatabaseError> {
    let contract = signed.revision.contract;
    set_revision(write, signed).await?;
    for entry in &signed.revision.added {
        insert_shard(write, contract, entry).await?;
    }
    for shard in &signed.revision.removed {
        let query = sqlx::query("DELETE FROM owner_shards WHERE contract = ? AND shard = ?");
        let query = query.bind(contract.0.to_vec()).bind(shard.0.to_vec());
        query.execute(&mut **write).await?;
    }
    Ok(())
}

async fn rebase(
    write: &mut Write,
    signed: &SignedRevision,
    shards: &[ShardEntry],
) -> Result<(), DatabaseError> {
    let contract = signed.revision.contract;
    set_revision(write, signed).await?;
    let query = sqlx::query("DELETE FROM owner_shards WHERE contract = ?").bind(contract.0.to_vec());
    query.execute(&mut **write).await?;
    for entry in shards {
        insert_shard(write, contract, entry).await?;
    }
    Ok(())
}

async fn forget_contract(write: &mut Write, id: ContractId) -> Result<(), DatabaseError> {
    for query in ["DELETE FROM removals WHERE contract = ?", "DELETE FROM owner_contracts WHERE contract = ?"]
    {
        sqlx::query(query).bind(id.0.to_vec()).execute(&mut **write).await?;
    }
    Ok(())
}

impl EscrowEntry {
    async fn apply(&self, write: &mut Write) -> Result<(), DatabaseError> {
        let query = "INSERT INTO escrows (account, plan, role, state) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (account) DO UPDATE SET state = max(state, excluded.state)";
        let query = sqlx::query(query).bind(self.account.to_vec()).bind(self.plan.clone());
        query.bind(self.role).bind(self.state).execute(&mut **write).await?;
        Ok(())
    }
}

impl PaymentEntry {
    async fn apply(&self, write: &mut Write) -> Result<(), DatabaseError> {
        let query = "INSERT OR IGNORE INTO outbox (number, network, hash, source, sequence, latest, envelope, \
                     purpose, spends, signed, state, ledger, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(query).bind(int(self.number)).bind(self.network.to_vec());
        let query = query.bind(self.hash.to_vec()).bind(self.source.to_vec()).bind(self.sequence);
        let query = query.bind(int(self.latest)).bind(self.envelope.clone()).bind(self.purpose.clone());
        let query = query.bind(int(self.spends)).bind(int(self.signed)).bind(self.state);
        let query = query.bind(self.ledger.map(i64::from)).bind(self.reason.clone());
        query.execute(&mut **write).await?;
        Ok(())
    }
}

impl JobEntry {
    async fn apply(&self, write: &mut Write) -> Result<(), DatabaseError> {
        let query = "INSERT OR REPLACE INTO jobs (id, kind, state, spec, progress, report, begun, ended) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(query).bind(i64::from(self.id)).bind(self.kind.clone()).bind(self.state);
        let query = query.bind(self.spec.clone()).bind(self.progress.clone()).bind(self.report.clone());
        let query = query.bind(int(self.begun)).bind(self.ended.map(int));
        query.execute(&mut **write).await?;
        Ok(())
    }
}
