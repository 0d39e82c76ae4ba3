//! `hayloft farm`: what is offered to others.

use anyhow::{Context, Result};
use hayloft_node::Amount;
use hayloft_node::model::{FarmSettings, FarmStatus, Hours};

use crate::args::{Farm, FarmSet, WhenOpen};
use crate::audit;
use crate::connect::Place;
use crate::output::{Output, day, size, table};
use crate::scrub;

/// Shows or changes what is offered.
pub(crate) async fn run(place: &Place, what: Farm, output: Output) -> Result<()> {
    let client = place.client().await?;
    let status = match what {
        Farm::Scrub => {
            let scrub = scrub::to_the_end(&client).await?;
            return output.result(&scrub, || scrub::text(&scrub));
        }
        Farm::Leave { cancel } => client.farm_leave(!cancel).await?,
        Farm::Status => client.farm_status().await?,
        Farm::Set(wish) => {
            let settings = client.farm_status().await?.settings;
            let status = client.farm_set(changed(settings, *wish)?).await?;
            if status.leaving.is_some() {
                output.note("This farmer leaves and takes nothing new. To stay after all: hayloft farm leave --cancel");
            }
            status
        }
    };
    output.result(&status, || text(&status))
}

fn changed(mut settings: FarmSettings, wish: FarmSet) -> Result<FarmSettings> {
    if let Some(quota_bytes) = wish.quota {
        settings.enabled = true;
        settings.quota_bytes = quota_bytes;
    }
    settings.enabled &= !wish.off;
    settings.storage_price = wish.price.unwrap_or(settings.storage_price);
    settings.egress_price = wish.egress_price.unwrap_or(settings.egress_price);
    settings.upload_limit = wish.upload_limit.map_or(settings.upload_limit, |limit| limit.0);
    settings.download_limit = wish.download_limit.map_or(settings.download_limit, |limit| limit.0);
    settings.hours = match wish.hours {
        Some(WhenOpen::Always) => None,
        Some(WhenOpen::Between(hours)) => Some(hours),
        None => settings.hours,
    };
    settings.paused = (settings.paused || wish.pause) && !wish.resume;
    if let Some(folder) = wish.folder {
        let folder = std::path::absolute(&folder);
        settings.folder = Some(folder.context("the folder for pieces has no full path")?);
    }
    settings.operator = wish.operator.or(settings.operator);
    Ok(settings)
}

fn text(status: &FarmStatus) -> String {
    let settings = &status.settings;
    let mut lines = vec![
        format!(
            "Offered    {}",
            if settings.enabled { size(settings.quota_bytes) } else { "nothing".into() }
        ),
        format!("Folder     {}", status.folder.display()),
        format!("Used       {}, and {} reserved", size(status.used_bytes), size(status.reserved_bytes)),
        format!("Free       {}{} on the disk", quota_left(status), size(status.disk_free_bytes)),
        format!("Overhead   {}", size(status.overhead_bytes)),
        format!(
            "Price      {} XLM per TB-month, {} XLM per TB served",
            xlm(settings.storage_price),
            xlm(settings.egress_price)
        ),
        format!("Limits     up {}, down {}", limit(settings.upload_limit), limit(settings.download_limit)),
        format!("Hours      {}", settings.hours.as_ref().map_or_else(|| "always".into(), hours)),
        format!("New data   {}", accepting(status)),
        format!("Disk       {}", scrub::line(&status.scrub)),
    ];
    if let Some(leaving) = &status.leaving {
        lines.push(format!(
            "Leaving    {} {} to move, until {}",
            leaving.sentence,
            size(leaving.bytes),
            day(leaving.until)
        ));
    }
    if !status.contracts.is_empty() {
        lines.push(String::new());
        lines.push(contracts(status));
    }
    for standing in &status.standings {
        lines.push(String::new());
        lines.push(audit::standing(standing));
    }
    lines.join("\n")
}

/// Only an offer has something left.
fn quota_left(status: &FarmStatus) -> String {
    if status.settings.enabled {
        format!("{} of the quota, ", size(status.free_bytes))
    } else {
        String::new()
    }
}

fn accepting(status: &FarmStatus) -> String {
    match (&status.reason, status.accepting) {
        (_, true) => "taken".into(),
        (Some(reason), false) => format!("refused: {reason}"),
        (None, false) => "refused".into(),
    }
}

fn contracts(status: &FarmStatus) -> String {
    let rows = status.contracts.iter().map(|contract| {
        vec![
            contract.owner.chars().take(16).collect(),
            contract.shards.to_string(),
            format!("{} of {}", size(contract.bytes), size(contract.capacity_bytes)),
            day(contract.end),
            day(contract.delete_after),
        ]
    });
    table(&["OWNER", "PIECES", "KEPT", "ENDS", "DELETED AFTER"], &rows.collect::<Vec<_>>())
}

fn limit(bytes_per_second: Option<u64>) -> String {
    bytes_per_second.map_or_else(|| "unlimited".into(), |bytes| format!("{}/s", size(bytes)))
}

fn hours(hours: &Hours) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{}-{}", clock(hours.from_minute), clock(hours.until_minute))
}

/// Stroops as XLM without trailing zeros.
pub(crate) fn xlm(stroops: u64) -> String {
    Amount(stroops).lumens()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn set(words: &[&str], settings: FarmSettings) -> FarmSettings {
        let words = ["hayloft", "farm", "set"].iter().chain(words);
        let args = Args::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let Command::Farm { what: Farm::Set(wish) } = args.command else { panic!("not a farm set") };
        changed(settings, *wish).unwrap()
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let before =
            set(&["--quota", "100GB", "--price", "2", "--hours", "22:00-06:00"], FarmSettings::default());
        assert!(
            before.enabled && before.quota_bytes == 100_000_000_000 && before.storage_price == 20_000_000
        );
        let after = set(&["--pause"], before.clone());
        assert_eq!(after, FarmSettings { paused: true, ..before.clone() });
        assert_eq!(set(&["--resume"], after), before);
        assert_eq!(set(&["--hours", "always"], before.clone()).hours, None);
        assert!(!set(&["--off"], before).enabled);
    }

    #[test]
    fn prices_read_as_they_are_written() {
        assert_eq!((xlm(0).as_str(), xlm(15_000_000).as_str(), xlm(1).as_str()), ("0", "1.5", "0.0000001"));
    }
}
