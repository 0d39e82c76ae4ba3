//! What this farmer's auditors think of it: asked now and then of those that its contracts name, so that nothing they decide is
//! the first that its person hears.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use hayloft_core::{DeviceId, auditor::record::Account, warning::MAX_AUDITORS};
use hayloft_net::messages::{Answer, Envelope, Request};
use hayloft_store::farmer::Contract;

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
/// Auditors asked at once, and how long one may keep others waiting.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

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

/// The auditors that contracts name under which something is kept, those first that judge most of it: whoever names many of
/// its own makes none of the others unheard without having as much kept.
fn named(contracts: &[Contract]) -> Vec<DeviceId> {
    let mut bytes: BTreeMap<DeviceId, u64> = BTreeMap::new();
    for contract in contracts.iter().filter(|contract| contract.shards > 0) {
        if let Some(auditor) = contract.terms.terms.auditor {
            let judged = bytes.entry(auditor).or_default();
            *judged = judged.saturating_add(contract.bytes);
        }
    }
    let mut named: Vec<(DeviceId, u64)> = bytes.into_iter().collect();
    named.sort_by_key(|(_, bytes)| Reverse(*bytes));
    named.into_iter().map(|(auditor, _)| auditor).take(MAX_AUDITORS).collect()
}

impl Shared {
    /// Whether all answered.
    async fn ask_auditors(&self) -> bool {
        let contracts = self.parts.store.farmer().contracts().await.unwrap_or_default();
        let before = self.standings();
        let asked = named(&contracts).into_iter().map(|auditor| async move {
            let heard = tokio::time::timeout(PATIENCE, self.ask_auditor(auditor)).await;
            (auditor, heard.unwrap_or(Err(())))
        });
        let asked = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect::<Vec<_>>().await;
        let (mut standings, mut all) = (Vec::new(), true);
        for (auditor, heard) in asked {
            match heard {
                Ok(account) => standings.extend(self.hear(auditor, account).await),
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
    async fn ask_auditor(&self, auditor: DeviceId) -> Result<Option<Box<Account>>, ()> {
        let farmer = self.parts.device.id();
        let envelope = Envelope { certificate: None, request: Request::Standing { farmer } };
        match self.parts.net.ask(auditor, &envelope).await {
            Ok(Answer::Standing(account)) => Ok(account),
            _ => Err(()),
        }
    }

    /// Tells what is new in an account.
    async fn hear(&self, auditor: DeviceId, account: Option<Box<Account>>) -> Option<FarmerStanding> {
        let account = account?;
        let standing = shown::standing(auditor, &account);
        let Ok(mut told) = self.parts.store.warnings().await else { return Some(standing) };
        let warnings = told.hear(auditor, &account);
        let mut sentences = warnings.iter().map(|&warning| notices::of_warning(warning, &standing));
        // Where no front end listens, it is told later.
        let heard = sentences.all(|sentence| self.parts.events.send(Event::Notice(sentence)).is_ok());
        if heard && !warnings.is_empty() {
            let kept = self.parts.store.keep_warnings(&told).await;
            kept.unwrap_or_else(|error| tracing::warn!(%error, "what was told could not be kept"));
        }
        Some(standing)
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

#[cfg(test)]
mod tests {
    use hayloft_core::{
        Amount, ContractId, OwnerId, Signature, Timestamp,
        contract::{SignedTerms, Terms},
    };

    use super::*;

    fn contract(auditor: u8, bytes: u64, shards: u64) -> Contract {
        let terms = Terms {
            network: "here".parse().expect("a name"),
            owner: OwnerId([1; 32]),
            farmer: DeviceId([2; 32]),
            start: Timestamp(0),
            epoch_seconds: 86_400,
            storage_price: Amount(0),
            egress_price: Amount(0),
            audit_share_ppm: 0,
            auditor: Some(DeviceId([auditor; 32])),
            escrow: None,
            grace_seconds: 0,
            nonce: [auditor; 32],
        };
        let signed = Signature([0; 64]);
        Contract {
            id: ContractId([auditor; 32]),
            terms: SignedTerms { terms, owner: signed, farmer: signed },
            revision: None,
            shards,
            bytes,
        }
    }

    #[test]
    fn auditors_of_many_small_contracts_do_not_make_those_of_a_large_one_unheard() {
        let mut contracts: Vec<Contract> = (0..200).map(|auditor| contract(auditor, 10, 1)).collect();
        contracts.extend([contract(250, 6, 1), contract(250, 6, 1), contract(251, 1000, 0)]);
        let asked = named(&contracts);
        assert_eq!(asked.len(), MAX_AUDITORS);
        assert_eq!(asked[0], DeviceId([250; 32]));
        assert!(!asked.contains(&DeviceId([251; 32])), "nothing is kept that it judges");
    }
}
