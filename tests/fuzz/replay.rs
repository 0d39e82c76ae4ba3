//! Replays the committed corpora on the stable compiler, without sanitizers: each crate that has fuzz targets includes
//! this file in its tests. A target without a program or a corpus fails here.

use std::{fs, panic, path::Path};

#[test]
fn every_target_has_a_corpus_and_survives_it() {
    replay(super::TARGETS);
}

/// Runs each target over its corpus and names the input that breaks it.
fn replay(targets: &[super::Target]) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzz targets' manifest");
    for (name, target) in targets {
        assert!(fuzz.join(format!("targets/{name}.rs")).is_file(), "the target {name} has no program");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "the target {name} is not built");
        let entries = fs::read_dir(fuzz.join("corpus").join(name));
        let entries = entries.unwrap_or_else(|error| panic!("the target {name} has no corpus: {error}"));
        let inputs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert!(!inputs.is_empty(), "the target {name} has an empty corpus");
        for input in inputs {
            let bytes = fs::read(&input).expect("an input");
            let run = panic::catch_unwind(|| target(&bytes));
            assert!(run.is_ok(), "the target {name} fails on {}", input.display());
        }
    }
}
