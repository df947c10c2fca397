//! Columns into the fields of an Avro record.

use arrow::datatypes::DataType;
use weir_schemas::avro::{AvroSchema, Field, Logical, NamedBody, Shape, Type, put_bytes, put_long};

use super::column::{Column, Inner, Values};
use super::encode::{
    NO_NULL, Part, Parts, Put, Unfit, decimal, minimal, narrow, rescaled, whole_double, whole_float,
};

/// What is written of each row; `schema` is of a record.
pub(super) fn rows<'a>(schema: &AvroSchema, columns: &[Inner<'a>]) -> Result<Parts<'a>, Unfit> {
    record(schema, fields(schema)?, columns)
}

/// The names of a record's fields.
pub(super) fn names(schema: &AvroSchema) -> Vec<String> {
    let fields = fields(schema).unwrap_or_default();
    fields.iter().map(|field| field.name.clone()).collect()
}

fn fields(schema: &AvroSchema) -> Result<&[Field], Unfit> {
    let named = match &schema.root().shape {
        Shape::Named(name) => schema.named(name),
        _ => None,
    };
    match named.map(|named| &named.body) {
        Some(NamedBody::Record(fields)) => Ok(fields),
        _ => Err(Unfit::new("the schema is no record", false)),
    }
}

fn record<'a>(
    schema: &AvroSchema,
    fields: &[Field],
    columns: &[Inner<'a>],
) -> Result<Parts<'a>, Unfit> {
    let mut parts: Vec<Part<'a>> = Vec::with_capacity(fields.len());
    let mut absent = None;
    for field in fields {
        let at = columns.iter().position(|column| column.key == field.name);
        let put = match at.and_then(|at| columns.get(at)) {
            Some(column) => put(schema, &field.of, *column).map_err(|unfit| Unfit {
                column: at,
                ..unfit
            })?,
            None => match constant(schema, field) {
                Ok(bytes) => {
                    let put: Put<'a> = Box::new(move |_, to| {
                        to.extend_from_slice(&bytes);
                        Ok(())
                    });
                    put
                }
                // What is wrong with a column comes first.
                Err(unfit) => {
                    absent.get_or_insert(unfit);
                    continue;
                }
            },
        };
        parts.push(Part { column: at, put });
    }
    if let Some(unfit) = absent {
        return Err(unfit);
    }
    let is_missing = |column: &Inner<'_>| fields.iter().all(|field| field.name != column.key);
    let missing = columns.iter().enumerate().filter(|(_, it)| is_missing(it));
    Ok(Parts {
        parts,
        missing: missing.map(|(at, _)| at).collect(),
        alternatives: Vec::new(),
    })
}

/// What is written of a field that has no column: its default, or null.
fn constant(schema: &AvroSchema, field: &Field) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    let null = serde_json::Value::Null;
    let written = schema.put_default(
        field.default.as_ref().unwrap_or(&null),
        &field.of,
        &mut bytes,
    );
    match written {
        Ok(()) => Ok(bytes),
        Err(_) => Err(Unfit::new(
            format!(
                "the schema's field {:?} has no column, and neither a default nor null",
                field.name
            ),
            true,
        )),
    }
}

/// What is written of a column in a field of type `of`.
fn put<'a>(schema: &AvroSchema, of: &Type, column: Inner<'a>) -> Result<Put<'a>, Unfit> {
    let array = column.array;
    let is_null = move |row: usize| array.is_null(row) || *array.data_type() == DataType::Null;
    match &of.shape {
        Shape::Null => Ok(Box::new(move |row, _| match is_null(row) {
            true => Ok(()),
            false => Err("it is not null, and the schema has only null there".to_owned()),
        })),
        Shape::Union(branches) => {
            let mut null = None;
            let mut puts = Vec::new();
            let mut unfit = None;
            for (at, branch) in branches.iter().enumerate() {
                if branch.shape == Shape::Null {
                    null = Some(at as i64);
                    continue;
                }
                match put(schema, branch, column) {
                    Ok(put) => puts.push((at as i64, put)),
                    Err(error) => drop(unfit.get_or_insert(error)),
                }
            }
            if let (true, Some(unfit)) = (puts.is_empty(), unfit) {
                return Err(unfit);
            }
            Ok(Box::new(move |row, to| {
                if is_null(row) {
                    put_long(null.ok_or(NO_NULL)?, to);
                    return Ok(());
                }
                let start = to.len();
                let mut wrong = None;
                for (at, put) in &puts {
                    put_long(*at, to);
                    match put(row, to) {
                        Ok(()) => return Ok(()),
                        Err(message) => drop(wrong.get_or_insert(message)),
                    }
                    to.truncate(start);
                }
                Err(wrong.unwrap_or_else(|| "the schema has only null there".to_owned()))
            }))
        }
        _ => {
            let put = value(schema, of, column)?;
            Ok(Box::new(move |row, to| match is_null(row) {
                true => Err(NO_NULL.to_owned()),
                false => put(row, to),
            }))
        }
    }
}

/// As [`put`], where the value is not null.
fn value<'a>(schema: &AvroSchema, of: &Type, inner: Inner<'a>) -> Result<Put<'a>, Unfit> {
    let column = Column::new(inner.field, inner.array)?;
    if matches!(column.values, Values::Null) {
        return Ok(Box::new(|_, _| Err(NO_NULL.to_owned())));
    }
    let unfit = |reads: bool| {
        let message = format!(
            "{} is not written as Avro's {}",
            column.of,
            name(schema, of)
        );
        Err(Unfit::new(message, reads))
    };
    let is_json = matches!(column.values, Values::Json(_));
    match (&of.shape, of.logical) {
        (Shape::Boolean, None) => match column.values {
            Values::Boolean(get) => Ok(Box::new(move |row, to| {
                to.push(u8::from(get(row)));
                Ok(())
            })),
            _ => unfit(is_json),
        },
        (Shape::Int, None) => match column.values {
            Values::Integer(get) => Ok(Box::new(move |row, to| {
                let value = get(row);
                let value = i32::try_from(value)
                    .map_err(|_| format!("{value} is out of range for the schema's int"))?;
                put_long(value.into(), to);
                Ok(())
            })),
            ref other => unfit(is_json || is_number(other)),
        },
        (Shape::Long, None) => match column.values {
            Values::Integer(get) => Ok(Box::new(move |row, to| {
                let value = get(row);
                let value = i64::try_from(value)
                    .map_err(|_| format!("{value} is out of range for the schema's long"))?;
                put_long(value, to);
                Ok(())
            })),
            ref other => unfit(is_json || is_number(other)),
        },
        (Shape::Int | Shape::Long, Some(logical)) => match moment(logical, column.values) {
            Ok(put) => Ok(put),
            Err(values) => {
                // A date is a timestamp at its beginning.
                let is_day = logical == Logical::Date && matches!(values, Values::Timestamp(..));
                let message = format!(
                    "{} is not written as Avro's {}",
                    column.of,
                    name(schema, of)
                );
                Err(Unfit::new(message, is_json || is_day))
            }
        },
        (Shape::Float, _) => match column.values {
            Values::Single(get) => Ok(float(move |row| Ok(get(row)))),
            Values::Double(get) => Ok(float(move |row| narrow(get(row)))),
            Values::Integer(get) => Ok(float(move |row| whole_float(get(row)))),
            ref other => unfit(is_json || is_number(other)),
        },
        (Shape::Double, _) => match column.values {
            Values::Single(get) => Ok(double(move |row| Ok(get(row).into()))),
            Values::Double(get) => Ok(double(move |row| Ok(get(row)))),
            Values::Integer(get) => Ok(double(move |row| whole_double(get(row)))),
            ref other => unfit(is_json || is_number(other)),
        },
        (Shape::Bytes, Some(Logical::Decimal { precision, scale })) => match column.values {
            Values::Decimal(own, get) => Ok(Box::new(move |row, to| {
                put_bytes(&minimal(decimal(get(row), own, scale, precision)?), to);
                Ok(())
            })),
            Values::Integer(get) => Ok(Box::new(move |row, to| {
                let value = arrow::datatypes::i256::from_i128(get(row));
                put_bytes(&minimal(decimal(value, 0, scale, precision)?), to);
                Ok(())
            })),
            ref other => unfit(is_json || is_number(other)),
        },
        (Shape::Bytes, _) => match column.values {
            Values::Bytes(get) => Ok(Box::new(move |row, to| {
                put_bytes(get(row), to);
                Ok(())
            })),
            _ => unfit(is_json),
        },
        (Shape::String, _) if column.has_text() => match column.values {
            Values::Text(get) | Values::Uuid(get) | Values::Json(get) => {
                Ok(Box::new(move |row, to| {
                    put_bytes(get(row).as_bytes(), to);
                    Ok(())
                }))
            }
            _ => Ok(Box::new(move |row, to| {
                let mut text = Vec::new();
                column.put_text(row, &mut text)?;
                put_bytes(&text, to);
                Ok(())
            })),
        },
        (Shape::Array(items), _) => match column.values {
            Values::List(range, inner) => {
                let put = put(schema, items, nested(inner)?)?;
                Ok(Box::new(move |row, to| {
                    let range = range(row);
                    if !range.is_empty() {
                        put_long(range.len() as i64, to);
                    }
                    for item in range {
                        put(item, to)?;
                    }
                    put_long(0, to);
                    Ok(())
                }))
            }
            _ => unfit(is_json),
        },
        (Shape::Map(values), _) => match column.values {
            Values::Map(range, key, inner) => {
                let keys = Column::new(key.field, key.array)?;
                let put = put(schema, values, nested(inner)?)?;
                Ok(Box::new(move |row, to| {
                    let range = range(row);
                    if !range.is_empty() {
                        put_long(range.len() as i64, to);
                    }
                    for entry in range {
                        let mut text = Vec::new();
                        keys.put_text(entry, &mut text)?;
                        put_bytes(&text, to);
                        put(entry, to)?;
                    }
                    put_long(0, to);
                    Ok(())
                }))
            }
            ref other => unfit(is_json || matches!(other, Values::Struct(_))),
        },
        (Shape::Named(full), logical) => match schema.named(full).map(|named| &named.body) {
            Some(NamedBody::Record(fields)) => match column.values {
                Values::Struct(inner) => {
                    let inner: Vec<Inner<'a>> =
                        inner.into_iter().map(nested).collect::<Result<_, _>>()?;
                    let parts = record(schema, fields, &inner)
                        .map_err(|unfit| unfit_within(unfit, &inner))?;
                    Ok(Box::new(move |row, to| parts.put_within(&inner, row, to)))
                }
                ref other => unfit(is_json || matches!(other, Values::Map(..))),
            },
            Some(NamedBody::Enum { symbols, .. }) => match column.values {
                Values::Text(get) => {
                    let symbols = symbols.clone();
                    Ok(Box::new(move |row, to| {
                        let text = get(row);
                        let place = symbols.iter().position(|symbol| symbol == text);
                        let place = place
                            .ok_or_else(|| format!("{text:?} is none of the schema's symbols"))?;
                        put_long(place as i64, to);
                        Ok(())
                    }))
                }
                _ => unfit(is_json),
            },
            Some(NamedBody::Fixed(size)) => {
                let size = *size;
                match (logical, column.values) {
                    (Some(Logical::Decimal { precision, scale }), Values::Decimal(own, get)) => {
                        Ok(Box::new(move |row, to| {
                            let value = decimal(get(row), own, scale, precision)?;
                            padded(&minimal(value), size, to)
                        }))
                    }
                    (Some(Logical::Decimal { precision, scale }), Values::Integer(get)) => {
                        Ok(Box::new(move |row, to| {
                            let value = arrow::datatypes::i256::from_i128(get(row));
                            let value = decimal(value, 0, scale, precision)?;
                            padded(&minimal(value), size, to)
                        }))
                    }
                    (Some(Logical::Uuid), Values::Uuid(get) | Values::Text(get)) => {
                        Ok(Box::new(move |row, to| {
                            let text = get(row);
                            let uuid = uuid::Uuid::try_parse(text)
                                .map_err(|_| format!("{text:?} is no UUID"))?;
                            to.extend_from_slice(uuid.as_bytes());
                            Ok(())
                        }))
                    }
                    (None, Values::Bytes(get)) => Ok(Box::new(move |row, to| {
                        let bytes = get(row);
                        if bytes.len() != size {
                            return Err(format!(
                                "it has {} bytes, and the schema's fixed {size}",
                                bytes.len()
                            ));
                        }
                        to.extend_from_slice(bytes);
                        Ok(())
                    })),
                    (logical, values) => {
                        let message = format!(
                            "{} is not written as Avro's {}",
                            column.of,
                            name(schema, of)
                        );
                        let is_duration = logical == Some(Logical::Duration)
                            && matches!(values, Values::Plain | Values::Text(_));
                        let is_decimal =
                            matches!(logical, Some(Logical::Decimal { .. })) && is_number(&values);
                        Err(Unfit::new(message, is_json || is_duration || is_decimal))
                    }
                }
            }
            None => unfit(false),
        },
        _ => unfit(is_json),
    }
}

/// A column within a column. JSON there has no form: as text it would read back as a text.
pub(super) fn nested(inner: Inner<'_>) -> Result<Inner<'_>, Unfit> {
    use crate::topic::row::{Logical, logical};
    match logical(inner.field) {
        Some(Logical::Json) => Err(Unfit::new(
            "JSON within lists, structs and maps is not written in this format",
            true,
        )),
        _ => Ok(inner),
    }
}

/// Says of which field within a column it is.
pub(super) fn unfit_within(unfit: Unfit, inner: &[Inner<'_>]) -> Unfit {
    match unfit.column.and_then(|at| inner.get(at)) {
        Some(inner) => Unfit {
            column: None,
            ..unfit.within(inner.key)
        },
        None => unfit,
    }
}

/// Dates, times and timestamps; the values back when they are none of that logical type.
fn moment(logical: Logical, values: Values<'_>) -> Result<Put<'_>, Values<'_>> {
    let (per_second, is_local) = match logical {
        Logical::Date => (0, false),
        Logical::TimeMillis | Logical::TimestampMillis => (1_000, false),
        Logical::LocalTimestampMillis => (1_000, true),
        Logical::TimeMicros | Logical::TimestampMicros => (1_000_000, false),
        Logical::LocalTimestampMicros => (1_000_000, true),
        Logical::TimestampNanos => (1_000_000_000, false),
        Logical::LocalTimestampNanos => (1_000_000_000, true),
        Logical::Decimal { .. } | Logical::Uuid | Logical::Duration => return Err(values),
    };
    let is_time = matches!(logical, Logical::TimeMillis | Logical::TimeMicros);
    Ok(match values {
        Values::Date(get) if logical == Logical::Date => Box::new(move |row, to| {
            put_long(get(row), to);
            Ok(())
        }),
        Values::Time(own, get) if is_time => Box::new(move |row, to| {
            put_long(rescaled(get(row), own, per_second)?, to);
            Ok(())
        }),
        Values::Timestamp(clock, get) if !is_time && logical != Logical::Date => {
            // What is local is read on the column's own clock.
            let east = if is_local {
                clock.east * clock.per_second
            } else {
                0
            };
            Box::new(move |row, to| {
                let value = get(row);
                let shown = value.checked_add(east);
                let shown = shown.ok_or_else(|| format!("{value} is out of range"))?;
                put_long(rescaled(shown, clock.per_second, per_second)?, to);
                Ok(())
            })
        }
        other => return Err(other),
    })
}

fn float<'a>(get: impl Fn(usize) -> Result<f32, String> + 'a) -> Put<'a> {
    Box::new(move |row, to| {
        to.extend_from_slice(&get(row)?.to_le_bytes());
        Ok(())
    })
}

fn double<'a>(get: impl Fn(usize) -> Result<f64, String> + 'a) -> Put<'a> {
    Box::new(move |row, to| {
        to.extend_from_slice(&get(row)?.to_le_bytes());
        Ok(())
    })
}

/// A number in two's complement, in so many bytes.
fn padded(bytes: &[u8], size: usize, to: &mut Vec<u8>) -> Result<(), String> {
    let spare = size.checked_sub(bytes.len());
    let spare =
        spare.ok_or_else(|| format!("it takes more than the {size} bytes of the schema"))?;
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    to.extend(std::iter::repeat_n(
        if is_negative { 0xff } else { 0 },
        spare,
    ));
    to.extend_from_slice(bytes);
    Ok(())
}

pub(super) fn is_number(values: &Values<'_>) -> bool {
    matches!(
        values,
        Values::Integer(_) | Values::Single(_) | Values::Double(_) | Values::Decimal(..)
    )
}

/// What a type is called, for a person.
fn name(schema: &AvroSchema, of: &Type) -> String {
    match of.logical {
        Some(logical) => format!(
            "{logical:?} ({})",
            of.describe(|it| schema.named(it).cloned())
        ),
        None => of.describe(|it| schema.named(it).cloned()),
    }
}
