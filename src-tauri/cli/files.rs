//! `hayloft ls`, `rm`, `health` and `renew`.

use anyhow::Result;
use hayloft_node::model::{FileEntry, FileHealth};
use serde::Serialize;
use serde_json::json;

use crate::args::{Renew, Rm};
use crate::connect::Place;
use crate::output::{Output, Refusal, day, printable, size, table, word};
use crate::{ask, folder};

/// `health --json`: the shape that scripts read.
#[derive(Serialize)]
struct HealthShape<'a> {
    name: &'a str,
    k: u8,
    n: u8,
    sentence: &'a str,
    repairing: bool,
    segments: Vec<SegmentShape>,
}

#[derive(Serialize)]
struct SegmentShape {
    alive: u8,
}

/// Lists stored files.
pub(crate) async fn list(place: &Place, output: Output) -> Result<()> {
    let files = place.client().await?.files().await?;
    output.result(&json!({ "files": files }), || listing(&files))
}

fn listing(files: &[FileEntry]) -> String {
    if files.is_empty() {
        return "Nothing is stored. Store something with: hayloft put PATH".into();
    }
    let warned = files.iter().filter_map(|file| {
        file.warning.as_ref().map(|warning| format!("\n{}: {warning}", printable(&file.name)))
    });
    let warnings: String = warned.collect();
    format!(
        "{}{warnings}",
        table(
            &["NAME", "SIZE", "STORED", "LEFT OVER", "PIECES", "HEALTH", "KEPT UNTIL"],
            &files.iter().map(row).collect::<Vec<_>>()
        )
    )
}

fn row(file: &FileEntry) -> Vec<String> {
    let renewed = if file.renew { ", renewed" } else { "" };
    vec![
        printable(&file.name),
        size(file.bytes),
        size(file.stored_bytes),
        if file.dead_bytes == 0 { "-".into() } else { size(file.dead_bytes) },
        format!("{}/{}, needs {}", file.alive, file.n, file.k),
        word(&file.health),
        format!("{}{renewed}", day(file.keep_until)),
    ]
}

/// Removes files, and all files of folders, asking first.
pub(crate) async fn remove(place: &Place, wish: Rm, output: Output) -> Result<()> {
    let client = place.client().await?;
    let mut names = Vec::new();
    for name in &wish.names {
        names.extend(folder::files(&client, name).await?);
    }
    names.sort_unstable();
    names.dedup();
    if !wish.yes && !ask::confirmed(&question(&names), "Removing cannot be undone")? {
        return Err(Refusal { code: "cancelled", message: "Nothing was removed.".into() }.into());
    }
    client.remove(names.clone()).await?;
    output.result(&json!({ "removed": names }), || {
        format!("Removed: {}", names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", "))
    })
}

fn question(names: &[String]) -> String {
    match names {
        [name] => format!("Remove {}? This cannot be undone.", printable(name)),
        _ => format!("Remove {} files? This cannot be undone.", names.len()),
    }
}

/// Asks the farmers of a file, or of all files of a folder.
pub(crate) async fn health(place: &Place, name: &str, output: Output) -> Result<()> {
    let client = place.client().await?;
    let mut all = Vec::new();
    for file in folder::files(&client, name).await? {
        all.push(client.health(&file).await?);
    }
    let text = || all.iter().map(diagnosis).collect::<Vec<_>>().join("\n");
    match all.as_slice() {
        [only] if only.name == name => output.result(&shape(only), text),
        _ => output.result(&json!({ "files": all.iter().map(shape).collect::<Vec<_>>() }), text),
    }
}

fn shape(health: &FileHealth) -> HealthShape<'_> {
    let segments = health.segments.iter().map(|segment| SegmentShape { alive: segment.alive }).collect();
    let FileHealth { name, k, n, sentence, repairing, .. } = health;
    HealthShape { name, k: *k, n: *n, sentence, repairing: *repairing, segments }
}

/// The sentence, and the parts of a larger file that lack a piece.
fn diagnosis(health: &FileHealth) -> String {
    let lacking = health.segments.iter().enumerate().filter(|(_, segment)| segment.alive < segment.n);
    let parts = lacking.filter(|_| health.segments.len() > 1).map(|(index, segment)| {
        format!("\n  part {}: {} of {} pieces, {} needed", index + 1, segment.alive, segment.n, segment.k)
    });
    format!("{}: {}{}", printable(&health.name), health.sentence, parts.collect::<String>())
}

/// Keeps a file, or all files of a folder, for longer.
pub(crate) async fn renew(place: &Place, wish: Renew, output: Output) -> Result<()> {
    let auto = match (wish.auto, wish.no_auto) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    let client = place.client().await?;
    let mut all = Vec::new();
    for name in folder::files(&client, &wish.name).await? {
        all.push(client.renew(&name, wish.keep, auto).await?);
    }
    let text = || all.iter().map(kept).collect::<Vec<_>>().join("\n");
    match all.as_slice() {
        [only] if only.name == wish.name => output.result(only, text),
        _ => output.result(&json!({ "files": all }), text),
    }
}

fn kept(file: &FileEntry) -> String {
    let renewed = if file.renew { ", and renewed by itself" } else { "" };
    format!("{} is kept until {}{renewed}", printable(&file.name), day(file.keep_until))
}

#[cfg(test)]
mod tests {
    use hayloft_node::model::{HealthWord, SegmentHealth};

    use super::*;

    #[test]
    fn health_prints_the_shape_that_scripts_read() {
        let segment = SegmentHealth { alive: 9, k: 4, n: 12, missing: vec!["00ff".into()] };
        let health = FileHealth {
            name: "a".into(),
            k: 4,
            n: 12,
            health: HealthWord::Fair,
            sentence: "Safe.".into(),
            repairing: false,
            segments: vec![segment],
        };
        let expected =
            r#"{"name":"a","k":4,"n":12,"sentence":"Safe.","repairing":false,"segments":[{"alive":9}]}"#;
        assert_eq!(serde_json::to_string(&shape(&health)).unwrap(), expected);
    }
}
