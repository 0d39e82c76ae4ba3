//! `hayloft jobs`: the node's transfers.

use anyhow::Result;
use hayloft_node::model::Job;
use serde_json::json;

use crate::args::Jobs;
use crate::connect::Place;
use crate::output::{Output, moment, printable, size, table, word};

/// Lists transfers, or changes one and shows it.
pub(crate) async fn run(place: &Place, what: Option<Jobs>, output: Output) -> Result<()> {
    let client = place.client().await?;
    let Some(what) = what else {
        let jobs = client.jobs().await?;
        return output.result(&json!({ "jobs": jobs }), || listing(&jobs));
    };
    let id = match what {
        Jobs::Pause { id } => client.pause(id).await.map(|()| id)?,
        Jobs::Resume { id } => client.resume(id).await.map(|()| id)?,
        Jobs::Cancel { id } => client.cancel(id).await.map(|()| id)?,
    };
    let job = client.job(id).await?;
    output.result(&job, || listing(std::slice::from_ref(&job)))
}

fn listing(jobs: &[Job]) -> String {
    if jobs.is_empty() {
        return "No transfers.".into();
    }
    table(
        &["JOB", "WHAT", "NAME", "STATE", "DONE", "BEGUN", "NOTE"],
        &jobs.iter().map(row).collect::<Vec<_>>(),
    )
}

fn row(job: &Job) -> Vec<String> {
    vec![
        job.id.to_string(),
        word(&job.kind),
        printable(&job.name),
        word(&job.state),
        format!("{} of {}", size(job.done_bytes), size(job.total_bytes)),
        moment(job.begun),
        job.message.clone().unwrap_or_default(),
    ]
}
