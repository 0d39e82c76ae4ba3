//! `hayloft audit`: farmers prove what they keep; what was found; receipts that anyone can check.

use std::path::Path;

use anyhow::Result;
use hayloft_node::Exported;
use hayloft_node::model::{
    AuditHistory, AuditReport, FarmerStanding, ReceiptShown, ReceiptWish, ScoreLine, VerdictWord,
};
use hayloft_node::receipts;
use serde::Serialize;

use crate::args::{Audit, AuditWhat};
use crate::connect::Place;
use crate::folder;
use crate::output::{Output, moment, printable, table, word};

/// Letters of a farmer's name that tell it from others.
const SHORT: usize = 16;
/// Verdicts of one contract that are listed.
const LISTED: usize = 10;

/// Audits, lists, exports or checks.
pub(crate) async fn run(place: &Place, wish: Audit, output: Output) -> Result<()> {
    match (wish.what, wish.name) {
        (Some(AuditWhat::Verify { receipt }), _) => {
            let shown = receipts::verify(&receipt)?;
            output.result(&shown, || text_of(&shown))
        }
        (Some(AuditWhat::Export { farmer, epoch, output: path }), _) => {
            let exported =
                place.client().await?.audit_export(&ReceiptWish { farmer, contract: None, epoch }).await?;
            export(&exported, path.as_deref(), output)
        }
        (None, Some(name)) if !wish.history => {
            let client = place.client().await?;
            let mut report = AuditReport { verdicts: Vec::new() };
            for file in folder::files(&client, &name).await? {
                report.verdicts.extend(client.audit(Some(&file)).await?.verdicts);
            }
            output.result(&report, || report_text(&report))
        }
        (None, None) if !wish.history => {
            let report = place.client().await?.audit(None).await?;
            output.result(&report, || report_text(&report))
        }
        (None, name) => {
            let history = place.client().await?.audit_history(name.as_deref()).await?;
            output.result(&history, || history_text(&history))
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    written: &'a Path,
}

fn export(exported: &Exported, path: Option<&Path>, output: Output) -> Result<()> {
    let Some(path) = path else {
        let text = serde_json::to_string(exported)?;
        return output.result(exported, || text);
    };
    receipts::save(exported, path)?;
    output.result(&Written { written: path }, || format!("The receipt is in {}.", path.display()))
}

fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

fn report_text(report: &AuditReport) -> String {
    if report.verdicts.is_empty() {
        return "Farmers keep nothing for you: there is nothing to audit.".into();
    }
    let several = report.verdicts.iter().any(|one| one.name != report.verdicts[0].name);
    let rows = report.verdicts.iter().map(|one| {
        let reason = one.reason.as_deref().map(printable).unwrap_or_default();
        let file = several.then(|| one.name.as_deref().map(printable).unwrap_or_default());
        file.into_iter().chain([short(&one.farmer), word(&one.verdict), reason]).collect()
    });
    let head = ["FILE", "FARMER", "VERDICT", "REASON"];
    table(&head[usize::from(!several)..], &rows.collect::<Vec<_>>())
}

fn history_text(history: &AuditHistory) -> String {
    let mut parts = Vec::new();
    let own = history.own.iter().map(|one| {
        let reason = one.reason.as_deref().map(printable).unwrap_or_default();
        let name = one.name.as_deref().map_or_else(|| "all files".into(), printable);
        vec![moment(one.at), name, short(&one.farmer), word(&one.verdict), reason]
    });
    let own: Vec<_> = own.collect();
    if !own.is_empty() {
        let head = ["WHEN", "FILE", "FARMER", "VERDICT", "REASON"];
        parts.push(format!("Your own audits\n{}", table(&head, &own)));
    }
    for one in &history.followed {
        let title = format!("Farmer {}, by auditor {}", short(&one.farmer), short(&one.auditor));
        let Some(verdicts) = &one.verdicts else {
            parts.push(format!("{title}\nThe auditor does not answer just now."));
            continue;
        };
        let rows = verdicts.iter().take(LISTED).map(|one| {
            let reason = one.reason.clone().unwrap_or_default();
            vec![one.epoch.to_string(), moment(one.at), word(&one.verdict), reason]
        });
        let rows: Vec<_> = rows.collect();
        let verdicts = match rows.is_empty() {
            true => "Nothing was asked yet.".to_owned(),
            false => table(&["EPOCH", "WHEN", "VERDICT", "REASON"], &rows),
        };
        parts.push(format!("{title}\n{verdicts}"));
    }
    if parts.is_empty() { "No audits yet.".into() } else { parts.join("\n\n") }
}

fn text_of(shown: &ReceiptShown) -> String {
    let verdict = match shown.verdict {
        VerdictWord::Passed => "The farmer proved that it had the data.".to_owned(),
        _ => format!(
            "The farmer signed a wrong proof: it did not have all of the data. {}",
            shown.reason.as_deref().unwrap_or_default()
        ),
    };
    let random = if shown.publicly_random {
        "drawn from public randomness"
    } else {
        "not publicly random: drawn by auditor and farmer, as far as it shows"
    };
    let whole = if shown.stands_for_epoch { "the whole contract" } else { "a part of the contract" };
    format!(
        "The receipt holds. {verdict}\nFarmer     {}\nOwner      {}\nContract   {}, revision {}\nEpoch      {}\n\
         Asked      {whole}; {random}",
        shown.farmer, shown.owner, shown.contract, shown.revision, shown.epoch
    )
}

/// What an auditor knows of a farmer.
pub(crate) fn standing(standing: &FarmerStanding) -> String {
    let since = standing.since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
    let title = format!(
        "Auditor {}: {}{since}, {} audits passed",
        short(&standing.auditor),
        word(&standing.standing),
        standing.passed
    );
    let rows: Vec<_> = standing.scores.iter().map(score).collect();
    format!("{title}\n{}", table(&["SCORE", "VALUE", "RULE", "LAST FELL"], &rows))
}

fn score(line: &ScoreLine) -> Vec<String> {
    let value = line.value.map_or_else(|| "none yet".into(), |value| format!("{:.1} %", value * 100.0));
    let fell = line.fell.zip(line.because.as_deref());
    let fell = fell.map(|(at, because)| format!("{}: {because}", moment(at))).unwrap_or_default();
    let restored = line.restored_by.as_deref().map(|words| format!(" {words}")).unwrap_or_default();
    vec![word(&line.score), value, format!("{}{restored}", line.rule), fell]
}

#[cfg(test)]
mod tests {
    use hayloft_node::model::AuditVerdict;

    use super::*;

    fn report(names: [Option<&str>; 2]) -> String {
        let verdict = |name: Option<&str>| AuditVerdict {
            name: name.map(str::to_owned),
            farmer: "f".repeat(64),
            verdict: VerdictWord::Passed,
            reason: None,
            proof_bytes: 192,
        };
        report_text(&AuditReport { verdicts: names.map(verdict).into() })
    }

    #[test]
    fn a_table_of_several_files_names_each() {
        let table = report([Some("field/one"), Some("field/two")]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("FILE"), "{table}");
        assert!(lines[1].starts_with("field/one") && lines[2].starts_with("field/two"), "{table}");
        for alone in [[Some("field/one"); 2], [None; 2]] {
            assert!(report(alone).starts_with("FARMER"));
        }
    }
}
