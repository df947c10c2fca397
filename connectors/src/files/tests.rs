//! Tables of files from end to end: through DataFusion, on real folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::provider_as_source;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use weir_base::{Classify, Kind};

use super::*;
use crate::{Error, Result};

/// A folder that is allowed, and a session over it.
struct House {
    root: TempDir,
    stores: FileStores,
    context: SessionContext,
}

impl House {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let stores = FileStores::new(FilePolicy {
            allow_paths: vec![root.path().to_owned()],
            allow_private_network: true,
            ..FilePolicy::default()
        })
        .unwrap();
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(stores.registry())
            .with_cache_manager(FileStores::caches())
            .build_arc()
            .unwrap();
        let config = FileStores::configure(SessionConfig::new().with_target_partitions(2));
        Self {
            root,
            stores,
            context: SessionContext::new_with_config_rt(config, runtime),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root.path().display())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = PathBuf::from(self.path(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        self.path(name)
    }

    async fn open(&self, table: &FileTable) -> Result<Arc<FileTableProvider>> {
        open_table(&self.stores, &self.context.state(), table, None).await
    }

    /// Opens a table under the name `t`.
    async fn table(&self, table: &FileTable) -> Arc<FileTableProvider> {
        let provider = self
            .open(table)
            .await
            .unwrap_or_else(|error| panic!("{error} {:?}", error.hint()));
        self.context.deregister_table("t").unwrap();
        self.context
            .register_table("t", Arc::clone(&provider) as _)
            .unwrap();
        provider
    }

    async fn rows(&self, sql: &str) -> String {
        let batches = self
            .context
            .sql(sql)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        show(&batches)
    }

    async fn copy(
        &self,
        sql: &str,
        to: CopyTo,
    ) -> std::result::Result<u64, datafusion::error::DataFusionError> {
        let input = self.context.sql(sql).await?.into_unoptimized_plan();
        let plan = copy_plan(&self.stores, input, &to, None)?;
        let batches = self
            .context
            .execute_logical_plan(plan)
            .await?
            .collect()
            .await?;
        Ok(written_rows(&batches))
    }

    async fn insert(
        &self,
        sql: &str,
        table: Arc<FileTableProvider>,
    ) -> std::result::Result<u64, datafusion::error::DataFusionError> {
        let input = self.context.sql(sql).await?.into_unoptimized_plan();
        let plan = LogicalPlanBuilder::insert_into(
            input,
            "t",
            provider_as_source(table),
            InsertOp::Append,
        )?
        .build()?;
        let batches = self
            .context
            .execute_logical_plan(plan)
            .await?
            .collect()
            .await?;
        Ok(written_rows(&batches))
    }

    /// The names of all files below a folder.
    fn files(&self, name: &str) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, found),
                    path => found.push(path.display().to_string()),
                }
            }
        }
        let mut found = Vec::new();
        walk(Path::new(&self.path(name)), &mut found);
        found.sort();
        found
    }
}

fn show(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn at(location: impl Into<String>) -> FileTable {
    FileTable {
        location: location.into(),
        ..FileTable::default()
    }
}

fn to(location: impl Into<String>, pairs: &[(&str, &str)]) -> CopyTo {
    CopyTo {
        location: location.into(),
        options: options(pairs),
        ..CopyTo::default()
    }
}

const SOURCE: &str = "SELECT * FROM (VALUES (1, 'one', 1.5, DATE '2024-01-01'), (2, NULL, -2.25, DATE '2024-02-29'), (3, 'thr,\"ee', NULL, NULL)) AS v(id, name, x, d)";

#[tokio::test]
async fn every_format_reads_what_was_written() {
    let house = House::new();
    let expected = house
        .rows(&format!(
            "SELECT id, name, x, d FROM ({SOURCE}) ORDER BY id"
        ))
        .await;
    for (name, pairs) in [
        ("a.parquet", &[][..]),
        (
            "b.parquet",
            &[("compression", "snappy"), ("row_group_rows", "2")],
        ),
        ("a.csv", &[]),
        ("b.csv.gz", &[]),
        ("c.csv.zst", &[]),
        ("d.csv.bz2", &[]),
        ("e.csv.xz", &[]),
        ("f.tsv", &[]),
        (
            "g.csv",
            &[("delimiter", ";"), ("header", "true"), ("null", "NA")],
        ),
        ("a.json", &[]),
        ("b.ndjson.gz", &[]),
        ("c.jsonl.zst", &[]),
        ("a.arrow", &[]),
    ] {
        let location = house.path(name);
        assert_eq!(
            house.copy(SOURCE, to(&location, pairs)).await.unwrap(),
            3,
            "{name}"
        );
        let reading: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(key, _)| !matches!(*key, "compression" | "row_group_rows"))
            .collect();
        house
            .table(&FileTable {
                options: options(&reading),
                ..at(&location)
            })
            .await;
        // JSON and CSV give numbers and dates in other types; the values are the same.
        let read = house.rows("SELECT CAST(id AS BIGINT) AS id, name, CAST(x AS DOUBLE) AS x, CAST(d AS DATE) AS d FROM t ORDER BY id").await;
        assert_eq!(read.replace(' ', ""), expected.replace(' ', ""), "{name}");
    }
    assert_eq!(house.files("").len(), 13, "nothing else is left");
}

#[tokio::test]
async fn json_arrays_and_lines_are_told_apart() {
    let house = House::new();
    let array = house.write(
        "array.json",
        "\n [ {\"a\": 1, \"b\": [1, 2]},\n {\"a\": 2} ]",
    );
    let lines = house.write("lines.json", "{\"a\": 1, \"b\": [1, 2]}\n{\"a\": 2}\n");
    for location in [array, lines] {
        house.table(&at(&location)).await;
        let rows = house.rows("SELECT a, b FROM t ORDER BY a").await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(rows, @r"
            +---+--------+
            | a | b      |
            +---+--------+
            | 1 | [1, 2] |
            | 2 |        |
            +---+--------+
            ");
        }
    }
}

#[tokio::test]
async fn arrow_streams_are_read_as_files_are() {
    let house = House::new();
    let batch = house
        .context
        .sql(SOURCE)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap()
        .remove(0);
    let mut stream = Vec::new();
    let mut writer =
        datafusion::arrow::ipc::writer::StreamWriter::try_new(&mut stream, &batch.schema())
            .unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    house.table(&at(house.write("a.arrows", stream))).await;
    assert!(
        house
            .rows("SELECT sum(id) AS s FROM t")
            .await
            .contains("| 6 |")
    );
}

#[tokio::test]
async fn folders_and_patterns_choose_their_files() {
    let house = House::new();
    house.write("d/a.csv", "x\n1\n");
    house.write("d/sub/b.csv", "x\n2\n");
    house.write("d/c.txt", "x\n4\n");
    house.write("d/_SUCCESS", "");
    house.write("d/.hidden.csv", "x\n100\n");
    house.write("d/notes.md", "no data");
    for (location, pairs, sum) in [
        ("d", &[][..], 7),
        ("d/", &[("file_extension", ".csv")], 3),
        ("d/*.csv", &[], 1),
        ("d/**/*.csv", &[], 3),
        ("d/{a,c}.*", &[], 5),
        ("d/c.txt", &[], 4),
    ] {
        house
            .table(&FileTable {
                options: options(pairs),
                format: Some("csv".into()),
                ..at(house.path(location))
            })
            .await;
        let rows = house.rows("SELECT sum(x) AS s FROM t").await;
        assert!(rows.contains(&format!("| {sum} |")), "{location}: {rows}");
    }
    // A file that comes later is seen by the next scan.
    house.table(&at(house.path("d/*.csv"))).await;
    house.write("d/z.csv", "x\n10\n");
    assert!(
        house
            .rows("SELECT sum(x) AS s FROM t")
            .await
            .contains("| 11 |")
    );
}

#[tokio::test]
async fn hive_partitions_are_typed_and_pruned() {
    let house = House::new();
    let to = CopyTo {
        partitioned_by: vec!["day".into(), "kind".into()],
        format: Some("parquet".into()),
        ..to(house.path("trips/"), &[])
    };
    let source = "SELECT * FROM (VALUES (1, DATE '2024-01-01', 'a/b'), (2, DATE '2024-01-01', 'c'), (3, DATE '2024-01-02', 'c')) AS v(n, day, kind)";
    assert_eq!(house.copy(source, to).await.unwrap(), 3);
    assert_eq!(house.files("trips").len(), 3);

    let provider = house.table(&at(house.path("trips"))).await;
    let types: Vec<_> = provider
        .partition_columns()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type().clone()))
        .collect();
    assert_eq!(
        types,
        [("day", DataType::Date32), ("kind", DataType::Utf8View)]
    );
    insta::assert_snapshot!(house.rows("SELECT n, day, kind FROM t ORDER BY n").await, @r"
    +---+------------+------+
    | n | day        | kind |
    +---+------------+------+
    | 1 | 2024-01-01 | a/b  |
    | 2 | 2024-01-01 | c    |
    | 3 | 2024-01-02 | c    |
    +---+------------+------+
    ");
    for (filter, files) in [
        ("day = DATE '2024-01-02'", 1),
        ("kind = 'c'", 2),
        ("day < DATE '2024-01-02' AND kind <> 'c'", 1),
        ("n > 0", 3),
        ("day > DATE '2030-01-01'", 0),
    ] {
        let frame = house
            .context
            .sql(&format!("SELECT n FROM t WHERE {filter}"))
            .await
            .unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(plan.matches(".parquet").count(), files, "{filter}: {plan}");
    }
    // Without partitions, the folders are only folders.
    let plain = house
        .table(&FileTable {
            options: options(&[("hive_partitioning", "false")]),
            ..at(house.path("trips/"))
        })
        .await;
    assert!(plain.partition_columns().is_empty());
    // Declared: names, types and order are checked against the folders.
    let declared = FileTable {
        partitioned_by: vec![("kind".into(), None)],
        ..at(house.path("trips/"))
    };
    let error = house.open(&declared).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not lie in folders of the form kind=…"),
        "{error}"
    );
}

#[tokio::test]
async fn a_partition_without_a_name_is_refused_and_leaves_nothing() {
    let house = House::new();
    let to = CopyTo {
        partitioned_by: vec!["name".into()],
        format: Some("csv".into()),
        ..to(house.path("out"), &[])
    };
    let error = house.copy(SOURCE, to).await.unwrap_err();
    let ours = Error::find(&error).unwrap();
    assert!(
        ours.to_string()
            .contains("partition column \"name\" is NULL"),
        "{ours}"
    );
    while Path::new(&house.path("out")).exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rows_are_inserted_into_a_folder_as_new_files() {
    let house = House::new();
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("day", DataType::Utf8View, true),
    ]));
    let table = FileTable {
        format: Some("csv".into()),
        columns: Some(schema),
        partitioned_by: vec![("day".into(), None)],
        options: options(&[("compression", "gzip")]),
        ..at(house.path("events/"))
    };
    for round in 1..=2 {
        let provider = house.table(&table).await;
        let rows = "SELECT CAST(column1 AS BIGINT) AS id, arrow_cast(column2, 'Utf8View') AS day FROM (VALUES (1, 'mon'), (2, 'tue'))";
        assert_eq!(house.insert(rows, provider).await.unwrap(), 2);
        let files = house.files("events");
        assert_eq!(files.len(), 2 * round);
        assert!(
            files.iter().all(|file| file.ends_with(".csv.gz")),
            "{files:?}"
        );
    }
    insta::assert_snapshot!(house.rows("SELECT day, count(*) AS n, sum(id) AS s FROM t GROUP BY day ORDER BY day").await, @r"
    +-----+---+---+
    | day | n | s |
    +-----+---+---+
    | mon | 2 | 2 |
    | tue | 2 | 4 |
    +-----+---+---+
    ");
}

#[tokio::test]
async fn a_failing_query_leaves_no_file_and_the_old_one_stays() {
    let house = House::new();
    let location = house.write("out/a.csv", "old\n1\n");
    // Fails in the middle, after rows were written.
    let failing = "SELECT 1 / (5000 - value) AS x FROM generate_series(1, 10000) AS g(value)";
    let error = house.copy(failing, to(&location, &[])).await.unwrap_err();
    assert!(error.to_string().contains("ivide by zero"), "{error}");
    let failed = house
        .copy(failing, to(house.path("many/"), &[("format", "parquet")]))
        .await;
    assert!(failed.is_err());
    while house.files("out").len() > 1 || Path::new(&house.path("many")).exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::read_to_string(&location).unwrap(), "old\n1\n");
    // Cancelled: the stream is dropped before its end.
    let input = house
        .context
        .sql("SELECT value FROM generate_series(1, 100000000) AS g(value)")
        .await
        .unwrap()
        .into_unoptimized_plan();
    let plan = copy_plan(
        &house.stores,
        input,
        &to(house.path("cut/"), &[("format", "csv")]),
        None,
    )
    .unwrap();
    let frame = house.context.execute_logical_plan(plan).await.unwrap();
    let mut running = Box::pin(frame.collect());
    while house.files("cut").is_empty() {
        tokio::select! {
            _ = &mut running => panic!("it cannot be over"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(running);
    while Path::new(&house.path("cut")).exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_there_is_not_overwritten_unless_asked() {
    let house = House::new();
    let folder = house.path("out/");
    let source = "SELECT 1 AS a";
    let parquet = |pairs: &[(&str, &str)]| CopyTo {
        format: Some("parquet".into()),
        ..to(&folder, pairs)
    };
    house.copy(source, parquet(&[])).await.unwrap();
    let error = house.copy(source, parquet(&[])).await.unwrap_err();
    assert_eq!(Error::find(&error).unwrap().kind(), Kind::Conflict);
    house
        .copy(source, parquet(&[("if_exists", "append")]))
        .await
        .unwrap();
    assert_eq!(house.files("out").len(), 2);
    let file = to(house.path("one.parquet"), &[]);
    house.copy(source, file.clone()).await.unwrap();
    house.copy(source, file.clone()).await.unwrap();
    let careful = CopyTo {
        options: options(&[("if_exists", "error")]),
        ..file
    };
    assert!(house.copy(source, careful).await.is_err());
}

#[tokio::test]
async fn mistakes_are_named() {
    let house = House::new();
    let csv = house.write("a.csv", "x\n1\n");
    house.write("mixed/a.csv", "x\n1\n");
    house.write("mixed/b.csv.gz", "");
    house.write("other/readme.md", "hello");
    house.write("bad.parquet", "this is not parquet");
    for (table, message, hint) in [
        (
            FileTable {
                options: options(&[("heder", "true")]),
                ..at(&csv)
            },
            "unknown option \"heder\"",
            Some("did you mean \"header\"?"),
        ),
        (
            FileTable {
                options: options(&[("header", "maybe")]),
                ..at(&csv)
            },
            "option \"header\":",
            None,
        ),
        (
            FileTable {
                format: Some("xlsx".into()),
                ..at(&csv)
            },
            "\"xlsx\" is not one of",
            None,
        ),
        (at(house.path("nope.csv")), "no file ", None),
        (at(house.path("nope/")), "no files at ", None),
        (at(house.path("nope*.csv")), "no files at ", None),
        (
            FileTable {
                format: Some("csv".into()),
                ..at(house.path("mixed/"))
            },
            "not all compressed alike",
            Some("*.csv.gz"),
        ),
        (
            FileTable {
                format: Some("csv".into()),
                ..at(house.path("other/"))
            },
            "no csv files at ",
            Some("file_extension"),
        ),
        (
            at(house.path("other/")),
            "do not tell their format",
            Some("STORED AS"),
        ),
        (
            at(house.path("bad.parquet")),
            "cannot be read as parquet",
            None,
        ),
        (
            at("s3://lake/x.parquet"),
            "needs a connection",
            Some("CREATE CONNECTION"),
        ),
        (
            at("/etc/passwd"),
            "is not below a folder",
            Some("--allow-path"),
        ),
        (
            at(house.path("../x.csv")),
            "is not below a folder",
            Some("--allow-path"),
        ),
    ] {
        let error = house.open(&table).await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        if let Some(hint) = hint {
            assert!(
                error.hint().is_some_and(|given| given.contains(hint)),
                "{error}: {:?}",
                error.hint()
            );
        }
    }
    for (copy, message) in [
        (to(house.path("out"), &[]), "does not tell a format"),
        (
            to(house.path("out.avro"), &[]),
            "Avro files can be read, not written",
        ),
        (
            to(house.path("out.csv"), &[("compresion", "gzip")]),
            "unknown option \"compresion\"",
        ),
        (to(house.path("out*.csv"), &[]), "cannot write to a pattern"),
        (to("/etc/out.csv", &[]), "is not below a folder"),
        (to("https://example.com/out.csv", &[]), "read, not written"),
        (
            CopyTo {
                partitioned_by: vec!["nmae".into()],
                ..to(house.path("out.csv"), &[])
            },
            "is not among the rows' columns",
        ),
    ] {
        let error = house.copy(SOURCE, copy).await.unwrap_err();
        let ours = Error::find(&error).unwrap_or_else(|| panic!("{error}"));
        assert!(ours.to_string().contains(message), "{ours}");
    }
    assert!(house.files("out").is_empty());
}

#[tokio::test]
async fn declared_columns_are_what_is_read() {
    let house = House::new();
    let location = house.write("a.csv", "id,amount\n1,2.50\n2,\n");
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int16, false),
        Field::new("amount", DataType::Decimal128(10, 2), true),
    ]);
    house
        .table(&FileTable {
            columns: Some(Arc::new(schema)),
            ..at(location)
        })
        .await;
    insta::assert_snapshot!(house.rows("SELECT id, amount, arrow_typeof(amount) AS t FROM t").await, @r"
    +----+--------+-------------------+
    | id | amount | t                 |
    +----+--------+-------------------+
    | 1  | 2.50   | Decimal128(10, 2) |
    | 2  |        | Decimal128(10, 2) |
    +----+--------+-------------------+
    ");
}
