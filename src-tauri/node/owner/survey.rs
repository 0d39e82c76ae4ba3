//! Looking after shards without reading them: each farmer is asked whether it is there, whether it leaves, and what it has
//! lost; each auditor what it has judged. A verdict that speaks against a farmer is looked into by this owner itself, shard
//! by shard: an auditor's word alone moves nothing.
//!
//! Invariant: no farmer is called absent while it may be this computer's own line.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use futures::{StreamExt, stream};
use hayloft_core::{
    ContractId, DeviceId, ShardId, Timestamp,
    audit::{Epoch, MAX_SHARDS_NAMED},
    manifest::Shard,
    settlement::Verdict,
};
use hayloft_net::{
    NetError,
    messages::{Answer, Refusal, RefusalCode, Request},
};
use hayloft_store::holdings::{LostShard, Presence};
use tokio::time::Instant;

use super::{Inner, OwnerError, audits, history, lock, losses};
use crate::auditor::asking::Asking;

/// Farmers asked, and contracts looked into, at once.
const AT_ONCE: usize = 16;
/// How long one farmer, or what an auditor found about one contract, may keep all others waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// The last epoch of each contract whose failed audit this owner has looked into.
#[derive(Debug, Default)]
pub(crate) struct LookedInto(Mutex<HashMap<ContractId, Epoch>>);

/// When each farmer was asked whose answer is written down.
#[derive(Debug, Default)]
pub(crate) struct WrittenDown(tokio::sync::Mutex<HashMap<DeviceId, Instant>>);

/// What is placed with one farmer, by contract.
type Kept = BTreeMap<ContractId, Vec<Shard>>;

/// What one farmer said.
pub(super) struct Said {
    farmer: DeviceId,
    asked: Instant,
    /// None if it did not answer.
    pub(super) leaves: Option<Option<Timestamp>>,
    lost: Vec<LostShard>,
    /// Shards of which it no longer says that they are lost.
    whole: Vec<ShardId>,
}

impl Said {
    pub(super) fn nothing(farmer: DeviceId, asked: Instant) -> Self {
        Self { farmer, asked, leaves: None, lost: Vec::new(), whole: Vec::new() }
    }
}

/// Asks all farmers that keep something, and forgets what is known of those that keep nothing any more.
pub(crate) async fn look_at_all(owner: &Inner) -> Result<(), OwnerError> {
    let kept = kept(owner, |_| true).await?;
    look_at(owner, &kept).await?;
    let store = &owner.catalog.store;
    let placed: HashSet<ShardId> =
        kept.values().flat_map(BTreeMap::values).flatten().map(|shard| shard.id).collect();
    let lost = store.lost_shards().await?.into_iter().map(|lost| lost.shard);
    let moved: Vec<ShardId> = lost.filter(|shard| !placed.contains(shard)).collect();
    if !moved.is_empty() {
        store.found_again(&moved).await?;
    }
    let known = store.presences().await?.into_keys().filter(|farmer| !kept.contains_key(farmer));
    let strangers: Vec<_> = known.map(|farmer| (farmer, Presence::default())).collect();
    if !strangers.is_empty() {
        store.set_presences(&strangers).await?;
    }
    Ok(())
}

/// Asks those farmers that `which` names.
pub(crate) async fn look(owner: &Inner, which: impl Fn(&DeviceId) -> bool) -> Result<(), OwnerError> {
    let kept = kept(owner, which).await?;
    look_at(owner, &kept).await
}

/// What is placed, by farmer.
async fn kept(
    owner: &Inner,
    which: impl Fn(&DeviceId) -> bool,
) -> Result<BTreeMap<DeviceId, Kept>, OwnerError> {
    let mut kept: BTreeMap<DeviceId, Kept> = BTreeMap::new();
    for segment in owner.catalog.store.segments().await? {
        let Some(placement) = owner.catalog.readable_placement(&segment) else { continue };
        for shard in &placement.shards {
            if which(&shard.farmer) {
                let contracts = kept.entry(shard.farmer).or_default();
                contracts.entry(shard.contract).or_default().push(shard.clone());
            }
        }
    }
    Ok(kept)
}

async fn look_at(owner: &Inner, kept: &BTreeMap<DeviceId, Kept>) -> Result<(), OwnerError> {
    let lost = owner.catalog.store.lost_shards().await?;
    let told: HashSet<ShardId> = lost.iter().filter(|lost| !lost.shown).map(|lost| lost.shard).collect();
    let told = &told;
    let asked = kept.iter().map(|(farmer, kept)| async move {
        let begun = Instant::now();
        let said = tokio::time::timeout(PATIENCE, ask(owner, *farmer, kept, told)).await;
        said.unwrap_or_else(|_| Said::nothing(*farmer, begun))
    });
    let asked: Vec<_> = asked.collect();
    let said: Vec<Said> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let there: HashSet<DeviceId> =
        said.iter().filter(|said| said.leaves.is_some()).map(|said| said.farmer).collect();
    write_down(owner, said).await?;
    let there = kept.iter().filter(|(farmer, _)| there.contains(farmer));
    let looked = there.flat_map(|(_, kept)| kept).map(|(contract, shards)| async move {
        tokio::time::timeout(PATIENCE, look_into(owner, contract, shards)).await
    });
    let looked: Vec<_> = looked.collect();
    let looked: Vec<_> = stream::iter(looked).buffer_unordered(AT_ONCE).collect().await;
    // One that takes too long is looked into again at the next look.
    looked.into_iter().flatten().collect()
}

async fn ask(owner: &Inner, farmer: DeviceId, kept: &Kept, told: &HashSet<ShardId>) -> Said {
    let mut said = Said::nothing(farmer, Instant::now());
    said.leaves = match owner.wire.offer(farmer).await {
        Ok(offer) => {
            let (network, now) = (&owner.catalog.network, owner.clock.now());
            let record = offer.as_ref().and_then(|offer| offer.verify(network, &farmer, now).ok());
            Some(record.and_then(|record| record.leaves))
        }
        // It offers nothing, and is there.
        Err(NetError::Refused(_)) => Some(None),
        Err(error) => {
            tracing::debug!(%farmer, %error, "a farmer does not answer");
            return said;
        }
    };
    // Whoever has shown its offer is there, and stays so however busy it is.
    let until = Instant::now() + PATIENCE / 2;
    for (contract, shards) in kept {
        let asking = Asking {
            net: &owner.net,
            certificate: Some(&owner.certificate),
            network: &owner.catalog.network,
            farmer,
            contract: *contract,
            through: None,
            until,
        };
        match asking.lost().await {
            Ok(lost) => {
                let all = lost.len() <= MAX_SHARDS_NAMED;
                let lost: BTreeSet<ShardId> = lost.into_iter().collect();
                for shard in shards {
                    if lost.contains(&shard.id) {
                        let reason = "Its farmer says that its disk lost it.".to_owned();
                        said.lost.push(losses::lost(owner, farmer, shard, false, reason));
                    } else if all && told.contains(&shard.id) {
                        said.whole.push(shard.id);
                    }
                }
            }
            Err(NetError::Refused(Refusal { code: RefusalCode::UnknownContract, .. })) => {
                for shard in shards {
                    let reason = "Its farmer denies the contract.".to_owned();
                    said.lost.push(losses::lost(owner, farmer, shard, true, reason));
                }
            }
            Err(error) => tracing::debug!(%farmer, %error, "a farmer does not say what it lost"),
        }
    }
    said
}

/// Writes down who is there, who leaves and what is lost. Several may look at once, so an answer to a question that was put
/// before one that is written down already counts for nothing.
pub(super) async fn write_down(owner: &Inner, mut said: Vec<Said>) -> Result<(), OwnerError> {
    let mut written = owner.written_down.0.lock().await;
    said.retain(|said| written.get(&said.farmer).is_none_or(|asked| *asked <= said.asked));
    let before = owner.catalog.store.presences().await?;
    let mut changed = Vec::new();
    for said in &said {
        let known = before.get(&said.farmer).copied().unwrap_or_default();
        let now = match said.leaves {
            Some(leaves) => Presence { absent: None, leaves },
            None if known.absent.is_some() || !owner.line.works(Some(said.farmer)).await => known,
            None => Presence { absent: Some(owner.clock.now()), ..known },
        };
        if now != known {
            changed.push((said.farmer, now));
        }
    }
    if !changed.is_empty() {
        owner.catalog.store.set_presences(&changed).await?;
        owner.repairs.wake();
    }
    let whole: Vec<ShardId> = said.iter().flat_map(|said| said.whole.iter().copied()).collect();
    if !whole.is_empty() {
        losses::found_again(owner, &whole).await;
    }
    let lost: Vec<LostShard> = said.iter().flat_map(|said| said.lost.iter().cloned()).collect();
    losses::note(owner, &lost).await;
    written.extend(said.iter().map(|said| (said.farmer, said.asked)));
    Ok(())
}

/// Asks the contract's auditor, and audits by oneself what it found to have failed since.
async fn look_into(owner: &Inner, contract: &ContractId, shards: &[Shard]) -> Result<(), OwnerError> {
    let Some(stored) = owner.catalog.store.contract(*contract).await? else { return Ok(()) };
    let Some(auditor) = stored.terms.terms.auditor else { return Ok(()) };
    let request = Request::Verdicts { contract: *contract, before: None };
    let Ok(Answer::Verdicts { verdicts, .. }) = history::ask(owner, auditor, request).await else {
        return Ok(());
    };
    let failed = verdicts.iter().map(|(judgement, _)| judgement);
    let failed = failed.filter(|judgement| judgement.verdict == Verdict::Failed);
    let Some(epoch) = failed.map(|judgement| judgement.epoch).max() else { return Ok(()) };
    if lock(&owner.looked_into.0).get(contract).is_some_and(|known| *known >= epoch) {
        return Ok(());
    }
    if audits::each_is_asked(owner, *contract, shards).await? {
        lock(&owner.looked_into.0).insert(*contract, epoch);
    }
    Ok(())
}
