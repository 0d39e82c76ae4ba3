//! The auditor of a contract has vanished: its farmer is paid by the owner's signature and its own, for what it was heard to say.

use hayloft_core::{
    Amount, DeviceId, RevisionHash, Signature, Timestamp,
    audit::Epoch,
    auditor::{Judgement, Verdict},
    contract::{Revision, SignedRevision, Terms},
    spending::Limits,
};
use hayloft_payments::{
    Address,
    envelope::Signed,
    escrow::{Disagreement, HandedIn, Plan, look, settle},
    wallet::{EscrowState, Fate, Role, encode},
};
use hayloft_store::outbox::EscrowRow;

use super::bed::{BriskLedger, DAY, START, node, set_up_for};
use crate::{
    Clock, Node,
    money::{Money, Party, Refused},
};

const PRICE: Amount = Amount(1_000_000_000_000_000);
const KEPT: u64 = 64 << 10;
const NO_LIMITS: Limits = Limits { per_day: None, in_all: None };
/// The last quarter of the first period's grace begins, and its last eighth.
const LATE: u64 = 3 * DAY + 7 * DAY / 4 * 3;
const LAST: u64 = 3 * DAY + 7 * DAY / 8 * 7;

/// Owner and farmer, each a node with its own home and keys. Nobody is their auditor any more.
struct Scene {
    owner: Node,
    farmer: Node,
    ledger: BriskLedger,
    clock: Clock,
    terms: Terms,
    plan: Plan,
    _homes: [tempfile::TempDir; 2],
}

impl Scene {
    /// Both have signed that something is kept from the beginning.
    async fn new() -> Self {
        let homes = std::array::from_fn(|_| tempfile::tempdir().expect("a temp folder"));
        let (ledger, clock) = (BriskLedger::at(START).await, Clock::by_hand(START));
        let [owner, farmer] =
            [node(homes[0].path(), &ledger, &clock).await, node(homes[1].path(), &ledger, &clock).await];
        let farms = farmer.money_for_tests();
        farms.wallet().await.expect("a wallet").fund().await.expect("funded");
        let account = farms.own_account(true).await.expect("an account");
        let (terms, plan) = set_up_for(&owner.money_for_tests(), account, PRICE).await;
        let row = EscrowRow {
            account: plan.escrow.0,
            plan: encode(&plan),
            role: Role::Farmer,
            state: EscrowState::Seen,
        };
        farms.inner.store.funds().keep(plan.escrow.0, &terms).await.expect("kept");
        farms.inner.store.outbox().keep_escrow(&row).await.expect("kept");
        let revision = Revision {
            contract: terms.id(),
            number: 0,
            previous: RevisionHash([0; 32]),
            capacity_bytes: KEPT,
            end: START.plus_seconds(9 * DAY),
            added: Vec::new(),
            removed: Vec::new(),
            shards: 1,
            bytes: KEPT,
            root: [0; 32],
            at: START,
        };
        let nobodys = Signature([0; 64]);
        let signed = SignedRevision { revision, owner: nobodys, farmer: nobodys };
        let scene = Self { owner, farmer, ledger, clock, terms, plan, _homes: homes };
        for party in [scene.owner.money_for_tests(), farms] {
            party.inner.store.funds().learn(std::slice::from_ref(&signed)).await.expect("learnt");
        }
        scene
    }

    /// One of them heard that these epochs passed.
    async fn hears(&self, money: &Money, epochs: std::ops::Range<u64>) {
        let passed = |epoch| Judgement {
            epoch: Epoch(epoch),
            revision: 0,
            verdict: Verdict::Passed,
            reason: None,
            at: START,
        };
        let said: Vec<Judgement> = epochs.map(passed).collect();
        money.inner.store.funds().hear(self.terms.id(), &said).await.expect("heard");
    }

    async fn at(&self, seconds: u64) {
        self.clock.set(START.plus_seconds(seconds));
        self.ledger.set_time(Some(START.0 + seconds));
        self.ledger.close_ledger().await.expect("closes");
    }

    /// What the owner would have signed, paying so much for the first period.
    async fn proposal(&self, owed: u64) -> Signed {
        self.proposal_through(0, owed).await
    }

    /// The same for the periods up to one.
    async fn proposal_through(&self, through: u32, owed: u64) -> Signed {
        let wallet = self.owner.money_for_tests().wallet().await.expect("a wallet");
        let outbox = wallet.outbox();
        let standing =
            look(outbox.horizon(), outbox.network(), &self.plan).await.expect("asked").expect("stands");
        let now = self.clock.now();
        let settlement =
            settle(&self.plan, &standing.open, through, Amount(owed), Amount(0), now).expect("due");
        let handed_in = HandedIn {
            by: wallet.address(),
            sequence: outbox.next_sequence(wallet.address()).await.expect("a number"),
            step_fee: Amount(100),
            until: Timestamp(now.0 + 120),
        };
        settlement.draft(&self.plan, &handed_in).unsigned()
    }

    /// The farmer is asked to sign it.
    async fn ask(&self, proposal: &Signed) -> Result<Vec<u8>, Refused> {
        let asker = (DeviceId([8; 32]), Party::Owner);
        self.farmer.money_for_tests().cosign(self.terms.id(), asker, 0, &proposal.to_bytes(), &[]).await
    }

    async fn balance(&self, account: Address) -> u64 {
        let wallet = self.owner.money_for_tests().wallet().await.expect("a wallet");
        let account = wallet.outbox().horizon().account(account).await.expect("asked");
        account.expect("it is there").balance.0
    }
}

/// Rounded down, once.
fn owed_for(epochs: u64) -> u64 {
    let byte_seconds = u128::from(KEPT) * u128::from(epochs * DAY);
    (byte_seconds * u128::from(PRICE.0) / (1_000_000_000_000 * 2_592_000)) as u64
}

#[tokio::test]
async fn a_farmer_signs_what_pays_all_that_it_heard_of_and_not_a_stroop_less() {
    let scene = Scene::new().await;
    scene.hears(&scene.farmer.money_for_tests(), 0..3).await;
    scene.at(LATE).await;
    let owed = owed_for(3);
    let nothing = scene.ask(&scene.proposal(0).await).await;
    assert!(matches!(nothing, Err(Refused::Disagreed(Disagreement::PaysNothing))), "{nothing:?}");
    for less in [1, owed_for(2), owed - 1] {
        match scene.ask(&scene.proposal(less).await).await {
            Err(Refused::Disagreed(Disagreement::Amount { asked, own })) => {
                assert_eq!((asked, own), (Amount(less), Amount(owed)));
            }
            other => panic!("{other:?}"),
        }
    }
    scene.ask(&scene.proposal(owed + 1).await).await.expect("its owner may have heard more");
    let signed = scene.ask(&scene.proposal(owed).await).await.expect("signed");
    let signed = Signed::decode(&signed).expect("a transaction");
    let before = scene.balance(scene.plan.farmer).await;
    let wallet = scene.owner.money_for_tests().wallet().await.expect("a wallet");
    let fate = wallet.hand_in_settlement(&scene.plan, 0, signed, &NO_LIMITS, scene.clock.now()).await;
    assert!(matches!(fate, Ok(Fate::Applied { .. })), "{fate:?}");
    assert_eq!(scene.balance(scene.plan.farmer).await, before + owed);
}

#[tokio::test]
async fn a_farmer_waits_for_its_auditor_until_the_last_quarter_of_the_grace() {
    let scene = Scene::new().await;
    // It heard nothing of what was judged meanwhile: whoever hurries would have it sign for little.
    scene.at(LATE - 1).await;
    let refused = scene.ask(&scene.proposal(1).await).await;
    assert!(matches!(refused, Err(Refused::AuditorAwaited)), "{refused:?}");
    scene.at(LATE).await;
    scene.ask(&scene.proposal(1).await).await.expect("nobody knows of more");
}

#[tokio::test]
async fn a_farmer_whose_owner_heard_less_takes_what_there_is_before_all_is_lost() {
    let scene = Scene::new().await;
    scene.hears(&scene.farmer.money_for_tests(), 0..3).await;
    scene.at(LAST - 1).await;
    let refused = scene.ask(&scene.proposal(owed_for(2)).await).await;
    assert!(matches!(refused, Err(Refused::Disagreed(Disagreement::Amount { .. }))), "{refused:?}");
    scene.at(LAST).await;
    let refused = scene.ask(&scene.proposal(0).await).await;
    assert!(matches!(refused, Err(Refused::Disagreed(Disagreement::PaysNothing))), "{refused:?}");
    let more = scene.ask(&scene.proposal_through(1, owed_for(2)).await).await;
    assert!(matches!(more, Err(Refused::AuditorAwaited)), "the second period is not lost yet: {more:?}");
    scene.ask(&scene.proposal(owed_for(2)).await).await.expect("better than nothing");
}

#[tokio::test]
async fn an_owner_offers_what_it_heard_of_and_nothing_else() {
    let scene = Scene::new().await;
    let owner = scene.owner.money_for_tests();
    scene.hears(&owner, 0..2).await;
    scene.at(LATE).await;
    let outbox = owner.outbox().await.expect("an outbox");
    // Its farmer cannot be reached in this scene: what it would have asked it to sign is what it shows as owed.
    owner.settle_all(&outbox).await.expect("a turn");
    let wallet = scene.owner.wallet().await.expect("a wallet");
    let next = wallet.escrows[0].reckoning.expect("it reckons");
    assert_eq!((next.owed, next.passed), (owed_for(2), 2));
}
