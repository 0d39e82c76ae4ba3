//! The owner's audit key at work: what tags are made with, and what farmers need to check them.
//!
//! Invariant: only the public part leaves this home.

use std::sync::OnceLock;

use hayloft_core::ShardId;
use hayloft_core::{
    audit::{AuditKey, Sectors, ShardTagger, TagKeyId, Tagger, VerifierKey},
    keys::AuditRoot,
};
use tokio::sync::Semaphore;

/// Makes tags, and the room on the cores for it.
pub(crate) struct Tagging {
    key: AuditKey,
    sectors: Sectors,
    id: TagKeyId,
    tagger: Tagger,
    /// Encoded when the first farmer asks for it, because that takes a while.
    public: OnceLock<Vec<u8>>,
    turns: Semaphore,
}

impl Tagging {
    pub(crate) fn new(root: &AuditRoot, sectors: Sectors) -> Self {
        let key = AuditKey::derive(root, sectors);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            id: key.verifier_key().id(),
            tagger: Tagger::new(&key),
            public: OnceLock::new(),
            turns: Semaphore::new(cores),
            sectors,
            key,
        }
    }

    /// The name that contracts know the key by.
    pub(crate) fn key_id(&self) -> TagKeyId {
        self.id
    }

    /// What anybody verifies proofs with.
    pub(crate) fn verifier_key(&self) -> VerifierKey {
        self.key.verifier_key()
    }

    /// What farmers check tags and prove with.
    pub(crate) fn public(&self) -> &[u8] {
        self.public.get_or_init(|| self.key.prover_key().encode())
    }

    /// Begins a shard.
    pub(crate) fn shard(&self, id: ShardId) -> ShardTagger {
        self.tagger.shard(id)
    }

    /// Bytes of the tags of a shard of so many bytes.
    pub(crate) fn tag_bytes(&self, shard_bytes: u64) -> u64 {
        self.sectors.tag_bytes(shard_bytes)
    }

    /// Whoever computes for long off the async workers takes a turn: more at once than there are cores only wait.
    pub(crate) fn turns(&self) -> &Semaphore {
        &self.turns
    }
}
