//! How much of this computer audits may take: work that computes and reads for long runs off the async workers, few at
//! once, in order of arrival, and with few of one peer, so that a flood keeps nobody from being served.
//!
//! Invariant: a place is held by the work itself, not by whoever waits for it: asking and going away frees nothing early.
//! Work learns that nobody waits any more and stops.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hayloft_core::DeviceId;
use hayloft_net::messages::{Refusal, RefusalCode};
use tokio::sync::Semaphore;

use super::refuse;

/// Work of one kind.
#[derive(Debug)]
pub(super) struct Labours {
    running: Arc<Semaphore>,
    of_peer: usize,
    in_all: usize,
    admitted: Mutex<HashMap<DeviceId, usize>>,
}

/// A peer's place among those who work or wait, given up when dropped.
#[derive(Debug)]
struct Place {
    labours: Arc<Labours>,
    peer: DeviceId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut admitted = self.labours.admitted();
        if let Some(places) = admitted.get_mut(&self.peer) {
            *places -= 1;
            if *places == 0 {
                admitted.remove(&self.peer);
            }
        }
    }
}

/// Whether somebody still waits for the work.
#[derive(Debug, Clone)]
pub(super) struct Wanted(Weak<()>);

impl Wanted {
    pub(super) fn still(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Labours {
    /// So many run at once; so many of one peer, and in all, run or wait.
    pub(super) fn new(at_once: usize, of_peer: usize, in_all: usize) -> Arc<Self> {
        let running = Arc::new(Semaphore::new(at_once));
        Arc::new(Self { running, of_peer, in_all, admitted: Mutex::default() })
    }

    /// Half of this computer's cores, and at least one.
    pub(super) fn half_of_the_cores() -> usize {
        std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
    }

    fn admitted(&self) -> MutexGuard<'_, HashMap<DeviceId, usize>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, peer: DeviceId) -> Result<Place, Refusal> {
        let mut admitted = self.admitted();
        let of_peer = admitted.get(&peer).copied().unwrap_or_default();
        if of_peer >= self.of_peer || admitted.values().sum::<usize>() >= self.in_all {
            return Err(refuse::refuse(RefusalCode::Busy, "Too much is asked of this farmer at once."));
        }
        admitted.insert(peer, of_peer + 1);
        Ok(Place { labours: self.clone(), peer })
    }

    /// Does the work when its turn comes.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] if there is no place, [`RefusalCode::Internal`] if the work failed.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        peer: DeviceId,
        work: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.admit(peer)?;
        let waiting = Arc::new(());
        let wanted = Wanted(Arc::downgrade(&waiting));
        let Ok(turn) = self.running.clone().acquire_owned().await else {
            return Err(refuse::refuse(RefusalCode::Busy, "This farmer is shutting down."));
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&wanted);
            drop((turn, place));
            done
        });
        let done = done.await.map_err(|error| {
            tracing::error!(%error, "work for an audit failed");
            refuse::refuse(RefusalCode::Internal, "This farmer failed.")
        });
        drop(waiting);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;

    use super::*;

    fn peer(seed: u8) -> DeviceId {
        DeviceId([seed; 32])
    }

    fn is_busy<T: std::fmt::Debug>(result: Option<Result<T, Refusal>>) -> bool {
        matches!(result, Some(Err(Refusal { code: RefusalCode::Busy, .. })))
    }

    #[tokio::test]
    async fn places_are_bounded_by_peer_and_in_all_and_come_back() {
        let labours = Labours::new(1, 2, 3);
        let (go, wait) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let labours = labours.clone();
            async move { labours.run(peer(1), move |_| wait.recv()).await }
        });
        while labours.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut second = Box::pin(labours.run(peer(1), |_| ()));
        assert!(second.as_mut().now_or_never().is_none(), "its turn has not come");
        assert!(is_busy(labours.run(peer(1), |_| ()).now_or_never()), "a third of one peer");
        let mut third = Box::pin(labours.run(peer(2), |_| ()));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(is_busy(labours.run(peer(3), |_| ()).now_or_never()), "a fourth in all");
        go.send(()).expect("the first waits");
        assert!(first.await.expect("no panic").is_ok());
        assert!(second.await.is_ok() && third.await.is_ok());
        assert!(labours.admitted().is_empty());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_learns_of_it_and_holds_its_place_until_it_stops() {
        let labours = Labours::new(1, 1, 9);
        let (said, stopped) = mpsc::channel();
        let running = tokio::spawn({
            let labours = labours.clone();
            async move {
                let work = move |wanted: &Wanted| {
                    said.send(()).expect("the test listens");
                    while wanted.still() {
                        std::thread::yield_now();
                    }
                };
                labours.run(peer(1), work).await
            }
        });
        let stopped = tokio::task::spawn_blocking(move || stopped.recv()).await;
        assert!(matches!(stopped, Ok(Ok(()))), "the work began");
        assert!(is_busy(labours.run(peer(1), |_| ()).now_or_never()));
        running.abort();
        while !labours.admitted().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(labours.run(peer(1), |_| ()).await.is_ok());
    }
}
