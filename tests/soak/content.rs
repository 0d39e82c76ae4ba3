//! What files hold: bytes that follow from a number, so that any part of them can be made again and compared.

use std::{
    fs::File,
    io::{self, Read, Write},
    ops::Range,
    path::Path,
};

use rand::{Rng, RngExt};

const CHUNK_BYTES: usize = 1 << 20;

/// A file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// What its bytes follow from.
    pub(crate) seed: u64,
    /// How many they are.
    pub(crate) bytes: u64,
}

impl Content {
    /// New content with as many orders of magnitude equally likely as there are up to `most` bytes.
    pub(crate) fn random(rng: &mut impl Rng, most: u64) -> Self {
        const EMPTY: f64 = 0.04;
        let bytes = match rng.random_bool(EMPTY) {
            true => 0,
            false => (most.max(1) as f64).powf(rng.random::<f64>()) as u64,
        };
        Self { seed: rng.random(), bytes }
    }

    fn reader(&self, offset: u64) -> blake3::OutputReader {
        let mut reader = blake3::Hasher::new().update(&self.seed.to_le_bytes()).finalize_xof();
        reader.set_position(offset);
        reader
    }

    /// Writes it to a new file; blocks.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (mut file, mut reader) = (File::create(path)?, self.reader(0));
        let mut chunk = vec![0; CHUNK_BYTES.min(self.bytes as usize)];
        let mut left = self.bytes;
        while left > 0 {
            let next = chunk.len().min(left as usize);
            reader.fill(&mut chunk[..next]);
            file.write_all(&chunk[..next])?;
            left -= next as u64;
        }
        Ok(())
    }

    /// The first byte at which a file differs from this part of the content; none if it is identical. Blocks.
    pub(crate) fn difference(&self, part: Range<u64>, path: &Path) -> io::Result<Option<u64>> {
        let (mut file, mut reader) = (File::open(path)?, self.reader(part.start));
        let (mut found, mut wanted) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        let mut at = part.start;
        loop {
            let got = file.read(&mut found)?;
            if got == 0 {
                return Ok((at < part.end).then_some(at));
            }
            reader.fill(&mut wanted[..got]);
            if let Some(wrong) = found[..got].iter().zip(&wanted).position(|(found, wanted)| found != wanted)
            {
                return Ok(Some(at + wrong as u64));
            }
            at += got as u64;
            if at > part.end {
                return Ok(Some(part.end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_made_again_and_each_difference_is_seen() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a/b");
        let content = Content { seed: 7, bytes: 2_500_000 };
        content.write(&path)?;
        assert_eq!(content.difference(0..2_500_000, &path)?, None);
        let all = std::fs::read(&path)?;
        std::fs::write(&path, &all[1_100_000..1_200_000])?;
        assert_eq!(content.difference(1_100_000..1_200_000, &path)?, None);
        assert_eq!(content.difference(1_100_000..1_200_001, &path)?, Some(1_200_000), "a byte is missing");
        assert_eq!(content.difference(1_100_000..1_199_999, &path)?, Some(1_199_999), "a byte is too many");
        let mut wrong = all.clone();
        wrong[2_400_000] ^= 1;
        std::fs::write(&path, wrong)?;
        assert_eq!(content.difference(0..2_500_000, &path)?, Some(2_400_000));
        assert!(Content { seed: 8, ..content }.difference(0..2_500_000, &path)?.is_some());
        Ok(())
    }
}
