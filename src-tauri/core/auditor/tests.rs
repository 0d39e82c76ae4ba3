//! A followed contract under any order of events: what never happens, and what always does in the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    Judgement, Reason, Verdict,
    follow::{self, Action, Event, IllegalEvent, MAX_OPEN, OPEN_EPOCHS, Randomness, State, Subject, Waits},
    record::{self, Record},
    round::Round,
};
use crate::{
    Amount, ContractId, DeviceId, OwnerId, RevisionHash, ShardId, Timestamp,
    audit::{Beacon, Commitment, Committer, Epoch, Failure, Opening, ProofError, Question, Scope, Sectors},
    codec,
    contract::{Revision, ShardEntry, Terms, shard_root},
    score::{Observation, Standing},
};

const START: Timestamp = Timestamp(1_800_000_000);
const EPOCH: u64 = 86_400;

fn terms() -> Terms {
    Terms {
        network: "barn".parse().unwrap(),
        owner: OwnerId([1; 32]),
        farmer: DeviceId([2; 32]),
        start: START,
        epoch_seconds: EPOCH as u32,
        storage_price: Amount(0),
        egress_price: Amount(0),
        audit_share_ppm: 900_000,
        auditor: None,
        escrow: None,
        grace_seconds: 0,
        nonce: [3; 32],
    }
}

fn shards() -> Vec<ShardEntry> {
    let shard = |n| ShardEntry { id: ShardId([n; 32]), bytes: 1000, tag_key: Some([9; 32]) };
    (1..=3).map(shard).collect()
}

fn revision(number: u64) -> Revision {
    Revision {
        contract: terms().id(),
        number,
        previous: RevisionHash([0; 32]),
        capacity_bytes: 3000,
        end: START.plus_seconds(1000 * EPOCH),
        added: vec![],
        removed: vec![],
        shards: 3,
        bytes: 3000,
        root: shard_root(&shards()),
        at: START,
    }
}

/// One auditor's contract, with a hand-moved clock.
struct Bed {
    terms: Terms,
    revision: Revision,
    until: Timestamp,
    state: State,
    now: Timestamp,
    nonces: u8,
    judged: BTreeMap<Epoch, Vec<Judgement>>,
    observed: Vec<(Epoch, Observation)>,
}

impl Bed {
    fn new() -> Self {
        let (terms, revision) = (terms(), revision(0));
        let state = State::new(&terms, START);
        let until = Timestamp(u64::MAX);
        let (judged, observed) = (BTreeMap::new(), Vec::new());
        Self { terms, revision, until, state, now: START, nonces: 0, judged, observed }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { terms: &self.terms, revision: &self.revision, until: self.until }
    }

    fn happens(&mut self, event: Event) -> Result<Vec<Action>, IllegalEvent> {
        let (state, actions) = follow::apply(self.state.clone(), &self.subject(), event, self.now)?;
        self.state = state;
        for action in &actions {
            match action {
                Action::Judge(judged) => self.judged.entry(judged.epoch).or_default().push(*judged),
                Action::Observe { epoch, observation } => self.observed.push((*epoch, *observation)),
                Action::Commit { .. } | Action::Ask { .. } => {}
            }
        }
        Ok(actions)
    }

    fn tick(&mut self) -> Vec<Action> {
        self.nonces = self.nonces.wrapping_add(1);
        self.happens(Event::Tick { nonce: [self.nonces; 32] }).unwrap()
    }

    /// Lets time pass to the next thing that is due.
    fn wait(&mut self) -> Vec<Action> {
        self.now = self.state.due(&self.subject()).expect("something is due").max(self.now);
        self.tick()
    }

    fn newest(&self) -> Epoch {
        self.state.open().last().expect("a question is open").epoch()
    }

    fn fix(&mut self, lost: Vec<ShardId>) -> Epoch {
        let epoch = self.newest();
        self.happens(Event::Fixed { epoch, from: COMMITTED, lost }).unwrap();
        epoch
    }

    fn question(&self, epoch: Epoch) -> Question {
        let question = self.state.question(&self.subject(), Sectors::MIN, &shards(), epoch);
        question.unwrap().expect("there is something to ask for")
    }

    fn answer(&mut self, epoch: Epoch, outcome: Result<(), Failure>) {
        self.happens(Event::Answered { epoch, beacon: BEACON, outcome }).unwrap();
    }

    fn verdicts(&self, epoch: Epoch) -> Vec<Verdict> {
        self.judged.get(&epoch).into_iter().flatten().map(|judged| judged.verdict).collect()
    }
}

const COMMITTED: Randomness = Randomness::Nonces { commitment: Commitment([8; 32]) };
const BEACON: Beacon = Beacon::Revealed { auditor: [1; 32], farmer: [7; 32] };
const WRONG: Failure = Failure::Proof(ProofError::DoesNotFit);

#[test]
fn an_epoch_goes_from_commitment_to_question_to_verdict() {
    let mut bed = Bed::new();
    let [Action::Commit { epoch, commitment }] = bed.wait()[..] else { panic!("no commitment") };
    assert_eq!(epoch, Epoch(0));
    let nonce = *bed.state.open()[0].nonce();
    assert_eq!(commitment, Commitment::to(&bed.terms.id(), epoch, Committer::Auditor, &nonce));
    let asked = bed.happens(Event::Fixed { epoch, from: COMMITTED, lost: vec![] }).unwrap();
    assert_eq!(asked, [Action::Ask { epoch }]);
    let question = bed.question(epoch);
    assert_eq!(question.beacon, Opening::Revealed { auditor: nonce });
    assert_eq!((question.commitment(), question.order), (Some(commitment), None));
    bed.answer(epoch, Ok(()));
    assert_eq!(bed.verdicts(epoch), [Verdict::Passed]);
    assert_eq!(bed.observed, [(epoch, Observation::Passed)]);
    assert!(bed.state.open().is_empty());
    assert!(bed.state.due(&bed.subject()).unwrap() >= Epoch(1).start(&bed.terms));
}

#[test]
fn a_wrong_proof_fails_at_once_and_says_why() {
    let mut bed = Bed::new();
    bed.wait();
    let epoch = bed.fix(vec![]);
    bed.answer(epoch, Err(WRONG));
    let judged = bed.judged[&epoch][0];
    assert_eq!((judged.verdict, judged.reason), (Verdict::Failed, Some(Reason::WrongProof(WRONG))));
    assert_eq!(bed.observed, [(epoch, Observation::Failed)]);
}

/// Silence from the first question on; when it was missed, and when failed.
fn silent_until_failed(bed: &mut Bed, epoch: Epoch) -> (Timestamp, Timestamp) {
    let mut missed = None;
    let end = bed.now.plus_seconds(10 * EPOCH);
    loop {
        assert!(bed.now < end, "silence has no end");
        for action in bed.wait() {
            let (Action::Commit { epoch, .. } | Action::Ask { epoch }) = action else { continue };
            bed.happens(Event::Silent { epoch }).unwrap();
        }
        match bed.verdicts(epoch)[..] {
            [Verdict::Missed] if missed.is_none() => missed = Some(bed.now),
            [Verdict::Missed, Verdict::Failed] => return (missed.expect("missed first"), bed.now),
            _ => {}
        }
    }
}

#[test]
fn silence_is_missed_then_failed_after_the_stated_time_beside_new_questions() {
    let mut bed = Bed::new();
    bed.wait();
    let (begun, epoch) = (bed.now, bed.newest());
    let (missed, failed) = silent_until_failed(&mut bed, epoch);
    let waits = Waits::of(&bed.terms);
    let slack = 2 * waits.again_seconds;
    assert!((waits.answer_seconds..waits.answer_seconds + slack).contains(&missed.seconds_since(begun)));
    assert!((waits.closed_seconds..waits.closed_seconds + slack).contains(&failed.seconds_since(begun)));
    assert!(bed.state.open().len() as u64 >= OPEN_EPOCHS, "the next epochs were asked beside it");
    let of_it = bed.observed.iter().filter(|(of, _)| *of == epoch).map(|(_, seen)| *seen);
    assert_eq!(of_it.collect::<Vec<_>>(), [Observation::Missed, Observation::Failed]);
}

#[test]
fn a_missed_question_is_asked_again_unchanged_and_a_right_proof_passes_it() {
    let mut bed = Bed::new();
    bed.wait();
    let epoch = bed.fix(vec![]);
    let question = bed.question(epoch);
    while bed.verdicts(epoch).is_empty() {
        bed.happens(Event::Silent { epoch }).unwrap();
        bed.now = bed.now.plus_seconds(Waits::of(&bed.terms).again_seconds);
    }
    assert_eq!(bed.question(epoch), question);
    bed.answer(epoch, Ok(()));
    assert_eq!(bed.verdicts(epoch), [Verdict::Missed, Verdict::Passed]);
}

#[test]
fn time_in_which_nobody_listened_is_nobodys_silence() {
    let mut bed = Bed::new();
    bed.wait();
    let epoch = bed.newest();
    bed.happens(Event::Silent { epoch }).unwrap();
    bed.now = bed.now.plus_seconds(7 * EPOCH);
    bed.happens(Event::Silent { epoch }).unwrap();
    assert_eq!(bed.verdicts(epoch), [], "the auditor slept for a week");
    bed.tick();
    assert_eq!(bed.verdicts(Epoch(1)), [Verdict::Undecided]);
    assert_eq!(bed.judged[&Epoch(1)][0].reason, Some(Reason::AuditorAway));
}

#[test]
fn a_reported_loss_costs_once_and_the_rest_is_asked_for() {
    let mut bed = Bed::new();
    let lost = ShardId([2; 32]);
    for round in 0..2 {
        bed.wait();
        let epoch = bed.fix(vec![lost]);
        assert_eq!(bed.question(epoch).scope, Scope::Shards(vec![ShardId([1; 32]), ShardId([3; 32])]));
        bed.answer(epoch, Ok(()));
        assert_eq!(bed.judged[&epoch][0].reason, Some(Reason::LossReported));
        assert_eq!(bed.verdicts(epoch), [Verdict::Undecided]);
        let reported = bed.observed.iter().filter(|(_, seen)| *seen == Observation::ReportedLoss).count();
        assert_eq!(reported, 1, "in round {round}");
    }
}

#[test]
fn a_loss_told_only_when_asked_is_a_failed_audit_with_that_reason_and_paid_for_once() {
    let mut bed = Bed::new();
    let lost = ShardId([2; 32]);
    bed.wait();
    let epoch = bed.fix(vec![]);
    bed.answer(epoch, Err(Failure::Lost(lost)));
    let judged = bed.judged[&epoch][0];
    assert_eq!(
        (judged.verdict, judged.reason),
        (Verdict::Failed, Some(Reason::WrongProof(Failure::Lost(lost))))
    );
    assert_eq!(bed.observed, [(epoch, Observation::Failed)]);
    bed.wait();
    let epoch = bed.fix(vec![lost]);
    bed.answer(epoch, Ok(()));
    assert_eq!(bed.verdicts(epoch), [Verdict::Undecided]);
    assert!(bed.observed.iter().all(|(_, seen)| *seen != Observation::ReportedLoss), "{:?}", bed.observed);
}

#[test]
fn a_farmer_that_reports_everything_lost_fails_at_the_price_of_a_report() {
    let mut bed = Bed::new();
    bed.wait();
    let epoch = bed.fix(shards().iter().map(|shard| shard.id).collect());
    assert_eq!(bed.judged[&epoch][0].reason, Some(Reason::AllLost));
    assert_eq!(bed.observed, [(epoch, Observation::ReportedLoss)]);
}

#[test]
fn a_new_revision_is_asked_about_under_the_same_beacon() {
    let mut bed = Bed::new();
    bed.wait();
    let epoch = bed.fix(vec![]);
    let before = bed.question(epoch);
    bed.revision = revision(1);
    assert_eq!(bed.question(epoch), Question { revision: 1, ..before });
}

#[test]
fn nothing_is_asked_after_the_end_or_while_nothing_is_kept() {
    let mut bed = Bed::new();
    bed.until = START.plus_seconds(2 * EPOCH);
    bed.wait();
    let epoch = bed.fix(vec![]);
    bed.answer(epoch, Ok(()));
    bed.revision.shards = 0;
    assert_eq!(bed.wait(), []);
    assert_eq!(bed.state.due(&bed.subject()), None);
    assert_eq!(bed.verdicts(Epoch(1)), []);
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Fix(usize, u8),
    Answer(usize, bool),
    Silent(usize),
    Hindered(usize),
    Nothing(usize),
    Revise,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..MAX_OPEN;
    let one = prop_oneof![
        4 => (0..EPOCH).prop_map(Step::Pass),
        1 => (0..40 * EPOCH).prop_map(Step::Pass),
        4 => (which.clone(), 0u8..5).prop_map(|(which, lost)| Step::Fix(which, lost)),
        3 => (which.clone(), any::<bool>()).prop_map(|(which, right)| Step::Answer(which, right)),
        6 => which.clone().prop_map(Step::Silent),
        2 => which.clone().prop_map(Step::Hindered),
        1 => which.prop_map(Step::Nothing),
        1 => Just(Step::Revise),
    ];
    prop::collection::vec(one, 0..200)
}

impl Bed {
    /// Plays a step as far as there is a question for it; an event about none must be refused and change nothing.
    fn play(&mut self, step: &Step) {
        let epoch = |bed: &Self, which: usize| {
            let open = bed.state.open();
            open.get(which % MAX_OPEN).map_or(Epoch(1 << 40), follow::Open::epoch)
        };
        let lost = |count: u8| (1..=count).map(|n| ShardId([n; 32])).collect();
        let event = match *step {
            Step::Pass(seconds) => {
                self.now = self.now.plus_seconds(seconds);
                self.tick();
                return;
            }
            Step::Revise => return self.revision.number += 1,
            Step::Fix(which, count) => {
                Event::Fixed { epoch: epoch(self, which), from: COMMITTED, lost: lost(count) }
            }
            Step::Answer(which, right) => {
                let outcome = if right { Ok(()) } else { Err(WRONG) };
                Event::Answered { epoch: epoch(self, which), beacon: BEACON, outcome }
            }
            Step::Silent(which) => Event::Silent { epoch: epoch(self, which) },
            Step::Hindered(which) => Event::Hindered { epoch: epoch(self, which) },
            Step::Nothing(which) => Event::Nothing { epoch: epoch(self, which) },
        };
        let before = self.state.clone();
        if self.happens(event).is_err() {
            assert_eq!(self.state, before);
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_an_epoch_is_judged_once_and_nobody_unheard_of_suffers(steps in steps()) {
        let mut bed = Bed::new();
        let mut questions: BTreeMap<Epoch, ([u8; 32], Option<Randomness>)> = BTreeMap::new();
        let mut silent = BTreeSet::new();
        for step in &steps {
            if let Step::Silent(which) = step {
                silent.extend(bed.state.open().get(*which).map(follow::Open::epoch));
            }
            bed.play(step);
            prop_assert!(bed.state.open().len() <= MAX_OPEN);
            for question in bed.state.open() {
                let (nonce, from) = questions.entry(question.epoch()).or_insert((*question.nonce(), None));
                prop_assert_eq!(&*nonce, question.nonce(), "a question's nonce never changes");
                prop_assert!(from.is_none() || *from == question.randomness(), "nor does what fixed it");
                *from = question.randomness();
            }
            let kept: State = codec::decode(1, &codec::encode(1, &bed.state), 1 << 20).unwrap();
            prop_assert_eq!(&kept, &bed.state, "what is kept is what there was");
        }
        for (epoch, judged) in &bed.judged {
            let finals = judged.iter().filter(|judged| judged.is_final()).count();
            prop_assert!(finals <= 1, "{:?} {:?}", epoch, judged);
            prop_assert!(judged.iter().rev().skip(1).all(|judged| !judged.is_final()), "nothing after a final one");
            for judged in judged {
                let by_silence = judged.reason == Some(Reason::Silence);
                prop_assert!(!by_silence || silent.contains(epoch), "silence that nobody heard");
                let failed_by_silence = by_silence && judged.verdict == Verdict::Failed;
                prop_assert!(!failed_by_silence || bed.verdicts(*epoch).first() == Some(&Verdict::Missed));
            }
            let of_it = bed.observed.iter().filter(|(of, _)| of == epoch).map(|(_, seen)| *seen);
            let of_it: Vec<Observation> = of_it.collect();
            let count = |wanted: &[Observation]| of_it.iter().filter(|seen| wanted.contains(seen)).count();
            prop_assert!(count(&[Observation::Passed, Observation::Failed, Observation::Answered]) <= 1);
            prop_assert!(count(&[Observation::Missed]) <= 1);
        }
    }

    /// Every question ends by itself, answered or not, once time passes and somebody keeps asking.
    #[test]
    fn no_question_stays_open_for_ever(steps in steps()) {
        let mut bed = Bed::new();
        for step in &steps {
            bed.play(step);
        }
        bed.tick();
        let open: Vec<Epoch> = bed.state.open().iter().map(follow::Open::epoch).collect();
        bed.until = bed.now;
        while bed.state.due(&bed.subject()).is_some() {
            for action in bed.wait() {
                let (Action::Commit { epoch, .. } | Action::Ask { epoch }) = action else { continue };
                bed.happens(Event::Silent { epoch }).unwrap();
            }
        }
        for epoch in open {
            prop_assert!(bed.judged[&epoch].last().unwrap().is_final());
        }
    }
}

#[test]
fn a_contract_id_is_what_the_commitment_is_for() {
    let mut bed = Bed::new();
    bed.wait();
    let nonce = *bed.state.open()[0].nonce();
    let elsewhere = Commitment::to(&ContractId([0; 32]), Epoch(0), Committer::Auditor, &nonce);
    assert!(!elsewhere.opens_to(&bed.terms.id(), Epoch(0), Committer::Auditor, &nonce));
}

/// A fifth of an auditor's farmers, run by one hand, fails at once to trip the brake: that puts their punishment off until a
/// second auditor has asked the same, or the brake lets go, and no longer; the honest ones are not touched meanwhile.
#[test]
fn sybils_that_trip_the_brake_put_off_their_punishment_and_do_not_escape_it() {
    let farmer = |number: u8| DeviceId([number; 32]);
    let mut round = Round::new(EPOCH, None, START);
    let mut records: BTreeMap<DeviceId, Record> =
        (0..30).map(|number| (farmer(number), Record::new(START))).collect();
    let seen = |record: &mut Record, observation, braked| {
        let (contract, origin) = (terms().id(), record::Origin::Vetting);
        let event = record::Event::Observed { contract, epoch: Epoch(0), observation, origin, braked };
        *record = record::apply(record.clone(), event, START).0;
    };
    for number in 0..30 {
        let bad = number < 10;
        round.saw(farmer(number), bad);
        let observation = if bad { Observation::Failed } else { Observation::Passed };
        seen(records.get_mut(&farmer(number)).unwrap(), observation, round.brakes());
    }
    assert!(round.brakes());
    let standing =
        |records: &BTreeMap<DeviceId, Record>, number| records[&farmer(number)].scores().standing();
    assert_eq!(standing(&records, 9), Standing::Good, "it waits");
    let confirmed = record::apply(records[&farmer(9)].clone(), record::Event::Confirmed, START).0;
    assert!(matches!(confirmed.scores().standing(), Standing::Suspended { .. }));
    assert!((10..30).all(|number| standing(&records, number) == Standing::Good));
    // Without a second auditor they can go on for some rounds, until so many bad ones are usual.
    let (mut now, mut rounds) = (START, 0);
    while round.brakes() {
        now = now.plus_seconds(EPOCH);
        round.turn(now);
        for number in 0..30 {
            round.saw(farmer(number), number < 10);
        }
        rounds += 1;
    }
    assert!(rounds < 15, "{rounds} rounds");
    let released = record::apply(records[&farmer(9)].clone(), record::Event::Released, now).0;
    assert!(matches!(released.scores().standing(), Standing::Suspended { .. }));
}
