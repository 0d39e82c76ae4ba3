//! Watching a transfer until it ends: a progress bar on stderr when that is a terminal, silence otherwise.
//!
//! The transfer belongs to the node. Leaving off watching ends nothing, and the person is told so.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::StreamExt;
use hayloft_gateway::{Client, Events};
use hayloft_node::model::{ApiError, ErrorCode, Event, Job, JobReport, JobState};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{Refusal, printable};
use crate::stop;

/// News may be lost when they come too fast: ask again this often.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Watches job `id` to its end and gives its report. `news` must have been opened before the job began.
pub(crate) async fn to_the_end(client: &Client, news: Events, id: u32) -> Result<JobReport> {
    let bar = bar();
    let result = tokio::select! {
        result = follow(client, news, id, &bar) => result,
        () = stop::asked(false) => Err(left_off(id)),
    };
    bar.finish_and_clear();
    result
}

async fn follow(client: &Client, mut news: Events, id: u32, bar: &ProgressBar) -> Result<JobReport> {
    let mut open = true;
    let mut told = None;
    loop {
        let job = tokio::select! {
            event = news.next(), if open => match event {
                Some(Event::Job(job)) if job.id == id => job,
                Some(_) => continue,
                None => { open = false; continue }
            },
            () = tokio::time::sleep(ASK_AGAIN) => client.job(id).await?,
        };
        show(bar, &job, &mut told);
        match job.state {
            JobState::Running | JobState::Paused => {}
            JobState::Done => return report(client, id).await,
            JobState::Failed => return Err(failed(&job)),
            JobState::Cancelled => {
                return Err(ApiError::new(ErrorCode::Cancelled, "The transfer was cancelled.").into());
            }
        }
    }
}

async fn report(client: &Client, id: u32) -> Result<JobReport> {
    client.job_report(id).await?.ok_or_else(|| anyhow!("the node keeps no report of transfer {id}"))
}

fn failed(job: &Job) -> anyhow::Error {
    let message = job.message.clone().unwrap_or_else(|| "The transfer failed.".into());
    ApiError::new(job.error.unwrap_or(ErrorCode::Internal), message).into()
}

fn left_off(id: u32) -> anyhow::Error {
    let message = format!(
        "The transfer goes on in the node. See it with: hayloft jobs. End it with: hayloft jobs cancel {id}"
    );
    Refusal { code: "cancelled", message }.into()
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{wide_msg}\n{bar:32} {percent:>3}% {decimal_bytes} of {decimal_total_bytes}  {prefix}",
    );
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, job: &Job, told: &mut Option<String>) {
    bar.set_length(job.total_bytes);
    bar.set_position(job.done_bytes);
    bar.set_prefix(format!("{}/s", crate::output::size(job.bytes_per_second)));
    let state = if job.state == JobState::Paused { " (paused)" } else { "" };
    let files = if job.total_files > 1 {
        format!(", {} of {} files", job.done_files, job.total_files)
    } else {
        String::new()
    };
    bar.set_message(format!("{}{state}{files}", printable(&job.name)));
    if job.state == JobState::Running && job.message != *told {
        if let Some(message) = &job.message {
            bar.println(message);
        }
        told.clone_from(&job.message);
    }
}
