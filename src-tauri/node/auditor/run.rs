//! When: contracts come due by the books, so many are worked at at once, rounds end, and what is over is forgotten.
//!
//! Contracts are spread over an epoch by their ids (`core::audit::Epoch::beacon_due`), so they need no further jitter.

use std::{sync::Arc, time::Duration};

use hayloft_core::{ContractId, DeviceId, auditor::turns::next_asked, placement::Subnet};
use hayloft_net::limits::LABOURS_PER_PEER;
use hayloft_store::auditor::AuditorError;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::Shared;
use crate::owner::lock;

/// How long nothing is looked at when nothing is due.
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest pause, however soon the next is due.
const SHORTEST: Duration = Duration::from_millis(200);
/// Contracts with farmers of one subnet that are worked at at once: as many as a farmer works at for one peer.
const OF_SUBNET: usize = LABOURS_PER_PEER;
/// How often farmers are looked for, so that their addresses are known.
const LOOK_AGAIN: Duration = Duration::from_secs(20 * 60);
/// How long a look takes at most.
const LOOK: Duration = Duration::from_secs(30);
/// Farmers looked for.
const WANTED: usize = 256;

/// Works until the node stops.
pub(super) async fn run(shared: Arc<Shared>, tasks: TaskTracker) {
    tasks.spawn(look(shared.clone()));
    let (stop, clock) = (shared.parts.stop.clone(), shared.parts.clock.clone());
    let rounds = clock.rounds();
    loop {
        let now = clock.now();
        let wait = shared.begin_due(&tasks).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the auditor's books cannot be read");
            LONGEST
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => {}
            () = rounds.rest(now, wait) => {}
        }
    }
}

/// Keeps farmers' addresses known.
async fn look(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(LOOK_AGAIN);
    let stop = &shared.parts.stop;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        stop.run_until_cancelled(shared.parts.net.find_farmers(WANTED, LOOK)).await;
    }
}

impl Shared {
    /// Begins what is due, and says how long to wait for more.
    async fn begin_due(self: &Arc<Self>, tasks: &TaskTracker) -> Result<Duration, AuditorError> {
        let (store, now) = (self.parts.store.auditor(), self.parts.clock.now());
        store.forget_over(self.parts.witness.credible()).await?;
        self.turn().await?;
        let most = u32::try_from(self.bounds.contracts).unwrap_or(u32::MAX);
        let mut due = store.due(now, most).await?;
        due.retain(|(contract, _)| !lock(&self.under_way).contains_key(contract));
        let subnet = |farmer: DeviceId| Subnet::observed(farmer, self.parts.net.address_of(farmer));
        let subnets: Vec<Subnet> = due.iter().map(|(_, farmer)| subnet(*farmer)).collect();
        let under_way: Vec<Subnet> = lock(&self.under_way).values().copied().collect();
        for index in next_asked(&subnets, under_way, self.asking.available_permits(), OF_SUBNET) {
            let Ok(place) = self.asking.clone().try_acquire_owned() else { break };
            let contract = due[index].0;
            lock(&self.under_way).insert(contract, subnets[index]);
            let under_way = self.parts.clock.rounds();
            let work = work(self.clone(), contract, place);
            tasks.spawn(async move {
                work.await;
                drop(under_way);
            });
        }
        // What is due and has no place yet begins when one becomes free.
        let next = store.next_due(now).await?;
        let wait = next.map_or(LONGEST, |next| Duration::from_secs(next.seconds_since(now)));
        Ok(wait.clamp(SHORTEST, LONGEST))
    }
}

async fn work(shared: Arc<Shared>, contract: ContractId, place: OwnedSemaphorePermit) {
    let stop = shared.parts.stop.clone();
    if let Some(Err(error)) = stop.run_until_cancelled(shared.work_at(contract)).await {
        tracing::warn!(%contract, %error, "an audit could not go on");
    }
    lock(&shared.under_way).remove(&contract);
    drop(place);
    shared.wake.notify_one();
}
