//! Vetting: each farmer that is found is given some data of this auditor's own, by an owner that looks like any other, and is
//! read from now and then. Passed audits of this data alone count in public.
//!
//! ```text
//! found, free of charge ──► row in the books ──► terms agreed ──► shards and tags sent ──► revision signed ──► followed
//!                              (intent)                                                               │ now and then
//!                                                                        random range read, compared ◄─┘  served | not served
//! ```
//! A farmer that says that it leaves is not read any more: what it was given is taken back as an owner moves its files away, or
//! it could never be done with leaving.
//!
//! Each planting has a connection of its own under its own device key, so that no farmer sees the auditor's: what ties them
//! together is the address alone, which is no secret of an auditor that runs in one place.
//!
//! Invariants: whatever dies, no revision stands at a farmer that the books do not know; what is sent again is the same; a farmer has
//! one planting that stands or is begun; a read that this node could not make says nothing.
//! Deliberately absent: farmers who want money, until auditors pay; how it is sent (`planting`) and taken back (`taking_back`).

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use hayloft_core::{
    DeviceId, Timestamp,
    audit::Epoch,
    auditor::vetting::{Planted, PlantingId, VettingSeed, next_vetted},
    contract::{MIN_GRACE_SECONDS, Terms},
    placement::Subnet,
    score::Observation,
};
use hayloft_net::{Candidate, NetError, messages::RefusalCode};
use hayloft_store::{auditor::AuditorError, plantings::Planting};
use rand::{Rng, RngExt as _, seq::SliceRandom as _};

use super::{
    Shared,
    asking::patiently,
    planting::{Hand, Unplanted},
};
use crate::owner::contracts::EPOCH_SECONDS;

/// The longest pause between two looks; they are uneven, so that no farmer can tell what made its first customer come.
const EVERY: Duration = Duration::from_secs(600);
/// Farmers with vetting data at once.
const VETTED: usize = 1024;
/// Farmers that are given some in one look, and of those that have not taken all of theirs, how many are.
const PLANTED_AT_ONCE: usize = 4;
/// How long a farmer may take to let itself be given it, before it counts as another's.
const BEGUN_SECONDS: u64 = 24 * 3600;
/// How long one may take at a time, as taking it back may: what came through by then is not sent again.
const PLANTING: Duration = Duration::from_secs(600);
/// The longest range read.
const PROBE_BYTES: u64 = 64 * 1024;
/// How long a read may take: a farmer that is busy all the while does not serve.
const PROBE: Duration = Duration::from_secs(30);
/// Plantings read at once.
const PROBED_AT_ONCE: usize = 8;
/// The share of audits that must pass, as every owner asks for it.
const AUDIT_SHARE_PPM: u32 = 900_000;

/// Vets until the node stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let stop = shared.parts.stop.clone();
    loop {
        let epoch = shared.parts.epoch_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let pause = epoch.unwrap_or(EVERY).min(EVERY).mul_f64(rand::rng().random_range(0.5..1.0));
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        if let Some(Err(error)) = stop.run_until_cancelled(shared.vet()).await {
            tracing::warn!(%error, "vetting could not go on");
        }
    }
}

impl Shared {
    /// One look: what was begun goes on, farmers that have nothing are given something, and what is due is read. A farmer that
    /// takes its time keeps none of the others waiting.
    pub(super) async fn vet(&self) -> Result<(), AuditorError> {
        let (store, now) = (self.parts.store.auditor(), self.parts.clock.now());
        let mut fresh = [0; 32];
        rand::rng().fill_bytes(&mut fresh);
        let seed = store.vetting_seed(fresh).await?;
        let credible = self.parts.witness.credible();
        let (over, left): (Vec<Planting>, Vec<Planting>) =
            store.plantings().await?.into_iter().partition(|planting| planting.until <= credible);
        for planting in over {
            store.forget_planting(planting.id).await?;
        }
        let (planted, mut begun): (Vec<Planting>, Vec<Planting>) =
            left.into_iter().partition(|planting| planting.planted);
        begun.shuffle(&mut rand::rng());
        begun.truncate(PLANTED_AT_ONCE);
        begun.extend(self.begin_some(&seed).await?);
        let begun = begun.iter().map(|planting| self.go_on(&seed, planting));
        let due = planted.iter().filter(|planting| is_read(planting, now));
        let due = due.map(|planting| self.probe(&seed, planting));
        let probes =
            stream::iter(due.collect::<Vec<_>>()).buffer_unordered(PROBED_AT_ONCE).try_collect::<()>();
        tokio::try_join!(try_join_all(begun.collect::<Vec<_>>()), probes)?;
        Ok(())
    }

    /// Writes down the next farmers that are given something.
    async fn begin_some(&self, seed: &VettingSeed) -> Result<Vec<Planting>, AuditorError> {
        let store = self.parts.store.auditor();
        let mut found = self.parts.net.farmers();
        let seen = found.iter().map(|found| (found.device, found.address));
        let audited = store.farmers().await?.into_iter();
        let audited =
            audited.map(|known| (known.farmer, known.address.and_then(|address| address.parse().ok())));
        let addresses: HashMap<DeviceId, Option<IpAddr>> = audited.chain(seen).collect();
        let subnet = |farmer: DeviceId| Subnet::observed(farmer, addresses.get(&farmer).copied().flatten());
        let vetted: HashSet<DeviceId> = store.vetted().await?.into_iter().collect();
        found.retain(|found| !vetted.contains(&found.device) && self.can_vet(found));
        found.shuffle(&mut rand::rng());
        let strangers: Vec<Subnet> = found.iter().map(|found| subnet(found.device)).collect();
        let vetted: Vec<Subnet> = vetted.into_iter().map(subnet).collect();
        let mut begun = Vec::new();
        for index in next_vetted(&vetted, &strangers, VETTED, PLANTED_AT_ONCE) {
            let planting = self.begun(seed, &found[index]);
            store.begin_planting(&planting).await?;
            begun.push(planting);
        }
        Ok(begun)
    }

    fn can_vet(&self, found: &Candidate) -> bool {
        let record = &found.record.record;
        record.accepting && record.storage_price.0 == 0 && found.device != self.parts.device.id()
    }

    pub(super) fn begun(&self, seed: &VettingSeed, found: &Candidate) -> Planting {
        let (mut id, mut nonce) = ([0; 32], [0; 32]);
        rand::rng().fill_bytes(&mut id);
        rand::rng().fill_bytes(&mut nonce);
        let (id, now, record) = (PlantingId(id), self.parts.clock.now(), &found.record.record);
        let persona = seed.persona(&self.parts.network, &id, self.parts.sectors);
        let terms = Terms {
            network: self.parts.network.clone(),
            owner: persona.owner.id(),
            farmer: found.device,
            start: now,
            epoch_seconds: self.parts.epoch_seconds.unwrap_or(EPOCH_SECONDS),
            storage_price: record.storage_price,
            egress_price: record.egress_price,
            audit_share_ppm: AUDIT_SHARE_PPM,
            auditor: Some(self.parts.device.id()),
            escrow: None,
            grace_seconds: MIN_GRACE_SECONDS,
            nonce,
        };
        let (probe, until) = (self.next_probe(&terms), now.plus_seconds(BEGUN_SECONDS));
        Planting { id, terms, planted: false, probe, until }
    }

    /// About once an epoch, at no time that can be foreseen.
    fn next_probe(&self, terms: &Terms) -> Timestamp {
        let epoch = u64::from(terms.epoch_seconds);
        self.parts.clock.now().plus_seconds(rand::rng().random_range(epoch / 2..=epoch.saturating_mul(3) / 2))
    }

    /// Brings a planting as far as it goes. A farmer that says no is left alone for now.
    async fn go_on(&self, seed: &VettingSeed, planting: &Planting) -> Result<(), AuditorError> {
        let planted = tokio::time::timeout(PLANTING, self.plant(seed, planting)).await;
        let Ok(Err(error)) = planted else { return Ok(()) };
        if let Unplanted::Books(AuditorError::Database(error)) = error {
            return Err(error.into());
        }
        tracing::debug!(farmer = %planting.terms.farmer, %error, "a farmer could not be given vetting data");
        if says_no(&error) {
            self.parts.store.auditor().forget_planting(planting.id).await?;
        }
        Ok(())
    }

    /// Reads a random range of a planting, or takes it back from a farmer that leaves. When it is read next is written down first: a read is counted once or not at all.
    async fn probe(&self, seed: &VettingSeed, planting: &Planting) -> Result<(), AuditorError> {
        let next = self.next_probe(&planting.terms);
        self.parts.store.auditor().probe_next(planting.id, next).await?;
        crash_point!(ReadBegun);
        let Ok(hand) = self.hand(seed, planting).await else { return Ok(()) };
        let leaves = tokio::time::timeout(PROBE, hand.leaves(planting.terms.farmer));
        if leaves.await.unwrap_or(false) {
            let gone = tokio::time::timeout(PLANTING, self.take_back(seed, planting, &hand)).await;
            hand.net.shutdown().await;
            return gone.unwrap_or(Ok(()));
        }
        let index = rand::rng().random_range(0..hand.persona.shards);
        let made = self.made(seed, planting, &hand.persona, index).await;
        let served = match &made {
            Ok(planted) => {
                let reading = patiently(|| read(&hand, planting, planted));
                Some(tokio::time::timeout(PROBE, reading).await)
            }
            Err(_) => None,
        };
        hand.net.shutdown().await;
        let served = match served {
            Some(Ok(Ok(served))) => served,
            Some(Ok(Err(NetError::Cancelled))) | None => return Ok(()),
            // An own line that is dead says nothing about anybody.
            Some(Ok(Err(_)) | Err(_)) if self.parts.net.peer_count() == 0 => return Ok(()),
            Some(Ok(Err(_)) | Err(_)) => false,
        };
        crash_point!(ReadDone);
        let observation = if served { Observation::Served } else { Observation::NotServed };
        let epoch = Epoch::at(&planting.terms, self.parts.clock.now()).unwrap_or(Epoch(0));
        self.probed(planting.terms.farmer, planting.terms.id(), epoch, observation).await
    }
}

/// Whether a planting is read now: while its contract lasts. What comes after that is its owner's time to take it back.
fn is_read(planting: &Planting, now: Timestamp) -> bool {
    let end = planting.until.0.saturating_sub(planting.terms.grace_seconds);
    planting.probe <= now && now.0 < end
}

/// Whether asking again would come to nothing: what the farmer may have of it lapses there by itself.
fn says_no(error: &Unplanted) -> bool {
    match error {
        Unplanted::Net(NetError::Refused(refusal)) => {
            !matches!(refusal.code, RefusalCode::Busy | RefusalCode::Internal)
        }
        Unplanted::Wrong => true,
        Unplanted::Net(_) | Unplanted::Start(_) | Unplanted::Books(_) | Unplanted::Inside(_) => false,
    }
}

/// Whether a random range comes back as it was stored.
async fn read(hand: &Hand, planting: &Planting, planted: &Planted) -> Result<bool, NetError> {
    let bytes = rand::rng().random_range(1..=PROBE_BYTES.min(planted.entry.bytes));
    let offset = rand::rng().random_range(0..=planted.entry.bytes - bytes);
    let (farmer, contract) = (planting.terms.farmer, planting.terms.id());
    let mut download = hand.wire.download(farmer, contract, planted.entry.id, offset, bytes).await?;
    let mut came = Vec::new();
    while let Some(piece) = download.next().await? {
        came.extend_from_slice(&piece);
    }
    let wanted = usize::try_from(offset).ok().and_then(|from| planted.bytes.get(from..)?.get(..came.len()));
    Ok(came.len() as u64 == bytes && wanted == Some(&came[..]))
}

#[cfg(test)]
mod tests {
    use hayloft_net::messages::Refusal;
    use tokio::time::{Instant, timeout};

    use super::*;

    fn busy() -> Result<bool, NetError> {
        Err(NetError::Refused(Refusal { code: RefusalCode::Busy, sentence: "Later.".into() }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_farmer_that_is_busy_is_asked_again_and_one_that_always_is_does_not_serve() {
        let mut left = 3;
        let served = patiently(|| {
            left -= 1;
            async move { if left > 0 { busy() } else { Ok(true) } }
        });
        assert_eq!(timeout(PROBE, served).await, Ok(Ok(true)));
        let begun = Instant::now();
        assert!(timeout(PROBE, patiently(|| async { busy() })).await.is_err());
        assert_eq!(begun.elapsed(), PROBE);
        let refused = patiently(|| async { Err::<bool, _>(NetError::Silent) });
        assert_eq!(refused.await, Err(NetError::Silent));
    }

    #[test]
    fn nothing_is_read_once_its_contract_has_ended() {
        let owner = hayloft_core::keys::OwnerKey::from_bytes(&[1; 32]);
        let terms = Terms {
            network: "here".parse().expect("a name"),
            owner: owner.id(),
            farmer: DeviceId([2; 32]),
            start: Timestamp(0),
            epoch_seconds: EPOCH_SECONDS,
            storage_price: hayloft_core::Amount(0),
            egress_price: hayloft_core::Amount(0),
            audit_share_ppm: AUDIT_SHARE_PPM,
            auditor: None,
            escrow: None,
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: [0; 32],
        };
        let (end, probe) = (Timestamp(1_000_000), Timestamp(999_000));
        let until = end.plus_seconds(MIN_GRACE_SECONDS);
        let planting = Planting { id: PlantingId([3; 32]), terms, planted: true, probe, until };
        let read = |at| is_read(&planting, Timestamp(at));
        assert!(!read(998_999) && read(999_000) && read(999_999) && !read(1_000_000) && !read(2_000_000));
    }
}
