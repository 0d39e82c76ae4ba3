//! Bandwidth limits on data: token buckets for both directions that change while transfers run.
//!
//! What a person limits is the line: data is charged with the packets that it takes there. Not charged is what flows
//! whether or not there are transfers, and requests and acknowledgements.
//!
//! Whoever waits is served in order, a small piece at a time, so that of many transfers none waits for long enough to
//! seem silent to its other side.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::RateLimits;

/// Bytes per token: small enough for slow lines, large enough that a token's time is measured well on fast ones.
const TOKEN_BYTES: u64 = 64;
/// A bucket holds as much as flows in this part of a second.
const BURST_PARTS: u64 = 8;
/// A piece takes this part of a second.
const PIECE_PARTS: u64 = 16;
/// Data in one packet, and all that is around it. QUIC finds packets of 1452 bytes wherever Ethernet's 1500 pass; of these
/// its short header and authenticator take about 29 (RFC 9000, 17.3.1; RFC 9001, 5.3), a stream frame's header
/// about 10 (RFC 9000, 19.8). IPv4 and UDP put 28 around them.
const PACKET: (u64, u64) = (1413, 67);
/// The smallest and the largest piece.
const PIECES: (u64, u64) = (1024, 256 * 1024);

type Limiter = RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>;

#[derive(Debug)]
struct Bucket {
    limiter: Limiter,
    burst: NonZeroU32,
    piece: usize,
}

/// Both directions of a node.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) up: Rate,
    pub(crate) down: Rate,
}

impl Rates {
    pub(crate) fn new(rates: RateLimits) -> Self {
        let new = Self::default();
        new.set(rates);
        new
    }

    pub(crate) fn set(&self, rates: RateLimits) {
        self.up.set(rates.up);
        self.down.set(rates.down);
    }
}

/// One direction; unlimited at first.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    bucket: Mutex<Option<Arc<Bucket>>>,
    turn: tokio::sync::Mutex<()>,
}

impl Rate {
    /// Changes the rate; transfers that wait see it within their present wait.
    pub(crate) fn set(&self, bytes_per_second: Option<u64>) {
        *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) = bytes_per_second.map(bucket);
    }

    fn bucket(&self) -> Option<Arc<Bucket>> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that should be sent or asked for at once; none if there is no limit.
    pub(crate) fn piece(&self) -> Option<usize> {
        self.bucket().map(|bucket| bucket.piece)
    }

    /// Waits until `bytes` of data may pass, with the packets that carry them.
    pub(crate) async fn take(&self, bytes: usize) {
        let mut bytes = on_the_line(bytes);
        while bytes > 0 {
            let Some(piece) = self.piece() else { return };
            let piece = piece.min(bytes);
            // Those who wait for the lock get it in the order they came.
            let _turn = self.turn.lock().await;
            self.take_piece(piece).await;
            bytes -= piece;
        }
    }

    async fn take_piece(&self, bytes: usize) {
        let mut tokens = u32::try_from((bytes as u64).div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX);
        while let Some(wanted) = NonZeroU32::new(tokens) {
            let Some(bucket) = self.bucket() else { return };
            let part = wanted.min(bucket.burst);
            match bucket.limiter.check_n(part) {
                Ok(Ok(())) => tokens -= part.get(),
                Ok(Err(not_until)) => {
                    let wait = not_until.wait_time_from(bucket.limiter.clock().now());
                    tokio::time::sleep(wait.min(Duration::from_secs(1))).await;
                }
                Err(_) => return,
            }
        }
    }
}

/// What a line carries for so much data.
fn on_the_line(bytes: usize) -> usize {
    let (data, around) = PACKET;
    let packets = (bytes as u64).div_ceil(data);
    bytes.saturating_add(usize::try_from(packets.saturating_mul(around)).unwrap_or(usize::MAX))
}

fn bucket(bytes_per_second: u64) -> Arc<Bucket> {
    let rate = bytes_per_second.max(1);
    let period = Duration::from_nanos((TOKEN_BYTES * 1_000_000_000).div_ceil(rate));
    let burst = u32::try_from(rate / BURST_PARTS / TOKEN_BYTES).unwrap_or(u32::MAX).max(1);
    let quota = Quota::with_period(period).expect("rounded up, so never zero");
    let burst = NonZeroU32::new(burst).expect("at least one");
    let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), RuntimeClock::default());
    let piece = usize::try_from((rate / PIECE_PARTS).clamp(PIECES.0, PIECES.1)).unwrap_or(usize::MAX);
    Arc::new(Bucket { limiter, burst, piece })
}

/// The runtime's clock, which tests can pause.
#[derive(Debug, Clone)]
struct RuntimeClock {
    start: tokio::time::Instant,
}

impl Default for RuntimeClock {
    fn default() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_for(rate: &Rate, frames: usize, frame: usize) -> f64 {
        let start = tokio::time::Instant::now();
        for _ in 0..frames {
            rate.take(frame).await;
        }
        start.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn rate_is_kept_within_five_percent_at_any_speed() {
        for bytes_per_second in [10_000u64, 125_000, 10_000_000, 150_000_000, 1_000_000_000] {
            let rate = Rate::default();
            rate.set(Some(bytes_per_second));
            let frames = usize::try_from(20 * bytes_per_second / 65_536).unwrap() + 1;
            let seconds = seconds_for(&rate, frames, 65_536).await;
            let ideal = (frames * on_the_line(65_536)) as f64 / bytes_per_second as f64;
            assert!((seconds / ideal - 1.0).abs() < 0.05, "{bytes_per_second}: {seconds} s for {ideal} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unlimited_rate_never_waits() {
        assert_eq!(seconds_for(&Rate::default(), 10_000, 65_536).await, 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_share_a_tight_limit_all_move_within_seconds() {
        let rate = Arc::new(Rate::default());
        rate.set(Some(20_000));
        let longest = |rate: Arc<Rate>| async move {
            let mut longest = 0.0f64;
            for _ in 0..8 {
                longest = longest.max(seconds_for(&rate, 1, rate.piece().unwrap()).await);
            }
            longest
        };
        let all: Vec<_> = (0..40).map(|_| tokio::spawn(longest(rate.clone()))).collect();
        for one in all {
            let longest = one.await.unwrap();
            assert!(longest < 5.0, "one waited {longest} s for a piece");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lifting_the_limit_frees_those_who_wait() {
        let rate = Arc::new(Rate::default());
        rate.set(Some(1));
        let waiting = tokio::spawn({
            let rate = rate.clone();
            async move { rate.take(1_000_000).await }
        });
        tokio::task::yield_now().await;
        rate.set(None);
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("freed").unwrap();
    }
}
