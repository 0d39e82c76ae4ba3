//! What is known of each shard of a segment, put together for [`core::repair`](hayloft_core::repair) to judge.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use hayloft_core::{
    ContractId, DeviceId, ShardId, Timestamp,
    content::Coding,
    manifest::{PlacementRecord, Shard},
    repair::{Assessment, Holding, Patience, assess},
};
use hayloft_store::holdings::{ContractHead, Presence};

use crate::owner::{Inner, OwnerError};

/// Everything that speaks against shards.
#[derive(Debug, Default)]
pub(crate) struct Known {
    lost: HashSet<ShardId>,
    presences: BTreeMap<DeviceId, Presence>,
    /// Contracts under which something is kept.
    contracts: BTreeSet<ContractId>,
    /// Those of them that have ended: what is under them is deleted when their grace is over.
    ended: BTreeSet<ContractId>,
}

/// A segment as it stands.
pub(crate) struct Assessed {
    pub(crate) placement: Arc<PlacementRecord>,
    /// Of each column, in order.
    pub(crate) holdings: Vec<Holding>,
    pub(crate) assessment: Assessment,
}

impl Known {
    pub(crate) async fn load(owner: &Inner) -> Result<Self, OwnerError> {
        let store = &owner.catalog.store;
        let (now, surely) = (owner.clock.now(), owner.witness.credible());
        let lost = store.lost_shards().await?.into_iter().map(|lost| lost.shard).collect();
        let presences = store.presences().await?;
        let heads = store.contract_heads().await?;
        let (contracts, ended) = sorted(&heads, now, surely);
        Ok(Self { lost, presences, contracts, ended })
    }

    /// The same, and these are not there either.
    pub(crate) fn without(mut self, missing: impl IntoIterator<Item = ShardId>) -> Self {
        self.lost.extend(missing);
        self
    }

    /// Whether a farmer does not answer, or leaves: nothing is moved to it, its own shards least of all.
    pub(crate) fn is_going(&self, farmer: &DeviceId) -> bool {
        let going = |presence: &Presence| presence.absent.is_some() || presence.leaves.is_some();
        self.presences.get(farmer).is_some_and(going)
    }

    pub(crate) fn holding(&self, shard: &Shard) -> Holding {
        if self.lost.contains(&shard.id) || !self.contracts.contains(&shard.contract) {
            return Holding::Lost;
        }
        let presence = self.presences.get(&shard.farmer).copied().unwrap_or_default();
        match presence {
            Presence { absent: Some(since), .. } => Holding::Absent { since },
            Presence { leaves: Some(_), .. } => Holding::Leaving,
            _ if self.ended.contains(&shard.contract) => Holding::Leaving,
            _ => Holding::Present,
        }
    }

    /// How many columns of a segment can be read.
    pub(crate) fn here(&self, placement: &PlacementRecord) -> u8 {
        let here = |shard: &&Shard| matches!(self.holding(shard), Holding::Present | Holding::Leaving);
        let columns: BTreeSet<u8> = placement.shards.iter().filter(here).map(|shard| shard.column).collect();
        u8::try_from(columns.len()).unwrap_or(u8::MAX)
    }

    /// How a segment stands; a column that lies nowhere is lost.
    ///
    /// # Errors
    /// Never for a record that was opened.
    pub(crate) fn assessed(
        &self,
        placement: Arc<PlacementRecord>,
        patience: Patience,
        now: Timestamp,
    ) -> Result<Assessed, OwnerError> {
        let coding: Coding = placement.coding()?;
        let mut holdings = vec![Holding::Lost; usize::from(placement.n)];
        for shard in &placement.shards {
            if let Some(held) = holdings.get_mut(usize::from(shard.column)) {
                *held = self.holding(shard);
            }
        }
        let assessment = assess(coding, &holdings, patience, now);
        Ok(Assessed { placement, holdings, assessment })
    }
}

/// Contracts that last, and those of them that are past their end. One that its farmer denied, or that is surely over,
/// keeps nothing.
fn sorted(
    heads: &[ContractHead],
    now: Timestamp,
    surely: Timestamp,
) -> (BTreeSet<ContractId>, BTreeSet<ContractId>) {
    let (mut contracts, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for head in heads {
        let Some(newest) = &head.revision else { continue };
        let end = newest.revision.end;
        let over = surely >= end.plus_seconds(head.terms.terms.grace_seconds);
        if head.denied.is_none() && !over {
            contracts.insert(head.id);
            if now >= end {
                ended.insert(head.id);
            }
        }
    }
    (contracts, ended)
}

impl Assessed {
    /// Shards that can be read.
    pub(crate) fn here(&self) -> Vec<Shard> {
        self.those(|held| matches!(held, Holding::Present | Holding::Leaving))
    }

    /// Columns to lie elsewhere: by hand all that are not simply there, else those for which nobody is waited.
    pub(crate) fn wanted(&self, by_hand: bool) -> Vec<u8> {
        let wanted = |held: &Holding| {
            if by_hand { *held != Holding::Present } else { self.assessment.rebuilds(*held) }
        };
        (0..self.placement.n)
            .filter(|column| self.holdings.get(usize::from(*column)).is_some_and(wanted))
            .collect()
    }

    fn those(&self, which: impl Fn(&Holding) -> bool) -> Vec<Shard> {
        let held = |shard: &&Shard| self.holdings.get(usize::from(shard.column)).is_some_and(&which);
        self.placement.shards.iter().filter(held).cloned().collect()
    }

    /// The shards of these columns, if their farmers leave and are there: then no other column need be read.
    pub(crate) fn leaving(&self, columns: &[u8]) -> Option<Vec<Shard>> {
        let leaving = self.those(|held| *held == Holding::Leaving);
        let of: Vec<Shard> = leaving.into_iter().filter(|shard| columns.contains(&shard.column)).collect();
        (of.len() == columns.len()).then_some(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn shard(number: u8) -> Shard {
        Shard {
            column: number,
            id: ShardId([number; 32]),
            farmer: DeviceId([number; 32]),
            contract: ContractId([number; 32]),
        }
    }

    #[test]
    fn each_thing_that_is_known_tells_where_a_shard_stands() {
        let contracts = (0..6).map(|number| ContractId([number; 32])).collect();
        let presence = |number: u8, presence| (DeviceId([number; 32]), presence);
        let known = Known {
            lost: HashSet::from([ShardId([1; 32])]),
            presences: BTreeMap::from([
                presence(2, Presence { absent: Some(NOW), leaves: Some(NOW) }),
                presence(3, Presence { absent: None, leaves: Some(NOW) }),
            ]),
            contracts,
            ended: BTreeSet::from([ContractId([4; 32])]),
        };
        let held: Vec<Holding> = (0..7).map(|number| known.holding(&shard(number))).collect();
        let expected = [
            Holding::Present,
            Holding::Lost,
            Holding::Absent { since: NOW },
            Holding::Leaving,
            Holding::Leaving,
            Holding::Present,
            Holding::Lost,
        ];
        assert_eq!(held, expected);
        let going: Vec<u8> = (0..7).filter(|number| known.is_going(&DeviceId([*number; 32]))).collect();
        assert_eq!(going, [2, 3], "nothing is moved to them");
        assert_eq!(known.without([ShardId([5; 32])]).holding(&shard(5)), Holding::Lost);
    }
}
