//! Farmers are found by whoever knows one node, and again after that node died.

use std::{collections::BTreeSet, time::Duration};

use hayloft_net::{Net, NetConfig, Source, messages::Answer};

use crate::network::{Farmer, PATIENCE, finds, joined_by, memory, network, new_key, quic, record, start};

async fn farmers(count: usize, config: NetConfig) -> Vec<Farmer> {
    let mut farmers = Vec::new();
    for _ in 0..count {
        farmers.push(Farmer::start(config.clone()).await);
    }
    farmers
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn farmer_with_a_foreign_record_is_no_candidate() {
    let (liar, mut incoming) = start(memory(&network())).await;
    liar.announce_farmer(true);
    let honest = Farmer::start(joined_by(memory(&network()), &liar)).await;
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(100);
    tokio::spawn(async move {
        while let Some(inbound) = incoming.next().await {
            let _ = inbound.answer(Answer::Offer(Box::new(record(&network(), &new_key())))).await;
            let _ = asked.try_send(());
        }
    });
    let (owner, _) = start(joined_by(memory(&network()), &liar)).await;
    finds(&owner, std::slice::from_ref(&honest)).await;
    tokio::time::timeout(PATIENCE, was_asked.recv()).await.unwrap().unwrap();
    finds(&owner, std::slice::from_ref(&honest)).await;
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
