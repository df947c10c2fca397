//! How the sources are laid out: no file too long to be read, each crate introduces itself.

use std::fs;
use std::path::{Path, PathBuf};

use weir_tests::binary;

/// Lines of Rust, blank and comment lines included, its tests too: past it a file is two ideas.
const LINES_MAX: usize = 700;

const FORBIDDEN_NAMES: [&str; 5] = ["utils", "util", "helpers", "common", "misc"];

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![binary::workspace()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !name.starts_with('.')
                    && !matches!(name.as_str(), "target" | "node_modules" | "corpus")
                {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn no_file_is_too_long() {
    let files = sources();
    assert!(
        files.len() > 50,
        "only {} source files were found",
        files.len()
    );
    let long: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(path)
                .expect("a source file is text")
                .lines()
                .count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(
        long.is_empty(),
        "past {LINES_MAX} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn no_file_is_a_place_for_leftovers() {
    for path in sources() {
        let named = |part: &Path| {
            part.file_stem()
                .is_some_and(|name| FORBIDDEN_NAMES.contains(&name.to_string_lossy().as_ref()))
        };
        let bad = path.ancestors().take(3).any(named);
        assert!(!bad, "{}: name it after what it holds", path.display());
    }
}

#[test]
fn every_crate_introduces_itself() {
    for path in sources() {
        let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        if is_root {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let lines = text
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .count();
            assert!(
                lines >= 2,
                "{}: its first lines say nothing of it",
                path.display()
            );
        }
    }
}

#[test]
fn no_test_is_ignored() {
    for path in sources() {
        if path.ends_with("tests/layout.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file is text");
        let ignored = text
            .lines()
            .any(|line| line.trim_start().starts_with("#[ignore"));
        assert!(!ignored, "{}: a test is ignored", path.display());
    }
}
