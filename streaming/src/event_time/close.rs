//! The node of a plan where rows wait until their window has closed.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchema, DFSchemaRef, ExprSchema, internal_datafusion_err, internal_err,
};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};

use super::WATERMARK;
use super::carry::carry;
use super::source::watermarked;
use crate::error::{Error, Result};

/// What windows are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Windows {
    /// They lie on a grid of times. If given, `start` names how their ends follow from their starts: two of the same name
    /// with the same start have the same end.
    Grid {
        /// That name.
        start: Option<String>,
    },
    /// Each is as long as rows follow one another.
    Session,
}

/// Gives each row of its input once its window has closed, and never a row that was late.
///
/// *In:* rows with the start and the end of the window of each; of sessions, those that a row alone would be in, and the keys whose
/// sessions have nothing to do with one another. *Out:* the same columns without the keys; of sessions, with the starts and the ends
/// of what the rows have come to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowClose {
    input: LogicalPlan,
    windows: Windows,
    /// The window's start and end, the keys of sessions, and then the watermark, once the input carries it.
    columns: Vec<Column>,
    keys: usize,
    /// The watermarks' expressions, as text: the plan's text is to tell what it computes.
    watermarks: String,
    schema: DFSchemaRef,
}

/// The names of the columns that a window's input gives the bounds in.
const BOUNDS: [&str; 2] = ["window_start", "window_end"];

impl WindowClose {
    /// Windows over `input`, which has columns `window_start` and `window_end`, and `keys`.
    ///
    /// # Errors
    /// When it has not.
    pub fn plan(input: LogicalPlan, windows: Windows, keys: &[&str]) -> Result<LogicalPlan> {
        let names = BOUNDS.iter().chain(keys);
        let columns = names.map(|name| {
            let (qualifier, field) = input.schema().qualified_field_with_unqualified_name(name)?;
            Ok(Column::from((qualifier, field)))
        });
        let columns: Vec<Column> = columns.collect::<Result<_>>()?;
        for bound in columns.iter().take(BOUNDS.len()) {
            let data_type = input.schema().field_from_column(bound)?.data_type();
            if !matches!(data_type, DataType::Timestamp(..)) {
                return Err(Error::Windows {
                    message: format!(
                        "the time of a window that closes must be a TIMESTAMP, not {data_type}"
                    ),
                    hint: "cast it: TUMBLE(s, CAST(at AS TIMESTAMP), INTERVAL '1 minute')",
                });
            }
        }
        let node = Self::over(input, windows, columns, keys.len(), String::new())?;
        Ok(node.into_plan())
    }

    fn over(
        input: LogicalPlan,
        windows: Windows,
        columns: Vec<Column>,
        keys: usize,
        watermarks: String,
    ) -> datafusion::common::Result<Self> {
        let kept = input.schema().iter().filter(|(qualifier, field)| {
            let column = Column::from((*qualifier, *field));
            !columns.iter().skip(BOUNDS.len()).any(|own| *own == column)
        });
        let kept = kept.map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let schema = DFSchema::new_with_metadata(kept.collect(), Default::default())?;
        Ok(Self {
            input,
            windows,
            columns,
            keys,
            watermarks,
            schema: Arc::new(schema),
        })
    }

    fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }

    pub(crate) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.windows
    }

    pub(crate) fn start(&self) -> Option<&Column> {
        self.columns.first()
    }

    pub(crate) fn end(&self) -> Option<&Column> {
        self.columns.get(1)
    }

    pub(crate) fn keys(&self) -> &[Column] {
        let end = BOUNDS.len() + self.keys;
        self.columns.get(BOUNDS.len()..end).unwrap_or_default()
    }

    pub(crate) fn watermark(&self) -> Option<&Column> {
        self.columns.get(BOUNDS.len() + self.keys)
    }

    /// The same over an input that carries the watermark.
    pub(super) fn carried(&self) -> Result<Self> {
        let mut watermarks = Vec::new();
        let (input, watermark) = carry(&self.input, WATERMARK, &mut |plan| {
            begin(plan, &mut watermarks)
        })?;
        let watermarks = watermarks.join(", ");
        let mut columns = self.columns.clone();
        columns.push(watermark);
        let windows = self.windows.clone();
        Ok(Self::over(input, windows, columns, self.keys, watermarks)?)
    }
}

/// A stream with a watermark is where the watermark comes from.
fn begin(
    plan: &LogicalPlan,
    watermarks: &mut Vec<String>,
) -> Result<Option<(LogicalPlan, Column)>> {
    let LogicalPlan::TableScan(scan) = plan else {
        return Ok(None);
    };
    let Some(stream) = watermarked(scan) else {
        return Ok(None);
    };
    watermarks.push(stream.watermark().to_string());
    let source = provider_as_source(Arc::new(stream.carrying()));
    let scan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?;
    let column = scan.schema().columns().pop();
    let column = column.ok_or(Error::Internal("a stream has no columns"))?;
    Ok(Some((scan, column)))
}

/// The node within a plan, if it is one.
pub(crate) fn as_window_close(plan: &LogicalPlan) -> Option<&WindowClose> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// Makes the windows of a query, which has not been optimised yet, know of the watermark.
///
/// # Errors
/// When it has none, or one is not over the rows of streams that have a watermark.
pub fn close_windows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut failed = None;
    let mut found = false;
    let plan = plan.transform_down_with_subqueries(|node| {
        let Some(windows) = as_window_close(&node) else {
            return Ok(Transformed::no(node));
        };
        found = true;
        match windows.carried() {
            Ok(carried) => Ok(Transformed::new(
                carried.into_plan(),
                true,
                TreeNodeRecursion::Jump,
            )),
            Err(error) => {
                failed = Some(error);
                internal_err!("a window cannot close")
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if !found {
        return Err(Error::Windows {
            message: "EMIT ON WINDOW CLOSE needs a window".to_owned(),
            hint: "SELECT window_start, window_end, count(*) FROM TUMBLE(s, at, INTERVAL '1 minute') GROUP BY window_start, window_end",
        });
    }
    Ok(plan?.data)
}

impl PartialOrd for WindowClose {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for WindowClose {
    fn name(&self) -> &'static str {
        "WindowClose"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.columns.iter().cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.windows {
            Windows::Grid { .. } => "windows",
            Windows::Session => "sessions",
        };
        write!(f, "WindowClose: {kind} up to {}", self.watermarks)
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> datafusion::common::Result<Self> {
        let columns = exprs.into_iter().map(|expr| match expr {
            Expr::Column(column) => Ok(column),
            _ => internal_err!("a window's bounds are no columns"),
        });
        let columns = columns.collect::<datafusion::common::Result<_>>()?;
        let input = inputs.into_iter().next();
        let input = input.ok_or_else(|| internal_datafusion_err!("a window has no input"))?;
        let watermarks = self.watermarks.clone();
        Self::over(input, self.windows.clone(), columns, self.keys, watermarks)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let columns = output_columns.iter().map(|at| {
            let column = Column::from(self.schema.qualified_field(*at));
            self.input.schema().maybe_index_of_column(&column)
        });
        Some(vec![columns.collect::<Option<_>>()?])
    }
}
