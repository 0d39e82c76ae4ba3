//! Peers worth dialling again, and what was seen of farmers.

use std::sync::Arc;

use hayloft_core::{DeviceId, Timestamp};
use sqlx::Row;

use crate::{
    DatabaseError,
    db::{id, int, number},
    open::Inner,
};

/// How many peers are remembered; the longest unseen are forgotten first.
pub const PEERS: u32 = 1_000;
/// How many marks are kept of one farmer; the oldest are forgotten first.
pub const MARKS_PER_FARMER: u32 = 100;

/// A peer worth dialling again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The device.
    pub device: DeviceId,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Whether it was seen to farm.
    pub farmer: bool,
    /// When it was last seen.
    pub seen: Timestamp,
}

/// Something seen of a farmer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The farmer.
    pub farmer: DeviceId,
    /// The caller's word, such as `blamed`.
    pub kind: String,
    /// Why, as a sentence.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// The peers' part of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    pub(crate) inner: Arc<Inner>,
}

impl Peers {
    /// Remembers peers, or sees them again; forgets the longest unseen beyond [`PEERS`].
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remember(&self, peers: &[Peer]) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write().await?;
        for peer in peers {
            let query = "INSERT OR REPLACE INTO peers (device, addresses, farmer, seen) VALUES (?, ?, ?, ?)";
            let query = sqlx::query(query).bind(peer.device.0.to_vec());
            let query = query.bind(serde_json::Value::from(peer.addresses.clone()).to_string());
            query.bind(peer.farmer).bind(int(peer.seen.0)).execute(&mut *write).await?;
        }
        let query = "DELETE FROM peers WHERE device IN \
                     (SELECT device FROM peers ORDER BY seen DESC, device LIMIT -1 OFFSET ?)";
        sqlx::query(query).bind(i64::from(PEERS)).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// All remembered peers, last seen first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list(&self) -> Result<Vec<Peer>, DatabaseError> {
        let query =
            sqlx::query("SELECT device, addresses, farmer, seen FROM peers ORDER BY seen DESC, device");
        let rows = query.fetch_all(self.inner.db.read()).await?;
        let peers = rows.iter().map(|row| {
            let addresses = serde_json::from_str(row.try_get(1)?);
            Ok(Peer {
                device: DeviceId(id(row, 0)?),
                addresses: addresses.map_err(|_| DatabaseError::Corrupt { what: "a peer's addresses" })?,
                farmer: number(row, 2)? != 0,
                seen: Timestamp(number(row, 3)?),
            })
        });
        peers.collect()
    }

    /// Forgets a peer.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn forget(&self, device: DeviceId) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write().await?;
        sqlx::query("DELETE FROM peers WHERE device = ?")
            .bind(device.0.to_vec())
            .execute(&mut *write)
            .await?;
        Ok(write.commit().await?)
    }

    /// Marks a farmer; forgets its oldest marks beyond [`MARKS_PER_FARMER`].
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn mark(&self, mark: &Mark) -> Result<(), DatabaseError> {
        let mut write = self.inner.db.write().await?;
        let query = sqlx::query("INSERT INTO marks (farmer, kind, reason, at) VALUES (?, ?, ?, ?)");
        let query = query.bind(mark.farmer.0.to_vec()).bind(mark.kind.clone()).bind(mark.reason.clone());
        query.bind(int(mark.at.0)).execute(&mut *write).await?;
        let query = "DELETE FROM marks WHERE number IN \
                     (SELECT number FROM marks WHERE farmer = ? ORDER BY number DESC LIMIT -1 OFFSET ?)";
        let query = sqlx::query(query).bind(mark.farmer.0.to_vec()).bind(i64::from(MARKS_PER_FARMER));
        query.execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    /// Marks of a kind at or after a time, oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn marks(&self, kind: &str, since: Timestamp) -> Result<Vec<Mark>, DatabaseError> {
        let query = "SELECT farmer, kind, reason, at FROM marks WHERE kind = ? AND at >= ? ORDER BY number";
        let query = sqlx::query(query).bind(kind.to_owned()).bind(int(since.0));
        let rows = query.fetch_all(self.inner.db.read()).await?;
        let marks = rows.iter().map(|row| {
            Ok(Mark {
                farmer: DeviceId(id(row, 0)?),
                kind: row.try_get(1)?,
                reason: row.try_get(2)?,
                at: Timestamp(number(row, 3)?),
            })
        });
        marks.collect()
    }
}
