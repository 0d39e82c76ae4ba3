//! An auditor and real farmers, who are away together, or have spoilt disks together, for days: so many that the brake holds.
//! What stands after each hour is written down as a page. Whenever the auditor dies, and is opened again, the pages say:
//! each epoch is judged, and once for all; silence that fails was missed before; and what became of a farmer's record is what its
//! observations come to one by one, none of them twice or lost.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hayloft_core::{
    DeviceId, Timestamp,
    audit::Epoch,
    auditor::{
        Judgement, Reason, Verdict,
        record::{self, Account, Event, Origin, Record},
    },
    score::{Kind, Observation},
};
use hayloft_net::{Incoming, Net, messages::Answer};
use serde::{Deserialize, Serialize};

use super::{
    bench::{network, reach, witness},
    crash::{HOUR, hours, mark, start},
};
use crate::{
    Clock, Node, NodeOptions,
    crash::{Point, scene},
    model::FarmSettings,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Hours of an epoch, and of a round.
const DAY: u64 = 24;

/// What a day is like for all farmers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Day {
    Well,
    Away,
    Spoilt,
    /// Spoilt, and there is a second auditor.
    SpoiltBeforeTwo,
    /// Away, and there is a second auditor.
    AwayBeforeTwo,
}

/// How many farmers, and their days.
#[derive(Debug, Clone, Copy)]
struct Script {
    farmers: usize,
    days: &'static [Day],
}

impl Script {
    fn day(&self, hour: u64) -> Day {
        let day = usize::try_from(hour / DAY).expect("a small number");
        self.days.get(day).copied().unwrap_or(Day::Well)
    }

    fn hours(&self) -> u64 {
        self.days.len() as u64 * DAY
    }
}

/// What the auditor says of a farmer after an hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Page {
    farmer: DeviceId,
    at: Timestamp,
    judged: Vec<Judgement>,
    account: Account,
}

struct Ordeal {
    script: Script,
    folder: PathBuf,
    clock: Clock,
    witness: (Net, Incoming),
    auditor: Node,
    second: Option<Node>,
    farmers: Vec<Option<Node>>,
}

async fn device(node: &Node) -> DeviceId {
    node.status().await.expect("a status").device.parse().expect("a device")
}

async fn addresses(node: &Node) -> Vec<String> {
    node.status().await.expect("a status").addresses
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

fn home(number: usize) -> String {
    format!("farmer-{number}")
}

async fn judge(folder: &Path, home: &str, clock: &Clock, bootstrap: Vec<String>) -> Node {
    let options = options(folder, home, clock, bootstrap);
    Node::open(NodeOptions { audit: Some(true), vet: Some(false), ..options }).await.expect("opens")
}

impl Ordeal {
    async fn open(script: Script, folder: &Path) -> Self {
        let clock = Clock::by_hand(start(folder).plus_seconds(hours(folder) * HOUR));
        let witness = witness().await;
        let auditor = judge(folder, "auditor", &clock, witness.0.addresses()).await;
        let farmers = (0..script.farmers).map(|_| None).collect();
        let folder = folder.to_owned();
        let mut ordeal = Self { script, folder, clock, witness, auditor, second: None, farmers };
        ordeal.the_day_comes().await;
        ordeal
    }

    /// The auditor's process ends between two hours, and begins again.
    async fn restart_auditor(&mut self) {
        self.auditor.shutdown().await.expect("closes");
        let mut known = self.witness.0.addresses();
        for farmer in self.farmers.iter().flatten() {
            known.extend(addresses(farmer).await);
        }
        self.auditor = judge(&self.folder, "auditor", &self.clock, known).await;
        self.meets_farmers().await;
    }

    /// Returns once the auditor, and the second one, know all farmers that are there, and reach those that keep something.
    async fn meets_farmers(&self) {
        let auditor = self.auditor.auditor_for_tests();
        for farmer in self.farmers.iter().flatten() {
            let farmer = device(farmer).await;
            auditor.knows_for_tests(farmer).await;
            if let Some(second) = &self.second {
                second.auditor_for_tests().knows_for_tests(farmer).await;
            }
        }
        let reached = async {
            for planting in auditor.plantings_for_tests().await.iter().filter(|planting| planting.planted) {
                while auditor.lost_for_tests(planting.terms.id()).await[0].is_err() {
                    tokio::task::yield_now().await;
                }
            }
        };
        if self.farmers.iter().all(Option::is_some) {
            tokio::time::timeout(PATIENCE, reached).await.expect("the farmers are reached");
        }
    }

    /// What an hour begins with.
    async fn the_day_comes(&mut self) {
        let day = self.script.day(hours(&self.folder));
        let known = addresses(&self.auditor).await;
        let mut met = true;
        for number in 0..self.farmers.len() {
            let away = matches!(day, Day::Away | Day::AwayBeforeTwo);
            match (self.farmers[number].take(), away) {
                (Some(there), true) => there.shutdown().await.expect("closes"),
                (None, false) => {
                    let farm =
                        FarmSettings { enabled: true, quota_bytes: 1 << 30, ..FarmSettings::default() };
                    let options = options(&self.folder, &home(number), &self.clock, known.clone());
                    let farmer = Node::open(NodeOptions { farm: Some(farm), ..options }).await;
                    self.farmers[number] = Some(farmer.expect("opens"));
                    met = false;
                }
                (as_it_was, _) => self.farmers[number] = as_it_was,
            }
            let spoilt = matches!(day, Day::Spoilt | Day::SpoiltBeforeTwo);
            spoil(&self.folder.join(home(number)), spoilt);
        }
        let two = matches!(day, Day::SpoiltBeforeTwo | Day::AwayBeforeTwo);
        match (self.second.take(), two) {
            (Some(second), false) => second.shutdown().await.expect("closes"),
            (None, true) => {
                let mut known = known;
                known.extend(self.witness.0.addresses());
                self.second = Some(judge(&self.folder, "second", &self.clock, known).await);
                let auditor = self.auditor.auditor_for_tests();
                tokio::time::timeout(PATIENCE, auditor.meet_for_tests()).await.expect("they meet");
                met = false;
            }
            (as_it_was, _) => self.second = as_it_was,
        }
        if !met {
            self.meets_farmers().await;
        }
    }

    /// Hours in which everything that is due happens.
    async fn play(&mut self, until: u64) {
        while hours(&self.folder) < until {
            // A silence is the farmer's only where somebody else is heard.
            reach(&self.witness.0, device(&self.auditor).await).await;
            if let Some(second) = &self.second {
                reach(&self.witness.0, device(second).await).await;
            }
            let auditor = self.auditor.auditor_for_tests();
            // Reads are seen by no verdict: there is data to audit, and no more.
            while hours(&self.folder) == 0 && !self.all_planted().await {
                auditor.vet_for_tests().await;
            }
            auditor.work().await;
            // What the auditor began by itself ends in the hour in which it began.
            self.clock.kept_up().await;
            self.write_page().await;
            mark(&self.folder);
            // Nothing is due before the clock moves.
            self.the_day_comes().await;
            self.clock.advance(HOUR);
        }
    }

    async fn all_planted(&self) -> bool {
        let plantings = self.auditor.auditor_for_tests().plantings_for_tests().await;
        plantings.iter().filter(|planting| planting.planted).count() == self.farmers.len()
    }

    async fn write_page(&self) {
        let pages = self.folder.join("pages");
        fs::create_dir_all(&pages).expect("a folder can be made");
        let text = serde_json::to_string(&self.pages().await).expect("text");
        fs::write(pages.join(hours(&self.folder).to_string()), text).expect("written");
    }

    /// What stands now, a page for each farmer.
    async fn pages(&self) -> Vec<Page> {
        let auditor = self.auditor.auditor_for_tests();
        let mut pages = Vec::new();
        for planting in auditor.plantings_for_tests().await {
            let mut judged: Vec<Judgement> = auditor
                .verdicts_for_tests(planting.terms.id())
                .await
                .into_iter()
                .map(|one| one.judgement)
                .collect();
            judged.reverse();
            let farmer = planting.terms.farmer;
            let Answer::Standing(account) = auditor.told_for_tests(farmer).await else {
                panic!("no account")
            };
            if let Some(account) = account {
                pages.push(Page { farmer, at: self.clock.now(), judged, account: *account });
            }
        }
        pages
    }

    /// Observations that are held back, of all farmers.
    async fn held(&self) -> u64 {
        self.pages().await.iter().map(|page| page.account.held).sum()
    }

    async fn close(self) {
        for node in self.farmers.iter().flatten().chain(&self.second).chain([&self.auditor]) {
            node.shutdown().await.expect("closes");
        }
        self.witness.0.shutdown().await;
    }
}

/// Some bytes of every shard of a farmer change, or are again what they were.
fn spoil(home: &Path, spoilt: bool) {
    const AT: u64 = 200;
    let sound = home.join("sound");
    fs::create_dir_all(&sound).expect("a folder can be made");
    let Ok(folders) = fs::read_dir(home.join("shards")) else { return };
    for folder in folders.flatten().filter(|folder| folder.file_name().len() == 2) {
        for shard in fs::read_dir(folder.path()).expect("a folder").flatten() {
            let kept = sound.join(shard.file_name());
            let mut file = File::options().read(true).write(true).open(shard.path()).expect("a shard");
            if !spoilt && !kept.exists() {
                continue;
            }
            file.seek(SeekFrom::Start(AT)).expect("it is long enough");
            let bytes = if !spoilt {
                fs::read(&kept).expect("it is there")
            } else if kept.exists() {
                continue;
            } else {
                let mut bytes = vec![0; 8];
                file.read_exact(&mut bytes).expect("it is long enough");
                fs::write(&kept, &bytes).expect("written");
                file.seek(SeekFrom::Start(AT)).expect("it is long enough");
                vec![0; 8]
            };
            file.write_all(&bytes).expect("written");
            if !spoilt {
                fs::remove_file(&kept).expect("removed");
            }
        }
    }
}

/// The pages of each farmer, hour by hour.
fn written(script: Script, folder: &Path) -> Vec<Vec<Page>> {
    let mut of_farmers: Vec<Vec<Page>> = Vec::new();
    for hour in 0..script.hours() {
        let text = fs::read_to_string(folder.join("pages").join(hour.to_string())).expect("a page");
        for page in serde_json::from_str::<Vec<Page>>(&text).expect("pages") {
            match of_farmers.iter_mut().find(|pages| pages[0].farmer == page.farmer) {
                Some(pages) => pages.push(page),
                None => of_farmers.push(vec![page]),
            }
        }
    }
    assert_eq!(of_farmers.len(), script.farmers);
    of_farmers
}

/// What an epoch's new verdict says of the farmer that the one before did not.
fn observed(before: Option<&Judgement>, now: &Judgement) -> Vec<Observation> {
    let missed = before.is_some_and(|before| before.verdict == Verdict::Missed);
    match (now.verdict, now.reason) {
        _ if before == Some(now) => Vec::new(),
        (Verdict::Passed, _) => vec![Observation::Passed],
        (Verdict::Missed, _) => vec![Observation::Missed],
        (Verdict::Failed, Some(Reason::Silence)) => {
            assert!(missed, "silence that failed and was not missed before: {before:?} {now:?}");
            vec![Observation::Failed]
        }
        (Verdict::Failed, _) => vec![Observation::Failed],
        (Verdict::Undecided, _) => panic!("the auditor was there, and heard somebody: {now:?}"),
    }
}

/// What of a record others are told, but for when it fell: that differs by when the auditor died.
fn told(account: &Account) -> (u64, u64, Vec<Option<u32>>) {
    let scores = account.scores.iter().filter(|score| score.kind != Kind::Service);
    (account.passed, account.held, scores.map(|score| score.value_ppm).collect())
}

/// All that a record may be after observations of one hour, by what the brake did in it.
fn may_be(record: &Record, page: &Page, new: &[(Epoch, Observation)]) -> Vec<Record> {
    let mut may = vec![record.clone()];
    may.push(record::apply(record.clone(), Event::Released, page.at).0);
    for &(epoch, observation) in new {
        let contract = hayloft_core::ContractId([0; 32]);
        let observed =
            |braked| Event::Observed { contract, epoch, observation, origin: Origin::Vetting, braked };
        let after = |record: &Record| {
            let apply = |record: &Record, event| record::apply(record.clone(), event, page.at).0;
            let confirmed = apply(record, Event::Confirmed);
            [
                apply(record, observed(false)),
                apply(record, observed(true)),
                apply(&confirmed, observed(false)),
            ]
        };
        may = may.iter().flat_map(after).collect();
    }
    may.into_iter().map(|record| record::apply(record, Event::Tick, page.at).0).collect()
}

/// Whether all that a farmer's pages say follows from what was seen of it, each thing once; how often something was held.
fn follows(pages: &[Page]) -> usize {
    let mut record = Record::new(pages[0].at);
    let (mut judged, mut held): (Vec<Judgement>, _) = (Vec::new(), 0);
    for page in pages {
        let epochs: Vec<Epoch> = page.judged.iter().map(|one| one.epoch).collect();
        let no_gap: Vec<Epoch> = (0..epochs.len() as u64).map(Epoch).collect();
        assert_eq!(epochs, no_gap, "an epoch is judged twice, or not at all");
        assert!(page.judged.len() >= judged.len(), "a verdict was lost");
        let mut new = Vec::new();
        for (at, now) in page.judged.iter().enumerate() {
            let before = judged.get(at);
            assert!(before.is_none_or(|before| !before.is_final() || before == now), "{before:?} {now:?}");
            new.extend(observed(before, now).into_iter().map(|observation| (now.epoch, observation)));
        }
        let real = told(&page.account);
        let may = may_be(&record, page, &new);
        let same = may.iter().find(|record| told(&record.account(0, 0)) == real);
        let Some(same) = same else {
            panic!("{new:?} of {record:?} do not come to {real:?}");
        };
        held += usize::from(same.held() > record.held());
        (record, judged) = (same.clone(), page.judged.clone());
    }
    held
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

/// Dies at each of these hits after the first day, and plays on; `ends` looks at each farmer's last page.
fn dies(name: &str, script: Script, hits: &[(Point, usize)], ends: impl Fn(&Page) + Sync) {
    let first = tokio::sync::OnceCell::new();
    let first_day = async || {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let mut ordeal = Ordeal::open(script, folder.path()).await;
        ordeal.play(DAY).await;
        ordeal.close().await;
        folder
    };
    let prepare = async |folder: PathBuf| copy(first.get_or_init(first_day).await.path(), &folder);
    scene::dies_at_hits(name, hits.iter().copied(), prepare, async |folder: PathBuf| {
        let mut ordeal = Ordeal::open(script, &folder).await;
        ordeal.play(script.hours()).await;
        ordeal.close().await;
        for pages in written(script, &folder) {
            follows(&pages);
            ends(pages.last().expect("a page"));
        }
    });
}

const FEW: &str =
    "auditor::tests::ordeal::an_auditor_that_dies_counts_each_silence_and_each_failure_of_its_farmer_once";
const TOGETHER: &str =
    "auditor::tests::ordeal::an_auditor_that_dies_while_its_brake_holds_counts_each_failure_once";
const UNHEARD: &str =
    "auditor::tests::ordeal::an_auditor_that_dies_while_nobody_answers_counts_each_silence_once";

#[test]
fn an_auditor_that_dies_counts_each_silence_and_each_failure_of_its_farmer_once() {
    use Day::{Away, Spoilt, Well};
    let days = &[Well, Well, Away, Away, Away, Away, Away, Well, Well, Spoilt, Spoilt, Spoilt];
    let hits = [
        (Point::CommitmentHeard, 9),
        (Point::CommitmentHeard, 90),
        (Point::OutcomeEntered, 10),
        (Point::OutcomeEntered, 101),
        (Point::AnswerHeard, 1),
        (Point::AnswerHeard, 4),
        (Point::AnswerHeard, 6),
        (Point::RoundEnded, 4),
    ];
    dies(FEW, Script { farmers: 1, days }, &hits, |last| {
        let of = |wanted| last.judged.iter().filter(|one| one.verdict == wanted).count();
        assert!(of(Verdict::Passed) > 4 && of(Verdict::Failed) > 3, "{:?}", last.judged);
    });
}

#[test]
fn an_auditor_that_dies_while_its_brake_holds_counts_each_failure_once() {
    use Day::{Spoilt, SpoiltBeforeTwo, Well};
    let days = &[Well, Spoilt, SpoiltBeforeTwo, Well, Spoilt, Well, Well];
    let hits = [
        (Point::AnswerHeard, 5),
        (Point::OutcomeEntered, 17),
        (Point::RoundEnded, 2),
        (Point::CommitmentHeard, 8),
        (Point::SecondHeard, 1),
        (Point::OutcomeEntered, 30),
        (Point::HeldLetGo, 1),
        (Point::HeldLetGo, 2),
        (Point::RoundEnded, 6),
    ];
    dies(TOGETHER, Script { farmers: 6, days }, &hits, |last| {
        assert_eq!(last.account.held, 0, "{:?}", last.account);
        let failed = last.judged.iter().filter(|one| one.verdict == Verdict::Failed).count();
        assert_eq!(failed, 3, "{:?}", last.judged);
    });
}

#[test]
fn an_auditor_that_dies_while_nobody_answers_counts_each_silence_once() {
    use Day::{Away, AwayBeforeTwo, Well};
    let days = &[Well, Away, AwayBeforeTwo, Well, Well];
    let hits = [
        (Point::CommitmentHeard, 20),
        (Point::OutcomeEntered, 40),
        (Point::SecondHeard, 1),
        (Point::SecondHeard, 6),
        (Point::OutcomeEntered, 90),
        (Point::AnswerHeard, 7),
    ];
    dies(UNHEARD, Script { farmers: 6, days }, &hits, |last| {
        assert_eq!(last.account.held, 0, "{:?}", last.account);
        let passed = last.judged.iter().filter(|one| one.verdict == Verdict::Passed).count();
        assert_eq!(passed, last.judged.len(), "all came back in time: {:?}", last.judged);
    });
}

/// The fifth that fails trips the brake: it and the sixth are held back, and all six from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_brake_holds_outlasts_the_outage_and_restarts_and_acts_when_a_round_ends_without_it() {
    use Day::{Spoilt, Well};
    let script = Script { farmers: 6, days: &[Well, Spoilt, Spoilt, Well, Well] };
    let folder = tempfile::tempdir().expect("a temp folder can be made");
    let mut ordeal = Ordeal::open(script, folder.path()).await;
    ordeal.play(DAY + 14).await;
    assert_eq!(ordeal.held().await, 2);
    ordeal.restart_auditor().await;
    ordeal.play(2 * DAY + 1).await;
    assert_eq!(ordeal.held().await, 2, "a round that ends in the middle of it lets nothing go");
    ordeal.restart_auditor().await;
    ordeal.play(2 * DAY + 14).await;
    assert_eq!(ordeal.held().await, 8, "nor does a restart begin anew");
    ordeal.play(4 * DAY - 1).await;
    assert_eq!(ordeal.held().await, 8, "the round without it has not ended");
    ordeal.play(4 * DAY + 1).await;
    assert_eq!(ordeal.held().await, 0);
    ordeal.restart_auditor().await;
    ordeal.play(script.hours()).await;
    ordeal.close().await;
    for pages in written(script, folder.path()) {
        assert!((1..=2).contains(&follows(&pages)));
        let audits = &pages.last().expect("a page").account.scores[0];
        assert!(audits.value_ppm.is_some_and(|value| value < 1_000_000), "it acted: {audits:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_that_the_brake_held_in_an_outage_is_dropped_when_the_farmers_answer_after_all() {
    use Day::{Away, Well};
    let script = Script { farmers: 6, days: &[Well, Away, Away, Well] };
    let folder = tempfile::tempdir().expect("a temp folder can be made");
    let mut ordeal = Ordeal::open(script, folder.path()).await;
    ordeal.play(2 * DAY).await;
    assert_eq!(ordeal.held().await, 2);
    ordeal.restart_auditor().await;
    ordeal.play(2 * DAY + 1).await;
    assert_eq!(ordeal.held().await, 2);
    ordeal.restart_auditor().await;
    ordeal.play(3 * DAY).await;
    assert_eq!(ordeal.held().await, 8);
    ordeal.play(script.hours()).await;
    assert_eq!(ordeal.held().await, 0);
    ordeal.close().await;
    let pages = written(script, folder.path());
    pages.iter().for_each(|pages| assert!(follows(pages) >= 1));
    let availability = |pages: &Vec<Page>| pages.last().expect("a page").account.scores[1].value_ppm;
    let unhurt = pages.iter().filter(|pages| availability(pages) == Some(1_000_000)).count();
    assert_eq!(unhurt, 2, "those that were believed first fell before the brake was tripped");
}
