//! A worker's puts and gets, each judged as soon as it is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hayloft_gateway::Client;
use hayloft_node::model::{
    ErrorCode, GetReport, GetRequest, Job, JobKind, JobReport, JobState, PresetName, PutReport, PutRequest,
};
use rand::RngExt;

use crate::{
    content::Content,
    model::{Kept, LEAST_SPARE},
    worker::{Twist, Worker},
};

const KEEP_SECONDS: u64 = 90 * 24 * 3600;
/// How often a transfer that failed for want of farmers is tried again while enough are there.
const TRIES: u32 = 60;
/// How long between two tries.
const AGAIN: Duration = Duration::from_secs(3);

impl Worker {
    /// Stores files under a name, or the files of a folder under it.
    pub(crate) async fn put(
        &mut self,
        name: &str,
        files: BTreeMap<String, Content>,
        replace: bool,
    ) -> Result<()> {
        let source = self.sources.join(name);
        self.write_sources(&source, name, &files).await?;
        let left_before = self.world.presence.left();
        let begun: BTreeMap<String, Kept> = files
            .iter()
            .map(|(name, &content)| (name.clone(), Kept { content, spare: LEAST_SPARE, left_before }))
            .collect();
        self.tell_who_may_leave(&begun);
        let wish = PutRequest {
            paths: vec![source.clone()],
            name: Some(name.to_owned()),
            keep_seconds: KEEP_SECONDS,
            renew: false,
            replace,
            preset: PresetName::Standard,
            price: None,
        };
        let twist = self.twist();
        let mut known = std::mem::take(&mut self.known);
        let id = self
            .door()
            .begin(JobKind::Put, name, &mut known, async |node: Client| node.put(wish.clone()).await);
        let id = id.await?.with_context(|| format!("the put of {name} was refused"))?;
        self.known = known;
        let job = self.end_of_put(id, twist).await?;
        let ended = format!("put {:?}", job.state).to_lowercase();
        self.world.tally.action(&ended);
        if job.state == JobState::Done {
            let report = self.door().sure(async |node: Client| node.job_report(id).await).await?;
            self.acknowledge(report, &begun)?;
            self.compare_list(&BTreeMap::new()).await?;
        } else {
            let unacknowledged =
                begun.into_iter().map(|(name, kept)| (name, Kept { spare: u64::from(u8::MAX), ..kept }));
            self.compare_list(&unacknowledged.collect()).await?;
        }
        if source.is_dir() {
            std::fs::remove_dir_all(&source)?
        } else {
            std::fs::remove_file(&source)?
        };
        Ok(())
    }

    async fn write_sources(
        &self,
        source: &Path,
        name: &str,
        files: &BTreeMap<String, Content>,
    ) -> Result<()> {
        let path = |file: &str| match file.strip_prefix(name).unwrap_or_default() {
            "" => source.to_owned(),
            inner => source.join(inner.trim_start_matches('/')),
        };
        let files: Vec<(PathBuf, Content)> =
            files.iter().map(|(name, content)| (path(name), *content)).collect();
        let writing = move || files.iter().try_for_each(|(path, content)| content.write(path));
        Ok(tokio::task::spawn_blocking(writing).await??)
    }

    /// A put that fails for want of farmers goes on when it is resumed, or is given up.
    async fn end_of_put(&mut self, id: u32, twist: Twist) -> Result<Job> {
        let mut job = self.end_of(id, twist).await?;
        let give_up = self.rng.random_bool(0.3);
        for _ in 0..TRIES {
            if job.state != JobState::Failed {
                return Ok(job);
            }
            let for_farmers = job.error == Some(ErrorCode::NotEnoughFarmers);
            ensure!(for_farmers, "a put failed for a reason of its own: {:?}", job.message);
            if give_up || self.world.late.is_cancelled() {
                self.door().sure(async |node: Client| node.cancel(id).await).await?;
                return self.door().end_of(id).await;
            }
            tokio::time::sleep(AGAIN).await;
            self.door().sure(async |node: Client| node.resume(id).await).await?;
            job = self.end_of(id, Twist::Nothing).await?;
            self.world.tally.action("put resumed after it failed");
        }
        bail!("a put fails again and again: {:?}", job.message)
    }

    /// Takes over what a report acknowledges: all files, each whole.
    fn acknowledge(&mut self, report: Option<JobReport>, begun: &BTreeMap<String, Kept>) -> Result<()> {
        let Some(JobReport::Put(reports)) = report else { bail!("a put without a report: {report:?}") };
        let named: BTreeSet<&String> = reports.iter().map(|report| &report.name).collect();
        ensure!(named == begun.keys().collect(), "other files were stored: {named:?}");
        for PutReport { name, bytes, k, n, reused, .. } in &reports {
            let kept = begun[name];
            ensure!(
                *bytes == kept.content.bytes,
                "{name} has {bytes} bytes instead of {}",
                kept.content.bytes
            );
            ensure!(0 < *k && k <= n, "{name} is kept as {k} of {n}");
            let before = self.model.files().get(name).filter(|_| *reused).copied();
            let kept = before.unwrap_or(Kept { spare: u64::from(n - k), ..kept });
            self.world.tally.put(if *reused { 0 } else { *bytes });
            self.model.acknowledged(name.clone(), kept);
        }
        Ok(())
    }

    pub(crate) fn wish_to_get(&self, name: &str, output: &Path, part: Range<u64>) -> GetRequest {
        GetRequest {
            name: name.to_owned(),
            output: output.to_owned(),
            overwrite: false,
            offset: part.start,
            bytes: Some(part.end - part.start),
        }
    }

    /// Brings a part of a file back and compares it. While too many farmers are away it may fail; else it must succeed,
    /// if not at once, then when tried again.
    pub(crate) async fn get(&mut self, name: &str, kept: Kept, part: Range<u64>) -> Result<()> {
        let mut twist = self.twist();
        for tries in 0..TRIES {
            let since = Instant::now();
            let job = self
                .get_once(name, kept, part.clone(), std::mem::replace(&mut twist, Twist::Nothing))
                .await?;
            let word = match job.state {
                JobState::Done if tries > 0 => "get done when tried again",
                JobState::Done => "get done",
                JobState::Failed if self.is_excused(&kept, since) => "get failed while too many were away",
                JobState::Failed if self.world.late.is_cancelled() => "get given up at the end",
                JobState::Failed => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                _ => "get cancelled",
            };
            self.world.tally.action(word);
            return Ok(());
        }
        bail!(
            "{name} does not come back although enough farmers are there: {kept:?}, {:?} left",
            self.world.presence.left()
        )
    }

    /// Brings a whole file back when all farmers are there: it must succeed, if not at once, then when tried again. Only
    /// a file that more farmers and liars kept than it can do without may stay out of reach.
    pub(crate) async fn get_at_the_end(&mut self, name: &str, kept: Kept) -> Result<()> {
        for _ in 0..TRIES {
            let job = self.get_once(name, kept, 0..kept.content.bytes, Twist::Never).await?;
            if job.state == JobState::Done {
                return Ok(());
            }
            self.world.tally.action("get at the end tried again");
            tokio::time::sleep(AGAIN).await;
        }
        ensure!(kept.can_spare(self.world.presence.left()) < 0, "it does not come back: {kept:?}");
        self.world.tally.action("get at the end out of reach");
        Ok(())
    }

    async fn get_once(&mut self, name: &str, kept: Kept, part: Range<u64>, twist: Twist) -> Result<Job> {
        let (since, output) = (Instant::now(), self.output.join("file"));
        let wish = self.wish_to_get(name, &output, part.clone());
        let mut known = std::mem::take(&mut self.known);
        let id = self
            .door()
            .begin(JobKind::Get, name, &mut known, async |node: Client| node.get(wish.clone()).await);
        let id = id.await?.with_context(|| format!("the get of {name} was refused"))?;
        self.known = known;
        let job = self.end_of(id, twist).await?;
        match job.state {
            JobState::Done => {
                let report = self.door().sure(async |node: Client| node.job_report(id).await).await?;
                let Some(JobReport::Get(report)) = report else {
                    bail!("a get without a report: {report:?}")
                };
                ensure!(report.bytes == part.end - part.start, "{name}: {} bytes of {part:?}", report.bytes);
                self.note_blame(&report, since);
                self.world.tally.got(report.bytes);
                let content = kept.content;
                let difference = tokio::task::spawn_blocking(move || {
                    let difference = content.difference(part, &output)?;
                    std::fs::remove_file(&output).map(|()| difference)
                });
                let difference = difference.await??;
                ensure!(difference.is_none(), "{name} came back changed at byte {difference:?}: {kept:?}");
            }
            JobState::Failed => {
                let for_farmers = job.error == Some(ErrorCode::NotEnoughFarmers);
                ensure!(for_farmers, "a get of {name} failed for a reason of its own: {:?}", job.message);
            }
            _ => {}
        }
        ensure!(
            job.state == JobState::Done || !self.output.join("file").exists(),
            "{name} was written although its get is {:?}",
            job.state
        );
        Ok(job)
    }

    /// An honest farmer may be called silent when it was killed or paused, and on a machine that is slow enough.
    fn note_blame(&self, report: &GetReport, since: Instant) {
        for farmer in &report.farmers_blamed {
            let world = &self.world;
            let word = if world.liars.borrow().contains(farmer) {
                "liar blamed"
            } else if world.presence.was_away_since(farmer, since) {
                "honest farmer blamed while it was away"
            } else {
                "honest farmer blamed although it was there"
            };
            world.tally.action(word);
        }
    }
}
