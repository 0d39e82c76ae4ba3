//! A repair of several segments that dies with all its farmers, in the middle of them: no segment has less than before, what
//! is repaired goes on, and what both sides count is what lies there.

use std::path::{Path, PathBuf};

use super::bed::{Bed, noise};
use crate::{
    Clock,
    crash::{Point, scene},
    model::JobState,
};

const NAME: &str =
    "owner::tests::repair_deaths::a_repair_that_dies_in_the_middle_of_it_goes_on_and_makes_nothing_worse";
const FARMERS: usize = 5;
/// Each is a segment of its own, of which this many shards are lost.
const FILMS: [&str; 3] = ["one", "two", "three"];
const LOST: usize = 2;

fn film(name: &str) -> Vec<u8> {
    noise(u64::from(name.as_bytes()[1]), 300_000)
}

/// Everything is placed, and then two shards of each segment are gone; what all shards take is written down.
async fn damaged(folder: &Path) {
    let bed = Bed::at(folder, FARMERS, Clock::system()).await;
    for name in FILMS {
        bed.put_bytes(name, &film(name)).await;
    }
    bed.nothing_is_reserved().await;
    std::fs::write(folder.join("used"), bed.used().await.to_string()).expect("written");
    for (number, name) in FILMS.into_iter().enumerate() {
        let placement = bed.placement(name).await;
        for at in 0..LOST {
            bed.lose(&placement.shards[(number + at) % FARMERS]).await;
        }
    }
    bed.close().await;
}

/// Opens what there is, and repairs it to the end.
async fn play(folder: &Path) {
    let bed = Bed::at(folder, FARMERS, Clock::system()).await;
    for name in FILMS {
        let kept = bed.kept(name).await;
        assert!(kept >= FARMERS - LOST, "{kept} pieces of {name} are left");
    }
    // What was begun before goes on by itself.
    for job in bed.node.jobs().await.expect("a list") {
        assert_eq!(bed.end(job.id).await.state, JobState::Done, "{job:?}");
    }
    for name in FILMS {
        let report = bed.repair(name).await.expect("repaired");
        assert!(report.shards <= LOST as u32 && report.left_shards == 0, "{report:?}");
        assert_eq!(bed.kept(name).await, FARMERS, "pieces of {name}");
        let health = bed.node.health(name).await.expect("health");
        assert_eq!(health.segments[0].alive, FARMERS as u8, "{health:?}");
    }
    bed.removals_become(0).await;
    bed.nothing_is_reserved().await;
    let used = std::fs::read_to_string(folder.join("used")).expect("it is there");
    let used: u64 = used.parse().expect("a number");
    bed.used_becomes(|now| now == used).await;
    for name in FILMS {
        assert!(bed.get_bytes(name).await == film(name), "{name} came back changed");
    }
    bed.close().await;
}

#[test]
fn a_repair_that_dies_in_the_middle_of_it_goes_on_and_makes_nothing_worse() {
    let points = [Point::ShardStored, Point::RevisionKept, Point::RevisionSigned];
    let hits = points.into_iter().flat_map(|point| (1..=6).map(move |hit| (point, hit)));
    let prepare = async |folder: PathBuf| damaged(&folder).await;
    scene::dies_at_hits(NAME, hits, prepare, async |folder: PathBuf| play(&folder).await);
}
