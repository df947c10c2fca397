//! Arrays: `{a,"b c",NULL}` as text, and dimensions before values in binary.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

use super::{Column, Format, PgType, Write, Zone, plain};
use crate::encode::EncodeError;

/// The dimensions that PostgreSQL allows.
const DIMENSIONS_MAX: usize = 6;

/// What writes lists as text.
pub(super) fn text(array: &ArrayRef, zone: &Zone) -> Result<Write, EncodeError> {
    let lists = array.as_list::<i32>().clone();
    let DataType::List(item) = array.data_type() else {
        return Err(not_a_list(array));
    };
    let items = Column::new(lists.values(), item, Format::Text, zone)?;
    let holds_lists = matches!(plain(lists.values())?.data_type(), DataType::List(_));
    Ok(Box::new(move |row, out| {
        out.push(b'{');
        let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
        let mut value = Vec::new();
        for at in from..to {
            if at > from {
                out.push(b',');
            }
            let at = usize::try_from(at).unwrap_or_default();
            if items.is_null(at) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            if holds_lists {
                items.value(at, out)?;
                continue;
            }
            value.clear();
            items.value(at, &mut value)?;
            element(&value, out);
        }
        out.push(b'}');
        Ok(())
    }))
}

/// What writes lists of numbers as vectors: their elements with a space between.
pub(super) fn vector(array: &ArrayRef, zone: &Zone) -> Result<Write, EncodeError> {
    let lists = array.as_list::<i32>().clone();
    let DataType::List(item) = array.data_type() else {
        return Err(not_a_list(array));
    };
    let items = Column::new(lists.values(), item, Format::Text, zone)?;
    Ok(Box::new(move |row, out| {
        let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
        for at in from..to {
            if at > from {
                out.push(b' ');
            }
            items.value(usize::try_from(at).unwrap_or_default(), out)?;
        }
        Ok(())
    }))
}

/// An element, in quotes where it would not read back without.
fn element(value: &[u8], out: &mut Vec<u8>) {
    let is_plain = !value.is_empty()
        && !value.eq_ignore_ascii_case(b"null")
        && !value.iter().any(|byte| {
            byte.is_ascii_whitespace() || matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\' | 0x0b)
        });
    if is_plain {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// What writes lists in binary: number of dimensions, whether there are nulls, type of the elements, then length and
/// lower bound of each dimension, then the elements.
pub(super) fn binary(
    array: &ArrayRef,
    data_type: PgType,
    zone: &Zone,
) -> Result<Write, EncodeError> {
    let (mut item, depth) = innermost(array)?;
    // The column may say more of its items than they do.
    item = match data_type {
        PgType::Array(told) => told.of().marked(item),
        PgType::OidVector => PgType::Oid.marked(item),
        _ => item,
    };
    let element = PgType::of_field(&item).oid();
    let mut levels = Vec::new();
    let mut values = plain(array)?;
    for _ in 0..depth {
        let lists = values.as_list::<i32>().clone();
        values = plain(lists.values())?;
        levels.push(lists);
    }
    let items = Column::new(&values, &item, Format::Binary, zone)?;
    Ok(Box::new(move |row, out| {
        // What of each level belongs to the row: ranges that follow one another.
        let mut range = (row, row + 1);
        let mut lengths = Vec::with_capacity(levels.len());
        for lists in &levels {
            let offsets = lists.value_offsets();
            let bound =
                |at: usize| usize::try_from(offsets.get(at).copied().unwrap_or(0)).unwrap_or(0);
            let (from, to) = (bound(range.0), bound(range.1));
            let count = range.1 - range.0;
            let length = (to - from).checked_div(count).unwrap_or(0);
            let is_regular = (range.0..range.1)
                .all(|at| lists.is_valid(at) && bound(at + 1) - bound(at) == length);
            if !is_regular {
                return Err(ArrowError::NotYetImplemented(
                    "an array whose rows have different lengths cannot be sent in binary: ask for text".to_owned(),
                )
                .into());
            }
            lengths.push(length);
            range = (from, to);
        }
        let is_empty = lengths.contains(&0);
        let dimensions = if is_empty { 0 } else { lengths.len() as i32 };
        let has_nulls = (range.0..range.1).any(|at| items.is_null(at));
        out.extend_from_slice(&dimensions.to_be_bytes());
        out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
        out.extend_from_slice(&element.to_be_bytes());
        if is_empty {
            return Ok(());
        }
        for length in lengths {
            out.extend_from_slice(&(length as i32).to_be_bytes());
            out.extend_from_slice(&1_i32.to_be_bytes());
        }
        (range.0..range.1).try_for_each(|at| items.field(at, out))
    }))
}

/// The field of the elements that are no lists, and how many lists are around them.
fn innermost(array: &ArrayRef) -> Result<(Field, usize), EncodeError> {
    let mut data_type = array.data_type().clone();
    let mut depth = 0;
    loop {
        let (DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)) = &data_type
        else {
            return Err(not_a_list(array));
        };
        depth += 1;
        if depth > DIMENSIONS_MAX {
            return Err(ArrowError::NotYetImplemented(format!(
                "an array of more than {DIMENSIONS_MAX} dimensions"
            ))
            .into());
        }
        let is_last = !matches!(
            item.data_type(),
            DataType::List(_)
                | DataType::LargeList(_)
                | DataType::ListView(_)
                | DataType::LargeListView(_)
                | DataType::FixedSizeList(..)
        );
        if is_last {
            return Ok((item.as_ref().clone(), depth));
        }
        data_type = item.data_type().clone();
    }
}

fn not_a_list(array: &ArrayRef) -> EncodeError {
    ArrowError::NotYetImplemented(format!("{} as an array", array.data_type())).into()
}
