//! What happens to files after they are stored: packed segments are rewritten, times end, farmers go.

use std::collections::HashSet;

use hayloft_core::contract::{Change, State, propose};

use super::bed::{Bed, DAY, noise};
use crate::{
    Clock, Timestamp,
    model::{Event, HealthWord, PutRequest},
    owner::{fetch::Fetcher, keep, losses},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_segment_is_rewritten_once_half_of_it_is_dead() {
    let bed = Bed::new(3).await;
    for index in 0..8 {
        bed.file(&format!("box/{index}"), &noise(index, 200_000));
    }
    bed.put(bed.request(bed.disk().join("box"))).await.expect("the put succeeds");
    let used = bed.used().await;
    bed.remove(&["box/0", "box/1", "box/2"]).await.expect("removed");
    let dead = bed.files().await.remove(0).dead_bytes;
    assert!(dead > used / 4 && dead < used / 2, "{dead} of {used} are dead");
    assert_eq!(bed.used().await, used, "less than half is dead: nothing moves yet");

    bed.remove(&["box/3", "box/4"]).await.expect("removed");
    bed.used_becomes(|now| now < used / 2).await;
    assert_eq!(bed.names().await, ["box/5", "box/6", "box/7"]);
    assert!(bed.files().await.iter().all(|file| file.dead_bytes == 0));
    for index in 5..8 {
        assert!(bed.get_bytes(&format!("box/{index}")).await == noise(index, 200_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn farmers_without_the_shards_of_a_file_removed_meanwhile_are_not_blamed() {
    let bed = Bed::new(3).await;
    bed.put_bytes("film", &noise(23, 100_000)).await;
    let owner = bed.node.owner_for_tests().await.inner;
    let record = owner.catalog.file("film").await.expect("stored");
    let placement = owner.catalog.placement(record.items[0].segment).await.expect("placed");
    bed.remove(&["film"]).await.expect("removed");
    bed.used_becomes(|now| now == 0).await;
    let (fetcher, _guard) = Fetcher::new(owner.clone());
    assert!(fetcher.stripes(&placement, 0..1, 0..1).await.is_err(), "its shards are gone");
    assert!(fetcher.blamed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_counts_farmers_that_send_a_cell_now() {
    let bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(20, 300_000)).await;
    let health = bed.node.health("film").await.expect("health");
    assert_eq!((health.health, health.segments[0].alive, health.k, health.n), (HealthWord::Good, 5, 2, 5));
    bed.kill(0).await;
    let health = bed.node.health("film").await.expect("health");
    assert_eq!((health.health, health.segments[0].alive), (HealthWord::Fair, 4));
    assert_eq!(health.segments[0].missing.len(), 1);
    let listed = bed.files().await.remove(0);
    assert_eq!((listed.health, listed.alive), (HealthWord::Fair, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_knows_by_itself_what_lies_where_also_after_a_restart() {
    let mut bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(24, 300_000)).await;
    let listed = async |bed: &Bed| {
        let file = bed.files().await.remove(0);
        (file.health, file.alive, file.n)
    };
    assert_eq!(listed(&bed).await, (HealthWord::Good, 5, 5), "its farmers have just signed for all of it");
    bed.restart().await;
    assert_eq!(listed(&bed).await, (HealthWord::Good, 5, 5));
    let owner = bed.node.owner_for_tests().await.inner;
    let shard = bed.placement("film").await.shards[2].clone();
    let lost = losses::lost(&owner, shard.farmer, &shard, false, "Its disk lost it.".into());
    losses::note(&owner, &[lost]).await;
    assert_eq!(listed(&bed).await, (HealthWord::Fair, 4, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_goes_round_farmers_that_are_gone() {
    let bed = Bed::new(7).await;
    bed.put_bytes("before", &noise(21, 300_000)).await;
    bed.kill(4).await;
    bed.kill(5).await;
    let report = bed.put_bytes("after", &noise(22, 300_000)).await;
    assert_eq!((report.k, report.n, report.farmers), (2, 5, 5));
    assert!(bed.get_bytes("after").await == noise(22, 300_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_file_lasts_longer_with_its_farmers_too() {
    let clock = Clock::by_hand(Timestamp(Clock::system().now().0));
    let bed = Bed::with_clock(3, clock).await;
    bed.put_bytes("film", &noise(23, 300_000)).await;
    let ends = |bed: &Bed| bed.farms.iter().map(|farm| farm.node.clone()).collect::<Vec<_>>();
    let first = bed.files().await.remove(0);
    let entry = bed.node.renew("film", 200 * DAY, Some(true)).await.expect("renewed");
    assert!(entry.renew && entry.keep_until > first.keep_until);
    for node in ends(&bed) {
        for contract in node.farm_status().await.expect("status").contracts {
            assert!(contract.end >= entry.keep_until, "the farmer agreed");
        }
    }
    let again = bed.node.renew("film", DAY, Some(false)).await.expect("renewed");
    assert_eq!((again.keep_until, again.renew), (entry.keep_until, false), "renewing never shortens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_ends_soon_says_so() {
    let clock = Clock::by_hand(Timestamp(Clock::system().now().0));
    let bed = Bed::with_clock(2, clock).await;
    let path = bed.file("notes", b"text");
    let request = PutRequest { keep_seconds: 30 * DAY, ..bed.request(path) };
    bed.put(request).await.expect("stored");
    assert_eq!(bed.files().await.remove(0).warning, None);
    let mut news = bed.node.subscribe();
    for seconds in [28 * DAY, 60] {
        bed.clock.advance(seconds);
        bed.clock.kept_up().await;
    }
    let warning = bed.files().await.remove(0).warning.expect("a warning");
    assert!(warning.contains("2 days"), "{warning}");
    let notices =
        std::iter::from_fn(|| news.try_recv().ok()).filter(|event| matches!(event, Event::Notice(_)));
    assert_eq!(notices.collect::<Vec<_>>(), [Event::Notice(format!("notes: {warning}"))], "said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_whose_answer_was_lost_is_found_again_and_built_upon() {
    let bed = Bed::new(3).await;
    bed.put_bytes("before", &noise(24, 300_000)).await;
    let owner = bed.node.owner_for_tests().await;
    let inner = &owner.inner;
    // Every farmer signs a revision that this owner never hears of.
    for stored in inner.catalog.store.contracts(None).await.expect("contracts") {
        let state = State::load(stored.terms, stored.revision.as_ref(), stored.shards).expect("sound");
        let change = Change { end: Some(state.end().plus_seconds(DAY)), ..Change::default() };
        let revision = propose(&state, change, inner.clock.now()).expect("allowed");
        let signature = revision.sign_as_owner(state.terms(), &inner.catalog.keys.owner);
        inner.wire.revise(state.terms().farmer, revision, signature).await.expect("signed");
    }
    let report = bed.put_bytes("after", &noise(25, 300_000)).await;
    assert_eq!(report.farmers, 3);
    bed.remove(&["before", "after"]).await.expect("removed");
    bed.used_becomes(|used| used == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn farmers_that_were_away_are_told_later_what_to_remove() {
    let mut bed = Bed::new(3).await;
    bed.put_bytes("film", &noise(26, 300_000)).await;
    bed.kill(2).await;
    bed.remove(&["film"]).await.expect("removed");
    assert_eq!(bed.names().await, Vec::<String>::new());
    bed.removals_become(1).await;
    bed.revive(2).await;
    bed.removals_become(0).await;
    assert_eq!(bed.used().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_its_farmer_denies_is_kept_as_evidence_and_not_used_for_a_day() {
    let bed = Bed::with_clock(2, Clock::by_hand(Clock::system().now())).await;
    let bytes = noise(27, 300_000);
    bed.put_bytes("before", &bytes).await;
    let owner = bed.node.owner_for_tests().await;
    let (contracts, store) = (&owner.inner.contracts, &owner.inner.catalog.store);
    let signed = store.contracts(None).await.expect("contracts");
    assert_eq!(signed.len(), 2);
    for stored in &signed {
        assert!(contracts.give_up(stored.terms.terms.farmer, stored.id).await.expect("given up"), "signed");
    }
    assert_eq!(bed.put_bytes("after", &noise(28, 300_000)).await.farmers, 2);
    let all = store.contracts(None).await.expect("contracts");
    assert_eq!(all.len(), 4, "new ones are made, the old ones are kept");
    for old in signed {
        let kept = all.iter().find(|contract| contract.id == old.id).expect("kept");
        assert_eq!((&kept.terms, &kept.revision, &kept.shards), (&old.terms, &old.revision, &old.shards));
        assert_eq!(kept.denied, Some(bed.clock.now()));
    }
    assert!(bed.get_bytes("before").await == bytes, "what lies under the old ones is still asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_removes_no_file_and_forgets_no_contract() {
    let start = Clock::system().now();
    let mut bed = Bed::with_clock(2, Clock::by_hand(start)).await;
    let path = bed.file("notes", &noise(29, 300_000));
    let request = PutRequest { keep_seconds: 30 * DAY, ..bed.request(path) };
    bed.put(request).await.expect("stored");
    let look = async |bed: &Bed| {
        let owner = bed.node.owner_for_tests().await;
        keep::look_through(&owner.inner, &owner.jobs, &mut HashSet::new()).await.expect("looked through");
        let contracts = owner.inner.catalog.store.contracts(None).await.expect("contracts").len();
        (bed.names().await.len(), contracts)
    };
    bed.clock.advance(4 * DAY);
    bed.clock.set(start.plus_seconds(365 * DAY));
    assert_eq!(look(&bed).await, (1, 2));
    bed.restart().await;
    bed.clock.advance(3600);
    assert_eq!(look(&bed).await, (1, 2));
    bed.clock.set(start.plus_seconds(4 * DAY + 3600));
    for _ in 0..3 {
        bed.clock.advance(3600);
        assert_eq!(look(&bed).await, (1, 2));
    }
    bed.clock.advance(40 * DAY);
    assert_eq!(look(&bed).await, (1, 2), "in its grace");
    bed.clock.advance(20 * DAY);
    assert_eq!(look(&bed).await.0, 0, "its grace is over");
    bed.clock.advance(40 * DAY);
    assert_eq!(look(&bed).await, (0, 0));
}
