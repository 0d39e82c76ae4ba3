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
    /// When it was last given up to await several. Who tries again soon awaits them still.
    given_up: Instant,
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
        let several = state.awaits_several();
        if let Some(things) = state.awaited.get_mut(&self.device) {
            *things -= 1;
            if *things == 0 {
                state.awaited.remove(&self.device);
            }
        }
        if several && !state.awaits_several() {
            state.given_up = Instant::now();
        }
    }
}

impl Hearing {
    pub(crate) fn new() -> Self {
        let (last, awaited) = (Instant::now(), HashMap::new());
        Self(Mutex::new(State { last, awaited, since: None, given_up: last, silence_ended: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is expected from somebody.
    pub(crate) fn awaits(&self, device: DeviceId) -> Awaited<'_> {
        let mut state = self.state();
        let several = state.awaits_several();
        *state.awaited.entry(device).or_default() += 1;
        if !several && state.awaits_several() {
            state.since = state.since.filter(|_| state.given_up.elapsed() <= limits::SILENCE_OF_ALL);
            state.since.get_or_insert_with(Instant::now);
        }
        Awaited { hearing: self, device }
    }

    /// Somebody answered or sent something.
    pub(crate) fn hears(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        let until = if state.awaits_several() { now } else { state.given_up };
        if state.since.is_some_and(|since| until.saturating_duration_since(since) > limits::SILENCE_OF_ALL) {
            state.silence_ended = Some(until);
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
    use tokio::time::advance;

    use super::*;

    const ONE: DeviceId = DeviceId([1; 32]);
    const OTHER: DeviceId = DeviceId([2; 32]);

    async fn pass(seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_long_wait_for_several_is_a_silence() {
        let (begun, hearing) = (Instant::now(), Hearing::new());
        let ended = || hearing.was_silent_after(begun);
        pass(100).await;
        hearing.hears();
        assert!(!ended(), "nobody was awaited");
        let both = [hearing.awaits(ONE), hearing.awaits(OTHER)];
        pass(1).await;
        hearing.hears();
        drop(both);
        assert!(!ended(), "a quick answer");
        pass(100).await;
        let alone = [hearing.awaits(ONE), hearing.awaits(ONE)];
        pass(100).await;
        hearing.hears();
        assert!(!ended(), "one alone is silent for itself");
        pass(100).await;
        let other = hearing.awaits(OTHER);
        pass(1).await;
        hearing.hears();
        assert!(!ended(), "the other has not been awaited for long");
        pass(10).await;
        let in_it = Instant::now();
        hearing.hears();
        drop((alone, other));
        assert!(hearing.was_silent_after(in_it), "both went on waiting");
        let later = |seconds| in_it + Duration::from_secs(seconds);
        assert!(hearing.was_silent_after(later(1)), "connections may still die of it");
        assert!(!hearing.was_silent_after(later(26)), "what is begun later has nothing to do with it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_that_was_given_up_long_ago_is_over() {
        let (begun, hearing) = (Instant::now(), Hearing::new());
        let both = [hearing.awaits(ONE), hearing.awaits(OTHER)];
        pass(20).await;
        drop(both);
        pass(3600).await;
        let alone = hearing.awaits(ONE);
        hearing.hears();
        drop(alone);
        assert!(hearing.was_silent_after(begun));
        assert!(!hearing.was_silent_after(Instant::now()), "it has nothing to do with what is begun now");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_and_soon_tries_again_hears_one_silence() {
        for (pause, silent) in [(1, true), (60, false)] {
            let (begun, hearing) = (Instant::now(), Hearing::new());
            for _ in 0..2 {
                let both = [hearing.awaits(ONE), hearing.awaits(OTHER)];
                pass(3).await;
                drop(both);
                pass(pause).await;
            }
            hearing.hears();
            assert_eq!(hearing.was_silent_after(begun), silent);
        }
    }
}
