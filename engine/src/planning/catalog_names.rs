//! Names of PostgreSQL's catalog in a statement's text, before DataFusion plans it.
//!
//! What `pg_catalog` qualifies is what it is without: `pg_catalog.format_type(…)`, `x::pg_catalog.text`,
//! `a OPERATOR(pg_catalog.~) b`. A collation changes nothing, as all that are built in compare bytes here; others are refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, ExactNumberInfo, Expr, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Statement, TableFactor, TimezoneInfo, VisitMut, VisitorMut,
};
use weir_base::SqlState;

use crate::error::{Error, Result};
use crate::statements::normalized;

/// Takes the names apart.
///
/// # Errors
/// 0A000 for a collation that is not built in.
pub(super) fn settle(statement: &mut Statement) -> Result<()> {
    match VisitMut::visit(statement, &mut Names) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Names;

impl VisitorMut for Names {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => unqualify(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(call) => {
                unqualify(&mut call.name);
                // `current_user` is written without brackets, and is a function all the same.
                if call.args == FunctionArguments::None {
                    call.args = FunctionArguments::List(Default::default());
                }
            }
            Expr::Cast { data_type, .. } => plain(data_type),
            Expr::TypedString(typed) => plain(&mut typed.data_type),
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(known) = operator(parts)
                {
                    *op = known;
                }
            }
            Expr::Collate {
                expr: inner,
                collation,
            } => {
                if !is_built_in(collation) {
                    let error =
                        Error::unsupported(format!("collation {collation} is not supported"))
                            .with_hint("text is compared by its bytes, as by collation \"C\"");
                    return ControlFlow::Break(error);
                }
                let inner = std::mem::replace(inner.as_mut(), Expr::Identifier(Ident::new("")));
                *expr = inner;
                return self.pre_visit_expr(expr);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The parts of a name, folded.
fn parts(name: &ObjectName) -> Vec<String> {
    let parts = name.0.iter().filter_map(ObjectNamePart::as_ident);
    parts.map(normalized).collect()
}

/// Takes the schema from a function's name.
fn unqualify(name: &mut ObjectName) {
    let parts = parts(name);
    let is_built_in = match parts.as_slice() {
        [schema, _] if schema == "pg_catalog" => true,
        [schema, function] => schema == "information_schema" && function.starts_with("_pg_"),
        _ => false,
    };
    if is_built_in {
        name.0.remove(0);
    }
}

fn is_built_in(collation: &ObjectName) -> bool {
    let parts = parts(collation);
    let name = match parts.as_slice() {
        [schema, name] if schema == "pg_catalog" => name,
        [name] => name,
        _ => return false,
    };
    // C and POSIX are quoted there; unquoted they are folded.
    matches!(
        name.to_lowercase().as_str(),
        "default" | "c" | "posix" | "ucs_basic"
    )
}

/// The operator of a name that is written out.
fn operator(parts: &[String]) -> Option<BinaryOperator> {
    let name = match parts {
        [schema, name] if schema == "pg_catalog" => name,
        [name] => name,
        _ => return None,
    };
    Some(match name.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "&&" => BinaryOperator::PGOverlap,
        _ => return None,
    })
}

/// Puts the parser's own word in the place of a type that is written by PostgreSQL's internal name.
fn plain(data_type: &mut DataType) {
    match data_type {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner),
        ) => plain(inner),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            let found = parts(name);
            let is_qualified = matches!(found.as_slice(), [schema, _] if schema == "pg_catalog");
            let Some(type_name) = found.last().filter(|_| is_qualified || found.len() == 1) else {
                return;
            };
            if let Some(known) = known_type(type_name) {
                *data_type = known;
            } else if is_qualified {
                name.0.remove(0);
            }
        }
        _ => {}
    }
}

fn known_type(name: &str) -> Option<DataType> {
    Some(match name {
        "bool" => DataType::Boolean,
        "int2" => DataType::SmallInt(None),
        "int4" => DataType::Integer(None),
        "int8" => DataType::BigInt(None),
        "float4" => DataType::Real,
        "float8" => DataType::DoublePrecision,
        "numeric" => DataType::Numeric(ExactNumberInfo::None),
        "text" => DataType::Text,
        "varchar" => DataType::Varchar(None),
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        "time" => DataType::Time(None, TimezoneInfo::None),
        "timestamp" => DataType::Timestamp(None, TimezoneInfo::None),
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::Tz),
        "interval" => DataType::Interval {
            fields: None,
            precision: None,
        },
        "uuid" => DataType::Uuid,
        "json" => DataType::JSON,
        "jsonb" => DataType::JSONB,
        "regclass" => DataType::Regclass,
        name => {
            let inner = known_type(name.strip_prefix('_')?)?;
            DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(inner), None))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_settled(sql: &str, expected: &str) {
        let parsed = crate::text::parse_one(sql).unwrap();
        let weir_sql::Statement::Query(query) = parsed.statement else {
            panic!("no query")
        };
        let mut statement = Statement::Query(query.query);
        settle(&mut statement).unwrap();
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn what_the_catalog_qualifies_is_what_it_is_without() {
        assert_settled(
            "SELECT pg_catalog.format_type(a, NULL) FROM pg_catalog.pg_get_keywords()",
            "SELECT format_type(a, NULL) FROM pg_get_keywords()",
        );
        assert_settled(
            "SELECT a::pg_catalog.text[], b::\"pg_catalog\".regclass, c::pg_catalog.oid",
            "SELECT a::TEXT[], b::REGCLASS, c::oid",
        );
        assert_settled(
            "SELECT 1 WHERE a OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default",
            "SELECT 1 WHERE a ~ '^(t)$'",
        );
        assert_settled("SELECT current_user", "SELECT current_user()");
    }
}
