//! Arrow's values as JSON: what `to_json` makes of each type.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use weir_catalog::Logical;

use super::document::quote;
use crate::functions::define::is_null;
use crate::functions::shown;

/// Writes the value of a row. `field` tells a text that is JSON from one that is not.
pub(crate) fn value(array: &ArrayRef, field: &Field, row: usize, out: &mut String) -> Result<()> {
    if is_null(array, row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) {
            "true"
        } else {
            "false"
        }),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = shown::text_of(array, row)?;
            match Logical::of_field(field) {
                Some(Logical::Json) => out.push_str(&text),
                _ => quote(&text, out),
            }
        }
        DataType::Float32 => number(
            f64::from(array.as_primitive::<Float32Type>().value(row)),
            array,
            row,
            out,
        )?,
        DataType::Float64 => number(
            array.as_primitive::<Float64Type>().value(row),
            array,
            row,
            out,
        )?,
        DataType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            list(&items, item, out)?;
        }
        DataType::LargeList(item) => {
            let items = array.as_list::<i64>().value(row);
            list(&items, item, out)?;
        }
        DataType::FixedSizeList(item, _) => {
            let items = array.as_fixed_size_list().value(row);
            list(&items, item, out)?;
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            out.push('{');
            for (at, (column, field)) in columns.iter().zip(fields).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                quote(&field_name(field.name(), at), out);
                out.push(':');
                value(column, field, row, out)?;
            }
            out.push('}');
        }
        data_type if data_type.is_numeric() => {
            let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())?;
            let _ = write!(out, "{}", formatter.value(row));
        }
        DataType::Timestamp(..) => {
            let text = shown::text_of(array, row)?.replacen(' ', "T", 1);
            // PostgreSQL writes the minutes of an offset here.
            let has_short_offset = text
                .rfind(['+', '-'])
                .is_some_and(|at| at > 10 && text.len() - at == 3);
            quote(&if has_short_offset { text + ":00" } else { text }, out);
        }
        _ => quote(&shown::text_of(array, row)?, out),
    }
    Ok(())
}

/// The name of a field of a row: of one without names it is that which PostgreSQL gives.
fn field_name(name: &str, at: usize) -> String {
    match name == format!("c{at}") {
        true => format!("f{}", at + 1),
        false => name.to_owned(),
    }
}

fn list(items: &ArrayRef, field: &Field, out: &mut String) -> Result<()> {
    out.push('[');
    for row in 0..items.len() {
        if row > 0 {
            out.push(',');
        }
        value(items, field, row, out)?;
    }
    out.push(']');
    Ok(())
}

/// JSON has no infinity, so that it is a text.
fn number(number: f64, array: &ArrayRef, row: usize, out: &mut String) -> Result<()> {
    let text = shown::text_of(array, row)?;
    match number.is_finite() {
        true => out.push_str(&text),
        false => quote(&text, out),
    }
    Ok(())
}

/// A key of an object: a text without quotes of its own.
pub(crate) fn key(array: &ArrayRef, row: usize) -> Result<String> {
    shown::text_of(array, row)
}
