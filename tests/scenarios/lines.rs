//! Lines that are slow, lossy, limited or cut: what moves is let finish, nobody is blamed for the line, and what does not
//! move ends with a clear word.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hayloft_gateway::Client;
use hayloft_node::model::{Job, JobReport, JobState};
use hayloft_tests::{Afar, Carried, Conditions, begin_get, begin_put, go_on, hayloft, outcome, pause, watch};

/// Makes about a megabyte of shards at two of five.
const BYTES: usize = 400_000;
const FARMERS: u16 = 5;
/// Long enough for a line of a megabit on which packets get lost twice in a row.
const STEADY: Duration = Duration::from_secs(10);
/// A megabit both ways and nothing lost.
const SLOW: Conditions = Conditions { loss: 0.0, delay: Duration::from_millis(50), ..Conditions::POOR };

/// The longest time for which a job told of no progress.
struct Steadiness {
    done: u64,
    since: Instant,
    longest: Duration,
}

impl Steadiness {
    fn new() -> Self {
        Self { done: 0, since: Instant::now(), longest: Duration::ZERO }
    }

    fn look(&mut self, job: &Job) {
        self.longest = self.longest.max(self.since.elapsed());
        if job.done_bytes > self.done {
            (self.done, self.since) = (job.done_bytes, Instant::now());
        }
    }
}

/// A get that ended well brought the same bytes and blamed nobody.
async fn came_back(client: &Client, get: u32, file: &Path, output: &Path) -> Result<()> {
    ensure!(std::fs::read(file)? == std::fs::read(output)?, "the file came back changed");
    let Some(JobReport::Get(report)) = client.job_report(get).await? else {
        anyhow::bail!("no report");
    };
    ensure!(report.farmers_blamed.is_empty(), "{:?}", report.farmers_blamed);
    Ok(())
}

/// How many farmers hold a part of the file.
async fn kept_by(client: &Client, put: u32) -> Result<u32> {
    match client.job_report(put).await? {
        Some(JobReport::Put(reports)) => Ok(reports.first().context("no file")?.farmers),
        _ => anyhow::bail!("no report"),
    }
}

#[tokio::test]
async fn a_poor_line_finds_farmers_and_carries_a_file_out_and_back_steadily() -> Result<()> {
    let afar = Afar::start(FARMERS, 1)?;
    afar.owner.line.set(Conditions::POOR);
    let client = afar.all_known().await?;
    // The first put makes contracts and hands keys over, of which it tells no progress.
    afar.owner.line.set(Conditions::FREE);
    let (small, file) = (afar.file("small", 1_000)?, afar.file("file", BYTES)?);
    watch(&client, begin_put(&client, &small).await?, |_| {}).await?;
    afar.owner.line.set(Conditions::POOR);

    let mut steady = Steadiness::new();
    let put = begin_put(&client, &file).await?;
    watch(&client, put, |job| steady.look(job)).await?;
    ensure!(steady.longest < STEADY, "nothing for {:?} in a put", steady.longest);
    ensure!(kept_by(&client, put).await? == u32::from(FARMERS), "a farmer was replaced for our line");

    let output = afar.file("back", 0)?;
    let mut steady = Steadiness::new();
    let get = begin_get(&client, "file", &output).await?;
    // What a get tells of is what it has written: the file comes in one window, after all its shards.
    watch(&client, get, |job| steady.look(job)).await?;
    ensure!(steady.longest < 3 * STEADY, "nothing for {:?} in a get", steady.longest);
    came_back(&client, get, &file, &output).await
}

/// Bytes per second in the middle of a transfer, from what a line had carried at each look: the slope of the straight
/// line that fits best, so that it does not matter where in a piece the middle begins and ends.
fn rate(looks: &[(Instant, Carried)]) -> Result<f64> {
    let total = looks.last().context("no looks")?.1.bytes - looks[0].1.bytes;
    let share = |look: &&(Instant, Carried)| (look.1.bytes - looks[0].1.bytes) as f64 / total as f64;
    let middle = looks.iter().filter(|look| (0.15..0.85).contains(&share(look)));
    let points: Vec<(f64, f64)> =
        middle.map(|look| ((look.0 - looks[0].0).as_secs_f64(), look.1.bytes as f64)).collect();
    ensure!(points.len() > 10, "too short");
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (seconds, bytes) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - seconds) * (point.1 - bytes)).sum();
    let spread: f64 = points.iter().map(|point| (point.0 - seconds).powi(2)).sum();
    Ok(together / spread)
}

#[tokio::test]
async fn limits_are_kept_on_the_line_itself_in_both_directions() -> Result<()> {
    // About ten seconds each way. What flows without any transfer is well below a hundredth of a home's line: not of less.
    const UP: u64 = 250_000;
    const DOWN: u64 = 100_000;
    let afar = Afar::start(FARMERS, 2)?;
    let client = afar.all_known().await?;
    let mut settings = client.farm_status().await?.settings;
    (settings.upload_limit, settings.download_limit) = (Some(UP), Some(DOWN));
    client.farm_set(settings).await?;
    // What a busy computer does not send in time it may not send later: such a measurement says nothing of the limits.
    let mut shares = Vec::new();
    while shares.len() < 3 {
        let both = shares_of_limits(&afar, &client, &format!("file-{}", shares.len()), [UP, DOWN]).await?;
        ensure!(both.iter().all(|share| *share < 1.05), "{both:?} of the limits");
        shares.push(both);
        if both.iter().all(|share| *share > 0.95) {
            return Ok(());
        }
    }
    anyhow::bail!("{shares:?} of the limits")
}

/// What a put and a get of a megabyte take of the limits of a line.
async fn shares_of_limits(afar: &Afar, client: &Client, name: &str, limits: [u64; 2]) -> Result<[f64; 2]> {
    let (file, output) = (afar.file(name, 1_000_000)?, afar.file(&format!("{name}-back"), 0)?);
    let line = afar.owner.line.clone();
    let mut looks = vec![(Instant::now(), line.sent())];
    let put = begin_put(client, &file).await?;
    watch(client, put, |_| looks.push((Instant::now(), line.sent()))).await?;
    let up = rate(&looks)? / limits[0] as f64;

    let mut looks = vec![(Instant::now(), line.received())];
    let get = begin_get(client, name, &output).await?;
    watch(client, get, |_| looks.push((Instant::now(), line.received()))).await?;
    let down = rate(&looks)? / limits[1] as f64;
    came_back(client, get, &file, &output).await?;
    Ok([up, down])
}

#[tokio::test]
async fn transfers_go_on_when_a_cut_line_comes_back() -> Result<()> {
    const CUT: Duration = Duration::from_secs(20);
    let afar = Afar::start(FARMERS, 3)?;
    let client = afar.all_known().await?;
    let (first, second) = (afar.file("first", BYTES)?, afar.file("second", BYTES)?);
    watch(&client, begin_put(&client, &first).await?, |_| {}).await?;

    afar.owner.line.set(SLOW);
    let output = afar.file("back", 0)?;
    let put = begin_put(&client, &second).await?;
    let get = begin_get(&client, "first", &output).await?;
    let mut cut = None;
    let line = &afar.owner.line;
    let look = |job: &Job| match cut {
        None if job.state == JobState::Running && job.done_bytes * 4 > job.total_bytes => {
            line.cut();
            cut = Some(Instant::now());
        }
        Some(since) if since.elapsed() > CUT => line.restore(),
        _ => {}
    };
    let (put_done, get_done) = tokio::join!(watch(&client, put, look), watch(&client, get, |_| {}));
    put_done.context("the put")?;
    ensure!(kept_by(&client, put).await? == u32::from(FARMERS), "a farmer was replaced for our line");
    get_done.context("the get")?;
    ensure!(cut.is_some_and(|since| since.elapsed() > CUT), "the line was not cut in the middle of the put");
    came_back(&client, get, &first, &output).await
}

#[tokio::test]
async fn a_line_that_stays_cut_ends_in_a_clear_word() -> Result<()> {
    const BOUND: Duration = Duration::from_secs(180);
    let afar = Afar::start(3, 4)?;
    let client = afar.all_known().await?;
    let (first, second) = (afar.file("first", BYTES)?, afar.file("second", BYTES)?);
    watch(&client, begin_put(&client, &first).await?, |_| {}).await?;

    afar.owner.line.set(SLOW);
    let output = afar.file("back", 0)?;
    let put = begin_put(&client, &second).await?;
    let get = begin_get(&client, "first", &output).await?;
    afar.owner.line.cut();
    let mut said = false;
    let look = |job: &Job| {
        let offline =
            job.message.as_ref().is_some_and(|message| message.starts_with("Nobody can be reached"));
        said |= offline && job.state == JobState::Running;
    };
    let both = async { tokio::join!(outcome(&client, put, look), outcome(&client, get, |_| {})) };
    let (put, get) = tokio::time::timeout(BOUND, both).await.context("no end")?;
    for job in [put?, get?] {
        let message = job.message.unwrap_or_default();
        ensure!(job.state == JobState::Failed && message.contains("Nobody can be reached"), "{message}");
    }
    ensure!(said, "the put said nothing while it waited");
    Ok(())
}

/// A farmer that hardly moves while all others do holds up neither a put nor a get, and does no harm later.
async fn goes_on_without(
    hold: impl Fn(&Afar, usize) -> Result<()>,
    let_go: impl Fn(&Afar, usize) -> Result<()>,
) -> Result<()> {
    let afar = Afar::start(FARMERS, 5)?;
    let client = afar.all_known().await?;
    let (first, file) = (afar.file("first", BYTES)?, afar.file("file", BYTES)?);
    // Slow enough that it happens in the middle: farmers tell once a second how far they are.
    afar.owner.line.set(Conditions { bits_per_second: Some(2_000_000), ..SLOW });
    let begun = Instant::now();
    watch(&client, begin_put(&client, &first).await?, |_| {}).await?;
    // It is given up when all others took a quarter of the time; then all is sent once more.
    let bound = Duration::from_secs(60) + 6 * begun.elapsed();
    let put = begin_put(&client, &file).await?;
    let mut held = Ok(());
    let mut is_held = false;
    let look = |job: &Job| {
        if !is_held && job.state == JobState::Running && job.done_bytes * 5 > job.total_bytes {
            is_held = true;
            held = hold(&afar, 0);
        }
    };
    tokio::time::timeout(bound, watch(&client, put, look)).await.context("the put is held up")??;
    held?;
    ensure!(is_held, "the farmer was not held in the middle of the put");
    let_go(&afar, 0)?;

    let home = afar.owner.node.home();
    let output = afar.file("back", 0)?;
    hold(&afar, 1)?;
    let get = begin_get(&client, "file", &output).await?;
    tokio::time::timeout(bound, watch(&client, get, |_| {})).await.context("the get is held up")??;
    let_go(&afar, 1)?;
    came_back(&client, get, &file, &output).await?;
    let files = hayloft(home, ["ls"])?.done()?;
    ensure!(files["files"].as_array().is_some_and(|files| files.len() == 2), "{files}");
    Ok(())
}

#[tokio::test]
async fn a_farmer_that_is_stopped_in_its_tracks_is_done_without() -> Result<()> {
    let pid = |afar: &Afar, farmer: usize| afar.farmers[farmer].node.pid();
    goes_on_without(|afar, farmer| pause(pid(afar, farmer)), |afar, farmer| go_on(pid(afar, farmer))).await
}

#[tokio::test]
async fn a_farmer_on_a_line_that_drips_is_done_without() -> Result<()> {
    let drip = Conditions { bits_per_second: Some(4_000), ..Conditions::FREE };
    let set = |afar: &Afar, farmer: usize, conditions| {
        afar.farmers[farmer].line.set(conditions);
        Ok(())
    };
    goes_on_without(
        |afar, farmer| set(afar, farmer, drip),
        |afar, farmer| set(afar, farmer, Conditions::FREE),
    )
    .await
}
