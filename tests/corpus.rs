//! Replays the committed seeds of every fuzz target, and what fuzzing once found, through the functions that the fuzzer runs.

use std::fs;
use std::path::Path;

#[allow(
    unreachable_pub,
    missing_docs,
    reason = "there it is the root of a crate, and its items are told in the targets"
)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Fewer seeds than this, and a target's corpus was lost rather than thinned out.
const SEEDS_MIN: usize = 20;

#[test]
fn every_seed_of_every_target_passes() {
    for (name, run) in targets::TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        files.sort();
        assert!(files.len() >= SEEDS_MIN, "{name} has {} seeds", files.len());
        for file in files {
            // Shown by the test harness if the target panics.
            println!("{}", file.display());
            run(&fs::read(&file).unwrap());
        }
    }
}

/// A target that is not in the table would never be replayed.
#[test]
fn every_corpus_and_every_binary_has_a_row_in_the_table() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (directory, kind) in [("corpus", "corpus"), ("fuzz_targets", "binary")] {
        let entries = fs::read_dir(fuzz.join(directory)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        let mut known = targets::TARGETS.map(|(name, _)| name.to_owned());
        known.sort();
        assert_eq!(names, known, "a {kind} without a row in TARGETS, or a row without a {kind}");
    }
}
