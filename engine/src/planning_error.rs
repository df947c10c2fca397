//! How an error of DataFusion, Arrow or Parquet becomes one of ours: kind, SQLSTATE, place, hint.
//!
//! Our own errors travel inside DataFusion's as `External` and come out whole.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use weir_base::nearest::nearest;
use weir_base::{Kind, Position, SqlState};

use crate::error::Error;
use crate::sql_types::sql_name;

/// What is said of a condition that is neither true nor false.
pub(crate) const CONDITION: &str = "is a condition, which must be of type BOOLEAN";

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let position = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .map(|span| Position {
                line: span.start.line,
                column: span.start.column,
            });
        classify(&error).with_position(position.filter(|at| at.line > 0))
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        from_arrow(&error)
    }
}

fn classify(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Context(context, cause) => {
            let cause = classify(cause);
            // Names of optimizer rules tell a user nothing.
            tracing::debug!(context, error = %cause, "error in context");
            cause
        }
        DataFusionError::Diagnostic(_, cause) => classify(cause),
        DataFusionError::Shared(cause) => classify(cause),
        DataFusionError::Collection(errors) => errors
            .first()
            .map_or_else(|| internal("an empty collection of errors"), classify),
        DataFusionError::External(cause) => from_external(cause.as_ref()),
        DataFusionError::ArrowError(cause, _) => from_arrow(cause),
        DataFusionError::SchemaError(cause, _) => from_schema(cause),
        DataFusionError::SQL(cause, _) => Error::invalid(SqlState::SYNTAX_ERROR, cause.to_string()),
        DataFusionError::NotImplemented(message) => from_not_implemented(message),
        DataFusionError::Plan(message) => from_plan(message),
        DataFusionError::Configuration(message) => {
            Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message.clone())
        }
        DataFusionError::Execution(message) => from_execution(message),
        DataFusionError::ResourcesExhausted(message) => from_exhausted(message),
        DataFusionError::IoError(cause) => {
            Error::new(Kind::Unavailable, cause.to_string()).with_sqlstate(SqlState::IO_ERROR)
        }
        DataFusionError::ObjectStore(cause) => from_external(cause.as_ref()),
        DataFusionError::ParquetError(cause) => own(cause.as_ref())
            .unwrap_or_else(|| Error::new(Kind::Corrupt, format!("Parquet: {cause}"))),
        DataFusionError::ExecutionJoin(cause) if cause.is_cancelled() => {
            Error::new(Kind::Cancelled, "the query was stopped")
        }
        other => internal(&other.strip_backtrace()),
    }
}

fn from_not_implemented(message: &str) -> Error {
    let expression = message.strip_prefix("Physical plan does not support logical expression ");
    if expression.is_some_and(|expression| expression.contains("<subquery>")) {
        return Error::unsupported("no join can be made of this subquery")
            .with_hint("write it as a join: what changes is followed through joins alone");
    }
    Error::unsupported(message)
}

/// An error of Weir's own that passed through DataFusion, or one that only has text.
fn from_external(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(own) = own(cause) {
        return own;
    }
    let kind = match cause.downcast_ref::<object_store::Error>() {
        Some(object_store::Error::NotFound { .. }) => Kind::NotFound,
        Some(
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. },
        ) => Kind::Denied,
        _ => Kind::Unavailable,
    };
    Error::new(kind, cause.to_string())
}

/// What is known of one of the causes of an error.
fn own(cause: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(cause);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(own) = error.downcast_ref::<weir_connectors::Error>() {
            return Some(Error::from_classified(own));
        }
        if let Some(inner) = error.downcast_ref::<DataFusionError>() {
            return Some(classify(inner));
        }
        if let Some(inner) = error.downcast_ref::<ArrowError>() {
            return Some(from_arrow(inner));
        }
        next = error.source();
    }
    None
}

fn from_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(cause) => from_external(cause.as_ref()),
        ArrowError::DivideByZero => Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::CastError(message) => from_cast(message),
        ArrowError::ParseError(message) => {
            Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message.clone())
        }
        ArrowError::ArithmeticOverflow(message) => {
            Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message.clone())
        }
        ArrowError::CsvError(message) | ArrowError::JsonError(message) => {
            Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message.clone())
        }
        ArrowError::InvalidArgumentError(message)
            if message.contains("declared as non-nullable but contains null") =>
        {
            let what = match between(message, "Column '", "' is declared") {
                Some(column) => format!("column {column:?} is NOT NULL, but a value is null"),
                None => "a value is null, but its column is NOT NULL".to_owned(),
            };
            Error::invalid(SqlState::NOT_NULL_VIOLATION, what)
                .with_hint("give a value, or declare the column without NOT NULL")
        }
        ArrowError::InvalidArgumentError(message) if message.contains(" to store in a Decimal") => {
            out_of_range(decimal_out_of_range(message))
        }
        ArrowError::InvalidArgumentError(message) | ArrowError::ComputeError(message) => {
            Error::invalid(SqlState::DATA_EXCEPTION, message.clone())
        }
        ArrowError::NotYetImplemented(message) => Error::unsupported(message.clone()),
        ArrowError::ParquetError(message) => {
            Error::new(Kind::Corrupt, format!("Parquet: {message}"))
        }
        ArrowError::IpcError(message) => Error::new(Kind::Corrupt, format!("Arrow IPC: {message}")),
        other => Error::invalid(SqlState::DATA_EXCEPTION, other.to_string()),
    }
}

fn from_cast(message: &str) -> Error {
    if let Some((value, data_type)) = message
        .strip_prefix("Can't cast value ")
        .and_then(|rest| rest.rsplit_once(" to type "))
    {
        return out_of_range(format!(
            "{value} is out of range for type {}",
            shown_type(data_type)
        ));
    }
    if let Some((text, data_type)) = message
        .strip_prefix("Cannot cast string '")
        .and_then(|rest| rest.strip_suffix(" type"))
        .and_then(|rest| rest.rsplit_once("' to value of "))
    {
        let shown = shown_type(data_type);
        let is_numeric = data_type
            .parse::<DataType>()
            .is_ok_and(|data_type| data_type.is_numeric());
        // A whole number, so what is wrong with it is its size.
        if is_numeric
            && text.trim().parse::<f64>().is_ok()
            && !text.contains(['.', 'e', 'E', 'n', 'N'])
        {
            return out_of_range(format!("{text:?} is out of range for type {shown}"));
        }
        return Error::invalid(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("{text:?} is no value of type {shown}"),
        );
    }
    let lower = message.to_lowercase();
    if lower.contains("overflow") || lower.contains("out of range") {
        return out_of_range(message.to_owned());
    }
    Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message)
}

fn out_of_range(message: String) -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// Arrow's name of a type in SQL's words.
fn shown_type(arrow: &str) -> String {
    arrow
        .parse::<DataType>()
        .map_or_else(|_| arrow.to_owned(), |data_type| sql_name(&data_type))
}

/// `1000.00 is too large to store in a Decimal128 of precision 5. Max is 999.99`
fn decimal_out_of_range(message: &str) -> String {
    let value = message.split(' ').next().unwrap_or_default();
    match message.rsplit_once(" is ") {
        Some((_, bound)) if message.contains("too large") => {
            format!("{value} is out of range: the column or type holds {bound} at most")
        }
        Some((_, bound)) => {
            format!("{value} is out of range: the column or type holds {bound} at least")
        }
        None => message.to_owned(),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => column_not_found(field, valid_fields),
        SchemaError::AmbiguousReference { field } => Error::invalid(
            SqlState::AMBIGUOUS_COLUMN,
            format!("column reference {:?} is ambiguous", field.name),
        )
        .with_hint("put the table's name or alias before it"),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Error::invalid(
            SqlState::DUPLICATE_COLUMN,
            format!("column name {name:?} appears more than once"),
        )
        .with_hint("give one of them another name with AS"),
    }
}

fn column_not_found(field: &Column, valid: &[Column]) -> Error {
    let wanted_relation = field
        .relation
        .as_ref()
        .map(datafusion::common::TableReference::table);
    let relations: Vec<&str> = valid
        .iter()
        .filter_map(|column| column.relation.as_ref())
        .map(datafusion::common::TableReference::table)
        .collect();
    if let Some(relation) = wanted_relation
        && !relations.contains(&relation)
    {
        let error = Error::invalid(
            SqlState::UNDEFINED_TABLE,
            format!("no table or alias {relation:?} in this part of the query"),
        );
        return match nearest(relation, relations.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error,
        };
    }
    let same_relation = |column: &&Column| match (wanted_relation, &column.relation) {
        (Some(wanted), Some(relation)) => relation.table() == wanted,
        _ => true,
    };
    let names: Vec<&str> = valid
        .iter()
        .filter(same_relation)
        .map(|column| column.name.as_str())
        .collect();
    let mut distinct = relations.clone();
    distinct.dedup();
    let place = match (wanted_relation, distinct.as_slice()) {
        (Some(relation), _) => format!(" in {relation:?}"),
        (None, [relation]) => format!(" in {relation:?}"),
        _ => String::new(),
    };
    let error = Error::invalid(
        SqlState::UNDEFINED_COLUMN,
        format!("column {:?} not found{place}", field.name),
    );
    match nearest(&field.name, names.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None if names.is_empty() => error,
        None => {
            let shown: Vec<&str> = names.iter().copied().take(20).collect();
            let more = if names.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            error.with_hint(format!("columns here: {}{more}", shown.join(", ")))
        }
    }
}

fn from_plan(message: &str) -> Error {
    if message.starts_with("Column count doesn't match insert query") {
        return Error::invalid(
            SqlState::SYNTAX_ERROR,
            "the query gives another number of columns than the target takes",
        )
        .with_hint("name the target's columns: INSERT INTO t (a, b) SELECT …");
    }
    if let Some((predicate, data_type)) = message
        .strip_prefix("Cannot create filter with non-boolean predicate '")
        .and_then(|rest| rest.rsplit_once("' returning "))
    {
        return Error::invalid(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "{predicate} {CONDITION}, but of type {}",
                shown_type(data_type)
            ),
        )
        .with_hint("compare it with something");
    }
    let first_line = message.lines().next().unwrap_or(message);
    let sqlstate = if message.contains("Invalid function")
        || message.contains("No function matches")
        || message.contains("user-defined coercion failed")
        || message.contains("table function")
    {
        SqlState::UNDEFINED_FUNCTION
    } else if message.starts_with("table '") && message.contains("not found") {
        SqlState::UNDEFINED_TABLE
    } else if message.contains("GROUP BY") || message.contains("must appear in") {
        SqlState::GROUPING_ERROR
    } else if message.contains("coerc") || message.contains("Cannot infer common argument type") {
        SqlState::DATATYPE_MISMATCH
    } else {
        SqlState::SYNTAX_ERROR
    };
    // DataFusion adds its suggestion as further sentences or lines.
    match message.split_once("\nDid you mean ") {
        Some((what, suggestion)) => {
            Error::invalid(sqlstate, what).with_hint(format!("did you mean {suggestion}"))
        }
        None => match message.split_once(". Did you mean ") {
            Some((what, suggestion)) => {
                Error::invalid(sqlstate, what).with_hint(format!("did you mean {suggestion}"))
            }
            None if first_line.len() < message.len() => Error::invalid(sqlstate, first_line)
                .with_hint(message[first_line.len()..].trim().to_owned()),
            None => Error::invalid(sqlstate, message),
        },
    }
}

fn from_execution(message: &str) -> Error {
    let lower = message.to_lowercase();
    let sqlstate = if lower.contains("no valid cast exists") {
        SqlState::DATATYPE_MISMATCH
    } else if lower.contains("divide by zero") || lower.contains("division by zero") {
        SqlState::DIVISION_BY_ZERO
    } else if lower.contains("overflow") || lower.contains("out of range") {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("more than one row") {
        SqlState::CARDINALITY_VIOLATION
    } else if lower.contains("pars") || lower.contains("cast") {
        SqlState::INVALID_TEXT_REPRESENTATION
    } else {
        SqlState::DATA_EXCEPTION
    };
    Error::invalid(sqlstate, message)
}

fn from_exhausted(message: &str) -> Error {
    let error = Error::new(
        Kind::LimitExceeded,
        message.lines().next().unwrap_or(message),
    );
    if message.contains("disk") || message.contains("temp") {
        error
            .with_sqlstate(SqlState::DISK_FULL)
            .with_hint("the query needs more disk to spill to than limits.spill allows")
    } else {
        error
            .with_sqlstate(SqlState::OUT_OF_MEMORY)
            .with_hint("filter earlier, or let the operator raise limits.query_memory")
    }
}

/// A defect: logged whole, told without its inside.
fn internal(message: &str) -> Error {
    tracing::error!(message, "a query met a defect");
    Error::new(
        Kind::Internal,
        "the query failed because of a defect in the server",
    )
    .with_hint("the server's log has the details; please report it")
}
