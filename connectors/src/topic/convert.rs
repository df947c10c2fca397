//! Columns that came in, in the types in which they are kept.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use weir_base::SqlState;

use super::row::{RowReader, Wanted, logical, sql_name};
use super::row_error::RowError;

/// A column in its field's type, with UUIDs and JSON checked and in the form in which they are kept.
pub(super) fn converted(
    field: &Field,
    given: &ArrayRef,
    before: usize,
) -> Result<ArrayRef, RowError> {
    let array = if given.data_type() == field.data_type() {
        ArrayRef::clone(given)
    } else {
        cast(field, given, before)?
    };
    if logical(field).is_none() {
        return Ok(array);
    }
    let text = arrow::compute::cast(&array, &DataType::Utf8View)?;
    let text = text.as_string_view();
    let wanted = Arc::new(field.clone().with_nullable(true));
    let mut reader = RowReader::new([Wanted::kept(&wanted, field.name())], true)?;
    for (row, text) in text.iter().enumerate() {
        reader
            .texts(&[0], &[text])
            .map_err(|wrong| RowError::new(before + row, wrong))?;
    }
    Ok(ArrayRef::clone(reader.finish()?.column(0)))
}

/// Whether values of one type become values of another without loss, or with an error where they do not fit.
fn convertible(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Date32, Date64, Dictionary, FixedSizeBinary, Float64, List, Map, Null, RunEndEncoded,
        Struct, Time32, Time64, Timestamp,
    };
    let text =
        |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let bytes = |t: &DataType| {
        matches!(
            t,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | FixedSizeBinary(_)
        )
    };
    let list = |t: &DataType| match t {
        List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type().clone())
        }
        _ => None,
    };
    match (from, to) {
        _ if from == to => true,
        (Null, _) => true,
        (Dictionary(_, from), _) => convertible(from, to),
        (RunEndEncoded(_, from), _) => convertible(from.data_type(), to),
        _ if text(from) => text(to),
        _ if bytes(from) => bytes(to),
        _ if from.is_integer() => to.is_integer() || to.is_decimal(),
        _ if from.is_decimal() => to.is_decimal(),
        _ if from.is_floating() => {
            to == &Float64 || (to.is_floating() && from == &DataType::Float16)
        }
        (Date32 | Date64, Date32 | Date64) => true,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        (DataType::Duration(_), DataType::Duration(_))
        | (DataType::Interval(_), DataType::Interval(_)) => true,
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| {
                    from.name() == to.name() && convertible(from.data_type(), to.data_type())
                })
        }
        (Map(from, _), Map(to, _)) => match (from.data_type(), to.data_type()) {
            (Struct(from), Struct(to)) => from
                .iter()
                .zip(to)
                .all(|(from, to)| convertible(from.data_type(), to.data_type())),
            _ => false,
        },
        _ => match (list(from), list(to)) {
            (Some(from), Some(to)) => convertible(&from, &to),
            _ => false,
        },
    }
}

fn cast(field: &Field, given: &ArrayRef, before: usize) -> Result<ArrayRef, RowError> {
    let (from, to) = (given.data_type(), field.data_type());
    if !convertible(from, to) {
        let message = format!("expected {}, found {}", sql_name(to), sql_name(from));
        return Err(RowError::column(
            field,
            message,
            SqlState::DATATYPE_MISMATCH,
        ));
    }
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    cast_with_options(given, to, &options).map_err(|error| {
        // The kernel does not say which value it was.
        let bad = (0..given.len())
            .find(|row| cast_with_options(&given.slice(*row, 1), to, &options).is_err());
        let message = format!("a value does not fit {}: {error}", sql_name(to));
        let error = RowError::column(field, message, SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        match bad {
            Some(row) => error.at(before + row),
            None => error,
        }
    })
}
