//! What an owner has to tell its auditors, and the audits it made by itself.

use hayloft_core::{ContractId, DeviceId, Timestamp, settlement::Verdict};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    DatabaseError, Owner,
    db::{id, int, number},
    owner::OwnerError,
};

/// Audits kept, the newest.
pub const AUDITS_KEPT: u64 = 10_000;

/// One audit that the owner made by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAudit {
    /// The file it was about; none if it was about all that the farmer keeps. Only its owner's own computer ever sees this.
    pub name: Option<String>,
    /// The contract.
    pub contract: ContractId,
    /// The farmer.
    pub farmer: DeviceId,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// Bytes of the answer.
    pub proof_bytes: u64,
    /// When.
    pub at: Timestamp,
    /// The exported receipt, or whether there is one.
    pub receipt: Option<String>,
}

/// Which of the audits that the owner made by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// All.
    All,
    /// Those of a file, and those of no file alone.
    File(&'a str),
    /// Those of files whose names begin so, and those of no file alone.
    Folder(&'a str),
}

impl Owner {
    /// Contracts whose newest revision their auditor has not been told of, the oldest first, with that revision's number.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn untold(&self) -> Result<Vec<(ContractId, u64)>, OwnerError> {
        let query = "SELECT contract, revision_number FROM owner_contracts \
                     WHERE revision_number IS NOT NULL AND coalesce(told, -1) < revision_number ORDER BY number";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        let untold = rows.iter().map(|row| Ok((ContractId(id(row, 0)?), number(row, 1)?)));
        Ok(untold.collect::<Result<_, DatabaseError>>()?)
    }

    /// The auditor of a contract knows this revision, or there is none to be told.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn told(&self, contract: ContractId, number: u64) -> Result<(), OwnerError> {
        let mut write = self.inner.db.write_soft().await?;
        let query = sqlx::query("UPDATE owner_contracts SET told = ? WHERE contract = ?");
        let query = query.bind(int(number)).bind(contract.0.to_vec());
        query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// The auditor of a contract is to be told of it once more.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn tell_again(&self, contract: ContractId) -> Result<(), OwnerError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("UPDATE owner_contracts SET told = NULL WHERE contract = ?");
        query.bind(contract.0.to_vec()).execute(&mut *write).await.map_err(DatabaseError::from)?;
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// Writes down audits; of each contract only the newest receipt stays.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn note_audits(&self, audits: &[OwnAudit]) -> Result<(), OwnerError> {
        let mut write = self.inner.db.write().await?;
        for audit in audits {
            let contract = audit.contract.0.to_vec();
            if audit.receipt.is_some() {
                let query = "UPDATE own_audits SET receipt = NULL WHERE contract = ? AND receipt IS NOT NULL";
                let query = sqlx::query(query).bind(contract.clone());
                query.execute(&mut *write).await.map_err(DatabaseError::from)?;
            }
            let query = "INSERT INTO own_audits \
                         (name, contract, farmer, verdict, reason, proof_bytes, at, receipt) \
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            let query = sqlx::query(query).bind(audit.name.clone()).bind(contract);
            let query = query.bind(audit.farmer.0.to_vec()).bind(word(audit.verdict));
            let query = query.bind(audit.reason.clone()).bind(int(audit.proof_bytes)).bind(int(audit.at.0));
            query.bind(audit.receipt.clone()).execute(&mut *write).await.map_err(DatabaseError::from)?;
        }
        let old = "DELETE FROM own_audits WHERE number <= \
                   (SELECT number FROM own_audits ORDER BY number DESC LIMIT 1 OFFSET ?)";
        let old = sqlx::query(old).bind(int(AUDITS_KEPT));
        old.execute(&mut *write).await.map_err(DatabaseError::from)?;
        Ok(write.commit().await.map_err(DatabaseError::from)?)
    }

    /// The newest audits first, without their receipts' text.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn own_audits(&self, about: About<'_>, most: u32) -> Result<Vec<OwnAudit>, OwnerError> {
        let query = "SELECT name, contract, farmer, verdict, reason, proof_bytes, at, \
                     iif(receipt IS NULL, NULL, '') FROM own_audits \
                     WHERE ?1 IS NULL OR name IS NULL OR name = ?1 OR (?2 AND substr(name, 1, length(?1)) = ?1) \
                     ORDER BY number DESC LIMIT ?3";
        let (name, within) = match about {
            About::All => (None, false),
            About::File(name) => (Some(name), false),
            About::Folder(begin) => (Some(begin), true),
        };
        let query = sqlx::query(query).bind(name.map(str::to_owned)).bind(within).bind(most);
        let rows = query.fetch_all(self.inner.db.read()).await.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(audit_of).collect::<Result<_, DatabaseError>>()?)
    }

    /// The newest receipt of a contract.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn own_receipt(&self, contract: ContractId) -> Result<Option<String>, OwnerError> {
        let query = "SELECT receipt FROM own_audits WHERE contract = ? AND receipt IS NOT NULL";
        let row = sqlx::query(query).bind(contract.0.to_vec()).fetch_optional(self.inner.db.read()).await;
        let row = row.map_err(DatabaseError::from)?;
        Ok(row.map(|row| row.try_get(0)).transpose().map_err(DatabaseError::from)?)
    }
}

fn word(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Passed => 0,
        Verdict::Failed => 1,
        Verdict::Missed => 2,
        Verdict::Undecided => 3,
    }
}

fn audit_of(row: &SqliteRow) -> Result<OwnAudit, DatabaseError> {
    let verdict = match number(row, 3)? {
        0 => Verdict::Passed,
        1 => Verdict::Failed,
        2 => Verdict::Missed,
        3 => Verdict::Undecided,
        _ => return Err(DatabaseError::Corrupt { what: "a verdict" }),
    };
    Ok(OwnAudit {
        name: row.try_get(0)?,
        contract: ContractId(id(row, 1)?),
        farmer: DeviceId(id(row, 2)?),
        verdict,
        reason: row.try_get(4)?,
        proof_bytes: number(row, 5)?,
        at: Timestamp(number(row, 6)?),
        receipt: row.try_get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        farmer_tests::{NOW, open},
        samples::{contract_id, revision, terms},
    };

    #[tokio::test]
    async fn each_revision_is_to_be_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let owner = open(folder.path()).await.owner();
        owner.insert_contract(contract_id(1), &terms(1)).await.unwrap();
        assert_eq!(owner.untold().await.unwrap(), []);
        for number in 0..2 {
            owner.save_revision(&revision(1, number, vec![], vec![])).await.unwrap();
            assert_eq!(owner.untold().await.unwrap(), [(contract_id(1), number)]);
            owner.told(contract_id(1), number).await.unwrap();
            assert_eq!(owner.untold().await.unwrap(), []);
        }
    }

    #[tokio::test]
    async fn the_newest_receipt_of_a_contract_stays() {
        let folder = tempfile::tempdir().unwrap();
        let owner = open(folder.path()).await.owner();
        let audit = |name: &str, receipt: Option<&str>| OwnAudit {
            name: (name != "all").then(|| name.into()),
            contract: contract_id(1),
            farmer: DeviceId([9; 32]),
            verdict: Verdict::Failed,
            reason: Some("why".into()),
            proof_bytes: 9,
            at: NOW,
            receipt: receipt.map(str::to_owned),
        };
        owner.note_audits(&[audit("a", Some("first"))]).await.unwrap();
        owner.note_audits(&[audit("b", Some("second")), audit("a", None)]).await.unwrap();
        assert_eq!(owner.own_receipt(contract_id(1)).await.unwrap().as_deref(), Some("second"));
        let all = owner.own_audits(About::All, 9).await.unwrap();
        assert_eq!(all, [audit("a", None), audit("b", Some("")), audit("a", None)]);
        assert_eq!(owner.own_audits(About::File("a"), 9).await.unwrap().len(), 2);
        owner.note_audits(&[audit("all", None)]).await.unwrap();
        assert_eq!(owner.own_audits(About::File("a"), 9).await.unwrap().len(), 3);
        assert_eq!(owner.own_audits(About::All, 1).await.unwrap(), [audit("all", None)]);
        owner.note_audits(&[audit("ä%/1", None), audit("ä%/b/2", None), audit("äb/3", None)]).await.unwrap();
        let in_folder = owner.own_audits(About::Folder("ä%/"), 9).await.unwrap();
        assert_eq!(in_folder, [audit("ä%/b/2", None), audit("ä%/1", None), audit("all", None)]);
    }
}
