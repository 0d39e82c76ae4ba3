//! What tests may do with an auditor beyond what the network lets anybody do.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use hayloft_core::{ContractId, DeviceId, ShardId};
use hayloft_net::{NetError, messages::Answer};
use hayloft_store::{auditor::Judged, plantings::Planting};

use super::super::{AT_ONCE, Auditor, asking::Asking};

impl Auditor {
    /// Makes the brake hold for the round that runs.
    pub(crate) async fn brake_for_tests(&self) {
        let mut books = self.shared.books.lock().await;
        for number in 0..20 {
            books.saw_for_tests(DeviceId([number; 32]), true);
        }
    }

    /// Looks for other auditors until one is found.
    pub(crate) async fn meet_for_tests(&self) {
        let net = &self.shared.parts.net;
        while net.auditors().is_empty() {
            net.find_auditors(1, Duration::from_millis(200)).await;
        }
    }

    /// Looks for farmers until one is found.
    pub(crate) async fn meet_farmer_for_tests(&self) {
        let net = &self.shared.parts.net;
        let found = async {
            while net.farmers().is_empty() {
                net.find_farmers(1, Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.expect("a farmer is found");
    }

    /// Looks for farmers, once.
    pub(crate) async fn look_for_tests(&self) {
        self.shared.parts.net.find_farmers(usize::MAX, Duration::from_millis(200)).await;
    }

    /// Looks for farmers until this one is found.
    pub(crate) async fn knows_for_tests(&self, farmer: DeviceId) {
        let net = self.shared.parts.net.clone();
        let found = async {
            while !net.farmers().iter().any(|found| found.device == farmer) {
                net.find_farmers(usize::MAX, Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.expect("the farmer is found");
    }

    /// What it tells anybody of a farmer.
    pub(crate) async fn told_for_tests(&self, farmer: DeviceId) -> Answer {
        self.shared.standing(farmer).await.expect("told")
    }

    /// Writes down a planting, and dies before anything is said to the farmer.
    pub(crate) async fn begin_planting_for_tests(&self) {
        self.begin_planting_with_for_tests(self.shared.parts.net.farmers()[0].device).await;
    }

    /// The same, with this farmer.
    pub(crate) async fn begin_planting_with_for_tests(&self, farmer: DeviceId) {
        let (store, found) = (self.shared.parts.store.auditor(), self.shared.parts.net.farmers());
        let seed = store.vetting_seed([5; 32]).await.expect("a seed");
        let found = found.iter().find(|found| found.device == farmer).expect("it is found");
        store.begin_planting(&self.shared.begun(&seed, found)).await.expect("written");
    }

    /// The plantings there are.
    pub(crate) async fn plantings_for_tests(&self) -> Vec<Planting> {
        self.shared.parts.store.auditor().plantings().await.expect("the books are read")
    }

    /// As if it had died before it wrote down that its plantings stand.
    pub(crate) async fn forget_planted_for_tests(&self) {
        let store = self.shared.parts.store.auditor();
        for planting in store.plantings().await.expect("the books are read") {
            store.forget_planting(planting.id).await.expect("written");
            store.begin_planting(&planting).await.expect("written");
        }
    }

    /// One look of vetting, now.
    pub(crate) async fn vet_for_tests(&self) {
        self.shared.vet().await.expect("the books are read");
    }

    /// Observations of a farmer that are held back.
    pub(crate) async fn held_for_tests(&self, farmer: DeviceId) -> usize {
        let known = self.shared.parts.store.auditor().farmer(farmer).await.expect("the books are read");
        known.map_or(0, |known| known.record.held())
    }

    /// What a contract's farmer says it lost: asked as always, and asked when no answer counts any more.
    pub(crate) async fn lost_for_tests(&self, contract: ContractId) -> [Result<Vec<ShardId>, NetError>; 2] {
        let followed =
            self.shared.parts.store.auditor().followed(contract).await.expect("the books are read");
        let asking = self.shared.asking(&followed.expect("it is followed"));
        let late = Asking { until: tokio::time::Instant::now(), ..asking.clone() };
        [asking.lost().await, late.lost().await]
    }

    /// Does now all that is due.
    pub(crate) async fn work(&self) {
        self.shared.turn().await.expect("the books are written");
        let store = self.shared.parts.store.auditor();
        loop {
            let due = store.due(self.shared.parts.clock.now(), 1000).await.expect("the books are read");
            if due.is_empty() {
                return;
            }
            let works = stream::iter(due).map(|(contract, _)| self.shared.work_at(contract));
            let mut works = works.buffer_unordered(AT_ONCE);
            while let Some(worked) = works.next().await {
                worked.expect("the books are written");
            }
        }
    }

    /// All verdicts on a contract, the newest first.
    pub(crate) async fn verdicts_for_tests(&self, contract: ContractId) -> Vec<Judged> {
        let store = self.shared.parts.store.auditor();
        store.verdicts(contract, None, 1000).await.expect("the books are read")
    }
}
