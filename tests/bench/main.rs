//! `./dev bench`: measures Hayloft on a whole network of real processes and prints one table, each figure beside its
//! target and beside a reference of the same run.
//!
//! Invariants: every node is a `hayloft` process of its own; nothing is mocked; whatever was measured is printed, met
//! or not. Deliberately absent: passing and failing. A loaded machine is slow, and no test may depend on that.

mod auditing;
mod coding;
mod conditions;
mod ledger;
mod network;
mod reference;
mod table;
mod transfers;
mod usage;
#[path = "../../src-tauri/core/benches/content/work.rs"]
mod work;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::table::Table;

/// What to measure and where the table goes.
#[derive(Debug, Default)]
struct Wish {
    /// A file for the table as JSON.
    json: Option<PathBuf>,
    /// A Markdown file that carries the last table between two markers.
    readme: Option<PathBuf>,
    /// Parts to measure; all if empty.
    only: Vec<String>,
    /// Also 8 GiB, which takes 45 GB of disk.
    large: bool,
}

/// The parts, in their order.
const PARTS: [&str; 7] = ["coding", "auditing", "ledger", "network", "small", "comparison", "repair"];

impl Wish {
    fn from_words(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut wish = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} wants a value"));
            match word.as_str() {
                "--json" => wish.json = Some(value()?.into()),
                "--readme" => wish.readme = Some(value()?.into()),
                "--only" => wish.only = value()?.split(',').map(str::to_owned).collect(),
                "--large" => wish.large = true,
                _ => {
                    bail!("usage: bench [--large] [--only {}] [--json FILE] [--readme FILE]", PARTS.join(","))
                }
            }
        }
        Ok(wish)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    let runtime = tokio::runtime::Runtime::new()?;
    if words.peek().map(String::as_str) == Some(reference::SINK) {
        return runtime.block_on(reference::sink());
    }
    let wish = Wish::from_words(words)?;
    let mut table = Table::new(conditions::look());
    reference::measure(&runtime, &mut table)?;
    if wish.wants("coding") {
        coding::measure(&mut table);
    }
    if wish.wants("auditing") {
        auditing::measure(&mut table)?;
    }
    if wish.wants("ledger") {
        runtime.block_on(ledger::measure(&mut table))?;
    }
    runtime.block_on(network::measure(&wish, &mut table))?;
    print!("{}", table.text());
    if let Some(path) = &wish.json {
        std::fs::write(path, serde_json::to_vec_pretty(&table)?)?;
    }
    if let Some(path) = &wish.readme {
        let text = std::fs::read_to_string(path)?;
        std::fs::write(path, table.within(&text)?)?;
    }
    Ok(())
}
