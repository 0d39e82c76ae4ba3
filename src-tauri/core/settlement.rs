//! What a contract owes its farmer, to the stroop: a pure function of what was kept and of the verdicts.
//!
//! ```text
//! byte-seconds(e) = Σ bytes · seconds over the spans of epoch e between revisions, up to the contract's end
//! counts(e)       ⇔ passed, or undecided and a later audit of that same revision passed
//! share(p)        = passed / (passed + failed + missed) over the epochs of settlement period p
//! owed            = Σ byte-seconds(e) · price / (10¹² · 2,592,000)   over the e that count, in periods whose share
//!                   reaches what was agreed
//! pays            = ⌊owed⌋ − paid, once that is 100 fees, or more than its fee and about to be lost
//! ```
//! One exact fraction per contract, rounded once: however often is settled in between, the same is paid in the end.
//!
//! Invariants: a verdict more that is not "passed" never makes more owed; nothing is owed for an epoch without a
//! passed audit; a period with no decided audit owes nothing.
//!
//! Deliberately absent: who signs, the ledger, and how egress is vouched for ([`crate::voucher`]).

use serde::{Deserialize, Serialize};

use crate::{
    Amount, Timestamp,
    amount::{MONTH_SECONDS, TB_BYTES},
    audit::Epoch,
    contract::Terms,
};

/// Fees that a payment must outweigh to be worth making.
const FEES_PER_PAYMENT: u64 = 100;
const WHOLE_PPM: u64 = 1_000_000;

/// What became of an epoch's audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// A right proof in time.
    Passed,
    /// A wrong proof, or none until its challenge was closed.
    Failed,
    /// No proof yet; the challenge is open.
    Missed,
    /// The auditor's own fault: leaves both sides of the share.
    Undecided,
}

/// One epoch of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub epoch: Epoch,
    /// Number of the revision that was audited.
    pub revision: u64,
    /// Its verdict.
    pub verdict: Verdict,
    /// What was kept in it, from [`byte_seconds`].
    pub byte_seconds: u128,
}

/// Why nothing can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// Epochs are not in ascending order, or one is there twice.
    #[error("an epoch is out of order or settled twice: {0:?}")]
    OutOfOrder(Epoch),
    /// A period without epochs.
    #[error("a settlement period has at least one epoch")]
    NoPeriod,
    /// More than any amount.
    #[error("more is owed than any amount can be")]
    TooMuch,
}

/// Exactly what is owed: a number of stroop · byte-seconds per TB-month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owed(u128);

impl Owed {
    /// Whole stroops, rounded down.
    ///
    /// # Errors
    /// [`SettlementError::TooMuch`].
    pub fn floor(self) -> Result<Amount, SettlementError> {
        let whole = self.0 / (TB_BYTES * MONTH_SECONDS);
        u64::try_from(whole).map(Amount).map_err(|_| SettlementError::TooMuch)
    }
}

impl Owed {
    /// The same, and so many bytes served at this price per TB: still one fraction.
    ///
    /// # Errors
    /// [`SettlementError::TooMuch`].
    pub fn with_egress(self, bytes: u64, price: Amount) -> Result<Self, SettlementError> {
        let egress = u128::from(bytes) * u128::from(price.0);
        let sum = egress.checked_mul(MONTH_SECONDS).and_then(|egress| self.0.checked_add(egress));
        sum.map(Self).ok_or(SettlementError::TooMuch)
    }
}

/// Byte-seconds kept in an epoch. `kept` gives, in ascending order, from when on how many bytes were under contract;
/// nothing was before the first.
pub fn byte_seconds(terms: &Terms, epoch: Epoch, end: Timestamp, kept: &[(Timestamp, u64)]) -> u128 {
    let (from, to) = (epoch.start(terms), Epoch(epoch.0.saturating_add(1)).start(terms).min(end));
    let until = kept.iter().skip(1).map(|&(at, _)| at).chain([Timestamp(u64::MAX)]);
    let spans = kept.iter().zip(until).map(|(&(at, bytes), until)| {
        let seconds = until.min(to).seconds_since(at.max(from));
        u128::from(bytes) * u128::from(seconds)
    });
    spans.sum()
}

/// What a contract owes in all, from all its epochs so far in ascending order; a settlement period is
/// `period_epochs` epochs, counted from the contract's start.
///
/// # Errors
/// [`SettlementError`].
pub fn owed(terms: &Terms, period_epochs: u64, entries: &[Entry]) -> Result<Owed, SettlementError> {
    if period_epochs == 0 {
        return Err(SettlementError::NoPeriod);
    }
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].epoch >= pair[1].epoch) {
        return Err(SettlementError::OutOfOrder(pair[1].epoch));
    }
    let period = |entry: &Entry| entry.epoch.0 / period_epochs;
    let mut byte_seconds = 0u128;
    let mut later = entries;
    for of_period in entries.chunk_by(|left, right| period(left) == period(right)) {
        let reaches = reaches_share(of_period, terms.audit_share_ppm);
        for entry in of_period {
            later = &later[1..];
            if reaches && counts(entry, later) {
                byte_seconds =
                    byte_seconds.checked_add(entry.byte_seconds).ok_or(SettlementError::TooMuch)?;
            }
        }
    }
    byte_seconds.checked_mul(terms.storage_price.0.into()).map(Owed).ok_or(SettlementError::TooMuch)
}

fn reaches_share(entries: &[Entry], agreed_ppm: u32) -> bool {
    let of = |verdict: Verdict| entries.iter().filter(|entry| entry.verdict == verdict).count() as u64;
    let passed = of(Verdict::Passed);
    let decided = passed + of(Verdict::Failed) + of(Verdict::Missed);
    passed > 0 && u128::from(passed) * u128::from(WHOLE_PPM) >= u128::from(decided) * u128::from(agreed_ppm)
}

fn counts(entry: &Entry, later: &[Entry]) -> bool {
    match entry.verdict {
        Verdict::Passed => true,
        Verdict::Undecided => {
            later.iter().any(|later| later.verdict == Verdict::Passed && later.revision == entry.revision)
        }
        Verdict::Failed | Verdict::Missed => false,
    }
}

/// Whether a payment is worth its fee now. What is small waits, but is not lost for that: what comes back to the owner
/// otherwise is paid if anything of it is left for the farmer.
pub fn is_worth_paying(open: Amount, fee: Amount, last_chance: bool) -> bool {
    open.0 > 0 && (open.0 >= least_payment(fee).0 || (last_chance && open.0 > fee.0))
}

/// While less is open, it waits.
pub fn least_payment(fee: Amount) -> Amount {
    Amount(fee.0.saturating_mul(FEES_PER_PAYMENT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{DeviceId, OwnerId, contract::MIN_GRACE_SECONDS};

    const START: Timestamp = Timestamp(1_800_000_000);
    const DAY: u64 = 24 * 3600;
    const TB: u64 = 1_000_000_000_000;
    const FEE: Amount = Amount(100);

    fn terms(price: u64) -> Terms {
        Terms {
            network: "here".parse().expect("a name"),
            owner: OwnerId([1; 32]),
            farmer: DeviceId([2; 32]),
            start: START,
            epoch_seconds: 86_400,
            storage_price: Amount(price),
            egress_price: Amount(0),
            audit_share_ppm: 900_000,
            auditor: Some(DeviceId([3; 32])),
            escrow: Some([4; 32]),
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: [5; 32],
        }
    }

    fn day(number: u64, verdict: Verdict) -> Entry {
        Entry { epoch: Epoch(number), revision: 1, verdict, byte_seconds: u128::from(TB) * u128::from(DAY) }
    }

    fn stroops(verdicts: &[Verdict]) -> u64 {
        let entries: Vec<Entry> = (0..).zip(verdicts).map(|(at, verdict)| day(at, *verdict)).collect();
        owed(&terms(3_000), 30, &entries).expect("a sum").floor().expect("an amount").0
    }

    #[test]
    fn a_terabyte_kept_and_proved_for_a_month_earns_its_price() {
        assert_eq!(stroops(&[Verdict::Passed; 30]), 3_000);
        assert_eq!(stroops(&[Verdict::Passed; 3]), 300);
        assert_eq!(stroops(&[]), 0);
    }

    #[test]
    fn epochs_without_a_right_proof_earn_nothing() {
        let mut month = [Verdict::Passed; 30];
        month[7] = Verdict::Failed;
        month[8] = Verdict::Missed;
        assert_eq!(stroops(&month), 2_800);
    }

    #[test]
    fn a_period_under_the_agreed_share_earns_nothing_and_the_next_is_its_own() {
        let mut months = [Verdict::Passed; 60];
        months[..4].fill(Verdict::Failed);
        assert_eq!(stroops(&months), 3_000);
        months[3] = Verdict::Passed;
        assert_eq!(stroops(&months), 5_700, "27 of 30 are just nine in ten");
    }

    #[test]
    fn an_auditors_fault_is_paid_once_that_revision_passes_later_and_lowers_no_share() {
        use Verdict::{Failed, Passed, Undecided};
        assert_eq!(stroops(&[Undecided, Undecided]), 0);
        assert_eq!(stroops(&[Undecided, Passed]), 200);
        assert_eq!(stroops(&[Passed, Undecided]), 100);
        assert_eq!(stroops(&[Undecided, Failed]), 0);
        let other_revision = [Entry { revision: 0, ..day(0, Undecided) }, day(1, Passed)];
        assert_eq!(owed(&terms(3_000), 30, &other_revision).expect("a sum").floor(), Ok(Amount(100)));
    }

    #[test]
    fn an_epoch_counted_twice_or_out_of_order_is_refused() {
        let twice = [day(1, Verdict::Passed), day(1, Verdict::Passed)];
        assert_eq!(owed(&terms(1), 30, &twice), Err(SettlementError::OutOfOrder(Epoch(1))));
        let back = [day(2, Verdict::Passed), day(1, Verdict::Passed)];
        assert_eq!(owed(&terms(1), 30, &back), Err(SettlementError::OutOfOrder(Epoch(1))));
        assert_eq!(owed(&terms(1), 0, &[]), Err(SettlementError::NoPeriod));
    }

    #[test]
    fn egress_is_part_of_the_one_fraction() {
        let storage = owed(&terms(3_000), 30, &[day(0, Verdict::Passed)]).expect("a sum");
        let both = storage.with_egress(TB, Amount(7)).expect("a sum");
        assert_eq!(both.floor(), Ok(Amount(107)));
        // Two halves of a stroop, one of each, are one.
        let half = Owed(TB_BYTES * MONTH_SECONDS / 2);
        assert_eq!(half.with_egress(TB / 2, Amount(1)).expect("a sum").floor(), Ok(Amount(1)));
        assert_eq!(Owed(u128::MAX).with_egress(1, Amount(1)), Err(SettlementError::TooMuch));
        assert_eq!(half.with_egress(u64::MAX, Amount(u64::MAX)), Err(SettlementError::TooMuch));
    }

    #[test]
    fn more_than_any_amount_is_refused_instead_of_wrapped() {
        let huge = [Entry { byte_seconds: u128::MAX, ..day(0, Verdict::Passed) }];
        assert_eq!(owed(&terms(2), 30, &huge), Err(SettlementError::TooMuch));
        assert_eq!(Owed(u128::MAX).floor(), Err(SettlementError::TooMuch));
    }

    #[test]
    fn what_its_fee_would_eat_waits_until_it_would_be_lost() {
        let is_worth = |open, last_chance| is_worth_paying(Amount(open), FEE, last_chance);
        assert!(!is_worth(9_999, false) && is_worth(10_000, false));
        assert!(!is_worth(100, true) && is_worth(101, true));
        assert!(!is_worth_paying(Amount(0), Amount(0), true), "nothing is nothing");
        assert!(!is_worth_paying(Amount(u64::MAX - 1), Amount(u64::MAX), false));
    }

    #[test]
    fn what_is_kept_counts_by_the_second_within_the_epoch_and_up_to_the_end() {
        let terms = terms(1);
        let at = |seconds| START.plus_seconds(seconds);
        let kept = [(at(0), 10), (at(DAY / 2), 20), (at(3 * DAY), 0)];
        let end = at(30 * DAY);
        assert_eq!(byte_seconds(&terms, Epoch(0), end, &kept), u128::from(DAY / 2 * 30));
        assert_eq!(byte_seconds(&terms, Epoch(1), end, &kept), u128::from(DAY * 20));
        assert_eq!(byte_seconds(&terms, Epoch(3), end, &kept), 0);
        assert_eq!(byte_seconds(&terms, Epoch(1), at(DAY + 1), &kept), 20);
        assert_eq!(byte_seconds(&terms, Epoch(1), at(DAY), &kept), 0);
        assert_eq!(byte_seconds(&terms, Epoch(0), end, &[]), 0);
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            6 => Just(Verdict::Passed),
            1 => Just(Verdict::Failed),
            1 => Just(Verdict::Missed),
            2 => Just(Verdict::Undecided),
        ]
    }

    /// At most an exabyte each, so that a hundred at the highest price asked for are still an amount.
    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let one = (verdict(), 1u64..4, 0u64..4, 0..=1_000_000 * TB);
        prop::collection::vec(one, 0..100).prop_map(|entries| {
            let mut epoch = 0;
            let mut entry = |(verdict, step, revision, bytes): (Verdict, u64, u64, u64)| {
                epoch += step;
                let byte_seconds = u128::from(bytes) * u128::from(DAY);
                Entry { epoch: Epoch(epoch), revision, verdict, byte_seconds }
            };
            entries.into_iter().map(&mut entry).collect()
        })
    }

    proptest! {
        #[test]
        fn however_often_is_settled_the_same_is_paid(entries in entries(), price in 0u64..1 << 40) {
            let terms = terms(price);
            let mut paid = 0;
            // Periods settle when they are over: what a later epoch says of an earlier one is paid then.
            for upto in (0..=entries.len()).filter(|&upto| {
                upto == entries.len() || upto > 0 && entries[upto].epoch.0 / 7 != entries[upto - 1].epoch.0 / 7
            }) {
                let owed = owed(&terms, 7, &entries[..upto]).expect("a sum").floor().expect("an amount");
                let open = Amount(owed.0.checked_sub(paid).expect("no period takes back what another owed"));
                if is_worth_paying(open, FEE, false) || upto == entries.len() {
                    paid += open.0;
                }
            }
            let all = owed(&terms, 7, &entries).expect("a sum").floor().expect("an amount");
            prop_assert_eq!(Amount(paid), all);
        }

        #[test]
        fn a_worse_verdict_never_earns_more(mut entries in entries(), at in any::<prop::sample::Index>()) {
            prop_assume!(!entries.is_empty());
            let before = owed(&terms(7), 7, &entries).expect("a sum");
            let at = at.index(entries.len());
            entries[at].verdict = Verdict::Failed;
            prop_assert!(owed(&terms(7), 7, &entries).expect("a sum") <= before);
        }

        #[test]
        fn epochs_together_hold_every_second_once(
            spans in prop::collection::vec((0u64..3 * DAY, 0u64..1 << 40), 1..10),
            length in 0u64..20 * DAY,
        ) {
            let terms = terms(1);
            let mut at = START;
            let kept: Vec<_> = spans.iter().map(|&(pause, bytes)| { at = at.plus_seconds(pause); (at, bytes) }).collect();
            let end = START.plus_seconds(length);
            let whole: u128 = kept.iter().enumerate().map(|(index, &(from, bytes))| {
                let to = kept.get(index + 1).map_or(end, |next| next.0.min(end));
                u128::from(bytes) * u128::from(to.seconds_since(from))
            }).sum();
            let parts: u128 = (0..40).map(|epoch| byte_seconds(&terms, Epoch(epoch), end, &kept)).sum();
            prop_assert_eq!(parts, whole);
        }
    }
}
