//! Rows for which a plan fails that treats rows one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;

use crate::error::{Error, Result};
use crate::planning::Kernel;

/// A row that is shown in a message is cut off after so many characters.
const SHOWN_CHARS: usize = 500;

/// What becomes of a row that cannot be computed.
#[derive(Debug, Clone, Default)]
pub enum OnRowError {
    /// The query fails, and says which row it was.
    #[default]
    Fail,
    /// It is left out, whether it comes or goes; those that come are counted.
    Skip(Arc<AtomicU64>),
}

/// Runs a plan that is linear in each of its inputs. When it fails, the rows are found for which it does.
///
/// # Errors
/// When it fails for a row that is not to be left out, or for no row in particular.
pub(super) async fn run(
    kernel: &mut Kernel,
    inputs: Vec<Vec<RecordBatch>>,
    operator: &str,
    on_error: &OnRowError,
    comes: bool,
) -> Result<Vec<RecordBatch>> {
    match kernel.run(inputs.clone()).await {
        Err(error) if is_of_a_row(&error) => {}
        done => return done,
    }
    let mut computed = Vec::new();
    for at in 0..inputs.len() {
        let rows = inputs.get(at).into_iter().flatten();
        for batch in rows {
            // The first of what is waiting is always the earliest.
            let mut waiting = vec![batch.clone()];
            while let Some(some) = waiting.pop() {
                let mut alone = vec![Vec::new(); inputs.len()];
                alone
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|rows| rows.push(some.clone()));
                match kernel.run(alone).await {
                    Ok(rows) => computed.extend(rows),
                    Err(error) if some.num_rows() > 1 && is_of_a_row(&error) => {
                        let half = some.num_rows() / 2;
                        waiting.push(some.slice(half, some.num_rows() - half));
                        waiting.push(some.slice(0, half));
                    }
                    Err(error) => match on_error {
                        OnRowError::Skip(skipped) if is_of_a_row(&error) => {
                            skipped.fetch_add(u64::from(comes), Ordering::Relaxed);
                        }
                        _ => {
                            return Err(in_row(error, operator, &some));
                        }
                    },
                }
            }
        }
    }
    Ok(computed)
}

/// Whether another row might have done.
pub(crate) fn is_of_a_row(error: &Error) -> bool {
    match error {
        Error::DataFusion(error) => !matches!(
            error.find_root(),
            DataFusionError::ResourcesExhausted(_) | DataFusionError::Internal(_)
        ),
        Error::Arrow(_) => true,
        _ => false,
    }
}

/// What is wrong with the first row of a batch.
pub(crate) fn in_row(error: Error, operator: &str, batch: &RecordBatch) -> Error {
    Error::Row {
        source: Box::new(error),
        operator: operator.to_owned(),
        row: shown(batch),
    }
}

/// The first row, for people.
fn shown(batch: &RecordBatch) -> String {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_display_error(true);
    let schema = batch.schema();
    let columns = batch.columns().iter().zip(schema.fields());
    let values = columns.map(|(column, field)| {
        let value = ArrayFormatter::try_new(column.as_ref(), &options);
        let value = value.map_or_else(|_| "?".to_owned(), |value| value.value(0).to_string());
        format!("{} = {value}", field.name())
    });
    let mut shown = values.collect::<Vec<_>>().join(", ");
    if let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}
