//! Quota, caps, pause and time.

use hayloft_core::{ShardId, contract::quota_bytes};
use hayloft_net::messages::{RefusalCode, Request};

use super::bench::{Bench, DAY, MIB, START, noise, offering, refused};
use crate::model::Hours;

const GIB: u64 = 1 << 30;

#[tokio::test]
async fn two_owners_at_once_never_get_more_than_the_quota() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let (one, two) = (bench.owner().await, bench.owner().await);
    let (first, second) = (one.agree().await.contract(), two.agree().await.contract());
    let ask = async |owner: &super::bench::Script, contract| {
        let mut got = 0;
        for _ in 0..12 {
            match owner.reserve(contract, 5 * MIB).await {
                Ok(_) => got += 5 * MIB,
                full => drop(refused(full, RefusalCode::NoSpace)),
            }
        }
        got
    };
    let (got_one, got_two) = tokio::join!(ask(&one, first), ask(&two, second));
    assert_eq!(got_one + got_two, 60 * MIB, "all that fits, and no more");
    let status = bench.node.farm_status().await.expect("status");
    assert_eq!((status.reserved_bytes, status.free_bytes), (60 * MIB, 4 * MIB));
}

#[tokio::test]
async fn unused_reservation_expires_and_frees_its_space() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let (one, two) = (bench.owner().await, bench.owner().await);
    let (first, second) = (one.agree().await.contract(), two.agree().await.contract());
    let until = one.reserve(first, 60 * MIB).await.expect("reserved");
    assert_eq!(until, START.plus_seconds(600));
    refused(two.reserve(second, 60 * MIB).await, RefusalCode::NoSpace);
    bench.clock.advance(599);
    refused(two.reserve(second, 60 * MIB).await, RefusalCode::NoSpace);
    bench.clock.advance(2);
    bench.node.sweep().await;
    two.reserve(second, 60 * MIB).await.expect("free again");
    refused(one.upload(first, ShardId([1; 32]), &[1; 10]).await, RefusalCode::NotReserved);
}

#[tokio::test]
async fn what_an_owner_gives_back_is_free_at_once_and_nobody_elses_is() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let (one, two) = (bench.owner().await, bench.owner().await);
    let (contract, other) = (one.agree().await.contract(), two.agree().await.contract());
    one.reserve(contract, 3 * quota_bytes(1000)).await.expect("reserved");
    two.reserve(other, 500).await.expect("reserved");
    let (gone, stays) = (ShardId([1; 32]), ShardId([2; 32]));
    one.upload(contract, gone, &noise(1000)).await.expect("stored");
    one.upload(contract, stays, &noise(700)).await.expect("stored");
    let give_back = |contract, shards| Request::Release { contract, shards };
    refused(two.ask(give_back(contract, vec![stays])).await, RefusalCode::UnknownContract);
    refused(one.ask(give_back(contract, vec![gone; 1025])).await, RefusalCode::BadRequest);
    one.ask(give_back(contract, vec![gone])).await.expect("given back");
    assert_eq!(bench.node.farm_status().await.expect("status").reserved_bytes, quota_bytes(700) + 500);
    refused(one.download(contract, gone, 0, 1).await, RefusalCode::UnknownShard);
    one.download(contract, stays, 0, 1).await.expect("the other one stays");
}

#[tokio::test]
async fn shard_that_arrived_prolongs_nothing_but_itself() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let contract = owner.agree().await.contract();
    owner.reserve(contract, 3 * quota_bytes(1000)).await.expect("reserved");
    bench.clock.advance(400);
    owner.upload(contract, ShardId([1; 32]), &noise(1000)).await.expect("in time");
    bench.clock.advance(400);
    bench.node.sweep().await;
    refused(owner.upload(contract, ShardId([2; 32]), &noise(1000)).await, RefusalCode::NotReserved);
    let reserved = async || bench.node.farm_status().await.expect("status").reserved_bytes;
    assert_eq!(reserved().await, quota_bytes(1000), "what arrived waits for its revision");
    bench.clock.advance(3600);
    bench.node.sweep().await;
    assert_eq!(reserved().await, 0, "but not for ever");
}

#[tokio::test]
async fn one_owner_and_one_subnet_have_caps_of_their_own() {
    let bench = Bench::new(offering(8 * GIB)).await;
    let owners = [bench.owner().await];
    let [one] = &owners;
    let (two, three) = (one.housemate(), one.housemate());
    let mut contracts = Vec::new();
    for owner in [one, &two, &three] {
        contracts.push(owner.agree().await.contract());
    }
    let sentence = refused(one.reserve(contracts[0], 2 * GIB + 1).await, RefusalCode::NoSpace);
    assert!(sentence.contains("owner"), "{sentence}");
    one.reserve(contracts[0], 2 * GIB).await.expect("its share");
    two.reserve(contracts[1], 2 * GIB).await.expect("its share");
    let sentence = refused(three.reserve(contracts[2], MIB).await, RefusalCode::NoSpace);
    assert!(sentence.contains("subnet"), "{sentence}");
    let stranger = bench.owner().await;
    let contract = stranger.agree().await.contract();
    stranger.reserve(contract, MIB).await.expect("another subnet");
}

#[tokio::test]
async fn removal_frees_the_space_at_once() {
    let bench = Bench::new(offering(16 * MIB)).await;
    let owner = bench.owner().await;
    let bytes = noise(10 * MIB as usize);
    let taken = quota_bytes(10 * MIB);
    let (state, id) = owner.stored(&bytes).await;
    let full = bench.node.farm_status().await.expect("status");
    assert_eq!((full.used_bytes, full.reserved_bytes, full.free_bytes), (taken, 0, 16 * MIB - taken));
    assert_eq!((full.contracts.len(), full.contracts[0].shards, full.contracts[0].bytes), (1, 1, 10 * MIB));
    refused(owner.reserve(state.contract(), 10 * MIB).await, RefusalCode::NoSpace);
    let removal = owner.propose(&state, Vec::new(), vec![id]);
    owner.revise(&state, &removal).await.expect("signed");
    let empty = bench.node.farm_status().await.expect("status");
    assert_eq!((empty.used_bytes, empty.free_bytes), (0, 16 * MIB));
    refused(owner.download(state.contract(), id, 0, 10).await, RefusalCode::UnknownShard);
    owner.reserve(state.contract(), 10 * MIB).await.expect("room again");
}

#[tokio::test]
async fn paused_farmer_takes_nothing_new_and_serves_what_it_has() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let bytes = noise(1000);
    let (state, id) = owner.stored(&bytes).await;
    owner.reserve_for(state.contract(), 1000).await;
    bench.set(|farm| farm.paused = true).await;
    refused(owner.reserve(state.contract(), 1000).await, RefusalCode::NotAccepting);
    refused(owner.agree_to(owner.terms()).await, RefusalCode::NotAccepting);
    assert_eq!(owner.download(state.contract(), id, 0, 1000).await.expect("read"), bytes);
    owner.upload(state.contract(), ShardId([2; 32]), &bytes).await.expect("what was promised is taken");
    let status = bench.node.farm_status().await.expect("status");
    assert!(!status.accepting);
    assert!(status.reason.expect("a reason").contains("paused"));
    bench.set(|farm| farm.paused = false).await;
    owner.reserve(state.contract(), 1000).await.expect("goes on");
}

#[tokio::test]
async fn outside_its_hours_the_farmer_takes_nothing_new_and_serves_what_it_has() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    let now = jiff::Timestamp::from_second(START.0 as i64)
        .expect("in range")
        .to_zoned(jiff::tz::TimeZone::system());
    let minute = now.hour() as u16 * 60 + now.minute() as u16;
    let other = Hours { from_minute: (minute + 120) % 1440, until_minute: (minute + 180) % 1440 };
    bench.set(|farm| farm.hours = Some(other)).await;
    refused(owner.reserve(state.contract(), 1000).await, RefusalCode::NotAccepting);
    owner.download(state.contract(), id, 0, 1000).await.expect("read");
    bench.clock.advance(2 * 3600);
    owner.reserve(state.contract(), 1000).await.expect("its time has come");
}

#[tokio::test]
async fn after_the_end_data_is_served_for_the_grace_and_then_deleted() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    bench.clock.advance(90 * DAY);
    bench.node.sweep().await;
    owner.download(state.contract(), id, 0, 1000).await.expect("served in the grace");
    refused(owner.reserve(state.contract(), 1000).await, RefusalCode::NotAccepting);
    let shown = bench.node.farm_status().await.expect("status").contracts;
    assert_eq!((shown[0].end, shown[0].delete_after), (START.0 + 90 * DAY, START.0 + 120 * DAY));
    bench.clock.advance(30 * DAY - 1);
    bench.node.sweep().await;
    owner.download(state.contract(), id, 0, 1000).await.expect("served to the last second");
    bench.clock.advance(1);
    refused(owner.download(state.contract(), id, 0, 1000).await, RefusalCode::UnknownContract);
    bench.node.sweep().await;
    let status = bench.node.farm_status().await.expect("status");
    assert_eq!((status.used_bytes, status.contracts.len()), (0, 0));
}

#[tokio::test]
async fn contract_renewed_in_its_grace_takes_data_again() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, _) = owner.stored(&noise(1000)).await;
    bench.clock.advance(100 * DAY);
    let end = Some(owner.clock.now().plus_seconds(90 * DAY));
    let change = hayloft_core::contract::Change { end, ..Default::default() };
    let renewal = hayloft_core::contract::propose(&state, change, owner.clock.now()).expect("sound");
    let state = owner.revise(&state, &renewal).await.expect("renewed");
    owner.reserve(state.contract(), 1000).await.expect("open again");
    bench.clock.advance(60 * DAY);
    bench.node.sweep().await;
    owner.ask(Request::Contract { contract: state.contract() }).await.expect("lives on");
}

#[tokio::test]
async fn farmer_switched_off_serves_frees_and_lets_contracts_run_out() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    bench.set(|farm| farm.enabled = false).await;
    refused(owner.ask(Request::Offer).await, RefusalCode::NotAccepting);
    refused(owner.reserve(state.contract(), 1000).await, RefusalCode::NotAccepting);
    owner.download(state.contract(), id, 0, 1000).await.expect("read");
    let end = Some(START.plus_seconds(180 * DAY));
    let change = hayloft_core::contract::Change { end, ..Default::default() };
    let renewal = hayloft_core::contract::propose(&state, change, START).expect("sound");
    refused(owner.revise(&state, &renewal).await, RefusalCode::NotAccepting);
    let bench = bench.restart().await;
    let mut owner = owner;
    owner.meet(&bench).await;
    owner.download(state.contract(), id, 0, 1000).await.expect("read after a restart");
    owner.revise(&state, &owner.propose(&state, Vec::new(), vec![id])).await.expect("frees");
    assert_eq!(bench.node.farm_status().await.expect("status").used_bytes, 0);
}

#[tokio::test]
async fn a_clock_that_jumps_deletes_nothing_and_what_was_really_lived_through_is_deleted() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    let live = async |bench: &Bench, hours: u64| {
        for _ in 0..hours {
            bench.clock.advance(3600);
            bench.node.sweep().await;
        }
    };
    live(&bench, 5 * 24).await;
    // Past the end and the grace, for an hour, with a restart in it.
    bench.clock.set(START.plus_seconds(200 * DAY));
    bench.node.sweep().await;
    owner.download(state.contract(), id, 0, 1000).await.expect("served while the clock is wrong");
    let bench = bench.restart().await;
    owner.meet(&bench).await;
    live(&bench, 1).await;
    owner.download(state.contract(), id, 0, 1000).await.expect("served after a restart under a wrong clock");
    for wrong in [0, START.0 - 10 * DAY, u64::MAX] {
        bench.clock.set(hayloft_core::Timestamp(wrong));
        bench.node.sweep().await;
    }
    bench.clock.set(START.plus_seconds(5 * DAY + 3600));
    live(&bench, 2).await;
    owner.download(state.contract(), id, 0, 1000).await.expect("served after it");
    let status = bench.node.farm_status().await.expect("status");
    assert_eq!((status.used_bytes, status.contracts.len()), (quota_bytes(1000), 1));
    live(&bench, 115 * 24).await;
    let status = bench.node.farm_status().await.expect("status");
    assert_eq!((status.used_bytes, status.contracts.len()), (0, 0), "deleted as agreed");
}
