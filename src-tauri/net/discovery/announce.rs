//! Being found: while this node farms, it provides under its bucket keys, soon after it has joined, then ever more
//! seldom. Pauses are uneven, so that farmers started together do not announce together.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
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
            let change = async {
                tokio::select! {
                    _ = joined.changed() => {}
                    _ = farming.changed() => {}
                }
            };
            if timeout(uneven(pause), change).await.is_ok() {
                pause = limits::ANNOUNCE_PAUSE;
                continue;
            }
            pause = (pause * 4).min(limits::ANNOUNCE_PAUSE_MOST);
            let keys = buckets::keys_of(&shared.network, &shared.local, shared.wall.now());
            if shared.commands.send(Command::Provide { keys }).await.is_err() {
                return;
            }
        }
        let _ = shared.commands.send(Command::Provide { keys: Vec::new() }).await;
    }
}

/// Something between half of a pause and the whole.
fn uneven(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}
