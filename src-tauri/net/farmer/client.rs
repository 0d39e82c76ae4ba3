//! The owner's side: one question and its answer, an upload that resumes, a download of a range. Dropping any of
//! them cancels it. An error tells a peer that is gone from one that lies: before a peer is called silent or cut
//! short, it must prove that it is still there.

use bytes::Bytes;
use hayloft_core::DeviceId;

use super::wire::{Broken, Wire, bounded};
use crate::{
    error::{Fault, NetError},
    handle::Net,
    limits,
    messages::{Answer, Envelope, Request},
};

/// A request's stream, and whom to ask whether the other side still lives.
#[derive(Debug)]
struct Talk {
    net: Net,
    device: DeviceId,
    wire: Wire,
}

impl Talk {
    async fn open(net: &Net, device: DeviceId, envelope: &Envelope) -> Result<(Self, Answer), NetError> {
        let stream = net.open_stream(device).await?;
        let wire = Wire::new(stream, net.shared.bounds.progress);
        let mut talk = Self { net: net.clone(), device, wire };
        let sent = talk.wire.send_message(envelope).await;
        let answer = match (talk.wait_answer().await, sent) {
            (Err(_), Err(broken)) | (Err(broken), Ok(())) => return Err(talk.blame(broken).await),
            (Ok(answer), _) => answer,
        };
        match answer {
            Answer::Refused(refusal) => Err(NetError::Refused(bounded(refusal))),
            answer => Ok((talk, answer)),
        }
    }

    async fn wait_answer(&mut self) -> Result<Answer, Broken> {
        let whole = tokio::time::timeout(limits::ANSWER_TIMEOUT, self.wire.message());
        let answer = self.net.shared.until_stopped(whole).await.unwrap_or(Ok(Err(Broken::Lost)));
        answer.unwrap_or(Err(Broken::Stalled))
    }

    /// Who is to blame: a peer that answers a fresh stream lives, and so its silence is its own.
    async fn blame(&self, broken: Broken) -> NetError {
        let fault = match broken {
            Broken::Fault(fault) => return NetError::Protocol(fault),
            Broken::Stalled => NetError::Silent,
            Broken::Cut => NetError::Protocol(Fault::EndedEarly),
            Broken::Lost => NetError::Unreachable(self.device),
        };
        if self.net.shared.stop.is_cancelled() {
            return NetError::Cancelled;
        }
        if fault.blames_peer() && !self.net.lives(self.device).await {
            return NetError::Unreachable(self.device);
        }
        fault
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
        let Request::Upload { bytes, .. } = envelope.request else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        match Talk::open(self, device, envelope).await? {
            (talk, Answer::Ready { have }) if have <= bytes => Ok(Upload { talk, have, left: bytes - have }),
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }

    /// Begins a download; the envelope's request must be [`Request::Download`].
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::WrongAnswer`] if the farmer announces another length than was asked for.
    pub async fn download(&self, device: DeviceId, envelope: &Envelope) -> Result<Download, NetError> {
        let Request::Download { bytes: wanted, .. } = envelope.request else {
            return Err(NetError::Protocol(Fault::WrongAnswer));
        };
        match Talk::open(self, device, envelope).await? {
            (talk, Answer::Sending { bytes }) if bytes == wanted => {
                Ok(Download { talk, left: bytes, ended: false })
            }
            _ => Err(NetError::Protocol(Fault::WrongAnswer)),
        }
    }
}

/// A shard on its way to a farmer. Dropped before [`Upload::finish`], it is cancelled; the farmer may keep what it has.
#[derive(Debug)]
pub struct Upload {
    talk: Talk,
    have: u64,
    left: u64,
}

impl Upload {
    /// Bytes that the farmer had at the start: sending begins after them.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Bytes still to be sent.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Sends the shard's next bytes, in frames of at most [`limits::DATA_FRAME`].
    ///
    /// # Errors
    /// [`NetError`], [`NetError::Refused`] among them if the farmer gave up; [`Fault::TooManyBytes`] beyond the
    /// shard's length.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or(NetError::Protocol(Fault::TooManyBytes))?;
        for frame in bytes.chunks(limits::DATA_FRAME) {
            self.talk.net.shared.rates.up.take(frame.len()).await;
            self.send_frame(frame).await?;
        }
        Ok(())
    }

    async fn send_frame(&mut self, frame: &[u8]) -> Result<(), NetError> {
        let shared = self.talk.net.shared.clone();
        let sent = shared.until_stopped(self.talk.wire.send_data::<Answer>(frame)).await;
        match sent.unwrap_or(Err(Broken::Lost)) {
            Ok(None) => Ok(()),
            Ok(Some(Answer::Refused(refusal))) => Err(NetError::Refused(bounded(refusal))),
            Ok(Some(_)) => Err(NetError::Protocol(Fault::WrongAnswer)),
            Err(Broken::Lost) => Err(self.parting_words().await),
            Err(broken) => Err(self.talk.blame(broken).await),
        }
    }

    /// What the farmer said before it stopped listening.
    async fn parting_words(&mut self) -> NetError {
        match tokio::time::timeout(limits::CLOSE_TIMEOUT, self.talk.wait_answer()).await {
            Ok(Ok(Answer::Refused(refusal))) => NetError::Refused(bounded(refusal)),
            _ => self.talk.blame(Broken::Lost).await,
        }
    }

    /// Waits until the farmer has the whole shard on its disk, and gives the BLAKE3 hash it claims to have stored.
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::EndedEarly`] if not all bytes were given to [`Upload::send`].
    pub async fn finish(mut self) -> Result<[u8; 32], NetError> {
        if self.left > 0 {
            return Err(NetError::Protocol(Fault::EndedEarly));
        }
        if self.talk.wire.flush().await.is_err() {
            return Err(self.parting_words().await);
        }
        match self.talk.wait_answer().await {
            Ok(Answer::Stored { hash }) => Ok(hash),
            Ok(Answer::Refused(refusal)) => Err(NetError::Refused(bounded(refusal))),
            Ok(_) => Err(NetError::Protocol(Fault::WrongAnswer)),
            Err(broken) => Err(self.talk.blame(broken).await),
        }
    }
}

/// A range of a shard on its way here. Dropping it cancels it.
#[derive(Debug)]
pub struct Download {
    talk: Talk,
    left: u64,
    ended: bool,
}

impl Download {
    /// Bytes still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, at most [`limits::DATA_FRAME`]; none after exactly as many as were asked for. Only then is it
    /// sure that the farmer did not send too many.
    ///
    /// # Errors
    /// [`NetError`]; [`Fault::TooManyBytes`] and [`Fault::EndedEarly`] among the farmer's faults.
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        let shared = self.talk.net.shared.clone();
        if self.left == 0 {
            if !self.ended {
                self.ended = true;
                let ended = shared.until_stopped(self.talk.wire.ended()).await;
                if let Some(Err(Broken::Fault(fault))) = ended {
                    return Err(NetError::Protocol(fault));
                }
            }
            return Ok(None);
        }
        let frame = shared.until_stopped(self.talk.wire.data(self.left)).await.unwrap_or(Err(Broken::Lost));
        match frame.and_then(|frame| frame.ok_or(Broken::Cut)) {
            Ok(frame) => {
                self.left -= frame.len() as u64;
                shared.rates.down.take(frame.len()).await;
                Ok(Some(frame))
            }
            Err(broken) => Err(self.talk.blame(broken).await),
        }
    }
}
