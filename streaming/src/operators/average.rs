//! The average of whole numbers, from which rows can be taken again.
//!
//! DataFusion averages whole numbers as doubles, whose sum does not come back to what it was once a large number was in it. Whole numbers
//! are summed here, so that what rows came and went before makes no difference.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, Schema, UInt64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::expressions::CastExpr;
use datafusion::physical_plan::PhysicalExpr;

/// The whole number that is averaged, where the arguments of `avg` are a whole number made a double.
pub(super) fn whole_number(
    arguments: &[Arc<dyn PhysicalExpr>],
    schema: &Schema,
) -> Option<Arc<dyn PhysicalExpr>> {
    let [argument] = arguments else {
        return None;
    };
    let double = argument.downcast_ref::<CastExpr>()?;
    let number = double.expr();
    let is_whole = number
        .data_type(schema)
        .is_ok_and(|number| number.is_integer());
    (is_whole && double.cast_type() == &DataType::Float64).then(|| Arc::clone(number))
}

/// A sum, and of how many.
#[derive(Debug, Default)]
pub(super) struct WholeAverage {
    sum: i128,
    count: u64,
}

impl WholeAverage {
    /// The sum of some numbers, and how many are not null.
    fn of(values: &[ArrayRef]) -> Result<Self> {
        let [values] = values else {
            return Err(DataFusionError::Internal(
                "an average is of one column".to_owned(),
            ));
        };
        let sum = match values.data_type() {
            DataType::UInt64 => {
                let values = values.as_primitive::<UInt64Type>().iter().flatten();
                values.map(i128::from).sum()
            }
            _ => {
                let values = cast(values, &DataType::Int64)?;
                let values = values.as_primitive::<Int64Type>().iter().flatten();
                values.map(i128::from).sum()
            }
        };
        Ok(Self {
            sum,
            count: (values.len() - values.logical_null_count()) as u64,
        })
    }
}

impl Accumulator for WholeAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let of = Self::of(values)?;
        self.sum += of.sum;
        self.count += of.count;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let of = Self::of(values)?;
        let unknown = || DataFusionError::Internal("a value goes that never came".to_owned());
        self.sum -= of.sum;
        self.count = self.count.checked_sub(of.count).ok_or_else(unknown)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let average = (self.count > 0).then(|| self.sum as f64 / self.count as f64);
        Ok(ScalarValue::Float64(average))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        // The sum of as many numbers as there can be has at most 38 digits.
        Ok(vec![
            ScalarValue::Decimal128(Some(self.sum), 38, 0),
            ScalarValue::UInt64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = states else {
            return Err(DataFusionError::Internal(
                "an average has two states".to_owned(),
            ));
        };
        self.sum += sums
            .as_primitive::<Decimal128Type>()
            .iter()
            .flatten()
            .sum::<i128>();
        self.count += counts
            .as_primitive::<UInt64Type>()
            .iter()
            .flatten()
            .sum::<u64>();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array};

    use super::*;

    fn numbers(numbers: &[Option<i64>]) -> [ArrayRef; 1] {
        [Arc::new(Int64Array::from(numbers.to_vec()))]
    }

    #[test]
    fn what_came_and_went_leaves_no_trace() {
        let mut average = WholeAverage::default();
        assert_eq!(average.evaluate().unwrap(), ScalarValue::Float64(None));
        average
            .update_batch(&numbers(&[Some(1), None, Some(2)]))
            .unwrap();
        average.update_batch(&numbers(&[Some(i64::MAX)])).unwrap();
        average
            .retract_batch(&numbers(&[Some(i64::MAX), None]))
            .unwrap();
        assert_eq!(average.evaluate().unwrap(), ScalarValue::Float64(Some(1.5)));
        average
            .retract_batch(&numbers(&[Some(1), Some(2)]))
            .unwrap();
        assert_eq!(average.evaluate().unwrap(), ScalarValue::Float64(None));
        assert!(average.retract_batch(&numbers(&[Some(1)])).is_err());
    }

    #[test]
    fn its_state_is_all_of_it() {
        let mut average = WholeAverage::default();
        let small: [ArrayRef; 1] = [Arc::new(Int32Array::from(vec![-7, 2]))];
        average.update_batch(&small).unwrap();
        let states = average.state().unwrap();
        let states = states.iter().map(|state| state.to_array().unwrap());
        let mut other = WholeAverage::default();
        other.merge_batch(&states.collect::<Vec<_>>()).unwrap();
        assert_eq!(other.evaluate().unwrap(), ScalarValue::Float64(Some(-2.5)));
    }
}
