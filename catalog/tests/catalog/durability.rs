//! What a commit leaves on disk, and what opening it finds.

use std::sync::Arc;

use weir_base::{Classify, Kind};
use weir_catalog::{Catalog, Error, IfExists, ObjectKind, ObjectName};
use weir_schemas::{Definition, Deleted, Level, Registry};

use crate::build::*;

#[test]
fn a_reopened_catalog_is_the_one_that_was_closed() {
    let scratch = Scratch::new();
    assert_eq!(scratch.snapshot().version(), 0);
    scratch.create(schema("s")).unwrap();
    let bids = scratch.create(bids()).unwrap();
    scratch.create(connection("lake", "hunter2")).unwrap();
    scratch.create(external("trips", Some("lake"))).unwrap();
    scratch
        .create(view(ObjectName::new("s", "v"), &[bids]))
        .unwrap();
    let before = scratch.snapshot();
    assert_eq!(before.version(), 5);
    let scratch = scratch.reopen();
    assert_eq!(scratch.snapshot(), before);

    // An identity is not given again, even when the object that had the last one is gone.
    let v = before.relation(&ObjectName::new("s", "v")).unwrap().id;
    let changes = before.remove(&[v], false).unwrap();
    scratch.catalog.commit(before.version(), changes).unwrap();
    let scratch = scratch.reopen();
    let again = scratch
        .create(view(ObjectName::new("s", "v"), &[bids]))
        .unwrap();
    assert!(again > v);
}

#[test]
fn a_reopened_registry_has_the_same_ids_and_gives_none_again() {
    let scratch = Scratch::new();
    let register = |scratch: &Scratch, subject: &str, text: &str| {
        let schema = Definition::avro(text);
        let plan = |registry: &Registry| registry.register(subject, &schema, false, None, None);
        scratch.catalog.change_registry(plan).unwrap().id.get()
    };
    assert_eq!(register(&scratch, "a", "\"int\""), 1);
    assert_eq!(register(&scratch, "a", "\"long\""), 2);
    assert_eq!(register(&scratch, "b", "\"int\""), 1);
    for permanent in [false, true] {
        let delete = |registry: &Registry| registry.delete_subject("a", permanent);
        scratch.catalog.change_registry(delete).unwrap();
    }
    let set = |registry: &Registry| registry.set_level(Some("b"), Some(Level::Full));
    scratch.catalog.change_registry(set).unwrap();
    let scratch = scratch.reopen();
    let registry = scratch.catalog.registry();
    assert_eq!(registry.subjects("", Deleted::Shown), ["b"]);
    assert_eq!(registry.level(Some("b")), Level::Full);
    assert_eq!(register(&scratch, "a", "\"long\""), 3);
    assert_eq!(register(&scratch, "c", "\"int\""), 1);
    let twice = scratch
        .catalog
        .change_registry(|registry| registry.delete_subject("d", false));
    assert_eq!(twice.unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_commit_planned_on_an_older_version_is_refused() {
    let scratch = Scratch::new();
    let old = scratch.snapshot();
    scratch.create(schema("s")).unwrap();
    let created = old.create(schema("t"), IfExists::Refuse).unwrap();
    let error = scratch
        .catalog
        .commit(old.version(), created.changes)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.sqlstate().0),
        (Kind::Conflict, "40001")
    );
    assert_eq!(
        error.to_string(),
        "the catalog changed meanwhile: this statement was planned on version 0, and version 1 is current"
    );
    assert!(scratch.snapshot().schema("t").is_none());
}

#[test]
fn of_commits_at_once_each_sees_the_ones_before_it() {
    const THREADS: usize = 8;
    const EACH: usize = 5;
    let scratch = Arc::new(Scratch::new());
    let conflicts: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let scratch = scratch.clone();
                scope.spawn(move || {
                    let mut conflicts = 0;
                    for number in 0..EACH {
                        loop {
                            // All want the name `shared` as well: exactly one gets it.
                            let name = if number == 0 {
                                "shared".to_owned()
                            } else {
                                format!("s{thread}_{number}")
                            };
                            match scratch.create_with(schema(&name), IfExists::Keep) {
                                Ok(_) => break,
                                Err(Error::Stale { .. }) => conflicts += 1,
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                    }
                    conflicts
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let scratch = Arc::into_inner(scratch).unwrap();
    let after = scratch.snapshot();
    let expected = THREADS * (EACH - 1) + 1;
    assert_eq!(after.version(), expected as u64, "{conflicts} conflicts");
    assert_eq!(after.of_kind(ObjectKind::Schema).count(), expected + 1);
    assert_eq!(scratch.reopen().snapshot(), after);
}

#[test]
fn a_folder_is_open_once() {
    let scratch = Scratch::new();
    let error = Catalog::open(scratch.dir.path()).unwrap_err();
    assert!(matches!(error, Error::Locked(_)), "{error:?}");
    assert!(error.to_string().ends_with("is in use by another process"));
}

#[test]
fn another_format_is_refused_by_its_number() {
    let Scratch { catalog, dir } = Scratch::new();
    drop(catalog);
    {
        let database = fjall::Database::builder(dir.path()).open().unwrap();
        let meta = database
            .keyspace("meta", fjall::KeyspaceCreateOptions::default)
            .unwrap();
        meta.insert("format", 7_u64.to_be_bytes()).unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let error = Catalog::open(dir.path()).unwrap_err();
    assert!(matches!(
        error,
        Error::Format {
            found: 7,
            supported: 1,
            ..
        }
    ));
    assert!(
        error
            .to_string()
            .ends_with("has format 7, and this version of Weir reads format 1")
    );
    assert_eq!(
        error.hint().as_deref(),
        Some("start the newer version of Weir that wrote it, or use another data folder")
    );
}

#[test]
fn an_object_that_does_not_read_is_reported_and_not_skipped() {
    let scratch = Scratch::new();
    let id = scratch.create(bids()).unwrap();
    let Scratch { catalog, dir } = scratch;
    drop(catalog);
    {
        let database = fjall::Database::builder(dir.path()).open().unwrap();
        let entries = database
            .keyspace("entries", fjall::KeyspaceCreateOptions::default)
            .unwrap();
        entries.insert(id.0.to_be_bytes(), "{\"id\":2").unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let error = Catalog::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(
        error.to_string().contains("object 2 does not read"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn only_the_servers_user_looks_into_the_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let mode = std::fs::metadata(scratch.dir.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}
