//! What of a put is still to be sent: sources whose content is stored under their name are told apart, and what an
//! earlier run of the job has placed is taken up from its notes.

use std::collections::{HashMap, HashSet};

use hayloft_core::{
    FileId, Timestamp,
    manifest::{ContentRecord, Item},
};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{
    Inner, OwnerError,
    reader::{ToRead, hash_file},
    scan::{Scan, Source, Stamp},
};

/// A part of a file in a placed segment, as the notes of an unfinished job keep it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) name: String,
    pub(crate) file: FileId,
    pub(crate) stamp: Stamp,
    pub(crate) offset: u64,
    pub(crate) item: Item,
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
}

/// Tells sources whose content is stored under their name from those to store.
pub(crate) async fn sort_out(
    owner: &Inner,
    found: Scan,
    replace: bool,
    begun: Timestamp,
) -> Result<Sorted, OwnerError> {
    let mut known = names_taken(owner, &found.sources).await?;
    let mut sorted = Sorted { kept: Vec::new(), fresh: Vec::new() };
    for (order, source) in found.sources.into_iter().enumerate() {
        let Some(record) = known.remove(&source.name) else {
            sorted.fresh.push((order, source));
            continue;
        };
        let same = record.bytes == source.stamp.bytes && record.hash == hash_of(source.clone()).await?;
        if same {
            let by_this_job = record.stored > begun;
            sorted.kept.push(Kept { order, record, by_this_job });
        } else if replace {
            sorted.fresh.push((order, source));
        } else {
            return Err(OwnerError::NameTaken(source.name));
        }
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

/// Adds what an earlier run of the job has placed, as far as the files are still the same.
pub(crate) async fn with_notes(
    owner: &Inner,
    job: u32,
    fresh: Vec<(usize, Source)>,
) -> Result<Vec<Ordered>, OwnerError> {
    let mut notes: HashMap<String, Vec<Note>> = HashMap::new();
    for segment in owner.catalog.store.job_segments(job).await? {
        for note in owner.catalog.open_notes::<Vec<Note>>(&segment.notes)? {
            notes.entry(note.name.clone()).or_default().push(note);
        }
    }
    Ok(fresh.into_iter().map(|(order, source)| resume_file(order, source, &mut notes)).collect())
}

fn resume_file(order: usize, source: Source, notes: &mut HashMap<String, Vec<Note>>) -> Ordered {
    let mut notes = notes.remove(&source.name).unwrap_or_default();
    notes.retain(|note| note.stamp == source.stamp);
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let file = notes.last().map_or(FileId(bytes), |note| note.file);
    let placed =
        notes.into_iter().filter(|note| note.file == file).map(|note| (note.offset, note.item)).collect();
    Ordered { order, to_read: ToRead { source, file, placed } }
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
