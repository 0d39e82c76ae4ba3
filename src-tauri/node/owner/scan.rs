//! Which files a put is about: paths become sources with names, and everything that can be refused by looking at the
//! disk is refused before a byte is sent.
//!
//! A path named directly must be a readable file or folder; a link to one is followed. Inside folders, links and
//! special files are skipped, and unreadable files and those with names that cannot be kept are left out; all are counted
//! for a warning.

use std::{
    collections::HashSet,
    fs::{File, Metadata, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use walkdir::WalkDir;

use super::error::OwnerError;
use crate::model::PutRequest;

/// Longest name of a file, in bytes.
pub(crate) const NAME_BYTES: usize = 1024;
/// How coarse the time of a change may be, and that of a write (FAT).
const CHANGE_TICK: Duration = Duration::from_millis(50);
/// What a name has to be like.
const RULES: &str =
    "names are Unicode without control characters, and at most 1,024 bytes long with their folders.";
const WRITE_TICK: Duration = Duration::from_millis(2500);

/// Links and special files that are named when they are left out.
const FIRST_SKIPPED: usize = 3;

/// What tells whether a file on the disk is still the one that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    modified_ns: u64,
    /// When anything about it last changed, which nobody can set back, and its number on its disk; zero where the system
    /// does not tell.
    changed_ns: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of an open or named file.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified_ns = metadata.modified().map_or(0, since_1970);
        let (changed_ns, inode) = identity(metadata);
        Self { bytes: metadata.len(), modified_ns, changed_ns, inode }
    }

    /// Whether the file changed so shortly before `now` that another change could leave the same stamp: clocks of file
    /// systems tick slowly.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        let tick = if self.changed_ns > 0 { CHANGE_TICK } else { WRITE_TICK };
        u128::from(since_1970(now).saturating_sub(self.changed_ns.max(self.modified_ns))) < tick.as_nanos()
    }
}

fn since_1970(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let changed_ns = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    (u64::try_from(changed_ns).unwrap_or(0), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// A file to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it is on this disk.
    pub(crate) path: PathBuf,
    /// What it will be called.
    pub(crate) name: String,
    /// What it looked like.
    pub(crate) stamp: Stamp,
}

/// All files of a put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// In a fixed order: paths as given, folders by name.
    pub(crate) sources: Vec<Source>,
    /// Links and special files inside folders.
    pub(crate) skipped: u64,
    /// The first of them.
    pub(crate) first_skipped: Vec<PathBuf>,
    /// Folders inside folders with nothing in them: only files are kept.
    pub(crate) empty: u64,
    /// Files and folders inside folders that cannot be read.
    pub(crate) unreadable: u64,
    /// Files inside folders whose names are not allowed or not Unicode.
    pub(crate) misnamed: u64,
    /// The first of them.
    pub(crate) first_misnamed: Option<PathBuf>,
}

impl Scan {
    /// Plain bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.stamp.bytes).fold(0, u64::saturating_add)
    }

    /// What the person should know about what was left out.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let first: Vec<String> = self.first_skipped.iter().map(|path| format!("{path:?}")).collect();
        let (first, rest) = (first.join(", "), self.skipped.saturating_sub(first.len() as u64));
        let skipped = match (self.skipped, rest) {
            (0, _) => None,
            (1, _) => Some(format!("One link or special file is left out: {first}.")),
            (count, 0) => Some(format!("{count} links or special files are left out: {first}.")),
            (count, rest) => {
                Some(format!("{count} links or special files are left out: {first} and {rest} more."))
            }
        };
        let empty = match self.empty {
            0 => None,
            1 => Some("One empty folder is left out: only files are stored.".to_owned()),
            count => Some(format!("{count} empty folders are left out: only files are stored.")),
        };
        let unreadable = match self.unreadable {
            0 => None,
            1 => Some("One file cannot be read and is left out.".to_owned()),
            count => Some(format!("{count} files cannot be read and are left out.")),
        };
        let misnamed = self.first_misnamed.as_ref().map(|first| match self.misnamed {
            0 | 1 => format!("{first:?} is left out: {RULES}"),
            count => format!("{count} files are left out, {first:?} among them: {RULES}"),
        });
        skipped.into_iter().chain(empty).chain(unreadable).chain(misnamed).collect()
    }
}

/// Opens a file to read it. What is no file any more, as a pipe that took its place, is an error and never waited for.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file any more")) }
}

/// Finds the files of a put.
///
/// # Errors
/// [`OwnerError`] if a path named directly is missing or unreadable, a name is not allowed or occurs twice, or there
/// is nothing to store.
pub(crate) fn scan(paths: &[PathBuf], name: Option<&str>) -> Result<Scan, OwnerError> {
    match (paths, name) {
        ([], _) => return Err(OwnerError::NothingNamed),
        ([_, _, ..], Some(_)) => return Err(OwnerError::OneNameForSeveral),
        _ => {}
    }
    let mut found = Scan::default();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|cause| unreadable(path, cause))?;
        let top = match name {
            Some(name) => name.to_owned(),
            None => own_name(path)?,
        };
        check_name(&top)?;
        if metadata.is_dir() {
            scan_folder(path, &top, &mut found)?;
        } else if metadata.is_file() {
            open(path).map_err(|cause| unreadable(path, cause))?;
            found.sources.push(Source { path: path.clone(), name: top, stamp: Stamp::of(&metadata) });
        } else {
            return Err(OwnerError::NotAFile(path.clone()));
        }
    }
    are_told_apart(&found.sources)?;
    if found.sources.is_empty() {
        return Err(OwnerError::EmptyFolder(paths.first().cloned().unwrap_or_default()));
    }
    Ok(found)
}

/// What the files and folders of a put are called.
///
/// # Errors
/// [`OwnerError`] if one has no name of its own.
pub(crate) fn top_names(request: &PutRequest) -> Result<Vec<String>, OwnerError> {
    match &request.name {
        Some(name) => Ok(vec![name.clone()]),
        None => request.paths.iter().map(|path| own_name(path)).collect(),
    }
}

fn scan_folder(folder: &Path, top: &str, found: &mut Scan) -> Result<(), OwnerError> {
    std::fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))?;
    // A trailing slash makes walkdir look through a link to the folder itself.
    for entry in WalkDir::new(folder.join("")).min_depth(1).sort_by_file_name() {
        let Ok(entry) = entry else {
            found.unreadable += 1;
            continue;
        };
        let kind = entry.file_type();
        if kind.is_dir() {
            let is_empty = std::fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
            found.empty += u64::from(is_empty);
            continue;
        }
        if !kind.is_file() {
            found.skipped += 1;
            if found.first_skipped.len() < FIRST_SKIPPED {
                found.first_skipped.push(entry.into_path());
            }
            continue;
        }
        let name = entry.path().strip_prefix(folder).ok().and_then(|inner| inner_name(top, inner));
        let Some(name) = name.filter(|name| check_name(name).is_ok()) else {
            found.misnamed += 1;
            found.first_misnamed.get_or_insert_with(|| entry.into_path());
            continue;
        };
        match open(entry.path()).and_then(|file| file.metadata()) {
            Ok(metadata) => {
                found.sources.push(Source { path: entry.into_path(), name, stamp: Stamp::of(&metadata) });
            }
            Err(_) => found.unreadable += 1,
        }
    }
    Ok(())
}

fn inner_name(top: &str, inner: &Path) -> Option<String> {
    let mut name = top.to_owned();
    for part in inner.components() {
        name.push('/');
        name.push_str(part.as_os_str().to_str()?);
    }
    Some(name)
}

fn own_name(path: &Path) -> Result<String, OwnerError> {
    let last = match path.file_name() {
        Some(last) => Some(last.to_owned()),
        None => std::fs::canonicalize(path).ok().and_then(|full| full.file_name().map(ToOwned::to_owned)),
    };
    let last = last.ok_or_else(|| OwnerError::NoOwnName(path.to_owned()))?;
    last.into_string().map_err(|_| OwnerError::NotUnicode(path.to_owned()))
}

fn unreadable(path: &Path, cause: std::io::Error) -> OwnerError {
    match cause.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            OwnerError::NoSuchPath(path.to_owned())
        }
        _ => OwnerError::Unreadable { path: path.to_owned(), cause },
    }
}

fn are_told_apart(sources: &[Source]) -> Result<(), OwnerError> {
    let mut names = HashSet::with_capacity(sources.len());
    for source in sources {
        if !names.insert(source.name.as_str()) {
            return Err(OwnerError::SameNameTwice(source.name.clone()));
        }
    }
    Ok(())
}

/// Whether a file may be called so: 1 to [`NAME_BYTES`] bytes of Unicode without control characters, whose parts between
/// slashes can be names in folders.
///
/// # Errors
/// [`OwnerError`] that says which rule it breaks.
pub(crate) fn check_name(name: &str) -> Result<(), OwnerError> {
    if name.is_empty() {
        return Err(OwnerError::NoName);
    }
    if name.len() > NAME_BYTES {
        return Err(OwnerError::LongName { bytes: name.len() });
    }
    if name.chars().any(char::is_control) {
        return Err(OwnerError::ControlInName);
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(OwnerError::PathInName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).expect("a pipe can be made");
        assert!(open(&path).expect_err("it is no file").to_string().contains("no file any more"));
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temp folder can be made")
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("inside a folder")).expect("a folder can be made");
        std::fs::write(path, text).expect("a file can be written");
    }

    fn names(found: &Scan) -> Vec<&str> {
        found.sources.iter().map(|source| source.name.as_str()).collect()
    }

    #[test]
    fn names_in_a_folder_begin_with_the_folders_name() {
        let dir = folder();
        write(&dir.path().join("photos/b/2.jpg"), "two");
        write(&dir.path().join("photos/ä.jpg"), "one");
        let found = scan(&[dir.path().join("photos/")], None).expect("a readable folder");
        assert_eq!(names(&found), ["photos/b/2.jpg", "photos/ä.jpg"]);
        assert_eq!(found.bytes(), 6);
        let renamed = scan(&[dir.path().join("photos")], Some("2026")).expect("a readable folder");
        assert_eq!(names(&renamed), ["2026/b/2.jpg", "2026/ä.jpg"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_when_named_and_skipped_inside_a_folder() {
        let dir = folder();
        write(&dir.path().join("photos/1.jpg"), "one");
        let link = dir.path().join("photos/link.jpg");
        std::os::unix::fs::symlink(dir.path().join("photos/1.jpg"), &link).expect("a link can be made");
        let to_folder = dir.path().join("album");
        std::os::unix::fs::symlink(dir.path().join("photos"), &to_folder).expect("a link can be made");

        assert_eq!(names(&scan(&[link], None).expect("a link to a file")), ["link.jpg"]);
        let found = scan(&[dir.path().join("photos")], None).expect("a readable folder");
        assert_eq!((names(&found), found.skipped), (vec!["photos/1.jpg"], 1));
        assert_eq!(found.warnings().len(), 1);
        assert!(found.warnings()[0].contains("photos/link.jpg"), "{:?}", found.warnings());
        assert_eq!(names(&scan(&[to_folder], None).expect("a link to a folder")), ["album/1.jpg"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_left_out_of_a_folder_is_told_the_first_of_it_by_name() {
        let dir = folder();
        write(&dir.path().join("photos/1.jpg"), "one");
        for number in 0..5 {
            let link = dir.path().join(format!("photos/link-{number}"));
            std::os::unix::fs::symlink("1.jpg", link).expect("a link can be made");
        }
        std::fs::create_dir_all(dir.path().join("photos/new/empty")).expect("a folder can be made");
        let found = scan(&[dir.path().join("photos")], None).expect("a readable folder");
        let said = found.warnings();
        assert!(
            said[0].starts_with("5 links") && said[0].contains("link-2") && said[0].ends_with("and 2 more.")
        );
        assert_eq!(said[1], "One empty folder is left out: only files are stored.");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_whose_time_was_set_back_has_another_stamp() {
        let dir = folder();
        let path = dir.path().join("film");
        write(&path, "one");
        let before = std::fs::metadata(&path).expect("it is there");
        let stamp = Stamp::of(&before);
        assert!(stamp.is_fresh(SystemTime::now()), "it was written just now");
        assert!(!stamp.is_fresh(SystemTime::now() + Duration::from_secs(1)));
        // The clock of the file system has to tick once before a change can be told.
        while Stamp::of(&std::fs::metadata(&path).expect("it is there")) == stamp {
            write(&path, "two");
            let file = File::options().write(true).open(&path).expect("it opens");
            file.set_modified(before.modified().expect("a time")).expect("its time can be set");
        }
        let after = Stamp::of(&std::fs::metadata(&path).expect("it is there"));
        assert_eq!((after.bytes, after.modified_ns), (stamp.bytes, stamp.modified_ns));
    }

    #[test]
    fn what_is_missing_empty_or_double_is_refused() {
        let dir = folder();
        write(&dir.path().join("a/x"), "1");
        write(&dir.path().join("b/x"), "2");
        let gone = dir.path().join("gone");
        assert!(matches!(scan(&[gone], None), Err(OwnerError::NoSuchPath(_))));
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).expect("a folder can be made");
        assert!(matches!(scan(&[empty], None), Err(OwnerError::EmptyFolder(_))));
        let twice = [dir.path().join("a/x"), dir.path().join("b/x")];
        assert!(matches!(scan(&twice, None), Err(OwnerError::SameNameTwice(_))));
        assert!(matches!(scan(&twice, Some("x")), Err(OwnerError::OneNameForSeveral)));
        assert!(matches!(scan(&[], None), Err(OwnerError::NothingNamed)));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_cannot_be_kept_are_left_out_of_a_folder_and_one_is_named() {
        use std::os::unix::ffi::OsStringExt as _;
        let dir = folder();
        write(&dir.path().join("music/a"), "1");
        write(&dir.path().join("music/Icon\r"), "2");
        let found = scan(&[dir.path().join("music")], None).expect("a readable folder");
        assert_eq!((names(&found), found.misnamed), (vec!["music/a"], 1));
        assert!(found.warnings()[0].contains(r"music/Icon\r"), "{:?}", found.warnings());
        write(&dir.path().join("music").join(std::ffi::OsString::from_vec(vec![0xff])), "3");
        let long = vec!["x".repeat(250); 5].join("/");
        write(&dir.path().join("music").join(long), "4");
        let found = scan(&[dir.path().join("music")], None).expect("a readable folder");
        assert_eq!((names(&found), found.misnamed, found.unreadable), (vec!["music/a"], 3, 0));
        assert!(found.warnings()[0].starts_with("3 files are left out"), "{:?}", found.warnings());
        let bad = dir.path().join("Icon\r");
        std::fs::rename(dir.path().join("music"), &bad).expect("renamed");
        assert!(matches!(scan(&[bad], None), Err(OwnerError::ControlInName)));
    }

    #[test]
    fn names_of_any_script_and_300_characters_pass_and_control_characters_do_not() {
        assert!(check_name("Ünïcode 文件 🦀 עברית").is_ok());
        assert!(check_name(&"🦀".repeat(256)).is_ok());
        assert!(check_name(&"x".repeat(300)).is_ok());
        assert!(matches!(check_name(&"x".repeat(1025)), Err(OwnerError::LongName { bytes: 1025 })));
        assert!(matches!(check_name(""), Err(OwnerError::NoName)));
        assert!(matches!(check_name("a\nb"), Err(OwnerError::ControlInName)));
    }

    #[test]
    fn names_that_would_lead_out_of_a_folder_or_nowhere_are_refused() {
        for name in ["a/", "/", "/a", "a//b", ".", "..", "../../x", "a/./b", "a/.."] {
            assert!(matches!(check_name(name), Err(OwnerError::PathInName)), "{name}");
        }
        for name in [".a", "..a", "a/.b/c.", "..."] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
