//! The watermarks of streams, ready to be computed.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_plan::PhysicalExpr;
use weir_base::SqlState;
use weir_catalog::{Body, Entry};
use weir_connectors::topic::RowSchema;

use super::{Planner, executable};
use crate::error::{Error, Result};

impl Planner {
    /// The expression of a stream's watermark over its columns, where windows close by it and it has one.
    pub(super) fn watermark(
        &self,
        entry: &Entry,
        rows: &RowSchema,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Body::Stream(stream) = &entry.body else {
            return Ok(None);
        };
        let Some(watermark) = stream.watermark.as_ref() else {
            return Ok(None);
        };
        // The rows of a changelog go again.
        if !self.closes_windows || stream.is_changelog() {
            return Ok(None);
        }
        let schema = DFSchema::try_from(rows.read_schema().as_ref().clone())?;
        let expr = crate::rows::expression(&self.engine, &watermark.sql, &schema)?;
        check_watermark(&expr, &watermark.sql)?;
        Ok(Some(executable(&self.engine.base_state, expr, &schema)?))
    }
}

/// Refuses a watermark that does not follow from the row alone.
pub(crate) fn check_watermark(expr: &Expr, sql: &str) -> Result<()> {
    let mut other = None;
    expr.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr
            && call.func.signature().volatility != Volatility::Immutable
        {
            other = Some(call.func.name().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match other {
        None => Ok(()),
        Some(function) => Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!(
                "the watermark {sql} cannot have {function}(), which gives another value each time"
            ),
        )
        .with_hint(
            "compute it from the row's columns: WATERMARK FOR at AS at - INTERVAL '5 seconds'",
        )),
    }
}
