//! A scene that comes by every crash point, played in a process that dies at each of them in turn. Opened again, the home
//! must be as it was before or after the step that was cut off, with nothing beside it, and the scene must play on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use hayloft_core::{
    DeviceId, FileId, SegmentId, ShardId, Timestamp,
    auditor::{Judgement, Verdict, vetting::PlantingId},
    contract::{ShardEntry, SignedRevision, quota_bytes},
};
use serde_json::json;

use crate::{
    Auditor, Guard, Home, Owner, Store, StoreOptions,
    auditor::{Bounds, Step},
    auditor_tests::{followed, judgement, step as audit_step},
    crash::{AT, Point},
    farmer::{ARRIVED_SECONDS, Farmer},
    farmer_tests::{NOW, ROOMY, content, upload, upload_tagged, wish},
    files::{FileSegment, NewSegment, Removal, Save, StoredFile},
    jobs::JobState,
    journal,
    owner::Placing,
    plantings::Planting,
    samples::{END, GRACE_SECONDS, contract_id, entry, owner_id, revision, shard_id, tag_key, terms},
};

/// Where the process that dies plays.
const STAGE: &str = "HAYLOFT_CRASH_STAGE";
/// Hits of one point that are tried.
const HITS: usize = 2;
const WORKERS: usize = 3;
/// What each of the scene's shards takes of the quota.
const EACH: u64 = quota_bytes(300);

/// The home, the farmer's folder beside it, and how many steps were done before the crash.
struct Stage(PathBuf);

impl Stage {
    fn done(&self) -> usize {
        std::fs::read(self.0.join("done")).map_or(0, |marks| marks.len())
    }

    fn set_done(&self, steps: usize) {
        std::fs::write(self.0.join("done"), vec![b'.'; steps]).unwrap();
    }

    /// Closes a store and gives the home's lock back at once: a process that another thread is just starting may hold a
    /// copy of it for a moment.
    async fn shut(store: Store) {
        store.close().await;
        store.home().release().unwrap();
    }

    /// Settings name the new folder once the move to it is done.
    async fn open(&self) -> Store {
        let folder = (self.done() > 0).then(|| self.0.join("farm"));
        let options = StoreOptions::new(folder, Guard { bytes: 0, percent: 0 });
        Store::open(Home::open(&self.0.join("home")).unwrap(), options).await.unwrap().0
    }

    /// Plays on from where it was to the end.
    async fn play(&self) {
        let mut store = self.open().await;
        while step(self, &mut store, self.done()).await {
            self.set_done(self.done() + 1);
        }
        Self::shut(store).await;
    }

    /// All that can be seen from outside, and every file that is there.
    async fn look(&self) -> String {
        let store = self.open().await;
        let seen = look(&store).await;
        Self::shut(store).await;
        let mut files = BTreeMap::new();
        // Before the settings name it, the new folder is not looked at.
        for root in &["home", "farm"][..1 + usize::from(self.done() > 0)] {
            list(&self.0, &self.0.join(root), &mut files);
        }
        format!("{seen}{files:#?}")
    }
}

/// One step of the scene; whether there is one of that number.
async fn step(stage: &Stage, store: &mut Store, number: usize) -> bool {
    let farmer = store.farmer();
    match number {
        0..FARMERS_STEPS => farmers_step(stage, store, farmer, number).await,
        FARMERS_STEPS..AUDITORS_FIRST => owners_step(store, number - FARMERS_STEPS).await,
        _ => auditors_step(store, number - AUDITORS_FIRST).await,
    }
}

const FARMERS_STEPS: usize = 29;
const OWNERS_STEPS: usize = 11;
const AUDITORS_FIRST: usize = FARMERS_STEPS + OWNERS_STEPS;

/// The first contract lasts; the second one ends.
fn lasting(number: u64, added: Vec<ShardEntry>, removed: Vec<ShardId>) -> SignedRevision {
    let mut signed = revision(1, number, added, removed);
    signed.revision.end = Timestamp(1 << 40);
    signed
}

async fn farmers_step(stage: &Stage, store: &mut Store, farmer: Farmer, number: usize) -> bool {
    // Later than reservations and arrived shards last.
    let later = NOW.plus_seconds(2 * ARRIVED_SECONDS);
    match number {
        0 => farmer.move_to(&stage.0.join("farm")).await.unwrap(),
        1 | 2 => {
            let contract = u8::try_from(number).unwrap();
            farmer.insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
        }
        3 | 4 => {
            let seed = u8::try_from(number - 2).unwrap();
            farmer.keep_audit_key(owner_id(seed), tag_key(seed), vec![seed; 99], 1).await.unwrap();
        }
        5 => drop(farmer.reserve(&wish(1, 4 * EACH + 1_000), &ROOMY, NOW).await.unwrap()),
        6 => upload(&farmer, 1, 1, 300).await.unwrap(),
        7 => upload(&farmer, 1, 2, 200).await.unwrap(),
        8 => upload_tagged(&farmer, 1, 3, 250, 48).await.unwrap(),
        9 => {
            let added = vec![entry(1, 300), entry(2, 200)];
            farmer.commit_revision(&lasting(0, added, vec![])).await.unwrap();
        }
        10 => farmer.tags_are_right(&[shard_id(3)], tag_key(1)).await.unwrap(),
        11 => {
            let tagged = ShardEntry { tag_key: Some(tag_key(1)), ..entry(3, 250) };
            farmer.commit_revision(&lasting(1, vec![tagged], vec![shard_id(1)])).await.unwrap();
        }
        12 => upload(&farmer, 1, 4, 100).await.unwrap(),
        13 => farmer.release(contract_id(1), &[shard_id(4)]).await.unwrap(),
        14 => drop(farmer.reserve(&wish(1, 2 * EACH), &ROOMY, NOW).await.unwrap()),
        15 => {
            // A transfer that is cut off, and a start that clears it away.
            let mut writer = farmer.begin_shard(contract_id(1), shard_id(5), 60, 0).await.unwrap();
            writer.write(content(5, 20).into()).await.unwrap();
            writer.pause().await.unwrap();
            Stage::shut(store.clone()).await;
            *store = stage.open().await;
        }
        16 => upload(&farmer, 1, 5, 60).await.unwrap(),
        17 => drop(farmer.expire(later, later).await.unwrap()),
        18 => drop(farmer.reserve(&wish(2, EACH), &ROOMY, later).await.unwrap()),
        19 => upload(&farmer, 2, 6, 100).await.unwrap(),
        20 => farmer.commit_revision(&revision(2, 0, vec![entry(6, 100)], vec![])).await.unwrap(),
        21 => drop(farmer.expire(END, END.plus_seconds(GRACE_SECONDS)).await.unwrap()),
        22 => farmer.snapshot(contract_id(1)).await.unwrap(),
        23 => {
            // The database is lost, and a start that fills it again.
            Stage::shut(store.clone()).await;
            std::fs::remove_file(stage.0.join("home").join("hayloft.db")).unwrap();
            *store = stage.open().await;
        }
        24 => {
            Stage::shut(store.clone()).await;
            std::fs::copy(stage.0.join("home").join("hayloft.db"), stage.0.join("older.db")).unwrap();
            *store = stage.open().await;
        }
        25 => drop(farmer.reserve(&wish(1, EACH), &ROOMY, NOW).await.unwrap()),
        26 => upload(&farmer, 1, 4, 100).await.unwrap(),
        27 => {
            farmer.commit_revision(&lasting(2, vec![entry(4, 100)], vec![shard_id(2)])).await.unwrap();
            farmer.release(contract_id(1), &[]).await.unwrap();
        }
        28 => {
            // An older copy of the database is put back, and a start that makes it as new as the disk.
            Stage::shut(store.clone()).await;
            std::fs::copy(stage.0.join("older.db"), stage.0.join("home").join("hayloft.db")).unwrap();
            *store = stage.open().await;
        }
        _ => return false,
    }
    true
}

async fn owners_step(store: &Store, number: usize) -> bool {
    let (owner, jobs) = (store.owner(), store.jobs());
    let farmer = DeviceId([9; 32]);
    let placing = |seed| Placing {
        shard: shard_id(seed),
        farmer,
        contract: contract_id(3),
        segment: SegmentId([1; 32]),
        job: Some(1),
    };
    let removal = |seed| Removal { farmer, contract: contract_id(3), shard: shard_id(seed) };
    match number {
        0 => drop(jobs.insert("put", &json!({}), &json!({}), NOW).await.unwrap()),
        1 => owner.insert_contract(contract_id(3), &terms(3)).await.unwrap(),
        2 => owner.add_placing(&[placing(1), placing(2), placing(3)]).await.unwrap(),
        3 => {
            let added = vec![entry(1, 10), entry(2, 10)];
            owner.save_revision(&revision(3, 0, added, vec![])).await.unwrap();
        }
        4 => save(&owner).await,
        5 => owner.give_up_placing(&[removal(3)]).await.unwrap(),
        6 => owner.clear_removals(&[shard_id(3)]).await.unwrap(),
        7 => owner.end_job_segments(1).await.unwrap(),
        8 => jobs.finish(1, JobState::Done, &json!({}), Some(&json!([])), NOW).await.unwrap(),
        9 => owner.remove_files(&[[1; 32]]).await.unwrap(),
        10 => {
            let dead = [(SegmentId([1; 32]), vec![removal(1), removal(2)])];
            owner.remove_segments(&dead).await.unwrap();
        }
        _ => return false,
    }
    true
}

async fn auditors_step(store: &Store, number: usize) -> bool {
    let auditor = store.auditor();
    let passed = || vec![(judgement(4, Verdict::Passed), Some(vec![4; 9]))];
    match number {
        0 => {
            let (one, shards) = followed(4, 0, 3);
            auditor.follow(&one, &shards, Bounds::default()).await.unwrap();
        }
        1 => auditor.step(&audit_step(4, vec![(judgement(4, Verdict::Missed), None)])).await.unwrap(),
        2 => {
            let (one, shards) = followed(4, 1, 2);
            auditor.revise(&one, &shards, Bounds::default()).await.unwrap();
        }
        3 => auditor.step(&counted_once(&auditor, passed()).await).await.unwrap(),
        4 => drop(auditor.forget_over(END).await.unwrap()),
        5 => auditor.begin_planting(&planting()).await.unwrap(),
        6 => {
            auditor.planted(planting().id, END).await.unwrap();
            let kept = auditor.plantings().await.unwrap();
            assert_eq!(kept, [Planting { planted: true, until: END, ..planting() }]);
        }
        _ => return false,
    }
    true
}

fn planting() -> Planting {
    let terms = terms(7).terms;
    Planting { id: PlantingId([7; 32]), terms, planted: false, probe: NOW, until: NOW }
}

/// A pass that adds one to the farmer's record as it is kept: seen twice if it were counted twice.
async fn counted_once(auditor: &Auditor, judged: Vec<(Judgement, Option<Vec<u8>>)>) -> Step {
    let mut step = audit_step(4, judged);
    let mut known = auditor.farmer(DeviceId([9; 32])).await.unwrap().unwrap();
    known.record.passed += 1;
    step.farmer = Some(known);
    step
}

async fn save(owner: &Owner) {
    let segment = SegmentId([1; 32]);
    let placed =
        NewSegment { segment, placement: vec![1], sealed_bytes: 7, stored_bytes: 20, notes: vec![1] };
    let file = StoredFile {
        name_key: [1; 32],
        file: FileId([1; 32]),
        content: vec![1],
        bytes: 7,
        stored: NOW,
        keep_until: END,
        renew: false,
        segments: vec![FileSegment { segment, live_bytes: 7 }],
    };
    let placed_shards = vec![shard_id(1), shard_id(2)];
    let save = Save {
        job: Some(1),
        segments: vec![placed],
        files: vec![file],
        replace: false,
        placed: placed_shards,
    };
    owner.save(&save).await.unwrap();
}

async fn look(store: &Store) -> String {
    let (farmer, owner) = (store.farmer(), store.owner());
    let room = farmer.room(&ROOMY).await.unwrap();
    let mut seen = format!("used {} reserved {}\n", room.used_bytes, room.reserved_bytes);
    for contract in farmer.contracts().await.unwrap() {
        let entries = farmer.entries(contract.id).await.unwrap();
        assert_eq!(contract.bytes, entries.iter().map(|entry| entry.bytes).sum::<u64>());
        for shard in &entries {
            let read = farmer.read_shard(contract.id, shard.id, 0, shard.bytes).await.unwrap();
            let known = (1..=6).find(|seed| shard_id(*seed) == shard.id).unwrap();
            assert_eq!(read, content(known, shard.bytes), "a kept shard is what was sent");
        }
        let told = journal::replay(&farmer.paths().journal(contract.id)).unwrap().unwrap();
        let newest = told.revision.map(|newest| newest.revision.number);
        assert_eq!(newest, contract.revision.as_ref().map(|newest| newest.revision.number));
        assert!(told.shards.into_values().eq(entries.iter().cloned()), "the journal tells the same");
        seen += &format!("{:?} {newest:?} {entries:?}\n", contract.id);
    }
    for seed in [1, 2] {
        let keys = farmer.audit_keys_of(owner_id(seed)).await.unwrap();
        for key in &keys {
            assert_eq!(farmer.audit_key(*key).await.unwrap(), Some(vec![seed; 99]), "a key is what was kept");
        }
        seen += &format!("{keys:?}\n");
    }
    if let Some(waiting) = farmer.arrived(contract_id(1), shard_id(3)).await.unwrap() {
        seen += &format!("{waiting:?}\n");
    }
    let lists =
        (owner.files().await.unwrap(), owner.segments().await.unwrap(), owner.placing().await.unwrap());
    let contracts = owner.contracts(None).await.unwrap();
    let auditor = store.auditor();
    let audited = (
        auditor.followed(contract_id(4)).await.unwrap(),
        auditor.revision(contract_id(4), 1).await.unwrap(),
        auditor.verdicts(contract_id(4), None, 9).await.unwrap(),
        auditor.farmers().await.unwrap(),
    );
    seen + &format!(
        "{lists:?}\n{:?}\n{contracts:?}\n{audited:?}\n{:?}\n",
        owner.removals().await.unwrap(),
        store.jobs().list(9).await.unwrap()
    )
}

/// Every file but the database's and the owner's log, which follow each other, with its length unless it is a journal.
fn list(stage: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, u64>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            list(stage, &path, files);
        } else if !["hayloft.db", "catalog.log"].iter().any(|own| name.starts_with(own)) {
            let is_journal = folder.ends_with("contracts");
            let len = if is_journal { 0 } else { path.metadata().unwrap().len() };
            files.insert(path.strip_prefix(stage).unwrap().to_owned(), len);
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// What is seen after each number of steps when nothing crashes.
async fn undisturbed() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage(folder.path().to_owned());
    let mut seen = vec![stage.look().await];
    loop {
        let mut store = stage.open().await;
        if !step(&stage, &mut store, stage.done()).await {
            return seen;
        }
        Stage::shut(store).await;
        stage.set_done(stage.done() + 1);
        seen.push(stage.look().await);
    }
}

/// Plays in a process of its own that dies at the point; whether it came by.
fn dies_at(point: Point, hit: usize, expected: &[String]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage(folder.path().to_owned());
    let played = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash_scene::a_crash_at_any_point_loses_nothing_and_leaves_nothing_behind",
            "--nocapture",
        ])
        .env(STAGE, &stage.0)
        .env(AT, format!("{point:?} {hit}"))
        .output()
        .unwrap();
    if played.status.success() {
        return false;
    }
    let said = String::from_utf8_lossy(&played.stderr);
    assert!(!said.contains("panicked"), "{point:?} {hit}: {said}");
    block_on(async {
        let done = stage.done();
        let seen = stage.look().await;
        let after = expected.get(done + 1);
        if after == Some(&seen) {
            stage.set_done(done + 1);
        } else {
            assert_eq!(seen, expected[done], "{point:?} {hit}: after {done} steps");
        }
        stage.play().await;
        assert_eq!(stage.look().await, expected[expected.len() - 1], "{point:?} {hit}: played on");
    });
    true
}

#[test]
fn a_crash_at_any_point_loses_nothing_and_leaves_nothing_behind() {
    if let Some(stage) = std::env::var_os(STAGE) {
        return block_on(Stage(stage.into()).play());
    }
    let expected = block_on(undisturbed());
    let next = Mutex::new(Point::ALL.iter());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(point) = next.lock().unwrap().next() else { return };
                    assert!(dies_at(*point, 1, &expected), "nothing comes by {point:?}");
                    for hit in 2..=HITS {
                        dies_at(*point, hit, &expected);
                    }
                }
            });
        }
    });
}
