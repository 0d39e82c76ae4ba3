//! The farmer's side of a node: keeps others' shards and serves them.
//!
//! Invariants: used and reserved bytes never pass the quota; what was signed is on disk before the signature leaves;
//! hours, pause and switching off stop new data only, never reads, removals or what was reserved before.
//! A node that farms nothing runs this too: it then refuses all but what it still keeps. What is asked of auditors goes to
//! the auditor beside it.

mod agreements;
mod audit_keys;
mod contracts;
mod egress;
mod flow;
mod labours;
mod leaving;
pub(crate) mod money;
mod offer;
mod proofs;
pub(crate) mod refuse;
mod scrub;
pub(crate) mod serve;
mod standings;
mod status;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
mod transfers;

use std::{sync::Arc, time::Duration};

use hayloft_core::{ContractId, Timestamp};
use hayloft_net::{Incoming, RateLimits, limits, messages::Refusal};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use self::{
    agreements::Agreements,
    labours::{Labours, Places},
};
use crate::{
    auditor::Auditor,
    locks::{Held, Locks},
    model::{ApiError, Event, FarmSettings, FarmerStanding},
    parts::Parts,
    settings::Settings,
};

/// Revisions that add or remove shards are checked so many at once.
const REVISING: usize = 2;
/// Checks belong to uploads, which are bounded by quota; requests are bounded in all.
const CHECKS: Places = Places {
    of_device: limits::LABOURS_PER_PEER,
    of_hand: limits::REQUESTS,
    of_subnet: limits::REQUESTS,
    in_all: limits::REQUESTS,
};
const PROOFS: Places = Places {
    of_device: limits::LABOURS_PER_PEER,
    of_hand: limits::LABOURS_PER_HAND,
    of_subnet: limits::LABOURS_PER_SUBNET,
    in_all: limits::LABOURS,
};
/// How long transfers under way may take to stop at shutdown.
const STOP: Duration = Duration::from_secs(3);
/// Front ends ask for all figures again at each change: they hear of many at once, not of each.
const CHANGES_PAUSE: Duration = Duration::from_millis(500);

/// The farmer's side. Clones are the same farmer.
#[derive(Clone)]
pub(crate) struct Farmer {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// What every request needs.
pub(crate) struct Shared {
    parts: Parts,
    settings: watch::Sender<FarmSettings>,
    /// Until when this farmer stays, if it leaves.
    leaves: watch::Sender<Option<Timestamp>>,
    auditor: Auditor,
    zone: TimeZone,
    locks: Locks,
    revising: Semaphore,
    agreements: std::sync::Mutex<Agreements>,
    changes: Notify,
    scrub: Arc<scrub::Signals>,
    keys: audit_keys::Keys,
    /// Checks of keys and of tags.
    checks: Arc<Labours>,
    proofs: Arc<Labours>,
    /// What was served and is not vouched for.
    tabs: egress::Tabs,
    /// What auditors think of this farmer, as last heard.
    standings: std::sync::Mutex<Vec<FarmerStanding>>,
}

impl Farmer {
    /// Serves what comes in until the node stops.
    pub(crate) async fn start(
        parts: Parts,
        incoming: Incoming,
        settings: &Settings,
        auditor: Auditor,
    ) -> Self {
        let (scrub, suspects) = scrub::Signals::new();
        let shared = Arc::new(Shared {
            parts,
            settings: watch::Sender::new(settings.farm.clone()),
            leaves: watch::Sender::new(settings.leaves),
            auditor,
            zone: TimeZone::system(),
            locks: Locks::default(),
            revising: Semaphore::new(REVISING),
            agreements: std::sync::Mutex::default(),
            changes: Notify::new(),
            scrub: Arc::new(scrub),
            keys: audit_keys::Keys::default(),
            // Requests are bounded in all.
            checks: Labours::new(Labours::half_of_the_cores(), CHECKS),
            proofs: Labours::new(Labours::half_of_the_cores(), PROOFS),
            tabs: egress::Tabs::default(),
            standings: std::sync::Mutex::default(),
        });
        let farmer = Self { shared, tasks: TaskTracker::new() };
        farmer.apply().await;
        farmer.tasks.spawn(serve::run(farmer.shared.clone(), incoming, farmer.tasks.clone()));
        farmer.tasks.spawn(sweep::run(farmer.shared.clone()));
        farmer.tasks.spawn(scrub::run(farmer.shared.clone(), suspects));
        farmer.tasks.spawn(standings::run(farmer.shared.clone()));
        farmer.tasks.spawn(tell_changes(farmer.shared.clone()));
        farmer
    }

    /// What was set.
    pub(crate) fn settings(&self) -> FarmSettings {
        self.shared.settings.borrow().clone()
    }

    /// Takes over checked settings at once. A new folder is refused while the old one holds shards, and if it is not there:
    /// its disk may not be connected.
    ///
    /// # Errors
    /// [`ApiError`] if the folder cannot be changed; nothing is changed then.
    pub(crate) async fn set(&self, settings: FarmSettings) -> Result<(), ApiError> {
        if settings.folder != self.settings().folder {
            if let Some(folder) = settings.folder.as_ref().filter(|folder| !folder.is_dir()) {
                return Err(ApiError::bad_request(format!(
                    "There is no folder {}: make it first, or connect the disk that it is on.",
                    folder.display()
                )));
            }
            let own = self.shared.parts.store.home().path().join(OWN_FOLDER);
            let folder = settings.folder.clone().unwrap_or(own);
            let moved = self.shared.parts.store.farmer().move_to(&folder).await;
            moved.map_err(crate::errors::farm)?;
        }
        self.shared.settings.send_replace(settings);
        self.apply().await;
        self.shared.changed();
        Ok(())
    }

    /// A farmer that was switched off goes on serving what it keeps.
    async fn apply(&self) {
        let settings = self.settings();
        let Parts { net, store, .. } = &self.shared.parts;
        let keeps = !store.farmer().contracts().await.is_ok_and(|contracts| contracts.is_empty());
        net.set_rate_limits(RateLimits { up: settings.upload_limit, down: settings.download_limit });
        net.announce_farmer(settings.enabled || keeps || self.shared.auditor.is_enabled());
    }

    /// Waits for requests under way to stop; the node's stop token has been cancelled before.
    pub(crate) async fn shutdown(&self) {
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not stop in time");
        }
    }
}

/// The folder for shards in a home that names none.
const OWN_FOLDER: &str = "shards";

impl Shared {
    async fn lock(&self, contract: ContractId) -> Held<'_> {
        self.locks.lock(contract).await
    }

    /// Whether the settings let new data in now.
    fn permitted(&self) -> Result<(), Refusal> {
        let (now, leaves) = (self.parts.clock.now(), self.leaves());
        let permitted = offer::permitted(&self.settings.borrow(), leaves, now, &self.zone);
        permitted.map_err(|reason| refuse::not_accepting(&reason))
    }

    /// Tells front ends that the figures changed, soon.
    fn changed(&self) {
        self.changes.notify_one();
    }
}

/// Sends one event for all changes since the last; the newest change is never left out.
async fn tell_changes(shared: Arc<Shared>) {
    let stop = &shared.parts.stop;
    while stop.run_until_cancelled(shared.changes.notified()).await.is_some() {
        let _ = shared.parts.events.send(Event::StatusChanged);
        let _ = stop.run_until_cancelled(tokio::time::sleep(CHANGES_PAUSE)).await;
    }
}
