//! Both ends of a request's stream: control frames carry encoded messages, data frames raw bytes.

use std::time::Duration;

use bytes::Bytes;
use futures::{
    AsyncReadExt as _,
    io::{ReadHalf, WriteHalf},
};
use hayloft_core::codec;
use libp2p::Stream;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Fault,
    frames::{FrameError, FrameReader, FrameWriter},
    limits,
    messages::Refusal,
};

/// Version byte of every control frame.
const MESSAGE_VERSION: u8 = 1;

/// Why a stream is of no more use, before anybody is blamed.
#[derive(Debug)]
pub(super) enum Broken {
    /// The other side broke a rule.
    Fault(Fault),
    /// Nothing moved.
    Stalled,
    /// The stream ended inside something.
    Cut,
    /// The connection or the stream failed.
    Lost,
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong { bytes, limit } => Self::Fault(Fault::FrameTooLong { bytes, limit }),
            FrameError::Cut => Self::Cut,
            FrameError::Stalled => Self::Stalled,
            FrameError::Broken(error) => {
                tracing::debug!(%error, "stream broke");
                Self::Lost
            }
        }
    }
}

/// A stream as frames.
#[derive(Debug)]
pub(super) struct Wire {
    reader: FrameReader<ReadHalf<Stream>>,
    writer: FrameWriter<WriteHalf<Stream>>,
    patience: Duration,
}

impl Wire {
    pub(super) fn new(stream: Stream, patience: Duration) -> Self {
        let (reader, writer) = stream.split();
        Self { reader: FrameReader::new(reader), writer: FrameWriter::new(writer), patience }
    }

    /// The next message; [`Broken::Cut`] if the stream ended instead.
    pub(super) async fn message<T: Serialize + DeserializeOwned>(&mut self) -> Result<T, Broken> {
        let frame = self.reader.next(limits::CONTROL_FRAME, self.patience).await?.ok_or(Broken::Cut)?;
        codec::decode(MESSAGE_VERSION, &frame, limits::CONTROL_FRAME)
            .map_err(|_| Broken::Fault(Fault::Malformed))
    }

    /// Sends a message at once.
    pub(super) async fn send_message<T: Serialize>(&mut self, message: &T) -> Result<(), Broken> {
        let frame = codec::encode(MESSAGE_VERSION, message);
        Ok(self.writer.send_now(&frame, self.patience).await?)
    }

    /// The next data frame, of at most `left` bytes; none if the stream ended.
    pub(super) async fn data(&mut self, left: u64) -> Result<Option<Bytes>, Broken> {
        let Some(frame) = self.reader.next(limits::DATA_FRAME, self.patience).await? else { return Ok(None) };
        match frame.len() as u64 {
            0 => Err(Broken::Fault(Fault::EmptyFrame)),
            len if len > left => Err(Broken::Fault(Fault::TooManyBytes)),
            _ => Ok(Some(frame)),
        }
    }

    /// Sends one data frame; a message that arrives meanwhile ends the sending and is returned.
    pub(super) async fn send_data<T: Serialize + DeserializeOwned>(
        &mut self,
        data: &[u8],
    ) -> Result<Option<T>, Broken> {
        let Self { reader, writer, patience } = self;
        tokio::select! {
            biased;
            early = reader.next(limits::CONTROL_FRAME, Duration::MAX / 4) => {
                let frame = early?.ok_or(Broken::Cut)?;
                let message = codec::decode(MESSAGE_VERSION, &frame, limits::CONTROL_FRAME);
                message.map(Some).map_err(|_| Broken::Fault(Fault::Malformed))
            }
            sent = writer.send(data, *patience) => Ok(sent.map(|()| None)?),
        }
    }

    /// Sends one data frame to a side that has nothing more to say.
    pub(super) async fn send_only(&mut self, data: &[u8]) -> Result<(), Broken> {
        Ok(self.writer.send(data, self.patience).await?)
    }

    /// Sends what is still buffered.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        Ok(self.writer.flush(self.patience).await?)
    }

    /// Ends this direction, everything sent.
    pub(super) async fn close(&mut self) -> Result<(), Broken> {
        Ok(self.writer.close(self.patience).await?)
    }

    /// Whether the other side sends nothing more; one that leaves it open without sending is given the benefit.
    pub(super) async fn ended(&mut self) -> Result<(), Broken> {
        match self.reader.next(limits::DATA_FRAME, limits::CLOSE_TIMEOUT).await {
            Ok(Some(_)) | Err(FrameError::TooLong { .. } | FrameError::Cut) => {
                Err(Broken::Fault(Fault::TooManyBytes))
            }
            Ok(None) | Err(FrameError::Stalled | FrameError::Broken(_)) => Ok(()),
        }
    }
}

/// A refusal whose sentence keeps to its limit, cut at a character and cleared of control characters.
pub(super) fn bounded(mut refusal: Refusal) -> Refusal {
    refusal.sentence.retain(|c| !c.is_control());
    let end = refusal.sentence.floor_char_boundary(limits::REFUSAL_SENTENCE_BYTES);
    refusal.sentence.truncate(end);
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::RefusalCode;

    #[test]
    fn refusal_sentences_are_cut_at_a_character_within_their_limit() {
        let sentence = format!("\u{1b}[31m{}", "é".repeat(limits::REFUSAL_SENTENCE_BYTES));
        let refusal = bounded(Refusal { code: RefusalCode::Busy, sentence });
        assert!(refusal.sentence.len() <= limits::REFUSAL_SENTENCE_BYTES);
        assert!(refusal.sentence.starts_with("[31mé") && refusal.sentence.ends_with('é'));
    }
}
