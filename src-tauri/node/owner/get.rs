//! Bringing a file back, whole or in part: fetched window by window, opened, written beside the output and renamed when
//! all of it is right. Folders: [`get_folder`].
//!
//! The output is never half written: what comes in goes to a part file in the same folder, which is synced and then
//! renamed. A get that begins again goes on behind what its part file holds; the whole file's hash has the last word. A
//! get that ended just before it could be written down finds its output there, and is done. One that is cancelled is
//! never named: who comes too late for that finds it done.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Instant};

use futures::{StreamExt, stream};
use hayloft_core::manifest::{ContentRecord, Item, PlacementRecord};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner, OwnerError,
    fetch::{FetchGuard, Fetcher},
    get_folder::{self, get_folder},
    opening::{Opening, Sealed, open_and_write},
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
    let layout = placement.layout()?;
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

/// Brings a file or folder back, and says what is left out. May be dropped at any time and begun again with the same job.
pub(crate) async fn get(
    owner: &Arc<Inner>,
    request: &GetRequest,
    part: &str,
    context: &JobContext,
) -> Result<(GetReport, Option<String>), OwnerError> {
    let progress = &context.progress;
    let started = Instant::now();
    let Some(record) = owner.catalog.find(&request.name).await? else {
        let files = folder(owner, request).await?;
        let part = request.output.with_file_name(part);
        return get_folder(owner, request, files, part, context).await;
    };
    let wanted = wanted(&record, request)?;
    progress.expect(wanted.end - wanted.start, 1);
    let part = request.output.with_file_name(part);
    let whole = wanted == (0..record.bytes);
    if context.run != Run::First && whole {
        context.no_way_back().await;
        if output::holds(&request.output, record.bytes, record.hash).await? {
            output::discard(part).await;
            progress.settle(record.bytes, 1);
            return Ok((report(&record, record.bytes, started, None, Vec::new()), None));
        }
        context.turn_back();
    }
    let (fetcher, guard) = Fetcher::new(owner.clone());
    let brought = bring(owner, &fetcher, &record, wanted.clone(), part, context, (0, 0)).await?;
    let Brought { file: written, first_byte } = brought;
    let first_byte = first_byte.map(|at| (at - started).as_secs_f64());
    let output = Output { path: request.output.clone(), overwrite: request.overwrite };
    let farmers_blamed = fetcher.blamed().await.iter().map(ToString::to_string).collect();
    drop::<FetchGuard>(guard);
    context.no_way_back().await;
    written.finish(&context.tasks, output).await?;
    progress.settle(0, 1);
    Ok((report(&record, wanted.end - wanted.start, started, first_byte, farmers_blamed), None))
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

/// A part file that holds all that was wanted.
pub(crate) struct Brought {
    pub(crate) file: PartFile,
    /// When its first byte was there; none if an earlier run had left all of it.
    pub(crate) first_byte: Option<Instant>,
}

/// Brings these bytes of a file into a part file. One that an earlier run has begun is gone on with; the whole file's hash
/// has the last word. Of the job, `before` bytes and files are done already.
pub(crate) async fn bring(
    owner: &Arc<Inner>,
    fetcher: &Fetcher,
    record: &ContentRecord,
    wanted: Range<u64>,
    part: PathBuf,
    context: &JobContext,
    before: (u64, u64),
) -> Result<Brought, OwnerError> {
    let progress = &context.progress;
    let whole = wanted == (0..record.bytes);
    let mut first_byte = None;
    // After a restart farmers have to be found again; one that breaks off half-way may go on soon.
    let mut patience = Patience::new(context.run == Run::GoneOn, owner.started);
    loop {
        let file = PartFile::open(&context.tasks, part.clone(), whole).await?;
        let resumed = file.bytes();
        progress.restart();
        progress.settle(before.0 + resumed, before.1);
        let reading = Reading { owner, fetcher, record, progress };
        let (file, at) = match reading.all(wanted.start + resumed..wanted.end, file).await {
            Ok(read) => read,
            Err(error @ (OwnerError::TooFewAnswer { .. } | OwnerError::Offline)) => {
                if !patience.lasts(progress.look().done_bytes > before.0 + resumed) {
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
            return Ok(Brought { file, first_byte });
        }
        file.discard().await;
        if resumed == 0 {
            return Err(OwnerError::Damaged(record.name.clone()));
        }
    }
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

/// The files of the folder that is asked for.
///
/// # Errors
/// [`OwnerError::NoSuchFile`] if nothing is stored under that name; [`OwnerError::RangeOfFolder`].
pub(crate) async fn folder(owner: &Inner, request: &GetRequest) -> Result<Vec<ContentRecord>, OwnerError> {
    let files = get_folder::files(owner, &request.name).await?;
    if files.is_empty() {
        return Err(OwnerError::NoSuchFile(request.name.clone()));
    }
    if request.offset > 0 || request.bytes.is_some() {
        return Err(OwnerError::RangeOfFolder);
    }
    Ok(files)
}

struct Reading<'a> {
    owner: &'a Arc<Inner>,
    fetcher: &'a Fetcher,
    record: &'a ContentRecord,
    progress: &'a Arc<Progress>,
}

impl Reading<'_> {
    /// Writes these bytes of the file, and tells when the first of them was there.
    async fn all(
        &self,
        wanted: Range<u64>,
        file: PartFile,
    ) -> Result<(PartFile, Option<Instant>), OwnerError> {
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
            first_byte = first_byte.or_else(|| (moved > 0).then(Instant::now));
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
) -> Result<Sealed, OwnerError> {
    if let Some(bytes) = fetcher.few_cells(placement, window.sealed.clone()).await? {
        return Ok(Sealed::Whole(bytes));
    }
    let columns = fetcher.stripes(placement, window.stripes.clone(), window.sealed.clone()).await?;
    Ok(Sealed::Coded(columns))
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
