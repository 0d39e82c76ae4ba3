//! What should be there: the names of one worker with what was acknowledged under each, and how many farmers each file can
//! do without. Pure: it neither asks nor changes anything.

use std::collections::BTreeMap;

use hayloft_node::model::FileEntry;

use crate::content::Content;

/// Shards of a segment that liars may hold at most: as many as there are at once, and one that left just before another
/// came.
pub(crate) const LIARS_HOLD: u64 = MOST_LIARS as u64 + 1;
/// Liars there may be at once.
pub(crate) const MOST_LIARS: usize = 2;
/// What a put under way can do without at least: farmers enough for that are always there.
pub(crate) const LEAST_SPARE: u64 = 5;

/// A file that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) content: Content,
    /// Shards beyond those needed, when all are there.
    pub(crate) spare: u64,
    /// How many farmers had left for ever when its put began.
    pub(crate) left_before: u64,
}

impl Kept {
    /// How many farmers may be away for it to come back still, after so many have left for ever in all. Less than none if
    /// too many have.
    pub(crate) fn can_spare(&self, left: u64) -> i64 {
        self.spare as i64 - LIARS_HOLD as i64 - (left - self.left_before) as i64
    }
}

/// Something that must never be seen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("“{0}” was acknowledged and is not listed")]
    Missing(String),
    #[error("“{0}” is listed and was never acknowledged")]
    Unknown(String),
    #[error("“{name}” is listed with {found} bytes instead of {wanted:?}")]
    Bytes { name: String, found: u64, wanted: Vec<u64> },
}

/// The names of one worker.
#[derive(Debug, Default)]
pub(crate) struct Model {
    files: BTreeMap<String, Kept>,
}

impl Model {
    pub(crate) fn files(&self) -> &BTreeMap<String, Kept> {
        &self.files
    }

    /// Plain bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|kept| kept.content.bytes).sum()
    }

    pub(crate) fn acknowledged(&mut self, name: String, kept: Kept) {
        self.files.insert(name, kept);
    }

    pub(crate) fn removed(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Compares with the listed files of this worker, and takes over what became of each file of a put that ended without
    /// an acknowledgement: all of it is there, or nothing of it.
    ///
    /// # Errors
    /// [`Wrong`] if anything else is listed, or not listed.
    pub(crate) fn settle(
        &mut self,
        listed: &[FileEntry],
        unacknowledged: &BTreeMap<String, Kept>,
    ) -> Result<(), Wrong> {
        let listed: BTreeMap<&str, &FileEntry> = listed.iter().map(|file| (&*file.name, file)).collect();
        if let Some(missing) = self.files.keys().find(|name| !listed.contains_key(name.as_str())) {
            return Err(Wrong::Missing(missing.clone()));
        }
        for (name, entry) in listed {
            let known = [self.files.get(name), unacknowledged.get(name)];
            let spare = u64::from(entry.n - entry.k);
            let Some(kept) = known.into_iter().flatten().find(|kept| kept.content.bytes == entry.bytes)
            else {
                let wanted: Vec<u64> = known.iter().flatten().map(|kept| kept.content.bytes).collect();
                if wanted.is_empty() {
                    return Err(Wrong::Unknown(name.to_owned()));
                }
                return Err(Wrong::Bytes { name: name.to_owned(), found: entry.bytes, wanted });
            };
            let kept = Kept { spare: kept.spare.min(spare), ..*kept };
            self.files.insert(name.to_owned(), kept);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hayloft_node::model::HealthWord;

    use super::*;

    fn kept(bytes: u64) -> Kept {
        Kept { content: Content { seed: 1, bytes }, spare: 12, left_before: 3 }
    }

    fn entry(name: &str, bytes: u64) -> FileEntry {
        FileEntry {
            name: name.into(),
            bytes,
            stored_bytes: 0,
            dead_bytes: 0,
            stored: 0,
            keep_until: 0,
            renew: false,
            k: 8,
            n: 18,
            alive: 0,
            health: HealthWord::Good,
            warning: None,
        }
    }

    fn model() -> Model {
        Model { files: BTreeMap::from([("a".to_owned(), kept(1)), ("b".to_owned(), kept(2))]) }
    }

    #[test]
    fn what_is_listed_must_be_what_was_acknowledged() {
        let none = BTreeMap::new();
        let settle = |listed: &[FileEntry]| model().settle(listed, &none);
        assert_eq!(settle(&[entry("a", 1), entry("b", 2)]), Ok(()));
        assert_eq!(settle(&[entry("a", 1)]), Err(Wrong::Missing("b".into())));
        assert_eq!(settle(&[entry("a", 1), entry("b", 2), entry("c", 3)]), Err(Wrong::Unknown("c".into())));
        let wrong = Wrong::Bytes { name: "b".into(), found: 3, wanted: vec![2] };
        assert_eq!(settle(&[entry("a", 1), entry("b", 3)]), Err(wrong));
    }

    #[test]
    fn an_unacknowledged_put_left_the_old_file_or_the_new_one_or_none() {
        let begun = BTreeMap::from([("b".to_owned(), kept(20)), ("c".to_owned(), kept(30))]);
        let settle = |listed: &[FileEntry]| {
            let mut model = model();
            model.settle(listed, &begun).map(|()| model.bytes())
        };
        assert_eq!(settle(&[entry("a", 1), entry("b", 2)]), Ok(3));
        assert_eq!(settle(&[entry("a", 1), entry("b", 20)]), Ok(21));
        assert_eq!(settle(&[entry("a", 1), entry("b", 2), entry("c", 30)]), Ok(33));
        assert_eq!(settle(&[entry("a", 1), entry("c", 30)]), Err(Wrong::Missing("b".into())));
        assert!(settle(&[entry("a", 1), entry("b", 2), entry("c", 29)]).is_err(), "half a file");
    }

    #[test]
    fn each_farmer_that_left_since_the_put_costs_a_shard_and_so_does_each_liar() {
        assert_eq!(kept(1).can_spare(3), 12 - LIARS_HOLD as i64);
        assert_eq!(kept(1).can_spare(13), 2 - LIARS_HOLD as i64);
    }
}
