//! A month in a network of two hundred farmers, all of them real nodes in this process: a clock moved by hand, audits each
//! day, farmers that go, come, leave, and lose their disks. At its end every file is whole, and no farmer that was there and
//! kept everything has been blamed once.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use hayloft_core::{ShardId, audit::Sectors, repair::Need, settlement::Verdict};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::bed::{self, Bed, noise};
use crate::{Clock, Node, NodeOptions, owner::repair};

const FARMERS: usize = 200;
const DAYS: u64 = 30;
const HOUR: u64 = 3600;
/// Hours between two looks of the auditor: as many questions as there are epochs, and some again.
const STEP: u64 = 3;
const FILES: u64 = 3;
const FILE_BYTES: usize = 20_000;
const LIMIT: Duration = Duration::from_secs(60);

/// What becomes of a farmer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is there and keeps everything.
    Stays,
    /// It is switched off, until that day if it comes back.
    Away(Option<u64>),
    /// It was away, and has come back.
    Back,
    /// It has said that it leaves.
    Leaves,
    /// It lost its disk and stays.
    Lost,
}

struct Month {
    bed: Bed,
    _homes: TempDir,
    auditor: Node,
    fates: Vec<Fate>,
    chance: StdRng,
    endings: HashMap<usize, JoinHandle<()>>,
}

/// A folder for two hundred homes, in memory where there is such a disk: what is seen to be on a disk is tested elsewhere.
fn homes() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temp folder can be made")
}

impl Month {
    async fn begins() -> Self {
        let homes = homes();
        let base =
            NodeOptions { sectors: Some(Sectors::MIN), ..bed::base(Clock::by_hand(Clock::system().now())) };
        let home = homes.path().join("auditor");
        let judges = NodeOptions { home, audit: Some(true), vet: Some(false), ..base.clone() };
        let auditor = Node::open(judges).await.expect("an auditor opens");
        let bootstrap = auditor.status().await.expect("a status").addresses;
        let named = bootstrap[0].clone();
        let base = NodeOptions { bootstrap, dht_client: true, ..base };
        let bed = Bed::planted(homes.path(), FARMERS, base, Some(&named)).await;
        bed.see_farmers(FARMERS as u32).await;
        for number in 0..FILES {
            bed.put_bytes(&name(number), &noise(number, FILE_BYTES)).await;
        }
        let (fates, chance) = (vec![Fate::Stays; FARMERS], StdRng::seed_from_u64(200));
        Self { bed, _homes: homes, auditor, fates, chance, endings: HashMap::new() }
    }

    async fn day(&mut self, day: u64) {
        self.some_come_back(day).await;
        self.some_go(day).await;
        for hour in (0..24).step_by(STEP as usize) {
            self.bed.clock.advance(STEP * HOUR);
            self.auditor.auditor_for_tests().work().await;
            if hour == 12 {
                self.is_repaired().await;
            }
        }
    }

    /// One of those that stay.
    fn somebody(&mut self) -> usize {
        loop {
            let number = self.chance.random_range(0..self.fates.len());
            if self.fates[number] == Fate::Stays {
                return number;
            }
        }
    }

    /// One of those that stay and keep something.
    async fn some_keeper(&mut self) -> usize {
        loop {
            let number = self.somebody();
            let status = self.bed.farms[number].node.farm_status().await.expect("a status");
            if status.contracts.iter().any(|contract| contract.shards > 0) {
                return number;
            }
        }
    }

    /// Each day one farmer vanishes, for ever or for some days, one begins to leave, one loses its disk, and two come.
    async fn some_go(&mut self, day: u64) {
        let vanishes = self.somebody();
        self.endings.insert(vanishes, self.bed.vanishes(vanishes));
        self.fates[vanishes] = Fate::Away(self.chance.random_bool(0.3).then_some(day + 4));
        let leaver = self.some_keeper().await;
        self.bed.farms[leaver].node.farm_leave(true).await.expect("it says that it leaves");
        self.fates[leaver] = Fate::Leaves;
        let loser = self.some_keeper().await;
        self.bed.lose_everything(loser);
        self.fates[loser] = Fate::Lost;
        for _ in 0..2 {
            self.bed.open_another().await;
            self.fates.push(Fate::Stays);
        }
    }

    /// Who was away for some days only is there again; who leaves, and whose shards have all been moved, goes.
    async fn some_come_back(&mut self, day: u64) {
        for number in 0..self.fates.len() {
            match self.fates[number] {
                Fate::Away(Some(until)) if until <= day => {
                    if let Some(ending) = self.endings.remove(&number) {
                        ending.await.expect("it has ended");
                    }
                    self.bed.revive(number).await;
                    self.fates[number] = Fate::Back;
                }
                Fate::Leaves => {
                    let status = self.bed.farms[number].node.farm_status().await.expect("a status");
                    if status.leaving.is_some_and(|leaving| leaving.shards == 0) {
                        self.endings.insert(number, self.bed.vanishes(number));
                        self.fates[number] = Fate::Away(None);
                    }
                }
                Fate::Stays | Fate::Back | Fate::Lost | Fate::Away(_) => {}
            }
        }
    }

    /// The owner looks after its files, and what it finds due is repaired.
    async fn is_repaired(&mut self) {
        let owner = self.bed.node.owner_for_tests().await;
        let mut news = self.bed.node.subscribe();
        let looked = repair::look_after(&owner.inner, &owner.jobs, true).await;
        looked.expect("the owner looks after its files");
        let repaired = async {
            loop {
                let assessed = repair::assessed(&owner.inner).await.expect("assessed");
                assert!(assessed.iter().all(|one| !matches!(one.assessment.need, Need::Stuck | Need::Lost)));
                if !assessed.iter().any(|one| matches!(one.assessment.need, Need::Due(_))) {
                    return;
                }
                let _ = news.recv().await;
            }
        };
        tokio::time::timeout(LIMIT, repaired).await.expect("what is due is repaired in time");
    }

    /// All shards of all files as they lie now.
    async fn shards(&self) -> HashSet<ShardId> {
        let mut shards = HashSet::new();
        for number in 0..FILES {
            shards.extend(self.bed.placement(&name(number)).await.shards.iter().map(|shard| shard.id));
        }
        shards
    }

    /// What the auditor has judged of farmers with this fate.
    async fn verdicts(&self, fate: Fate) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (farm, _) in self.bed.farms.iter().zip(&self.fates).filter(|(_, found)| **found == fate) {
            for contract in farm.node.farm_status().await.expect("a status").contracts {
                let contract = contract.contract.parse().expect("a contract's name");
                let judged = self.auditor.auditor_for_tests().verdicts_for_tests(contract).await;
                verdicts.extend(judged.into_iter().map(|judged| judged.judgement.verdict));
            }
        }
        verdicts
    }

    /// Every file comes back as it was put, and lies with as many farmers as at the beginning.
    async fn every_file_is_whole(&self) {
        for number in 0..FILES {
            let name = name(number);
            assert!(self.bed.get_bytes(&name).await == noise(number, FILE_BYTES), "{name} came back changed");
            self.bed.repair(&name).await.expect("what was still waited for is repaired");
            let health = self.bed.node.health(&name).await.expect("health");
            assert!(health.segments.iter().all(|segment| segment.alive == health.n), "{health:?}");
        }
    }

    async fn ends(mut self) {
        let nodes = self.bed.farms.iter().map(|farm| &farm.node).chain([&self.bed.node, &self.auditor]);
        futures::future::join_all(nodes.map(Node::shutdown)).await;
        futures::future::join_all(self.endings.drain().map(|(_, ending)| ending)).await;
    }
}

fn name(number: u64) -> String {
    format!("file {number}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_month_of_churn_among_two_hundred_farmers_every_file_is_whole() {
    let mut month = Month::begins().await;
    let before = month.shards().await;
    for day in 0..DAYS {
        month.day(day).await;
    }
    let moved = before.difference(&month.shards().await).count();
    assert!(moved > DAYS as usize, "only {moved} shards lie elsewhere");
    month.every_file_is_whole().await;
    let honest = month.verdicts(Fate::Stays).await;
    assert!(honest.len() > 100, "{} verdicts", honest.len());
    assert!(honest.iter().all(|verdict| *verdict == Verdict::Passed), "{honest:?}");
    let lost = month.verdicts(Fate::Lost).await;
    assert!(lost.iter().filter(|verdict| **verdict != Verdict::Passed).count() > 5, "{lost:?}");
    month.ends().await;
}
