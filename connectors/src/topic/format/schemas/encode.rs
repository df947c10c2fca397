//! Rows as values by a schema.
//!
//! *In:* columns. *Out:* each row's bytes, behind the id of the schema where it is registered. Which column goes into which
//! field, and how, is found out once ([`avro`](super::avro), [`protobuf`](super::protobuf)); what is left for each row are
//! values that are too large, too fine, or null where there is no null.

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{FieldRef, i256};
use arrow::error::ArrowError;
use weir_base::SqlState;
use weir_base::nearest::nearest;
use weir_schemas::{Parsed, SchemaKind};

use super::super::{Encode, Given};
use super::column::Inner;
use super::{Target, WriterSchema, avro, protobuf};
use crate::{Error, Result};

/// Appends the value of a row, or says why it has no place in the schema.
pub(super) type Put<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> std::result::Result<(), String> + 'a>;

pub(super) const NO_NULL: &str = "null is not allowed: the schema has none there";

/// Why a column is not written.
#[derive(Debug)]
pub(super) struct Unfit {
    /// Which one; none when a field is at fault that has no column.
    pub(super) column: Option<usize>,
    pub(super) message: String,
    /// Whether it can be read nevertheless.
    pub(super) reads: bool,
}

impl Unfit {
    pub(super) fn new(message: impl Into<String>, reads: bool) -> Self {
        Self {
            column: None,
            message: message.into(),
            reads,
        }
    }

    pub(super) fn within(self, name: &str) -> Self {
        Self {
            message: format!("field {name:?}: {}", self.message),
            ..self
        }
    }
}

impl From<ArrowError> for Unfit {
    fn from(error: ArrowError) -> Self {
        Self::new(error.to_string(), false)
    }
}

/// What is written of a row, one part after the other.
pub(super) struct Parts<'a> {
    pub(super) parts: Vec<Part<'a>>,
    /// The columns for which there is no field.
    pub(super) missing: Vec<usize>,
    /// Groups of columns of which at most one has a value.
    pub(super) alternatives: Vec<Vec<usize>>,
}

pub(super) struct Part<'a> {
    /// The column; none of a field that has none.
    pub(super) column: Option<usize>,
    pub(super) put: Put<'a>,
}

impl Parts<'_> {
    /// Appends a row. The error names the column.
    pub(super) fn put(
        &self,
        columns: &[Inner<'_>],
        row: usize,
        to: &mut Vec<u8>,
    ) -> std::result::Result<(), (usize, String)> {
        let is_there = |at: &usize| {
            columns
                .get(*at)
                .is_some_and(|column| !column.array.is_null(row))
        };
        if let Some(at) = self.missing.iter().find(|at| is_there(at)) {
            let message = "the schema has no such field: null alone can be written";
            return Err((*at, message.to_owned()));
        }
        for group in &self.alternatives {
            let mut there = group.iter().filter(|at| is_there(at));
            if let (Some(_), Some(second)) = (there.next(), there.next()) {
                let message = "another field of the same oneof has a value";
                return Err((*second, message.to_owned()));
            }
        }
        for part in &self.parts {
            (part.put)(row, to).map_err(|message| (part.column.unwrap_or(usize::MAX), message))?;
        }
        Ok(())
    }

    /// As [`Parts::put`], of fields within a field.
    pub(super) fn put_within(
        &self,
        columns: &[Inner<'_>],
        row: usize,
        to: &mut Vec<u8>,
    ) -> std::result::Result<(), String> {
        self.put(columns, row, to).map_err(|(at, message)| {
            let column = columns.get(at).map_or("", |column| column.key);
            format!("field {column:?}: {message}")
        })
    }
}

pub(crate) struct SchemaEncoder<'a> {
    header: Vec<u8>,
    columns: Vec<Inner<'a>>,
    parts: Parts<'a>,
}

impl<'a> SchemaEncoder<'a> {
    /// # Errors
    /// When there is no schema, or a column has no place in it.
    pub(crate) fn new(
        kind: SchemaKind,
        of: &WriterSchema,
        given: &[Given<'a>],
    ) -> std::result::Result<Self, ArrowError> {
        // A request that is refused, not a bug: the schema may have changed since the stream was made.
        let refused = |message: String| ArrowError::NotYetImplemented(message);
        let target = of
            .target(kind)
            .map_err(|error| refused(error.to_string()))?;
        let target = target.ok_or_else(|| refused(of.no_schema().to_string()))?;
        let columns: Vec<Inner<'a>> = given
            .iter()
            .map(|given| Inner {
                key: given.key,
                field: given.field,
                array: given.array,
            })
            .collect();
        let parts = parts(&target, &columns).map_err(|unfit| {
            let column = unfit.column.and_then(|at| columns.get(at));
            refused(match column {
                Some(column) => format!("column {:?}: {}", column.field.name(), unfit.message),
                None => unfit.message,
            })
        })?;
        Ok(Self {
            header: target.header,
            columns,
            parts,
        })
    }
}

impl Encode for SchemaEncoder<'_> {
    fn encode(
        &mut self,
        row: usize,
        out: &mut Vec<u8>,
    ) -> std::result::Result<bool, (usize, String)> {
        out.extend_from_slice(&self.header);
        self.parts.put(&self.columns, row, out)?;
        Ok(true)
    }
}

fn parts<'a>(target: &Target, columns: &[Inner<'a>]) -> std::result::Result<Parts<'a>, Unfit> {
    match target.parsed.as_ref() {
        Parsed::Avro(schema) => avro::rows(schema, columns),
        Parsed::Protobuf(file) => {
            let message = file.message_at(&target.path);
            let message = message
                .ok_or_else(|| Unfit::new("the schema has no message at that place", true))?;
            protobuf::parts(&message, columns)
        }
        Parsed::Json(_) => Err(Unfit::new("the schema is a JSON Schema", false)),
    }
}

/// Refuses columns for which the schema has no place. What can be read though it cannot be written is let through.
pub(super) fn check(target: &Target, columns: &[(&str, &FieldRef)]) -> Result<()> {
    for (key, field) in columns {
        let array: ArrayRef = new_empty_array(field.data_type());
        let column = Inner {
            key,
            field: field.as_ref(),
            array: array.as_ref(),
        };
        let refusal = match parts(target, &[column]) {
            Ok(parts) if parts.missing.is_empty() => continue,
            Ok(_) => no_such_field(target, key),
            // Of the other fields nothing is known here: they may want columns of their own.
            Err(unfit)
                if unfit.column.is_none() && !names(target).iter().any(|name| name == key) =>
            {
                no_such_field(target, key)
            }
            Err(unfit) if unfit.reads || unfit.column.is_none() => continue,
            Err(unfit) => unfit.message,
        };
        return Err(
            Error::invalid(format!("column {:?}: {refusal}", field.name()))
                .with_hint(
                    "give the column the schema's name and type, or register a schema that has it",
                )
                .with_sqlstate(SqlState::INVALID_TABLE_DEFINITION),
        );
    }
    Ok(())
}

fn no_such_field(target: &Target, key: &str) -> String {
    let names = names(target);
    let near = nearest(key, names.iter().map(String::as_str));
    let meant = near.map(|near| format!("; did you mean {near:?}?"));
    format!("the schema has no such field{}", meant.unwrap_or_default())
}

/// The names of a record's fields.
fn names(target: &Target) -> Vec<String> {
    match target.parsed.as_ref() {
        Parsed::Avro(schema) => avro::names(schema),
        Parsed::Protobuf(file) => file
            .message_at(&target.path)
            .map(|message| message.fields().map(|it| it.name().to_owned()).collect())
            .unwrap_or_default(),
        Parsed::Json(_) => Vec::new(),
    }
}

/// A number of parts of a second in other parts, if none of it is lost.
pub(super) fn rescaled(value: i64, from: i64, to: i64) -> std::result::Result<i64, String> {
    if to >= from {
        let scaled = value.checked_mul(to / from);
        return scaled.ok_or_else(|| format!("{value} is out of range for the schema"));
    }
    match from / to {
        ratio if value % ratio == 0 => Ok(value / ratio),
        _ => Err("it has parts of a second that are too fine for the schema".to_owned()),
    }
}

/// A decimal with another number of digits after the point, if none is lost and there are at most `precision`.
pub(super) fn decimal(
    value: i256,
    scale: i8,
    to_scale: u32,
    precision: u32,
) -> std::result::Result<i256, String> {
    let range = || format!("it has more digits than the {precision} of the schema");
    let ten = i256::from_i128(10);
    let shift = i64::from(to_scale) - i64::from(scale);
    let power = u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX);
    let scaled = match (ten.checked_pow(power), shift >= 0) {
        _ if value == i256::ZERO => value,
        (Some(power), true) => value.checked_mul(power).ok_or_else(range)?,
        (None, true) => return Err(range()),
        (power, false) => {
            let fine = || format!("it has more than {to_scale} digits after the point");
            let power = power.ok_or_else(fine)?;
            if value.checked_rem(power) != Some(i256::ZERO) {
                return Err(fine());
            }
            value.checked_div(power).ok_or_else(range)?
        }
    };
    // A power past 256 bits is more than any number.
    if let Some(bound) = ten.checked_pow(precision)
        && (scaled >= bound || scaled <= bound.wrapping_neg())
    {
        return Err(range());
    }
    Ok(scaled)
}

/// A number in two's complement, big-endian, in as few bytes as it takes.
pub(super) fn minimal(value: i256) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let fill = if value < i256::ZERO { 0xff } else { 0 };
    let is_spare = |pair: &[u8]| match pair {
        [first, second] => *first == fill && (second ^ fill) & 0x80 == 0,
        _ => false,
    };
    let spare = bytes.windows(2).take_while(|pair| is_spare(pair)).count();
    bytes.get(spare..).unwrap_or_default().to_vec()
}

/// A double as a float of which the same double is read back, by its shortest text.
pub(super) fn narrow(value: f64) -> std::result::Result<f32, String> {
    let short = value as f32;
    let reads_back = value.is_nan() || format!("{short:?}").parse() == Ok(value);
    reads_back
        .then_some(short)
        .ok_or_else(|| format!("{value:?} has more digits than the schema's float"))
}

/// A whole number as a double that is the same.
pub(super) fn whole_double(value: i128) -> std::result::Result<f64, String> {
    let double = value as f64;
    (double as i128 == value)
        .then_some(double)
        .ok_or_else(|| format!("{value} has more digits than the schema's double"))
}

/// As [`whole_double`], of a float.
pub(super) fn whole_float(value: i128) -> std::result::Result<f32, String> {
    let float = value as f32;
    (float as i128 == value)
        .then_some(float)
        .ok_or_else(|| format!("{value} has more digits than the schema's float"))
}
