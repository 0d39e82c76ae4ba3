//! Placing one sealed segment: coded, its shards sent to distinct farmers at once, each failed farmer replaced, and
//! every farmer's revision signed.
//!
//! Invariants: each sealing goes to one farmer only, under an id drawn for it and written down before the first byte
//! leaves; a placement is handed out only when all n shards are stored and under contract. Whatever was tried and did
//! not become part of it is written down for removal.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::OptionFuture, stream::FuturesUnordered};
use hayloft_core::{
    ContractId, DeviceId, SegmentId, ShardId, Timestamp,
    content::{CodedSegment, Coder, CodingError, Layout, ShardSealer},
    contract::{ShardEntry, quota_bytes},
    manifest::{PlacementRecord, SecretKey, Shard, sign_roots},
    placement::{self, PlacementError, Plan, Rule},
    presets::{Choice, Preset, choose},
    record::FarmerRecord,
};
use hayloft_net::{
    Fault, NetError, Upload,
    messages::{Refusal, RefusalCode},
};
use hayloft_store::{files::Removal, owner::Placing};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, OwnerError,
    contracts::{ContractError, Wish},
    farmers::{Offer, group_sizes},
    lock,
    race::{Race, Runner},
};
use crate::jobs::Sent;

/// How often a segment is planned anew when its farmers fail and no spare is left.
const PLANS: usize = 4;
/// How often a shard's transfer that broke goes on where it was.
const RESUMES: u32 = 8;
/// How often a farmer is tried again once our own line is back: connections that died with it are found out one by one.
const TRIES_ONCE_BACK: u32 = 3;
/// How often it is looked which farmers are late.
const LOOK: Duration = Duration::from_millis(250);

/// What a segment is placed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    /// How much redundancy.
    pub(crate) preset: Preset,
    /// Until when it is kept at least.
    pub(crate) until: Timestamp,
    /// The job that places it.
    pub(crate) job: Option<u32>,
}

/// A segment that could not be placed: its sealed bytes may be tried again.
pub(crate) struct NotPlaced {
    pub(crate) error: OwnerError,
    pub(crate) sealed: Vec<u8>,
}

/// Why a farmer did not take a shard.
#[derive(Debug, thiserror::Error)]
enum Failure {
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
            Some(NetError::Refused(refusal)) => refusal.code == RefusalCode::Busy,
            _ => false,
        }
    }
}

/// Who has a column in place of a farmer that failed.
enum Replaced {
    ByTheOther,
    By(DeviceId),
    ByNobody,
}

/// One attempt to place a segment.
struct Attempt<'a> {
    owner: &'a Inner,
    purpose: Purpose,
    segment: SegmentId,
    coded: Arc<CodedSegment>,
    outer_key: SecretKey,
    offers: &'a [Offer],
    plan: Mutex<Plan>,
    tried: Mutex<Vec<Removal>>,
    /// Some column has no farmer: nothing more needs to be sent.
    hopeless: CancellationToken,
    sent: &'a Sent,
}

/// Places a sealed segment. Only dropping the future, running out of farmers and a failing store end it without a
/// placement.
pub(crate) async fn place(
    owner: &Inner,
    segment: SegmentId,
    mut sealed: Vec<u8>,
    purpose: Purpose,
    sent: &Sent,
) -> Result<PlacementRecord, NotPlaced> {
    let mut failed = HashSet::new();
    let mut too_few = OwnerError::NoFarmers;
    for _ in 0..PLANS {
        let planned = plan(owner, sealed.len() as u64, purpose.preset, &failed).await;
        let (offers, choice, plan) = match planned {
            Ok(planned) => planned,
            Err(error) => return Err(NotPlaced { error, sealed }),
        };
        let coded = code(owner.coder(choice.coding), sealed).await;
        let coded = Arc::new(coded.map_err(|error| NotPlaced { error, sealed: Vec::new() })?);
        sent.begin(coded.layout().shard_len() * u64::from(choice.coding.n()));
        let attempt = Attempt {
            owner,
            purpose,
            segment,
            outer_key: SecretKey::random(&mut rand::rng()),
            offers: &offers,
            plan: Mutex::new(plan),
            tried: Mutex::default(),
            hopeless: CancellationToken::new(),
            sent,
            coded,
        };
        let failed_before = failed.len();
        let result = attempt.run(&mut failed).await;
        sealed = match result {
            Ok(Some(placement)) => return Ok(placement),
            Ok(None) => {
                let needed = usize::from(choice.coding.n());
                let found = needed.saturating_sub(failed.len() - failed_before);
                too_few = OwnerError::TooFewFarmers { found, needed };
                attempt.coded.sealed().to_vec()
            }
            Err(error) => return Err(NotPlaced { error, sealed: attempt.coded.sealed().to_vec() }),
        };
    }
    Err(NotPlaced { error: too_few, sealed })
}

async fn code(coder: Arc<Coder>, sealed: Vec<u8>) -> Result<CodedSegment, OwnerError> {
    let coding = move || coder.encode(sealed).map_err(OwnerError::Coding);
    tokio::task::spawn_blocking(coding).await.map_err(|_| OwnerError::Stopped)?
}

async fn plan(
    owner: &Inner,
    bytes: u64,
    preset: Preset,
    failed: &HashSet<DeviceId>,
) -> Result<(Vec<Offer>, Choice, Plan), OwnerError> {
    let mut offers = owner.farmers.offers(hayloft_core::presets::MAX_SHARDS).await;
    offers.retain(|offer| !failed.contains(&offer.record.device));
    let (choice, shard_bytes) = choice_for(&offers, bytes, preset)?;
    let rule = Rule { n: choice.coding.n(), group_limit: choice.group_limit, shard_bytes };
    let candidates: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let plan = placement::plan(&candidates, rule, &mut rand::rng()).map_err(too_few)?;
    Ok((offers, choice, plan))
}

/// The redundancy for the farmers that have room for the shards that it makes: the fewer farmers, the larger they are.
pub(crate) fn choice_for(offers: &[Offer], bytes: u64, preset: Preset) -> Result<(Choice, u64), OwnerError> {
    let mut shard_bytes = 1;
    loop {
        let choice = choose(preset, &group_sizes(offers, shard_bytes)).ok_or(OwnerError::NoFarmers)?;
        let layout = Layout::new(bytes, choice.coding.k()).map_err(CodingError::from)?;
        let wanted = quota_bytes(layout.shard_len());
        if wanted <= shard_bytes {
            return Ok((choice, wanted));
        }
        shard_bytes = wanted;
    }
}

fn too_few(error: PlacementError) -> OwnerError {
    match error {
        PlacementError::BadRule => OwnerError::NoFarmers,
        PlacementError::TooFewFarmers { needed, usable, .. } => {
            OwnerError::TooFewFarmers { found: usable, needed }
        }
        PlacementError::TooFewGroups { needed, possible, .. } => {
            OwnerError::TooFewFarmers { found: possible, needed }
        }
    }
}

impl Attempt<'_> {
    /// `None` if farmers failed and no spare was left: then they are among `failed`.
    async fn run(&self, failed: &mut HashSet<DeviceId>) -> Result<Option<PlacementRecord>, OwnerError> {
        let farmers: Vec<DeviceId> = lock(&self.plan).farmers().collect();
        let columns = farmers.into_iter().zip(0..).map(|(farmer, column)| (column, farmer)).collect();
        let placed = match self.on_farmers(columns, failed, |runner| self.send(runner)).await {
            Ok(Some(stored)) => self.put_under_contract(stored, failed).await,
            result => result,
        };
        let shards = placed.as_ref().ok().and_then(Option::as_ref);
        let kept: HashSet<ShardId> = shards.into_iter().flatten().map(|shard| shard.id).collect();
        let mut leftovers = std::mem::take(&mut *lock(&self.tried));
        leftovers.retain(|tried| !kept.contains(&tried.shard));
        if !leftovers.is_empty() {
            self.owner.catalog.store.give_up_placing(&leftovers).await?;
            self.owner.removals.notify_one();
        }
        Ok(placed?.map(|shards| self.record(shards)))
    }

    /// Signs the revisions of all farmers at once. A farmer that fails now is replaced like one that failed before.
    async fn put_under_contract(
        &self,
        stored: Vec<Shard>,
        failed: &mut HashSet<DeviceId>,
    ) -> Result<Option<Vec<Shard>>, OwnerError> {
        let columns = stored.iter().map(|shard| (shard.column, shard.farmer)).collect();
        let first: Mutex<Vec<Shard>> = Mutex::new(stored);
        self.on_farmers(columns, failed, |runner| {
            let first = &first;
            let (column, farmer) = (runner.column, runner.farmer);
            async move {
                let sent = {
                    let mut first = lock(first);
                    let at = first.iter().position(|shard| (shard.column, shard.farmer) == (column, farmer));
                    at.map(|at| first.swap_remove(at))
                };
                let shard = match sent {
                    Some(shard) => shard,
                    None => self.send(runner).await?,
                };
                self.over_the_line(farmer, || self.revise(&shard)).await?;
                Ok(shard)
            }
        })
        .await
    }

    /// Does `work` for each column at its farmer, all at once, and again at a spare for each that fails. Beside a farmer
    /// that is late while most others are done, a spare is sent the same column under a new id; if there is none, and it
    /// takes too long, the farmer counts as failed. Once a column has nobody, nothing more is sent, but all are still heard:
    /// the next plan does without every farmer that is gone, not only the first.
    async fn on_farmers<W, F>(
        &self,
        columns: Vec<(u8, DeviceId)>,
        failed: &mut HashSet<DeviceId>,
        work: W,
    ) -> Result<Option<Vec<Shard>>, OwnerError>
    where
        W: Fn(Runner) -> F,
        F: Future<Output = Result<Shard, Failure>>,
    {
        // The verdict belongs to the work: awaited beside the others it would wait for the database's one writer, which
        // one of them may hold while nobody polls it.
        let named = |runner: Runner| {
            let (column, farmer, lost) = (runner.column, runner.farmer, runner.lost.clone());
            let work = work(runner);
            async move {
                let result = lost.run_until_cancelled(work).await;
                if let Some(Err(failure)) = &result {
                    self.judge(farmer, failure).await;
                }
                (column, farmer, result)
            }
        };
        let mut race = Race::new(self.coded.layout().shard_len());
        let (wanted, begun) = (columns.len(), tokio::time::Instant::now());
        let mut running: FuturesUnordered<_> =
            columns.into_iter().map(|(column, farmer)| named(race.enter(column, farmer, begun))).collect();
        let mut done = Vec::with_capacity(wanted);
        let mut ticks = tokio::time::interval(LOOK);
        let mut checking = pin!(OptionFuture::default());
        let mut is_checking = false;
        while done.len() < wanted && !running.is_empty() {
            tokio::select! {
                Some((column, farmer, result)) = running.next() => match result {
                    None => {}
                    Some(Ok(shard)) => {
                        let now = tokio::time::Instant::now();
                        let won = race.won(column, farmer, now);
                        if won {
                            lock(&self.plan).settle(column, farmer);
                            done.push(shard);
                        }
                    }
                    Some(Err(Failure::Store(error) | Failure::Contract(ContractError::Store(error)))) => {
                        return Err(error.into());
                    }
                    Some(Err(Failure::Offline)) => return Err(OwnerError::Offline),
                    Some(Err(Failure::Hopeless)) => {}
                    Some(Err(_)) => {
                        failed.insert(farmer);
                        let replaced = self.replaced(column, farmer, race.failed(column, farmer));
                        match replaced {
                            Replaced::ByTheOther => {}
                            Replaced::By(spare) if !self.hopeless.is_cancelled() => {
                                running.push(named(race.enter(column, spare, tokio::time::Instant::now())));
                            }
                            Replaced::By(_) | Replaced::ByNobody => self.hopeless.cancel(),
                        }
                    }
                },
                now = ticks.tick() => {
                    race.look(now);
                    self.sent.arrived(race.arrived());
                    if !is_checking && !self.hopeless.is_cancelled() && !race.late().is_empty() {
                        checking.set(Some(self.owner.line.works(None)).into());
                        is_checking = true;
                    }
                }
                works = &mut checking, if is_checking => {
                    is_checking = false;
                    // If nothing comes from anywhere, it is our own line, and its others have been lucky.
                    let late = if works == Some(true) { race.late() } else { Vec::new() };
                    let hopeless = race.hopeless();
                    for (column, farmer) in late {
                        if let Some(spare) = lock(&self.plan).second(column) {
                            tracing::info!(%farmer, %spare, "a farmer is slow: a spare is sent the same");
                            running.push(named(race.enter(column, spare, tokio::time::Instant::now())));
                        } else if hopeless.contains(&(column, farmer)) {
                            tracing::info!(%farmer, "a farmer is too slow: it is done without");
                            self.owner.farmers.is_down(farmer);
                            failed.insert(farmer);
                            return Ok(None);
                        }
                    }
                }
            }
        }
        self.sent.arrived(race.arrived());
        Ok((!self.hopeless.is_cancelled()).then_some(done))
    }

    /// Who has a column in place of a farmer that failed; `other` is sent it already.
    fn replaced(&self, column: u8, farmer: DeviceId, other: Option<DeviceId>) -> Replaced {
        let mut plan = lock(&self.plan);
        match other {
            Some(other) => {
                plan.drop_second(column, farmer);
                plan.settle(column, other);
                Replaced::ByTheOther
            }
            None => plan.replace(column).map_or(Replaced::ByNobody, Replaced::By),
        }
    }

    /// Does something at a farmer, and does it again for as long as nobody can be reached, and once the line is back: then
    /// it was our own line.
    async fn over_the_line<T, F>(&self, farmer: DeviceId, work: impl Fn() -> F) -> Result<T, Failure>
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

    async fn judge(&self, farmer: DeviceId, failure: &Failure) {
        tracing::info!(%farmer, %failure, "a farmer did not take a shard");
        let farmers = &self.owner.farmers;
        let lied = match failure {
            Failure::Offline
            | Failure::Hopeless
            | Failure::Store(_)
            | Failure::Contract(ContractError::Store(_)) => return,
            Failure::Net(error) => error.blames_peer(),
            Failure::Contract(error) => error.blames_farmer(),
            Failure::WrongHash | Failure::KnowsTooMuch => true,
            Failure::NoOffer => false,
        };
        if lied {
            farmers.blame(farmer, &failure.to_string()).await;
        } else {
            farmers.is_down(farmer);
        }
    }

    fn offer(&self, farmer: DeviceId) -> Result<&FarmerRecord, Failure> {
        let offer = self.offers.iter().find(|offer| offer.record.device == farmer);
        offer.map(|offer| &offer.record).ok_or(Failure::NoOffer)
    }

    /// Seals a column for a farmer and sends it.
    async fn send(&self, runner: Runner) -> Result<Shard, Failure> {
        let Runner { column, farmer, received, .. } = runner;
        let sealer = ShardSealer::new(self.coded.clone(), column, &self.outer_key, &mut rand::rng());
        let offer = self.offer(farmer)?;
        let with = || async { Ok(self.owner.contracts.with(offer).await?) };
        let mut contract = self.over_the_line(farmer, with).await?;
        let mut upload = match self.begin(&sealer, farmer, contract).await {
            // A contract that the farmer does not know any more is made anew, once.
            Err(Failure::Net(NetError::Refused(Refusal { code: RefusalCode::UnknownContract, .. }))) => {
                if self.owner.contracts.give_up(farmer, contract).await? {
                    self.owner.farmers.blame(farmer, "it denies a contract that it signed").await;
                }
                contract = self.over_the_line(farmer, with).await?;
                self.begin(&sealer, farmer, contract).await?
            }
            result => result?,
        };
        let bytes = sealer.layout().shard_len();
        let mut resumed = 0;
        loop {
            upload.tell(received.clone());
            let begun = tokio::time::Instant::now();
            let transfer = self.hopeless.run_until_cancelled(self.transfer(&sealer, upload)).await;
            match transfer.unwrap_or(Err(Failure::Hopeless)) {
                // The line broke: the farmer still has what came through.
                Err(failure) if self.is_of_the_line(&failure, begun) && resumed < RESUMES => {
                    resumed += 1;
                    let again =
                        || async { Ok(self.owner.wire.upload(farmer, contract, sealer.id(), bytes).await?) };
                    upload = self.over_the_line(farmer, again).await?;
                }
                result => {
                    result?;
                    return Ok(Shard { column, id: sealer.id(), farmer, contract });
                }
            }
        }
    }

    /// Writes the shard down, holds space for it at the farmer and begins to send it.
    async fn begin(
        &self,
        sealer: &ShardSealer,
        farmer: DeviceId,
        contract: ContractId,
    ) -> Result<Upload, Failure> {
        let (shard, segment, job) = (sealer.id(), self.segment, self.purpose.job);
        let bytes = sealer.layout().shard_len();
        lock(&self.tried).push(Removal { farmer, contract, shard });
        self.owner.catalog.store.add_placing(&[Placing { shard, farmer, contract, segment, job }]).await?;
        let upload = self
            .over_the_line(farmer, || async {
                let _reserving = self.owner.contracts.reserving(contract).await;
                self.owner.wire.reserve(farmer, contract, quota_bytes(bytes)).await?;
                let begun = Instant::now();
                let upload = self.owner.wire.upload(farmer, contract, shard, bytes).await?;
                self.owner.farmers.answered(farmer, begun.elapsed());
                Ok(upload)
            })
            .await?;
        if upload.have() > 0 { Err(Failure::KnowsTooMuch) } else { Ok(upload) }
    }

    async fn transfer(&self, sealer: &ShardSealer, mut upload: Upload) -> Result<(), Failure> {
        let hash = self.send_cells(sealer, &mut upload).await?;
        if upload.finish().await? == hash { Ok(()) } else { Err(Failure::WrongHash) }
    }

    /// Sends what the farmer does not have yet, and gives the hash of the whole shard.
    async fn send_cells(&self, sealer: &ShardSealer, upload: &mut Upload) -> Result<[u8; 32], Failure> {
        let mut have = usize::try_from(upload.have()).unwrap_or(usize::MAX);
        let mut hasher = blake3::Hasher::new();
        let mut cell = Vec::new();
        for index in 0..sealer.layout().stripes() {
            cell.clear();
            sealer.seal_cell(index, &mut cell);
            hasher.update(&cell);
            let skipped = have.min(cell.len());
            have -= skipped;
            if skipped < cell.len() {
                upload.send(&cell[skipped..]).await?;
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    async fn revise(&self, shard: &Shard) -> Result<(), Failure> {
        let entry = ShardEntry { id: shard.id, bytes: self.coded.layout().shard_len(), tag_key: None };
        let wish = Wish { add: vec![entry], until: Some(self.purpose.until), ..Wish::default() };
        Ok(self.owner.contracts.revise(shard.contract, &wish).await?)
    }

    fn record(&self, mut shards: Vec<Shard>) -> PlacementRecord {
        shards.sort_unstable_by_key(|shard| shard.column);
        let keys = &self.owner.catalog.keys;
        PlacementRecord {
            segment: self.segment,
            k: self.coded.coding().k(),
            n: self.coded.coding().n(),
            bytes: self.coded.layout().bytes(),
            outer_key: self.outer_key.clone(),
            roots: self.coded.roots().to_vec(),
            signature: sign_roots(&keys.owner, &self.owner.catalog.network, self.segment, &self.coded),
            shards,
        }
    }
}
