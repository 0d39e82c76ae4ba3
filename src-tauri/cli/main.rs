//! The `hayloft` command: words in, one call into a node, tidy text or one JSON document out.
//!
//! Invariants: with `--json` stdout carries exactly one JSON document, also for a refusal; everything else goes to stderr.
//! Exit codes: 0 done, 1 refused with a reason, 2 wrong usage. Deliberately absent: storage logic, and WebKit.

mod args;
mod ask;
mod audit;
mod children;
mod connect;
mod devnet;
mod farm;
mod files;
mod folder;
mod get;
mod identity;
mod jobs;
mod ledger;
mod node;
mod output;
mod passphrase;
mod put;
mod repair;
mod scrub;
mod status;
mod stop;
mod values;
mod wallet;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::output::Output;

const REFUSED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let args = match Args::try_parse_from(&words) {
        Ok(args) => args,
        Err(error) => return usage(&error, words.iter().any(|word| word == "--json")),
    };
    log_to_stderr();
    let output = Output::new(args.json);
    match run(args, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.refuse(&error);
            ExitCode::from(REFUSED)
        }
    }
}

/// Help and version are answers; everything else that clap stops at is wrong usage.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let asked_for = !error.use_stderr();
    if json && !asked_for {
        Output::new(true).refuse_usage(&error.render().to_string());
    } else {
        // A closed terminal is no reason to fail differently.
        let _ = error.print();
    }
    if asked_for { ExitCode::SUCCESS } else { ExitCode::from(WRONG_USAGE) }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("HAYLOFT_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(dispatch(args, output));
    // A read from a terminal cannot be interrupted: do not wait for it.
    runtime.shutdown_background();
    result
}

async fn dispatch(args: Args, output: Output) -> anyhow::Result<()> {
    let place = connect::Place { home: args.home, network: args.network };
    match args.command {
        Command::Init(wish) => identity::init(&place, wish, output).await,
        Command::Unlock(wish) => identity::unlock(&place, wish, output).await,
        Command::Node(wish) => node::run(&place, wish, output).await,
        Command::Audit(wish) => audit::run(&place, wish, output).await,
        Command::Status => status::show(&place, output).await,
        Command::Farm { what } => farm::run(&place, what, output).await,
        Command::Put(wish) => put::run(&place, wish, output).await,
        Command::Get(wish) => get::run(&place, wish, output).await,
        Command::Ls => files::list(&place, output).await,
        Command::Rm(wish) => files::remove(&place, wish, output).await,
        Command::Health { name } => files::health(&place, &name, output).await,
        Command::Repair { name } => repair::run(&place, &name, output).await,
        Command::Renew(wish) => files::renew(&place, wish, output).await,
        Command::Jobs { what } => jobs::run(&place, what, output).await,
        Command::Devnet(wish) => devnet::run(&place, wish, output).await,
        Command::Wallet { what } => wallet::run(&place, what, output).await,
        Command::Ledger(wish) => ledger::run(&place, wish, output).await,
        Command::Completions { shell } => args::print_completions(shell),
        Command::Man { folder } => args::write_man_pages(&folder),
    }
}
