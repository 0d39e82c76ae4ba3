//! An auditor is asked to sign settlements: it signs what its own books say, to the stroop, and nothing else. The auditor is a
//! node in the test's own process; owner and farmer are others, with keys that nobody else has, and do whatever a test wants.

mod parties;

use hayloft_core::{
    Amount, ContractId, DeviceId, OwnerId, ShardId, Signature, Timestamp,
    audit::{
        self, BLOCKS_PER_EPOCH, Beacon, Challenge, Epoch, KeyProof, Proof, Prover, ProverKey, Receipt,
        ReceiptError, Scope, Sectors, Tag, Transcript,
    },
    auditor::{Judgement, Reason, Verdict, exported::NotBorneOut, follow, record},
    contract::{Change, MIN_GRACE_SECONDS, ShardEntry, SignedRevision, SignedTerms, Terms, propose},
    keys::{DeviceKey, StellarKey},
};
use hayloft_payments::{
    Address, Horizon,
    envelope::Signed,
    escrow::{Disagreement, HandedIn, Plan, look, settle},
    horizon::HorizonOptions,
    wallet::{Role, encode},
};
use hayloft_store::auditor::{Bounds, Followed, Known, Step};

use self::parties::{OfFarmer, OfOwner, Part, state_after};
use super::{
    bed::{BriskLedger, DAY, START},
    process::{self, LOOPBACK, Process},
};
use crate::{
    Clock, Node, NodeOptions,
    money::{Money, MoneyError, Party, Refused, evidence::Unproved},
};

const MIB: u64 = 1 << 20;
const PRICE: Amount = Amount(1_000_000_000_000_000);
const KEPT: u64 = 64 << 10;
/// What an epoch of it owes, rounded down.
const EPOCH: u64 = KEPT * DAY * 1_000 / 2_592_000;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const SHARD: ShardId = ShardId([1; 32]);

fn network() -> hayloft_core::NetworkName {
    "scene".parse().expect("a name")
}

/// The one shard of the contract.
fn shard() -> Vec<u8> {
    vec![7; KEPT as usize]
}

/// An owner in a process of its own, and what it tells everybody.
struct Owner {
    process: Process,
    id: OwnerId,
    account: Address,
    key: ProverKey,
    tags: Vec<Tag>,
}

impl Owner {
    async fn start(ledger: &BriskLedger) -> Self {
        let process = Part::Owner { ledger: ledger.url().to_owned() }.start();
        let said: (OwnerId, Address, Vec<u8>, Vec<Vec<u8>>) = process.ask(&OfOwner::Who).await;
        let (id, account, key, tags) = said;
        let key = ProverKey::decode(&key, &mut rand::rng()).expect("a key");
        let tags = tags.into_iter().map(|tag| Tag(tag.try_into().expect("a tag"))).collect();
        Self { process, id, account, key, tags }
    }

    async fn set_up(&self, (auditor, farmer): (Address, Address), each: Amount, now: Timestamp) -> Plan {
        self.process.ask(&OfOwner::SetUp { auditor, farmer, each, now }).await
    }

    async fn assign(&self, plan: &Plan, terms: &Terms) -> Signature {
        let assigned: Option<Signature> = self.process.ask(&OfOwner::Assign(terms.id(), plan.clone())).await;
        assigned.expect("the owner's own")
    }

    fn entry(&self) -> ShardEntry {
        ShardEntry { id: SHARD, bytes: KEPT, tag_key: Some(self.key.verifier().id()) }
    }

    /// What whoever keeps the shard can prove.
    fn prove(&self, part: &audit::Part) -> Proof {
        let (mut prover, shard) = (Prover::new(&self.key, part).expect("its key"), shard());
        for block in part.blocks() {
            let range = block.range.start as usize..block.range.end as usize;
            prover.push(&shard[range], &self.tags[block.index as usize]).expect("its block");
        }
        prover.finish().expect("all blocks")
    }
}

/// An auditor that has judged a contract, and those whom it is about.
struct Scene {
    auditor: Node,
    ledger: BriskLedger,
    clock: Clock,
    horizon: Horizon,
    plan: Plan,
    terms: Terms,
    signed: SignedTerms,
    owner: Owner,
    farmer: Process,
    /// Signed by both.
    first: SignedRevision,
    _home: tempfile::TempDir,
}

fn judged(epoch: u64, verdict: Verdict) -> Judgement {
    Judgement { epoch: Epoch(epoch), revision: 0, verdict, reason: None, at: START }
}

fn entry(seed: u8, bytes: u64) -> ShardEntry {
    ShardEntry { id: ShardId([seed; 32]), bytes, tag_key: None }
}

/// A further revision, signed by both.
async fn revise(
    owner: &Owner,
    farmer: &Process,
    terms: &SignedTerms,
    before: &[SignedRevision],
    added: ShardEntry,
    end: Option<Timestamp>,
) -> SignedRevision {
    let change = Change { capacity_bytes: Some(1 << 30), end, added: vec![added], removed: vec![] };
    let revision = propose(&state_after(terms, before), change, START).expect("sound");
    let asked = OfOwner::Revision(terms.terms.clone().into(), revision.clone());
    let question = OfFarmer::Revision {
        terms: terms.clone().into(),
        before: before.to_vec(),
        revision: revision.into(),
        owner: owner.process.ask(&asked).await,
    };
    farmer.ask(&question).await
}

impl Scene {
    /// Something is kept from the beginning, the first seven epochs were judged so, and the escrow is taken note of.
    async fn new(verdicts: [Verdict; 7]) -> Self {
        let scene = Self::untold(verdicts).await;
        scene.note(&scene.plan).await.expect("taken note of");
        scene
    }

    /// The same, but nobody told the auditor what pays for it.
    async fn untold(verdicts: [Verdict; 7]) -> Self {
        let home = tempfile::tempdir().expect("a temp folder");
        let ledger = BriskLedger::at(START).await;
        let clock = Clock::by_hand(START);
        let auditor = NodeOptions {
            home: home.path().to_owned(),
            network: Some(network()),
            listen: vec![LOOPBACK.into()],
            audit: Some(true),
            vet: Some(false),
            ledger: Some(ledger.url().to_owned()),
            disk_guard_bytes: Some(0),
            clock: clock.clone(),
            ..NodeOptions::default()
        };
        let auditor = Node::open(auditor).await.expect("opens");
        let status = auditor.status().await.expect("status");
        let device: DeviceId = status.device.parse().expect("a device");
        let account = auditor.money_for_tests().own_account(false).await.expect("an account");

        let horizon = Horizon::new(&HorizonOptions::local(ledger.url())).expect("an address");
        let owner = Owner::start(&ledger).await;
        let farmer = Part::Farmer { auditor: device, addresses: status.addresses }.start();
        let (farmer_device, farmer_account) = farmer.ask(&OfFarmer::Who).await;
        horizon.befriend(farmer_account).await.expect("funded");
        let each = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount");
        let plan = owner.set_up((account, farmer_account), each, START).await;
        let terms = Terms {
            network: network(),
            owner: owner.id,
            farmer: farmer_device,
            start: START,
            epoch_seconds: DAY as u32,
            storage_price: PRICE,
            egress_price: Amount(0),
            audit_share_ppm: 600_000,
            auditor: Some(device),
            escrow: Some(plan.escrow.0),
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: rand::random(),
        };
        let signed = SignedTerms {
            owner: owner.process.ask(&OfOwner::Terms(terms.clone())).await,
            farmer: farmer.ask(&OfFarmer::Terms(terms.clone())).await,
            terms: terms.clone(),
        };
        let end = Some(START.plus_seconds(9 * DAY));
        let first = revise(&owner, &farmer, &signed, &[], owner.entry(), end).await;
        let scene =
            Self { auditor, ledger, clock, horizon, plan, terms, signed, owner, farmer, first, _home: home };
        scene.show(std::slice::from_ref(&scene.first)).await;
        scene.judge(verdicts).await;
        scene.at(7 * DAY).await;
        scene
    }

    fn money(&self) -> Money {
        self.auditor.money_for_tests()
    }

    async fn note(&self, plan: &Plan) -> Result<(), Refused> {
        self.note_for(&self.terms, plan).await
    }

    /// The farmer that terms name tells the auditor of an escrow that the owner's account has assigned to them.
    async fn note_for(&self, terms: &Terms, plan: &Plan) -> Result<(), Refused> {
        let assigned = self.owner.assign(plan, terms).await;
        self.note_as(terms, plan, &assigned).await
    }

    async fn note_as(&self, terms: &Terms, plan: &Plan, assigned: &Signature) -> Result<(), Refused> {
        self.money().take_note(Role::Auditor, terms.farmer, terms, &encode(plan), assigned).await
    }

    /// A further escrow of the owner's whose periods hold this much.
    async fn further(&self, amount: Amount) -> Plan {
        self.owner.set_up((self.plan.auditor, self.plan.farmer), amount, self.clock.now()).await
    }

    fn contract(&self) -> ContractId {
        self.terms.id()
    }

    async fn at(&self, seconds: u64) {
        self.clock.set(START.plus_seconds(seconds));
        self.ledger.set_time(Some(START.0 + seconds));
        self.ledger.close_ledger().await.expect("closes");
    }

    /// From now on the farmer shows these.
    async fn show(&self, revisions: &[SignedRevision]) {
        self.farmer.ask(&OfFarmer::Show(revisions.to_vec())).await
    }

    /// The books follow the contract and have judged its first epochs.
    async fn judge(&self, verdicts: [Verdict; 7]) {
        let books = self.money().inner.store.auditor();
        let until = START.plus_seconds(300 * DAY);
        let followed = Followed {
            contract: self.contract(),
            terms: self.signed.clone(),
            revision: self.first.clone(),
            keys: vec![self.owner.key.verifier().encode().to_vec()],
            state: follow::State::new(&self.terms, START),
            due: None,
            until,
        };
        books.follow(&followed, &[self.owner.entry()], Bounds::default()).await.expect("followed");
        let mut judgements = Vec::new();
        for (epoch, verdict) in (0..).zip(verdicts) {
            let bad = matches!(verdict, Verdict::Missed | Verdict::Failed);
            let judgement = Judgement { reason: bad.then_some(Reason::Silence), ..judged(epoch, verdict) };
            let receipt = match verdict {
                Verdict::Passed => Some(self.receipt(&self.transcript(epoch)).await.encode()),
                _ => None,
            };
            judgements.push((judgement, receipt));
        }
        self.enter(judgements).await;
    }

    /// Writes into the auditor's books whatever a test wants.
    async fn enter(&self, judged: Vec<(Judgement, Option<Vec<u8>>)>) {
        let (state, contract) = (follow::State::new(&self.terms, START), self.contract());
        let farmer = Known {
            farmer: self.terms.farmer,
            address: None,
            record: record::apply(record::Record::new(START), record::Event::Heard, START).0,
        };
        let step = Step { contract, state, due: None, judged, farmer: Some(farmer), round: None };
        self.money().inner.store.auditor().step(&step).await.expect("judged");
    }

    /// What an epoch's audit asks.
    fn transcript(&self, epoch: u64) -> Transcript {
        let beacon = Beacon::Revealed { auditor: [epoch as u8; 32], farmer: [9; 32] };
        Transcript {
            network: network(),
            contract: self.contract(),
            revision: self.first.revision.number,
            root: self.first.revision.root,
            farmer: self.terms.farmer,
            epoch: Epoch(epoch),
            order: beacon.clone(),
            beacon,
            sectors: Sectors::MIN,
            scope: Scope::Epoch,
            blocks: BLOCKS_PER_EPOCH,
        }
    }

    /// The farmer's answer, by the shard that it keeps.
    async fn receipt(&self, transcript: &Transcript) -> Receipt {
        let challenge = Challenge::expand(transcript, &[self.owner.entry()]).expect("a challenge");
        let prove = |part: &audit::Part| KeyProof { tag_key: part.tag_key(), proof: self.owner.prove(part) };
        self.answered(transcript, challenge.parts().iter().map(prove).collect()).await
    }

    /// Its answer, whatever it proves.
    async fn answered(&self, transcript: &Transcript, proofs: Vec<KeyProof>) -> Receipt {
        let answer = self.farmer.ask(&OfFarmer::Answer(transcript.clone(), proofs)).await;
        Receipt::new(transcript.clone(), answer, &[self.owner.entry()])
    }

    /// A settlement up to a period that pays so much in all, handed in by this account.
    async fn proposal(&self, through: u32, owed: u64, by: Address) -> Signed {
        self.proposal_of(&self.plan, through, owed, by).await
    }

    async fn proposal_of(&self, plan: &Plan, through: u32, owed: u64, by: Address) -> Signed {
        let network = self.horizon.network().await.expect("a network");
        let standing = look(&self.horizon, &network, plan).await.expect("asked").expect("it stands");
        // Whoever asks may claim that it is later than it is.
        let now = plan.end(through).max(self.clock.now());
        let settlement = settle(plan, &standing.open, through, Amount(owed), Amount(0), now).expect("due");
        let sequence =
            self.horizon.account(by).await.expect("asked").map_or(1, |account| account.sequence + 1);
        let until = self.clock.now().plus_seconds(120);
        settlement.draft(plan, &HandedIn { by, sequence, step_fee: Amount(100), until }).unsigned()
    }

    async fn ask(&self, newest: u64, proposal: &Signed) -> Result<Vec<u8>, Refused> {
        let asker = (self.terms.farmer, Party::Farmer);
        self.money().cosign(self.contract(), asker, newest, &proposal.to_bytes(), &[]).await
    }

    /// Refused for its amount: these books say this.
    async fn disagrees(&self, owed: u64, own: u64) {
        let proposal = self.proposal(0, owed, self.plan.farmer).await;
        match self.ask(0, &proposal).await {
            Err(Refused::Disagreed(Disagreement::Amount { asked, own: said })) => {
                assert_eq!((asked, said), (Amount(owed), Amount(own)));
            }
            other => panic!("{other:?}"),
        }
    }
}

const KEPT_IT: [Verdict; 7] = [Verdict::Passed; 7];

#[tokio::test]
async fn what_the_auditors_own_books_say_is_signed_and_not_a_stroop_more_or_less() {
    if let Some((home, part)) = process::part::<Part>() {
        return part.play(&home).await;
    }
    let scene = Scene::new(KEPT_IT).await;
    let owed = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    assert!((3 * EPOCH..=3 * EPOCH + 3).contains(&owed));
    scene.disagrees(owed - 1, owed).await;
    scene.disagrees(1, owed).await;
    let signed = scene.ask(0, &scene.proposal(0, owed, scene.plan.farmer).await).await.expect("signed");
    let signed = Signed::decode(&signed).expect("a transaction");
    let network = scene.horizon.network().await.expect("a network");
    assert!(signed.is_signed_by(scene.plan.auditor, &network) && signed.signatures() == 1);
}

#[tokio::test]
async fn neither_other_epochs_audits_nor_forged_passes_earn_anything() {
    let mut verdicts = KEPT_IT;
    (verdicts[0], verdicts[1]) = (Verdict::Failed, Verdict::Missed);
    let scene = Scene::new(verdicts).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    // One in three passed, and three in five were agreed on: whatever is claimed for it, or borrowed from the next period.
    for claimed in [whole, EPOCH, 2 * EPOCH] {
        scene.disagrees(claimed, 0).await;
    }
    // Both periods together owe what the second one owes.
    let both = scene.proposal(1, whole, scene.plan.farmer).await;
    scene.ask(0, &both).await.expect("signed");
}

/// Whatever a farmer's record was made to say: what is signed rests on receipts that are looked at again.
#[tokio::test]
async fn a_pass_without_its_own_right_receipt_is_not_paid_for() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let proposal = scene.proposal(0, whole, scene.plan.farmer).await;
    let own = scene.transcript(0);
    let right = scene.receipt(&own).await;
    let proofs = &right.answer.proofs;

    let others = scene.receipt(&scene.transcript(1)).await.answer.proofs;
    let stranger = audit::Answer::sign(&own, proofs.clone(), &DeviceKey::random(&mut rand::rng()));
    let of_another = Transcript { contract: ContractId([9; 32]), ..own.clone() };
    let higher = Transcript { revision: 1, ..own.clone() };
    let easier = Transcript { blocks: 1, ..own.clone() };
    let forged: [(Option<Receipt>, Unproved); 8] = [
        (None, Unproved::NoReceipt),
        (Some(scene.receipt(&scene.transcript(4)).await), NotBorneOut::OtherEpoch.into()),
        (Some(scene.answered(&own, others).await), NotBorneOut::OtherOutcome.into()),
        (Some(Receipt { answer: stranger, ..right.clone() }), ReceiptError::BadSignature.into()),
        (
            Some(Receipt { transcript: scene.transcript(4), ..right.clone() }),
            ReceiptError::BadSignature.into(),
        ),
        (Some(scene.answered(&of_another, proofs.clone()).await), ReceiptError::WrongContract.into()),
        (Some(scene.answered(&higher, proofs.clone()).await), ReceiptError::WrongRevision.into()),
        (Some(scene.receipt(&easier).await), NotBorneOut::OtherOutcome.into()),
    ];
    for (receipt, expected) in forged {
        scene.enter(vec![(judged(0, Verdict::Passed), receipt.map(|receipt| receipt.encode()))]).await;
        match scene.ask(0, &proposal).await {
            Err(Refused::Unproved { epoch: 0, why }) => assert_eq!(why, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    // Nor does a verdict about a revision that nobody signed count, or a loss that was turned into the auditor's own fault.
    let revised = Judgement { revision: 1, ..judged(0, Verdict::Passed) };
    scene.enter(vec![(revised, Some(scene.receipt(&higher).await.encode()))]).await;
    let refused = scene.ask(0, &proposal).await;
    assert!(matches!(refused, Err(Refused::Unproved { why: Unproved::NoRevision, .. })), "{refused:?}");
    let excused = Judgement { reason: Some(Reason::AuditorHindered), ..judged(0, Verdict::Undecided) };
    let admitted = scene.farmer.ask(&OfFarmer::Admission(own.clone(), SHARD)).await;
    scene.enter(vec![(excused, Some(Receipt { answer: admitted, ..right.clone() }.encode()))]).await;
    let refused = scene.ask(0, &proposal).await;
    let why = Unproved::from(NotBorneOut::OtherOutcome);
    assert!(matches!(&refused, Err(Refused::Unproved { why: said, .. }) if *said == why), "{refused:?}");

    scene.enter(vec![(judged(0, Verdict::Passed), Some(right.encode()))]).await;
    scene.ask(0, &proposal).await.expect("signed");
}

#[tokio::test]
async fn no_period_is_settled_before_it_is_over_and_none_twice_at_once() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let early = scene.proposal(2, 3 * whole, scene.plan.farmer).await;
    let refused = scene.ask(0, &early).await;
    assert!(matches!(refused, Err(Refused::Disagreed(Disagreement::NotKnown(2)))), "{refused:?}");
    let proposal = scene.proposal(0, whole, scene.plan.farmer).await;
    let signed = scene.ask(0, &proposal).await.expect("signed");
    // What is signed already is no proposal.
    let again =
        scene.money().cosign(scene.contract(), (scene.terms.farmer, Party::Farmer), 0, &signed, &[]).await;
    assert!(matches!(again, Err(Refused::NoSettlement)), "{again:?}");
}

#[tokio::test]
async fn a_period_is_not_signed_for_while_its_audits_may_still_change() {
    let mut verdicts = KEPT_IT;
    verdicts[5] = Verdict::Missed;
    let scene = Scene::new(verdicts).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    // Five epochs passed, rounded down once.
    let two = 5 * KEPT * DAY * 1_000 / 2_592_000;
    // The owner hurries: one of three audits of the second period is asked once more.
    let both = scene.proposal(1, two, scene.plan.owner).await;
    let hurry = async |settlement: &Signed| {
        let asker = (scene.terms.farmer, Party::Owner);
        scene.money().cosign(scene.contract(), asker, 0, &settlement.to_bytes(), &[]).await
    };
    let refused = hurry(&both).await;
    assert!(matches!(refused, Err(Refused::Disagreed(Disagreement::NotKnown(1)))), "{refused:?}");
    scene.ask(0, &scene.proposal(0, whole, scene.plan.farmer).await).await.expect("that is final");
    // Half of its grace has gone, or the question is closed.
    scene.at(10 * DAY - 1).await;
    hurry(&scene.proposal(1, two, scene.plan.owner).await).await.expect("signed");
}

#[tokio::test]
async fn whoever_hands_a_settlement_in_is_whom_it_is_signed_for() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let stranger = Address::of(&StellarKey::from_bytes(&rand::random()));
    for by in [scene.plan.owner, scene.plan.auditor, stranger] {
        let refused = scene.ask(0, &scene.proposal(0, whole, by).await).await;
        let wrong = Err::<Vec<u8>, _>(Disagreement::WrongSource);
        assert!(
            matches!((&refused, wrong), (Err(Refused::Disagreed(said)), Err(wrong)) if *said == wrong),
            "{refused:?}"
        );
    }
    let unknown = scene.proposal(0, whole, scene.plan.farmer).await.to_bytes();
    let elsewhere = scene
        .money()
        .cosign(ContractId([9; 32]), (scene.terms.farmer, Party::Farmer), 0, &unknown, &[])
        .await;
    assert!(matches!(elsewhere, Err(Refused::Unknown)), "{elsewhere:?}");
}

#[tokio::test]
async fn a_higher_revision_counts_only_if_both_signed_it() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let proposal = scene.proposal(0, whole, scene.plan.farmer).await;
    let first = [scene.first.clone()];
    let added = entry(2, 20 * MIB);
    let second = revise(&scene.owner, &scene.farmer, &scene.signed, &first, added, None).await;

    // Nobody shows it; it is of another contract; the farmer signed it alone; it is not the number that was asked for.
    let mut alone = second.clone();
    alone.owner = alone.farmer;
    let mut elsewhere = second.clone();
    elsewhere.revision.contract = ContractId([9; 32]);
    let mut grown = second.clone();
    grown.revision.bytes *= 2;
    for forged in [vec![], vec![alone], vec![elsewhere], vec![grown], vec![first[0].clone()]] {
        scene.show(&[&first[..], &forged[..]].concat()).await;
        let refused = scene.ask(1, &proposal).await;
        assert!(matches!(refused, Err(Refused::Own(MoneyError::History))), "{refused:?}");
    }
    let refused = scene.ask(u64::MAX, &proposal).await;
    assert!(matches!(refused, Err(Refused::Own(MoneyError::History))), "{refused:?}");
    let kept = scene.money().inner.store.funds().spans(scene.contract()).await.expect("spans");
    assert!(kept.iter().all(|span| span.bytes == KEPT), "{kept:?}");

    // What both signed counts; yet a period never pays more than it holds.
    scene.show(&[scene.first.clone(), second]).await;
    assert_eq!(scene.plan.amounts[0].0, whole);
    scene.ask(1, &proposal).await.expect("signed");
    let kept = scene.money().inner.store.funds().spans(scene.contract()).await.expect("spans");
    assert_eq!(kept.last().map(|span| span.bytes), Some(KEPT + 20 * MIB));
}

#[tokio::test]
async fn a_farmer_that_shows_nothing_has_nobody_else_wait() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let proposal = scene.proposal(0, whole, scene.plan.farmer).await;
    scene.ask(0, &proposal).await.expect("signed, and its revisions are known from now on");
    let () = scene.farmer.ask(&OfFarmer::Silence).await;
    let meanwhile = async {
        let () = scene.farmer.ask(&OfFarmer::UntilAsked).await;
        scene.ask(0, &proposal).await
    };
    tokio::select! {
        waited = scene.ask(1, &proposal) => panic!("nobody answered: {waited:?}"),
        signed = meanwhile => drop(signed.expect("signed")),
    }
}

#[tokio::test]
async fn a_contract_that_is_followed_may_be_paid_by_another_escrow_than_its_terms_name() {
    let scene = Scene::untold(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount");
    // The ledger began anew before the auditor was told of the first one.
    let anew = scene.further(whole).await;
    scene.note(&anew).await.expect("taken note of");
    let proposal = scene.proposal_of(&anew, 0, whole.0, scene.plan.farmer).await;
    scene.ask(0, &proposal).await.expect("signed");
}

#[tokio::test]
async fn an_auditor_that_is_told_late_takes_note_of_what_still_pays() {
    let scene = Scene::untold(KEPT_IT).await;
    scene.at(11 * DAY).await;
    // The first period comes back.
    let () = scene.owner.process.ask(&OfOwner::Recover(scene.plan.clone(), scene.clock.now())).await;
    scene.note(&scene.plan).await.expect("the third is ahead, or not over");
}

#[tokio::test]
async fn a_contract_that_nobody_agreed_on_is_paid_only_by_the_escrow_that_its_terms_name() {
    let scene = Scene::untold(KEPT_IT).await;
    let other = scene.further(Amount(1)).await;
    let terms = Terms { nonce: rand::random(), ..scene.terms.clone() };
    let refused = scene.note_for(&terms, &other).await;
    assert!(matches!(refused, Err(Refused::WrongPlan("the contract names another escrow"))), "{refused:?}");
    // Nor is one that pays for a contract moved to another.
    scene.note(&scene.plan).await.expect("taken note of");
    let refused = scene.note_for(&terms, &scene.plan).await;
    assert!(matches!(refused, Err(Refused::WrongPlan("it pays for another contract"))), "{refused:?}");
}

#[tokio::test]
async fn an_escrow_pays_only_for_the_contract_that_its_owners_account_assigned_it_to() {
    let scene = Scene::untold(KEPT_IT).await;
    let attacker = Owner::start(&scene.ledger).await;
    // A farmer, or anybody, who knows the plan: an owner and a farmer of its own making, at a price that takes all.
    let own = Terms {
        owner: attacker.id,
        farmer: DeviceKey::random(&mut rand::rng()).id(),
        storage_price: Amount(u64::MAX),
        ..scene.terms.clone()
    };
    let of_attacker = Plan { owner: attacker.account, ..scene.plan.clone() };
    let assigned = scene.owner.assign(&scene.plan, &scene.terms).await;
    let forged = attacker.assign(&of_attacker, &own).await;
    for signature in [assigned, forged, Signature([0; 64])] {
        let refused = scene.note_as(&own, &scene.plan, &signature).await;
        let unassigned = "its owner's account has not assigned it to this contract";
        assert!(matches!(refused, Err(Refused::WrongPlan(what)) if what == unassigned), "{refused:?}");
    }
    let refused = scene.note_as(&own, &of_attacker, &forged).await;
    assert!(matches!(refused, Err(Refused::Fault(_))), "{refused:?}");
    // Nor does the one it is told of pay another than the farmer's own account.
    let owners = DeviceKey::random(&mut rand::rng()).id();
    let money = scene.money();
    let refused = money.take_note(Role::Auditor, owners, &scene.terms, &encode(&scene.plan), &assigned).await;
    assert!(matches!(refused, Err(Refused::NotBorneOut { whom: "farmer", .. })), "{refused:?}");
    scene.note(&scene.plan).await.expect("nobody took its place");
}

#[tokio::test]
async fn a_smaller_escrow_replaces_none_and_takes_nothing_from_the_farmer() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let smaller = scene.further(Amount(1)).await;
    scene.note(&smaller).await.expect("taken note of");
    // The same account with other amounts is no other escrow.
    scene.note(&Plan { amounts: smaller.amounts.clone(), ..scene.plan.clone() }).await.expect("known");
    scene.disagrees(1, whole).await;
    scene.ask(0, &scene.proposal(0, whole, scene.plan.farmer).await).await.expect("signed");
}
