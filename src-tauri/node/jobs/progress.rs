//! How far a job is, as it goes: counted by the job, looked at by people.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::model::ErrorCode;

/// Weight of the newest speed in the mean, per look.
const NEWEST: f64 = 0.3;
/// How long nothing may move before it is said.
const QUIET: Duration = Duration::from_secs(5);
const NO_ANSWER: &str = "Waiting for farmers to answer.";
const NO_LINE: &str =
    "Nobody can be reached at the moment: this goes on by itself once the connection is back.";

/// How much of a segment has been sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    total: AtomicU64,
    waiting: AtomicU64,
}

/// Somebody who waits for the line.
pub(crate) struct Waiting<'a>(&'a Sent);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sent {
    /// Begins anew with so many bytes to send.
    pub(crate) fn begin(&self, total: u64) {
        self.bytes.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many have arrived; never fewer than before.
    pub(crate) fn arrived(&self, bytes: u64) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Says that nothing can be reached, until the guard is dropped.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    fn share_of(&self, plain: u64) -> u64 {
        let (bytes, total) = (self.bytes.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        if total == 0 { 0 } else { (bytes.min(total) as u128 * plain as u128 / total as u128) as u64 }
    }
}

/// How far a job is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    total_bytes: u64,
    total_files: u64,
    settled_bytes: u64,
    settled_files: u64,
    moving: Vec<(u64, Arc<Sent>)>,
    message: Option<String>,
    last: Option<(Instant, u64)>,
    /// When something moved last, and how far the job was then.
    moved: Option<(Instant, u64)>,
    speed: f64,
}

/// How far a job is, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
    pub(crate) done_files: u64,
    pub(crate) total_files: u64,
    pub(crate) bytes_per_second: u64,
    pub(crate) message: Option<String>,
    /// If it failed, the kind of reason.
    pub(crate) error: Option<ErrorCode>,
}

impl Progress {
    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much is to be done in all.
    pub(crate) fn expect(&self, bytes: u64, files: u64) {
        let mut now = self.now();
        (now.total_bytes, now.total_files) = (bytes, files);
    }

    /// So much more is done for good.
    pub(crate) fn settle(&self, bytes: u64, files: u64) {
        let mut now = self.now();
        now.settled_bytes += bytes;
        now.settled_files += files;
        if now.last.is_none() {
            now.last = Some((Instant::now(), now.settled_bytes));
        }
    }

    /// What was done must be done again.
    pub(crate) fn restart(&self) {
        let mut now = self.now();
        (now.settled_bytes, now.settled_files, now.last, now.moved) = (0, 0, None, None);
        now.moving.clear();
    }

    /// These plain bytes are on their way.
    pub(crate) fn moving(&self, plain: u64, sent: &Arc<Sent>) {
        self.now().moving.push((plain, sent.clone()));
    }

    /// They have arrived.
    pub(crate) fn arrived(&self, plain: u64, sent: &Arc<Sent>) {
        let mut now = self.now();
        now.moving.retain(|(_, other)| !Arc::ptr_eq(other, sent));
        now.settled_bytes += plain;
    }

    /// What the job waits for.
    pub(crate) fn say(&self, message: Option<String>) {
        self.now().message = message;
    }

    /// How far it is; looked at regularly, it tells the speed.
    pub(crate) fn look(&self) -> Snapshot {
        self.look_at(Instant::now())
    }

    fn look_at(&self, at: Instant) -> Snapshot {
        let mut now = self.now();
        let moving: u64 = now.moving.iter().map(|(plain, sent)| sent.share_of(*plain)).sum();
        let done = (now.settled_bytes + moving).min(now.total_bytes);
        let waiting = now.moving.iter().any(|(_, sent)| sent.waiting.load(Ordering::Relaxed) > 0);
        let newest = now.last.map(|(then, before)| {
            done.saturating_sub(before) as f64 / at.duration_since(then).as_secs_f64().max(0.001)
        });
        if let Some(newest) = newest {
            now.speed += if now.speed == 0.0 { newest } else { (newest - now.speed) * NEWEST };
        }
        now.last = Some((at, done));
        if now.moved.is_none_or(|(_, before)| before != done) {
            now.moved = Some((at, done));
        }
        let quiet = now.moved.is_some_and(|(since, _)| at.duration_since(since) >= QUIET);
        let waits_for = if waiting { Some(NO_LINE) } else { quiet.then_some(NO_ANSWER) };
        Snapshot {
            done_bytes: done,
            total_bytes: now.total_bytes,
            done_files: now.settled_files.min(now.total_files),
            total_files: now.total_files,
            bytes_per_second: now.speed as u64,
            message: now.message.clone().or_else(|| waits_for.map(str::to_owned)),
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_on_their_way_count_by_their_share_and_never_twice() {
        let progress = Progress::default();
        let sent = Arc::new(Sent::default());
        progress.expect(100, 2);
        progress.settle(20, 1);
        progress.moving(40, &sent);
        sent.begin(1000);
        sent.arrived(500);
        assert_eq!(progress.look().done_bytes, 40);
        sent.arrived(1400);
        assert_eq!(progress.look().done_bytes, 60);
        progress.arrived(40, &sent);
        assert_eq!((progress.look().done_bytes, progress.look().done_files), (60, 1));
    }

    #[test]
    fn a_job_in_which_nothing_moves_says_so_until_something_does() {
        let (progress, sent, begun) = (Progress::default(), Arc::new(Sent::default()), Instant::now());
        progress.expect(100, 1);
        progress.moving(100, &sent);
        sent.begin(100);
        let after = |seconds| progress.look_at(begun + Duration::from_secs(seconds)).message;
        assert_eq!((after(0), after(4)), (None, None));
        assert_eq!(after(5).as_deref(), Some(NO_ANSWER));
        let offline = sent.waiting();
        assert_eq!(after(6).as_deref(), Some(NO_LINE));
        drop(offline);
        progress.say(Some("It is known why.".into()));
        assert_eq!(after(7).as_deref(), Some("It is known why."));
        progress.say(None);
        sent.arrived(1);
        assert_eq!((after(8), after(12)), (None, None));
        assert_eq!(after(13).as_deref(), Some(NO_ANSWER));
    }
}
