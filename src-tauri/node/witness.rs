//! The node's witness of time: whoever deletes what was agreed to be kept asks it, and not the clock.

use std::sync::Mutex;

use hayloft_core::{Timestamp, Witness as Seen};
use hayloft_store::{DatabaseError, Store};

use crate::{Clock, owner::lock};

/// Says what time it surely is; see [`hayloft_core::witness`].
#[derive(Debug)]
pub struct Witness {
    clock: Clock,
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seen: Seen,
    /// Lived seconds at the newest reading.
    lived_seconds: u64,
}

impl Witness {
    /// Goes on from what the store has kept, with a first reading.
    pub(crate) async fn load(store: Store, clock: Clock) -> Result<Self, DatabaseError> {
        let state = State { seen: store.witness().await?, lived_seconds: clock.lived_seconds() };
        let witness = Self { clock, store, state: Mutex::new(state) };
        witness.credible();
        Ok(witness)
    }

    /// A time that has surely come, by this reading of the clock and all before.
    pub(crate) fn credible(&self) -> Timestamp {
        let mut state = lock(&self.state);
        let (wall, lived_seconds) = (self.clock.now(), self.clock.lived_seconds());
        let since = lived_seconds.saturating_sub(state.lived_seconds);
        state.seen.observe(wall, since);
        state.lived_seconds = lived_seconds;
        state.seen.credible(wall)
    }

    /// Reads the clock and keeps what was lived up to now.
    pub(crate) async fn keep(&self) -> Result<(), DatabaseError> {
        self.credible();
        let seen = lock(&self.state).seen.clone();
        self.store.keep_witness(&seen).await
    }
}
