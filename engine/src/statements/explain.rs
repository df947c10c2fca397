//! `EXPLAIN [ANALYZE]`.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::record_batch::RecordBatch;
use datafusion::common::format::ExplainFormat;
use datafusion::logical_expr::{
    Explain as ExplainPlan, LogicalPlan, LogicalPlanBuilder, PlanType, ToStringifiedPlan,
};
use datafusion::physical_plan::displayable;
use weir_base::SqlState;
use weir_sql::statement::{self, Emit, Statement};
use weir_streaming::GuardExec;

use super::Execution;
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::Reading;
use crate::security::denied;

impl Execution {
    pub(super) async fn explain(&self, explain: statement::Explain) -> Result<Answer> {
        // A view is followed by operators, also where its query keeps no state.
        let is_kept = matches!(*explain.statement, Statement::CreateMaterializedView(_));
        let query = match *explain.statement {
            Statement::Query(query) => query,
            Statement::CreateView(view) => statement::Query {
                query: view.query,
                emit: None,
            },
            Statement::CreateMaterializedView(view) if !explain.analyze => statement::Query {
                query: view.query,
                emit: view.emit.or(Some(Emit::Changes)),
            },
            Statement::Insert(insert) => match *insert.insert {
                datafusion::sql::sqlparser::ast::Statement::Insert(insert)
                    if insert.source.is_some() && !explain.analyze =>
                {
                    match insert.source {
                        Some(query) => statement::Query { query, emit: None },
                        None => {
                            return Err(Error::unsupported(
                                "EXPLAIN of this statement is not supported",
                            ));
                        }
                    }
                }
                _ => {
                    return Err(Error::unsupported(
                        "EXPLAIN ANALYZE of a statement that writes is not supported",
                    ));
                }
            },
            other => {
                return Err(Error::unsupported(format!(
                    "EXPLAIN {} is not supported",
                    other.tag()
                )));
            }
        };
        let live = query.emit.is_some();
        if live && explain.analyze {
            return Err(
                Error::unsupported("EXPLAIN ANALYZE of a live query would never end")
                    .with_hint("leave ANALYZE out"),
            );
        }
        let reading = if live {
            Reading::Live
        } else {
            Reading::Bounded
        };
        let planner = self.planner(self.snapshot(), reading);
        let planner = match query.emit {
            Some(Emit::OnWindowClose) => planner.closing_windows(),
            _ => planner,
        };
        let plan = planner
            .query(&query.query, &self.request.parameters)
            .await?;
        let shows_all = !explain.analyze
            && !live
            && matches!(explain.format.as_deref(), None | Some("text" | "indent"));
        if planner.is_guarded() && !shows_all {
            return Err(denied(
                "permission denied: the plan would show what a policy or a view hides".to_owned(),
            )
            .with_hint("EXPLAIN without ANALYZE, FORMAT and EMIT shows the rest of it"));
        }
        if live
            && (is_kept || planner.closes_windows() || planner.stateless(&plan).await?.is_none())
        {
            let (optimized, dataflow) = planner.followed(plan, None).await?;
            return self.plans(&[
                ("logical_plan", optimized.display_indent().to_string()),
                ("continuous_plan", dataflow.explain()),
            ]);
        }
        if explain.analyze {
            if explain
                .format
                .as_deref()
                .is_some_and(|format| !matches!(format, "indent" | "text"))
            {
                return Err(Error::unsupported("EXPLAIN ANALYZE has one format, text"));
            }
            let plan = LogicalPlanBuilder::from(plan)
                .explain(explain.verbose, true)?
                .build()?;
            return self.run_bounded(&planner, &plan).await;
        }
        match explain.format.as_deref() {
            None | Some("text" | "indent") => {
                let optimized = planner.state.optimize(&plan)?;
                let physical = planner.physical(&plan).await?;
                let mut rows = vec![("logical_plan", optimized.display_indent().to_string())];
                if explain.verbose {
                    rows.insert(
                        0,
                        (
                            "initial_logical_plan",
                            plan.display_indent_schema().to_string(),
                        ),
                    );
                }
                let shown = displayable(physical.as_ref()).indent(explain.verbose);
                rows.push(("physical_plan", without_guarded(&shown.to_string())));
                self.plans(&rows)
            }
            Some(other) => {
                let format = match other {
                    "json" | "pgjson" => ExplainFormat::PostgresJSON,
                    "tree" => ExplainFormat::Tree,
                    "graphviz" => ExplainFormat::Graphviz,
                    _ => {
                        return Err(Error::invalid(
                            SqlState::INVALID_PARAMETER_VALUE,
                            format!("EXPLAIN has no format {other:?}"),
                        )
                        .with_hint("formats: text, json, tree, graphviz"));
                    }
                };
                let stringified = vec![plan.to_stringified(PlanType::InitialLogicalPlan)];
                let schema = datafusion::common::ToDFSchema::to_dfschema_ref(
                    LogicalPlan::explain_schema().as_ref().clone(),
                )?;
                let plan = LogicalPlan::Explain(ExplainPlan {
                    verbose: explain.verbose,
                    show_statistics: None,
                    explain_format: format,
                    plan: Arc::new(plan),
                    stringified_plans: stringified,
                    schema,
                    logical_optimization_succeeded: false,
                });
                self.run_bounded(&planner, &plan).await
            }
        }
    }

    fn plans(&self, rows: &[(&str, String)]) -> Result<Answer> {
        let schema = LogicalPlan::explain_schema();
        let kinds = StringArray::from_iter_values(rows.iter().map(|(kind, _)| kind));
        let plans = StringArray::from_iter_values(rows.iter().map(|(_, plan)| plan));
        Ok(self.rows(RecordBatch::try_new(
            schema,
            vec![Arc::new(kinds), Arc::new(plans)],
        )?))
    }
}

/// A plan without what stands behind guards: how rows are hidden, and what of.
fn without_guarded(plan: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut guard: Option<usize> = None;
    let mut shown = String::with_capacity(plan.len());
    for line in plan.lines() {
        if guard.is_some_and(|guard| depth(line) > guard) {
            continue;
        }
        guard = line
            .trim_start()
            .starts_with(GuardExec::NAME)
            .then(|| depth(line));
        shown.push_str(line);
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_guard_is_not_shown() {
        let plan =
            "A\n  GuardExec\n    Filter: secret\n      Scan\n  GuardExec\n    Filter\n  B\n    C\n";
        let shown = "A\n  GuardExec\n  GuardExec\n  B\n    C\n";
        assert_eq!(without_guarded(plan), shown);
    }
}
