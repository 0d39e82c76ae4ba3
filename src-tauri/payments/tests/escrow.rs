//! Escrows on a ledger: what is paid to the stroop, and what each can take. Every party holds its own key alone.

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
        Disagreement, Fault, HandedIn, Opinion, Payouts, Plan, Settlement, SettlementError, check, look,
        recovery, settle,
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
    Opinion { own, open: standing.open, owed: owed.clone(), paid, now }
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
async fn nobody_takes_anything_alone() {
    let scene = Scene::new(2).await;
    let plan = &scene.plan;
    scene.bed.at(1 + PERIOD).await;
    for party in [&scene.owner, &scene.farmer, &scene.auditor] {
        let to = party.address();
        let pay = scene.by_escrow(Do::Pay { to, amount: Amount(1) });
        for steps in [
            vec![scene.claim(0), scene.by_escrow(Do::Pay { to, amount: EACH })],
            vec![pay],
            vec![scene.by_escrow(Do::Merge { into: to })],
            vec![scene.by_escrow(Do::Sign { who: Lock::Key(to), weight: 2 })],
            vec![scene.by_escrow(Do::Rule { own: 2, needed: 1 })],
        ] {
            assert!(codes(&scene.try_steps(&[party], steps).await).contains("op_bad_auth"));
        }
        // Signing twice counts once, and makes the whole invalid.
        let steps = vec![scene.claim(0)];
        assert!(matches!(scene.try_steps(&[party, party], steps).await, Submission::Declined(_)));
    }
    // The owner may have kept E's own key.
    let draft = scene.bed.draft(plan.owner, vec![scene.claim(0)]).await;
    let signed = scene.owner.sign(&scene.bed, draft.unsigned()).signed(&scene.escrow, &scene.bed.network);
    assert!(matches!(scene.bed.submit(&signed).await, Submission::Declined(_)));
    // And its own claim has not begun.
    let early = vec![Step { by: None, deed: Do::Claim { balance: plan.balance(0) } }];
    let refused = scene.try_steps(&[&scene.owner], early.clone()).await;
    assert_eq!(codes(&refused), "tx_failed, op_cannot_claim");
    scene.bed.at(PERIOD + GRACE).await;
    let refused = scene.try_steps(&[&scene.owner], early.clone()).await;
    assert_eq!(codes(&refused), "tx_failed, op_cannot_claim", "a second before its grace ends");
    scene.bed.at(1 + PERIOD + GRACE).await;
    for stranger in [&scene.farmer, &scene.auditor] {
        assert_eq!(codes(&scene.try_steps(&[stranger], early.clone()).await), "tx_failed, op_cannot_claim");
    }
    let taken = scene.try_steps(&[&scene.owner], early).await;
    assert!(matches!(taken, Submission::Applied { .. }), "{taken:?}");
    assert_eq!(scene.open().await, BTreeSet::from([1]));
}

#[tokio::test]
async fn each_pair_takes_at_most_what_is_over_and_the_reserve() {
    for pair in 0..3 {
        let scene = Scene::new(3).await;
        let parties = [&scene.owner, &scene.farmer, &scene.auditor];
        let mut pair: Vec<&Party> =
            parties.into_iter().enumerate().filter(|(at, _)| *at != pair).map(|(_, party)| party).collect();
        // Whoever takes it also hands it in.
        pair.reverse();
        let thief = pair[0].address();
        let take = |periods: &[u32]| -> Vec<Step> {
            let mut steps: Vec<Step> = periods.iter().map(|period| scene.claim(*period)).collect();
            let amount = Amount(EACH.0 * periods.len() as u64);
            steps.push(scene.by_escrow(Do::Pay { to: thief, amount }));
            steps
        };
        let before = scene.bed.balance(thief).await;
        let refused = scene.try_steps(&pair, take(&[0])).await;
        assert!(codes(&refused).contains("op_cannot_claim"), "{refused:?}");
        scene.bed.at(1 + 2 * PERIOD).await;
        let refused = scene.try_steps(&pair, take(&[0, 1, 2])).await;
        assert!(codes(&refused).contains("op_cannot_claim"), "{refused:?}");
        let taken = scene.try_steps(&pair, take(&[0, 1])).await;
        assert!(matches!(taken, Submission::Applied { .. }), "{taken:?}");
        // Those two can also shut the third out, which is seen by everybody.
        let steps = vec![scene.by_escrow(Do::Sign { who: Lock::Key(thief), weight: 2 })];
        scene.try_steps(&pair, steps).await;
        assert_eq!(scene.standing().await, Err(Fault::Signers));
        let ended = scene.try_steps(&[pair[0]], vec![scene.by_escrow(Do::Merge { into: thief })]).await;
        assert!(matches!(ended, Submission::Applied { .. }), "{ended:?}");
        assert_eq!(scene.standing().await, Err(Fault::Missing));
        let most = before.0 + 2 * EACH.0 + scene.plan.reserve().0;
        assert!(scene.bed.balance(thief).await.0 <= most);
        // What was not over comes back to the owner.
        scene.bed.at(1 + 3 * PERIOD + GRACE).await;
        let steps =
            recovery(&scene.plan, &scene.open().await, scene.bed.time(1 + 3 * PERIOD + GRACE)).unwrap();
        assert_eq!(steps.len(), 1);
        let recovered = scene.try_steps(&[&scene.owner], steps).await;
        assert!(matches!(recovered, Submission::Applied { .. }), "{recovered:?}");
    }
}

#[tokio::test]
async fn a_settlement_happens_once_and_never_before_its_period_is_over() {
    let scene = Scene::new(2).await;
    let owed = BTreeMap::from([(0, Amount(1000)), (1, Amount(3000))]);
    let open = scene.open().await;
    let now = Timestamp(scene.bed.ledger.newest().1);
    let early = settle(&scene.plan, &open, 0, Amount(1000), Amount(0), now);
    assert_eq!(early, Err(SettlementError::NotOver(0)));
    // Two who do not look: the ledger refuses all the same.
    let forced = settle(&scene.plan, &open, 0, Amount(1000), Amount(0), scene.plan.end(0)).unwrap();
    let draft = forced.draft(&scene.plan, &scene.handed_in(&scene.farmer).await);
    let signed = scene.farmer.sign(&scene.bed, scene.owner.sign(&scene.bed, draft.unsigned()));
    assert!(codes(&scene.bed.submit(&signed).await).starts_with("tx_failed, op_cannot_claim"));
    scene.bed.at(1 + PERIOD).await;
    let (_, draft) = scene.proposal(&scene.farmer, 0, &owed).await;
    scene.settle(&scene.farmer, &scene.owner, 0, &owed).await.unwrap();
    let paid = scene.bed.balance(scene.plan.farmer).await;
    // The same again, under a new number and with two signatures that somebody gave without looking.
    let again = Draft { sequence: draft.sequence + 1, ..draft };
    let signed = scene.farmer.sign(&scene.bed, scene.auditor.sign(&scene.bed, again.clone().unsigned()));
    assert!(codes(&scene.bed.submit(&signed).await).contains("op_does_not_exist"));
    assert_eq!(scene.bed.balance(scene.plan.farmer).await.0, paid.0 - 3 * FEE.0);
    // An honest one does not sign it either.
    let refused = scene.auditor.cosign(&scene.bed, &scene.plan, &again, scene.plan.farmer, &owed).await;
    assert_eq!(refused, Err(Disagreement::Nothing(SettlementError::NothingOpen)));
}

#[tokio::test]
async fn a_co_signer_signs_what_its_own_records_say_and_nothing_else() {
    let scene = Scene::new(3).await;
    scene.bed.at(1 + 2 * PERIOD).await;
    let owed = BTreeMap::from([(0, Amount(1000)), (1, Amount(3000))]);
    let (_, good) = scene.proposal(&scene.farmer, 1, &owed).await;
    let farmer = scene.plan.farmer;
    let ask = async |draft: &Draft, asker| {
        scene.owner.cosign(&scene.bed, &scene.plan, draft, asker, &owed).await.map(|_| ())
    };
    assert_eq!(ask(&good, farmer).await, Ok(()));
    // A stroop more.
    let changed = |change: &dyn Fn(&mut Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        draft
    };
    let pays = |draft: &mut Draft, at: usize, to, amount| {
        draft.steps[at] = scene.by_escrow(Do::Pay { to, amount: Amount(amount) });
    };
    let more = changed(&|draft| pays(draft, 2, farmer, 3001));
    let disagrees = Disagreement::Amount { asked: Amount(3001), own: Amount(3000) };
    assert_eq!(ask(&more, farmer).await, Err(disagrees));
    // Other audits than the owner knows.
    let elsewhere = BTreeMap::from([(1, Amount(2999))]);
    let refused = scene.auditor.cosign(&scene.bed, &scene.plan, &good, farmer, &elsewhere).await;
    assert!(matches!(refused, Err(Disagreement::Amount { .. })), "{refused:?}");
    let unknown = scene.auditor.cosign(&scene.bed, &scene.plan, &good, farmer, &BTreeMap::new()).await;
    assert_eq!(unknown, Err(Disagreement::NotKnown(1)));
    // Somebody else's return, a claim left out, one too many, and something besides.
    let stolen = changed(&|draft| pays(draft, 3, scene.plan.auditor, 2 * EACH.0 - 3000));
    let left_out = changed(&|draft| drop(draft.steps.remove(0)));
    let besides = changed(&|draft| {
        draft.steps.push(scene.by_escrow(Do::Sign { who: Lock::Key(farmer), weight: 2 }));
    });
    let of_mine = changed(&|draft| {
        draft
            .steps
            .push(Step { by: Some(scene.plan.owner), deed: Do::Pay { to: farmer, amount: Amount(0) } });
    });
    let named = changed(&|draft| draft.memo = Memo::Hash([1; 32]));
    for other in [stolen, left_out, besides, of_mine, named] {
        assert_eq!(ask(&other, farmer).await, Err(Disagreement::Other), "{other:?}");
    }
    let foreign = changed(&|draft| {
        draft.steps.push(scene.by_escrow(Do::Claim { balance: crate::horizon::BalanceId([1; 32]) }));
    });
    let nothing = changed(&|draft| drop(draft.steps.drain(..2)));
    for other in [foreign, nothing] {
        assert_eq!(ask(&other, farmer).await, Err(Disagreement::ForeignClaim));
    }
    // A period that is not over.
    let future = changed(&|draft| draft.steps.insert(2, scene.claim(2)));
    let known = BTreeMap::from([(2, Amount(3000))]);
    let refused = scene.owner.cosign(&scene.bed, &scene.plan, &future, farmer, &known).await;
    assert_eq!(refused, Err(Disagreement::Nothing(SettlementError::NotOver(2))));
    // One's own fee and number, a stranger's, and times without end.
    let mine = changed(&|draft| draft.source = scene.plan.owner);
    for asker in [farmer, scene.plan.owner] {
        assert_eq!(ask(&mine, asker).await, Err(Disagreement::WrongSource));
    }
    let strange = changed(&|draft| draft.source = Address([9; 32]));
    assert_eq!(ask(&strange, Address([9; 32])).await, Err(Disagreement::WrongSource));
    let now = scene.bed.ledger.newest().1;
    for until in [None, Some(Timestamp(now)), Some(Timestamp(now + 3601))] {
        let window = Window { until, ..Window::default() };
        let draft = changed(&|draft| draft.window = window);
        assert_eq!(ask(&draft, farmer).await, Err(Disagreement::BadWindow));
    }
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

#[tokio::test]
async fn a_setup_that_comes_too_late_does_nothing() {
    let scene = Scene::new(1).await;
    let escrow = random_key();
    let mut plan = Plan { escrow: Address::of(&escrow), ..scene.plan.clone() };
    plan.setup_sequence += 1;
    plan.merge_ledger = scene.bed.ledger.newest().0 + 1;
    let signed = plan.setup_signed_by_escrow(&escrow, &scene.bed.network, FEE, scene.bed.time(300));
    let late = scene.bed.submit(&scene.owner.sign(&scene.bed, signed)).await;
    assert_eq!(codes(&late), "tx_too_late");
    assert_eq!(scene.bed.horizon.account(plan.escrow).await.unwrap(), None);
}

#[tokio::test]
async fn an_escrow_that_is_not_as_planned_is_seen() {
    let scene = Scene::new(2).await;
    let network = &scene.bed.network;
    assert_eq!(scene.standing().await, Ok(BTreeSet::from([0, 1])));
    let look = async |plan: &Plan| look(&scene.bed.horizon, network, plan).await.unwrap().map(drop);
    let of = |change: &dyn Fn(&mut Plan)| {
        let mut plan = scene.plan.clone();
        change(&mut plan);
        plan
    };
    assert_eq!(look(&of(&|plan| plan.escrow = Address([9; 32]))).await, Err(Fault::Missing));
    assert_eq!(look(&of(&|plan| plan.farmer = Address([9; 32]))).await, Err(Fault::Signers));
    assert_eq!(look(&of(&|plan| plan.auditor = plan.owner)).await, Err(Fault::Signers));
    // A merge that would come sooner is another hash.
    assert_eq!(look(&of(&|plan| plan.grace_seconds -= 1)).await, Err(Fault::Signers));
    assert_eq!(look(&of(&|plan| plan.merge_ledger -= 1)).await, Err(Fault::Signers));
    assert_eq!(look(&of(&|plan| plan.base_reserve.0 += 1)).await, Err(Fault::Reserve));
    assert_eq!(look(&of(&|plan| plan.amounts[1].0 += 1)).await, Err(Fault::Balance(1)));
    let moved = |plan: &mut Plan| {
        plan.start = Timestamp(plan.start.0 - PERIOD);
        plan.period_seconds += PERIOD / 2;
    };
    assert_eq!(of(&moved).merges(), scene.plan.merges());
    assert_eq!(look(&of(&moved)).await, Err(Fault::Balance(0)));
    // One whose balances are others is simply not filled.
    let looked =
        crate::escrow::look(&scene.bed.horizon, network, &of(&|plan| plan.setup_sequence += 1)).await;
    assert_eq!(looked.unwrap().unwrap().open, BTreeSet::new());
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Settle(u32),
    Recover,
    Merge,
    Pay(u8, u64),
    Wait(u64),
    Steal(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0u32..4).prop_map(Move::Settle),
        1 => Just(Move::Recover),
        1 => Just(Move::Merge),
        2 => (0u8..3, 1u64..LUMEN).prop_map(|(who, amount)| Move::Pay(who, amount)),
        3 => (1u64..400).prop_map(Move::Wait),
        1 => (0u8..3).prop_map(Move::Steal),
    ];
    prop::collection::vec(one, 1..12)
}

/// All that the parties, the escrow and its balances hold, and what went into the ledger's fees.
async fn everything(scene: &Scene) -> u64 {
    let plan = &scene.plan;
    let mut sum = scene.bed.horizon.newest_ledger().await.unwrap().fee_pool.0;
    for who in [plan.owner, plan.farmer, plan.auditor, plan.escrow] {
        sum += scene.bed.balance(who).await.0;
    }
    sum + EACH.0 * scene.open().await.len() as u64
}

async fn play(moves: Vec<Move>) -> Result<(), TestCaseError> {
    let scene = Scene::new(4).await;
    let all = everything(&scene).await;
    let coins = scene.bed.horizon.newest_ledger().await.unwrap().total_coins;
    let owed: BTreeMap<u32, Amount> =
        (0..4).map(|period| (period, Amount(1_111 * u64::from(period + 1)))).collect();
    let parties = [&scene.owner, &scene.farmer, &scene.auditor];
    let mut seconds = 1;
    for step in moves {
        match step {
            Move::Wait(more) => {
                seconds += more;
                scene.bed.at(seconds).await;
            }
            Move::Settle(through) => {
                let Ok(open) = scene.standing().await else { continue };
                let paid = Payouts::default().catch_up(&scene.bed.horizon, &scene.plan).await.unwrap();
                let now = Timestamp(scene.bed.ledger.newest().1);
                if settle(&scene.plan, &open, through, owed[&through], paid, now).is_ok() {
                    scene.settle(&scene.farmer, &scene.auditor, through, &owed).await.unwrap();
                }
            }
            Move::Recover => {
                let now = Timestamp(scene.bed.ledger.newest().1);
                if let Some(steps) = recovery(&scene.plan, &scene.open().await, now) {
                    scene.try_steps(&[&scene.owner], steps).await;
                }
            }
            Move::Merge => drop(scene.merge().await),
            Move::Pay(who, amount) => {
                let to = parties[usize::from(who + 1) % 3].address();
                let step = Step { by: None, deed: Do::Pay { to, amount: Amount(amount) } };
                scene.try_steps(&[parties[usize::from(who)]], vec![step]).await;
            }
            Move::Steal(who) => {
                let to = parties[usize::from(who)].address();
                let steps = vec![scene.claim(0), scene.by_escrow(Do::Pay { to, amount: EACH })];
                scene.try_steps(&[parties[usize::from(who)], parties[usize::from(who + 1) % 3]], steps).await;
            }
        }
        prop_assert_eq!(everything(&scene).await, all, "after {:?}", step);
        prop_assert_eq!(scene.bed.horizon.newest_ledger().await.unwrap().total_coins, coins);
    }
    Ok(())
}

#[test]
fn lumens_are_neither_made_nor_lost_whatever_happens() {
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runner.run(&moves(), |moves| runtime.block_on(play(moves))).unwrap();
}
