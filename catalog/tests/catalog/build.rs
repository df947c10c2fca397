//! Short ways to make the objects that the tests need.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::DataType;
use weir_base::{TopicId, TopicName};
use weir_catalog::{
    Body, Catalog, Check, Column, Connection, ExternalTable, IfExists, NewObject, ObjectId,
    ObjectKind, ObjectName, Result, Secret, Snapshot, Stream, Table, View, Watermark,
};

/// A catalog in a new folder, gone with the value.
pub(crate) struct Scratch {
    pub(crate) catalog: Catalog,
    pub(crate) dir: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path()).unwrap();
        Self { catalog, dir }
    }

    pub(crate) fn create(&self, new: NewObject) -> Result<ObjectId> {
        self.create_with(new, IfExists::Refuse)
    }

    pub(crate) fn create_with(&self, new: NewObject, if_exists: IfExists) -> Result<ObjectId> {
        let snapshot = self.catalog.snapshot();
        let created = snapshot.create(new, if_exists)?;
        self.catalog.commit(snapshot.version(), created.changes)?;
        Ok(created.id)
    }

    pub(crate) fn snapshot(&self) -> std::sync::Arc<Snapshot> {
        self.catalog.snapshot()
    }

    pub(crate) fn reopen(self) -> Self {
        let Self { catalog, dir } = self;
        drop(catalog);
        let catalog = Catalog::open(dir.path()).unwrap();
        Self { catalog, dir }
    }
}

pub(crate) fn new_object(name: ObjectName, body: Body) -> NewObject {
    NewObject {
        name,
        body,
        comment: None,
        sql: "as given".to_owned(),
        depends_on: BTreeSet::new(),
        created_at_ms: 1_700_000_000_000,
        owner: None,
    }
}

pub(crate) fn schema(name: &str) -> NewObject {
    new_object(ObjectName::global(name), Body::Schema)
}

pub(crate) fn bigint(name: &str) -> Column {
    Column::new(name, DataType::Int64, "BIGINT")
}

/// The stream of the design's example, with a check.
pub(crate) fn bids() -> NewObject {
    new_object(
        ObjectName::public("bids"),
        Body::Stream(Stream {
            columns: vec![
                Column {
                    nullable: false,
                    ..bigint("auction")
                },
                bigint("price"),
                Column::new(
                    "at",
                    DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, None),
                    "TIMESTAMP",
                ),
            ],
            checks: vec![Check {
                name: "bids_price_check".to_owned(),
                sql: "price > 0 AND bids.price < 'price'".to_owned(),
            }],
            topic: TopicName::new("bids").unwrap(),
            topic_id: TopicId::random(),
            named_topic: false,
            key_columns: vec![],
            partitions: 4,
            key: Some("auction".to_owned()),
            format: "json".to_owned(),
            watermark: Some(Watermark {
                column: "at".to_owned(),
                sql: "at - INTERVAL '5' SECOND".to_owned(),
            }),
            options: BTreeMap::from([("retention.time".to_owned(), "7d".to_owned())]),
            retired_sources: BTreeSet::new(),
        }),
    )
}

pub(crate) fn table(snapshot: &Snapshot, name: ObjectName) -> NewObject {
    let id = Column {
        nullable: false,
        ..bigint("id")
    };
    new_object(
        name.clone(),
        Body::Table(Table {
            columns: vec![id, Column::new("name", DataType::Utf8View, "TEXT")],
            checks: Vec::new(),
            primary_key: vec!["id".to_owned()],
            topic: snapshot.free_topic_name(&name).unwrap(),
            topic_id: TopicId::random(),
            options: BTreeMap::new(),
            retired_sources: BTreeSet::new(),
        }),
    )
}

pub(crate) fn view(name: ObjectName, reads: &[ObjectId]) -> NewObject {
    NewObject {
        depends_on: reads.iter().copied().collect(),
        ..new_object(
            name,
            Body::View(View {
                sql: "SELECT id AS x FROM t".to_owned(),
                columns: vec![bigint("x")],
                named_columns: false,
                default_schema: "public".to_owned(),
            }),
        )
    }
}

pub(crate) fn connection(name: &str, secret: &str) -> NewObject {
    new_object(
        ObjectName::global(name),
        Body::Connection(Connection {
            kind: "s3".to_owned(),
            options: BTreeMap::from([("region".to_owned(), "eu-1".to_owned())]),
            secrets: BTreeMap::from([("secret_access_key".to_owned(), Secret::new(secret))]),
        }),
    )
}

pub(crate) fn external(name: &str, connection: Option<&str>) -> NewObject {
    new_object(
        ObjectName::public(name),
        Body::ExternalTable(ExternalTable {
            columns: None,
            format: "parquet".to_owned(),
            location: "s3://bucket/trips/".to_owned(),
            connection: connection.map(str::to_owned),
            partitioned_by: vec![Column::new("day", DataType::Date32, "DATE")],
            options: BTreeMap::new(),
        }),
    )
}

pub(crate) fn id_of(snapshot: &Snapshot, kind: ObjectKind, name: &str) -> ObjectId {
    let name = match kind {
        ObjectKind::Schema | ObjectKind::Connection => ObjectName::global(name),
        _ => ObjectName::public(name),
    };
    snapshot.require(kind, &name).unwrap().id
}
