//! Stored folders come back as folders.

use std::{collections::BTreeMap, path::Path};

use super::bed::{Bed, noise};
use crate::model::{ErrorCode, GetRequest, PutRequest};

const MIB: usize = 1 << 20;

/// All files below a folder, with their bytes.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("readable"));
    let files = files.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).expect("below").to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("readable"))
        })
        .collect()
}

async fn album(bed: &Bed) -> BTreeMap<String, Vec<u8>> {
    for number in 0..300 {
        bed.file(&format!("album/{}/{number}", number % 7), &noise(number, 1 + 40 * number as usize));
    }
    bed.file("album/empty", b"");
    bed.file("album/film", &noise(1, 18 * MIB));
    bed.file("album/song", &noise(2, 3 * MIB));
    bed.file("albums", b"not in the folder");
    let folder = bed.disk().join("album");
    for path in [folder.clone(), bed.disk().join("albums")] {
        bed.put(bed.request(path)).await.expect("the put succeeds");
    }
    content(&folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_comes_back_whole_and_into_one_that_is_there() {
    let bed = Bed::new(3).await;
    let stored = album(&bed).await;
    let (report, _) = bed.get(bed.get_request("album", "back")).await.expect("the get succeeds");
    let back = bed.disk().join("back");
    assert!(content(&back) == stored, "the folder came back changed");
    assert_eq!(report.bytes, stored.values().map(|bytes| bytes.len() as u64).sum::<u64>());

    let taken = bed.get(bed.get_request("album", "back")).await.expect_err("something is there");
    assert!(taken.contains("already something"), "{taken}");
    std::fs::write(back.join("song"), b"changed").expect("writable");
    std::fs::write(back.join("mine"), b"stays").expect("writable");
    let over = GetRequest { overwrite: true, ..bed.get_request("album/", "back") };
    bed.get(over).await.expect("the get succeeds");
    let mut merged = content(&back);
    assert_eq!(merged.remove("mine").as_deref(), Some(&b"stays"[..]));
    assert!(merged == stored, "the folder came back changed");
    let parts = std::fs::read_dir(bed.disk()).expect("readable").filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".part"))
    });
    assert_eq!(parts.count(), 0, "parts stay behind");

    let (report, _) = bed.get(bed.get_request("album/3", "three")).await.expect("the get succeeds");
    assert_eq!(report.bytes, content(&back.join("3")).values().map(|bytes| bytes.len() as u64).sum::<u64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_folder_and_one_that_is_not_stored_are_refused() {
    let bed = Bed::new(3).await;
    bed.file("album/one", b"1");
    bed.put(bed.request(bed.disk().join("album"))).await.expect("the put succeeds");
    let range = GetRequest { offset: 1, ..bed.get_request("album", "back") };
    assert_eq!(bed.node.get(range).await.expect_err("a range").code, ErrorCode::BadRequest);
    for name in ["albu", "album/on", "", "/"] {
        let refused = bed.node.get(bed.get_request(name, "back")).await.expect_err("nothing of that name");
        assert_eq!(refused.code, ErrorCode::NotFound, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_a_folder_too_is_left_out_of_its_folder_and_named() {
    let bed = Bed::new(3).await;
    for (number, name) in ["cl/a", "cl/a/b", "cl/c"].into_iter().enumerate() {
        let path = bed.file(&number.to_string(), name.as_bytes());
        bed.put(PutRequest { name: Some(name.into()), ..bed.request(path) }).await.expect("the put succeeds");
    }
    let id = bed.node.get(bed.get_request("cl", "back")).await.expect("begins");
    let said = bed.end(id).await.message.unwrap_or_default();
    assert!(said.contains("“cl/a” is left out"), "{said}");
    let back = content(&bed.disk().join("back"));
    assert_eq!(back, BTreeMap::from([("a/b".into(), b"cl/a/b".to_vec()), ("c".into(), b"cl/c".to_vec())]));
    assert_eq!(bed.get_bytes("cl/a").await, b"cl/a");
}
