//! The network's year: audits find what is lost, scores fall, segments are rebuilt. All decisions are those of `core`;
//! what is simulated is only time, disks and lines.

use hayloft_core::{
    Timestamp,
    audit::{BLOCKS_PER_EPOCH, Sectors, TURNS},
    brake,
    content::{Coding, Layout},
    repair::{self, Holding, Need, Patience},
    score::{self, Observation, Scores, Standing},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    report::Year,
    world::{Assumptions, Loss, Presence, TICKS, World},
};

const DAYS: u32 = 365;
const MOST: usize = 40;
/// Farmers compared when one is chosen: an owner knows some, not all.
const CHOICE: usize = 6;
const TICK_SECONDS: u64 = 24 * 3600 / TICKS as u64;
/// Sealed bytes of a segment.
const SEGMENT_BYTES: u64 = 16 << 20;

/// A shard: where it is, and what is true and known of it.
#[derive(Debug, Clone, Copy)]
struct Shard {
    farmer: u16,
    held: bool,
    known_lost: bool,
}

/// What the owner and the auditor know of a farmer.
#[derive(Debug, Clone, Default)]
struct Known {
    silent_since: Option<u32>,
    scores: Scores,
    /// An honest farmer's loss that it will have noticed by then.
    report_at: Option<u32>,
}

pub(crate) struct Network {
    coding: Coding,
    world: World,
    known: Vec<Known>,
    shards: Vec<[Shard; MOST]>,
    /// What was placed at each farmer: segment and column. Some of it has moved on since.
    at: Vec<Vec<(u32, u8)>>,
    /// What the owners hold of each farmer's shards in this tick.
    seen: Vec<Holding>,
    lost: Vec<bool>,
    shard_bytes: u64,
    usually_bad: f64,
    repair_bytes_a_tick: u64,
    rng: StdRng,
    year: Year,
}

impl Network {
    pub(crate) fn new(coding: Coding, segments: usize, assumptions: Assumptions, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let farmers = assumptions.farmers;
        let shard_bytes = Layout::new(SEGMENT_BYTES, coding.k()).expect("a segment of that size").shard_len();
        let mut network = Self {
            coding,
            world: World::new(assumptions, &mut rng),
            known: vec![Known::default(); farmers],
            shards: vec![[Shard { farmer: 0, held: true, known_lost: false }; MOST]; segments],
            at: vec![Vec::new(); farmers],
            seen: vec![Holding::Present; farmers],
            lost: vec![false; segments],
            shard_bytes,
            usually_bad: 0.0,
            repair_bytes_a_tick: 0,
            rng,
            year: Year::new(segments, coding),
        };
        // Every 100 GB stored have an owner whose line carries 20 Mbit/s.
        let owners = (segments as u64 * SEGMENT_BYTES).div_ceil(100_000_000_000);
        network.repair_bytes_a_tick = owners * 20_000_000 / 8 * TICK_SECONDS;
        for segment in 0..segments {
            for column in 0..network.n() {
                let farmer = network.pick(segment, column).expect("farmers enough at the start");
                network.place(segment, column, farmer);
            }
        }
        network
    }

    pub(crate) fn run(mut self) -> Year {
        for tick in 0..DAYS * TICKS {
            self.move_world(tick);
            self.audit(tick);
            self.repair(tick);
        }
        self.year.stored_bytes = self.lost.len() as u64 * SEGMENT_BYTES;
        self.year.lost = self.lost.iter().filter(|lost| **lost).count();
        self.year
    }

    fn n(&self) -> usize {
        self.coding.n().into()
    }

    fn k(&self) -> usize {
        self.coding.k().into()
    }

    fn place(&mut self, segment: usize, column: usize, farmer: usize) {
        self.shards[segment][column] =
            Shard { farmer: u16::try_from(farmer).expect("few farmers"), held: true, known_lost: false };
        let placed =
            (u32::try_from(segment).expect("few segments"), u8::try_from(column).expect("few columns"));
        self.at[farmer].push(placed);
    }

    /// Of a few farmers in good standing that have nothing of the segment, the one from the country that has least of it.
    fn pick(&mut self, segment: usize, placed: usize) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        let mut seen = 0;
        for _ in 0..200 {
            let farmer = self.rng.random_range(0..self.known.len());
            let known = &self.known[farmer];
            let here = self.world.farmers[farmer].presence == Presence::Here && known.silent_since.is_none();
            let others = &self.shards[segment][..placed];
            let twice = others.iter().any(|shard| usize::from(shard.farmer) == farmer);
            if !here || twice || known.scores.standing() != Standing::Good {
                continue;
            }
            let country = self.world.farmers[farmer].country;
            let same = |shard: &&Shard| self.world.farmers[usize::from(shard.farmer)].country == country;
            let count = others.iter().filter(same).count();
            if count < usize::from(self.coding.spare()) && best.is_none_or(|(least, _)| count < least) {
                best = Some((count, farmer));
            }
            seen += 1;
            if seen == CHOICE {
                break;
            }
        }
        best.map(|(_, farmer)| farmer)
    }

    fn move_world(&mut self, tick: u32) {
        for farmer in 0..self.known.len() {
            let was_gone = self.world.farmers[farmer].presence == Presence::Gone;
            let loss = self.world.tick(farmer, tick, &mut self.rng);
            match loss {
                Some(Loss::Reported(part, at)) => {
                    self.drop_part(farmer, part);
                    self.known[farmer].report_at = Some(at);
                }
                Some(Loss::Hidden(part)) => self.drop_part(farmer, part),
                None => {}
            }
            match self.world.farmers[farmer].presence {
                Presence::Gone if !was_gone => self.drop_part(farmer, 1.0),
                Presence::Gone => self.replace_if_forgotten(farmer, tick),
                Presence::Here | Presence::Away(_) => {}
            }
        }
    }

    /// A newcomer takes the place once no segment counts on the one that is gone.
    fn replace_if_forgotten(&mut self, farmer: usize, tick: u32) {
        let (shards, lost) = (&self.shards, &self.lost);
        let counts = |segment: u32, column: u8| {
            usize::from(shards[segment as usize][usize::from(column)].farmer) == farmer
                && !lost[segment as usize]
        };
        self.at[farmer].retain(|&(segment, column)| counts(segment, column));
        if self.at[farmer].is_empty() {
            self.known[farmer] = Known::default();
            self.world.replace(farmer, tick, &mut self.rng);
        }
    }

    fn drop_part(&mut self, farmer: usize, part: f64) {
        let mut rng = StdRng::from_rng(&mut self.rng);
        let mut gone = 0;
        self.each_shard(farmer, |shard| {
            let dropped = shard.held && rng.random_bool(part);
            shard.held &= !dropped;
            gone += u64::from(dropped);
        });
        self.year.shards_gone += gone;
    }

    /// Each farmer is audited once a day, a quarter of them in each tick.
    fn audit(&mut self, tick: u32) {
        let asked: Vec<usize> =
            (0..self.known.len()).filter(|farmer| *farmer as u32 % TICKS == tick % TICKS).collect();
        let silent = |network: &Self, farmer: usize| network.world.farmers[farmer].presence != Presence::Here;
        let bad = asked.iter().filter(|&&farmer| silent(self, farmer)).count();
        let brake = brake::holds(asked.len(), bad, self.usually_bad);
        self.year.braked += u32::from(brake);
        if !brake {
            self.usually_bad += (bad as f64 / asked.len() as f64 - self.usually_bad) / 20.0;
        }
        for farmer in asked {
            if silent(self, farmer) {
                self.known[farmer].silent_since.get_or_insert(tick);
                if !brake {
                    self.observe(farmer, Observation::Missed, tick);
                }
            } else {
                self.known[farmer].silent_since = None;
                self.examine(farmer, tick);
            }
        }
    }

    /// A farmer that answers: does it report a loss, does the audit find one, which shards is it?
    fn examine(&mut self, farmer: usize, tick: u32) {
        let (mut count, mut missing) = (0u64, 0u64);
        self.each_shard(farmer, |shard| {
            count += u64::from(!shard.known_lost);
            missing += u64::from(!shard.known_lost && !shard.held);
        });
        if count == 0 {
            return;
        }
        self.year.audits += 1;
        let reported = self.known[farmer].report_at.is_some_and(|at| at <= tick) && missing > 0;
        let found = !reported && self.audit_finds(count, missing);
        if !reported && !found {
            self.year.undetected_shard_ticks += missing * u64::from(TICKS);
            if missing == 0 {
                self.observe(farmer, Observation::Passed, tick);
            }
            return;
        }
        self.known[farmer].report_at = None;
        // The search for the culprits asks for every shard by its name.
        self.year.searches += u64::from(found);
        self.each_shard(farmer, |shard| shard.known_lost |= !shard.held);
        self.observe(farmer, if reported { Observation::ReportedLoss } else { Observation::Failed }, tick);
    }

    /// Whether a sample of blocks hits a missing one, or a missing shard has its turn.
    fn audit_finds(&mut self, count: u64, missing: u64) -> bool {
        let blocks = Sectors::DEFAULT.blocks(self.shard_bytes);
        let (all, gone) = (count * blocks, missing * blocks);
        let asked = u64::from(BLOCKS_PER_EPOCH).min(all);
        let escapes: f64 =
            (0..asked).map(|drawn| 1.0 - (gone as f64 / (all - drawn) as f64).min(1.0)).product();
        let no_turn = (1.0 - 1.0 / TURNS as f64).powf(missing as f64);
        self.rng.random_bool((1.0 - escapes * no_turn).clamp(0.0, 1.0))
    }

    fn each_shard(&mut self, farmer: usize, mut see: impl FnMut(&mut Shard)) {
        let shards = &mut self.shards;
        self.at[farmer].retain(|&(segment, column)| {
            let shard = &mut shards[segment as usize][usize::from(column)];
            let here = usize::from(shard.farmer) == farmer;
            if here {
                see(shard);
            }
            here
        });
    }

    fn observe(&mut self, farmer: usize, observation: Observation, tick: u32) {
        let (scores, action) = score::observe(self.known[farmer].scores, observation, at(tick));
        self.known[farmer].scores = scores;
        match action {
            Some(score::Action::Disqualify) => self.year.disqualified += 1,
            Some(score::Action::Warn(_)) if self.world.farmers[farmer].presence == Presence::Gone => {}
            Some(score::Action::Warn(_)) => self.year.warned += 1,
            Some(score::Action::Restore) | None => {}
        }
    }

    /// What is held of a farmer's shards, but for those that are known to be lost.
    fn seen(known: &Known) -> Holding {
        match (known.scores.standing(), known.silent_since) {
            (Standing::Disqualified { .. }, _) => Holding::Lost,
            (_, Some(since)) => Holding::Absent { since: at(since) },
            (_, None) => Holding::Present,
        }
    }

    fn holding(&self, shard: Shard) -> Holding {
        if shard.known_lost { Holding::Lost } else { self.seen[usize::from(shard.farmer)] }
    }

    fn repair(&mut self, tick: u32) {
        let now = at(tick);
        let n = self.n();
        self.seen = self.known.iter().map(Self::seen).collect();
        let mut due = Vec::new();
        for segment in 0..self.shards.len() {
            if self.lost[segment] {
                continue;
            }
            let mut holdings = [Holding::Lost; MOST];
            for (holding, shard) in holdings.iter_mut().zip(&self.shards[segment][..n]) {
                *holding = self.holding(*shard);
            }
            let assessment = repair::assess(self.coding, &holdings[..n], Patience::default(), now);
            let alive = self.shards[segment][..n].iter().filter(|shard| shard.held).count();
            self.year.saw(alive);
            self.lost[segment] = alive < self.k();
            match assessment.need {
                Need::Due(danger) => due.push((danger, segment, holdings, assessment)),
                Need::Stuck => self.year.stuck_ticks += 1,
                Need::Nothing | Need::Watch { .. } | Need::Lost => {}
            }
        }
        due.sort_unstable_by_key(|(danger, ..)| std::cmp::Reverse(*danger));
        let mut budget = self.repair_bytes_a_tick;
        for (_, segment, holdings, assessment) in due {
            let columns: Vec<usize> =
                (0..n).filter(|&column| assessment.rebuilds(holdings[column])).collect();
            let cost = (self.k() + columns.len()) as u64 * self.shard_bytes;
            if budget < cost {
                self.year.postponed += 1;
                continue;
            }
            budget -= cost;
            self.rebuild(segment, &columns, &holdings[..n]);
        }
    }

    /// Fetches k shards, which shows what is missing among those it asks, and places the rebuilt ones.
    fn rebuild(&mut self, segment: usize, columns: &[usize], holdings: &[Holding]) {
        let mut fetched = 0;
        for (shard, held) in self.shards[segment].iter_mut().zip(holdings) {
            if *held != Holding::Present || fetched == usize::from(self.coding.k()) {
                continue;
            }
            fetched += usize::from(shard.held);
            shard.known_lost |= !shard.held;
        }
        if fetched < self.k() {
            return;
        }
        self.year.rebuilt_segments += 1;
        self.year.fetched_bytes += fetched as u64 * self.shard_bytes;
        for &column in columns {
            let old = self.shards[segment][column];
            let Some(farmer) = self.pick(segment, self.n()) else { continue };
            let returns = old.held && self.world.farmers[usize::from(old.farmer)].presence != Presence::Gone;
            self.year.rebuilt_shards += 1;
            self.year.false_alarms += u64::from(returns);
            self.year.sent_bytes += self.shard_bytes;
            self.place(segment, column, farmer);
        }
    }
}

fn at(tick: u32) -> Timestamp {
    Timestamp(1_800_000_000 + u64::from(tick) * TICK_SECONDS)
}
