//! The ways in which a farmer breaks its word.

use serde::{Deserialize, Serialize};

/// What a liar does wrong. Everything else it does as an honest farmer would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lie {
    /// Sends shards with one bit of each piece flipped.
    WrongBytes,
    /// Sends more bytes than were asked for.
    TooManyBytes,
    /// Takes requests for shards and never answers.
    Nothing,
    /// Sends another shard's bytes.
    AnotherShard,
    /// Says that it never had the shard.
    Forgets,
    /// Reserves space and then refuses the shard.
    RefusesUpload,
    /// Takes a shard and acknowledges other bytes.
    WrongHash,
    /// Reserves space, says it is ready and then reads nothing.
    NeverReads,
    /// Takes a shard and then refuses to sign for it.
    RefusesRevision,
    /// Serves honestly, but gives back neither the memory nor the file handle of any request.
    Leaks,
}

impl Lie {
    /// All that break their word to owners.
    #[allow(dead_code, reason = "the soak lets liars of every kind join; a liar itself is told its one")]
    pub(crate) const ALL: [Self; 9] = [
        Self::WrongBytes,
        Self::TooManyBytes,
        Self::Nothing,
        Self::AnotherShard,
        Self::Forgets,
        Self::RefusesUpload,
        Self::WrongHash,
        Self::NeverReads,
        Self::RefusesRevision,
    ];
}
