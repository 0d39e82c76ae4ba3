//! Rewriting packed segments of which half is dead: what lives is fetched, sealed anew under new keys and ids, placed,
//! and then named by its files' records in one transaction. The old segment stays until then.

use std::{collections::HashMap, sync::Arc, time::Duration};

use hayloft_core::{
    FileId, SegmentId, Timestamp,
    content::{PackError, Packer, SealedSegment, TARGET_SEGMENT},
    manifest::{ContentRecord, Item, PlacementRecord},
    presets::Preset,
};
use hayloft_store::files::Save;

use super::{
    Inner, OwnerError,
    fetch::Fetcher,
    get::{fetch_sealed, windows},
    opening::Opening,
    put::new_segment,
    remove,
    room::Place,
    upload::{Keep, Purpose, place},
};
use crate::jobs::Sent;

/// How long a segment that could not be rewritten waits.
const AGAIN: Duration = Duration::from_secs(600);

/// Rewrites half-dead segments, one after the other, whenever there are some.
pub(crate) async fn keep_rewriting(owner: Arc<Inner>) {
    loop {
        if let Err(error) = rewrite_all(&owner).await {
            tracing::info!(%error, "half-dead segments are rewritten later");
        }
        tokio::select! {
            () = owner.rewrites.notified() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn rewrite_all(owner: &Arc<Inner>) -> Result<(), OwnerError> {
    for segment in owner.catalog.store.half_dead_segments().await? {
        // A running job may still save files that lie in it.
        if segment.job.is_none()
            && let Err(error) = rewrite(owner, segment.segment).await
        {
            tracing::info!(segment = %segment.segment, %error, "a half-dead segment is rewritten later");
        }
    }
    Ok(())
}

/// An item that lives, with its file.
struct Living {
    record: ContentRecord,
    item: Item,
}

async fn rewrite(owner: &Arc<Inner>, segment: SegmentId) -> Result<(), OwnerError> {
    let living = living(owner, segment).await?;
    let rewritten = match living.iter().map(|living| living.record.keep_until).max() {
        Some(until) => move_living(owner, segment, &living, until).await,
        None => Ok(()),
    };
    if rewritten.is_err() {
        remove::leave_attempts(owner, |placing| placing.job.is_none()).await?;
    }
    rewritten?;
    remove::sweep(owner).await
}

async fn move_living(
    owner: &Arc<Inner>,
    segment: SegmentId,
    living: &[Living],
    until: Timestamp,
) -> Result<(), OwnerError> {
    let placement = owner.catalog.placement(segment).await?;
    let purpose = Purpose { preset: preset_of(&placement), keep: Keep { until, job: None }, most: None };
    let (sealed, moved) = seal_anew(owner, &placement, living).await?;
    let mut placed = Vec::new();
    for segment in sealed {
        let (sent, alone) = (Sent::default(), Place::alone());
        let placing = place(owner, segment.id, segment.bytes, purpose, &sent, alone).await;
        placed.push(placing.map_err(|not_placed| not_placed.error)?);
    }
    save(owner, living, &moved, &placed).await
}

/// The items of stored files in a segment.
async fn living(owner: &Inner, segment: SegmentId) -> Result<Vec<Living>, OwnerError> {
    let mut living = Vec::new();
    for stored in owner.catalog.store.files_in(segment).await? {
        let record = owner.catalog.open(&stored)?;
        let items: Vec<Item> = record.items.iter().filter(|item| item.segment == segment).cloned().collect();
        living.extend(items.into_iter().map(|item| Living { record: record.clone(), item }));
    }
    Ok(living)
}

/// The redundancy that a segment was placed with, as far as its numbers show it.
fn preset_of(placement: &PlacementRecord) -> Preset {
    match (u16::from(placement.n) * 2, u16::from(placement.k)) {
        (_, 1) => Preset::Standard,
        (twice, k) if twice < 4 * k => Preset::Economy,
        (twice, k) if twice < 6 * k => Preset::Standard,
        _ => Preset::Safe,
    }
}

/// New segments, and by the old item's id what became of each item.
type Moved = HashMap<[u8; 16], Vec<Item>>;

async fn seal_anew(
    owner: &Arc<Inner>,
    placement: &Arc<PlacementRecord>,
    living: &[Living],
) -> Result<(Vec<SealedSegment>, Moved), OwnerError> {
    let (fetcher, _guard) = Fetcher::new(owner.clone());
    let mut plain = Vec::with_capacity(living.len());
    for (index, living) in living.iter().enumerate() {
        plain.push(read(&fetcher, placement, index, &living.item).await?);
    }
    let packing = tokio::task::spawn_blocking(move || pack(&plain)).await.map_err(|_| OwnerError::Stopped)?;
    let sealed = packing?;
    let mut moved = Moved::new();
    for (index, living) in living.iter().enumerate() {
        let all = sealed.iter().flat_map(|segment: &SealedSegment| &segment.items);
        let own = all.filter(|(file, _)| *file == packed_as(index)).map(|(_, item)| item.clone());
        moved.insert(living.item.id, own.collect());
    }
    Ok((sealed, moved))
}

fn pack(items: &[Vec<u8>]) -> Result<Vec<SealedSegment>, PackError> {
    let mut packer = Packer::new(TARGET_SEGMENT, rand::rng())?;
    let mut sealed = Vec::new();
    for (index, plain) in items.iter().enumerate() {
        sealed.extend(packer.begin(packed_as(index), plain.len() as u64)?);
        sealed.extend(packer.push(plain)?);
        packer.end()?;
    }
    sealed.extend(packer.flush()?);
    Ok(sealed)
}

/// Each item is packed like a file of its own.
fn packed_as(index: usize) -> FileId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(index as u64).to_le_bytes());
    FileId(id)
}

async fn read(
    fetcher: &Fetcher,
    placement: &Arc<PlacementRecord>,
    index: usize,
    item: &Item,
) -> Result<Vec<u8>, OwnerError> {
    let mut opening = Opening::new(index, item, 0..item.bytes);
    let mut plain = Vec::new();
    for window in windows(index, item, 0..item.bytes, placement, u64::MAX)? {
        let sealed = fetch_sealed(fetcher, placement, &window).await?;
        let opened = tokio::task::spawn_blocking(move || {
            let pushed = opening.push(sealed, |bytes| {
                plain.extend_from_slice(bytes);
                Ok(())
            });
            pushed.map(|()| (opening, plain))
        });
        (opening, plain) = opened.await.map_err(|_| OwnerError::Stopped)??;
    }
    Ok(plain)
}

/// Names the new items in the records of the files that are still there, all at once.
async fn save(
    owner: &Arc<Inner>,
    living: &[Living],
    moved: &Moved,
    placed: &[PlacementRecord],
) -> Result<(), OwnerError> {
    let changing = owner.catalog.changing().await;
    let mut records: HashMap<FileId, ContentRecord> = HashMap::new();
    for Living { record, .. } in living {
        if let Some(now) = owner.catalog.find(&record.name).await?
            && now.file == record.file
        {
            records.insert(now.file, now);
        }
    }
    for record in records.values_mut() {
        let items = std::mem::take(&mut record.items).into_iter();
        record.items = items.flat_map(|item| moved.get(&item.id).cloned().unwrap_or(vec![item])).collect();
    }
    let save = Save {
        job: None,
        segments: placed.iter().map(|placement| new_segment(owner, placement, Vec::new())).collect(),
        files: records.values().map(|record| owner.catalog.seal(record)).collect(),
        replace: true,
        placed: placed.iter().flat_map(|placement| &placement.shards).map(|shard| shard.id).collect(),
    };
    crash_point!(LivingPlaced);
    owner.catalog.store.save(&save).await?;
    crash_point!(LivingNamed);
    drop(changing);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hayloft_core::{Signature, manifest::SecretKey};

    #[test]
    fn a_segments_numbers_show_its_preset() {
        let placement = |k, n| PlacementRecord {
            segment: SegmentId([0; 32]),
            k,
            n,
            bytes: 1,
            outer_key: SecretKey::random(&mut rand::rng()),
            roots: Vec::new(),
            signature: Signature([0; 64]),
            shards: Vec::new(),
        };
        assert_eq!(preset_of(&placement(16, 28)), Preset::Economy);
        assert_eq!(preset_of(&placement(16, 40)), Preset::Standard);
        assert_eq!(preset_of(&placement(4, 12)), Preset::Safe);
        assert_eq!(preset_of(&placement(1, 3)), Preset::Standard);
    }
}
