//! Kill -9 at random moments, and the node started again on the same home: jobs go on by themselves, every file is whole
//! or plainly unfinished, and in the end the books of owner and farmers agree to the byte, with nothing left behind.
//!
//! Moments are drawn over the time that the same work took undisturbed when it last did. A failure tells its seed; `HAYLOFT_SEED` draws
//! the same moments again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{ErrorCode, GetRequest, Job, JobState, PresetName, PutRequest};
use hayloft_tests::{Books, Field, Member, Segments, bytes_written, job_end, segments, settled, unsettled};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

/// Unless `HAYLOFT_KILLS` says otherwise.
const KILLS: usize = 50;
const FARMERS: usize = 5;
const MIB: usize = 1 << 20;
const MONTH_SECONDS: u64 = 30 * 24 * 60 * 60;
/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a scenario with a seed, which a failure tells.
async fn seeded(scenario: impl AsyncFnOnce(&mut StdRng) -> Result<()>) -> Result<()> {
    let seed = match std::env::var("HAYLOFT_SEED") {
        Ok(seed) => seed.parse().context("HAYLOFT_SEED is no number")?,
        Err(_) => rand::random(),
    };
    let result = scenario(&mut StdRng::seed_from_u64(seed)).await;
    result.with_context(|| format!("again with HAYLOFT_SEED={seed}"))
}

fn kills() -> Result<usize> {
    match std::env::var("HAYLOFT_KILLS") {
        Ok(kills) => kills.parse().context("HAYLOFT_KILLS is no number"),
        Err(_) => Ok(KILLS),
    }
}

/// Two segments, a file of one piece, and small ones that share a segment.
fn make_files(folder: &Path, rng: &mut StdRng) -> Result<Vec<(String, PathBuf)>> {
    let sizes = [("film", 17 * MIB), ("song", MIB)].map(|(name, bytes)| (name.to_owned(), bytes));
    let small = (0..12).map(|number| (format!("notes/{number}"), rng.random_range(0..60_000)));
    let sizes: Vec<(String, usize)> = sizes.into_iter().chain(small.collect::<Vec<_>>()).collect();
    std::fs::create_dir_all(folder.join("notes"))?;
    let top = folder.file_name().and_then(|name| name.to_str()).context("a name")?;
    let mut files = Vec::new();
    for (name, bytes) in sizes {
        let path = folder.join(&name);
        let mut content = vec![0; bytes];
        rng.fill_bytes(&mut content);
        std::fs::write(&path, content)?;
        files.push((format!("{top}/{name}"), path));
    }
    Ok(files)
}

fn put_of(folder: PathBuf) -> PutRequest {
    PutRequest {
        paths: vec![folder],
        name: None,
        keep_seconds: MONTH_SECONDS,
        renew: false,
        replace: false,
        preset: PresetName::Standard,
        price: None,
    }
}

fn get_of(name: &str, output: PathBuf) -> GetRequest {
    GetRequest { name: name.to_owned(), output, overwrite: false, offset: 0, bytes: None }
}

/// What is to be done while the node is killed.
#[derive(Clone)]
enum Work {
    Put(PutRequest),
    Get(GetRequest),
}

impl Work {
    async fn begin(&self, client: &Client) -> Result<u32> {
        Ok(match self {
            Self::Put(request) => client.put(request.clone()).await?,
            Self::Get(request) => client.get(request.clone()).await?,
        })
    }

    async fn whole(&self, client: &Client) -> Result<Job> {
        job_end(client, self.begin(client).await?).await
    }

    /// The job that does it, if it was written down before the node was killed.
    async fn known_as(&self, client: &Client, after: u32) -> Result<Option<u32>> {
        let newest = client.jobs().await?.first().map(|job| job.id);
        Ok(newest.filter(|id| *id > after))
    }
}

/// Does the work once undisturbed, to know how long it takes.
async fn measure(field: &Field, work: Work) -> Result<Duration> {
    let begun = Instant::now();
    let job = work.whole(&field.owner.client().await?).await?;
    ensure!(job.state == JobState::Done, "{job:?}");
    Ok(begun.elapsed())
}

async fn newest_job(field: &Field) -> Result<u32> {
    Ok(field.owner.client().await?.jobs().await?.first().map_or(0, |job| job.id))
}

/// What an owner's books said when it was last killed.
struct Killed {
    /// Segments that the job had saved.
    saved: Segments,
    /// Those of earlier jobs.
    others: Segments,
    /// What farmers had written by then.
    written: u64,
}

impl Killed {
    async fn look(field: &Field, job: Option<u32>) -> Result<Self> {
        let (saved, others) = segments(field.owner.home(), job).await?;
        Ok(Self { saved, others, written: written(field)? })
    }

    /// Once the job is done: no segment that was saved has been sent again, by the bytes that farmers wrote.
    async fn nothing_was_sent_twice(&self, field: &mut Field) -> Result<()> {
        // Databases, journals and headers.
        const BESIDE: u64 = 4 << 20;
        let written = written(field)? - self.written;
        field.owner.stop();
        let (_, now) = segments(field.owner.home(), None).await?;
        field.owner.start()?;
        ensure!(self.saved.keys().all(|segment| now.contains_key(segment)), "a saved segment was given up");
        let new = now.iter().filter(|(id, _)| !self.saved.contains_key(id) && !self.others.contains_key(id));
        let missing: u64 = new.map(|(_, bytes)| bytes).sum();
        let saved: u64 = self.saved.values().sum();
        ensure!(
            written < missing + missing / 10 + BESIDE,
            "farmers wrote {written} bytes although only {missing} were missing, and {saved} were there"
        );
        Ok(())
    }
}

/// Bytes that all farmers have written so far.
fn written(field: &Field) -> Result<u64> {
    field.farmers.iter().map(|farmer| bytes_written(farmer.process()?.pid())).sum()
}

/// Does the work while the owner's node is killed at random moments, as long as `kills` are left; what was saved before the
/// last kill is still there in the end and was not sent again.
async fn do_while_killed(
    field: &mut Field,
    work: Work,
    usual: Duration,
    kills: &mut usize,
    rng: &mut StdRng,
) -> Result<Job> {
    let before = newest_job(field).await?;
    let (mut last, mut known) = (None, None);
    let job = loop {
        let client = field.owner.client().await?;
        let moment = usual.mul_f64(rng.random::<f64>());
        let working = async {
            match known {
                Some(id) => job_end(&client, id).await,
                None => work.whole(&client).await,
            }
        };
        if *kills == 0 {
            break working.await?;
        }
        if let Ok(job) = tokio::time::timeout(moment, working).await {
            break job?;
        }
        field.owner.kill_9()?;
        *kills -= 1;
        last = Some(Killed::look(field, known).await?);
        field.owner.start()?;
        known = work.known_as(&field.owner.client().await?, before).await?;
    };
    if let (Work::Put(_), Some(last)) = (&work, last) {
        last.nothing_was_sent_twice(field).await?;
    }
    Ok(job)
}

/// Brings all files back at once and compares them.
async fn come_back(field: &Field, files: &[(String, PathBuf)]) -> Result<()> {
    let client = field.owner.client().await?;
    let folder = tempfile::tempdir_in(field.scratch()?)?;
    let mut jobs = Vec::new();
    for (number, (name, path)) in files.iter().enumerate() {
        let output = folder.path().join(number.to_string());
        jobs.push((client.get(get_of(name, output.clone())).await?, output, path));
    }
    for (id, output, path) in jobs {
        let job = job_end(&client, id).await?;
        ensure!(job.state == JobState::Done, "{job:?}");
        ensure!(std::fs::read(output)? == std::fs::read(path)?, "{} came back changed", job.name);
    }
    Ok(())
}

/// Stops all nodes and compares their books; what has not been worked off yet gets its time.
async fn books_agree(field: &mut Field) -> Result<Books> {
    field.owner.stop();
    field.farmers.iter_mut().for_each(Member::stop);
    let books = Books::read(field).await?;
    field.farmers.iter_mut().try_for_each(Member::start)?;
    field.owner.start()?;
    let mut keeping = Vec::new();
    for farmer in &field.farmers {
        keeping.push(keeps(farmer, books.due(farmer.process()?.id())));
    }
    let told = async {
        futures::future::try_join_all(keeping).await?;
        settled(field.owner.home()).await
    };
    match tokio::time::timeout(LIMIT, told).await {
        Ok(told) => told?,
        Err(_) => bail!("farmers are not told what to remove: {}", what_is_left(field, &books).await?),
    }
    field.owner.stop();
    field.farmers.iter_mut().for_each(Member::stop);
    let books = Books::read(field).await?;
    books.agree()?;
    Ok(books)
}

/// Returns once a farmer keeps so many bytes, and nothing for what is to come.
async fn keeps(farmer: &Member, bytes: u64) -> Result<()> {
    let client = farmer.client().await?;
    let mut news = client.events().await?;
    loop {
        let status = client.farm_status().await?;
        if status.used_bytes == bytes && status.reserved_bytes == 0 {
            return Ok(());
        }
        news.next().await.context("a farmer has ended")?;
    }
}

/// What keeps the books from being settled.
async fn what_is_left(field: &Field, books: &Books) -> Result<String> {
    let mut left = format!("{} to be said", unsettled(field.owner.home()).await?);
    for farmer in &field.farmers {
        let status = farmer.client().await?.farm_status().await?;
        let id = farmer.process()?.id();
        let (used, reserved) = (status.used_bytes, status.reserved_bytes);
        write!(left, "; {id} uses {used} of {} and holds {reserved}", books.due(id))?;
    }
    Ok(left)
}

async fn remove_all(field: &Field) -> Result<()> {
    let client = field.owner.client().await?;
    let names = client.files().await?.into_iter().map(|file| file.name).collect();
    Ok(client.remove(names).await?)
}

async fn clean_up(field: &mut Field) -> Result<()> {
    let books = books_agree(field).await?;
    ensure!(books.shards() > 0, "nothing was stored");
    field.farmers.iter_mut().try_for_each(Member::start)?;
    field.owner.start()?;
    remove_all(field).await?;
    let books = books_agree(field).await?;
    ensure!(books.shards() == 0, "{} shards are left", books.shards());
    Ok(())
}

/// Puts one folder of files after the other, each in the way of `put`, as long as kills are left; all files come back, and
/// nothing is left of them once they are removed.
async fn put_while(
    rng: &mut StdRng,
    put: impl AsyncFn(&mut Field, PathBuf, Duration, &mut usize, &mut StdRng) -> Result<Job>,
) -> Result<()> {
    let mut field = Field::new(FARMERS).await?;
    let scratch = field.scratch()?;
    let mut stored = make_files(&scratch.join("first"), rng)?;
    let mut usual = measure(&field, Work::Put(put_of(scratch.join("first")))).await?;
    let mut kills = kills()?;
    let mut round = 0;
    while kills > 0 {
        round += 1;
        let folder = scratch.join(format!("round-{round}"));
        stored.extend(make_files(&folder, rng)?);
        let (begun, before) = (Instant::now(), kills);
        let job = put(&mut field, folder, usual, &mut kills, rng).await?;
        // What else this computer does may have ended meanwhile.
        if kills == before {
            usual = begun.elapsed();
        }
        ensure!(job.state == JobState::Done, "{job:?}");
        ensure!(field.owner.client().await?.files().await?.len() == stored.len(), "not all are listed");
    }
    come_back(&field, &stored).await?;
    clean_up(&mut field).await
}

/// A put that a person resumes when it failed for want of farmers, while one farmer after the other is killed.
async fn put_while_farmers_are_killed(
    field: &mut Field,
    folder: PathBuf,
    usual: Duration,
    kills: &mut usize,
    rng: &mut StdRng,
) -> Result<Job> {
    let client = field.owner.client().await?;
    let id = client.put(put_of(folder)).await?;
    let mut resumed = 0;
    loop {
        let moment = usual.mul_f64(rng.random::<f64>());
        let job = match tokio::time::timeout(moment, job_end(&client, id)).await {
            Ok(job) => job?,
            Err(_) if *kills == 0 => job_end(&client, id).await?,
            Err(_) => {
                *kills -= 1;
                let farmer = rng.random_range(0..FARMERS);
                field.farmers[farmer].kill_9()?;
                field.farmers[farmer].start()?;
                continue;
            }
        };
        if job.state != JobState::Failed {
            return Ok(job);
        }
        ensure!(job.error == Some(ErrorCode::NotEnoughFarmers) && resumed <= self::kills()?, "{job:?}");
        resumed += 1;
        client.resume(id).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_killed_while_it_stores_goes_on_and_leaves_nothing_behind() -> Result<()> {
    seeded(async |rng| {
        put_while(rng, async |field, folder, usual, kills, rng| {
            do_while_killed(field, Work::Put(put_of(folder)), usual, kills, rng).await
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_killed_while_it_brings_files_back_goes_on_and_leaves_no_half_file() -> Result<()> {
    seeded(async |rng| {
        let mut field = Field::new(FARMERS).await?;
        let (scratch, outputs) = (field.scratch()?, field.scratch()?.join("outputs"));
        std::fs::create_dir(&outputs)?;
        let files = make_files(&scratch.join("first"), rng)?;
        measure(&field, Work::Put(put_of(scratch.join("first")))).await?;
        let (film, content) = (&files[0].0, std::fs::read(&files[0].1)?);
        let mut usual = measure(&field, Work::Get(get_of(film, scratch.join("back")))).await?;
        let mut kills = kills()?;
        let mut round = 0;
        while kills > 0 {
            round += 1;
            let output = outputs.join(format!("back-{round}"));
            let work = Work::Get(get_of(film, output.clone()));
            let (begun, before) = (Instant::now(), kills);
            let job = do_while_killed(&mut field, work, usual, &mut kills, rng).await?;
            if kills == before {
                usual = begun.elapsed();
            }
            ensure!(job.state == JobState::Done, "{job:?}");
            ensure!(std::fs::read(&output)? == content, "it came back changed");
            std::fs::remove_file(output)?;
            let left: Vec<_> = std::fs::read_dir(&outputs)?.collect::<std::io::Result<_>>()?;
            ensure!(left.is_empty(), "left behind: {left:?}");
        }
        clean_up(&mut field).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn farmers_killed_while_they_write_keep_exact_books_and_files_stay_whole() -> Result<()> {
    seeded(async |rng| put_while(rng, put_while_farmers_are_killed).await).await
}
