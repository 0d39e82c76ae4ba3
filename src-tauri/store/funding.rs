//! Which contract an escrow pays for, and what its settlements count from: every revision that was signed under it, and what
//! its auditor was heard to say.
//!
//! Invariants: a revision of a contract that is paid for is written down in the transaction that makes it the newest, on
//! whichever side this node is; of each number there is one, and what is there never changes.
//! Deliberately absent: what is owed (`core::settlement`), and an auditor's own verdicts, which are its books.

use std::sync::Arc;

use hayloft_core::{
    ContractId, DeviceId, Timestamp,
    auditor::Judgement,
    contract::{SignedRevision, Terms},
    record::DeviceCertificate,
    voucher::{MAX_DEVICES, SignedVoucher},
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    DatabaseError,
    catalog::{Change, Entry},
    db::{Write, bytes, from_blob, id, int, number, to_blob},
    open::Inner,
    outbox::{EscrowRow, escrow_of},
};

/// An escrow and the contract that it pays for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funding {
    /// The escrow.
    pub escrow: EscrowRow,
    /// The contract.
    pub contract: ContractId,
    /// Its terms.
    pub terms: Terms,
    /// Why its last settlement did not come about, as a sentence.
    pub problem: Option<String>,
}

/// From when on how many bytes were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The revision's number.
    pub number: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Bytes under contract after it.
    pub bytes: u64,
    /// The contract's end after it.
    pub until: Timestamp,
}

/// Escrows by contract. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Funds {
    pub(crate) inner: Arc<Inner>,
}

impl Funds {
    /// Keeps what an escrow is for, before anything is done about it. The same again is no error.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep(&self, account: [u8; 32], terms: &Terms) -> Result<(), DatabaseError> {
        let mut write = Change::begin(&self.inner).await?;
        let known = sqlx::query("SELECT 1 FROM funding WHERE account = ?").bind(account.to_vec());
        if known.fetch_optional(&mut **write).await?.is_none() {
            write.make(Entry::Funding { account, terms: Box::new(terms.clone()) }).await?;
        }
        write.commit().await
    }

    /// The escrows of a contract, or all, those that are over included.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list(&self, contract: Option<ContractId>) -> Result<Vec<Funding>, DatabaseError> {
        let query = "SELECT account, plan, role, state, contract, terms, problem FROM funding \
                     JOIN escrows USING (account) WHERE contract = ?1 OR ?1 IS NULL ORDER BY contract, account";
        let query = sqlx::query(query).bind(contract.map(|contract| contract.0.to_vec()));
        query.fetch_all(self.inner.db.read()).await?.iter().map(funding_of).collect()
    }

    /// Keeps why a settlement did not come about, or that nothing is wrong any more.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tell(&self, account: [u8; 32], problem: Option<&str>) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("UPDATE funding SET problem = ?1 WHERE account = ?2 AND problem IS NOT ?1");
        query.bind(problem.map(str::to_owned)).bind(account.to_vec()).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// What was kept under a contract, by number.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn spans(&self, contract: ContractId) -> Result<Vec<Span>, DatabaseError> {
        let query = "SELECT number, at, bytes, until FROM spans WHERE contract = ? ORDER BY number";
        let rows = sqlx::query(query).bind(contract.0.to_vec()).fetch_all(self.inner.db.read()).await?;
        let span = |row: &SqliteRow| {
            Ok(Span {
                number: number(row, 0)?,
                at: Timestamp(number(row, 1)?),
                bytes: number(row, 2)?,
                until: Timestamp(number(row, 3)?),
            })
        };
        rows.iter().map(span).collect()
    }

    /// At most so many of the revisions from this number on.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn revisions(
        &self,
        contract: ContractId,
        from: u64,
        most: u32,
    ) -> Result<Vec<SignedRevision>, DatabaseError> {
        let query = "SELECT revision FROM spans WHERE contract = ? AND number >= ? ORDER BY number LIMIT ?";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(int(from)).bind(most);
        let rows = query.fetch_all(self.inner.db.read()).await?;
        rows.iter().map(|row| from_blob(&bytes(row, 0)?)).collect()
    }

    /// Keeps revisions that another party showed, whose signatures were found right.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn learn(&self, revisions: &[SignedRevision]) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write().await?;
        for revision in revisions {
            remember(&mut write, revision).await?;
        }
        Ok(write.commit().await?)
    }

    /// Keeps what a contract's auditor says, in place of what it said of the same epochs before.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn hear(&self, contract: ContractId, said: &[Judgement]) -> Result<(), DatabaseError> {
        let known = self.heard(contract).await?;
        if said.iter().all(|judgement| known.contains(judgement)) {
            return Ok(());
        }
        let mut write = self.inner.db.write().await?;
        for judgement in said {
            let query = "INSERT OR REPLACE INTO heard (contract, epoch, judgement) VALUES (?, ?, ?)";
            let query = sqlx::query(query).bind(contract.0.to_vec()).bind(int(judgement.epoch.0));
            query.bind(to_blob(judgement)).execute(&mut *write).await?;
        }
        Ok(write.commit().await?)
    }

    /// What a contract's auditor was heard to say last, by epoch.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn heard(&self, contract: ContractId) -> Result<Vec<Judgement>, DatabaseError> {
        let query = "SELECT judgement FROM heard WHERE contract = ? ORDER BY epoch";
        let rows = sqlx::query(query).bind(contract.0.to_vec()).fetch_all(self.inner.db.read()).await?;
        rows.iter().map(|row| from_blob(&bytes(row, 0)?)).collect()
    }

    /// Keeps a voucher in place of its device's last, unless that says as much; the caller has found it right. Of too many
    /// devices in a period those with the most bytes are kept, as `core::voucher::Book::learn` does.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn vouch(
        &self,
        signed: &SignedVoucher,
        certificate: &DeviceCertificate,
    ) -> Result<(), DatabaseError> {
        let voucher = &signed.voucher;
        let mut write = self.inner.db.write().await?;
        let query = "INSERT INTO vouchers (contract, period, device, bytes, voucher, certificate) \
                     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (contract, period, device) DO UPDATE \
                     SET bytes = excluded.bytes, voucher = excluded.voucher, certificate = excluded.certificate \
                     WHERE excluded.bytes > vouchers.bytes";
        let query = sqlx::query(query).bind(voucher.contract.0.to_vec()).bind(voucher.period);
        let query = query.bind(voucher.device.0.to_vec()).bind(int(voucher.bytes)).bind(to_blob(signed));
        query.bind(to_blob(certificate)).execute(&mut *write).await?;
        let query = "DELETE FROM vouchers WHERE contract = ?1 AND period = ?2 AND device NOT IN (SELECT device \
                     FROM vouchers WHERE contract = ?1 AND period = ?2 ORDER BY bytes DESC, device LIMIT ?3)";
        let query = sqlx::query(query).bind(voucher.contract.0.to_vec()).bind(voucher.period);
        query.bind(int(MAX_DEVICES as u64)).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// At most so many vouchers under a contract, those of the newest periods.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn newest_vouchers(
        &self,
        contract: ContractId,
        most: u32,
    ) -> Result<Vec<(SignedVoucher, DeviceCertificate)>, DatabaseError> {
        let query = "SELECT voucher, certificate FROM vouchers WHERE contract = ? \
                     ORDER BY period DESC, device LIMIT ?";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(most);
        let rows = query.fetch_all(self.inner.db.read()).await?;
        rows.iter().map(|row| Ok((from_blob(&bytes(row, 0)?)?, from_blob(&bytes(row, 1)?)?))).collect()
    }

    /// At most so many vouchers under a contract after this period and device, in their order.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn vouchers(
        &self,
        contract: ContractId,
        after: Option<(u32, DeviceId)>,
        most: u32,
    ) -> Result<Vec<(SignedVoucher, DeviceCertificate)>, DatabaseError> {
        let query = "SELECT voucher, certificate FROM vouchers WHERE contract = ?1 \
                     AND (?2 IS NULL OR period > ?2 OR (period = ?2 AND device > ?3)) \
                     ORDER BY period, device LIMIT ?4";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(after.map(|(period, _)| period));
        let query = query.bind(after.map(|(_, device)| device.0.to_vec())).bind(most);
        let rows = query.fetch_all(self.inner.db.read()).await?;
        rows.iter().map(|row| Ok((from_blob(&bytes(row, 0)?)?, from_blob(&bytes(row, 1)?)?))).collect()
    }

    /// The vouchers of one settlement period.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn vouchers_of(
        &self,
        contract: ContractId,
        period: u32,
    ) -> Result<Vec<SignedVoucher>, DatabaseError> {
        let query = "SELECT voucher FROM vouchers WHERE contract = ? AND period = ? ORDER BY device";
        let query = sqlx::query(query).bind(contract.0.to_vec()).bind(period);
        let rows = query.fetch_all(self.inner.db.read()).await?;
        rows.iter().map(|row| from_blob(&bytes(row, 0)?)).collect()
    }

    /// The bytes of each voucher under a contract, by settlement period: what they come to is for a cap to say.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn vouched(&self, contract: ContractId) -> Result<Vec<(u32, u64)>, DatabaseError> {
        let query = "SELECT period, bytes FROM vouchers WHERE contract = ? ORDER BY period";
        let rows = sqlx::query(query).bind(contract.0.to_vec()).fetch_all(self.inner.db.read()).await?;
        let corrupt = |_| DatabaseError::Corrupt { what: "a voucher" };
        rows.iter()
            .map(|row| Ok((u32::try_from(number(row, 0)?).map_err(corrupt)?, number(row, 1)?)))
            .collect()
    }

    /// Forgets what was counted of contracts that have ended and all of whose escrows are over. A contract that runs on
    /// without one, because its ledger began anew, may be paid for again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn forget_over(&self, now: Timestamp) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write().await?;
        let query = "DELETE FROM spans WHERE contract NOT IN \
                     (SELECT contract FROM funding JOIN escrows USING (account) WHERE state < 2) \
                     AND contract NOT IN (SELECT contract FROM spans WHERE until > ?)";
        sqlx::query(query).bind(int(now.0)).execute(&mut *write).await?;
        for query in [
            "DELETE FROM vouchers WHERE contract NOT IN (SELECT contract FROM spans)",
            "DELETE FROM heard WHERE contract NOT IN (SELECT contract FROM spans)",
        ] {
            sqlx::query(query).execute(&mut *write).await?;
        }
        Ok(write.commit().await?)
    }
}

/// Writes a revision down, if its contract is paid for.
pub(crate) async fn remember(write: &mut Write, signed: &SignedRevision) -> Result<(), DatabaseError> {
    let revision = &signed.revision;
    let query = "INSERT OR IGNORE INTO spans (contract, number, at, bytes, until, revision) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM funding WHERE contract = ?1)";
    let query = sqlx::query(query).bind(revision.contract.0.to_vec()).bind(int(revision.number));
    let query = query.bind(int(revision.at.0)).bind(int(revision.bytes)).bind(int(revision.end.0));
    query.bind(to_blob(signed)).execute(&mut **write).await?;
    Ok(())
}

fn funding_of(row: &SqliteRow) -> Result<Funding, DatabaseError> {
    Ok(Funding {
        escrow: escrow_of(row)?,
        contract: ContractId(id(row, 4)?),
        terms: from_blob(&bytes(row, 5)?)?,
        problem: row.try_get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        farmer_tests::open,
        outbox::{EscrowState, Role},
        samples::{entry, revision, terms},
    };

    fn escrow(account: u8, state: EscrowState) -> EscrowRow {
        EscrowRow { account: [account; 32], plan: vec![account], role: Role::Owner, state }
    }

    /// A contract with the id that its terms have, as the farmer knows it.
    fn signed(terms: &Terms, number: u64, bytes: u64) -> SignedRevision {
        let mut signed = revision(1, number, vec![entry(number as u32, bytes)], vec![]);
        signed.revision.contract = terms.id();
        signed
    }

    #[tokio::test]
    async fn revisions_count_only_under_contracts_that_are_paid_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let (funds, terms) = (store.funds(), terms(1).terms);
        funds.learn(&[signed(&terms, 0, 5)]).await.unwrap();
        assert_eq!(funds.spans(terms.id()).await.unwrap(), []);
        funds.keep([1; 32], &terms).await.unwrap();
        funds.learn(&[signed(&terms, 0, 5), signed(&terms, 2, 7)]).await.unwrap();
        funds.learn(&[signed(&terms, 2, 9)]).await.unwrap();
        let bytes: Vec<(u64, u64)> =
            funds.spans(terms.id()).await.unwrap().iter().map(|span| (span.number, span.bytes)).collect();
        assert_eq!(bytes, [(0, 5), (2, 7)], "what is there stays");
        let later = funds.revisions(terms.id(), 1, 9).await.unwrap();
        assert_eq!(later, [signed(&terms, 2, 7)]);
    }

    #[tokio::test]
    async fn what_an_auditor_said_last_of_an_epoch_is_what_it_was_heard_to_say() {
        use hayloft_core::{audit::Epoch, auditor::Verdict};
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let (funds, contract) = (store.funds(), ContractId([1; 32]));
        let said = |epoch, verdict| Judgement {
            epoch: Epoch(epoch),
            revision: 0,
            verdict,
            reason: None,
            at: Timestamp(epoch),
        };
        funds.hear(contract, &[said(2, Verdict::Passed), said(1, Verdict::Missed)]).await.unwrap();
        funds.hear(contract, &[said(1, Verdict::Passed)]).await.unwrap();
        let heard = funds.heard(contract).await.unwrap();
        assert_eq!(heard, [said(1, Verdict::Passed), said(2, Verdict::Passed)]);
        funds.forget_over(Timestamp(0)).await.unwrap();
        assert_eq!(funds.heard(contract).await.unwrap(), [], "nothing is paid under it");
    }

    #[tokio::test]
    async fn an_escrow_is_told_with_its_contract_and_forgotten_only_when_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let (funds, terms) = (store.funds(), terms(1).terms);
        funds.keep([1; 32], &terms).await.unwrap();
        assert_eq!(funds.list(None).await.unwrap(), [], "its plan is not kept yet");
        store.outbox().keep_escrow(&escrow(1, EscrowState::Seen)).await.unwrap();
        funds.tell([1; 32], Some("No.")).await.unwrap();
        funds.learn(&[signed(&terms, 0, 5)]).await.unwrap();
        let listed = funds.list(Some(terms.id())).await.unwrap();
        let expected = Funding {
            escrow: escrow(1, EscrowState::Seen),
            contract: terms.id(),
            terms: terms.clone(),
            problem: Some("No.".into()),
        };
        assert_eq!(listed, [expected]);
        assert_eq!(funds.list(Some(ContractId([9; 32]))).await.unwrap(), []);
        let end = signed(&terms, 0, 5).revision.end;
        funds.forget_over(end).await.unwrap();
        assert_eq!(funds.spans(terms.id()).await.unwrap().len(), 1);
        store.outbox().keep_escrow(&escrow(1, EscrowState::Over)).await.unwrap();
        funds.forget_over(Timestamp(end.0 - 1)).await.unwrap();
        assert_eq!(funds.spans(terms.id()).await.unwrap().len(), 1, "it runs on");
        funds.forget_over(end).await.unwrap();
        assert_eq!(funds.spans(terms.id()).await.unwrap(), []);
    }
}
