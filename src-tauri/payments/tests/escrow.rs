//! Escrows on a ledger: what is paid to the stroop, and what returns. Every party holds its own key alone.

mod attacks;
mod histories;

use std::collections::{BTreeMap, BTreeSet};

use hayloft_core::{
    Amount, Timestamp,
    audit::Epoch,
    contract::{MIN_GRACE_SECONDS, Terms},
    keys::StellarKey,
    settlement::{Entry, Verdict, owed},
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::bed::{BASE_FEE, Bed, random_key};
use crate::{
    Address, Draft,
    envelope::{Do, Lock, Memo, Signed, Step, Window},
    escrow::{
        Disagreement, Fault, HandedIn, Opinion, Payouts, Plan, Settlement, SettlementError, Takes, check,
        look, recovery, settle,
    },
    horizon::Submission,
    lumens::LUMEN,
};

const PERIOD: u64 = 100;
const GRACE: u64 = 1000;
const FEE: Amount = Amount(BASE_FEE as u64);
const EACH: Amount = Amount(5 * LUMEN);

/// One party: nobody else has its key.
pub(super) struct Party(StellarKey);

impl Party {
    pub(super) async fn new(bed: &Bed) -> Self {
        Self(bed.party().await)
    }

    pub(super) fn address(&self) -> Address {
        Address::of(&self.0)
    }

    /// Signs whatever it is: what an honest one never does.
    fn sign(&self, bed: &Bed, signed: Signed) -> Signed {
        signed.signed(&self.0, &bed.network)
    }

    /// Signs a settlement that says what it should.
    pub(super) async fn cosign(
        &self,
        bed: &Bed,
        plan: &Plan,
        draft: &Draft,
        asker: Address,
        owed: &BTreeMap<u32, Amount>,
    ) -> Result<Signed, Disagreement> {
        let opinion = opinion(bed, plan, self.address(), owed).await;
        check(plan, draft, asker, &opinion)?;
        Ok(draft.clone().unsigned().signed(&self.0, &bed.network))
    }
}

async fn opinion(bed: &Bed, plan: &Plan, own: Address, owed: &BTreeMap<u32, Amount>) -> Opinion {
    let standing = look(&bed.horizon, &bed.network, plan).await.unwrap().unwrap();
    let paid = Payouts::default().catch_up(&bed.horizon, plan).await.unwrap();
    let now = Timestamp(bed.ledger.newest().1);
    Opinion { own, open: standing.open, owed: owed.clone(), paid, takes: Takes::Exactly, now }
}

pub(super) struct Scene {
    pub(super) bed: Bed,
    pub(super) owner: Party,
    pub(super) farmer: Party,
    pub(super) auditor: Party,
    pub(super) plan: Plan,
    /// E's own key, which an honest owner forgets.
    escrow: StellarKey,
}

impl Scene {
    /// An escrow of so many periods, set up a second before its first begins.
    async fn new(periods: usize) -> Self {
        let bed = Bed::new().await;
        let (owner, farmer, auditor) =
            (Party::new(&bed).await, Party::new(&bed).await, Party::new(&bed).await);
        let escrow = random_key();
        let newest = bed.horizon.newest_ledger().await.unwrap();
        let plan = Plan {
            escrow: Address::of(&escrow),
            owner: owner.address(),
            farmer: farmer.address(),
            auditor: auditor.address(),
            start: bed.time(1),
            period_seconds: PERIOD,
            grace_seconds: GRACE,
            amounts: vec![EACH; periods],
            setup_sequence: bed.account(owner.address()).await.sequence + 1,
            merge_ledger: Plan::merge_ledger_after(newest.number),
            base_reserve: newest.base_reserve,
        };
        plan.check().unwrap();
        let scene = Self { bed, owner, farmer, auditor, plan, escrow };
        let done = scene.set_up(&scene.plan).await;
        assert!(matches!(done, Submission::Applied { .. }), "{done:?}");
        scene
    }

    async fn set_up(&self, plan: &Plan) -> Submission {
        let until = self.bed.time(300);
        let signed = plan.setup_signed_by_escrow(&self.escrow, &self.bed.network, FEE, until);
        self.bed.submit(&self.owner.sign(&self.bed, signed)).await
    }

    async fn handed_in(&self, by: &Party) -> HandedIn {
        let sequence = self.bed.account(by.address()).await.sequence + 1;
        let until = Timestamp(self.bed.ledger.newest().1 + 300);
        HandedIn { by: by.address(), sequence, step_fee: FEE, until }
    }

    /// What one party proposes by what it holds to be owed.
    async fn proposal(&self, by: &Party, through: u32, owed: &BTreeMap<u32, Amount>) -> (Settlement, Draft) {
        let opinion = opinion(&self.bed, &self.plan, by.address(), owed).await;
        let (open, paid, now) = (&opinion.open, opinion.paid, opinion.now);
        let settlement = settle(&self.plan, open, through, owed[&through], paid, now).unwrap();
        let draft = settlement.draft(&self.plan, &self.handed_in(by).await);
        (settlement, draft)
    }

    /// A settlement that one proposes and another signs too.
    async fn settle(
        &self,
        by: &Party,
        with: &Party,
        through: u32,
        owed: &BTreeMap<u32, Amount>,
    ) -> Result<Settlement, Disagreement> {
        let (settlement, draft) = self.proposal(by, through, owed).await;
        let signed = with.cosign(&self.bed, &self.plan, &draft, by.address(), owed).await?;
        let done = self.bed.submit(&by.sign(&self.bed, signed)).await;
        assert!(matches!(done, Submission::Applied { .. }), "{done:?}");
        Ok(settlement)
    }

    /// Any steps at all, handed in by the first and signed by all of them.
    async fn try_steps(&self, signers: &[&Party], steps: Vec<Step>) -> Submission {
        let draft = self.bed.draft(signers[0].address(), steps).await;
        let signed = signers.iter().fold(draft.unsigned(), |signed, party| party.sign(&self.bed, signed));
        self.bed.submit(&signed).await
    }

    fn by_escrow(&self, deed: Do) -> Step {
        Step { by: Some(self.plan.escrow), deed }
    }

    fn claim(&self, period: u32) -> Step {
        self.by_escrow(Do::Claim { balance: self.plan.balance(period) })
    }

    async fn open(&self) -> BTreeSet<u32> {
        let mut open = BTreeSet::new();
        for period in 0..self.plan.periods() {
            if self.bed.horizon.balance(self.plan.balance(period)).await.unwrap().is_some() {
                open.insert(period);
            }
        }
        open
    }

    async fn merge(&self) -> Submission {
        self.bed.submit(&self.plan.merge().unsigned()).await
    }

    async fn standing(&self) -> Result<BTreeSet<u32>, Fault> {
        let looked = look(&self.bed.horizon, &self.bed.network, &self.plan).await.unwrap();
        looked.map(|standing| standing.open)
    }
}

fn codes(submission: &Submission) -> String {
    match submission {
        Submission::Declined(codes) => codes.to_string(),
        other => panic!("{other:?}"),
    }
}

fn terms(plan: &Plan, price: u64) -> Terms {
    Terms {
        network: "here".parse().unwrap(),
        owner: hayloft_core::OwnerId([1; 32]),
        farmer: hayloft_core::DeviceId([2; 32]),
        start: plan.start,
        epoch_seconds: 50,
        storage_price: Amount(price),
        egress_price: Amount(0),
        audit_share_ppm: 500_000,
        auditor: Some(hayloft_core::DeviceId([3; 32])),
        escrow: Some(plan.escrow.0),
        grace_seconds: MIN_GRACE_SECONDS,
        nonce: [5; 32],
    }
}

#[tokio::test]
async fn farmers_are_paid_to_the_stroop_what_the_formula_gives_and_the_rest_returns() {
    let scene = Scene::new(3).await;
    let (bed, plan) = (&scene.bed, &scene.plan);
    // Two epochs of 50 seconds a period, a third of a terabyte: every epoch owes a part of a stroop.
    let terms = terms(plan, 900_000_000_001);
    let entry = |epoch, verdict| Entry {
        epoch: Epoch(epoch),
        revision: 1,
        verdict,
        byte_seconds: 333_333_333_333u128 * 50,
    };
    use Verdict::{Failed, Passed};
    let entries: Vec<Entry> = (0..)
        .zip([Passed, Passed, Passed, Failed, Failed, Passed])
        .map(|(at, verdict)| entry(at, verdict))
        .collect();
    let through = |periods: usize| owed(&terms, 2, &entries[..2 * periods]).unwrap().floor().unwrap();
    let owed: BTreeMap<u32, Amount> = (0..3).map(|period| (period, through(period as usize + 1))).collect();
    assert!(owed[&0].0 > 1000 && owed[&2].0 < 3 * EACH.0, "{owed:?}");
    let (farmer, owner) = (bed.balance(plan.farmer).await, bed.balance(plan.owner).await);
    let mut fees = 0;
    for period in 0..3 {
        bed.at(1 + PERIOD * (u64::from(period) + 1)).await;
        let settlement = scene.settle(&scene.farmer, &scene.owner, period, &owed).await.unwrap();
        let before = if period == 0 { 0 } else { owed[&(period - 1)].0 };
        assert_eq!(settlement.pays.0, owed[&period].0 - before);
        fees += 3 * FEE.0;
    }
    let all = owed[&2].0;
    assert_eq!(bed.balance(plan.farmer).await.0, farmer.0 + all - fees);
    assert_eq!(bed.balance(plan.owner).await.0, owner.0 + 3 * EACH.0 - all);
    assert_eq!(bed.balance(plan.escrow).await, plan.reserve());
    assert_eq!(scene.standing().await, Ok(BTreeSet::new()));
}

#[tokio::test]
async fn periods_that_wait_are_settled_together_and_what_no_period_holds_stays_owed() {
    let scene = Scene::new(3).await;
    scene.bed.at(1 + 2 * PERIOD).await;
    let owed = BTreeMap::from([(0, Amount(7)), (1, Amount(9)), (2, Amount(9 + 2 * EACH.0))]);
    let settlement = scene.settle(&scene.owner, &scene.farmer, 1, &owed).await.unwrap();
    assert_eq!((settlement.claims.as_slice(), settlement.pays), (&[0, 1][..], Amount(9)));
    scene.bed.at(1 + 3 * PERIOD).await;
    let settlement = scene.settle(&scene.owner, &scene.auditor, 2, &owed).await.unwrap();
    assert_eq!((settlement.pays, settlement.returns), (EACH, Amount(0)));
}

#[tokio::test]
async fn whoever_vanishes_the_others_get_what_is_theirs() {
    let owed = BTreeMap::from([(0, Amount(1000))]);
    for (by, with) in [(1, 2), (0, 2), (1, 0)] {
        let scene = Scene::new(1).await;
        let parties = [&scene.owner, &scene.farmer, &scene.auditor];
        scene.bed.at(1 + PERIOD).await;
        let (farmer, owner) =
            (scene.bed.balance(scene.plan.farmer).await, scene.bed.balance(scene.plan.owner).await);
        scene.settle(parties[by], parties[with], 0, &owed).await.unwrap();
        let fee = |at: usize| if by == at { 3 * FEE.0 } else { 0 };
        assert_eq!(scene.bed.balance(scene.plan.farmer).await.0, farmer.0 + 1000 - fee(1));
        assert_eq!(scene.bed.balance(scene.plan.owner).await.0, owner.0 + EACH.0 - 1000 - fee(0));
    }
}

#[tokio::test]
async fn when_all_others_vanish_the_owner_recovers_everything_and_the_merge_is_nobodys_privilege() {
    let scene = Scene::new(2).await;
    let (bed, plan) = (&scene.bed, &scene.plan);
    assert_eq!(codes(&scene.merge().await), "tx_too_early");
    let last = 1 + 2 * PERIOD + GRACE;
    bed.at(last).await;
    let before = bed.balance(plan.owner).await;
    assert_eq!(codes(&scene.merge().await), "tx_too_early", "before the ledger that it waits for");
    assert_eq!(scene.standing().await, Ok(BTreeSet::from([0, 1])), "and it is not used up by that");
    while bed.ledger.newest().0 < plan.merge_ledger {
        bed.at(last).await;
    }
    let now = bed.time(last);
    let steps = recovery(plan, &scene.open().await, now).unwrap();
    let recovered = scene.try_steps(&[&scene.owner], steps).await;
    assert!(matches!(recovered, Submission::Applied { .. }), "{recovered:?}");
    assert_eq!(recovery(plan, &scene.open().await, now), None);
    let merged = scene.merge().await;
    assert!(matches!(merged, Submission::Applied { .. }), "{merged:?}");
    let fees = 2 * FEE.0 + FEE.0;
    assert_eq!(bed.balance(plan.owner).await.0, before.0 + 2 * EACH.0 + plan.reserve().0 - fees);
    assert_eq!(bed.account(plan.owner).await.sponsoring, 0);
    assert_eq!(scene.standing().await, Err(Fault::Missing));
}
