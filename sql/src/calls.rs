//! Calls with clauses that only some kinds of function have.

use std::ops::ControlFlow::{self, Continue};

use datafusion_sql::sqlparser::ast::{
    self, DuplicateTreatment, Expr, FunctionArgumentClause, FunctionArguments, Visitor,
};
use weir_base::Position;

use crate::statement::{Statement, fold};
use crate::unsupported::place;
use crate::walk::walk;

/// A call with clauses that only some kinds of function have. DataFusion ignores them all on a scalar function, so the
/// engine refuses such a call of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoratedCall {
    /// The function, as DataFusion looks it up.
    pub name: String,
    /// Its clauses: `DISTINCT`, `ORDER BY`, `FILTER`, `OVER`, `WITHIN GROUP`, `IGNORE NULLS`. There is one at least.
    pub clauses: Vec<&'static str>,
    /// Where the function's name stands.
    pub position: Option<Position>,
}

/// All calls with such clauses.
pub fn decorated_calls(statement: &Statement) -> Vec<DecoratedCall> {
    let mut finder = Calls(Vec::new());
    let _ = walk(statement, &mut finder);
    finder.0
}

struct Calls(Vec<DecoratedCall>);

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            let clauses = clauses_of(function);
            if clauses.is_empty() {
                return Continue(());
            }
            let name = match function.name.0.as_slice() {
                [part] => part.as_ident().map_or_else(|| part.to_string(), fold),
                _ => function.name.to_string(),
            };
            self.0.push(DecoratedCall {
                name,
                clauses,
                position: place(&function.name),
            });
        }
        Continue(())
    }
}

fn clauses_of(function: &ast::Function) -> Vec<&'static str> {
    let mut clauses = Vec::new();
    let mut add = |present: bool, clause| {
        if present && !clauses.contains(&clause) {
            clauses.push(clause);
        }
    };
    if let FunctionArguments::List(list) = &function.args {
        add(
            list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
            "DISTINCT",
        );
        for clause in &list.clauses {
            let name = match clause {
                FunctionArgumentClause::OrderBy(_) => "ORDER BY",
                FunctionArgumentClause::IgnoreOrRespectNulls(_) => "IGNORE NULLS",
                _ => "a clause after the arguments",
            };
            add(true, name);
        }
    }
    add(!function.within_group.is_empty(), "WITHIN GROUP");
    add(function.filter.is_some(), "FILTER");
    add(function.null_treatment.is_some(), "IGNORE NULLS");
    add(function.over.is_some(), "OVER");
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn clauses_of_calls_are_listed() {
        let sql = "SELECT abs(DISTINCT a), upper(b) FILTER (WHERE c), f(d), lag(e) OVER (), \
                   array_agg(g ORDER BY h), first_value(i) IGNORE NULLS OVER (), \
                   lag(DISTINCT k) OVER (), abs(ALL l) FROM j";
        let calls = decorated_calls(&parse(sql).unwrap()[0].statement);
        let calls: Vec<_> = calls
            .iter()
            .map(|call| (call.name.as_str(), call.clauses.join(", ")))
            .collect();
        let calls: Vec<_> = calls
            .iter()
            .map(|(name, clauses)| (*name, clauses.as_str()))
            .collect();
        assert_eq!(
            calls,
            [
                ("abs", "DISTINCT"),
                ("upper", "FILTER"),
                ("lag", "OVER"),
                ("array_agg", "ORDER BY"),
                ("first_value", "IGNORE NULLS, OVER"),
                ("lag", "DISTINCT, OVER"),
            ]
        );
    }
}
