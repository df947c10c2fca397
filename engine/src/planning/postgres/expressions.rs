//! Operators and clauses of expressions: `OPERATOR(pg_catalog.+)`, `COLLATE "C"`, `SIMILAR TO`, `LIKE … ESCAPE`, `ANY` and `ALL`
//! of an array, `ARRAY(SELECT …)`, `AT TIME ZONE`, `EXTRACT` of what DataFusion does not know.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, Function, FunctionArguments, Subscript, UnaryOperator,
    Value,
};
use weir_base::SqlState;

use super::{binary, call, called, literal, nested, take, text};
use crate::error::{Error, Result};

/// What is done to an expression before those within it are looked at.
pub(super) fn before(expr: &mut Expr) -> Result<()> {
    // The query of `ARRAY(SELECT …)` is then a query as any other.
    if let Expr::Function(function) = expr
        && called(&function.name).as_deref() == Some("array")
        && let FunctionArguments::Subquery(query) = &mut function.args
    {
        let query = std::mem::replace(query, super::parsed("SELECT 1")?);
        *expr = super::queries::as_array(query)?;
    }
    // `a[2:]`: to the end, which no array reaches.
    if let Expr::CompoundFieldAccess { root, access_chain } = expr {
        let is_named = matches!(**root, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        for access in access_chain {
            match access {
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    ..
                }) => {
                    lower_bound.get_or_insert_with(|| super::number(1));
                    upper_bound.get_or_insert_with(|| super::number(i64::from(i32::MAX)));
                }
                // `(row).field`: the planner takes the field's name as a text.
                AccessExpr::Dot(field) if !is_named => {
                    if let Expr::Identifier(name) = &*field {
                        *field = text(crate::statements::normalized(name));
                    }
                }
                AccessExpr::Dot(_) | AccessExpr::Subscript(_) => {}
            }
        }
    }
    Ok(())
}

/// What is done to an expression whose parts are settled.
pub(super) fn settle(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp { op, left, right } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op {
                *op = operator(parts)?;
            }
            let function = match op {
                BinaryOperator::PGStartsWith => "starts_with",
                BinaryOperator::Overlaps => return super::rows::overlaps(expr),
                _ => return Ok(()),
            };
            *expr = call(function, [take(left), take(right)]);
        }
        Expr::UnaryOp { op, expr: inner } => {
            let function = match op {
                UnaryOperator::BitwiseNot => "bit_not",
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::PGAbs => "abs",
                _ => return Ok(()),
            };
            *expr = call(function, [take(inner)]);
        }
        Expr::Collate {
            expr: inner,
            collation,
        } => {
            let name = collation.0.last().map(ToString::to_string);
            let name = name.unwrap_or_default().replace('"', "").to_lowercase();
            // Texts are in the order of their bytes.
            if !matches!(
                name.as_str(),
                "c" | "posix" | "default" | "ucs_basic" | "c.utf8" | "c.utf-8"
            ) {
                return Err(
                    Error::unsupported(format!("COLLATE {collation} is not supported"))
                        .with_hint("texts are compared by their bytes, which is COLLATE \"C\""),
                );
            }
            *expr = take(inner);
        }
        Expr::SimilarTo {
            negated,
            expr: inner,
            pattern,
            escape_char,
        } => {
            let mut args = vec![take(pattern)];
            args.extend(escape_char.take().map(Expr::Value));
            let op = match negated {
                true => BinaryOperator::PGRegexNotMatch,
                false => BinaryOperator::PGRegexMatch,
            };
            *expr = binary(nested(take(inner)), op, call("similar_to_escape", args));
        }
        Expr::Like {
            pattern,
            escape_char,
            any: false,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            any: false,
            ..
        } => {
            if let Some(escape) = escape_char.take() {
                let is_backslash =
                    matches!(&escape.value, Value::SingleQuotedString(text) if text == "\\");
                if !is_backslash {
                    **pattern = like_escape(take(pattern), &escape);
                }
            }
            // LIKE ALL (array): the parser takes ALL for a function.
            if let Expr::Function(function) = pattern.as_ref()
                && called(&function.name).as_deref() == Some("all")
            {
                quantified_like(expr);
            }
        }
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => quantified_like(expr),
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } => {
            if let Some(name) = quantified("any", compare_op).filter(|_| is_array(right)) {
                *expr = call(&name, [take(left), unwrapped(take(right))]);
            }
        }
        Expr::AllOp {
            left,
            compare_op,
            right,
        } => {
            if let Some(name) = quantified("all", compare_op).filter(|_| is_array(right)) {
                *expr = call(&name, [take(left), unwrapped(take(right))]);
            }
        }
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => *expr = call("timezone", [take(time_zone), take(timestamp)]),
        Expr::Extract {
            field, expr: inner, ..
        } => {
            let field = field.to_string().trim_matches('\'').to_lowercase();
            if super::calls::is_own_field(&field) {
                *expr = call("extract_part", [text(field), take(inner)]);
            }
        }
        Expr::Substring {
            expr: inner,
            substring_from: Some(from),
            substring_for,
            ..
        } if literal(from).is_some() => {
            *expr = match substring_for {
                Some(escape) => call("substring_similar", [take(inner), take(from), take(escape)]),
                None => call("substring_pattern", [take(inner), take(from)]),
            };
        }
        Expr::Identifier(name) if name.quote_style.is_none() => {
            let data_type = match name.value.to_ascii_lowercase().as_str() {
                "localtimestamp" => ast::DataType::Timestamp(None, ast::TimezoneInfo::None),
                "localtime" => ast::DataType::Time(None, ast::TimezoneInfo::None),
                // Functions that the standard writes without brackets.
                name @ ("current_schema" | "current_role") => {
                    *expr = call(name, []);
                    return Ok(());
                }
                _ => return Ok(()),
            };
            *expr = super::cast_to(call("now", []), data_type);
        }
        Expr::Value(value) => match &mut value.value {
            Value::UnicodeStringLiteral(text) => {
                value.value = Value::SingleQuotedString(std::mem::take(text));
            }
            Value::DollarQuotedString(text) => {
                value.value = Value::SingleQuotedString(std::mem::take(&mut text.value));
            }
            _ => {}
        },
        _ => {}
    }
    Ok(())
}

/// The operator of `OPERATOR(pg_catalog.+)`.
fn operator(parts: &[String]) -> Result<BinaryOperator> {
    let unknown = || {
        Error::invalid(
            SqlState::UNDEFINED_FUNCTION,
            format!("operator {} does not exist", parts.join(".")),
        )
    };
    let [schema, name] = parts else {
        return Err(unknown());
    };
    if !schema.eq_ignore_ascii_case("pg_catalog") {
        return Err(unknown());
    }
    Ok(match name.as_str() {
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
        "->" => BinaryOperator::Arrow,
        "->>" => BinaryOperator::LongArrow,
        "#>" => BinaryOperator::HashArrow,
        "#>>" => BinaryOperator::HashLongArrow,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "&&" => BinaryOperator::PGOverlap,
        _ => return Err(unknown()),
    })
}

/// A pattern with another escape character, as one with a backslash.
fn like_escape(pattern: Expr, escape: &ast::ValueWithSpan) -> Expr {
    call("like_escape", [pattern, Expr::Value(escape.clone())])
}

/// The function of `op ANY (array)` or `op ALL (array)`.
fn quantified(quantifier: &str, op: &BinaryOperator) -> Option<String> {
    let op = match op {
        BinaryOperator::Eq => "eq",
        BinaryOperator::NotEq => "ne",
        BinaryOperator::Lt => "lt",
        BinaryOperator::LtEq => "le",
        BinaryOperator::Gt => "gt",
        BinaryOperator::GtEq => "ge",
        BinaryOperator::PGLikeMatch => "like",
        BinaryOperator::PGNotLikeMatch => "notlike",
        BinaryOperator::PGILikeMatch => "ilike",
        BinaryOperator::PGNotILikeMatch => "notilike",
        _ => return None,
    };
    Some(format!("{quantifier}_{op}"))
}

/// Whether what is behind `ANY` is an array, and no query.
fn is_array(right: &Expr) -> bool {
    match right {
        Expr::Subquery(_) => false,
        Expr::Nested(inner) => is_array(inner),
        _ => true,
    }
}

fn unwrapped(expr: Expr) -> Expr {
    match expr {
        Expr::Nested(inner) => unwrapped(*inner),
        other => other,
    }
}

/// `x LIKE ANY (array)` and its kin, as a call.
fn quantified_like(expr: &mut Expr) {
    let (negated, inner, pattern, name, any) = match expr {
        Expr::Like {
            negated,
            expr,
            pattern,
            any,
            ..
        } => (*negated, expr, pattern, "like", *any),
        Expr::ILike {
            negated,
            expr,
            pattern,
            any,
            ..
        } => (*negated, expr, pattern, "ilike", *any),
        _ => return,
    };
    let negation = if negated { "not" } else { "" };
    let quantifier = if any { "any" } else { "all" };
    let patterns = match unwrapped(take(pattern)) {
        Expr::Function(Function {
            args: FunctionArguments::List(list),
            ..
        }) if !any => {
            super::plain_args(&list.args).and_then(|args| args.first().map(|arg| (*arg).clone()))
        }
        Expr::Tuple(patterns) => Some(call("make_array", patterns)),
        other => Some(other),
    };
    let Some(patterns) = patterns else { return };
    *expr = call(
        &format!("{quantifier}_{negation}{name}"),
        [take(inner), patterns],
    );
}
