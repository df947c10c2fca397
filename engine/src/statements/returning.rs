//! `RETURNING`: what a statement gives of the rows that it writes or deletes.
//!
//! It is computed before anything is written, so that a statement whose `RETURNING` fails changes nothing.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::sql::sqlparser::ast;
use weir_catalog::Entry;

use super::Execution;
use crate::answer::{Answer, AnswerKind};
use crate::error::{Error, Result};
use crate::execution::run_ready;
use crate::planning::Reading;

impl Execution {
    /// What `items` give of `rows`, which have the columns of the table and are known by `alias`; none without `RETURNING`.
    pub(super) async fn returned_rows(
        &self,
        items: Option<&[ast::SelectItem]>,
        entry: &Entry,
        alias: &str,
        rows: &RecordBatch,
    ) -> Result<Option<RecordBatch>> {
        let Some(items) = items else {
            return Ok(None);
        };
        let items: Vec<_> = items.iter().map(ToString::to_string).collect();
        let sql = format!(
            "SELECT {} FROM {} AS {alias}",
            items.join(", "),
            entry.name.sql()
        );
        let query = weir_sql::parse_query(&sql)
            .map_err(|error| Error::from_classified(&error).without_position())?;
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
        planner.also_knows(entry.name.clone(), Arc::new(table));
        // Places in the text that was built here are none in the user's.
        let plan = planner
            .query(&query, &[])
            .await
            .map_err(Error::without_position)?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        self.collect(&planner, plan, &schema).await.map(Some)
    }

    /// The answer of a statement that wrote so many rows: those that it returns, or their count.
    pub(super) fn changed(
        &self,
        tag: &str,
        rows: u64,
        returned: Option<RecordBatch>,
    ) -> Result<Answer> {
        match returned {
            Some(returned) => {
                let kind = AnswerKind::Command {
                    tag: tag.to_owned(),
                    rows: Some(rows),
                    gives_rows: true,
                };
                let schema = returned.schema();
                Ok(run_ready(
                    &self.engine,
                    &self.running,
                    kind,
                    schema,
                    vec![returned],
                ))
            }
            None => self.wrote(tag, rows),
        }
    }
}
