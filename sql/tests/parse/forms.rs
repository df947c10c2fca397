//! Every form of every statement.

use weir_sql::statement::*;
use weir_sql::{ast, parse};

fn one(sql: &str) -> Statement {
    let mut parsed = parse(sql).unwrap_or_else(|error| panic!("{sql}\n{error} {error:?}"));
    assert_eq!(parsed.len(), 1, "{sql}");
    let parsed = parsed.remove(0);
    assert_eq!(parsed.sql, sql.trim(), "the text is the user's own");
    parsed.statement
}

fn pairs(options: &[(String, String)]) -> Vec<(&str, &str)> {
    options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn names(idents: &[ast::Ident]) -> Vec<String> {
    idents.iter().map(fold).collect()
}

macro_rules! is {
    ($sql:expr, $pattern:pat $(if $guard:expr)?) => {
        match one($sql) {
            $pattern $(if $guard)? => {}
            other => panic!("{}\n{other:#?}", $sql),
        }
    };
}

#[test]
fn queries() {
    for sql in [
        "SELECT 1",
        "SELECT * FROM bids WHERE price > 100",
        "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1, 'a'), (2, 'b')",
        "TABLE bids",
        "SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k",
        "SELECT * FROM b JOIN dim FOR SYSTEM_TIME AS OF b.ts AS d ON b.k = d.k",
        "SELECT * FROM bids AT",
        "SELECT changes, emit FROM bids AS version",
        "SELECT window_start, auction, count(*) AS n FROM TUMBLE(bids, at, INTERVAL '10 seconds') GROUP BY window_start, auction",
        "SELECT * FROM HOP(TABLE s.bids, DESCRIPTOR(at), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE) AS h",
        "SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' SECOND))",
        "SELECT * FROM TABLE(TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(at), SIZE => INTERVAL '10' SECOND))",
        "SELECT * FROM CUMULATE((SELECT * FROM bids), at, INTERVAL '1 minute', INTERVAL '1 hour')",
        "SELECT * FROM SESSION(bids PARTITION BY bidder, at, INTERVAL '10 seconds')",
        "SELECT * FROM SESSION(TABLE bids PARTITION BY (bidder, auction), DESCRIPTOR(at), INTERVAL '10' SECOND)",
        "SELECT * FROM read_csv('x.csv', header => true, delimiter => ';')",
        "SELECT a::INT[], b ->> 'c', d #> '{e}', f @> g, h ~* 'i', j ILIKE 'k%', l IS NOT DISTINCT FROM m FROM n",
        "SELECT DISTINCT ON (a) a, b FROM c ORDER BY a, b DESC NULLS LAST OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY",
        "SELECT string_agg(a, ',' ORDER BY b) FILTER (WHERE c), percentile_cont(0.5) WITHIN GROUP (ORDER BY d) FROM e",
        "SELECT row_number() OVER w FROM a WINDOW w AS (PARTITION BY b ORDER BY c) QUALIFY rank() OVER (ORDER BY d) = 1",
        "SELECT * EXCLUDE (a) FROM b",
        "SELECT * REPLACE (a + 1 AS a) FROM b",
        "SELECT {'a': 1}, MAP {'a': 1}, STRUCT(1, 'x'), ARRAY[1, 2][1], CAST(a AS STRUCT<x INT, y ARRAY<TEXT>>) FROM b",
        "SELECT $1, $2::TEXT",
        "SELECT E'a\\'b', U&'d\\0061t', $$it's$$, X'ff', 1_000, 'a' 'b'",
        "SELECT EXTRACT(EPOCH FROM a AT TIME ZONE 'UTC'), INTERVAL '1 day', DATE '2024-01-01' FROM b",
        "SELECT * FROM a, LATERAL (SELECT a.x) b LEFT JOIN LATERAL unnest(a.y) c ON true",
        "SELECT * FROM generate_series(1, 10) AS t(i)",
        "SELECT 1 = ANY(ARRAY[1]), 2 IN (SELECT 1), EXISTS (SELECT 1), NOT a BETWEEN 1 AND 2 FROM b",
        "SELECT FROM a",
        "SELECT t.order, t.end, t.from, floor, position, \"end\", path, interval FROM t AS end",
        "SELECT * FROM ((SELECT 1) UNION (SELECT 2)) x, ((a JOIN b ON true)) WHERE ((((1 = 1))))",
        "SELECT position('a' IN b), position('a', b), trim(LEADING 'x' FROM a), trim(a, 'x'), floor(a), overlay(a PLACING b FROM 1)",
    ] {
        is!(sql, Statement::Query(Query { emit: None, .. }));
    }
}

#[test]
fn fetch_is_a_limit() {
    let Statement::Query(query) = one("SELECT 1 OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY") else {
        panic!()
    };
    assert_eq!(query.query.to_string(), "SELECT 1 LIMIT 3 OFFSET 2 ROWS");
    let Statement::Query(query) = one("SELECT (SELECT 1 FETCH FIRST ROW ONLY)") else {
        panic!()
    };
    assert_eq!(query.query.to_string(), "SELECT (SELECT 1 LIMIT 1)");
}

#[test]
fn live_queries() {
    let live = |sql: &str, emit: Emit| {
        let Statement::Query(query) = one(sql) else {
            panic!("{sql}")
        };
        assert_eq!(query.emit, Some(emit), "{sql}");
        query.query.to_string()
    };
    let sql = "SELECT * FROM bids WHERE price > 100 EMIT CHANGES";
    assert_eq!(
        live(sql, Emit::Changes),
        "SELECT * FROM bids WHERE price > 100"
    );
    let sql = "select * from bids emit changes limit 5";
    assert_eq!(live(sql, Emit::Changes), "SELECT * FROM bids LIMIT 5");
    live(
        "SELECT a FROM b GROUP BY a EMIT ON WINDOW /* ; */ CLOSE",
        Emit::OnWindowClose,
    );
    live("SELECT a FROM b emit final", Emit::OnWindowClose);
    live(
        "(SELECT a FROM b) UNION ALL SELECT 1 EMIT CHANGES",
        Emit::Changes,
    );
    live("TABLE bids EMIT CHANGES", Emit::Changes);
    // A name, not a clause.
    is!(
        "SELECT emit changes FROM emit",
        Statement::Query(Query { emit: None, .. })
    );
}

#[test]
fn a_partition_by_in_a_table_function_is_an_operator() {
    let Statement::Query(query) = one("SELECT * FROM SESSION(s.bids PARTITION BY (a, b), at, 1)")
    else {
        panic!()
    };
    let ast::SetExpr::Select(select) = *query.query.body else {
        panic!()
    };
    let ast::TableFactor::Table {
        args: Some(args), ..
    } = &select.from[0].relation
    else {
        panic!()
    };
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::BinaryOp {
        left,
        op,
        right,
    })) = &args.args[0]
    else {
        panic!("{:?}", args.args[0])
    };
    assert_eq!(
        *op,
        ast::BinaryOperator::Custom(weir_sql::dialect::PARTITION_BY.to_owned())
    );
    assert_eq!(
        (left.to_string(), right.to_string()),
        ("s.bids".to_owned(), "(a, b)".to_owned())
    );
}

#[test]
fn inserts() {
    let insert = |sql: &str| match one(sql) {
        Statement::Insert(insert) => (insert.insert.to_string(), insert.emit, insert.upsert),
        other => panic!("{other:?}"),
    };
    let plain = "INSERT INTO t (a, b) VALUES (1, DEFAULT)";
    assert_eq!(insert(plain), (plain.to_owned(), None, false));
    assert!(!insert("INSERT INTO t DEFAULT VALUES").2);
    for sql in [
        "INSERT INTO t (a, b) WITH (upsert) VALUES (1, DEFAULT)",
        "INSERT INTO t (a, b) VALUES (1, DEFAULT) WITH (upsert)",
        "INSERT INTO t (a, b) VALUES (1, DEFAULT) WITH (upsert = true)",
    ] {
        assert_eq!(insert(sql), (plain.to_owned(), None, true), "{sql}");
    }
    let (sql, emit, upsert) =
        insert("INSERT INTO t WITH (upsert) WITH x AS (SELECT 1) SELECT * FROM x EMIT CHANGES");
    assert_eq!(sql, "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x");
    assert_eq!((emit, upsert), (Some(Emit::Changes), true));
    for sql in [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b WHERE x.c RETURNING a, b",
    ] {
        insert(sql);
    }
}

#[test]
fn updates_and_deletes() {
    is!(
        "UPDATE t SET a = 1, b = DEFAULT WHERE c = 2 RETURNING *",
        Statement::Update(_)
    );
    is!(
        "UPDATE t AS x SET a = u.a FROM u WHERE x.k = u.k",
        Statement::Update(_)
    );
    is!("DELETE FROM t WHERE a = 1", Statement::Delete(_));
    is!(
        "DELETE FROM t USING u WHERE t.a = u.a",
        Statement::Delete(_)
    );
    is!("TRUNCATE TABLE a, s.b", Statement::Truncate(names) if names.len() == 2);
}

#[test]
fn copies() {
    let Statement::Copy(copy) = one(
        "COPY (SELECT * FROM bids) TO 's3://b/x/' STORED AS PARQUET PARTITIONED BY (Day, \"H\") OPTIONS ('format.compression' 'zstd', max = 3)",
    ) else {
        panic!()
    };
    assert!(matches!(copy.source, CopySource::Query(_)));
    assert_eq!(copy.target.as_deref(), Some("s3://b/x/"));
    assert_eq!(copy.format.as_deref(), Some("parquet"));
    assert_eq!(copy.partitioned_by, ["day", "H"]);
    assert_eq!(
        pairs(&copy.options),
        [("format.compression", "zstd"), ("max", "3")]
    );
    let Statement::Copy(copy) =
        one("COPY t (a, b) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';')")
    else {
        panic!()
    };
    assert!(matches!(&copy.source, CopySource::Table(_, columns) if columns.len() == 2));
    assert_eq!((copy.target, copy.format.as_deref()), (None, Some("csv")));
    assert_eq!(
        pairs(&copy.options),
        [("header", "true"), ("delimiter", ";")]
    );
    let Statement::CopyFrom(copy) = one("COPY s.t FROM STDIN WITH CSV HEADER DELIMITER AS '|'")
    else {
        panic!()
    };
    assert_eq!((copy.source, copy.format.as_deref()), (None, Some("csv")));
    assert_eq!(
        pairs(&copy.options),
        [("header", "true"), ("delimiter", "|")]
    );
    is!(
        "COPY t FROM 'x.parquet'",
        Statement::CopyFrom(CopyFrom {
            source: Some(_),
            ..
        })
    );
}

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

#[test]
fn shows() {
    for (words, what) in [
        ("SCHEMAS", Listing::Schemas),
        ("STREAMS", Listing::Streams),
        ("SOURCES", Listing::Streams),
        ("TABLES", Listing::Tables),
        ("EXTERNAL TABLES", Listing::ExternalTables),
        ("VIEWS", Listing::Views),
        ("MATERIALIZED VIEWS", Listing::MaterializedViews),
        ("SINKS", Listing::Sinks),
        ("CONNECTIONS", Listing::Connections),
        ("JOBS", Listing::Jobs),
        ("QUERIES", Listing::Queries),
        ("FUNCTIONS", Listing::Functions),
    ] {
        is!(&format!("SHOW {words}"), Statement::Show(Show::List { what: found, schema: None, like: None }) if found == what);
        is!(
            &format!("SHOW {words} FROM s LIKE 'a%'"),
            Statement::Show(Show::List {
                schema: Some(_),
                like: Some(_),
                ..
            })
        );
    }
    is!(
        "SHOW COLUMNS FROM s.t LIKE 'a%'",
        Statement::Show(Show::Columns { like: Some(_), .. })
    );
    is!(
        "SHOW CREATE MATERIALIZED VIEW v",
        Statement::Show(Show::Create {
            kind: Some(ObjectKind::MaterializedView),
            ..
        })
    );
    is!(
        "SHOW CREATE v",
        Statement::Show(Show::Create { kind: None, .. })
    );
    is!(
        "SHOW CREATE stream",
        Statement::Show(Show::Create { kind: None, .. })
    );
    is!("SHOW ALL", Statement::Show(Show::All));
    is!("SHOW Search_Path", Statement::Show(Show::Variable(name)) if name == "search_path");
    is!("SHOW datafusion.execution.batch_size", Statement::Show(Show::Variable(name)) if name == "datafusion.execution.batch_size");
    is!("SHOW TIME ZONE", Statement::Show(Show::Variable(name)) if name == "timezone");
    is!("SHOW TRANSACTION ISOLATION LEVEL", Statement::Show(Show::Variable(name)) if name == "transaction_isolation");
}

#[test]
fn describe_and_explain() {
    is!("DESCRIBE s.t", Statement::Describe(Describe::Object(_)));
    is!("DESC TABLE t", Statement::Describe(Describe::Object(name)) if name.to_string() == "t");
    is!("DESCRIBE SELECT 1", Statement::Describe(Describe::Query(_)));
    let explain = |sql: &str| match one(sql) {
        Statement::Explain(explain) => (
            explain.analyze,
            explain.verbose,
            explain.format,
            explain.statement.tag(),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        explain("EXPLAIN SELECT 1 EMIT CHANGES"),
        (false, false, None, "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN ANALYZE VERBOSE INSERT INTO t SELECT 1"),
        (true, true, None, "INSERT")
    );
    assert_eq!(
        explain("EXPLAIN FORMAT TREE SELECT 1"),
        (false, false, Some("tree".to_owned()), "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN (ANALYZE, VERBOSE false, FORMAT JSON) SELECT 1"),
        (true, false, Some("json".to_owned()), "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN (SELECT 1) UNION (SELECT 2)"),
        (false, false, None, "SELECT")
    );
    assert_eq!(
        explain("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT 1").3,
        "CREATE MATERIALIZED VIEW"
    );
}

#[test]
fn settings() {
    let set = |sql: &str| match one(sql) {
        Statement::Set(set) => (set.name, set.value, set.local),
        other => panic!("{other:?}"),
    };
    let is = |name: &str, value: &str, local: bool| (name.to_owned(), value.to_owned(), local);
    assert_eq!(
        set("SET Search_Path = a, \"B\""),
        is("search_path", "a, B", false)
    );
    assert_eq!(
        set("SET LOCAL statement_timeout TO '5s'"),
        is("statement_timeout", "5s", true)
    );
    assert_eq!(set("SET SESSION a.b = -1.5"), is("a.b", "-1.5", false));
    assert_eq!(
        set("SET TIME ZONE 'Europe/Zurich'"),
        is("timezone", "Europe/Zurich", false)
    );
    assert_eq!(
        set("SET NAMES 'UTF8'"),
        is("client_encoding", "UTF8", false)
    );
    assert_eq!(
        set("SET read_your_writes = on"),
        is("read_your_writes", "on", false)
    );
    is!("SET a TO DEFAULT", Statement::Reset(Reset::Name(name)) if name == "a");
    is!("RESET ALL", Statement::Reset(Reset::All));
    is!("RESET a.b", Statement::Reset(Reset::Name(name)) if name == "a.b");
}

#[test]
fn operation() {
    let id = "0190163d-8694-739b-aea5-966c26f8ad91";
    is!(&format!("KILL QUERY '{id}'"), Statement::KillQuery(found) if found == id);
    is!(&format!("KILL {id}"), Statement::KillQuery(found) if found == id);
    is!("FLUSH", Statement::Flush);
    is!(
        "SUBSCRIBE v",
        Statement::Subscribe(Subscribe {
            source: SubscribeSource::Object(_),
            ..
        })
    );
    let Statement::Subscribe(subscribe) =
        one("SUBSCRIBE TO s.v WITH (snapshot = false) AS OF 5 + 1 UP TO 10")
    else {
        panic!()
    };
    assert_eq!(pairs(&subscribe.options), [("snapshot", "false")]);
    assert_eq!(subscribe.as_of.unwrap().sql, "5 + 1");
    assert_eq!(subscribe.up_to.unwrap().sql, "10");
    is!(
        "SUBSCRIBE (SELECT * FROM v) AS OF 3",
        Statement::Subscribe(Subscribe {
            source: SubscribeSource::Query(_),
            as_of: Some(_),
            ..
        })
    );
}

#[test]
fn cursors() {
    is!("DECLARE c CURSOR FOR SUBSCRIBE v", Statement::Cursor(Cursor::Declare { statement, hold: false, .. }) if matches!(*statement, Statement::Subscribe(_)));
    is!("DECLARE c BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT 1 EMIT CHANGES", Statement::Cursor(Cursor::Declare { binary: true, scroll: Some(false), hold: true, statement, .. }) if matches!(*statement, Statement::Query(_)));
    for (sql, direction) in [
        ("", FetchDirection::Relative(1)),
        ("NEXT FROM ", FetchDirection::Relative(1)),
        ("PRIOR IN ", FetchDirection::Relative(-1)),
        ("10 ", FetchDirection::Relative(10)),
        ("-3 FROM ", FetchDirection::Relative(-3)),
        ("ALL ", FetchDirection::All),
        ("FORWARD ", FetchDirection::Relative(1)),
        ("FORWARD 5 IN ", FetchDirection::Relative(5)),
        ("FORWARD ALL ", FetchDirection::All),
        ("BACKWARD 5 ", FetchDirection::Relative(-5)),
        ("BACKWARD ALL ", FetchDirection::BackwardAll),
        ("FIRST ", FetchDirection::Absolute(1)),
        ("LAST FROM ", FetchDirection::Absolute(-1)),
        ("ABSOLUTE 4 ", FetchDirection::Absolute(4)),
        ("RELATIVE -4 ", FetchDirection::Step(-4)),
    ] {
        is!(&format!("FETCH {sql}c"), Statement::Cursor(Cursor::Fetch { direction: found, name }) if found == direction && name.value == "c");
        is!(&format!("MOVE {sql}c"), Statement::Cursor(Cursor::Move { direction: found, .. }) if found == direction);
    }
    is!("FETCH next", Statement::Cursor(Cursor::Fetch { name, .. }) if name.value == "next");
    is!("CLOSE c", Statement::Cursor(Cursor::Close(Some(_))));
    is!("CLOSE ALL", Statement::Cursor(Cursor::Close(None)));
}

#[test]
fn prepared_statements() {
    let Statement::Prepared(Prepared::Prepare {
        types, statement, ..
    }) = one("PREPARE p (INT, DECIMAL(3, 1)) AS SELECT  $1, $2")
    else {
        panic!()
    };
    assert_eq!(
        (
            types.len(),
            statement.sql.as_str(),
            statement.position.column
        ),
        (2, "SELECT  $1, $2", 35)
    );
    is!("EXECUTE p (1, 'a')", Statement::Prepared(Prepared::Execute { parameters, .. }) if parameters.len() == 2);
    is!("EXECUTE p", Statement::Prepared(Prepared::Execute { parameters, .. }) if parameters.is_empty());
    is!(
        "DEALLOCATE PREPARE p",
        Statement::Prepared(Prepared::Deallocate(Some(_)))
    );
    is!(
        "DEALLOCATE ALL",
        Statement::Prepared(Prepared::Deallocate(None))
    );
}

#[test]
fn transactions() {
    is!(
        "BEGIN",
        Statement::Transaction(Transaction::Begin {
            read_only: None,
            isolation: None
        })
    );
    is!("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", Statement::Transaction(Transaction::Begin { read_only: Some(true), isolation: Some(level) }) if level == "repeatable read");
    is!(
        "START TRANSACTION READ WRITE",
        Statement::Transaction(Transaction::Begin {
            read_only: Some(false),
            ..
        })
    );
    is!("COMMIT WORK", Statement::Transaction(Transaction::Commit));
    is!("END", Statement::Transaction(Transaction::Commit));
    is!(
        "ROLLBACK AND NO CHAIN",
        Statement::Transaction(Transaction::Rollback)
    );
    is!("ABORT", Statement::Transaction(Transaction::Rollback));
    is!("SAVEPOINT A", Statement::Transaction(Transaction::Savepoint(name)) if name == "a");
    is!("RELEASE a", Statement::Transaction(Transaction::Release(_)));
    is!(
        "ROLLBACK TO SAVEPOINT a",
        Statement::Transaction(Transaction::RollbackTo(_))
    );
    is!(
        "SET TRANSACTION READ ONLY",
        Statement::Transaction(Transaction::Set {
            read_only: Some(true),
            session: false,
            ..
        })
    );
    is!(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        Statement::Transaction(Transaction::Set { session: true, .. })
    );
    is!("DISCARD ALL", Statement::Discard(what) if what == "ALL");
    is!("LISTEN a", Statement::Notification(word) if word == "LISTEN");
    is!("UNLISTEN *", Statement::Notification(_));
    is!("NOTIFY a, 'b'", Statement::Notification(_));
}

#[test]
fn users_and_rights() {
    is!("CREATE USER ann WITH PASSWORD 'x'", Statement::Access(Access::Other(statement)) if matches!(&*statement, ast::Statement::CreateRole(role) if role.login == Some(true)));
    for sql in [
        "CREATE ROLE r",
        "ALTER USER ann WITH PASSWORD 'y'",
        "DROP USER IF EXISTS ann",
        "DROP ROLE r",
        "GRANT SELECT, INSERT ON TABLE a, b TO ann",
        "REVOKE SELECT ON a FROM ann",
    ] {
        is!(sql, Statement::Access(Access::Other(_)));
    }
    is!("GRANT reader, writer TO ann", Statement::Access(Access::GrantRoles { roles, to }) if (roles.len(), to.len()) == (2, 1));
    is!("REVOKE reader FROM ann, bob", Statement::Access(Access::RevokeRoles { from, .. }) if from.len() == 2);
}

#[test]
fn scripts() {
    let parsed = parse(";; SELECT 1 ; -- one\n\n  FLUSH;/* end */").unwrap();
    let texts: Vec<_> = parsed
        .iter()
        .map(|parsed| {
            (
                parsed.sql.as_str(),
                parsed.position.line,
                parsed.position.column,
            )
        })
        .collect();
    assert_eq!(texts, [("SELECT 1", 1, 4), ("FLUSH", 3, 3)]);
    assert_eq!(parse(" -- nothing\n;").unwrap(), []);
}

#[test]
fn reading_is_told_from_writing() {
    for sql in [
        "SELECT 1",
        "SHOW ALL",
        "EXPLAIN DELETE FROM t",
        "COPY t TO STDOUT",
        "SUBSCRIBE v",
        "DESCRIBE t",
        "BEGIN",
        "PREPARE a AS SELECT 1",
    ] {
        assert!(one(sql).reads_only(), "{sql}");
    }
    for sql in [
        "INSERT INTO t SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM t",
        "COPY t TO 'x'",
        "DROP TABLE t",
        "KILL '1'",
        "EXECUTE p",
    ] {
        assert!(!one(sql).reads_only(), "{sql}");
    }
}
