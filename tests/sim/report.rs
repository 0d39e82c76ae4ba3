//! What a year came to.

use comfy_table::{Table, presets};
use hayloft_core::{
    ContractId, DeviceId,
    audit::{BLOCKS_PER_EPOCH, Beacon, Epoch, Scope, Sectors, Transcript},
    codec,
    content::Coding,
};
use serde::Serialize;

use crate::world::Assumptions;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Year {
    pub(crate) k: u8,
    pub(crate) n: u8,
    pub(crate) segments: usize,
    pub(crate) lost: usize,
    pub(crate) stored_bytes: u64,
    /// Segment-ticks at each number of shards that are really there.
    pub(crate) alive: Vec<u64>,
    pub(crate) shards_gone: u64,
    pub(crate) audits: u64,
    pub(crate) searches: u64,
    pub(crate) undetected_shard_ticks: u64,
    pub(crate) warned: u64,
    pub(crate) disqualified: u64,
    pub(crate) braked: u32,
    pub(crate) rebuilt_segments: u64,
    pub(crate) rebuilt_shards: u64,
    pub(crate) false_alarms: u64,
    pub(crate) fetched_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) stuck_ticks: u64,
    pub(crate) postponed: u64,
}

impl Year {
    pub(crate) fn new(segments: usize, coding: Coding) -> Self {
        Self {
            k: coding.k(),
            n: coding.n(),
            segments,
            lost: 0,
            stored_bytes: 0,
            alive: vec![0; usize::from(coding.n()) + 1],
            shards_gone: 0,
            audits: 0,
            searches: 0,
            undetected_shard_ticks: 0,
            warned: 0,
            disqualified: 0,
            braked: 0,
            rebuilt_segments: 0,
            rebuilt_shards: 0,
            false_alarms: 0,
            fetched_bytes: 0,
            sent_bytes: 0,
            stuck_ticks: 0,
            postponed: 0,
        }
    }

    pub(crate) fn saw(&mut self, alive: usize) {
        self.alive[alive] += 1;
    }

    /// Fewest shards that any segment was ever left with.
    pub(crate) fn fewest(&self) -> usize {
        self.alive.iter().position(|&ticks| ticks > 0).unwrap_or(0)
    }

    /// Shards that are really there, of those that should be, at any moment.
    pub(crate) fn share_alive(&self) -> f64 {
        let ticks: u64 = self.alive.iter().sum();
        let alive: u64 = (0..).zip(&self.alive).map(|(alive, ticks)| alive * ticks).sum();
        alive as f64 / (ticks * u64::from(self.n)) as f64
    }
}

impl Year {
    fn terabyte_months(&self) -> f64 {
        self.stored_bytes as f64 / 1e12 * 12.0
    }
}

/// Bytes of an epoch's question and answer on the wire.
fn audit_bytes() -> u64 {
    let beacon = Beacon::Ledger { sequence: u64::from(u32::MAX), hash: [0; 32] };
    let transcript = Transcript {
        network: "testnet".parse().expect("a name"),
        contract: ContractId([0; 32]),
        revision: u64::from(u16::MAX),
        root: [0; 32],
        farmer: DeviceId([0; 32]),
        epoch: Epoch(365),
        beacon: beacon.clone(),
        order: beacon,
        sectors: Sectors::DEFAULT,
        scope: Scope::Epoch,
        blocks: BLOCKS_PER_EPOCH,
    };
    const PROOF: u64 = 128;
    const TAG_KEY: u64 = 32;
    const SIGNATURE: u64 = 64;
    codec::encode(1, &transcript).len() as u64 + PROOF + TAG_KEY + SIGNATURE
}

/// The years side by side, each with what it took.
pub(crate) fn table(assumptions: &Assumptions, years: &[(&'static str, Year)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let name = |(name, year): &(&str, Year)| format!("{name}, {} of {}", year.k, year.n);
    table.set_header(std::iter::once(String::new()).chain(years.iter().map(name)));
    let mut row = |what: &str, value: &dyn Fn(&Year) -> String| {
        table.add_row(std::iter::once(what.to_owned()).chain(years.iter().map(|(_, year)| value(year))));
    };
    let gb = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
    let share = |part: u64, all: u64| format!("{:.1} %", part as f64 * 100.0 / all.max(1) as f64);
    row("farmers, shards", &|year| {
        format!("{}, {}", assumptions.farmers, year.segments * usize::from(year.n))
    });
    row("segments lost in a year", &|year| format!("{} of {}", year.lost, year.segments));
    row("fewest shards left of any", &|year| format!("{} (needs {})", year.fewest(), year.k));
    row("shards that farmers lose in a month", &|year| {
        format!(
            "{:.1} %",
            year.shards_gone as f64 * 100.0 / (12 * year.segments * usize::from(year.n)) as f64
        )
    });
    row("shards that are really there", &|year| format!("{:.1} %", year.share_alive() * 100.0));
    row("rebuilt: segments, shards", &|year| format!("{}, {}", year.rebuilt_segments, year.rebuilt_shards));
    row("false alarms among them", &|year| share(year.false_alarms, year.rebuilt_shards));
    row("repair traffic per TB and month", &|year| {
        gb((year.fetched_bytes + year.sent_bytes) as f64 / year.terabyte_months())
    });
    row("audit bytes per contract and month", &|_| format!("{} kB", audit_bytes() * 30 / 1000));
    row("audit bytes per TB and month, one owner", &|year| {
        gb((year.audits * audit_bytes()) as f64 / year.terabyte_months())
    });
    row("farmers warned, disqualified", &|year| format!("{}, {}", year.warned, year.disqualified));
    row("audit rounds held by the brake", &|year| year.braked.to_string());
    row("rebuilds that waited for the line", &|year| year.postponed.to_string());
    table
}
