//! Totals of exact numbers that hold every sum on the way, so that whether the end is out of range depends on no order.
//!
//! In: values of a [`Summed`] type. Out: their sum, or 22003. A total is 128 bits wide, and counts how often it has
//! wrapped; only decimals can make it wrap.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Field, Int64Type, UInt64Type, i256,
};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::NullState;

/// A type whose values have exact sums.
pub(super) trait Exact: ArrowPrimitiveType<Native: Eq + Hash> + Send + Sync + Debug {
    fn wide(value: Self::Native) -> i128;
    /// The total as a value of `data_type`, unless that cannot hold it.
    fn narrow(total: i128, data_type: &DataType) -> Option<Self::Native>;
}

/// How the values of a type are summed, and the type that a total has between partial and final aggregation.
pub(super) trait Summed: Send + Sync + Debug + 'static {
    type Value: Exact;
    type State: ArrowPrimitiveType + Send + Sync + Debug;
    const STATE: DataType;
    /// Whether a total may be wider than 128 bits.
    const WRAPS: bool;

    fn state(total: Wide) -> <Self::State as ArrowPrimitiveType>::Native;
    fn of_state(state: <Self::State as ArrowPrimitiveType>::Native) -> Wide;
}

/// Values of which 10¹¹ do not reach 2¹²⁷: whole numbers of 64 bits, decimals of up to 27 digits.
#[derive(Debug)]
pub(super) struct Short<V>(PhantomData<V>);

/// Decimals of any number of digits.
#[derive(Debug)]
pub(super) struct Long<V>(PhantomData<V>);

impl<V: Exact> Summed for Short<V> {
    type Value = V;
    type State = Decimal128Type;
    const STATE: DataType = DataType::Decimal128(38, 0);
    const WRAPS: bool = false;

    fn state(total: Wide) -> i128 {
        total.low
    }
    fn of_state(state: i128) -> Wide {
        state.into()
    }
}

impl<V: Exact> Summed for Long<V> {
    type Value = V;
    type State = Decimal256Type;
    const STATE: DataType = DataType::Decimal256(76, 0);
    const WRAPS: bool = true;

    fn state(total: Wide) -> i256 {
        let sign = i128::from(total.low < 0);
        i256::from_parts(total.low.cast_unsigned(), i128::from(total.wraps) - sign)
    }
    fn of_state(state: i256) -> Wide {
        let (low, high) = state.to_parts();
        let low = low.cast_signed();
        // A state was made of a total, whose wraps fit.
        let wraps = i64::try_from(high + i128::from(low < 0)).unwrap_or(i64::MAX);
        Wide { low, wraps }
    }
}

/// A total: `wraps` × 2¹²⁸ + `low`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    low: i128,
    wraps: i64,
}

impl Wide {
    fn add(&mut self, other: Self) {
        let (low, wrapped) = self.low.overflowing_add(other.low);
        self.low = low;
        self.wraps += other.wraps + i64::from(wrapped) * if other.low < 0 { -1 } else { 1 };
    }

    fn subtract(&mut self, other: Self) {
        let (low, wrapped) = self.low.overflowing_sub(other.low);
        self.low = low;
        self.wraps += i64::from(wrapped) * if other.low < 0 { 1 } else { -1 } - other.wraps;
    }

    fn exact(self) -> Option<i128> {
        (self.wraps == 0).then_some(self.low)
    }
}

impl From<i128> for Wide {
    fn from(low: i128) -> Self {
        Self { low, wraps: 0 }
    }
}

macro_rules! exact_integer {
    ($type:ty) => {
        impl Exact for $type {
            fn wide(value: Self::Native) -> i128 {
                value.into()
            }
            fn narrow(total: i128, _: &DataType) -> Option<Self::Native> {
                total.try_into().ok()
            }
        }
    };
}

exact_integer!(Int64Type);
exact_integer!(UInt64Type);

/// Decimals, as their digits without the point.
macro_rules! exact_decimal {
    ($type:ty) => {
        impl Exact for $type {
            fn wide(value: Self::Native) -> i128 {
                value.into()
            }
            fn narrow(total: i128, data_type: &DataType) -> Option<Self::Native> {
                let (DataType::Decimal32(precision, _)
                | DataType::Decimal64(precision, _)
                | DataType::Decimal128(precision, _)) = data_type
                else {
                    return None;
                };
                let bound = 10_i128.checked_pow((*precision).into())?;
                let fits = -bound < total && total < bound;
                fits.then(|| total.try_into().ok()).flatten()
            }
        }
    };
}

exact_decimal!(Decimal32Type);
exact_decimal!(Decimal64Type);
exact_decimal!(Decimal128Type);

fn overflow(data_type: &DataType) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!(
        "a sum is out of range for type {}",
        crate::sql_types::sql_name(data_type)
    ))
}

fn column<T: ArrowPrimitiveType>(columns: &[ArrayRef]) -> Result<&PrimitiveArray<T>> {
    columns
        .first()
        .and_then(|values| values.as_primitive_opt::<T>())
        .ok_or_else(|| internal_datafusion_err!("a sum of other values than {}", T::DATA_TYPE))
}

fn narrowed<V: Exact>(total: Wide, data_type: &DataType) -> Result<V::Native> {
    let sum = total.exact().and_then(|sum| V::narrow(sum, data_type));
    Ok(sum.ok_or_else(|| overflow(data_type))?)
}

fn value<V: Exact>(total: Option<Wide>, data_type: &DataType) -> Result<ScalarValue> {
    let sum = total
        .map(|total| narrowed::<V>(total, data_type))
        .transpose()?;
    ScalarValue::new_primitive::<V>(sum, data_type)
}

/// The sum of all rows, or of those in a window's frame.
#[derive(Debug)]
pub(super) struct Total<T> {
    sum: Wide,
    count: usize,
    data_type: DataType,
    of: PhantomData<T>,
}

impl<T> Total<T> {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            sum: Wide::default(),
            count: 0,
            data_type: data_type.clone(),
            of: PhantomData,
        }
    }
}

impl<T: Summed> Accumulator for Total<T> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let values = column::<T::Value>(columns)?;
        self.count += values.len() - values.null_count();
        if values.null_count() == 0 {
            for value in values.values() {
                self.sum.add(T::Value::wide(*value).into());
            }
        } else {
            for value in values.iter().flatten() {
                self.sum.add(T::Value::wide(value).into());
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in column::<T::State>(states)?.iter().flatten() {
            self.sum.add(T::of_state(state));
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for value in column::<T::Value>(columns)?.iter().flatten() {
            self.sum.subtract(T::Value::wide(value).into());
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = (self.count > 0).then(|| T::state(self.sum));
        Ok(vec![ScalarValue::new_primitive::<T::State>(
            state,
            &T::STATE,
        )?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        value::<T::Value>((self.count > 0).then_some(self.sum), &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// A sum from which rows are taken again, also after it was saved: its state tells of how many rows it is, too.
#[derive(Debug)]
pub(super) struct SlidingTotal<T>(Total<T>);

impl<T> SlidingTotal<T> {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self(Total::new(data_type))
    }
}

impl<T: Summed> Accumulator for SlidingTotal<T> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(columns)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = states else {
            return Err(internal_datafusion_err!("a sliding sum has two states"));
        };
        let sums = column::<T::State>(std::slice::from_ref(sums))?;
        let counts = column::<UInt64Type>(std::slice::from_ref(counts))?;
        for (sum, count) in sums.iter().zip(counts) {
            if let (Some(sum), Some(count)) = (sum, count) {
                self.0.sum.add(T::of_state(sum));
                self.0.count += usize::try_from(count)
                    .map_err(|_| internal_datafusion_err!("a sum of {count} rows"))?;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(columns)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut states = self.0.state()?;
        states.push(ScalarValue::UInt64(Some(self.0.count as u64)));
        Ok(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// The sum of the different values among all rows, or among those in a window's frame.
#[derive(Debug)]
pub(super) struct DistinctTotal<V: Exact> {
    /// How often each value is among the rows.
    values: HashMap<V::Native, u64>,
    data_type: DataType,
}

impl<V: Exact> DistinctTotal<V> {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            values: HashMap::new(),
            data_type: data_type.clone(),
        }
    }
}

impl<V: Exact> Accumulator for DistinctTotal<V> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for value in column::<V>(columns)?.iter().flatten() {
            *self.values.entry(value).or_default() += 1;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states
            .first()
            .and_then(|lists| lists.as_list_opt::<i32>())
            .ok_or_else(|| internal_datafusion_err!("a state of another aggregate"))?;
        for list in lists.iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for value in column::<V>(columns)?.iter().flatten() {
            if let Entry::Occupied(mut entry) = self.values.entry(value) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = PrimitiveArray::<V>::from_iter_values(self.values.keys().copied())
            .with_data_type(self.data_type.clone());
        let list = ListArray::try_new(
            Arc::new(Field::new_list_field(self.data_type.clone(), true)),
            OffsetBuffer::from_lengths([values.len()]),
            Arc::new(values),
            None,
        )?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = Wide::default();
        for value in self.values.keys() {
            sum.add(V::wide(*value).into());
        }
        let total = (!self.values.is_empty()).then_some(sum);
        value::<V>(total, &self.data_type)
    }

    fn size(&self) -> usize {
        // A byte of control is kept beside each entry.
        size_of_val(self) + self.values.capacity() * (size_of::<(V::Native, u64)>() + 1)
    }
}

/// The sums of groups.
#[derive(Debug)]
pub(super) struct Totals<T: Summed> {
    low: Vec<i128>,
    /// As long as `low`, or empty while no sum has wrapped.
    wraps: Vec<i64>,
    nulls: NullState,
    data_type: DataType,
    of: PhantomData<T>,
}

impl<T: Summed> Totals<T> {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            low: Vec::new(),
            wraps: Vec::new(),
            nulls: NullState::new(),
            data_type: data_type.clone(),
            of: PhantomData,
        }
    }

    /// Adds each value to its group's sum.
    fn add<V: ArrowPrimitiveType + Send>(
        &mut self,
        values: &PrimitiveArray<V>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        groups_count: usize,
        wide: impl Fn(V::Native) -> Wide + Sync,
    ) {
        self.low.resize(groups_count, 0);
        if !self.wraps.is_empty() {
            self.wraps.resize(groups_count, 0);
        }
        let (lows, wraps) = (&mut self.low, &mut self.wraps);
        self.nulls
            .accumulate(groups, values, filter, groups_count, |group, value| {
                let Some(low) = lows.get_mut(group) else {
                    return;
                };
                if !T::WRAPS {
                    *low = low.wrapping_add(wide(value).low);
                    return;
                }
                let mut sum = Wide::from(*low);
                sum.add(wide(value));
                *low = sum.low;
                if sum.wraps != 0 {
                    wraps.resize(groups_count, 0);
                    if let Some(count) = wraps.get_mut(group) {
                        *count += sum.wraps;
                    }
                }
            });
    }

    /// The totals of the groups to emit, and which of them have no value.
    fn take(&mut self, emit_to: EmitTo) -> (impl Iterator<Item = Wide>, Option<NullBuffer>) {
        let lows = emit_to.take_needed(&mut self.low);
        let wraps = if self.wraps.is_empty() {
            vec![0; lows.len()]
        } else {
            emit_to.take_needed(&mut self.wraps)
        };
        let totals = lows
            .into_iter()
            .zip(wraps)
            .map(|(low, wraps)| Wide { low, wraps });
        (totals, self.nulls.build(emit_to))
    }
}

impl<T: Summed> GroupsAccumulator for Totals<T> {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        groups_count: usize,
    ) -> Result<()> {
        let wide = |value| T::Value::wide(value).into();
        self.add(
            column::<T::Value>(columns)?,
            groups,
            filter,
            groups_count,
            wide,
        );
        Ok(())
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        groups_count: usize,
    ) -> Result<()> {
        let states = column::<T::State>(states)?;
        self.add(states, groups, None, groups_count, T::of_state);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let data_type = self.data_type.clone();
        let (totals, nulls) = self.take(emit_to);
        // A group without a value has the total 0.
        let sums = totals
            .map(|total| narrowed::<T::Value>(total, &data_type))
            .collect::<Result<Vec<_>>>()?;
        let sums = PrimitiveArray::<T::Value>::try_new(sums.into(), nulls)?;
        Ok(Arc::new(sums.with_data_type(data_type)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (totals, nulls) = self.take(emit_to);
        let totals: Vec<_> = totals.map(T::state).collect();
        let totals = PrimitiveArray::<T::State>::try_new(totals.into(), nulls)?;
        Ok(vec![Arc::new(totals.with_data_type(T::STATE))])
    }

    fn convert_to_state(
        &self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = column::<T::Value>(columns)?;
        let passes = filter.map(|filter| {
            let (passes, unknown) = filter.clone().into_parts();
            match unknown {
                Some(known) => NullBuffer::new(known.inner() & &passes),
                None => NullBuffer::new(passes),
            }
        });
        let nulls = NullBuffer::union(values.nulls(), passes.as_ref());
        let totals = values.values().iter();
        let totals: Vec<_> = totals
            .map(|value| T::state(T::Value::wide(*value).into()))
            .collect();
        let totals = PrimitiveArray::<T::State>::try_new(totals.into(), nulls)?;
        Ok(vec![Arc::new(totals.with_data_type(T::STATE))])
    }

    fn size(&self) -> usize {
        self.low.capacity() * size_of::<i128>()
            + self.wraps.capacity() * size_of::<i64>()
            + self.nulls.size()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EDGES: [i128; 6] = [i128::MIN, i128::MIN + 1, -1, 0, 1, i128::MAX];

    fn number() -> impl Strategy<Value = i128> {
        prop_oneof![any::<i128>(), proptest::sample::select(&EDGES[..])]
    }

    proptest! {
        #[test]
        fn a_total_is_the_sum_in_256_bits(
            added in proptest::collection::vec(number(), 0..50),
            taken in proptest::collection::vec(number(), 0..50),
        ) {
            let mut total = Wide::default();
            let mut exact = i256::ZERO;
            for value in added {
                total.add(value.into());
                exact = exact.wrapping_add(i256::from_i128(value));
            }
            for value in taken {
                total.subtract(value.into());
                exact = exact.wrapping_sub(i256::from_i128(value));
            }
            prop_assert_eq!(Long::<Decimal128Type>::state(total), exact);
            prop_assert_eq!(Long::<Decimal128Type>::of_state(exact), total);
            let mut doubled = total;
            doubled.add(total);
            prop_assert_eq!(Long::<Decimal128Type>::state(doubled), exact.wrapping_add(exact));
            doubled.subtract(total);
            prop_assert_eq!(doubled, total);
        }

        #[test]
        fn groups_in_any_partition_and_order_have_the_same_sums(
            rows in proptest::collection::vec((0..4_usize, proptest::option::of(number())), 1..60),
            cut in 0..60_usize,
        ) {
            let data_type = DataType::Decimal128(38, 0);
            let sums = |parts: &[&[(usize, Option<i128>)]]| {
                let mut whole = Totals::<Long<Decimal128Type>>::new(&data_type);
                for part in parts {
                    // Each group has a row, as the caller promises.
                    let part: Vec<_> = (0..4).map(|group| (group, None)).chain(part.iter().copied()).collect();
                    let groups: Vec<_> = part.iter().map(|(group, _)| *group).collect();
                    let values: ArrayRef = Arc::new(
                        PrimitiveArray::<Decimal128Type>::from_iter(part.iter().map(|(_, value)| *value)),
                    );
                    let mut partial = Totals::<Long<Decimal128Type>>::new(&data_type);
                    partial.update_batch(&[values], &groups, None, 4).unwrap();
                    let states = partial.state(EmitTo::All).unwrap();
                    whole.merge_batch(&states, &[0, 1, 2, 3], 4).unwrap();
                }
                whole.state(EmitTo::All).unwrap()
            };
            let backwards: Vec<_> = rows.iter().rev().copied().collect();
            let (one, two) = rows.split_at(cut.min(rows.len()));
            let whole = sums(&[&rows]);
            prop_assert_eq!(&whole, &sums(&[one, two]));
            prop_assert_eq!(&whole, &sums(&[&backwards]));
        }
    }

    #[test]
    fn a_sum_may_leave_the_range_and_come_back() {
        let values: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from_iter_values([
            i64::MAX,
            i64::MAX,
            -i64::MAX,
        ]));
        let mut groups = Totals::<Short<Int64Type>>::new(&DataType::Int64);
        groups
            .update_batch(&[Arc::clone(&values)], &[0, 0, 0], None, 1)
            .unwrap();
        let sums = groups.evaluate(EmitTo::All).unwrap();
        assert_eq!(sums.as_primitive::<Int64Type>().value(0), i64::MAX);
        let mut total = Total::<Short<Int64Type>>::new(&DataType::Int64);
        total.update_batch(&[Arc::clone(&values)]).unwrap();
        assert_eq!(
            total.evaluate().unwrap(),
            ScalarValue::Int64(Some(i64::MAX))
        );
        total.retract_batch(&[values.slice(2, 1)]).unwrap();
        assert!(total.evaluate().is_err());
    }

    #[test]
    fn rows_are_taken_from_a_sum_that_was_saved() {
        let values: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(vec![
            Some(5),
            None,
            Some(7),
        ]));
        let mut total = SlidingTotal::<Short<Int64Type>>::new(&DataType::Int64);
        total.update_batch(&[Arc::clone(&values)]).unwrap();
        let states = total.state().unwrap();
        let states = states.iter().map(|state| state.to_array().unwrap());
        let mut saved = SlidingTotal::<Short<Int64Type>>::new(&DataType::Int64);
        saved.merge_batch(&states.collect::<Vec<_>>()).unwrap();
        saved.retract_batch(&[values.slice(0, 2)]).unwrap();
        assert_eq!(saved.evaluate().unwrap(), ScalarValue::Int64(Some(7)));
        saved.retract_batch(&[values.slice(2, 1)]).unwrap();
        assert_eq!(saved.evaluate().unwrap(), ScalarValue::Int64(None));
    }

    #[test]
    fn different_values_are_summed_once_through_a_state() {
        let data_type = DataType::Decimal128(38, 2);
        let values = |values: Vec<i128>| {
            let values = PrimitiveArray::<Decimal128Type>::from_iter_values(values);
            Arc::new(values.with_data_type(data_type.clone())) as ArrayRef
        };
        let mut one = DistinctTotal::<Decimal128Type>::new(&data_type);
        one.update_batch(&[values(vec![5, 5, 7])]).unwrap();
        let mut other = DistinctTotal::<Decimal128Type>::new(&data_type);
        other.update_batch(&[values(vec![7, 9])]).unwrap();
        let state: Vec<_> = other.state().unwrap();
        let state = state.iter().map(|state| state.to_array().unwrap());
        one.merge_batch(&state.collect::<Vec<_>>()).unwrap();
        let sum = ScalarValue::Decimal128(Some(21), 38, 2);
        assert_eq!(one.evaluate().unwrap(), sum);
        one.retract_batch(&[values(vec![5, 9])]).unwrap();
        let sum = ScalarValue::Decimal128(Some(12), 38, 2);
        assert_eq!(one.evaluate().unwrap(), sum);
    }
}
