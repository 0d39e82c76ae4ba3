//! An auditor that dies while it gives a farmer data of its own, at each stage of audits and reads, and while it takes the data
//! back: opened again, it goes on with the same contract, and no audit is counted twice or lost.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use hayloft_core::{
    DeviceId,
    audit::Epoch,
    score::{Kind, Standing},
    settlement::Verdict,
};
use hayloft_net::messages::Answer;

use super::bench::network;
use crate::{
    Clock, Node, NodeOptions, Timestamp,
    crash::{OF_THE_AUDITOR, scene},
    model::FarmSettings,
};

const NAME: &str = "auditor::tests::crash::an_auditor_that_dies_at_any_stage_counts_each_audit_once";
pub(super) const HOUR: u64 = 3600;
const HOURS: u64 = 3 * 24;

/// An auditor and a farmer on a folder, and how many hours were lived there.
struct Scene {
    folder: PathBuf,
    clock: Clock,
    farmer: Node,
    auditor: Node,
}

pub(super) fn hours(folder: &Path) -> u64 {
    std::fs::read(folder.join("hours")).map_or(0, |marks| marks.len() as u64)
}

/// One more hour was lived.
pub(super) fn mark(folder: &Path) {
    let marks = File::options().append(true).create(true).open(folder.join("hours"));
    marks.and_then(|mut marks| marks.write_all(b".")).expect("a mark can be written");
}

/// When the scene began.
pub(super) fn start(folder: &Path) -> Timestamp {
    let path = folder.join("start");
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Timestamp(text.parse().expect("a number"));
    }
    let now = Clock::system().now();
    std::fs::write(&path, now.0.to_string()).expect("written");
    now
}

impl Scene {
    async fn open(folder: PathBuf) -> Self {
        let clock = Clock::by_hand(start(&folder).plus_seconds(hours(&folder) * HOUR));
        let options = |home: &str, bootstrap| NodeOptions {
            home: folder.join(home),
            network: Some(network()),
            listen: vec!["/memory/0".into()],
            memory: true,
            bootstrap,
            disk_guard_bytes: Some(0),
            clock: clock.clone(),
            ..NodeOptions::default()
        };
        let farm = FarmSettings { enabled: true, quota_bytes: 1 << 30, ..FarmSettings::default() };
        let farmer = Node::open(NodeOptions { farm: Some(farm), ..options("farmer", Vec::new()) }).await;
        let farmer = farmer.expect("opens");
        let bootstrap = farmer.status().await.expect("a status").addresses;
        let judges = NodeOptions { audit: Some(true), vet: Some(false), ..options("auditor", bootstrap) };
        let auditor = Node::open(judges).await.expect("opens");
        auditor.auditor_for_tests().meet_farmer_for_tests().await;
        Self { folder, clock, farmer, auditor }
    }

    /// Hours in which everything that is due happens, up to the end.
    async fn play(&self) {
        let auditor = self.auditor.auditor_for_tests();
        while hours(&self.folder) < HOURS {
            auditor.vet_for_tests().await;
            auditor.work().await;
            mark(&self.folder);
            self.clock.advance(HOUR);
        }
    }

    async fn each_audit_counts_once(&self) {
        let auditor = self.auditor.auditor_for_tests();
        let contracts = self.farmer.farm_status().await.expect("a status").contracts;
        let plantings = auditor.plantings_for_tests().await;
        assert!(contracts.len() == 1 && plantings.len() == 1 && plantings[0].planted, "{plantings:?}");
        assert_eq!(contracts[0].contract, plantings[0].terms.id().to_string());
        let verdicts = auditor.verdicts_for_tests(plantings[0].terms.id()).await;
        let judged: Vec<(Epoch, Verdict)> =
            verdicts.iter().rev().map(|one| (one.judgement.epoch, one.judgement.verdict)).collect();
        let passed: Vec<(Epoch, Verdict)> =
            (0..judged.len() as u64).map(|epoch| (Epoch(epoch), Verdict::Passed)).collect();
        assert!(judged.len() >= 2 && judged == passed, "{judged:?}");
        let device: DeviceId =
            self.farmer.status().await.expect("a status").device.parse().expect("a device");
        let Answer::Standing(Some(account)) = auditor.told_for_tests(device).await else {
            panic!("the farmer is known");
        };
        assert_eq!((account.passed, account.standing), (judged.len() as u64, Standing::Good));
        let service = account.scores.iter().find(|score| score.kind == Kind::Service);
        assert!(service.is_none_or(|score| score.value_ppm.is_none_or(|value| value == 1_000_000)));
    }

    /// What the auditor stored is taken back, and nothing of it is audited from then on.
    async fn the_farmer_has_left(&self) {
        let auditor = self.auditor.auditor_for_tests();
        let contracts = self.farmer.farm_status().await.expect("a status").contracts;
        for _ in 0..HOURS {
            self.clock.advance(HOUR);
            auditor.vet_for_tests().await;
            auditor.work().await;
        }
        let status = self.farmer.farm_status().await.expect("a status");
        assert_eq!(status.leaving.expect("it leaves").shards, 0);
        assert!(auditor.plantings_for_tests().await.is_empty());
        for contract in contracts {
            let contract = contract.contract.parse().expect("an id");
            let verdicts = auditor.verdicts_for_tests(contract).await;
            assert!(verdicts.iter().all(|one| one.judgement.verdict == Verdict::Passed), "{verdicts:?}");
        }
    }
}

#[test]
fn an_auditor_that_dies_at_any_stage_counts_each_audit_once() {
    scene::dies_at_each(NAME, OF_THE_AUDITOR.iter().copied(), async |folder: PathBuf| {
        let scene = Scene::open(folder).await;
        scene.play().await;
        let leaving = scene.farmer.farm_status().await.expect("a status").leaving;
        if leaving.is_none() {
            scene.each_audit_counts_once().await;
            scene.farmer.farm_leave(true).await.expect("leaves");
        }
        scene.the_farmer_has_left().await;
        for node in [&scene.auditor, &scene.farmer] {
            node.shutdown().await.expect("closes");
        }
    });
}
