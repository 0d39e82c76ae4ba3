//! A home of which one value, or the identity, is damaged: what has a copy comes back, and what has none stands in no
//! other's way.

use std::{fs, path::Path};

use hayloft_store::files::StoredFile;

use super::bed::{Bed, base, noise};
use crate::owner::fetch::Fetcher;
use crate::{
    Clock, Node, NodeOptions,
    model::{ErrorCode, FarmSettings, HealthWord, JobState},
};

/// Changes one byte in the middle of these wherever a file has them.
fn flip(path: &Path, bytes: &[u8]) {
    let mut file = fs::read(path).expect("a file");
    let found: Vec<usize> = file
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, window)| *window == bytes)
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty(), "it has them");
    for at in found {
        file[at + bytes.len() / 2] ^= 1;
    }
    fs::write(path, file).expect("written");
}

async fn stored(bed: &Bed, name: &str) -> (StoredFile, Vec<u8>) {
    let catalog = &bed.node.owner_for_tests().await.inner.catalog;
    let file = catalog.store.file(&catalog.key(name)).await.expect("a database").expect("stored");
    let segment = catalog.store.segment(file.segments[0].segment).await.expect("a database").expect("placed");
    (file, segment.placement)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_does_not_open_any_more_comes_back_from_its_copy() {
    let mut bed = Bed::new(1).await;
    let one = noise(1, 300_000);
    bed.put_bytes("one", &one).await;
    bed.put_bytes("two", &noise(2, 2_000)).await;
    for content in [true, false] {
        let jobs = bed.node.jobs().await.expect("jobs");
        let (file, placement) = stored(&bed, "one").await;
        let damaged = if content { file.content } else { placement };
        bed.restart_after(move |home| flip(&home.join("hayloft.db"), &damaged)).await;
        let notices = bed.node.status().await.expect("a status").notices;
        assert!(notices.iter().any(|notice| notice.contains("brought back from their copy")), "{notices:?}");
        assert_eq!(bed.names().await, ["one", "two"]);
        assert_eq!(bed.node.jobs().await.expect("jobs"), jobs);
        bed.see_farmers(1).await;
        assert_eq!(bed.get_bytes("one").await, one);
        bed.restart().await;
        assert!(bed.node.status().await.expect("a status").notices.is_empty(), "said once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_copy_is_damaged_too_hides_no_other_file() {
    let mut bed = Bed::new(1).await;
    let two = noise(2, 2_000);
    bed.put_bytes("folder/one", &noise(1, 300_000)).await;
    bed.put_bytes("folder/two", &two).await;
    let (file, _) = stored(&bed, "folder/one").await;
    bed.restart_after(move |home| {
        flip(&home.join("hayloft.db"), &file.content);
        flip(&home.join("catalog.log"), &file.content);
    })
    .await;
    let notices = bed.node.status().await.expect("a status").notices;
    assert!(notices.iter().any(|notice| notice.starts_with("1 record")), "{notices:?}");
    let files = bed.files().await;
    assert_eq!(files[0].name, "folder/two");
    assert!(files[1].name.starts_with("unreadable-") && files[1].warning.is_some(), "{:?}", files[1]);
    assert_eq!((files[1].bytes, files[1].health), (300_000, HealthWord::Lost));
    bed.see_farmers(1).await;
    assert_eq!(bed.get_bytes("folder/two").await, two);
    bed.get(bed.get_request("folder", "back")).await.expect("the rest of the folder");
    assert_eq!(fs::read(bed.disk().join("back/two")).expect("it is there"), two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_does_not_open_any_more_stops_neither_the_start_nor_the_list() {
    let mut bed = Bed::new(1).await;
    bed.put_bytes("one", &noise(1, 2_000)).await;
    let jobs = bed.node.jobs().await.expect("jobs");
    let rows = &bed.node.owner_for_tests().await.jobs.rows;
    let spec = rows.list(1).await.expect("jobs").remove(0).spec.to_string();
    for copy in [false, true] {
        let spec = spec.clone();
        bed.restart_after(move |home| {
            flip(&home.join("hayloft.db"), spec.as_bytes());
            if copy {
                flip(&home.join("catalog.log"), spec.as_bytes());
            }
        })
        .await;
        let found = bed.node.jobs().await.expect("jobs");
        assert_eq!(found, if copy { Vec::new() } else { jobs.clone() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_record_cannot_be_read_is_removed_by_the_name_it_is_shown_under() {
    let mut bed = Bed::new(1).await;
    bed.put_bytes("one", &noise(1, 300_000)).await;
    bed.put_bytes("two", &noise(2, 2_000)).await;
    let (file, _) = stored(&bed, "one").await;
    bed.restart_after(move |home| {
        flip(&home.join("hayloft.db"), &file.content);
        flip(&home.join("catalog.log"), &file.content);
    })
    .await;
    let shown = bed.names().await.into_iter().find(|name| name.starts_with("unreadable-")).expect("shown");
    let unknown = bed.remove(&["unreadable-00000000"]).await.expect_err("not that one");
    assert_eq!(unknown.code, ErrorCode::NotFound);
    bed.remove(&[&shown]).await.expect("removed");
    assert_eq!(bed.names().await, ["two"]);
    bed.used_becomes(|used| used < 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_read_and_is_not_over_is_listed_and_can_be_cancelled() {
    let mut bed = Bed::new(0).await;
    let path = bed.file("one", b"text");
    let id = bed.node.put(bed.request(path)).await.expect("begins");
    assert_eq!(bed.end(id).await.state, JobState::Failed);
    let rows = &bed.node.owner_for_tests().await.jobs.rows;
    let spec = rows.list(1).await.expect("jobs").remove(0).spec.to_string();
    bed.restart_after(move |home| {
        flip(&home.join("hayloft.db"), spec.as_bytes());
        flip(&home.join("catalog.log"), spec.as_bytes());
    })
    .await;
    let [job] = &bed.node.jobs().await.expect("jobs")[..] else { panic!("one job") };
    assert_eq!((job.id, job.state), (id, JobState::Failed));
    assert!(job.message.as_ref().is_some_and(|said| said.contains("cancel it")), "{job:?}");
    bed.node.cancel(id).await.expect("cancelled");
    assert_eq!(bed.node.job(id).await.expect("known").state, JobState::Cancelled);
    assert_eq!(bed.node.jobs().await.expect("jobs"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_deleted_while_the_node_runs_are_told_of_and_there_again_after_a_restart() {
    let mut bed = Bed::new(1).await;
    let one = noise(1, 300_000);
    bed.put_bytes("one", &one).await;
    assert!(bed.node.status().await.expect("a status").notices.is_empty());
    for name in ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm", "catalog.log"] {
        fs::remove_file(bed.home().join(name)).expect("it was there");
    }
    let notices = bed.node.status().await.expect("a status").notices;
    let told = |notice: &String| notice.contains("hayloft.db") && notice.contains("start it again");
    assert!(notices.iter().any(told), "{notices:?}");
    bed.restart().await;
    let notices = bed.node.status().await.expect("a status").notices;
    assert!(notices.iter().any(|notice| notice.contains("the database was missing")), "{notices:?}");
    assert_eq!(bed.names().await, ["one"]);
    bed.see_farmers(1).await;
    assert!(bed.get_bytes("one").await == one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_identity_keeps_no_farmer_from_farming() {
    let home = tempfile::tempdir().expect("a temp folder can be made");
    let farm = FarmSettings { enabled: true, quota_bytes: 1 << 30, ..FarmSettings::default() };
    let options =
        || NodeOptions { home: home.path().to_owned(), farm: Some(farm.clone()), ..base(Clock::system()) };
    let node = Node::open(options()).await.expect("opens");
    node.create_identity("", false).await.expect("an identity");
    node.shutdown().await.expect("closes");
    let path = home.path().join("identity.sealed");
    let whole = fs::read(&path).expect("an identity");
    let mut changed = whole.clone();
    changed[whole.len() - 20] ^= 1;
    for damaged in [Vec::new(), changed] {
        fs::write(&path, damaged).expect("written");
        let node = Node::open(options()).await.expect("opens");
        let status = node.status().await.expect("a status");
        assert!(status.farming && status.owner.is_none_or(|owner| !owner.unlocked));
        let [notice] = &status.notices[..] else { panic!("{:?}", status.notices) };
        assert!(notice.contains("is damaged"), "{notice}");
        let refused = node.unlock("").await.expect_err("damaged");
        assert_eq!(refused.code, ErrorCode::Disk, "{}", refused.message);
        node.shutdown().await.expect("closes");
    }
    fs::write(&path, whole).expect("written");
    let node = Node::open(options()).await.expect("opens");
    assert!(node.status().await.expect("a status").notices.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_was_read_wrongly_counts_as_gone_although_another_cell_of_it_is_there() {
    let bed = Bed::new(1).await;
    bed.put_bytes("one", &noise(1, 3_000_000)).await;
    let placement = bed.placement("one").await;
    let id = placement.shards[0].id.to_string();
    let path = bed.farms[0].home.join("shards").join(&id[..2]).join(&id);
    let mut shard = fs::read(&path).expect("a shard");
    let middle = shard.len() / 2;
    shard[middle] ^= 1;
    fs::write(&path, shard).expect("written");
    let (fetcher, _guard) = Fetcher::new(bed.node.owner_for_tests().await.inner);
    let all = 0..placement.layout().expect("a layout").stripes();
    let error = fetcher.stripes(&placement, all, 0..placement.bytes).await.map(drop);
    let error = error.expect_err("damaged").to_string();
    assert!(error.contains("1 more answered, but without what it was given to keep"), "{error}");
    assert_eq!(bed.node.health("one").await.expect("a health").health, HealthWord::Lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_for_more_than_the_farmers_have_room_for_says_so() {
    let bed = Bed::new(1).await;
    let path = bed.disk().join("sparse");
    let file = fs::File::create(&path).expect("a file");
    for (bytes, is_warned) in [(1 << 20, false), (1 << 40, true)] {
        file.set_len(bytes).expect("a sparse file");
        let warnings = bed.node.quote(bed.request(path.clone())).await.expect("a quote").warnings;
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("the farmers seen now offer less")),
            is_warned,
            "{warnings:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_farmers_all_say_that_they_have_it_not_is_called_lost() {
    let bed = Bed::new(3).await;
    bed.put_bytes("one", &noise(1, 300_000)).await;
    bed.lose_everything(0);
    bed.lose_everything(1);
    let health = bed.node.health("one").await.expect("a health");
    assert!(!health.sentence.contains("unless there is another copy"), "{}", health.sentence);
    bed.lose_everything(2);
    let error = bed.get(bed.get_request("one", "back")).await.expect_err("nothing is there");
    assert!(error.ends_with("The file is lost unless there is another copy of it."), "{error}");
    let health = bed.node.health("one").await.expect("a health");
    assert_eq!(health.health, HealthWord::Lost);
    assert!(health.sentence.contains("lost unless there is another copy of it"), "{}", health.sentence);
}
