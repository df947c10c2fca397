//! Rows in expressions: `(a, b) = (1, 2)`, `(a, b) < (1, 2)`, `(a, b) IN (…)`, `(a, b) IS NULL`, `OVERLAPS`.
//!
//! Each is written out by its columns, so that nulls count as in PostgreSQL (manual, 9.24.5).

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, Ident, SetExpr, Value,
};
use weir_base::SqlState;

use super::{binary, call, called, nested, not};
use crate::error::{Error, Result};

/// Writes an expression of rows as one of their columns.
pub(super) fn settle(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            let (Some(left), Some(right)) = (columns(left), columns(right)) else {
                return Ok(());
            };
            let op = op.clone();
            if op == BinaryOperator::Overlaps {
                return Ok(());
            }
            check_width(left.len(), right.len())?;
            let written = match op {
                BinaryOperator::Eq => equal(&left, &right),
                BinaryOperator::NotEq => not(equal(&left, &right)),
                BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq => ordered(&left, &op, &right),
                _ => return Ok(()),
            };
            *expr = Expr::Nested(Box::new(written));
        }
        Expr::InList {
            expr: inner,
            list,
            negated,
        } => {
            let Some(left) = columns(inner) else {
                return Ok(());
            };
            let any = list
                .iter()
                .map(|row| {
                    let row = columns(row).ok_or_else(|| unequal_width(left.len(), 1))?;
                    check_width(left.len(), row.len())?;
                    Ok(Expr::Nested(Box::new(equal(&left, &row))))
                })
                .collect::<Result<Vec<_>>>()?;
            let any = any
                .into_iter()
                .reduce(|left, right| binary(left, BinaryOperator::Or, right));
            if let Some(any) = any {
                *expr = match negated {
                    true => not(any),
                    false => Expr::Nested(Box::new(any)),
                };
            }
        }
        Expr::InSubquery {
            expr: inner,
            subquery,
            negated,
        } => {
            let Some(left) = columns(inner) else {
                return Ok(());
            };
            if *negated {
                return Err(
                    Error::unsupported("a row with NOT IN (query) is not supported")
                        .with_hint("write NOT EXISTS (SELECT … WHERE …)"),
                );
            }
            let names: Vec<_> = (1..=left.len()).map(|at| format!("\"_{at}\"")).collect();
            let mut exists = super::parsed(&format!(
                "SELECT 1 FROM ({subquery}) AS \"_in\" ({}) WHERE true",
                names.join(", ")
            ))?;
            let right: Vec<_> = (1..=left.len())
                .map(|at| {
                    Expr::CompoundIdentifier(vec![
                        Ident::with_quote('"', "_in"),
                        Ident::with_quote('"', format!("_{at}")),
                    ])
                })
                .collect();
            if let SetExpr::Select(select) = exists.body.as_mut() {
                select.selection = Some(equal(&left, &right));
            }
            *expr = Expr::Exists {
                subquery: exists,
                negated: false,
            };
        }
        Expr::IsNull(inner) => {
            if let Some(columns) = columns(inner) {
                *expr = all(columns
                    .into_iter()
                    .map(|column| Expr::IsNull(Box::new(column))));
            }
        }
        Expr::IsNotNull(inner) => {
            if let Some(columns) = columns(inner) {
                *expr = all(columns
                    .into_iter()
                    .map(|column| Expr::IsNotNull(Box::new(column))));
            }
        }
        _ => {}
    }
    Ok(())
}

/// `(a, b) OVERLAPS (c, d)` as a call.
pub(super) fn overlaps(expr: &mut Expr) -> Result<()> {
    let Expr::BinaryOp { left, right, .. } = expr else {
        return Ok(());
    };
    match (columns(left).as_deref(), columns(right).as_deref()) {
        (Some([a, b]), Some([c, d])) => {
            let of = [a, b, c, d].map(Clone::clone);
            *expr = call("overlaps", of);
            Ok(())
        }
        _ => Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            "OVERLAPS needs two pairs: (start, end) OVERLAPS (start, end)",
        )),
    }
}

/// The columns of a row that is written as one.
fn columns(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(columns) if columns.len() > 1 => Some(columns.clone()),
        Expr::Function(function) if called(&function.name)? == "row" => match &function.args {
            FunctionArguments::List(list) => {
                let columns = super::plain_args(&list.args)?;
                Some(columns.into_iter().cloned().collect())
            }
            _ => None,
        },
        _ => None,
    }
}

fn unequal_width(left: usize, right: usize) -> Error {
    Error::invalid(
        SqlState::SYNTAX_ERROR,
        format!("unequal number of columns in rows: {left} and {right}"),
    )
}

fn check_width(left: usize, right: usize) -> Result<()> {
    match left == right {
        true => Ok(()),
        false => Err(unequal_width(left, right)),
    }
}

fn all(conditions: impl IntoIterator<Item = Expr>) -> Expr {
    let all = conditions
        .into_iter()
        .reduce(|left, right| binary(left, BinaryOperator::And, right));
    Expr::Nested(Box::new(
        all.unwrap_or(Expr::Value(Value::Boolean(true).into())),
    ))
}

fn equal(left: &[Expr], right: &[Expr]) -> Expr {
    all(left.iter().zip(right).map(|(left, right)| {
        binary(
            nested(left.clone()),
            BinaryOperator::Eq,
            nested(right.clone()),
        )
    }))
}

/// The first columns that differ decide: `a < c OR (a = c AND b < d)`.
fn ordered(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Expr {
    let strict = match op {
        BinaryOperator::LtEq => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::Gt,
        other => other.clone(),
    };
    let (Some((left, left_rest)), Some((right, right_rest))) =
        (left.split_first(), right.split_first())
    else {
        let holds = matches!(op, BinaryOperator::LtEq | BinaryOperator::GtEq);
        return Expr::Value(Value::Boolean(holds).into());
    };
    let (left, right) = (nested(left.clone()), nested(right.clone()));
    if left_rest.is_empty() {
        return binary(left, op.clone(), right);
    }
    let decided = binary(left.clone(), strict, right.clone());
    let rest = binary(
        binary(left, BinaryOperator::Eq, right),
        BinaryOperator::And,
        Expr::Nested(Box::new(ordered(left_rest, op, right_rest))),
    );
    binary(decided, BinaryOperator::Or, Expr::Nested(Box::new(rest)))
}
