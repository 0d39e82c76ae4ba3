//! The auditor's own data with farmers: what was begun, what stands, and when it is read next.
//!
//! Invariant: a row precedes the first word to its farmer, so that whatever dies, nothing is stored there that is not known here.
//! What it is made of is not kept: it follows from the seed.

use hayloft_core::{
    ContractId, DeviceId, Timestamp,
    auditor::{
        record::Origin,
        vetting::{PlantingId, VettingSeed},
    },
    contract::Terms,
};
use sqlx::sqlite::SqliteRow;

use crate::{
    DatabaseError,
    auditor::{Auditor, AuditorError},
    db::{bytes, from_blob, id, int, number, to_blob},
};

const SEED: &str = "vetting seed";

/// One contract with vetting data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planting {
    /// What it is made from.
    pub id: PlantingId,
    /// Its terms, as they are proposed.
    pub terms: Terms,
    /// Whether its farmer has signed for all of it, and it is followed.
    pub planted: bool,
    /// When it is next read.
    pub probe: Timestamp,
    /// When it is forgotten.
    pub until: Timestamp,
}

impl Auditor {
    /// The seed of all vetting data: the one that is kept, else `fresh` from now on.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn vetting_seed(&self, fresh: [u8; 32]) -> Result<VettingSeed, AuditorError> {
        let kept = self.inner.db.home_value(SEED).await?;
        let seed = match kept.as_deref().map(<[u8; 32]>::try_from) {
            Some(Ok(seed)) => seed,
            Some(Err(_)) => return Err(DatabaseError::Corrupt { what: "a vetting seed" }.into()),
            None => {
                self.inner.db.set_home_value(SEED, &fresh).await?;
                fresh
            }
        };
        Ok(VettingSeed::from_bytes(&seed))
    }

    /// Writes down that vetting data is about to be stored. The same again changes nothing.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn begin_planting(&self, planting: &Planting) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let query = "INSERT OR IGNORE INTO plantings (planting, farmer, contract, terms, probe, until) VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(query).bind(planting.id.0.to_vec()).bind(planting.terms.farmer.0.to_vec());
        let query = query.bind(planting.terms.id().0.to_vec()).bind(to_blob(&planting.terms));
        query.bind(int(planting.probe.0)).bind(int(planting.until.0)).execute(&mut *write).await?;
        write.commit().await?;
        crash_point!(PlantingBegun);
        Ok(())
    }

    /// Writes down that it is stored, and until when.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn planted(&self, id: PlantingId, until: Timestamp) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("UPDATE plantings SET planted = 1, until = ? WHERE planting = ?");
        query.bind(int(until.0)).bind(id.0.to_vec()).execute(&mut *write).await?;
        write.commit().await?;
        crash_point!(PlantingStands);
        Ok(())
    }

    /// Writes down when it is read next.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn probe_next(&self, id: PlantingId, at: Timestamp) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("UPDATE plantings SET probe = ? WHERE planting = ?");
        query.bind(int(at.0)).bind(id.0.to_vec()).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// Forgets one that came to nothing, or is over.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn forget_planting(&self, id: PlantingId) -> Result<(), AuditorError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("DELETE FROM plantings WHERE planting = ?");
        query.bind(id.0.to_vec()).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// All of them.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn plantings(&self) -> Result<Vec<Planting>, AuditorError> {
        let query =
            sqlx::query("SELECT planting, terms, planted, probe, until FROM plantings ORDER BY planting");
        let rows = query.fetch_all(self.inner.db.read()).await?;
        Ok(rows.iter().map(planting).collect::<Result<_, DatabaseError>>()?)
    }

    /// Whose data a contract is about.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn origin(&self, contract: ContractId) -> Result<Origin, AuditorError> {
        let query = sqlx::query("SELECT 1 FROM plantings WHERE contract = ?").bind(contract.0.to_vec());
        let row = query.fetch_optional(self.inner.db.read()).await?;
        Ok(if row.is_some() { Origin::Vetting } else { Origin::Owner })
    }

    /// Farmers that have, or are about to get, vetting data.
    ///
    /// # Errors
    /// [`AuditorError::Database`].
    pub async fn vetted(&self) -> Result<Vec<DeviceId>, AuditorError> {
        let query = sqlx::query("SELECT DISTINCT farmer FROM plantings ORDER BY farmer");
        let rows = query.fetch_all(self.inner.db.read()).await?;
        Ok(rows.iter().map(|row| id(row, 0).map(DeviceId)).collect::<Result<_, DatabaseError>>()?)
    }
}

fn planting(row: &SqliteRow) -> Result<Planting, DatabaseError> {
    Ok(Planting {
        id: PlantingId(id(row, 0)?),
        terms: from_blob(&bytes(row, 1)?)?,
        planted: number(row, 2)? == 1,
        probe: Timestamp(number(row, 3)?),
        until: Timestamp(number(row, 4)?),
    })
}
