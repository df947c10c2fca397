//! Windows whose rows wait until they close. In the tree of a statement such a window is a call of a function that no statement can name;
//! in its plan it is a [`WindowClose`] node.

use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::sql::sqlparser::ast;
use weir_streaming::{Dataflow, JobStore, WindowClose, Windows, close_windows};

use super::Planner;
use crate::error::{Error, Result};

impl Planner {
    /// The operators that follow a query, whose state is in a store or nowhere, and the optimised plan that they are made from.
    pub(crate) async fn followed(
        &self,
        plan: LogicalPlan,
        store: Option<JobStore>,
    ) -> Result<(LogicalPlan, Dataflow)> {
        let context = self.task_context();
        if !self.closes_windows() {
            let plan = self.state.optimize(&plan)?;
            let dataflow = Dataflow::new(&plan, &self.state, &context, store).await?;
            return Ok((plan, dataflow));
        }
        let plan = self.state.optimize(&close_windows(plan)?)?;
        let dataflow = Dataflow::on_window_close(&plan, &self.state, &context, store).await?;
        Ok((plan, dataflow))
    }
}

/// The call's name. It has a character that no name can have.
const CALL: &str = "window close\0";

/// What is known of windows besides their rows.
pub(super) enum Closing {
    /// They lie on a grid of times; `start` says how their ends follow from their starts.
    Grid { start: Option<String> },
    /// They are sessions of so many keys.
    Session { keys: usize },
}

/// A window over `query`, whose rows have their bounds, and the keys of sessions.
pub(super) fn factor(
    query: Box<ast::Query>,
    closing: &Closing,
    alias: Option<ast::TableAlias>,
) -> ast::TableFactor {
    let (kind, detail) = match closing {
        Closing::Grid { start: None } => ("grid", String::new()),
        Closing::Grid { start: Some(start) } => ("start", start.clone()),
        Closing::Session { keys } => ("session", keys.to_string()),
    };
    let text = |text: String| ast::Expr::value(ast::Value::SingleQuotedString(text));
    let args = [
        text(kind.to_owned()),
        text(detail),
        ast::Expr::Subquery(query),
    ];
    let args = args.map(|arg| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)));
    let call = ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::with_quote('"', CALL)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: args.to_vec(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    };
    ast::TableFactor::TableFunction {
        expr: ast::Expr::Function(call),
        alias,
    }
}

/// Lets a session's query give its keys, too.
pub(super) fn add_keys(query: &mut ast::Query, keys: &[ast::Expr]) {
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        let keys = keys
            .iter()
            .enumerate()
            .map(|(at, key)| ast::SelectItem::ExprWithAlias {
                expr: key.clone(),
                alias: ast::Ident::with_quote('"', key_name(at)),
            });
        select.projection.extend(keys);
    }
}

fn key_name(at: usize) -> String {
    format!("$key{at}")
}

/// Plans such calls.
#[derive(Debug)]
pub(super) struct ClosingWindows;

impl RelationPlanner for ClosingWindows {
    fn plan_relation(
        &self,
        relation: ast::TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> datafusion::common::Result<RelationPlanning> {
        let Some((query, windows, keys, alias)) = parts(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let input = context.plan(ast::TableFactor::Derived {
            lateral: false,
            subquery: query.clone(),
            alias: None,
            sample: None,
        })?;
        let names: Vec<String> = (0..keys).map(key_name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = WindowClose::plan(input, windows, &names);
        let plan = plan.map_err(|error| DataFusionError::from(Error::from(error)))?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation {
            plan,
            alias: alias.clone(),
        })))
    }
}

type Parts<'a> = (
    &'a Box<ast::Query>,
    Windows,
    usize,
    &'a Option<ast::TableAlias>,
);

/// What [`factor`] has put into a call.
fn parts(relation: &ast::TableFactor) -> Option<Parts<'_>> {
    let ast::TableFactor::TableFunction {
        expr: ast::Expr::Function(call),
        alias,
    } = relation
    else {
        return None;
    };
    let name = call.name.0.first()?.as_ident()?;
    let ast::FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let arg = |at: usize| match list.args.get(at)? {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => Some(arg),
        _ => None,
    };
    let text = |at: usize| match arg(at)? {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    };
    let ast::Expr::Subquery(query) = arg(2).filter(|_| name.value == CALL)? else {
        return None;
    };
    let (windows, keys) = match (text(0)?, text(1)?) {
        ("grid", _) => (Windows::Grid { start: None }, 0),
        ("start", start) => {
            let start = Some(start.to_owned());
            (Windows::Grid { start }, 0)
        }
        (_, keys) => (Windows::Session, keys.parse().ok()?),
    };
    Some((query, windows, keys, alias))
}
