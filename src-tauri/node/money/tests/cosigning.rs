//! An auditor is asked to sign settlements: it signs what its own books say, to the stroop, and nothing else. The farmer that
//! asks shows it whatever a test wants.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use hayloft_core::{
    Amount, ContractId, DeviceId, ShardId, Signature, Timestamp,
    audit::{
        self, AuditKey, BLOCKS_PER_EPOCH, Beacon, Challenge, Epoch, KeyProof, Part, Proof, Prover, Receipt,
        ReceiptError, Scope, Sectors, Tag, Tagger, Transcript,
    },
    auditor::{Judgement, Reason, Verdict, exported::NotBorneOut, follow, record},
    contract::{
        Change, MIN_GRACE_SECONDS, ShardEntry, SignedRevision, SignedTerms, State, Terms, apply_signed,
        countersign, propose,
    },
    keys::{DeviceKey, OwnerKeys, RecoveryPhrase, StellarKey},
    spending::Limits,
};
use hayloft_net::{
    Incoming, Net, NetConfig, NetError,
    messages::{Answer, Envelope, Request},
};
use hayloft_payments::{
    Address, Horizon, Outbox, Wallet,
    envelope::Signed,
    escrow::{Disagreement, HandedIn, Plan, assign, look, settle},
    horizon::HorizonOptions,
    wallet::{Fate, Role, encode},
};
use hayloft_store::{
    Guard, Home, Store, StoreOptions,
    auditor::{Bounds, Followed, Known, Step},
};
use tokio::sync::Notify;

use super::bed::{BriskLedger, DAY, START};
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

fn network() -> hayloft_core::NetworkName {
    "scene".parse().expect("a name")
}

type Shown = Arc<Mutex<Vec<SignedRevision>>>;

/// Whether a farmer lets whoever asks it wait, and that it was asked.
#[derive(Default)]
struct Silence {
    is_kept: AtomicBool,
    asked: Notify,
}

/// Shows these revisions to whoever asks.
async fn show(mut incoming: Incoming, shown: Shown, silence: Arc<Silence>) {
    let mut waiting = Vec::new();
    while let Some(inbound) = incoming.next().await {
        if silence.is_kept.load(Ordering::SeqCst) {
            waiting.push(inbound);
            silence.asked.notify_one();
        } else if let Request::History { from, .. } = inbound.envelope.request {
            let known = shown.lock().expect("no panic").clone();
            let revisions = known.into_iter().filter(|signed| signed.revision.number >= from).collect();
            tokio::spawn(inbound.answer(Answer::History { revisions, more: false }));
        }
    }
}

/// The one shard of the contract, as its farmer keeps it.
struct Kept {
    entry: ShardEntry,
    bytes: Vec<u8>,
    tags: Vec<Tag>,
    key: AuditKey,
}

impl Kept {
    fn new(owner: &OwnerKeys) -> Self {
        let (id, bytes) = (ShardId([1; 32]), vec![7; KEPT as usize]);
        let key = AuditKey::derive(&owner.audit, Sectors::MIN);
        let tags = Tagger::new(&key).tag_shard(id, &bytes);
        Self {
            entry: ShardEntry { id, bytes: KEPT, tag_key: Some(key.verifier_key().id()) },
            bytes,
            tags,
            key,
        }
    }

    fn prove(&self, part: &Part) -> Proof {
        let key = self.key.prover_key();
        let mut prover = Prover::new(&key, part).expect("its key");
        for block in part.blocks() {
            let range = block.range.start as usize..block.range.end as usize;
            prover.push(&self.bytes[range], &self.tags[block.index as usize]).expect("its block");
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
    owner: OwnerKeys,
    farmer: DeviceKey,
    farmer_account: Address,
    kept: Kept,
    shown: Shown,
    silence: Arc<Silence>,
    wallet: Wallet,
    _net: Net,
    _homes: [tempfile::TempDir; 2],
}

fn judged(epoch: u64, verdict: Verdict) -> Judgement {
    Judgement { epoch: Epoch(epoch), revision: 0, verdict, reason: None, at: START }
}

fn entry(seed: u8, bytes: u64) -> ShardEntry {
    ShardEntry { id: ShardId([seed; 32]), bytes, tag_key: None }
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
        let homes = std::array::from_fn(|_| tempfile::tempdir().expect("a temp folder"));
        let ledger = BriskLedger::at(START).await;
        let clock = Clock::by_hand(START);
        let auditor = NodeOptions {
            home: homes[0].path().to_owned(),
            network: Some(network()),
            listen: vec!["/memory/0".into()],
            memory: true,
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

        let farmer = DeviceKey::random(&mut rand::rng());
        let config = NetConfig { memory: true, ..NetConfig::new(network()) };
        let (net, incoming) = Net::start(config, &farmer).await.expect("starts");
        net.hint(device, &status.addresses);
        net.announce_farmer(true);
        let shown = Shown::default();
        let silence = Arc::<Silence>::default();
        tokio::spawn(show(incoming, shown.clone(), silence.clone()));
        let reached = async {
            let offer = Envelope { certificate: None, request: Request::Offer };
            while let Err(NetError::Unreachable(_)) = net.ask(device, &offer).await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the auditor is reached");

        let horizon = Horizon::new(&HorizonOptions::local(ledger.url())).expect("an address");
        let farmer_account = Address::of(&StellarKey::from_bytes(&rand::random()));
        horizon.befriend(farmer_account).await.expect("funded");
        let owner = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
        let escrow = StellarKey::from_bytes(&rand::random());
        let terms = Terms {
            network: network(),
            owner: owner.owner.id(),
            farmer: farmer.id(),
            start: START,
            epoch_seconds: DAY as u32,
            storage_price: PRICE,
            egress_price: Amount(0),
            audit_share_ppm: 600_000,
            auditor: Some(device),
            escrow: Some(Address::of(&escrow).0),
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: rand::random(),
        };
        let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
        let store =
            Store::open(Home::open(homes[1].path()).expect("a home"), options).await.expect("opens").0;
        let known = horizon.network().await.expect("a network");
        let wallet = Wallet::new(owner.stellar.clone(), Outbox::new(horizon.clone(), known, store.outbox()));
        wallet.fund().await.expect("funded");
        let newest = horizon.newest_ledger().await.expect("a ledger");
        let plan = Plan {
            escrow: Address::of(&escrow),
            owner: wallet.address(),
            farmer: farmer_account,
            auditor: auditor.money_for_tests().own_account(false).await.expect("an account"),
            start: START,
            period_seconds: 3 * DAY,
            grace_seconds: 7 * DAY,
            amounts: vec![PRICE.for_storage(KEPT, 3 * DAY).expect("an amount"); 3],
            setup_sequence: wallet.outbox().next_sequence(wallet.address()).await.expect("a number"),
            merge_ledger: Plan::merge_ledger_after(newest.number),
            base_reserve: newest.base_reserve,
        };
        let fate = wallet.set_up(&plan, &escrow, &Limits::default(), START).await.expect("handed in");
        assert!(matches!(fate, Fate::Applied { .. }), "{fate:?}");
        let signed = SignedTerms {
            owner: terms.sign_as_owner(&owner.owner),
            farmer: terms.sign_as_farmer(&farmer),
            terms: terms.clone(),
        };
        let kept = Kept::new(&owner);
        let scene = Self {
            auditor,
            ledger,
            clock,
            horizon,
            plan,
            terms,
            signed,
            owner,
            farmer,
            farmer_account,
            kept,
            shown,
            silence,
            wallet,
            _net: net,
            _homes: homes,
        };
        let first = scene.revision(None, scene.kept.entry.clone(), Some(START.plus_seconds(9 * DAY)));
        scene.shown.lock().expect("no panic").push(first.1.clone());
        scene.judge(&first.1, verdicts).await;
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
        let assigned = assign(&self.owner.stellar, &network(), terms.id(), plan).expect("the owner's own");
        self.note_as(terms, plan, &assigned).await
    }

    async fn note_as(&self, terms: &Terms, plan: &Plan, assigned: &Signature) -> Result<(), Refused> {
        self.money().take_note(Role::Auditor, terms.farmer, terms, &encode(plan), assigned).await
    }

    /// A further escrow of the owner's whose periods hold this much.
    async fn further(&self, amount: Amount) -> Plan {
        let key = StellarKey::from_bytes(&rand::random());
        let newest = self.horizon.newest_ledger().await.expect("a ledger");
        let plan = Plan {
            escrow: Address::of(&key),
            amounts: vec![amount; 3],
            setup_sequence: self
                .wallet
                .outbox()
                .next_sequence(self.wallet.address())
                .await
                .expect("a number"),
            merge_ledger: Plan::merge_ledger_after(newest.number),
            ..self.plan.clone()
        };
        let fate = self.wallet.set_up(&plan, &key, &Limits::default(), self.clock.now()).await;
        let fate = fate.expect("handed in");
        assert!(matches!(fate, Fate::Applied { .. }), "{fate:?}");
        plan
    }

    fn contract(&self) -> ContractId {
        self.terms.id()
    }

    async fn at(&self, seconds: u64) {
        self.clock.set(START.plus_seconds(seconds));
        self.ledger.set_time(Some(START.0 + seconds));
        self.ledger.close_ledger().await.expect("closes");
    }

    /// A further revision, signed by both.
    fn revision(
        &self,
        before: Option<&State>,
        added: ShardEntry,
        end: Option<Timestamp>,
    ) -> (State, SignedRevision) {
        let fresh = State::new(self.signed.clone()).expect("signed by both");
        let state = before.unwrap_or(&fresh);
        let change = Change { capacity_bytes: Some(1 << 30), end, added: vec![added], removed: vec![] };
        let revision = propose(state, change, START).expect("sound");
        let owner = revision.sign_as_owner(state.terms(), &self.owner.owner);
        let (_, signed) = countersign(state, &revision, &owner, &self.farmer, START).expect("countersigned");
        (apply_signed(state, &signed, START).expect("it follows"), signed)
    }

    /// The books follow the contract and have judged its first epochs.
    async fn judge(&self, revision: &SignedRevision, verdicts: [Verdict; 7]) {
        let books = self.money().inner.store.auditor();
        let until = START.plus_seconds(300 * DAY);
        let followed = Followed {
            contract: self.contract(),
            terms: self.signed.clone(),
            revision: revision.clone(),
            keys: vec![self.kept.key.verifier_key().encode().to_vec()],
            state: follow::State::new(&self.terms, START),
            due: None,
            until,
        };
        books
            .follow(&followed, std::slice::from_ref(&self.kept.entry), Bounds::default())
            .await
            .expect("followed");
        let judged = (0..).zip(verdicts).map(|(epoch, verdict)| {
            let bad = matches!(verdict, Verdict::Missed | Verdict::Failed);
            let judgement = Judgement { reason: bad.then_some(Reason::Silence), ..judged(epoch, verdict) };
            let passed = verdict == Verdict::Passed;
            (judgement, passed.then(|| self.receipt(&self.transcript(revision, epoch)).encode()))
        });
        self.enter(judged.collect()).await;
    }

    /// Writes into the auditor's books whatever a test wants.
    async fn enter(&self, judged: Vec<(Judgement, Option<Vec<u8>>)>) {
        let (state, contract) = (follow::State::new(&self.terms, START), self.contract());
        let farmer = Known {
            farmer: self.farmer.id(),
            address: None,
            record: record::apply(record::Record::new(START), record::Event::Heard, START).0,
        };
        let step = Step { contract, state, due: None, judged, farmer: Some(farmer), round: None };
        self.money().inner.store.auditor().step(&step).await.expect("judged");
    }

    /// What an epoch's audit asks.
    fn transcript(&self, revision: &SignedRevision, epoch: u64) -> Transcript {
        let beacon = Beacon::Revealed { auditor: [epoch as u8; 32], farmer: [9; 32] };
        Transcript {
            network: network(),
            contract: self.contract(),
            revision: revision.revision.number,
            root: revision.revision.root,
            farmer: self.farmer.id(),
            epoch: Epoch(epoch),
            order: beacon.clone(),
            beacon,
            sectors: Sectors::MIN,
            scope: Scope::Epoch,
            blocks: BLOCKS_PER_EPOCH,
        }
    }

    /// The farmer's answer, by the shard that it keeps.
    fn receipt(&self, transcript: &Transcript) -> Receipt {
        let entries = [self.kept.entry.clone()];
        let challenge = Challenge::expand(transcript, &entries).expect("a challenge");
        let prove = |part: &Part| KeyProof { tag_key: part.tag_key(), proof: self.kept.prove(part) };
        let proofs = challenge.parts().iter().map(prove).collect();
        Receipt::new(transcript.clone(), audit::Answer::sign(transcript, proofs, &self.farmer), &entries)
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
        let asker = (self.farmer.id(), Party::Farmer);
        self.money().cosign(self.contract(), asker, newest, &proposal.to_bytes(), &[]).await
    }

    /// Refused for its amount: these books say this.
    async fn disagrees(&self, owed: u64, own: u64) {
        let proposal = self.proposal(0, owed, self.farmer_account).await;
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
    let scene = Scene::new(KEPT_IT).await;
    let owed = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    assert!((3 * EPOCH..=3 * EPOCH + 3).contains(&owed));
    scene.disagrees(owed - 1, owed).await;
    scene.disagrees(1, owed).await;
    let signed = scene.ask(0, &scene.proposal(0, owed, scene.farmer_account).await).await.expect("signed");
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
    let both = scene.proposal(1, whole, scene.farmer_account).await;
    scene.ask(0, &both).await.expect("signed");
}

/// Whatever a farmer's record was made to say: what is signed rests on receipts that are looked at again.
#[tokio::test]
async fn a_pass_without_its_own_right_receipt_is_not_paid_for() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let proposal = scene.proposal(0, whole, scene.farmer_account).await;
    let first = scene.shown.lock().expect("no panic")[0].clone();
    let own = scene.transcript(&first, 0);
    let right = scene.receipt(&own);

    let mut wrong_proof = right.answer.proofs.clone();
    wrong_proof[0].proof = scene.receipt(&scene.transcript(&first, 1)).answer.proofs[0].proof;
    let wrong_proof = audit::Answer::sign(&own, wrong_proof, &scene.farmer);
    let stranger =
        audit::Answer::sign(&own, right.answer.proofs.clone(), &DeviceKey::random(&mut rand::rng()));
    let of_another = Transcript { contract: ContractId([9; 32]), ..own.clone() };
    let higher = Transcript { revision: 1, ..own.clone() };
    let easier = Transcript { blocks: 1, ..own.clone() };
    let signed = |transcript: &Transcript| {
        let answer = audit::Answer::sign(transcript, right.answer.proofs.clone(), &scene.farmer);
        Receipt { transcript: transcript.clone(), answer, shards: right.shards.clone() }
    };
    let forged: [(Option<Receipt>, Unproved); 8] = [
        (None, Unproved::NoReceipt),
        (Some(scene.receipt(&scene.transcript(&first, 4))), NotBorneOut::OtherEpoch.into()),
        (Some(Receipt { answer: wrong_proof, ..right.clone() }), NotBorneOut::OtherOutcome.into()),
        (Some(Receipt { answer: stranger, ..right.clone() }), ReceiptError::BadSignature.into()),
        (
            Some(Receipt { transcript: scene.transcript(&first, 4), ..right.clone() }),
            ReceiptError::BadSignature.into(),
        ),
        (Some(signed(&of_another)), ReceiptError::WrongContract.into()),
        (Some(signed(&higher)), ReceiptError::WrongRevision.into()),
        (Some(scene.receipt(&easier)), NotBorneOut::OtherOutcome.into()),
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
    scene.enter(vec![(revised, Some(scene.receipt(&higher).encode()))]).await;
    let refused = scene.ask(0, &proposal).await;
    assert!(matches!(refused, Err(Refused::Unproved { why: Unproved::NoRevision, .. })), "{refused:?}");
    let excused = Judgement { reason: Some(Reason::AuditorHindered), ..judged(0, Verdict::Undecided) };
    let admitted = audit::Answer::admit(&own, scene.kept.entry.id, &scene.farmer);
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
    let early = scene.proposal(2, 3 * whole, scene.farmer_account).await;
    let refused = scene.ask(0, &early).await;
    assert!(matches!(refused, Err(Refused::Disagreed(Disagreement::NotKnown(2)))), "{refused:?}");
    let proposal = scene.proposal(0, whole, scene.farmer_account).await;
    let signed = scene.ask(0, &proposal).await.expect("signed");
    // What is signed already is no proposal.
    let again =
        scene.money().cosign(scene.contract(), (scene.farmer.id(), Party::Farmer), 0, &signed, &[]).await;
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
        let asker = (scene.farmer.id(), Party::Owner);
        scene.money().cosign(scene.contract(), asker, 0, &settlement.to_bytes(), &[]).await
    };
    let refused = hurry(&both).await;
    assert!(matches!(refused, Err(Refused::Disagreed(Disagreement::NotKnown(1)))), "{refused:?}");
    scene.ask(0, &scene.proposal(0, whole, scene.farmer_account).await).await.expect("that is final");
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
    let unknown = scene.proposal(0, whole, scene.farmer_account).await.to_bytes();
    let elsewhere =
        scene.money().cosign(ContractId([9; 32]), (scene.farmer.id(), Party::Farmer), 0, &unknown, &[]).await;
    assert!(matches!(elsewhere, Err(Refused::Unknown)), "{elsewhere:?}");
}

#[tokio::test]
async fn a_higher_revision_counts_only_if_both_signed_it() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let proposal = scene.proposal(0, whole, scene.farmer_account).await;
    let first = scene.shown.lock().expect("no panic").clone();
    let state = apply_signed(&State::new(scene.signed.clone()).expect("signed"), &first[0], START)
        .expect("it follows");
    let (_, second) = scene.revision(Some(&state), entry(2, 20 * MIB), None);

    // Nobody shows it; it is of another contract; the farmer signed it alone; it is not the number that was asked for.
    let mut alone = second.clone();
    alone.owner = alone.farmer;
    let mut elsewhere = second.clone();
    elsewhere.revision.contract = ContractId([9; 32]);
    let mut grown = second.clone();
    grown.revision.bytes *= 2;
    for forged in [vec![], vec![alone], vec![elsewhere], vec![grown], vec![first[0].clone()]] {
        *scene.shown.lock().expect("no panic") = [first.clone(), forged].concat();
        let refused = scene.ask(1, &proposal).await;
        assert!(matches!(refused, Err(Refused::Own(MoneyError::History))), "{refused:?}");
    }
    let refused = scene.ask(u64::MAX, &proposal).await;
    assert!(matches!(refused, Err(Refused::Own(MoneyError::History))), "{refused:?}");
    let kept = scene.money().inner.store.funds().spans(scene.contract()).await.expect("spans");
    assert!(kept.iter().all(|span| span.bytes == KEPT), "{kept:?}");

    // What both signed counts; yet a period never pays more than it holds.
    *scene.shown.lock().expect("no panic") = [first, vec![second]].concat();
    assert_eq!(scene.plan.amounts[0].0, whole);
    scene.ask(1, &proposal).await.expect("signed");
    let kept = scene.money().inner.store.funds().spans(scene.contract()).await.expect("spans");
    assert_eq!(kept.last().map(|span| span.bytes), Some(KEPT + 20 * MIB));
}

#[tokio::test]
async fn a_farmer_that_shows_nothing_has_nobody_else_wait() {
    let scene = Scene::new(KEPT_IT).await;
    let whole = PRICE.for_storage(KEPT, 3 * DAY).expect("an amount").0;
    let proposal = scene.proposal(0, whole, scene.farmer_account).await;
    scene.ask(0, &proposal).await.expect("signed, and its revisions are known from now on");
    scene.silence.is_kept.store(true, Ordering::SeqCst);
    let meanwhile = async {
        scene.silence.asked.notified().await;
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
    let proposal = scene.proposal_of(&anew, 0, whole.0, scene.farmer_account).await;
    scene.ask(0, &proposal).await.expect("signed");
}

#[tokio::test]
async fn an_auditor_that_is_told_late_takes_note_of_what_still_pays() {
    let scene = Scene::untold(KEPT_IT).await;
    scene.at(11 * DAY).await;
    let fate = scene.wallet.recover(&scene.plan, &Limits::default(), scene.clock.now()).await;
    assert!(matches!(fate, Ok(Some(Fate::Applied { .. }))), "the first period came back: {fate:?}");
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
    let attacker = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
    // A farmer, or anybody, who knows the plan: an owner and a farmer of its own making, at a price that takes all.
    let own = Terms {
        owner: attacker.owner.id(),
        farmer: DeviceKey::random(&mut rand::rng()).id(),
        storage_price: Amount(u64::MAX),
        ..scene.terms.clone()
    };
    let of_attacker = Plan { owner: Address::of(&attacker.stellar), ..scene.plan.clone() };
    let assigned = |plan: &Plan, key, terms: &Terms| assign(key, &network(), terms.id(), plan).expect("own");
    let borrowed = assigned(&scene.plan, &scene.owner.stellar, &scene.terms);
    let forged = assigned(&of_attacker, &attacker.stellar, &own);
    for signature in [borrowed, forged, Signature([0; 64])] {
        let refused = scene.note_as(&own, &scene.plan, &signature).await;
        let unassigned = "its owner's account has not assigned it to this contract";
        assert!(matches!(refused, Err(Refused::WrongPlan(what)) if what == unassigned), "{refused:?}");
    }
    let refused = scene.note_as(&own, &of_attacker, &forged).await;
    assert!(matches!(refused, Err(Refused::Fault(_))), "{refused:?}");
    // Nor does the one it is told of pay another than the farmer's own account.
    let owners = DeviceKey::random(&mut rand::rng()).id();
    let assigned = assigned(&scene.plan, &scene.owner.stellar, &scene.terms);
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
    scene.ask(0, &scene.proposal(0, whole, scene.farmer_account).await).await.expect("signed");
}
