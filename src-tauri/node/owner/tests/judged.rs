//! Who judges an owner's farmers when nobody was named by hand: an auditor that was found.

use super::bed::{Bed, noise};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contracts_name_an_auditor_that_was_found_and_it_is_told_of_them() {
    let bed = Bed::new(3).await;
    let (_home, auditor) = bed.auditor().await;
    let device = auditor.status().await.expect("a status").device;
    bed.put_bytes("file", &noise(1, 300_000)).await;
    let followed = async {
        loop {
            let history = bed.node.audit_history(None).await.expect("a history");
            assert!(history.followed.iter().all(|one| one.auditor == device), "{history:?}");
            if history.followed.len() == 3 && history.followed.iter().all(|one| one.verdicts.is_some()) {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), followed).await.expect("it follows all three");
    auditor.shutdown().await.expect("closes");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_auditor_contracts_name_none() {
    let bed = Bed::new(2).await;
    bed.put_bytes("file", &noise(1, 3_000)).await;
    assert!(bed.node.audit_history(None).await.expect("a history").followed.is_empty());
    bed.close().await;
}
