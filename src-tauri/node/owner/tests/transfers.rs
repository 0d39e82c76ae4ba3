//! Files go out and come back.

use super::bed::{Bed, noise};
use crate::model::{ErrorCode, FarmSettings, GetRequest, HealthWord, PutRequest};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_several_segments_comes_back_as_it_was() {
    let bed = Bed::new(5).await;
    let bytes = noise(1, 35 * MIB + 7);
    let report = bed.put_bytes("film", &bytes).await;
    assert_eq!((report.k, report.n, report.segments, report.farmers), (2, 5, 3, 5));
    let (report, got) = bed.get(bed.get_request("film", "back")).await.expect("the get succeeds");
    assert!(got == bytes, "the file came back changed");
    assert_eq!(report.farmers_blamed, Vec::<String>::new());
    assert!(report.first_byte_seconds <= report.seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_although_all_farmers_that_may_be_lost_are_gone() {
    let bed = Bed::new(5).await;
    let bytes = noise(2, 3 * MIB);
    bed.put_bytes("film", &bytes).await;
    for farmer in 0..3 {
        bed.kill(farmer).await;
    }
    let (report, got) = bed.get(bed.get_request("film", "back")).await.expect("the get succeeds");
    assert!(got == bytes, "the file came back changed");
    assert_eq!(report.farmers_blamed, Vec::<String>::new(), "who is gone is not to blame");
    let health = bed.node.health("film").await.expect("health");
    assert_eq!((health.health, health.segments[0].alive), (HealthWord::Danger, 2));
    bed.kill(3).await;
    let refused = bed.get(bed.get_request("film", "again")).await.expect_err("one farmer is too few");
    assert!(refused.contains("1 of the 2"), "{refused}");
    assert!(!bed.disk().join("again").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn why_no_farmer_takes_a_file_is_told_with_what_to_do() {
    let quota = |quota_bytes| FarmSettings { enabled: true, quota_bytes, ..FarmSettings::default() };
    let large = quota(1 << 30);
    for (farmers, farm, why) in [
        (0, large.clone(), "No farmer is known"),
        (3, FarmSettings { storage_price: 1, ..large.clone() }, "3 farmers are there for a price"),
        (3, FarmSettings { paused: true, ..large }, "none takes new data now"),
        (1, quota(16 << 20), "1 farmer is there, but none has room for this"),
    ] {
        let bed = Bed::offering(farmers, farm).await;
        let path = bed.file("film", &noise(4, 16 * MIB));
        let refused = bed.node.quote(bed.request(path)).await.expect_err("nobody takes it");
        assert_eq!(refused.code, ErrorCode::NotEnoughFarmers);
        assert!(refused.message.contains(why), "{}", refused.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_although_most_farmers_at_hand_have_just_gone() {
    let bed = Bed::new(12).await;
    for farmer in 5..12 {
        bed.kill(farmer).await;
    }
    let bytes = noise(3, MIB);
    let report = bed.put_bytes("film", &bytes).await;
    assert_eq!((report.k, report.n, report.farmers), (2, 5, 5), "with those that are left");
    assert!(bed.get_bytes("film").await == bytes, "the file came back changed");
    bed.nothing_is_reserved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_and_empty_files_of_a_folder_share_a_segment_and_come_back() {
    let bed = Bed::new(3).await;
    bed.file("album/empty", b"");
    bed.file("album/one", b"1");
    bed.file("album/deep/ünïcode 🦀", &noise(3, 70_000));
    let reports = bed.put(bed.request(bed.disk().join("album"))).await.expect("the put succeeds");
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|report| report.segments == 1 && !report.reused));
    assert_eq!(bed.names().await, ["album/deep/ünïcode 🦀", "album/empty", "album/one"]);
    assert_eq!(bed.get_bytes("album/empty").await, b"");
    assert_eq!(bed.get_bytes("album/one").await, b"1");
    assert!(bed.get_bytes("album/deep/ünïcode 🦀").await == noise(3, 70_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_of_a_file_comes_back() {
    let bed = Bed::new(5).await;
    let bytes = noise(4, 18 * MIB);
    bed.put_bytes("film", &bytes).await;
    for (index, range) in
        [0..1, 65_535..65_537, MIB..3 * MIB, 16 * MIB - 9..17 * MIB, 18 * MIB - 1..18 * MIB, 5..5]
            .into_iter()
            .enumerate()
    {
        let request = GetRequest {
            offset: range.start as u64,
            bytes: Some(range.len() as u64),
            ..bed.get_request("film", &format!("part {index}"))
        };
        let (report, got) = bed.get(request).await.expect("the get succeeds");
        assert!(got == bytes[range.clone()], "{range:?} came back changed");
        assert_eq!(report.bytes, range.len() as u64);
    }
    let beyond = GetRequest { offset: 18 * MIB as u64 + 1, ..bed.get_request("film", "beyond") };
    assert_eq!(bed.node.get(beyond).await.expect_err("beyond the end").code, ErrorCode::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_reused_and_other_content_needs_leave_to_replace() {
    let bed = Bed::new(3).await;
    let path = bed.file("notes", b"first");
    assert!(!bed.put(bed.request(path.clone())).await.expect("stored").remove(0).reused);
    let used = bed.used().await;
    assert!(bed.put(bed.request(path.clone())).await.expect("reused").remove(0).reused);
    assert_eq!(bed.used().await, used, "nothing was sent");

    bed.file("notes", b"other");
    let same_length = bed.put(bed.request(path.clone())).await.expect_err("other content");
    assert!(same_length.contains("replace"), "{same_length}");
    bed.file("notes", b"of another length");
    let refused = bed.node.put(bed.request(path.clone())).await.expect_err("other content");
    assert_eq!(refused.code, ErrorCode::Exists);
    assert_eq!(bed.get_bytes("notes").await, b"first");

    let replacing = PutRequest { replace: true, ..bed.request(path) };
    assert!(!bed.put(replacing).await.expect("replaced").remove(0).reused);
    assert_eq!(bed.get_bytes("notes").await, b"of another length");
    assert_eq!(bed.names().await, ["notes"]);
    bed.used_becomes(|now| now < 2 * used).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_files_leave_the_list_at_once_and_the_farmers_disks_soon() {
    let bed = Bed::new(3).await;
    bed.put_bytes("a", &noise(5, MIB)).await;
    let used = bed.used().await;
    bed.put_bytes("b", &noise(6, MIB)).await;
    let unknown = bed.remove(&["a", "nothing"]).await.expect_err("all or none");
    assert_eq!(unknown.code, ErrorCode::NotFound);
    assert_eq!(bed.names().await, ["a", "b"]);
    bed.remove(&["b"]).await.expect("removed");
    assert_eq!(bed.names().await, ["a"]);
    bed.used_becomes(|now| now == used).await;
    bed.remove(&["a"]).await.expect("removed");
    bed.used_becomes(|now| now == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_exists_is_kept_unless_it_may_be_overwritten() {
    let bed = Bed::new(3).await;
    bed.put_bytes("a", b"stored").await;
    bed.file("there", b"precious");
    let refused = bed.node.get(bed.get_request("a", "there")).await.expect_err("taken");
    assert_eq!(refused.code, ErrorCode::Exists);
    let overwriting = GetRequest { overwrite: true, ..bed.get_request("a", "there") };
    assert_eq!(bed.get(overwriting).await.expect("overwritten").1, b"stored");
    let nowhere = bed.node.get(bed.get_request("a", "no folder/there")).await.expect_err("no such folder");
    assert_eq!(nowhere.code, ErrorCode::BadRequest);
    let unknown = bed.node.get(bed.get_request("b", "elsewhere")).await.expect_err("no such file");
    assert_eq!(unknown.code, ErrorCode::NotFound);
}
