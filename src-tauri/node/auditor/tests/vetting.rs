//! An auditor's own data with a real farmer: it is stored by somebody whom nobody knows, and what is proved of it counts.

use hayloft_core::{
    Amount, DeviceId,
    auditor::record::Account,
    keys::DeviceKey,
    record::FarmerRecord,
    score::{Kind, Observation, Standing},
};
use hayloft_net::{
    Net, NetConfig,
    limits::PROGRESS_TIMEOUT,
    messages::{Answer, Envelope, Offered, Request},
};

use super::bench::{DAY, START, network};
use crate::{Clock, Node, NodeOptions, model::FarmSettings};

struct Pair {
    clock: Clock,
    farmer_home: tempfile::TempDir,
    farmer: Node,
    auditor_home: tempfile::TempDir,
    auditor: Node,
}

fn options(home: &tempfile::TempDir, clock: &Clock) -> NodeOptions {
    NodeOptions {
        home: home.path().to_owned(),
        network: Some(network()),
        listen: vec!["/memory/0".into()],
        memory: true,
        disk_guard_bytes: Some(0),
        clock: clock.clone(),
        ..NodeOptions::default()
    }
}

/// An auditor whose looks are a test's.
async fn auditor(home: &tempfile::TempDir, clock: &Clock, farmer: &Node) -> Node {
    let bootstrap = farmer.status().await.expect("a status").addresses;
    let options = NodeOptions { audit: Some(true), vet: Some(false), bootstrap, ..options(home, clock) };
    let node = Node::open(options).await.expect("opens");
    node.auditor_for_tests().meet_farmer_for_tests().await;
    node
}

impl Pair {
    async fn new(storage_price: u64) -> Self {
        let clock = Clock::by_hand(*START);
        let [farmer_home, auditor_home] = std::array::from_fn(|_| tempfile::tempdir().expect("temp dir"));
        let farm =
            FarmSettings { enabled: true, quota_bytes: 1 << 30, storage_price, ..FarmSettings::default() };
        let farmer = Node::open(NodeOptions { farm: Some(farm), ..options(&farmer_home, &clock) }).await;
        let farmer = farmer.expect("opens");
        let auditor = auditor(&auditor_home, &clock, &farmer).await;
        Self { clock, farmer_home, farmer, auditor_home, auditor }
    }

    /// Days in which everything that is due happens.
    async fn pass(&self, days: u64) {
        let auditor = self.auditor.auditor_for_tests();
        for _ in 0..days * 24 {
            self.clock.advance(DAY / 24);
            auditor.work().await;
            auditor.vet_for_tests().await;
        }
    }

    async fn account(&self) -> Account {
        let farmer: DeviceId =
            self.farmer.status().await.expect("a status").device.parse().expect("a device");
        match self.auditor.auditor_for_tests().told_for_tests(farmer).await {
            Answer::Standing(Some(account)) => *account,
            other => panic!("{other:?}"),
        }
    }

    fn lose_everything(&self) {
        for folder in std::fs::read_dir(self.farmer_home.path().join("shards")).expect("a folder").flatten() {
            let shards = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
            for shard in shards.filter(|shard| shard.file_name().len() == 64) {
                std::fs::remove_file(shard.path()).expect("removed");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audits_of_vetting_data_count_in_public_and_reads_of_it_are_scored_apart() {
    let pair = Pair::new(0).await;
    pair.auditor.auditor_for_tests().vet_for_tests().await;
    let contracts = pair.farmer.farm_status().await.expect("a status").contracts;
    assert_eq!(contracts.len(), 1);
    assert!((1..=3).contains(&contracts[0].shards), "{contracts:?}");
    let status = pair.auditor.status().await.expect("a status");
    assert!(status.owner.is_none() && contracts[0].owner != status.device, "no owner that anybody knows");
    pair.pass(4).await;
    let account = pair.account().await;
    assert!(account.passed >= 3, "{account:?}");
    let value = |account: &Account, kind: Kind| {
        account.scores.iter().find(|score| score.kind == kind).and_then(|score| score.value_ppm)
    };
    assert_eq!(value(&account, Kind::Audits), Some(1_000_000), "passes of an owner's data would not count");
    assert_eq!(value(&account, Kind::Service), Some(1_000_000));
    assert_eq!(pair.farmer.farm_status().await.expect("a status").contracts.len(), 1, "one is enough");
    pair.lose_everything();
    pair.pass(4).await;
    let account = pair.account().await;
    // A farmer that is read before it is audited notices its loss and says so, which costs less than failed audits.
    let audits = account.scores.iter().find(|score| score.kind == Kind::Audits).expect("a score");
    let admitted = audits.fall.is_some_and(|fall| fall.over == Observation::ReportedLoss);
    let suspended = matches!(account.standing, Standing::Suspended { over: Kind::Audits, .. });
    assert!(audits.value_ppm < audits.limit_ppm && (suspended || admitted), "{account:?}");
    assert!(value(&account, Kind::Service) < Some(1_000_000), "{account:?}");
    for node in [&pair.auditor, &pair.farmer] {
        node.shutdown().await.expect("closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planting_that_was_begun_goes_on_after_a_restart_as_the_same_contract() {
    let mut pair = Pair::new(0).await;
    pair.auditor.auditor_for_tests().begin_planting_for_tests().await;
    assert!(pair.farmer.farm_status().await.expect("a status").contracts.is_empty());
    pair.auditor.shutdown().await.expect("closes");
    pair.auditor = auditor(&pair.auditor_home, &pair.clock, &pair.farmer).await;
    let before = pair.auditor.auditor_for_tests().plantings_for_tests().await;
    assert_eq!(before.len(), 1);
    pair.auditor.auditor_for_tests().vet_for_tests().await;
    let contracts = pair.farmer.farm_status().await.expect("a status").contracts;
    let contracts: Vec<String> = contracts.into_iter().map(|contract| contract.contract).collect();
    assert_eq!(contracts, [before[0].terms.id().to_string()]);
    // Signed by the farmer, and not yet written down here: it is found again.
    pair.auditor.auditor_for_tests().forget_planted_for_tests().await;
    pair.auditor.auditor_for_tests().vet_for_tests().await;
    assert_eq!(pair.farmer.farm_status().await.expect("a status").contracts.len(), 1);
    assert!(pair.auditor.auditor_for_tests().plantings_for_tests().await[0].planted);
    for node in [&pair.auditor, &pair.farmer] {
        node.shutdown().await.expect("closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_that_leaves_gets_rid_of_vetting_data_and_one_that_stays_after_all_is_given_some_anew() {
    let pair = Pair::new(0).await;
    pair.auditor.auditor_for_tests().vet_for_tests().await;
    let shards = async || {
        let contracts = pair.farmer.farm_status().await.expect("a status").contracts;
        contracts.iter().map(|contract| contract.shards).sum::<u64>()
    };
    assert!(shards().await > 0);
    pair.farmer.farm_leave(true).await.expect("leaves");
    pair.pass(2).await;
    assert_eq!(shards().await, 0, "an owner that nobody can ask would hold it up until the end");
    assert!(pair.auditor.auditor_for_tests().plantings_for_tests().await.is_empty());
    let account = pair.account().await;
    assert_eq!(account.standing, Standing::Good, "leaving is no failure");
    pair.farmer.farm_leave(false).await.expect("stays");
    let accepts = async {
        while shards().await == 0 {
            pair.auditor.auditor_for_tests().look_for_tests().await;
            pair.auditor.auditor_for_tests().vet_for_tests().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), accepts).await.expect("it is vetted again");
    for node in [&pair.auditor, &pair.farmer] {
        node.shutdown().await.expect("closes");
    }
}

/// A farmer that shows an offer, is known to the auditor, and answers nothing else.
async fn stalled(auditor: &Node, clock: &Clock) -> Net {
    let key = DeviceKey::random(&mut rand::rng());
    let config = NetConfig { memory: true, listen: vec!["/memory/0".into()], ..NetConfig::new(network()) };
    let (net, mut incoming) = Net::start(config, &key).await.expect("starts");
    net.announce_farmer(true);
    let record = FarmerRecord {
        network: network(),
        device: key.id(),
        protocol: 1,
        accepting: true,
        free_bytes: 1 << 30,
        storage_price: Amount(0),
        egress_price: Amount(0),
        operator: None,
        country: None,
        leaves: None,
        at: clock.now(),
        expires: clock.now().plus_seconds(600),
    };
    let record = record.sign(&key);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(inbound) = incoming.next().await {
            if inbound.envelope.request == Request::Offer {
                let offered = Offered { farmer: Some(record.clone()), auditor: None };
                tokio::spawn(inbound.answer(Answer::Offer(Box::new(offered))));
            } else {
                unanswered.push(inbound);
            }
        }
    });
    let status = auditor.status().await.expect("a status");
    let device = status.device.parse().expect("a device");
    net.hint(device, &status.addresses);
    let auditor = auditor.auditor_for_tests();
    let known = auditor.knows_for_tests(net.local_id());
    let offer = Envelope { certificate: None, request: Request::Offer };
    tokio::pin!(known);
    while futures::poll!(known.as_mut()).is_pending() {
        // Whom one asks knows one from then on.
        let _ = net.ask(device, &offer).await;
    }
    net
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_that_never_answers_keeps_no_other_waiting_for_its_first_data() {
    let pair = Pair::new(0).await;
    let net = stalled(&pair.auditor, &pair.clock).await;
    let auditor = pair.auditor.auditor_for_tests();
    auditor.begin_planting_with_for_tests(net.local_id()).await;
    let mut news = pair.farmer.subscribe();
    let planted = async {
        while pair.farmer.farm_status().await.expect("a status").contracts.is_empty() {
            let _ = news.recv().await;
        }
    };
    let begun = tokio::time::Instant::now();
    tokio::select! {
        () = auditor.vet_for_tests() => panic!("the other one never answers"),
        () = planted => assert!(begun.elapsed() < PROGRESS_TIMEOUT, "sooner than the silent one is given up"),
    }
    net.shutdown().await;
    for node in [&pair.auditor, &pair.farmer] {
        node.shutdown().await.expect("closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn farmers_who_want_money_are_not_vetted_yet() {
    let pair = Pair::new(7).await;
    pair.auditor.auditor_for_tests().vet_for_tests().await;
    assert!(pair.auditor.auditor_for_tests().plantings_for_tests().await.is_empty());
    for node in [&pair.auditor, &pair.farmer] {
        node.shutdown().await.expect("closes");
    }
}
