//! The page's types and permissions follow the commands.

use std::{collections::BTreeSet, fs, path::Path};

use specta_typescript::Typescript;

use super::bindings;

/// Rewrites `ui/src/bindings.ts` where it is out of date, and fails so that the change is seen and committed.
#[test]
fn generated_types_of_the_page_are_up_to_date() {
    let committed = Path::new("ui/src/bindings.ts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fresh = folder.path().join("bindings.ts");
    bindings().export(Typescript::default(), &fresh).expect("the commands have types");
    let text = fs::read_to_string(&fresh).expect("it was just written");
    let before = fs::read_to_string(committed).unwrap_or_default();
    if text != before {
        fs::write(committed, &text).expect("the file can be written");
    }
    assert!(text == before, "ui/src/bindings.ts was out of date and has been rewritten: commit it");
}

/// One file per command, and the window's capability names each of them and nothing else of the app's.
#[test]
fn each_command_has_one_permission_and_the_window_has_no_other() {
    let text = fs::read_to_string("src-tauri/app/lib.rs").expect("the list of commands");
    let commands = text.lines().filter_map(|line| line.trim().strip_prefix("commands::")?.strip_suffix(','));
    let wanted: BTreeSet<String> = commands.map(|name| name.replace('_', "-")).collect();
    assert!(wanted.contains("put"), "the list of commands was found");

    let files = fs::read_dir("src-tauri/permissions").expect("the permissions");
    let names = files.map(|file| file.expect("an entry").path().file_stem().expect("a name").to_owned());
    let permitted: BTreeSet<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(permitted, wanted);

    let capability = fs::read_to_string("src-tauri/capabilities/main.json").expect("the capability");
    let capability: serde_json::Value = serde_json::from_str(&capability).expect("valid JSON");
    let granted = capability["permissions"].as_array().expect("a list").iter();
    let granted = granted.map(|name| name.as_str().expect("a name"));
    let of_others = ["core:event:allow-listen", "core:event:allow-unlisten"];
    let granted: BTreeSet<String> = granted
        .filter(|name| !of_others.contains(name))
        .map(|name| name.strip_prefix("allow-").expect("only allowing ones").to_owned())
        .collect();
    assert_eq!(granted, wanted);
}

#[test]
fn the_page_may_run_no_script_and_no_style_but_its_own() {
    let config = fs::read_to_string("tauri.conf.json").expect("the configuration");
    assert!(!config.contains("unsafe-"), "no unsafe-inline, no unsafe-eval");
}
