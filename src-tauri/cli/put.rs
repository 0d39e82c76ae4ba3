//! `hayloft put`: what it costs first, if it costs anything, then the transfer.

use std::path::PathBuf;

use anyhow::{Context, Result};
use hayloft_node::model::{JobReport, PutReport, PutRequest, Quote};
use serde_json::json;

use crate::args::Put;
use crate::connect::Place;
use crate::farm::xlm;
use crate::output::{Output, Refusal, day, printable, size};
use crate::watch;

/// Stores files and folders, or says what that would take.
pub(crate) async fn run(place: &Place, wish: Put, output: Output) -> Result<()> {
    let client = place.client().await?;
    let dry_run = wish.dry_run;
    let request = request(wish)?;
    let one_file = matches!(request.paths.as_slice(), [path] if !path.is_dir());
    let quote = client.quote(request.clone()).await?;
    for warning in &quote.warnings {
        output.note(warning);
    }
    if dry_run {
        return output.result(&quote, || price(&quote));
    }
    if quote.monthly_price > 0 {
        output.note(price(&quote));
    }
    let news = client.events().await?;
    let job = client.put(request).await?;
    match watch::to_the_end(&client, news, job).await? {
        JobReport::Put(reports) => show(&reports, one_file, output),
        _ => anyhow::bail!("the node reported something else for an upload"),
    }
}

fn request(wish: Put) -> Result<PutRequest> {
    Ok(PutRequest {
        paths: wish.paths.iter().map(absolute).collect::<Result<_>>()?,
        name: wish.name,
        keep_seconds: wish.keep,
        renew: wish.renew,
        replace: wish.replace,
        preset: wish.preset.into(),
    })
}

/// The full path, which the node needs since it has a working folder of its own.
pub(crate) fn absolute(path: &PathBuf) -> Result<PathBuf> {
    if path.to_str().is_none() {
        let message = format!("The path {} is not Unicode text. Rename it first.", path.display());
        return Err(Refusal { code: "bad_request", message }.into());
    }
    std::path::absolute(path).with_context(|| format!("the path {} has no full form", path.display()))
}

/// One file prints its report alone; several paths or a folder print `{"files": […]}`.
fn show(reports: &[PutReport], one_file: bool, output: Output) -> Result<()> {
    let human = || reports.iter().map(line).collect::<Vec<_>>().join("\n");
    match reports {
        [report] if one_file => output.result(report, human),
        _ => output.result(&json!({ "files": reports }), human),
    }
}

fn line(report: &PutReport) -> String {
    let name = printable(&report.name);
    if report.reused {
        return format!("{name}: was stored already, nothing was sent");
    }
    format!(
        "{name}: {} in {:.1} s, on {} farmers; any {} of {} shards bring it back",
        size(report.bytes),
        report.seconds,
        report.farmers,
        report.k,
        report.n
    )
}

fn price(quote: &Quote) -> String {
    let locked = match (quote.locked, quote.returns) {
        (1.., Some(returns)) => format!(
            "\nLocked before anything is sent: {} XLM, {} XLM of it reserves. What farmers do not earn is back by {}.",
            xlm(quote.locked),
            xlm(quote.reserves),
            day(returns)
        ),
        _ => String::new(),
    };
    let paid = quote.paid_until.map_or_else(String::new, |until| {
        format!("\nFarmers are paid until {} without this computer doing anything more.", day(until))
    });
    format!(
        "{} files, {}. On farmers' disks: {}; any {} of {} shards bring a file back.\n\
         Price: {} XLM a month, {} XLM in all. Odds of loss in a month without repair: {:.1e}.{locked}{paid}",
        quote.files,
        size(quote.bytes),
        size(quote.stored_bytes),
        quote.k,
        quote.n,
        xlm(quote.monthly_price),
        xlm(quote.total_price),
        quote.loss_odds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reused: bool) -> PutReport {
        PutReport { name: "a".into(), bytes: 5, seconds: 0.5, segments: 1, k: 4, n: 12, farmers: 12, reused }
    }

    #[test]
    fn a_put_prints_the_shape_that_scripts_read() {
        let expected = r#"{"name":"a","bytes":5,"seconds":0.5,"segments":1,"k":4,"n":12,"farmers":12}"#;
        assert_eq!(serde_json::to_string(&report(false)).unwrap(), expected);
        let reused = serde_json::to_value(report(true)).unwrap();
        assert_eq!(reused.get("reused"), Some(&json!(true)));
    }
}
