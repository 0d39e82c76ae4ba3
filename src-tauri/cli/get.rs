//! `hayloft get`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use hayloft_node::model::{GetReport, GetRequest, JobReport};

use crate::args::Get;
use crate::connect::Place;
use crate::output::{Output, Refusal, printable, size};
use crate::{put, watch};

/// Brings a file, or a range of it, back.
pub(crate) async fn run(place: &Place, wish: Get, output: Output) -> Result<()> {
    let client = place.client().await?;
    let target = target(wish.output, &wish.name)?;
    let request = GetRequest {
        name: wish.name,
        output: put::absolute(&target)?,
        overwrite: wish.force,
        offset: wish.offset,
        bytes: wish.bytes,
    };
    let news = client.events().await?;
    let job = client.get(request).await?;
    match watch::to_the_end(&client, news, job).await? {
        JobReport::Get(report) => {
            if let Some(left_out) = client.job(job).await?.message {
                output.note(printable(&left_out));
            }
            output.result(&report, || line(&report, &target))
        }
        _ => anyhow::bail!("the node reported something else for a download"),
    }
}

/// As named, or within the folder named.
fn target(output: Option<PathBuf>, name: &str) -> Result<PathBuf> {
    match output {
        None => last_part(name),
        Some(output) if output == Path::new("-") => {
            let message =
                "A file is not written to standard output: name a place, or ./- for a file called so.";
            Err(Refusal { code: "bad_request", message: message.to_owned() }.into())
        }
        Some(folder) if folder.is_dir() => Ok(folder.join(last_part(name)?)),
        Some(output) => Ok(output),
    }
}

/// The last part of a name, as a file in the working folder; never a way out of it.
fn last_part(name: &str) -> Result<PathBuf> {
    let part = name.rsplit(['/', '\\']).next().unwrap_or_default();
    if part.is_empty() || part == "." || part == ".." {
        let message = format!(
            "The name {} does not end like a file: say where to write it with --output.",
            printable(name)
        );
        return Err(Refusal { code: "bad_request", message }.into());
    }
    Ok(PathBuf::from(part))
}

fn line(report: &GetReport, target: &Path) -> String {
    let blamed: String = report
        .farmers_blamed
        .iter()
        .map(|farmer| format!("\nSent something wrong and was dropped: {farmer}"))
        .collect();
    format!(
        "{}: {} in {:.1} s, written to {}{blamed}",
        printable(&report.name),
        size(report.bytes),
        report.seconds,
        target.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_prints_the_shape_that_scripts_read() {
        let report = GetReport {
            name: "a".into(),
            bytes: 5,
            seconds: 0.5,
            first_byte_seconds: 0.25,
            farmers_blamed: vec!["00ff".into()],
        };
        let expected =
            r#"{"name":"a","bytes":5,"seconds":0.5,"first_byte_seconds":0.25,"farmers_blamed":["00ff"]}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
    }

    #[test]
    fn what_is_brought_back_to_a_folder_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().to_owned();
        assert_eq!(target(Some(there.clone()), "photos/a.jpg").unwrap(), there.join("a.jpg"));
        assert_eq!(target(Some(there.join("b")), "photos/a.jpg").unwrap(), there.join("b"));
        assert!(target(Some(there), "photos/..").is_err());
    }

    #[test]
    fn a_name_never_leads_out_of_the_working_folder() {
        assert_eq!(last_part("photos/2026/../a.jpg").unwrap(), PathBuf::from("a.jpg"));
        for name in ["..", "photos/..", "photos/", ".", ""] {
            assert!(last_part(name).is_err(), "{name}");
        }
    }
}
