//! One attempt to place columns of a segment: all of them at once, each at a farmer of its own; who fails or is late is replaced.
//!
//! Invariant: whatever was tried and did not become part of the placement is written down for removal.

use std::{
    collections::HashSet,
    pin::pin,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::OptionFuture, stream::FuturesUnordered};
use hayloft_core::{DeviceId, ShardId, manifest::Shard, placement::Plan};
use tokio_util::sync::CancellationToken;

use super::{
    OwnerError,
    contracts::ContractError,
    gathering, lock,
    race::{Race, Runner},
    sending::{Failure, Shipment},
};

/// How often it is looked which farmers are late.
const LOOK: Duration = Duration::from_millis(250);

/// Who has a column in place of a farmer that failed.
enum Replaced {
    ByTheOther,
    By(DeviceId),
    ByNobody,
}

/// One attempt to place columns of a segment.
pub(super) struct Attempt<'a> {
    pub(super) shipment: Shipment<'a>,
    /// Which columns, in the order of the plan's.
    pub(super) wanted: Vec<u8>,
    pub(super) plan: Mutex<Plan>,
}

impl Attempt<'_> {
    /// `None` if farmers failed and no spare was left: then they are among `failed`.
    pub(super) async fn run(&self, failed: &mut HashSet<DeviceId>) -> Result<Option<Vec<Shard>>, OwnerError> {
        let columns = self.wanted.iter().copied().zip(lock(&self.plan).farmers()).collect();
        let begun = Instant::now();
        let sent =
            self.on_farmers(columns, failed, Duration::ZERO, |runner| self.shipment.send(runner)).await;
        let placed = match sent {
            Ok(Some(stored)) => {
                let nothing_more = self.shipment.load.arrived(begun.elapsed()).await;
                self.put_under_contract(stored, &nothing_more, failed).await
            }
            result => result,
        };
        let shards = placed.as_ref().ok().and_then(Option::as_ref);
        let kept: HashSet<ShardId> = shards.into_iter().flatten().map(|shard| shard.id).collect();
        let mut leftovers = std::mem::take(&mut *lock(&self.shipment.tried));
        leftovers.retain(|tried| !kept.contains(&tried.shard));
        if !leftovers.is_empty() {
            self.shipment.owner.catalog.store.give_up_placing(&leftovers).await?;
            self.shipment.owner.removals.notify_one();
        }
        placed
    }

    /// The plan's number of a column.
    fn slot(&self, column: u8) -> u8 {
        let slot = self.wanted.iter().position(|wanted| *wanted == column);
        slot.and_then(|slot| u8::try_from(slot).ok()).expect("only what is wanted is sent")
    }

    /// Signs the revisions of all farmers at once. A farmer that fails now is replaced like one that failed before.
    async fn put_under_contract(
        &self,
        stored: Vec<Shard>,
        nothing_more: &CancellationToken,
        failed: &mut HashSet<DeviceId>,
    ) -> Result<Option<Vec<Shard>>, OwnerError> {
        let columns = stored.iter().map(|shard| (shard.column, shard.farmer)).collect();
        let first: Mutex<Vec<Shard>> = Mutex::new(stored);
        self.on_farmers(columns, failed, gathering::WAIT, |runner| {
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
                    None => self.shipment.send(runner).await?,
                };
                let sign = || self.shipment.put_under_contract(&shard, nothing_more);
                self.shipment.over_the_line(farmer, sign).await?;
                Ok(shard)
            }
        })
        .await
    }

    /// Does `work` for each column at its farmer, all at once, and again at a spare for each that fails. Beside a farmer
    /// that is late while most others are done, a spare is sent the same column under a new id; if there is none, and it
    /// takes too long, the farmer counts as failed. Once a column has nobody, nothing more is sent, but all are still heard:
    /// the next plan does without every farmer that is gone, not only the first. Nobody is late because of what is waited for
    /// on purpose.
    async fn on_farmers<W, F>(
        &self,
        columns: Vec<(u8, DeviceId)>,
        failed: &mut HashSet<DeviceId>,
        on_purpose: Duration,
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
        let mut race = Race::new(self.shipment.bytes_sent());
        let (wanted, begun) = (columns.len(), tokio::time::Instant::now() + on_purpose);
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
                            lock(&self.plan).settle(self.slot(column), farmer);
                            done.push(shard);
                        }
                    }
                    Some(Err(Failure::Store(error) | Failure::Contract(ContractError::Store(error)))) => {
                        return Err(error.into());
                    }
                    Some(Err(Failure::Contract(error))) if error.is_ours() => return Err(error.into()),
                    Some(Err(Failure::Load(error))) => return Err(error),
                    Some(Err(Failure::Offline)) => return Err(OwnerError::Offline),
                    Some(Err(Failure::Stopping(_))) => return Err(OwnerError::Stopped),
                    Some(Err(Failure::Hopeless)) => {}
                    Some(Err(_)) => {
                        failed.insert(farmer);
                        let replaced = self.replaced(column, farmer, race.failed(column, farmer));
                        match replaced {
                            Replaced::ByTheOther => {}
                            Replaced::By(spare) if !self.shipment.hopeless.is_cancelled() => {
                                running.push(named(race.enter(column, spare, tokio::time::Instant::now())));
                            }
                            Replaced::By(_) | Replaced::ByNobody => self.shipment.hopeless.cancel(),
                        }
                    }
                },
                now = ticks.tick() => {
                    race.look(now);
                    self.shipment.sent.arrived(race.arrived());
                    if !is_checking && !self.shipment.hopeless.is_cancelled() && !race.late().is_empty() {
                        checking.set(Some(self.shipment.owner.line.works(None)).into());
                        is_checking = true;
                    }
                }
                works = &mut checking, if is_checking => {
                    is_checking = false;
                    // If nothing comes from anywhere, it is our own line, and its others have been lucky; so have those whose
                    // connections came back first.
                    let silent = self.shipment.owner.line.was_silent_after(tokio::time::Instant::now());
                    let late = if works == Some(true) && !silent { race.late() } else { Vec::new() };
                    let hopeless = race.hopeless();
                    for (column, farmer) in late {
                        if let Some(spare) = lock(&self.plan).second(self.slot(column)) {
                            tracing::info!(%farmer, %spare, "a farmer is slow: a spare is sent the same");
                            running.push(named(race.enter(column, spare, tokio::time::Instant::now())));
                        } else if hopeless.contains(&(column, farmer)) {
                            tracing::info!(%farmer, "a farmer is too slow: it is done without");
                            self.shipment.owner.farmers.is_down(farmer);
                            failed.insert(farmer);
                            return Ok(None);
                        }
                    }
                }
            }
        }
        self.shipment.sent.arrived(race.arrived());
        Ok((!self.shipment.hopeless.is_cancelled()).then_some(done))
    }

    /// Who has a column in place of a farmer that failed; `other` is sent it already.
    fn replaced(&self, column: u8, farmer: DeviceId, other: Option<DeviceId>) -> Replaced {
        let (mut plan, slot) = (lock(&self.plan), self.slot(column));
        match other {
            Some(other) => {
                plan.drop_second(slot, farmer);
                plan.settle(slot, other);
                Replaced::ByTheOther
            }
            None => plan.replace(slot).map_or(Replaced::ByNobody, Replaced::By),
        }
    }

    async fn judge(&self, farmer: DeviceId, failure: &Failure) {
        tracing::info!(%farmer, %failure, "a farmer did not take a shard");
        let farmers = &self.shipment.owner.farmers;
        let lied = match failure {
            Failure::Offline
            | Failure::Hopeless
            | Failure::Stopping(_)
            | Failure::Load(_)
            | Failure::Store(_)
            | Failure::Contract(ContractError::Store(_)) => return,
            Failure::Contract(error) if error.is_ours() => return,
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
}
