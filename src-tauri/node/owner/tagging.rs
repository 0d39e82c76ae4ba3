//! The owner's audit key at work: what tags are made with, and what farmers need to check them.
//!
//! Invariant: only the public part leaves this home.

use std::sync::OnceLock;

use hayloft_core::ShardId;
use hayloft_core::{
    audit::{AuditKey, Sectors, ShardTagger, TagKeyId, Tagger},
    keys::AuditRoot,
};
use tokio::sync::Semaphore;

/// Blocks have this many sectors.
const SECTORS: Sectors = Sectors::DEFAULT;

/// Makes tags, and the room on the cores for it.
pub(crate) struct Tagging {
    key: AuditKey,
    id: TagKeyId,
    tagger: Tagger,
    /// Encoded when the first farmer asks for it, because that takes a while.
    public: OnceLock<Vec<u8>>,
    turns: Semaphore,
}

impl Tagging {
    pub(crate) fn new(root: &AuditRoot) -> Self {
        let key = AuditKey::derive(root, SECTORS);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            id: key.verifier_key().id(),
            tagger: Tagger::new(&key),
            public: OnceLock::new(),
            turns: Semaphore::new(cores),
            key,
        }
    }

    /// The name that contracts know the key by.
    pub(crate) fn key_id(&self) -> TagKeyId {
        self.id
    }

    /// What farmers check tags and prove with.
    pub(crate) fn public(&self) -> &[u8] {
        self.public.get_or_init(|| self.key.prover_key().encode())
    }

    /// Begins a shard.
    pub(crate) fn shard(&self, id: ShardId) -> ShardTagger {
        self.tagger.shard(id)
    }

    /// Whoever computes for long off the async workers takes a turn: more at once than there are cores only wait.
    pub(crate) fn turns(&self) -> &Semaphore {
        &self.turns
    }
}

/// Bytes of the tags of a shard of so many bytes.
pub(crate) fn tag_bytes(shard_bytes: u64) -> u64 {
    SECTORS.tag_bytes(shard_bytes)
}
