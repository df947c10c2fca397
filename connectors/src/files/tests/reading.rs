//! What is read of which files.

use super::*;

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
        ("day = DATE '2024-01-01' AND kind = 'a/b'", 1),
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
    // A declared column that folders are named after is theirs.
    let columns = Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("day", DataType::Utf8View, true),
        Field::new("kind", DataType::Utf8View, true),
    ]);
    let declared = FileTable {
        columns: Some(Arc::new(columns)),
        ..at(house.path("trips/"))
    };
    house.table(&declared).await;
    let rows = house.rows("SELECT n FROM t WHERE day = '2024-01-02'").await;
    assert!(rows.contains("| 3 |"), "{rows}");
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

/// Two rows, (1, 'one') and (2, NULL), as other implementations of Avro write them.
const AVRO: &[u8] = b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema\xf2\x01{\"type\": \"record\", \"name\": \"r\", \"fields\": [{\"name\": \"id\", \"type\": \"long\"}, {\"name\": \"name\", \"type\": [\"null\", \"string\"]}]}\x000123456789abcdef\x04\x10\x02\x02\x06one\x04\x000123456789abcdef";
const AVRO_DEFLATED: &[u8] = b"Obj\x01\x04\x14avro.codec\x0edeflate\x16avro.schema\xf2\x01{\"type\": \"record\", \"name\": \"r\", \"fields\": [{\"name\": \"id\", \"type\": \"long\"}, {\"name\": \"name\", \"type\": [\"null\", \"string\"]}]}\x000123456789abcdef\x04\x1acbb\xcb\xcfKea\x00\x00\x05d\x010123456789abcdef";

#[tokio::test]
async fn avro_is_read() {
    let house = House::new();
    for (name, content) in [("a.avro", AVRO), ("b.avro", AVRO_DEFLATED)] {
        house.table(&at(house.write(name, content))).await;
        let rows = house
            .rows("SELECT id, name FROM t WHERE id > 0 ORDER BY id")
            .await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(rows, @r"
            +----+------+
            | id | name |
            +----+------+
            | 1  | one  |
            | 2  |      |
            +----+------+
            ");
        }
    }
}

#[tokio::test]
async fn partitions_of_every_format() {
    let house = House::new();
    for (format, bytes) in [
        ("avro", AVRO),
        ("json", b"{\"id\": 1}\n{\"id\": 2}\n"),
        ("csv", b"id\n1\n2\n"),
    ] {
        house.write(&format!("{format}/year=2024/a.{format}"), bytes);
        house.write(&format!("{format}/year=2025/a.{format}"), bytes);
        house.table(&at(house.path(format))).await;
        let rows = house
            .rows("SELECT year, sum(id) AS s FROM t WHERE year >= 2025 GROUP BY year")
            .await;
        assert!(rows.contains("| 2025 | 3 |"), "{format}: {rows}");
    }
}

#[tokio::test]
async fn broken_parquet_is_an_error_and_no_panic() {
    let house = House::new();
    let good = house.path("good.parquet");
    house.copy(SOURCE, to(&good, &[])).await.unwrap();
    let bytes = std::fs::read(&good).unwrap();
    // The magic bytes, the footer's length, and its content.
    for at_byte in bytes.len() - 120..bytes.len() {
        for flip in [0x01, 0x7f, 0xff] {
            let mut broken = bytes.clone();
            broken[at_byte] ^= flip;
            let location = house.write("broken.parquet", &broken);
            let (stores, context) = (house.stores.clone(), house.context.clone());
            let read = tokio::spawn(async move {
                let table = open_table(&stores, &context.state(), &at(location), None).await?;
                let rows = context.read_table(table).map_err(table::internal)?;
                rows.collect().await.map_err(table::internal)
            });
            let read = read.await;
            assert!(read.is_ok(), "byte {at_byte} ^ {flip}: {read:?}");
            if at_byte + 4 >= bytes.len() {
                let error = read.unwrap().unwrap_err().to_string();
                assert!(error.contains("broken.parquet"), "{error}");
            }
        }
    }
}
