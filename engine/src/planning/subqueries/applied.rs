//! A subquery as a function of what it reads of the query around it.
//!
//! It is run once for a batch of rows, over all values that it reads of them ([`Domain`]); where that cannot be, once for each
//! different set of values, these standing in the plan as literals.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, UInt64Type};
use async_trait::async_trait;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, exec_err, internal_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::async_udf::AsyncScalarUDFImpl;
use datafusion::logical_expr::binary::comparison_coercion;
use datafusion::logical_expr::logical_plan::Subquery;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDFImpl, Signature,
};
use datafusion::physical_plan::collect;

use super::domain::Domain;
use crate::planning::rewrite;

/// What is asked of the subquery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The value of the one row.
    Value,
    /// Whether there is a row.
    Exists { negated: bool },
    /// Whether the last argument is among the rows.
    Contains { negated: bool },
}

/// The function.
pub(super) struct Applied {
    pub(super) name: String,
    pub(super) plan: LogicalPlan,
    /// The columns of the query around it, whose values are the first arguments. What is looked for among the rows follows, if its
    /// kind has that, and then, if that is not all, for which rows the subquery is needed.
    pub(super) outer: Vec<Column>,
    pub(super) kind: Kind,
    /// What it gives.
    pub(super) field: FieldRef,
    pub(super) state: SessionState,
    pub(super) runtime: Arc<RuntimeEnv>,
    pub(super) signature: Signature,
}

/// What the subquery gave for one set of values, as far as it is asked for.
#[derive(Default)]
struct Answer {
    rows: usize,
    value: Option<ScalarValue>,
    members: HashSet<ScalarValue>,
    has_null: bool,
}

impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Applied {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.plan == other.plan
    }
}

impl Eq for Applied {}

impl Hash for Applied {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.kind.hash(state);
    }
}

impl ScalarUDFImpl for Applied {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a subquery can only be run asynchronously")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Applied {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        if rows == 0 {
            let empty = arrow::array::new_empty_array(self.field.data_type());
            return Ok(ColumnarValue::Array(empty));
        }
        let outer = arrays.get(..self.outer.len()).unwrap_or_default();
        let mut others = arrays.iter().skip(self.outer.len());
        let needles = match self.kind {
            Kind::Contains { .. } => others.next(),
            Kind::Value | Kind::Exists { .. } => None,
        };
        let guard = others.next().and_then(|guard| guard.as_boolean_opt());
        let is_needed =
            |row: usize| guard.is_none_or(|guard| guard.is_valid(row) && guard.value(row));
        // The different sets of values, and which of them each row has.
        let mut known: HashMap<Vec<ScalarValue>, usize> = HashMap::new();
        let mut firsts = Vec::new();
        let mut places = Vec::with_capacity(rows);
        for row in 0..rows {
            if !is_needed(row) {
                places.push(None);
                continue;
            }
            let values = scalars(outer, row)?;
            let next = known.len();
            let place = *known.entry(values).or_insert(next);
            if place == next {
                firsts.push(row);
            }
            places.push(Some(place));
        }
        let compared = match needles {
            Some(needles) => Some(self.compared_as(needles.data_type())?),
            None => None,
        };
        let answers = self
            .answers(outer, &args.arg_fields, &firsts, compared.as_ref())
            .await?;
        let needles = match (needles, &compared) {
            (Some(needles), Some(compared)) => Some(cast(needles, compared)?),
            _ => None,
        };
        let results = places.into_iter().enumerate().map(|(row, place)| {
            let Some(place) = place else {
                return ScalarValue::try_from(self.field.data_type());
            };
            let Some(answer) = answers.get(place) else {
                return internal_err!("a subquery without an answer");
            };
            let needle = needles.as_ref();
            let needle = needle.map(|needles| ScalarValue::try_from_array(needles, row));
            self.result(answer, needle.transpose()?.as_ref())
        });
        let results = results.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

fn scalars(arrays: &[ArrayRef], row: usize) -> Result<Vec<ScalarValue>> {
    let values = arrays.iter();
    values
        .map(|array| ScalarValue::try_from_array(array, row))
        .collect()
}

impl Applied {
    /// The type in which a value is compared with those of the rows.
    fn compared_as(&self, needle: &DataType) -> Result<DataType> {
        let Some(field) = self.plan.schema().fields().first() else {
            return internal_err!("a subquery without columns");
        };
        match comparison_coercion(needle, field.data_type()) {
            Some(compared) => Ok(compared),
            None => exec_err!("{needle} cannot be compared with {}", field.data_type()),
        }
    }

    /// What the subquery gives for the values of each of these rows.
    async fn answers(
        &self,
        outer: &[ArrayRef],
        fields: &[FieldRef],
        firsts: &[usize],
        compared: Option<&DataType>,
    ) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        if firsts.is_empty() {
            return Ok(answers);
        }
        answers.resize_with(firsts.len(), Answer::default);
        if let Some(plan) = self.over_all(outer, fields, firsts)? {
            for batch in self.collected(&plan).await? {
                let Some((numbers, columns)) = batch.columns().split_first() else {
                    return internal_err!("a subquery without numbers");
                };
                let numbers = numbers.as_primitive::<UInt64Type>().values();
                let places = numbers
                    .iter()
                    .map(|at| usize::try_from(*at).unwrap_or_default());
                self.add(&mut answers, places, columns.first(), compared)?;
            }
            return Ok(answers);
        }
        for (place, row) in firsts.iter().enumerate() {
            let values = scalars(outer, *row)?;
            let values = self.outer.iter().zip(&values).collect();
            let plan = with_values(self.plan.clone(), &values)?;
            for batch in self.collected(&plan).await? {
                let places = std::iter::repeat_n(place, batch.num_rows());
                self.add(&mut answers, places, batch.columns().first(), compared)?;
            }
        }
        Ok(answers)
    }

    /// The plan over the values of all these rows, where there is one.
    fn over_all(
        &self,
        outer: &[ArrayRef],
        fields: &[FieldRef],
        firsts: &[usize],
    ) -> Result<Option<LogicalPlan>> {
        if self.outer.is_empty() {
            return Ok(None);
        }
        let indices: UInt64Array = firsts.iter().map(|row| *row as u64).collect();
        let numbers: UInt64Array = (0..firsts.len() as u64).collect();
        let name = format!("_{}", self.name);
        let named = |at: usize| Domain::column(&name, at);
        let mut columns = vec![Field::new(named(0), DataType::UInt64, false)];
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(numbers)];
        for (at, (array, field)) in outer.iter().zip(fields).enumerate() {
            let field = field.as_ref().clone().with_name(named(at + 1));
            columns.push(field.with_nullable(true));
            arrays.push(take(array, &indices, None)?);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(columns)), arrays)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        let domain = Domain {
            name: &name,
            source: provider_as_source(Arc::new(table)),
            outer: &self.outer,
        };
        let Some(plan) = domain.over_all(&self.plan)? else {
            return Ok(None);
        };
        let plan = match self.kind {
            Kind::Value | Kind::Contains { .. } => plan,
            // Once is enough.
            Kind::Exists { .. } => {
                let number = plan.schema().iter().next().map(Column::from);
                let number = number.map(Expr::Column);
                LogicalPlanBuilder::from(plan)
                    .project(number)?
                    .distinct()?
                    .build()?
            }
        };
        Ok(Some(plan))
    }

    async fn collected(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>> {
        let plan = self.state.create_physical_plan(plan).await?;
        let context = TaskContext::from(&self.state).with_runtime(Arc::clone(&self.runtime));
        collect(plan, Arc::new(context)).await
    }

    /// Adds rows to the answers that they are for.
    fn add(
        &self,
        answers: &mut [Answer],
        places: impl Iterator<Item = usize>,
        values: Option<&ArrayRef>,
        compared: Option<&DataType>,
    ) -> Result<()> {
        let cast = match (values, compared) {
            (Some(values), Some(compared)) => Some(cast(values, compared)?),
            _ => None,
        };
        for (row, place) in places.enumerate() {
            let Some(answer) = answers.get_mut(place) else {
                return internal_err!("a row of a subquery that nobody asked for");
            };
            answer.rows += 1;
            match (self.kind, values, &cast) {
                (Kind::Value, Some(values), _) if answer.value.is_none() => {
                    let value = ScalarValue::try_from_array(values, row)?;
                    answer.value = Some(value.cast_to(self.field.data_type())?);
                }
                (Kind::Contains { .. }, Some(values), Some(cast)) => {
                    answer.has_null |= values.is_null(row);
                    if cast.is_valid(row) {
                        let value = ScalarValue::try_from_array(cast, row)?;
                        answer.members.insert(value);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn result(&self, answer: &Answer, needle: Option<&ScalarValue>) -> Result<ScalarValue> {
        match self.kind {
            Kind::Exists { negated } => Ok(ScalarValue::from((answer.rows > 0) != negated)),
            Kind::Value if answer.rows > 1 => {
                exec_err!("more than one row returned by a subquery used as an expression")
            }
            Kind::Value => match &answer.value {
                Some(value) => Ok(value.clone()),
                None => ScalarValue::try_from(self.field.data_type()),
            },
            Kind::Contains { negated } => {
                let Some(needle) = needle else {
                    return internal_err!("IN without a value");
                };
                if !needle.is_null() && answer.members.contains(needle) {
                    return Ok(ScalarValue::from(!negated));
                }
                // Of nothing nothing is a member; else a null may be one.
                Ok(
                    match answer.rows > 0 && (answer.has_null || needle.is_null()) {
                        true => ScalarValue::Boolean(None),
                        false => ScalarValue::from(negated),
                    },
                )
            }
        }
    }
}

/// The plan with values in the place of columns of the query around it.
fn with_values(plan: LogicalPlan, outer: &HashMap<&Column, &ScalarValue>) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, _| {
        expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(field, column) => match outer.get(&column) {
                Some(value) => Ok(Transformed::yes(Expr::Literal((*value).clone(), None))),
                None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
            },
            // What a subquery within reads from further out is given now.
            Expr::ScalarSubquery(subquery) => Ok(Transformed::yes(Expr::ScalarSubquery(
                without_outer(subquery, outer),
            ))),
            Expr::Exists(mut exists) => {
                exists.subquery = without_outer(exists.subquery, outer);
                Ok(Transformed::yes(Expr::Exists(exists)))
            }
            Expr::InSubquery(mut within) => {
                within.subquery = without_outer(within.subquery, outer);
                Ok(Transformed::yes(Expr::InSubquery(within)))
            }
            expr => Ok(Transformed::no(expr)),
        })
    })
}

fn without_outer(mut subquery: Subquery, outer: &HashMap<&Column, &ScalarValue>) -> Subquery {
    subquery
        .outer_ref_columns
        .retain(|reference| match reference {
            Expr::OuterReferenceColumn(_, column) => !outer.contains_key(column),
            _ => true,
        });
    subquery
}
