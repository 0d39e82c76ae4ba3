//! Bytes put aside for a while: what would otherwise stay in memory lies in a file without a name, which is gone with this
//! process, however that ends.
//!
//! Invariant: what is put aside never takes space that the disk is to keep free. Deliberately absent: syncing, for nothing
//! of it is to last.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    sync::{Mutex, PoisonError},
};

use crate::Owner;

/// Bytes on the disk that nobody else can open.
#[derive(Debug)]
pub struct Aside {
    /// Its place for reading is one for all who read.
    file: Mutex<File>,
    bytes: usize,
}

impl Owner {
    /// Puts bytes aside; blocks while they are written.
    ///
    /// # Errors
    /// `StorageFull` if the disk has to keep its free space, or whatever the system says. Nothing is left of them then.
    pub fn put_aside(&self, bytes: &[u8]) -> io::Result<Aside> {
        let folder = self.inner.home.path();
        let space = self.inner.disk.space(folder)?;
        if space.free_bytes.saturating_sub(bytes.len() as u64) < space.guarded(self.inner.guard) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut file = tempfile::tempfile_in(folder)?;
        file.write_all(bytes)?;
        Ok(Aside { file: Mutex::new(file), bytes: bytes.len() })
    }
}

impl Aside {
    /// Reads them back into memory; blocks meanwhile, and while another does.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.bytes];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind()?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::{
        Guard, Home, Store, StoreOptions,
        disk::{Disk, Space},
    };

    #[tokio::test]
    async fn what_is_put_aside_comes_back_and_leaves_the_disk_its_guard_and_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let space = Arc::new(Mutex::new(Space { free_bytes: 1_000, total_bytes: 10_000 }));
        let guard = Guard { bytes: 900, percent: 0 };
        let options =
            StoreOptions { disk: Disk::with_space(space.clone()), ..StoreOptions::new(None, guard) };
        let (store, _) = Store::open(Home::open(folder.path()).unwrap(), options).await.unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let before = names();
        let bytes: Vec<u8> = (0..100).collect();
        let aside = store.owner().put_aside(&bytes).unwrap();
        assert_eq!(names(), before);
        assert_eq!(aside.read().unwrap(), bytes);
        assert_eq!(aside.read().unwrap(), bytes);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| assert_eq!(aside.read().unwrap(), bytes)));
            }
        });
        assert_eq!(store.owner().put_aside(&[0; 101]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }
}
