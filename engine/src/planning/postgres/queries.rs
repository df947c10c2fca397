//! Forms of whole queries: `TABLE t`, `FETCH FIRST … WITH TIES`, windows that extend others, and a query as an array.

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    Ident, NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    VisitMut, VisitorMut, WindowSpec, WindowType,
};
use std::ops::ControlFlow;
use weir_base::SqlState;
use weir_catalog::quote_ident;

use super::call;
use crate::error::{Error, Result};
use crate::statements::normalized;

/// Writes such a query in other words.
pub(super) fn settle(query: &mut Query) -> Result<()> {
    table(&mut query.body)?;
    if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties) {
        with_ties(query)?;
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        let order_by = match &mut query.order_by {
            Some(order_by) => match &mut order_by.kind {
                OrderByKind::Expressions(exprs) => Some(exprs),
                OrderByKind::All(_) => None,
            },
            None => None,
        };
        super::joins::settle(select, order_by.map(Vec::as_mut_slice))?;
    }
    Ok(())
}

/// `TABLE t` as `SELECT * FROM t`.
fn table(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Table(named) => {
            let names = [&named.schema_name, &named.table_name]
                .into_iter()
                .flatten();
            // The parser gives names as they were written, and folds none.
            let names: Vec<_> = names
                .map(|name| quote_ident(&name.to_lowercase()))
                .collect();
            let query = super::parsed(&format!("SELECT * FROM {}", names.join(".")))?;
            *body = *query.body;
        }
        SetExpr::SetOperation { left, right, .. } => {
            table(left)?;
            table(right)?;
        }
        _ => {}
    }
    Ok(())
}

/// `ORDER BY o FETCH FIRST n ROWS WITH TIES`: the rows whose rank is at most `n`.
fn with_ties(query: &mut Query) -> Result<()> {
    let unsupported = |what: &str| {
        Error::unsupported(format!("FETCH FIRST … WITH TIES {what} is not supported"))
            .with_hint("write a query with rank() OVER (ORDER BY …)")
    };
    let Some(by) = query.order_by.take() else {
        return Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            "WITH TIES cannot be specified without ORDER BY",
        ));
    };
    let fetch = query.fetch.take();
    let (SetExpr::Select(select), OrderByKind::Expressions(order)) =
        (query.body.as_mut(), &by.kind)
    else {
        return Err(unsupported("of this query"));
    };
    let is_plain = select.distinct.is_none()
        && query.limit_clause.is_none()
        && fetch.as_ref().is_some_and(|fetch| !fetch.percent);
    if !is_plain {
        return Err(unsupported("with DISTINCT, OFFSET or PERCENT"));
    }
    let rows = fetch.and_then(|fetch| fetch.quantity);
    let rows = rows.map_or_else(|| "1".to_owned(), |rows| rows.to_string());
    let order: Vec<_> = order.iter().map(ToString::to_string).collect();
    if select.qualify.is_some() {
        return Err(unsupported("with QUALIFY"));
    }
    let rank = format!("rank() OVER (ORDER BY {}) <= ({rows})", order.join(", "));
    let rank = weir_sql::parse_expr(&rank);
    select.qualify = Some(rank.map_err(|error| Error::from_classified(&error).without_position())?);
    query.order_by = Some(by);
    Ok(())
}

/// `ARRAY(SELECT x …)`: the values in their order, and an empty array where there are none.
pub(super) fn as_array(mut query: Box<Query>) -> Result<Expr> {
    table(&mut query.body)?;
    let has_rest = query.limit_clause.is_some() || query.fetch.is_some();
    let order = match query.order_by.as_ref().map(|order_by| &order_by.kind) {
        Some(OrderByKind::Expressions(order)) => order.clone(),
        _ => vec![],
    };
    let value = match query.body.as_mut() {
        SetExpr::Select(select) => match select.projection.as_mut_slice() {
            [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }]
                if select.distinct.is_none()
                    && select.having.is_none()
                    && matches!(&select.group_by, ast::GroupByExpr::Expressions(by, _) if by.is_empty())
                    && !has_rest
                    && !is_set(value) =>
            {
                Some(value)
            }
            _ => None,
        },
        _ => None,
    };
    let by_number = order.iter().any(|by| matches!(&by.expr, Expr::Value(_)));
    if let (Some(value), false) = (value, by_number) {
        query.order_by = None;
        let all = array_agg(super::take(value), order);
        *value = all;
        return Ok(call("array_or_empty", [Expr::Subquery(query)]));
    }
    let outer = super::parsed(&format!(
        "SELECT array_agg(_item) FROM ({query}) AS _items (_item)"
    ))?;
    Ok(call("array_or_empty", [Expr::Subquery(outer)]))
}

/// Whether an expression gives several rows, or one of them all.
fn is_set(expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |expr| match expr {
        Expr::Function(function)
            if super::called(&function.name).is_some_and(|name| {
                super::set_returning::is_one(&name) || super::set_returning::is_aggregate(&name)
            }) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn array_agg(value: Expr, order: Vec<ast::OrderByExpr>) -> Expr {
    let mut all = call("array_agg", [value]);
    if let Expr::Function(Function {
        args: FunctionArguments::List(list),
        ..
    }) = &mut all
        && !order.is_empty()
    {
        list.clauses = vec![FunctionArgumentClause::OrderBy(order)];
        debug_assert!(matches!(
            list.args.as_slice(),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(_))]
        ));
    }
    all
}

/// Writes out windows that extend others: `WINDOW w AS (…), v AS (w ORDER BY …)`, `OVER (w ORDER BY …)`.
pub(super) fn settle_windows(select: &mut Select) -> Result<()> {
    let mut known: Vec<(String, WindowSpec)> = Vec::new();
    for NamedWindowDefinition(name, window) in &mut select.named_window {
        let spec = match window {
            NamedWindowExpr::WindowSpec(spec) => {
                extend(spec, &known)?;
                spec.clone()
            }
            NamedWindowExpr::NamedWindow(other) => window_of(other, &known)?.clone(),
        };
        known.push((normalized(name), spec));
    }
    let mut windows = Windows { known: &known };
    for item in &mut select.projection {
        if let ControlFlow::Break(error) = item.visit(&mut windows) {
            return Err(error);
        }
    }
    match select.qualify.visit(&mut windows) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Windows<'a> {
    known: &'a [(String, WindowSpec)],
}

impl VisitorMut for Windows<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Function(Function {
            over: Some(WindowType::WindowSpec(spec)),
            ..
        }) = expr
            && spec.window_name.is_some()
        {
            return super::flow(extend(spec, self.known));
        }
        ControlFlow::Continue(())
    }
}

fn window_of<'a>(name: &Ident, known: &'a [(String, WindowSpec)]) -> Result<&'a WindowSpec> {
    let wanted = normalized(name);
    let found = known.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, spec)| spec).ok_or_else(|| {
        Error::invalid(
            SqlState("42704"),
            format!("window {wanted:?} does not exist"),
        )
        .with_position(crate::statements::ident_position(name))
    })
}

fn extend(spec: &mut WindowSpec, known: &[(String, WindowSpec)]) -> Result<()> {
    let Some(name) = spec.window_name.take() else {
        return Ok(());
    };
    let base = window_of(&name, known)?;
    let wrong = |what: &str| {
        Error::invalid(
            SqlState("42P20"),
            format!("cannot override {what} of window {:?}", normalized(&name)),
        )
        .with_position(crate::statements::ident_position(&name))
    };
    if !spec.partition_by.is_empty() {
        return Err(wrong("PARTITION BY"));
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return Err(wrong("ORDER BY"));
    }
    if base.window_frame.is_some() {
        return Err(wrong("the frame"));
    }
    spec.partition_by.clone_from(&base.partition_by);
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    }
    Ok(())
}
