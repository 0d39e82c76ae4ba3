//! Frees what is over: reservations without bytes, and contracts surely past their end and grace.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::Shared;

/// How often the farmer looks.
const PAUSE: Duration = Duration::from_secs(60);

/// Sweeps until the node stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shared.parts.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        shared.sweep().await;
    }
}

impl Shared {
    /// Frees what is over now.
    pub(super) async fn sweep(&self) {
        match self.parts.store.farmer().expire(self.parts.clock.now(), self.parts.witness.credible()).await {
            Ok(expired) if expired.reserved_bytes > 0 || !expired.contracts.is_empty() => {
                for (contract, bytes) in &expired.contracts {
                    tracing::info!(%contract, bytes, "a contract is past its end and grace: its shards were deleted");
                }
                self.changed();
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "what is over could not be freed; it is tried again"),
        }
    }
}

#[cfg(test)]
impl super::Farmer {
    /// One sweep, now.
    pub(crate) async fn sweep(&self) {
        self.shared.sweep().await;
    }
}
