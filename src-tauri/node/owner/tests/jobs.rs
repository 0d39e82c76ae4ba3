//! Jobs that are interrupted, go on, or end.

use std::time::{Duration, Instant};

use super::bed::{Bed, DAY, noise};
use crate::model::{ErrorCode, Event, Job, JobState, PutRequest};

const MIB: usize = 1 << 20;
/// Bytes a second that are sent where a put must not end before the test acts.
const SLOW: u64 = 16 << 20;

/// Segments are placed, more than can be on their way at once, and not all of them.
fn is_half_way(event: &Event) -> bool {
    matches!(event, Event::Job(Job { done_bytes, total_bytes, .. }) if *done_bytes > 40 << 20 && done_bytes < total_bytes)
}

/// Begins a put on a slow line and returns once it is half way, long before its end.
async fn half_way(bed: &Bed, request: PutRequest) -> u32 {
    bed.limit_upload(Some(SLOW)).await;
    let mut news = bed.node.subscribe();
    let id = bed.node.put(request).await.expect("begins");
    while !news.recv().await.is_ok_and(|event| is_half_way(&event)) {}
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_put_lists_nothing_and_goes_on_where_it_was() {
    let bed = Bed::new(3).await;
    let bytes = noise(10, 96 * MIB);
    let path = bed.file("film", &bytes);
    let owner = bed.node.owner_for_tests().await;
    let mut news = bed.node.subscribe();
    bed.limit_upload(Some(SLOW)).await;
    let id = bed.node.put(bed.request(path)).await.expect("begins");
    let placed = async || owner.inner.catalog.store.job_segments(id).await.expect("segments");
    while placed().await.is_empty() {
        let _ = news.recv().await;
    }
    bed.node.pause(id).await.expect("paused");
    assert_eq!(bed.node.job(id).await.expect("known").state, JobState::Paused);
    assert_eq!(bed.names().await, Vec::<String>::new(), "nothing half stored is listed");
    let before = placed().await;

    bed.limit_upload(None).await;
    bed.node.resume(id).await.expect("resumed");
    assert_eq!(bed.end(id).await.state, JobState::Done);
    let now = owner.inner.catalog.store.segments().await.expect("segments");
    for segment in before {
        assert!(now.iter().any(|kept| kept.segment == segment.segment), "a placed segment was sent again");
    }
    assert!(bed.get_bytes("film").await == bytes, "the file came back changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_put_again_is_the_same_job_and_another_under_its_name_is_refused_at_once() {
    let bed = Bed::new(3).await;
    let bytes = noise(15, 96 * MIB);
    let path = bed.file("film", &bytes);
    let id = half_way(&bed, bed.request(path.clone())).await;
    assert_eq!(bed.node.put(bed.request(path.clone())).await.expect("goes on"), id);
    let other = PutRequest { keep_seconds: 30 * DAY, ..bed.request(path.clone()) };
    let refused = bed.node.put(other).await.expect_err("the name is taken");
    assert_eq!(refused.code, ErrorCode::Exists);
    assert!(refused.message.contains(&format!("jobs cancel {id}")), "{}", refused.message);

    bed.node.pause(id).await.expect("paused");
    bed.limit_upload(None).await;
    assert_eq!(bed.node.put(bed.request(path.clone())).await.expect("resumed"), id);
    assert_eq!(bed.end(id).await.state, JobState::Done);
    assert!(bed.get_bytes("film").await == bytes, "the file came back changed");
    assert!(bed.put(bed.request(path)).await.expect("stored").remove(0).reused, "a job of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_goes_on_by_itself_after_a_restart_and_leaves_nothing_unknown() {
    let mut bed = Bed::new(3).await;
    let bytes = noise(11, 96 * MIB);
    let path = bed.file("film", &bytes);
    let id = half_way(&bed, bed.request(path)).await;
    bed.restart().await;
    assert_eq!(bed.end(id).await.state, JobState::Done);
    assert!(bed.get_bytes("film").await == bytes, "the file came back changed");
    let stored = bed.files().await.remove(0).stored_bytes;
    bed.used_becomes(|used| used.abs_diff(stored) < 64 * 1024).await;
    bed.nothing_is_reserved().await;
    bed.remove(&["film"]).await.expect("removed");
    bed.used_becomes(|used| used == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_put_leaves_nothing_behind() {
    let bed = Bed::new(3).await;
    let path = bed.file("film", &noise(12, 96 * MIB));
    let id = half_way(&bed, bed.request(path)).await;
    bed.node.cancel(id).await.expect("cancelled");
    assert_eq!(bed.node.job(id).await.expect("known").state, JobState::Cancelled);
    assert_eq!(bed.names().await, Vec::<String>::new());
    bed.used_becomes(|used| used == 0).await;
    bed.nothing_is_reserved().await;
    let owner = bed.node.owner_for_tests().await;
    assert_eq!(owner.inner.catalog.store.segments().await.expect("segments").len(), 0);
    assert_eq!(owner.inner.catalog.store.placing().await.expect("placing").len(), 0);
    assert_eq!(bed.node.resume(id).await.expect_err("over").code, ErrorCode::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_was_paused_does_not_mix_what_was_with_what_is() {
    let bed = Bed::new(3).await;
    let path = bed.file("film", &noise(13, 96 * MIB));
    let id = half_way(&bed, bed.request(path)).await;
    bed.node.pause(id).await.expect("paused");
    bed.limit_upload(None).await;
    let changed = noise(14, 40 * MIB);
    bed.file("film", &changed);
    bed.node.resume(id).await.expect("resumed");
    assert_eq!(bed.end(id).await.state, JobState::Done);
    assert!(bed.get_bytes("film").await == changed, "the file came back changed");
    let stored = bed.files().await.remove(0).stored_bytes;
    bed.used_becomes(|used| used.abs_diff(stored) < 64 * 1024).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_without_farmers_fails_with_a_sentence_and_can_be_resumed() {
    let bed = Bed::new(0).await;
    let path = bed.file("notes", b"text");
    let id = bed.node.put(bed.request(path)).await.expect("begins");
    let job = bed.end(id).await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.error, Some(ErrorCode::NotEnoughFarmers));
    assert!(job.message.is_some_and(|message| message.contains("No farmer")));
    bed.node.resume(id).await.expect("a failed job can be resumed");
    assert_eq!(bed.end(id).await.state, JobState::Failed);
    bed.node.cancel(id).await.expect("and cancelled");
    assert_eq!(bed.node.job(99).await.expect_err("no such job").code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placed_part_is_sent_again_if_the_file_changed_under_the_same_size_and_time() {
    let bed = Bed::new(3).await;
    let mut bytes = noise(15, 96 * MIB);
    let path = bed.file("film", &bytes);
    let written = std::fs::metadata(&path).expect("it is there").modified().expect("a time");
    let id = half_way(&bed, bed.request(path.clone())).await;
    bed.node.pause(id).await.expect("paused");
    bed.limit_upload(None).await;
    bytes[5] ^= 1;
    bed.file("film", &bytes);
    let file = std::fs::File::options().write(true).open(&path).expect("it opens");
    file.set_modified(written).expect("its time can be set");
    bed.node.resume(id).await.expect("resumed");
    assert_eq!(bed.end(id).await.state, JobState::Done);
    assert!(bed.get_bytes("film").await == bytes, "the file came back mixed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_half_stored_is_named_and_the_others_are_stored() {
    let bed = Bed::new(3).await;
    let film = bed.file("box/film", &noise(16, 96 * MIB));
    bed.file("box/notes", b"text");
    let id = half_way(&bed, bed.request(bed.disk().join("box"))).await;
    bed.node.pause(id).await.expect("paused");
    bed.limit_upload(None).await;
    std::fs::remove_file(film).expect("it was there");
    bed.node.resume(id).await.expect("resumed");
    let job = bed.end(id).await;
    assert_eq!((job.state, job.error), (JobState::Failed, Some(ErrorCode::NotFound)));
    assert!(job.message.is_some_and(|message| message.contains("“box/film” vanished")));
    assert_eq!(bed.names().await, ["box/notes"]);
    let stored = bed.files().await.remove(0).stored_bytes;
    bed.used_becomes(|used| used.abs_diff(stored) < 64 * 1024).await;
}

/// Cancels a get again and again, ever later, until it is sure to be over before: each is either done or leaves nothing.
async fn cancel_at_every_moment(bed: &Bed, name: &str) -> (u32, u32) {
    const MOMENTS: u32 = 60;
    let outputs = bed.disk().join("outputs");
    std::fs::create_dir_all(&outputs).expect("a folder can be made");
    let begun = Instant::now();
    bed.get(bed.get_request(name, &format!("warm-{name}"))).await.expect("the get succeeds");
    let usual = begun.elapsed().max(Duration::from_millis(10));
    let (mut done, mut cancelled) = (0, 0);
    for moment in 0..MOMENTS {
        let output = outputs.join("back");
        let request = crate::model::GetRequest { output: output.clone(), ..bed.get_request(name, "") };
        let id = bed.node.get(request).await.expect("begins");
        let _ = tokio::time::timeout(usual * moment * 2 / MOMENTS, bed.end(id)).await;
        match bed.node.cancel(id).await {
            Ok(()) => {}
            Err(over) => assert_eq!(over.code, ErrorCode::BadRequest),
        }
        let state = bed.node.job(id).await.expect("known").state;
        let left: Vec<_> =
            std::fs::read_dir(&outputs).expect("it is there").map(|e| e.expect("an entry").path()).collect();
        match state {
            JobState::Done => {
                assert_eq!(left, [output.as_path()]);
                let removed = if output.is_dir() {
                    std::fs::remove_dir_all(output)
                } else {
                    std::fs::remove_file(output)
                };
                removed.expect("it was there");
                done += 1;
            }
            JobState::Cancelled => {
                assert_eq!(left, Vec::<std::path::PathBuf>::new(), "cancelled, and yet there");
                cancelled += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    (done, cancelled)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_is_cancelled_at_any_moment_is_done_or_leaves_nothing() {
    let bed = Bed::new(3).await;
    bed.put_bytes("film", &noise(20, 2 * MIB)).await;
    for number in 0..6 {
        bed.file(&format!("album/{number}"), &noise(21 + number, 50_000));
    }
    bed.put(bed.request(bed.disk().join("album"))).await.expect("the put succeeds");
    for name in ["film", "album"] {
        let (done, cancelled) = cancel_at_every_moment(&bed, name).await;
        assert!(done > 0 && cancelled > 0, "{name}: {done} done, {cancelled} cancelled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_goes_on_by_itself_after_a_restart_and_leaves_no_part_file() {
    let mut bed = Bed::new(3).await;
    let bytes = noise(17, 96 * MIB);
    bed.put_bytes("film", &bytes).await;
    let mut news = bed.node.subscribe();
    let request = bed.get_request("film", "outputs/back");
    let folder = request.output.parent().expect("a folder").to_owned();
    std::fs::create_dir(&folder).expect("a folder can be made");
    let id = bed.node.get(request).await.expect("begins");
    while let Ok(event) = news.recv().await {
        if matches!(event, Event::Job(Job { done_bytes, .. }) if done_bytes > 0) {
            break;
        }
    }
    bed.restart().await;
    assert_eq!(bed.end(id).await.state, JobState::Done);
    let found: Vec<_> = std::fs::read_dir(&folder).expect("it is there").collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(std::fs::read(folder.join("back")).expect("it is there") == bytes, "the file came back changed");
}
