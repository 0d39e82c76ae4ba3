//! A node's life: opening, closing, opening again; one node per home; a node that only helps others to meet.

use hayloft_core::contract::quota_bytes;
use hayloft_net::{
    NetError,
    messages::{RefusalCode, Request},
};

use super::bench::{Bench, MIB, PATIENCE, network, noise, offering, refused};
use crate::{
    Node, NodeOptions,
    model::{ErrorCode, FarmSettings, Protection},
};

fn options(home: &tempfile::TempDir) -> NodeOptions {
    NodeOptions {
        home: home.path().to_owned(),
        network: Some(network()),
        listen: vec!["/memory/0".into()],
        memory: true,
        disk_guard_bytes: Some(0),
        ..NodeOptions::default()
    }
}

async fn fails(options: NodeOptions) -> crate::model::ApiError {
    Node::open(options).await.map(|_| ()).expect_err("must not open")
}

#[tokio::test]
async fn farmer_keeps_everything_over_a_restart() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut owner = bench.owner().await;
    let bytes = noise(100_000);
    let (state, id) = owner.stored(&bytes).await;
    let device = bench.node.status().await.expect("status").device;
    let bench = bench.restart().await;
    owner.meet(&bench).await;
    assert_eq!(bench.node.status().await.expect("status").device, device);
    assert_eq!(owner.download(state.contract(), id, 0, 100_000).await.expect("read"), bytes);
    let farm = bench.node.farm_status().await.expect("status");
    assert_eq!((farm.settings, farm.used_bytes), (offering(64 * MIB), quota_bytes(100_000)));
    let removal = owner.propose(&state, Vec::new(), vec![id]);
    owner.revise(&state, &removal).await.expect("the history goes on");
}

#[tokio::test]
async fn farmer_whose_database_is_an_older_copy_keeps_everything_and_says_so() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut owner = bench.owner().await;
    let (first, second) = (noise(100_000), noise(90_000));
    let (state, id) = owner.stored(&first).await;
    let bench =
        bench.restart_after(|home| drop(std::fs::copy(home.join("hayloft.db"), home.join("old")))).await;
    owner.meet(&bench).await;
    let (later, later_id) = owner.stored(&second).await;
    let removal = owner.propose(&state, Vec::new(), vec![id]);
    let state = owner.revise(&state, &removal).await.expect("removed");
    let bench =
        bench.restart_after(|home| drop(std::fs::copy(home.join("old"), home.join("hayloft.db")))).await;
    owner.meet(&bench).await;
    assert_eq!(owner.download(later.contract(), later_id, 0, 90_000).await.expect("read"), second);
    owner.download(state.contract(), id, 0, 1).await.expect_err("what was removed stays removed");
    let status = bench.node.status().await.expect("status");
    assert!(status.notices.iter().any(|notice| notice.contains("older copy")), "{:?}", status.notices);
    assert_eq!(bench.node.farm_status().await.expect("status").used_bytes, quota_bytes(90_000));
    let removal = owner.propose(&later, Vec::new(), vec![later_id]);
    owner.revise(&later, &removal).await.expect("the history goes on");
    assert_eq!(bench.node.farm_status().await.expect("status").used_bytes, 0);
}

#[tokio::test]
async fn second_node_on_a_home_is_refused_with_a_sentence() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let error = fails(options(&bench.home)).await;
    assert!(error.message.starts_with("Another node is running on"), "{}", error.message);
    bench.node.shutdown().await.expect("closes");
    let again = Node::open(options(&bench.home)).await.expect("the home is free again");
    again.shutdown().await.expect("closes");
    again.shutdown().await.expect("closing twice is no error");
}

#[tokio::test]
async fn wrong_addresses_are_refused_with_a_sentence() {
    let home = tempfile::tempdir().expect("temp dir");
    let error = fails(NodeOptions { listen: vec!["nonsense".into()], ..options(&home) }).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert!(error.message.contains("nonsense"), "{}", error.message);
    for nobodys in ["127.0.0.1:80", "/ip4/127.0.0.1/tcp/4"] {
        let error = fails(NodeOptions { bootstrap: vec![nobodys.into()], ..options(&home) }).await;
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert!(error.message.contains(nobodys) && error.message.contains("/p2p/"), "{}", error.message);
    }
    let other = NodeOptions { network: Some("other".parse().expect("a name")), ..options(&home) };
    assert!(fails(other).await.message.contains("belongs to the network bench"));
}

#[tokio::test]
async fn a_node_that_keeps_nothing_has_nothing_to_leave_and_a_folder_that_is_not_there_is_not_made() {
    let bench = Bench::new(FarmSettings::default()).await;
    let refused = bench.node.farm_leave(true).await.expect_err("it does not farm");
    assert_eq!(refused.code, ErrorCode::BadRequest);
    assert!(bench.node.farm_status().await.expect("a status").leaving.is_none());

    let disk = tempfile::tempdir().expect("temp dir");
    let (there, missing) = (disk.path().join("there"), disk.path().join("typo"));
    let at = |folder: &std::path::Path| FarmSettings {
        folder: Some(folder.to_owned()),
        ..FarmSettings::default()
    };
    let refused = bench.node.farm_set(at(&missing)).await.expect_err("it is not there");
    assert!(refused.message.contains("typo") && !missing.exists(), "{}", refused.message);
    std::fs::create_dir(&there).expect("a folder can be made");
    let status = bench.node.farm_set(at(&there)).await.expect("it is there");
    assert_eq!(status.folder, there);
}

#[tokio::test]
async fn node_that_does_not_farm_makes_no_offer_and_has_no_files() {
    let bench = Bench::new(FarmSettings::default()).await;
    let owner = bench.owner().await;
    owner.ask(Request::Offer).await.expect_err("no farmer");
    let farm = bench.node.farm_status().await.expect("status");
    assert_eq!(farm.reason.as_deref(), Some("This computer does not offer space."));
    assert_eq!(bench.node.files().await.expect_err("nobody's").code, ErrorCode::NoIdentity);
    let status = bench.node.status().await.expect("status");
    assert!(!status.farming && status.owner.is_none());
    bench.set(|farm| farm.enabled = true).await;
    let found = tokio::time::timeout(PATIENCE, async {
        while owner.ask(Request::Offer).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    found.await.expect("farms from now on");
}

#[tokio::test]
async fn quota_beyond_the_disk_is_refused_and_nothing_changes() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let wish = offering(1 << 60);
    let error = bench.node.farm_set(wish).await.expect_err("no disk is that large");
    assert!(error.message.contains("can be offered"), "{}", error.message);
    let error = bench.node.farm_set(offering(5)).await.expect_err("too little");
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(bench.node.farm_status().await.expect("status").settings, offering(64 * MIB));
}

#[tokio::test]
async fn quota_below_what_is_kept_deletes_nothing() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(20 * MIB as usize)).await;
    bench.set(|farm| farm.quota_bytes = 16 * MIB).await;
    let farm = bench.node.farm_status().await.expect("status");
    assert_eq!((farm.used_bytes, farm.free_bytes, farm.accepting), (quota_bytes(20 * MIB), 0, false));
    refused(owner.reserve(state.contract(), 1).await, RefusalCode::NoSpace);
    owner.download(state.contract(), id, 0, MIB).await.expect("read");
}

#[tokio::test]
async fn locked_node_farms_and_opens_its_files_with_the_passphrase_only() {
    let home = tempfile::tempdir().expect("temp dir");
    let farm = Some(offering(64 * MIB));
    let node = Node::open(NodeOptions { farm, ..options(&home) }).await.expect("opens");
    let made = node.create_identity("hay", false).await.expect("made");
    assert_eq!(node.files().await.expect("unlocked"), []);
    assert_eq!(
        node.create_identity("hay", false).await.map(|_| ()).expect_err("once").code,
        ErrorCode::Exists
    );
    node.shutdown().await.expect("closes");
    drop(node);
    let node = Node::open(options(&home)).await.expect("opens");
    assert_eq!(node.files().await.expect_err("locked").code, ErrorCode::Locked);
    let owner = node.status().await.expect("status").owner.expect("an identity");
    assert_eq!((owner.owner, owner.unlocked, owner.protection), (made.owner, false, Protection::Passphrase));
    assert!(node.farm_status().await.expect("status").accepting, "farming needs no seed");
    assert_eq!(node.unlock("straw").await.expect_err("wrong").code, ErrorCode::Locked);
    node.unlock("hay").await.expect("unlocked");
    node.files().await.expect("listed");
    node.shutdown().await.expect("closes");
    drop(node);
    let wrong = NodeOptions { passphrase: Some("straw".into()), ..options(&home) };
    assert_eq!(fails(wrong).await.code, ErrorCode::Locked);
    let node =
        Node::open(NodeOptions { passphrase: Some("hay".into()), ..options(&home) }).await.expect("opens");
    node.files().await.expect("unlocked at once");
    node.shutdown().await.expect("closes");
}

#[tokio::test]
async fn peers_are_remembered_over_a_restart() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let home = tempfile::tempdir().expect("temp dir");
    let bootstrap = bench.node.status().await.expect("status").addresses;
    let node = Node::open(NodeOptions { bootstrap, ..options(&home) }).await.expect("opens");
    met(&node).await;
    node.shutdown().await.expect("closes");
    drop(node);
    let node = Node::open(options(&home)).await.expect("opens without a bootstrap address");
    met(&node).await;
    node.shutdown().await.expect("closes");
}

/// Waits until the node has met another one and knows that it is of its network.
async fn met(node: &Node) {
    let meeting = async {
        while node.remembered() == 0 || node.status().await.expect("status").peers == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, meeting).await.expect("meets another node");
}

#[tokio::test]
async fn front_ends_hear_of_changes_and_of_the_last_one_for_sure() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut news = bench.node.subscribe();
    for quota in 17..40 {
        bench.set(|farm| farm.quota_bytes = quota * MIB).await;
    }
    let mut last = 0;
    while last < 39 * MIB {
        let event = tokio::time::timeout(PATIENCE, news.recv()).await.expect("in time").expect("open");
        assert_eq!(event, crate::model::Event::StatusChanged);
        last = bench.node.farm_status().await.expect("status").settings.quota_bytes;
    }
}

#[tokio::test]
async fn a_farmer_that_ends_cuts_nothing_short_before_it_is_gone() {
    let bench = Bench::new(FarmSettings { upload_limit: Some(100_000), ..offering(64 * MIB) }).await;
    let owner = bench.owner().await;
    let bytes = noise(4 << 20);
    let (state, shard) = owner.stored(&bytes).await;
    let len = bytes.len() as u64;
    let request = Request::Download { contract: state.contract(), shard, offset: 0, bytes: len };
    let mut download = owner.net.download(owner.farmer, &owner.envelope(request)).await.expect("begins");
    download.next().await.expect("it flows");
    bench.node.stop_for_tests();
    let end = loop {
        match download.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("all of it came"),
            Err(error) => break error,
        }
    };
    assert_eq!(end, NetError::Unreachable(owner.farmer), "no fault of the farmer");
    bench.node.shutdown().await.expect("closes");
}
