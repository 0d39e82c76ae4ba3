//! A farmer that takes a price: what it demands of an escrow before it signs, and what it keeps under one. Farmer and auditor
//! are nodes in processes of their own; the owner is the test.

use std::path::PathBuf;

use hayloft_core::{
    Amount, DeviceId, Signature, Timestamp,
    contract::{State, Terms},
    keys::{DeviceKey, StellarKey},
    spending::Limits,
};
use hayloft_net::{
    NetConfig, NetError,
    messages::{Answer, RefusalCode, Request, ShownVoucher},
};
use hayloft_payments::{
    Address, Draft, Horizon, Outbox, Wallet,
    envelope::{Do, Memo, Step, Window},
    escrow::{Plan, assign},
    horizon::HorizonOptions,
    wallet::{Fate, encode},
};
use hayloft_store::{Guard, Home, Store, StoreOptions};
use serde::{Deserialize, Serialize};

use super::bench::{DAY, MIB, PATIENCE, START, Script, network, offering, refused};
use crate::{
    Clock, Node, NodeOptions,
    model::FarmSettings,
    money::{
        Prices,
        tests::{
            bed::BriskLedger,
            process::{self, Asked, LOOPBACK, Process, answer},
        },
    },
};

const PRICE: Amount = Amount(1_000_000_000);
const NAME: &str =
    "farmer::tests::money::an_escrow_is_taken_note_of_only_if_it_stands_and_pays_the_right_ones";

/// A node that farms, or audits.
#[derive(Serialize, Deserialize)]
struct Part {
    ledger: String,
    farm: Option<FarmSettings>,
    bootstrap: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Question {
    /// Its device, its account, and where it is reached.
    Who,
    Now(Timestamp),
    /// Has it ask the contract's auditor for vouchers.
    Learn(Terms),
    /// The bytes that count as served, by period.
    Egress(Terms),
}

impl Part {
    async fn play(self, home: PathBuf) {
        let (clock, farms) = (Clock::by_hand(START), self.farm.is_some());
        let options = NodeOptions {
            home,
            network: Some(network()),
            listen: vec![LOOPBACK.into()],
            bootstrap: self.bootstrap,
            farm: self.farm,
            audit: (!farms).then_some(true),
            ledger: Some(self.ledger),
            disk_guard_bytes: Some(0),
            clock: clock.clone(),
            ..NodeOptions::default()
        };
        let node = Node::open(options).await.expect("opens");
        if farms {
            node.wallet_fund().await.expect("funded");
        }
        let money = node.money_for_tests();
        let mut asked = Asked::new();
        while let Some(question) = asked.next().await {
            match question {
                Question::Who => {
                    let status = node.status().await.expect("status");
                    let account = node.wallet().await.expect("a wallet").status.address;
                    answer(&(status.device, account, status.addresses));
                }
                Question::Now(now) => {
                    clock.set(now);
                    answer(&());
                }
                Question::Learn(terms) => {
                    money.learn_vouchers(&terms, terms.auditor.expect("an auditor")).await.expect("shown");
                    answer(&());
                }
                Question::Egress(terms) => answer(&money.egress(&terms).await.expect("counted")),
            }
        }
    }
}

/// One that plays its part elsewhere.
pub(super) struct Other {
    process: Process,
    device: DeviceId,
    account: Address,
    addresses: Vec<String>,
}

impl Other {
    async fn start(part: &Part) -> Self {
        let process = Process::start(NAME, part);
        let (device, account, addresses) = process.ask(&Question::Who).await;
        Self { process, device, account, addresses }
    }

    pub(super) async fn learn_vouchers(&self, terms: &Terms) {
        self.process.ask(&Question::Learn(terms.clone())).await
    }

    pub(super) async fn egress(&self, terms: &Terms) -> Vec<(u32, u64)> {
        self.process.ask(&Question::Egress(terms.clone())).await
    }
}

/// A ledger that stands at the tests' time and closes as soon as something waits; a farmer and an auditor on it; and the
/// owner's wallet.
pub(super) struct Scene {
    pub(super) owner: Script,
    pub(super) farmer: Other,
    pub(super) auditor: Other,
    wallet: Wallet,
    horizon: Horizon,
    egress_price: Amount,
    _ledger: BriskLedger,
    _home: tempfile::TempDir,
}

fn wallet_key() -> StellarKey {
    StellarKey::from_bytes(&[7; 32])
}

impl Scene {
    async fn new() -> Self {
        Self::serving_for(Amount(0)).await
    }

    /// With a price for serving.
    pub(super) async fn serving_for(egress_price: Amount) -> Self {
        let ledger = BriskLedger::at(START).await;
        let url = ledger.url().to_owned();
        let auditor = Other::start(&Part { ledger: url.clone(), farm: None, bootstrap: vec![] }).await;
        let mut farm = offering(64 * MIB);
        (farm.storage_price, farm.egress_price) = (PRICE.0, egress_price.0);
        let bootstrap = auditor.addresses.clone();
        let farmer = Other::start(&Part { ledger: url.clone(), farm: Some(farm), bootstrap }).await;
        let key = DeviceKey::random(&mut rand::rng());
        let owner = asker(&farmer, &Clock::by_hand(START), key).await;
        let horizon = Horizon::new(&HorizonOptions::local(&url)).expect("an address");
        let home = tempfile::tempdir().expect("a temp folder");
        let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
        let store = Store::open(Home::open(home.path()).expect("a home"), options).await.expect("opens");
        let known = horizon.network().await.expect("a network");
        let outbox = Outbox::new(horizon.clone(), known, store.0.outbox());
        let wallet = Wallet::new(wallet_key(), outbox);
        wallet.fund().await.expect("funded");
        Self { owner, farmer, auditor, wallet, horizon, egress_price, _ledger: ledger, _home: home }
    }

    /// Somebody else who asks the farmer.
    pub(super) async fn asker(&self, device: DeviceKey) -> Script {
        asker(&self.farmer, &self.owner.clock, device).await
    }

    /// It is this time for the owner, and for the farmer.
    pub(super) async fn at(&self, now: Timestamp) {
        self.owner.clock.set(now);
        self.farmer.process.ask(&Question::Now(now)).await
    }

    pub(super) fn terms(&self, escrow: &StellarKey) -> Terms {
        Terms {
            storage_price: PRICE,
            egress_price: self.egress_price,
            auditor: Some(self.auditor.device),
            escrow: Some(Address::of(escrow).0),
            ..self.owner.terms()
        }
    }

    pub(super) async fn plan(&self, escrow: &StellarKey) -> Plan {
        let newest = self.horizon.newest_ledger().await.expect("a ledger");
        let prices = Prices { storage: PRICE, egress: self.egress_price };
        Plan {
            escrow: Address::of(escrow),
            owner: self.wallet.address(),
            farmer: self.farmer.account,
            auditor: self.auditor.account,
            start: START,
            period_seconds: 3 * DAY,
            grace_seconds: 7 * DAY,
            // Ten mebibytes for three days, and read once.
            amounts: vec![prices.period(10 * MIB, 3 * DAY).expect("an amount"); 2],
            setup_sequence: self
                .wallet
                .outbox()
                .next_sequence(self.wallet.address())
                .await
                .expect("a number"),
            merge_ledger: Plan::merge_ledger_after(newest.number),
            base_reserve: newest.base_reserve,
        }
    }

    pub(super) async fn set_up(&self, plan: &Plan, key: &StellarKey) {
        let fate = self.wallet.set_up(plan, key, &Limits::default(), START).await.expect("handed in");
        assert!(matches!(fate, Fate::Applied { .. }), "{fate:?}");
    }

    fn told(terms: &Terms, plan: &Plan) -> Request {
        let assigned = assign(&wallet_key(), &network(), terms.id(), plan).expect("the wallet's own");
        Request::Fund { terms: Box::new(terms.clone()), plan: encode(plan), assigned }
    }

    pub(super) async fn fund(&self, terms: &Terms, plan: &Plan) -> Result<Answer, NetError> {
        self.owner.ask(Self::told(terms, plan)).await
    }

    /// The owner shows the auditor vouchers with a settlement that is none.
    pub(super) async fn show_auditor(
        &self,
        state: &State,
        vouchers: Vec<ShownVoucher>,
    ) -> Result<Answer, NetError> {
        let escrow = Address(state.terms().escrow.expect("an escrow"));
        let step = Step { by: Some(escrow), deed: Do::Merge { into: self.wallet.address() } };
        let draft = Draft {
            source: self.wallet.address(),
            sequence: 1,
            fee: 100,
            window: Window::until(START.plus_seconds(60)),
            memo: Memo::None,
            steps: vec![step],
        };
        let (contract, settlement) = (state.contract(), draft.unsigned().to_bytes());
        self.ask_auditor(Request::Cosign { contract, newest: 0, settlement, vouchers }).await
    }

    async fn fund_at_auditor(&self, terms: &Terms, plan: &Plan) -> Result<Answer, NetError> {
        self.ask_auditor(Self::told(terms, plan)).await
    }

    async fn ask_auditor(&self, request: Request) -> Result<Answer, NetError> {
        let (net, auditor) = (&self.owner.net, self.auditor.device);
        net.hint(auditor, &self.auditor.addresses);
        let told = self.owner.envelope(request);
        let asking = async {
            loop {
                match net.ask(auditor, &told).await {
                    Err(NetError::Unreachable(_)) => tokio::task::yield_now().await,
                    answer => return answer,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the auditor is reached")
    }
}

async fn asker(farmer: &Other, clock: &Clock, device: DeviceKey) -> Script {
    let mut script = Script::start(NetConfig::new(network()), clock, device).await;
    script.meet_at(farmer.device, &farmer.addresses).await;
    script
}

pub(super) fn key() -> StellarKey {
    StellarKey::from_bytes(&rand::random())
}

#[tokio::test]
async fn an_escrow_is_taken_note_of_only_if_it_stands_and_pays_the_right_ones() {
    if let Some((home, part)) = process::part::<Part>() {
        return part.play(home).await;
    }
    let scene = Scene::new().await;
    let escrow = key();
    let (terms, plan) = (scene.terms(&escrow), scene.plan(&escrow).await);
    refused(scene.owner.agree_to(terms.clone()).await, RefusalCode::NotFunded);
    let said = refused(scene.fund(&terms, &plan).await, RefusalCode::NotFunded);
    assert!(said.contains("does not exist"), "{said}");
    scene.set_up(&plan, &escrow).await;

    let other = Address::of(&key());
    for (wrong, words) in [
        (Plan { farmer: other, ..plan.clone() }, "another account"),
        (Plan { auditor: other, ..plan.clone() }, "another auditor"),
        (Plan { period_seconds: DAY / 2, ..plan.clone() }, "periods"),
        (Plan { period_seconds: 6 * DAY, ..plan.clone() }, "periods"),
        (Plan { grace_seconds: DAY, ..plan.clone() }, "grace"),
        (Plan { amounts: vec![Amount(9); 90], grace_seconds: 130 * DAY, ..plan.clone() }, "lasts longer"),
        (Plan { start: START.plus_seconds(3 * DAY), ..plan.clone() }, "another escrow"),
        (Plan { amounts: vec![Amount(9); 2], ..plan.clone() }, "not what was agreed"),
    ] {
        let said = refused(scene.fund(&terms, &wrong).await, RefusalCode::NotFunded);
        assert!(said.contains(words), "{said}");
    }
    let free = Terms { storage_price: Amount(0), ..terms.clone() };
    refused(scene.fund(&free, &plan).await, RefusalCode::NotAllowed);
    let cheap = Terms { storage_price: Amount(PRICE.0 - 1), ..terms.clone() };
    refused(scene.fund(&cheap, &plan).await, RefusalCode::TermsNotOffered);
    let alone = Terms { auditor: None, ..terms.clone() };
    refused(scene.fund(&alone, &plan).await, RefusalCode::NotFunded);
    let long = Request::Fund {
        terms: Box::new(terms.clone()),
        plan: vec![1; 64 << 10],
        assigned: Signature([0; 64]),
    };
    refused(scene.owner.ask(long).await, RefusalCode::NotFunded);

    assert_eq!(scene.fund(&terms, &plan).await, Ok(Answer::Funded));
    assert_eq!(scene.fund(&terms, &plan).await, Ok(Answer::Funded), "the same again");
    scene.owner.agree_to(terms).await.expect("now it is paid for");
}

#[tokio::test]
async fn a_farmer_takes_note_only_of_what_its_auditor_took_note_of_for_the_same_contract() {
    let scene = Scene::new().await;
    let escrow = key();
    let (terms, plan) = (scene.terms(&escrow), scene.plan(&escrow).await);
    scene.set_up(&plan, &escrow).await;
    // A contract with a device of the owner's, for which nothing will ever be owed.
    let worthless = Terms { farmer: scene.owner.net.local_id(), ..terms.clone() };
    assert_eq!(scene.fund_at_auditor(&worthless, &plan).await, Ok(Answer::Funded));
    let said = refused(scene.fund(&terms, &plan).await, RefusalCode::NotFunded);
    assert!(said.contains("it pays for another contract"), "{said}");
    refused(scene.owner.agree_to(terms).await, RefusalCode::NotFunded);
}

#[tokio::test]
async fn an_escrow_is_known_to_the_auditor_as_soon_as_to_the_farmer() {
    let scene = Scene::new().await;
    let escrow = key();
    let (terms, plan) = (scene.terms(&escrow), scene.plan(&escrow).await);
    scene.set_up(&plan, &escrow).await;
    assert_eq!(scene.fund(&terms, &plan).await, Ok(Answer::Funded));
    let other = Terms { nonce: [1; 32], ..terms };
    let said = refused(scene.fund_at_auditor(&other, &plan).await, RefusalCode::NotFunded);
    assert!(said.contains("it pays for another contract"), "{said}");
}

#[tokio::test]
async fn nothing_is_kept_beyond_what_is_paid_for_and_nothing_signed_for_strangers() {
    let scene = Scene::new().await;
    let escrow = key();
    let (terms, plan) = (scene.terms(&escrow), scene.plan(&escrow).await);
    scene.set_up(&plan, &escrow).await;
    assert_eq!(scene.fund(&terms, &plan).await, Ok(Answer::Funded));
    let owner = &scene.owner;
    let state = owner.agree_to(terms).await.expect("agreed");
    let first = |capacity_bytes: u64, days: u64| {
        let end = Some(START.plus_seconds(days * DAY));
        let change = hayloft_core::contract::Change {
            capacity_bytes: Some(capacity_bytes),
            end,
            ..Default::default()
        };
        hayloft_core::contract::propose(&state, change, START).expect("sound")
    };
    refused(owner.revise(&state, &first(11 * MIB, 6)).await, RefusalCode::NotFunded);
    refused(owner.revise(&state, &first(10 * MIB, 7)).await, RefusalCode::NotFunded);
    let kept = owner.revise(&state, &first(10 * MIB, 6)).await.expect("paid for");
    let contract = kept.contract();
    let found = owner.ask(Request::History { contract, from: 0 }).await.expect("told");
    let Answer::History { revisions, more: false } = found else { panic!("{found:?}") };
    assert_eq!(revisions.len(), 1);

    // Nor across days that no escrow pays for.
    let further = async |after: u64| {
        let key = key();
        let plan = Plan { start: START.plus_seconds(after * DAY), ..scene.plan(&key).await };
        scene.set_up(&plan, &key).await;
        assert_eq!(scene.fund(kept.terms(), &plan).await, Ok(Answer::Funded));
    };
    let longer = |days: u64| {
        let end = Some(START.plus_seconds(days * DAY));
        let change = hayloft_core::contract::Change { end, ..Default::default() };
        hayloft_core::contract::propose(&kept, change, START).expect("sound")
    };
    further(9).await;
    refused(owner.revise(&kept, &longer(15)).await, RefusalCode::NotFunded);
    further(6).await;
    owner.revise(&kept, &longer(15)).await.expect("paid for all along");

    let cosign = Request::Cosign { contract, newest: 0, settlement: vec![0; 40], vouchers: vec![] };
    refused(owner.ask(cosign.clone()).await, RefusalCode::Disagreed);
    let stranger = scene.asker(DeviceKey::random(&mut rand::rng())).await;
    for request in [cosign, Request::History { contract, from: 0 }] {
        refused(stranger.ask(request).await, RefusalCode::UnknownContract);
    }
}
