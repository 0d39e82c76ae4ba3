//! One column of a segment from its farmer: how it is read, and what a farmer from which it did not come is to blame for.
//!
//! Invariant: each cell is verified as it comes, so that the first wrong one names its farmer.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use hayloft_core::{
    DeviceId,
    content::{Layout, ShardError, ShardOpener},
    manifest::{PlacementRecord, Shard},
};
use hayloft_net::{
    Fault, NetError,
    messages::{Refusal, RefusalCode},
};
use tokio::time::Instant;

use super::{Inner, losses};

/// Why a column did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColumnError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("it sent something else: {0}")]
    Wrong(#[from] ShardError),
}

impl ColumnError {
    /// Whether the farmer is to blame. It signed for the shard, so that not having it is its fault; a full queue, a
    /// failing disk or a doubted certificate is not.
    pub(super) fn blames_farmer(&self) -> bool {
        match self {
            Self::Wrong(_) => true,
            Self::Net(NetError::Refused(Refusal { code, .. })) => matches!(
                code,
                RefusalCode::UnknownShard | RefusalCode::UnknownContract | RefusalCode::NotAccepting
            ),
            Self::Net(error) => error.blames_peer(),
        }
    }

    /// Whether the farmer says itself that its disk lost the shard: it is gone, and the farmer is there and honest. Blame
    /// would teach it to keep silent.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Net(NetError::Refused(Refusal { code: RefusalCode::ShardLost, .. })))
    }

    /// Whether the farmer answered in a way that tells that it has not what it was given.
    pub(super) fn says_it_is_gone(&self) -> bool {
        losses::said_by(self).is_some()
    }

    /// Whether the farmer did not answer at all.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Net(NetError::Unreachable(_) | NetError::Silent))
    }

    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Net(NetError::Unreachable(_)))
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Net(NetError::Refused(Refusal { code: RefusalCode::Busy, .. })))
    }
}

/// What a column that did not come says of its farmer: whether it is to blame. What is lost by it is written down. A farmer is
/// right to have nothing of a segment that its owner removed or rewrote meanwhile, or of a shard that lies elsewhere now.
pub(crate) async fn is_to_blame(
    owner: &Inner,
    placement: &PlacementRecord,
    shard: &Shard,
    error: &ColumnError,
) -> bool {
    let refused = matches!(error, ColumnError::Net(NetError::Refused(_)));
    let names = match owner.catalog.names(placement.segment, shard).await {
        Ok(names) => names,
        Err(failed) => {
            tracing::debug!(error = %failed, "it could not be looked up where a shard lies");
            true
        }
    };
    if names {
        losses::unread(owner, shard, error).await;
    }
    error.blames_farmer() && (names || !refused)
}

/// Whether a farmer has its shard, as one cell of it shows.
pub(crate) async fn check_cell(
    owner: &Inner,
    placement: &PlacementRecord,
    layout: &Layout,
    shard: &Shard,
    cell: u32,
) -> Result<(), ColumnError> {
    let cells = Cells { owner, placement, layout, shard, stripes: cell..cell + 1 };
    cells.read(Arc::default(), || {}, drop).await
}

/// What an error says of the farmer. To one whose line to us was silent it looked as if we were: what comes of that is not its
/// fault. Nor is it if one that is paid for reads stops because a voucher of any of its owner's devices is late: it can say so
/// to nobody.
fn of_a_read(error: NetError, farmer: DeviceId, line_was_silent: bool, metered: bool) -> NetError {
    match error {
        NetError::Silent | NetError::Protocol(Fault::EndedEarly) if line_was_silent => {
            NetError::Unreachable(farmer)
        }
        NetError::Protocol(Fault::EndedEarly) if metered => {
            let sentence = "It sent no more, as if it waited for a voucher.".to_owned();
            NetError::Refused(Refusal { code: RefusalCode::NotVouched, sentence })
        }
        error => error,
    }
}

/// What is wanted of one farmer.
pub(super) struct Cells<'a> {
    pub(super) owner: &'a Inner,
    pub(super) placement: &'a PlacementRecord,
    pub(super) layout: &'a Layout,
    pub(super) shard: &'a Shard,
    pub(super) stripes: Range<u32>,
}

impl Cells<'_> {
    /// Reads and opens them. `arrived` counts the bytes as they come; `on_move` hears of each frame; `on_all` gets the
    /// cells as soon as they are all there and right. An error after that tells of bytes too many.
    pub(super) async fn read(
        self,
        arrived: Arc<AtomicU64>,
        on_move: impl Fn(),
        on_all: impl FnOnce(Vec<u8>),
    ) -> Result<(), ColumnError> {
        let Self { owner, placement, layout, shard, stripes } = self;
        let (asked, farmer) = (Instant::now(), shard.farmer);
        let range = layout.cells_range(stripes.clone());
        let mut reader = ShardOpener::new(&placement.outer_key, &shard.id, *layout).read(stripes);
        let bytes = range.end - range.start;
        let mut meter = owner.vouching.meter(shard.contract, bytes).await?;
        let metered = meter.is_some();
        let failed = |error| of_a_read(error, farmer, owner.line.was_silent_after(asked), metered);
        let begun = owner.wire.download(farmer, shard.contract, shard.id, range.start, bytes).await;
        let mut download = begun.map_err(failed)?;
        download.tell(arrived);
        owner.farmers.answered(farmer, asked.elapsed());
        while let Some(frame) = match reader.is_complete() {
            true => None,
            false => download.next().await.map_err(failed)?,
        } {
            on_move();
            if let Some(meter) = &mut meter {
                meter.came(frame.len() as u64);
            }
            reader.push(&frame)?;
        }
        on_all(reader.finish()?);
        while let Some(frame) = download.next().await.map_err(failed)? {
            drop(frame);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blames(error: NetError, line_was_silent: bool, metered: bool) -> bool {
        let farmer = DeviceId([1; 32]);
        ColumnError::Net(of_a_read(error, farmer, line_was_silent, metered)).blames_farmer()
    }

    #[test]
    fn a_read_that_is_paid_for_and_ends_early_is_not_its_farmers_fault() {
        let early = NetError::Protocol(Fault::EndedEarly);
        assert!(blames(early.clone(), false, false) && !blames(early, false, true));
        for error in [NetError::Silent, NetError::Protocol(Fault::TooManyBytes)] {
            assert!(blames(error, false, true));
        }
    }

    #[test]
    fn what_our_own_line_kept_from_a_farmer_is_not_its_fault_and_what_it_sends_is() {
        for error in [NetError::Silent, NetError::Protocol(Fault::EndedEarly)] {
            assert!(blames(error.clone(), false, false) && !blames(error, true, false));
        }
        assert!(blames(NetError::Protocol(Fault::TooManyBytes), true, false));
    }
}
