//! Removing: files at once from the list, their shards from farmers by revisions, as soon as each can be reached.
//!
//! Nothing is removed from a contract but what the store wrote down for removal: shards of segments that serve nothing
//! any more, and of attempts that came to nothing. What farmers hold and no record here knows is kept: records that came back
//! from the catalog log may be older than the truth, and another copy of this home may need it. A person is told.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use hayloft_core::{ContractId, ShardId};
use hayloft_net::{
    NetError,
    messages::{Refusal, RefusalCode},
};
use hayloft_store::{
    files::{Removal, Segment},
    owner::Placing,
};

use super::{
    Inner, OwnerError,
    contracts::{ContractError, Wish},
    listing::gap_named,
    lock,
};
use crate::{model::Event, notices};

/// Farmers told at once.
const AT_ONCE: usize = 16;
/// How soon farmers that could not be reached are tried again; each time twice as late, up to the second.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Removes files by name, or by what those are shown under that cannot be read; all or none.
pub(crate) async fn remove(owner: &Inner, names: &[String]) -> Result<(), OwnerError> {
    let changing = owner.catalog.changing().await;
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        let key = owner.catalog.key(name);
        let key = match owner.catalog.store.file(&key).await? {
            Some(_) => key,
            None => gap_named(owner, name).await?.ok_or_else(|| OwnerError::NoSuchFile(name.clone()))?,
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    owner.catalog.store.remove_files(&keys).await?;
    drop(changing);
    owner.files_changed();
    sweep(owner).await
}

/// Writes the shards of segments that serve nothing down for removal, and wakes those who remove and rewrite.
pub(crate) async fn sweep(owner: &Inner) -> Result<(), OwnerError> {
    // What a dead segment's record names now must be what is removed: no shard may move in between.
    let changing = owner.catalog.changing().await;
    let dead = owner.catalog.store.dead_segments().await?;
    if !dead.is_empty() {
        let removals = dead.iter().filter_map(|segment| Some((segment.segment, shards_of(owner, segment)?)));
        let removals: Vec<_> = removals.collect();
        owner.catalog.store.remove_segments(&removals).await?;
        owner.removals.notify_one();
    }
    drop(changing);
    owner.rewrites.notify_one();
    Ok(())
}

fn shards_of(owner: &Inner, segment: &Segment) -> Option<Vec<Removal>> {
    let placement = owner.catalog.readable_placement(segment)?;
    let removal = |shard: &hayloft_core::manifest::Shard| Removal {
        farmer: shard.farmer,
        contract: shard.contract,
        shard: shard.id,
    };
    Some(placement.shards.iter().map(removal).collect())
}

/// Writes shards that ended attempts left in flight down for removal.
pub(crate) async fn leave_attempts(
    owner: &Inner,
    ended: impl Fn(&Placing) -> bool,
) -> Result<(), OwnerError> {
    let placing = owner.catalog.store.placing().await?.into_iter();
    let left: Vec<Removal> = placing
        .filter(ended)
        .map(|placing| Removal { farmer: placing.farmer, contract: placing.contract, shard: placing.shard })
        .collect();
    if !left.is_empty() {
        owner.catalog.store.give_up_placing(&left).await?;
        owner.removals.notify_one();
    }
    Ok(())
}

/// Tells farmers what to remove, whenever there is something and again for those that did not answer.
pub(crate) async fn keep_removing(owner: Arc<Inner>) {
    let mut again = AGAIN;
    loop {
        if let Err(error) = settle(&owner).await {
            tracing::warn!(%error, "contracts are settled later");
        }
        if let Err(error) = tell_farmers(&owner).await {
            tracing::warn!(%error, "removals could not be worked off");
        }
        again = tokio::select! {
            () = owner.removals.notified() => AGAIN,
            () = tokio::time::sleep(again) => (again * 2).min(AGAIN_AT_MOST),
        };
    }
}

/// How many shards farmers hold that no record here knows, by contract, of those that were compared since the start.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<HashMap<ContractId, usize>>);

impl Strangers {
    /// How many there are in all.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).values().sum()
    }

    /// Whether these were all compared, and something was found.
    #[cfg(test)]
    pub(super) fn have_all(&self, contracts: &[ContractId]) -> bool {
        contracts.iter().all(|contract| self.have(*contract))
    }

    fn have(&self, contract: ContractId) -> bool {
        lock(&self.0).contains_key(&contract)
    }

    fn keep(&self, contract: ContractId, shards: usize) {
        lock(&self.0).insert(contract, shards);
    }
}

/// Whether farmers may hold more than the records here know, because these came back from the catalog log: no attempt is then
/// undone but by a person, since another copy of the records may name what it placed.
pub(crate) async fn may_know_too_little(owner: &Inner) -> Result<bool, OwnerError> {
    Ok(!owner.catalog.store.unsettled().await?.is_empty())
}

/// Records that came back from the catalog log may know less than farmers hold: each contract is compared with its farmer.
async fn settle(owner: &Inner) -> Result<(), OwnerError> {
    let mut unsettled = owner.catalog.store.unsettled().await?;
    unsettled.retain(|contract| !owner.strangers.have(*contract));
    let before = owner.strangers.count();
    let settled = stream::iter(unsettled).map(|contract| settle_one(owner, contract));
    let settled: Vec<_> = settled.buffer_unordered(AT_ONCE).collect().await;
    let now = owner.strangers.count();
    if now > before {
        tracing::warn!("{}", notices::of_strangers(now));
        let _ = owner.events.send(Event::StatusChanged);
    }
    settled.into_iter().collect()
}

async fn settle_one(owner: &Inner, contract: ContractId) -> Result<(), OwnerError> {
    match owner.contracts.sync(contract).await {
        Ok(()) => {}
        Err(error) if is_gone(&error) => {}
        Err(ContractError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::debug!(%contract, %error, "a contract is settled later");
            return Ok(());
        }
    }
    match strangers(owner, contract).await? {
        0 => owner.catalog.store.settle(contract).await?,
        shards => owner.strangers.keep(contract, shards),
    }
    Ok(())
}

/// How many shards are under a contract that no segment names, that no upload is about and that were not given up. They are
/// asked for in this order because a shard is in flight before it is under contract, named before it is in flight no more, and
/// given up before it is named no more.
async fn strangers(owner: &Inner, contract: ContractId) -> Result<usize, OwnerError> {
    let store = &owner.catalog.store;
    let Some(kept) = store.contract(contract).await? else { return Ok(0) };
    let mut known: HashSet<ShardId> = store.placing().await?.iter().map(|placing| placing.shard).collect();
    for segment in store.segments().await? {
        known.extend(owner.catalog.open_placement(&segment)?.shards.iter().map(|shard| shard.id));
    }
    known.extend(store.removals().await?.iter().map(|removal| removal.shard));
    Ok(kept.shards.iter().filter(|shard| !known.contains(&shard.id)).count())
}

async fn tell_farmers(owner: &Inner) -> Result<(), OwnerError> {
    let mut by_contract: BTreeMap<ContractId, Vec<ShardId>> = BTreeMap::new();
    for removal in owner.catalog.store.removals().await? {
        by_contract.entry(removal.contract).or_default().push(removal.shard);
    }
    let told = stream::iter(by_contract).map(|(contract, shards)| tell(owner, contract, shards));
    let told: Vec<_> = told.buffer_unordered(AT_ONCE).collect().await;
    told.into_iter().collect()
}

async fn tell(owner: &Inner, contract: ContractId, shards: Vec<ShardId>) -> Result<(), OwnerError> {
    match remove_shards(owner, contract, shards.clone()).await {
        Ok(()) => {}
        Err(error) if is_gone(&error) => {}
        Err(ContractError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::debug!(%contract, %error, "a farmer is told later what to remove");
            return Ok(());
        }
    }
    crash_point!(RemovalTold);
    Ok(owner.catalog.store.clear_removals(&shards).await?)
}

/// Shards that never came under the contract are given back with what is reserved for them. A revision whose answer was
/// lost may have put shards under it that this side does not know of: so the newest one is asked for before the rest is
/// removed.
async fn remove_shards(
    owner: &Inner,
    contract: ContractId,
    remove: Vec<ShardId>,
) -> Result<(), ContractError> {
    owner.contracts.release(contract, &remove).await?;
    crash_point!(AttemptReleased);
    owner.contracts.sync(contract).await?;
    owner.contracts.revise(contract, &Wish { remove, ..Wish::default() }).await
}

/// Whether there is nothing left that the farmer could hold under this contract.
fn is_gone(error: &ContractError) -> bool {
    let unknown = |code: &RefusalCode| *code == RefusalCode::UnknownContract;
    match error {
        ContractError::Unknown => true,
        ContractError::Net(NetError::Refused(Refusal { code, .. })) => unknown(code),
        _ => false,
    }
}
