//! How a function of PostgreSQL is written down: its name, the kinds of its arguments, what it gives, and a body that works
//! on whole arrays.
//!
//! A function may have several variants, as `substring(text, int)` and `substring(text, text)` are two. The first that takes
//! the arguments is called. A text that is written in the statement (`Utf8`, where columns are `Utf8View`) is of whatever kind
//! is asked for, as PostgreSQL's literals are.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, StringViewArray, StringViewBuilder, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use weir_catalog::{EXTENSION_NAME_KEY, Logical};

use crate::planning::UTC;

/// What an argument may be, and what a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    /// A text that holds JSON.
    Json,
    Integer,
    Double,
    /// A whole number or a decimal, as a decimal.
    Numeric,
    /// A decimal.
    Decimal,
    Boolean,
    Bytes,
    Date,
    Time,
    /// A timestamp without time zone.
    Timestamp,
    /// A timestamp with time zone.
    Instant,
    Interval,
    /// A list of any type.
    List,
    TextList,
}

/// What a function gives.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    A(Kind),
    /// A type that the arguments' types tell.
    By(fn(&[DataType]) -> Result<DataType>),
}

/// One way to call a function.
#[derive(Clone, Copy)]
pub(super) struct Variant {
    pub(super) takes: &'static [Kind],
    /// The kind of any number of further arguments.
    pub(super) rest: Option<Kind>,
    pub(super) gives: Gives,
    pub(super) body: fn(&Arguments) -> Result<ArrayRef>,
}

/// A function and all ways to call it.
#[derive(Clone, Copy)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) volatility: Volatility,
    pub(super) variants: &'static [Variant],
}

/// An immutable function.
pub(super) const fn function(name: &'static str, variants: &'static [Variant]) -> Definition {
    Definition {
        name,
        volatility: Volatility::Immutable,
        variants,
    }
}

/// A variant of so many arguments.
pub(super) const fn takes(
    takes: &'static [Kind],
    gives: Kind,
    body: fn(&Arguments) -> Result<ArrayRef>,
) -> Variant {
    Variant {
        takes,
        rest: None,
        gives: Gives::A(gives),
        body,
    }
}

/// A variant whose type the arguments tell.
pub(super) const fn takes_by(
    takes: &'static [Kind],
    gives: fn(&[DataType]) -> Result<DataType>,
    body: fn(&Arguments) -> Result<ArrayRef>,
) -> Variant {
    Variant {
        takes,
        rest: None,
        gives: Gives::By(gives),
        body,
    }
}

impl Variant {
    /// As it is, and any number of further arguments.
    pub(super) const fn and_more(mut self, rest: Kind) -> Self {
        self.rest = Some(rest);
        self
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.takes.get(at).copied().or(self.rest)
    }

    /// The types that arguments become, if this variant takes them.
    fn types(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        let fits = given.len() == self.takes.len()
            || (self.rest.is_some() && given.len() >= self.takes.len());
        if !fits {
            return None;
        }
        given
            .iter()
            .enumerate()
            .map(|(at, given)| self.kind(at)?.of(given))
            .collect()
    }
}

impl Kind {
    /// The type that an argument of type `given` becomes, if it can be of this kind.
    fn of(self, given: &DataType) -> Option<DataType> {
        let is_literal = matches!(given, DataType::Utf8 | DataType::Null);
        let or_literal = |fits: bool, becomes: DataType| (fits || is_literal).then_some(becomes);
        match self {
            Self::Any => Some(given.clone()),
            Self::Text | Self::Json => or_literal(given.is_string(), DataType::Utf8View),
            Self::Integer => or_literal(given.is_integer(), DataType::Int64),
            Self::Double => or_literal(given.is_numeric(), DataType::Float64),
            Self::Numeric if given.is_integer() => Some(DataType::Decimal128(20, 0)),
            Self::Numeric | Self::Decimal => match given {
                DataType::Decimal128(..) | DataType::Decimal256(..) => Some(given.clone()),
                DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                    Some(DataType::Decimal128(*precision, *scale))
                }
                _ => None,
            },
            Self::Boolean => or_literal(*given == DataType::Boolean, DataType::Boolean),
            Self::Bytes => or_literal(given.is_binary(), DataType::Binary),
            Self::Date => or_literal(
                matches!(given, DataType::Date32 | DataType::Date64),
                DataType::Date32,
            ),
            Self::Time => or_literal(
                matches!(given, DataType::Time32(_) | DataType::Time64(_)),
                DataType::Time64(TimeUnit::Microsecond),
            ),
            Self::Timestamp => or_literal(
                matches!(
                    given,
                    DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64
                ),
                DataType::Timestamp(TimeUnit::Microsecond, None),
            ),
            Self::Instant => or_literal(
                matches!(given, DataType::Timestamp(_, Some(_))),
                DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            ),
            Self::Interval => or_literal(
                matches!(given, DataType::Interval(_) | DataType::Duration(_)),
                DataType::Interval(IntervalUnit::MonthDayNano),
            ),
            Self::List => matches!(given, DataType::List(_) | DataType::Null)
                .then(|| given.clone())
                .or_else(|| match given {
                    DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                        Some(DataType::List(Arc::clone(item)))
                    }
                    _ => None,
                }),
            Self::TextList => {
                let is_list = matches!(given, DataType::List(item) if item.data_type().is_string() || item.data_type().is_null());
                or_literal(is_list, text_list())
            }
        }
    }

    /// The type of a result of this kind.
    fn result(self) -> DataType {
        match self {
            Self::Any | Self::List => DataType::Null,
            Self::Numeric | Self::Decimal => DataType::Decimal128(38, 10),
            other => other.of(&DataType::Null).unwrap_or(DataType::Null),
        }
    }
}

/// The type of a list of texts.
pub(super) fn text_list() -> DataType {
    DataType::new_list(DataType::Utf8View, true)
}

/// The field of a value of JSON.
pub(super) fn json_field(name: &str) -> FieldRef {
    let metadata = [(
        EXTENSION_NAME_KEY.to_owned(),
        Logical::Json.extension_name().to_owned(),
    )];
    Arc::new(Field::new(name, DataType::Utf8View, true).with_metadata(metadata.into()))
}

/// What a body is called with: each argument as an array of as many rows, of the type that its kind says.
pub(super) struct Arguments {
    pub(super) arrays: Vec<ArrayRef>,
    pub(super) fields: Vec<FieldRef>,
    pub(super) rows: usize,
    pub(super) result: FieldRef,
    pub(super) config: Arc<ConfigOptions>,
}

impl Arguments {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.arrays.len()
    }

    pub(super) fn array(&self, at: usize) -> Result<&ArrayRef> {
        match self.arrays.get(at) {
            Some(array) => Ok(array),
            None => internal_err!("a function without its argument {at}"),
        }
    }

    pub(super) fn text(&self, at: usize) -> Result<&StringViewArray> {
        typed(self.array(at)?.as_string_view_opt(), at)
    }

    pub(super) fn integers(&self, at: usize) -> Result<&Int64Array> {
        typed(self.array(at)?.as_primitive_opt::<Int64Type>(), at)
    }

    pub(super) fn doubles(&self, at: usize) -> Result<&Float64Array> {
        typed(self.array(at)?.as_primitive_opt::<Float64Type>(), at)
    }

    pub(super) fn booleans(&self, at: usize) -> Result<&BooleanArray> {
        typed(self.array(at)?.as_boolean_opt(), at)
    }

    pub(super) fn dates(&self, at: usize) -> Result<&Date32Array> {
        typed(self.array(at)?.as_primitive_opt::<Date32Type>(), at)
    }

    pub(super) fn times(&self, at: usize) -> Result<&Time64MicrosecondArray> {
        typed(
            self.array(at)?.as_primitive_opt::<Time64MicrosecondType>(),
            at,
        )
    }

    /// Timestamps with or without a time zone.
    pub(super) fn timestamps(&self, at: usize) -> Result<&TimestampMicrosecondArray> {
        typed(
            self.array(at)?
                .as_primitive_opt::<TimestampMicrosecondType>(),
            at,
        )
    }

    pub(super) fn intervals(&self, at: usize) -> Result<&IntervalMonthDayNanoArray> {
        typed(
            self.array(at)?
                .as_primitive_opt::<IntervalMonthDayNanoType>(),
            at,
        )
    }

    /// A text of each row that has no null among its arguments.
    pub(super) fn texts(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<String>>,
    ) -> Result<ArrayRef> {
        let mut values = StringViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            let value = if self.has_null(row) {
                None
            } else {
                value(row)?
            };
            values.append_option(value);
        }
        Ok(Arc::new(values.finish()))
    }

    /// A value of each row that has no null among its arguments, as an array that `T`s are collected into.
    pub(super) fn values<T, A: Array + FromIterator<Option<T>> + 'static>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<ArrayRef> {
        let values: A = (0..self.rows)
            .map(|row| match self.has_null(row) {
                true => Ok(None),
                false => value(row),
            })
            .collect::<Result<A>>()?;
        Ok(Arc::new(values))
    }

    /// As [`Self::values`], in the type of the result: a timestamp with its time zone.
    pub(super) fn instants(
        &self,
        value: impl FnMut(usize) -> Result<Option<i64>>,
    ) -> Result<ArrayRef> {
        let values = self.values::<i64, TimestampMicrosecondArray>(value)?;
        Ok(arrow::compute::cast(&values, self.result.data_type())?)
    }

    /// Whether an argument of a row is null.
    pub(super) fn has_null(&self, row: usize) -> bool {
        self.arrays.iter().any(|array| is_null(array, row))
    }
}

/// Whether a row is null, also in an array of nothing but nulls.
pub(super) fn is_null(array: &ArrayRef, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

fn typed<T>(array: Option<T>, at: usize) -> Result<T> {
    match array {
        Some(array) => Ok(array),
        None => internal_err!("argument {at} of a function is of another type"),
    }
}

/// A [`Definition`] as DataFusion calls it.
struct Function {
    definition: Definition,
    signature: Signature,
}

/// `definition` as a function of DataFusion's.
pub(super) fn udf(definition: &Definition) -> ScalarUDF {
    ScalarUDF::from(Function {
        definition: *definition,
        signature: Signature::user_defined(definition.volatility),
    })
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.definition.name)
    }
}

// There is one function of a name.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl Function {
    fn variant(&self, given: &[DataType]) -> Result<(&'static Variant, Vec<DataType>)> {
        let found = self
            .definition
            .variants
            .iter()
            .find_map(|variant| Some((variant, variant.types(given)?)));
        match found {
            Some(found) => Ok(found),
            None => {
                let given: Vec<_> = given.iter().map(crate::sql_types::sql_name).collect();
                plan_err!(
                    "No function matches the given name and argument types: {}({})",
                    self.definition.name,
                    given.join(", ").to_lowercase()
                )
            }
        }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.variant(given)?.1)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let (variant, types) = self.variant(given)?;
        match variant.gives {
            Gives::A(kind) => Ok(kind.result()),
            Gives::By(result) => result(&types),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given: Vec<_> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let (variant, _) = self.variant(&given)?;
        if matches!(variant.gives, Gives::A(Kind::Json)) {
            return Ok(json_field(self.name()));
        }
        Ok(Arc::new(Field::new(
            self.name(),
            self.return_type(&given)?,
            true,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
            && self.definition.volatility != Volatility::Volatile;
        let rows = if is_constant { 1 } else { args.number_rows };
        let given: Vec<_> = args.args.iter().map(ColumnarValue::data_type).collect();
        let (variant, _) = self.variant(&given)?;
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let values = (variant.body)(&Arguments {
            arrays,
            fields: args.arg_fields,
            rows,
            result: args.return_field,
            config: args.config_options,
        })?;
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &values, 0,
            )?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

/// Keeps what was last made of a text, such as a compiled pattern: mostly, all rows have the same.
pub(super) struct Memo<T>(Option<(String, T)>);

impl<T> Memo<T> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// What `make` makes of `text`.
    pub(super) fn get(&mut self, text: &str, make: impl FnOnce(&str) -> Result<T>) -> Result<&T> {
        let is_known = matches!(&self.0, Some((known, _)) if known == text);
        if !is_known {
            self.0 = Some((text.to_owned(), make(text)?));
        }
        match &self.0 {
            Some((_, made)) => Ok(made),
            None => internal_err!("a memo without what was just made"),
        }
    }
}
