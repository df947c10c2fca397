//! Values of `$1`, `$2`, … as clients put them: a batch with a column for each, and a row for each time that the statement
//! is to run.

use arrow::record_batch::RecordBatch;
use tonic::Status;
use weir_engine::{ScalarValue, read_arrow};

use super::status::{exceeded, invalid, status};

/// Rows of parameters in one upload: each becomes values of its own, and a run of the statement.
const ROWS_MAX: usize = 100_000;
/// Columns of an upload.
const COLUMNS_MAX: usize = 65_535;
/// Bytes of the values of one upload. An upload can be much smaller: rows may share a text, and nulls take no room in it.
const VALUES_BYTES_MAX: usize = 256 << 20;

/// The rows of parameters in an upload, which is an Arrow stream.
///
/// # Errors
/// When it is none, or has too many rows or values.
pub(super) fn rows(uploaded: &[u8]) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let (schema, batches) = read_arrow(uploaded).map_err(|error| status(&error))?;
    if schema.fields().len() > COLUMNS_MAX {
        return Err(invalid(format!(
            "there are more than {COLUMNS_MAX} parameters"
        )));
    }
    let mut rows = Rows::default();
    for batch in &batches {
        rows.add(batch)?;
    }
    Ok(rows.rows)
}

#[derive(Default)]
struct Rows {
    rows: Vec<Vec<ScalarValue>>,
    bytes: usize,
}

impl Rows {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), Status> {
        if self.rows.len().saturating_add(batch.num_rows()) > ROWS_MAX {
            return Err(exceeded(
                format!("there are more than {ROWS_MAX} rows of parameters"),
                "ingest many rows in bulk: that is faster, too",
            ));
        }
        for row in 0..batch.num_rows() {
            let mut values = Vec::with_capacity(batch.num_columns());
            for column in batch.columns() {
                let value = ScalarValue::try_from_array(column, row).map_err(|error| {
                    invalid(format!("row {} of the parameters: {error}", row + 1))
                })?;
                self.bytes = self.bytes.saturating_add(value.size());
                if self.bytes > VALUES_BYTES_MAX {
                    return Err(exceeded(
                        format!("the parameters have more than {VALUES_BYTES_MAX} bytes"),
                        "bind fewer rows at a time, or ingest them in bulk",
                    ));
                }
                values.push(plain(value));
            }
            self.rows.push(values);
        }
        Ok(())
    }
}

/// A value out of a dictionary, and one that has no type because it is null.
fn plain(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Dictionary(_, value) => plain(*value),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, NullArray, StringViewBuilder};
    use arrow::ipc::writer::StreamWriter;

    use super::*;

    fn stream(columns: Vec<(String, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        bytes
    }

    /// A few bytes that say that there are very many values are not believed.
    #[test]
    fn small_uploads_do_not_become_large_values() {
        let nulls = (0..2_000).map(|column| {
            let nulls: ArrayRef = Arc::new(NullArray::new(99_000));
            (format!("c{column}"), nulls)
        });
        let refused = rows(&stream(nulls.collect())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
        // One long text that all rows share.
        let mut shared = StringViewBuilder::new();
        let block = shared.append_block("x".repeat(1 << 20).into_bytes().into());
        for _ in 0..1_000 {
            shared.try_append_view(block, 0, 1 << 20).unwrap();
        }
        let shared: ArrayRef = Arc::new(shared.finish());
        let refused = rows(&stream(vec![("t".to_owned(), shared)])).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    }

    #[test]
    fn a_body_that_says_to_be_larger_than_it_is_is_refused() {
        let nulls: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1_i64; 4]));
        let whole = stream(vec![("n".to_owned(), nulls)]);
        assert_eq!(rows(&whole).unwrap().len(), 4);
        // The length of a body stands in the head of its message: each place that could hold it is tried.
        for at in 0..whole.len().saturating_sub(8) {
            let mut hostile = whole.clone();
            hostile[at..at + 8].copy_from_slice(&(1_i64 << 50).to_le_bytes());
            let _ = rows(&hostile);
        }
    }
}
