//! An auditor that dies while its farmer is away, while it is there again, and when its disk has spoilt what it keeps. Opened
//! again it goes on, and in the end its books say what the same books say that nobody interrupted: no silence and no failure is
//! counted twice, or lost.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use hayloft_core::{
    DeviceId,
    audit::Epoch,
    auditor::Judgement,
    score::{Kind, Standing},
    settlement::Verdict,
};
use hayloft_net::{Incoming, Net, messages::Answer};

use super::{
    bench::{network, reach, witness},
    crash::{HOUR, hours, mark, start},
};
use crate::{
    Clock, Node, NodeOptions,
    crash::{Point, scene},
    model::FarmSettings,
};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const NAME: &str =
    "auditor::tests::ordeal::an_auditor_that_dies_counts_each_silence_and_each_failure_of_its_farmer_once";
/// Hours of an epoch.
const DAY: u64 = 24;
/// The hours in which all is well are lived once; what comes then, in each scene anew.
const AWAY: Range<u64> = 2 * DAY..7 * DAY;
const SPOILT: u64 = 9 * DAY;
const END: u64 = 12 * DAY;

/// What the auditor comes by: silence, again and again, what its farmer proves when it is back, and what it fails to prove.
const HITS: [(Point, usize); 10] = [
    (Point::CommitmentHeard, 1),
    (Point::CommitmentHeard, 9),
    (Point::CommitmentHeard, 90),
    (Point::OutcomeEntered, 2),
    (Point::OutcomeEntered, 10),
    (Point::OutcomeEntered, 101),
    (Point::AnswerHeard, 1),
    (Point::AnswerHeard, 2),
    (Point::AnswerHeard, 4),
    (Point::AnswerHeard, 6),
];

/// An auditor, its farmer unless that is away, and somebody else, so that a silence is the farmer's.
struct Ordeal {
    folder: PathBuf,
    clock: Clock,
    witness: (Net, Incoming),
    auditor: Node,
    farmer: Option<Node>,
}

impl Ordeal {
    async fn open(folder: &Path) -> Self {
        let clock = Clock::by_hand(start(folder).plus_seconds(hours(folder) * HOUR));
        let witness = witness().await;
        let mut known = witness.0.addresses();
        let farmer = if AWAY.contains(&hours(folder)) {
            None
        } else {
            let farmer = farmer(folder, &clock, known.clone()).await;
            known.extend(farmer.status().await.expect("a status").addresses);
            Some(farmer)
        };
        let options =
            NodeOptions { audit: Some(true), vet: Some(false), ..options(folder, "auditor", &clock, known) };
        let auditor = Node::open(options).await.expect("opens");
        let ordeal = Self { folder: folder.to_owned(), clock, witness, auditor, farmer };
        ordeal.meets_farmer().await;
        ordeal
    }

    async fn device(node: &Node) -> DeviceId {
        node.status().await.expect("a status").device.parse().expect("a device")
    }

    /// Returns once the auditor reaches its farmer, if that is there.
    async fn meets_farmer(&self) {
        let Some(farmer) = &self.farmer else { return };
        let auditor = self.auditor.auditor_for_tests();
        auditor.knows_for_tests(Self::device(farmer).await).await;
        let reached = async {
            for planting in auditor.plantings_for_tests().await {
                while auditor.lost_for_tests(planting.terms.id()).await[0].is_err() {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the farmer is reached");
    }

    /// What an hour begins with.
    async fn farmer_comes_or_goes(&mut self) {
        let away = AWAY.contains(&hours(&self.folder));
        match (self.farmer.take(), away) {
            (Some(there), true) => there.shutdown().await.expect("closes"),
            (None, false) => {
                let addresses = self.auditor.status().await.expect("a status").addresses;
                self.farmer = Some(farmer(&self.folder, &self.clock, addresses).await);
                self.meets_farmer().await;
            }
            (as_it_was, _) => self.farmer = as_it_was,
        }
        if hours(&self.folder) >= SPOILT {
            spoil(&self.folder.join("farmer/shards"));
        }
    }

    /// Hours in which everything that is due happens.
    async fn play(&mut self, until: u64) {
        let auditor = self.auditor.auditor_for_tests();
        let device = Self::device(&self.auditor).await;
        while hours(&self.folder) < until {
            reach(&self.witness.0, device).await;
            auditor.vet_for_tests().await;
            auditor.work().await;
            mark(&self.folder);
            // Nothing is due before the clock moves.
            self.farmer_comes_or_goes().await;
            self.clock.advance(HOUR);
        }
    }

    /// Verdicts by epoch, and what they came to. How it serves depends on chance.
    async fn books(&self) -> String {
        let auditor = self.auditor.auditor_for_tests();
        let plantings = auditor.plantings_for_tests().await;
        let verdicts = auditor.verdicts_for_tests(plantings[0].terms.id()).await;
        let mut judged: Vec<Judgement> = verdicts.into_iter().map(|one| one.judgement).collect();
        judged.reverse();
        let epochs: Vec<Epoch> = judged.iter().map(|one| one.epoch).collect();
        assert_eq!(epochs, (0..judged.len() as u64).map(Epoch).collect::<Vec<_>>());
        let verdicts: Vec<Verdict> = judged.iter().map(|one| one.verdict).collect();
        let device = Self::device(self.farmer.as_ref().expect("it is there")).await;
        let Answer::Standing(Some(account)) = auditor.told_for_tests(device).await else {
            panic!("the farmer is known");
        };
        let scores = account.scores.iter().filter(|score| score.kind != Kind::Service);
        let scores: Vec<_> =
            scores.map(|score| (score.kind, score.value_ppm, score.fall.map(|fall| fall.over))).collect();
        let passed = verdicts.iter().filter(|verdict| **verdict == Verdict::Passed).count();
        let failed = verdicts.iter().filter(|verdict| **verdict == Verdict::Failed).count();
        assert_eq!(account.passed, passed as u64);
        assert!(passed > 4 && failed > 3 && account.standing != Standing::Good, "{judged:?}");
        // Since when is another matter: whoever was away may ask an hour later.
        let standing = match account.standing {
            Standing::Good => "good",
            Standing::Suspended { .. } => "suspended",
            Standing::Disqualified { .. } => "disqualified",
        };
        format!("{verdicts:?}\n{}, {standing}, {}\n{scores:?}", account.passed, account.held)
    }

    async fn close(self) {
        for node in self.farmer.iter().chain([&self.auditor]) {
            node.shutdown().await.expect("closes");
        }
        self.witness.0.shutdown().await;
    }
}

async fn farmer(folder: &Path, clock: &Clock, bootstrap: Vec<String>) -> Node {
    let farm = FarmSettings { enabled: true, quota_bytes: 1 << 30, ..FarmSettings::default() };
    let options = NodeOptions { farm: Some(farm), ..options(folder, "farmer", clock, bootstrap) };
    Node::open(options).await.expect("opens")
}

fn options(folder: &Path, home: &str, clock: &Clock, bootstrap: Vec<String>) -> NodeOptions {
    NodeOptions {
        home: folder.join(home),
        network: Some(network()),
        listen: vec!["/memory/0".into()],
        memory: true,
        bootstrap,
        disk_guard_bytes: Some(0),
        clock: clock.clone(),
        ..NodeOptions::default()
    }
}

/// Some bytes of every shard change.
fn spoil(shards: &Path) {
    let folders = fs::read_dir(shards).expect("a folder").flatten();
    for folder in folders.filter(|folder| folder.file_name().len() == 2) {
        for shard in fs::read_dir(folder.path()).expect("a folder").flatten() {
            let mut file = File::options().write(true).open(shard.path()).expect("a shard");
            file.seek(SeekFrom::Start(200)).and_then(|_| file.write_all(&[0; 8])).expect("written");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&to).expect("a folder can be made");
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// The first days, and what the books say in the end if nobody dies.
async fn first_days() -> tempfile::TempDir {
    let [first, whole] = [(); 2].map(|()| tempfile::tempdir().expect("a temp folder can be made"));
    for (folder, until) in [(first.path(), AWAY.start), (whole.path(), END)] {
        if until == END {
            copy(first.path(), folder);
        }
        let mut ordeal = Ordeal::open(folder).await;
        ordeal.play(until).await;
        if until == END {
            fs::write(first.path().join("books"), ordeal.books().await).expect("written");
        }
        ordeal.close().await;
    }
    first
}

#[test]
fn an_auditor_that_dies_counts_each_silence_and_each_failure_of_its_farmer_once() {
    let first = tokio::sync::OnceCell::new();
    let prepare = async |folder: PathBuf| copy(first.get_or_init(first_days).await.path(), &folder);
    scene::dies_at_hits(NAME, HITS, prepare, async |folder: PathBuf| {
        let mut ordeal = Ordeal::open(&folder).await;
        ordeal.play(END).await;
        let uninterrupted = fs::read_to_string(folder.join("books")).expect("they were written");
        assert_eq!(ordeal.books().await, uninterrupted);
        ordeal.close().await;
    });
}
