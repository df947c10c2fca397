//! The aggregate that a subquery used as a value is: its one value, null for no row, an error for more.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

/// `only_row(value)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct OnlyRow(Signature);

impl Default for OnlyRow {
    fn default() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl AggregateUDFImpl for OnlyRow {
    fn name(&self) -> &'static str {
        "only_row"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [value] => Ok(value.clone()),
            _ => internal_err!("only_row has one argument"),
        }
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        match fields {
            [value] => Ok(Arc::new(
                value
                    .as_ref()
                    .clone()
                    .with_name(self.name())
                    .with_nullable(true),
            )),
            _ => internal_err!("only_row has one argument"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Only {
            value: ScalarValue::try_from(args.return_field.data_type())?,
            is_there: false,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part, data_type| {
            let name = format_state_name(args.name, part);
            Arc::new(Field::new(name, data_type, true))
        };
        Ok(vec![
            field("value", args.return_type().clone()),
            field("is_there", DataType::Boolean),
        ])
    }
}

#[derive(Debug)]
struct Only {
    value: ScalarValue,
    is_there: bool,
}

impl Only {
    fn take(&mut self, value: ScalarValue) -> Result<()> {
        if self.is_there {
            return exec_err!("more than one row returned by a subquery used as an expression");
        }
        self.value = value;
        self.is_there = true;
        Ok(())
    }
}

impl Accumulator for Only {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else {
            return internal_err!("only_row has one argument");
        };
        for row in 0..values.len() {
            self.take(ScalarValue::try_from_array(values, row)?)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::from(self.is_there)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, are_there] = states else {
            return internal_err!("the state of only_row has two parts");
        };
        for row in 0..values.len() {
            let is_there = ScalarValue::try_from_array(are_there, row)?;
            if is_there == ScalarValue::from(true) {
                self.take(ScalarValue::try_from_array(values, row)?)?;
            }
        }
        Ok(())
    }
}
