//! `hayloft repair`.

use anyhow::Result;
use hayloft_node::model::{JobReport, RepairReport};
use serde_json::json;

use crate::connect::Place;
use crate::output::{Output, counted, printable, size};
use crate::{folder, watch};

/// Repairs a file, or all files of a folder one after the other, and says what was done.
pub(crate) async fn run(place: &Place, name: &str, output: Output) -> Result<()> {
    let client = place.client().await?;
    let mut all = Vec::new();
    for file in folder::files(&client, name).await? {
        let news = client.events().await?;
        let job = client.repair(&file).await?;
        match watch::to_the_end(&client, news, job).await? {
            JobReport::Repair(report) => all.push((file, report)),
            _ => anyhow::bail!("the node reported something else for a repair"),
        }
    }
    let text = || all.iter().map(|(file, report)| line(file, report)).collect::<Vec<_>>().join("\n");
    match all.as_slice() {
        [(only, report)] if only == name => output.result(report, text),
        _ => {
            output.result(&json!({ "files": all.iter().map(|(_, report)| report).collect::<Vec<_>>() }), text)
        }
    }
}

fn line(name: &str, report: &RepairReport) -> String {
    let name = printable(name);
    if report.shards == 0 {
        return format!("{name}: all pieces are in their places, nothing had to be repaired");
    }
    let pieces = counted(u64::from(report.shards), "piece");
    format!(
        "{name}: {pieces} rebuilt with other farmers, {} read, in {:.1} s",
        size(report.bytes),
        report.seconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_prints_the_shape_that_scripts_read() {
        let report = RepairReport {
            name: Some("a".into()),
            segments: 2,
            shards: 5,
            bytes: 9,
            left_shards: 0,
            seconds: 0.5,
        };
        let expected = r#"{"name":"a","segments":2,"shards":5,"bytes":9,"left_shards":0,"seconds":0.5}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
        assert!(line("a", &report).starts_with("a: 5 pieces rebuilt"));
        assert!(line("a", &RepairReport { shards: 0, ..report }).ends_with("nothing had to be repaired"));
    }
}
