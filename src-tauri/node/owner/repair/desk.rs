//! What all repairs of an owner share: how patient they are, which segments are being repaired, and when those are tried again
//! that could not be.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use hayloft_core::{SegmentId, repair::Patience};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

use crate::owner::{contracts::EPOCH_SECONDS, lock};

/// How often farmers are asked, unless epochs are shorter.
const EVERY: Duration = Duration::from_secs(600);
/// The pause before a segment that could not be repaired is tried again: each time twice as long, up to the second.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);
/// Segments repaired at once by all jobs together: each is in memory meanwhile.
const IN_MEMORY: usize = 4;
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// Shared by all repairs.
pub(crate) struct Desk {
    pub(crate) patience: Patience,
    /// How often farmers are asked.
    pub(crate) every: Duration,
    /// Whether anything is repaired that nobody asked for.
    pub(crate) automatic: bool,
    wake: Notify,
    again: Notify,
    /// How often a segment is on the list of a job.
    pub(super) planned: Mutex<HashMap<SegmentId, usize>>,
    repairing: Mutex<HashSet<SegmentId>>,
    turns: Semaphore,
    freed: Notify,
    failed: Mutex<HashMap<SegmentId, Failed>>,
    not_before: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    times: u32,
    not_before: Instant,
}

/// The right to repair a segment, and the room for it.
pub(super) struct Claim<'a> {
    desk: &'a Desk,
    segment: SegmentId,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(&self.desk.repairing).remove(&self.segment);
        self.desk.freed.notify_waiters();
    }
}

/// Segments on the list of a job.
pub(super) struct Planned<'a> {
    desk: &'a Desk,
    segments: Vec<SegmentId>,
}

impl Drop for Planned<'_> {
    fn drop(&mut self) {
        let mut planned = lock(&self.desk.planned);
        for segment in &self.segments {
            if let Some(count) = planned.get_mut(segment) {
                *count -= 1;
                if *count == 0 {
                    planned.remove(segment);
                }
            }
        }
    }
}

impl Desk {
    /// As patient as epochs are long: what is two weeks where an epoch is a day is fourteen epochs.
    pub(crate) fn new(epoch_seconds: Option<u32>, automatic: bool) -> Self {
        let usual = Patience::default();
        let epoch = u64::from(epoch_seconds.unwrap_or(EPOCH_SECONDS).max(1));
        let scaled = |seconds: u64| seconds.saturating_mul(epoch) / u64::from(EPOCH_SECONDS);
        let most_seconds = scaled(usual.most_seconds);
        Self {
            patience: Patience { most_seconds, least_seconds: scaled(usual.least_seconds) },
            every: EVERY.min(Duration::from_secs(epoch)),
            automatic,
            wake: Notify::new(),
            again: Notify::new(),
            planned: Mutex::default(),
            repairing: Mutex::default(),
            turns: Semaphore::new(IN_MEMORY),
            freed: Notify::new(),
            failed: Mutex::default(),
            not_before: Mutex::default(),
        }
    }

    /// Something was found out, or a repair has ended: look again what is due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Writes segments on a job's list, until the result is dropped.
    pub(super) fn plan(&self, segments: &[SegmentId]) -> Planned<'_> {
        let mut planned = lock(&self.planned);
        for segment in segments {
            *planned.entry(*segment).or_default() += 1;
        }
        Planned { desk: self, segments: segments.to_vec() }
    }

    /// The right to repair a segment, once nobody else does and there is room, for whoever came first.
    pub(super) async fn claim(&self, segment: SegmentId) -> Claim<'_> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if lock(&self.repairing).insert(segment) {
                let mut claim = Claim { desk: self, segment, _turn: None };
                claim._turn = self.turns.acquire().await.ok();
                return claim;
            }
            freed.await;
        }
    }

    pub(super) fn repaired(&self, segment: SegmentId) {
        lock(&self.failed).remove(&segment);
    }

    pub(super) fn could_not(&self, segment: SegmentId) {
        let mut failed = lock(&self.failed);
        let known = failed.get(&segment).copied();
        let times = known.map_or(0, |known| known.times);
        let not_before = Instant::now() + pause_after(times);
        failed.insert(segment, Failed { times: times + 1, not_before });
    }

    /// Forgets which could not be repaired, but for those that are due still: the others wake nobody any more.
    pub(super) fn are_due(&self, due: &[SegmentId]) {
        lock(&self.failed).retain(|segment, _| due.contains(segment));
    }

    pub(super) fn may_try(&self, segment: &SegmentId) -> bool {
        lock(&self.failed).get(segment).is_none_or(|failed| failed.not_before <= Instant::now())
    }

    /// A person ended a repair that nobody had asked for: it does not begin again at once.
    pub(crate) fn hold(&self) {
        *lock(&self.not_before) = Some(Instant::now() + AGAIN_AT_MOST);
    }

    /// There are farmers that were not there before: what could not be repaired is tried with them.
    pub(super) fn try_again(&self) {
        let mut failed = lock(&self.failed);
        if !failed.is_empty() {
            failed.values_mut().for_each(|failed| failed.not_before = Instant::now());
            self.again.notify_waiters();
        }
    }

    /// Waits until something that could not be repaired may be tried again, or there is news.
    pub(super) async fn next_round(&self) {
        let first = lock(&self.failed).values().map(|failed| failed.not_before).min();
        let until = first.unwrap_or_else(|| Instant::now() + AGAIN).max(Instant::now() + LEAST_PAUSE);
        tokio::select! {
            () = self.again.notified() => {}
            () = sleep_until(until) => {}
        }
    }

    pub(super) fn may_begin(&self) -> bool {
        lock(&self.not_before).is_none_or(|at| at <= Instant::now())
    }
}

fn pause_after(times: u32) -> Duration {
    (AGAIN * 2_u32.saturating_pow(times.min(16))).min(AGAIN_AT_MOST)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn patience_is_counted_in_epochs() {
        let usual = Desk::new(None, true);
        assert_eq!((usual.patience, usual.every), (Patience::default(), EVERY));
        let short = Desk::new(Some(24), true);
        assert_eq!((short.patience.most_seconds, short.patience.least_seconds), (14 * 24, 1));
        assert_eq!(short.every, Duration::from_secs(24));
    }

    #[tokio::test(start_paused = true)]
    async fn a_segment_that_could_not_be_repaired_is_tried_ever_more_rarely_but_always_again() {
        let (desk, segment) = (Desk::new(None, true), SegmentId([1; 32]));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            desk.could_not(segment);
            let begun = Instant::now();
            while !desk.may_try(&segment) {
                tokio::time::advance(Duration::from_secs(5)).await;
            }
            pauses.push(begun.elapsed().as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        desk.could_not(segment);
        desk.repaired(segment);
        assert!(desk.may_try(&segment));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_longer_due_wakes_nobody() {
        let (desk, removed, due) = (Desk::new(None, true), SegmentId([1; 32]), SegmentId([2; 32]));
        desk.could_not(removed);
        tokio::time::advance(AGAIN * 2).await;
        for _ in 0..3 {
            desk.could_not(due);
        }
        desk.are_due(&[due]);
        let begun = Instant::now();
        desk.next_round().await;
        assert_eq!(begun.elapsed(), AGAIN * 4);
        assert!(desk.may_try(&due));
    }

    #[tokio::test]
    async fn few_segments_are_in_memory_however_many_jobs_repair_some() {
        let desk = Desk::new(None, true);
        let segment = |number: usize| SegmentId([number as u8; 32]);
        let mut claims = Vec::new();
        for number in 0..IN_MEMORY {
            claims.push(desk.claim(segment(number)).await);
        }
        let mut next = pin!(desk.claim(segment(IN_MEMORY)));
        assert!(futures::poll!(next.as_mut()).is_pending());
        claims.pop();
        drop(next.await);
    }

    #[tokio::test]
    async fn one_segment_is_repaired_by_one_at_a_time() {
        let (desk, segment) = (Desk::new(None, true), SegmentId([1; 32]));
        let first = desk.claim(segment).await;
        let mut second = pin!(desk.claim(segment));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await);
    }
}
