//! A scene that comes by every crash point of a node, played in a process that dies at each of them in turn, owner and
//! farmers together. Opened again on the same homes, what was brought back is whole or not there, jobs go on by themselves,
//! the scene plays on to its end, and nothing is left behind.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::bed::{Bed, DAY, noise};
use crate::{
    Clock,
    crash::{MONEY, OF_THE_AUDITOR, OF_THE_BRAKE, Point, scene},
    model::{GetRequest, JobState, VerdictWord},
};

const NAME: &str = "owner::tests::crash::a_node_that_dies_at_any_point_goes_on_and_leaves_nothing_behind";
const FARMERS: usize = 3;
/// Small files that share a segment.
const ALBUM: u64 = 6;
/// Of these, so many are removed, which makes their segment half dead.
const REMOVED: u64 = 4;

fn album() -> Vec<(String, Vec<u8>)> {
    (0..ALBUM).map(|number| (format!("album/{number}"), noise(number, 30_000))).collect()
}

fn film() -> Vec<u8> {
    noise(99, 1 << 20)
}

/// A bed on a folder, and how many steps of the scene were done there.
struct Scene {
    bed: Bed,
    folder: PathBuf,
}

impl Scene {
    async fn open(folder: &Path) -> Self {
        for (name, bytes) in album().into_iter().chain([("film".to_owned(), film())]) {
            let path = folder.join("disk").join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
            std::fs::write(path, bytes).expect("a file can be written");
        }
        std::fs::create_dir_all(folder.join("outputs")).expect("a folder can be made");
        Self { bed: Bed::at(folder, FARMERS, Clock::system()).await, folder: folder.to_owned() }
    }

    fn done(&self) -> u32 {
        std::fs::read(self.folder.join("done")).map_or(0, |marks| marks.len() as u32)
    }

    async fn play(&self) {
        while self.step(self.done()).await {
            // Added, for whatever works in the background may die while it is written: no earlier mark is lost.
            let marks = File::options().append(true).create(true).open(self.folder.join("done"));
            marks.and_then(|mut marks| marks.write_all(b".")).expect("a mark can be written");
        }
    }

    async fn close(self) {
        self.bed.close().await;
    }

    /// One step of the scene, from its begin or from wherever it was cut off; whether there is one of that number.
    async fn step(&self, number: u32) -> bool {
        let outputs = self.folder.join("outputs");
        let get = |name: &str, overwrite| GetRequest {
            output: outputs.join(name),
            overwrite,
            ..self.bed.get_request(name, "")
        };
        match number {
            0 => self.put(number, "album").await,
            1 => self.put(number, "film").await,
            2 => self.get(number, get("film", false)).await,
            3 => self.get(number, get("film", true)).await,
            4 => self.get(number, get("album", false)).await,
            5 => self.get(number, get("album", true)).await,
            6 => {
                let kept = self.bed.kept("film").await;
                assert!(kept + 1 >= FARMERS, "{kept} pieces are left after a crash in a repair");
                self.job(number, async || {
                    if self.bed.kept("film").await == FARMERS {
                        let lost = self.bed.placement("film").await.shards[0].clone();
                        self.bed.lose(&lost).await;
                    }
                    self.audit_by_hand().await;
                    self.bed.node.repair("film").await.expect("begins")
                })
                .await;
                self.each_audit_by_hand_is_noted_whole().await;
                let health = self.bed.node.health("film").await.expect("health");
                assert_eq!(health.segments[0].alive, FARMERS as u8, "{health:?}");
                assert_eq!(self.bed.kept("film").await, FARMERS);
            }
            7 => drop(self.bed.node.renew("film", 200 * DAY, None).await.expect("renewed")),
            8 => {
                self.remove(|name| (0..REMOVED).any(|number| *name == format!("album/{number}"))).await;
                self.bed.nothing_is_dead().await;
            }
            9 => {
                for (name, bytes) in album().into_iter().skip(REMOVED as usize) {
                    assert!(self.bed.get_bytes(&name).await == bytes, "{name} came back changed");
                }
                assert!(self.bed.get_bytes("film").await == film(), "the film came back changed");
            }
            10 => {
                self.remove(|_| true).await;
                self.bed.used_becomes(|used| used == 0).await;
                self.bed.nothing_is_reserved().await;
                self.bed.removals_become(0).await;
            }
            _ => return false,
        }
        true
    }

    /// The job of a step goes on by itself if it was written down before the crash.
    async fn job(&self, number: u32, begin: impl AsyncFnOnce() -> u32) {
        let newest = self.bed.node.jobs().await.expect("a list").first().map_or(0, |job| job.id);
        let id = if newest > number { newest } else { begin().await };
        let job = self.bed.end(id).await;
        assert_eq!((job.id, job.state), (number + 1, JobState::Done), "{job:?}");
    }

    async fn put(&self, number: u32, name: &str) {
        let request = self.bed.request(self.folder.join("disk").join(name));
        self.job(number, async || self.bed.node.put(request).await.expect("begins")).await;
    }

    async fn get(&self, number: u32, request: GetRequest) {
        self.job(number, async || self.bed.node.get(request).await.expect("begins")).await;
        assert!(self.outputs_are_whole());
        let hidden = std::fs::read_dir(self.folder.join("outputs")).expect("it is there");
        let hidden: Vec<_> =
            hidden.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).collect();
        assert!(hidden.is_empty(), "left behind: {hidden:?}");
    }

    async fn remove(&self, which: impl Fn(&String) -> bool) {
        let names: Vec<String> = self.bed.names().await.into_iter().filter(which).collect();
        if !names.is_empty() {
            self.bed.node.remove(names).await.expect("removed");
        }
    }

    /// One farmer has lost its piece. After a crash that may have been found, and mended, already.
    async fn audit_by_hand(&self) {
        let audited = self.bed.node.audit(Some("film".into())).await.expect("an audit").verdicts;
        let of = |wanted| audited.iter().filter(|one| one.verdict == wanted).count();
        let (passed, failed) = (of(VerdictWord::Passed), of(VerdictWord::Failed));
        assert!(passed + failed == FARMERS && failed <= 1, "{audited:?}");
    }

    /// An audit that died has left all of its verdicts or none, and another one was made.
    async fn each_audit_by_hand_is_noted_whole(&self) {
        let own = self.bed.node.audit_history(Some("film".into())).await.expect("a history").own;
        assert!(own.len() == FARMERS || own.len() == 2 * FARMERS, "{own:?}");
        for audit in own.chunks(FARMERS) {
            let farmers: BTreeSet<&String> = audit.iter().map(|one| &one.farmer).collect();
            let failed = audit.iter().filter(|one| one.verdict == VerdictWord::Failed).count();
            assert!(farmers.len() == FARMERS && failed <= 1, "{audit:?}");
        }
    }

    /// Every output that is there is all of it.
    fn outputs_are_whole(&self) -> bool {
        let read = |name: &str| std::fs::read(self.folder.join("outputs").join(name)).ok();
        let album_there = self.folder.join("outputs/album").exists();
        read("film").is_none_or(|bytes| bytes == film())
            && (!album_there || album().iter().all(|(name, bytes)| read(name).as_ref() == Some(bytes)))
    }
}

#[test]
fn a_node_that_dies_at_any_point_goes_on_and_leaves_nothing_behind() {
    let others = [OF_THE_AUDITOR, OF_THE_BRAKE, MONEY].concat();
    let points = Point::ALL.iter().copied().filter(|point| !others.contains(point));
    scene::dies_at_each(NAME, points, async |folder: PathBuf| {
        let scene = Scene::open(&folder).await;
        assert!(scene.outputs_are_whole(), "half an output");
        scene.play().await;
        scene.close().await;
    });
}
