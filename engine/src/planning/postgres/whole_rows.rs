//! A relation's name as a row: `row_to_json(t)`, `json_agg(t)`, `count(t)`.
//!
//! The name stands for all columns of the relation, if none of them has it; of a function in `FROM` that gives single values it
//! stands for the value.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, VisitMut,
    VisitorMut,
};

use super::{call, text};
use crate::statements::normalized;

/// What a relation's name stands for.
struct Row {
    name: String,
    alias: Ident,
    columns: Vec<Ident>,
}

/// Writes out rows in `select`. `columns_of` knows the columns of stored relations.
pub(super) fn write_out(select: &mut Select, columns_of: &dyn Fn(&ObjectName) -> Vec<String>) {
    let factors = select.from.iter().flat_map(|from| {
        std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
    });
    let rows: Vec<Row> = factors
        .filter_map(|factor| row_of(factor, columns_of))
        .collect();
    let is_column = |name: &str| {
        rows.iter()
            .any(|row| row.columns.iter().any(|column| normalized(column) == name))
    };
    let rows: Vec<&Row> = rows.iter().filter(|row| !is_column(&row.name)).collect();
    if rows.is_empty() {
        return;
    }
    let mut writer = Writer {
        rows: &rows,
        depth: 0,
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = expr.visit(&mut writer);
        }
    }
}

fn row_of(factor: &TableFactor, columns_of: &dyn Fn(&ObjectName) -> Vec<String>) -> Option<Row> {
    let (alias, columns) = match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } => {
            let alias = match alias {
                Some(alias) => alias.name.clone(),
                None => name.0.last()?.as_ident()?.clone(),
            };
            let columns = columns_of(name);
            let columns = columns
                .into_iter()
                .map(|name| Ident::with_quote('"', name))
                .collect();
            (alias, columns)
        }
        TableFactor::Derived {
            subquery,
            alias: Some(alias),
            ..
        } => {
            let columns = match alias.columns.is_empty() {
                true => names_of(&subquery.body)?,
                false => alias
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect(),
            };
            (alias.name.clone(), columns)
        }
        _ => return None,
    };
    let columns: Vec<Ident> = columns;
    (!columns.is_empty()).then(|| Row {
        name: normalized(&alias),
        alias,
        columns,
    })
}

/// The names of a query's columns, where its text says them all.
fn names_of(body: &SetExpr) -> Option<Vec<Ident>> {
    match body {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.clone()),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().cloned(),
                SelectItem::UnnamedExpr(expr) => {
                    Some(Ident::with_quote('"', super::columns::of_expr(expr)))
                }
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
                _ => None,
            })
            .collect(),
        SetExpr::Query(query) => names_of(&query.body),
        SetExpr::SetOperation { left, .. } => names_of(left),
        _ => None,
    }
}

struct Writer<'a> {
    rows: &'a [&'a Row],
    /// How many calls the expression at hand stands in, of those that take rows.
    depth: usize,
}

/// Functions that take a row.
const TAKE_ROWS: [&str; 7] = [
    "row_to_json",
    "to_json",
    "to_jsonb",
    "json_agg",
    "jsonb_agg",
    "array_agg",
    "count",
];

fn takes_row(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function)
        if super::called(&function.name).is_some_and(|name| TAKE_ROWS.contains(&name.as_str())))
}

impl VisitorMut for Writer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        // A name there is looked for there first.
        self.depth += 1000;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_sub(1000);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && takes_row(expr)
            && let Expr::Function(ast::Function {
                args: ast::FunctionArguments::List(list),
                ..
            }) = expr
        {
            for arg in &mut list.args {
                if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg
                    && let Expr::Identifier(name) = arg
                    && let Some(row) = self.rows.iter().find(|row| row.name == normalized(name))
                {
                    let fields = row.columns.iter().flat_map(|column| {
                        let value =
                            Expr::CompoundIdentifier(vec![row.alias.clone(), column.clone()]);
                        [text(normalized(column)), value]
                    });
                    *arg = call("named_struct", fields);
                }
            }
        }
        ControlFlow::Continue(())
    }
}
