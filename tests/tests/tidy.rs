//! The rules of the house that no lint knows, held against every hand-written source file of the workspace.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines in a file that a person can hold in the head.
const LONGEST: usize = 400;

/// Files that may be longer, each with the reason. There is none now.
const LONGER: &[(&str, &str)] = &[];

/// What marks work as unfinished or a test as switched off. In two parts each, so that this file passes too.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("#[ig", "nore"),
    concat!("#[should", "_panic"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

/// A source file: its path from the workspace's root, and its text.
struct Source {
    path: String,
    text: String,
}

/// Every `.rs` file of the workspace.
fn sources() -> Vec<Source> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the workspace");
    let mut sources = Vec::new();
    let mut pending: Vec<PathBuf> =
        ["crates", "fuzz/fuzz_targets", "tests", "xtask"].map(|folder| root.join(folder)).into();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let path = entry.expect("an entry of a folder can be read").path();
            if path.is_dir() {
                // What `cargo xtask codegen` writes is for no person to read.
                if !path.ends_with("src/generated") {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is readable UTF-8");
                let path = path.strip_prefix(root).expect("the walk began at the root").display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(
        sources.iter().any(|source| source.path == "tests/tests/tidy.rs"),
        "the walk misses this very file"
    );
    sources
}

/// Fails with one line for each offender.
#[track_caller]
fn assert_none(rule: &str, offenders: impl IntoIterator<Item = String>) {
    let mut offenders: Vec<String> = offenders.into_iter().collect();
    offenders.sort();
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let is_listed = |source: &Source| LONGER.iter().any(|(path, _)| source.path == *path);
    let is_long = |source: &Source| source.text.lines().count() > LONGEST;
    let sources = sources();
    let unlisted = sources.iter().filter(|source| is_long(source) && !is_listed(source));
    let unlisted = unlisted.map(|source| format!("{}: {} lines", source.path, source.text.lines().count()));
    let stale = LONGER.iter().filter(|(path, _)| !sources.iter().any(|s| s.path == *path && is_long(s)));
    let stale = stale.map(|(path, _)| format!("{path}: is listed in LONGER, and is not longer"));
    assert_none("source files over 400 lines", unlisted.chain(stale));
}

#[test]
fn every_source_file_opens_by_saying_what_it_is() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none("source files that do not start with `//! `", silent.map(|source| source.path));
}

#[test]
fn a_module_is_a_file_of_its_own_name() {
    let nameless = sources().into_iter().filter(|source| source.path.ends_with("/mod.rs"));
    assert_none("name these after their folder, beside it", nameless.map(|source| source.path));
}

#[test]
fn nothing_is_unfinished_and_no_test_is_switched_off() {
    let mut offenders = Vec::new();
    for Source { path, text } in sources() {
        for (number, line) in (1..).zip(text.lines()) {
            let found = UNFINISHED.iter().filter(|mark| contains_word(line, mark));
            offenders.extend(found.map(|mark| format!("{path}:{number}: {mark}")));
        }
    }
    assert_none("unfinished or switched off", offenders);
}

/// Whether `line` has `word` with no letter or digit next to it: the template of a temporary file's name, a row of
/// that letter, is no mark.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[test]
fn a_mark_inside_a_longer_word_is_none() {
    assert!(contains_word("// TOGO: this", "TOGO"));
    assert!(contains_word("togo!()", "togo!"));
    assert!(!contains_word("a TOGOS b", "TOGO"));
    assert!(contains_word("TOGOS TOGO", "TOGO"));
}
