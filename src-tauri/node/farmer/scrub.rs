//! Reads kept shards again in the background, so that what the disk loses is known and told.
//!
//! A pass is spread over [`PASS_SECONDS`], so that each shard is read within thirty days even if the node runs only half
//! the time; what was missed is caught up, never faster than [`BYTES_PER_SECOND`] nor with more than a small share of the
//! disk's time. A check that a person asks for goes faster. Transfers under way slow both down. A shard that failed while
//! it was being served is examined at once, out of turn.
//!
//! What is lost stays on the contract's books: the owner is told "lost" when asking for it, and decides.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hayloft_core::{ShardId, Timestamp};
use hayloft_store::{
    FarmerError,
    scrub::{Finding, Kept, Pass, STEP_BYTES, Scrub, Step, Trouble, Troubled},
};
use tokio::sync::{Notify, mpsc};

use super::{Farmer, Shared};
use crate::{
    errors,
    model::{ApiError, Event, ScrubStatus, ShardTrouble, TroubledShard},
};

/// Over how long a pass at leisure is spread.
const PASS_SECONDS: u64 = 14 * 24 * 60 * 60;
/// A node that has just started has better things to do.
const START: Duration = Duration::from_secs(60);
/// So long at most until it is looked again what is due.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// Bytes read per second at most while nobody waits.
const BYTES_PER_SECOND: u64 = 8 << 20;
/// For each second of reading, so many are rested.
const REST: u32 = 20;
/// The same while a person waits.
const HURRIED_REST: u32 = 1;
/// Rests are so many times longer while shards are sent or received.
const GIVE_WAY: u32 = 4;
/// Shards whose findings are written down together while a person waits.
const PAGE: u32 = 64;
/// Findings are written down at least so often.
const WRITE_DOWN: Duration = Duration::from_secs(1);
/// Shards that failed while being served and wait to be examined; more are left to the next pass.
const SUSPECTS: usize = 64;
/// Shards in trouble that a status names.
const NAMED: u32 = 100;

/// What reaches the task from elsewhere.
pub(super) struct Signals {
    hurry: Notify,
    suspects: mpsc::Sender<ShardId>,
    serving: AtomicUsize,
    problem: Mutex<Option<String>>,
}

/// A transfer under way, until dropped.
pub(super) struct Serving<'a>(&'a AtomicUsize);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Signals {
    pub(super) fn new() -> (Self, mpsc::Receiver<ShardId>) {
        let (suspects, waiting) = mpsc::channel(SUSPECTS);
        let (hurry, serving, problem) = (Notify::new(), AtomicUsize::new(0), Mutex::new(None));
        (Self { hurry, suspects, serving, problem }, waiting)
    }

    /// Something was wrong with this shard.
    pub(super) fn suspect(&self, shard: ShardId) {
        // A full queue loses nothing: the pass comes to the shard as well.
        let _ = self.suspects.try_send(shard);
    }

    /// Lets scrubbing give way until the answer is dropped.
    pub(super) fn serving(&self) -> Serving<'_> {
        self.serving.fetch_add(1, Ordering::Relaxed);
        Serving(&self.serving)
    }

    /// Whether shards are being sent or received.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed) > 0
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Scrubs until the node stops.
pub(super) async fn run(shared: std::sync::Arc<Shared>, mut suspects: mpsc::Receiver<ShardId>) {
    let stop = shared.parts.stop.clone();
    let scrubbing = async {
        let mut wait = START;
        loop {
            tokio::select! {
                Some(shard) = suspects.recv() => {
                    shared.tell_problem(shared.examine_out_of_turn(shard).await.map(|()| LOOK)).await;
                    continue;
                }
                () = shared.scrub.hurry.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = shared.tell_problem(shared.go_on().await).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(scrubbing).await;
}

impl Shared {
    /// Examines what is due now; answers how long to wait until something may be due again.
    async fn go_on(&self) -> Result<Duration, FarmerError> {
        let (farmer, now) = (self.parts.store.farmer(), self.parts.clock.now());
        let Scrub { pass, next, .. } = farmer.scrub().await?;
        let Some(pass) = pass else {
            if now < next || !self.keeps().await? {
                return Ok(Duration::from_secs(next.seconds_since(now)).clamp(START, LOOK));
            }
            farmer.begin_scrub(false, now).await?;
            return Ok(Duration::ZERO);
        };
        let wait = until_due(&pass, now);
        if !wait.is_zero() {
            return Ok(wait.min(LOOK));
        }
        let page = farmer.next_to_scrub(if pass.hurried { PAGE } else { 1 }).await?;
        if page.is_empty() {
            self.end_pass(&pass, now).await?;
            return Ok(START);
        }
        self.examine_page(page, pass).await?;
        Ok(Duration::ZERO)
    }

    async fn keeps(&self) -> Result<bool, FarmerError> {
        Ok(self.parts.store.farmer().contracts().await?.iter().any(|contract| contract.shards > 0))
    }

    async fn examine_page(&self, page: Vec<Kept>, pass: Pass) -> Result<(), FarmerError> {
        let mut findings = Vec::new();
        let mut written = Instant::now();
        for kept in page {
            let examined = self.examine(&kept, pass.hurried).await;
            match examined {
                Ok(finding) => findings.push((kept, finding)),
                Err(error) => {
                    self.write_down(&findings, Some(&pass)).await?;
                    return Err(error);
                }
            }
            if written.elapsed() >= WRITE_DOWN {
                self.write_down(&findings, Some(&pass)).await?;
                findings.clear();
                written = Instant::now();
            }
        }
        self.write_down(&findings, Some(&pass)).await
    }

    async fn examine(&self, kept: &Kept, mut hurried: bool) -> Result<Finding, FarmerError> {
        let mut examination = self.parts.store.farmer().examine(kept);
        loop {
            let began = Instant::now();
            let step = examination.step().await?;
            let bytes = match &step {
                Step::Read(bytes) => *bytes,
                Step::Over(_) => kept.bytes().min(STEP_BYTES as u64),
            };
            let pause = rest(began.elapsed(), bytes, hurried, self.scrub.is_serving());
            hurried = self.pause(pause, hurried).await;
            if let Step::Over(finding) = step {
                return Ok(finding);
            }
        }
    }

    /// Rests until somebody begins to wait; answers whether somebody waits.
    async fn pause(&self, pause: Duration, hurried: bool) -> bool {
        if hurried {
            tokio::time::sleep(pause).await;
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = self.scrub.hurry.notified() => {
                // Kept for the task itself, which begins the new pass.
                self.scrub.hurry.notify_one();
                true
            }
        }
    }

    async fn examine_out_of_turn(&self, shard: ShardId) -> Result<(), FarmerError> {
        let Some(kept) = self.parts.store.farmer().kept(shard).await? else { return Ok(()) };
        let finding = self.examine(&kept, true).await?;
        self.write_down(&[(kept, finding)], None).await
    }

    /// Writes findings down and tells the person of the first loss of each pass, once.
    async fn write_down(
        &self,
        findings: &[(Kept, Finding)],
        in_turn: Option<&Pass>,
    ) -> Result<(), FarmerError> {
        if findings.is_empty() {
            return Ok(());
        }
        let farmer = self.parts.store.farmer();
        let before = farmer.scrub().await?.pass;
        let news = farmer.record_findings(findings, in_turn, self.parts.clock.now()).await?;
        for troubled in &news {
            let Troubled { shard, contract, bytes, trouble, .. } = troubled;
            tracing::error!(%shard, %contract, bytes, ?trouble, "a kept shard is not as it was");
        }
        let (lost, unreadable): (Vec<&Troubled>, Vec<&Troubled>) =
            news.iter().partition(|troubled| troubled.trouble != Trouble::Unreadable);
        let first = |found: usize, before: Option<u64>| found > 0 && before.unwrap_or(0) == 0;
        if first(lost.len(), before.map(|pass| pass.lost)) {
            self.notice(LOST.to_owned());
        }
        if first(unreadable.len(), before.map(|pass| pass.unreadable)) {
            self.notice(UNREADABLE.to_owned());
        }
        if !news.is_empty() || before.is_some_and(|pass| pass.hurried) {
            self.changed();
        }
        Ok(())
    }

    async fn end_pass(&self, pass: &Pass, now: Timestamp) -> Result<(), FarmerError> {
        let from = if pass.hurried { now } else { pass.begun };
        self.parts.store.farmer().end_scrub(now, from.plus_seconds(PASS_SECONDS)).await?;
        tracing::info!(
            shards = pass.shards,
            bytes = pass.bytes,
            lost = pass.lost,
            "all kept shards were read"
        );
        if pass.lost > 1 {
            self.notice(format!(
                "All that you keep for others was read again: your disk has lost {} pieces. It may be failing; think about replacing it.",
                pass.lost
            ));
        }
        self.changed();
        Ok(())
    }

    /// Remembers why nothing can be read, for whoever asks; a person who waits is told so and waits no longer.
    async fn tell_problem(&self, result: Result<Duration, FarmerError>) -> Duration {
        match result {
            Ok(wait) => {
                self.scrub.set_problem(None);
                wait
            }
            Err(error) => {
                tracing::error!(%error, "kept shards cannot be read again just now");
                self.scrub.set_problem(Some(errors::sentence(&error)));
                if let Err(error) = self.parts.store.farmer().slow_scrub().await {
                    tracing::error!(%error, "the check goes on when it can");
                }
                self.changed();
                LOOK
            }
        }
    }

    fn notice(&self, sentence: String) {
        let _ = self.parts.events.send(Event::Notice(sentence));
    }

    /// What scrubbing found, for front ends.
    pub(super) async fn scrub_status(&self) -> Result<ScrubStatus, ApiError> {
        let farmer = self.parts.store.farmer();
        let scrub = farmer.scrub().await.map_err(errors::farm)?;
        let troubles = farmer.troubles().await.map_err(errors::farm)?;
        let troubled = farmer.troubled(NAMED).await.map_err(errors::farm)?;
        let pass = scrub.pass;
        let of = |figure: fn(&Pass) -> u64| pass.as_ref().map_or(0, figure);
        Ok(ScrubStatus {
            hurried: pass.is_some_and(|pass| pass.hurried),
            begun: pass.map(|pass| pass.begun.0),
            checked_shards: of(|pass| pass.shards),
            checked_bytes: of(|pass| pass.bytes),
            total_shards: of(|pass| pass.shards + pass.ahead_shards),
            total_bytes: of(|pass| pass.bytes + pass.ahead_bytes),
            ended: scrub.ended.map(|ended| ended.0),
            lost_shards: troubles.lost_shards,
            lost_bytes: troubles.lost_bytes,
            unreadable_shards: troubles.unreadable_shards,
            troubled: troubled.into_iter().map(shown).collect(),
            problem: self.scrub.problem(),
        })
    }
}

impl Farmer {
    /// Begins a pass that a person waits for; one that is under way goes on instead.
    ///
    /// # Errors
    /// [`ApiError`] if the store fails.
    pub(crate) async fn scrub_now(&self) -> Result<(), ApiError> {
        let shared = &self.shared;
        let farmer = shared.parts.store.farmer();
        let pass = farmer.scrub().await.map_err(errors::farm)?.pass;
        if !pass.is_some_and(|pass| pass.hurried) {
            farmer.begin_scrub(true, shared.parts.clock.now()).await.map_err(errors::farm)?;
            shared.scrub.set_problem(None);
        }
        shared.scrub.hurry.notify_one();
        Ok(())
    }
}

const LOST: &str = "Your disk has lost a piece that you keep for somebody. Its owner is told when asking for it and needs other computers instead. If this happens again, your disk may be failing.";
const UNREADABLE: &str = "A piece that you keep for somebody cannot be read from your disk just now. Check that the disk is well connected; it may be failing.";

fn shown(troubled: Troubled) -> TroubledShard {
    TroubledShard {
        shard: troubled.shard.to_string(),
        contract: troubled.contract.to_string(),
        bytes: troubled.bytes,
        trouble: match troubled.trouble {
            Trouble::Missing => ShardTrouble::Missing,
            Trouble::Damaged => ShardTrouble::Damaged,
            Trouble::Unreadable => ShardTrouble::Unreadable,
        },
        noticed: troubled.noticed.0,
    }
}

/// How long until the pass falls behind its time.
fn until_due(pass: &Pass, now: Timestamp) -> Duration {
    let total = u128::from(pass.bytes) + u128::from(pass.ahead_bytes);
    if pass.hurried || pass.ahead_shards == 0 || total == 0 {
        return Duration::ZERO;
    }
    let due = u128::from(PASS_SECONDS) * u128::from(pass.bytes) / total;
    let due = u64::try_from(due).unwrap_or(PASS_SECONDS);
    Duration::from_secs(due.saturating_sub(now.seconds_since(pass.begun)))
}

/// How long to rest after so many bytes were read in so long.
fn rest(busy: Duration, bytes: u64, hurried: bool, serving: bool) -> Duration {
    let times = if serving { GIVE_WAY } else { 1 };
    if hurried {
        return busy * HURRIED_REST * times;
    }
    let at_least = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND as f64);
    (busy * REST).max(at_least) * times
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;
    const SHARD_BYTES: u64 = 4 << 20;

    /// A farm whose clock and disk are the test's.
    struct Simulated {
        pass: Pass,
        now: f64,
        busy: f64,
        read: Vec<f64>,
    }

    fn simulated(shards: u64) -> Simulated {
        let (begun, ahead_bytes) = (Timestamp(1_000), shards * SHARD_BYTES);
        let pass = Pass {
            begun,
            hurried: false,
            shards: 0,
            bytes: 0,
            lost: 0,
            unreadable: 0,
            ahead_shards: shards,
            ahead_bytes,
        };
        Simulated { pass, now: 1_000.0, busy: 0.0, read: Vec::new() }
    }

    impl Simulated {
        fn scrub(&mut self, disk_bytes_per_second: f64, sleeps_half_of_each_day: bool) {
            while self.pass.ahead_shards > 0 {
                if sleeps_half_of_each_day && self.now as u64 % DAY >= DAY / 2 {
                    self.now += (DAY / 2) as f64;
                }
                let wait = until_due(&self.pass, Timestamp(self.now as u64)).min(LOOK);
                if !wait.is_zero() {
                    self.now += wait.as_secs_f64();
                    continue;
                }
                for _ in 0..SHARD_BYTES / STEP_BYTES as u64 {
                    let busy = Duration::from_secs_f64(STEP_BYTES as f64 / disk_bytes_per_second);
                    let pause = rest(busy, STEP_BYTES as u64, false, false);
                    self.busy += busy.as_secs_f64();
                    self.now += (busy + pause).as_secs_f64();
                }
                self.read.push(self.now);
                self.pass.shards += 1;
                self.pass.ahead_shards -= 1;
                self.pass.bytes += SHARD_BYTES;
                self.pass.ahead_bytes -= SHARD_BYTES;
            }
        }

        fn days(&self) -> f64 {
            (self.now - self.pass.begun.0 as f64) / DAY as f64
        }
    }

    #[test]
    fn every_shard_is_read_within_thirty_days_even_if_the_node_sleeps_half_the_time() {
        for shards in [1, 3, 1_000, 100_000] {
            for asleep in [false, true] {
                let mut farm = simulated(shards);
                farm.scrub(100e6, asleep);
                assert!(farm.days() < 16.0, "{shards} shards took {} days", farm.days());
            }
        }
        // 8 TB are more than fourteen days hold at this rate: the pass is late, yet within its promise.
        let mut farm = simulated(2_000_000);
        farm.scrub(200e6, false);
        assert!(farm.days() < 30.0, "{} days", farm.days());
    }

    #[test]
    fn reading_is_spread_evenly_and_bounded_in_rate_and_in_the_disks_time() {
        let mut farm = simulated(10_000);
        farm.scrub(100e6, false);
        let halfway = (farm.read[5_000] - 1_000.0) / DAY as f64;
        assert!((6.9..7.1).contains(&halfway), "{halfway} days");
        // So far behind that it goes as fast as it may.
        let mut late = simulated(10_000);
        late.now += (60 * DAY) as f64;
        let began = late.now;
        late.scrub(1e9, false);
        let took = late.now - began;
        assert!((10_000 * SHARD_BYTES) as f64 / took <= BYTES_PER_SECOND as f64);
        assert!(late.busy / took < 0.01, "{} of the disk's time", late.busy / took);
        let mut slow = simulated(100);
        slow.now += (60 * DAY) as f64;
        let began = slow.now;
        slow.scrub(1e6, false);
        assert!(slow.busy / (slow.now - began) < 0.05, "a slow disk is not kept busy");
    }

    #[test]
    fn scrubbing_gives_way_to_transfers_and_hurries_when_somebody_waits() {
        let busy = Duration::from_millis(10);
        let alone = rest(busy, 1 << 20, false, false);
        assert_eq!(rest(busy, 1 << 20, false, true), alone * GIVE_WAY);
        assert!(rest(busy, 1 << 20, true, false) < alone / 10);
        let hurried = Pass { hurried: true, ..simulated(3).pass };
        assert_eq!(until_due(&Pass { shards: 1, bytes: 1, ..hurried }, hurried.begun), Duration::ZERO);
    }
}
