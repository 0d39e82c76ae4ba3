//! The network of a soak: its processes, and what those who act on it share.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use hayloft_tests::{farmers_seen, hayloft};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    door::Door,
    presence::Presence,
    process::{Place, Process},
    tally::Tally,
};

/// Farmers that live through the whole run.
const STEADY_FARMERS: usize = 3;
/// Owners that do.
const STEADY_OWNERS: usize = 1;
/// Workers of each owner: they use one node at the same time, each for files of its own.
pub(crate) const WORKERS_PER_OWNER: usize = 3;
/// What each farmer offers.
const QUOTA: &str = "4GB";
/// Processes started at once.
const AT_ONCE: usize = 4;

/// A node: what it takes to start it, and the running process unless it is away.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) place: Place,
    /// Lives through the whole run.
    pub(crate) steady: bool,
    /// Will never come back.
    pub(crate) left: Cell<bool>,
    pub(crate) process: Arc<Mutex<Option<Process>>>,
}

/// An owner's node.
pub(crate) struct OwnerSlot {
    pub(crate) slot: Rc<Slot>,
    pub(crate) door: Door,
}

/// All there is.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) network: String,
    pub(crate) bootstrap: Rc<Slot>,
    pub(crate) address: String,
    pub(crate) farmers: RefCell<Vec<Rc<Slot>>>,
    pub(crate) owners: Vec<OwnerSlot>,
    pub(crate) liars: RefCell<HashSet<String>>,
    /// A farmer that leaks, to see that it is noticed.
    leaky: RefCell<Option<Process>>,
    pub(crate) presence: Presence,
    pub(crate) tally: Tally,
    /// Of each worker: how many farmers may leave in all before one of its files is in danger.
    pub(crate) may_leave: Vec<Cell<i64>>,
    /// No more blows, and no new work.
    pub(crate) ending: CancellationToken,
    /// What is under way still is cancelled.
    pub(crate) late: CancellationToken,
}

impl World {
    /// Starts everything and returns when all owners know all farmers.
    pub(crate) async fn start(folder: &Path, farmers: usize, owners: usize, seed: u64) -> Result<Rc<Self>> {
        let network = format!("soak-{seed:x}");
        std::fs::create_dir_all(folder.join("logs"))?;
        let place = |name: &str, words: &[&str]| place(folder, &network, name, words);
        let bootstrap = slot("bootstrap", place("bootstrap", &[]), true).await?;
        let address = bootstrap.process.lock().await.as_ref().and_then(Process::address);
        let address = address.context("the bootstrap node has no address")?;
        let starting = (1..=farmers).map(|number| {
            let name = format!("farmer-{number}");
            let place = farmer_place(folder, &network, &name, &address);
            async move { slot(&name, place, number <= STEADY_FARMERS).await }
        });
        let all: Vec<Rc<Slot>> = stream::iter(starting).buffered(AT_ONCE).try_collect().await?;
        let mut doors = Vec::new();
        for number in 1..=owners {
            let name = format!("owner-{number}");
            let place = place(&name, &["--bootstrap", &address]);
            let (home, of) = (place.home.clone(), network.clone());
            tokio::task::spawn_blocking(move || hayloft(&home, ["--network", &of, "init"])?.done()).await??;
            let slot = slot(&name, place, number <= STEADY_OWNERS).await?;
            let client = slot.place.client().await?;
            let door = Door::default();
            door.open(client);
            doors.push(OwnerSlot { slot, door });
        }
        for owner in &doors {
            farmers_seen(&owner.slot.place.client().await?, u32::try_from(farmers)?).await?;
        }
        Ok(Rc::new(Self {
            folder: folder.to_owned(),
            network,
            bootstrap,
            address,
            farmers: RefCell::new(all),
            owners: doors,
            liars: RefCell::default(),
            leaky: RefCell::default(),
            presence: Presence::default(),
            tally: Tally::default(),
            may_leave: (0..owners * WORKERS_PER_OWNER).map(|_| Cell::new(i64::MAX)).collect(),
            ending: CancellationToken::new(),
            late: CancellationToken::new(),
        }))
    }

    /// One more farmer.
    pub(crate) async fn new_farmer(&self) -> Result<()> {
        let name = format!("farmer-{}", self.farmers.borrow().len() + 1);
        let place = farmer_place(&self.folder, &self.network, &name, &self.address);
        let slot = slot(&name, place, false).await?;
        self.farmers.borrow_mut().push(slot);
        Ok(())
    }

    /// One more that serves honestly and leaks.
    pub(crate) async fn new_leaky_farmer(&self) -> Result<()> {
        let leaky = Process::liar(&self.network, &self.address, "leaks", &self.log("leaky")).await?;
        self.leaky.replace(Some(leaky));
        Ok(())
    }

    /// All processes that live through the whole run, by name.
    pub(crate) async fn steady(&self) -> Result<Vec<(String, u32)>> {
        let farmers = self.farmers_left();
        let slots = [&self.bootstrap].into_iter().chain(&farmers);
        let slots = slots.chain(self.owners.iter().map(|owner| &owner.slot)).filter(|slot| slot.steady);
        let mut steady = Vec::new();
        for slot in slots {
            let pid = slot.process.lock().await.as_ref().and_then(Process::pid);
            steady.push((slot.name.clone(), pid.context("a process without a number")?));
        }
        let leaky = self.leaky.borrow().as_ref().and_then(Process::pid);
        steady.extend(leaky.map(|pid| ("leaky".to_owned(), pid)));
        Ok(steady)
    }

    /// Farmers that did not leave.
    pub(crate) fn farmers_left(&self) -> Vec<Rc<Slot>> {
        self.farmers.borrow().iter().filter(|farmer| !farmer.left.get()).cloned().collect()
    }

    /// Whether one more farmer may leave without danger to any file.
    pub(crate) fn may_one_leave(&self) -> bool {
        let after = self.presence.left() as i64 + 1;
        self.may_leave.iter().all(|most| after <= most.get())
    }

    /// Where a log is.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        log(&self.folder, name)
    }

    /// Lets time pass, unless the end is near.
    pub(crate) async fn pass(&self, span: Duration) {
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            () = self.ending.cancelled() => {}
        }
    }

    /// Lets go of all processes.
    pub(crate) async fn close(&self) {
        let leaky = self.leaky.take();
        if let Some(leaky) = leaky
            && let Err(error) = leaky.close().await
        {
            eprintln!("leaky: {error:#}");
        }
        let farmers = self.farmers.borrow().clone();
        let owners = self.owners.iter().map(|owner| &owner.slot);
        for slot in owners.chain(&farmers).chain([&self.bootstrap]) {
            if let Some(process) = slot.process.lock().await.take()
                && let Err(error) = process.close().await
            {
                eprintln!("{}: {error:#}", slot.name);
            }
        }
    }
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join("logs").join(format!("{name}.log"))
}

fn place(folder: &Path, network: &str, name: &str, words: &[&str]) -> Place {
    Place {
        home: folder.join(name),
        log: log(folder, name),
        network: network.to_owned(),
        words: words.iter().map(|&word| word.to_owned()).collect(),
    }
}

fn farmer_place(folder: &Path, network: &str, name: &str, address: &str) -> Place {
    place(folder, network, name, &["--bootstrap", address, "--farm", QUOTA, "--disk-guard", "64MB"])
}

async fn slot(name: &str, place: Place, steady: bool) -> Result<Rc<Slot>> {
    let process = place.start().await?;
    Ok(Rc::new(Slot {
        name: name.to_owned(),
        id: process.id(),
        place,
        steady,
        left: Cell::new(false),
        process: Arc::new(Mutex::new(Some(process))),
    }))
}
