//! What of a put is still to be sent: sources whose content is stored under their name are told apart, and what an
//! earlier run of the job has placed is taken up from its notes.
//!
//! A placed part is taken up only if the file still has the same bytes from its beginning to the part's end, as its hash
//! shows: sizes and times can lie.

use std::collections::{BTreeMap, HashMap, HashSet};

use hayloft_core::{
    FileId, Timestamp,
    manifest::{ContentRecord, Item},
};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{
    Inner, OwnerError,
    reader::{Placed, ToRead, hash_file, prefixes},
    scan::{Scan, Source},
};

/// A part of a file in a placed segment, as the notes of an unfinished job keep it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) name: String,
    pub(crate) file: FileId,
    pub(crate) offset: u64,
    pub(crate) item: Item,
    /// BLAKE3 of the file from its beginning to the end of this part.
    pub(crate) prefix: [u8; 32],
}

/// A source whose content is stored already.
pub(crate) struct Kept {
    pub(crate) order: usize,
    pub(crate) record: ContentRecord,
    pub(crate) by_this_job: bool,
}

pub(crate) struct Sorted {
    pub(crate) kept: Vec<Kept>,
    pub(crate) fresh: Vec<(usize, Source)>,
    /// Names of files that this job stored and that have other content on this disk since.
    pub(crate) changed_since: Vec<String>,
}

/// Tells sources whose content is stored under their name from those to store. `since` is when the job was begun if this
/// is not its first run: what was stored since then may be its own work.
pub(crate) async fn sort_out(
    owner: &Inner,
    found: Scan,
    replace: bool,
    since: Option<Timestamp>,
) -> Result<Sorted, OwnerError> {
    let mut known = names_taken(owner, &found.sources).await?;
    let mut sorted = Sorted { kept: Vec::new(), fresh: Vec::new(), changed_since: Vec::new() };
    for (order, source) in found.sources.into_iter().enumerate() {
        let Some(record) = known.remove(&source.name) else {
            sorted.fresh.push((order, source));
            continue;
        };
        let same = record.bytes == source.stamp.bytes && record.hash == hash_of(source.clone()).await?;
        let by_this_job = since.is_some_and(|since| record.stored >= since);
        match (same, replace, by_this_job) {
            (true, ..) => {}
            (false, true, _) => {
                sorted.fresh.push((order, source));
                continue;
            }
            (false, false, true) => sorted.changed_since.push(source.name),
            (false, false, false) => return Err(OwnerError::NameTaken(source.name)),
        }
        sorted.kept.push(Kept { order, record, by_this_job });
    }
    Ok(sorted)
}

async fn hash_of(source: Source) -> Result<[u8; 32], OwnerError> {
    tokio::task::spawn_blocking(move || hash_file(&source)).await.map_err(|_| OwnerError::Stopped)?
}

/// The stored files that have names of these sources.
pub(crate) async fn names_taken(
    owner: &Inner,
    sources: &[Source],
) -> Result<HashMap<String, ContentRecord>, OwnerError> {
    const FEW: usize = 32;
    let mut taken = HashMap::new();
    if sources.len() <= FEW {
        for source in sources {
            if let Some(record) = owner.catalog.find(&source.name).await? {
                taken.insert(source.name.clone(), record);
            }
        }
        return Ok(taken);
    }
    let keys: HashSet<[u8; 32]> = sources.iter().map(|source| owner.catalog.key(&source.name)).collect();
    for stored in owner.catalog.store.files().await? {
        if keys.contains(&stored.name_key) {
            let record = owner.catalog.open(&stored)?;
            taken.insert(record.name.clone(), record);
        }
    }
    Ok(taken)
}

/// What an earlier run of the job has placed.
pub(crate) struct Notes(HashMap<String, Vec<Note>>);

impl Notes {
    /// The notes of a job; none on its first run.
    pub(crate) async fn of(owner: &Inner, job: u32) -> Result<Self, OwnerError> {
        let mut notes: HashMap<String, Vec<Note>> = HashMap::new();
        for segment in owner.catalog.store.job_segments(job).await? {
            for note in owner.catalog.open_notes::<Vec<Note>>(&segment.notes)? {
                notes.entry(note.name.clone()).or_default().push(note);
            }
        }
        Ok(Self(notes))
    }

    /// Files of which parts are placed and that are not among `sources` any more.
    pub(crate) fn vanished(&self, sources: &[Source]) -> Vec<String> {
        let there: HashSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let mut gone: Vec<String> =
            self.0.keys().filter(|name| !there.contains(name.as_str())).cloned().collect();
        gone.sort_unstable();
        gone
    }

    /// Adds what is placed of each file, as far as the files are still the same.
    pub(crate) async fn add_to(mut self, fresh: Vec<(usize, Source)>) -> Result<Vec<Ordered>, OwnerError> {
        let resuming = move || {
            let resumed = fresh.into_iter().map(|(order, source)| {
                let notes = self.0.remove(&source.name).unwrap_or_default();
                Ordered { order, to_read: resume_file(source, notes) }
            });
            resumed.collect()
        };
        tokio::task::spawn_blocking(resuming).await.map_err(|_| OwnerError::Stopped)
    }
}

fn resume_file(source: Source, mut notes: Vec<Note>) -> ToRead {
    let end = |note: &Note| note.offset.saturating_add(note.item.bytes);
    notes.sort_by_key(end);
    let ends: Vec<u64> = notes.iter().map(end).collect();
    // A file that cannot be read is told of when it is to be sent.
    let found = if notes.is_empty() { Vec::new() } else { prefixes(&source, &ends).unwrap_or_default() };
    let same = notes.into_iter().zip(found).filter(|(note, found)| note.prefix == *found);
    let same: Vec<Note> = same.map(|(note, _)| note).collect();
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let file = same.last().map_or(FileId(bytes), |note| note.file);
    let mut placed = BTreeMap::new();
    let mut covered = 0;
    // A file that changed to and fro has parts of several runs: those that lie one behind the other are taken.
    for note in same.into_iter().filter(|note| note.file == file) {
        if note.offset >= covered {
            covered = end(&note);
            placed.insert(note.offset, Placed { item: note.item, prefix: note.prefix });
        }
    }
    ToRead { source, file, placed }
}

/// A file to read, with its place among all sources.
pub(crate) struct Ordered {
    pub(crate) order: usize,
    pub(crate) to_read: ToRead,
}

impl std::ops::Deref for Ordered {
    type Target = ToRead;

    fn deref(&self) -> &ToRead {
        &self.to_read
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hayloft_core::{SegmentId, manifest::SecretKey};

    use super::*;
    use crate::owner::scan::Stamp;

    fn source(path: &Path) -> Source {
        let stamp = Stamp::of(&std::fs::metadata(path).expect("it is there"));
        Source { path: path.to_owned(), name: "film".into(), stamp }
    }

    fn note(content: &[u8], file: u8, offset: usize, end: usize) -> Note {
        let key = SecretKey::random(&mut rand::rng());
        let bytes = (end - offset) as u64;
        let item = Item { id: [0; 16], segment: SegmentId([0; 32]), offset: 0, bytes, key };
        let prefix = *blake3::hash(&content[..end]).as_bytes();
        Note { name: "film".into(), file: FileId([file; 32]), offset: offset as u64, item, prefix }
    }

    #[test]
    fn parts_are_taken_up_only_as_far_as_the_file_has_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("film");
        let content: Vec<u8> = (0..=255).cycle().take(900).collect();
        let notes = |content: &[u8]| {
            vec![note(content, 1, 600, 900), note(content, 1, 0, 300), note(content, 1, 300, 600)]
        };
        let taken = |notes| resume_file(source(&path), notes).placed.into_keys().collect::<Vec<_>>();
        std::fs::write(&path, &content).expect("a file can be written");
        assert_eq!(taken(notes(&content)), [0, 300, 600]);
        let mut changed = content.clone();
        changed[450] ^= 1;
        std::fs::write(&path, &changed).expect("a file can be written");
        assert_eq!(taken(notes(&content)), [0]);
        // Parts of the run before the change and of the one after it.
        let both = notes(&content).into_iter().chain([note(&changed, 1, 300, 700)]).collect();
        assert_eq!(taken(both), [0, 300]);
        std::fs::write(&path, &content[..500]).expect("a file can be written");
        assert_eq!(taken(notes(&content)), [0]);
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(taken_of_missing(&path, notes(&content)), 0);
    }

    fn taken_of_missing(path: &Path, notes: Vec<Note>) -> usize {
        let elsewhere = Source { path: path.to_owned(), ..source(path.parent().expect("a folder")) };
        resume_file(elsewhere, notes).placed.len()
    }
}
