//! A name on the command line: of a file, or of a folder and then of all files below it.

use anyhow::Result;
use hayloft_gateway::Client;
use hayloft_node::model::FileEntry;

/// The files that a name stands for. One that stands for nothing stays as it is: the node says so.
pub(crate) async fn files(client: &Client, name: &str) -> Result<Vec<String>> {
    Ok(below(&client.files().await?, name))
}

fn below(files: &[FileEntry], name: &str) -> Vec<String> {
    let folder = format!("{}/", name.trim_end_matches('/'));
    let inside = files.iter().map(|file| &file.name).filter(|file| file.starts_with(&folder));
    let inside: Vec<String> = inside.cloned().collect();
    if inside.is_empty() || files.iter().any(|file| file.name == name) {
        return vec![name.to_owned()];
    }
    inside
}

#[cfg(test)]
mod tests {
    use hayloft_node::model::HealthWord;

    use super::*;

    fn file(name: &str) -> FileEntry {
        FileEntry {
            name: name.into(),
            bytes: 0,
            stored_bytes: 0,
            dead_bytes: 0,
            stored: 0,
            keep_until: 0,
            renew: false,
            k: 1,
            n: 1,
            alive: 1,
            health: HealthWord::Good,
            warning: None,
        }
    }

    #[test]
    fn a_name_stands_for_its_file_or_for_all_that_is_in_its_folder() {
        let files = ["a/1", "a/b/2", "ab", "c"].map(file);
        for (name, expected) in [
            ("a", vec!["a/1", "a/b/2"]),
            ("a/", vec!["a/1", "a/b/2"]),
            ("a/b", vec!["a/b/2"]),
            ("c", vec!["c"]),
            ("nobody", vec!["nobody"]),
            ("", vec![""]),
        ] {
            assert_eq!(below(&files, name), expected, "{name:?}");
        }
    }
}
