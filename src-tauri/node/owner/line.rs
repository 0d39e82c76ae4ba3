//! Whether this computer's own line works, so that no farmer is given up for what is not its fault.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use hayloft_core::DeviceId;
use hayloft_net::Net;
use rand::seq::SliceRandom;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{OwnerError, wire::Wire};

/// Whoever answered so lately proves that the line works.
const LATELY: Duration = Duration::from_secs(5);
/// Farmers asked whether they are there, and how long they may take to answer.
const ASKED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(6);
/// For how long a line that did not work is taken not to work.
const AGAIN: Duration = Duration::from_secs(2);
/// For how long work waits for a line that does not come back.
const OUTAGE: Duration = Duration::from_secs(60);

/// What is between this computer and all farmers.
pub(crate) struct OwnLine {
    net: Net,
    wire: Wire,
    failed: Mutex<Option<Instant>>,
}

impl OwnLine {
    pub(crate) fn new(net: Net, wire: Wire) -> Self {
        Self { net, wire, failed: Mutex::new(None) }
    }

    /// Whether anybody but this farmer can be reached. Where there is nobody else, it is taken to work.
    pub(crate) async fn works(&self, but: Option<DeviceId>) -> bool {
        let lately = || self.net.quiet_for() < LATELY;
        if lately() {
            return true;
        }
        let mut failed = self.failed.lock().await;
        if lately() {
            return true;
        }
        if failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return false;
        }
        let mut others: Vec<_> = self.net.farmers().iter().map(|farmer| farmer.device).collect();
        others.retain(|farmer| Some(*farmer) != but);
        others.shuffle(&mut rand::rng());
        let asked = others.into_iter().take(ASKED);
        let mut answers: FuturesUnordered<_> =
            asked.map(|farmer| timeout(PATIENCE, self.wire.offer(farmer))).collect();
        let mut works = answers.is_empty();
        while let Some(answer) = answers.next().await {
            if matches!(answer, Ok(Ok(_))) {
                works = true;
                break;
            }
        }
        *failed = (!works).then(Instant::now);
        works
    }

    /// For how long nothing has come from anywhere.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.net.quiet_for()
    }

    /// Whether what was begun then may have failed because it was silent, although it is back.
    pub(crate) fn was_silent_after(&self, begun: Instant) -> bool {
        self.net.was_silent_after(begun)
    }

    /// Lets some time pass before what was begun at `since` is tried again.
    ///
    /// # Errors
    /// [`OwnerError::Offline`] if nothing has come from anywhere for too long.
    pub(crate) async fn wait(&self, since: Instant) -> Result<(), OwnerError> {
        if self.quiet_for().min(since.elapsed()) > OUTAGE {
            return Err(OwnerError::Offline);
        }
        sleep(AGAIN / 2).await;
        Ok(())
    }
}
