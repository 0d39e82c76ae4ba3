//! Making what a farmer is sent of one shard: cells, sealed, hashed and tagged while they are in the processor's cache, and
//! behind the last cell the tags. Off the async workers, a piece at a time: what is made ahead is one piece.

use std::sync::Arc;

use hayloft_core::{audit::ShardTagger, content::ShardSealer};

use super::tagging::Tagging;

/// Bytes made in one turn: enough that handing them over costs nothing beside making them.
const PIECE_BYTES: usize = 256 << 10;

/// A shard being made, from its first byte on.
pub(super) struct Making {
    tagging: Arc<Tagging>,
    work: Option<Box<Work>>,
}

struct Work {
    sealer: Arc<ShardSealer>,
    tagger: Option<ShardTagger>,
    hasher: blake3::Hasher,
    next: u32,
    piece: Vec<u8>,
}

/// The making was cut off, because this node stops.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this node is stopping")]
pub(super) struct CutOff;

impl Making {
    pub(super) fn new(sealer: Arc<ShardSealer>, tagging: &Arc<Tagging>) -> Self {
        let tagger = Some(tagging.shard(sealer.id()));
        let work = Work { sealer, tagger, hasher: blake3::Hasher::new(), next: 0, piece: Vec::new() };
        Self { tagging: tagging.clone(), work: Some(Box::new(work)) }
    }

    /// The next piece; empty once all was made.
    ///
    /// # Errors
    /// [`CutOff`], also ever after.
    pub(super) async fn piece(&mut self) -> Result<&[u8], CutOff> {
        let mut work = self.work.take().ok_or(CutOff)?;
        let turn = self.tagging.turns().acquire().await.map_err(|_| CutOff)?;
        let made = tokio::task::spawn_blocking(move || {
            work.go_on();
            work
        });
        let made = made.await.map_err(|_| CutOff)?;
        drop(turn);
        Ok(&self.work.insert(made).piece)
    }

    /// The hash of all that was made.
    ///
    /// # Errors
    /// [`CutOff`].
    pub(super) fn hash(&self) -> Result<[u8; 32], CutOff> {
        self.work.as_ref().map(|work| *work.hasher.finalize().as_bytes()).ok_or(CutOff)
    }
}

impl Work {
    fn go_on(&mut self) {
        self.piece.clear();
        let cells = self.sealer.layout().stripes();
        while self.next < cells && self.piece.len() < PIECE_BYTES {
            let begin = self.piece.len();
            self.sealer.seal_cell(self.next, &mut self.piece);
            if let Some(tagger) = &mut self.tagger {
                tagger.push(&self.piece[begin..]);
            }
            self.next += 1;
        }
        if self.next == cells
            && let Some(tagger) = self.tagger.take()
        {
            self.piece.extend(tagger.finish().iter().flat_map(|tag| tag.0));
        }
        self.hasher.update(&self.piece);
    }
}
