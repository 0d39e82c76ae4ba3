//! Sending one shard of a segment to one farmer: under contract with it, sealed and tagged as it goes out, gone on with
//! where a line broke, and signed for by the farmer's revision.
//!
//! Invariants: each sealing goes to one farmer only, under an id drawn for it and written down before the first byte
//! leaves; a shard counts as stored only when the farmer's hash of it is right. Deliberately absent: who gets which column.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hayloft_core::{
    ContractId, DeviceId, SegmentId,
    content::ShardSealer,
    contract::{ShardEntry, quota_bytes},
    manifest::{SecretKey, Shard},
    record::FarmerRecord,
};
use hayloft_net::{
    Fault, NetError, Upload,
    messages::{Refusal, RefusalCode},
};
use hayloft_store::{files::Removal, owner::Placing};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, OwnerError,
    contracts::ContractError,
    farmers::Offer,
    load::Load,
    lock,
    making::{CutOff, Making},
    race::Runner,
    upload::Keep,
};
use crate::jobs::Sent;

/// How often a shard's transfer that broke goes on where it was.
const RESUMES: u32 = 8;
/// How often a farmer is tried again once our own line is back: connections that died with it are found out one by one.
const TRIES_ONCE_BACK: u32 = 3;

/// Shards sent at once while they go quickly: each farmer gets its bytes in long runs instead of crumbs, and few wait in
/// memory to be acknowledged.
const AT_ONCE: usize = 8;
/// How long a shard waits for its turn: where the way to the farmers is the bottleneck, all are sent at once.
const TURN: Duration = Duration::from_secs(5);

/// Turns to send a shard, for all segments of this owner.
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    /// A turn, or none after a while: then too the shard may be sent.
    async fn next(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(TURN, self.0.acquire()).await.ok()?.ok()
    }
}

/// Why a farmer did not take a shard.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error("the farmer stored other bytes than it was sent")]
    WrongHash,
    #[error("the farmer claims to have bytes that it was never sent")]
    KnowsTooMuch,
    #[error("the farmer is not among those at hand")]
    NoOffer,
    #[error("nobody can be reached")]
    Offline,
    #[error("others failed, and nobody is left to take their place")]
    Hopeless,
    #[error("this node is stopping")]
    Stopping(#[from] CutOff),
    #[error(transparent)]
    Load(OwnerError),
    #[error(transparent)]
    Store(#[from] hayloft_store::owner::OwnerError),
}

impl Failure {
    fn net(&self) -> Option<&NetError> {
        match self {
            Self::Net(error) | Self::Contract(ContractError::Net(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether it may be our own line's.
    fn is_of_the_line(&self) -> bool {
        matches!(self.net(), Some(NetError::Unreachable(_)))
    }

    /// Whether it may be our own line's if that was silent meanwhile: to the farmer it looked as if we were.
    fn is_of_a_silence(&self) -> bool {
        match self.net() {
            Some(NetError::Unreachable(_) | NetError::Silent | NetError::Protocol(Fault::EndedEarly)) => true,
            _ => self.is_busy(),
        }
    }

    fn is_of_an_unknown_contract(&self) -> bool {
        let refused = |code| matches!(self.net(), Some(NetError::Refused(refusal)) if refusal.code == code);
        refused(RefusalCode::UnknownContract) || matches!(self, Self::Contract(ContractError::Unknown))
    }

    fn is_busy(&self) -> bool {
        matches!(self.net(), Some(NetError::Refused(Refusal { code: RefusalCode::Busy, .. })))
    }
}

/// One segment, or some of its columns, on the way: what the sending of all its shards shares.
pub(super) struct Shipment<'a> {
    pub(super) owner: &'a Inner,
    pub(super) keep: Keep,
    pub(super) segment: SegmentId,
    pub(super) load: Load<'a>,
    pub(super) outer_key: SecretKey,
    pub(super) offers: &'a [Offer],
    /// Shards that farmers may have something of.
    pub(super) tried: Mutex<Vec<Removal>>,
    /// Some column has no farmer: nothing more needs to be sent.
    pub(super) hopeless: CancellationToken,
    pub(super) sent: &'a Sent,
}

impl Shipment<'_> {
    /// Seals a column for a farmer and sends it.
    pub(super) async fn send(&self, runner: Runner) -> Result<Shard, Failure> {
        let Runner { column, farmer, received, .. } = runner;
        let columns = self.load.columns().await.map_err(Failure::Load)?;
        let sealer = Arc::new(ShardSealer::new(columns, column, &self.outer_key, &mut rand::rng()));
        let offer = self.offer(farmer)?;
        let with = || async { Ok(self.owner.contracts.with(offer, self.bytes_sent()).await?) };
        let mut contract = self.over_the_line(farmer, with).await?;
        let mut upload = match self.begin(&sealer, farmer, contract).await {
            // A contract that the farmer does not know any more is made anew, once.
            Err(failure) if failure.is_of_an_unknown_contract() => {
                if self.owner.contracts.give_up(farmer, contract).await? {
                    self.owner.farmers.blame(farmer, "it denies a contract that it signed").await;
                }
                contract = self.over_the_line(farmer, with).await?;
                self.begin(&sealer, farmer, contract).await?
            }
            result => result?,
        };
        let (bytes, tag_bytes) = self.sizes();
        let mut resumed = 0;
        loop {
            upload.tell(received.clone());
            let begun = tokio::time::Instant::now();
            let transfer = self.hopeless.run_until_cancelled(self.transfer(&sealer, upload)).await;
            match transfer.unwrap_or(Err(Failure::Hopeless)) {
                // The line broke, or brought too little for too long: the farmer still has what came through.
                Err(failure)
                    if (failure.is_busy() || self.is_of_the_line(&failure, begun)) && resumed < RESUMES =>
                {
                    resumed += 1;
                    let again = || {
                        let (wire, shard) = (self.owner.wire.clone(), sealer.id());
                        let going_on =
                            async move { wire.upload(farmer, contract, shard, bytes, tag_bytes).await };
                        self.hold(contract, going_on)
                    };
                    upload = self.over_the_line(farmer, again).await?;
                }
                result => {
                    result?;
                    return Ok(Shard { column, id: sealer.id(), farmer, contract });
                }
            }
        }
    }

    /// Bytes of each of the segment's shards, and of its tags.
    fn sizes(&self) -> (u64, u64) {
        let bytes = self.load.layout().shard_len();
        (bytes, self.owner.tagging.tag_bytes(bytes))
    }

    /// Bytes that a farmer is sent for one shard.
    pub(super) fn bytes_sent(&self) -> u64 {
        let (bytes, tag_bytes) = self.sizes();
        bytes + tag_bytes
    }

    /// Writes the shard down, holds space for it at the farmer and begins to send it.
    async fn begin(
        &self,
        sealer: &ShardSealer,
        farmer: DeviceId,
        contract: ContractId,
    ) -> Result<Upload, Failure> {
        let (shard, segment, job) = (sealer.id(), self.segment, self.keep.job);
        let (bytes, tag_bytes) = self.sizes();
        lock(&self.tried).push(Removal { farmer, contract, shard });
        self.owner.catalog.store.add_placing(&[Placing { shard, farmer, contract, segment, job }]).await?;
        let tried_before = AtomicBool::new(false);
        let upload = self
            .over_the_line(farmer, || async {
                if tried_before.swap(true, Ordering::Relaxed) {
                    // Its answer was lost, and it would be held twice.
                    self.owner.contracts.release(contract, &[shard]).await?;
                }
                let wire = self.owner.wire.clone();
                let beginning = async move {
                    wire.reserve(farmer, contract, quota_bytes(bytes + tag_bytes)).await?;
                    let begun = Instant::now();
                    let upload = wire.upload(farmer, contract, shard, bytes, tag_bytes).await?;
                    Ok::<_, NetError>((upload, begun.elapsed()))
                };
                let (upload, after) = self.hold(contract, beginning).await?;
                self.owner.farmers.answered(farmer, after);
                Ok(upload)
            })
            .await?;
        if upload.have() > 0 { Err(Failure::KnowsTooMuch) } else { Ok(upload) }
    }

    /// Asks a farmer to hold something for a shard, to the end: it is written down for removal if nobody waits for it any more.
    async fn hold<T: Send + 'static>(
        &self,
        contract: ContractId,
        asking: impl Future<Output = Result<T, NetError>> + Send + 'static,
    ) -> Result<T, Failure> {
        Ok(self.owner.contracts.gates.hold(contract, asking).await.map_err(|_| CutOff)??)
    }

    async fn transfer(&self, sealer: &Arc<ShardSealer>, mut upload: Upload) -> Result<(), Failure> {
        let turn = self.owner.turns.next().await;
        let hash = self.send_pieces(sealer, &mut upload).await?;
        drop(turn);
        if upload.finish().await? == hash { Ok(()) } else { Err(Failure::WrongHash) }
    }

    /// Sends what the farmer does not have yet, and gives the hash of all that it should have then.
    async fn send_pieces(&self, sealer: &Arc<ShardSealer>, upload: &mut Upload) -> Result<[u8; 32], Failure> {
        let mut have = usize::try_from(upload.have()).unwrap_or(usize::MAX);
        let mut making = Making::new(sealer.clone(), &self.owner.tagging);
        loop {
            let piece = making.piece().await?;
            if piece.is_empty() {
                return Ok(making.hash()?);
            }
            let skipped = have.min(piece.len());
            have -= skipped;
            if skipped < piece.len() {
                upload.send(&piece[skipped..]).await?;
            }
        }
    }

    /// Has a shard that arrived signed for by its farmer, together with others until nothing more comes.
    pub(super) async fn put_under_contract(
        &self,
        shard: &Shard,
        nothing_more: &CancellationToken,
    ) -> Result<(), Failure> {
        let entry = ShardEntry {
            id: shard.id,
            bytes: self.load.layout().shard_len(),
            tag_key: Some(self.owner.tagging.key_id()),
        };
        Ok(self.owner.contracts.add(shard.contract, entry, self.keep.until, nothing_more).await?)
    }

    /// Does something at a farmer, and does it again for as long as nobody can be reached, and once the line is back: then
    /// it was our own line.
    pub(super) async fn over_the_line<T, F>(
        &self,
        farmer: DeviceId,
        work: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (mut since, mut tries) = (None, 0);
        loop {
            let begun = tokio::time::Instant::now();
            let result = work().await;
            let Err(failure) = &result else { return result };
            if !self.is_of_the_line(failure, begun) {
                return result;
            }
            let since = *since.get_or_insert_with(tokio::time::Instant::now);
            if self.owner.line.works(Some(farmer)).await {
                if tries == TRIES_ONCE_BACK || !self.owner.line.was_silent_after(begun) {
                    return result;
                }
                tries += 1;
            }
            let _waiting = self.sent.waiting();
            self.owner.line.wait(since).await.map_err(|_| Failure::Offline)?;
        }
    }

    /// Whether what was begun then failed for what may be our own line's.
    fn is_of_the_line(&self, failure: &Failure, begun: tokio::time::Instant) -> bool {
        let came_back = failure.is_of_a_silence() && self.owner.line.was_silent_after(begun);
        failure.is_of_the_line() || came_back
    }

    fn offer(&self, farmer: DeviceId) -> Result<&FarmerRecord, Failure> {
        let offer = self.offers.iter().find(|offer| offer.record.device == farmer);
        offer.map(|offer| &offer.record).ok_or(Failure::NoOffer)
    }
}
