//! Being found: while this node farms, it provides under its bucket keys, often at first and whenever it has just
//! joined, then seldom.

use std::sync::Arc;

use tokio::time::timeout;

use super::buckets;
use crate::{handle::Shared, limits, swarm::Command};

/// Announces this node for as long as it farms; ends with the network.
pub(crate) async fn announce(shared: Arc<Shared>) {
    let _ = shared.until_stopped(announce_forever(&shared)).await;
}

async fn announce_forever(shared: &Shared) {
    let mut farming = shared.farming.subscribe();
    let mut joined = shared.peers.joined();
    while farming.wait_for(|farming| *farming).await.is_ok() {
        let mut pause = limits::ANNOUNCE_PAUSE;
        while *farming.borrow_and_update() {
            let keys = buckets::keys_of(&shared.network, &shared.local, super::now());
            if shared.commands.send(Command::Provide { keys }).await.is_err() {
                return;
            }
            let change = async {
                tokio::select! {
                    _ = joined.changed() => {}
                    _ = farming.changed() => {}
                }
            };
            match timeout(pause, change).await {
                Ok(()) => pause = limits::ANNOUNCE_PAUSE,
                Err(_) => pause = (pause * 4).min(limits::ANNOUNCE_PAUSE_MOST),
            }
        }
        let _ = shared.commands.send(Command::Provide { keys: Vec::new() }).await;
    }
}
