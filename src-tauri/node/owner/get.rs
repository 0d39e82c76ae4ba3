//! Bringing a file back, whole or in part: fetched window by window, opened, written beside the output and renamed
//! when all of it is right.
//!
//! The output is never half written: what comes in goes to a part file in the same folder, which is synced and then
//! renamed. A get that begins again goes on behind what its part file holds; the whole file's hash has the last word. A
//! get that ended just before it could be written down finds its output there, and is done.

use std::{ops::Range, sync::Arc, time::Instant};

use futures::{StreamExt, stream};
use hayloft_core::manifest::{ContentRecord, Item, PlacementRecord};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner, OwnerError,
    fetch::{FetchGuard, Fetcher, layout},
    opening::{Opening, open_and_write},
    output::{self, Output, PartFile},
    patience::Patience,
};
use crate::{
    jobs::{JobContext, Progress, Run},
    model::{GetReport, GetRequest},
};

/// Bytes fetched before anything can be written: few, so that the first byte comes soon.
const FIRST_WINDOW: u64 = 1024 * 1024;
/// Windows on their way at once.
const WINDOWS: usize = 2;

/// What to fetch at once: stripes of one segment, for a part of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// Index of the item in the file's record.
    pub(crate) item: usize,
    /// Stripes to fetch.
    pub(crate) stripes: Range<u32>,
    /// The segment's bytes to take from them.
    pub(crate) sealed: Range<u64>,
}

/// The item's plain bytes that a part of the file takes: by item, in order.
fn item_ranges(items: &[Item], wanted: &Range<u64>) -> Vec<(usize, Range<u64>)> {
    let mut begin = 0;
    let mut ranges = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let end = begin + item.bytes;
        let (from, until) = (wanted.start.max(begin), wanted.end.min(end));
        if from < until || (item.bytes == 0 && items.len() == 1) {
            ranges.push((index, from - begin..until - begin));
        }
        begin = end;
    }
    ranges
}

/// The windows that cover an item's plain bytes; `first` bounds the first one.
pub(crate) fn windows(
    index: usize,
    item: &Item,
    plain: Range<u64>,
    placement: &PlacementRecord,
    first: u64,
) -> Result<Vec<Window>, OwnerError> {
    let layout = layout(placement)?;
    let needs = item.chunks_range(item.chunks_of(plain));
    let all = layout.stripes_of(needs.clone());
    let mut windows = Vec::new();
    let mut next = all.start;
    let mut most = first;
    while next < all.end {
        let mut end = next + 1;
        while end < all.end && len(layout.stripes_range(next..end + 1)) <= most {
            end += 1;
        }
        let held = layout.stripes_range(next..end);
        let sealed = held.start.max(needs.start)..held.end.min(needs.end);
        windows.push(Window { item: index, stripes: next..end, sealed });
        (next, most) = (end, u64::MAX);
    }
    Ok(windows)
}

fn len(range: Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Brings a file back. May be dropped at any time and begun again with the same job.
pub(crate) async fn get(
    owner: &Arc<Inner>,
    request: &GetRequest,
    part: &str,
    context: &JobContext,
) -> Result<GetReport, OwnerError> {
    let progress = &context.progress;
    let started = Instant::now();
    let record = owner.catalog.file(&request.name).await?;
    let wanted = wanted(&record, request)?;
    progress.expect(wanted.end - wanted.start, 1);
    let whole = wanted == (0..record.bytes);
    let part = request.output.with_file_name(part);
    if context.run != Run::First && whole && output::holds(&request.output, record.bytes, record.hash).await?
    {
        output::discard(part).await;
        progress.settle(record.bytes, 1);
        return Ok(report(&record, record.bytes, started, None, Vec::new()));
    }
    let mut first_byte = None;
    let (fetcher, guard) = Fetcher::new(owner.clone());
    let mut patience = Patience::default();
    let written = loop {
        let file = PartFile::open(part.clone(), whole).await?;
        let resumed = file.bytes();
        progress.restart();
        progress.settle(resumed, 0);
        let reading = Reading { owner, fetcher: &fetcher, record: &record, progress, started };
        let (file, at) = match reading.all(wanted.start + resumed..wanted.end, file).await {
            Ok(read) => read,
            Err(error @ (OwnerError::TooFewAnswer { .. } | OwnerError::Offline)) => {
                // After a restart farmers have to be found again; one that breaks off half-way may go on soon.
                let moved = context.run == Run::GoneOn || progress.look().done_bytes > resumed;
                if !moved || !patience.is_left() {
                    return Err(error);
                }
                progress.say(Some(format!("Waiting for farmers. {error}")));
                patience.wait().await;
                progress.say(None);
                continue;
            }
            Err(error) => return Err(error),
        };
        first_byte = first_byte.or(at);
        if !whole || file.hash() == record.hash {
            break file;
        }
        file.discard().await;
        if resumed == 0 {
            return Err(OwnerError::Damaged(record.name));
        }
    };
    let output = Output { path: request.output.clone(), overwrite: request.overwrite };
    written.finish(output).await?;
    progress.settle(0, 1);
    let farmers_blamed = fetcher.blamed().await.iter().map(ToString::to_string).collect();
    drop::<FetchGuard>(guard);
    Ok(report(&record, wanted.end - wanted.start, started, first_byte, farmers_blamed))
}

fn report(
    record: &ContentRecord,
    bytes: u64,
    started: Instant,
    first_byte_seconds: Option<f64>,
    farmers_blamed: Vec<String>,
) -> GetReport {
    let seconds = started.elapsed().as_secs_f64();
    let first_byte_seconds = first_byte_seconds.unwrap_or(seconds);
    GetReport { name: record.name.clone(), bytes, seconds, first_byte_seconds, farmers_blamed }
}

/// The part of the file that is asked for.
///
/// # Errors
/// [`OwnerError::WrongRange`] if it begins behind the file's end.
pub(crate) fn wanted(record: &ContentRecord, request: &GetRequest) -> Result<Range<u64>, OwnerError> {
    let bytes = record.bytes;
    if request.offset > bytes {
        return Err(OwnerError::WrongRange { bytes });
    }
    let end = request.bytes.map_or(bytes, |wanted| request.offset.saturating_add(wanted).min(bytes));
    Ok(request.offset..end)
}

struct Reading<'a> {
    owner: &'a Arc<Inner>,
    fetcher: &'a Fetcher,
    record: &'a ContentRecord,
    progress: &'a Arc<Progress>,
    started: Instant,
}

impl Reading<'_> {
    /// Writes these bytes of the file, and tells when the first of them was there.
    async fn all(&self, wanted: Range<u64>, file: PartFile) -> Result<(PartFile, Option<f64>), OwnerError> {
        let mut file = file;
        let mut first_byte = None;
        let plan = self.windows(&wanted).await?;
        let ranges: Vec<(usize, Range<u64>)> = item_ranges(&self.record.items, &wanted);
        // Tasks of their own, so that they go on while what came before is written.
        let fetching =
            plan.into_iter().map(|(window, placement)| {
                let fetcher = self.fetcher.clone();
                let fetching =
                    async move { fetch_sealed(&fetcher, &placement, &window).await.map(|b| (window, b)) };
                async move {
                    AbortOnDropHandle::new(tokio::spawn(fetching)).await.map_err(|_| OwnerError::Stopped)?
                }
            });
        let mut fetched = stream::iter(fetching).buffered(WINDOWS);
        let mut opening: Option<Opening> = None;
        while let Some(next) = fetched.next().await {
            let (window, bytes) = next?;
            if opening.as_ref().is_none_or(|opening| opening.index != window.item) {
                let plain = ranges.iter().find(|(index, _)| *index == window.item);
                let plain = plain.map_or(0..0, |(_, plain)| plain.clone());
                opening = Some(Opening::new(window.item, &self.record.items[window.item], plain));
            }
            let current = opening.take().ok_or(OwnerError::Stopped)?;
            let (current, written, moved) = open_and_write(current, bytes, file, &self.record.name).await?;
            (opening, file) = (Some(current), written);
            first_byte = first_byte.or_else(|| (moved > 0).then(|| self.started.elapsed().as_secs_f64()));
            self.progress.settle(moved, 0);
        }
        Ok((file, first_byte))
    }

    async fn windows(&self, wanted: &Range<u64>) -> Result<Vec<(Window, Arc<PlacementRecord>)>, OwnerError> {
        let mut all = Vec::new();
        for (index, plain) in item_ranges(&self.record.items, wanted) {
            let item = &self.record.items[index];
            let placement = self.owner.catalog.placement(item.segment).await?;
            let first = if all.is_empty() { FIRST_WINDOW } else { u64::MAX };
            let windows = windows(index, item, plain, &placement, first)?;
            all.extend(windows.into_iter().map(|window| (window, placement.clone())));
        }
        Ok(all)
    }
}

/// A window's bytes of the segment.
pub(crate) async fn fetch_sealed(
    fetcher: &Fetcher,
    placement: &Arc<PlacementRecord>,
    window: &Window,
) -> Result<Vec<u8>, OwnerError> {
    if let Some(bytes) = fetcher.few_cells(placement, window.sealed.clone()).await? {
        return Ok(bytes);
    }
    let held = layout(placement)?.stripes_range(window.stripes.clone());
    let mut bytes = fetcher.stripes(placement, window.stripes.clone()).await?;
    bytes.truncate((window.sealed.end - held.start) as usize);
    bytes.drain(..(window.sealed.start - held.start) as usize);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hayloft_core::{SegmentId, manifest::SecretKey};

    fn item(bytes: u64) -> Item {
        let key = SecretKey::random(&mut rand::rng());
        Item { id: [0; 16], segment: SegmentId([0; 32]), offset: 0, bytes, key }
    }

    #[test]
    fn a_range_takes_from_each_item_only_what_lies_in_it() {
        let items = [item(10), item(5), item(20)];
        assert_eq!(item_ranges(&items, &(0..35)), [(0, 0..10), (1, 0..5), (2, 0..20)]);
        assert_eq!(item_ranges(&items, &(9..16)), [(0, 9..10), (1, 0..5), (2, 0..1)]);
        assert_eq!(item_ranges(&items, &(10..15)), [(1, 0..5)]);
        assert_eq!(item_ranges(&items, &(35..35)), []);
    }

    #[test]
    fn an_empty_file_still_proves_its_one_chunk() {
        assert_eq!(item_ranges(&[item(0)], &(0..0)), [(0, 0..0)]);
    }
}
