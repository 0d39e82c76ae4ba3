//! Shards that are lost, that nobody answers for or that are to leave lie elsewhere afterwards, under new ids, and nothing is
//! left of the old ones.

use std::{collections::HashSet, sync::Arc, time::Duration};

use hayloft_core::{DeviceId, ShardId, alarm::Alarms, manifest::PlacementRecord, repair::Need};
use hayloft_store::holdings::Presence;
use tokio::time::Instant;

use super::bed::{Bed, noise};
use crate::{
    model::{Event, HealthWord, JobKind, JobState, VerdictWord},
    owner::{Inner, health::word, losses, repair, survey, survey::Said},
};

const LIMIT: Duration = Duration::from_secs(60);

fn ids(placement: &PlacementRecord) -> HashSet<ShardId> {
    placement.shards.iter().map(|shard| shard.id).collect()
}

async fn alive(bed: &Bed, name: &str) -> u8 {
    bed.node.health(name).await.expect("health").segments[0].alive
}

/// What the loop that looks after everything does now and then.
async fn look(bed: &Bed) -> Arc<Inner> {
    let owner = bed.node.owner_for_tests().await.inner;
    survey::look_at_all(&owner).await.expect("looked");
    owner
}

/// Looks until the owner has heard that a farmer leaves, or that it stays.
async fn heard_to_leave(bed: &Bed, farmer: DeviceId, leaves: bool) -> Arc<Inner> {
    let heard = async {
        loop {
            let owner = look(bed).await;
            let presences = owner.catalog.store.presences().await.expect("rows");
            let presence = presences.get(&farmer).copied().unwrap_or_default();
            if presence.absent.is_none() && presence.leaves.is_some() == leaves {
                return owner;
            }
            owner.net.find_farmers(bed.farms.len(), Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, heard).await.expect("its owner hears of it")
}

/// A farmer of the file, but not the one through which others join.
async fn one_but_the_first(bed: &Bed, name: &str) -> DeviceId {
    for shard in &bed.placement(name).await.shards {
        if bed.number_of(shard.farmer).await > 0 {
            return shard.farmer;
        }
    }
    panic!("only one farmer keeps something of it");
}

/// Returns once the file lies as wanted.
async fn placed(bed: &Bed, name: &str, wanted: impl Fn(&PlacementRecord) -> bool) -> Arc<PlacementRecord> {
    let mut news = bed.node.subscribe();
    let placed = async {
        loop {
            let placement = bed.placement(name).await;
            if wanted(&placement) {
                return placement;
            }
            let _ = news.recv().await;
        }
    };
    tokio::time::timeout(LIMIT, placed).await.expect("it is moved in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_disk_lost_is_rebuilt_under_a_new_id_and_nothing_else_moves() {
    let bed = Bed::new(5).await;
    let film = noise(31, 700_000);
    bed.put_bytes("film", &film).await;
    let (before, used) = (bed.placement("film").await, bed.used().await);
    let nothing = bed.repair("film").await.expect("repaired");
    assert_eq!((nothing.shards, nothing.segments), (0, 0));
    bed.lose(&before.shards[1]).await;
    let report = bed.repair("film").await.expect("repaired");
    assert_eq!((report.shards, report.segments, report.left_shards), (1, 1, 0));
    let after = bed.placement("film").await;
    assert_eq!(ids(&before).intersection(&ids(&after)).count(), 4, "only the lost one has a new id");
    assert_eq!(after.shards.len(), 5);
    assert_eq!((&after.roots, &after.signature), (&before.roots, &before.signature));
    assert_eq!(alive(&bed, "film").await, 5);
    assert!(bed.get_bytes("film").await == film);
    bed.removals_become(0).await;
    bed.used_becomes(|now| now == used).await;
    bed.nothing_is_reserved().await;
    assert!(
        bed.node.owner_for_tests().await.inner.catalog.store.lost_shards().await.expect("rows").is_empty()
    );
    bed.close().await;
}

/// Whoever reads rows of many segments opens some of them long after a shard has moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_opened_after_its_shards_moved_hides_no_shard_from_those_who_come_later() {
    let mut bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(38, 100_000)).await;
    let store = bed.node.owner_for_tests().await.inner.catalog.store.clone();
    let before = store.segments().await.expect("rows").remove(0);
    let placement = bed.placement("film").await;
    let old = ids(&placement);
    bed.lose(&placement.shards[1]).await;
    bed.repair("film").await.expect("repaired");
    drop(store);
    bed.restart().await;
    let owner = bed.node.owner_for_tests().await.inner;
    assert_eq!(ids(&owner.catalog.open_placement(&before).expect("it opens")), old);
    let now = ids(&owner.catalog.placement(before.segment).await.expect("it is there"));
    assert_eq!(now.intersection(&old).count(), 4, "one lies elsewhere");
    let rows = owner.catalog.store.segments().await.expect("rows");
    assert_eq!(ids(&owner.catalog.open_placement(&rows[0]).expect("it opens")), now);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_that_is_gone_is_replaced_by_one_that_keeps_nothing_of_the_segment() {
    let mut bed = Bed::new(5).await;
    let film = noise(32, 700_000);
    bed.put_bytes("film", &film).await;
    let gone = one_but_the_first(&bed, "film").await;
    bed.kill(bed.number_of(gone).await).await;
    let refused = bed.repair("film").await.expect_err("nobody else is there");
    assert!(refused.contains("farmers needed take new data"), "{refused}");
    bed.join().await;
    let report = bed.repair("film").await.expect("repaired");
    assert_eq!((report.shards, report.left_shards), (1, 0));
    let after = bed.placement("film").await;
    let farmers: HashSet<_> = after.shards.iter().map(|shard| shard.farmer).collect();
    assert!(farmers.len() == 5 && !farmers.contains(&gone), "{after:?}");
    assert_eq!(alive(&bed, "film").await, 5);
    assert!(bed.get_bytes("film").await == film);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_audit_shows_to_be_lost_is_repaired_without_anybodys_asking() {
    let bed = Bed::new(5).await;
    let film = noise(33, 700_000);
    bed.put_bytes("film", &film).await;
    let before = bed.placement("film").await;
    for shard in &before.shards[..2] {
        bed.lose(shard).await;
    }
    let failed = bed.node.audit(Some("film".into())).await.expect("audited").verdicts;
    assert_eq!(failed.iter().filter(|one| one.verdict == VerdictWord::Failed).count(), 2, "{failed:?}");
    placed(&bed, "film", |now| ids(now).intersection(&ids(&before)).count() == 3).await;
    assert_eq!(alive(&bed, "film").await, 5);
    let passed = bed.node.audit(Some("film".into())).await.expect("audited").verdicts;
    assert!(passed.iter().all(|one| one.verdict == VerdictWord::Passed), "{passed:?}");
    assert!(bed.node.jobs().await.expect("jobs").iter().any(|job| job.kind == JobKind::Repair));
    assert!(bed.get_bytes("film").await == film);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_that_leaves_is_emptied_by_its_owners_and_one_that_stays_after_all_keeps_what_it_has() {
    let mut bed = Bed::new(5).await;
    let film = noise(34, 700_000);
    bed.put_bytes("film", &film).await;
    let before = bed.placement("film").await;
    let leaver = one_but_the_first(&bed, "film").await;
    let number = bed.number_of(leaver).await;
    let status = bed.farms[number].node.farm_leave(true).await.expect("leaves");
    assert!(!status.accepting && status.leaving.is_some_and(|leaving| leaving.shards == 1));
    heard_to_leave(&bed, leaver, true).await;
    let status = bed.farms[number].node.farm_leave(false).await.expect("stays");
    assert!(status.accepting && status.leaving.is_none());
    heard_to_leave(&bed, leaver, false).await;
    let nothing_is_repaired = async {
        let mut news = bed.node.subscribe();
        while bed.node.jobs().await.expect("jobs").iter().any(|job| job.state == JobState::Running) {
            let _ = news.recv().await;
        }
    };
    tokio::time::timeout(LIMIT, nothing_is_repaired).await.expect("nothing is to be moved any more");
    bed.join().await;
    let owner = heard_to_leave(&bed, leaver, false).await;
    let assessed = repair::assessed(&owner).await.expect("assessed");
    assert!(assessed.iter().all(|segment| segment.assessment.need == Need::Nothing));
    let now = bed.placement("film").await;
    assert_eq!(ids(&now), ids(&before), "it keeps what it has");

    bed.farms[number].node.farm_leave(true).await.expect("leaves");
    bed.kill(number).await;
    bed.revive(number).await;
    let status = bed.farms[number].node.farm_status().await.expect("a status");
    assert!(status.leaving.is_some(), "a restart changes nothing");
    heard_to_leave(&bed, leaver, true).await;
    let after = placed(&bed, "film", |now| now.shards.iter().all(|shard| shard.farmer != leaver)).await;
    assert_eq!(after.shards.len(), 5);
    bed.removals_become(0).await;
    let left = bed.farms[number].node.farm_status().await.expect("a status").leaving.expect("it leaves");
    assert_eq!((left.owners, left.shards), (0, 0), "{left:?}");
    bed.kill(number).await;
    assert_eq!(alive(&bed, "film").await, 5);
    assert!(bed.get_bytes("film").await == film);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_late_does_not_undo_a_newer_one() {
    let bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(38, 100_000)).await;
    let farmer = one_but_the_first(&bed, "film").await;
    let earlier = Instant::now();
    let owner = look(&bed).await;
    let mut leaving = Said::nothing(farmer, earlier);
    leaving.leaves = Some(Some(bed.clock.now()));
    survey::write_down(&owner, vec![leaving, Said::nothing(farmer, earlier)]).await.expect("written down");
    let presences = owner.catalog.store.presences().await.expect("rows");
    assert_eq!(presences.get(&farmer).copied().unwrap_or_default(), Presence::default());
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_that_does_not_answer_is_waited_for_and_is_simply_there_once_it_is_back() {
    let mut bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(35, 100_000)).await;
    let away = one_but_the_first(&bed, "film").await;
    let number = bed.number_of(away).await;
    bed.kill(number).await;
    let owner = look(&bed).await;
    let presences = owner.catalog.store.presences().await.expect("rows");
    assert!(presences.get(&away).is_some_and(|presence| presence.absent.is_some()), "{presences:?}");
    let said = bed.node.health("film").await.expect("health").sentence;
    assert!(said.contains("1 farmer that does not answer is waited for"), "{said}");
    bed.revive(number).await;
    bed.see_farmers(5).await;
    look(&bed).await;
    let presence = owner.catalog.store.presences().await.expect("rows").get(&away).copied();
    assert_eq!(presence.unwrap_or_default(), Presence::default());
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_once_that_a_file_is_in_danger() {
    let bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(36, 100_000)).await;
    let mut news = bed.node.subscribe();
    let before = bed.placement("film").await;
    assert_eq!(word(2, before.k, before.n), HealthWord::Danger);
    let owner = bed.node.owner_for_tests().await.inner;
    let lost = before.shards[..3]
        .iter()
        .map(|shard| losses::lost(&owner, shard.farmer, shard, true, "Shown.".into()));
    losses::note(&owner, &lost.collect::<Vec<_>>()).await;
    placed(&bed, "film", |now| ids(now).intersection(&ids(&before)).count() == 2).await;
    let mut said = Vec::new();
    while let Ok(event) = news.try_recv() {
        if let Event::Notice(notice) = event {
            said.push(notice);
        }
    }
    assert_eq!(said, ["“film” has lost many of its pieces. It is repaired by itself."]);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_of_a_file_in_danger_is_not_told_again_after_a_restart() {
    let mut bed = Bed::new(5).await;
    bed.put_bytes("film", &noise(37, 100_000)).await;
    let mut news = bed.node.subscribe();
    for farmer in 2..5 {
        bed.kill(farmer).await;
    }
    look(&bed).await;
    let told = async {
        loop {
            if let Event::Notice(notice) = news.recv().await.expect("news") {
                return notice;
            }
        }
    };
    let told = tokio::time::timeout(LIMIT, told).await.expect("it is told");
    assert!(told.contains("has lost many of its pieces"), "{told}");
    // It is told first and noted then: a crash in between tells it twice rather than never.
    let store = bed.node.owner_for_tests().await.inner.catalog.store.clone();
    let noted = async {
        while store.alarms().await.expect("a row") == Alarms::default() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, noted).await.expect("it is noted");
    bed.restart().await;
    bed.see_farmers(2).await;
    let mut news = bed.node.subscribe();
    let owner = bed.node.owner_for_tests().await;
    repair::look_after(&owner.inner, &owner.jobs, true).await.expect("looked");
    let again = std::iter::from_fn(|| news.try_recv().ok()).find(|event| matches!(event, Event::Notice(_)));
    assert_eq!(again, None);
    bed.close().await;
}
