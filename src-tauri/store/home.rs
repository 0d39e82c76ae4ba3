//! The home folder: one node per home, held by a lock, and files that are written whole or not at all.
//!
//! The lock is the operating system's, so it ends with the process however that ends. It holds for as long as the locked file is
//! the one in the home: where that was deleted or replaced, another node may run, and nothing of the owner's is written any more.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use same_file::Handle;
use zeroize::Zeroizing;

/// How the names of files that are being written begin.
pub(crate) const UNFINISHED: &str = ".hayloft-new-";

const LOCK: &str = "lock";
const DEVICE_KEY: &str = "device.key";
const PAYOUT_KEY: &str = "payout.key";
const WALLET_KEY: &str = "wallet.key";

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another node runs on it.
    #[error("another node is running on {home}; stop it, or use another folder with --home")]
    Locked {
        /// The home.
        home: PathBuf,
    },
    /// The folder cannot be made or used.
    #[error("cannot use {home} as a home: {}", crate::disk::plain(source))]
    Io {
        /// The home.
        home: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key's file is not a key.
    #[error("{path} is not a key; restore it from a backup, or delete it to begin with a new one")]
    BadKey {
        /// The file.
        path: PathBuf,
    },
}

/// A home folder, locked for this process until dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    lock: Handle,
}

impl Drop for Home {
    /// Gives the lock back at once: a child of this process that has not begun its own program yet holds the file too.
    fn drop(&mut self) {
        let _ = self.release();
    }
}

impl Home {
    /// Makes the folder if needed (for its user alone) and takes its lock.
    ///
    /// # Errors
    /// [`HomeError::Locked`] if another node holds it, [`HomeError::Io`] if the folder cannot be used.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Io { home: path.to_owned(), source };
        create_private_folder(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let file = private_options().create(true).truncate(false).open(path.join(LOCK)).map_err(failed)?;
        let lock = Handle::from_file(file).map_err(failed)?;
        match lock.as_file().try_lock() {
            // Deleted or replaced between opening and locking: the lock is on nothing that others see.
            Ok(()) if !is_at(&lock, &path).map_err(failed)? => Err(HomeError::Locked { home: path }),
            Ok(()) => {
                remove_unfinished(&path).map_err(failed)?;
                crate::reserve::settle(&path);
                Ok(Self { path, lock })
            }
            Err(TryLockError::WouldBlock) => Err(HomeError::Locked { home: path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the lock back although this value lives on: another node may then run on the home, and nothing may be
    /// written through this value any more.
    ///
    /// # Errors
    /// [`HomeError::Io`] if the system refuses.
    pub fn release(&self) -> Result<(), HomeError> {
        self.lock.as_file().unlock().map_err(|source| HomeError::Io { home: self.path.clone(), source })
    }

    /// Whether the locked file is still the one in the home: if it was deleted or replaced, another node may have begun there.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn is_held(&self) -> io::Result<bool> {
        is_at(&self.lock, &self.path)
    }

    /// The device's Ed25519 secret, made at random the first time.
    ///
    /// # Errors
    /// [`HomeError`] if the file cannot be read or written, or is not a key.
    pub fn device_secret(&self) -> Result<Zeroizing<[u8; 32]>, HomeError> {
        self.secret_made_once(DEVICE_KEY)
    }

    /// The secret of the account that this home is paid at for farming, made at random the first time. It lies unsealed, so
    /// that a farmer that starts by itself can settle.
    ///
    /// # Errors
    /// As [`Home::device_secret`].
    pub fn payout_secret(&self) -> Result<Zeroizing<[u8; 32]>, HomeError> {
        self.secret_made_once(PAYOUT_KEY)
    }

    /// Whether [`Home::payout_secret`] has been made.
    pub fn has_payout_secret(&self) -> bool {
        self.path.join(PAYOUT_KEY).exists()
    }

    /// The secret of an account that was brought here to be the wallet; none if there is none.
    ///
    /// # Errors
    /// [`HomeError`] if the file cannot be read, or is not a key.
    pub fn wallet_secret(&self) -> Result<Option<Zeroizing<[u8; 32]>>, HomeError> {
        self.secret(WALLET_KEY)
    }

    /// Keeps the secret of an account as the wallet's from now on.
    ///
    /// # Errors
    /// [`HomeError`] if it cannot be written.
    pub fn keep_wallet_secret(&self, secret: &[u8; 32]) -> Result<(), HomeError> {
        let failed = |source| HomeError::Io { home: self.path.clone(), source };
        write_whole(&self.path.join(WALLET_KEY), secret, true).map_err(failed)
    }

    fn secret(&self, name: &str) -> Result<Option<Zeroizing<[u8; 32]>>, HomeError> {
        let path = self.path.join(name);
        match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => {
                let secret = <[u8; 32]>::try_from(bytes.as_slice());
                secret.map(|secret| Some(Zeroizing::new(secret))).map_err(|_| HomeError::BadKey { path })
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { home: self.path.clone(), source }),
        }
    }

    fn secret_made_once(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, HomeError> {
        if let Some(secret) = self.secret(name)? {
            return Ok(secret);
        }
        let failed = |source| HomeError::Io { home: self.path.clone(), source };
        let secret = Zeroizing::new(rand::random::<[u8; 32]>());
        write_whole(&self.path.join(name), secret.as_slice(), true).map_err(failed)?;
        Ok(secret)
    }
}

fn is_at(lock: &Handle, home: &Path) -> io::Result<bool> {
    match Handle::from_path(home.join(LOCK)) {
        Ok(there) => Ok(there == *lock),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a file whole or not at all: temp file, sync, rename, sync of the folder. `private` files are for their user
/// alone (0600).
///
/// # Errors
/// Whatever the file system says; the file is then as it was before.
pub fn write_whole(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temp = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    crash_point!(WholeCreated);
    if !private {
        make_readable(temp.as_file())?;
    }
    temp.write_all(bytes)?;
    crash_point!(WholeWritten);
    temp.as_file().sync_all()?;
    crash_point!(WholeSynced);
    temp.persist(path).map_err(|failed| failed.error)?;
    crash_point!(WholeRenamed);
    sync_folder(folder)
}

/// Deletes what a crash left of files that were being written in a folder.
pub(crate) fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes renames and new files in a folder last. Only unix can and must.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes a folder for its user alone, unless it is there.
///
/// # Errors
/// Whatever the file system says.
#[cfg(unix)]
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder, unless it is there; its rights are its parent's.
///
/// # Errors
/// Whatever the file system says.
#[cfg(not(unix))]
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
pub(crate) fn private_options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
pub(crate) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

#[cfg(unix)]
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_given_back_although_a_child_holds_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let child = home.lock.as_file().try_clone().unwrap();
        drop(home);
        assert!(Home::open(folder.path()).is_ok());
        drop(child);
    }

    #[test]
    fn a_second_node_on_one_home_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path()).unwrap();
        let refused = Home::open(folder.path()).unwrap_err();
        assert!(matches!(&refused, HomeError::Locked { .. }));
        let said = refused.to_string();
        assert!(said.contains(&*first.path().to_string_lossy()) && said.contains("--home"), "{said}");
        drop(first);
        Home::open(folder.path()).unwrap();
    }

    #[test]
    fn a_lock_whose_file_was_deleted_or_replaced_is_not_held_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path()).unwrap();
        assert!(first.is_held().unwrap());
        fs::remove_file(folder.path().join(LOCK)).unwrap();
        assert!(!first.is_held().unwrap());
        let second = Home::open(folder.path()).unwrap();
        assert!(second.is_held().unwrap() && !first.is_held().unwrap());
    }

    #[test]
    fn a_home_that_is_a_file_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"x").unwrap();
        assert!(Home::open(&path).unwrap_err().to_string().contains(&*path.to_string_lossy()));
    }

    #[test]
    fn the_device_key_is_made_once_and_a_damaged_one_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let secret = home.device_secret().unwrap();
        assert_eq!(*secret, *home.device_secret().unwrap());
        fs::write(folder.path().join("device.key"), b"short").unwrap();
        assert!(matches!(home.device_secret(), Err(HomeError::BadKey { .. })));
        assert_eq!(fs::read(folder.path().join("device.key")).unwrap(), b"short");
    }

    #[test]
    fn the_payout_key_is_made_when_it_is_first_asked_for_and_a_wallet_key_only_when_brought() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert!(!home.has_payout_secret());
        let secret = home.payout_secret().unwrap();
        assert!(home.has_payout_secret());
        assert_eq!(*secret, *home.payout_secret().unwrap());
        assert_eq!(home.wallet_secret().unwrap(), None);
        home.keep_wallet_secret(&[7; 32]).unwrap();
        assert_eq!(home.wallet_secret().unwrap().map(|secret| *secret), Some([7; 32]));
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home");
        let home = Home::open(&path).unwrap();
        home.device_secret().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("device.key")), 0o600);
        write_whole(&path.join("config.json"), b"{}", false).unwrap();
        assert_eq!(mode(&path.join("config.json")), 0o644);
    }

    #[cfg(not(unix))]
    #[test]
    fn secrets_are_written_where_permissions_come_from_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        Home::open(folder.path()).unwrap().device_secret().unwrap();
        assert_eq!(fs::read(folder.path().join("device.key")).unwrap().len(), 32);
    }
}
