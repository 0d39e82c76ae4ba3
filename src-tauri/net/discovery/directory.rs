//! The farmers and auditors known, and the devices suspected of being one. Bounded; pure but for its lock.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hayloft_core::{
    DeviceId, Timestamp,
    record::{SignedAuditorRecord, SignedFarmerRecord},
};
use tokio::{sync::watch, time::Instant};

use crate::{
    Candidate, FoundAuditor, Source, Wall,
    address::{self, Subnet},
    limits,
};

/// What discovery knows.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    wall: Wall,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    asked: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
struct State {
    candidates: HashMap<DeviceId, Candidate>,
    auditors: HashMap<DeviceId, FoundAuditor>,
    suspects: HashMap<DeviceId, Suspect>,
    quiet_rounds: u32,
    found_in_round: bool,
    last_round: Option<(Instant, Timestamp)>,
}

#[derive(Debug, Default)]
struct Suspect {
    sources: BTreeSet<Source>,
    failures: u32,
    /// Its record, made just then, was signed at a time that is not now.
    clock_differs: bool,
    not_before: Option<Instant>,
    being_asked: bool,
}

impl Directory {
    /// Knows nobody yet.
    pub(crate) fn new(wall: Wall) -> Self {
        Self { wall, ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// Says that farmers are wanted; rounds begin or go on.
    pub(crate) fn ask(&self) -> watch::Receiver<u64> {
        self.asked.send_replace(Some(Instant::now()));
        self.changes.subscribe()
    }

    /// Sees when farmers were last wanted.
    pub(super) fn asked(&self) -> watch::Receiver<Option<Instant>> {
        self.asked.subscribe()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The farmers whose record still counts.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let now = self.wall.now();
        let state = self.state();
        let mut found: Vec<_> = state.farmers_at(now).cloned().collect();
        found.sort_by_key(|candidate| candidate.device);
        found
    }

    /// The auditors whose record still counts.
    pub(crate) fn auditors(&self) -> Vec<FoundAuditor> {
        let now = self.wall.now();
        let state = self.state();
        let mut found: Vec<_> = state.auditors_at(now).cloned().collect();
        found.sort_by_key(|auditor| auditor.device);
        found
    }

    /// Whether there are `want` auditors, or no reason to expect more.
    pub(crate) fn knows_auditors(&self, want: usize) -> bool {
        let (now, state) = (self.wall.now(), self.state());
        state.auditors_at(now).count() >= want || state.is_quiet(now)
    }

    /// Whether there are `want` farmers, or some and no reason to expect more.
    pub(crate) fn satisfied(&self, want: usize) -> bool {
        let (now, state) = (self.wall.now(), self.state());
        let known = state.farmers_at(now).count();
        known >= want || (known > 0 && state.is_quiet(now))
    }

    /// Whether the last round is too long ago to rely on.
    pub(super) fn is_stale(&self) -> bool {
        !self.state().is_recent(self.wall.now())
    }

    pub(crate) fn forget(&self, device: DeviceId) {
        let mut state = self.state();
        state.suspects.remove(&device);
        if state.candidates.remove(&device).is_some() {
            drop(state);
            self.changed();
        }
    }

    /// Notes where a device was heard of.
    pub(super) fn note(&self, device: DeviceId, source: Source) {
        let mut state = self.state();
        if let Some(candidate) = state.candidates.get_mut(&device) {
            if candidate.sources.insert(source) {
                drop(state);
                self.changed();
            }
            return;
        }
        if state.auditors.contains_key(&device) {
            return;
        }
        let room = state.suspects.len() < limits::SUSPECTS || state.drop_one_suspect();
        if room || state.suspects.contains_key(&device) {
            state.suspects.entry(device).or_default().sources.insert(source);
        }
    }

    /// A device to ask now; it is not given again before [`Self::answered`] or [`Self::unanswered`].
    pub(super) fn next_to_ask(&self, now: Instant) -> Option<DeviceId> {
        let mut state = self.state();
        let due = |suspect: &Suspect| !suspect.being_asked && suspect.not_before.is_none_or(|at| at <= now);
        let (device, suspect) = state.suspects.iter_mut().find(|(_, suspect)| due(suspect))?;
        suspect.being_asked = true;
        Some(*device)
    }

    /// A device answered with a record that was verified.
    pub(super) fn answered(
        &self,
        device: DeviceId,
        record: SignedFarmerRecord,
        address: Option<IpAddr>,
        at: Timestamp,
    ) {
        let mut state = self.state();
        let mut sources = state.suspects.remove(&device).map(|suspect| suspect.sources).unwrap_or_default();
        let before = state.candidates.remove(&device);
        state.found_in_round |= before.is_none();
        sources.extend(before.into_iter().flat_map(|before| before.sources));
        if sources.is_empty() {
            sources.insert(Source::Met);
        }
        if state.candidates.len() < limits::CANDIDATES || state.drop_one_candidate() {
            state.candidates.insert(device, Candidate { device, record, address, sources, seen: at });
        }
        drop(state);
        self.changed();
    }

    /// A device answered, and showed an auditor's record that was verified, or none.
    pub(super) fn audits(
        &self,
        device: DeviceId,
        record: Option<SignedAuditorRecord>,
        address: Option<IpAddr>,
        at: Timestamp,
    ) {
        let mut state = self.state();
        let before = state.auditors.remove(&device);
        let Some(record) = record else { return };
        state.found_in_round |= before.is_none();
        if state.auditors.len() < limits::AUDITORS || state.drop_one_auditor() {
            state.auditors.insert(device, FoundAuditor { device, record, address, seen: at });
        }
        drop(state);
        self.changed();
    }

    /// A device answered, and is no farmer.
    pub(super) fn farms_not(&self, device: DeviceId) {
        self.forget(device);
    }

    /// A device did not answer, or not with a record that counts.
    pub(super) fn unanswered(&self, device: DeviceId, now: Instant) {
        let mut state = self.state();
        state.auditors.remove(&device);
        let sources = state.candidates.remove(&device).map(|candidate| candidate.sources);
        let was_known = sources.is_some();
        if let Some(suspect) = state.suspects.get_mut(&device) {
            suspect.sources.extend(sources.into_iter().flatten());
            suspect.being_asked = false;
            suspect.not_before = Some(now + pause_after(suspect.failures));
            suspect.failures += 1;
        }
        drop(state);
        if was_known {
            self.changed();
        }
    }

    /// A device that is being asked showed a record of another time.
    pub(super) fn clock_differs(&self, device: DeviceId) {
        if let Some(suspect) = self.state().suspects.get_mut(&device) {
            suspect.clock_differs = true;
        }
    }

    /// Devices whose clock differs from this one's by more than records allow.
    pub(crate) fn clocks_that_differ(&self) -> usize {
        self.state().suspects.values().filter(|suspect| suspect.clock_differs).count()
    }

    /// Before a round: records that are no longer fresh are asked for again.
    pub(super) fn begin_round(&self) {
        let (now, mut state) = (self.wall.now(), self.state());
        state.found_in_round = false;
        let old = |candidate: &&Candidate| now.seconds_since(candidate.seen) >= limits::RECORD_FRESH_SECONDS;
        let stale = state.candidates.values().filter(old).map(|candidate| candidate.device);
        let old = |auditor: &&FoundAuditor| now.seconds_since(auditor.seen) >= limits::RECORD_FRESH_SECONDS;
        let auditors = state.auditors.values().filter(old).map(|auditor| auditor.device);
        let stale: Vec<DeviceId> = stale.chain(auditors).collect();
        for device in stale {
            state.suspects.entry(device).or_default();
        }
    }

    /// After a round, when all who were heard of have been asked; says whether the next one is worth hurrying for,
    /// because this one found farmers and there are not yet enough for a placement.
    pub(super) fn end_round(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.quiet_rounds = if state.found_in_round { 0 } else { state.quiet_rounds.saturating_add(1) };
        state.last_round = Some((now, self.wall.now()));
        let hurry = state.found_in_round && state.candidates.len() < limits::CANDIDATES_ENOUGH;
        drop(state);
        self.changed();
        hurry
    }

    /// Forgets that rounds were quiet: the network has just been joined.
    pub(super) fn expect_more(&self) {
        self.state().quiet_rounds = 0;
    }
}

impl State {
    /// Farmers whose record still counts.
    fn farmers_at(&self, now: Timestamp) -> impl Iterator<Item = &Candidate> {
        self.candidates.values().filter(move |candidate| candidate.record.record.expires > now)
    }

    /// Auditors whose record still counts.
    fn auditors_at(&self, now: Timestamp) -> impl Iterator<Item = &FoundAuditor> {
        self.auditors.values().filter(move |auditor| auditor.record.record.expires > now)
    }

    /// By both clocks: of a computer that slept, only the wall clock has gone on.
    fn is_recent(&self, now: Timestamp) -> bool {
        let recent = limits::ROUND_RECENT;
        self.last_round
            .is_some_and(|(at, wall)| at.elapsed() < recent && now.seconds_since(wall) < recent.as_secs())
    }

    /// Whether nothing more is to be expected of rounds.
    fn is_quiet(&self, now: Timestamp) -> bool {
        self.quiet_rounds >= limits::QUIET_ROUNDS && self.is_recent(now)
    }

    /// Makes room by dropping the suspect that failed most; not one that is being asked.
    fn drop_one_suspect(&mut self) -> bool {
        let idle = self.suspects.iter().filter(|(_, suspect)| !suspect.being_asked);
        let worst = idle.max_by_key(|(_, suspect)| suspect.failures).map(|(device, _)| *device);
        worst.is_some_and(|device| self.suspects.remove(&device).is_some())
    }

    fn drop_one_candidate(&mut self) -> bool {
        let known =
            self.candidates.values().map(|candidate| (candidate.device, candidate.address, candidate.seen));
        oldest_of_a_crowd(known).is_some_and(|device| self.candidates.remove(&device).is_some())
    }

    fn drop_one_auditor(&mut self) -> bool {
        let known = self.auditors.values().map(|auditor| (auditor.device, auditor.address, auditor.seen));
        oldest_of_a_crowd(known).is_some_and(|device| self.auditors.remove(&device).is_some())
    }
}

/// The oldest of the most crowded subnet: whoever makes ten thousand nodes of one network pushes out its own. Addresses
/// without a subnet are one crowd.
fn oldest_of_a_crowd(
    known: impl Iterator<Item = (DeviceId, Option<IpAddr>, Timestamp)> + Clone,
) -> Option<DeviceId> {
    let subnet = |address: Option<IpAddr>| address.and_then(address::subnet_of);
    let mut crowds: HashMap<Option<Subnet>, usize> = HashMap::new();
    for (_, address, _) in known.clone() {
        *crowds.entry(subnet(address)).or_default() += 1;
    }
    let (crowded, _) = crowds.into_iter().max_by_key(|(_, members)| *members)?;
    let here = known.filter(|(_, address, _)| subnet(*address) == crowded);
    here.min_by_key(|(device, _, seen)| (*seen, *device)).map(|(device, _, _)| device)
}

fn pause_after(failures: u32) -> Duration {
    let seconds = limits::PROBE_AGAIN_SECONDS.saturating_mul(1 << failures.min(20));
    Duration::from_secs(seconds.min(limits::PROBE_AGAIN_MOST_SECONDS))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    fn device(number: usize) -> DeviceId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        DeviceId(id)
    }

    #[test]
    fn suspects_are_bounded_and_the_worst_goes_first() {
        let directory = Directory::default();
        for number in 0..limits::SUSPECTS {
            directory.note(device(number), Source::Met);
        }
        let bad = directory.next_to_ask(Instant::now()).unwrap();
        directory.unanswered(bad, Instant::now());
        directory.note(device(limits::SUSPECTS), Source::Met);
        let state = directory.state();
        assert_eq!(state.suspects.len(), limits::SUSPECTS);
        assert!(!state.suspects.contains_key(&bad));
    }

    #[test]
    fn device_that_did_not_answer_is_asked_again_ever_more_seldom() {
        let directory = Directory::default();
        let mut now = Instant::now();
        directory.note(device(1), Source::Bucket(3));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert_eq!(directory.next_to_ask(now), Some(device(1)));
            assert_eq!(directory.next_to_ask(now), None, "asked twice at once");
            directory.unanswered(device(1), now);
            let until = directory.state().suspects[&device(1)].not_before.unwrap();
            assert_eq!(directory.next_to_ask(now), None, "asked again at once");
            pauses.push(until - now);
            now = until;
        }
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&Duration::from_secs(limits::PROBE_AGAIN_MOST_SECONDS)));
    }

    fn record(device: DeviceId) -> SignedFarmerRecord {
        let record = hayloft_core::record::FarmerRecord {
            network: "test".parse().unwrap(),
            device,
            protocol: 1,
            accepting: true,
            free_bytes: 1 << 40,
            storage_price: hayloft_core::Amount(0),
            egress_price: hayloft_core::Amount(0),
            operator: Some("x".repeat(hayloft_core::record::MAX_OPERATOR_BYTES)),
            country: None,
            leaves: None,
            at: Timestamp(0),
            expires: Timestamp(u64::MAX),
        };
        SignedFarmerRecord { record, signature: hayloft_core::Signature([0; 64]) }
    }

    #[test]
    fn ten_thousand_farmers_of_one_subnet_are_bounded_and_push_nobody_else_out() {
        let directory = Directory::default();
        let honest: Vec<_> = (0..20).map(device).collect();
        for (number, farmer) in honest.iter().enumerate() {
            let address = IpAddr::from([203, 0, u8::try_from(number).unwrap(), 7]);
            directory.answered(*farmer, record(*farmer), Some(address), Timestamp(0));
        }
        for number in 100..10_100 {
            let address = IpAddr::from([198, 51, 100, u8::try_from(number % 256).unwrap()]);
            directory.note(device(number), Source::Bucket(1));
            directory.answered(device(number), record(device(number)), Some(address), Timestamp(1));
        }
        let known = directory.candidates();
        assert_eq!(known.len(), limits::CANDIDATES);
        let left = known.iter().filter(|candidate| honest.contains(&candidate.device)).count();
        assert_eq!(left, honest.len());
        assert!(directory.state().suspects.is_empty());
    }

    fn auditor(device: DeviceId) -> SignedAuditorRecord {
        let record = hayloft_core::record::AuditorRecord {
            network: "test".parse().unwrap(),
            device,
            protocol: 1,
            accepting: true,
            shortest_epoch: 60,
            operator: None,
            at: Timestamp(0),
            expires: Timestamp(u64::MAX),
        };
        SignedAuditorRecord { record, signature: hayloft_core::Signature([0; 64]) }
    }

    #[test]
    fn ten_thousand_auditors_of_one_subnet_are_bounded_and_push_nobody_else_out() {
        let directory = Directory::default();
        let elsewhere = Some(IpAddr::from([203, 0, 113, 7]));
        directory.audits(device(1), Some(auditor(device(1))), elsewhere, Timestamp(0));
        for number in 100..10_100 {
            let address = IpAddr::from([198, 51, 100, u8::try_from(number % 256).unwrap()]);
            directory.note(device(number), Source::Bucket(1));
            directory.audits(device(number), Some(auditor(device(number))), Some(address), Timestamp(1));
            directory.farms_not(device(number));
        }
        let known = directory.auditors();
        assert_eq!(known.len(), limits::AUDITORS);
        assert!(known.iter().any(|auditor| auditor.device == device(1)));
        assert!(directory.state().suspects.is_empty() && directory.candidates().is_empty());
    }

    #[test]
    fn an_auditor_is_asked_again_once_its_record_is_old_and_forgotten_when_it_shows_none() {
        let (directory, clock) = by_hand(100);
        directory.audits(device(1), Some(auditor(device(1))), None, Timestamp(100));
        directory.note(device(1), Source::Met);
        assert_eq!(directory.next_to_ask(Instant::now()), None, "it has just answered");
        clock.store(100 + limits::RECORD_FRESH_SECONDS, Ordering::Relaxed);
        directory.begin_round();
        assert_eq!(directory.next_to_ask(Instant::now()), Some(device(1)));
        directory.audits(device(1), None, None, Timestamp(500));
        assert!(directory.auditors().is_empty());
        directory.audits(device(1), Some(auditor(device(1))), None, Timestamp(900));
        directory.unanswered(device(1), Instant::now());
        assert!(directory.auditors().is_empty());
    }

    fn by_hand(start: u64) -> (Directory, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(start));
        let read = clock.clone();
        (Directory::new(Wall::new(move || Timestamp(read.load(Ordering::Relaxed)))), clock)
    }

    #[test]
    fn after_a_computer_has_slept_nobody_found_before_is_enough() {
        let (directory, clock) = by_hand(100);
        let mut record = record(device(1));
        record.record.expires = Timestamp(700);
        directory.answered(device(1), record, None, Timestamp(100));
        for _ in 0..=limits::QUIET_ROUNDS {
            directory.begin_round();
            directory.end_round(Instant::now());
        }
        assert!(directory.satisfied(1) && directory.satisfied(40) && !directory.is_stale());
        clock.store(8 * 3600, Ordering::Relaxed);
        assert!(directory.candidates().is_empty());
        assert!(!directory.satisfied(1) && directory.is_stale(), "it is looked for anew at once");
    }

    #[test]
    fn nothing_found_is_never_enough() {
        let directory = Directory::default();
        for _ in 0..10 {
            directory.end_round(Instant::now());
        }
        assert!(!directory.satisfied(1));
    }
}
