//! Casts from text and to text, in PostgreSQL's forms: bytes, intervals, dates and times, arrays, UUIDs; and of these, and of
//! doubles and rows, the text.
//!
//! In: a plan whose types are settled. Out: the same plan, with a function in place of such a cast. Literals of bytes and intervals
//! are read where they stand, by `bytea` and `literals`.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, ListArray, StringArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, IntervalUnit};
use chrono::Datelike;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use weir_base::SqlState;
use weir_catalog::Logical;

use super::rewrite::Scope;
use super::{bytea, literals};
use crate::error::Error;
use crate::functions::{self, read_moment, shown};

/// `expr` with casts from and to text as PostgreSQL has them.
pub(super) fn read(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let (inner, field, is_lenient) = match &expr {
            Expr::Cast(Cast { expr, field }) => (expr, field, false),
            Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
            _ => return Ok(Transformed::no(expr)),
        };
        if field.data_type().is_string() && Logical::of_field(field).is_none() {
            let is_shown = scope
                .type_of(inner)
                .is_some_and(|data_type| shown::is_shown_here(&data_type));
            if !is_shown {
                return Ok(Transformed::no(expr));
            }
            let name = inner.schema_name().to_string();
            let text = functions::call("text_of_value", vec![inner.as_ref().clone()])?;
            let text = match *field.data_type() == DataType::Utf8View {
                true => text,
                false => Expr::Cast(Cast::new(Box::new(text), field.data_type().clone())),
            };
            return Ok(Transformed::yes(text.alias(name)));
        }
        if !is_read_here(field) {
            return Ok(Transformed::no(expr));
        }
        let is_text = scope
            .type_of(inner)
            .is_some_and(|data_type| data_type.is_string());
        if !is_text {
            return Ok(Transformed::no(expr));
        }
        let function = FromText {
            to: Arc::clone(field),
            is_lenient,
            signature: Signature::any(1, Volatility::Immutable),
        };
        let function = Arc::new(ScalarUDF::from(function));
        let call = ScalarFunction::new_udf(function, vec![inner.as_ref().clone()]);
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    })
}

fn is_read_here(field: &FieldRef) -> bool {
    match field.data_type() {
        DataType::Binary
        | DataType::Interval(IntervalUnit::MonthDayNano)
        | DataType::Date32
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::List(_) => true,
        _ => Logical::of_field(field) == Some(Logical::Uuid),
    }
}

/// Text as a value of another type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FromText {
    to: FieldRef,
    /// Whether a text that is no such value becomes null.
    is_lenient: bool,
    signature: Signature,
}

impl ScalarUDFImpl for FromText {
    fn name(&self) -> &str {
        match (self.to.data_type(), self.is_lenient) {
            (DataType::Binary, false) => "bytea_of_text",
            (DataType::Binary, true) => "try_bytea_of_text",
            (DataType::Interval(_), false) => "interval_of_text",
            (DataType::Interval(_), true) => "try_interval_of_text",
            (_, false) => "value_of_text",
            (_, true) => "try_value_of_text",
        }
    }

    /// As its argument, which is how a cast is named.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match args {
            [text] => text.schema_name().to_string(),
            _ => self.name().to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.to.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = args.arg_fields.first().map_or("", |field| field.name());
        Ok(Arc::new(
            self.to.as_ref().clone().with_name(name).with_nullable(true),
        ))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(texts)] => Ok(ColumnarValue::Array(self.values(texts)?)),
            [ColumnarValue::Scalar(text)] => {
                let value = self.values(&text.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &value, 0,
                )?))
            }
            other => internal_err!("{} of {} arguments", self.name(), other.len()),
        }
    }
}

impl FromText {
    fn values(&self, texts: &ArrayRef) -> Result<ArrayRef> {
        values(texts, &self.to, self.is_lenient)
    }
}

/// The values of `texts` in the type of a field.
///
/// # Errors
/// For a text that is no such value.
pub(crate) fn value_of_text(texts: &ArrayRef, to: &FieldRef) -> Result<ArrayRef> {
    values(texts, to, false)
}

fn values(texts: &ArrayRef, to: &FieldRef, is_lenient: bool) -> Result<ArrayRef> {
    let utf8 = cast(texts, &DataType::Utf8)?;
    let strings = utf8.as_string::<i32>();
    match to.data_type() {
        DataType::Binary => bytes(strings, is_lenient),
        DataType::Interval(_) => intervals(strings, to.data_type(), is_lenient),
        DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) => {
            moments(&utf8, to.data_type(), is_lenient)
        }
        DataType::List(item) => lists(strings, item, is_lenient),
        data_type if Logical::of_field(to) == Some(Logical::Uuid) => {
            let uuids = each(strings, is_lenient, uuid)?;
            let uuids: StringArray = uuids.into_iter().collect();
            Ok(cast(&uuids, data_type)?)
        }
        // The items of an array.
        data_type => {
            let options = CastOptions {
                safe: is_lenient,
                ..CastOptions::default()
            };
            Ok(cast_with_options(texts, data_type, &options)?)
        }
    }
}

/// What `read` makes of each text; where it fails, null if that is asked for.
fn each<T>(
    texts: &StringArray,
    is_lenient: bool,
    mut read: impl FnMut(&str) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    texts
        .iter()
        .map(|text| match text.map(&mut read) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) if is_lenient => Ok(None),
            Some(Err(error)) => Err(error),
        })
        .collect()
}

fn bytes(texts: &StringArray, is_lenient: bool) -> Result<ArrayRef> {
    let mut values = BinaryBuilder::new();
    for bytes in each(texts, is_lenient, |text| {
        bytea::bytes(text).ok_or_else(|| bytea::no_value(text).into())
    })? {
        values.append_option(bytes);
    }
    Ok(Arc::new(values.finish()))
}

fn intervals(texts: &StringArray, to: &DataType, is_lenient: bool) -> Result<ArrayRef> {
    let spelled: StringArray = texts
        .iter()
        .map(|text| text.map(|text| literals::spelled_out(text).unwrap_or_else(|| text.to_owned())))
        .collect();
    let options = CastOptions {
        safe: is_lenient,
        ..CastOptions::default()
    };
    Ok(cast_with_options(&spelled, to, &options)?)
}

/// Arrow reads what is in its form, which is most; the rest is read here.
fn moments(texts: &ArrayRef, to: &DataType, is_lenient: bool) -> Result<ArrayRef> {
    let lenient = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let strings = texts.as_string::<i32>();
    let has_other = |values: &ArrayRef| {
        (0..values.len()).any(|row| values.is_null(row) && strings.is_valid(row))
    };
    let values = cast_with_options(texts, to, &lenient)?;
    if !has_other(&values) {
        return Ok(values);
    }
    let name = crate::sql_types::sql_name(to);
    match to {
        DataType::Date32 => {
            let days = each(strings, is_lenient, |text| {
                let date = read_moment::read(text, &name)?.date(text)?;
                Ok(date.num_days_from_ce() - 719_163)
            })?;
            Ok(Arc::new(arrow::array::Date32Array::from(days)))
        }
        DataType::Time64(_) => {
            let micros = each(strings, is_lenient, |text| {
                let time = read_moment::read(text, &name)?.time(text)?;
                Ok((time - chrono::NaiveTime::MIN)
                    .num_microseconds()
                    .unwrap_or_default())
            })?;
            Ok(cast(
                &arrow::array::Time64MicrosecondArray::from(micros),
                to,
            )?)
        }
        DataType::Timestamp(_, zone) => {
            let micros = each(strings, is_lenient, |text| {
                let read = read_moment::read(text, &name)?;
                match zone {
                    Some(zone) => read.micros(text, zone.parse::<Tz>()?),
                    None => Ok(read.clock(text)?.and_utc().timestamp_micros()),
                }
            })?;
            let micros = arrow::array::TimestampMicrosecondArray::from(micros);
            let micros = micros.with_timezone_opt(zone.clone());
            Ok(cast(&micros, to)?)
        }
        _ => internal_err!("{to} is no date or time"),
    }
}

/// A UUID in its canonical form.
fn uuid(text: &str) -> Result<String> {
    let trimmed = text.trim().trim_start_matches('{').trim_end_matches('}');
    uuid::Uuid::try_parse(trimmed)
        .map(|uuid| uuid.hyphenated().to_string())
        .map_err(|_| no_value(text, "UUID").into())
}

fn no_value(text: &str, data_type: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::invalid(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("{shown:?} is no value of type {data_type}"),
    )
}

/// Arrays of text such as `{1,NULL,"a b"}`, of any depth that the type has.
fn lists(texts: &StringArray, item: &FieldRef, is_lenient: bool) -> Result<ArrayRef> {
    let parsed = each(texts, is_lenient, |text| {
        items(text).ok_or_else(|| {
            no_value(text, "array")
                .with_hint("write it as '{1,2}'")
                .into()
        })
    })?;
    let lengths = parsed
        .iter()
        .map(|items| items.as_ref().map_or(0, Vec::len));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = NullBuffer::from_iter(parsed.iter().map(Option::is_some));
    let strings: StringArray = parsed.into_iter().flatten().flatten().collect();
    let strings: ArrayRef = Arc::new(strings);
    let values = match strings.is_empty() {
        true => new_null_array(item.data_type(), 0),
        false => values(&strings, item, is_lenient)?,
    };
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        Some(nulls),
    )?))
}

/// The items of an array as texts; inner arrays as they are written.
fn items(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inside.trim().is_empty() {
        return Some(items);
    }
    let mut characters = inside.chars().peekable();
    loop {
        while characters.next_if(char::is_ascii_whitespace).is_some() {}
        let mut item = String::new();
        let mut is_quoted = false;
        match characters.peek() {
            Some('"') => {
                is_quoted = true;
                characters.next();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => item.push(characters.next()?),
                        other => item.push(other),
                    }
                }
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
            }
            Some('{') => {
                let (mut depth, mut in_quotes) = (0_usize, false);
                loop {
                    let character = characters.next()?;
                    item.push(character);
                    match character {
                        '\\' => item.push(characters.next()?),
                        '"' => in_quotes = !in_quotes,
                        '{' if !in_quotes => depth += 1,
                        '}' if !in_quotes => {
                            depth -= 1;
                            if depth == 0 {
                                break;
                            }
                        }
                        _ => {}
                    }
                }
                is_quoted = true;
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
            }
            _ => {
                while let Some(character) = characters.next_if(|c| *c != ',') {
                    match character {
                        '\\' => item.push(characters.next()?),
                        '{' | '}' | '"' => return None,
                        other => item.push(other),
                    }
                }
                item.truncate(item.trim_end().len());
                if item.is_empty() {
                    return None;
                }
            }
        }
        let is_null = !is_quoted && item.eq_ignore_ascii_case("null");
        items.push((!is_null).then_some(item));
        match characters.next() {
            Some(',') => {}
            None => return Some(items),
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_taken_apart() {
        let of = |text: &str| {
            items(text).map(|items| {
                items
                    .into_iter()
                    .map(|item| item.unwrap_or_else(|| "∅".to_owned()))
                    .collect::<Vec<_>>()
                    .join("|")
            })
        };
        assert_eq!(of("{1, 2}").as_deref(), Some("1|2"));
        assert_eq!(of("{}").as_deref(), Some(""));
        assert_eq!(
            of(r#"{"a b",NULL,"NULL",c\,d}"#).as_deref(),
            Some("a b|∅|NULL|c,d")
        );
        assert_eq!(of("{{1,2},{3,4}}").as_deref(), Some("{1,2}|{3,4}"));
        for wrong in ["", "1,2", "{1", "{,}", "{\"a}", "{a{b}"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
