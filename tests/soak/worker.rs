//! One who uses an owner's node: puts, gets, removes and interrupts, and compares each answer at once with what should be
//! there.
//!
//! Each worker has names and folders of its own, so that it alone decides what they hold. Only what nobody can judge is
//! left open: whether a transfer that was cancelled had just been done.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hayloft_gateway::Client;
use hayloft_node::model::{ErrorCode, FileEntry, Job, JobState};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    content::Content,
    model::{Kept, Model},
    world::{WORKERS_PER_OWNER, World},
};

/// Plain bytes that one worker keeps at most, so that flat means flat and the disk suffices.
const MOST_BYTES: u64 = 24_000_000;
/// Files that one worker keeps at most.
const MOST_FILES: usize = 60;
/// The largest file.
const LARGEST: u64 = 20_000_000;

/// What a worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Put,
    Replace,
    PutAgain,
    PutFolder,
    Get,
    GetRange,
    Remove,
    Renew,
    Slip,
}

const ACTIONS: [(Action, u32); 9] = [
    (Action::Put, 26),
    (Action::Replace, 10),
    (Action::PutAgain, 3),
    (Action::PutFolder, 6),
    (Action::Get, 26),
    (Action::GetRange, 12),
    (Action::Remove, 14),
    (Action::Renew, 2),
    (Action::Slip, 4),
];

/// What happens to a transfer while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twist {
    Nothing,
    /// Nothing, however long it takes: not even the end of the run interrupts it.
    Never,
    Pause {
        after: Duration,
        span: Duration,
    },
    Cancel {
        after: Duration,
    },
}

/// A worker.
pub(crate) struct Worker {
    pub(crate) world: Rc<World>,
    pub(crate) owner: usize,
    pub(crate) number: usize,
    pub(crate) rng: StdRng,
    pub(crate) model: Model,
    pub(crate) known: HashSet<u32>,
    /// Where its files are before they are put.
    pub(crate) sources: PathBuf,
    /// Where they are brought back to; empty between two actions.
    pub(crate) output: PathBuf,
    names: u32,
}

impl Worker {
    pub(crate) fn new(world: Rc<World>, number: usize, seed: u64) -> Result<Self> {
        let folder = world.folder.join(format!("worker-{number}"));
        let (sources, output) = (folder.join("sources"), folder.join("output"));
        std::fs::create_dir_all(&sources)?;
        std::fs::create_dir_all(&output)?;
        Ok(Self {
            world,
            owner: number / WORKERS_PER_OWNER,
            number,
            rng: StdRng::seed_from_u64(seed),
            model: Model::default(),
            known: HashSet::new(),
            sources,
            output,
            names: 0,
        })
    }

    pub(crate) fn door(&self) -> &crate::door::Door {
        &self.world.owners[self.owner].door
    }

    /// Uses the node to the full once, so that what it grows to by that is not taken for a leak.
    pub(crate) async fn warm_up(&mut self) -> Result<()> {
        let (name, content) = (self.new_name(), Content { seed: self.rng.random(), bytes: LARGEST });
        self.put(&name, BTreeMap::from([(name.clone(), content)]), false).await?;
        let Some(kept) = self.model.files().get(&name).copied() else { return Ok(()) };
        self.get(&name, kept, 0..LARGEST).await?;
        self.remove(vec![name]).await
    }

    /// Works until the end is near.
    pub(crate) async fn work(&mut self) -> Result<()> {
        while !self.world.ending.is_cancelled() {
            let action = self.choose();
            let who = format!("worker {} of owner-{}", self.number, self.owner + 1);
            self.act(action).await.with_context(|| format!("{who}, {action:?}"))?;
            let left: Vec<_> = std::fs::read_dir(&self.output)?.flatten().map(|entry| entry.path()).collect();
            ensure!(left.is_empty(), "{who}, {action:?}: something was left behind: {left:?}");
        }
        Ok(())
    }

    fn choose(&mut self) -> Action {
        let full = self.model.bytes() > MOST_BYTES || self.model.files().len() > MOST_FILES;
        if full {
            return Action::Remove;
        }
        if self.model.files().is_empty() {
            return Action::Put;
        }
        ACTIONS
            .choose_weighted(&mut self.rng, |(_, weight)| *weight)
            .map_or(Action::Get, |(action, _)| *action)
    }

    async fn act(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Put => {
                let name = self.new_name();
                let content = Content::random(&mut self.rng, LARGEST);
                self.put(&name, BTreeMap::from([(name.clone(), content)]), false).await
            }
            Action::Replace => {
                let (name, old) = self.some_file()?;
                let mut content = Content::random(&mut self.rng, LARGEST);
                // The list tells them apart.
                content.bytes += u64::from(content.bytes == old.content.bytes);
                self.put(&name, BTreeMap::from([(name.clone(), content)]), true).await
            }
            Action::PutAgain => {
                let (name, old) = self.some_file()?;
                self.put(&name, BTreeMap::from([(name.clone(), old.content)]), false).await
            }
            Action::PutFolder => {
                let name = self.new_name();
                let (files, most) = (self.rng.random_range(2..40), self.rng.random_range(100..200_000));
                let inner = |number: u32| format!("{name}/{}/{number}", ["a", "b/c"][number as usize % 2]);
                let files =
                    (0..files).map(|number| (inner(number), Content::random(&mut self.rng, most))).collect();
                self.put(&name, files, false).await
            }
            Action::Get => {
                let (name, kept) = self.some_file()?;
                self.get(&name, kept, 0..kept.content.bytes).await
            }
            Action::GetRange => {
                let (name, kept) = self.some_file()?;
                let begin = self.rng.random_range(0..=kept.content.bytes);
                let end = begin + self.rng.random_range(0..=(kept.content.bytes - begin).min(3_000_000));
                self.get(&name, kept, begin..end).await
            }
            Action::Remove => self.remove_some().await,
            Action::Renew => self.renew().await,
            Action::Slip => self.slip().await,
        }
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("{}-{}", self.number, self.names)
    }

    fn some_file(&mut self) -> Result<(String, Kept)> {
        let names: Vec<(&String, &Kept)> = self.model.files().iter().collect();
        let (name, kept) = *names.choose(&mut self.rng).context("no file")?;
        Ok((name.clone(), *kept))
    }

    async fn remove_some(&mut self) -> Result<()> {
        let most = self.model.files().len().min(12);
        let some = self.rng.random_range(1..=most);
        let names: Vec<String> = self.model.files().keys().cloned().collect();
        let names: Vec<String> = names.sample(&mut self.rng, some).cloned().collect();
        self.remove(names).await
    }

    /// Removes files; all are gone from the list then.
    pub(crate) async fn remove(&mut self, names: Vec<String>) -> Result<()> {
        let answer = self.door().ask(async |node: Client| node.remove(names.clone()).await).await?;
        match answer.result {
            Ok(()) => {}
            // The earlier try was heard.
            Err(refused) if answer.asked_again && refused.code == ErrorCode::NotFound => {}
            Err(refused) => bail!("{names:?} could not be removed: {refused}"),
        }
        names.iter().for_each(|name| self.model.removed(name));
        self.world.tally.action("removed");
        self.compare_list(&BTreeMap::new()).await
    }

    async fn renew(&mut self) -> Result<()> {
        const SECONDS: u64 = 200 * 24 * 3600;
        let ((name, kept), since) = (self.some_file()?, Instant::now());
        let answer = self.door().ask(async |node: Client| node.renew(&name, SECONDS, None).await).await?;
        match answer.result {
            Ok(entry) => {
                ensure!(entry.bytes == kept.content.bytes, "{name} was renewed as {entry:?}");
                self.world.tally.action("renewed");
            }
            Err(refused) => {
                self.world.tally.refusal(&format!("{:?}", refused.code));
                let clear = refused.code == ErrorCode::NotEnoughFarmers;
                ensure!(clear && self.is_excused(&kept, since), "{name} was not renewed: {refused}");
            }
        }
        Ok(())
    }

    /// Wishes that cannot be met are refused by their codes.
    async fn slip(&mut self) -> Result<()> {
        let (name, _) = self.some_file()?;
        let unknown = format!("{}-nothing", self.number);
        let refused =
            self.door().ask(async |node: Client| node.remove(vec![unknown.clone()]).await).await?.result;
        ensure!(matches!(&refused, Err(error) if error.code == ErrorCode::NotFound), "{refused:?}");
        let refused = self.door().ask(async |node: Client| node.health(&unknown).await).await?.result;
        ensure!(matches!(&refused, Err(error) if error.code == ErrorCode::NotFound), "{refused:?}");
        let taken = self.output.join("taken");
        std::fs::write(&taken, b"mine")?;
        let wish = self.wish_to_get(&name, &taken, 0..u64::MAX);
        let refused = self.door().ask(async |node: Client| node.get(wish.clone()).await).await?.result;
        ensure!(matches!(&refused, Err(error) if error.code == ErrorCode::Exists), "{refused:?}");
        ensure!(std::fs::read(&taken)? == b"mine", "what was there was overwritten");
        std::fs::remove_file(&taken)?;
        self.world.tally.refusal("NotFound");
        self.world.tally.refusal("Exists");
        Ok(())
    }

    /// Whether so many farmers were away since then that the file may be out of reach.
    pub(crate) fn is_excused(&self, kept: &Kept, since: Instant) -> bool {
        let presence = &self.world.presence;
        presence.away_since(since) as i64 > kept.can_spare(presence.left())
    }

    /// This worker's files as listed.
    pub(crate) async fn listed(&self) -> Result<Vec<FileEntry>> {
        let own = format!("{}-", self.number);
        let mut files = self.door().sure(async |node: Client| node.files().await).await?;
        files.retain(|file| file.name.starts_with(&own));
        Ok(files)
    }

    /// Compares the list with the model; what a put left that was not acknowledged is taken over.
    pub(crate) async fn compare_list(&mut self, unacknowledged: &BTreeMap<String, Kept>) -> Result<()> {
        let listed = self.listed().await?;
        self.model.settle(&listed, unacknowledged)?;
        self.tell_who_may_leave(&BTreeMap::new());
        Ok(())
    }

    /// How many farmers may leave in all before one of these files, or of the model's, is in danger.
    pub(crate) fn tell_who_may_leave(&self, begun: &BTreeMap<String, Kept>) {
        let files = self.model.files().values().chain(begun.values());
        let most = files.map(|kept| kept.can_spare(kept.left_before) + kept.left_before as i64).min();
        self.world.may_leave[self.number].set(most.unwrap_or(i64::MAX));
    }

    pub(crate) fn twist(&mut self) -> Twist {
        let mut within = |most: f64| Duration::from_secs_f64(self.rng.random_range(0.0..most));
        let (after, span) = (within(1.5), within(2.0));
        match self.rng.random_range(0..100) {
            0..70 => Twist::Nothing,
            70..88 => Twist::Pause { after, span },
            _ => Twist::Cancel { after },
        }
    }

    /// Waits for the end of a transfer, and interrupts it.
    pub(crate) async fn end_of(&mut self, id: u32, twist: Twist) -> Result<Job> {
        match twist {
            Twist::Nothing | Twist::Never => {}
            Twist::Pause { after, span } => {
                self.world.pass(after).await;
                self.interrupt("paused", async |node: Client| node.pause(id).await).await?;
                self.world.pass(span).await;
                self.interrupt("resumed", async |node: Client| node.resume(id).await).await?;
            }
            Twist::Cancel { after } => {
                self.world.pass(after).await;
                self.interrupt("cancelled", async |node: Client| node.cancel(id).await).await?;
            }
        }
        let ending = self.door().end_of(id);
        tokio::pin!(ending);
        let job = tokio::select! {
            job = &mut ending => job?,
            () = self.world.late.cancelled(), if twist != Twist::Never => {
                self.interrupt("cancelled at the end", async |node: Client| node.cancel(id).await).await?;
                ending.await?
            }
        };
        if job.state == JobState::Failed {
            let code = job.error.context("a failed transfer without a code")?;
            self.world.tally.refusal(&format!(
                "{:?} {code:?}: {}",
                job.kind,
                shape(job.message.as_deref().unwrap_or_default())
            ));
        }
        Ok(job)
    }

    async fn interrupt(
        &self,
        word: &str,
        question: impl AsyncFn(Client) -> Result<(), hayloft_node::model::ApiError>,
    ) -> Result<()> {
        match self.door().ask(question).await?.result {
            Ok(()) => self.world.tally.action(word),
            // It was over before.
            Err(refused) if refused.code == ErrorCode::BadRequest => self.world.tally.refusal("BadRequest"),
            Err(refused) => bail!("a transfer could not be {word}: {refused}"),
        }
        Ok(())
    }
}

/// A sentence without what differs from time to time.
pub(crate) fn shape(sentence: &str) -> String {
    let mut shape = String::new();
    for letter in sentence.chars() {
        let digit = letter.is_ascii_digit();
        if !(digit && shape.ends_with('#')) {
            shape.push(if digit { '#' } else { letter });
        }
    }
    shape
}
