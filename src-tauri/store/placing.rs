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

/// The duty to write what waits. Given up, because its task died, all that wait are told so and the next one to come
/// begins anew.
struct Turn {
    inner: Arc<Inner>,
    taken: bool,
}

impl Turn {
    fn take(mut self) -> Vec<(Vec<Placing>, oneshot::Sender<bool>)> {
        self.taken = true;
        self.inner.placing.take()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.taken {
            drop(self.inner.placing.take());
        }
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
            tokio::spawn(write_all_waiting(Turn { inner: self.inner.clone(), taken: false }));
        }
        match written.await {
            Ok(true) => Ok(()),
            // The others' rows are not to blame, nor is their error: these are tried alone.
            _ => insert(self.change().await?, placing).await,
        }
    }
}

async fn write_all_waiting(turn: Turn) {
    let write = Change::begin(&turn.inner).await;
    let waiting = turn.take();
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

#[cfg(test)]
mod tests {
    use hayloft_core::{DeviceId, SegmentId};

    use super::*;
    use crate::{
        farmer_tests::open,
        samples::{contract_id, shard_id},
    };

    fn placing(seed: u32) -> Placing {
        let (farmer, contract) = (DeviceId([9; 32]), contract_id(1));
        Placing { shard: shard_id(seed), farmer, contract, segment: SegmentId([1; 32]), job: None }
    }

    #[tokio::test]
    async fn a_writer_that_dies_before_it_takes_what_waits_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let owner = open(folder.path()).await.owner();
        let (done, written) = oneshot::channel();
        assert!(owner.inner.placing.push(&[placing(1)], done));
        drop(write_all_waiting(Turn { inner: owner.inner.clone(), taken: false }));
        written.await.expect_err("told that nobody will write it");
        let rows = [placing(2)];
        let next = owner.add_placing(&rows);
        tokio::time::timeout(std::time::Duration::from_secs(60), next).await.unwrap().unwrap();
        assert_eq!(owner.placing().await.unwrap(), rows);
    }
}
