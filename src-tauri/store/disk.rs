//! Free space of a disk, and how much of it must stay.

/// Free space that a disk keeps: the greater of a size and a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// At least so many bytes.
    pub bytes: u64,
    /// At least this share of the disk, in percent.
    pub percent: u8,
}

impl Default for Guard {
    fn default() -> Self {
        Self { bytes: 1 << 30, percent: 5 }
    }
}
