//! Whether enough of an upload flows for it to hold its space: a pure rule, so that time is the caller's.
//!
//! An upload holds its space until an end that only its own bytes move. [`ENOUGH_BYTES`] in ten minutes are some 0.9 KB a
//! second: a third of what each of forty uploads gets that share a line of 1 Mbit/s, and no upload takes longer than its
//! length allows at that rate.

use hayloft_core::Timestamp;

/// Bytes that move the end.
const ENOUGH_BYTES: u64 = 512 << 10;
/// The end moves at most so often: each time costs a write of the database.
const AT_LEAST_SECONDS: u64 = 60;

/// How far an upload's space is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    until: Timestamp,
    since: Timestamp,
    bytes: u64,
}

impl Flow {
    pub(super) fn new(until: Timestamp, now: Timestamp) -> Self {
        Self { until, since: now, bytes: 0 }
    }

    /// Seconds for which the space is still held.
    pub(super) fn left(&self, now: Timestamp) -> u64 {
        // Far beyond any transfer, and within what timers take.
        self.until.seconds_since(now).min(365 * 24 * 3600)
    }

    /// Counts bytes that came; whether they move the end.
    pub(super) fn more(&mut self, bytes: u64, now: Timestamp) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes >= ENOUGH_BYTES && now.seconds_since(self.since) >= AT_LEAST_SECONDS
    }

    /// The end was moved.
    pub(super) fn prolonged(&mut self, until: Timestamp, now: Timestamp) {
        *self = Self::new(until, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD_SECONDS: u64 = 600;

    /// Seconds until an upload at this rate loses its space; `None` if it still holds it after `seconds`.
    fn lost_after(bytes_a_second: u64, seconds: u64) -> Option<u64> {
        let mut flow = Flow::new(Timestamp(HOLD_SECONDS), Timestamp(0));
        (0..seconds).find(|&second| {
            let now = Timestamp(second);
            if flow.more(bytes_a_second, now) {
                flow.prolonged(now.plus_seconds(HOLD_SECONDS), now);
            }
            flow.left(now) == 0
        })
    }

    #[test]
    fn drips_lose_their_space_after_ten_minutes() {
        for bytes_a_second in [0, 1, 51, 800] {
            assert_eq!(lost_after(bytes_a_second, 7200), Some(HOLD_SECONDS), "{bytes_a_second}");
        }
    }

    #[test]
    fn a_fortieth_of_one_megabit_a_second_holds_its_space() {
        for bytes_a_second in [1_000, 3_000, 100_000, 1 << 30] {
            assert_eq!(lost_after(bytes_a_second, 7200), None, "{bytes_a_second}");
        }
    }
}
