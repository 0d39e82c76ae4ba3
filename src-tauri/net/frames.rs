//! Frames on a stream: `u32 BE length ‖ payload`.
//!
//! A reader allocates nothing before the length has passed its limit, loses nothing when it is cancelled, and gives
//! up when too little moves for too long. Time counts from the last progress, never for a whole transfer.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits;

/// Bytes of a frame's length.
const HEADER: usize = 4;

/// Why a frame did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {bytes} bytes where {limit} are allowed")]
    TooLong { bytes: u64, limit: u64 },
    #[error("the stream ended inside a frame")]
    Cut,
    #[error("nothing moved")]
    Stalled,
    #[error("the stream broke")]
    Broken(#[source] io::Error),
}

/// Reads frames, one after the other.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    io: R,
    header: [u8; HEADER],
    header_read: usize,
    body: Option<BytesMut>,
    body_read: usize,
    moved: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(io: R) -> Self {
        let moved = Arc::default();
        Self { io, header: [0; HEADER], header_read: 0, body: None, body_read: 0, moved }
    }

    /// Bytes that have arrived in frames so far, parts of unfinished ones among them; counts on while a frame is awaited.
    pub(crate) fn moved(&self) -> Arc<AtomicU64> {
        self.moved.clone()
    }

    /// From now on counts on in `moved` instead.
    pub(crate) fn count_into(&mut self, moved: Arc<AtomicU64>) {
        self.moved = moved;
    }

    /// The next frame of at most `limit` bytes; none if the stream ended before it. A call that was dropped goes on
    /// in the next one, without loss.
    pub(crate) async fn next(
        &mut self,
        limit: usize,
        patience: Duration,
    ) -> Result<Option<Bytes>, FrameError> {
        let mut timer = pin!(Stall::new(patience));
        poll_fn(|cx| match self.poll_next(cx, limit, timer.as_mut()) {
            Poll::Pending => timer.as_mut().poll_stalled(cx).map(|()| Err(FrameError::Stalled)),
            done => done,
        })
        .await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        mut timer: Pin<&mut Stall>,
    ) -> Poll<Result<Option<Bytes>, FrameError>> {
        while self.header_read < HEADER {
            let target = &mut self.header[self.header_read..];
            match ready!(Pin::new(&mut self.io).poll_read(cx, target)).map_err(FrameError::Broken)? {
                0 if self.header_read == 0 => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(FrameError::Cut)),
                read => self.header_read += read,
            }
        }
        let len = u32::from_be_bytes(self.header);
        if u64::from(len) > limit as u64 {
            return Poll::Ready(Err(FrameError::TooLong { bytes: len.into(), limit: limit as u64 }));
        }
        let len = len as usize;
        // What is announced costs its sender nothing: more than a data frame is taken only as it fills.
        let body = self.body.get_or_insert_with(|| BytesMut::zeroed(len.min(limits::DATA_FRAME)));
        while self.body_read < len {
            if self.body_read == body.len() {
                body.resize(len.min(2 * body.len()), 0);
            }
            let target = &mut body[self.body_read..];
            match ready!(Pin::new(&mut self.io).poll_read(cx, target)).map_err(FrameError::Broken)? {
                0 => return Poll::Ready(Err(FrameError::Cut)),
                read => {
                    self.body_read += read;
                    self.moved.fetch_add(read as u64, Ordering::Relaxed);
                    timer.as_mut().moved(read);
                }
            }
        }
        let body = self.body.take().unwrap_or_default().freeze();
        (self.header_read, self.body_read) = (0, 0);
        Poll::Ready(Ok(Some(body)))
    }
}

/// Writes frames, one after the other.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    io: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(io: W) -> Self {
        Self { io }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn into_inner(self) -> W {
        self.io
    }

    /// Writes one small frame in one piece and flushes it.
    pub(crate) async fn send_now(&mut self, payload: &[u8], patience: Duration) -> Result<(), FrameError> {
        let mut frame = Vec::with_capacity(HEADER + payload.len());
        frame.extend_from_slice(&header(payload)?);
        frame.extend_from_slice(payload);
        self.write(&frame, patience).await?;
        self.flush(patience).await
    }

    /// Writes one frame without copying it; it is surely on its way only after [`Self::flush`] or [`Self::close`].
    pub(crate) async fn send(&mut self, payload: &[u8], patience: Duration) -> Result<(), FrameError> {
        self.write(&header(payload)?, patience).await?;
        self.write(payload, patience).await
    }

    /// Sends what is still buffered.
    pub(crate) async fn flush(&mut self, patience: Duration) -> Result<(), FrameError> {
        until_stalled(patience, |cx| Pin::new(&mut self.io).poll_flush(cx)).await
    }

    /// Sends what is still buffered and ends the stream in this direction.
    pub(crate) async fn close(&mut self, patience: Duration) -> Result<(), FrameError> {
        until_stalled(patience, |cx| Pin::new(&mut self.io).poll_close(cx)).await
    }

    async fn write(&mut self, mut bytes: &[u8], patience: Duration) -> Result<(), FrameError> {
        let mut timer = pin!(Stall::new(patience));
        poll_fn(|cx| {
            while !bytes.is_empty() {
                match Pin::new(&mut self.io).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(FrameError::Cut)),
                    Poll::Ready(Ok(written)) => {
                        bytes = &bytes[written..];
                        timer.as_mut().moved(written);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(FrameError::Broken(error))),
                    Poll::Pending => {
                        return timer.as_mut().poll_stalled(cx).map(|()| Err(FrameError::Stalled));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

fn header(payload: &[u8]) -> Result<[u8; HEADER], FrameError> {
    let len = u32::try_from(payload.len());
    len.map(u32::to_be_bytes)
        .map_err(|_| FrameError::TooLong { bytes: payload.len() as u64, limit: u32::MAX.into() })
}

async fn until_stalled(
    patience: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
) -> Result<(), FrameError> {
    match tokio::time::timeout(patience, poll_fn(|cx| poll(cx))).await {
        Ok(done) => done.map_err(FrameError::Broken),
        Err(_) => Err(FrameError::Stalled),
    }
}

/// Runs out when fewer than [`limits::PROGRESS_BYTES`] move within its patience.
struct Stall {
    patience: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    moved: usize,
}

impl Stall {
    fn new(patience: Duration) -> Self {
        Self { patience, sleep: None, moved: 0 }
    }

    fn moved(mut self: Pin<&mut Self>, bytes: usize) {
        self.moved += bytes;
        if self.moved >= limits::PROGRESS_BYTES {
            self.moved = 0;
            let deadline = Instant::now() + self.patience;
            if let Some(sleep) = &mut self.sleep {
                sleep.as_mut().reset(deadline);
            }
        }
    }

    fn poll_stalled(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience;
        self.sleep.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;
    use proptest::prelude::*;
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn written(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = FrameWriter::new(Cursor::new(Vec::new()));
        for (i, frame) in frames.iter().enumerate() {
            match i % 2 {
                0 => writer.send(frame, PATIENCE).await.unwrap(),
                _ => writer.send_now(frame, PATIENCE).await.unwrap(),
            }
        }
        writer.close(PATIENCE).await.unwrap();
        writer.io.into_inner()
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_stream_is_cut_into_reads(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            pipe in 1usize..64,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let (near, far) = tokio::io::duplex(pipe);
                let sender = async {
                    let mut writer = FrameWriter::new(near.compat());
                    for frame in &frames {
                        writer.send(frame, PATIENCE).await.unwrap();
                    }
                    writer.close(PATIENCE).await.unwrap();
                };
                let receiver = async {
                    let mut reader = FrameReader::new(far.compat());
                    let mut received = Vec::new();
                    while let Some(frame) = reader.next(300, PATIENCE).await.unwrap() {
                        received.push(frame.to_vec());
                    }
                    received
                };
                let ((), received) = futures::join!(sender, receiver);
                assert_eq!(received, frames);
            });
        }

        #[test]
        fn any_bytes_end_in_frames_or_an_error_within_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            limit in 0usize..64,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut reader = FrameReader::new(Cursor::new(bytes));
                while let Ok(Some(frame)) = reader.next(limit, PATIENCE).await {
                    assert!(frame.len() <= limit);
                }
            });
        }

        #[test]
        fn cut_streams_are_never_taken_for_whole_ones(
            frame in prop::collection::vec(any::<u8>(), 1..100), cut in 1usize..100,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut bytes = written(std::slice::from_ref(&frame)).await;
                let left = bytes.len().saturating_sub(cut).max(1);
                bytes.truncate(left);
                let mut reader = FrameReader::new(Cursor::new(bytes));
                assert!(matches!(reader.next(100, PATIENCE).await, Err(FrameError::Cut)));
            });
        }
    }

    #[tokio::test]
    async fn frame_beyond_its_limit_is_refused_by_its_length_alone() {
        let mut reader = FrameReader::new(Cursor::new(101u32.to_be_bytes().to_vec()));
        let refused = reader.next(100, PATIENCE).await;
        assert!(matches!(refused, Err(FrameError::TooLong { bytes: 101, limit: 100 })));
    }

    #[tokio::test]
    async fn dropped_read_goes_on_without_loss() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far.compat());
        let bytes = written(&[b"hayloft".to_vec()]).await;
        for part in bytes.chunks(3) {
            tokio::io::AsyncWriteExt::write_all(&mut near, part).await.unwrap();
            if let Some(done) = futures::FutureExt::now_or_never(reader.next(100, PATIENCE)) {
                assert_eq!(&done.unwrap().unwrap()[..], b"hayloft");
                return;
            }
        }
        panic!("the frame never came");
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_a_second_counts_as_silence() {
        let (mut near, far) = tokio::io::duplex(64);
        let drip = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &60_000u32.to_be_bytes()).await;
            while tokio::io::AsyncWriteExt::write_all(&mut near, &[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let mut reader = FrameReader::new(far.compat());
        assert!(matches!(reader.next(limits::DATA_FRAME, PATIENCE).await, Err(FrameError::Stalled)));
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn slow_but_steady_stream_does_not_time_out() {
        let (mut near, far) = tokio::io::duplex(2048);
        tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &60_000u32.to_be_bytes()).await;
            for _ in 0..30 {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &[0; 2000]).await;
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
        });
        let mut reader = FrameReader::new(far.compat());
        assert_eq!(reader.next(limits::DATA_FRAME, PATIENCE).await.unwrap().unwrap().len(), 60_000);
    }
}
