//! Both ends of a request's stream: control frames carry encoded messages, data frames raw bytes.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

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
/// For waits that somebody else ends.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

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
        self.message_within(self.patience).await
    }

    /// As [`Wire::message`], with another patience.
    pub(super) async fn message_within<T: Serialize + DeserializeOwned>(
        &mut self,
        patience: Duration,
    ) -> Result<T, Broken> {
        decoded(self.reader.next(limits::CONTROL_FRAME, patience).await?)
    }

    /// Sends a message at once.
    pub(super) async fn send_message<T: Serialize>(&mut self, message: &T) -> Result<(), Broken> {
        let frame = codec::encode(MESSAGE_VERSION, message);
        Ok(self.writer.send_now(&frame, self.patience).await?)
    }

    /// The next data frame, of at most `left` bytes; none if the stream ended.
    pub(super) async fn data(&mut self, left: u64, patience: Duration) -> Result<Option<Bytes>, Broken> {
        data_frame(self.reader.next(limits::DATA_FRAME, patience).await?, left)
    }

    /// Sends one data frame.
    pub(super) async fn send_data(&mut self, data: &[u8]) -> Result<(), Broken> {
        Ok(self.writer.send(data, self.patience).await?)
    }

    /// Both directions, to be used at the same time.
    pub(super) fn halves(&mut self) -> (Hearing<'_>, Saying<'_>) {
        (Hearing(&mut self.reader), Saying(&mut self.writer, self.patience))
    }

    /// Bytes that have arrived in frames so far, parts of unfinished ones among them.
    pub(super) fn moved(&self) -> Arc<AtomicU64> {
        self.reader.moved()
    }

    /// From now on counts what arrives in `moved`, on top of what it holds.
    pub(super) fn count_into(&mut self, moved: Arc<AtomicU64>) {
        self.reader.count_into(moved);
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

/// What comes in. Its calls may be dropped without loss, and give up only as they are told.
pub(super) struct Hearing<'a>(&'a mut FrameReader<ReadHalf<Stream>>);

impl Hearing<'_> {
    /// The next message, whenever it comes.
    pub(super) async fn message<T: Serialize + DeserializeOwned>(&mut self) -> Result<T, Broken> {
        decoded(self.0.next(limits::CONTROL_FRAME, FOREVER).await?)
    }

    /// The next data frame, of at most `left` bytes; none if the stream ended.
    pub(super) async fn data(&mut self, left: u64, patience: Duration) -> Result<Option<Bytes>, Broken> {
        data_frame(self.0.next(limits::DATA_FRAME, patience).await?, left)
    }
}

/// What goes out.
pub(super) struct Saying<'a>(&'a mut FrameWriter<WriteHalf<Stream>>, Duration);

impl Saying<'_> {
    /// Sends one data frame, however long it takes.
    pub(super) async fn data(&mut self, data: &[u8]) -> Result<(), Broken> {
        Ok(self.0.send(data, FOREVER).await?)
    }

    /// Sends a message at once.
    pub(super) async fn message<T: Serialize>(&mut self, message: &T) -> Result<(), Broken> {
        Ok(self.0.send_now(&codec::encode(MESSAGE_VERSION, message), self.1).await?)
    }
}

fn decoded<T: Serialize + DeserializeOwned>(frame: Option<Bytes>) -> Result<T, Broken> {
    codec::decode(MESSAGE_VERSION, &frame.ok_or(Broken::Cut)?, limits::CONTROL_FRAME)
        .map_err(|_| Broken::Fault(Fault::Malformed))
}

fn data_frame(frame: Option<Bytes>, left: u64) -> Result<Option<Bytes>, Broken> {
    match frame.as_ref().map(|frame| frame.len() as u64) {
        Some(0) => Err(Broken::Fault(Fault::EmptyFrame)),
        Some(len) if len > left => Err(Broken::Fault(Fault::TooManyBytes)),
        _ => Ok(frame),
    }
}

/// A refusal whose sentence keeps to its limit, cut at a character and cleared of what drives a terminal or turns a line.
pub(super) fn bounded(mut refusal: Refusal) -> Refusal {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    refusal.sentence.retain(|c| !c.is_control() && !turns(c));
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
        let sentence = format!("\u{1b}\u{202e}[31m{}", "é".repeat(limits::REFUSAL_SENTENCE_BYTES));
        let refusal = bounded(Refusal { code: RefusalCode::Busy, sentence });
        assert!(refusal.sentence.len() <= limits::REFUSAL_SENTENCE_BYTES);
        assert!(refusal.sentence.starts_with("[31mé") && refusal.sentence.ends_with('é'));
    }
}
