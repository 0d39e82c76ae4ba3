//! Farmers are found by whoever knows one node, and again after that node died.

use std::{collections::BTreeSet, time::Duration};

use hayloft_core::{
    DeviceId, Timestamp,
    keys::DeviceKey,
    record::{FarmerRecord, MAX_OPERATOR_BYTES, SignedFarmerRecord},
};
use hayloft_net::{Net, NetConfig, Remembered, Source, messages::Answer};
use tokio::sync::mpsc;

use crate::network::{Farmer, PATIENCE, finds, joined_by, memory, network, new_key, quic, record, start};

async fn farmers(count: usize, config: NetConfig) -> Vec<Farmer> {
    let mut farmers = Vec::new();
    for _ in 0..count {
        farmers.push(Farmer::start(config.clone()).await);
    }
    farmers
}

#[tokio::test]
async fn a_node_whose_bootstrap_knows_nobody_else_finds_the_one_remembered_peer_that_is_there() {
    let (alone, _incoming) = start(quic(&network())).await;
    let farmer = Farmer::start(quic(&network())).await;
    // More that are gone than are dialled at once, all seen later.
    let gone = |port: u16| Remembered {
        device: new_key().id(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{port}")],
    };
    let there = Remembered { device: farmer.id(), addresses: farmer.net.addresses() };
    let remembered = (1..=30).map(gone).chain([there]).collect();
    let (node, _incoming) = start(NetConfig { remembered, ..joined_by(quic(&network()), &alone) }).await;
    let connected = async {
        while node.address_of(farmer.id()).is_none() {
            tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.unwrap_err();
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.expect("it is not content with its bootstrap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_farmers_are_found_by_the_bootstrap_address_alone() {
    let (bootstrap, _incoming) = start(quic(&network())).await;
    let farmers = farmers(12, joined_by(quic(&network()), &bootstrap)).await;
    let (owner, _) = start(joined_by(quic(&network()), &bootstrap)).await;
    finds(&owner, &farmers).await;
    for candidate in owner.farmers() {
        assert_eq!(candidate.address, Some([127, 0, 0, 1].into()));
        assert_eq!(candidate.record.record.device, candidate.device);
        assert!(!candidate.sources.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn farmers_that_only_ask_the_dht_are_found_like_any_other() {
    let (bootstrap, _incoming) = start(memory(&network())).await;
    let asks = NetConfig { serves_dht: false, ..joined_by(memory(&network()), &bootstrap) };
    let farmers = farmers(12, asks).await;
    let (owner, _) = start(joined_by(memory(&network()), &bootstrap)).await;
    finds(&owner, &farmers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_farmers_that_know_only_a_farmer_are_found_after_the_bootstrap_died() {
    let (bootstrap, _incoming) = start(quic(&network())).await;
    let mut all = farmers(4, joined_by(quic(&network()), &bootstrap)).await;
    let (owner, _) = start(joined_by(quic(&network()), &bootstrap)).await;
    finds(&owner, &all).await;
    bootstrap.shutdown().await;
    let latecomers = farmers(4, joined_by(quic(&network()), &all[0].net)).await;
    all.extend(latecomers);
    finds(&owner, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn farmers_are_heard_of_by_more_than_one_source() {
    let (bootstrap, _incoming) = start(memory(&network())).await;
    let farmers = farmers(5, joined_by(memory(&network()), &bootstrap)).await;
    let (owner, _) = start(joined_by(memory(&network()), &bootstrap)).await;
    finds(&owner, &farmers).await;
    let mut changes = owner.farmers_changed();
    let heard = async {
        loop {
            let sources: BTreeSet<_> = owner.farmers().into_iter().flat_map(|found| found.sources).collect();
            let buckets = sources.iter().any(|source| matches!(source, Source::Bucket(_)));
            if buckets && sources.iter().any(|source| matches!(source, Source::Walk(_))) {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("walks and buckets name farmers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remembered_peers_lead_back_into_the_network() {
    let (bootstrap, _incoming) = start(quic(&network())).await;
    let farmers = farmers(3, joined_by(quic(&network()), &bootstrap)).await;
    let (owner, _) = start(joined_by(quic(&network()), &bootstrap)).await;
    finds(&owner, &farmers).await;
    let remembered = owner.remembered();
    assert!(remembered.len() >= 3 && remembered.iter().all(|peer| !peer.addresses.is_empty()));
    owner.shutdown().await;
    bootstrap.shutdown().await;
    let (again, _) = start(NetConfig { remembered, ..quic(&network()) }).await;
    finds(&again, &farmers).await;
}

/// What is wrong with a record, and the record of a farmer with this key.
type BadRecord = (&'static str, fn(&DeviceKey) -> SignedFarmerRecord);

fn changed(key: &DeviceKey, change: impl FnOnce(&mut FarmerRecord)) -> SignedFarmerRecord {
    let mut record = record(&network(), key).record;
    change(&mut record);
    record.sign(key)
}

const BAD_RECORDS: [BadRecord; 8] = [
    ("another device's", |_| record(&network(), &new_key())),
    ("signed by another", |key| {
        let forged = changed(&new_key(), |record| record.device = key.id());
        SignedFarmerRecord { signature: forged.signature, ..record(&network(), key) }
    }),
    ("changed after it was signed", |key| {
        let mut signed = record(&network(), key);
        signed.record.free_bytes += 1;
        signed
    }),
    ("of another network", |key| record(&"elsewhere".parse().unwrap(), key)),
    ("stale", |key| {
        changed(key, |record| (record.at, record.expires) = (Timestamp(1_000), Timestamp(1_600)))
    }),
    ("of tomorrow", |key| {
        changed(key, |record| {
            record.at = record.at.plus_seconds(86_400);
            record.expires = record.at.plus_seconds(600);
        })
    }),
    ("valid for too long", |key| changed(key, |record| record.expires = record.at.plus_seconds(86_400))),
    ("with a name too long", |key| {
        changed(key, |record| record.operator = Some("x".repeat(MAX_OPERATOR_BYTES + 1)))
    }),
];

/// A farmer that shows a bad record, and tells who asked for it.
async fn bad_farmer(
    bad: BadRecord,
    config: NetConfig,
    asked: &mpsc::Sender<(&'static str, DeviceId)>,
) -> Net {
    let key = new_key();
    let (net, mut incoming) = Net::start(config, &key).await.unwrap();
    net.announce_farmer(true);
    let (asked, (what, record)) = (asked.clone(), bad);
    tokio::spawn(async move {
        while let Some(inbound) = incoming.next().await {
            let from = inbound.from;
            let _ = inbound.answer(Answer::Offer(Box::new(record(&key).into()))).await;
            let _ = asked.send((what, from)).await;
        }
    });
    net
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn farmers_with_foreign_forged_stale_or_oversized_records_are_no_candidates() {
    let honest = Farmer::start(memory(&network())).await;
    let config = joined_by(memory(&network()), &honest.net);
    let (asked, mut were_asked) = mpsc::channel(100);
    let mut liars = Vec::new();
    for bad in BAD_RECORDS {
        liars.push(bad_farmer(bad, config.clone(), &asked).await);
    }
    let (owner, _) = start(config).await;
    finds(&owner, std::slice::from_ref(&honest)).await;
    let mut waited_for: BTreeSet<_> = BAD_RECORDS.iter().map(|(what, _)| *what).collect();
    let all = async {
        while !waited_for.is_empty() {
            let (what, from) = were_asked.recv().await.unwrap();
            if from == owner.local_id() {
                waited_for.remove(what);
            }
        }
    };
    let all = tokio::time::timeout(PATIENCE, all).await;
    assert!(all.is_ok(), "never asked for: {waited_for:?}");
    // Ends when nobody new has turned up in several rounds.
    let known = owner.find_farmers(1 + liars.len(), PATIENCE).await;
    assert_eq!(known.into_iter().map(|found| found.device).collect::<Vec<_>>(), [honest.id()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn farmer_that_stops_farming_is_not_asked_for_by_others() {
    let (bootstrap, _incoming) = start(memory(&network())).await;
    let farmer = Farmer::start(joined_by(memory(&network()), &bootstrap)).await;
    let (owner, _) = start(joined_by(memory(&network()), &bootstrap)).await;
    finds(&owner, std::slice::from_ref(&farmer)).await;
    farmer.net.announce_farmer(false);
    owner.forget_farmer(farmer.id());
    assert!(owner.farmers().is_empty());
    let (late, _) = start(joined_by(memory(&network()), &bootstrap)).await;
    assert!(late.find_farmers(1, Duration::from_secs(2)).await.is_empty());
}

#[tokio::test]
async fn lonely_node_keeps_trying_until_its_bootstrap_node_is_there() {
    let (early, _) = start(quic(&network())).await;
    let address = early.addresses();
    let key = new_key();
    early.shutdown().await;
    let listen = vec![address[0].split("/p2p/").next().unwrap().to_owned()];
    let bootstrap = vec![listen[0].clone()];
    let farmer = Farmer::start(NetConfig { bootstrap, ..quic(&network()) }).await;
    let (late, _incoming) = Net::start(NetConfig { listen, ..quic(&network()) }, &key).await.unwrap();
    finds(&late, std::slice::from_ref(&farmer)).await;
}
