//! Writing down shards about to be sent. Many farmers are sent to at once, and each shard must be on the disk before its
//! first byte leaves: those that wait for the writer together are written in one transaction, with one sync for all.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::{
    DatabaseError, Owner,
    catalog::Change,
    open::Inner,
    owner::{OwnerError, Placing},
};

/// What waits for the writer.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Vec<(Vec<Placing>, oneshot::Sender<bool>)>>);

impl Waiting {
    /// Adds to those that wait; says whether nobody waited before.
    fn push(&self, placing: &[Placing], done: oneshot::Sender<bool>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((placing.to_vec(), done));
        waiting.len() == 1
    }

    /// All that wait, but for those that were given up meanwhile: nothing of theirs will be sent.
    fn take(&self) -> Vec<(Vec<Placing>, oneshot::Sender<bool>)> {
        let mut waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.retain(|(_, done)| !done.is_closed());
        waiting
    }
}

impl Owner {
    /// Writes down shards about to be sent: they are on the disk when this returns.
    ///
    /// # Errors
    /// [`OwnerError::Database`].
    pub async fn add_placing(&self, placing: &[Placing]) -> Result<(), OwnerError> {
        let (done, written) = oneshot::channel();
        if self.inner.placing.push(placing, done) {
            // A task of its own: whoever began it may be dropped while others wait for it.
            tokio::spawn(write_all_waiting(self.inner.clone()));
        }
        match written.await {
            Ok(true) => Ok(()),
            // The others' rows are not to blame, nor is their error: these are tried alone.
            _ => insert(self.change().await?, placing).await,
        }
    }
}

async fn write_all_waiting(inner: Arc<Inner>) {
    let write = Change::begin(&inner).await;
    let waiting = inner.placing.take();
    let rows: Vec<Placing> = waiting.iter().flat_map(|(placing, _)| placing).copied().collect();
    let written = match write {
        Ok(write) => insert(write, &rows).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &written {
        tracing::warn!(%error, "shards about to be sent could not be written down together");
    }
    for (_, done) in waiting {
        let _ = done.send(written.is_ok());
    }
}

async fn insert(mut write: Change, rows: &[Placing]) -> Result<(), OwnerError> {
    for one in rows {
        let query =
            "INSERT OR REPLACE INTO placing (shard, farmer, contract, segment, job) VALUES (?, ?, ?, ?, ?)";
        let query = sqlx::query(query).bind(one.shard.0.to_vec()).bind(one.farmer.0.to_vec());
        let query = query.bind(one.contract.0.to_vec()).bind(one.segment.0.to_vec());
        query.bind(one.job.map(i64::from)).execute(&mut **write).await.map_err(DatabaseError::from)?;
    }
    write.commit().await?;
    crash_point!(PlacingCommitted);
    Ok(())
}
