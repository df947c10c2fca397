//! Data files in every format that Weir reads, written without Weir: the same rows in each.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;

/// One row of the file tables: some trips.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// 1 to n.
    pub id: i64,
    /// A city; absent in every 7th row.
    pub city: Option<&'static str>,
    /// In kilometres.
    pub distance: f64,
    /// Days since 1970-01-01.
    pub day: i32,
}

const CITIES: [&str; 4] = ["Oslo", "Lisboa", "Kraków", "New, \"York\""];

/// The first `count` trips.
pub fn trips(count: i64) -> Vec<Trip> {
    (1..=count)
        .map(|id| Trip {
            id,
            city: (id % 7 != 0).then(|| CITIES[usize::try_from(id % 4).expect("0 to 3")]),
            distance: id as f64 / 4.0,
            day: 19_723 + i32::try_from(id % 3).expect("0 to 2"),
        })
        .collect()
}

/// `trips` as Arrow: `id BIGINT, city TEXT, distance DOUBLE, day DATE, fast BOOLEAN, fare DECIMAL(10,2), at TIMESTAMP`.
///
/// # Panics
/// Never, for the types fit.
pub fn batch(trips: &[Trip]) -> RecordBatch {
    let fares = trips.iter().map(|trip| i128::from(trip.id) * 125);
    let fares = Decimal128Array::from_iter_values(fares)
        .with_precision_and_scale(10, 2)
        .expect("the fares fit");
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(
                trips.iter().map(|trip| trip.id),
            )),
        ),
        (
            "city",
            Arc::new(StringArray::from_iter(trips.iter().map(|trip| trip.city))),
        ),
        (
            "distance",
            Arc::new(Float64Array::from_iter_values(
                trips.iter().map(|trip| trip.distance),
            )),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values(
                trips.iter().map(|trip| trip.day),
            )),
        ),
        (
            "fast",
            Arc::new(BooleanArray::from_iter(
                trips.iter().map(|trip| Some(trip.id % 2 == 0)),
            )),
        ),
        ("fare", Arc::new(fares)),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                trips
                    .iter()
                    .map(|trip| 1_704_067_200_000_000 + trip.id * 1_500_000),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).expect("the columns have one length")
}

/// The batch as a Parquet file of row groups of `row_group_rows`.
///
/// # Panics
/// Never, for it is written to memory.
pub fn parquet(batch: &RecordBatch, row_group_rows: usize) -> Vec<u8> {
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group_rows))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))
        .expect("the schema can be written");
    writer.write(batch).expect("a batch can be written");
    writer.close().expect("a file can be closed");
    bytes
}

/// The batch as CSV with a header line.
///
/// # Panics
/// Never, for it is written to memory.
pub fn csv(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    arrow::csv::Writer::new(&mut bytes)
        .write(batch)
        .expect("a batch can be written");
    bytes
}

/// The batch as an object a line.
///
/// # Panics
/// Never, for it is written to memory.
pub fn ndjson(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch).expect("a batch can be written");
    writer.finish().expect("the end can be written");
    writer.into_inner()
}

/// The batch as one JSON array of objects.
///
/// # Panics
/// Never, for it is written to memory.
pub fn json_array(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(batch).expect("a batch can be written");
    writer.finish().expect("the end can be written");
    writer.into_inner()
}

/// The batch as an Arrow IPC file.
///
/// # Panics
/// Never, for it is written to memory.
pub fn arrow_file(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema())
        .expect("the schema can be written");
    writer.write(batch).expect("a batch can be written");
    writer.finish().expect("the end can be written");
    writer.into_inner().expect("the buffer comes back")
}

/// The batch as an Arrow IPC stream.
///
/// # Panics
/// Never, for it is written to memory.
pub fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema())
        .expect("the schema can be written");
    writer.write(batch).expect("a batch can be written");
    writer.finish().expect("the end can be written");
    writer.into_inner().expect("the buffer comes back")
}

/// `trips` as an Avro object container file with `id`, `city` and `distance` (Avro 1.11 specification, codec null).
pub fn avro(trips: &[Trip]) -> Vec<u8> {
    const SCHEMA: &str = r#"{"type":"record","name":"trip","fields":[{"name":"id","type":"long"},{"name":"city","type":["null","string"]},{"name":"distance","type":"double"}]}"#;
    const SYNC: [u8; 16] = *b"weir-test-marker";
    let mut file = b"Obj\x01".to_vec();
    put_long(&mut file, 2);
    for (key, value) in [("avro.codec", "null"), ("avro.schema", SCHEMA)] {
        put_bytes(&mut file, key.as_bytes());
        put_bytes(&mut file, value.as_bytes());
    }
    put_long(&mut file, 0);
    file.extend_from_slice(&SYNC);
    let mut block = Vec::new();
    for trip in trips {
        put_long(&mut block, trip.id);
        match trip.city {
            None => put_long(&mut block, 0),
            Some(city) => {
                put_long(&mut block, 1);
                put_bytes(&mut block, city.as_bytes());
            }
        }
        block.extend_from_slice(&trip.distance.to_le_bytes());
    }
    put_long(&mut file, i64::try_from(trips.len()).expect("few trips"));
    put_bytes(&mut file, &block);
    file.extend_from_slice(&SYNC);
    file
}

/// Avro's zig-zag variable-length integer.
fn put_long(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        into.push(u8::try_from(rest & 0x7f).expect("7 bits") | 0x80);
        rest >>= 7;
    }
    into.push(u8::try_from(rest).expect("7 bits"));
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_long(into, i64::try_from(bytes.len()).expect("a short text"));
    into.extend_from_slice(bytes);
}

/// `bytes` by gzip.
///
/// # Panics
/// Never, for it is written to memory.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// `bytes` by zstd.
///
/// # Panics
/// Never, for it is written to memory.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes all")
}

/// Lays out `folder` for the `.slt` files: `trips.FORMAT` of 100 trips in each format, `trips.csv.gz` and others,
/// `days/` (a Hive table of Parquet by day), `many/` (files for globs), `nested.ndjson`, and broken ones.
///
/// # Panics
/// When the folder cannot be written.
pub fn lay_out(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).expect("the folder is writable");
        File::create(&path)
            .and_then(|mut file| file.write_all(bytes))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    let all = trips(100);
    let table = batch(&all);
    write("trips.parquet", &parquet(&table, 25));
    write("trips.csv", &csv(&table));
    write("trips.csv.gz", &gzip(&csv(&table)));
    write("trips.csv.zst", &zstd(&csv(&table)));
    write("trips.ndjson", &ndjson(&table));
    write("trips.ndjson.gz", &gzip(&ndjson(&table)));
    write("trips.json", &json_array(&table));
    write("trips.arrow", &arrow_file(&table));
    write("trips.avro", &avro(&all));
    write("pipes.txt", b"1|'one'|\n2|'two|2'|x\n");
    for (day, name) in [
        (19_723, "2024-01-01"),
        (19_724, "2024-01-02"),
        (19_725, "2024-01-03"),
    ] {
        let of_day: Vec<Trip> = all.iter().filter(|trip| trip.day == day).cloned().collect();
        let without_day = batch(&of_day)
            .project(&[0, 1, 2])
            .expect("three columns are there");
        write(
            &format!("days/day={name}/part-0.parquet"),
            &parquet(&without_day, 1000),
        );
    }
    for (at, part) in all.chunks(25).enumerate() {
        write(&format!("many/part-{at}.csv"), &csv(&batch(part)));
    }
    write("many/notes.txt", b"not a table\n");
    write(
        "nested.ndjson",
        br#"{"id":1,"tags":["a","b"],"place":{"lat":59.9,"lon":10.75}}
{"id":2,"tags":[],"place":{"lat":38.7,"lon":-9.1}}
{"id":3,"tags":null,"place":null}
"#,
    );
    write("broken.parquet", b"PAR1 this is no Parquet file PAR1");
    write("broken.csv", b"a,b\n1,2\n3,4,5\n");
    write("broken.ndjson", b"{\"a\":1}\n{\"a\":\n");
    write("empty.csv", b"");
    write("header-only.csv", b"a,b\n");
}

/// The names and types of `batch`'s columns, for a message.
pub fn columns(batch: &RecordBatch) -> Vec<(String, DataType)> {
    batch
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_holds_the_same_rows() {
        let table = batch(&trips(100));
        assert_eq!(table.num_rows(), 100);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(
            bytes::Bytes::from(parquet(&table, 25)),
            1000,
        )
        .unwrap();
        let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, 100);
        assert_eq!(
            csv(&table).iter().filter(|byte| **byte == b'\n').count(),
            101
        );
        assert_eq!(
            ndjson(&table).iter().filter(|byte| **byte == b'\n').count(),
            100
        );
        let array: serde_json::Value = serde_json::from_slice(&json_array(&table)).unwrap();
        assert_eq!(array.as_array().unwrap().len(), 100);
    }

    #[test]
    fn avro_longs_are_zig_zag() {
        let mut bytes = Vec::new();
        for value in [0, -1, 1, 64, -65] {
            put_long(&mut bytes, value);
        }
        assert_eq!(bytes, [0, 1, 2, 0x80, 1, 0x81, 1]);
    }
}
