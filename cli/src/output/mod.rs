//! How rows are written: one writer a format, all of them fed with record batches as they come.

mod cell;
mod columnar;
mod delimited;
mod json;
mod markdown;
mod table;
mod vertical;

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use clap::ValueEnum;
use weir_base::nearest::nearest;

use crate::error::{Error, Result};

/// Where a writer's bytes go.
pub(crate) type Sink = Box<dyn Write + Send>;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// One line a column
    Vertical,
    /// RFC 4180 with a header line; NULL is an empty field, the empty text is ""
    Csv,
    /// Tab-separated with a header line; NULL is \N, tabs and line feeds are \t and \n
    Tsv,
    /// One JSON array of objects
    Json,
    /// A JSON object a line
    Ndjson,
    /// A table for a document
    Markdown,
    /// An Arrow IPC stream
    Arrow,
    /// A Parquet file, zstd-compressed
    Parquet,
}

/// When a table that is wider than the terminal is shown one column a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expanded {
    /// Always.
    On,
    /// Never.
    #[default]
    Off,
    /// When it does not fit into so many columns of text.
    WiderThan(usize),
}

/// A writer of rows in one format. It is told of every batch, and at last of the end.
pub(crate) trait RowWriter: Send {
    /// Takes rows. They need not be visible before [`RowWriter::flush`].
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Makes the rows so far visible, as far as the format allows.
    fn flush(&mut self) -> Result<()>;
    /// Ends the output: what it has so far is then whole.
    fn finish(self: Box<Self>) -> Result<()>;
}

impl Format {
    /// A writer of rows with `schema` to `sink`. What the format has before the first row is written with it or with
    /// the end.
    pub(crate) fn writer(
        self,
        schema: &SchemaRef,
        expanded: Expanded,
        sink: Sink,
    ) -> Result<Box<dyn RowWriter>> {
        Ok(match (self, expanded) {
            (Self::Vertical, _) | (Self::Table, Expanded::On) => {
                Box::new(vertical::Vertical::new(schema, sink))
            }
            (Self::Table, Expanded::Off) => Box::new(table::Table::new(schema, None, sink)),
            (Self::Table, Expanded::WiderThan(width)) => {
                Box::new(table::Table::new(schema, Some(width), sink))
            }
            (Self::Csv, _) => Box::new(delimited::Delimited::csv(schema, sink)),
            (Self::Tsv, _) => Box::new(delimited::Delimited::tsv(schema, sink)),
            (Self::Json, _) => Box::new(json::OneArray::new(schema, sink)),
            (Self::Ndjson, _) => Box::new(json::Lines::new(schema, sink)),
            (Self::Markdown, _) => Box::new(markdown::Markdown::new(schema, sink)),
            (Self::Arrow, _) => Box::new(columnar::Arrow::new(schema, sink)?),
            (Self::Parquet, _) => Box::new(columnar::Parquet::new(schema, sink)?),
        })
    }

    /// Whether a person reads it: then command tags go to the same place.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Vertical | Self::Markdown)
    }

    /// Whether a terminal should not get it.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// The format that a file's name tells of.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_lowercase();
        Some(match extension.as_str() {
            "txt" => Self::Table,
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "md" => Self::Markdown,
            "arrow" | "arrows" => Self::Arrow,
            "parquet" => Self::Parquet,
            _ => return None,
        })
    }
}

/// The same columns under names that differ, by a number as in `id_2`: JSON objects and Parquet files hold a name once.
fn with_unique_names(schema: &SchemaRef) -> SchemaRef {
    let given: HashSet<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    if given.len() == schema.fields().len() {
        return schema.clone();
    }
    let mut used: HashSet<String> = HashSet::new();
    let mut fields = Vec::new();
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 2;
        while used.contains(&name) || (number > 2 && given.contains(name.as_str())) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        used.insert(name.clone());
        fields.push(field.as_ref().clone().with_name(name));
    }
    Arc::new(Schema::new(fields))
}

/// The rows of `batch` under the names of `schema`.
fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => Ok(()),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        <Self as ValueEnum>::from_str(name, true).map_err(|_| {
            let known: Vec<String> = Self::value_variants().iter().map(Self::to_string).collect();
            let hint = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("formats: {}", known.join(", ")),
            };
            Error::Usage {
                message: format!("unknown format {name:?}"),
                hint: Some(hint),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;

    /// A sink that a test can read.
    #[derive(Clone, Default)]
    pub(super) struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        pub(super) fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        pub(super) fn text(&self) -> String {
            String::from_utf8(self.bytes()).unwrap()
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Three rows with what makes formats differ.
    pub(super) fn sample() -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([
            (
                "id",
                Arc::new(Int64Array::from(vec![1, 20, i64::MAX])) as ArrayRef,
                false,
            ),
            (
                "na|me",
                Arc::new(StringArray::from(vec![
                    Some("Ann, \"A\""),
                    None,
                    Some("two\nlines\t日本"),
                ])) as ArrayRef,
                true,
            ),
            (
                "x",
                Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None])) as ArrayRef,
                true,
            ),
        ])
        .unwrap()
    }

    /// What `format` makes of `batches`.
    pub(super) fn written(format: Format, expanded: Expanded, batches: &[RecordBatch]) -> Memory {
        let memory = Memory::default();
        let mut writer = format
            .writer(&sample().schema(), expanded, Box::new(memory.clone()))
            .unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        memory
    }

    #[test]
    fn rows_are_there_after_a_flush() {
        for format in [
            Format::Table,
            Format::Vertical,
            Format::Csv,
            Format::Tsv,
            Format::Ndjson,
            Format::Markdown,
        ] {
            let memory = Memory::default();
            let mut writer = format
                .writer(&sample().schema(), Expanded::Off, Box::new(memory.clone()))
                .unwrap();
            writer.write(&sample()).unwrap();
            writer.flush().unwrap();
            let shown = memory.text();
            assert!(shown.contains("9223372036854775807"), "{format:?}: {shown}");
        }
    }

    #[test]
    fn names_that_come_twice_get_a_number() {
        let fields = ["id", "id", "id_2"].map(|name| Field::new(name, DataType::Null, true));
        let schema = with_unique_names(&Arc::new(Schema::new(fields.to_vec())));
        assert_eq!(cell::names(&schema), ["id", "id_3", "id_2"]);
    }

    #[test]
    fn formats_have_names_and_extensions() {
        assert_eq!("NDJSON".parse::<Format>().unwrap(), Format::Ndjson);
        let error = "tabel".parse::<Format>().unwrap_err();
        assert!(error.render().contains("did you mean \"table\"?"));
        assert_eq!(
            Format::of_file(Path::new("a.PARQUET")),
            Some(Format::Parquet)
        );
        assert_eq!(Format::of_file(Path::new("a")), None);
    }
}
