//! What the log has of sealed records, to compare rows with: nobody here can open a record, but whoever changes one
//! changes it in both places.
//!
//! Deliberately absent: the records themselves. Only their digests are kept, so that a long log fits into memory.

use std::{collections::HashMap, io, path::Path};

use hayloft_core::SegmentId;

use super::{
    Entry,
    log::{Head, Reading},
};

type Digest = [u8; 32];

/// Digests of the records that the log has, up to some head.
#[derive(Debug, Default)]
pub(super) struct Copies {
    contents: HashMap<[u8; 32], Digest>,
    placements: HashMap<SegmentId, Digest>,
}

impl Copies {
    /// What the log at `path` says up to `head`; none if it does not come so far.
    pub(super) fn read(path: &Path, marker: &[u8; 16], head: &Head) -> io::Result<Option<Self>> {
        let Some(mut reading) = Reading::begin(path, marker)? else { return Ok(None) };
        let mut copies = Self::default();
        while reading.head.check != head.check {
            let Some(entries) = reading.next()? else { return Ok(None) };
            entries.iter().for_each(|entry| copies.follow(entry));
        }
        Ok(Some(copies))
    }

    fn follow(&mut self, entry: &Entry) {
        match entry {
            Entry::File(file) => drop(self.contents.insert(file.name_key, digest(&file.content))),
            Entry::Kept { name_key, content, .. } => drop(self.contents.insert(*name_key, digest(content))),
            Entry::Segment { segment, .. } => {
                self.placements.insert(segment.segment, digest(&segment.placement));
            }
            Entry::Moved { segment, placement } => drop(self.placements.insert(*segment, digest(placement))),
            // Nobody asks for what has gone, and all else is not sealed.
            _ => {}
        }
    }

    /// Whether the log has this very content under this name.
    pub(super) fn has_content(&self, name_key: &[u8; 32], content: &[u8]) -> bool {
        self.contents.get(name_key) == Some(&digest(content))
    }

    /// Whether the log has this very placement of this segment.
    pub(super) fn has_placement(&self, segment: SegmentId, placement: &[u8]) -> bool {
        self.placements.get(&segment) == Some(&digest(placement))
    }
}

fn digest(record: &[u8]) -> Digest {
    blake3::hash(record).into()
}
