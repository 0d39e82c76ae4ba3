//! The Merkle-sum root over a contract's shards: it commits to each shard's id, length and tag key, to their order,
//! their count and the sum of their lengths.
//!
//! ```text
//! leaf = BLAKE3("hayloft shard leaf 1" ‖ id ‖ u64 bytes ‖ 0 | 1 ‖ tag key),           sum = bytes
//! node = BLAKE3("hayloft shard node 1" ‖ hash, u64 sum of left ‖ hash, u64 sum of right), sum = both
//! root = BLAKE3("hayloft shard root 1" ‖ u64 count ‖ u64 sum ‖ hash of the top, zeros if there is none)
//! ```
//! Integers are little-endian. Leaves are in ascending order of id; pairs are joined level by level, and one left over
//! at the end of a level moves up as it is (the tree of RFC 6962).

use super::ShardEntry;

#[derive(Clone, Copy)]
struct Node {
    hash: [u8; 32],
    sum: u64,
}

/// The root over shards given in ascending order of id. Sums wrap; whoever signs a sum checks it first.
pub fn shard_root<'a>(shards: impl IntoIterator<Item = &'a ShardEntry>) -> [u8; 32] {
    let mut level: Vec<Node> = shards.into_iter().map(leaf).collect();
    let count = level.len() as u64;
    while level.len() > 1 {
        level = level.chunks(2).map(join).collect();
    }
    let top = level.first().copied().unwrap_or(Node { hash: [0; 32], sum: 0 });
    hash(b"hayloft shard root 1", &[&count.to_le_bytes(), &top.sum.to_le_bytes(), &top.hash])
}

fn leaf(shard: &ShardEntry) -> Node {
    let bytes = shard.bytes.to_le_bytes();
    let tagged: [u8; 1] = [shard.tag_key.is_some().into()];
    let tag_key = shard.tag_key.as_ref().map_or(&[][..], |key| &key[..]);
    Node { hash: hash(b"hayloft shard leaf 1", &[&shard.id.0, &bytes, &tagged, tag_key]), sum: shard.bytes }
}

fn join(pair: &[Node]) -> Node {
    match pair {
        [left, right] => {
            let parts: [&[u8]; 4] =
                [&left.hash, &left.sum.to_le_bytes(), &right.hash, &right.sum.to_le_bytes()];
            Node { hash: hash(b"hayloft shard node 1", &parts), sum: left.sum.wrapping_add(right.sum) }
        }
        single => single[0],
    }
}

fn hash(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(label);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
