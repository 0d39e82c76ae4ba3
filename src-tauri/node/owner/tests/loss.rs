//! An owner whose database is gone: files, contracts and transfers come back, and farmers keep nothing that nobody knows.

use std::fs;

use super::bed::{Bed, noise};

const DATABASE: [&str; 3] = ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"];

fn lose_database(home: &std::path::Path) {
    for name in DATABASE {
        let _ = fs::remove_file(home.join(name));
    }
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
async fn what_farmers_keep_of_files_that_no_record_knows_any_more_is_removed() {
    let mut bed = Bed::new(3).await;
    let one = noise(1, 300_000);
    bed.put_bytes("one", &one).await;
    let used = bed.used().await;
    let old = bed.disk().join("old.log");
    let kept = old.clone();
    bed.restart_after(move |home| {
        fs::copy(home.join("catalog.log"), kept).expect("copied");
    })
    .await;
    bed.see_farmers(3).await;
    bed.put_bytes("two", &noise(2, 400_000)).await;
    assert!(bed.used().await > used);
    bed.restart_after(move |home| {
        lose_database(home);
        fs::copy(old, home.join("catalog.log")).expect("copied");
    })
    .await;
    assert_eq!(bed.names().await, ["one"]);
    bed.see_farmers(3).await;
    let owner = bed.node.owner_for_tests().await;
    owner.inner.removals.notify_one();
    bed.used_becomes(|now| now == used).await;
    assert_eq!(bed.get_bytes("one").await, one);
}
