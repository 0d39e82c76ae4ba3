//! An owner's process dies at every point of setting up, settling and recovering, and goes on from what is on its disk.
//!
//! The owner is a process of its own, which makes the owner's key and is the only one that ever has it. The farmer is in this
//! process, with the farmer's key alone; it answers over a socket. The auditor's key nobody has. Then the books, which hold no
//! key, must agree with the ledger, and everything has happened exactly once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use data_encoding::BASE64;
use hayloft_core::{Amount, Timestamp, keys::StellarKey, spending::Limits};
use hayloft_store::{
    Guard, Home, Store, StoreOptions,
    outbox::{EscrowState, Fate, Role},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
};

use super::{bed::Bed, escrow::Party};
use crate::{
    Address, Horizon, Outbox, Wallet,
    crash::{AT, POINTS},
    envelope::Signed,
    escrow::{HandedIn, Payouts, Plan, look, settle},
    horizon::{BalanceId, HorizonOptions, Page},
    lumens::LUMEN,
    wallet::decode,
};

/// What the owner's process is told: its folder, the ledger, the farmer's socket, the farmer's and the auditor's address,
/// and when the first period begins, in lines.
const STAGE: &str = "HAYLOFT_PAYMENTS_STAGE";
const NO_LIMITS: Limits = Limits { per_day: None, in_all: None };
const PERIOD: u64 = 1000;
const GRACE: u64 = 1000;
const EACH: u64 = 2 * LUMEN;
/// What the farmer earned in the first period; the second one nobody settles.
const OWED: u64 = 12_345;
const HITS: usize = 3;

struct Owner {
    wallet: Wallet,
    told: Vec<String>,
    store: Store,
}

/// Made the first time.
fn own_key(folder: &Path) -> StellarKey {
    let file = folder.join("key");
    if !file.exists() {
        std::fs::write(&file, rand::random::<[u8; 32]>()).unwrap();
    }
    StellarKey::from_bytes(&std::fs::read(file).unwrap().try_into().unwrap())
}

async fn books(folder: &Path) -> Store {
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    Store::open(Home::open(&folder.join("home")).unwrap(), options).await.unwrap().0
}

impl Owner {
    async fn open(stage: &str) -> Self {
        let told: Vec<String> = stage.lines().map(str::to_owned).collect();
        let folder = PathBuf::from(&told[0]);
        let store = books(&folder).await;
        let horizon = Horizon::new(&HorizonOptions::local(&told[1])).unwrap();
        let network = horizon.network().await.unwrap();
        let wallet = Wallet::new(own_key(&folder), Outbox::new(horizon, network, store.outbox()));
        Self { wallet, told, store }
    }

    fn horizon(&self) -> &Horizon {
        self.wallet.outbox().horizon()
    }

    async fn now(&self) -> Timestamp {
        self.horizon().newest_ledger().await.unwrap().closed
    }

    /// Waits until what was handed in is known, as a node does that asks again and again.
    async fn until_known(&self) {
        while !self.wallet.outbox().rows().open().await.unwrap().is_empty() {
            self.wallet.reconcile().await.unwrap();
        }
    }

    async fn live_escrow(&self) -> Option<Plan> {
        let escrows = self.wallet.escrows().await.unwrap();
        escrows.into_iter().find(|(.., state)| *state == EscrowState::Seen).map(|(plan, ..)| plan)
    }

    /// Goes on from whatever is there to the end.
    async fn play(&self) {
        self.wallet.fund().await.unwrap();
        self.wallet.reconcile().await.unwrap();
        self.until_known().await;
        self.wallet.reconcile().await.unwrap();
        let plan = match self.live_escrow().await {
            Some(plan) => plan,
            None => self.set_up().await,
        };
        self.tell("settle").await;
        self.settle(&plan).await;
        self.tell("recover").await;
        while let Some(fate) = self.wallet.recover(&plan, &NO_LIMITS, self.now().await).await.unwrap() {
            assert!(matches!(fate, Fate::Applied { .. } | Fate::Open), "{fate:?}");
            self.until_known().await;
        }
        self.wallet.keep(&plan, Role::Owner, EscrowState::Over).await.unwrap();
        // What was planned and never handed in is over too: its number is used.
        self.wallet.reconcile().await.unwrap();
    }

    async fn set_up(&self) -> Plan {
        let escrow = super::bed::random_key();
        let newest = self.horizon().newest_ledger().await.unwrap();
        let plan = Plan {
            escrow: Address::of(&escrow),
            owner: self.wallet.address(),
            farmer: self.told[3].parse().unwrap(),
            auditor: self.told[4].parse().unwrap(),
            start: Timestamp(self.told[5].parse().unwrap()),
            period_seconds: PERIOD,
            grace_seconds: GRACE,
            amounts: vec![Amount(EACH); 2],
            setup_sequence: self.wallet.outbox().next_sequence(self.wallet.address()).await.unwrap(),
            merge_ledger: Plan::merge_ledger_after(newest.number),
            base_reserve: newest.base_reserve,
        };
        let fate = self.wallet.set_up(&plan, &escrow, &NO_LIMITS, self.now().await).await.unwrap();
        assert!(matches!(fate, Fate::Applied { .. } | Fate::Open), "{fate:?}");
        self.until_known().await;
        plan
    }

    async fn settle(&self, plan: &Plan) {
        let network = self.wallet.outbox().network();
        let standing = look(self.horizon(), network, plan).await.unwrap().unwrap();
        if !standing.open.contains(&0) {
            return;
        }
        let paid = Payouts::default().catch_up(self.horizon(), plan).await.unwrap();
        let now = self.now().await;
        let settlement = settle(plan, &standing.open, 0, Amount(OWED), paid, now).unwrap();
        let handed_in = HandedIn {
            by: self.wallet.address(),
            sequence: self.wallet.outbox().next_sequence(self.wallet.address()).await.unwrap(),
            step_fee: Amount(100),
            until: now.plus_seconds(300),
        };
        let draft = settlement.draft(plan, &handed_in);
        let asked = format!("sign {}", draft.clone().unsigned().to_base64());
        let answer =
            self.tell(&format!("{asked} {}", BASE64.encode(&serde_json::to_vec(plan).unwrap()))).await;
        let cosigned = Signed::decode(&BASE64.decode(answer.trim().as_bytes()).unwrap()).unwrap();
        assert_eq!(*cosigned.draft(), draft);
        let fate = self.wallet.hand_in_settlement(plan, 0, cosigned, &NO_LIMITS, now).await.unwrap();
        assert!(matches!(fate, Fate::Applied { .. } | Fate::Open), "{fate:?}");
        self.until_known().await;
    }

    /// Tells the other process a line and hears its answer.
    async fn tell(&self, line: &str) -> String {
        let mut socket = TcpStream::connect(&self.told[2]).await.unwrap();
        socket.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// The farmer's side, and whoever moves the clock.
struct Others {
    bed: Bed,
    farmer: Party,
    auditor: Address,
    listener: TcpListener,
    folder: tempfile::TempDir,
}

impl Others {
    async fn new() -> Self {
        let bed = Bed::new().await;
        let farmer = Party::new(&bed).await;
        let auditor = Address::of(&super::bed::random_key());
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { bed, farmer, auditor, listener, folder }
    }

    fn stage(&self) -> String {
        format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.folder.path().display(),
            self.bed.ledger.url(),
            self.listener.local_addr().unwrap(),
            self.farmer.address(),
            self.auditor,
            self.bed.time(0).0
        )
    }

    async fn answer(&self) {
        let (socket, _) = self.listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        let mut line = String::new();
        if socket.read_line(&mut line).await.is_err() {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["settle"] => {
                self.not_before(PERIOD).await;
                String::new()
            }
            ["recover"] => {
                self.not_before(2 * PERIOD + GRACE).await;
                String::new()
            }
            ["sign", draft, plan] => self.cosign(draft, plan).await,
            _ => String::new(),
        };
        let _ = socket.get_mut().write_all(answer.as_bytes()).await;
    }

    async fn not_before(&self, seconds: u64) {
        if self.bed.ledger.newest().1 < self.bed.time(seconds).0 {
            self.bed.at(seconds).await;
        }
    }

    async fn cosign(&self, draft: &str, plan: &str) -> String {
        let plan: Plan = serde_json::from_slice(&BASE64.decode(plan.as_bytes()).unwrap()).unwrap();
        let draft = Signed::decode(&BASE64.decode(draft.as_bytes()).unwrap()).unwrap();
        let owed = BTreeMap::from([(0, Amount(OWED))]);
        let asker = plan.owner;
        self.farmer.cosign(&self.bed, &plan, draft.draft(), asker, &owed).await.unwrap().to_base64()
    }

    /// Runs the owner's process to its end, closing ledgers as things are handed in. True if it ended well.
    async fn run(&self, crash_at: &str) -> bool {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "tests::crashes::whatever_a_process_dies_at_everything_happens_once",
            "--nocapture",
        ]);
        command.env(STAGE, self.stage()).env(AT, crash_at).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut said = child.stderr.take().unwrap();
        let hear = tokio::spawn(async move {
            let mut text = String::new();
            let _ = said.read_to_string(&mut text).await;
            text
        });
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.unwrap(),
                () = self.bed.ledger.until_waiting(1) => drop(self.bed.ledger.close_ledger().await.unwrap()),
                () = self.answer() => {}
            }
        };
        let said = hear.await.unwrap();
        assert!(!said.contains("panicked"), "{crash_at}: {said}");
        if self.bed.ledger.waiting() > 0 {
            // What was handed in before the crash gets in all the same.
            self.bed.ledger.close_ledger().await.unwrap();
        }
        status.success()
    }
}

/// Dies at the point and goes on; whether it came by.
async fn dies_at(point: &str, hit: usize) -> bool {
    let others = Others::new().await;
    let farmer = others.bed.balance(others.farmer.address()).await;
    if others.run(&format!("{point} {hit}")).await {
        return false;
    }
    assert!(others.run("").await, "{point} {hit}: it did not go on");

    let store = books(others.folder.path()).await;
    let rows = store.outbox().list().await.unwrap();
    let owner = Address(rows[0].row.source);
    assert!(rows.iter().all(|row| row.row.source == owner.0), "{point} {hit}");
    let mut fees = 0;
    for row in &rows {
        let on_ledger = others.bed.horizon.transaction(&row.row.hash).await.unwrap();
        match &row.fate {
            Fate::Applied { ledger } => {
                let found = on_ledger.unwrap();
                assert!(found.successful && found.ledger == *ledger, "{point} {hit}: {row:?}");
                fees += found.fee.0;
            }
            Fate::Void { .. } => assert_eq!(on_ledger, None, "{point} {hit}: {row:?}"),
            Fate::Open | Fate::Failed { .. } => panic!("{point} {hit}: {row:?}"),
        }
    }
    // The ledger knows nothing of this owner that its books do not.
    let mine = others.bed.horizon.transactions(owner, &Page::default()).await.unwrap();
    let mine = mine.iter().filter(|one| one.source == owner);
    let known: Vec<[u8; 32]> = rows.iter().map(|row| row.row.hash).collect();
    assert!(mine.clone().all(|one| known.contains(&one.hash)), "{point} {hit}");
    assert_eq!(mine.count(), 3, "{point} {hit}: setup, settlement, recovery");

    let escrows = store.outbox().escrows().await.unwrap();
    assert!(escrows.iter().all(|escrow| escrow.state == EscrowState::Over));
    let mut reserve = 0;
    for plan in escrows.iter().map(|escrow| decode(&escrow.plan).unwrap()) {
        reserve += others.bed.balance(plan.escrow).await.0;
        for period in 0..plan.periods() {
            let left: BalanceId = plan.balance(period);
            if others.bed.horizon.account(plan.escrow).await.unwrap().is_some() {
                assert_eq!(others.bed.horizon.balance(left).await.unwrap(), None, "{point} {hit}");
            }
        }
    }
    assert_eq!(others.bed.balance(others.farmer.address()).await.0, farmer.0 + OWED, "{point} {hit}");
    let left = others.bed.balance(owner).await.0;
    assert_eq!(left, 10_000 * LUMEN - OWED - fees - reserve, "{point} {hit}");
    store.close().await;
    true
}

#[test]
fn whatever_a_process_dies_at_everything_happens_once() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    if let Ok(stage) = std::env::var(STAGE) {
        return runtime().block_on(async {
            let owner = Owner::open(&stage).await;
            owner.play().await;
            owner.store.close().await;
        });
    }
    std::thread::scope(|scope| {
        for points in POINTS.chunks(POINTS.len().div_ceil(2)) {
            scope.spawn(move || {
                for point in points {
                    let came_by = |hit| runtime().block_on(dies_at(point, hit));
                    assert!(came_by(1), "nothing comes by {point}");
                    for hit in 2..=HITS {
                        came_by(hit);
                    }
                }
            });
        }
    });
}
