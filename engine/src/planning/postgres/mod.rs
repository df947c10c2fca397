//! PostgreSQL's forms that DataFusion's planner does not know, written as forms that it does.
//!
//! In: the tree of a statement. Out: the same tree, in which each such form is a call of one of our functions
//! (`functions/`), or a query that gives the same. What can only be told from types is left to [`operators`], which the
//! planner asks, and to the rules over a plan.

mod aggregates;
mod calls;
mod casts;
pub(crate) mod columns;
mod expressions;
pub(super) mod first_rows;
mod joins;
pub(super) mod lateral;
pub(crate) mod operators;
mod queries;
mod rows;
mod set_returning;
mod system_columns;
mod whole_rows;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName, Query, Select, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::error::{Error, Result};

/// Writes PostgreSQL's forms as DataFusion's.
///
/// # Errors
/// For what PostgreSQL has and Weir does not, by name.
///
/// `columns_of` gives the columns of a stored relation, and none of what is not stored.
pub(super) fn settle(
    sql: &mut impl VisitMut,
    columns_of: &dyn Fn(&ObjectName) -> Vec<String>,
) -> Result<()> {
    let mut settler = Settler {
        depth: 0,
        scopes: system_columns::Scopes::default(),
        columns_of,
    };
    match sql.visit(&mut settler) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Settler<'a> {
    /// How many queries the one at hand stands in.
    depth: usize,
    scopes: system_columns::Scopes,
    columns_of: &'a dyn Fn(&ObjectName) -> Vec<String>,
}

/// Goes on, or ends the walk with the error.
fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Settler<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        flow(queries::settle(query))
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(queries::settle_windows(select))?;
        columns::name(select, self.depth == 1);
        whole_rows::write_out(select, self.columns_of);
        set_returning::in_projection(select);
        self.scopes.enter(select, self.columns_of);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<Error> {
        self.scopes.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(set_returning::in_from(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.scopes.settle(expr);
        flow(expressions::before(expr))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(rows::settle(expr))?;
        flow(casts::settle(expr))?;
        flow(expressions::settle(expr))?;
        if let Expr::Function(call) = expr {
            calls::rename(call);
            if let Some(written) = aggregates::settle(call) {
                *expr = written;
            } else if let Some(written) = calls::settle(call) {
                *expr = written;
            }
        }
        ControlFlow::Continue(())
    }
}

// Pieces of trees.

fn cast_to(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// A call with plain arguments.
fn call(name: &str, args: impl IntoIterator<Item = Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

fn text(value: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.into()).into())
}

fn number(value: i64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

fn nested(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } => Expr::Nested(Box::new(expr)),
        other => other,
    }
}

fn binary(left: Expr, op: ast::BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp {
        op: ast::UnaryOperator::Not,
        expr: Box::new(Expr::Nested(Box::new(expr))),
    }
}

/// Takes an expression out of its place.
fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// The text of a literal.
fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a function that is called without a schema, or with PostgreSQL's own, as it is looked up.
fn called(name: &ObjectName) -> Option<String> {
    let part = |part: &ast::ObjectNamePart| part.as_ident().map(crate::statements::normalized);
    match name.0.as_slice() {
        [name] => part(name),
        [schema, name] => {
            let name = part(name)?;
            // The standard's schema has functions for its own views, which clients call.
            let is_there = match part(schema)?.as_str() {
                "pg_catalog" => true,
                "information_schema" => name.starts_with("_pg_"),
                _ => false,
            };
            is_there.then_some(name)
        }
        _ => None,
    }
}

/// The plain arguments of a call; none where it has others.
fn plain_args(args: &[FunctionArg]) -> Option<Vec<&Expr>> {
    args.iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// Parses a query that is built here.
fn parsed(sql: &str) -> Result<Box<Query>> {
    weir_sql::parse_query(sql).map_err(|error| Error::from_classified(&error).without_position())
}
