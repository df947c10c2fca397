//! How much a query reads, as far as that is known before it is planned.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use weir_connectors::topic::BoundTable;

use crate::system;

/// Rows of a table that are few.
const ROWS_FEW: usize = 10_000;

/// Whether each relation that a query reads has few rows: a table that is small, or one of those in which the server tells of itself.
pub(super) fn is_small(plan: &LogicalPlan) -> Result<bool> {
    let mut is_small = true;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            is_small &= match scan.source.get_logical_plan() {
                Some(view) => self::is_small(&view)?,
                None => {
                    let provider = source_as_provider(&scan.source)?;
                    let table = BoundTable::of(provider.as_ref());
                    system::is_table(provider.as_ref())
                        || table.is_some_and(|table| table.rows_max() <= ROWS_FEW)
                }
            };
        }
        Ok(match is_small {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    })?;
    Ok(is_small)
}
