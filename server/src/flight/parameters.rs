//! Values of `$1`, `$2`, … as clients put them: a batch with a column for each, and a row for each time that the statement
//! is to run.

use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use tonic::Status;
use weir_engine::ScalarValue;

use super::put::Uploaded;
use super::status::{exceeded, invalid};

/// Rows of parameters in one upload: each becomes values of its own, and a run of the statement.
const ROWS_MAX: usize = 100_000;
/// Columns of an upload.
const COLUMNS_MAX: usize = 65_535;

/// The rows of parameters in an upload.
///
/// # Errors
/// When it is no Arrow stream, or has too many rows.
pub(super) fn rows(uploaded: &Uploaded) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let wrong = |error: arrow::error::ArrowError| {
        invalid(format!("the parameters are not an Arrow stream: {error}"))
    };
    let reader = StreamReader::try_new(&uploaded.body[..], None).map_err(wrong)?;
    if reader.schema().fields().len() > COLUMNS_MAX {
        return Err(invalid(format!(
            "there are more than {COLUMNS_MAX} parameters"
        )));
    }
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(wrong)?;
        if rows.len().saturating_add(batch.num_rows()) > ROWS_MAX {
            return Err(exceeded(
                format!("there are more than {ROWS_MAX} rows of parameters"),
                "ingest many rows in bulk: that is faster, too",
            ));
        }
        append(&mut rows, &batch)?;
    }
    Ok(rows)
}

fn append(rows: &mut Vec<Vec<ScalarValue>>, batch: &RecordBatch) -> Result<(), Status> {
    for row in 0..batch.num_rows() {
        let values = batch
            .columns()
            .iter()
            .map(|column| ScalarValue::try_from_array(column, row).map(plain))
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(format!("row {} of the parameters: {error}", row + 1)))?;
        rows.push(values);
    }
    Ok(())
}

/// A value out of a dictionary, and one that has no type because it is null.
fn plain(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Dictionary(_, value) => plain(*value),
        other => other,
    }
}
