//! Every form of the statements that make, change, describe and drop things.

use weir_sql::statement::*;

use super::{names, one, pairs};

#[test]
fn streams() {
    let sql = "CREATE STREAM bids (auction BIGINT, bidder BIGINT, price BIGINT, at TIMESTAMP,
                    WATERMARK FOR at AS at - INTERVAL '5' SECOND)
  WITH (partitions = 4, format = 'json')";
    let Statement::CreateStream(stream) = one(sql) else {
        panic!()
    };
    assert_eq!(stream.name.to_string(), "bids");
    assert_eq!(stream.columns.len(), 4);
    assert_eq!(
        (
            stream.columns[3].position.line,
            stream.columns[3].position.column
        ),
        (1, 66)
    );
    let watermark = stream.watermark.unwrap();
    assert_eq!(
        (watermark.column.value.as_str(), watermark.sql.as_str()),
        ("at", "at - INTERVAL '5' SECOND")
    );
    assert_eq!(
        pairs(&stream.options),
        [("partitions", "4"), ("format", "json")]
    );

    let sql = "CREATE OR REPLACE SOURCE s.clicks (\"Key\" TEXT PRIMARY KEY, watermark INT, WATERMARK FOR watermark)
        WITH (connector = kafka, \"bootstrap.servers\" = 'a:1,b:2', properties.group.id = 'g', retries = -1, upsert, Topic = 'Clicks', idle_timeout = INTERVAL '5' MINUTE)";
    let Statement::CreateStream(stream) = one(sql) else {
        panic!()
    };
    assert!(stream.or_replace && !stream.if_not_exists);
    assert_eq!(stream.watermark.unwrap().sql, "watermark");
    assert_eq!(names(&stream.primary_key), ["Key"]);
    assert_eq!(
        pairs(&stream.options),
        [
            ("connector", "kafka"),
            ("bootstrap.servers", "a:1,b:2"),
            ("properties.group.id", "g"),
            ("retries", "-1"),
            ("upsert", "true"),
            ("topic", "Clicks"),
            ("idle_timeout", "5 minute"),
        ]
    );
    is!(
        "CREATE STREAM IF NOT EXISTS a (b INT)",
        Statement::CreateStream(CreateStream {
            if_not_exists: true,
            ..
        })
    );
    is!(
        "CREATE STREAM a WITH (connector = 'kafka')",
        Statement::CreateStream(_)
    );
}

#[test]
fn tables() {
    let sql = "CREATE TABLE IF NOT EXISTS s.users (
        id BIGINT PRIMARY KEY,
        name VARCHAR(20) NOT NULL DEFAULT 'it''s' || lower('X') COMMENT 'who',
        age INT NULL CONSTRAINT grown CHECK (age > 17 AND age < 200),
        tags TEXT[] DEFAULT NULL,
        what STRUCT<a INT, b MAP<TEXT, ARRAY<DECIMAL(10, 2)>>>,
        made TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        \"Odd\" UUID UNIQUE,
        CHECK (id > 0), UNIQUE (name, age)
    ) WITH (upsert)";
    let Statement::CreateTable(table) = one(sql) else {
        panic!()
    };
    assert!(table.if_not_exists && !table.temporary && table.query.is_none());
    let types: Vec<_> = table
        .columns
        .iter()
        .map(|column| column.sql_type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "BIGINT",
            "VARCHAR(20)",
            "INT",
            "TEXT[]",
            "STRUCT<a INT, b MAP<TEXT, ARRAY<DECIMAL(10, 2)>>>",
            "TIMESTAMP WITH TIME ZONE",
            "UUID"
        ]
    );
    let not_null: Vec<_> = table.columns.iter().map(|column| column.not_null).collect();
    assert_eq!(not_null, [true, true, false, false, false, true, false]);
    let defaults: Vec<_> = table
        .columns
        .iter()
        .map(|column| column.default.as_ref().map(|default| default.sql.as_str()))
        .collect();
    assert_eq!(
        defaults,
        [
            None,
            Some("'it''s' || lower('X')"),
            None,
            Some("NULL"),
            None,
            Some("now()"),
            None
        ]
    );
    assert_eq!(table.columns[1].comment.as_deref(), Some("who"));
    assert_eq!(names(&table.primary_key), ["id"]);
    assert_eq!(
        table
            .unique
            .iter()
            .map(|key| names(key))
            .collect::<Vec<_>>(),
        [
            vec!["Odd".to_owned()],
            vec!["name".to_owned(), "age".to_owned()]
        ]
    );
    let checks: Vec<_> = table
        .checks
        .iter()
        .map(|check| (check.name.as_deref(), check.sql.as_str()))
        .collect();
    assert_eq!(
        checks,
        [(Some("grown"), "age > 17 AND age < 200"), (None, "id > 0")]
    );
    assert_eq!(pairs(&table.options), [("upsert", "true")]);

    let Statement::CreateTable(table) =
        one("CREATE TABLE t (a INT, b TEXT, CONSTRAINT k PRIMARY KEY (a, b))")
    else {
        panic!()
    };
    assert!(table.columns.iter().all(|column| column.not_null));
    is!(
        "CREATE TEMP TABLE t AS SELECT 1 AS a",
        Statement::CreateTable(CreateTable {
            temporary: true,
            query: Some(_),
            without_data: false,
            ..
        })
    );
    for (end, drops) in [("DROP", true), ("PRESERVE ROWS", false)] {
        let sql = format!("CREATE LOCAL TEMPORARY TABLE t (a INT) ON COMMIT {end}");
        is!(&sql, Statement::CreateTable(CreateTable { temporary: true, drop_on_commit, .. }) if drop_on_commit == drops);
    }
    is!("CREATE OR REPLACE TABLE t (a, b) AS VALUES (1, 2)", Statement::CreateTable(CreateTable { or_replace: true, column_names, .. }) if column_names.len() == 2);
    is!(
        "CREATE TABLE t WITH (x = 1) AS (SELECT 1) WITH NO DATA",
        Statement::CreateTable(CreateTable {
            without_data: true,
            ..
        })
    );
    is!(
        "CREATE TABLE t AS TABLE u WITH DATA",
        Statement::CreateTable(CreateTable {
            without_data: false,
            ..
        })
    );
}

#[test]
fn every_type_of_the_rows() {
    let types = [
        "BOOLEAN",
        "BOOL",
        "TINYINT",
        "SMALLINT",
        "INT2",
        "INT",
        "INTEGER",
        "INT4",
        "BIGINT",
        "INT8",
        "TINYINT UNSIGNED",
        "SMALLINT UNSIGNED",
        "INT UNSIGNED",
        "BIGINT UNSIGNED",
        "REAL",
        "FLOAT4",
        "FLOAT",
        "DOUBLE",
        "DOUBLE PRECISION",
        "FLOAT8",
        "DECIMAL(38, 10)",
        "NUMERIC",
        "TEXT",
        "VARCHAR",
        "VARCHAR(10)",
        "CHARACTER VARYING(10)",
        "CHAR(3)",
        "STRING",
        "BYTEA",
        "DATE",
        "TIME",
        "TIME WITHOUT TIME ZONE",
        "TIMESTAMP",
        "TIMESTAMP(3)",
        "TIMESTAMPTZ",
        "TIMESTAMP WITHOUT TIME ZONE",
        "TIMESTAMP(6) WITH TIME ZONE",
        "INTERVAL",
        "UUID",
        "JSON",
        "JSONB",
        "INT[]",
        "INT[][]",
        "ARRAY<INT>",
        "ARRAY<ARRAY<INT>>",
        "STRUCT<a INT>",
        "MAP<TEXT, INT>",
        "MAP<TEXT, MAP<TEXT, INT>>",
        "my.type",
    ];
    let columns: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(at, name)| format!("c{at} {name} NOT NULL"))
        .collect();
    let Statement::CreateTable(table) = one(&format!("CREATE TABLE t ({})", columns.join(", ")))
    else {
        panic!()
    };
    let read: Vec<_> = table
        .columns
        .iter()
        .map(|column| column.sql_type.as_str())
        .collect();
    assert_eq!(read, types);
    for name in types {
        weir_sql::parse_data_type(name).unwrap();
    }
}

#[test]
fn external_tables() {
    let Statement::CreateExternalTable(table) = one(
        "CREATE EXTERNAL TABLE trips STORED AS PARQUET LOCATION 's3://bucket/trips/' PARTITIONED BY (day)",
    ) else {
        panic!()
    };
    assert_eq!(table.stored_as.as_deref(), Some("parquet"));
    assert_eq!(table.location, "s3://bucket/trips/");
    assert!(table.columns.is_empty() && table.partitioned_by[0].data_type.is_none());
    let Statement::CreateExternalTable(table) = one(
        "CREATE OR REPLACE EXTERNAL TABLE IF NOT EXISTS s.t (a INT NOT NULL, b TEXT) PARTITIONED BY (y INT, m TEXT) \
         LOCATION 'x/*.csv' STORED AS 'CSV' WITH (connection = lake, header = true) OPTIONS (format.delimiter ';')",
    ) else {
        panic!()
    };
    assert!(table.or_replace && table.if_not_exists);
    assert_eq!((table.columns.len(), table.partitioned_by.len()), (2, 2));
    assert_eq!(
        table.partitioned_by[1].data_type.as_ref().unwrap().1,
        "TEXT"
    );
    assert_eq!(
        pairs(&table.options),
        [
            ("connection", "lake"),
            ("header", "true"),
            ("format.delimiter", ";")
        ]
    );
    is!(
        "CREATE EXTERNAL TABLE t LOCATION 'x.parquet'",
        Statement::CreateExternalTable(CreateExternalTable {
            stored_as: None,
            ..
        })
    );
}

#[test]
fn views_keep_their_text() {
    let Statement::CreateView(view) = one(
        "CREATE OR REPLACE VIEW IF NOT EXISTS s.v (A, \"B\") AS\n  SELECT  1 /* one */, 2 -- two\n  FROM x  AS y",
    ) else {
        panic!()
    };
    assert_eq!(
        view.query_sql,
        "SELECT  1 /* one */, 2 -- two\n  FROM x  AS y"
    );
    assert_eq!(names(&view.columns), ["a", "B"]);
    let Statement::CreateMaterializedView(view) = one(
        "CREATE MATERIALIZED VIEW hot WITH (ttl = '1 day') AS\n  SELECT window_start, auction, count(*) AS n FROM TUMBLE(bids, at, INTERVAL '10 seconds') GROUP BY window_start, auction EMIT ON WINDOW CLOSE",
    ) else {
        panic!()
    };
    assert!(view.query_sql.ends_with("GROUP BY window_start, auction"));
    assert_eq!(view.emit, Some(Emit::OnWindowClose));
    assert_eq!(pairs(&view.options), [("ttl", "1 day")]);
    assert_eq!(
        weir_sql::parse_query(&view.query_sql).unwrap().to_string(),
        view.query.to_string()
    );
    is!(
        "CREATE TEMPORARY VIEW v AS SELECT 1",
        Statement::CreateView(CreateView {
            temporary: true,
            ..
        })
    );
    is!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1",
        Statement::CreateMaterializedView(CreateMaterializedView { emit: None, .. })
    );
}

#[test]
fn sinks() {
    let Statement::CreateSink(sink) =
        one("CREATE SINK hot_out FROM hot WITH (connector = 'kafka', topic = 'x')")
    else {
        panic!()
    };
    assert!(matches!(sink.source, SinkSource::Object(_)) && sink.into.is_none());
    assert_eq!(sink.options.len(), 2);
    let Statement::CreateSink(sink) =
        one("CREATE SINK s INTO t AS SELECT a FROM b WHERE c EMIT CHANGES")
    else {
        panic!()
    };
    assert!(
        matches!(&sink.source, SinkSource::Query { query_sql, .. } if query_sql == "SELECT a FROM b WHERE c")
    );
    assert_eq!(
        (sink.into.unwrap().to_string().as_str(), sink.emit),
        ("t", Some(Emit::Changes))
    );
    let Statement::CreateSink(sink) = one(
        "CREATE OR REPLACE SINK IF NOT EXISTS s AS WITH a AS (SELECT 1) SELECT * FROM a EMIT FINAL WITH (connector = 'files')",
    ) else {
        panic!()
    };
    assert!(
        matches!(&sink.source, SinkSource::Query { query_sql, .. } if query_sql == "WITH a AS (SELECT 1) SELECT * FROM a")
    );
    assert_eq!(
        (sink.emit, pairs(&sink.options)),
        (Some(Emit::OnWindowClose), vec![("connector", "files")])
    );
    is!(
        "CREATE SINK s FROM v EMIT ON WINDOW CLOSE WITH (connector = 'files')",
        Statement::CreateSink(CreateSink {
            emit: Some(Emit::OnWindowClose),
            ..
        })
    );
}

#[test]
fn schemas_and_connections() {
    is!(
        "CREATE SCHEMA IF NOT EXISTS weir.s",
        Statement::CreateSchema(CreateSchema {
            if_not_exists: true,
            ..
        })
    );
    let Statement::CreateConnection(connection) =
        one("CREATE CONNECTION IF NOT EXISTS lake WITH (type = 's3', \"Secret_Key\" = 'x')")
    else {
        panic!()
    };
    assert_eq!(
        pairs(&connection.options),
        [("type", "s3"), ("secret_key", "x")]
    );
}

#[test]
fn drops() {
    for (words, kind) in [
        ("SCHEMA", ObjectKind::Schema),
        ("STREAM", ObjectKind::Stream),
        ("SOURCE", ObjectKind::Stream),
        ("TABLE", ObjectKind::Table),
        ("EXTERNAL TABLE", ObjectKind::ExternalTable),
        ("VIEW", ObjectKind::View),
        ("MATERIALIZED VIEW", ObjectKind::MaterializedView),
        ("SINK", ObjectKind::Sink),
        ("CONNECTION", ObjectKind::Connection),
    ] {
        let Statement::Drop(drop) = one(&format!("DROP {words} IF EXISTS a, s.b CASCADE")) else {
            panic!()
        };
        assert_eq!(
            (drop.kind, drop.if_exists, drop.names.len(), drop.cascade),
            (kind, true, 2, true)
        );
        let Statement::Drop(drop) = one(&format!("DROP {words} a RESTRICT")) else {
            panic!()
        };
        assert_eq!(
            (drop.kind, drop.if_exists, drop.cascade),
            (kind, false, false)
        );
    }
}

#[test]
fn alters() {
    let alter = |sql: &str| match one(sql) {
        Statement::Alter(alter) => alter,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        alter("ALTER STREAM IF EXISTS s RENAME TO t"),
        Alter {
            kind: ObjectKind::Stream,
            if_exists: true,
            operation: AlterOperation::RenameTo(_),
            ..
        }
    ));
    assert!(matches!(
        alter("ALTER TABLE s.t RENAME COLUMN a TO b").operation,
        AlterOperation::RenameColumn { .. }
    ));
    assert!(matches!(
        alter("ALTER TABLE t RENAME a TO b").operation,
        AlterOperation::RenameColumn { .. }
    ));
    let AlterOperation::AddColumn {
        column,
        if_not_exists,
        checks,
    } = alter(
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a DECIMAL(3, 1) NOT NULL DEFAULT 1 CHECK (a > 0)",
    )
    .operation
    else {
        panic!()
    };
    assert_eq!(
        (
            column.sql_type.as_str(),
            column.not_null,
            if_not_exists,
            checks.len()
        ),
        ("DECIMAL(3, 1)", true, true, 1)
    );
    assert!(matches!(
        alter("ALTER STREAM t ADD a INT").operation,
        AlterOperation::AddColumn { .. }
    ));
    assert!(matches!(
        alter("ALTER TABLE t DROP COLUMN IF EXISTS a CASCADE").operation,
        AlterOperation::DropColumn {
            if_exists: true,
            cascade: true,
            ..
        }
    ));
    for (sql, change) in [
        ("DROP DEFAULT", ColumnChange::DropDefault),
        ("SET NOT NULL", ColumnChange::SetNotNull),
        ("DROP NOT NULL", ColumnChange::DropNotNull),
    ] {
        let AlterOperation::AlterColumn { change: found, .. } =
            alter(&format!("ALTER TABLE t ALTER COLUMN a {sql}")).operation
        else {
            panic!()
        };
        assert_eq!(found, change);
    }
    assert!(
        matches!(alter("ALTER TABLE t ALTER a SET DEFAULT 1 + 1").operation, AlterOperation::AlterColumn { change: ColumnChange::SetDefault(default), .. } if default.sql == "1 + 1")
    );
    assert!(
        matches!(alter("ALTER TABLE t ALTER a SET DATA TYPE TEXT[]").operation, AlterOperation::AlterColumn { change: ColumnChange::SetType(_, sql), .. } if sql == "TEXT[]")
    );
    assert!(matches!(
        alter("ALTER VIEW v SET SCHEMA s").operation,
        AlterOperation::SetSchema(_)
    ));
    assert!(matches!(
        alter("ALTER MATERIALIZED VIEW v PAUSE").operation,
        AlterOperation::Pause
    ));
    assert!(matches!(
        alter("ALTER SINK v RESUME").operation,
        AlterOperation::Resume
    ));
    assert!(
        matches!(alter("ALTER MATERIALIZED VIEW v SET (parallelism = 2)").operation, AlterOperation::SetOptions(options) if pairs(&options) == [("parallelism", "2")])
    );
    assert!(
        matches!(alter("ALTER CONNECTION c RESET (a, b.c)").operation, AlterOperation::ResetOptions(keys) if keys == ["a", "b.c"])
    );
    assert!(
        matches!(alter("ALTER MATERIALIZED VIEW v AS SELECT  1 EMIT CHANGES").operation, AlterOperation::As { query_sql, emit: Some(Emit::Changes), .. } if query_sql == "SELECT  1")
    );
}

#[test]
fn comments() {
    is!("COMMENT ON STREAM s.bids IS 'it''s'", Statement::CommentOn(CommentOn { kind: Some(ObjectKind::Stream), column: None, comment: Some(text), .. }) if text == "it's");
    is!("COMMENT ON COLUMN s.bids.price IS NULL", Statement::CommentOn(CommentOn { kind: None, name, column: Some(_), comment: None }) if name.to_string() == "s.bids");
}
