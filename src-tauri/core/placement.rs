//! Which farmer gets which shard of a segment.
//!
//! Invariants: no farmer gets two shards of a segment; no failure group more than [`Rule::group_limit`], with
//! replacements too; no single discovery source supplies more than a third (rounded up), unless a choice that keeps
//! this finds too few, and then [`Plan::one_source`] says so. The limits on groups and sources guard against one
//! attacker with many farmers.
//!
//! Deliberately absent: contracts and connections. The randomness given only breaks ties.

mod group;

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, seq::SliceRandom};

pub use group::{Seen, Subnet, failure_groups};

use crate::{Amount, DeviceId};

const LATENCY_CLASS_MS: u32 = 100;

/// A farmer that could take a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who, and what decides on its failure group.
    pub seen: Seen,
    /// Numbers standing for the discovery sources that named it; none if the owner knows it by itself.
    pub sources: BTreeSet<u32>,
    /// Bytes it would still take.
    pub free_bytes: u64,
    /// Stroops per TB-month.
    pub storage_price: Amount,
    /// Whether it takes new data.
    pub accepting: bool,
    /// How often it failed or lied lately; fewer come first.
    pub demerits: u32,
    /// Its distance, if known.
    pub latency_ms: Option<u32>,
}

/// What a placement must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Shards to place.
    pub n: u8,
    /// Shards of one segment that one failure group may hold: at most n − k, wherever there are two groups.
    pub group_limit: u8,
    /// Sealed bytes of each shard.
    pub shard_bytes: u64,
}

impl Rule {
    /// Shards of one segment that farmers of one discovery source may hold.
    pub fn source_limit(&self) -> usize {
        usize::from(self.n).div_ceil(3)
    }
}

/// Why there is no placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nothing to place, or nothing allowed.
    #[error("a placement needs at least one shard and room for one in each group")]
    BadRule,
    /// Too few farmers take data of that size now.
    #[error(
        "{needed} farmers are needed and {usable} can take data now ({full} are full, {not_accepting} take nothing new)"
    )]
    TooFewFarmers {
        /// Farmers needed.
        needed: usize,
        /// Farmers that accept and have room.
        usable: usize,
        /// Farmers that accept and have no room.
        full: usize,
        /// Farmers that do not accept.
        not_accepting: usize,
    },
    /// Enough farmers, but too many of them would fail together.
    #[error(
        "{needed} shards are to be placed, but the farmers at hand form {groups} failure groups that may hold only \
         {possible} of them: more farmers in other places are needed"
    )]
    TooFewGroups {
        /// Shards to place.
        needed: usize,
        /// Shards that the groups may hold.
        possible: usize,
        /// Failure groups there are.
        groups: usize,
    },
}

/// Farmers for all columns of one segment, and spare ones.
#[derive(Debug, Clone)]
pub struct Plan {
    rule: Rule,
    /// Groups of the farmers that keep shards already.
    kept: Vec<usize>,
    columns: Vec<Slot>,
    spares: Vec<Slot>,
    /// Second farmers of columns, until one of the two is left.
    beside: Vec<(u8, Slot)>,
    one_source: bool,
}

#[derive(Debug, Clone)]
struct Slot {
    device: DeviceId,
    group: usize,
    sources: BTreeSet<u32>,
    rank: (u32, Amount, u32),
}

/// Chooses n of the candidates: those with fewest demerits first, then groups that hold least, then the cheapest,
/// then the nearest.
///
/// # Errors
/// [`PlacementError`] says what is missing.
pub fn plan(candidates: &[Candidate], rule: Rule, rng: &mut impl Rng) -> Result<Plan, PlacementError> {
    plan_beside(&[], candidates, rule, rng)
}

/// The same where these farmers keep shards of the segment already: they get no other, their failure groups count, and
/// only the rest of the n is chosen.
///
/// # Errors
/// [`PlacementError`] says what is missing.
pub fn plan_beside(
    kept: &[Seen],
    candidates: &[Candidate],
    rule: Rule,
    rng: &mut impl Rng,
) -> Result<Plan, PlacementError> {
    let needed = usize::from(rule.n).saturating_sub(kept.len());
    if needed == 0 || rule.group_limit == 0 {
        return Err(PlacementError::BadRule);
    }
    let (kept, mut slots) = usable(kept, candidates, &rule)?;
    slots.shuffle(rng);
    slots.sort_by_key(|slot| slot.rank);
    let mut plan = Plan {
        rule,
        kept,
        columns: Vec::with_capacity(needed),
        spares: slots,
        beside: Vec::new(),
        one_source: false,
    };
    while plan.columns.len() < needed {
        let next = plan.take_best().ok_or_else(|| plan.too_few_groups())?;
        plan.columns.push(next);
    }
    Ok(plan)
}

/// How many farmers with room for a shard of that size each failure group has, the largest first: what presets choose
/// by.
pub fn group_sizes(candidates: &[Candidate], shard_bytes: u64) -> Vec<usize> {
    let rule = Rule { n: 0, group_limit: 0, shard_bytes };
    let (_, slots) = usable(&[], candidates, &rule).unwrap_or_default();
    let mut sizes: Vec<usize> = count_groups(&[], &slots).into_values().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// The groups of those who keep shards, and whoever else could take one.
fn usable(
    kept: &[Seen],
    candidates: &[Candidate],
    rule: &Rule,
) -> Result<(Vec<usize>, Vec<Slot>), PlacementError> {
    let seen: Vec<&Seen> = kept.iter().chain(candidates.iter().map(|candidate| &candidate.seen)).collect();
    let mut groups = failure_groups(&seen);
    let others = groups.split_off(kept.len());
    let keeps: BTreeSet<DeviceId> = kept.iter().map(|seen| seen.device).collect();
    let mut slots = BTreeMap::new();
    let (mut full, mut not_accepting) = (0, 0);
    for (candidate, group) in candidates.iter().zip(others) {
        if keeps.contains(&candidate.seen.device) {
            continue;
        }
        if !candidate.accepting {
            not_accepting += 1;
        } else if candidate.free_bytes < rule.shard_bytes {
            full += 1;
        } else {
            let latency = candidate.latency_ms.map_or(u32::MAX, |ms| ms / LATENCY_CLASS_MS);
            let rank = (candidate.demerits, candidate.storage_price, latency);
            let (device, sources) = (candidate.seen.device, candidate.sources.clone());
            slots.entry(device).or_insert(Slot { device, group, sources, rank });
        }
    }
    let (needed, usable) = (usize::from(rule.n).saturating_sub(kept.len()), slots.len());
    if usable < needed {
        return Err(PlacementError::TooFewFarmers { needed, usable, full, not_accepting });
    }
    Ok((groups, slots.into_values().collect()))
}

impl Plan {
    /// The farmer of each column.
    pub fn farmers(&self) -> impl ExactSizeIterator<Item = DeviceId> {
        self.columns.iter().map(|slot| slot.device)
    }

    /// Farmers left for replacements, the preferred first; group limits may rule some of them out for a column.
    pub fn spares(&self) -> impl ExactSizeIterator<Item = DeviceId> {
        self.spares.iter().map(|slot| slot.device)
    }

    /// Whether one discovery source supplies more than a third, for want of others: worth a warning.
    pub fn one_source(&self) -> bool {
        self.one_source
    }

    /// Gives up the farmer of a column for good and chooses another for it; `None` if no spare keeps the group
    /// limit. Panics if there is no such column.
    pub fn replace(&mut self, column: u8) -> Option<DeviceId> {
        let column = usize::from(column);
        let failed = self.columns.remove(column);
        match self.take_best() {
            Some(slot) => {
                let device = slot.device;
                self.columns.insert(column, slot);
                Some(device)
            }
            None => {
                self.columns.insert(column, failed);
                None
            }
        }
    }

    /// Chooses a second farmer for a column, beside the one that it has; `None` if no spare keeps the group limit with
    /// both.
    pub fn second(&mut self, column: u8) -> Option<DeviceId> {
        let slot = self.take_best()?;
        let device = slot.device;
        self.beside.push((column, slot));
        Some(device)
    }

    /// Leaves a column to one of its farmers. The other is a spare again if it was the second, else given up.
    pub fn settle(&mut self, column: u8, winner: DeviceId) {
        let index = usize::from(column);
        for (_, slot) in self.beside.extract_if(.., |(of, _)| *of == column) {
            if slot.device == winner {
                self.columns[index] = slot;
            } else {
                self.spares.push(slot);
            }
        }
    }

    /// Gives up a column's second farmer for good.
    pub fn drop_second(&mut self, column: u8, failed: DeviceId) {
        self.beside.retain(|(of, slot)| (*of, slot.device) != (column, failed));
    }

    fn take_best(&mut self) -> Option<Slot> {
        let placed = self.columns.iter().chain(self.beside.iter().map(|(_, slot)| slot));
        let held = count_groups(&self.kept, placed);
        let allowed =
            |slot: &Slot| held.get(&slot.group).copied().unwrap_or(0) < usize::from(self.rule.group_limit);
        let preference = |slot: &Slot| (slot.rank.0, held.get(&slot.group).copied().unwrap_or(0), slot.rank);
        let mut order: Vec<usize> =
            (0..self.spares.len()).filter(|&index| allowed(&self.spares[index])).collect();
        order.sort_by_key(|&index| preference(&self.spares[index]));
        let spread = order.iter().copied().find(|&index| self.sources_fit(&self.spares[index]));
        self.one_source |= spread.is_none() && !order.is_empty();
        let best = spread.or(order.first().copied())?;
        Some(self.spares.remove(best))
    }

    /// Whether, with one more, each farmer can still be put down to one of its sources so that none exceeds its limit.
    fn sources_fit(&self, more: &Slot) -> bool {
        let slots: Vec<&BTreeSet<u32>> = self
            .columns
            .iter()
            .chain(self.beside.iter().map(|(_, slot)| slot))
            .chain([more])
            .map(|slot| &slot.sources)
            .filter(|sources| !sources.is_empty())
            .collect();
        let mut supplied: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let limit = self.rule.source_limit();
        (0..slots.len()).all(|slot| attribute(&slots, slot, limit, &mut supplied, &mut BTreeSet::new()))
    }

    fn too_few_groups(&self) -> PlacementError {
        let all = self.columns.iter().chain(&self.spares);
        let groups: BTreeSet<usize> = all.map(|slot| slot.group).collect();
        PlacementError::TooFewGroups {
            needed: usize::from(self.rule.n).saturating_sub(self.kept.len()),
            possible: self.columns.len(),
            groups: groups.len(),
        }
    }
}

/// Finds a source for `slot` along an augmenting path (Kuhn's matching with capacities).
fn attribute(
    slots: &[&BTreeSet<u32>],
    slot: usize,
    limit: usize,
    supplied: &mut BTreeMap<u32, Vec<usize>>,
    tried: &mut BTreeSet<u32>,
) -> bool {
    for &source in slots[slot] {
        if !tried.insert(source) {
            continue;
        }
        let farmers = supplied.entry(source).or_default().clone();
        if farmers.len() < limit {
            supplied.entry(source).or_default().push(slot);
            return true;
        }
        for farmer in farmers {
            if attribute(slots, farmer, limit, supplied, tried) {
                let farmers = supplied.entry(source).or_default();
                farmers.retain(|&other| other != farmer);
                farmers.push(slot);
                return true;
            }
        }
    }
    false
}

fn count_groups<'a>(kept: &[usize], columns: impl IntoIterator<Item = &'a Slot>) -> BTreeMap<usize, usize> {
    let mut held = BTreeMap::new();
    for group in kept.iter().copied().chain(columns.into_iter().map(|slot| slot.group)) {
        *held.entry(group).or_insert(0) += 1;
    }
    held
}

#[cfg(test)]
mod tests;
