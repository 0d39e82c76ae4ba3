//! How a file is: every farmer of it is asked now for one cell of its shard, and the cell is verified. An answer without
//! the bytes counts for nothing, and one cell proves nothing of a shard that is known to be lost: only an audit does.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt, stream};
use hayloft_core::{
    ShardId,
    manifest::{PlacementRecord, Shard},
    repair::Need,
};
use rand::RngExt;

use super::{
    Inner, OwnerError,
    column::{ColumnError, check_cell, is_to_blame},
    lock,
    put::placements_of,
    repair,
};
use crate::model::{FileHealth, HealthWord, SegmentHealth};

/// Cells asked for at once: fewer than a farmer serves one owner at once, even if all are its own.
const AT_ONCE: usize = 24;
/// How long a farmer may take to send one cell.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Asks all farmers of a file.
pub(crate) async fn health(owner: &Arc<Inner>, name: &str) -> Result<FileHealth, OwnerError> {
    let record = owner.catalog.file(name).await?;
    let placements = placements_of(owner, &record).await?;
    let mut segments: Vec<SegmentHealth> = placements.iter().map(|placement| unseen(placement)).collect();
    let asked = probe(owner, &placements, true).await;
    let lost = owner.catalog.store.lost_shards().await?;
    let lost: HashSet<ShardId> = lost.into_iter().map(|lost| lost.shard).collect();
    let too_many_lost = placements.iter().find_map(|placement| too_many_lost(placement, &lost));
    for (placement, shard, there) in asked {
        let at = placements.iter().position(|known| known.segment == placement.segment);
        let Some(segment) = at.and_then(|at| segments.get_mut(at)) else { continue };
        if there && !lost.contains(&shard.id) {
            segment.alive += 1;
        } else {
            segment.missing.push(shard.farmer.to_string());
        }
    }
    let repair = outlook(owner, &placements).await?;
    let mut seen = lock(&owner.seen);
    for (placement, segment) in placements.iter().zip(&segments) {
        seen.insert(placement.segment, segment.alive);
    }
    drop(seen);
    Ok(of_segments(record.name, segments, too_many_lost, repair))
}

/// How many of a segment's shards are lost, of how many, if the rest is too few to bring it back.
fn too_many_lost(placement: &PlacementRecord, lost: &HashSet<ShardId>) -> Option<(usize, u8)> {
    let gone = placement.shards.iter().filter(|shard| lost.contains(&shard.id)).count();
    (gone + usize::from(placement.k) > placement.shards.len()).then_some((gone, placement.n))
}

/// Asks for a cell of each shard of these segments, whether it is there; of a farmer that did not answer just before, only if
/// `again`.
pub(crate) async fn probe(
    owner: &Arc<Inner>,
    placements: &[Arc<PlacementRecord>],
    again: bool,
) -> Vec<(Arc<PlacementRecord>, Shard, bool)> {
    let mut checks = Vec::new();
    for placement in placements {
        for shard in placement.shards.iter().cloned() {
            let (owner, placement) = (owner.clone(), placement.clone());
            checks.push(async move {
                let asked = again || !owner.farmers.is_silent(shard.farmer);
                let there = asked && is_there(&owner, &placement, &shard).await;
                (placement, shard, there)
            });
        }
    }
    stream::iter(checks).buffer_unordered(AT_ONCE).collect().await
}

/// What is done about a file, or waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    UnderWay,
    Soon,
    /// Farmers that do not answer are waited for.
    Awaited(usize),
    Nothing,
}

async fn outlook(owner: &Inner, placements: &[Arc<PlacementRecord>]) -> Result<Outlook, OwnerError> {
    if repair::is_under_way(owner, placements.iter().map(|placement| placement.segment)) {
        return Ok(Outlook::UnderWay);
    }
    let (known, now) = (repair::Known::load(owner).await?, owner.clock.now());
    let mut awaited = 0;
    for placement in placements {
        let assessed = known.assessed(placement.clone(), owner.repairs.patience, now)?;
        if matches!(assessed.assessment.need, Need::Due(_)) && owner.repairs.automatic {
            return Ok(Outlook::Soon);
        }
        awaited = awaited.max(assessed.assessment.awaited);
    }
    Ok(if awaited > 0 { Outlook::Awaited(awaited) } else { Outlook::Nothing })
}

fn unseen(placement: &PlacementRecord) -> SegmentHealth {
    SegmentHealth { alive: 0, k: placement.k, n: placement.n, missing: Vec::new() }
}

async fn is_there(owner: &Inner, placement: &PlacementRecord, shard: &Shard) -> bool {
    let farmer = shard.farmer;
    let Ok(layout) = placement.layout() else { return false };
    let cell = rand::rng().random_range(0..layout.stripes());
    let checking = check_cell(owner, placement, &layout, shard, cell);
    match tokio::time::timeout(PATIENCE, checking).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            blame_or_note(owner, placement, shard, &error).await;
            false
        }
        Err(_) => {
            owner.farmers.no_answer(farmer);
            false
        }
    }
}

async fn blame_or_note(owner: &Inner, placement: &PlacementRecord, shard: &Shard, error: &ColumnError) {
    let farmer = shard.farmer;
    if is_to_blame(owner, placement, shard, error).await {
        owner.farmers.blame(farmer, &error.to_string()).await;
    } else if error.is_silence() {
        owner.farmers.no_answer(farmer);
    } else if !error.is_lost() {
        owner.farmers.is_down(farmer);
    }
}

/// The health of a segment with that many living shards, in one word.
pub(crate) fn word(alive: u8, k: u8, n: u8) -> HealthWord {
    let (margin, all) = (i16::from(alive) - i16::from(k), i16::from(n) - i16::from(k));
    match margin {
        _ if alive >= n && n > 0 => HealthWord::Good,
        margin if margin < 0 => HealthWord::Lost,
        margin if margin > 0 && margin * 2 >= all => HealthWord::Fair,
        _ => HealthWord::Danger,
    }
}

fn of_segments(
    name: String,
    segments: Vec<SegmentHealth>,
    too_many_lost: Option<(usize, u8)>,
    outlook: Outlook,
) -> FileHealth {
    let margin = |segment: &&SegmentHealth| i16::from(segment.alive) - i16::from(segment.k);
    let weakest = segments.iter().min_by_key(margin);
    let (alive, k, n) = weakest.map_or((0, 0, 0), |segment| (segment.alive, segment.k, segment.n));
    let health = word(alive, k, n);
    let mut sentence = sentence(health, alive, k, n, outlook);
    if let Some((gone, n)) = too_many_lost {
        sentence = format!(
            "{gone} of {n} pieces are gone: their farmers have not got them any more. The file is lost unless there is another \
             copy of it."
        );
    } else if let Some(said) = said(outlook) {
        sentence = format!("{sentence} {said}");
    }
    let repairing = outlook == Outlook::UnderWay;
    FileHealth { name, k, n, health, sentence, repairing, segments }
}

fn said(outlook: Outlook) -> Option<String> {
    match outlook {
        Outlook::UnderWay => Some("It is being repaired now.".into()),
        Outlook::Soon => Some("It is repaired soon.".into()),
        Outlook::Awaited(1) => Some("1 farmer that does not answer is waited for.".into()),
        Outlook::Awaited(farmers) => Some(format!("{farmers} farmers that do not answer are waited for.")),
        Outlook::Nothing => None,
    }
}

/// Whether the file is safe. What a person should do is said only while nothing is done by itself.
fn sentence(health: HealthWord, alive: u8, k: u8, n: u8, outlook: Outlook) -> String {
    let spare = alive.saturating_sub(k);
    let alone = !matches!(outlook, Outlook::UnderWay | Outlook::Soon);
    match health {
        HealthWord::Good if n == 1 => {
            "The only copy is in its place: when its farmer goes, it is gone.".to_owned()
        }
        HealthWord::Good => {
            format!("All {n} pieces are in their places; any {k} of them bring the file back.")
        }
        HealthWord::Fair => {
            format!(
                "{alive} of {n} pieces are there and {k} are needed: the file is safe, {spare} more may go."
            )
        }
        HealthWord::Danger if spare == 0 && alone => {
            format!("Only {alive} of {n} pieces are there and {k} are needed: repair the file now.")
        }
        HealthWord::Danger if alone => format!(
            "Only {alive} of {n} pieces are there and {k} are needed: {spare} more may go. Repair the file soon."
        ),
        HealthWord::Danger => {
            format!("Only {alive} of {n} pieces are there and {k} are needed: {spare} more may go.")
        }
        HealthWord::Lost => format!(
            "Only {alive} of {n} pieces answer and {k} are needed: the file can come back when more farmers are online."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_never_good_without_all_shards_nor_lost_while_k_are_there() {
        for (k, n) in [(1, 1), (1, 3), (4, 12), (16, 40)] {
            assert_eq!(word(n, k, n), HealthWord::Good);
            assert_eq!(word(k - 1, k, n), HealthWord::Lost);
            for alive in k..n {
                assert!(matches!(word(alive, k, n), HealthWord::Fair | HealthWord::Danger));
            }
        }
        assert_eq!(word(16, 16, 40), HealthWord::Danger);
        assert_eq!(word(30, 16, 40), HealthWord::Fair);
        assert_eq!(word(20, 16, 40), HealthWord::Danger);
    }

    #[test]
    fn the_weakest_segment_speaks_for_the_file() {
        let segment = |alive| SegmentHealth { alive, k: 4, n: 12, missing: Vec::new() };
        let health =
            of_segments("a".into(), vec![segment(12), segment(3), segment(9)], None, Outlook::Nothing);
        assert_eq!(health.health, HealthWord::Lost);
        assert!(health.sentence.starts_with("Only 3 of 12"));
    }

    #[test]
    fn the_sentence_says_what_is_done_and_asks_a_person_only_where_nothing_is() {
        let segment = SegmentHealth { alive: 5, k: 4, n: 12, missing: Vec::new() };
        let said = |outlook| of_segments("a".into(), vec![segment.clone()], None, outlook).sentence;
        assert!(said(Outlook::Nothing).ends_with("Repair the file soon."));
        assert!(said(Outlook::UnderWay).ends_with("1 more may go. It is being repaired now."));
        assert!(said(Outlook::Soon).ends_with("It is repaired soon."));
        assert!(said(Outlook::Awaited(2)).contains("2 farmers that do not answer are waited for"));
    }
}
