//! Owner, farmer and auditor, each in a process of its own with its own keys and nobody else's, go through the whole life of
//! an escrow: setup, settlements, closing. One of them dies between two steps, and goes on from what is on its disk. Then the
//! books agree with the ledger, everything was paid once, and nothing is left locked.
//!
//! Time goes on when all three have done what they could in the second before: none of them can be late, however slow the
//! machine is.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use hayloft_core::{Amount, Timestamp};
use hayloft_ledger::{Closing, Ledger, LedgerOptions};
use hayloft_payments::{
    Address, Horizon,
    escrow::{Payouts, Plan},
    horizon::{HorizonOptions, Page},
    lumens::LUMEN,
    wallet::{EscrowState, Fate, Role, decode},
};
use hayloft_store::{Guard, Home, Store, StoreOptions};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    Clock, Node, NodeOptions,
    crash::{AT, Point},
    model::{Escrow, EscrowStage, FarmSettings, GetRequest, JobState, PresetName, PutRequest},
    money::account::{Account, Periods},
};

/// What a process is told.
const STAGE: &str = "HAYLOFT_MONEY_STAGE";
const NAME: &str =
    "money::tests::deaths::whoever_dies_between_two_steps_everything_is_paid_once_and_nothing_is_stuck";
/// Before the address at which a process is reached.
const READY: &str = "reached at ";
/// Before the second for which a process has done all it could, and whether it has anything to do later.
const KEPT_UP: &str = "kept up to ";
const START: Timestamp = Timestamp(1_900_000_000);
const EPOCH_SECONDS: u32 = 3;
const PERIODS: u32 = 4;
/// At which an epoch of the file owes more than a hundred fees of its period's settlement.
const PRICE: Amount = Amount(1_000_000_000_000_000);
/// Reading the file once owes a hundred stroops.
const EGRESS_PRICE: Amount = Amount(8_000_000);
const FILE_BYTES: usize = 12_000_000;
/// What friendbot gives, and pays as its own fee.
const GIFT: u64 = 10_000 * LUMEN;
const GIFT_FEE: u64 = 100;
/// Far longer than anything takes that goes by no clock.
const PATIENCE: Duration = Duration::from_secs(300);
/// Seconds within which all is over: a setup that never got in is given up after two minutes.
const LIFE_SECONDS: u64 = 600;
/// How often is looked where nothing says that it changed.
const LOOK: Duration = Duration::from_millis(50);

/// Scenes at once.
const AT_ONCE: usize = 5;

/// Who dies where, while an escrow is set up.
const SETUP: &[(Role, Point)] = &[
    (Role::Owner, Point::FundingKept),
    (Role::Owner, Point::EscrowRaised),
    (Role::Farmer, Point::FundingNoted),
    (Role::Farmer, Point::EscrowNoted),
    (Role::Owner, Point::FarmerTold),
    (Role::Auditor, Point::FundingNoted),
    (Role::Auditor, Point::EscrowNoted),
    (Role::Owner, Point::FurtherRaised),
];
/// And while it is settled and closed.
const SETTLEMENT: &[(Role, Point)] = &[
    (Role::Auditor, Point::SettlementSigned),
    (Role::Farmer, Point::SettlementCosigned),
    (Role::Farmer, Point::SettlementHandedIn),
    (Role::Owner, Point::SettlementCosigned),
    (Role::Owner, Point::SettlementHandedIn),
    (Role::Owner, Point::MergeSubmitted),
];

/// What a process plays.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stage {
    part: Part,
    home: PathBuf,
    ledger: String,
    now: Timestamp,
    /// Where it listens; nowhere in particular the first time.
    listen: Option<String>,
    /// The others, as far as they are there.
    others: Vec<String>,
    /// For the owner.
    auditor: Option<String>,
    /// Whether the owner stores its file until a further escrow pays for it.
    further: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Owner,
    Farmer,
    Auditor,
}

impl From<Role> for Part {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Farmer => Self::Farmer,
            Role::Auditor => Self::Auditor,
        }
    }
}

impl Stage {
    /// Plays one second after the other as they are told, until no more is.
    async fn play(self) {
        let clock = Clock::by_hand(self.now);
        let farm = FarmSettings {
            enabled: true,
            quota_bytes: 1 << 30,
            storage_price: PRICE.0,
            egress_price: EGRESS_PRICE.0,
            ..FarmSettings::default()
        };
        let options = NodeOptions {
            home: self.home.clone(),
            network: Some("scene".parse().expect("a name")),
            listen: vec![self.listen.clone().unwrap_or_else(|| "/ip4/127.0.0.1/udp/0/quic-v1".into())],
            bootstrap: self.others.clone(),
            farm: (self.part == Part::Farmer).then_some(farm),
            audit: Some(self.part == Part::Auditor),
            vet: Some(false),
            auditor: self.auditor.clone(),
            ledger: Some(self.ledger.clone()),
            epoch_seconds: Some(EPOCH_SECONDS),
            escrow_periods: Some(PERIODS),
            disk_guard_bytes: Some(0),
            clock: clock.clone(),
            ..NodeOptions::default()
        };
        let node = Node::open(options).await.expect("a node opens");
        let addresses = node.status().await.expect("a status").addresses;
        println!("\n{READY}{}", addresses.first().expect("it listens"));
        let mut seconds = BufReader::new(tokio::io::stdin()).lines();
        while let Some(second) = seconds.next_line().await.expect("it can be read") {
            let now = Timestamp(second.parse().expect("a time"));
            clock.advance(now.seconds_since(clock.now()));
            clock.kept_up().await;
            if self.part == Part::Owner {
                self.own(&node).await;
            }
            let open = node.money_for_tests().inner.store.outbox().open().await.expect("rows");
            let over = |escrow: &Escrow| escrow.stage == EscrowStage::Over;
            let is_over = open.is_empty()
                && node
                    .wallet()
                    .await
                    .is_ok_and(|wallet| !wallet.escrows.is_empty() && wallet.escrows.iter().all(over));
            println!("\n{KEPT_UP}{} {is_over}", now.0);
        }
        node.shutdown().await.expect("closes");
    }

    /// Stores a file and reads it, all in one second, and ends it once it was paid for.
    async fn own(&self, node: &Node) {
        if node.status().await.expect("a status").owner.is_none() {
            node.create_identity("", false).await.expect("an identity");
        }
        if !self.home.join("got").exists() {
            self.store(node).await;
        }
        let Ok(wallet) = node.wallet().await else { return };
        let escrows = if self.further { 2 } else { 1 };
        let names: Vec<String> =
            node.files().await.expect("files").into_iter().map(|file| file.name).collect();
        if !names.is_empty() && wallet.status.paid > 0 && wallet.escrows.len() >= escrows {
            node.remove(names).await.expect("removed");
        }
    }

    async fn store(&self, node: &Node) {
        becomes(node, async || node.wallet().await.is_ok_and(|wallet| wallet.exists)).await;
        if node.jobs().await.expect("jobs").is_empty() {
            let path = self.home.join("file");
            let mut noise = vec![0; FILE_BYTES];
            blake3::Hasher::new().finalize_xof().fill(&mut noise);
            std::fs::write(&path, noise).expect("a file can be written");
            let request = PutRequest {
                paths: vec![path],
                name: None,
                keep_seconds: 90 * 24 * 3600,
                renew: false,
                replace: false,
                preset: PresetName::Standard,
            };
            becomes(node, async || node.quote(request.clone()).await.is_ok()).await;
            node.put(request).await.expect("begins");
        }
        // Whose job failed because another was away at the time begins it again, as people do.
        let failed = async || {
            let jobs = node.jobs().await.expect("jobs");
            jobs.into_iter()
                .filter(|job| job.state == JobState::Failed)
                .map(|job| job.id)
                .collect::<Vec<u32>>()
        };
        becomes(node, async || {
            for job in failed().await {
                let _ = node.resume(job).await;
            }
            !node.files().await.expect("files").is_empty()
        })
        .await;
        let get = GetRequest {
            name: "file".into(),
            output: self.home.join("got"),
            overwrite: true,
            offset: 0,
            bytes: None,
        };
        let mut job = node.get(get.clone()).await.expect("begins");
        becomes(node, async || {
            if failed().await.contains(&job) {
                job = node.get(get.clone()).await.expect("begins");
            }
            get.output.exists()
        })
        .await;
    }
}

/// Returns once it is so.
async fn becomes(node: &Node, mut is_so: impl AsyncFnMut() -> bool) {
    let becomes = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(PATIENCE, becomes).await.is_err() {
        panic!("it does not come about: {:?}, {:?}", node.jobs().await, node.wallet().await);
    }
}

/// A process, and how it is reached.
struct Player {
    stage: Stage,
    child: Child,
    address: String,
    tells: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    said: JoinHandle<String>,
    /// Whether its death is still to come.
    dies: bool,
}

impl Player {
    async fn start(stage: Stage, dies_at: Option<Point>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", NAME, "--nocapture"]);
        command.env(STAGE, serde_json::to_string(&stage).expect("it can be written"));
        match dies_at {
            Some(point) => command.env(AT, format!("{point:?} 1")),
            None => command.env_remove(AT),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be started");
        let mut errors = child.stderr.take().expect("piped");
        let said = tokio::spawn(async move {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text).await;
            text
        });
        let tells = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let dies = dies_at.is_some();
        let mut player = Self { stage, child, address: String::new(), tells, lines, said, dies };
        match player.hear(READY).await {
            Some(address) => player.address = address,
            None => panic!(
                "{:?} did not start: {}",
                player.stage.part,
                player.said.await.expect("it can be read")
            ),
        }
        player
    }

    /// The rest of the next line that begins so; none if the process has ended.
    async fn hear(&mut self, begins: &str) -> Option<String> {
        while let Some(line) = self.lines.next_line().await.expect("it can be read") {
            if let Some(rest) = line.strip_prefix(begins) {
                return Some(rest.to_owned());
            }
        }
        None
    }

    /// Plays a second and says whether all is over for it then; if it dies, before or after, again from what is on its disk.
    async fn play(&mut self, now: Timestamp, over: &watch::Sender<[Option<bool>; 3]>) {
        let part = self.stage.part as usize;
        loop {
            let told = self.tells.write_all(format!("{}\n", now.0).as_bytes()).await;
            if told.is_ok()
                && let Some(kept) = self.hear(KEPT_UP).await
            {
                over.send_modify(|over| over[part] = Some(kept.ends_with("true")));
                self.hear(KEPT_UP).await;
            }
            over.send_modify(|over| over[part] = None);
            self.fell().await;
            let listen = Some(without_peer(&self.address));
            *self = Self::start(Stage { now, listen, ..self.stage.clone() }, None).await;
        }
    }

    /// It came by its death, and by no other.
    async fn fell(&mut self) {
        let status = self.child.wait().await.expect("it can be waited for");
        let said = (&mut self.said).await.expect("it can be read");
        let as_wanted = std::mem::take(&mut self.dies) && !status.success() && !said.contains("panicked");
        assert!(as_wanted, "{:?} died by itself: {said}", self.stage.part);
    }

    async fn end(self) {
        let Self { mut child, tells, said, stage, .. } = self;
        drop(tells);
        let status = child.wait().await.expect("it can be waited for");
        assert!(status.success(), "{:?}: {}", stage.part, said.await.expect("it can be read"));
    }
}

fn without_peer(address: &str) -> String {
    address.split("/p2p/").next().unwrap_or_default().to_owned()
}

/// A ledger, and the three that use it.
struct Scene {
    ledger: Arc<Ledger>,
    closing: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let options =
            LedgerOptions { closing: Closing::ByHand, ..LedgerOptions::new(folder.path().join("ledger")) };
        let ledger = Arc::new(Ledger::start(options).await.expect("a ledger"));
        ledger.set_time(Some(START.0));
        let closing = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                loop {
                    ledger.until_waiting(1).await;
                    ledger.close_ledger().await.expect("closes");
                }
            }
        });
        Self { ledger, closing, folder }
    }

    fn home(&self, part: Part) -> PathBuf {
        self.folder.path().join(format!("{part:?}").to_lowercase())
    }

    async fn start(&self, part: Part, others: &[&Player], dies: Option<(Role, Point)>) -> Player {
        let auditor = others.iter().find(|other| other.stage.part == Part::Auditor);
        let stage = Stage {
            part,
            home: self.home(part),
            ledger: self.ledger.url().to_owned(),
            now: START,
            listen: None,
            others: others.iter().map(|other| other.address.clone()).collect(),
            auditor: auditor.map(|auditor| auditor.address.clone()),
            further: dies.is_some_and(|(_, point)| point == Point::FurtherRaised),
        };
        let at = dies.filter(|(who, _)| Part::from(*who) == part).map(|(_, point)| point);
        Player::start(stage, at).await
    }

    /// Plays to the end.
    async fn play(&self, dies: (Role, Point)) {
        let mut auditor = self.start(Part::Auditor, &[], Some(dies)).await;
        let mut farmer = self.start(Part::Farmer, &[&auditor], Some(dies)).await;
        let mut owner = self.start(Part::Owner, &[&auditor, &farmer], Some(dies)).await;
        for second in 0.. {
            assert!(second < LIFE_SECONDS, "{dies:?}: it is never over");
            let now = START.plus_seconds(second);
            self.ledger.set_time(Some(now.0));
            self.ledger.close_ledger().await.expect("closes");
            let over = watch::Sender::new([None; 3]);
            let mut said = over.subscribe();
            let playing = async {
                tokio::join!(auditor.play(now, &over), farmer.play(now, &over), owner.play(now, &over))
            };
            let all = said.wait_for(|over| over.iter().all(Option::is_some));
            let over = tokio::select! {
                _ = playing => unreachable!("they play until no more is told"),
                over = tokio::time::timeout(2 * PATIENCE, all) => *over.expect("it goes on").expect("is told"),
            };
            if over == [Some(true); 3] {
                break;
            }
        }
        for player in [auditor, farmer, owner] {
            assert!(!player.dies, "{dies:?}: nothing comes by it");
            player.end().await;
        }
        self.closing.abort();
    }

    async fn books(&self, part: Part) -> Store {
        open(&self.home(part)).await
    }

    /// Everything is where it should be.
    async fn check(&self, dies: (Role, Point)) {
        let horizon = Horizon::new(&HorizonOptions::local(self.ledger.url())).expect("an address");
        let (owner, farmer, auditor) =
            (self.books(Part::Owner).await, self.books(Part::Farmer).await, self.books(Part::Auditor).await);
        for store in [&owner, &farmer, &auditor] {
            for row in store.outbox().list().await.expect("rows") {
                let found = horizon.transaction(&row.row.hash).await.expect("asked");
                match row.fate {
                    Fate::Applied { .. } => assert!(found.is_some_and(|found| found.successful), "{dies:?}"),
                    Fate::Failed { .. } => assert!(found.is_some_and(|found| !found.successful), "{dies:?}"),
                    Fate::Void { .. } => assert!(found.is_none(), "{dies:?}"),
                    Fate::Open => panic!("{dies:?}: it is not known what came of a payment"),
                }
            }
        }
        let (mut paid_in_all, mut accounts, mut served) = (0, Vec::new(), 0);
        for funding in owner.funds().list(None).await.expect("funding") {
            let plan: Plan = decode(&funding.escrow.plan).expect("a plan");
            assert_eq!(funding.escrow.state, EscrowState::Over, "{dies:?}");
            accounts.extend([plan.owner, plan.farmer]);
            let stands = horizon.account(plan.escrow).await.expect("asked").is_some();
            let locked = horizon.balances(plan.escrow, &Page::default()).await.expect("asked");
            assert!(!stands && locked.is_empty(), "{dies:?}: something is stuck in an escrow");
            let paid = Payouts::default().catch_up(&horizon, &plan).await.expect("asked");
            paid_in_all += paid.0;
            let egress = farmer.funds().vouched(funding.contract).await.expect("vouchers");
            served = egress.iter().map(|(_, bytes)| bytes).sum::<u64>().max(served);
            for other in [&farmer, &auditor] {
                let known = other.funds().list(Some(funding.contract)).await.expect("funding");
                let noted = known.iter().any(|known| known.escrow.account == funding.escrow.account);
                assert!(noted || paid == Amount(0), "{dies:?}: an escrow paid that not all know of");
                let further = dies.1 == Point::FurtherRaised;
                assert!(noted || !further, "{dies:?}: nobody was told of an escrow");
            }
            let most = owed(&auditor, &farmer, &funding, &plan).await;
            assert!(paid <= most, "{dies:?}: {} was paid and {} owed", paid.0, most.0);
        }
        assert!(paid_in_all > 0, "{dies:?}");
        assert!(served >= FILE_BYTES as u64, "{dies:?}: {served} bytes were vouched for");
        accounts.sort();
        accounts.dedup();
        assert_eq!(accounts.len(), 2, "{dies:?}");
        let mut sum = horizon.newest_ledger().await.expect("asked").fee_pool.0;
        for account in &accounts {
            sum += balance(&horizon, *account).await;
        }
        // Who died before it heard of its gift asks once more, and the giver pays for being refused by the ledger.
        let asked_again = sum.checked_sub(2 * (GIFT + GIFT_FEE)).expect("no lumens are lost");
        let refused = [0, GIFT_FEE, 2 * GIFT_FEE].contains(&asked_again);
        assert!(refused, "{dies:?}: {asked_again} stroops were made");
        for store in [owner, farmer, auditor] {
            store.close().await;
        }
    }
}

async fn open(home: &Path) -> Store {
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    Store::open(Home::open(home).expect("a home"), options).await.expect("opens").0
}

async fn balance(horizon: &Horizon, account: Address) -> u64 {
    horizon.account(account).await.expect("asked").map_or(0, |account| account.balance.0)
}

/// What an escrow owes in all by the auditor's verdicts and the farmer's revisions.
async fn owed(
    auditor: &Store,
    farmer: &Store,
    funding: &hayloft_store::funding::Funding,
    plan: &Plan,
) -> Amount {
    let judged = auditor.auditor().verdicts(funding.contract, None, 1000).await.expect("verdicts");
    let verdicts: Vec<_> = judged.into_iter().map(|judged| judged.judgement).collect();
    let spans = farmer.funds().spans(funding.contract).await.expect("spans");
    let periods = Periods::of(plan, &funding.terms).expect("its periods are the contract's");
    let egress = farmer.funds().vouched(funding.contract).await.expect("vouchers");
    let account = Account { terms: &funding.terms, spans: &spans, verdicts: &verdicts, egress: &egress };
    account.owed_so_far(periods).expect("a sum")
}

/// Plays all deaths, some side by side: most of their time they wait. Or one of the parts, if this process was started for it.
#[test]
fn whoever_dies_between_two_steps_everything_is_paid_once_and_nothing_is_stuck() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(stage) = std::env::var(STAGE) {
        let stage: Stage = serde_json::from_str(&stage).expect("a stage");
        return runtime.block_on(stage.play());
    }
    let scenes = SETUP.iter().chain(SETTLEMENT).map(async |dies| {
        let scene = Scene::new().await;
        scene.play(*dies).await;
        scene.check(*dies).await;
    });
    runtime.block_on(stream::iter(scenes).buffer_unordered(AT_ONCE).collect::<()>());
}

#[test]
fn every_point_about_money_is_somebodys_death() {
    for point in crate::crash::MONEY {
        assert!(SETUP.iter().chain(SETTLEMENT).any(|(_, named)| named == point), "{point:?}");
    }
}
