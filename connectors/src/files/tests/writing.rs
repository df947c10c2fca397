//! What is written, and what is left when writing fails.

use super::*;

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
