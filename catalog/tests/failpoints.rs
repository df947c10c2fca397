//! Commits that fail at the named points of the store. A binary of its own, as fail points are the process's.

use std::collections::BTreeSet;

use fail::FailScenario;
use weir_base::{Classify, Kind};
use weir_catalog::{Body, Catalog, IfExists, NewObject, ObjectName};
use weir_schemas::{Definition, Deleted, Version};

fn commit_schema(catalog: &Catalog, name: &str) -> weir_catalog::Result<()> {
    let snapshot = catalog.snapshot();
    let new = NewObject {
        name: ObjectName::global(name),
        body: Body::Schema,
        comment: None,
        sql: String::new(),
        depends_on: BTreeSet::new(),
        created_at_ms: 0,
        owner: None,
    };
    let created = snapshot.create(new, IfExists::Refuse)?;
    catalog
        .commit(snapshot.version(), created.changes)
        .map(|_| ())
}

fn register(catalog: &Catalog, text: &str) -> weir_catalog::Result<u32> {
    let schema = Definition::avro(text);
    let registered =
        catalog.change_registry(|registry| registry.register("s", &schema, false, None, None))?;
    Ok(registered.id.get())
}

#[test]
fn a_schema_whose_write_fails_is_not_there_and_one_that_is_answered_is() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).unwrap();
    assert_eq!(register(&catalog, "\"int\"").unwrap(), 1);
    fail::cfg("catalog::write_registry", "1*return").unwrap();
    let error = register(&catalog, "\"long\"").unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let shown = |catalog: &Catalog| catalog.registry().versions("s", Deleted::Shown).unwrap();
    assert_eq!(shown(&catalog), [Version(1)]);
    register(&catalog, "\"double\"").unwrap_err();
    commit_schema(&catalog, "t").unwrap_err();
    assert!(catalog.failure().is_some());
    drop(catalog);
    let catalog = Catalog::open(dir.path()).unwrap();
    assert_eq!(shown(&catalog), [Version(1)]);
    assert_eq!(register(&catalog, "\"long\"").unwrap(), 2);
    scenario.teardown();
}

#[test]
fn a_commit_that_fails_before_the_disk_leaves_nothing() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).unwrap();
    fail::cfg("catalog::before_commit", "1*return").unwrap();
    commit_schema(&catalog, "s").unwrap_err();
    assert!(catalog.snapshot().schema("s").is_none());
    commit_schema(&catalog, "t").unwrap();
    let before = catalog.snapshot();
    drop(catalog);
    assert_eq!(Catalog::open(dir.path()).unwrap().snapshot(), before);
    scenario.teardown();
}

#[test]
fn a_failed_write_ends_all_commits_until_the_catalog_is_opened_again() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).unwrap();
    fail::cfg("catalog::write", "1*return").unwrap();
    let error = commit_schema(&catalog, "s").unwrap_err();
    assert_eq!(
        (error.kind(), error.sqlstate().0),
        (Kind::Unavailable, "58030")
    );
    assert!(catalog.failure().is_some());
    let error = commit_schema(&catalog, "t").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the catalog takes no more changes: "),
        "{error}"
    );
    drop(catalog);
    commit_schema(&Catalog::open(dir.path()).unwrap(), "t").unwrap();
    scenario.teardown();
}

#[test]
fn a_commit_is_on_disk_before_it_is_seen() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).unwrap();
    fail::cfg("catalog::after_commit", "panic(stopped)").unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| commit_schema(&catalog, "s"));
        assert!(thread.join().is_err());
    });
    assert!(catalog.snapshot().schema("s").is_none());
    drop(catalog);
    assert!(
        Catalog::open(dir.path())
            .unwrap()
            .snapshot()
            .schema("s")
            .is_some()
    );
    scenario.teardown();
}
