//! The registry by example and by invariant.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn record(fields: &[&str]) -> Definition {
    let fields: Vec<_> = fields
        .iter()
        .map(|name| json!({"name": name, "type": ["null", "int"], "default": null}))
        .collect();
    Definition::avro(json!({"type": "record", "name": "r", "fields": fields}).to_string())
}

fn demanding(field: &str) -> Definition {
    let fields = json!([{"name": field, "type": "int"}]);
    Definition::avro(json!({"type": "record", "name": "r", "fields": fields}).to_string())
}

#[track_caller]
fn run<T>(registry: &mut Registry, planned: Result<Planned<T>>) -> T {
    let planned = planned.unwrap();
    *registry = registry.apply(&planned.changes).unwrap();
    planned.answer
}

#[track_caller]
fn register(registry: &mut Registry, subject: &str, schema: &Definition) -> (u32, u32) {
    let planned = registry.register(subject, schema, false, None, None);
    let answer = run(registry, planned);
    (answer.version.0, answer.id.get())
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.expect_err("an error").code()
}

const LATEST: VersionRef = VersionRef::Latest;

fn number(version: u32) -> VersionRef {
    VersionRef::Number(Version(version))
}

#[test]
fn one_schema_has_one_id_in_all_subjects() {
    let mut registry = Registry::default();
    assert_eq!(register(&mut registry, "a", &record(&["x"])), (1, 1));
    assert_eq!(register(&mut registry, "a", &record(&["x"])), (1, 1));
    assert_eq!(register(&mut registry, "a", &record(&["x", "y"])), (2, 2));
    assert_eq!(register(&mut registry, "b", &record(&["x", "y"])), (1, 2));
    let spaced = Definition::avro(record(&["x"]).text.replace(',', " ,\n "));
    assert_eq!(register(&mut registry, "b", &spaced), (2, 1));
    let uses = registry.versions_of(SchemaId::new(2).unwrap(), Deleted::Hidden);
    assert_eq!(uses.unwrap(), [("a", Version(2)), ("b", Version(1))]);
    let found = registry
        .lookup("a", &spaced, false, Deleted::Hidden)
        .unwrap();
    assert_eq!((found.version.0, found.id.get()), (1, 1));
    assert_eq!(registry.schema_by_guid(&found.guid).unwrap().id, found.id);
    assert_eq!(
        code(registry.lookup("c", &spaced, false, Deleted::Hidden)),
        Code::SubjectNotFound
    );
    assert_eq!(
        code(registry.lookup("a", &demanding("z"), false, Deleted::Hidden)),
        Code::SchemaNotFound
    );
}

#[test]
fn levels_decide_what_may_follow() {
    let mut registry = Registry::default();
    register(&mut registry, "a", &record(&["x"]));
    let refused = registry.register("a", &demanding("y"), false, None, None);
    assert_eq!(code(refused.clone()), Code::Incompatible);
    let said = refused.expect_err("an error").to_string();
    for part in [
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "/fields/0",
        "{oldSchemaVersion: 1}",
        "{compatibility: 'BACKWARD'}",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // The old schema reads it, since its own field has a default.
    let set = registry.set_level(Some("a"), Some(Level::Forward));
    assert_eq!(run(&mut registry, set), Level::Backward);
    assert_eq!(register(&mut registry, "a", &demanding("y")).0, 2);
    let set = registry.set_level(Some("a"), Some(Level::BackwardTransitive));
    run(&mut registry, set);
    assert!(
        !registry
            .check_compatible("a", None, &demanding("y"), false)
            .unwrap()
            .is_empty()
    );
    assert!(
        registry
            .check_compatible("a", Some(LATEST), &demanding("y"), false)
            .unwrap()
            .is_empty()
    );
    assert!(
        !registry
            .check_compatible("a", Some(number(1)), &demanding("y"), false)
            .unwrap()
            .is_empty()
    );
    let unset = registry.set_level(Some("a"), None);
    assert_eq!(run(&mut registry, unset), Level::BackwardTransitive);
    assert_eq!(
        code(registry.set_level(Some("a"), None)),
        Code::SubjectNotFound
    );
    assert_eq!(code(registry.own_level("a")), Code::LevelNotSet);
    let set = registry.set_level(None, Some(Level::None));
    run(&mut registry, set);
    assert!(
        registry
            .check_compatible("a", None, &Definition::avro("\"int\""), false)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn deletion_is_in_two_steps() {
    let mut registry = Registry::default();
    register(&mut registry, "a", &record(&["x"]));
    register(&mut registry, "a", &record(&["x", "y"]));
    assert_eq!(
        code(registry.delete_version("a", number(1), true)),
        Code::VersionNotSoftDeleted
    );
    let plan = registry.delete_version("a", number(1), false);
    assert_eq!(run(&mut registry, plan), Version(1));
    assert_eq!(
        code(registry.delete_version("a", number(1), false)),
        Code::VersionSoftDeleted
    );
    assert_eq!(
        code(registry.delete_version("a", number(7), false)),
        Code::VersionNotFound
    );
    assert_eq!(
        registry.versions("a", Deleted::Hidden).unwrap(),
        [Version(2)]
    );
    assert_eq!(registry.versions("a", Deleted::Shown).unwrap().len(), 2);
    assert!(registry.schema(SchemaId::new(1).unwrap()).is_ok());
    assert_eq!(register(&mut registry, "a", &record(&["x"])), (3, 1));
    assert_eq!(
        code(registry.delete_subject("a", true)),
        Code::SubjectNotSoftDeleted
    );
    let plan = registry.delete_subject("a", false);
    assert_eq!(run(&mut registry, plan).len(), 2);
    assert_eq!(
        code(registry.delete_subject("a", false)),
        Code::SubjectSoftDeleted
    );
    assert_eq!(
        code(registry.version("a", LATEST, Deleted::Hidden)),
        Code::SubjectNotFound
    );
    assert_eq!(registry.subjects("", Deleted::Only), ["a"]);
    let plan = registry.delete_subject("a", true);
    assert_eq!(run(&mut registry, plan).len(), 3);
    assert_eq!(
        code(registry.schema(SchemaId::new(1).unwrap())),
        Code::SchemaNotFound
    );
    // Numbers are not given again.
    assert_eq!(register(&mut registry, "a", &record(&["x"])), (1, 3));
}

#[test]
fn references_are_found_and_keep_what_they_name() {
    let mut registry = Registry::default();
    let item = Definition::avro(r#"{"type": "record", "name": "Item", "fields": []}"#);
    register(&mut registry, "item", &item);
    let mut order = Definition::avro(
        r#"{"type": "record", "name": "Order", "fields": [{"name": "item", "type": "Item"}]}"#,
    );
    assert_eq!(code(registry.parse(&order)), Code::InvalidSchema);
    order.references.push(Reference {
        name: "Item".to_owned(),
        subject: "item".to_owned(),
        version: Version(1),
    });
    let (_, id) = register(&mut registry, "order", &order);
    let by: Vec<u32> = registry
        .referenced_by("item", LATEST)
        .unwrap()
        .into_iter()
        .map(SchemaId::get)
        .collect();
    assert_eq!(by, [id]);
    assert_eq!(
        code(registry.delete_subject("item", false)),
        Code::ReferenceExists
    );
    let plan = registry.delete_subject("order", false);
    run(&mut registry, plan);
    assert!(registry.delete_subject("item", false).is_ok());
    order.references[0].version = Version(2);
    assert_eq!(code(registry.parse(&order)), Code::InvalidSchema);
}

#[test]
fn modes_decide_what_may_be_done() {
    let mut registry = Registry::default();
    let (id, version) = (SchemaId::new(40), Some(Version(4)));
    let import = |registry: &Registry| registry.register("a", &record(&["x"]), false, id, version);
    assert_eq!(code(import(&registry)), Code::NotPermitted);
    let plan = registry.set_mode(None, Some(Mode::Import), false);
    run(&mut registry, plan);
    let plan = import(&registry);
    assert_eq!(run(&mut registry, plan).version, Version(4));
    let taken = registry.register("a", &demanding("y"), false, id, None);
    assert_eq!(code(taken), Code::IdTaken);
    let plan = registry.set_mode(Some("a"), Some(Mode::ReadOnly), false);
    run(&mut registry, plan);
    assert_eq!(
        code(registry.register("a", &demanding("y"), false, None, None)),
        Code::NotPermitted
    );
    assert_eq!(
        code(registry.delete_subject("a", false)),
        Code::NotPermitted
    );
    // What is there already is not registered, and so not refused.
    assert_eq!(register(&mut registry, "a", &record(&["x"])), (4, 40));
    let plan = registry.set_mode(Some("a"), None, false);
    run(&mut registry, plan);
    let plan = registry.set_mode(None, Some(Mode::ReadWrite), false);
    run(&mut registry, plan);
    assert_eq!(
        code(registry.set_mode(None, Some(Mode::Import), false)),
        Code::NotPermitted
    );
    assert!(registry.set_mode(None, Some(Mode::Import), true).is_ok());
    assert_eq!(register(&mut registry, "b", &demanding("y")), (1, 41));
}

#[test]
fn names_of_subjects_and_versions_are_checked() {
    let registry = Registry::default();
    for name in ["", "a\nb", ":.ctx:a", "__GLOBAL", &"x".repeat(600)] {
        let refused = registry.register(name, &record(&["x"]), false, None, None);
        assert_eq!(code(refused), Code::InvalidSubject, "{name:?}");
    }
    assert_eq!("latest".parse(), Ok(LATEST));
    assert_eq!("-1".parse(), Ok(LATEST));
    assert_eq!("3".parse(), Ok(number(3)));
    for text in ["0", "-2", "x", "2147483648", ""] {
        assert_eq!(
            code(text.parse::<VersionRef>()),
            Code::InvalidVersion,
            "{text}"
        );
    }
}

#[derive(Debug, Clone)]
enum Command {
    Register(usize, usize, bool),
    DeleteVersion(usize, u32, bool),
    DeleteSubject(usize, bool),
    Level(Option<usize>, Option<Level>),
}

fn any_command() -> impl Strategy<Value = Command> {
    let subject = || 0..3_usize;
    let level = prop::option::of(prop::sample::select(Level::ALL.to_vec()));
    prop_oneof![
        4 => (subject(), 0..6_usize, any::<bool>()).prop_map(|(s, d, n)| Command::Register(s, d, n)),
        2 => (subject(), 1..5_u32, any::<bool>()).prop_map(|(s, v, p)| Command::DeleteVersion(s, v, p)),
        1 => (subject(), any::<bool>()).prop_map(|(s, p)| Command::DeleteSubject(s, p)),
        1 => (prop::option::of(subject()), level).prop_map(|(s, l)| Command::Level(s, l)),
    ]
}

proptest! {
    #[test]
    fn whatever_is_done_ids_stay_and_records_make_the_same_state(
        commands in prop::collection::vec(any_command(), 1..40),
    ) {
        let names = ["a", "b", "c"];
        let schemas = [
            record(&["x"]), record(&["x", "y"]), record(&["y"]), demanding("x"), demanding("y"),
            Definition::avro("\"int\""),
        ];
        let mut registry = Registry::default();
        let mut stored: BTreeMap<Key, Record> = BTreeMap::new();
        let mut meant: BTreeMap<u32, String> = BTreeMap::new();
        for command in commands {
            let changes = match command {
                Command::Register(subject, at, normalize) => {
                    let subject = names[subject];
                    let planned = registry.register(subject, &schemas[at], normalize, None, None);
                    planned.map(|planned| {
                        let text = registry.prepare(&schemas[at], normalize).unwrap().1.canonical();
                        let earlier = meant.insert(planned.answer.id.get(), text.clone());
                        assert!(earlier.is_none_or(|earlier| earlier == text), "an id means two schemas");
                        planned.changes
                    })
                }
                Command::DeleteVersion(subject, version, permanent) => registry
                    .delete_version(names[subject], number(version), permanent)
                    .map(|planned| planned.changes),
                Command::DeleteSubject(subject, permanent) => registry
                    .delete_subject(names[subject], permanent)
                    .map(|planned| planned.changes),
                Command::Level(subject, level) => registry
                    .set_level(subject.map(|at| names[at]), level)
                    .map(|planned| planned.changes),
            };
            let Ok(changes) = changes else { continue };
            registry = registry.apply(&changes).unwrap();
            for change in changes {
                match change {
                    Change::Put(record) => { stored.insert(record.key(), record); }
                    Change::Remove(key) => { stored.remove(&key); }
                }
            }
            let again = Registry::load(stored.values().cloned()).unwrap();
            let all = |registry: &Registry| {
                let versions = registry.registered_all("", Deleted::Shown, false).unwrap();
                (versions, registry.next_id, names.map(|name| registry.level(Some(name))))
            };
            prop_assert_eq!(all(&again), all(&registry));
            for one in registry.registered_all("", Deleted::Hidden, false).unwrap() {
                let found = registry.lookup(&one.subject, &one.schema, false, Deleted::Hidden).unwrap();
                prop_assert_eq!(found.id, one.id);
            }
            // Every schema is some version's.
            for id in registry.schemas.keys() {
                prop_assert!(registry.uses(*id).next().is_some());
            }
            // What is stored reads back.
            for record in stored.values() {
                let text = serde_json::to_string(record).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Record>(&text).unwrap(), record);
            }
        }
    }
}
