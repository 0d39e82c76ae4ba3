//! `hayloft-soak`: a whole network of real processes through a rough time. Farmers join, leave, lie and crash while owners
//! put, get and remove; each answer is compared at once with a model of what should be there, and at the end everything
//! is, and memory, threads and file handles of those that lived through it all must have stayed flat.
//!
//! The schedule follows from a seed: the same seed deals the same blows and wishes to each actor in the same order,
//! though not at the same instants. Linux alone, for `/proc`.

mod blows;
mod content;
mod door;
mod end;
mod flat;
#[path = "../liar/lie.rs"]
mod lie;
mod model;
mod presence;
mod process;
mod tally;
mod transfers;
mod worker;
mod world;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures::future::try_join_all;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    end::Outcome,
    flat::{Course, Flatness, Look},
    tally::Counts,
    worker::Worker,
    world::{WORKERS_PER_OWNER, World},
};

/// Looks at each long-lived process during the run.
const LOOKS: u32 = 120;
/// How long transfers may go on after the end.
const GRACE: Duration = Duration::from_secs(10);
/// How often a line says how it goes.
const TELL: Duration = Duration::from_secs(10);

/// Lets a whole network live through a rough time, and checks that it keeps its promises
#[derive(Parser)]
struct Args {
    /// How long, in minutes
    #[arg(default_value_t = 30.0)]
    minutes: f64,
    /// Repeat the schedule of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Honest farmers
    #[arg(long, default_value_t = 20)]
    farmers: usize,
    /// Owners
    #[arg(long, default_value_t = 4)]
    owners: usize,
    /// Let a farmer join that leaks memory and file handles: the run must fail
    #[arg(long, hide = true)]
    leaky: bool,
    /// Print the result as one JSON document too
    #[arg(long)]
    json: bool,
    /// Keep all homes and logs in this folder, which must not exist yet
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What a run came to.
#[derive(Serialize)]
struct Report {
    seed: u64,
    minutes: f64,
    #[serde(flatten)]
    counts: Counts,
    end: Outcome,
    flatness: Vec<Flatness>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hayloft-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("A soak of {} minutes; repeat its schedule with --seed {seed}", args.minutes);
    let temporary = tempfile::Builder::new().prefix("hayloft-soak-").tempdir()?;
    let folder = match &args.keep {
        Some(keep) => {
            ensure!(!keep.exists(), "{} is there already", keep.display());
            std::fs::create_dir_all(keep)?;
            keep.canonicalize()?
        }
        None => temporary.path().canonicalize()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = soak(args, &folder, seed) => result,
            interrupted = interruption() => interrupted,
        }
    });
    // Whatever still runs in the background ends with the processes it talks to.
    runtime.shutdown_background();
    if result.is_err() {
        tell_last_words(&folder);
    }
    result.with_context(|| format!("seed {seed}"))
}

async fn interruption() -> Result<()> {
    let [mut int, mut term, mut hangup] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {}, _ = hangup.recv() => {} }
    bail!("interrupted")
}

async fn soak(args: &Args, folder: &Path, seed: u64) -> Result<()> {
    let world = World::start(folder, args.farmers, args.owners, seed).await?;
    println!("{} farmers and {} owners are up", args.farmers, args.owners);
    if args.leaky {
        world.new_leaky_farmer().await?;
    }
    let span = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let workers = (0..args.owners * WORKERS_PER_OWNER)
        .map(|number| Worker::new(world.clone(), number, seed ^ ((number as u64 + 1) << 32)));
    let mut workers: Vec<Worker> = workers.collect::<Result<_>>()?;
    let steady = workers.iter_mut().filter(|worker| world.owners[worker.owner].slot.steady);
    try_join_all(steady.map(Worker::warm_up)).await?;
    let courses = {
        let working = try_join_all(workers.iter_mut().map(Worker::work));
        let blows = blows::deal(world.clone(), seed);
        let (_, (), courses, ()) = tokio::try_join!(working, blows, watch(&world, span), tell(&world, span))?;
        courses
    };
    println!("The time is over: every file is fetched and compared");
    let end = end::judge(&world, &mut workers).await?;
    world.close().await;
    let flatness: Vec<Flatness> = courses.iter().filter_map(Course::flatness).flatten().collect();
    let report = Report { seed, minutes: args.minutes, counts: world.tally.snapshot(), end, flatness };
    show(&report);
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    judge_flatness(&report.flatness)
}

/// Looks at the processes that live through the whole run, and ends the run when its time is over.
async fn watch(world: &Rc<World>, span: Duration) -> Result<Vec<Course>> {
    let steady = world.steady().await?.into_iter();
    let mut watched: Vec<(u32, Course)> =
        steady.map(|(process, pid)| (pid, Course { process, looks: Vec::new() })).collect();
    let mut ticks = tokio::time::interval(span / LOOKS);
    for _ in 0..LOOKS {
        ticks.tick().await;
        for (pid, course) in &mut watched {
            let look = Look::at(*pid).with_context(|| format!("{} has ended by itself", course.process));
            course.looks.push(look?);
        }
    }
    world.ending.cancel();
    tokio::time::sleep(GRACE).await;
    world.late.cancel();
    Ok(watched.into_iter().map(|(_, course)| course).collect())
}

/// Says now and then how it goes.
async fn tell(world: &Rc<World>, span: Duration) -> Result<()> {
    let begun = Instant::now();
    while !world.ending.is_cancelled() {
        world.pass(TELL).await;
        let counts = world.tally.snapshot();
        let sum = |word: &str| -> u64 {
            counts.actions.iter().filter(|(what, _)| what.starts_with(word)).map(|(_, count)| count).sum()
        };
        let there = world.farmers_left().len() - world.presence.away();
        println!(
            "{:>5} of {} s: {} puts, {} gets, {} removals; {:.0} MB stored, {:.0} MB fetched; {} blows; {there} farmers there, {} left",
            begun.elapsed().as_secs(),
            span.as_secs(),
            sum("put "),
            sum("get "),
            sum("removed"),
            counts.bytes_put as f64 / 1e6,
            counts.bytes_got as f64 / 1e6,
            counts.blows.values().sum::<u64>(),
            world.presence.left(),
        );
    }
    Ok(())
}

fn show(report: &Report) {
    println!("\n{}", report.counts);
    let end = &report.end;
    println!(
        "At the end {} files of {:.1} MB came back identical in {:.0} s; farmers kept {:.1} MB of them, and nothing {:.0} s after they were removed",
        end.files,
        end.bytes as f64 / 1e6,
        end.compared_seconds,
        end.kept_bytes as f64 / 1e6,
        end.removed_seconds,
    );
    end.blamed.iter().for_each(|line| println!("An honest farmer was blamed: {line}"));
    println!();
    println!(
        "{:<12} {:<12} {:>14} {:>14} {:>14}",
        "process", "what", "2nd quarter", "last quarter", "allowed"
    );
    for Flatness { process, kind, second, last, allowed } in &report.flatness {
        let kind = format!("{kind:?}");
        println!("{process:<12} {kind:<12} {second:>14} {last:>14} {allowed:>14}");
    }
}

fn judge_flatness(flatness: &[Flatness]) -> Result<()> {
    ensure!(!flatness.is_empty(), "the run was too short to tell whether anything grew");
    let grew: Vec<&Flatness> = flatness.iter().filter(|flatness| !flatness.is_flat()).collect();
    ensure!(grew.is_empty(), "not flat: {grew:?}");
    Ok(())
}

/// The last words of each node that said something.
fn tell_last_words(folder: &Path) {
    const LINES: usize = 6;
    for log in std::fs::read_dir(folder.join("logs")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(log.path()).unwrap_or_default();
        let telling =
            |line: &&str| line.contains("WARN") || line.contains("ERROR") || line.contains("panicked");
        let lines: Vec<&str> = text.lines().filter(telling).collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
            eprintln!("{}: {line}", log.file_name().to_string_lossy());
        }
    }
}
