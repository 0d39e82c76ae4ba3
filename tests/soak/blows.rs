//! What befalls nodes: farmers are killed, asked to stop, paused, leave for ever and join; liars come and go; owners are
//! killed and started again.
//!
//! Invariants: most of the time few enough farmers are away for every file to come back, and never do more leave for
//! ever than the files can do without, because nothing rebuilds lost shards.

use std::{future::Future, pin::Pin, rc::Rc, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, stream::FuturesUnordered};
use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use tokio::sync::OwnedMutexGuard;

use crate::{
    lie::Lie,
    model::MOST_LIARS,
    process::Process,
    world::{Slot, World},
};

/// Farmers that may be away at once, but for a blackout.
const MOST_AWAY: usize = 3;
/// Farmers that even a blackout leaves.
const LEAST_THERE: usize = 9;

/// What may befall a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Farmer(How),
    LeaveAndJoin,
    Liar,
    Owner(How),
    Blackout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Killed,
    Stopped,
    Paused,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "asked to stop",
            Self::Paused => "paused",
        }
    }
}

const BLOWS: [(Blow, u32); 8] = [
    (Blow::Farmer(How::Killed), 24),
    (Blow::Farmer(How::Stopped), 8),
    (Blow::Farmer(How::Paused), 14),
    (Blow::LeaveAndJoin, 8),
    (Blow::Liar, 12),
    (Blow::Owner(How::Killed), 12),
    (Blow::Owner(How::Stopped), 4),
    (Blow::Blackout, 3),
];

type Work = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Deals blows until the end is near, and returns when all who were away are back.
pub(crate) async fn deal(world: Rc<World>, seed: u64) -> Result<()> {
    let mut blows =
        Blows { world: world.clone(), rng: StdRng::seed_from_u64(seed), lies: 0, liars: Rc::default() };
    let mut under_way: FuturesUnordered<Work> = FuturesUnordered::new();
    while !world.ending.is_cancelled() {
        let pause = Duration::from_millis(blows.rng.random_range(800..4000));
        tokio::select! {
            Some(ended) = under_way.next(), if !under_way.is_empty() => {
                ended?;
                continue;
            }
            () = world.pass(pause) => {}
        }
        under_way.extend(blows.next());
    }
    while let Some(ended) = under_way.next().await {
        ended?;
    }
    Ok(())
}

struct Blows {
    world: Rc<World>,
    rng: StdRng,
    lies: usize,
    liars: Rc<()>,
}

impl Blows {
    /// The next blow; nothing if it would be one too many.
    fn next(&mut self) -> Vec<Work> {
        let Ok(&(blow, _)) = BLOWS.choose_weighted(&mut self.rng, |(_, weight)| *weight) else {
            return Vec::new();
        };
        match blow {
            Blow::Farmer(how) if self.world.presence.away() < MOST_AWAY => {
                self.some_farmer().map(|held| self.outage(held, how)).into_iter().collect()
            }
            Blow::LeaveAndJoin if self.world.may_one_leave() => self.replace_one().into_iter().collect(),
            Blow::Liar if Rc::strong_count(&self.liars) <= MOST_LIARS => vec![self.liar()],
            Blow::Owner(how) => self.owner(how).into_iter().collect(),
            Blow::Blackout => self.blackout(),
            Blow::Farmer(_) | Blow::LeaveAndJoin | Blow::Liar => Vec::new(),
        }
    }

    fn seconds(&mut self, most: f64) -> Duration {
        Duration::from_secs_f64(self.rng.random_range(0.2..most))
    }

    /// A farmer that is there and need not live through the whole run, held so that nothing else befalls it.
    fn some_farmer(&mut self) -> Option<Held> {
        let mut farmers = self.world.farmers_left();
        farmers.retain(|farmer| !farmer.steady);
        farmers.shuffle(&mut self.rng);
        farmers.into_iter().find_map(Held::take)
    }

    fn outage(&mut self, held: Held, how: How) -> Work {
        let (world, span) = (self.world.clone(), self.seconds(8.0));
        world.presence.goes(&held.slot.id);
        world.tally.blow(&format!("farmer {}", how.word()));
        Box::pin(async move {
            let mut held = held;
            held.away(&world, how, span).await?;
            world.presence.returns(&held.slot.id);
            Ok(())
        })
    }

    fn replace_one(&mut self) -> Option<Work> {
        let held = self.some_farmer()?;
        let world = self.world.clone();
        world.presence.leaves(&held.slot.id);
        held.slot.left.set(true);
        world.tally.blow("farmer left for ever");
        Some(Box::pin(async move {
            let mut held = held;
            held.process.take().context("it was there")?.kill().await?;
            world.new_farmer().await?;
            world.tally.blow("farmer joined");
            Ok(())
        }))
    }

    /// So many at once that files may be out of reach, but enough are left for new ones.
    fn blackout(&mut self) -> Vec<Work> {
        let there = self.world.farmers_left().len() - self.world.presence.away();
        let hit: Vec<Held> = (LEAST_THERE..there).map_while(|_| self.some_farmer()).collect();
        self.world.tally.blow("blackout");
        let mut outages = Vec::new();
        for held in hit {
            let how = if self.rng.random() { How::Killed } else { How::Paused };
            outages.push(self.outage(held, how));
        }
        outages
    }

    /// A liar of the next kind joins for a while.
    fn liar(&mut self) -> Work {
        let lie = Lie::ALL[self.lies % Lie::ALL.len()];
        self.lies += 1;
        let (world, span, here) = (self.world.clone(), self.seconds(40.0), self.liars.clone());
        Box::pin(async move {
            let lie = serde_json::to_value(lie)?;
            let lie = lie.as_str().context("a lie has a name")?;
            let liar = Process::liar(&world.network, &world.address, lie, &world.log("liars")).await?;
            world.liars.borrow_mut().insert(liar.id());
            world.tally.blow(&format!("liar joined: {lie}"));
            world.pass(span).await;
            liar.close().await?;
            drop(here);
            Ok(())
        })
    }

    fn owner(&mut self, how: How) -> Option<Work> {
        let (world, span) = (self.world.clone(), self.seconds(3.0));
        let may = |index: &usize| !world.owners[*index].slot.steady;
        let index = *(0..world.owners.len()).filter(may).collect::<Vec<_>>().choose(&mut self.rng)?;
        let held = Held::take(world.owners[index].slot.clone())?;
        world.tally.blow(&format!("owner {}", how.word()));
        Some(Box::pin(async move {
            let (mut held, door) = (held, &world.owners[index].door);
            door.close();
            held.away(&world, how, span).await?;
            door.open(held.slot.place.client().await?);
            Ok(())
        }))
    }
}

/// A node and its process, for one blow alone.
struct Held {
    slot: Rc<Slot>,
    process: OwnedMutexGuard<Option<Process>>,
}

impl Held {
    fn take(slot: Rc<Slot>) -> Option<Self> {
        let process = slot.process.clone().try_lock_owned().ok()?;
        Some(Self { slot, process })
    }

    /// Lets it be away for a while.
    async fn away(&mut self, world: &World, how: How, span: Duration) -> Result<()> {
        let there = self.process.take().with_context(|| format!("{} is not there", self.slot.name))?;
        let ended = match how {
            How::Paused => {
                let pause = there.pause()?;
                world.pass(span).await;
                *self.process = Some(there);
                return pause.end().await;
            }
            How::Killed => there.kill().await,
            How::Stopped => there.terminate().await,
        };
        ended.with_context(|| format!("{} was {}", self.slot.name, how.word()))?;
        world.pass(span).await;
        *self.process = Some(self.slot.place.start().await?);
        Ok(())
    }
}
