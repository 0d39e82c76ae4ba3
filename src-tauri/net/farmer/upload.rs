//! A shard on its way to a farmer, which tells again and again how much of it has arrived.
//!
//! What was written into a stream is not yet sent: a slow line may hold it back for minutes. So only what the farmer
//! tells counts as progress, and while this node keeps to a limit of its own nobody's silence is measured.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::{Instant, sleep_until, timeout};

use super::{
    client::Talk,
    wire::{Broken, bounded},
};
use crate::{
    error::{Fault, NetError},
    limits,
    messages::Answer,
};

/// A shard on its way to a farmer. Dropped before [`Upload::finish`], it is cancelled; the farmer may keep what it has.
#[derive(Debug)]
pub struct Upload {
    talk: Talk,
    have: u64,
    sent: u64,
    bytes: u64,
    room: u64,
    received: Arc<AtomicU64>,
    /// Whether the farmer has been silent for long and then proved to live.
    doubted: bool,
}

impl Upload {
    pub(super) fn new(talk: Talk, have: u64, room: u64, bytes: u64) -> Self {
        let received = Arc::new(AtomicU64::new(have));
        Self { talk, have, sent: have, bytes, room, received, doubted: false }
    }

    /// Bytes that the farmer had at the start: sending begins after them.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Bytes still to be sent, those of tags among them.
    pub fn left(&self) -> u64 {
        self.bytes - self.sent
    }

    /// From now on, `received` holds the bytes of the shard that the farmer says it has, also while they are sent.
    pub fn tell(&mut self, received: Arc<AtomicU64>) {
        received.store(self.received.load(Ordering::Relaxed), Ordering::Relaxed);
        self.received = received;
    }

    /// Sends the shard's next bytes, in frames of at most [`limits::DATA_FRAME`].
    ///
    /// # Errors
    /// [`NetError`], [`NetError::Refused`] among them if the farmer gave up; [`Fault::TooManyBytes`] beyond the
    /// shard's length.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), NetError> {
        if bytes.len() as u64 > self.left() {
            return Err(NetError::Protocol(Fault::TooManyBytes));
        }
        while !bytes.is_empty() {
            while self.room == self.sent {
                self.hear().await?;
            }
            let rate = &self.talk.net.shared.rates.up;
            let room = usize::try_from(self.room - self.sent).unwrap_or(usize::MAX);
            let most = room.min(limits::DATA_FRAME).min(rate.piece().unwrap_or(usize::MAX));
            let (frame, rest) = bytes.split_at(bytes.len().min(most));
            if rate.piece().is_some() {
                rate.take(frame.len()).await;
                self.talk.heard = Instant::now();
            }
            self.sent += frame.len() as u64;
            self.send_frame(frame).await?;
            bytes = rest;
        }
        Ok(())
    }

    async fn send_frame(&mut self, frame: &[u8]) -> Result<(), NetError> {
        let shared = self.talk.net.shared.clone();
        let _awaited = shared.awaits(self.talk.device);
        let broken = {
            let (mut hearing, mut saying) = self.talk.wire.halves();
            let mut sending = std::pin::pin!(saying.data(frame));
            loop {
                let patience =
                    if self.doubted { limits::SILENCE_OF_THE_LIVING } else { shared.bounds.progress };
                tokio::select! {
                    biased;
                    () = shared.stop.cancelled() => return Err(NetError::Cancelled),
                    said = hearing.message::<Answer>() => match said {
                        Ok(said) => {
                            self.talk.heard = Instant::now();
                            shared.hears();
                            self.doubted = false;
                            note(said, self.sent, self.bytes, &mut self.room, &self.received)?;
                        }
                        Err(broken) => break broken,
                    },
                    sent = &mut sending => match sent {
                        Ok(()) => return Ok(()),
                        Err(broken) => break broken,
                    },
                    () = sleep_until(self.talk.heard + patience) => {
                        if self.doubted {
                            break Broken::Stalled;
                        }
                        if !self.talk.net.lives(self.talk.device).await {
                            return Err(NetError::Unreachable(self.talk.device));
                        }
                        (self.talk.heard, self.doubted) = (Instant::now(), true);
                    }
                }
            }
        };
        Err(self.broke(broken).await)
    }

    /// Waits for what the farmer says next, and gives the hash once it has stored everything.
    async fn hear(&mut self) -> Result<Option<[u8; 32]>, NetError> {
        match self.talk.answer().await? {
            Answer::Stored { hash } if self.left() == 0 => Ok(Some(hash)),
            said => {
                note(said, self.sent, self.bytes, &mut self.room, &self.received)?;
                Ok(None)
            }
        }
    }

    /// What the farmer said before it stopped listening, else who is to blame.
    async fn broke(&mut self, broken: Broken) -> NetError {
        if matches!(broken, Broken::Lost)
            && let Ok(Ok(Answer::Refused(refusal))) =
                timeout(limits::CLOSE_TIMEOUT, self.talk.wire.message()).await
        {
            self.talk.hears();
            return NetError::Refused(bounded(refusal));
        }
        self.talk.blame(broken).await
    }

    /// Waits until the farmer has the whole shard on its disk, and gives the BLAKE3 hash it claims to have stored.
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::EndedEarly`] if not all bytes were given to [`Upload::send`].
    pub async fn finish(mut self) -> Result<[u8; 32], NetError> {
        if self.left() > 0 {
            return Err(NetError::Protocol(Fault::EndedEarly));
        }
        if let Err(broken) = self.talk.wire.flush().await {
            return Err(self.broke(broken).await);
        }
        loop {
            if let Some(hash) = self.hear().await? {
                return Ok(hash);
            }
        }
    }
}

/// Takes down what the farmer says has arrived. It cannot have more than was sent, nor less than before.
fn note(said: Answer, sent: u64, all: u64, room: &mut u64, received: &AtomicU64) -> Result<(), NetError> {
    match said {
        Answer::Received { bytes, room: now }
            if bytes >= received.load(Ordering::Relaxed) && bytes <= sent && (*room..=all).contains(&now) =>
        {
            received.store(bytes, Ordering::Relaxed);
            *room = now;
            Ok(())
        }
        Answer::Refused(refusal) => Err(NetError::Refused(bounded(refusal))),
        _ => Err(NetError::Protocol(Fault::WrongAnswer)),
    }
}
