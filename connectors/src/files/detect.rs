//! What files tell about themselves: columns, partitions, whether JSON is an array.

use std::io::{BufRead, BufReader, Read};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::json::reader::infer_json_schema;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use weir_base::Kind;

use super::format::{Format, FormatOptions};
use super::stores::{Place, store_error};
use crate::{Error, Result};

/// How many rows columns are inferred from, unless an option says otherwise.
const INFER_ROWS: usize = 10_000;

/// How much of a file is looked at to infer the columns of JSON, and to tell an array from lines. A compressed file
/// gives its first block within this.
const SAMPLE_BYTES: u64 = 8 << 20;

/// The columns that the files hold.
pub(crate) async fn infer_schema(
    session: &dyn Session,
    place: &Place,
    files: &[ObjectMeta],
    options: &FormatOptions,
    format: &Arc<dyn FileFormat>,
    compression: CompressionTypeVariant,
    array: bool,
) -> Result<SchemaRef> {
    let files: Vec<ObjectMeta> = files.iter().filter(|meta| meta.size > 0).cloned().collect();
    let rows = options.infer_rows.unwrap_or(INFER_ROWS);
    let schema = match options.format {
        Format::Json if !array => infer_lines(place, &files, compression, rows).await?,
        _ => {
            let store = place.store();
            // Arrow panics on some schemas that no writer makes, such as an integer of 0 bits.
            AssertUnwindSafe(format.infer_schema(session, &store, &files))
                .catch_unwind()
                .await
                .map_err(|_| {
                    Error::new(
                        Kind::Invalid,
                        format!(
                            "the files at {} cannot be read as {}: one of them is broken",
                            place.shown, options.format
                        ),
                    )
                })?
                .map_err(|error| unreadable(place, options.format, error))?
        }
    };
    if schema.fields().is_empty() {
        return Err(Error::invalid(format!(
            "the files at {} are empty, so they tell no columns",
            place.shown
        ))
        .with_hint("declare the columns"));
    }
    Ok(schema)
}

fn unreadable(place: &Place, format: Format, error: datafusion::error::DataFusionError) -> Error {
    match Error::find(&error) {
        Some(ours) => ours.retell(),
        None => Error::new(
            Kind::Invalid,
            format!(
                "the files at {} cannot be read as {format}: {}",
                place.shown,
                error.strip_backtrace()
            ),
        ),
    }
}

/// The columns of line-delimited JSON, from the start of each file, so that a large file is not read whole.
async fn infer_lines(
    place: &Place,
    files: &[ObjectMeta],
    compression: CompressionTypeVariant,
    rows: usize,
) -> Result<SchemaRef> {
    let mut left = rows;
    let mut schemas = Vec::new();
    for meta in files {
        if left == 0 {
            break;
        }
        let sample = sample(place, meta, SAMPLE_BYTES).await?;
        let cut = (sample.len() as u64) < meta.size;
        let mut text = decompressed(sample, compression);
        // A line that the sample cuts off is no line.
        if cut && let Some(end) = memchr::memrchr(b'\n', &text) {
            text.truncate(end + 1);
        }
        let (schema, read) = infer_json_schema(text.as_slice(), Some(left)).map_err(|error| {
            Error::invalid(format!(
                "{} cannot be read as JSON: {error}",
                place.mount.show(&meta.location)
            ))
        })?;
        left = left.saturating_sub(read.max(1));
        schemas.push(schema);
    }
    let merged = Schema::try_merge(schemas).map_err(|error| {
        Error::invalid(format!(
            "the files at {} do not agree: {error}",
            place.shown
        ))
        .with_hint("declare the columns")
    })?;
    Ok(Arc::new(merged))
}

/// Whether JSON files are arrays, by the first character of the first that has one.
pub(crate) async fn is_json_array(
    place: &Place,
    files: &[ObjectMeta],
    compression: CompressionTypeVariant,
) -> Result<bool> {
    for meta in files.iter().filter(|meta| meta.size > 0) {
        // Blocks of bzip2 are large; other files tell by their first bytes.
        let bytes = match compression {
            CompressionTypeVariant::UNCOMPRESSED => 4096,
            _ => SAMPLE_BYTES,
        };
        let sample = sample(place, meta, bytes).await?;
        let first = BufReader::new(reader(sample, compression))
            .bytes()
            .map_while(std::result::Result::ok)
            .find(|byte| !byte.is_ascii_whitespace());
        if let Some(first) = first {
            return Ok(first == b'[');
        }
    }
    Ok(false)
}

async fn sample(place: &Place, meta: &ObjectMeta, bytes: u64) -> Result<bytes::Bytes> {
    place
        .mount
        .get_range(&meta.location, 0..bytes.min(meta.size))
        .await
        .map_err(|error| store_error(&place.shown, &error))
}

fn reader(sample: bytes::Bytes, compression: CompressionTypeVariant) -> Box<dyn Read + Send> {
    let sample = std::io::Cursor::new(sample);
    FileCompressionType::from(compression)
        .convert_read(sample)
        .unwrap_or_else(|_| Box::new(std::io::empty()))
}

/// As much of a sample as can be decompressed: it may end in the middle.
fn decompressed(sample: bytes::Bytes, compression: CompressionTypeVariant) -> Vec<u8> {
    if compression == CompressionTypeVariant::UNCOMPRESSED {
        return sample.into();
    }
    let mut text = Vec::new();
    let mut reader = BufReader::new(reader(sample, compression)).take(4 * SAMPLE_BYTES);
    while let Ok(piece) = reader.fill_buf() {
        if piece.is_empty() {
            break;
        }
        text.extend_from_slice(piece);
        let length = piece.len();
        reader.consume(length);
    }
    text
}

/// The names of partition columns, where the folders of all files give the same ones.
pub(crate) fn partition_names(place: &Place, files: &[ObjectMeta]) -> Option<Vec<String>> {
    let names = |meta: &ObjectMeta| -> Option<Vec<String>> {
        let folders = folders(place, &meta.location);
        let named: Vec<String> = folders
            .iter()
            .map_while(|folder| Some(folder.split_once('=')?.0.to_owned()))
            .collect();
        (named.len() == folders.len()).then_some(named)
    };
    let first = names(files.first()?)?;
    let agreed = !first.is_empty()
        && files
            .iter()
            .all(|meta| names(meta).as_ref() == Some(&first));
    agreed.then_some(first)
}

/// The values that each file's folders give.
///
/// # Errors
/// A file that does not lie in folders of these names: it would never be read.
pub(crate) fn partition_values(
    place: &Place,
    files: &[ObjectMeta],
    names: &[String],
) -> Result<Vec<Vec<String>>> {
    files
        .iter()
        .map(|meta| {
            let folders = folders(place, &meta.location);
            let mut values = names.iter().zip(folders).map(|(name, folder)| {
                let (found, value) = folder.split_once('=')?;
                (found == name).then(|| value.to_owned())
            });
            let found: Option<Vec<String>> = values.by_ref().collect();
            found
                .filter(|found| found.len() == names.len())
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "{} does not lie in folders of the form {}",
                        place.mount.show(&meta.location),
                        names
                            .iter()
                            .map(|name| format!("{name}=…"))
                            .collect::<Vec<_>>()
                            .join("/"),
                    ))
                })
        })
        .collect()
}

/// The folders between the table's and the file.
fn folders(place: &Place, location: &Path) -> Vec<String> {
    let depth = place.path.parts().count();
    let mut below: Vec<String> = location
        .parts()
        .skip(depth)
        .map(|part| part.as_ref().to_owned())
        .collect();
    below.pop();
    below
}

/// The narrowest of BIGINT, DATE and TEXT that holds all values.
pub(crate) fn partition_type<'a>(values: impl Iterator<Item = &'a String> + Clone) -> DataType {
    let mut any = values.clone().peekable();
    if any.peek().is_none() {
        return DataType::Utf8View;
    }
    // What does not print as it is written (`007`, `+1`) is text.
    let is_integer = |value: &String| {
        value
            .parse::<i64>()
            .is_ok_and(|number| number.to_string() == *value)
    };
    let is_date = |value: &String| {
        value.len() == 10 && ScalarValue::try_from_string(value.clone(), &DataType::Date32).is_ok()
    };
    if values.clone().all(is_integer) {
        DataType::Int64
    } else if any.all(is_date) {
        DataType::Date32
    } else {
        DataType::Utf8View
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_values_tell_their_type() {
        let of = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            partition_type(values.iter())
        };
        assert_eq!(of(&["1", "-20"]), DataType::Int64);
        assert_eq!(of(&["2024-01-01", "2024-12-31"]), DataType::Date32);
        for text in [
            &["007"][..],
            &["1", "x"],
            &["2024-01-01", "2024-13-01"],
            &["20240101", "2024-01-01"],
            &[],
        ] {
            assert_eq!(of(text), DataType::Utf8View, "{text:?}");
        }
    }
}
