//! Names, dependencies and alterations: what is allowed, and what the refusal says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_base::{Classify, TopicName};
use weir_catalog::{
    Body, Change, ColumnChange, Entry, Error, IfExists, ObjectId, ObjectKind, ObjectName, Secret,
};

use crate::build::*;

/// SQLSTATE, message and hint, as a front door shows them.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(
    outcome: weir_catalog::Result<T>,
    sqlstate: &str,
    message: &str,
    hint: Option<&str>,
) {
    let error = outcome.unwrap_err();
    assert_eq!(
        (
            error.sqlstate().0,
            error.to_string().as_str(),
            error.hint().as_deref()
        ),
        (sqlstate, message, hint)
    );
}

#[test]
fn a_name_is_taken_once_in_its_namespace() {
    let scratch = Scratch::new();
    scratch.create(schema("s")).unwrap();
    scratch.create(bids()).unwrap();
    scratch.create(connection("bids", "x")).unwrap();
    let in_s = table(&scratch.snapshot(), ObjectName::new("s", "bids"));
    scratch.create(in_s).unwrap();

    let hint = Some("choose another name, drop it first, or use IF NOT EXISTS or OR REPLACE");
    let again = |new| scratch.create(new);
    assert_refused(
        again(bids()),
        "42P07",
        "stream \"bids\" already exists",
        hint,
    );
    assert_refused(
        again(schema("s")),
        "42P06",
        "schema \"s\" already exists",
        hint,
    );
    assert_refused(
        again(connection("bids", "x")),
        "42710",
        "connection \"bids\" already exists",
        hint,
    );
    assert_refused(
        again(view(ObjectName::new("s", "bids"), &[])),
        "42P07",
        "table \"s.bids\" already exists",
        hint,
    );
    for if_exists in [IfExists::Keep, IfExists::Replace] {
        assert_refused(
            scratch.create_with(view(ObjectName::public("bids"), &[]), if_exists),
            "42P07",
            "stream \"bids\" already exists",
            hint,
        );
    }
}

#[test]
fn if_not_exists_keeps_and_or_replace_keeps_the_identity() {
    let scratch = Scratch::new();
    let first = scratch.create(bids()).unwrap();
    let before = scratch.snapshot();
    assert_eq!(scratch.create_with(bids(), IfExists::Keep).unwrap(), first);
    assert_eq!(scratch.snapshot().version(), before.version());

    let created = before.create(bids(), IfExists::Replace).unwrap();
    assert_eq!(created.id, first);
    assert_eq!(created.replaced.as_ref(), before.by_id(first));
    scratch
        .catalog
        .commit(before.version(), created.changes)
        .unwrap();
    assert_ne!(scratch.snapshot().by_id(first), before.by_id(first));
}

#[test]
fn a_replacement_keeps_the_columns_that_others_may_read() {
    let scratch = Scratch::new();
    let name = ObjectName::public("t");
    let t = scratch
        .create(table(&scratch.snapshot(), name.clone()))
        .unwrap();
    scratch.create(view(ObjectName::public("v"), &[t])).unwrap();

    let mut wider = table(&scratch.snapshot(), name.clone());
    let Body::Table(body) = &mut wider.body else {
        unreachable!()
    };
    body.columns.push(bigint("more"));
    scratch.create_with(wider, IfExists::Replace).unwrap();
    assert_refused(
        scratch.create_with(table(&scratch.snapshot(), name), IfExists::Replace),
        "2BP01",
        "cannot change the columns of table \"t\": view \"v\" depends on it",
        Some("drop what depends on it first, and create it again afterwards"),
    );
}

#[test]
fn reserved_names_are_refused() {
    let scratch = Scratch::new();
    for name in ["information_schema", "pg_catalog", "weir", "pg_temp"] {
        assert_refused(
            scratch.create(schema(name)),
            "42939",
            &format!("schema name \"{name}\" is reserved"),
            Some("choose another name"),
        );
    }
    assert_refused(
        scratch.create(view(ObjectName::new("weir", "v"), &[])),
        "42501",
        "nothing can be created in schema \"weir\"",
        Some("the server fills it; create it in public or in a schema of your own"),
    );
    let mut hidden = bids();
    let Body::Stream(stream) = &mut hidden.body else {
        unreachable!()
    };
    stream.columns.push(bigint("_offset"));
    assert_refused(
        scratch.create(hidden),
        "42939",
        "column name \"_offset\" is reserved",
        Some("every stream and table has a hidden column of this name; choose another"),
    );
    assert_refused(
        scratch.create(view(ObjectName::public("x".repeat(64)), &[])),
        "42622",
        &format!("view name \"{}\" is longer than 63 bytes", "x".repeat(64)),
        Some("choose a shorter name"),
    );
}

#[test]
fn what_is_not_there_is_named_with_the_nearest_that_is() {
    let scratch = Scratch::new();
    scratch.create(bids()).unwrap();
    scratch.create(schema("sales")).unwrap();
    scratch.create(connection("lake", "x")).unwrap();
    let snapshot = scratch.snapshot();
    let public = ObjectName::public;
    assert_refused(
        snapshot.relation(&public("bid")),
        "42P01",
        "relation \"bid\" not found",
        Some("did you mean \"bids\"?"),
    );
    assert_refused(
        snapshot.require(ObjectKind::Stream, &ObjectName::new("sales", "bids")),
        "42P01",
        "stream \"sales.bids\" not found",
        Some("did you mean \"bids\"?"),
    );
    assert_refused(
        snapshot.require(ObjectKind::Table, &public("bids")),
        "42809",
        "\"bids\" is a stream, not a table",
        Some("use the statement for a stream instead"),
    );
    assert_refused(
        snapshot.relation(&ObjectName::new("sale", "bids")),
        "3F000",
        "schema \"sale\" not found",
        Some("did you mean \"sales\"?"),
    );
    assert_refused(
        snapshot.require(ObjectKind::Connection, &ObjectName::global("lak")),
        "42704",
        "connection \"lak\" not found",
        Some("did you mean \"lake\"?"),
    );
    let bids = snapshot.relation(&public("bids")).unwrap();
    assert_refused(
        snapshot.require_column(bids, "prise"),
        "42703",
        "column \"prise\" not found in stream \"bids\"",
        Some("did you mean \"price\"?"),
    );
    assert_refused(
        scratch.create(external("trips", Some("lakes"))),
        "42704",
        "connection \"lakes\" not found",
        Some("did you mean \"lake\"?"),
    );
}

#[test]
fn drop_names_the_dependants_and_cascade_drops_them() {
    let scratch = Scratch::new();
    scratch.create(schema("s")).unwrap();
    let bids = scratch.create(bids()).unwrap();
    let v1 = scratch
        .create(view(ObjectName::public("v1"), &[bids]))
        .unwrap();
    let v2 = scratch
        .create(view(ObjectName::new("s", "v2"), &[v1]))
        .unwrap();
    let v3 = scratch
        .create(view(ObjectName::public("v3"), &[v2, bids]))
        .unwrap();
    let snapshot = scratch.snapshot();
    assert_refused(
        snapshot.remove(&[bids], false),
        "2BP01",
        "cannot drop stream \"bids\": view \"s.v2\", view \"v1\" and view \"v3\" depend on it",
        Some("drop what depends on it first, or use DROP … CASCADE"),
    );
    let s = id_of(&snapshot, ObjectKind::Schema, "s");
    assert_refused(
        snapshot.remove(&[s], false),
        "2BP01",
        "cannot drop schema \"s\": view \"s.v2\" and view \"v3\" depend on it",
        Some("drop what depends on it first, or use DROP … CASCADE"),
    );
    // Named together, they go together, whatever the order.
    assert_eq!(snapshot.remove(&[v1, v3, v2], false).unwrap().len(), 3);
    let changes = snapshot.remove(&[bids], true).unwrap();
    assert_eq!(changes, [v3, v2, v1, bids].map(Change::Remove).to_vec());
    let after = scratch.catalog.commit(snapshot.version(), changes).unwrap();
    assert_eq!(after.relations().count(), 0);

    let public = id_of(&after, ObjectKind::Schema, "public");
    assert_eq!(
        after.remove(&[public], true).unwrap_err().to_string(),
        "schema \"public\" cannot be dropped"
    );
}

#[test]
fn a_connection_in_use_is_not_dropped_and_not_renamed() {
    let scratch = Scratch::new();
    let lake = scratch.create(connection("lake", "x")).unwrap();
    scratch.create(external("trips", Some("lake"))).unwrap();
    let snapshot = scratch.snapshot();
    assert_refused(
        snapshot.remove(&[lake], false),
        "2BP01",
        "cannot drop connection \"lake\": external table \"trips\" depends on it",
        Some("drop what depends on it first, or use DROP … CASCADE"),
    );
    assert_refused(
        snapshot.rename(lake, "pond", BTreeMap::new()),
        "2BP01",
        "cannot rename connection \"lake\": external table \"trips\" depends on it",
        Some("drop what depends on it first, and create it again afterwards"),
    );
    // Its secret may change, though.
    scratch
        .create_with(connection("lake", "y"), IfExists::Replace)
        .unwrap();
}

#[test]
fn a_rename_is_refused_while_a_view_reads_it() {
    let scratch = Scratch::new();
    let bids = scratch.create(bids()).unwrap();
    let v = scratch
        .create(view(ObjectName::public("v"), &[bids]))
        .unwrap();
    let snapshot = scratch.snapshot();
    for outcome in [
        snapshot.rename(bids, "offers", BTreeMap::new()),
        snapshot.rename_column(bids, "price", "cost"),
        snapshot.drop_column(bids, "price", false),
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Dependants { .. }), "{error:?}");
    }
    let changes = snapshot.rename(v, "w", BTreeMap::new()).unwrap();
    let snapshot = scratch.catalog.commit(snapshot.version(), changes).unwrap();
    assert_eq!(snapshot.by_id(v).unwrap().name, ObjectName::public("w"));
    assert!(snapshot.get(&ObjectName::public("v")).is_none());
    assert_eq!(
        snapshot
            .rename(v, "bids", BTreeMap::new())
            .unwrap_err()
            .to_string(),
        "stream \"bids\" already exists"
    );
}

#[test]
fn a_renamed_stream_keeps_its_topic_and_a_new_one_gets_another() {
    let scratch = Scratch::new();
    let bids_id = scratch.create(bids()).unwrap();
    let snapshot = scratch.snapshot();
    let changes = snapshot.rename(bids_id, "offers", BTreeMap::new()).unwrap();
    let snapshot = scratch.catalog.commit(snapshot.version(), changes).unwrap();
    let offers = snapshot.by_id(bids_id).unwrap();
    assert_eq!(offers.topic().unwrap().0.as_str(), "bids");
    assert_eq!(
        offers.checks()[0].sql,
        "price > 0 AND offers.price < 'price'"
    );
    let free = |name: ObjectName| snapshot.free_topic_name(&name).unwrap().to_string();
    assert_eq!(
        free(ObjectName::public("bids")),
        format!("bids-{}", snapshot.next_id())
    );
    assert_eq!(free(ObjectName::new("s", "bids")), "s.bids");
    assert_eq!(free(ObjectName::public("Order Items/ü")), "Order_Items__");
    assert_eq!(free(ObjectName::public("..")), ".._");
    assert_eq!(
        scratch.create(bids()).unwrap_err().to_string(),
        "topic \"bids\" of stream \"bids\" is in use by stream \"offers\""
    );
}

#[test]
fn streams_may_share_a_topic_and_tables_may_not() {
    let scratch = Scratch::new();
    let id = scratch.create(bids()).unwrap();
    let topic = scratch.snapshot().by_id(id).unwrap().topic().unwrap().1;
    let mut second = bids();
    second.name = ObjectName::public("again");
    if let Body::Stream(stream) = &mut second.body {
        stream.topic_id = topic;
    }
    let again = scratch.create(second.clone()).unwrap();
    let stored = |snapshot: &weir_catalog::Snapshot| -> Vec<_> {
        snapshot
            .by_topic(topic)
            .iter()
            .map(|entry| entry.id)
            .collect()
    };
    let snapshot = scratch.snapshot();
    assert_eq!(stored(&snapshot), [id, again]);
    let changes = snapshot.remove(&[id], false).unwrap();
    let snapshot = scratch.catalog.commit(snapshot.version(), changes).unwrap();
    assert_eq!(stored(&snapshot), [again]);

    let mut table = table(&snapshot, ObjectName::public("t"));
    if let Body::Table(table) = &mut table.body {
        (table.topic, table.topic_id) = (TopicName::new("bids").unwrap(), topic);
    }
    assert_eq!(
        scratch.create(table).unwrap_err().to_string(),
        "topic \"bids\" of table \"t\" is in use by stream \"again\""
    );
}

#[test]
fn columns_are_renamed_added_and_dropped_without_mixing_stored_values() {
    let scratch = Scratch::new();
    let id = scratch.create(bids()).unwrap();
    let step = |plan: &dyn Fn(&weir_catalog::Snapshot) -> weir_catalog::Result<Vec<Change>>| {
        let snapshot = scratch.snapshot();
        let changes = plan(&snapshot).unwrap();
        scratch.catalog.commit(snapshot.version(), changes).unwrap()
    };
    step(&|s| s.rename_column(id, "price", "cost"));
    step(&|s| s.rename_column(id, "at", "happened"));
    step(&|s| s.rename_column(id, "auction", "lot"));
    step(&|s| s.add_column(id, bigint("price"), Vec::new(), false));
    step(&|s| s.drop_column(id, "price", false));
    let snapshot = step(&|s| s.add_column(id, bigint("price"), Vec::new(), false));
    let Body::Stream(stream) = &snapshot.by_id(id).unwrap().body else {
        unreachable!()
    };
    let columns: Vec<_> = stream
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.source.as_str()))
        .collect();
    assert_eq!(
        columns,
        [
            ("lot", "auction"),
            ("cost", "price"),
            ("happened", "at"),
            ("price", "price~3")
        ]
    );
    assert_eq!(
        stream.retired_sources,
        BTreeSet::from(["price~2".to_owned()])
    );
    assert_eq!(stream.checks[0].sql, "cost > 0 AND bids.cost < 'price'");
    assert_eq!(stream.key.as_deref(), Some("lot"));
    let watermark = stream.watermark.as_ref().unwrap();
    assert_eq!(
        (watermark.column.as_str(), watermark.sql.as_str()),
        ("happened", "happened - INTERVAL '5' SECOND")
    );

    assert_refused(
        snapshot.drop_column(id, "cost", false),
        "2BP01",
        "cannot drop column \"cost\" of stream \"bids\": constraint \"bids_price_check\" depends on it",
        Some("drop what depends on it first, and create it again afterwards"),
    );
    assert_refused(
        snapshot.add_column(id, bigint("cost"), Vec::new(), false),
        "42701",
        "column \"cost\" already exists in stream \"bids\"",
        Some("choose another name, or use ADD COLUMN IF NOT EXISTS"),
    );
    assert_eq!(
        snapshot
            .add_column(id, bigint("cost"), Vec::new(), true)
            .unwrap(),
        []
    );
}

#[test]
fn comments_defaults_and_options_change() {
    let scratch = Scratch::new();
    let id = scratch
        .create(table(&scratch.snapshot(), ObjectName::public("t")))
        .unwrap();
    let snapshot = scratch.snapshot();
    let comment = |text: &str| Some(text.to_owned());
    let changes = [
        snapshot.set_comment(id, None, comment("people")).unwrap(),
        snapshot
            .set_comment(id, Some("name"), comment("in full"))
            .unwrap(),
        snapshot
            .alter_column(id, "name", ColumnChange::SetDefault("'?'".to_owned()))
            .unwrap(),
    ];
    // Each was planned on the same version, so that the last one wins.
    let snapshot = scratch
        .catalog
        .commit(snapshot.version(), changes.concat())
        .unwrap();
    let t = snapshot.by_id(id).unwrap();
    assert_eq!(t.column("name").unwrap().default.as_deref(), Some("'?'"));
    assert_refused(
        snapshot.alter_column(id, "id", ColumnChange::DropNotNull),
        "42P16",
        "column \"id\" is in the primary key, and cannot be null",
        None,
    );
    assert_refused(
        snapshot.set_comment(id, Some("nam"), None),
        "42703",
        "column \"nam\" not found in table \"t\"",
        Some("did you mean \"name\"?"),
    );
    let schema = id_of(&snapshot, ObjectKind::Schema, "public");
    assert_eq!(
        snapshot
            .set_options(schema, Default::default())
            .unwrap_err()
            .to_string(),
        "schema \"public\" has no options"
    );
}

#[test]
fn a_circle_of_views_is_refused() {
    let scratch = Scratch::new();
    let v = scratch.create(view(ObjectName::public("v"), &[])).unwrap();
    let w = scratch.create(view(ObjectName::public("w"), &[v])).unwrap();
    let error = scratch
        .create_with(view(ObjectName::public("v"), &[w]), IfExists::Replace)
        .unwrap_err();
    assert_eq!(error.to_string(), "view \"v\" would depend on itself");
}

#[test]
fn a_long_chain_of_views_is_dropped_without_deep_recursion() {
    const LENGTH: u64 = 20_000;
    let scratch = Scratch::new();
    let first = scratch.create(view(ObjectName::public("v0"), &[])).unwrap();
    let snapshot = scratch.snapshot();
    let template = snapshot.by_id(first).unwrap();
    let chain = (1..LENGTH).map(|number| {
        Change::Put(Arc::new(Entry {
            id: ObjectId(first.0 + number),
            name: ObjectName::public(format!("v{number}")),
            depends_on: BTreeSet::from([ObjectId(first.0 + number - 1)]),
            ..Entry::clone(template)
        }))
    });
    let snapshot = snapshot.apply(&chain.collect::<Vec<_>>()).unwrap();
    let changes = snapshot.remove(&[first], true).unwrap();
    assert_eq!(changes.len() as u64, LENGTH);
    assert_eq!(changes.last(), Some(&Change::Remove(first)));
    assert_eq!(snapshot.apply(&changes).unwrap().relations().count(), 0);
}

#[test]
fn a_secret_is_never_shown() {
    let scratch = Scratch::new();
    let id = scratch.create(connection("lake", "hunter2")).unwrap();
    let snapshot = scratch.snapshot();
    let lake = snapshot.by_id(id).unwrap();
    let shown = [
        format!("{lake:?}"),
        lake.sql.clone(),
        weir_catalog::create_statement(lake, &snapshot),
        serde_json::to_string(&**lake).unwrap(),
        Secret::new("hunter2").to_string(),
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let Body::Connection(body) = &lake.body else {
        unreachable!()
    };
    assert_eq!(body.secrets["secret_access_key"].expose(), "hunter2");
    assert_refused(
        scratch.create(connection("pond", "***")),
        "22023",
        "option \"secret_access_key\" is '***', which stands for a secret that is not shown",
        Some("write the secret itself"),
    );
}
