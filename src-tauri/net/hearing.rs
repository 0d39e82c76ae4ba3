//! When anybody was last heard, and when a silence of all of them last ended.
//!
//! Invariant: only a time in which somebody was awaited counts as silence; a node that asks nothing hears nothing either.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::limits;

/// What was heard from all peers together.
#[derive(Debug)]
pub(crate) struct Hearing(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    last: Instant,
    /// Since when somebody has been awaited and nobody heard.
    awaited: Option<Instant>,
    silence_ended: Option<Instant>,
}

impl Hearing {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { last: now, awaited: None, silence_ended: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is expected from somebody.
    pub(crate) fn awaits(&self, now: Instant) {
        self.state().awaited.get_or_insert(now);
    }

    /// Somebody answered or sent something.
    pub(crate) fn hears(&self, now: Instant) {
        let mut state = self.state();
        if state.awaited.take().is_some_and(|since| now - since > limits::SILENCE_OF_ALL) {
            state.silence_ended = Some(now);
        }
        state.last = now;
    }

    pub(crate) fn quiet_for(&self) -> Duration {
        self.state().last.elapsed()
    }

    /// Whether what was begun at `at` may have met a silence, or a connection that died of one: QUIC notices that only
    /// after a time.
    pub(crate) fn was_silent_after(&self, at: Instant) -> bool {
        self.state().silence_ended.is_some_and(|ended| ended + limits::QUIC_IDLE > at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_wait_for_somebody_is_a_silence() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let hearing = Hearing::new(begun);
        hearing.hears(at(100));
        assert!(!hearing.was_silent_after(begun), "nobody was awaited");
        hearing.awaits(at(200));
        hearing.hears(at(201));
        assert!(!hearing.was_silent_after(begun), "a quick answer");
        hearing.awaits(at(300));
        hearing.awaits(at(319));
        hearing.hears(at(320));
        assert!(hearing.was_silent_after(at(319)), "it was awaited since the first");
        assert!(hearing.was_silent_after(at(321)), "connections may still die of it");
        assert!(!hearing.was_silent_after(at(346)), "what is begun later has nothing to do with it");
    }
}
