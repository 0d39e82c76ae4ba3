//! Room that a home keeps for itself: a file given up when a start finds the disk full, because a database cannot even be
//! read without a little room beside it; or while it runs, for what brings files back to another disk. The next start that
//! finds plenty of room makes it again.

use std::{io, path::Path};

use crate::{disk::free_bytes, home::write_whole};

const NAME: &str = "reserve";
const BYTES: u64 = 1 << 20;
/// It is made only where so many times as much is free.
const PLENTY: u64 = 16;

/// Makes it or gives it up, as the disk needs. Without it a start merely needs room that others leave.
pub(crate) fn settle(home: &Path) {
    if let Err(error) = try_settle(home) {
        tracing::debug!(%error, "room could not be reserved");
    }
}

/// Gives it up.
pub(crate) fn give_up(home: &Path) -> io::Result<()> {
    crate::shards::delete(&home.join(NAME))
}

fn try_settle(home: &Path) -> io::Result<()> {
    let (path, free) = (home.join(NAME), free_bytes(home)?);
    if free < BYTES {
        return give_up(home);
    }
    if free / PLENTY >= BYTES && !path.try_exists()? {
        // Bytes that no disk can keep in less room than they say.
        let mut noise = vec![0; BYTES as usize];
        blake3::Hasher::new().update(&rand::random::<[u8; 32]>()).finalize_xof().fill(&mut noise);
        write_whole(&path, &noise, true)?;
    }
    Ok(())
}
