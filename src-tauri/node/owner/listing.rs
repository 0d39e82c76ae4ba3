//! The list of stored files, as front ends show it. Which shards are there is said by what this owner has written down, of
//! its farmers and of shards that were lost: nobody is asked for a list.

use std::collections::HashMap;

use hayloft_core::{
    SegmentId, Timestamp,
    contract::{MIN_GRACE_SECONDS, ends_soon},
    manifest::ContentRecord,
};
use hayloft_store::files::{Segment, StoredFile};

use super::{Inner, OwnerError, health::word, lock, repair::Known};
use crate::model::{FileEntry, HealthWord};

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// What is said of a file whose record cannot be read.
const GAP: &str = "What this home knows of this file, even its name, cannot be read.";
/// What is said of a file that is cut.
const CUT: &str = "This home cannot read where a part of this file lies.";

/// A segment as the list needs it.
struct Listed {
    k: u8,
    n: u8,
    alive: u8,
    sealed_bytes: u64,
    live_bytes: u64,
    stored_bytes: u64,
}

/// All files by name.
pub(crate) async fn files(owner: &Inner) -> Result<Vec<FileEntry>, OwnerError> {
    let (known, mut segments) = (Known::load(owner).await?, HashMap::new());
    for segment in owner.catalog.store.segments().await? {
        segments.extend(listed(owner, &known, &segment).map(|listed| (segment.segment, listed)));
    }
    let stored = owner.catalog.store.files().await?;
    let entry = |file| match owner.catalog.readable(file) {
        Some(record) => entry(owner, file, record, &segments),
        None => gap(file),
    };
    let mut entries: Vec<FileEntry> = stored.iter().map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// One file.
pub(crate) async fn file(owner: &Inner, name: &str) -> Result<FileEntry, OwnerError> {
    let stored = owner.catalog.store.file(&owner.catalog.key(name)).await?;
    let stored = stored.ok_or_else(|| OwnerError::NoSuchFile(name.to_owned()))?;
    let (known, mut segments) = (Known::load(owner).await?, HashMap::new());
    for part in &stored.segments {
        if let Some(segment) = owner.catalog.store.segment(part.segment).await? {
            segments.extend(listed(owner, &known, &segment).map(|listed| (segment.segment, listed)));
        }
    }
    Ok(entry(owner, &stored, owner.catalog.open(&stored)?, &segments))
}

/// None if it cannot be read where its shards lie.
fn listed(owner: &Inner, known: &Known, segment: &Segment) -> Option<Listed> {
    let placement = owner.catalog.readable_placement(segment)?;
    let noted = known.here(&placement);
    Some(Listed {
        k: placement.k,
        n: placement.n,
        alive: lock(&owner.seen).get(&segment.segment).map_or(noted, |seen| noted.min(*seen)),
        sealed_bytes: segment.sealed_bytes,
        live_bytes: segment.live_bytes,
        stored_bytes: segment.stored_bytes,
    })
}

fn entry(
    owner: &Inner,
    file: &StoredFile,
    record: ContentRecord,
    all: &HashMap<SegmentId, Listed>,
) -> FileEntry {
    let segments: Vec<&Listed> = file.segments.iter().filter_map(|part| all.get(&part.segment)).collect();
    let own = file.segments.iter().filter_map(|part| Some((all.get(&part.segment)?, part.live_bytes)));
    let stored_bytes = own.map(|(segment, live)| scaled(live, segment)).sum();
    let dead = |segment: &&Listed| scaled(segment.sealed_bytes.saturating_sub(segment.live_bytes), segment);
    let weakest = segments.iter().min_by_key(|segment| {
        let margin = |shards: u8| i16::from(shards) - i16::from(segment.k);
        (margin(segment.alive), margin(segment.n))
    });
    let is_cut = segments.len() < file.segments.len();
    let health = match weakest {
        Some(weakest) if !is_cut => word(weakest.alive, weakest.k, weakest.n),
        _ => HealthWord::Lost,
    };
    FileEntry {
        bytes: record.bytes,
        stored_bytes,
        dead_bytes: segments.iter().map(dead).sum(),
        stored: record.stored.0,
        keep_until: record.keep_until.0,
        renew: record.renew,
        k: weakest.map_or(0, |segment| segment.k),
        n: weakest.map_or(0, |segment| segment.n),
        alive: weakest.map_or(0, |segment| segment.alive),
        health,
        warning: if is_cut { Some(CUT.to_owned()) } else { warning(&record, owner.clock.now()) },
        name: record.name,
    }
}

/// The name that a file is shown under whose own cannot be read.
fn gap_name(file: &StoredFile) -> String {
    let [a, b, c, d, ..] = file.name_key;
    format!("unreadable-{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// What the file is looked up by that cannot be read and is shown under this name.
pub(crate) async fn gap_named(owner: &Inner, name: &str) -> Result<Option<[u8; 32]>, OwnerError> {
    let files = owner.catalog.store.files().await?.into_iter();
    let mut shown = files.filter(|file| gap_name(file) == name);
    Ok(shown.find(|file| owner.catalog.readable(file).is_none()).map(|file| file.name_key))
}

/// A file of which nothing can be read but what its row says without its seal.
fn gap(file: &StoredFile) -> FileEntry {
    FileEntry {
        name: gap_name(file),
        bytes: file.bytes,
        stored_bytes: 0,
        dead_bytes: 0,
        stored: file.stored.0,
        keep_until: file.keep_until.0,
        renew: file.renew,
        k: 0,
        n: 0,
        alive: 0,
        health: HealthWord::Lost,
        warning: Some(GAP.to_owned()),
    }
}

/// A segment's bytes on farmers' disks for some of its own.
fn scaled(bytes: u64, segment: &Listed) -> u64 {
    let whole = u128::from(segment.sealed_bytes.max(1));
    (u128::from(bytes) * u128::from(segment.stored_bytes) / whole) as u64
}

/// What a person should know about a file's end.
pub(crate) fn warning(record: &ContentRecord, now: Timestamp) -> Option<String> {
    let days = |seconds: u64| match seconds.div_ceil(DAY_SECONDS) {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    if now >= record.keep_until {
        let left = record.keep_until.plus_seconds(MIN_GRACE_SECONDS).seconds_since(now);
        return Some(format!("Its time is over: it is removed within {} unless you renew it.", days(left)));
    }
    let left = days(record.keep_until.seconds_since(now));
    match (ends_soon(record.stored, record.keep_until, now), record.renew) {
        (false, _) => None,
        (true, true) => Some(format!("Its time ends in {left}; it is renewed by itself.")),
        (true, false) => Some(format!("Its time ends in {left}: renew it to keep it.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hayloft_core::FileId;

    fn record(keep_until: u64, renew: bool) -> ContentRecord {
        ContentRecord {
            file: FileId([0; 32]),
            name: "a".into(),
            bytes: 0,
            hash: [0; 32],
            stored: Timestamp(0),
            keep_until: Timestamp(keep_until),
            renew,
            items: Vec::new(),
        }
    }

    #[test]
    fn a_file_warns_in_its_last_fourteen_days_and_after_its_end() {
        let keep = 90 * DAY_SECONDS;
        let at = |days: u64| warning(&record(keep, false), Timestamp(days * DAY_SECONDS));
        assert_eq!(at(70), None);
        assert!(at(80).is_some_and(|warning| warning.contains("10 days: renew")));
        assert!(at(91).is_some_and(|warning| warning.contains("removed within 29 days")));
        let renewed = warning(&record(keep, true), Timestamp(89 * DAY_SECONDS));
        assert!(renewed.is_some_and(|warning| warning.contains("in 1 day; it is renewed")));
    }
}
