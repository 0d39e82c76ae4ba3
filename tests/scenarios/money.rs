//! Money on a network of real processes: farmers are paid for what audits prove, to the stroop, and nobody else is; what is
//! left comes back; nothing is paid twice, whoever dies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_core::{Amount, ContractId, Timestamp, auditor::Verdict, contract::Terms};
use hayloft_gateway::Client;
use hayloft_node::model::{EscrowRole, EscrowStage, Wallet};
use hayloft_payments::{
    Address, Horizon,
    escrow::{Payouts, Plan},
    horizon::{Cursor, HorizonOptions, Page},
    wallet::decode,
};
use hayloft_store::{Guard, Home, HomeError, Store, StoreOptions, funding::Funding};
use hayloft_tests::{Devnet, Farmer, hayloft, kill_9};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long to wait for news before the wallet is asked once more.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// XLM per TB-month: each epoch owes some ten thousand stroops for a shard of this file.
const PRICE: &str = "34560000";
const FILE_BYTES: usize = 40_000_000;
/// A settlement period has so many epochs, and an escrow so many periods.
const PERIOD_EPOCHS: u64 = 3;
const PERIODS: usize = 30;

fn devnet(farmers: &str) -> Result<Devnet> {
    Devnet::start_with(&["--farmers", farmers, "--price", PRICE, "--epoch", "5"])
}

fn file(devnet: &Devnet) -> Result<String> {
    let file = devnet.scratch()?.join("file");
    let mut noise = vec![0; FILE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    std::fs::write(&file, noise)?;
    Ok(file.to_str().context("a path")?.to_owned())
}

fn ledger(devnet: &Devnet) -> Result<Horizon> {
    let url = devnet.line()["ledger"].as_str().context("the ready line names no ledger")?;
    Ok(Horizon::new(&HorizonOptions::local(url))?)
}

/// Returns once something is so. Not everything that changes on a ledger is news of a node: it is asked again and again.
async fn wallet_after(
    client: &Client,
    what: &str,
    so: impl AsyncFn(&Client) -> Result<bool>,
) -> Result<Wallet> {
    let becomes = async {
        let mut news = client.events().await?;
        while !so(client).await.unwrap_or(false) {
            let _ = tokio::time::timeout(ASK_AGAIN, news.next()).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(PATIENCE, becomes).await {
        Ok(done) => done?,
        Err(_) => anyhow::bail!("{what} did not come about: {:?}", client.wallet().await),
    }
    Ok(client.wallet().await?)
}

/// The wallet of a node, once it is as wanted.
async fn wallet(client: &Client, what: &str, wanted: impl Fn(&Wallet) -> bool) -> Result<Wallet> {
    wallet_after(client, what, async |client: &Client| Ok(wanted(&client.wallet().await?))).await
}

async fn client(farmer: &Farmer) -> Result<Client> {
    Ok(Client::connect(&farmer.home).await?)
}

/// Removes all shards of a farmer's folder.
fn lose_all(home: &Path) -> Result<()> {
    for folder in std::fs::read_dir(home.join("shards"))? {
        let folder = folder?;
        if folder.file_name().len() == 2 {
            std::fs::remove_dir_all(folder.path())?;
        }
    }
    Ok(())
}

/// The store of a node that was killed, as soon as its process is gone.
async fn store(home: &Path) -> Result<Store> {
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    let free = async {
        loop {
            match Home::open(home) {
                Err(HomeError::Locked { .. }) => tokio::task::yield_now().await,
                home => return home,
            }
        }
    };
    let home = tokio::time::timeout(PATIENCE, free).await.context("its process does not end")??;
    Ok(Store::open(home, options).await?.0)
}

async fn close(store: Store) -> Result<()> {
    store.close().await;
    Ok(store.home().release()?)
}

/// A contract as the books of an owner and an auditor that do not run have it.
struct Book {
    terms: Terms,
    plan: Plan,
    /// From when on how many bytes were kept.
    kept: Vec<(Timestamp, u64)>,
    /// Epochs with their verdicts.
    verdicts: Verdicts,
}

/// Each epoch's verdict, and the revision that it is about.
type Verdicts = BTreeMap<u64, (Verdict, u64)>;

async fn books(devnet: &Devnet) -> Result<Vec<Book>> {
    let owner = store(devnet.owner_home()?).await?;
    let auditor = store(&devnet.auditor().home).await?;
    let mut books = Vec::new();
    for Funding { escrow, contract, terms, .. } in owner.funds().list(None).await? {
        let plan = decode(&escrow.plan).context("a plan")?;
        let spans = owner.funds().spans(contract).await?;
        let kept = spans.iter().map(|span| (span.at, span.bytes)).collect();
        let verdicts = verdicts(&auditor, contract).await?;
        books.push(Book { terms, plan, kept, verdicts });
    }
    close(owner).await?;
    close(auditor).await?;
    Ok(books)
}

async fn verdicts(auditor: &Store, contract: ContractId) -> Result<Verdicts> {
    let judged = auditor.auditor().verdicts(contract, None, 1000).await?;
    Ok(judged
        .iter()
        .map(|one| (one.judgement.epoch.0, (one.judgement.verdict, one.judgement.revision)))
        .collect())
}

impl Book {
    /// What was kept in an epoch, second by second.
    fn byte_seconds(&self, epoch: u64) -> u128 {
        let begin = self.terms.start.0 + epoch * u64::from(self.terms.epoch_seconds);
        let kept_at = |second: u64| {
            let before = self.kept.iter().rev().find(|(at, _)| at.0 <= second);
            before.map_or(0, |(_, bytes)| u128::from(*bytes))
        };
        (begin..begin + u64::from(self.terms.epoch_seconds)).map(kept_at).sum()
    }

    /// The formula of the design, for the periods up to one: time x bytes x price over epochs whose audits passed, in periods
    /// in which nine in ten did; rounded down once.
    fn owed(&self, through: u64) -> u64 {
        let mut sum = 0u128;
        for period in 0..=through {
            let epochs: Vec<u64> = (period * PERIOD_EPOCHS..(period + 1) * PERIOD_EPOCHS).collect();
            let of = |verdict| epochs.iter().filter(|epoch| self.is(**epoch, verdict)).count();
            let (passed, bad) = (of(Verdict::Passed), of(Verdict::Failed) + of(Verdict::Missed));
            if passed > 0 && passed * 10 >= (passed + bad) * 9 {
                let paid = epochs.iter().filter(|epoch| self.counts(**epoch, (through + 1) * PERIOD_EPOCHS));
                sum += paid.map(|epoch| self.byte_seconds(*epoch)).sum::<u128>();
            }
        }
        (sum * u128::from(self.terms.storage_price.0) / (1_000_000_000_000 * 2_592_000)) as u64
    }

    fn is(&self, epoch: u64, verdict: Verdict) -> bool {
        self.verdicts.get(&epoch).is_some_and(|(found, _)| *found == verdict)
    }

    /// An epoch that the auditor could not judge counts once the same revision passed later.
    fn counts(&self, epoch: u64, end: u64) -> bool {
        match self.verdicts.get(&epoch) {
            Some((Verdict::Passed, _)) => true,
            Some((Verdict::Undecided, revision)) => {
                (epoch + 1..end).any(|later| self.verdicts.get(&later) == Some(&(Verdict::Passed, *revision)))
            }
            _ => false,
        }
    }
}

/// All lumens of these accounts, what they may claim, and the fees that were taken.
async fn sum(horizon: &Horizon, accounts: &[Address], escrows: &[Address]) -> Result<u64> {
    let mut sum = horizon.newest_ledger().await?.fee_pool.0;
    for account in accounts.iter().chain(escrows) {
        sum += horizon.account(*account).await?.map_or(0, |account| account.balance.0);
    }
    for escrow in escrows {
        let balances = horizon.balances(*escrow, &Page::default()).await?;
        sum += balances.iter().filter_map(|balance| balance.amount).map(|Amount(amount)| amount).sum::<u64>();
    }
    Ok(sum)
}

fn addresses<'a>(wallets: impl IntoIterator<Item = &'a Wallet>) -> Result<Vec<Address>> {
    wallets.into_iter().map(|wallet| Ok(wallet.status.address.parse()?)).collect()
}

#[tokio::test]
async fn farmers_are_paid_to_the_stroop_for_what_audits_prove_and_the_one_that_lost_it_is_not() -> Result<()>
{
    let devnet = devnet("5")?;
    let horizon = ledger(&devnet)?;
    let owner = devnet.owner().await?;
    let funded = wallet(&owner, "funding", |wallet| wallet.status.free > 0).await?;
    let status = hayloft(devnet.owner_home()?, ["wallet", "status"])?.done()?;
    let fields: Vec<&str> = status.as_object().context("no object")?.keys().map(String::as_str).collect();
    ensure!(fields == ["address", "earned", "escrow", "free", "network", "owed", "paid"], "{fields:?}");
    let mut farmers = Vec::new();
    for farmer in devnet.farmers() {
        let client = client(farmer).await?;
        let funded = wallet(&client, "a farmer's funding", |wallet| wallet.status.free > 0).await?;
        farmers.push((client, funded));
    }
    let file = file(&devnet)?;
    let quote = hayloft(devnet.owner_home()?, ["put", &file, "--dry-run"])?.done()?;
    ensure!(quote["locked"].as_u64().is_some_and(|locked| locked > 0), "{quote}");
    let accounts = addresses(farmers.iter().map(|(_, wallet)| wallet).chain([&funded]))?;
    let before = sum(&horizon, &accounts, &[]).await?;
    // Nobody is asked who is dearer than the owner allows, and nothing is spent beyond its limits.
    let limits = ["wallet", "limits", "--price", "1", "--per-day", "0.5"];
    hayloft(devnet.owner_home()?, limits)?.done()?;
    let (code, said) = hayloft(devnet.owner_home()?, ["put", &file])?.refused()?;
    ensure!(code == "not_enough_farmers", "{code}: {said}");
    let farmer = farmers[0].1.status.address.as_str();
    let send = ["wallet", "send", farmer, "1", "--yes"];
    let (code, said) = hayloft(devnet.owner_home()?, send)?.refused()?;
    ensure!(code == "money" && said.contains("a day"), "{code}: {said}");
    let limits = ["wallet", "limits", "--price", "none", "--per-day", "none"];
    hayloft(devnet.owner_home()?, limits)?.done()?;
    let (code, said) = hayloft(devnet.owner_home()?, ["put", &file])?.refused()?;
    ensure!(code == "bad_request" && said.contains("--yes"), "nobody was asked: {code}: {said}");
    // All escrows or none: what pays for a part of the farmers stores nothing.
    let quoted = |name: &str| quote[name].as_u64().context("no sum");
    // Each begins with three lumens, which count as spent beside what it pays.
    let lumens = ((quoted("locked")? - quoted("reserves")?) as f64 * 0.6 + 9e7) / 1e7;
    let limits = ["wallet", "limits", "--in-all", &format!("{lumens:.7}")];
    hayloft(devnet.owner_home()?, limits)?.done()?;
    let (code, said) = hayloft(devnet.owner_home()?, ["put", &file, "--yes"])?.refused()?;
    ensure!(code == "money" && said.contains("in all"), "{code}: {said}");
    let nothing = owner.wallet().await?;
    ensure!(nothing.status.escrow == 0 && nothing.escrows.is_empty(), "{nothing:?}");
    hayloft(devnet.owner_home()?, ["wallet", "limits", "--in-all", "none"])?.done()?;
    hayloft(devnet.owner_home()?, ["put", &file, "--yes"])?.done()?;
    lose_all(&devnet.farmers()[0].home)?;
    let paying = wallet(&owner, "escrows", |wallet| wallet.escrows.len() == 5).await?;
    ensure!(paying.status.escrow > 0 && paying.status.free < funded.status.free, "{paying:?}");
    ensure!(paying.escrows.iter().all(|escrow| escrow.stage == EscrowStage::Standing), "{paying:?}");

    for (farmer, _) in &farmers[1..] {
        let first = wallet(farmer, "a payment", |wallet| wallet.status.earned > 0).await?.status.earned;
        wallet(farmer, "another payment", |wallet| wallet.status.earned > first).await?;
    }
    kill_9(owner.pid())?;
    kill_9(devnet.auditor().pid)?;
    for farmer in devnet.farmers() {
        kill_9(farmer.pid)?;
    }
    // What was signed before is in one of the next ledgers.
    let mut closing = horizon.ledger_events(Cursor::Now);
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, closing.next()).await.context("no ledger closes")??;
    }
    let books = books(&devnet).await?;
    ensure!(books.len() == 5);
    let escrows: Vec<Address> = books.iter().map(|book| book.plan.escrow).collect();
    let lost: Address = farmers[0].1.status.address.parse()?;
    let (mut of_lost, mut of_others) = (0, Vec::new());
    for book in &books {
        let paid = Payouts::default().catch_up(&horizon, &book.plan).await?.0;
        let open = horizon.balances(book.plan.escrow, &Page::default()).await?.len();
        let settled = PERIODS - open;
        let owed = settled.checked_sub(1).map_or(0, |through| book.owed(through as u64));
        ensure!(
            paid == owed,
            "paid {paid}, and by the formula {owed} for {settled} periods: {:?}",
            book.verdicts
        );
        if book.plan.farmer == lost {
            ensure!(
                book.verdicts.keys().any(|epoch| book.is(*epoch, Verdict::Failed)),
                "{:?}",
                book.verdicts
            );
            of_lost = paid;
        } else {
            ensure!(settled >= 2 && paid >= 2 * PERIOD_EPOCHS * 1_000, "{paid} for {settled} periods");
            of_others.push(paid);
        }
    }
    // It may have passed while the file was still being sent.
    ensure!(
        of_others.iter().all(|paid| *paid > of_lost),
        "{of_lost} for what was lost, {of_others:?} for the rest"
    );
    let after = sum(&horizon, &accounts, &escrows).await?;
    ensure!(after == before, "{before} stroops became {after}");
    Ok(())
}

#[tokio::test]
async fn whoever_dies_nothing_is_paid_twice_and_nothing_is_stuck() -> Result<()> {
    let devnet = devnet("3")?;
    let horizon = ledger(&devnet)?;
    let url = devnet.line()["ledger"].as_str().context("a ledger")?.to_owned();
    let owner = devnet.owner().await?;
    wallet(&owner, "funding", |wallet| wallet.status.free > 0).await?;
    let file = file(&devnet)?;
    // Killed while escrows are being set up: what was begun is used or comes back, and the put goes on.
    let putting = tokio::task::spawn_blocking({
        let (home, file) = (devnet.owner_home()?.to_owned(), file.clone());
        move || hayloft(&home, ["put", &file, "--yes"])
    });
    wallet(&owner, "a first escrow", |wallet| !wallet.escrows.is_empty()).await?;
    kill_9(owner.pid())?;
    let _ = putting.await?;
    let auditor = devnet.auditor().clone();
    let address = Client::connect(&auditor.home).await?.status().await?.addresses;
    let address = address.iter().find(|one| one.contains("/quic-v1/")).context("an address")?.clone();
    let words = ["--bootstrap", devnet.bootstrap(), "--epoch", "5", "--ledger", &url, "--auditor", &address];
    let again = devnet.join("owner", &words)?;
    let owner = Client::connect(again.home()).await?;
    // The transfer that was under way goes on by itself.
    wallet_after(&owner, "the file", async |owner: &Client| Ok(!owner.files().await?.is_empty())).await?;
    let farmers = devnet.farmers().to_vec();
    let mut homes = Vec::new();
    for farmer in &farmers {
        wallet(&client(farmer).await?, "a payment", |wallet| wallet.status.earned > 0).await?;
        kill_9(farmer.pid)?;
        let words =
            ["--bootstrap", devnet.bootstrap(), "--epoch", "5", "--ledger", &url, "--disk-guard", "256MB"];
        let name = farmer.home.file_name().and_then(|name| name.to_str()).context("a name")?;
        homes.push(devnet.join(name, &words)?);
    }
    for home in &homes {
        let farmer = Client::connect(home.home()).await?;
        let before = farmer.wallet().await?.status.earned;
        wallet(&farmer, "a payment after its death", |wallet| wallet.status.earned > before).await?;
    }
    again.kill_9()?;
    kill_9(auditor.pid)?;
    for book in books(&devnet).await? {
        let paid = Payouts::default().catch_up(&horizon, &book.plan).await?.0;
        let open = horizon.balances(book.plan.escrow, &Page::default()).await?.len();
        let owed = (PERIODS - open).checked_sub(1).map_or(0, |through| book.owed(through as u64));
        ensure!(paid <= owed, "{paid} was paid and {owed} owed");
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_ledger_that_is_wiped_is_noticed_and_contracts_are_paid_for_anew() -> Result<()> {
    let devnet = devnet("3")?;
    let owner = devnet.owner().await?;
    wallet(&owner, "funding", |wallet| wallet.status.free > 0).await?;
    hayloft(devnet.owner_home()?, ["put", &file(&devnet)?, "--yes"])?.done()?;
    let paying = wallet(&owner, "escrows", |wallet| wallet.escrows.len() == 3).await?;
    ensure!(paying.escrows.iter().all(|escrow| escrow.role == EscrowRole::Owner), "{paying:?}");
    let mut news = owner.events().await?;
    let _ledger = devnet.wipe_ledger()?;
    let told = async {
        while let Some(event) = news.next().await {
            if let hayloft_node::model::Event::Notice(notice) = event
                && notice.contains("another one now")
            {
                return Ok(());
            }
        }
        anyhow::bail!("the owner has ended")
    };
    tokio::time::timeout(PATIENCE, told).await.context("nobody said that the ledger began anew")??;
    let anew = wallet(&owner, "a new beginning", |wallet| {
        let over = |escrow: &hayloft_node::model::Escrow| escrow.stage == EscrowStage::Over;
        wallet.status.free > 0 && wallet.escrows.iter().filter(|escrow| over(escrow)).count() >= 3
    });
    let anew = anew.await?;
    ensure!(anew.status.address == paying.status.address, "{anew:?}");
    // The same contracts have escrows again.
    let again = wallet(&owner, "new escrows", |wallet| {
        wallet.escrows.iter().filter(|escrow| escrow.stage == EscrowStage::Standing).count() >= 3
    });
    let contracts = |wallet: &Wallet, stage| -> BTreeSet<Option<String>> {
        let of_stage = wallet.escrows.iter().filter(|escrow| escrow.stage == stage);
        of_stage.map(|escrow| escrow.contract.clone()).collect()
    };
    let again = again.await?;
    ensure!(contracts(&again, EscrowStage::Standing) == contracts(&again, EscrowStage::Over), "{again:?}");
    for farmer in devnet.farmers() {
        let earns = |wallet: &Wallet| {
            let paid = |escrow: &hayloft_node::model::Escrow| {
                escrow.stage == EscrowStage::Standing && escrow.paid > 0
            };
            wallet.status.earned > 0
                && wallet.escrows.iter().any(|escrow| escrow.stage == EscrowStage::Over)
                && wallet.escrows.iter().any(paid)
        };
        wallet(&client(farmer).await?, "a payment anew", earns).await?;
    }
    Ok(())
}
