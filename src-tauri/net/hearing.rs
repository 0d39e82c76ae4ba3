//! When anybody was last heard, and when a silence of all of them last ended.
//!
//! Invariant: only a time in which at least two were awaited counts as silence. A node that asks nothing hears nothing
//! either, and one that is silent alone must not pass for our own line; two that are, may.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hayloft_core::DeviceId;
use tokio::time::Instant;

use crate::limits;

/// What was heard from all peers together.
#[derive(Debug)]
pub(crate) struct Hearing(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Instant,
    /// For how many things each is awaited.
    awaited: HashMap<DeviceId, usize>,
    /// Since when several have been awaited and nobody heard.
    since: Option<Instant>,
    silence_ended: Option<Instant>,
}

/// Somebody is awaited for as long as this lives.
#[derive(Debug)]
pub(crate) struct Awaited<'a> {
    hearing: &'a Hearing,
    device: DeviceId,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut state = self.hearing.state();
        if let Some(things) = state.awaited.get_mut(&self.device) {
            *things -= 1;
            if *things == 0 {
                state.awaited.remove(&self.device);
            }
        }
    }
}

impl Hearing {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { last: now, awaited: HashMap::new(), since: None, silence_ended: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is expected from somebody.
    pub(crate) fn awaits(&self, device: DeviceId, now: Instant) -> Awaited<'_> {
        let mut state = self.state();
        *state.awaited.entry(device).or_default() += 1;
        if state.awaits_several() {
            state.since.get_or_insert(now);
        }
        Awaited { hearing: self, device }
    }

    /// Somebody answered or sent something.
    pub(crate) fn hears(&self, now: Instant) {
        let mut state = self.state();
        if state.since.is_some_and(|since| now - since > limits::SILENCE_OF_ALL) {
            state.silence_ended = Some(now);
        }
        state.last = now;
        // Who waits goes on waiting.
        state.since = state.awaits_several().then_some(now);
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

impl State {
    fn awaits_several(&self) -> bool {
        self.awaited.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: DeviceId = DeviceId([1; 32]);
    const OTHER: DeviceId = DeviceId([2; 32]);

    #[test]
    fn only_a_long_wait_for_several_is_a_silence() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let hearing = Hearing::new(begun);
        hearing.hears(at(100));
        assert!(!hearing.was_silent_after(begun), "nobody was awaited");
        let both = [hearing.awaits(ONE, at(200)), hearing.awaits(OTHER, at(200))];
        hearing.hears(at(201));
        drop(both);
        assert!(!hearing.was_silent_after(begun), "a quick answer");
        let alone = [hearing.awaits(ONE, at(250)), hearing.awaits(ONE, at(250))];
        hearing.hears(at(299));
        drop(alone);
        assert!(!hearing.was_silent_after(begun), "one alone is silent for itself");
        let _both = [hearing.awaits(ONE, at(300)), hearing.awaits(OTHER, at(319))];
        hearing.hears(at(320));
        assert!(!hearing.was_silent_after(begun), "the other has not been awaited for long");
        hearing.hears(at(330));
        assert!(hearing.was_silent_after(at(329)), "both went on waiting");
        assert!(hearing.was_silent_after(at(331)), "connections may still die of it");
        assert!(!hearing.was_silent_after(at(356)), "what is begun later has nothing to do with it");
    }

    #[test]
    fn who_gives_up_and_tries_again_hears_one_silence() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let hearing = Hearing::new(begun);
        for again in [0, 3, 6] {
            let _both = [hearing.awaits(ONE, at(again)), hearing.awaits(OTHER, at(again))];
        }
        hearing.hears(at(7));
        assert!(hearing.was_silent_after(begun));
    }
}
