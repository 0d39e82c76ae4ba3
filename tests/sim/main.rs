//! A year of a large network in seconds: farmers come, go, lose disks and lie, whole countries fall silent, and the
//! rules of `core` for audits, scores, the brake and repair have to cope. Prints what survives and what it costs.
//!
//! Deliberately absent: the network itself, which the scenario tests run for real.

mod network;
mod report;
mod world;

use std::{num::NonZeroUsize, path::PathBuf, sync::Mutex, time::Instant};

use anyhow::{Context, Result};
use clap::Parser;
use hayloft_core::presets::{self, Preset};
use serde::Serialize;

use crate::{network::Network, report::Year, world::Assumptions};

#[derive(Debug, Parser)]
#[command(about = "Simulates a year of a large network")]
struct Options {
    /// Two runs with one seed are alike.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shards of each preset.
    #[arg(long, default_value_t = 1_000_000)]
    shards: usize,
    /// Farmers.
    #[arg(long, default_value_t = 10_000)]
    farmers: usize,
    /// Writes the figures to a file, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Results<'a> {
    seed: u64,
    assumptions: &'a Assumptions,
    years: &'a [(&'static str, Year)],
}

fn main() -> Result<()> {
    let options = Options::parse();
    let begun = Instant::now();
    let assumptions = Assumptions { farmers: options.farmers, ..Assumptions::default() };
    let years = years(&options, &assumptions)?;
    println!("{}", report::table(&assumptions, &years));
    println!("seed {}, {:.1} s", options.seed, begun.elapsed().as_secs_f64());
    if let Some(path) = &options.json {
        let results = Results { seed: options.seed, assumptions: &assumptions, years: &years };
        std::fs::write(path, serde_json::to_vec_pretty(&results)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The presets' years, on as many cores as there are.
fn years(options: &Options, assumptions: &Assumptions) -> Result<Vec<(&'static str, Year)>> {
    let waiting = Mutex::new(vec![
        (Preset::Safe, "safe"),
        (Preset::Standard, "standard"),
        (Preset::Economy, "economy"),
    ]);
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.pop();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                while let Some((preset, name)) = next() {
                    let choice = presets::choose(preset, &vec![1; options.farmers]);
                    let Some(choice) = choice else { continue };
                    let segments = options.shards / usize::from(choice.coding.n());
                    let year = Network::new(choice.coding, segments, assumptions.clone(), options.seed).run();
                    if let Ok(mut done) = done.lock() {
                        done.push((name, year));
                    }
                }
            });
        }
    });
    let mut years = done.into_inner().ok().context("a preset's year came to no end")?;
    anyhow::ensure!(years.len() == Preset::ALL.len(), "a preset's year is missing: are there farmers?");
    years.sort_by_key(|(_, year)| std::cmp::Reverse(year.k));
    Ok(years)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year(assumptions: Assumptions) -> Year {
        let coding = presets::choose(Preset::Standard, &[1; 40]).expect("there are farmers").coding;
        Network::new(coding, 200, assumptions, 7).run()
    }

    fn small() -> Assumptions {
        Assumptions { farmers: 400, ..Assumptions::default() }
    }

    #[test]
    fn a_year_with_repair_loses_nothing_and_one_seed_gives_one_year() {
        let (first, second) = (year(small()), year(small()));
        assert_eq!(first.lost, 0, "{first:?}");
        assert!(first.rebuilt_shards > 1000 && first.false_alarms < first.rebuilt_shards / 2, "{first:?}");
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }

    #[test]
    fn farmers_that_go_faster_than_anyone_can_repair_lose_segments() {
        let year = year(Assumptions { lifetime_days: 4.0, ..small() });
        assert!(year.lost > 0, "{year:?}");
    }

    #[test]
    fn a_world_without_mishaps_costs_no_repair() {
        let calm = Assumptions {
            lifetime_days: 1e9,
            up_days: 1e9,
            disk_deaths_a_year: 0.0,
            disk_losses_a_year: 0.0,
            liars: 0.0,
            cut_off: (usize::MAX, 0),
            gone: (usize::MAX, 0),
            ..small()
        };
        let year = year(calm);
        assert_eq!((year.lost, year.rebuilt_shards, year.warned), (0, 0, 0), "{year:?}");
    }
}
