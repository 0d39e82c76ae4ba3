//! What this farmer's auditors think of it: asked now and then of those that its contracts name, so that nothing they decide is
//! the first that its person hears.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hayloft_core::{DeviceId, warning::MAX_AUDITORS};
use hayloft_net::messages::{Answer, Envelope, Request};

use super::Shared;
use crate::{
    auditor::shown,
    model::{Event, FarmerStanding},
    notices,
    owner::lock,
};

/// How often auditors are asked, unless epochs are shorter.
const EVERY: Duration = Duration::from_secs(600);
/// How soon those are asked again that did not answer, as at a start, when nobody is found yet.
const AGAIN: Duration = Duration::from_secs(30);

/// Asks until the node stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let epoch = shared.parts.epoch_seconds.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))));
    let every = epoch.unwrap_or(EVERY).min(EVERY);
    let stop = shared.parts.stop.clone();
    while let Some(all) = stop.run_until_cancelled(shared.ask_auditors()).await {
        let pause = if all { every } else { every.min(AGAIN) };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

impl Shared {
    /// Whether all answered.
    async fn ask_auditors(&self) -> bool {
        let contracts = self.parts.store.farmer().contracts().await.unwrap_or_default();
        let named = contracts.iter().filter(|contract| contract.shards > 0);
        let auditors: BTreeSet<DeviceId> =
            named.filter_map(|contract| contract.terms.terms.auditor).collect();
        let before = self.standings();
        let (mut standings, mut all) = (Vec::new(), true);
        for auditor in auditors.into_iter().take(MAX_AUDITORS) {
            match self.ask_auditor(auditor).await {
                Ok(heard) => standings.extend(heard),
                Err(()) => {
                    all = false;
                    standings
                        .extend(before.iter().find(|known| known.auditor == auditor.to_string()).cloned());
                }
            }
        }
        if before != standings {
            *lock(&self.standings) = standings;
            self.changed();
        }
        all
    }

    /// None if the auditor has never asked this farmer anything.
    async fn ask_auditor(&self, auditor: DeviceId) -> Result<Option<FarmerStanding>, ()> {
        let farmer = self.parts.device.id();
        let envelope = Envelope { certificate: None, request: Request::Standing { farmer } };
        let Ok(Answer::Standing(account)) = self.parts.net.ask(auditor, &envelope).await else {
            return Err(());
        };
        let Some(account) = account else { return Ok(None) };
        let standing = shown::standing(auditor, &account);
        let Ok(mut told) = self.parts.store.warnings().await else { return Ok(Some(standing)) };
        let warnings = told.hear(auditor, &account);
        let mut sentences = warnings.iter().map(|&warning| notices::of_warning(warning, &standing));
        // Where no front end listens, it is told later.
        let heard = sentences.all(|sentence| self.parts.events.send(Event::Notice(sentence)).is_ok());
        if heard && !warnings.is_empty() {
            let kept = self.parts.store.keep_warnings(&told).await;
            kept.unwrap_or_else(|error| tracing::warn!(%error, "what was told could not be kept"));
        }
        Ok(Some(standing))
    }

    /// As last heard.
    pub(super) fn standings(&self) -> Vec<FarmerStanding> {
        lock(&self.standings).clone()
    }
}

#[cfg(test)]
impl super::Farmer {
    /// Asks them all, now.
    pub(crate) async fn hear_auditors(&self) {
        self.shared.ask_auditors().await;
    }
}
