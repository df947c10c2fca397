//! `sum` of whole numbers that fails where it overflows; DataFusion's wraps around. Of all other types it is DataFusion's.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator,
    Operator, ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion::physical_expr::NullState;

/// DataFusion's `sum`, with accumulators of its own for whole numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sum(Arc<AggregateUDF>);

impl Default for Sum {
    fn default() -> Self {
        Self(sum_udaf())
    }
}

impl Sum {
    fn inner(&self) -> &dyn AggregateUDFImpl {
        self.0.inner().as_ref()
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.inner().signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner().return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Int64 if !args.is_distinct => Ok(Box::new(Total::<Int64Type>::default())),
            DataType::UInt64 if !args.is_distinct => Ok(Box::new(Total::<UInt64Type>::default())),
            _ => self.inner().accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner().state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Int64 => Ok(Box::new(Totals::<Int64Type>::new())),
            DataType::UInt64 => Ok(Box::new(Totals::<UInt64Type>::new())),
            _ => self.inner().create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Int64 | DataType::UInt64 if !args.is_distinct => self.accumulator(args),
            _ => self.inner().create_sliding_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner().order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner().documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner().set_monotonicity(data_type)
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner()
            .simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner().value_from_stats(statistics)
    }
}

/// A type of whole numbers that sums have.
trait Whole: ArrowPrimitiveType + Send + Sync + Debug {
    const NAME: &'static str;

    fn wide(value: Self::Native) -> i128;
    fn narrow(value: i128) -> Option<Self::Native>;
    /// The wrapped sum, and whether it was wrapped.
    fn add(one: Self::Native, other: Self::Native) -> (Self::Native, bool);
}

impl Whole for Int64Type {
    const NAME: &'static str = "BIGINT";

    fn wide(value: i64) -> i128 {
        value.into()
    }
    fn narrow(value: i128) -> Option<i64> {
        value.try_into().ok()
    }
    fn add(one: i64, other: i64) -> (i64, bool) {
        one.overflowing_add(other)
    }
}

impl Whole for UInt64Type {
    const NAME: &'static str = "BIGINT UNSIGNED";

    fn wide(value: u64) -> i128 {
        value.into()
    }
    fn narrow(value: i128) -> Option<u64> {
        value.try_into().ok()
    }
    fn add(one: u64, other: u64) -> (u64, bool) {
        one.overflowing_add(other)
    }
}

fn overflow<T: Whole>() -> ArrowError {
    ArrowError::ArithmeticOverflow(format!("a sum is out of range for type {}", T::NAME))
}

/// The sum of all rows, or of those in a window's frame.
#[derive(Debug)]
struct Total<T> {
    /// 128 bits hold the sum of more rows than there can be.
    sum: i128,
    count: usize,
    of: std::marker::PhantomData<T>,
}

impl<T> Default for Total<T> {
    fn default() -> Self {
        Self {
            sum: 0,
            count: 0,
            of: std::marker::PhantomData,
        }
    }
}

fn batch_sum<T: Whole>(values: &[ArrayRef]) -> Result<(i128, usize)> {
    let values = column::<T>(values)?;
    let count = values.len() - values.null_count();
    let sum = if values.null_count() == 0 {
        values.values().iter().map(|value| T::wide(*value)).sum()
    } else {
        values.iter().flatten().map(T::wide).sum()
    };
    Ok((sum, count))
}

fn column<T: Whole>(values: &[ArrayRef]) -> Result<&PrimitiveArray<T>> {
    values
        .first()
        .and_then(|values| values.as_primitive_opt::<T>())
        .ok_or_else(|| internal_datafusion_err!("a sum of other values than {}", T::NAME))
}

impl<T: Whole> Accumulator for Total<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = batch_sum::<T>(values)?;
        self.sum += sum;
        self.count += count;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = batch_sum::<T>(values)?;
        self.sum -= sum;
        self.count -= count;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.count > 0)
            .then(|| T::narrow(self.sum).ok_or_else(overflow::<T>))
            .transpose()?;
        ScalarValue::new_primitive::<T>(sum, &T::DATA_TYPE)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sums of groups.
#[derive(Debug)]
struct Totals<T: Whole> {
    sums: Vec<T::Native>,
    nulls: NullState,
}

impl<T: Whole> Totals<T> {
    fn new() -> Self {
        Self {
            sums: Vec::new(),
            nulls: NullState::new(),
        }
    }
}

impl<T: Whole> GroupsAccumulator for Totals<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        groups_count: usize,
    ) -> Result<()> {
        let values = column::<T>(values)?;
        self.sums.resize(groups_count, T::default_value());
        let (sums, mut wrapped) = (&mut self.sums, false);
        self.nulls
            .accumulate(groups, values, filter, groups_count, |group, value| {
                if let Some(sum) = sums.get_mut(group) {
                    let (next, wraps) = T::add(*sum, value);
                    *sum = next;
                    wrapped |= wraps;
                }
            });
        if wrapped {
            return Err(overflow::<T>().into());
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        groups_count: usize,
    ) -> Result<()> {
        self.update_batch(states, groups, None, groups_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let nulls = self.nulls.build(emit_to);
        Ok(Arc::new(PrimitiveArray::<T>::try_new(sums.into(), nulls)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let (_, sums, nulls) = column::<T>(values)?.clone().into_parts();
        let nulls = match filter {
            None => nulls,
            Some(filter) => {
                let (passes, unknown) = filter.clone().into_parts();
                let passes = match unknown {
                    Some(unknown) => unknown.inner() & &passes,
                    None => passes,
                };
                NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::new(passes)))
            }
        };
        Ok(vec![Arc::new(PrimitiveArray::<T>::try_new(sums, nulls)?)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.nulls.size()
    }
}
