//! Reservations and the figures they are checked against. Each check and its insert are one transaction on the one
//! connection that writes, so parallel wishes never get more than there is.

use hayloft_core::{ContractId, OwnerId, Timestamp};
use sqlx::Row;

use crate::{
    DatabaseError, FarmerError,
    db::{Write, int, number},
    disk::Space,
};

/// What a farmer offers, as limits of one reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes offered in all: used + reserved never passes this.
    pub quota_bytes: u64,
    /// Bytes that one owner may have reserved at once.
    pub owner_bytes: u64,
    /// Bytes that one subnet may have reserved at once.
    pub subnet_bytes: u64,
}

/// A wish to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Under which contract.
    pub contract: ContractId,
    /// Whose contract.
    pub owner: OwnerId,
    /// Where the wish came from.
    pub subnet: String,
    /// Bytes, on top of what is reserved already.
    pub bytes: u64,
}

/// Exact figures of the farmer's disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Shards under contract.
    pub used_bytes: u64,
    /// Promised to uploads under way.
    pub reserved_bytes: u64,
    /// What new data may take, by quota and by the disk's free space.
    pub free_bytes: u64,
    /// On disk beyond the shards themselves: database, journals, file headers.
    pub overhead_bytes: u64,
    /// Free on the disk that holds the folder.
    pub disk_free_bytes: u64,
    /// What must stay free on it.
    pub guard_bytes: u64,
}

/// What is taken, by the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) used_bytes: u64,
    pub(crate) reserved_bytes: u64,
    /// Of the reserved bytes, those on disk already.
    pub(crate) arrived_bytes: u64,
}

impl Taken {
    pub(crate) async fn read<'a>(executor: impl sqlx::SqliteExecutor<'a>) -> Result<Self, DatabaseError> {
        let query = "SELECT (SELECT coalesce(sum(bytes), 0) FROM contracts), \
                            (SELECT coalesce(sum(bytes), 0) FROM reservations), \
                            (SELECT coalesce(sum(bytes), 0) FROM shards WHERE state < 2 AND state = 1)";
        let row = sqlx::query(query).fetch_one(executor).await?;
        Ok(Self {
            used_bytes: number(&row, 0)?,
            reserved_bytes: number(&row, 1)?,
            arrived_bytes: number(&row, 2)?,
        })
    }

    /// Quota left.
    pub(crate) fn quota_left(&self, quota_bytes: u64) -> u64 {
        quota_bytes.saturating_sub(self.used_bytes).saturating_sub(self.reserved_bytes)
    }

    /// What the disk can still take beside what is promised already.
    pub(crate) fn disk_left(&self, space: Space, guard_bytes: u64) -> u64 {
        let coming = self.reserved_bytes.saturating_sub(self.arrived_bytes);
        space.free_bytes.saturating_sub(guard_bytes).saturating_sub(coming)
    }
}

/// Checks a wish against everything and writes it down.
pub(crate) async fn reserve(
    write: &mut Write,
    wish: &Wish,
    limits: &Limits,
    space: Space,
    guard_bytes: u64,
    expires: Timestamp,
) -> Result<(), FarmerError> {
    let taken = Taken::read(&mut **write).await?;
    let free_bytes = taken.quota_left(limits.quota_bytes);
    if wish.bytes > free_bytes {
        return Err(FarmerError::QuotaFull { free_bytes });
    }
    if wish.bytes > taken.disk_left(space, guard_bytes) {
        return Err(FarmerError::DiskFull { free_bytes: space.free_bytes, guard_bytes });
    }
    let query = "SELECT coalesce(sum(bytes) FILTER (WHERE owner = ?), 0), \
                        coalesce(sum(bytes) FILTER (WHERE subnet = ?), 0) FROM reservations";
    let query = sqlx::query(query).bind(wish.owner.as_bytes().to_vec()).bind(wish.subnet.clone());
    let row = query.fetch_one(&mut **write).await.map_err(DatabaseError::from)?;
    if number(&row, 0)?.saturating_add(wish.bytes) > limits.owner_bytes {
        return Err(FarmerError::OwnerCap);
    }
    if number(&row, 1)?.saturating_add(wish.bytes) > limits.subnet_bytes {
        return Err(FarmerError::SubnetCap);
    }
    insert(write, wish, expires).await?;
    extend(write, wish.contract, expires).await?;
    Ok(())
}

/// Writes a reservation down unchecked.
pub(crate) async fn insert(write: &mut Write, wish: &Wish, expires: Timestamp) -> Result<(), DatabaseError> {
    let query = "INSERT INTO reservations (contract, subnet, owner, bytes, expires) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (contract, subnet) DO UPDATE SET bytes = bytes + excluded.bytes";
    let query = sqlx::query(query).bind(wish.contract.as_bytes().to_vec()).bind(wish.subnet.clone());
    let query = query.bind(wish.owner.as_bytes().to_vec()).bind(int(wish.bytes)).bind(int(expires.0));
    query.execute(&mut **write).await?;
    Ok(())
}

/// Moves the end of all the contract's reservations, so that they always end together.
pub(crate) async fn extend(
    write: &mut Write,
    contract: ContractId,
    expires: Timestamp,
) -> Result<u64, DatabaseError> {
    let query = sqlx::query("UPDATE reservations SET expires = max(expires, ?) WHERE contract = ?");
    let query = query.bind(int(expires.0)).bind(contract.as_bytes().to_vec());
    Ok(query.execute(&mut **write).await?.rows_affected())
}

/// Bytes reserved by the contract that no incoming or arrived shard has taken.
pub(crate) async fn untaken(write: &mut Write, contract: ContractId) -> Result<u64, DatabaseError> {
    let query = "SELECT (SELECT coalesce(sum(bytes), 0) FROM reservations WHERE contract = ?1) - \
                        (SELECT coalesce(sum(bytes), 0) FROM shards WHERE contract = ?1 AND state < 2)";
    let row = sqlx::query(query).bind(contract.as_bytes().to_vec()).fetch_one(&mut **write).await?;
    number(&row, 0)
}

/// Turns reserved bytes into used ones.
pub(crate) async fn spend(
    write: &mut Write,
    contract: ContractId,
    mut bytes: u64,
) -> Result<(), DatabaseError> {
    let query = sqlx::query("SELECT subnet, bytes FROM reservations WHERE contract = ? ORDER BY subnet");
    let rows = query.bind(contract.as_bytes().to_vec()).fetch_all(&mut **write).await?;
    for row in rows {
        let subnet: String = row.try_get(0)?;
        let spent = number(&row, 1)?.min(bytes);
        bytes -= spent;
        let query =
            sqlx::query("UPDATE reservations SET bytes = bytes - ? WHERE contract = ? AND subnet = ?");
        let query = query.bind(int(spent)).bind(contract.as_bytes().to_vec()).bind(subnet);
        query.execute(&mut **write).await?;
    }
    let query = sqlx::query("DELETE FROM reservations WHERE contract = ? AND bytes = 0");
    query.bind(contract.as_bytes().to_vec()).execute(&mut **write).await?;
    Ok(())
}
