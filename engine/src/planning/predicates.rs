//! Where a condition stands that is none: `WHERE price`.
//!
//! DataFusion says what is wrong with it, but not where.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Select, Spanned, Statement, UnaryOperator,
    Visit, Visitor,
};
use weir_base::{Position, SqlState};

use crate::error::Error;

/// The first condition in a statement whose form does not tell that it is true or false.
pub(super) fn first_doubtful(statement: &Statement) -> Option<Position> {
    let mut finder = Finder { found: None };
    let _ = Visit::visit(statement, &mut finder);
    finder.found
}

/// Adds the place to the error of a condition that is neither true nor false.
pub(super) fn placed(error: Error, doubtful: Option<Position>) -> Error {
    use weir_base::Classify;
    if error.sqlstate() == SqlState::DATATYPE_MISMATCH
        && error.message().contains(crate::planning_error::CONDITION)
    {
        return error.with_position(doubtful);
    }
    error
}

struct Finder {
    found: Option<Position>,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let on = select
            .from
            .iter()
            .flat_map(|from| &from.joins)
            .filter_map(|join| match &join.join_operator {
                JoinOperator::Join(JoinConstraint::On(on))
                | JoinOperator::Inner(JoinConstraint::On(on))
                | JoinOperator::Left(JoinConstraint::On(on))
                | JoinOperator::LeftOuter(JoinConstraint::On(on))
                | JoinOperator::Right(JoinConstraint::On(on))
                | JoinOperator::RightOuter(JoinConstraint::On(on))
                | JoinOperator::FullOuter(JoinConstraint::On(on)) => Some(on),
                _ => None,
            });
        let conditions = on.chain(&select.selection).chain(&select.having);
        for condition in conditions {
            if let Some(doubtful) = doubtful(condition) {
                let start = doubtful.span().start;
                self.found = (start.line > 0).then_some(Position {
                    line: start.line,
                    column: start.column,
                });
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The part of a condition that may be of another type than boolean.
fn doubtful(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Nested(inner) => doubtful(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            ..
        } => None,
        Expr::BinaryOp {
            op:
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
                | BinaryOperator::StringConcat,
            ..
        }
        | Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::Cast { .. }
        | Expr::Function(_)
        | Expr::Case { .. }
        | Expr::Subquery(_)
        | Expr::UnaryOp { .. } => Some(expr),
        _ => None,
    }
}
