//! Who is connected with the local API. Whoever is on this computer may connect and then say nothing: places are few, and when
//! all are taken, the one that has been a stranger for longest makes room. Whoever has shown the token keeps its place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All who are connected.
pub(crate) struct Callers {
    places: Arc<Semaphore>,
    strangers: Strangers,
    next: u64,
}

/// By the order in which they came; each with what asks it to leave.
#[derive(Clone, Default)]
struct Strangers(Arc<Mutex<BTreeMap<u64, CancellationToken>>>);

/// One who is connected, for as long as this lives.
pub(crate) struct Caller {
    pub(crate) introduction: Introduction,
    _place: OwnedSemaphorePermit,
}

/// By what a caller becomes known.
#[derive(Clone)]
pub(crate) struct Introduction {
    number: u64,
    /// The caller is to make room.
    pub(crate) leave: CancellationToken,
    strangers: Strangers,
}

impl Callers {
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), strangers: Strangers::default(), next: 0 }
    }

    /// A place for one more; if only callers who are known have all of them, once one of those has left.
    pub(crate) async fn admit(&mut self) -> Option<Caller> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.strangers.send_the_oldest_away();
                self.places.clone().acquire_owned().await.ok()?
            }
        };
        let (number, leave) = (self.next, CancellationToken::new());
        self.next += 1;
        self.strangers.all().insert(number, leave.clone());
        let introduction = Introduction { number, leave, strangers: self.strangers.clone() };
        Some(Caller { introduction, _place: place })
    }
}

impl Strangers {
    fn send_the_oldest_away(&self) {
        let mut all = self.all();
        if let Some((_, stranger)) = all.pop_first() {
            stranger.cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Introduction {
    /// The caller has shown the token. Says whether it may stay: it may just have been told to leave.
    pub(crate) fn is_known(&self) -> bool {
        let mut strangers = self.strangers.all();
        strangers.remove(&self.number);
        !self.leave.is_cancelled()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.introduction.is_known();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_oldest_stranger_makes_room_and_nobody_who_is_known() {
        let mut callers = Callers::new(3);
        let [known, old, young] =
            [(); 3].map(|()| callers.admit().now_or_never().flatten().expect("a place"));
        assert!(known.introduction.is_known());
        assert!(callers.admit().now_or_never().is_none(), "it has not left yet");
        assert_eq!(
            [&known, &old, &young].map(|caller| caller.introduction.leave.is_cancelled()),
            [false, true, false]
        );
        assert!(!old.introduction.is_known(), "too late");
        drop(old);
        let newest = callers.admit().now_or_never().flatten().expect("its place");
        for caller in [&young, &newest] {
            assert!(caller.introduction.is_known());
        }
        assert!(callers.admit().now_or_never().is_none(), "all are known");
        assert!(![&known, &young, &newest].iter().any(|caller| caller.introduction.leave.is_cancelled()));
        drop(known);
        assert!(callers.admit().now_or_never().is_some());
    }
}
