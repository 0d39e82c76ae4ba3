//! What this farmer's auditors think of it: asked now and then of those that its contracts name, so that nothing they decide is
//! the first that its person hears.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hayloft_core::DeviceId;
use hayloft_net::messages::{Answer, Envelope, Request};

use super::Shared;
use crate::{
    auditor::shown,
    model::{Event, FarmerStanding, StandingWord},
    owner::lock,
};

/// How often auditors are asked, unless epochs are shorter.
const EVERY: Duration = Duration::from_secs(600);
/// Auditors asked: contracts may name many.
const AUDITORS: usize = 64;

/// Asks until the node stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let epoch = shared.parts.epoch_seconds.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))));
    let mut ticks = tokio::time::interval(epoch.unwrap_or(EVERY).min(EVERY));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stop = shared.parts.stop.clone();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if stop.run_until_cancelled(shared.ask_auditors()).await.is_none() {
            return;
        }
    }
}

impl Shared {
    async fn ask_auditors(&self) {
        let contracts = self.parts.store.farmer().contracts().await.unwrap_or_default();
        let named = contracts.iter().filter(|contract| contract.shards > 0);
        let auditors: BTreeSet<DeviceId> =
            named.filter_map(|contract| contract.terms.terms.auditor).collect();
        let farmer = self.parts.device.id();
        let mut standings = Vec::new();
        for auditor in auditors.into_iter().take(AUDITORS) {
            let envelope = Envelope { certificate: None, request: Request::Standing { farmer } };
            if let Ok(Answer::Standing(Some(account))) = self.parts.net.ask(auditor, &envelope).await {
                standings.push(shown::standing(auditor, &account));
            }
        }
        let before = std::mem::replace(&mut *lock(&self.standings), standings.clone());
        for standing in &standings {
            self.warn_once(&before, standing);
        }
        if before != standings {
            self.changed();
        }
    }

    /// One notice when an auditor's opinion falls.
    fn warn_once(&self, before: &[FarmerStanding], now: &FarmerStanding) {
        let known = before.iter().find(|known| known.auditor == now.auditor);
        if known.is_some_and(|known| known.standing == now.standing) {
            return;
        }
        let words = match now.standing {
            StandingWord::Good => return,
            StandingWord::Suspended => "gives this farmer nothing new for now",
            StandingWord::Disqualified => "counts this farmer's shards as lost",
        };
        let restored = now.scores.iter().find_map(|line| line.restored_by.clone()).unwrap_or_default();
        let short: String = now.auditor.chars().take(16).collect();
        let _ = self.parts.events.send(Event::Notice(format!("Auditor {short} {words}. {restored}")));
    }

    /// As last heard.
    pub(super) fn standings(&self) -> Vec<FarmerStanding> {
        lock(&self.standings).clone()
    }
}
