//! Which honest farmers are away at the moment, and how many have left for ever.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Who is away; shared by those who make farmers go and those who judge what may fail meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    away: HashMap<String, Option<Instant>>,
    left: u64,
}

impl Presence {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A farmer goes and will come back.
    pub(crate) fn goes(&self, farmer: &str) {
        self.state().away.insert(farmer.to_owned(), None);
    }

    /// It is back.
    pub(crate) fn returns(&self, farmer: &str) {
        self.state().away.insert(farmer.to_owned(), Some(Instant::now()));
    }

    /// A farmer leaves for ever.
    pub(crate) fn leaves(&self, farmer: &str) {
        let mut state = self.state();
        state.away.remove(farmer);
        state.left += 1;
    }

    /// How many have left for ever.
    pub(crate) fn left(&self) -> u64 {
        self.state().left
    }

    /// How many are away now.
    pub(crate) fn away(&self) -> usize {
        self.state().away.values().filter(|back| back.is_none()).count()
    }

    /// How many were away at some moment since then.
    pub(crate) fn away_since(&self, since: Instant) -> usize {
        self.state().away.values().filter(|back| back.is_none_or(|back| back >= since)).count()
    }

    /// Whether that farmer was away at some moment since then.
    pub(crate) fn was_away_since(&self, farmer: &str, since: Instant) -> bool {
        self.state().away.get(farmer).is_some_and(|back| back.is_none_or(|back| back >= since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farmer_that_came_back_counts_for_what_began_before() {
        let presence = Presence::default();
        let before = Instant::now();
        presence.goes("a");
        presence.goes("b");
        presence.returns("a");
        assert_eq!((presence.away(), presence.away_since(before)), (1, 2));
        assert!(presence.was_away_since("a", before) && !presence.was_away_since("c", before));
        presence.leaves("b");
        assert_eq!((presence.away(), presence.away_since(before), presence.left()), (0, 1, 1));
        presence.goes("a");
        assert_eq!(presence.away(), 1);
    }
}
