//! Farmers as they really are: who comes, who is away, who goes, whose disk dies, who lies. Nobody in the simulation may
//! look here to decide anything; the network only sees what [`crate::network`] lets it see.

use rand::{Rng, RngExt, rngs::StdRng};
use rand_distr::{Distribution, Exp, LogNormal};
use serde::Serialize;

/// Ticks of a day.
pub(crate) const TICKS: u32 = 4;
const TICK_DAYS: f64 = 1.0 / TICKS as f64;

/// What is assumed of farmers. None of it is measured: change it and see what follows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Assumptions {
    /// Farmers at any time; who goes is replaced by a newcomer.
    pub(crate) farmers: usize,
    /// Days after which a farmer goes for good without a word, on average.
    pub(crate) lifetime_days: f64,
    /// Days between a farmer's absences, on average.
    pub(crate) up_days: f64,
    /// Hours of half of all absences at most; they are log-normal, so a few last for days.
    pub(crate) away_median_hours: f64,
    /// Spread of the absences: sigma of their logarithm.
    pub(crate) away_sigma: f64,
    /// Disks that die, in a farmer's year. The farmer stays and reports it after up to a month.
    pub(crate) disk_deaths_a_year: f64,
    /// Disks that lose a part, in a farmer's year.
    pub(crate) disk_losses_a_year: f64,
    /// Share of farmers that some day throw a part away and say nothing.
    pub(crate) liars: f64,
    /// Share of farmers in each country.
    pub(crate) countries: Vec<f64>,
    /// The country that is cut off for five days, and the day.
    pub(crate) cut_off: (usize, u32),
    /// The country whose farmers are gone for good, and the day.
    pub(crate) gone: (usize, u32),
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            farmers: 10_000,
            lifetime_days: 400.0,
            up_days: 4.0,
            away_median_hours: 2.0,
            away_sigma: 1.8,
            disk_deaths_a_year: 0.02,
            disk_losses_a_year: 0.05,
            liars: 0.03,
            countries: vec![0.20, 0.15, 0.12, 0.10, 0.08, 0.07, 0.06, 0.05, 0.05, 0.04, 0.03, 0.03, 0.02],
            cut_off: (1, 90),
            gone: (2, 180),
        }
    }
}

/// Whether a farmer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    /// Until that tick.
    Away(u32),
    Gone,
}

/// What a farmer's disk did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// A part of all shards, and the tick at which an honest farmer has noticed it by reading its disk.
    Reported(f64, u32),
    /// A part of all shards, and not a word.
    Hidden(f64),
}

#[derive(Debug, Clone)]
pub(crate) struct Farmer {
    pub(crate) presence: Presence,
    pub(crate) country: usize,
    next_absence: f64,
    leaves: f64,
    lies_at: Option<f64>,
}

pub(crate) struct World {
    pub(crate) assumptions: Assumptions,
    pub(crate) farmers: Vec<Farmer>,
}

impl World {
    pub(crate) fn new(assumptions: Assumptions, rng: &mut StdRng) -> Self {
        let farmers = (0..assumptions.farmers).map(|_| Farmer::join(&assumptions, 0.0, rng)).collect();
        Self { assumptions, farmers }
    }

    /// A newcomer in the place of one that is gone.
    pub(crate) fn replace(&mut self, farmer: usize, tick: u32, rng: &mut StdRng) {
        let gone = self.assumptions.gone;
        let mut newcomer = Farmer::join(&self.assumptions, day(tick), rng);
        // Nobody joins from a country that is not there any more.
        if newcomer.country == gone.0 && tick >= gone.1 * TICKS {
            newcomer.country = (gone.0 + 1) % self.assumptions.countries.len();
        }
        self.farmers[farmer] = newcomer;
    }

    /// One farmer's tick: what its disk lost in it.
    pub(crate) fn tick(&mut self, farmer: usize, tick: u32, rng: &mut StdRng) -> Option<Loss> {
        let now = day(tick);
        let assumed = &self.assumptions;
        let it = &mut self.farmers[farmer];
        if it.presence == Presence::Gone {
            return None;
        }
        let vanished = assumed.gone.0 == it.country && tick == assumed.gone.1 * TICKS;
        if now >= it.leaves || vanished {
            it.presence = Presence::Gone;
            return None;
        }
        if let Presence::Away(until) = it.presence
            && tick >= until
        {
            it.presence = Presence::Here;
            it.next_absence = now + exponential(assumed.up_days, rng);
        }
        if assumed.cut_off.0 == it.country && tick == assumed.cut_off.1 * TICKS {
            it.presence = Presence::Away(tick + 5 * TICKS);
        } else if it.presence == Presence::Here && now >= it.next_absence {
            let hours = log_normal(assumed.away_median_hours, assumed.away_sigma, rng);
            let ticks = (hours / 24.0 * f64::from(TICKS)).round() as u32;
            it.presence = if ticks == 0 { Presence::Here } else { Presence::Away(tick + ticks) };
            it.next_absence = now + exponential(assumed.up_days, rng);
        }
        it.lose(assumed, tick, rng)
    }
}

impl Farmer {
    fn join(assumed: &Assumptions, now: f64, rng: &mut StdRng) -> Self {
        let mut at: f64 = rng.random_range(0.0..assumed.countries.iter().sum());
        let country = assumed.countries.iter().position(|share| {
            at -= share;
            at < 0.0
        });
        let lies_at = rng.random_bool(assumed.liars).then(|| now + rng.random_range(10.0..300.0));
        Self {
            presence: Presence::Here,
            country: country.unwrap_or(0),
            next_absence: now + exponential(assumed.up_days, rng),
            leaves: now + exponential(assumed.lifetime_days, rng),
            lies_at,
        }
    }

    fn lose(&mut self, assumed: &Assumptions, tick: u32, rng: &mut StdRng) -> Option<Loss> {
        let now = day(tick);
        if self.lies_at.is_some_and(|at| now >= at) {
            self.lies_at = None;
            return Some(Loss::Hidden(rng.random_range(0.01..1.0)));
        }
        let yearly = TICK_DAYS / 365.0;
        let noticed = |rng: &mut StdRng| tick + rng.random_range(0..30 * TICKS);
        if rng.random_bool(assumed.disk_deaths_a_year * yearly) {
            return Some(Loss::Reported(1.0, noticed(rng)));
        }
        let some = rng.random_bool(assumed.disk_losses_a_year * yearly);
        some.then(|| Loss::Reported(rng.random_range(0.001..0.3), noticed(rng)))
    }
}

fn day(tick: u32) -> f64 {
    f64::from(tick) * TICK_DAYS
}

fn exponential(mean: f64, rng: &mut impl Rng) -> f64 {
    Exp::new(1.0 / mean).expect("a mean above 0").sample(rng)
}

fn log_normal(median: f64, sigma: f64, rng: &mut impl Rng) -> f64 {
    LogNormal::new(median.ln(), sigma).expect("a finite spread").sample(rng)
}
