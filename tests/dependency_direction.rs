//! Who may import whom: DESIGN's rule, held against what cargo says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use weir_tests::binary;

/// For each crate, the crates of this workspace that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("weir-base", &[]),
    ("weir-sql", &["weir-base"]),
    ("weir-schemas", &["weir-base"]),
    ("weir-catalog", &["weir-base", "weir-schemas"]),
    ("weir-topics", &["weir-base"]),
    (
        "weir-connectors",
        &["weir-base", "weir-schemas", "weir-topics"],
    ),
    (
        "weir-streaming",
        &["weir-base", "weir-topics", "weir-connectors"],
    ),
    (
        "weir-engine",
        &[
            "weir-base",
            "weir-sql",
            "weir-schemas",
            "weir-catalog",
            "weir-topics",
            "weir-connectors",
            "weir-streaming",
        ],
    ),
    // The one crate below the engine that a door talks to is `topics`, for Kafka's protocol.
    ("weir-server", &["weir-base", "weir-topics", "weir-engine"]),
    (
        "weir-cli",
        &["weir-base", "weir-sql", "weir-engine", "weir-server"],
    ),
];

/// What stands beside the product and may look at all of it.
const BESIDE: [&str; 2] = ["weir-tests", "weir-benches"];

/// No code: the one set of features of outside crates, which every crate may ask for.
const FEATURES: &str = "weir-deps";

/// What a lower crate must not know, by the outside crates that would bring it in.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    (
        "weir-base",
        &["datafusion", "arrow", "tokio", "axum", "sqlparser"],
    ),
    (
        "weir-schemas",
        &["datafusion", "arrow", "tokio", "axum", "fjall", "sqlparser"],
    ),
    ("weir-topics", &["datafusion", "arrow", "axum", "sqlparser"]),
    (
        "weir-catalog",
        &["datafusion", "axum", "tokio", "sqlparser"],
    ),
    ("weir-sql", &["axum", "tokio", "fjall"]),
    ("weir-connectors", &["axum", "fjall"]),
    ("weir-streaming", &["axum", "sqlparser"]),
    ("weir-engine", &["axum", "hyper"]),
];

/// The direct dependencies of each crate of the workspace, without those of its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(binary::workspace())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let needed = package["dependencies"].as_array().expect("dependencies");
            let needed = needed
                .iter()
                .filter(|needed| needed["kind"] != "dev")
                .map(name);
            (name(package), needed.collect())
        })
        .collect()
}

#[test]
fn crates_import_downward_only() {
    let dependencies = dependencies();
    let ours: BTreeSet<&String> = dependencies.keys().collect();
    for (name, needed) in &dependencies {
        if BESIDE.contains(&name.as_str()) || name == FEATURES {
            continue;
        }
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("{name} is new: say in this test whom it may import"));
        for import in needed
            .iter()
            .filter(|import| ours.contains(import) && *import != FEATURES)
        {
            assert!(
                allowed.contains(&import.as_str()),
                "{name} must not import {import}"
            );
        }
    }
    for (name, _) in MAY_IMPORT {
        assert!(
            dependencies.contains_key(*name),
            "{name} is gone: take it out of this test"
        );
    }
}

#[test]
fn lower_crates_do_not_know_what_is_above_them() {
    let dependencies = dependencies();
    assert!(
        dependencies[FEATURES]
            .iter()
            .all(|name| !name.starts_with("weir-")),
        "{FEATURES} holds outside crates only"
    );
    for (name, unknown) in MUST_NOT_KNOW {
        for import in *unknown {
            assert!(
                !dependencies[*name].contains(*import),
                "{name} must not know {import}"
            );
        }
    }
}
