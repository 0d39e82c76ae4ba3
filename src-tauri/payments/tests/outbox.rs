//! The outbox before Horizons that lose things, and two devices of one owner.

use std::sync::{Arc, Mutex};

use hayloft_core::{Amount, Timestamp, keys::StellarKey, spending::Limits};
use hayloft_store::{
    Guard, Home, Store, StoreOptions,
    outbox::{EscrowRow, EscrowState, Fate, OutboxError, Role},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use serde_json::json;

use super::bed::{Bed, random_key};
use crate::{
    Address, Draft, Horizon, Outbox, Wallet,
    envelope::{Do, Signed, Step},
    escrow::Plan,
    horizon::{HorizonOptions, anchor::Sign},
    outbox::{Purpose, Recognised, SendError},
};

const NO_LIMITS: Limits = Limits { per_day: None, in_all: None };

/// What becomes of a transaction that is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Post {
    Passed,
    /// Passed on, and answered with a 504 before its ledger closes.
    Accepted504,
    /// Answered with a 504 and lost.
    Lost504,
}

/// What is shown of transactions.
#[derive(Debug, Clone, Default)]
enum Shows {
    #[default]
    All,
    /// None, neither by its hash nor among those of its account.
    None,
    /// The same, and neither this account nor any balance.
    Neither(Address),
    /// The same, but this one among those of its account.
    Instead(serde_json::Value),
}

impl Shows {
    /// What is answered to a request, if it is about transactions and something else than the ledger says.
    fn answer(&self, asked: &[u8]) -> Option<String> {
        let asked = String::from_utf8_lossy(asked);
        let path = asked.strip_prefix("GET ")?.split([' ', '?']).next()?;
        let records = match self {
            Self::All => return None,
            Self::None | Self::Neither(_) => vec![],
            Self::Instead(record) => vec![record],
        };
        let is_hidden = match self {
            Self::Neither(account) => {
                path.ends_with(&account.to_string()) || path.starts_with("/claimable_balances")
            }
            Self::All | Self::None | Self::Instead(_) => false,
        };
        let is_list = path.ends_with("/transactions") || (is_hidden && path == "/claimable_balances");
        let (status, body) = match is_list {
            true => (200, json!({ "_embedded": { "records": records } })),
            false if is_hidden || path.starts_with("/transactions/") => (404, json!({})),
            false => return None,
        };
        let body = body.to_string();
        Some(format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// A Horizon between the client and the ledger.
struct Between {
    url: String,
    post: Arc<Mutex<Post>>,
    shows: Arc<Mutex<Shows>>,
    ledger: Arc<Mutex<String>>,
}

impl Between {
    async fn new(ledger: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let post = Arc::new(Mutex::new(Post::Passed));
        let ledger = Arc::new(Mutex::new(ledger.to_owned()));
        let shows = Arc::<Mutex<Shows>>::default();
        let (onward, way, lies) = (Arc::clone(&ledger), Arc::clone(&post), Arc::clone(&shows));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let way = *way.lock().unwrap();
                let onward = onward.lock().unwrap().strip_prefix("http://").unwrap().to_owned();
                let shows = lies.lock().unwrap().clone();
                tokio::spawn(pass(socket, onward, way, shows));
            }
        });
        Self { url, post, shows, ledger }
    }

    /// From now on another ledger is at this address.
    fn lead_to(&self, ledger: &str) {
        ledger.clone_into(&mut self.ledger.lock().unwrap());
    }

    fn set(&self, post: Post) {
        *self.post.lock().unwrap() = post;
    }

    fn show(&self, shows: Shows) {
        *self.shows.lock().unwrap() = shows;
    }

    fn horizon(&self) -> Horizon {
        Horizon::new(&HorizonOptions::local(&self.url)).unwrap()
    }
}

/// Reads one request, to the end of its body.
async fn request(socket: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let count = socket.read(&mut buffer).await.unwrap();
        heard.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&heard);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return Vec::new();
            }
            continue;
        };
        let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
        if body.len() >= head.lines().find_map(length).unwrap_or(0) {
            // One request for each connection.
            let (head, body) = (head.to_owned(), body.to_owned());
            return format!("{head}\r\nconnection: close\r\n\r\n{body}").into_bytes();
        }
    }
}

async fn pass(mut socket: TcpStream, ledger: String, way: Post, shows: Shows) {
    let asked = request(&mut socket).await;
    if let Some(lie) = shows.answer(&asked) {
        let _ = socket.write_all(lie.as_bytes()).await;
        return;
    }
    let is_post = asked.starts_with(b"POST");
    let mut onward = TcpStream::connect(ledger).await.unwrap();
    if is_post && way != Post::Passed {
        if way == Post::Accepted504 {
            onward.write_all(&asked).await.unwrap();
            tokio::spawn(async move { onward.read_to_end(&mut Vec::new()).await });
        }
        let answer = b"HTTP/1.1 504 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = socket.write_all(answer).await;
        return;
    }
    onward.write_all(&asked).await.unwrap();
    let mut answer = Vec::new();
    let _ = onward.read_to_end(&mut answer).await;
    let _ = socket.write_all(&answer).await;
}

/// One device: its own home, and its owner's key.
struct Device {
    key: StellarKey,
    outbox: Outbox,
    _folder: tempfile::TempDir,
}

pub(super) async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    let (store, _) = Store::open(Home::open(folder.path()).unwrap(), options).await.unwrap();
    (folder, store)
}

impl Device {
    async fn new(bed: &Bed, horizon: Horizon, key: StellarKey) -> Self {
        let (folder, store) = store().await;
        Self { key, outbox: Outbox::new(horizon, bed.network.clone(), store.outbox()), _folder: folder }
    }

    async fn payment(&self, bed: &Bed, to: Address, amount: u64) -> Signed {
        let step = Step { by: None, deed: Do::Pay { to, amount: Amount(amount) } };
        let draft = bed.draft(Address::of(&self.key), vec![step]).await;
        draft.unsigned().signed(&self.key, &bed.network)
    }

    async fn send(&self, bed: &Bed, signed: &Signed) -> Result<Fate, SendError> {
        let now = Timestamp(bed.ledger.newest().1);
        let purpose = Purpose::Sent { to: Address([7; 32]), memo: None };
        self.outbox.send(signed, &purpose, &NO_LIMITS, now).await
    }
}

struct Scene {
    bed: Bed,
    between: Between,
    payer: Device,
    to: Address,
    before: u64,
}

impl Scene {
    async fn new() -> Self {
        let bed = Bed::new().await;
        let between = Between::new(bed.ledger.url()).await;
        let (key, to) = (bed.party().await, Address::of(&bed.party().await));
        let payer = Device::new(&bed, between.horizon(), key).await;
        let before = bed.balance(to).await.0;
        Self { bed, between, payer, to, before }
    }

    async fn received(&self) -> u64 {
        self.bed.balance(self.to).await.0 - self.before
    }
}

#[tokio::test]
async fn a_payment_is_known_to_be_made_once_its_ledger_closed() {
    let scene = Scene::new().await;
    let signed = scene.payer.payment(&scene.bed, scene.to, 5).await;
    let fate = scene.bed.closing(scene.payer.send(&scene.bed, &signed)).await.unwrap();
    assert_eq!(fate, Fate::Applied { ledger: scene.bed.ledger.newest().0 });
    assert_eq!(scene.received().await, 5);
    assert!(scene.payer.outbox.resume().await.unwrap().is_empty());
    // One that fails in its ledger.
    let failing = scene.payer.payment(&scene.bed, Address([9; 32]), 5).await;
    let fate = scene.bed.closing(scene.payer.send(&scene.bed, &failing)).await.unwrap();
    let Fate::Failed { reason, .. } = fate else { panic!("{fate:?}") };
    assert_eq!(reason, "tx_failed, op_no_destination");
}

#[tokio::test]
async fn a_504_after_accepting_pays_once() {
    let scene = Scene::new().await;
    scene.between.set(Post::Accepted504);
    let signed = scene.payer.payment(&scene.bed, scene.to, 5).await;
    assert_eq!(scene.payer.send(&scene.bed, &signed).await.unwrap(), Fate::Open);
    // Nothing else of this account is handed in meanwhile.
    let other = scene.payer.payment(&scene.bed, scene.to, 6).await;
    let busy = scene.payer.send(&scene.bed, &other).await;
    assert!(matches!(busy, Err(SendError::Outbox(OutboxError::Busy))));
    scene.bed.ledger.until_waiting(1).await;
    assert_eq!(scene.bed.ledger.waiting(), 1);
    // Handed in again, it is the same one that waits.
    assert!(scene.payer.outbox.resume().await.unwrap().is_empty());
    assert_eq!(scene.bed.ledger.waiting(), 1);
    scene.bed.ledger.close_ledger().await.unwrap();
    let closed = scene.payer.outbox.resume().await.unwrap();
    assert!(matches!(closed[0].fate, Fate::Applied { .. }));
    assert_eq!(scene.received().await, 5);
}

#[tokio::test]
async fn what_was_lost_is_handed_in_again_as_it_was() {
    let scene = Scene::new().await;
    scene.between.set(Post::Lost504);
    let signed = scene.payer.payment(&scene.bed, scene.to, 5).await;
    assert_eq!(scene.payer.send(&scene.bed, &signed).await.unwrap(), Fate::Open);
    assert_eq!(scene.bed.ledger.waiting(), 0);
    scene.between.set(Post::Passed);
    let closed = scene.bed.closing(scene.payer.outbox.resume()).await.unwrap();
    assert!(matches!(closed[0].fate, Fate::Applied { .. }));
    assert_eq!((closed[0].row.envelope.clone(), scene.received().await), (signed.to_bytes(), 5));
}

#[tokio::test]
async fn another_is_signed_only_when_the_ledger_shows_that_the_first_can_no_longer_apply() {
    let scene = Scene::new().await;
    scene.between.set(Post::Lost504);
    let signed = scene.payer.payment(&scene.bed, scene.to, 5).await;
    scene.payer.send(&scene.bed, &signed).await.unwrap();
    let latest = signed.draft().window.until.unwrap();
    scene.bed.ledger.set_time(Some(latest.0));
    scene.bed.ledger.close_ledger().await.unwrap();
    assert!(scene.payer.outbox.resume().await.unwrap().is_empty(), "it could still get into the next one");
    scene.bed.ledger.set_time(Some(latest.0 + 1));
    scene.bed.ledger.close_ledger().await.unwrap();
    let closed = scene.payer.outbox.resume().await.unwrap();
    assert!(matches!(closed[0].fate, Fate::Void { .. }));
    scene.between.set(Post::Passed);
    let again = scene.payer.payment(&scene.bed, scene.to, 5).await;
    scene.bed.closing(scene.payer.send(&scene.bed, &again)).await.unwrap();
    assert_eq!(scene.received().await, 5);
}

#[tokio::test]
async fn of_two_devices_that_submit_at_once_one_gets_in_and_the_other_sees_it() {
    let scene = Scene::new().await;
    let other = Device::new(&scene.bed, scene.between.horizon(), scene.payer.key.clone()).await;
    let (one, two) =
        (scene.payer.payment(&scene.bed, scene.to, 5).await, other.payment(&scene.bed, scene.to, 70).await);
    assert_eq!(one.draft().sequence, two.draft().sequence);
    let both = async { tokio::join!(scene.payer.send(&scene.bed, &one), other.send(&scene.bed, &two)) };
    let (first, second) = scene.bed.closing(both).await;
    let mut fates = vec![first.unwrap(), second.unwrap()];
    // Whoever lost may have asked before the winner's ledger closed.
    for (fate, device) in fates.iter_mut().zip([&scene.payer, &other]) {
        if *fate == Fate::Open {
            *fate = device.outbox.resume().await.unwrap()[0].fate.clone();
        }
    }
    let won: Vec<bool> = fates.iter().map(|fate| matches!(fate, Fate::Applied { .. })).collect();
    let lost = fates.iter().filter(|fate| matches!(fate, Fate::Void { .. })).count();
    assert_eq!(lost, 1, "{fates:?}");
    assert_eq!(scene.received().await, if won[0] { 5 } else { 70 });
}

/// Whoever hides a payment that was made, and shows that its number was used, would have it made once more.
#[tokio::test]
async fn a_payment_that_a_horizon_hides_is_not_taken_for_void_and_not_made_again() {
    let scene = Scene::new().await;
    scene.between.set(Post::Accepted504);
    let signed = scene.payer.payment(&scene.bed, scene.to, 5).await;
    assert_eq!(scene.payer.send(&scene.bed, &signed).await.unwrap(), Fate::Open);
    scene.bed.ledger.until_waiting(1).await;
    scene.bed.ledger.close_ledger().await.unwrap();

    let record = |envelope: &Signed| {
        json!({
            "hash": data_encoding::HEXLOWER.encode(&envelope.draft().hash(&scene.bed.network)), "ledger": 5,
            "created_at": "2026-11-21T00:00:00Z", "successful": true, "fee_charged": "100",
            "source_account": signed.draft().source.to_string(), "envelope_xdr": envelope.to_base64(),
            "paging_token": "7"
        })
    };
    let other = Draft { fee: 101, ..signed.draft().clone() }.unsigned();
    let unsigned = Shows::Instead(record(&other));
    let of_a_stranger = Shows::Instead(record(&other.clone().signed(&random_key(), &scene.bed.network)));
    let before = Draft { sequence: signed.draft().sequence - 1, ..signed.draft().clone() }.unsigned();
    let before = Shows::Instead(record(&before.signed(&scene.payer.key, &scene.bed.network)));
    let latest = signed.draft().window.until.unwrap().0;
    for time in [scene.bed.time(1).0, latest + 1] {
        scene.bed.ledger.set_time(Some(time));
        scene.bed.ledger.close_ledger().await.unwrap();
        for shows in [Shows::None, unsigned.clone(), of_a_stranger.clone(), before.clone()] {
            scene.between.show(shows.clone());
            assert!(scene.payer.outbox.resume().await.unwrap().is_empty(), "{shows:?}");
        }
    }
    let again = scene.payer.payment(&scene.bed, scene.to, 5).await;
    let busy = scene.payer.send(&scene.bed, &again).await;
    assert!(matches!(busy, Err(SendError::Outbox(OutboxError::Busy))), "{busy:?}");
    scene.between.show(Shows::All);
    let closed = scene.payer.outbox.resume().await.unwrap();
    assert!(matches!(closed[0].fate, Fate::Applied { .. }), "{closed:?}");
    assert_eq!(scene.received().await, 5);
}

/// What hides that a payment used its number has the next one sign the same, of which the ledger takes one.
#[tokio::test]
async fn a_payment_that_a_horizon_hides_with_its_number_leaves_no_room_for_another() {
    let scene = Scene::new().await;
    let first = scene.payer.payment(&scene.bed, scene.to, 5).await;
    let second = scene.payer.payment(&scene.bed, scene.to, 70).await;
    scene.bed.closing(scene.payer.send(&scene.bed, &first)).await.unwrap();
    assert_eq!(first.draft().sequence, second.draft().sequence);
    let fate = scene.payer.send(&scene.bed, &second).await.unwrap();
    assert!(matches!(fate, Fate::Void { .. }), "{fate:?}");
    assert_eq!(scene.received().await, 5);
}

#[tokio::test]
async fn an_escrow_that_a_horizon_hides_is_not_taken_for_one_that_was_never_set_up() {
    let scene = Scene::new().await;
    let Scene { bed, between, payer, .. } = &scene;
    let wallet = Wallet::new(payer.key.clone(), payer.outbox.clone());
    let key = random_key();
    let newest = bed.horizon.newest_ledger().await.unwrap();
    let plan = Plan {
        escrow: Address::of(&key),
        owner: wallet.address(),
        farmer: scene.to,
        auditor: Address::of(&random_key()),
        start: bed.time(0),
        period_seconds: 1000,
        grace_seconds: 1000,
        amounts: vec![Amount(5)],
        setup_sequence: payer.outbox.next_sequence(wallet.address()).await.unwrap(),
        merge_ledger: Plan::merge_ledger_after(newest.number),
        base_reserve: newest.base_reserve,
    };
    between.set(Post::Accepted504);
    assert_eq!(wallet.set_up(&plan, &key, &NO_LIMITS, bed.time(0)).await.unwrap(), Fate::Open);
    bed.ledger.until_waiting(1).await;
    bed.ledger.close_ledger().await.unwrap();
    let state = async || payer.outbox.rows().escrows().await.unwrap()[0].state;
    between.show(Shows::Neither(plan.escrow));
    wallet.reconcile().await.unwrap();
    assert_eq!(state().await, EscrowState::Expected);
    between.show(Shows::All);
    wallet.reconcile().await.unwrap();
    assert_eq!(state().await, EscrowState::Seen);
}

#[tokio::test]
async fn nothing_leaves_without_a_latest_time_a_signature_or_beyond_the_limits() {
    let scene = Scene::new().await;
    let good = scene.payer.payment(&scene.bed, scene.to, 5).await;
    let mut endless = good.draft().clone();
    endless.window.until = None;
    let endless = endless.unsigned().signed(&scene.payer.key, &scene.bed.network);
    assert!(matches!(scene.payer.send(&scene.bed, &endless).await, Err(SendError::NoLatestTime)));
    let unsigned = good.draft().clone().unsigned();
    assert!(matches!(scene.payer.send(&scene.bed, &unsigned).await, Err(SendError::NotSigned)));
    let limits = Limits { per_day: Some(Amount(104)), in_all: None };
    let purpose = Purpose::Sent { to: scene.to, memo: None };
    let refused = scene.payer.outbox.send(&good, &purpose, &limits, Timestamp(5)).await;
    assert!(matches!(refused, Err(SendError::Outbox(OutboxError::OverLimit(_)))));
    assert_eq!((scene.bed.ledger.waiting(), scene.payer.outbox.rows().list().await.unwrap().len()), (0, 0));
}

#[tokio::test]
async fn a_ledger_that_was_wiped_ends_what_was_under_way_once_its_time_is_over() {
    let scene = Scene::new().await;
    scene.between.set(Post::Lost504);
    let signed = scene.payer.payment(&scene.bed, scene.to, 5).await;
    scene.payer.send(&scene.bed, &signed).await.unwrap();
    assert_eq!(scene.payer.outbox.recognise().await.unwrap(), Recognised::First);
    assert_eq!(scene.payer.outbox.recognise().await.unwrap(), Recognised::Same);
    let fresh = Bed::new().await;
    scene.between.lead_to(fresh.ledger.url());
    let rows = scene.payer.outbox.rows().clone();
    let outbox = Outbox::new(scene.between.horizon(), fresh.network.clone(), rows);
    for _ in 0..2 {
        assert_eq!(outbox.recognise().await.unwrap(), Recognised::Anew(Sign::Passphrase));
    }
    outbox.begin_anew().await.unwrap();
    assert_eq!(outbox.recognise().await.unwrap(), Recognised::Same);
    assert!(outbox.resume().await.unwrap().is_empty());
    fresh.ledger.set_time(Some(signed.draft().window.until.unwrap().0 + 1));
    fresh.ledger.close_ledger().await.unwrap();
    assert!(matches!(outbox.resume().await.unwrap()[0].fate, Fate::Void { .. }));
}

#[tokio::test]
async fn another_ledger_at_another_address_is_no_new_beginning_of_one_that_something_is_on() {
    let scene = Scene::new().await;
    let outbox = &scene.payer.outbox;
    assert_eq!(outbox.recognise().await.unwrap(), Recognised::First);
    let at = |bed: &Bed| Outbox::new(bed.horizon.clone(), bed.network.clone(), outbox.rows().clone());
    let fresh = Bed::new().await;
    let nothing_lost = Recognised::Anew(Sign::Passphrase);
    assert_eq!(at(&fresh).recognise().await.unwrap(), nothing_lost, "nothing is under way");
    let escrow = EscrowRow { account: [1; 32], plan: vec![], role: Role::Owner, state: EscrowState::Seen };
    outbox.rows().keep_escrow(&escrow).await.unwrap();
    let elsewhere = Recognised::Elsewhere { place: scene.between.horizon().place() };
    assert_eq!(at(&fresh).recognise().await.unwrap(), elsewhere);
    assert_eq!(outbox.rows().escrows().await.unwrap(), [escrow]);
    // The same ledger at another address is the same.
    assert_eq!(at(&scene.bed).recognise().await.unwrap(), Recognised::Same);
    let elsewhere = Recognised::Elsewhere { place: scene.bed.horizon.place() };
    assert_eq!(at(&fresh).recognise().await.unwrap(), elsewhere);
}
