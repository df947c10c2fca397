//! PostgreSQL's functions that look into the catalog, the session or the server: `format_type`, `pg_get_viewdef`, `current_setting`, ….
//!
//! Each is a [`Function`]: a name, and for each list of argument types what it gives and a body that works on one row's values. The
//! [`System`] that a body looks into is that of the statement, which the planner puts into the session's configuration
//! ([`in_statement`]); so what a function says and what a system table shows is of one catalog snapshot.

mod comments;
mod definitions;
mod lists;
mod names;
mod nothing;
mod privileges;
mod references;
mod sessions;
mod sizes;
mod tables;
mod visibility;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use weir_base::SqlState;

use crate::error::Error;
use crate::postgres::values::{Value, array, value_at};
use crate::postgres::{Storage, Type, named};
use crate::system::System;

pub(crate) use references::{reference_of_text, text_of_reference};
pub(crate) use tables::table_function;

/// Registers all of them.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    let groups = [
        comments::FUNCTIONS,
        definitions::FUNCTIONS,
        names::FUNCTIONS,
        nothing::FUNCTIONS,
        privileges::FUNCTIONS,
        references::FUNCTIONS,
        sessions::FUNCTIONS,
        sizes::FUNCTIONS,
        visibility::FUNCTIONS,
    ];
    for function in groups.into_iter().flatten() {
        state.register_udf(Arc::new(ScalarUDF::from(Udf::new(function))))?;
    }
    lists::register(state)?;
    names::register(state)
}

/// A function.
pub(super) struct Function {
    name: &'static str,
    volatility: Volatility,
    variants: &'static [Variant],
}

/// Whether a function is one of these, which are given the server to look into.
pub(crate) fn looks_around(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Udf>().is_some()
}

/// What a function is for one list of arguments.
pub(super) struct Variant {
    /// The names of their types; `any` takes what it is given, and its values are not read.
    takes: &'static [&'static str],
    /// The name of the type of what it gives.
    gives: &'static str,
    /// Whether a null among the arguments makes a null.
    is_strict: bool,
    body: Body,
}

type Body = fn(&System, &[Value]) -> Result<Value>;

/// What a function with one list of arguments is.
const fn stable(name: &'static str, variants: &'static [Variant]) -> Function {
    Function {
        name,
        volatility: Volatility::Stable,
        variants,
    }
}

const fn volatile(name: &'static str, variants: &'static [Variant]) -> Function {
    Function {
        name,
        volatility: Volatility::Volatile,
        variants,
    }
}

const fn immutable(name: &'static str, variants: &'static [Variant]) -> Function {
    Function {
        name,
        volatility: Volatility::Immutable,
        variants,
    }
}

/// A variant that gives null for null.
const fn on(takes: &'static [&'static str], gives: &'static str, body: Body) -> Variant {
    Variant {
        takes,
        gives,
        is_strict: true,
        body,
    }
}

/// A variant that looks at nulls itself.
const fn on_nulls(takes: &'static [&'static str], gives: &'static str, body: Body) -> Variant {
    Variant {
        takes,
        gives,
        is_strict: false,
        body,
    }
}

/// A function as DataFusion calls it.
struct Udf {
    function: &'static Function,
    signature: Signature,
}

impl Udf {
    fn new(function: &'static Function) -> Self {
        Self {
            signature: Signature::user_defined(function.volatility),
            function,
        }
    }

    /// The variant that these arguments are given to.
    fn variant(&self, types: &[DataType]) -> Result<&'static Variant> {
        let fitting = self.function.variants.iter().filter_map(|variant| {
            let fits = variant.fits(types)?;
            Some((fits, variant))
        });
        // Of those that fit equally well the first counts.
        let best = fitting.reduce(|best, next| if next.0 > best.0 { next } else { best });
        match best {
            Some((_, variant)) => Ok(variant),
            None => {
                let types: Vec<String> = types.iter().map(crate::sql_types::sql_name).collect();
                plan_err!(
                    "function {}({}) does not exist",
                    self.function.name,
                    types.join(", ")
                )
            }
        }
    }
}

impl Variant {
    /// How well arguments fit, none if they do not.
    fn fits(&self, types: &[DataType]) -> Option<u32> {
        if types.len() != self.takes.len() {
            return None;
        }
        let mut sum = 0;
        for (given, taken) in types.iter().zip(self.takes) {
            sum += fit(given, taken)?;
        }
        Some(sum)
    }
}

fn type_named(name: &str) -> Result<&'static Type> {
    match named(name) {
        Some(pg_type) => Ok(pg_type),
        None => internal_err!("no type {name:?}"),
    }
}

/// How well a value of a type fits where one of another is taken. A literal, of type `Utf8`, is of whatever type is asked for.
fn fit(given: &DataType, taken: &str) -> Option<u32> {
    if taken == "any" {
        return Some(1);
    }
    let storage = named(taken)?.stored_as();
    let is_list = |data_type: &DataType| matches!(data_type, DataType::List(_));
    let is_text = matches!(
        given,
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8
    );
    match storage {
        _ if *given == storage.arrow() => Some(4),
        _ if *given == DataType::Null => Some(1),
        Storage::Text if is_text => Some(3),
        _ if *given == DataType::Utf8 && !is_list(&storage.arrow()) => Some(1),
        Storage::Oid | Storage::Int2 | Storage::Int4 | Storage::Int8 if given.is_integer() => {
            Some(2)
        }
        Storage::Float8 if given.is_numeric() => Some(2),
        _ if is_list(given) && is_list(&storage.arrow()) => Some(2),
        _ => None,
    }
}

impl std::fmt::Debug for Udf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(type_named(self.variant(types)?.gives)?.arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let gives = type_named(self.variant(&types)?.gives)?;
        Ok(Arc::new(gives.field(self.function.name)))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let taken = self.variant(types)?.takes.iter().zip(types);
        taken
            .map(|(taken, given)| match *taken {
                "any" => Ok(given.clone()),
                taken => Ok(type_named(taken)?.arrow()),
            })
            .collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let variant = self.variant(&types)?;
        let system = statement_of(&args.config_options)?;
        let are_constants = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        // A call without arguments is made once for all rows, unless each call may give something else.
        let is_one = are_constants && self.function.volatility != Volatility::Volatile;
        let rows = if is_one { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let values = arrays.iter().zip(variant.takes);
            let values = values
                .map(|(array, taken)| match *taken {
                    "any" => Ok(Value::Bool(!array.is_null(row))),
                    _ => value_at(array, row),
                })
                .collect::<Result<Vec<_>>>()?;
            let is_null = variant.is_strict && values.contains(&Value::Null);
            results.push(match is_null {
                true => Value::Null,
                false => (variant.body)(system, &values)?,
            });
        }
        let results = array(type_named(variant.gives)?.stored_as(), &results)?;
        Ok(match is_one {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?),
            false => ColumnarValue::Array(results),
        })
    }
}

/// The system of a statement, as its session's configuration carries it.
#[derive(Debug, Clone)]
struct Statement(System);

/// Lets functions look into `system`.
pub(crate) fn in_statement(config: &mut SessionConfig, system: System) {
    config.options_mut().extensions.insert(Statement(system));
}

/// The system of the statement that is planned or run with this configuration.
///
/// # Errors
/// Where there is no statement.
pub(crate) fn statement_of(config: &ConfigOptions) -> Result<&System> {
    match config.extensions.get::<Statement>() {
        Some(statement) => Ok(&statement.0),
        None => plan_err!("this function can be called in a statement only"),
    }
}

impl ConfigExtension for Statement {
    const PREFIX: &'static str = "weir_statement";
}

impl ExtensionOptions for Statement {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        plan_err!("{key} cannot be set")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// An error of this SQLSTATE.
fn refused<T>(state: &'static str, message: String) -> Result<T> {
    let error = Error::invalid(SqlState(state), message);
    Err(DataFusionError::External(Box::new(error)))
}

/// The argument of a number.
fn arg(args: &[Value], at: usize) -> &Value {
    args.get(at).unwrap_or(&Value::Null)
}

fn text_arg(args: &[Value], at: usize) -> &str {
    arg(args, at).text().unwrap_or_default()
}

fn oid_arg(args: &[Value], at: usize) -> u32 {
    arg(args, at).oid().unwrap_or_default()
}

/// The field of a type under a function's name.
fn field_of(type_name: &str, name: &str) -> Result<Field> {
    Ok(type_named(type_name)?.field(name))
}
