//! `hayloft put`: what it costs first, if it costs anything, then the transfer.

use std::path::PathBuf;

use anyhow::{Context, Result};
use hayloft_node::model::{JobReport, PutReport, PutRequest, Quote};
use serde_json::json;

use crate::args::Put;
use crate::connect::Place;
use crate::farm::xlm;
use crate::output::{Output, Refusal, counted, day, printable, size};
use crate::{ask, watch};

/// Stores files and folders, or says what that would take.
pub(crate) async fn run(place: &Place, wish: Put, output: Output) -> Result<()> {
    let client = place.client().await?;
    let (dry_run, yes) = (wish.dry_run, wish.yes);
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
    if quote.locked > 0 && !yes {
        let question = format!("Lock {} XLM and store this?", xlm(quote.locked));
        if !ask::confirmed(&question, &format!("This locks {} XLM", xlm(quote.locked)))? {
            return Err(Refusal { code: "cancelled", message: "Nothing was stored.".into() }.into());
        }
    }
    let news = client.events().await?;
    let job = client.put(PutRequest { price: Some(quote.price), ..request }).await?;
    match watch::to_the_end(&client, news, job).await? {
        JobReport::Put(reports) => {
            // What is left out was said above, before anything was sent; what was found out since was not.
            let said = quote.warnings.join(" ");
            if let Some(message) = client.job(job).await?.message.filter(|message| !said.ends_with(message)) {
                output.note(printable(&message));
            }
            show(&reports, one_file, output)
        }
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
        price: None,
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
    let human = || match reports {
        [report] => line(report, &took(report)),
        _ => {
            reports.iter().map(|report| line(report, "")).chain(total(reports)).collect::<Vec<_>>().join("\n")
        }
    };
    match reports {
        [report] if one_file => output.result(report, human),
        _ => output.result(&json!({ "files": reports }), human),
    }
}

/// All files of a put end together: their time is told once.
fn total(reports: &[PutReport]) -> Option<String> {
    let slowest = reports.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    let bytes = reports.iter().map(|report| report.bytes).sum();
    Some(format!("{}, {}{}", counted(reports.len() as u64, "file"), size(bytes), took(slowest)))
}

fn took(report: &PutReport) -> String {
    format!(" in {:.1} s", report.seconds)
}

fn line(report: &PutReport, took: &str) -> String {
    let name = printable(&report.name);
    if report.reused {
        return format!(
            "{name}: was stored already, nothing was sent; `hayloft renew` changes how long it is kept"
        );
    }
    format!(
        "{name}: {}{took}, on {}; any {} of {} pieces bring it back",
        size(report.bytes),
        counted(u64::from(report.farmers), "farmer"),
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
        "{}, {}. On farmers' disks: {}; any {} of {} pieces bring a file back.\n\
         Price: {} XLM a month, {} XLM in all. Odds of loss in a month without repair: {}.{locked}{paid}",
        counted(quote.files, "file"),
        size(quote.bytes),
        size(quote.stored_bytes),
        quote.k,
        quote.n,
        xlm(quote.monthly_price),
        xlm(quote.total_price),
        odds(quote.loss_odds)
    )
}

/// A chance as people say it.
fn odds(chance: f64) -> String {
    match 1.0 / chance {
        one_in if one_in < 1e6 => format!("1 in {one_in:.0}"),
        one_in if one_in < 1e9 => format!("1 in {:.0} million", one_in / 1e6),
        one_in if one_in < 1e12 => format!("1 in {:.0} billion", one_in / 1e9),
        _ => "less than 1 in a thousand billion".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reused: bool) -> PutReport {
        PutReport { name: "a".into(), bytes: 5, seconds: 0.5, segments: 1, k: 4, n: 12, farmers: 12, reused }
    }

    #[test]
    fn odds_are_told_in_words() {
        assert_eq!(odds(0.25), "1 in 4");
        assert_eq!(odds(6.1e-8), "1 in 16 million");
        assert!(odds(0.0).starts_with("less than"));
    }

    #[test]
    fn a_put_prints_the_shape_that_scripts_read() {
        let expected = r#"{"name":"a","bytes":5,"seconds":0.5,"segments":1,"k":4,"n":12,"farmers":12}"#;
        assert_eq!(serde_json::to_string(&report(false)).unwrap(), expected);
        let reused = serde_json::to_value(report(true)).unwrap();
        assert_eq!(reused.get("reused"), Some(&json!(true)));
    }
}
