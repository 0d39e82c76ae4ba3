//! Questions and answers, and who is refused.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use hayloft_core::DeviceId;
use hayloft_net::{
    Bounds, Fault, Net, NetConfig, NetError, StartError,
    messages::{Answer, RefusalCode, Request},
};

use crate::network::{
    Farmer, PATIENCE, joined_by, memory, network, new_key, offer, plain, quic, start, tcp, upload,
};

#[tokio::test]
async fn question_is_answered_over_every_transport() {
    for config in [quic, tcp, memory] {
        let farmer = Farmer::start(config(&network())).await;
        let (owner, _) = start(config(&network())).await;
        owner.hint(farmer.id(), &farmer.net.addresses());
        let answer = owner.ask(farmer.id(), &offer()).await.unwrap();
        assert!(matches!(answer, Answer::Offer(offered)
            if offered.farmer.as_ref().is_some_and(|record| record.record.device == farmer.id())));
    }
}

#[tokio::test]
async fn who_does_not_answer_over_quic_is_reached_over_tcp() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let farmer = Farmer::start(tcp(&network())).await;
    let (owner, _) = start(quic(&network())).await;
    let mut addresses = farmer.net.addresses();
    addresses.push(format!("/ip4/127.0.0.1/udp/{}/quic-v1", silent.local_addr().unwrap().port()));
    owner.hint(farmer.id(), &addresses);
    assert!(matches!(owner.ask(farmer.id(), &offer()).await, Ok(Answer::Offer(_))));
}

#[tokio::test]
async fn requests_that_arrive_in_the_same_instant_are_all_answered() {
    for config in [quic, tcp, memory] {
        let farmer = Farmer::start(config(&network())).await;
        let mut owners = Vec::new();
        for _ in 0..3 {
            let (owner, _) = start(config(&network())).await;
            owner.hint(farmer.id(), &farmer.net.addresses());
            owner.ask(farmer.id(), &offer()).await.unwrap();
            owners.push(owner);
        }
        let question = offer();
        let asking = owners.iter().flat_map(|owner| (0..16).map(|_| owner.ask(farmer.id(), &question)));
        for answer in futures::future::join_all(asking).await {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn answer_that_takes_its_time_is_waited_for_but_not_for_ever() {
    let (farmer, mut incoming) = start(memory(&network())).await;
    farmer.announce_farmer(true);
    let (owner, _) = start(memory(&network())).await;
    owner.hint(farmer.local_id(), &farmer.addresses());
    let ask = || {
        let (owner, farmer) = (owner.clone(), farmer.local_id());
        tokio::spawn(async move { owner.ask(farmer, &offer()).await })
    };
    let asking = ask();
    let mut inbound = incoming.next().await.unwrap();
    for _ in 0..5 {
        inbound.working().await.unwrap();
    }
    inbound.answer(Answer::Released).await.unwrap();
    assert_eq!(asking.await.unwrap(), Ok(Answer::Released));
    let asking = ask();
    let mut inbound = incoming.next().await.unwrap();
    while inbound.working().await.is_ok() && !asking.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(asking.await.unwrap(), Err(NetError::Silent));
}

#[tokio::test]
async fn request_shows_who_asks_and_from_where() {
    let (farmer, mut incoming) = start(quic(&network())).await;
    farmer.announce_farmer(true);
    let (owner, _) = start(quic(&network())).await;
    owner.hint(farmer.local_id(), &farmer.addresses());
    let asking = tokio::spawn({
        let (owner, farmer) = (owner.clone(), farmer.local_id());
        async move { owner.ask(farmer, &offer()).await }
    });
    let inbound = incoming.next().await.unwrap();
    assert_eq!(inbound.from, owner.local_id());
    assert_eq!(inbound.address, Some([127, 0, 0, 1].into()));
    assert_eq!(inbound.envelope, offer());
    let before = Instant::now();
    inbound.refuse(RefusalCode::NotAccepting, "not now").await.unwrap();
    let refused = asking.await.unwrap();
    assert!(matches!(refused, Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::NotAccepting));
    assert!(owner.quiet_for() <= before.elapsed(), "who refuses was heard: a silence of all ends with it");
}

#[tokio::test]
async fn unknown_device_is_unreachable_and_not_blamed() {
    let (owner, _) = start(quic(&network())).await;
    let nobody = new_key().id();
    let error = owner.ask(nobody, &offer()).await.unwrap_err();
    assert_eq!(error, NetError::Unreachable(nobody));
    assert!(!error.blames_peer());
    let no_key = DeviceId([2; 32]);
    assert_eq!(owner.ask(no_key, &offer()).await, Err(NetError::Unreachable(no_key)));
}

#[tokio::test]
async fn farmer_that_shut_down_is_unreachable() {
    let farmer = Farmer::start(tcp(&network())).await;
    let (owner, _) = start(tcp(&network())).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    owner.ask(farmer.id(), &offer()).await.unwrap();
    farmer.net.shutdown().await;
    assert_eq!(owner.ask(farmer.id(), &offer()).await, Err(NetError::Unreachable(farmer.id())));
}

#[tokio::test]
async fn node_that_does_not_farm_is_told_from_one_that_does() {
    let (idle, _incoming) = start(quic(&network())).await;
    let (owner, _) = start(quic(&network())).await;
    owner.hint(idle.local_id(), &idle.addresses());
    let not = owner.ask(idle.local_id(), &offer()).await.unwrap_err();
    assert_eq!(not, NetError::Protocol(Fault::NotAFarmer));
    assert!(!not.blames_peer(), "farming may be ended at any time");
}

#[tokio::test]
async fn networks_of_other_names_are_not_understood() {
    let farmer = Farmer::start(quic(&"one".parse().unwrap())).await;
    let (owner, _) = start(joined_by(quic(&"other".parse().unwrap()), &farmer.net)).await;
    let answer = owner.ask(farmer.id(), &offer()).await;
    assert!(matches!(answer, Err(NetError::Protocol(Fault::NotAFarmer) | NetError::Unreachable(_))));
    assert!(owner.find_farmers(1, Duration::from_secs(2)).await.is_empty());
}

#[tokio::test]
async fn shutdown_cancels_what_is_under_way() {
    let (farmer, mut incoming) = start(memory(&network())).await;
    farmer.announce_farmer(true);
    let (owner, _) = start(memory(&network())).await;
    owner.hint(farmer.local_id(), &farmer.addresses());
    let asking = tokio::spawn({
        let (owner, farmer) = (owner.clone(), farmer.local_id());
        async move { owner.ask(farmer, &offer()).await }
    });
    let _unanswered = incoming.next().await.unwrap();
    owner.shutdown().await;
    assert_eq!(asking.await.unwrap(), Err(NetError::Cancelled));
    assert_eq!(owner.ask(farmer.local_id(), &offer()).await, Err(NetError::Cancelled));
}

#[tokio::test]
async fn requests_beyond_the_places_of_a_peer_are_told_so() {
    let bounds = Bounds { requests_per_peer: 2, ..Bounds::default() };
    let (farmer, mut incoming) = start(NetConfig { bounds, ..memory(&network()) }).await;
    farmer.announce_farmer(true);
    let (owner, _) = start(memory(&network())).await;
    owner.hint(farmer.local_id(), &farmer.addresses());
    let ask = || {
        let (owner, farmer) = (owner.clone(), farmer.local_id());
        tokio::spawn(async move { owner.ask(farmer, &offer()).await })
    };
    let (first, second) = (ask(), ask());
    let held = [incoming.next().await.unwrap(), incoming.next().await.unwrap()];
    let third = ask().await.unwrap();
    assert!(matches!(third, Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::Busy));
    for inbound in held {
        inbound.refuse(RefusalCode::Internal, "done").await.unwrap();
    }
    for asked in [first, second] {
        assert!(
            matches!(asked.await.unwrap(), Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::Internal)
        );
    }
    let after = ask();
    incoming.next().await.unwrap().refuse(RefusalCode::Internal, "served").await.unwrap();
    assert!(
        matches!(after.await.unwrap(), Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::Internal)
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_push_out_idle_strangers_and_keep_nobody_out() {
    let bounds = Bounds { connections_in: 3, connect: Duration::from_secs(3), ..Bounds::default() };
    let farmer = Farmer::start(NetConfig { bounds, ..memory(&network()) }).await;
    let mut owners = Vec::new();
    let mut served = HashSet::new();
    for number in 0..6 {
        let (owner, incoming) = start(NetConfig { bounds, ..memory(&network()) }).await;
        owner.hint(farmer.id(), &farmer.net.addresses());
        if owner.ask(farmer.id(), &offer()).await.is_ok() {
            served.insert(number);
        }
        owners.push((owner, incoming));
    }
    assert_eq!(served.len(), 6, "whoever fills all places keeps nobody out");
    assert!(farmer.net.peer_count() <= 3);
    assert!(owners[0].0.ask(farmer.id(), &offer()).await.is_ok(), "who was pushed out comes again");
}

#[tokio::test]
async fn refused_upload_carries_the_farmers_words() {
    let (farmer, mut incoming) = start(quic(&network())).await;
    farmer.announce_farmer(true);
    let refusing = tokio::spawn(async move {
        let mut receiving = incoming.next().await.unwrap().ready(0).await.unwrap();
        receiving.next().await.unwrap();
        let before = Instant::now();
        receiving.refuse(RefusalCode::NoSpace, "the disk is full").await.unwrap();
        (before, incoming)
    });
    let (owner, _) = start(quic(&network())).await;
    owner.hint(farmer.local_id(), &farmer.addresses());
    let shard = hayloft_core::ShardId([1; 32]);
    let bytes = vec![0; 64 << 20];
    let sending = async {
        let mut upload = owner.upload(farmer.local_id(), &upload(shard, bytes.len() as u64)).await?;
        upload.send(&bytes).await?;
        upload.finish().await
    };
    let refused = tokio::time::timeout(PATIENCE, sending).await.unwrap();
    assert!(matches!(refused, Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::NoSpace));
    let (before, _incoming) = refusing.await.unwrap();
    assert!(owner.quiet_for() <= before.elapsed(), "who refuses was heard");
}

#[tokio::test]
async fn transfers_need_the_request_of_their_kind() {
    let (owner, _) = start(memory(&network())).await;
    let wrong = plain(Request::Offer);
    let someone = new_key().id();
    let fault = NetError::Protocol(Fault::WrongAnswer);
    assert_eq!(owner.upload(someone, &wrong).await.unwrap_err(), fault);
    assert_eq!(owner.download(someone, &wrong).await.unwrap_err(), fault);
}

#[tokio::test]
async fn bad_addresses_are_named() {
    for listen in ["nonsense", "/ip4/127.0.0.1/udp/99999/quic-v1"] {
        let config = NetConfig { listen: vec![listen.to_owned()], ..quic(&network()) };
        let error = Net::start(config, &new_key()).await.unwrap_err();
        assert!(matches!(error, StartError::BadAddress(text) if text == listen));
    }
    let config = NetConfig { bootstrap: vec!["here".to_owned()], ..quic(&network()) };
    assert!(matches!(Net::start(config, &new_key()).await, Err(StartError::BadAddress(_))));
    let config = NetConfig { listen: vec!["/ip4/192.0.2.77/udp/0/quic-v1".to_owned()], ..quic(&network()) };
    let error = Net::start(config, &new_key()).await.unwrap_err();
    assert!(matches!(&error, StartError::Listen { reason, .. } if !reason.is_empty()), "{error}");
}
