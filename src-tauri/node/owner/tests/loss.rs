//! An owner whose database is gone, or of whose home there are two copies: files, contracts and transfers come back, and no
//! farmer is told to delete what only another copy of the records names.

use std::{fs, path::Path, time::Duration};

use hayloft_core::Timestamp;

use super::bed::{Bed, noise};
use crate::{Node, model::JobState, owner::remove};

const DATABASE: [&str; 3] = ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"];

fn lose_database(home: &Path) {
    for name in DATABASE {
        let _ = fs::remove_file(home.join(name));
    }
}

/// Copies a home's files, as one does who backs it up: its database only if `all`.
fn copy_home(from: &Path, to: &Path, all: bool) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a home").flatten() {
        let (name, to) = (entry.file_name(), to.join(entry.file_name()));
        if entry.path().is_dir() {
            copy_home(&entry.path(), &to, all);
        } else if all || !DATABASE.iter().any(|database| name == *database) {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn files(range: std::ops::RangeInclusive<u64>) -> Vec<(String, Vec<u8>)> {
    range.map(|number| (format!("f{number}"), noise(number, 200_000))).collect()
}

async fn put_all(bed: &Bed, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        bed.put_bytes(name, bytes).await;
    }
}

async fn all_come_back(bed: &Bed, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        assert!(bed.get_bytes(name).await == *bytes, "{name} came back changed");
    }
}

/// Returns once the node has compared all its contracts with its farmers and worked off what it found, and says that these
/// keep what it does not know.
async fn is_settled_and_says_so(node: &Node) {
    let owner = node.owner_for_tests().await.inner;
    let settled = async {
        loop {
            owner.removals.notify_one();
            owner.net.find_farmers(3, Duration::from_millis(200)).await;
            let notices = node.status().await.expect("a status").notices;
            let unsettled = owner.catalog.store.unsettled().await.expect("contracts");
            let removals = owner.catalog.store.removals().await.expect("removals");
            if owner.strangers.have_all(&unsettled)
                && removals.is_empty()
                && notices.iter().any(|notice| notice.contains("does not know"))
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("contracts are settled in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_loses_no_file_and_is_told() {
    let mut bed = Bed::new(3).await;
    let (one, two) = (noise(1, 300_000), noise(2, 2_000));
    bed.put_bytes("one", &one).await;
    bed.put_bytes("two", &two).await;
    assert!(bed.node.status().await.expect("a status").notices.is_empty());
    let (listed, jobs) = (bed.files().await, bed.node.jobs().await.expect("jobs"));
    bed.restart_after(lose_database).await;
    let notices = bed.node.status().await.expect("a status").notices;
    assert!(notices.iter().any(|notice| notice.contains("2 files")), "{notices:?}");
    assert_eq!(bed.names().await, ["one", "two"]);
    assert_eq!(bed.node.jobs().await.expect("jobs"), jobs);
    bed.see_farmers(3).await;
    assert_eq!((bed.get_bytes("one").await, bed.get_bytes("two").await), (one, two));
    assert_eq!(bed.files().await.len(), listed.len());
    // The contracts came back too: a file can be stored and all can be removed again.
    bed.put_bytes("three", &noise(3, 1_000)).await;
    bed.remove(&["one", "two", "three"]).await.expect("removed");
    bed.used_becomes(|used| used == 0).await;
    bed.restart().await;
    assert!(bed.node.status().await.expect("a status").notices.is_empty(), "said once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_before_the_database_was_lost_is_still_removed() {
    let mut bed = Bed::new(3).await;
    bed.put_bytes("one", &noise(1, 300_000)).await;
    bed.kill(2).await;
    bed.remove(&["one"]).await.expect("removed");
    bed.removals_become(1).await;
    bed.restart_after(lose_database).await;
    assert_eq!(
        bed.node.owner_for_tests().await.inner.catalog.store.removals().await.expect("removals").len(),
        1
    );
    bed.revive(2).await;
    bed.removals_become(0).await;
    bed.used_becomes(|used| used == 0).await;
    assert!(
        !bed.node.status().await.expect("a status").notices.iter().any(|said| said.contains("does not know"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_farmers_keep_of_files_that_an_older_record_does_not_know_is_kept_and_told() {
    let mut bed = Bed::new(3).await;
    put_all(&bed, &files(1..=1)).await;
    let old = bed.disk().join("old.log");
    let kept = old.clone();
    bed.restart_after(move |home| {
        fs::copy(home.join("catalog.log"), kept).expect("copied");
    })
    .await;
    bed.see_farmers(3).await;
    put_all(&bed, &files(2..=2)).await;
    let used = bed.used().await;
    bed.restart_after(move |home| {
        lose_database(home);
        fs::copy(old, home.join("catalog.log")).expect("copied");
    })
    .await;
    assert_eq!(bed.names().await, ["f1"]);
    is_settled_and_says_so(&bed.node).await;
    assert_eq!(bed.used().await, used);
    all_come_back(&bed, &files(1..=1)).await;
    bed.restart().await;
    is_settled_and_says_so(&bed.node).await;
}

/// A copy that knows two of four files leaves all of them alone.
async fn deletes_nothing(bed: &Bed, copy: &Path) {
    let second = bed.open_copy(copy).await;
    assert_eq!(second.files().await.expect("a list").len(), 2);
    is_settled_and_says_so(&second).await;
    all_come_back(bed, &files(1..=4)).await;
    second.shutdown().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_home_without_its_database_deletes_nothing_that_the_original_stored_since() {
    let bed = Bed::new(3).await;
    put_all(&bed, &files(1..=2)).await;
    let copy = bed.disk().join("copy");
    copy_home(bed.home(), &copy, false);
    put_all(&bed, &files(3..=4)).await;
    deletes_nothing(&bed, &copy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_log_is_newer_than_its_database_deletes_nothing_that_the_original_stored_since() {
    let mut bed = Bed::new(3).await;
    put_all(&bed, &files(1..=1)).await;
    let copy = bed.disk().join("copy");
    let to = copy.clone();
    bed.restart_after(move |home| copy_home(home, &to, true)).await;
    bed.see_farmers(3).await;
    put_all(&bed, &files(2..=2)).await;
    fs::copy(bed.home().join("catalog.log"), copy.join("catalog.log")).expect("copied");
    put_all(&bed, &files(3..=4)).await;
    deletes_nothing(&bed, &copy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_start_on_a_damaged_log_without_its_database_all_comes_back_with_the_database() {
    let mut bed = Bed::new(3).await;
    put_all(&bed, &files(1..=1)).await;
    let middle = fs::metadata(bed.home().join("catalog.log")).expect("a log").len() as usize + 100;
    put_all(&bed, &files(2..=4)).await;
    let good = bed.disk().join("good.db");
    let kept = good.clone();
    bed.restart_after(move |home| {
        let mut log = fs::read(home.join("catalog.log")).expect("a log");
        log[middle] ^= 1;
        fs::write(home.join("catalog.log"), log).expect("written");
        fs::copy(home.join("hayloft.db"), kept).expect("copied");
        let mut database = fs::read(home.join("hayloft.db")).expect("a database");
        database[..16].fill(0);
        fs::write(home.join("hayloft.db"), database).expect("written");
    })
    .await;
    assert_eq!(bed.names().await, ["f1"]);
    is_settled_and_says_so(&bed.node).await;
    bed.restart_after(move |home| {
        lose_database(home);
        fs::copy(good, home.join("hayloft.db")).expect("copied");
        fs::remove_file(home.join("catalog.log")).expect("it was there");
    })
    .await;
    assert_eq!(bed.names().await, ["f1", "f2", "f3", "f4"]);
    bed.see_farmers(3).await;
    all_come_back(&bed, &files(1..=4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_end_a_put_deletes_nothing_of_it_for_the_original_may_have_ended_it() {
    let bed = Bed::new(3).await;
    let bytes = noise(5, 96 << 20);
    let path = bed.file("film", &bytes);
    let owner = bed.node.owner_for_tests().await.inner;
    let mut news = bed.node.subscribe();
    bed.limit_upload(Some(16 << 20)).await;
    let id = bed.node.put(bed.request(path.clone())).await.expect("begins");
    while owner.catalog.store.job_segments(id).await.expect("segments").is_empty() {
        let _ = news.recv().await;
    }
    bed.node.pause(id).await.expect("paused");
    let copy = bed.disk().join("copy");
    copy_home(bed.home(), &copy, false);
    bed.limit_upload(None).await;
    bed.node.resume(id).await.expect("resumed");
    assert_eq!(bed.end(id).await.state, JobState::Done);
    fs::remove_file(path).expect("it was there");
    let second = bed.open_copy(&copy).await;
    second.resume(id).await.expect("resumed");
    assert_eq!(end_on(&second, id).await, JobState::Failed);
    is_settled_and_says_so(&second).await;
    // Nor a week later, when failed jobs are cleared away.
    let owner = second.owner_for_tests().await;
    owner.jobs.clear_failed_before(Timestamp(u64::MAX)).await.expect("looked through");
    remove::sweep(&owner.inner).await.expect("swept");
    assert!(owner.inner.catalog.store.removals().await.expect("removals").is_empty());
    assert!(bed.get_bytes("film").await == bytes, "the file came back changed");
    second.shutdown().await.expect("closes");
}

async fn end_on(node: &Node, id: u32) -> JobState {
    let mut news = node.subscribe();
    let ended = async {
        loop {
            match node.job(id).await.expect("the job is known").state {
                JobState::Running => drop(news.recv().await),
                ended => return ended,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the job ends in time")
}
