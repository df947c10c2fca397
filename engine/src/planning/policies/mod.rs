//! What a policy leaves of a relation: its rows filtered, its columns masked.
//!
//! In: a relation as it was opened, and the policies that its reader is subject to. Out: a relation with the same columns.
//! It stands behind a guard, so that no condition of the reader's own is asked of rows that the reader may not see, where an error
//! would tell of them. So does a view whose reader may not read what it reads.

mod guarded;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use weir_base::SqlState;
use weir_catalog::accounts::Policy;
use weir_catalog::{Entry, quote_ident};

use super::relations::Relations;
use super::{Planner, Reading, decimals, files, literals};
use crate::error::{Error, Result};
use crate::security::Rights;
use guarded::Guarded;

/// Hidden columns that may hold values of masked ones.
const REVEALING: [&str; 3] = ["_key", "_headers", "_error"];

impl Planner {
    /// What one with these rights sees of a relation.
    pub(super) fn policed(
        &self,
        entry: &Entry,
        rights: &Rights,
        opened: Arc<dyn TableProvider>,
    ) -> Result<Arc<dyn TableProvider>> {
        let policies = rights.policies_on(entry);
        if policies.is_empty() {
            return Ok(opened);
        }
        self.opened.lock().is_policed = true;
        let user = rights.principal().user();
        let policies: Vec<&Policy> = policies.iter().map(AsRef::as_ref).collect();
        let plan = self.seen_through(entry, &policies, user, opened)?;
        Ok(self.guarded(plan))
    }

    /// A plan as a relation whose reader's own conditions are asked of its rows alone, and not of those that it leaves out: an error
    /// would tell of them.
    pub(super) fn guarded(&self, plan: LogicalPlan) -> Arc<dyn TableProvider> {
        self.opened.lock().is_guarded = true;
        match self.reading {
            Reading::Bounded => Arc::new(Guarded::new(plan)),
            // It is followed, and so has to stay in sight.
            Reading::Live => Arc::new(ViewTable::new(weir_streaming::guarded(plan), None)),
        }
    }

    /// Whether a policy can be used: its expressions are planned over the relation's columns.
    pub(crate) async fn check_policy(&self, entry: &Arc<Entry>, policy: &Policy) -> Result<()> {
        for masked in policy.masks.keys() {
            self.snapshot.require_column(entry, masked)?;
        }
        let opened = self.open_entry(entry, false).await?;
        self.seen_through(entry, &[policy], "", opened).map(|_| ())
    }

    fn seen_through(
        &self,
        entry: &Entry,
        policies: &[&Policy],
        user: &str,
        opened: Arc<dyn TableProvider>,
    ) -> Result<LogicalPlan> {
        let failed = |error: Error| {
            let names: Vec<_> = policies.iter().map(|policy| policy.name.as_str()).collect();
            let what = format!(
                "policy \"{}\" of {}",
                names.join("\", \""),
                entry.describe()
            );
            error.in_context(&what).without_position()
        };
        let schema = opened.schema();
        let columns: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| shown(field.name(), policies))
            .collect();
        let rows: Vec<String> = policies
            .iter()
            .filter_map(|policy| policy.rows.as_ref())
            .map(|rows| format!("({rows})"))
            .collect();
        let filter = match rows.as_slice() {
            [] => String::new(),
            rows => format!(" WHERE {}", rows.join(" AND ")),
        };
        let sql = format!(
            "SELECT {} FROM {}{filter}",
            columns.join(", "),
            entry.name.sql()
        );
        let query =
            weir_sql::parse_query(&sql).map_err(|error| failed(Error::from_classified(&error)))?;
        let mut statement = ast::Statement::Query(query);
        name_user(&mut statement, user).map_err(failed)?;
        literals::settle(&mut statement).map_err(failed)?;
        let relations = Relations::from([(entry.name.clone(), Self::source(opened))]);
        let calls = files::Calls::default();
        let plan = self.with_context(&entry.name.schema, &relations, calls, |sql| {
            Ok(sql
                .sql_statement_to_plan(statement)
                .and_then(decimals::doubles_win)?)
        });
        let plan = plan.map_err(failed)?;
        same_types(plan, &schema).map_err(failed)
    }
}

/// What is selected in a column's place: the oldest mask of it, or nothing where it could hold what another mask hides.
fn shown(column: &str, policies: &[&Policy]) -> String {
    let name = quote_ident(column);
    let mask = policies.iter().find_map(|policy| policy.masks.get(column));
    let masks_some = policies.iter().any(|policy| !policy.masks.is_empty());
    match mask {
        Some(mask) => format!("({mask}) AS {name}"),
        None if masks_some && REVEALING.contains(&column) => format!("NULL AS {name}"),
        None => name,
    }
}

/// Gives masked columns the types that the columns have.
fn same_types(plan: LogicalPlan, schema: &arrow::datatypes::Schema) -> Result<LogicalPlan> {
    use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast};
    let planned = Arc::clone(plan.schema());
    let fits = planned
        .fields()
        .iter()
        .zip(schema.fields())
        .all(|(planned, field)| planned.data_type() == field.data_type());
    if fits {
        return Ok(plan);
    }
    let columns = planned
        .iter()
        .zip(schema.fields())
        .map(|((relation, planned), field)| {
            let column = Expr::Column((relation, planned).into());
            cast(column, field.data_type().clone()).alias(field.name())
        });
    Ok(LogicalPlanBuilder::from(plan)
        .project(columns.collect::<Vec<_>>())?
        .build()?)
}

/// Puts the user's name in the place of `current_user`, and refuses what a policy cannot look at.
fn name_user(statement: &mut ast::Statement, user: &str) -> Result<()> {
    struct Named<'a>(&'a str);
    impl ast::VisitorMut for Named<'_> {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
            if is_current_user(expr) {
                let text = ast::Value::SingleQuotedString(self.0.to_owned());
                *expr = ast::Expr::Value(text.into());
            }
            match expr {
                ast::Expr::Subquery(_)
                | ast::Expr::Exists { .. }
                | ast::Expr::InSubquery { .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match ast::VisitMut::visit(statement, &mut Named(user)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::invalid(
            SqlState::FEATURE_NOT_SUPPORTED,
            "a subquery in a policy is not supported",
        )),
    }
}

fn is_current_user(expr: &ast::Expr) -> bool {
    let is_it = |name: &str| {
        ["current_user", "session_user"]
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word))
    };
    match expr {
        ast::Expr::Identifier(ident) => ident.quote_style.is_none() && is_it(&ident.value),
        ast::Expr::Function(function) => match function.name.0.as_slice() {
            [part] => part
                .as_ident()
                .is_some_and(|ident| ident.quote_style.is_none() && is_it(&ident.value)),
            _ => false,
        },
        _ => false,
    }
}
