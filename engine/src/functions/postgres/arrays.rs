//! Bounds and elements of arrays as PostgreSQL counts them: from 1, and those of `int2vector` and `oidvector` from 0.
//!
//! What gives a set of rows in PostgreSQL gives a list here, around which the planner puts `unnest` (`planning::sets`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Builder, ListBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::Function;
use crate::postgres::marked;

pub(super) const FUNCTIONS: &[Function] = &[];

/// The function that gives an array's elements with their numbers.
pub(crate) const EXPAND_ARRAY: &str = "_pg_expandarray";

/// The function that gives an array's subscripts.
pub(crate) const SUBSCRIPTS: &str = "generate_subscripts";

pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for kind in [
        Kind::Upper,
        Kind::Lower,
        Kind::Subscripts,
        Kind::Expand,
        Kind::Options,
        Kind::Acl,
    ] {
        state.register_udf(Arc::new(ScalarUDF::from(ArrayFunction {
            kind,
            signature: Signature::variadic_any(Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// `array_upper(a, dimension)`.
    Upper,
    /// `array_lower(a, dimension)`.
    Lower,
    /// `generate_subscripts(a, dimension)`.
    Subscripts,
    /// `_pg_expandarray(a)`: elements as `x`, their numbers from 1 as `n`.
    Expand,
    /// `pg_options_to_table(options)`: `name=value` as `option_name` and `option_value`.
    Options,
    /// `aclexplode(rights)`.
    Acl,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayFunction {
    kind: Kind,
    signature: Signature,
}

/// The number of the first element of an array in a column.
fn first_number(field: &Field) -> i32 {
    let vector = marked(field).is_some_and(|it| matches!(it.name, "int2vector" | "oidvector"));
    i32::from(!vector)
}

fn element(field: &Field) -> Result<&FieldRef> {
    match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Ok(item)
        }
        other => plan_err!("an array is wanted, not {other}"),
    }
}

impl ArrayFunction {
    fn arity(&self) -> usize {
        match self.kind {
            Kind::Upper | Kind::Lower | Kind::Subscripts => 2,
            Kind::Expand | Kind::Options | Kind::Acl => 1,
        }
    }

    /// The columns of a row that a set-returning one gives.
    fn columns(&self, array: &Field) -> Result<Fields> {
        let text = |name| Field::new(name, DataType::Utf8View, true);
        let oid = |name| Field::new(name, DataType::UInt32, true);
        Ok(match self.kind {
            Kind::Expand => Fields::from(vec![
                element(array)?.as_ref().clone().with_name("x"),
                Field::new("n", DataType::Int32, true),
            ]),
            Kind::Options => Fields::from(vec![text("option_name"), text("option_value")]),
            _ => Fields::from(vec![
                oid("grantor"),
                oid("grantee"),
                text("privilege_type"),
                Field::new("is_grantable", DataType::Boolean, true),
            ]),
        })
    }
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Upper => "array_upper",
            Kind::Lower => "array_lower",
            Kind::Subscripts => SUBSCRIPTS,
            Kind::Expand => EXPAND_ARRAY,
            Kind::Options => "pg_options_to_table",
            Kind::Acl => "aclexplode",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        plan_err!("{} needs the fields of its arguments", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let (Some(array), true) = (
            args.arg_fields.first(),
            args.arg_fields.len() == self.arity(),
        ) else {
            return plan_err!("{} takes {} arguments", self.name(), self.arity());
        };
        let data_type = match self.kind {
            Kind::Upper | Kind::Lower => {
                element(array)?;
                DataType::Int32
            }
            Kind::Subscripts => {
                element(array)?;
                DataType::new_list(DataType::Int32, true)
            }
            Kind::Expand | Kind::Options | Kind::Acl => {
                DataType::new_list(DataType::Struct(self.columns(array)?), true)
            }
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(field) = args.arg_fields.first().cloned() else {
            return plan_err!("{} takes {} arguments", self.name(), self.arity());
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return plan_err!("{} takes {} arguments", self.name(), self.arity());
        };
        let item = Arc::clone(element(&field)?);
        let list = arrow::compute::cast(array, &DataType::List(item))?;
        let list = list.as_list::<i32>();
        let first = first_number(&field);
        // Arrays have one dimension here, and nothing has a bound in a second.
        let dimensions = match arrays.get(1) {
            Some(dimensions) => Some(arrow::compute::cast(dimensions, &DataType::Int64)?),
            None => None,
        };
        let is_first_dimension = |row: usize| {
            dimensions.as_ref().is_none_or(|dimensions| {
                let dimensions = dimensions.as_primitive::<arrow::datatypes::Int64Type>();
                dimensions.is_valid(row) && dimensions.value(row) == 1
            })
        };
        let length = |row: usize| -> Option<i32> {
            let is_there = list.is_valid(row) && is_first_dimension(row);
            is_there.then(|| list.value_length(row))
        };
        let rows = 0..list.len();
        let result: ArrayRef = match self.kind {
            Kind::Upper => Arc::new(
                rows.map(|row| {
                    let length = length(row).filter(|length| *length > 0)?;
                    Some(first + length - 1)
                })
                .collect::<arrow::array::Int32Array>(),
            ),
            Kind::Lower => Arc::new(
                rows.map(|row| length(row).filter(|length| *length > 0).map(|_| first))
                    .collect::<arrow::array::Int32Array>(),
            ),
            Kind::Subscripts => {
                let mut builder = ListBuilder::new(Int32Builder::new());
                for row in rows {
                    let length = length(row).unwrap_or(0);
                    builder.append_value((first..first + length).map(Some));
                }
                Arc::new(builder.finish())
            }
            Kind::Expand => self.expanded(list, &field)?,
            Kind::Options => self.options(list, &field)?,
            // No object has a list of rights.
            Kind::Acl => Arc::new(arrow::array::ListArray::new(
                Arc::new(Field::new_list_field(
                    DataType::Struct(self.columns(&field)?),
                    true,
                )),
                OffsetBuffer::new_zeroed(list.len()),
                Arc::new(StructArray::new_null(self.columns(&field)?, 0)),
                Some(NullBuffer::new_null(list.len())),
            )),
        };
        Ok(ColumnarValue::Array(result))
    }
}

impl ArrayFunction {
    fn expanded(&self, list: &arrow::array::ListArray, field: &Field) -> Result<ArrayRef> {
        let lengths: Vec<usize> = (0..list.len())
            .map(|row| match list.is_valid(row) {
                true => usize::try_from(list.value_length(row)).unwrap_or_default(),
                false => 0,
            })
            .collect();
        let numbers = lengths.iter().flat_map(|length| (1..).take(*length));
        let numbers: arrow::array::Int32Array = numbers.map(Some).collect();
        let parts: Vec<ArrayRef> = (0..list.len())
            .filter(|row| list.is_valid(*row))
            .map(|row| list.value(row))
            .collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = match parts.as_slice() {
            [] => arrow::array::new_empty_array(&list.value_type()),
            parts => arrow::compute::concat(parts)?,
        };
        let columns = self.columns(field)?;
        let structs = StructArray::try_new(
            columns.clone(),
            vec![values, Arc::new(numbers) as ArrayRef],
            None,
        )?;
        Ok(Arc::new(arrow::array::ListArray::try_new(
            Arc::new(Field::new_list_field(DataType::Struct(columns), true)),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(structs),
            None,
        )?))
    }

    fn options(&self, list: &arrow::array::ListArray, field: &Field) -> Result<ArrayRef> {
        let mut names = arrow::array::StringViewBuilder::new();
        let mut values = arrow::array::StringViewBuilder::new();
        let mut lengths = Vec::with_capacity(list.len());
        for row in 0..list.len() {
            if list.is_null(row) {
                lengths.push(0);
                continue;
            }
            let options = arrow::compute::cast(&list.value(row), &DataType::Utf8View)?;
            let options = options.as_string_view();
            lengths.push(options.len());
            for option in options {
                let (name, value) = match option.and_then(|option| option.split_once('=')) {
                    Some((name, value)) => (Some(name), Some(value)),
                    None => (option, None),
                };
                names.append_option(name);
                values.append_option(value);
            }
        }
        let columns = self.columns(field)?;
        let structs = StructArray::try_new(
            columns.clone(),
            vec![
                Arc::new(names.finish()) as ArrayRef,
                Arc::new(values.finish()) as ArrayRef,
            ],
            None,
        )?;
        Ok(Arc::new(arrow::array::ListArray::try_new(
            Arc::new(Field::new_list_field(DataType::Struct(columns), true)),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(structs),
            None,
        )?))
    }
}
