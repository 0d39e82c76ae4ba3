//! The `hayloft` command against right and wrong input: the JSON that scripts read, and for each slip a sentence and an
//! exit code.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use hayloft_tests::{Devnet, NodeProcess, binary, hayloft, hayloft_fed, hayloft_held};
use serde_json::{Value, json};

/// The fields of a JSON object.
fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flat_map(|object| object.keys().map(String::as_str)).collect()
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a test's path is text")
}

#[test]
fn without_a_node_each_command_says_how_to_start_one() -> Result<()> {
    let home = tempfile::tempdir()?;
    let commands: [&[&str]; 12] = [
        &["put", "x"],
        &["get", "x"],
        &["ls"],
        &["rm", "x", "--yes"],
        &["health", "x"],
        &["repair", "x"],
        &["farm", "leave"],
        &["renew", "x"],
        &["jobs"],
        &["status"],
        &["farm", "status"],
        &["farm", "set", "--quota", "1GB"],
    ];
    for words in commands {
        let (code, message) = hayloft(home.path(), words)?.refused()?;
        assert_eq!(code, "not_running", "{words:?}");
        assert!(message.contains(&format!("hayloft --home {} node", home.path().display())), "{message}");
    }
    Ok(())
}

#[test]
fn wrong_usage_exits_with_2_and_one_json_document() -> Result<()> {
    let home = tempfile::tempdir()?;
    let commands: [&[&str]; 14] = [
        &[],
        &["plough"],
        &["put"],
        &["put", "x", "--for", "soon"],
        &["put", "x", "--for", "-3months"],
        &["put", "x", "--preset", "golden"],
        &["farm", "set"],
        &["farm", "set", "--quota", "lots"],
        &["farm", "set", "--quota", "-5GB"],
        &["farm", "set", "--hours", "25:00-06:00"],
        &["farm", "set", "--price", "0.00000001"],
        &["get", "x", "--offset", "-1"],
        &["devnet", "--farmers", "0"],
        &["--network", "No Such Name", "ls"],
    ];
    for words in commands {
        let finished = hayloft(home.path(), words)?;
        assert_eq!(finished.code, 2, "{finished:?}");
        assert_eq!(finished.json()?["error"]["code"], "usage", "{words:?}");
        assert!(!finished.stderr.is_empty());
    }
    Ok(())
}

#[test]
fn init_shows_24_words_once_and_says_where_they_open() -> Result<()> {
    let home = tempfile::tempdir()?;
    let made = hayloft(home.path(), ["init"])?;
    let identity = made.done()?;
    assert_eq!(identity["words"].as_str().context("no words")?.split(' ').count(), 24);
    assert_eq!(identity["note"], "These files open only on this computer.");
    assert_eq!(identity["protection"], "none");
    assert!(made.stderr.contains("not protected"));
    let (code, _) = hayloft(home.path(), ["init"])?.refused()?;
    assert_eq!(code, "exists");
    let protected = tempfile::tempdir()?;
    let identity = hayloft_fed(protected.path(), ["init"], "an oat field\n")?.done()?;
    assert_eq!(identity["protection"], "passphrase");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_an_error_and_words_that_nobody_saw_are_told_of() -> Result<()> {
    let home = tempfile::tempdir()?;
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let mut command = std::process::Command::new(binary()?);
    let run = command.arg("--home").arg(home.path()).arg("init").stdin(std::process::Stdio::null());
    let run = run.stdout(full).output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("delete identity.sealed"), "{said}");
    Ok(())
}

#[test]
fn words_that_fail_their_checksum_are_told_apart_from_words_that_cannot_be_used_yet() -> Result<()> {
    let home = tempfile::tempdir()?;
    let words = vec!["abandon"; 24].join(" ");
    let (_, wrong) = hayloft_fed(home.path(), ["init", "--restore"], &words)?.refused()?;
    // The all-zero phrase, whose last word carries its checksum.
    let words = format!("{} art\n", ["abandon"; 23].join(" "));
    let (_, later) = hayloft_fed(home.path(), ["init", "--restore"], &words)?.refused()?;
    assert_ne!(wrong, later);
    let (_, short) = hayloft_fed(home.path(), ["init", "--restore"], "oats barley")?.refused()?;
    assert_ne!(short, later);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_passphrase_file_that_others_can_read_is_refused() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir()?;
    let file = home.path().join("pass");
    std::fs::write(&file, "oats")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    let (_, message) = hayloft(home.path(), ["init", "--passphrase-file", path(&file)?])?.refused()?;
    assert!(message.contains("chmod 600"), "{message}");
    Ok(())
}

#[test]
fn what_a_passphrase_protects_is_unlocked_by_it_alone() -> Result<()> {
    let home = tempfile::tempdir()?;
    hayloft_fed(home.path(), ["--network", "lonely", "init"], "an oat field\n")?.done()?;
    let node = NodeProcess::start(home.path(), "lonely", &[])?;
    let (code, said) = hayloft(home.path(), ["ls"])?.refused()?;
    assert_eq!(code, "locked");
    assert!(said.contains("hayloft unlock"), "{said}");
    let (_, said) = hayloft_fed(home.path(), ["unlock"], "an oat fields\n")?.refused()?;
    assert!(said.contains("not the passphrase"), "{said}");
    assert_eq!(hayloft_fed(home.path(), ["unlock"], "an oat field\n")?.done()?, json!({ "unlocked": true }));
    hayloft(home.path(), ["ls"])?.done()?;
    let (code, said) = hayloft(home.path(), ["get", "film", "--output", "-"])?.refused()?;
    assert!(code == "bad_request" && said.contains("standard output"), "{said}");
    drop(node);
    Ok(())
}

#[test]
fn a_node_refuses_addresses_that_are_none() -> Result<()> {
    let home = tempfile::tempdir()?;
    for words in
        [["--bootstrap", "nonsense"], ["--bootstrap", "/ip4/300.0.0.1/tcp/1"], ["--listen", "nonsense"]]
    {
        let (code, message) = node_refused(home.path(), &words)?;
        assert_eq!(code, "bad_request", "{words:?}: {message}");
        assert!(message.contains(words[1]), "{message}");
    }
    Ok(())
}

/// Code and sentence with which a node refuses to start.
fn node_refused(home: &Path, words: &[&str]) -> Result<(String, String)> {
    hayloft_held(home, [&["node", "--no-mdns", "--until-stdin-closes"], words].concat())?.refused()
}

#[test]
fn a_home_from_a_newer_version_is_refused_and_left_as_it_is() -> Result<()> {
    let home = tempfile::tempdir()?;
    hayloft(home.path(), ["init"])?.done()?;
    let file = home.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    config["version"] = json!(1_000_000);
    config["something"] = json!("from the future");
    let bytes = serde_json::to_vec(&config)?;
    std::fs::write(&file, &bytes)?;
    let (_, message) = node_refused(home.path(), &[])?;
    assert!(message.contains("newer"), "{message}");
    assert_eq!(std::fs::read(&file)?, bytes);
    Ok(())
}

#[test]
fn a_second_node_on_one_home_is_refused_and_the_first_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = NodeProcess::start(&folder.path().join("home"), "lonely", &[])?;
    node_refused(node.home(), &["--network", "lonely", "--listen", "/ip4/127.0.0.1/tcp/0"])?;
    assert_eq!(hayloft(node.home(), ["status"])?.done()?["device"], node.id());
    let (_, message) = hayloft(node.home(), ["--network", "other", "status"])?.refused()?;
    assert!(message.contains("lonely"), "{message}");
    Ok(())
}

#[test]
fn what_is_offered_can_be_changed_and_a_quota_that_cannot_be_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = NodeProcess::start(&folder.path().join("home"), "lonely", &["--farm", "2GB"])?;
    let words = [
        "farm",
        "set",
        "--quota",
        "1GB",
        "--price",
        "0.5",
        "--hours",
        "22:00-06:00",
        "--upload-limit",
        "5MB",
    ];
    let settings = hayloft(node.home(), words)?.done()?["settings"].clone();
    assert_eq!(settings["quota_bytes"], 1_000_000_000);
    assert_eq!(settings["storage_price"], 5_000_000);
    assert_eq!(settings["hours"], json!({"from_minute": 1320, "until_minute": 360}));
    let paused = hayloft(node.home(), ["farm", "set", "--pause"])?.done()?;
    assert_eq!(paused["accepting"], false);
    assert!(paused["reason"].is_string());
    for quota in ["1KB", "9000PB"] {
        let (code, _) = hayloft(node.home(), ["farm", "set", "--quota", quota])?.refused()?;
        assert_eq!(code, "bad_request", "{quota}");
    }
    assert_eq!(hayloft(node.home(), ["farm", "status"])?.done()?["settings"]["quota_bytes"], 1_000_000_000);
    Ok(())
}

#[test]
fn a_file_goes_out_and_comes_back_with_the_json_that_scripts_read() -> Result<()> {
    let devnet = Devnet::start(5, None)?;
    let (home, scratch) = (devnet.owner_home()?, devnet.scratch()?);
    let (file, back) = (scratch.join("oats"), scratch.join("back"));
    let content: Vec<u8> =
        (0..3_000_000u32).flat_map(|number| number.to_le_bytes()).take(3_000_001).collect();
    std::fs::write(&file, &content)?;

    let dry = hayloft(home, ["put", path(&file)?, "--dry-run"])?.done()?;
    assert_eq!((&dry["files"], &dry["bytes"]), (&json!(1), &json!(content.len())));
    assert_eq!(hayloft(home, ["ls"])?.done()?["files"], json!([]));

    let put = hayloft(home, ["put", path(&file)?])?.done()?;
    let shape = BTreeSet::from(["name", "bytes", "seconds", "segments", "k", "n", "farmers"]);
    assert_eq!(fields(&put), shape);
    assert_eq!((&put["name"], &put["bytes"]), (&json!("oats"), &json!(content.len())));
    let listed = hayloft(home, ["ls"])?.done()?["files"][0].clone();
    assert_eq!((&listed["health"], &listed["alive"]), (&json!("good"), &put["n"]), "nobody need ask first");
    let again = hayloft(home, ["put", path(&file)?])?.done()?;
    assert_eq!(again["reused"], true);

    let health = hayloft(home, ["health", "oats"])?.done()?;
    assert_eq!(fields(&health), BTreeSet::from(["name", "k", "n", "sentence", "repairing", "segments"]));
    let repair = hayloft(home, ["repair", "oats"])?.done()?;
    assert_eq!((&repair["shards"], &repair["left_shards"]), (&json!(0), &json!(0)), "nothing was lost");
    assert_eq!(health["segments"].as_array().context("no segments")?.len() as u64, put["segments"]);
    assert_eq!(health["segments"][0], json!({ "alive": put["n"] }));

    let got = hayloft(home, ["get", "oats", "--output", path(&back)?])?.done()?;
    assert_eq!(
        fields(&got),
        BTreeSet::from(["name", "bytes", "seconds", "first_byte_seconds", "farmers_blamed"])
    );
    assert_eq!(got["farmers_blamed"], json!([]));
    assert_eq!(std::fs::read(&back)?, content);

    let range =
        ["get", "oats", "--output", path(&back)?, "--force", "--offset", "70000", "--bytes", "200000"];
    assert_eq!(hayloft(home, range)?.done()?["bytes"], 200_000);
    assert_eq!(std::fs::read(&back)?, content[70_000..270_000]);

    let listed = hayloft(home, ["ls"])?.done()?;
    assert_eq!(listed["files"][0]["name"], "oats");
    let until = &listed["files"][0]["keep_until"];
    let renewed = hayloft(home, ["renew", "oats", "--for", "1year", "--auto"])?.done()?;
    assert!(renewed["keep_until"].as_u64() > until.as_u64() && renewed["renew"] == true);
    assert_eq!(hayloft(home, ["jobs"])?.done()?["jobs"][0]["state"], "done");

    let (_, message) = hayloft(home, ["rm", "oats"])?.refused()?;
    assert!(message.contains("--yes"), "{message}");
    assert_eq!(hayloft(home, ["rm", "oats", "--yes"])?.done()?, json!({ "removed": ["oats"] }));
    assert_eq!(hayloft(home, ["ls"])?.done()?["files"], json!([]));
    Ok(())
}

#[test]
fn a_slip_gets_a_sentence_and_changes_nothing() -> Result<()> {
    let devnet = Devnet::start(3, None)?;
    let (home, scratch) = (devnet.owner_home()?, devnet.scratch()?);
    let file = scratch.join("file");
    std::fs::write(&file, "first")?;
    hayloft(home, ["put", path(&file)?])?.done()?;

    let missing = scratch.join("missing");
    let (_, message) = hayloft(home, ["put", path(&missing)?])?.refused()?;
    assert!(message.contains("missing"), "{message}");

    // Whoever runs this test may be allowed to read every file; this one fails for everybody when it is read.
    if cfg!(target_os = "linux") {
        let (_, message) = hayloft(home, ["put", "/proc/self/mem"])?.refused()?;
        assert!(message.contains("/proc/self/mem"), "{message}");
        assert_eq!(hayloft(home, ["ls"])?.done()?["files"].as_array().map(Vec::len), Some(1));
    }

    std::fs::write(&file, "other")?;
    let (code, message) = hayloft(home, ["put", path(&file)?])?.refused()?;
    assert_eq!(code, "exists");
    assert!(message.contains("replace"), "{message}");

    for words in [
        &["get", "nobody", "--output", "x"][..],
        &["health", "nobody"],
        &["repair", "nobody"],
        &["rm", "nobody", "--yes"],
        &["renew", "nobody"],
    ] {
        let (code, message) = hayloft(home, words)?.refused()?;
        assert_eq!(code, "not_found", "{words:?}: {message}");
    }
    let (code, _) = hayloft(home, ["jobs", "cancel", "4711"])?.refused()?;
    assert_eq!(code, "not_found");

    let (code, _) = hayloft(home, ["get", "file", "--output", path(&file)?])?.refused()?;
    assert_eq!(code, "exists");
    assert_eq!(std::fs::read_to_string(&file)?, "other");
    hayloft(home, ["get", "file", "--output", path(&scratch.join("no/such/folder/x"))?])?.refused()?;
    hayloft(home, ["get", "file", "--output", path(&file)?, "--force"])?.done()?;
    assert_eq!(std::fs::read_to_string(&file)?, "first");
    Ok(())
}

#[test]
fn small_oddly_named_and_linked_files_come_back() -> Result<()> {
    let devnet = Devnet::start(3, None)?;
    let (home, scratch) = (devnet.owner_home()?, devnet.scratch()?);
    let back = scratch.join("back");
    let long = "n".repeat(300);
    let odd = ["empty", "one byte", "Grüße 麦 🌾", "e\u{301}", "\u{202e}txt", "-dash"];
    for (index, name) in odd.iter().copied().chain([long.as_str()]).enumerate() {
        let file = scratch.join("source");
        let content = vec![b'x'; index];
        std::fs::write(&file, &content)?;
        let put = hayloft(home, ["put", path(&file)?, &format!("--name={name}")])?.done()?;
        assert_eq!((&put["name"], &put["bytes"]), (&json!(name), &json!(index)));
        hayloft(home, ["get", "--output", path(&back)?, "--force", "--", name])?.done()?;
        assert_eq!(std::fs::read(&back)?, content, "{name:?}");
    }
    for wrong in ["new\nline", "bell\u{7}", ""] {
        let source = scratch.join("source");
        let (code, _) = hayloft(home, ["put", path(&source)?, &format!("--name={wrong}")])?.refused()?;
        assert_eq!(code, "bad_request", "{wrong:?}");
    }
    #[cfg(unix)]
    {
        let (target, link, dangling) =
            (scratch.join("target"), scratch.join("link"), scratch.join("dangling"));
        std::fs::write(&target, "behind a link")?;
        std::os::unix::fs::symlink(&target, &link)?;
        std::os::unix::fs::symlink(scratch.join("nowhere"), &dangling)?;
        hayloft(home, ["put", path(&link)?])?.done()?;
        hayloft(home, ["get", "link", "--output", path(&back)?, "--force"])?.done()?;
        assert_eq!(std::fs::read_to_string(&back)?, "behind a link");
        hayloft(home, ["put", path(&dangling)?])?.refused()?;
    }
    Ok(())
}

#[test]
fn a_folders_name_stands_for_all_files_in_it() -> Result<()> {
    let devnet = Devnet::start(3, None)?;
    let (home, folder) = (devnet.owner_home()?, devnet.scratch()?.join("field"));
    std::fs::create_dir_all(folder.join("row"))?;
    std::fs::write(folder.join("one"), "1")?;
    std::fs::write(folder.join("row/two"), "2")?;
    hayloft(home, ["put", path(&folder)?])?.done()?;
    let of_both = |answer: Value| answer["files"].as_array().map(Vec::len) == Some(2);
    assert!(of_both(hayloft(home, ["health", "field"])?.done()?));
    assert!(of_both(hayloft(home, ["renew", "field", "--for", "1year"])?.done()?));
    assert!(of_both(hayloft(home, ["repair", "field/"])?.done()?));
    let audited = hayloft(home, ["audit", "field"])?.done()?;
    let named = |list: &Value| -> BTreeSet<String> {
        let names = list.as_array().into_iter().flatten().flat_map(|one| one["name"].as_str());
        names.map(str::to_owned).collect()
    };
    let both = BTreeSet::from(["field/one", "field/row/two"].map(str::to_owned));
    assert_eq!(named(&audited["verdicts"]), both, "{audited}");
    std::fs::write(devnet.scratch()?.join("beside"), "3")?;
    hayloft(home, ["put", path(&devnet.scratch()?.join("beside"))?])?.done()?;
    hayloft(home, ["audit", "beside"])?.done()?;
    for folder in ["field", "field/"] {
        let history = hayloft(home, ["audit", folder, "--history"])?.done()?;
        assert_eq!(named(&history["own"]), both, "{history}");
        assert!(history["farmers"].as_array().is_some_and(|farmers| !farmers.is_empty()), "{history}");
    }
    let history = hayloft(home, ["audit", "field/row", "--history"])?.done()?;
    assert_eq!(named(&history["own"]), BTreeSet::from(["field/row/two".to_owned()]), "{history}");
    let (code, message) = hayloft(home, ["audit", "fie", "--history"])?.refused()?;
    assert_eq!(code, "not_found", "{message}");
    let removed = hayloft(home, ["rm", "field", "--yes"])?.done()?;
    assert_eq!(removed, json!({ "removed": ["field/one", "field/row/two"] }));
    hayloft(home, ["rm", "beside", "--yes"])?.done()?;
    assert_eq!(hayloft(home, ["ls"])?.done()?["files"], json!([]));
    Ok(())
}

#[test]
fn a_folder_of_ten_thousand_files_is_stored_as_one_transfer() -> Result<()> {
    let devnet = Devnet::start(3, None)?;
    let (home, folder) = (devnet.owner_home()?, devnet.scratch()?.join("field"));
    for index in 0..10_000 {
        let row = folder.join(format!("row-{}", index / 100));
        std::fs::create_dir_all(&row)?;
        std::fs::write(row.join(format!("{index}")), index.to_string())?;
    }
    let put = hayloft(home, ["put", path(&folder)?])?.done()?;
    assert_eq!(put["files"].as_array().context("no list of files")?.len(), 10_000);
    assert_eq!(hayloft(home, ["ls"])?.done()?["files"].as_array().context("no list")?.len(), 10_000);
    let back = devnet.scratch()?.join("back");
    hayloft(home, ["get", "field/row-77/7777", "--output", path(&back)?])?.done()?;
    assert_eq!(std::fs::read_to_string(&back)?, "7777");
    Ok(())
}
