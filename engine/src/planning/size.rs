//! How much a query reads, as far as that is known before it is planned.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use weir_connectors::topic::BoundTable;

use crate::execution::SMALL_ROWS_MAX;
use crate::system;

/// Whether a query reads relations, and each has few rows: a table that is small, or one of those in which the server tells of itself.
pub(super) fn reads_little(plan: &LogicalPlan) -> Result<bool> {
    let (mut reads, mut is_small) = (false, true);
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            reads = true;
            is_small &= match scan.source.get_logical_plan() {
                Some(view) => reads_little(&view)?,
                None => {
                    let provider = source_as_provider(&scan.source)?;
                    let table = BoundTable::of(provider.as_ref());
                    system::is_table(provider.as_ref())
                        || table.is_some_and(|table| table.rows_max() <= SMALL_ROWS_MAX)
                }
            };
        }
        Ok(match is_small {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    })?;
    Ok(reads && is_small)
}
