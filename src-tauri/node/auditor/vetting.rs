//! Vetting: each farmer that is found is given some data of this auditor's own, by an owner that looks like any other, and is
//! read from now and then. Passed audits of this data alone count in public.
//!
//! ```text
//! found, free of charge ──► row in the books ──► terms agreed ──► shards and tags sent ──► revision signed ──► followed
//!                              (intent)                                                               │ now and then
//!                                                                        random range read, compared ◄─┘  served | not served
//! ```
//! Each planting has a connection of its own under its own device key, so that no farmer sees the auditor's: what ties them
//! together is the address alone, which is no secret of an auditor that runs in one place.
//!
//! Invariants: whatever dies, no revision stands at a farmer that the books do not know; what is sent again is the same; a farmer has
//! one planting that stands or is begun; a read that this node could not make says nothing.
//! Deliberately absent: farmers who want money, until auditors pay; and how it is sent (`planting`).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hayloft_core::{
    Timestamp,
    audit::{Epoch, Sectors},
    auditor::vetting::{Planted, PlantingId, VettingSeed},
    contract::{MIN_GRACE_SECONDS, Terms},
    placement::Subnet,
    score::Observation,
};
use hayloft_net::{Candidate, NetError, messages::RefusalCode};
use hayloft_store::{auditor::AuditorError, plantings::Planting};
use rand::{Rng, RngExt as _, seq::SliceRandom as _};

use super::{
    Shared,
    planting::{Hand, Unplanted},
};
use crate::owner::contracts::EPOCH_SECONDS;

/// The longest pause between two looks; they are uneven, so that no farmer can tell what made its first customer come.
const EVERY: Duration = Duration::from_secs(600);
/// Farmers with vetting data at once.
const VETTED: usize = 1024;
/// Farmers that are given some in one look.
const PLANTED_AT_ONCE: usize = 4;
/// How long a farmer may take to let itself be given it, before it counts as another's.
const BEGUN_SECONDS: u64 = 24 * 3600;
/// How long one may take at a time: what came through by then is not sent again.
const PLANTING: Duration = Duration::from_secs(600);
/// The longest range read.
const PROBE_BYTES: u64 = 64 * 1024;
/// How long a read may take.
const PROBE: Duration = Duration::from_secs(30);
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
    /// One look: what was begun goes on, farmers that have nothing are given something, and what is due is read.
    pub(super) async fn vet(&self) -> Result<(), AuditorError> {
        let (store, now) = (self.parts.store.auditor(), self.parts.clock.now());
        let mut fresh = [0; 32];
        rand::rng().fill_bytes(&mut fresh);
        let seed = store.vetting_seed(fresh).await?;
        for planting in store.plantings().await? {
            match planting.planted {
                _ if planting.until <= self.parts.witness.credible() => {
                    store.forget_planting(planting.id).await?;
                }
                true if planting.probe <= now => self.probe(&seed, &planting).await?,
                true => {}
                false => self.go_on(&seed, &planting).await?,
            }
        }
        let vetted = store.vetted().await?;
        let free = VETTED.saturating_sub(vetted.len()).min(PLANTED_AT_ONCE);
        let strangers = self.parts.net.farmers().into_iter().filter(|found| !vetted.contains(&found.device));
        let mut strangers: Vec<Candidate> = strangers.filter(|found| self.can_vet(found)).collect();
        strangers.shuffle(&mut rand::rng());
        // One of each subnet: whoever makes a thousand farmers in one keeps no other newcomer waiting.
        let mut subnets = BTreeSet::new();
        strangers.retain(|found| subnets.insert(Subnet::observed(found.device, found.address)));
        for stranger in strangers.into_iter().take(free) {
            let planting = self.begun(&seed, &stranger);
            store.begin_planting(&planting).await?;
            self.go_on(&seed, &planting).await?;
        }
        Ok(())
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
        let persona = seed.persona(&self.parts.network, &id, Sectors::DEFAULT);
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

    /// Reads a random range of a planting. When it is read next is written down first: a read is counted once or not at all.
    async fn probe(&self, seed: &VettingSeed, planting: &Planting) -> Result<(), AuditorError> {
        let next = self.next_probe(&planting.terms);
        self.parts.store.auditor().probe_next(planting.id, next).await?;
        let Ok(hand) = self.hand(seed, planting).await else { return Ok(()) };
        let index = rand::rng().random_range(0..hand.persona.shards);
        let made = self.made(seed, planting, &hand.persona, index).await;
        let served = match &made {
            Ok(planted) => Some(tokio::time::timeout(PROBE, read(&hand, planting, planted)).await),
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
        let observation = if served { Observation::Served } else { Observation::NotServed };
        let epoch = Epoch::at(&planting.terms, self.parts.clock.now()).unwrap_or(Epoch(0));
        self.probed(planting.terms.farmer, planting.terms.id(), epoch, observation).await
    }
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
