//! Queries in the shape in which the rest handles them best.
//!
//! - A long chain of `UNION ALL`, `UNION`, `AND` or `OR` is a tree that leans to the left, as deep as the chain is long. They
//!   are associative, so it is made a balanced tree.
//! - `FETCH FIRST n ROWS ONLY` is standard SQL's `LIMIT n`, which DataFusion knows.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    self, BinaryOperator, Expr, LimitClause, SetExpr, SetOperator, SetQuantifier, Value, VisitMut,
    VisitorMut,
};
use weir_base::Position;

use crate::error::{Error, Result};
use crate::limits::MIXED_OPERATIONS_MAX;

/// Shorter chains stay as they are.
const CHAIN_MIN: usize = 32;

/// Shapes a query and all queries in it.
///
/// # Errors
/// [`Error::TooComplex`] for a long chain that is not associative.
pub(crate) fn query(query: &mut ast::Query) -> Result<()> {
    match VisitMut::visit(query, &mut Shape) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Shapes an expression and all queries in it.
///
/// # Errors
/// As [`query`].
pub(crate) fn expr(expr: &mut Expr) -> Result<()> {
    match VisitMut::visit(expr, &mut Shape) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Shapes all queries in a statement.
///
/// # Errors
/// As [`query`].
pub(crate) fn statement(statement: &mut ast::Statement) -> Result<()> {
    match VisitMut::visit(statement, &mut Shape) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Shape;

impl VisitorMut for Shape {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        balance_junctions(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        fetch_as_limit(query);
        let body = std::mem::replace(&mut *query.body, nothing());
        *query.body = balanced(body);
        if depth(&query.body) > MIXED_OPERATIONS_MAX {
            return ControlFlow::Break(Error::TooComplex {
                what: format!(
                    "more than {MIXED_OPERATIONS_MAX} set operations of different kinds in a row"
                ),
                position: crate::unsupported::start_of(query)
                    .unwrap_or(Position { line: 1, column: 1 }),
            });
        }
        ControlFlow::Continue(())
    }
}

type Link = (SetOperator, SetQuantifier);

/// The same set of rows by a tree that leans less.
fn balanced(body: SetExpr) -> SetExpr {
    // The chain from left to right: the first operand, then each operation with its operand.
    let mut links: Vec<(Link, SetExpr)> = Vec::new();
    let mut first = body;
    while let SetExpr::SetOperation {
        left,
        op,
        set_quantifier,
        right,
    } = first
    {
        links.push(((op, set_quantifier), *right));
        first = *left;
    }
    let mut chain = first;
    let mut run: Vec<SetExpr> = Vec::new();
    let mut link = None;
    for (next, operand) in links.into_iter().rev() {
        if link != Some(next) {
            chain = join_run(chain, link, std::mem::take(&mut run));
            link = Some(next);
        }
        run.push(operand);
    }
    join_run(chain, link, run)
}

/// `first`, then each of `run` by the same operation.
fn join_run(first: SetExpr, link: Option<Link>, run: Vec<SetExpr>) -> SetExpr {
    let Some(link) = link else { return first };
    let associative = matches!(
        link,
        (
            SetOperator::Union,
            SetQuantifier::All | SetQuantifier::None | SetQuantifier::Distinct
        )
    );
    if !associative || run.len() < CHAIN_MIN {
        return run
            .into_iter()
            .fold(first, |left, right| join(link, left, right));
    }
    let operands: Vec<SetExpr> = std::iter::once(first).chain(run).collect();
    pair_up(operands, |left, right| join(link, left, right)).unwrap_or_else(nothing)
}

/// A balanced tree of all of `operands`; none for none.
fn pair_up<T>(mut operands: Vec<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        operands = pairs;
    }
    operands.pop()
}

/// A long chain of `AND`, or of `OR`, made shallow.
fn balance_junctions(expr: &mut Expr) {
    let Expr::BinaryOp { op, .. } = expr else {
        return;
    };
    let op = op.clone();
    if !matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        return;
    }
    let mut length = 0;
    let mut first = &*expr;
    while let Expr::BinaryOp { left, op: its, .. } = first
        && *its == op
    {
        (length, first) = (length + 1, left);
    }
    if length < CHAIN_MIN {
        return;
    }
    let mut operands = Vec::with_capacity(length + 1);
    let mut first = std::mem::replace(expr, no_expr());
    loop {
        match first {
            Expr::BinaryOp {
                left,
                op: its,
                right,
            } if its == op => {
                operands.push(*right);
                first = *left;
            }
            last => {
                operands.push(last);
                break;
            }
        }
    }
    operands.reverse();
    let join = |left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    };
    *expr = pair_up(operands, join).unwrap_or_else(no_expr);
}

fn no_expr() -> Expr {
    Expr::Value(Value::Null.into())
}

fn join((op, set_quantifier): Link, left: SetExpr, right: SetExpr) -> SetExpr {
    SetExpr::SetOperation {
        op,
        set_quantifier,
        left: Box::new(left),
        right: Box::new(right),
    }
}

/// What stands in for a tree while it is taken apart.
fn nothing() -> SetExpr {
    SetExpr::Values(ast::Values {
        explicit_row: false,
        value_keyword: false,
        rows: Vec::new(),
    })
}

/// How deep the set operations are, down the deeper side of each.
fn depth(body: &SetExpr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(body, 0)];
    while let Some((body, depth)) = open.pop() {
        deepest = deepest.max(depth);
        if let SetExpr::SetOperation { left, right, .. } = body {
            open.push((left, depth + 1));
            open.push((right, depth + 1));
        }
    }
    deepest
}

fn fetch_as_limit(query: &mut ast::Query) {
    let plain = |fetch: &ast::Fetch| !fetch.with_ties && !fetch.percent;
    if !query.fetch.as_ref().is_some_and(plain) {
        return;
    }
    let offset = match &query.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset {
            limit: None,
            offset,
            limit_by,
        }) if limit_by.is_empty() => offset.clone(),
        Some(_) => return,
    };
    let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
    query.limit_clause = query.fetch.take().map(|fetch| LimitClause::LimitOffset {
        limit: Some(fetch.quantity.unwrap_or_else(one)),
        offset,
        limit_by: Vec::new(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(sql: &str) -> Box<ast::Query> {
        crate::parse_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    #[test]
    fn long_unions_are_shallow_and_say_the_same() {
        for op in [" UNION ALL ", " UNION "] {
            let sql = (0..1000)
                .map(|n| format!("SELECT {n}"))
                .collect::<Vec<_>>()
                .join(op);
            let query = shaped(&sql);
            assert!(depth(&query.body) <= 10);
            assert_eq!(query.to_string(), sql);
        }
    }

    #[test]
    fn long_conditions_are_shallow_and_say_the_same() {
        let sql = format!(
            "SELECT 1 WHERE a{} AND b{}",
            " OR a = 1 AND b = 2".repeat(100),
            " AND c".repeat(100)
        );
        let query = shaped(&sql);
        assert_eq!(query.to_string(), sql);
        assert!(format!("{query:?}").matches("BinaryOp").count() > 400);
        let SetExpr::Select(select) = &*query.body else {
            panic!()
        };
        let mut deepest = (0, select.selection.as_ref());
        while let (depth, Some(Expr::BinaryOp { left, .. })) = deepest {
            deepest = (depth + 1, Some(left));
        }
        assert!(deepest.0 < 12, "{}", deepest.0);
    }

    #[test]
    fn what_is_not_associative_keeps_its_order() {
        let sql = format!(
            "SELECT 0{} EXCEPT SELECT 1 UNION SELECT 2",
            " UNION ALL SELECT 3".repeat(100)
        );
        let query = shaped(&sql);
        assert_eq!(query.to_string(), sql);
        let SetExpr::SetOperation {
            op: SetOperator::Union,
            left,
            ..
        } = &*query.body
        else {
            panic!()
        };
        assert!(matches!(
            &**left,
            SetExpr::SetOperation {
                op: SetOperator::Except,
                ..
            }
        ));
        let mixed = format!("SELECT 0{}", " EXCEPT SELECT 1".repeat(100));
        assert!(matches!(
            crate::parse(&mixed),
            Err(Error::TooComplex { .. })
        ));
    }
}
