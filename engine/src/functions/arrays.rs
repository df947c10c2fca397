//! Arrays: comparisons with `ANY` and `ALL`, and functions that DataFusion has not, or has with another meaning.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, Int32Array, Int64Array, ListArray, StructArray,
    UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cmp;
use arrow::compute::kernels::comparison::{ilike, like, nilike, nlike};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use weir_base::SqlState;

use super::define::Kind::{Any, Double, Integer, List, Text, TextList};
use super::define::{
    Arguments, Definition, Variant, function, is_null, takes, takes_by, text_list,
};
use crate::error::Error;

const BOOLEAN: fn(&[DataType]) -> Result<DataType> = |_| Ok(DataType::Boolean);

macro_rules! quantified {
    ($($name:literal, $compare:expr, $any:literal;)*) => {
        [$(function($name, &[
            takes_by(&[Any, List], BOOLEAN, |args| quantified(args, &$compare, $any)),
            takes_by(&[Any, TextList], BOOLEAN, |args| quantified(args, &$compare, $any)),
        ])),*]
    };
}

type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

/// `x = ANY (array)` and its kin.
pub(super) const QUANTIFIED: [Definition; 20] = quantified! {
    "any_eq", (cmp::eq as Compare), true;
    "any_ne", (cmp::neq as Compare), true;
    "any_lt", (cmp::lt as Compare), true;
    "any_le", (cmp::lt_eq as Compare), true;
    "any_gt", (cmp::gt as Compare), true;
    "any_ge", (cmp::gt_eq as Compare), true;
    "any_like", (like as Compare), true;
    "any_notlike", (nlike as Compare), true;
    "any_ilike", (ilike as Compare), true;
    "any_notilike", (nilike as Compare), true;
    "all_eq", (cmp::eq as Compare), false;
    "all_ne", (cmp::neq as Compare), false;
    "all_lt", (cmp::lt as Compare), false;
    "all_le", (cmp::lt_eq as Compare), false;
    "all_gt", (cmp::gt as Compare), false;
    "all_ge", (cmp::gt_eq as Compare), false;
    "all_like", (like as Compare), false;
    "all_notlike", (nlike as Compare), false;
    "all_ilike", (ilike as Compare), false;
    "all_notilike", (nilike as Compare), false;
};

/// The other functions of this file.
pub(super) const FUNCTIONS: [Definition; 15] = [
    function(
        "array_as",
        &[
            takes_by(&[List, Text], first, |args| {
                let list = args.array(0)?;
                let field = Field::new("", list.data_type().clone(), true);
                crate::planning::value_of_text(args.array(1)?, &Arc::new(field))
            }),
            takes_by(
                &[Any, Any],
                |types| match types {
                    [_, text] => Ok(text.clone()),
                    _ => internal_err!("array_as of nothing"),
                },
                |args| Ok(Arc::clone(args.array(1)?)),
            ),
        ],
    ),
    function(
        "array_or_empty",
        &[
            SAME,
            takes_by(&[Any], first, |args| Ok(Arc::clone(args.array(0)?))),
        ],
    ),
    function("null_if_empty", &[takes_by(&[List], first, null_if_empty)]),
    function(
        "array_remove_all",
        &[takes_by(&[List, Any], first, |args| {
            filtered(args, |equal, _| !equal)
        })],
    ),
    function(
        "array_replace_all",
        &[takes_by(&[List, Any, Any], first, replaced)],
    ),
    function(
        "array_dimension_length",
        &[
            takes(&[List, Integer], Integer, dimension_length),
            takes(&[TextList, Integer], Integer, dimension_length),
            takes(&[List], Integer, dimension_length),
        ],
    ),
    function(
        "array_lower",
        &[takes(&[List, Integer], Integer, |args| {
            let lengths = dimension_length(args)?;
            let lengths = lengths.as_primitive::<arrow::datatypes::Int64Type>();
            args.values::<i64, Int64Array>(|row| Ok((!lengths.is_null(row)).then_some(1)))
        })],
    ),
    function(
        "array_fill",
        &[takes_by(
            &[Any, List],
            |types| match types.first() {
                Some(item) => Ok(DataType::new_list(item.clone(), true)),
                None => internal_err!("array_fill of nothing"),
            },
            array_fill,
        )],
    ),
    function(
        "trim_array",
        &[takes_by(&[List, Integer], first, |args| {
            let counts = args.integers(1)?;
            let lists = args.array(0)?.as_list::<i32>();
            sliced(args, |row| {
                let length = i64::from(lists.value_length(row));
                let count = counts.value(row);
                if count < 0 || count > length {
                    return Err(Error::invalid(
                        SqlState("2202E"),
                        format!("number of elements to trim must be between 0 and {length}"),
                    )
                    .into());
                }
                Ok((0, (length - count) as usize))
            })
        })],
    ),
    function("most_common", &[takes_by(&[List], item, most_common)]),
    function(
        "discrete_percentile",
        &[takes_by(
            &[Double, List],
            |types| item(types.get(1..).unwrap_or_default()),
            discrete,
        )],
    ),
    function(
        "discrete_percentiles",
        &[takes_by(
            &[List, List],
            |types| match types.get(1) {
                Some(items) => Ok(items.clone()),
                None => internal_err!("percentiles of nothing"),
            },
            discrete_of_each,
        )],
    ),
    function(
        "continuous_percentiles",
        &[takes_by(
            &[List, List],
            |_| Ok(DataType::new_list(DataType::Float64, true)),
            continuous,
        )],
    ),
    function(
        "numbered",
        &[takes_by(
            &[List],
            |types| {
                Ok(DataType::new_list(
                    DataType::Struct(pair(&item(types)?)),
                    true,
                ))
            },
            numbered,
        )],
    ),
    function(
        "array_dims",
        &[takes(&[List], super::define::Kind::Text, |args| {
            let lists = args.array(0)?.as_list_opt::<i32>();
            args.texts(|row| {
                let length = lists.map_or(0, |lists| lists.value_length(row));
                Ok((length > 0).then(|| format!("[1:{length}]")))
            })
        })],
    ),
];

/// A list that is null as one without items.
const SAME: Variant = takes_by(&[List], first, |args| {
    let Some(lists) = args.array(0)?.as_list_opt::<i32>() else {
        return Ok(Arc::clone(args.array(0)?));
    };
    let lengths = (0..lists.len()).map(|row| match lists.is_null(row) {
        true => 0,
        false => lists.value_length(row) as usize,
    });
    let mut places = Vec::new();
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let from = lists.value_offsets().get(row).copied().unwrap_or(0);
            places.extend((from..from + lists.value_length(row)).map(|at| at as u32));
        }
    }
    let values = take(lists.values(), &UInt32Array::from(places), None)?;
    Ok(Arc::new(ListArray::try_new(
        field(lists),
        OffsetBuffer::from_lengths(lengths),
        values,
        None,
    )?))
});

fn field(lists: &ListArray) -> Arc<Field> {
    match lists.data_type() {
        DataType::List(field) => Arc::clone(field),
        other => Arc::new(Field::new_list_field(other.clone(), true)),
    }
}

fn first(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(data_type) => Ok(data_type.clone()),
        None => internal_err!("a function of a list without one"),
    }
}

fn item(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(DataType::List(item)) => Ok(item.data_type().clone()),
        Some(DataType::Null) | None => Ok(DataType::Null),
        Some(other) => plan_err!("{other} is no list"),
    }
}

/// The list argument at a place, its items of a type that `value` can be compared with, and `value` as that type.
fn comparable(value: &ArrayRef, list: &ArrayRef) -> Result<Option<(ArrayRef, ListArray)>> {
    if *list.data_type() == DataType::Null {
        return Ok(None);
    }
    let lists = list.as_list::<i32>();
    let item = lists.value_type();
    // A list that was written as text holds whatever it is compared with.
    let is_text = *list.data_type() == text_list();
    let wanted = match (value.data_type(), &item) {
        (given, _) if *given == item => item.clone(),
        (DataType::Null, _) => item.clone(),
        (given, _) if is_text && !given.is_string() => given.clone(),
        (given, item) => match comparison_coercion(given, item) {
            Some(common) => common,
            None => {
                return plan_err!(
                    "No function matches: {} cannot be compared with {}",
                    crate::sql_types::sql_name(given),
                    crate::sql_types::sql_name(item)
                );
            }
        },
    };
    let options = arrow::compute::CastOptions {
        safe: false,
        ..Default::default()
    };
    let value = arrow::compute::cast_with_options(value, &wanted, &options)?;
    let lists = match item == wanted {
        true => lists.clone(),
        false => {
            let wanted = DataType::new_list(wanted, true);
            arrow::compute::cast_with_options(lists, &wanted, &options)?
                .as_list::<i32>()
                .clone()
        }
    };
    Ok(Some((value, lists)))
}

/// Of each item in each list the row that it is in, and where the items of the first row begin.
fn rows_of(lists: &ListArray) -> (UInt32Array, usize, usize) {
    let offsets = lists.value_offsets();
    let mut rows = Vec::new();
    for (row, bounds) in offsets.windows(2).enumerate() {
        if let [from, to] = bounds {
            rows.extend((*from..*to).map(|_| row as u32));
        }
    }
    let from = offsets.first().copied().unwrap_or(0) as usize;
    let count = rows.len();
    (UInt32Array::from(rows), from, count)
}

/// Compares the value of each row with all items of its list at once; what is unknown of one is unknown of all, unless another
/// decides.
fn quantified(args: &Arguments, compare: &Compare, any: bool) -> Result<ArrayRef> {
    let Some((value, lists)) = comparable(args.array(0)?, args.array(1)?)? else {
        return Ok(arrow::array::new_null_array(&DataType::Boolean, args.rows));
    };
    let (rows, from, count) = rows_of(&lists);
    let items = lists.values().slice(from, count);
    let values = take(&value, &rows, None)?;
    let compared = compare(&values, &items)?;
    let mut at = 0;
    let results = (0..args.rows).map(|row| {
        let length = lists.value_length(row) as usize;
        let items = at..at + length;
        at += length;
        if lists.is_null(row) {
            return None;
        }
        let mut unknown = false;
        for item in items {
            match compared.is_null(item) {
                true => unknown = true,
                false if compared.value(item) == any => return Some(any),
                false => {}
            }
        }
        (!unknown).then_some(!any)
    });
    Ok(Arc::new(results.collect::<BooleanArray>()))
}

/// Whether each item is not distinct from the value of its row.
fn equal_items(args: &Arguments, at: usize) -> Result<Option<(BooleanArray, ListArray)>> {
    let original = args.array(0)?;
    let Some((value, lists)) = comparable(args.array(at)?, original)? else {
        return Ok(None);
    };
    let (rows, from, count) = rows_of(&lists);
    let items = lists.values().slice(from, count);
    let values = take(&value, &rows, None)?;
    Ok(Some((
        cmp::not_distinct(&values, &items)?,
        original.as_list::<i32>().clone(),
    )))
}

fn filtered(args: &Arguments, keep: fn(bool, usize) -> bool) -> Result<ArrayRef> {
    let Some((equal, lists)) = equal_items(args, 1)? else {
        return Ok(Arc::clone(args.array(0)?));
    };
    let offsets = lists.value_offsets();
    let from = offsets.first().copied().unwrap_or(0) as usize;
    let (mut kept, mut lengths) = (Vec::new(), Vec::with_capacity(lists.len()));
    for bounds in offsets.windows(2) {
        let [first, last] = bounds else { continue };
        let before = kept.len();
        kept.extend(
            (*first as usize..*last as usize)
                .filter(|at| keep(equal.value(at - from), *at))
                .map(|at| at as u32),
        );
        lengths.push(kept.len() - before);
    }
    let values = take(lists.values(), &UInt32Array::from(kept), None)?;
    Ok(Arc::new(ListArray::try_new(
        field(&lists),
        OffsetBuffer::from_lengths(lengths),
        values,
        lists.nulls().cloned(),
    )?))
}

fn replaced(args: &Arguments) -> Result<ArrayRef> {
    let Some((equal, lists)) = equal_items(args, 1)? else {
        return Ok(Arc::clone(args.array(0)?));
    };
    let (rows, from, count) = rows_of(&lists);
    let items = lists.values().slice(from, count);
    let new = cast(args.array(2)?, &lists.value_type())?;
    let places: Vec<(usize, usize)> = (0..count)
        .map(|at| match equal.value(at) {
            true => (1, rows.value(at) as usize),
            false => (0, at),
        })
        .collect();
    let values = interleave(&[items.as_ref(), new.as_ref()], &places)?;
    let lengths = (0..lists.len()).map(|row| lists.value_length(row) as usize);
    Ok(Arc::new(ListArray::try_new(
        field(&lists),
        OffsetBuffer::from_lengths(lengths),
        values,
        lists.nulls().cloned(),
    )?))
}

fn null_if_empty(args: &Arguments) -> Result<ArrayRef> {
    let Some(lists) = args.array(0)?.as_list_opt::<i32>() else {
        return Ok(Arc::clone(args.array(0)?));
    };
    let valid = NullBuffer::from_iter(
        (0..lists.len()).map(|row| lists.is_valid(row) && lists.value_length(row) > 0),
    );
    Ok(Arc::new(ListArray::try_new(
        field(lists),
        lists.offsets().clone(),
        Arc::clone(lists.values()),
        Some(valid),
    )?))
}

/// `array_length(a, n)`: null where the array has no items in that dimension.
fn dimension_length(args: &Arguments) -> Result<ArrayRef> {
    let dimensions = match args.len() {
        2 => Some(args.integers(1)?),
        _ => None,
    };
    let lists = args.array(0)?.as_list_opt::<i32>();
    args.values::<i64, Int64Array>(|row| {
        let Some(lists) = lists else { return Ok(None) };
        let mut dimension = dimensions.map_or(1, |dimensions| dimensions.value(row));
        let mut current = lists.value(row);
        if dimension < 1 {
            return Ok(None);
        }
        while dimension > 1 {
            let Some(inner) = current
                .as_list_opt::<i32>()
                .filter(|inner| !inner.is_empty())
            else {
                return Ok(None);
            };
            current = inner.value(0);
            dimension -= 1;
        }
        Ok((!current.is_empty()).then_some(current.len() as i64))
    })
}

fn array_fill(args: &Arguments) -> Result<ArrayRef> {
    let values = args.array(0)?;
    let lengths = cast(args.array(1)?, &DataType::new_list(DataType::Int64, true))?;
    let lengths = lengths.as_list::<i32>();
    let (mut rows, mut counts) = (Vec::new(), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let items = lengths.value(row);
        let items = items.as_primitive::<arrow::datatypes::Int64Type>();
        let count = match items.len() {
            1 => usize::try_from(items.value(0)).unwrap_or(0).min(10_000_000),
            0 => 0,
            _ => {
                return Err(Error::unsupported(
                    "array_fill of more than one dimension is not supported",
                )
                .into());
            }
        };
        rows.extend((0..count).map(|_| row as u32));
        counts.push(count);
    }
    let items = take(values, &UInt32Array::from(rows), None)?;
    Ok(Arc::new(ListArray::try_new(
        Arc::new(Field::new_list_field(values.data_type().clone(), true)),
        OffsetBuffer::from_lengths(counts),
        items,
        None,
    )?))
}

/// Part of each list: from an item on, so many.
fn sliced(args: &Arguments, part: impl Fn(usize) -> Result<(usize, usize)>) -> Result<ArrayRef> {
    let lists = args.array(0)?.as_list::<i32>();
    let (mut kept, mut lengths) = (Vec::new(), Vec::with_capacity(lists.len()));
    for row in 0..lists.len() {
        if args.has_null(row) {
            lengths.push(0);
            continue;
        }
        let start = lists.value_offsets().get(row).copied().unwrap_or(0) as usize;
        let (from, count) = part(row)?;
        kept.extend((start + from..start + from + count).map(|at| at as u32));
        lengths.push(count);
    }
    let values = take(lists.values(), &UInt32Array::from(kept), None)?;
    let nulls = NullBuffer::from_iter((0..args.rows).map(|row| !args.has_null(row)));
    Ok(Arc::new(ListArray::try_new(
        field(lists),
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(nulls),
    )?))
}

/// Of each list one item, by its place among all items; null where there is none.
fn picked(lists: &ListArray, place: impl Fn(usize) -> Result<Option<usize>>) -> Result<ArrayRef> {
    let places = (0..lists.len())
        .map(|row| {
            let start = lists.value_offsets().get(row).copied().unwrap_or(0) as usize;
            Ok(place(row)?.map(|at| (start + at) as u32))
        })
        .collect::<Result<UInt32Array>>()?;
    Ok(take(lists.values(), &places, None)?)
}

/// `mode()`: of sorted items the first of those that come most often; nulls do not count.
fn most_common(args: &Arguments) -> Result<ArrayRef> {
    let Some(lists) = args.array(0)?.as_list_opt::<i32>() else {
        return Ok(Arc::clone(args.array(0)?));
    };
    let converter = RowConverter::new(vec![SortField::new(lists.value_type())])?;
    let rows = converter.convert_columns(&[Arc::clone(lists.values())])?;
    picked(lists, |row| {
        if lists.is_null(row) {
            return Ok(None);
        }
        let start = lists.value_offsets().get(row).copied().unwrap_or(0) as usize;
        let length = lists.value_length(row) as usize;
        let mut best: Option<(usize, usize)> = None;
        let mut from = 0;
        for at in 0..length {
            if rows.row(start + at) != rows.row(start + from) {
                from = at;
            }
            let count = at - from + 1;
            let is_item = !is_null(lists.values(), start + at);
            if is_item && best.is_none_or(|(_, most)| count > most) {
                best = Some((from, count));
            }
        }
        Ok(best.map(|(at, _)| at))
    })
}

fn check_fraction(fraction: f64) -> Result<()> {
    match (0.0..=1.0).contains(&fraction) {
        true => Ok(()),
        false => Err(Error::invalid(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("percentile value {fraction} is not between 0 and 1"),
        )
        .into()),
    }
}

/// The places of the items that are not null.
fn items_of(lists: &ListArray, row: usize) -> Vec<usize> {
    let start = lists.value_offsets().get(row).copied().unwrap_or(0) as usize;
    (0..lists.value_length(row) as usize)
        .filter(|at| !is_null(lists.values(), start + at))
        .collect()
}

/// `percentile_disc`: the first of the sorted items whose place is at least that part of all.
fn discrete(args: &Arguments) -> Result<ArrayRef> {
    let fractions = args.doubles(0)?;
    let Some(lists) = args.array(1)?.as_list_opt::<i32>() else {
        return Ok(Arc::clone(args.array(1)?));
    };
    picked(lists, |row| {
        if args.has_null(row) {
            return Ok(None);
        }
        let fraction = fractions.value(row);
        check_fraction(fraction)?;
        Ok(at_fraction(&items_of(lists, row), fraction))
    })
}

fn at_fraction(items: &[usize], fraction: f64) -> Option<usize> {
    let place = (fraction * items.len() as f64).ceil() as usize;
    items.get(place.saturating_sub(1)).copied()
}

/// `percentile_disc(ARRAY[…])`: one item for each.
fn discrete_of_each(args: &Arguments) -> Result<ArrayRef> {
    let doubles = DataType::new_list(DataType::Float64, true);
    let fractions = cast(args.array(0)?, &doubles)?;
    let fractions = fractions.as_list::<i32>();
    let Some(lists) = args.array(1)?.as_list_opt::<i32>() else {
        return Ok(Arc::clone(args.array(1)?));
    };
    let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        if args.has_null(row) {
            lengths.push(0);
            continue;
        }
        let start = lists.value_offsets().get(row).copied().unwrap_or(0) as usize;
        let items = items_of(lists, row);
        let wanted = fractions.value(row);
        lengths.push(wanted.len());
        for fraction in wanted.as_primitive::<Float64Type>() {
            fraction.map_or(Ok(()), check_fraction)?;
            let place = fraction.and_then(|fraction| at_fraction(&items, fraction));
            places.push(place.map(|at| (start + at) as u32));
        }
    }
    let nulls = (0..args.rows).map(|row| !args.has_null(row));
    Ok(Arc::new(ListArray::try_new(
        field(lists),
        OffsetBuffer::from_lengths(lengths),
        take(lists.values(), &UInt32Array::from(places), None)?,
        Some(nulls.collect::<NullBuffer>()),
    )?))
}

/// `percentile_cont(ARRAY[…])`: between the two items at either side.
fn continuous(args: &Arguments) -> Result<ArrayRef> {
    let doubles = DataType::new_list(DataType::Float64, true);
    let (fractions, lists) = (
        cast(args.array(0)?, &doubles)?,
        cast(args.array(1)?, &doubles)?,
    );
    let (fractions, lists) = (fractions.as_list::<i32>(), lists.as_list::<i32>());
    let mut values = arrow::array::ListBuilder::new(arrow::array::Float64Builder::new());
    for row in 0..args.rows {
        if args.has_null(row) {
            values.append_null();
            continue;
        }
        let items = lists.value(row);
        let items: Vec<f64> = items
            .as_primitive::<Float64Type>()
            .iter()
            .flatten()
            .collect();
        let wanted = fractions.value(row);
        for fraction in wanted.as_primitive::<Float64Type>() {
            let Some(fraction) = fraction else {
                values.values().append_null();
                continue;
            };
            check_fraction(fraction)?;
            let place = fraction * items.len().saturating_sub(1) as f64;
            let (low, high) = (
                items.get(place.floor() as usize),
                items.get(place.ceil() as usize),
            );
            let value = low
                .zip(high)
                .map(|(low, high)| low + (high - low) * place.fract());
            values.values().append_option(value);
        }
        values.append(true);
    }
    Ok(Arc::new(values.finish()))
}

fn pair(item: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("x", item.clone(), true),
        Field::new("n", DataType::Int32, true),
    ])
}

/// Each item with its place.
fn numbered(args: &Arguments) -> Result<ArrayRef> {
    let Some(lists) = args.array(0)?.as_list_opt::<i32>() else {
        return Ok(Arc::clone(args.array(0)?));
    };
    let (rows, from, count) = rows_of(lists);
    let mut last = None;
    let mut number = 0;
    let numbers = rows.values().iter().map(|row| {
        number = if last == Some(*row) { number + 1 } else { 1 };
        last = Some(*row);
        number
    });
    let numbers: Int32Array = numbers.map(Some).collect();
    let fields = pair(&lists.value_type());
    let items = StructArray::try_new(
        fields.clone(),
        vec![lists.values().slice(from, count), Arc::new(numbers)],
        None,
    )?;
    let lengths = (0..lists.len()).map(|row| lists.value_length(row) as usize);
    Ok(Arc::new(ListArray::try_new(
        Arc::new(Field::new_list_field(DataType::Struct(fields), true)),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(items),
        lists.nulls().cloned(),
    )?))
}
