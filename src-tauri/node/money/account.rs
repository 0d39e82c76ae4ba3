//! What a contract owes under one of its escrows, from its revisions and its auditor's verdicts. Pure.
//!
//! An escrow pays for whole settlement periods of a contract, from an epoch on. What it owes up to the end of one of them is
//! what the whole contract owes up to there, less what it owed before the escrow began: so every stroop is counted once,
//! whichever escrow pays it, and rounded once.

use hayloft_core::{
    Amount, Timestamp,
    audit::Epoch,
    auditor::{Judgement, Verdict},
    contract::Terms,
    settlement::{self, Entry, SettlementError, byte_seconds},
};
use hayloft_payments::escrow::Plan;
use hayloft_store::funding::Span;

use super::setup::PERIOD_EPOCHS;

/// What is known of a contract.
pub(super) struct Account<'a> {
    pub(super) terms: &'a Terms,
    /// All revisions, by number.
    pub(super) spans: &'a [Span],
    /// Its auditor's verdicts, in any order, one for each epoch.
    pub(super) verdicts: &'a [Judgement],
    /// Bytes that devices vouched for, by settlement period, counted from the contract's start.
    pub(super) egress: &'a [(u32, u64)],
}

/// An escrow's periods, counted in epochs of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Periods {
    /// The first epoch that it pays for.
    pub(super) first: u64,
    /// Epochs of one period.
    pub(super) epochs: u64,
}

/// Epochs, and how many of them have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) epochs: u64,
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) missed: u64,
    pub(super) undecided: u64,
}

impl Periods {
    /// None unless the escrow's periods are periods of the contract, which all have as many epochs: so are they counted.
    pub(super) fn of(plan: &Plan, terms: &Terms) -> Option<Self> {
        let epoch = u64::from(terms.epoch_seconds.max(1));
        let after = plan.start.0.checked_sub(terms.start.0)?;
        let whole = plan.period_seconds == PERIOD_EPOCHS * epoch && after.is_multiple_of(plan.period_seconds);
        whole.then_some(Self { first: after / epoch, epochs: PERIOD_EPOCHS })
    }

    /// The first epoch of a period.
    pub(super) fn begin(&self, period: u32) -> Epoch {
        Epoch(self.first.saturating_add(self.epochs.saturating_mul(u64::from(period))))
    }

    /// The first epoch after a period.
    pub(super) fn after(&self, period: u32) -> Epoch {
        Epoch(self.first.saturating_add(self.epochs.saturating_mul(u64::from(period) + 1)))
    }
}

impl Account<'_> {
    /// What an escrow owes in all for its periods up to this one.
    pub(super) fn owed(&self, periods: Periods, through: u32) -> Result<Amount, SettlementError> {
        self.owed_until(periods, periods.after(through))
    }

    /// What an escrow owes in all by what was judged so far, also in periods that are not over.
    pub(super) fn owed_so_far(&self, periods: Periods) -> Result<Amount, SettlementError> {
        self.owed_until(periods, Epoch(u64::MAX))
    }

    /// The last period that may be settled now: it and all before it are over, and what they owe can no longer change, or
    /// half of their grace has gone. None if the first is none.
    pub(super) fn settles(&self, plan: &Plan, periods: Periods, now: Timestamp) -> Option<u32> {
        let is_ripe = |period: u32| {
            let urgent = Timestamp(plan.recovers(period).0.saturating_sub(plan.grace_seconds / 2));
            plan.end(period) <= now && (now >= urgent || !self.may_change(periods, period, now))
        };
        (0..plan.periods()).take_while(|period| is_ripe(*period)).last()
    }

    fn owed_until(&self, periods: Periods, until: Epoch) -> Result<Amount, SettlementError> {
        let before = self.contract(periods.epochs, Epoch(periods.first))?;
        Ok(Amount(self.contract(periods.epochs, until)?.0.saturating_sub(before.0)))
    }

    /// What the whole contract owes for its epochs before this one.
    fn contract(&self, period_epochs: u64, until: Epoch) -> Result<Amount, SettlementError> {
        let kept = settlement::owed(self.terms, period_epochs, &self.entries(until))?;
        kept.with_egress(self.served(period_epochs, until), self.terms.egress_price)?.floor()
    }

    /// Bytes that were vouched for in periods that end by this epoch.
    fn served(&self, period_epochs: u64, until: Epoch) -> u64 {
        let ends = |period: u32| (u64::from(period) + 1).saturating_mul(period_epochs);
        let served = self.egress.iter().filter(|(period, _)| ends(*period) <= until.0);
        served.map(|(_, bytes)| *bytes).fold(0, u64::saturating_add)
    }

    fn entries(&self, until: Epoch) -> Vec<Entry> {
        let kept: Vec<(Timestamp, u64)> = self.spans.iter().map(|span| (span.at, span.bytes)).collect();
        let end = self.spans.last().map_or(Timestamp(0), |span| span.until);
        let judged = self.verdicts.iter().filter(|judgement| judgement.epoch < until);
        let mut entries: Vec<Entry> = judged
            .map(|judgement| Entry {
                epoch: judgement.epoch,
                revision: judgement.revision,
                verdict: judgement.verdict,
                byte_seconds: byte_seconds(self.terms, judgement.epoch, end, &kept),
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.epoch);
        entries
    }

    /// Verdicts of the periods from one to another, both included.
    pub(super) fn tally(&self, periods: Periods, from: u32, through: u32) -> Tally {
        let (first, end) = (periods.begin(from), periods.after(through));
        let judged = self.verdicts.iter().filter(|judgement| (first..end).contains(&judgement.epoch));
        let mut tally = Tally { epochs: end.0.saturating_sub(first.0), ..Tally::default() };
        for judgement in judged {
            match judgement.verdict {
                Verdict::Passed => tally.passed += 1,
                Verdict::Failed => tally.failed += 1,
                Verdict::Missed => tally.missed += 1,
                Verdict::Undecided => tally.undecided += 1,
            }
        }
        tally
    }

    /// Whether what a period owes can still change: an epoch of it has no verdict yet, or one that may be replaced, and its
    /// auditor may still be waiting for an answer.
    pub(super) fn may_change(&self, periods: Periods, period: u32, now: Timestamp) -> bool {
        let (first, after) = (periods.begin(period), periods.after(period));
        let is_final = |epoch: u64| {
            let judged = self.verdicts.iter().find(|judgement| judgement.epoch == Epoch(epoch));
            judged.is_some_and(|judgement| judgement.verdict != Verdict::Missed)
        };
        let patience = PATIENCE_EPOCHS * u64::from(self.terms.epoch_seconds);
        now < after.start(self.terms).plus_seconds(patience) && !(first.0..after.0).all(is_final)
    }
}

/// After so many epochs a question that nobody answered is closed.
const PATIENCE_EPOCHS: u64 = hayloft_core::auditor::follow::OPEN_EPOCHS + 1;

#[cfg(test)]
mod tests {
    use hayloft_core::{DeviceId, OwnerId, contract::MIN_GRACE_SECONDS};
    use hayloft_payments::Address;

    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);
    const DAY: u64 = 86_400;
    const TB: u64 = 1_000_000_000_000;

    fn terms() -> Terms {
        Terms {
            network: "here".parse().expect("a name"),
            owner: OwnerId([1; 32]),
            farmer: DeviceId([2; 32]),
            start: START,
            epoch_seconds: DAY as u32,
            storage_price: Amount(3_001),
            egress_price: Amount(0),
            audit_share_ppm: 500_000,
            auditor: Some(DeviceId([3; 32])),
            escrow: Some([4; 32]),
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: [5; 32],
        }
    }

    fn plan(start: Timestamp, period_seconds: u64) -> Plan {
        Plan {
            escrow: Address([4; 32]),
            owner: Address([5; 32]),
            farmer: Address([6; 32]),
            auditor: Address([7; 32]),
            start,
            period_seconds,
            grace_seconds: 7 * DAY,
            amounts: vec![Amount(1_000); 3],
            setup_sequence: 1,
            merge_ledger: 100,
            base_reserve: Amount(5_000_000),
        }
    }

    fn judged(epoch: u64, verdict: Verdict) -> Judgement {
        Judgement { epoch: Epoch(epoch), revision: 0, verdict, reason: None, at: START }
    }

    fn span() -> Span {
        Span { number: 0, at: START, bytes: TB, until: START.plus_seconds(90 * DAY) }
    }

    #[test]
    fn escrows_of_one_contract_owe_together_what_the_contract_owes() {
        let terms = terms();
        let verdicts: Vec<Judgement> = (0..18).map(|epoch| judged(epoch, Verdict::Passed)).collect();
        let spans = [span()];
        let account = Account { terms: &terms, spans: &spans, verdicts: &verdicts, egress: &[] };
        let first = Periods::of(&plan(START, 3 * DAY), &terms).expect("whole epochs");
        let second = Periods::of(&plan(START.plus_seconds(9 * DAY), 3 * DAY), &terms).expect("whole epochs");
        assert_eq!((first.first, second.first, second.epochs), (0, 9, 3));
        let owed = |periods, through| account.owed(periods, through).expect("a sum").0;
        assert_eq!(owed(first, 0), 3 * 3_001 / 30);
        assert_eq!(owed(first, 2) + owed(second, 2), 18 * 3_001 / 30);
        assert_eq!(account.owed_so_far(second).expect("a sum").0, owed(second, 2));
    }

    #[test]
    fn periods_that_are_not_whole_epochs_of_the_contract_are_none() {
        let terms = terms();
        for (start, period) in [
            (START, DAY / 2),
            (START, DAY + 1),
            (START, DAY),
            (START, 6 * DAY),
            (START.plus_seconds(DAY), 3 * DAY),
            (Timestamp(0), DAY),
        ] {
            assert_eq!(Periods::of(&plan(start, period), &terms), None, "{start:?} {period}");
        }
    }

    #[test]
    fn a_period_is_waited_for_until_all_is_judged_or_its_questions_are_closed() {
        let terms = terms();
        let periods = Periods { first: 0, epochs: 3 };
        let may_change = |verdicts: &[Judgement], day: u64| {
            let account = Account { terms: &terms, spans: &[], verdicts, egress: &[] };
            account.may_change(periods, 0, START.plus_seconds(day * DAY))
        };
        let judged = |last| [judged(0, Verdict::Passed), judged(1, Verdict::Failed), judged(2, last)];
        assert!(may_change(&[], 3));
        assert!(may_change(&judged(Verdict::Missed), 3));
        assert!(!may_change(&judged(Verdict::Undecided), 3));
        assert!(!may_change(&judged(Verdict::Missed), 7));
    }
}
