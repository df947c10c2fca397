//! The columns that every stream has and `SELECT *` does not show.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{self, Expr, Visit, Visitor};

use crate::statement::{Copy, CopySource, Statement, fold};
use crate::walk::walk;

/// Their names: partition, offset, time of append, key, headers, what is wrong with the record.
pub const COLUMNS: [&str; 6] = [
    "_partition",
    "_offset",
    "_timestamp",
    "_key",
    "_headers",
    "_error",
];

/// Whether the statement names one of [`COLUMNS`] anywhere in a query or an expression, so that streams must be read with
/// them. (A column of that name that the statement itself makes counts, too.)
pub fn references_hidden(statement: &Statement) -> bool {
    if let Statement::Copy(Copy {
        source: CopySource::Table(_, columns),
        ..
    }) = statement
    {
        return columns.iter().any(is_hidden);
    }
    walk(statement, &mut Finder).is_break()
}

/// Whether the query names one of [`COLUMNS`].
pub fn query_references_hidden(query: &ast::Query) -> bool {
    query.visit(&mut Finder).is_break()
}

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let hidden = match expr {
            Expr::Identifier(ident) => is_hidden(ident),
            Expr::CompoundIdentifier(parts) => parts.iter().any(is_hidden),
            _ => false,
        };
        match hidden {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// `JOIN … USING (_offset)` has names and no expressions.
    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let Some(ast::JoinConstraint::Using(names)) = constraint(&join.join_operator)
                && names
                    .iter()
                    .flat_map(|name| &name.0)
                    .any(|part| part.as_ident().is_some_and(is_hidden))
            {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

fn constraint(operator: &ast::JoinOperator) -> Option<&ast::JoinConstraint> {
    use ast::JoinOperator as Join;
    match operator {
        Join::Join(constraint)
        | Join::Inner(constraint)
        | Join::Left(constraint)
        | Join::LeftOuter(constraint)
        | Join::Right(constraint)
        | Join::RightOuter(constraint)
        | Join::FullOuter(constraint)
        | Join::LeftSemi(constraint)
        | Join::RightSemi(constraint)
        | Join::LeftAnti(constraint)
        | Join::RightAnti(constraint)
        | Join::AsOf { constraint, .. } => Some(constraint),
        _ => None,
    }
}

fn is_hidden(ident: &ast::Ident) -> bool {
    COLUMNS.contains(&fold(ident).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn a_hidden_column_is_found_wherever_it_is_named() {
        for sql in [
            "SELECT _offset FROM bids",
            "SELECT * FROM bids WHERE bids._PARTITION = 1 EMIT CHANGES",
            "SELECT * FROM (SELECT count(*) FROM a ORDER BY _timestamp) x",
            "SELECT * FROM a JOIN b USING (_key)",
            "CREATE VIEW v AS SELECT 1 FROM b WHERE EXISTS (SELECT _headers['a'] FROM bids)",
            "EXPLAIN INSERT INTO t SELECT _key FROM bids",
            "COPY bids (_offset, price) TO 'x.csv'",
            "DECLARE c CURSOR FOR SUBSCRIBE (SELECT _offset FROM b)",
        ] {
            assert!(
                references_hidden(&parse(sql).unwrap()[0].statement),
                "{sql}"
            );
        }
        for sql in [
            "SELECT * FROM bids",
            "SELECT '_offset', \"_OFFSET\" FROM bids AS _key",
            "SHOW TABLES",
        ] {
            assert!(
                !references_hidden(&parse(sql).unwrap()[0].statement),
                "{sql}"
            );
        }
    }
}
