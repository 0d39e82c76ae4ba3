//! A shard on its way in. The owner is told again and again how much of it has arrived, and, if this farmer keeps to a
//! limit, how much more it may send: what is not allowed yet stays with the owner and fills no buffer on the way.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{serve::Talk, wire::Broken};
use crate::{
    error::NetError,
    limits,
    messages::{Answer, Refusal, RefusalCode},
};

/// A shard on its way in.
#[derive(Debug)]
pub struct Receiving {
    talk: Talk,
    left: u64,
    /// Bytes that were there at the start, and whole frames since.
    have: u64,
    /// Bytes of the shard that the owner may send.
    room: u64,
    /// Bytes still to come that the limit has been asked for.
    paid: u64,
    arrived: Arrived,
    tell_at: Instant,
}

/// Counts what has arrived to the byte, while a frame is awaited too.
#[derive(Debug)]
struct Arrived {
    moved: Arc<AtomicU64>,
    before: u64,
    have: u64,
    told: u64,
}

impl Arrived {
    fn bytes(&self) -> u64 {
        self.have + self.moved.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

impl Receiving {
    pub(super) async fn begin(mut talk: Talk, have: u64, left: u64) -> Result<Self, NetError> {
        let room = if talk.shared.rates.down.piece().is_some() { have } else { have + left };
        talk.send(&Answer::Ready { have, room }).await?;
        let moved = talk.wire.moved();
        let arrived = Arrived { before: moved.load(Ordering::Relaxed), moved, have, told: have };
        Ok(Self { talk, left, have, room, paid: 0, arrived, tell_at: soon() })
    }

    /// The next bytes, at most [`limits::DATA_FRAME`]; none once all announced bytes have come.
    ///
    /// # Errors
    /// [`NetError`] if the owner left, fell silent, or sent too much; what came before is worth keeping.
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.is_short() {
            self.allow_more().await?;
        }
        let frame = match self.frame().await {
            Ok(frame) => frame,
            Err(broken) => return Err(self.give_up(broken).await),
        };
        let len = frame.len() as u64;
        self.left -= len;
        self.have += len;
        let unpaid = len.saturating_sub(self.paid);
        self.paid -= len - unpaid;
        self.wait_for(unpaid).await?;
        if self.tell_at <= Instant::now() {
            self.tell().await?;
        }
        Ok(Some(frame))
    }

    /// An owner on a bad line hears that it was too slow, so that it does not take the end for a fault.
    async fn give_up(&mut self, broken: Broken) -> NetError {
        if matches!(broken, Broken::Stalled) {
            let sentence = "too little came for too long".to_owned();
            let _ = self.talk.answer(Answer::Refused(Refusal { code: RefusalCode::Busy, sentence })).await;
        }
        self.talk.error(broken)
    }

    /// Whether the owner may soon have nothing left that it may send.
    fn is_short(&self) -> bool {
        let piece = self.talk.shared.rates.down.piece().map_or(u64::MAX, |piece| piece as u64);
        self.room < self.have + self.left && self.room - self.have < piece
    }

    async fn allow_more(&mut self) -> Result<(), NetError> {
        let missing = self.have + self.left - self.room;
        let piece = self.talk.shared.rates.down.piece().map_or(missing, |piece| missing.min(piece as u64));
        self.wait_for(piece).await?;
        self.room += piece;
        self.paid += piece;
        self.tell().await
    }

    /// Does what the disk may take long for; meanwhile the owner hears that this farmer is merely slow. An owner that is gone
    /// stops nothing.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep_until(self.tell_at) => if self.tell().await.is_err() {
                    return work.await;
                },
            }
        }
    }

    /// Waits until the limit has room for so many bytes; meanwhile the owner hears that this farmer is merely slow.
    async fn wait_for(&mut self, bytes: u64) -> Result<(), NetError> {
        let shared = self.talk.shared.clone();
        let mut taking = pin!(shared.rates.down.take(usize::try_from(bytes).unwrap_or(usize::MAX)));
        loop {
            tokio::select! {
                biased;
                () = &mut taking => return Ok(()),
                () = sleep_until(self.tell_at) => self.tell().await?,
            }
        }
    }

    async fn tell(&mut self) -> Result<(), NetError> {
        (self.arrived.told, self.tell_at) = (self.arrived.bytes(), soon());
        self.talk.send(&Answer::Received { bytes: self.arrived.told, room: self.room }).await
    }

    /// The next frame; what arrives of it meanwhile is told.
    async fn frame(&mut self) -> Result<Bytes, Broken> {
        let patience = self.talk.shared.bounds.progress;
        let whole = Instant::now() + limits::FRAME_TIMEOUT;
        let (mut hearing, mut saying) = self.talk.wire.halves();
        let mut frame = pin!(hearing.data(self.left, patience));
        loop {
            tokio::select! {
                biased;
                frame = &mut frame => return frame?.ok_or(Broken::Cut),
                () = sleep_until(whole) => return Err(Broken::Stalled),
                () = sleep_until(self.tell_at) => {
                    self.tell_at = soon();
                    let bytes = self.arrived.bytes();
                    if bytes > self.arrived.told {
                        self.arrived.told = bytes;
                        saying.message(&Answer::Received { bytes, room: self.room }).await?;
                    }
                }
            }
        }
    }

    /// Says that the whole shard is on disk, synced.
    ///
    /// # Errors
    /// [`NetError`] if the answer could not be sent.
    pub async fn stored(mut self, hash: [u8; 32]) -> Result<(), NetError> {
        self.talk.answer(Answer::Stored { hash }).await
    }

    /// Gives up and says why.
    ///
    /// # Errors
    /// [`NetError`] if the refusal could not be sent.
    pub async fn refuse(mut self, code: RefusalCode, sentence: impl Into<String>) -> Result<(), NetError> {
        self.talk.answer(Answer::Refused(Refusal { code, sentence: sentence.into() })).await
    }
}

fn soon() -> Instant {
    Instant::now() + limits::RECEIVED_PAUSE
}
