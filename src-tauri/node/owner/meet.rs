//! Knowing farmers before they are needed: from the start on, so that a price or a put need not wait, and people see how
//! many there are.

use std::{sync::Arc, time::Duration};

use hayloft_core::presets::MAX_SHARDS;

use super::Inner;
use crate::model::Event;

/// How long one look takes at most.
const LOOK: Duration = Duration::from_secs(30);
/// How often it is looked again while nobody asks. The network ends its rounds by itself meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(20 * 60);

/// Looks for farmers now and then.
pub(crate) async fn keep_looking(owner: Arc<Inner>) {
    let mut turns = tokio::time::interval(LOOK_AGAIN);
    loop {
        turns.tick().await;
        owner.net.find_farmers(MAX_SHARDS, LOOK).await;
    }
}

/// Tells front ends whenever the known farmers change.
pub(crate) async fn keep_telling(owner: Arc<Inner>) {
    let mut changes = owner.net.farmers_changed();
    while changes.changed().await.is_ok() {
        let _ = owner.events.send(Event::StatusChanged);
    }
}
