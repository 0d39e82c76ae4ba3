//! What a shard takes of a farmer's quota: more than its bytes, or shards of one byte would fill a disk unseen.

/// Disks give space in blocks of so many bytes.
const BLOCK_BYTES: u64 = 4096;
/// Bytes of a shard file beside the shard's own.
const HEADER_BYTES: u64 = 128;
/// Bytes of a shard's name, rows and lines in the journal.
const RECORD_BYTES: u64 = 1024;

/// Shards that one contract may hold: who checks a revision that adds or removes some has all of them in memory.
pub const MAX_SHARDS: u64 = 1 << 16;

/// What a shard of so many bytes takes of a quota: its file in whole blocks, and what is written down about it. Owner and
/// farmer count alike: so much is reserved before the shard is sent.
pub const fn quota_bytes(shard_bytes: u64) -> u64 {
    let file = shard_bytes.saturating_add(HEADER_BYTES).div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES);
    file.saturating_add(RECORD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_shard_counts_as_the_block_and_the_records_it_costs() {
        assert_eq!(quota_bytes(1), BLOCK_BYTES + RECORD_BYTES);
        assert_eq!(quota_bytes(BLOCK_BYTES), 2 * BLOCK_BYTES + RECORD_BYTES);
        assert_eq!(quota_bytes(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_ordinary_shard_counts_as_little_more_than_its_bytes() {
        let bytes = 1 << 20;
        assert!(quota_bytes(bytes) - bytes < bytes / 100);
    }
}
