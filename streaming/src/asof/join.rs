//! The node of a plan that joins each row with the nearest in time.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchemaRef, JoinType, internal_datafusion_err};
use datafusion::logical_expr::logical_plan::builder::build_join_schema;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
};

use crate::error::{Error, Result};

/// Which row is near, by its time and that of the row that it is near to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nearest {
    /// The last of those before: `l.t > r.t`.
    Before,
    /// The last of those that are not after: `l.t >= r.t`.
    NotAfter,
    /// The first of those after: `l.t < r.t`.
    After,
    /// The first of those that are not before: `l.t <= r.t`.
    NotBefore,
}

impl Nearest {
    /// What a comparison of a left time with a right one asks for; none of one that orders nothing.
    pub fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Gt => Some(Self::Before),
            Operator::GtEq => Some(Self::NotAfter),
            Operator::Lt => Some(Self::After),
            Operator::LtEq => Some(Self::NotBefore),
            _ => None,
        }
    }

    fn operator(self) -> Operator {
        match self {
            Self::Before => Operator::Gt,
            Self::NotAfter => Operator::GtEq,
            Self::After => Operator::Lt,
            Self::NotBefore => Operator::LtEq,
        }
    }

    /// Whether a row of the same time is near.
    pub(crate) fn or_equal(self) -> bool {
        matches!(self, Self::NotAfter | Self::NotBefore)
    }

    /// Whether it is a later row that is near.
    pub(crate) fn looks_ahead(self) -> bool {
        matches!(self, Self::After | Self::NotBefore)
    }
}

/// Joins each row of its left input with the nearest of its right one.
///
/// *In:* rows of two sides. *Out:* the columns of both; each left row once, without a partner only where such rows are kept, with
/// nulls then in the right columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsOfJoin {
    left: LogicalPlan,
    right: LogicalPlan,
    /// Pairs of expressions, of either side, that must be equal.
    on: Vec<(Expr, Expr)>,
    /// The times of either side.
    times: (Expr, Expr),
    nearest: Nearest,
    keeps_left: bool,
    schema: DFSchemaRef,
}

/// What is said of a join without a condition that can be followed.
const MATCH_HINT: &str =
    "compare a time of the left side with one of the right: MATCH_CONDITION (l.at >= r.at)";
const ON_HINT: &str = "write ON l.k = r.k AND …; what else is to hold of the row can stand in WHERE, or in a subquery in the place of the right side";

impl AsOfJoin {
    /// Joins `left` with `right` by conditions over the columns of both: `nearest` compares two times, and `on` is a conjunction of
    /// equalities. `keeps_left` says whether rows without a partner stay. What is compared is cast to one type.
    ///
    /// # Errors
    /// When the conditions are others, two values cannot be compared, or the rows of the right side cannot be ordered.
    pub fn by_conditions(
        left: LogicalPlan,
        right: LogicalPlan,
        nearest: &Expr,
        on: Option<&Expr>,
        keeps_left: bool,
    ) -> Result<LogicalPlan> {
        let Some((a, operator, b)) = compared(nearest, &left, &right) else {
            return Err(Error::AsOf {
                message: format!("MATCH_CONDITION of ASOF JOIN cannot be {nearest}"),
                hint: MATCH_HINT,
            });
        };
        let Some(nearest) = Nearest::of(operator) else {
            return Err(Error::AsOf {
                message: format!("MATCH_CONDITION of ASOF JOIN cannot compare by {operator}"),
                hint: "write >=, >, <= or <",
            });
        };
        let conditions = on.map(split_conjunction).unwrap_or_default().into_iter();
        let keys = conditions.map(|condition| match compared(condition, &left, &right) {
            Some((a, Operator::Eq, b)) => Ok((a, b)),
            _ => Err(Error::AsOf {
                message: format!("ON of ASOF JOIN cannot be {condition}"),
                hint: ON_HINT,
            }),
        });
        let keys = keys.collect::<Result<_>>()?;
        Self::plan([left, right], keys, (a, b), nearest, keeps_left)
    }

    /// Joins two sides by pairs of keys and by their times.
    fn plan(
        [left, right]: [LogicalPlan; 2],
        on: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        nearest: Nearest,
        keeps_left: bool,
    ) -> Result<LogicalPlan> {
        for field in right.schema().fields() {
            if !can_be_ordered(field.data_type()) {
                return Err(Error::AsOf {
                    message: format!(
                        "the right side of ASOF JOIN cannot have the column \"{}\" of type {}: rows of one time are told apart by all columns, and those of that type have no order",
                        field.name(),
                        field.data_type()
                    ),
                    hint: "leave the column out, in a subquery in the place of the right side",
                });
            }
        }
        let alike = |(a, b): (Expr, Expr), operator| -> Result<(Expr, Expr)> {
            let (of_a, of_b) = (a.get_type(left.schema())?, b.get_type(right.schema())?);
            let coercer = BinaryTypeCoercer::new(&of_a, &operator, &of_b);
            let (to_a, to_b) = coercer.get_input_types()?;
            if to_a != to_b || !can_be_ordered(&to_a) {
                return Err(Error::AsOf {
                    message: format!("ASOF JOIN cannot compare {of_a} with {of_b}"),
                    hint: "cast both to one type",
                });
            }
            let (a, b) = (
                a.cast_to(&to_a, left.schema())?,
                b.cast_to(&to_b, right.schema())?,
            );
            Ok((a, b))
        };
        let on = on.into_iter().map(|pair| alike(pair, Operator::Eq));
        let on = on.collect::<Result<_>>()?;
        let times = alike(times, nearest.operator())?;
        let join = Self::over([left, right], on, times, nearest, keeps_left)?;
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(join),
        }))
    }

    fn over(
        [left, right]: [LogicalPlan; 2],
        on: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        nearest: Nearest,
        keeps_left: bool,
    ) -> datafusion::common::Result<Self> {
        let kind = match keeps_left {
            true => JoinType::Left,
            false => JoinType::Inner,
        };
        let schema = build_join_schema(left.schema(), right.schema(), &kind)?;
        Ok(Self {
            schema: DFSchemaRef::new(schema),
            left,
            right,
            on,
            times,
            nearest,
            keeps_left,
        })
    }

    /// Its left and its right input.
    pub(crate) fn sides(&self) -> [&LogicalPlan; 2] {
        [&self.left, &self.right]
    }

    /// What must be equal, of the left side and of the right one.
    pub(crate) fn keys(&self) -> [Vec<Expr>; 2] {
        let (left, right) = self.on.iter().cloned().unzip();
        [left, right]
    }

    /// The times of the left side and of the right one, which are of one type.
    pub(crate) fn times(&self) -> [&Expr; 2] {
        [&self.times.0, &self.times.1]
    }

    pub(crate) fn nearest(&self) -> Nearest {
        self.nearest
    }

    pub(crate) fn keeps_left(&self) -> bool {
        self.keeps_left
    }
}

/// What a condition compares: something of the left side with something of the right one.
fn compared(
    condition: &Expr,
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> Option<(Expr, Operator, Expr)> {
    let Expr::BinaryExpr(BinaryExpr {
        left: a,
        op,
        right: b,
    }) = condition
    else {
        return None;
    };
    if is_of(a, left) && is_of(b, right) {
        return Some((a.as_ref().clone(), *op, b.as_ref().clone()));
    }
    let swapped = op.swap()?;
    (is_of(b, left) && is_of(a, right)).then(|| (b.as_ref().clone(), swapped, a.as_ref().clone()))
}

/// Whether an expression is over columns of one side, and nothing else.
fn is_of(expr: &Expr, side: &LogicalPlan) -> bool {
    let columns = expr.column_refs();
    let has_query = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)
        ))
    });
    let mut known = columns
        .iter()
        .map(|column| side.schema().has_column(column));
    !columns.is_empty() && known.all(|known| known) && has_query.is_ok_and(|has| !has)
}

/// Whether values of a type have an order.
fn can_be_ordered(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// The node within a plan, if it is one.
pub(crate) fn as_asof_join(plan: &LogicalPlan) -> Option<&AsOfJoin> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &'static str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let on = self.on.iter().flat_map(|(a, b)| [a.clone(), b.clone()]);
        let times = [self.times.0.clone(), self.times.1.clone()];
        times.into_iter().chain(on).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.keeps_left {
            true => "Left",
            false => "Inner",
        };
        let (a, b) = &self.times;
        write!(f, "AsOfJoin: {kind} {a} {} {b}", self.nearest.operator())?;
        for (a, b) in &self.on {
            write!(f, ", {a} = {b}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> datafusion::common::Result<Self> {
        let wrong = || internal_datafusion_err!("an ASOF JOIN lacks a part");
        let mut exprs = exprs.into_iter();
        let times = (
            exprs.next().ok_or_else(wrong)?,
            exprs.next().ok_or_else(wrong)?,
        );
        let mut on = Vec::with_capacity(self.on.len());
        while let Some(a) = exprs.next() {
            on.push((a, exprs.next().ok_or_else(wrong)?));
        }
        let inputs = <[LogicalPlan; 2]>::try_from(inputs).map_err(|_| wrong())?;
        Self::over(inputs, on, times, self.nearest, self.keeps_left)
    }

    /// All columns of the right side are needed: they decide which row is near.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left = self.left.schema().fields().len();
        let of_left: BTreeSet<usize> = output_columns
            .iter()
            .copied()
            .filter(|at| *at < left)
            .collect();
        let of_right = 0..self.right.schema().fields().len();
        Some(vec![of_left.into_iter().collect(), of_right.collect()])
    }
}
