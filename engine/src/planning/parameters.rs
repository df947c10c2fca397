//! `$1`, `$2`, … in a plan: which types their places ask for, and their values filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use weir_base::SqlState;

use super::bytea;
use crate::error::{Error, Result};
use crate::functions;
use crate::sql_types::sql_name;

/// The type of each parameter of a plan, in order: what the client said, else what its first place asks for, else text.
///
/// # Errors
/// 42P02 for a parameter that has no number.
pub(crate) fn parameter_types(
    plan: &LogicalPlan,
    hints: &[Option<DataType>],
) -> Result<Vec<DataType>> {
    let wanted = wanted(plan)?.max(hints.len());
    let mut inferred = inferred(plan)?;
    for (number, data_type) in cast_to(plan)? {
        inferred.entry(number).or_insert(data_type);
    }
    Ok((1..=wanted)
        .map(|number| {
            let hint = hints.get(number - 1).cloned().flatten();
            hint.or_else(|| inferred.remove(&number))
                .unwrap_or(DataType::Utf8View)
        })
        .collect())
}

/// A plan whose parameters are nulls of these types: it has the columns that it would have with values.
pub(crate) fn with_unknown_parameters(
    plan: LogicalPlan,
    types: &[DataType],
) -> Result<LogicalPlan> {
    if types.is_empty() {
        return Ok(plan);
    }
    let nulls = types.iter().map(ScalarValue::try_from);
    let nulls = nulls.collect::<datafusion::common::Result<Vec<_>>>()?;
    Ok(plan.with_param_values(ParamValues::from(nulls))?)
}

/// The highest number of a parameter.
fn wanted(plan: &LogicalPlan) -> Result<usize> {
    let names = plan.get_parameter_names()?;
    let mut highest = 0;
    for name in &names {
        let number = number(name).ok_or_else(|| {
            Error::invalid(SqlState("42P02"), format!("parameter {name} has no number"))
                .with_hint("write parameters as $1, $2, …")
        })?;
        highest = highest.max(number);
    }
    Ok(highest)
}

pub(super) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok()
}

/// The types that the places of parameters ask for. Where one stands in several places the first counts, as in PostgreSQL.
fn inferred(plan: &LogicalPlan) -> Result<BTreeMap<usize, DataType>> {
    let mut types = BTreeMap::new();
    let mut note = |placeholder: &Placeholder, data_type: Option<DataType>| {
        if let (Some(number), Some(data_type)) = (number(&placeholder.id), data_type)
            && data_type != DataType::Null
        {
            types.entry(number).or_insert(data_type);
        }
    };
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Limit(limit) = plan {
            for bound in [&limit.skip, &limit.fetch].into_iter().flatten() {
                bound.apply(|expr| {
                    if let Expr::Placeholder(placeholder) = expr {
                        note(placeholder, Some(DataType::Int64));
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(placeholder) => {
                        let field = placeholder.field.as_ref();
                        note(placeholder, field.map(|field| field.data_type().clone()));
                    }
                    // `x = ANY($1)`, which a subquery of it may have become.
                    Expr::ScalarFunction(ScalarFunction { func, args }) => {
                        let (array, item) = match (func.name(), args.as_slice()) {
                            ("array_has", [array, item]) => (array, item),
                            (name, [item, array]) if functions::is_quantified(name) => {
                                (array, item)
                            }
                            _ => return Ok(TreeNodeRecursion::Continue),
                        };
                        if let Expr::Placeholder(array) = array
                            && array.field.is_none()
                        {
                            note(array, list_of(item, plan));
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}

/// The types that parameters are cast to where they stand: `$1::int`. Only who asks for types is told these: a value that comes as
/// text is left to the cast, which reads it as the session does.
fn cast_to(plan: &LogicalPlan) -> Result<BTreeMap<usize, DataType>> {
    let mut types = BTreeMap::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(cast) = expr
                    && let Expr::Placeholder(placeholder) = cast.expr.as_ref()
                    && let Some(number) = number(&placeholder.id)
                {
                    types
                        .entry(number)
                        .or_insert_with(|| cast.field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}

/// The type of arrays of what an expression gives.
fn list_of(item: &Expr, plan: &LogicalPlan) -> Option<DataType> {
    use datafusion::logical_expr::ExprSchemable;
    let inputs = plan.inputs();
    let mut schemas = inputs.iter().map(|input| input.schema());
    let item = schemas.find_map(|schema| item.get_type(schema).ok())?;
    let is_known = item != DataType::Null;
    is_known.then(|| DataType::List(Field::new_list_field(item, true).into()))
}

/// How many parameters a plan has, and what their places ask for.
#[derive(Debug, Clone)]
pub(crate) struct ParameterTypes {
    wanted: usize,
    inferred: BTreeMap<usize, DataType>,
    /// Whether the values are those of literals in whose places the parameters were put.
    of_literals: bool,
}

impl ParameterTypes {
    /// Those of a plan.
    ///
    /// # Errors
    /// 42P02 for a parameter that has no number.
    pub(super) fn of(plan: &LogicalPlan) -> Result<Self> {
        Ok(Self {
            wanted: wanted(plan)?,
            inferred: inferred(plan)?,
            of_literals: false,
        })
    }

    /// For parameters that were put in the places of literals: a value has to mean in its place what the literal does.
    pub(super) fn of_literals(self) -> Self {
        Self {
            of_literals: true,
            ..self
        }
    }

    /// Which of the values of literals cannot be parameters, whatever they are: what they are compared with has no such type.
    pub(super) fn misfits(&self, values: &[ScalarValue]) -> Vec<usize> {
        let values = values.iter().enumerate();
        let misfits = values.filter(|(at, value)| {
            let compared_with = self.inferred.get(&(at + 1));
            !compared_with.is_some_and(|wanted| is_as_literal(value, wanted))
        });
        misfits.map(|(at, _)| at).collect()
    }

    /// The values that the plan is run with. One takes the type that its place asks for, where the planner knows it.
    ///
    /// # Errors
    /// 42P02 when there are fewer values than the text names, 22023 when there are more, 22P02 for a text that is none of its type;
    /// 0A000 for the value of a literal that may mean something else as a parameter.
    pub(crate) fn settled(&self, parameters: &[ScalarValue]) -> Result<Vec<ScalarValue>> {
        let wanted = self.wanted;
        if wanted > parameters.len() {
            return Err(Error::invalid(
                SqlState("42P02"),
                format!(
                    "the statement has parameter ${wanted}, but {} values were given",
                    parameters.len()
                ),
            ));
        }
        if parameters.len() > wanted {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!(
                    "{} values were given, but the statement has {wanted} parameters",
                    parameters.len()
                ),
            ));
        }
        let values = parameters.iter().enumerate().map(|(at, value)| {
            let number = at + 1;
            if self.of_literals {
                return of_literal(value, self.inferred.get(&number));
            }
            match self.inferred.get(&number) {
                Some(wanted) if matches!(value, ScalarValue::Utf8View(None)) => {
                    Ok(ScalarValue::try_from(wanted)?)
                }
                // Text alone is read as that type; a number is converted by the query's own rules.
                Some(wanted)
                    if matches!(value, ScalarValue::Utf8View(Some(_)))
                        && *wanted != value.data_type() =>
                {
                    if let Some(bytes) = bytea::of_literal(value, wanted)? {
                        return Ok(bytes);
                    }
                    value.cast_to(wanted).map_err(|_| {
                        Error::invalid(
                            SqlState::INVALID_TEXT_REPRESENTATION,
                            format!(
                                "parameter ${number} is {value}, which is not a valid {}",
                                sql_name(wanted)
                            ),
                        )
                    })
                }
                _ => Ok(value.clone()),
            }
        });
        values.collect()
    }
}

/// Whether a literal means the same as a parameter of a type that it is compared with: a number among numbers, a text among texts.
fn is_as_literal(value: &ScalarValue, compared_with: &DataType) -> bool {
    match value {
        ScalarValue::Int64(_) => {
            compared_with.is_signed_integer() || *compared_with == DataType::Float64
        }
        _ => compared_with.is_string(),
    }
}

/// A literal's value as the type of what it is compared with.
fn of_literal(value: &ScalarValue, compared_with: Option<&DataType>) -> Result<ScalarValue> {
    let is_exact = |wanted: &DataType| match value {
        ScalarValue::Int64(Some(number)) if *wanted == DataType::Float64 => {
            number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS
        }
        _ => true,
    };
    let value = compared_with
        .filter(|wanted| is_as_literal(value, wanted) && is_exact(wanted))
        .and_then(|wanted| value.cast_to(wanted).ok());
    value.ok_or_else(|| Error::unsupported("the literal means something else as a parameter"))
}

/// Fills in `$1`, `$2`, …
///
/// # Errors
/// As [`ParameterTypes::settled`].
pub(super) fn with_parameters(
    plan: LogicalPlan,
    parameters: &[ScalarValue],
) -> Result<LogicalPlan> {
    let types = ParameterTypes::of(&plan)?;
    let values = types.settled(parameters)?;
    match values.is_empty() {
        true => Ok(plan),
        false => Ok(plan.with_param_values(ParamValues::from(values))?),
    }
}

/// A plan whose parameters have the types of these values, and stay open.
///
/// # Errors
/// When the plan is none with these types.
pub(super) fn typed(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
    let plan = replaced(plan, |Placeholder { id, .. }| {
        let value = number(&id).and_then(|number| values.get(number.checked_sub(1)?));
        let field = value.map(|value| Arc::new(Field::new(&id, value.data_type(), true)));
        Ok(Expr::Placeholder(Placeholder { id, field }))
    })?;
    Ok(plan)
}

/// A plan with another expression in the place of each parameter; the columns keep their names.
pub(super) fn replaced(
    plan: LogicalPlan,
    by: impl Fn(Placeholder) -> PlanResult<Expr>,
) -> PlanResult<LogicalPlan> {
    plan.transform_up(|node| {
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| match expr {
                Expr::Placeholder(placeholder) => Ok(Transformed::yes(by(placeholder)?)),
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        match node.transformed {
            true => node.map_data(LogicalPlan::recompute_schema),
            false => Ok(node),
        }
    })
    .data()
}
