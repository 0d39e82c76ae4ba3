//! The owner's side: one question and its answer, from which an upload or a download may follow. Dropping any of
//! them cancels it.
//!
//! An error tells a peer that is gone from one that lies. Before a peer is called silent it must prove that it is there
//! and then go on being silent: by that the silence is not the line's, nor that of a node that has died and started anew. An end that comes after a long silence is put down
//! to the line as well: the other side may have given up on it.

use std::time::Duration;

use hayloft_core::DeviceId;
use tokio::time::Instant;

use super::{
    Download, Upload,
    wire::{Broken, Wire, bounded},
};
use crate::{
    address,
    error::{Fault, NetError},
    handle::Net,
    limits,
    messages::{Answer, Envelope, Request},
};

/// A request's stream, and whom to ask whether the other side still lives.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) net: Net,
    pub(super) device: DeviceId,
    pub(super) wire: Wire,
    opened: Instant,
    /// When the other side last showed that the line works, or when it last had nothing to say.
    pub(super) heard: Instant,
}

impl Talk {
    pub(super) async fn open(
        net: &Net,
        device: DeviceId,
        envelope: &Envelope,
    ) -> Result<(Self, Answer), NetError> {
        let _awaited = net.shared.awaits(device);
        let stream = net.open_stream(device).await?;
        let wire = Wire::new(stream, net.shared.bounds.progress);
        let opened = Instant::now();
        let mut talk = Self { net: net.clone(), device, wire, opened, heard: opened };
        let sent = talk.wire.send_message(envelope).await;
        let answer = match (talk.answer().await, sent) {
            (Err(NetError::Unreachable(_)), Err(broken)) => return Err(talk.blame(broken).await),
            (answer, _) => answer?,
        };
        let answer = talk.when_done(answer).await?;
        Ok((talk, answer))
    }

    /// What comes after the other side has worked at it, for as long as that may take.
    async fn when_done(&mut self, mut answer: Answer) -> Result<Answer, NetError> {
        let until = Instant::now() + limits::WORK_TIMEOUT;
        for _ in 0..limits::WORKING_SAID {
            if answer != Answer::Working {
                return Ok(answer);
            }
            if Instant::now() >= until {
                break;
            }
            answer = self.answer().await?;
        }
        Err(NetError::Silent)
    }

    /// The next answer, which is no refusal.
    pub(super) async fn answer(&mut self) -> Result<Answer, NetError> {
        let shared = self.net.shared.clone();
        let _awaited = shared.awaits(self.device);
        let whole = tokio::time::timeout(limits::ANSWER_TIMEOUT, async {
            match self.wire.message().await {
                Err(Broken::Stalled) => {
                    self.doubt().await?;
                    Ok(self.wire.message_within(self.last_patience()).await)
                }
                answer => Ok(answer),
            }
        });
        let answer = shared.until_stopped(whole).await.unwrap_or(Ok(Ok(Err(Broken::Lost))));
        match answer.unwrap_or(Err(NetError::Silent))? {
            Ok(answer) => {
                self.hears();
                match answer {
                    Answer::Refused(refusal) => Err(NetError::Refused(bounded(refusal))),
                    answer => Ok(answer),
                }
            }
            Err(broken) => Err(self.blame(broken).await),
        }
    }

    /// Something came: the other side and the line are there.
    pub(super) fn hears(&mut self) {
        self.heard = Instant::now();
        self.net.shared.hears();
    }

    /// Makes sure that the other side and the line to it live, although nothing moves.
    pub(super) async fn doubt(&self) -> Result<(), NetError> {
        match self.net.lives(self.device).await {
            true => Ok(()),
            false if self.net.shared.stop.is_cancelled() => Err(NetError::Cancelled),
            false => Err(NetError::Unreachable(self.device)),
        }
    }

    /// For how long a peer that has proved to live may go on being silent.
    pub(super) fn last_patience(&self) -> Duration {
        self.net.shared.bounds.progress.min(limits::SILENCE_OF_THE_LIVING)
    }

    /// Who is to blame. [`Broken::Stalled`] is for those that have been doubted before.
    pub(super) async fn blame(&self, broken: Broken) -> NetError {
        let of_the_line = (self.net.shared.bounds.progress / 2).max(limits::SILENCE_OF_THE_LIVING);
        let unreachable = NetError::Unreachable(self.device);
        let fault = match broken {
            Broken::Fault(fault) => return NetError::Protocol(fault),
            Broken::Stalled => NetError::Silent,
            Broken::Cut if self.heard.elapsed() < of_the_line => {
                let _ = self.net.shared.until_stopped(tokio::time::sleep(limits::ENDING)).await;
                NetError::Protocol(Fault::EndedEarly)
            }
            Broken::Cut | Broken::Lost => unreachable.clone(),
        };
        if self.net.shared.stop.is_cancelled() {
            return NetError::Cancelled;
        }
        if fault.blames_peer() && (!self.net.lives(self.device).await || self.has_come_anew()) {
            return unreachable;
        }
        fault
    }

    /// Whether the other side has connected again since this stream was opened: it may have started anew, and knows
    /// nothing of it.
    fn has_come_anew(&self) -> bool {
        let peer = address::peer_of(&self.device);
        peer.is_some_and(|peer| self.net.shared.peers.connected_since(&peer, self.opened))
    }
}

impl Net {
    /// Asks a device and gives its answer, which is never a refusal.
    ///
    /// # Errors
    /// [`NetError`]; a refusal is [`NetError::Refused`].
    pub async fn ask(&self, device: DeviceId, envelope: &Envelope) -> Result<Answer, NetError> {
        Talk::open(self, device, envelope).await.map(|(_, answer)| answer)
    }

    /// Begins an upload; the envelope's request must be [`Request::Upload`].
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::WrongAnswer`] if the farmer claims to have more than there is.
    pub async fn upload(&self, device: DeviceId, envelope: &Envelope) -> Result<Upload, NetError> {
        let Request::Upload { bytes, tag_bytes, .. } = envelope.request else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        let bytes = bytes.saturating_add(tag_bytes);
        match Talk::open(self, device, envelope).await? {
            (talk, Answer::Ready { have, room }) if have <= room && room <= bytes => {
                Ok(Upload::new(talk, have, room, bytes))
            }
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Begins a download; the envelope's request must be [`Request::Download`].
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::WrongAnswer`] if the farmer announces another length than was asked for.
    pub async fn download(&self, device: DeviceId, envelope: &Envelope) -> Result<Download, NetError> {
        Download::begin(self, device, envelope).await
    }
}
