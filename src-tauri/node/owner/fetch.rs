//! Bringing stripes of one segment back: k farmers and a few spare ones are asked, and the first k columns that come whole
//! and right win.
//!
//! A farmer that lies is blamed and another one asked; one that cannot be reached is not blamed. A farmer that is there and
//! yet sent nothing when all others had done their part is given a while longer, in the background, before it is called
//! silent.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hayloft_core::{
    DeviceId, SegmentId,
    content::Layout,
    manifest::{PlacementRecord, Shard},
};
use hayloft_net::NetError;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Inner, OwnerError,
    column::{Cells, ColumnError, check_cell, is_to_blame},
    lock,
    opening::Columns,
    tally::Tally,
};

/// Farmers asked beyond k.
const SPARES: usize = 2;
/// How often farmers are asked once more although the line works: those that could not be reached once, since a farmer that
/// starts anew is gone for a moment; all of them up to this often if it was our own line that could reach nobody.
const ROUNDS: u32 = 2;
/// How long single cells may take before whole stripes are asked for.
const FEW_CELLS: Duration = Duration::from_millis(500);
/// How long a farmer that sent nothing may take to show that it is there.
const LIVENESS: Duration = Duration::from_millis(700);
/// How long a farmer that is there may send nothing, and how many times as long as all others took.
const SILENCE: Duration = Duration::from_secs(5);
const SILENCE_TIMES: u32 = 4;
/// While this node keeps to a limit, it is not the farmers who are slow to send.
const LIMITED: Duration = Duration::from_secs(5);

/// Fetches for one get; knows whom it blamed.
#[derive(Clone)]
pub(crate) struct Fetcher {
    owner: Arc<Inner>,
    blamed: Arc<Mutex<BTreeSet<DeviceId>>>,
    tasks: TaskTracker,
    dropped: CancellationToken,
}

/// Ends all that its fetches still do when the get ends.
pub(crate) struct FetchGuard(CancellationToken);

impl Drop for FetchGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a farmer that was asked does.
enum News {
    /// It begins to send.
    Moving,
    /// Its column is there and right.
    Came { column: u8, bytes: Vec<u8> },
    /// It will send no more.
    Failed { shard: Shard, error: ColumnError },
}

impl Fetcher {
    pub(crate) fn new(owner: Arc<Inner>) -> (Self, FetchGuard) {
        let dropped = CancellationToken::new();
        let guard = FetchGuard(dropped.clone());
        (Self { owner, blamed: Arc::default(), tasks: TaskTracker::new(), dropped }, guard)
    }

    /// Where a segment's shards lie.
    pub(crate) async fn placement(&self, segment: SegmentId) -> Result<Arc<PlacementRecord>, OwnerError> {
        self.owner.catalog.placement(segment).await
    }

    /// Waits for the last verdicts and tells who sent something wrong, or nothing.
    pub(crate) async fn blamed(&self) -> Vec<DeviceId> {
        self.tasks.close();
        self.tasks.wait().await;
        lock(&self.blamed).iter().copied().collect()
    }

    /// These of the segment's bytes, which lie in these stripes; to be decoded off the async threads.
    pub(crate) async fn stripes(
        &self,
        placement: &Arc<PlacementRecord>,
        stripes: Range<u32>,
        wanted: Range<u64>,
    ) -> Result<Columns, OwnerError> {
        let layout = placement.layout()?;
        let coding = placement.coding()?;
        let columns = self.columns(placement, &layout, stripes.clone()).await?;
        Ok(Columns { coder: self.owner.coder(coding), layout, stripes, columns, wanted })
    }

    async fn columns(
        &self,
        placement: &Arc<PlacementRecord>,
        layout: &Layout,
        stripes: Range<u32>,
    ) -> Result<Vec<(u8, Vec<u8>)>, OwnerError> {
        let needed = usize::from(placement.k);
        let over = self.dropped.child_token();
        let _over = over.clone().drop_guard();
        let (to, mut came) = mpsc::unbounded_channel();
        let mut left = self.by_preference(placement);
        let mut again = placement.shards.len();
        let mut columns: Vec<(u8, Vec<u8>)> = Vec::with_capacity(needed);
        let cells = layout.cells_range(stripes.clone());
        let limited = self.owner.net.limits_downloads();
        // What a limit lets come is not to be wasted on spares.
        let mut more = if limited { needed } else { needed + SPARES };
        let usual = match limited {
            true => LIMITED,
            false => self.owner.farmers.usual_latency(left.iter().take(more).map(|shard| shard.farmer)),
        };
        let mut tally = Tally::new(needed, cells.end - cells.start, usual);
        let begun = Instant::now();
        let (mut rounds, mut unreached) = (0, BTreeSet::new());
        let mut wrong = BTreeSet::new();
        loop {
            for shard in left.drain(..left.len().min(more)) {
                let arrived = tally.ask(shard.column, Instant::now());
                let (fetcher, placement) = (self.clone(), placement.clone());
                let task = Task { fetcher, placement, shard, arrived, over: over.clone() };
                self.tasks.reopen();
                self.tasks.spawn(task.run(*layout, stripes.clone(), to.clone()));
            }
            if tally.asked() == 0 {
                rounds += 1;
                let (found, wrong, all) = (columns.len(), wrong.len(), usize::from(placement.n));
                let too_few = OwnerError::TooFewAnswer { found, wrong, needed, all };
                let restarting = rounds == 1 && !unreached.is_empty();
                self.may_ask_again(begun, rounds, restarting, too_few).await?;
                left = self.by_preference(placement);
                left.retain(|shard| columns.iter().all(|(column, _)| *column != shard.column));
                left.retain(|shard| !restarting || unreached.contains(&shard.column));
                more = needed + SPARES;
                continue;
            }
            more = match tokio::time::timeout(tally.patience(), came.recv()).await {
                Err(_) => tally.more_after_wait(Instant::now()),
                Ok(None) => return Err(OwnerError::Stopped),
                Ok(Some(News::Moving)) => 0,
                Ok(Some(News::Came { column, bytes })) => {
                    tally.came(column, Instant::now());
                    columns.push((column, bytes));
                    if columns.len() == needed {
                        return Ok(columns);
                    }
                    0
                }
                Ok(Some(News::Failed { shard, error })) => {
                    tally.failed(shard.column);
                    if error.is_unreachable() {
                        unreached.insert(shard.column);
                    }
                    // A segment may have been removed or moved since.
                    let named = self.owner.catalog.names(placement.segment, &shard).await;
                    if error.says_it_is_gone() && named.unwrap_or(true) {
                        wrong.insert(shard.column);
                    }
                    if error.is_busy() && again > 0 {
                        again -= 1;
                        left.push_back(shard);
                    }
                    tally.more_after_failure()
                }
            };
        }
    }

    /// Whether all may be asked once more after none could be reached: while nobody at all can, once it is back, and if farmers
    /// may just be starting anew.
    async fn may_ask_again(
        &self,
        begun: Instant,
        rounds: u32,
        restarting: bool,
        too_few: OwnerError,
    ) -> Result<(), OwnerError> {
        let line = &self.owner.line;
        if line.works(None).await {
            if line.was_silent_after(begun) && rounds <= ROUNDS {
                return Ok(());
            }
            if !restarting {
                return Err(too_few);
            }
        }
        line.wait(begun).await
    }

    /// All shards, those first that are likely to come soon and need no decoding.
    fn by_preference(&self, placement: &PlacementRecord) -> VecDeque<Shard> {
        let mut shards = placement.shards.clone();
        shards.sort_by_key(|shard| {
            let (down, blames, slowness) = self.owner.farmers.reluctance(shard.farmer);
            (down, blames, shard.column >= placement.k, slowness)
        });
        shards.into()
    }

    /// These bytes of the segment from the few data cells that hold them; `None` if they are many, or did not all come
    /// at once, so that whole stripes must be decoded.
    pub(crate) async fn few_cells(
        &self,
        placement: &PlacementRecord,
        sealed: Range<u64>,
    ) -> Result<Option<Vec<u8>>, OwnerError> {
        let layout = placement.layout()?;
        let cells: Vec<(u8, u32)> = layout.cells_of(sealed.clone()).collect();
        let stripes = layout.stripes_of(sealed.clone());
        if cells.len() * 2 > stripes.len() * usize::from(placement.k) {
            return Ok(None);
        }
        let reading = cells.iter().map(|&(column, stripe)| {
            let (layout, sealed) = (&layout, &sealed);
            async move {
                let shard = placement.shards.iter().find(|shard| shard.column == column)?;
                if self.owner.farmers.has_demerits(shard.farmer) {
                    return None;
                }
                let mut unit = self.column(placement, layout, shard, stripe..stripe + 1).await.ok()?;
                let held = layout.cell_bytes(column, stripe)?;
                unit.truncate((sealed.end.min(held.end) - held.start) as usize);
                Some(unit.split_off((sealed.start.max(held.start) - held.start) as usize))
            }
        });
        let all = tokio::time::timeout(FEW_CELLS, futures::future::join_all(reading)).await;
        Ok(all
            .ok()
            .and_then(|units| units.into_iter().collect::<Option<Vec<_>>>())
            .map(|units| units.concat()))
    }

    /// One farmer's cells of these stripes, opened. Wrong ones are blamed on it.
    pub(crate) async fn column(
        &self,
        placement: &PlacementRecord,
        layout: &Layout,
        shard: &Shard,
        stripes: Range<u32>,
    ) -> Result<Vec<u8>, ColumnError> {
        let mut column = Vec::new();
        let cells = Cells { owner: &self.owner, placement, layout, shard, stripes };
        let result = cells.read(Arc::default(), || {}, |bytes| column = bytes).await;
        if let Err(error) = &result {
            self.judge(placement, shard, error).await;
        }
        result.map(|()| column)
    }

    async fn judge(&self, placement: &PlacementRecord, shard: &Shard, error: &ColumnError) {
        let farmer = shard.farmer;
        if is_to_blame(&self.owner, placement, shard, error).await {
            self.blame(farmer, &error.to_string()).await;
        } else {
            tracing::debug!(%farmer, %error, "a column did not come");
            if !error.is_lost() {
                self.owner.farmers.is_down(farmer);
            }
        }
    }

    async fn blame(&self, farmer: DeviceId, reason: &str) {
        if lock(&self.blamed).insert(farmer) {
            self.owner.farmers.blame(farmer, reason).await;
        }
    }
}

/// One farmer asked for one column.
struct Task {
    fetcher: Fetcher,
    placement: Arc<PlacementRecord>,
    shard: Shard,
    /// Bytes that have come from it.
    arrived: Arc<AtomicU64>,
    over: CancellationToken,
}

impl Task {
    async fn run(self, layout: Layout, stripes: Range<u32>, to: mpsc::UnboundedSender<News>) {
        let asked = Instant::now();
        let (told, came) = (AtomicBool::new(false), AtomicBool::new(false));
        let moved = || self.arrived.load(Ordering::Relaxed) > 0;
        let on_move = || {
            if !told.swap(true, Ordering::Relaxed) {
                let _ = to.send(News::Moving);
            }
        };
        let on_all = |bytes| {
            came.store(true, Ordering::Relaxed);
            let _ = to.send(News::Came { column: self.shard.column, bytes });
        };
        let (owner, first) = (self.fetcher.owner.clone(), stripes.start);
        let (placement, shard) = (&self.placement, &self.shard);
        let cells = Cells { owner: &owner, placement, layout: &layout, shard, stripes };
        let reading = cells.read(self.arrived.clone(), on_move, on_all);
        tokio::pin!(reading);
        let result = tokio::select! {
            result = &mut reading => Some(result),
            () = self.over.cancelled() => None,
            () = self.fetcher.dropped.cancelled() => return,
        };
        let result = match result {
            Some(result) => result,
            // What follows a column that came tells whether its farmer sends too much.
            None if came.load(Ordering::Relaxed) => reading.await,
            None if moved() => return,
            None => match self.wait_longer(asked, &layout, first, reading).await {
                Some(result) => result,
                None => return,
            },
        };
        let Err(error) = result else { return };
        self.fetcher.judge(&self.placement, &self.shard, &error).await;
        if !came.load(Ordering::Relaxed) {
            let _ = to.send(News::Failed { shard: self.shard.clone(), error });
        }
    }

    /// The others were faster. A farmer that is not there is left alone; one that is there is called silent if nothing
    /// comes although it is asked again: it may have started anew, and what it was asked before is gone.
    async fn wait_longer(
        &self,
        asked: Instant,
        layout: &Layout,
        cell: u32,
        reading: impl Future<Output = Result<(), ColumnError>>,
    ) -> Option<Result<(), ColumnError>> {
        let farmer = self.shard.farmer;
        let silence = SILENCE.max(asked.elapsed() * SILENCE_TIMES);
        let (owner, placement) = (&*self.fetcher.owner, &*self.placement);
        owner.farmers.is_down(farmer);
        let is_there = || async move {
            let offer = owner.wire.offer(farmer);
            matches!(tokio::time::timeout(LIVENESS, offer).await, Ok(Ok(_)))
        };
        let ask = || check_cell(owner, placement, layout, &self.shard, cell);
        let was_silent = || owner.line.was_silent_after(asked);
        tokio::select! {
            result = reading => Some(result),
            error = said_or_silent([silence, SILENCE], is_there, ask, was_silent) => {
                error.map(Err).filter(|_| self.arrived.load(Ordering::Relaxed) == 0)
            }
            () = self.fetcher.dropped.cancelled() => None,
        }
    }
}

/// What a farmer that sent nothing says when it is asked again, or that it is silent. None if it is there and right, or not there.
/// It is silent only if it shows that it is there, sends nothing for as long as it may, and all that once more: a farmer that
/// dies, or is paused, just after it has shown itself lies in neither. What our own line, if it was silent meanwhile, kept from
/// it or from us is not its silence.
async fn said_or_silent<There, Said>(
    patience: [Duration; 2],
    is_there: impl Fn() -> There,
    ask: impl Fn() -> Said,
    line_was_silent: impl Fn() -> bool,
) -> Option<ColumnError>
where
    There: Future<Output = bool>,
    Said: Future<Output = Result<(), ColumnError>>,
{
    let of_the_line = |error: &ColumnError| error.is_silence() && line_was_silent();
    for patience in patience {
        if !is_there().await {
            return None;
        }
        match tokio::time::timeout(patience, ask()).await {
            Ok(said) => return said.err().filter(|error| !of_the_line(error)),
            Err(_silent) => {}
        }
    }
    let silent = is_there().await.then(|| NetError::Silent.into());
    silent.filter(|error| !of_the_line(error))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use hayloft_net::{
        Fault,
        messages::{Refusal, RefusalCode},
    };

    use super::*;

    const PATIENCE: [Duration; 2] = [Duration::from_secs(20), SILENCE];

    /// What comes of a farmer that shows that it is there, and sends what it is asked for, as told: in order.
    async fn found(is_there: &[bool], sends: &[bool]) -> Option<ColumnError> {
        found_over(false, is_there, sends).await
    }

    /// The same over a line that was silent meanwhile or not.
    async fn found_over(line_was_silent: bool, is_there: &[bool], sends: &[bool]) -> Option<ColumnError> {
        let (is_there, sends) = (&RefCell::new(is_there.iter()), &RefCell::new(sends.iter()));
        let ask = || async move {
            let sends = *sends.borrow_mut().next().expect("it is not asked that often");
            if !sends {
                std::future::pending::<()>().await;
            }
            Ok(())
        };
        let is_there =
            || async move { *is_there.borrow_mut().next().expect("it is not looked for that often") };
        said_or_silent(PATIENCE, is_there, ask, || line_was_silent).await
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_farmer_that_is_there_all_the_time_is_silent() {
        assert!(found(&[true, true, true], &[false, false]).await.is_some_and(|error| error.is_silence()));
        assert!(found(&[false], &[]).await.is_none(), "it is gone");
        assert!(found(&[true], &[true]).await.is_none(), "it was slow");
        assert!(found(&[true, false], &[false]).await.is_none(), "it died once it had shown itself");
        assert!(found(&[true, true], &[false, true]).await.is_none(), "it was paused, or began anew");
        assert!(found(&[true, true, false], &[false, false]).await.is_none(), "it was paused, and then died");
    }

    #[tokio::test(start_paused = true)]
    async fn what_our_own_line_kept_from_a_farmer_is_not_its_silence_and_what_it_says_counts() {
        assert!(found_over(true, &[true, true, true], &[false, false]).await.is_none());
        for (error, counts) in [(NetError::Silent, false), (NetError::Protocol(Fault::TooManyBytes), true)] {
            let ask = || std::future::ready(Err(error.clone().into()));
            let said = said_or_silent(PATIENCE, || std::future::ready(true), ask, || true).await;
            assert_eq!(said.is_some(), counts, "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_farmer_says_when_it_is_asked_again_counts() {
        let refused = Refusal { code: RefusalCode::UnknownShard, sentence: "I have nothing.".into() };
        let refused = || std::future::ready(Err(NetError::Refused(refused.clone()).into()));
        let said = said_or_silent(PATIENCE, || std::future::ready(true), refused, || false);
        assert!(said.await.is_some_and(|error| error.blames_farmer()));
    }
}
