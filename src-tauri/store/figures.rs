//! What the farmer's disk holds and has left.

use std::path::{Path, PathBuf};

use crate::{
    DatabaseError, Farmer, FarmerError,
    db::number,
    farmer::{Figures, Limits},
    quota::Taken,
    shards::{Folder, HEADER_BYTES, blocking},
};

impl Farmer {
    pub(crate) async fn space(&self) -> Result<crate::disk::Space, FarmerError> {
        let (disk, root) = (self.inner.disk.clone(), self.folder());
        blocking(move || Ok(disk.space(&root)?)).await
    }

    /// What new data may take now, by quota and by the disk's free space.
    ///
    /// # Errors
    /// What the disk or database says.
    pub async fn free_bytes(&self, limits: &Limits) -> Result<u64, FarmerError> {
        let space = self.space().await?;
        let taken = Taken::read(self.inner.db.read()).await?;
        let disk_left = taken.disk_left(space, space.guarded(self.inner.guard));
        Ok(taken.quota_left(limits.quota_bytes).min(disk_left))
    }

    /// Exact figures of the farmer's disk.
    ///
    /// # Errors
    /// What the disk or database says.
    pub async fn figures(&self, limits: &Limits) -> Result<Figures, FarmerError> {
        let room = self.room(limits).await?;
        let row = sqlx::query("SELECT count(*) FROM shards").fetch_one(self.inner.db.read()).await;
        let headers = number(&row.map_err(DatabaseError::from)?, 0)?.saturating_mul(HEADER_BYTES);
        let (folder, home) = (self.paths(), self.inner.home.path().to_owned());
        let files = blocking(move || Ok(overhead(&folder, &home)?)).await?;
        Ok(Figures { overhead_bytes: headers + files, ..room })
    }

    /// The figures without the overhead, which is counted shard by shard: cheap enough to answer any stranger.
    ///
    /// # Errors
    /// What the disk or database says.
    pub async fn room(&self, limits: &Limits) -> Result<Figures, FarmerError> {
        let space = self.space().await?;
        let guard_bytes = space.guarded(self.inner.guard);
        let taken = Taken::read(self.inner.db.read()).await?;
        Ok(Figures {
            used_bytes: taken.used_bytes,
            reserved_bytes: taken.reserved_bytes,
            free_bytes: taken.quota_left(limits.quota_bytes).min(taken.disk_left(space, guard_bytes)),
            overhead_bytes: 0,
            disk_free_bytes: space.free_bytes,
            guard_bytes,
        })
    }
}

fn overhead(folder: &Folder, home: &Path) -> std::io::Result<u64> {
    let len = |path: PathBuf| path.metadata().map_or(0, |found| found.len());
    let database: u64 =
        ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"].map(|name| len(home.join(name))).iter().sum();
    let mut journals = 0;
    for journal in std::fs::read_dir(folder.journals())? {
        journals += len(journal?.path());
    }
    let mut keys = 0;
    for key in crate::audit_keys::found(folder)? {
        keys += len(folder.key(&key));
    }
    Ok(database + journals + keys)
}
