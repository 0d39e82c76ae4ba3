//! `hayloft farm scrub`: all that is kept for others is read again, and what the disk lost is told.

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use hayloft_gateway::Client;
use hayloft_node::model::{Event, ScrubStatus, ShardTrouble};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{Refusal, counted, day, moment, size, table};
use crate::stop;

/// News may be lost when they come too fast: ask again this often.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Begins a check, watches it to its end and gives what it found.
pub(crate) async fn to_the_end(client: &Client) -> Result<ScrubStatus> {
    let style = ProgressStyle::with_template(
        "Reading what you keep for others\n{bar:32} {percent:>3}% {decimal_bytes} of {decimal_total_bytes}",
    );
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let result = tokio::select! {
        result = follow(client, &bar) => result,
        () = stop::asked(false) => {
            let message = "The check goes on in the node. See it with: hayloft farm status".to_owned();
            Err(Refusal { code: "cancelled", message }.into())
        }
    };
    bar.finish_and_clear();
    result
}

async fn follow(client: &Client, bar: &ProgressBar) -> Result<ScrubStatus> {
    let mut news = client.events().await?;
    let mut scrub = client.farm_scrub().await?.scrub;
    let mut open = true;
    while scrub.hurried {
        bar.set_length(scrub.total_bytes);
        bar.set_position(scrub.checked_bytes);
        tokio::select! {
            event = news.next(), if open => match event {
                Some(Event::StatusChanged) => {}
                Some(_) => continue,
                None => { open = false; continue }
            },
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
        scrub = client.farm_status().await?.scrub;
    }
    match &scrub.problem {
        Some(problem) => Err(Refusal { code: "disk", message: problem.clone() }.into()),
        None => Ok(scrub),
    }
}

/// The disk's state in one line.
pub(crate) fn line(scrub: &ScrubStatus) -> String {
    let checked = match (scrub.ended, scrub.begun) {
        _ if scrub.hurried => {
            format!("being checked: {} of {} read", size(scrub.checked_bytes), size(scrub.total_bytes))
        }
        (Some(ended), _) => format!("all was read again by {}", day(ended)),
        (None, Some(_)) => {
            format!("{} of {} read again so far", size(scrub.checked_bytes), size(scrub.total_bytes))
        }
        (None, None) => "nothing was read again yet".to_owned(),
    };
    let lost = (scrub.lost_shards > 0)
        .then(|| format!("; {} LOST, {}", counted(scrub.lost_shards, "piece"), size(scrub.lost_bytes)));
    let unreadable = (scrub.unreadable_shards > 0)
        .then(|| format!("; {} cannot be read just now", counted(scrub.unreadable_shards, "piece")));
    let problem = scrub.problem.as_ref().map(|problem| format!("; it cannot go on: {problem}"));
    [Some(checked), lost, unreadable, problem].into_iter().flatten().collect()
}

/// What a check found.
pub(crate) fn text(scrub: &ScrubStatus) -> String {
    if scrub.troubled.is_empty() {
        return "All that you keep for others was read again, and it is whole.".to_owned();
    }
    let rows = scrub.troubled.iter().map(|troubled| {
        let trouble = match troubled.trouble {
            ShardTrouble::Missing => "gone",
            ShardTrouble::Damaged => "changed",
            ShardTrouble::Unreadable => "cannot be read just now",
        };
        vec![
            troubled.shard.chars().take(16).collect(),
            size(troubled.bytes),
            trouble.to_owned(),
            moment(troubled.noticed),
        ]
    });
    let table = table(&["PIECE", "BYTES", "ON THE DISK", "NOTICED"], &rows.collect::<Vec<_>>());
    format!(
        "Your disk does not have all that you keep for others: {}.\nThe owners are told when they ask. If this happens again, the disk may be failing.\n\n{table}",
        found(scrub)
    )
}

fn found(scrub: &ScrubStatus) -> String {
    let lost = (scrub.lost_shards > 0).then(|| format!("{} lost", counted(scrub.lost_shards, "piece")));
    let unreadable = (scrub.unreadable_shards > 0)
        .then(|| format!("{} cannot be read just now", counted(scrub.unreadable_shards, "piece")));
    [lost, unreadable].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use hayloft_node::model::TroubledShard;

    use super::*;

    fn whole() -> ScrubStatus {
        ScrubStatus {
            hurried: false,
            begun: None,
            checked_shards: 0,
            checked_bytes: 0,
            total_shards: 0,
            total_bytes: 0,
            ended: None,
            lost_shards: 0,
            lost_bytes: 0,
            unreadable_shards: 0,
            troubled: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn a_disk_is_never_called_whole_before_it_was_read_nor_with_a_loss() {
        assert_eq!(line(&whole()), "nothing was read again yet");
        let trouble = ShardTrouble::Damaged;
        let troubled = TroubledShard {
            shard: "ab".repeat(32),
            contract: "cd".repeat(32),
            bytes: 5_000_000,
            trouble,
            noticed: 0,
        };
        let lost = ScrubStatus {
            ended: Some(1_900_000_000),
            lost_shards: 1,
            lost_bytes: 5_000_000,
            troubled: vec![troubled],
            ..whole()
        };
        assert!(line(&lost).contains("; 1 piece LOST, 5"), "{}", line(&lost));
        assert!(
            text(&lost).contains("abababababababab") && text(&lost).contains("changed"),
            "{}",
            text(&lost)
        );
        assert!(text(&ScrubStatus { ended: Some(1), ..whole() }).ends_with("it is whole."));
    }
}
