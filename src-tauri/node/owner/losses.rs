//! What this owner finds out about shards that are gone: by reading them, by auditing them, by their farmers' word. Whatever
//! is new wakes whoever repairs.

use hayloft_core::{DeviceId, ShardId, manifest::Shard};
use hayloft_net::{
    NetError,
    messages::{Refusal, RefusalCode},
};
use hayloft_store::holdings::LostShard;

use super::{Inner, column::ColumnError};

/// What an answer to a read says of the shard: whether its bytes show that it is gone, and the reason. None if it says
/// nothing, as silence does.
pub(super) fn said_by(error: &ColumnError) -> Option<(bool, String)> {
    match error {
        ColumnError::Wrong(error) => Some((true, format!("Its farmer sent something else: {error}."))),
        ColumnError::Net(NetError::Refused(Refusal { code, .. })) => match code {
            RefusalCode::ShardLost => Some((false, "Its farmer says that its disk lost it.".into())),
            RefusalCode::UnknownShard | RefusalCode::UnknownContract => {
                Some((true, "Its farmer does not know it any more.".into()))
            }
            _ => None,
        },
        ColumnError::Net(_) => None,
    }
}

/// A shard could not be read. It must still be where its segment's record says.
pub(super) async fn unread(owner: &Inner, shard: &Shard, error: &ColumnError) {
    if let Some((shown, reason)) = said_by(error) {
        note(owner, &[lost(owner, shard.farmer, shard, shown, reason)]).await;
    }
}

/// A shard that an audit has shown to be gone, or its farmer has owned up to.
pub(super) fn lost(owner: &Inner, farmer: DeviceId, shard: &Shard, shown: bool, reason: String) -> LostShard {
    LostShard { shard: shard.id, farmer, contract: shard.contract, shown, reason, at: owner.clock.now() }
}

/// Writes losses down. One that cannot be written is found again.
pub(super) async fn note(owner: &Inner, lost: &[LostShard]) {
    if lost.is_empty() {
        return;
    }
    match owner.catalog.store.note_lost(lost).await {
        Ok(0) => {}
        Ok(new) => {
            tracing::info!(new, "shards are lost");
            owner.repairs.wake();
        }
        Err(error) => tracing::warn!(%error, "lost shards could not be written down"),
    }
}

/// These are there: a proof has shown it.
pub(super) async fn found_again(owner: &Inner, shards: &[ShardId]) {
    if let Err(error) = owner.catalog.store.found_again(shards).await {
        tracing::warn!(%error, "shards that are there still count as lost");
    }
}

#[cfg(test)]
mod tests {
    use hayloft_core::content::ShardError;
    use hayloft_net::Fault;

    use super::*;

    #[test]
    fn silence_and_a_busy_farmer_lose_nothing_and_wrong_bytes_show_it() {
        let refused = |code| ColumnError::Net(NetError::Refused(Refusal { code, sentence: String::new() }));
        assert_eq!(said_by(&ColumnError::Net(NetError::Silent)), None);
        assert_eq!(said_by(&ColumnError::Net(NetError::Protocol(Fault::EndedEarly))), None);
        for code in [RefusalCode::Busy, RefusalCode::Internal, RefusalCode::NotAllowed] {
            assert_eq!(said_by(&refused(code)), None);
        }
        let shown = |error: &ColumnError| said_by(error).map(|(shown, _)| shown);
        assert_eq!(shown(&refused(RefusalCode::ShardLost)), Some(false));
        assert_eq!(shown(&refused(RefusalCode::UnknownShard)), Some(true));
        assert_eq!(shown(&ColumnError::Wrong(ShardError::Cell { cell: 1 })), Some(true));
    }
}
