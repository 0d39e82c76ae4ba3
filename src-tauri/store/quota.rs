//! Reservations, what uploads took out of them, and the figures they are checked against. Each check and its insert are
//! one transaction on the one connection that writes, so parallel wishes never get more than there is.
//!
//! Everything is counted as [`quota_bytes`]. A reservation ends at its time whatever else happens; a shard that begins
//! takes its bytes out of it and holds them until an end of its own: one upload never prolongs what waits beside it.

use hayloft_core::{ContractId, OwnerId, ShardId, Timestamp, contract::quota_bytes};
use sqlx::Row;

use crate::{
    DatabaseError, FarmerError,
    db::{Write, id, int, number},
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
    /// Bytes as a quota counts them, on top of what is reserved already.
    pub bytes: u64,
}

/// Exact figures of the farmer's disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Shards under contract, as a quota counts them.
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
        let query = "SELECT (SELECT coalesce(sum(quota_bytes), 0) FROM contracts), \
                            (SELECT coalesce(sum(bytes), 0) FROM reservations) + \
                            (SELECT coalesce(sum(quota_bytes), 0) FROM arrivals), \
                            (SELECT coalesce(sum(bytes + tag_bytes), 0) FROM shards WHERE state = 1)";
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
                        coalesce(sum(bytes) FILTER (WHERE subnet = ?), 0) FROM \
                 (SELECT owner, subnet, bytes FROM reservations UNION ALL \
                  SELECT owner, subnet, quota_bytes AS bytes FROM arrivals)";
    let query = sqlx::query(query).bind(wish.owner.as_bytes().to_vec()).bind(wish.subnet.clone());
    let row = query.fetch_one(&mut **write).await.map_err(DatabaseError::from)?;
    if number(&row, 0)?.saturating_add(wish.bytes) > limits.owner_bytes {
        return Err(FarmerError::OwnerCap);
    }
    if number(&row, 1)?.saturating_add(wish.bytes) > limits.subnet_bytes {
        return Err(FarmerError::SubnetCap);
    }
    Ok(insert(write, wish, expires).await?)
}

/// Writes a reservation down unchecked.
pub(crate) async fn insert(write: &mut Write, wish: &Wish, expires: Timestamp) -> Result<(), DatabaseError> {
    let query = "INSERT INTO reservations (contract, subnet, owner, bytes, expires) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes";
    let query = sqlx::query(query).bind(wish.contract.as_bytes().to_vec()).bind(wish.subnet.clone());
    let query = query.bind(wish.owner.as_bytes().to_vec()).bind(int(wish.bytes)).bind(int(expires.0));
    query.execute(&mut **write).await?;
    Ok(())
}

/// Takes what a new shard needs out of its contract's reservations, those first that end first, and holds it for the
/// shard, whose row is there, until the last of them would have ended: answers when.
pub(crate) async fn take(
    write: &mut Write,
    contract: ContractId,
    shard: ShardId,
    file_bytes: u64,
) -> Result<Timestamp, FarmerError> {
    let wanted = quota_bytes(file_bytes);
    let query = "SELECT subnet, owner, bytes, expires FROM reservations WHERE contract = ? ORDER BY expires";
    let query = sqlx::query(query).bind(contract.as_bytes().to_vec());
    let rows = query.fetch_all(&mut **write).await.map_err(DatabaseError::from)?;
    let mut reserved = 0;
    for row in &rows {
        reserved += number(row, 2)?;
    }
    if wanted > reserved {
        return Err(FarmerError::NotReserved { wanted, reserved });
    }
    let mut left = wanted;
    for row in rows {
        let (subnet, owner): (String, [u8; 32]) =
            (row.try_get(0).map_err(DatabaseError::from)?, id(&row, 1)?);
        let (bytes, expires) = (number(&row, 2)?, Timestamp(number(&row, 3)?));
        spend(write, contract, &subnet, expires, bytes, bytes.min(left)).await?;
        left -= bytes.min(left);
        if left == 0 {
            let wish = Wish { contract, owner: OwnerId(owner), subnet, bytes: wanted };
            hold(write, shard, &wish, expires).await?;
            return Ok(expires);
        }
    }
    Err(FarmerError::NotReserved { wanted, reserved })
}

async fn spend(
    write: &mut Write,
    contract: ContractId,
    subnet: &str,
    expires: Timestamp,
    bytes: u64,
    spent: u64,
) -> Result<(), DatabaseError> {
    let query = if bytes == spent {
        sqlx::query("DELETE FROM reservations WHERE contract = ? AND subnet = ? AND expires = ?")
    } else {
        let query =
            "UPDATE reservations SET bytes = bytes - ? WHERE contract = ? AND subnet = ? AND expires = ?";
        sqlx::query(query).bind(int(spent))
    };
    let query = query.bind(contract.as_bytes().to_vec()).bind(subnet.to_owned()).bind(int(expires.0));
    query.execute(&mut **write).await?;
    Ok(())
}

/// Holds a wish's bytes for a shard whose row is there.
pub(crate) async fn hold(
    write: &mut Write,
    shard: ShardId,
    wish: &Wish,
    expires: Timestamp,
) -> Result<(), DatabaseError> {
    let query = "INSERT INTO arrivals (shard, contract, subnet, owner, quota_bytes, expires) \
                 VALUES (?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(query).bind(shard.as_bytes().to_vec()).bind(wish.contract.as_bytes().to_vec());
    let query = query.bind(wish.subnet.clone()).bind(wish.owner.as_bytes().to_vec());
    query.bind(int(wish.bytes)).bind(int(expires.0)).execute(&mut **write).await?;
    Ok(())
}

/// Lets one shard hold on until then; whether it still holds anything.
pub(crate) async fn prolong(
    write: &mut Write,
    shard: ShardId,
    expires: Timestamp,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query("UPDATE arrivals SET expires = max(expires, ?) WHERE shard = ?");
    let query = query.bind(int(expires.0)).bind(shard.as_bytes().to_vec());
    Ok(query.execute(&mut **write).await?.rows_affected() == 1)
}

/// Gives what a shard held back to its contract's reservations: its upload begins anew.
pub(crate) async fn give_back(write: &mut Write, shard: ShardId) -> Result<(), DatabaseError> {
    let query = "INSERT INTO reservations (contract, subnet, owner, bytes, expires) \
                 SELECT contract, subnet, owner, quota_bytes, expires FROM arrivals WHERE shard = ? \
                 ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes";
    sqlx::query(query).bind(shard.as_bytes().to_vec()).execute(&mut **write).await?;
    end(write, shard).await
}

/// Ends all reservations of a contract; what shards have taken out of them stays.
pub(crate) async fn end_reservations(write: &mut Write, contract: ContractId) -> Result<(), DatabaseError> {
    let query = sqlx::query("DELETE FROM reservations WHERE contract = ?");
    query.bind(contract.as_bytes().to_vec()).execute(&mut **write).await?;
    Ok(())
}

/// Ends what a shard holds.
pub(crate) async fn end(write: &mut Write, shard: ShardId) -> Result<(), DatabaseError> {
    let query = sqlx::query("DELETE FROM arrivals WHERE shard = ?").bind(shard.as_bytes().to_vec());
    query.execute(&mut **write).await?;
    Ok(())
}
