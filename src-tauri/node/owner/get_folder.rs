//! Bringing a stored folder back: all files whose names begin with its name. Small files that share a segment are fetched
//! together, each stripe once; large ones come one after the other.
//!
//! Everything is written to a folder beside the output, each file synced, and renamed when all of it is right. A get
//! that begins again keeps what is whole there.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Write as _},
    ops::Range,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use futures::{StreamExt, TryStreamExt, stream};
use hayloft_core::{
    SegmentId,
    content::ItemReader,
    manifest::{ContentRecord, Item},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    Inner, OwnerError,
    fetch::{FetchGuard, Fetcher},
    get::{Brought, Window, bring, fetch_sealed},
    opening::Sealed,
    output::{blocking, private, sync_folder},
    patience::Patience,
};
use crate::{
    jobs::{JobContext, Run},
    model::{GetReport, GetRequest},
};

/// Files up to this size that lie in one segment are fetched with their neighbours.
const SMALL: u64 = 1024 * 1024;
/// Stretches of segments fetched at once.
const STRETCHES: usize = 2;
/// Bytes between two files of a stretch that are fetched for nothing, rather than asking twice.
const GAP: u64 = 256 * 1024;
/// Files written and synced at once: their syncs share the disk's journal.
const WRITERS: usize = 8;

/// A file of the folder.
#[derive(Clone)]
struct Wanted {
    record: Arc<ContentRecord>,
    path: PathBuf,
}

/// Small files that lie near each other in one segment.
struct Stretch {
    segment: SegmentId,
    files: Vec<Wanted>,
}

/// The files of a folder, by name; none if nothing is stored under it.
pub(crate) async fn files(owner: &Inner, folder: &str) -> Result<Vec<ContentRecord>, OwnerError> {
    let mut files = Vec::new();
    for stored in owner.catalog.store.files().await? {
        let record = owner.catalog.readable(&stored);
        files.extend(record.filter(|record| within(&record.name, folder).is_some()));
    }
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Takes out the files whose name is also that of a folder of others, as no disk has both, and says so.
fn without_folders(records: Vec<ContentRecord>) -> (Vec<ContentRecord>, Option<String>) {
    let above = |name: &str| name.match_indices('/').map(|(at, _)| name[..at].to_owned()).collect::<Vec<_>>();
    let folders: HashSet<String> = records.iter().flat_map(|record| above(&record.name)).collect();
    let (out, files): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| folders.contains(&record.name));
    let said = out.first().map(|ContentRecord { name, .. }| match out.len() {
        1 => format!("“{name}” is left out, because it is a folder too: bring it back by itself."),
        count => format!(
            "{count} files are left out, “{name}” among them, because they are folders too: bring them back by themselves."
        ),
    });
    (files, said)
}

/// What follows the folder's name; none if the file is not in it.
fn within<'a>(name: &'a str, folder: &str) -> Option<&'a str> {
    name.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')
}

/// Where a file of the folder goes below `top`; never out of it.
fn place(top: &Path, name: &str, folder: &str) -> Result<PathBuf, OwnerError> {
    let unsafe_name = || OwnerError::UnsafeName(name.to_owned());
    let below = Path::new(within(name, folder).ok_or_else(unsafe_name)?);
    let mut components = below.components().peekable();
    let plain = components.peek().is_some() && components.all(|part| matches!(part, Component::Normal(_)));
    if plain { Ok(top.join(below)) } else { Err(unsafe_name()) }
}

/// Brings the folder back, and says what is left out. May be dropped at any time and begun again with the same job.
pub(crate) async fn get_folder(
    owner: &Arc<Inner>,
    request: &GetRequest,
    records: Vec<ContentRecord>,
    part: PathBuf,
    context: &JobContext,
) -> Result<(GetReport, Option<String>), OwnerError> {
    let started = Instant::now();
    let (records, left_out) = without_folders(records);
    let bytes: u64 = records.iter().map(|record| record.bytes).sum();
    let count = records.len() as u64;
    context.progress.expect(bytes, count);
    let mut wanted = Vec::with_capacity(records.len());
    for record in records {
        let path = place(&part, &record.name, &request.name)?;
        wanted.push(Wanted { record: Arc::new(record), path });
    }
    if context.run != Run::First && !part.exists() {
        context.no_way_back().await;
        if is_there(&context.tasks, request, &wanted).await? {
            context.progress.settle(bytes, wanted.len() as u64);
            return Ok((report(request, bytes, started, None, Vec::new()), left_out));
        }
        context.turn_back();
    }
    let (fetcher, guard) = Fetcher::new(owner.clone());
    let mut first_byte = None;
    let large = bring_small(owner, &fetcher, &part, wanted, context, started, &mut first_byte).await?;
    let small_bytes = bytes - large.iter().map(|file| file.record.bytes).sum::<u64>();
    let mut done = (small_bytes, count - large.len() as u64);
    for file in large {
        let wanted = 0..file.record.bytes;
        let brought = bring(owner, &fetcher, &file.record, wanted, file.path.clone(), context, done).await?;
        let Brought { file: whole, first_byte: at } = brought;
        first_byte = first_byte.or_else(|| at.map(|at| (at - started).as_secs_f64()));
        whole.sync(&context.tasks).await?;
        context.progress.settle(0, 1);
        done = (done.0 + file.record.bytes, done.1 + 1);
    }
    let (output, overwrite) = (request.output.clone(), request.overwrite);
    let farmers_blamed = fetcher.blamed().await.iter().map(ToString::to_string).collect();
    drop::<FetchGuard>(guard);
    context.no_way_back().await;
    blocking(&context.tasks, move || settle(&part, &output, overwrite)).await?;
    Ok((report(request, bytes, started, first_byte, farmers_blamed), left_out))
}

/// Brings the small files, and gives the others that are missing. While something came of it, it waits for farmers.
async fn bring_small(
    owner: &Inner,
    fetcher: &Fetcher,
    part: &Path,
    wanted: Vec<Wanted>,
    context: &JobContext,
    started: Instant,
    first_byte: &mut Option<f64>,
) -> Result<Vec<Wanted>, OwnerError> {
    let progress = &context.progress;
    let mut patience = Patience::new(context.run == Run::GoneOn, owner.started);
    loop {
        let (top, all) = (part.to_owned(), wanted.clone());
        let (missing, whole) = blocking(&context.tasks, move || sort_out(&top, all)).await?;
        progress.restart();
        let kept: u64 = whole.iter().map(|file| file.record.bytes).sum();
        progress.settle(kept, whole.len() as u64);
        let (small, large): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|file| file.record.bytes <= SMALL && file.record.items.len() == 1);
        let mut stretches =
            stream::iter(stretches(small)).map(|stretch| fetch(fetcher, stretch)).buffered(STRETCHES);
        let error = loop {
            match stretches.try_next().await {
                Ok(None) => return Ok(large),
                Ok(Some((files, begin, sealed))) => {
                    first_byte.get_or_insert_with(|| started.elapsed().as_secs_f64());
                    let written = write_all(&context.tasks, files, begin, sealed).await?;
                    progress.settle(written.0, written.1);
                }
                Err(error @ (OwnerError::TooFewAnswer { .. } | OwnerError::Offline)) => break error,
                Err(error) => return Err(error),
            }
        };
        drop(stretches);
        if !patience.lasts(progress.look().done_bytes > kept) {
            return Err(error);
        }
        progress.say(Some(format!("Waiting for farmers. {error}")));
        patience.wait().await;
        progress.say(None);
    }
}

fn report(
    request: &GetRequest,
    bytes: u64,
    started: Instant,
    first_byte: Option<f64>,
    farmers_blamed: Vec<String>,
) -> GetReport {
    let seconds = started.elapsed().as_secs_f64();
    let first_byte_seconds = first_byte.unwrap_or(seconds);
    GetReport { name: request.name.clone(), bytes, seconds, first_byte_seconds, farmers_blamed }
}

/// Whether an earlier run came as far as naming the folder.
async fn is_there(tasks: &TaskTracker, request: &GetRequest, wanted: &[Wanted]) -> Result<bool, OwnerError> {
    let (output, name) = (request.output.clone(), request.name.clone());
    let records: Vec<Arc<ContentRecord>> = wanted.iter().map(|file| file.record.clone()).collect();
    blocking(tasks, move || {
        for record in records {
            let path = place(&output, &record.name, &name)?;
            if !is_whole(&Wanted { record, path }) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OwnerError {
    let path = path.to_owned();
    move |cause| OwnerError::Output { path, cause }
}

/// Makes all folders, and tells files that an earlier run has left whole from those to fetch.
fn sort_out(top: &Path, wanted: Vec<Wanted>) -> Result<(Vec<Wanted>, Vec<Wanted>), OwnerError> {
    let resumed = top.is_dir();
    fs::create_dir_all(top).map_err(failed(top))?;
    for folder in wanted.iter().filter_map(|file| file.path.parent()) {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    Ok(wanted.into_iter().partition(|file| !(resumed && is_whole(file))))
}

fn is_whole(file: &Wanted) -> bool {
    let hash = || -> io::Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&file.path)?)?;
        Ok(*hasher.finalize().as_bytes())
    };
    let same_length = fs::metadata(&file.path).is_ok_and(|found| found.len() == file.record.bytes);
    same_length && hash().is_ok_and(|hash| hash == file.record.hash)
}

/// Puts small files that lie near each other into one stretch, in the segments' order.
fn stretches(small: Vec<Wanted>) -> Vec<Stretch> {
    let mut by_segment: BTreeMap<SegmentId, Vec<Wanted>> = BTreeMap::new();
    for file in small {
        by_segment.entry(file.record.items[0].segment).or_default().push(file);
    }
    let mut stretches: Vec<Stretch> = Vec::new();
    for (segment, mut files) in by_segment {
        files.sort_unstable_by_key(|file| file.record.items[0].offset);
        let mut end = None;
        for file in files {
            let item = &file.record.items[0];
            let near = end.is_some_and(|end| item.offset <= end + GAP);
            end = Some(item.offset + item.sealed_bytes());
            match stretches.last_mut() {
                Some(stretch) if near => stretch.files.push(file),
                _ => stretches.push(Stretch { segment, files: vec![file] }),
            }
        }
    }
    stretches
}

/// Fetches a stretch, in a task of its own; gives its files, where it begins in the segment, and its bytes.
async fn fetch(fetcher: &Fetcher, stretch: Stretch) -> Result<(Vec<Wanted>, u64, Sealed), OwnerError> {
    let placement = fetcher.placement(stretch.segment).await?;
    let (first, last) =
        (&stretch.files[0].record.items[0], &stretch.files[stretch.files.len() - 1].record.items[0]);
    let sealed = first.offset..last.offset + last.sealed_bytes();
    let stripes = placement.layout()?.stripes_of(sealed.clone());
    let (fetcher, begin) = (fetcher.clone(), sealed.start);
    let window = Window { item: 0, stripes, sealed };
    let fetching = tokio::spawn(async move { fetch_sealed(&fetcher, &placement, &window).await });
    let sealed = AbortOnDropHandle::new(fetching).await.map_err(|_| OwnerError::Stopped)??;
    Ok((stretch.files, begin, sealed))
}

/// Opens and writes the files of a stretch; answers how many bytes and files.
async fn write_all(
    tasks: &TaskTracker,
    files: Vec<Wanted>,
    begin: u64,
    sealed: Sealed,
) -> Result<(u64, u64), OwnerError> {
    let bytes = blocking(tasks, move || {
        let mut bytes = Vec::new();
        sealed.each(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Arc::new(bytes))
    });
    let (bytes, each) = (bytes.await?, files.len().div_ceil(WRITERS).max(1));
    let parts = files.chunks(each).map(|files| {
        let (files, bytes) = (files.to_vec(), bytes.clone());
        blocking(tasks, move || files.iter().map(|file| write(file, begin, &bytes)).sum())
    });
    let written = futures::future::try_join_all(parts.collect::<Vec<_>>()).await?;
    Ok((written.iter().sum(), files.len() as u64))
}

/// Opens one file's item out of a stretch's bytes, writes it and syncs it; answers its bytes.
fn write(file: &Wanted, begin: u64, stretch: &[u8]) -> Result<u64, OwnerError> {
    let (record, item): (_, &Item) = (&file.record, &file.record.items[0]);
    let damaged = || OwnerError::Damaged(record.name.clone());
    let from = usize::try_from(item.offset - begin).map_err(|_| damaged())?;
    let range: Range<usize> = from..from + item.sealed_bytes() as usize;
    let mut sealed = stretch.get(range).ok_or_else(damaged)?.to_vec();
    let mut plain = Vec::with_capacity(item.bytes as usize);
    let opened = ItemReader::new(item, 0..item.bytes).push(&mut sealed, &mut |bytes| {
        plain.extend_from_slice(bytes);
        Ok::<(), OwnerError>(())
    });
    if opened.is_err() || *blake3::hash(&plain).as_bytes() != record.hash {
        return Err(damaged());
    }
    let mut open = private().create(true).truncate(true).open(&file.path).map_err(failed(&file.path))?;
    open.write_all(&plain).and_then(|()| open.sync_data()).map_err(failed(&file.path))?;
    Ok(record.bytes)
}

/// Gives the folder its name; with `overwrite`, its files come into the folder that is there.
fn settle(part: &Path, output: &Path, overwrite: bool) -> Result<(), OwnerError> {
    sync_folders(part).map_err(failed(part))?;
    crash_point!(FolderWritten);
    match fs::symlink_metadata(output) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            fs::rename(part, output).map_err(failed(output))?;
            crash_point!(FolderNamed);
        }
        _ if overwrite && output.is_dir() => move_into(part, output)?,
        _ => return Err(OwnerError::OutputTaken(output.to_owned())),
    }
    sync_folder(output).map_err(failed(output))
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(&folder.join("."))
}

fn move_into(part: &Path, output: &Path) -> Result<(), OwnerError> {
    fs::create_dir_all(output).map_err(failed(output))?;
    for entry in fs::read_dir(part).map_err(failed(part))? {
        let entry = entry.map_err(failed(part))?;
        let target = output.join(entry.file_name());
        if entry.file_type().map_err(failed(part))?.is_dir() {
            move_into(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target).map_err(failed(&target))?;
            crash_point!(FileMovedIntoFolder);
        }
    }
    crash_point!(FolderFilled);
    fs::remove_dir(part).map_err(failed(part))?;
    sync_folders(output).map_err(failed(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_folder_never_leads_out_of_it() {
        let top = Path::new("/top");
        assert_eq!(place(top, "album/a/b.jpg", "album").expect("plain"), top.join("a/b.jpg"));
        assert_eq!(place(top, "album/a/b.jpg", "album/").expect("plain"), top.join("a/b.jpg"));
        for name in ["album/../x", "album/", "album//etc/x", "albums/x", "album", "other/x"] {
            assert!(place(top, name, "album").is_err(), "{name}");
        }
    }
}
