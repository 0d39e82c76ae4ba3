//! How shards come in: space reserved, a row for each shard on its way, and its arrival once it is whole and synced.

use hayloft_core::{ContractId, ShardId, Timestamp};

use crate::{
    DatabaseError, Farmer, FarmerError,
    db::{self, id, int, maybe_id, number},
    farmer::{ARRIVED, INCOMING, KEPT, Limits, RESERVATION_SECONDS, ShardWriter, Wish, key},
    quota,
    shards::{Header, Part, blocking},
};

/// How an upload begins.
enum Begun {
    /// Everything is here already.
    Whole(Header),
    /// Bytes are to come; the shard holds its space until then.
    Until(Timestamp),
}

impl Farmer {
    /// Holds space for shards about to come, on top of what the contract has reserved; answers until when.
    ///
    /// # Errors
    /// [`FarmerError::UnknownContract`], or which limit is reached.
    pub async fn reserve(
        &self,
        wish: &Wish,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Timestamp, FarmerError> {
        self.expire_reservations(now).await?;
        let space = self.space().await?;
        let expires = now.plus_seconds(RESERVATION_SECONDS);
        let mut write = self.inner.db.write_soft().await?;
        known(&mut write, wish.contract).await?;
        quota::reserve(&mut write, wish, limits, space, space.guarded(self.inner.guard), expires).await?;
        crash_point!(ReservationWritten);
        write.commit().await.map_err(DatabaseError::from)?;
        crash_point!(ReservationCommitted);
        Ok(expires)
    }

    /// Lets a shard that is coming or has come hold its space for so long from now on; answers until when.
    ///
    /// # Errors
    /// [`FarmerError::NotReserved`] if it holds none any more.
    pub async fn prolong(
        &self,
        shard: ShardId,
        now: Timestamp,
        seconds: u64,
    ) -> Result<Timestamp, FarmerError> {
        let expires = now.plus_seconds(seconds);
        let mut write = self.inner.db.write_soft().await?;
        if !quota::prolong(&mut write, shard, expires).await? {
            return Err(FarmerError::NotReserved { wanted: 0, reserved: 0 });
        }
        write.commit().await.map_err(DatabaseError::from)?;
        Ok(expires)
    }

    /// Takes a shard and its tags out of the reserved space; the writer goes on where an earlier transfer stopped. A shard that has
    /// wholly arrived gives a writer that has all its bytes.
    ///
    /// # Errors
    /// [`FarmerError::NotReserved`], [`FarmerError::ShardBusy`], [`FarmerError::ShardTaken`],
    /// [`FarmerError::UnknownContract`], or what the disk or database says.
    pub async fn begin_shard(
        &self,
        contract: ContractId,
        shard: ShardId,
        bytes: u64,
        tag_bytes: u64,
    ) -> Result<ShardWriter, FarmerError> {
        let header = header(contract, shard, bytes, tag_bytes)?;
        let _gate = self.inner.gate.lock().await;
        let active = self.inner.active.enter(shard).ok_or(FarmerError::ShardBusy)?;
        let until = match self.take(header).await? {
            Begun::Whole(header) => return Ok(ShardWriter::whole(self.clone(), header)),
            Begun::Until(until) => until,
        };
        let (folder, disk, guard) = (self.paths(), self.inner.disk.clone(), self.inner.guard);
        let part = blocking(move || Ok(Part::open(folder, header, disk, guard, active)?)).await?;
        Ok(ShardWriter::new(self.clone(), part, until))
    }

    /// Makes the row of an incoming shard, unless it is here already.
    async fn take(&self, header: Header) -> Result<Begun, FarmerError> {
        let Header { shard, contract, .. } = header;
        let (bytes, tag_bytes) = (u64::from(header.bytes), u64::from(header.tag_bytes));
        let mut write = self.inner.db.write_soft().await?;
        known(&mut write, contract).await?;
        let query = "SELECT shards.contract, bytes, state, hash, expires, tag_bytes FROM shards \
                     LEFT JOIN arrivals ON arrivals.shard = shards.shard WHERE shards.shard = ?";
        let query = sqlx::query(query);
        let row = query.bind(shard.as_bytes().to_vec()).fetch_optional(&mut *write).await;
        if let Some(row) = row.map_err(DatabaseError::from)? {
            let found = (ContractId(id(&row, 0)?), number(&row, 1)?, number(&row, 5)?);
            if found != (contract, bytes, tag_bytes) {
                return Err(FarmerError::ShardTaken);
            }
            return match (i64::try_from(number(&row, 2)?), maybe_id(&row, 3)?) {
                (Ok(ARRIVED | KEPT), Some(hash)) => Ok(Begun::Whole(Header { hash, ..header })),
                (Ok(INCOMING), _) => Ok(Begun::Until(Timestamp(number(&row, 4)?))),
                _ => Err(FarmerError::ShardTaken),
            };
        }
        let query = sqlx::query(
            "INSERT INTO shards (shard, contract, bytes, tag_bytes, state) VALUES (?, ?, ?, ?, ?)",
        );
        let query = query.bind(shard.as_bytes().to_vec()).bind(key(contract));
        let query = query.bind(int(bytes)).bind(int(tag_bytes)).bind(INCOMING);
        query.execute(&mut *write).await.map_err(DatabaseError::from)?;
        let until = quota::take(&mut write, contract, shard, bytes + tag_bytes).await?;
        write.commit().await.map_err(DatabaseError::from)?;
        crash_point!(ShardRowCommitted);
        Ok(Begun::Until(until))
    }

    /// Gives a synced shard its final name, then its row the state arrived.
    pub(crate) async fn arrive(&self, part: Part, header: Header) -> Result<(), FarmerError> {
        let _gate = self.inner.gate.lock().await;
        let mut write = self.inner.db.write_soft().await?;
        let query = "UPDATE shards SET state = ?, hash = ? WHERE shard = ? AND contract = ? AND state = ?";
        let query = sqlx::query(query).bind(ARRIVED).bind(header.hash.to_vec());
        let query = query.bind(header.shard.as_bytes().to_vec()).bind(key(header.contract)).bind(INCOMING);
        let changed = query.execute(&mut *write).await.map_err(DatabaseError::from)?.rows_affected();
        if changed == 0 {
            let folder = self.paths();
            blocking(move || Ok(folder.delete(header.shard)?)).await?;
            return Err(FarmerError::NotReserved { wanted: header.payload(), reserved: 0 });
        }
        crash_point!(ArrivedWritten);
        let _part = blocking(move || {
            part.settle()?;
            Ok(part)
        })
        .await?;
        write.commit().await.map_err(DatabaseError::from)?;
        crash_point!(ArrivedCommitted);
        Ok(())
    }
}

fn header(contract: ContractId, shard: ShardId, bytes: u64, tag_bytes: u64) -> Result<Header, FarmerError> {
    let short = |bytes| u32::try_from(bytes).map_err(|_| FarmerError::OutOfRange);
    Ok(Header { shard, contract, bytes: short(bytes)?, tag_bytes: short(tag_bytes)?, hash: [0; 32] })
}

async fn known(write: &mut db::Write, contract: ContractId) -> Result<(), FarmerError> {
    let query = sqlx::query("SELECT 1 FROM contracts WHERE contract = ?").bind(key(contract));
    let row = query.fetch_optional(&mut **write).await.map_err(DatabaseError::from)?;
    row.map(|_| ()).ok_or(FarmerError::UnknownContract)
}
