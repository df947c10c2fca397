//! `$1`, `$2`, … in a plan that is run again and again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use parking_lot::RwLock;

/// The values of a plan's parameters in its present run, in order.
#[derive(Debug, Default)]
pub(crate) struct Values(RwLock<Vec<ScalarValue>>);

impl Values {
    /// Sets those of the next run.
    pub(crate) fn set(&self, values: Vec<ScalarValue>) {
        *self.0.write() = values;
    }
}

/// A parameter: a function without arguments that gives its value in the present run.
#[derive(Debug)]
pub(crate) struct Parameter {
    name: String,
    /// Its place among the values.
    at: usize,
    data_type: DataType,
    values: Arc<Values>,
    signature: Signature,
}

impl Parameter {
    pub(crate) fn new(at: usize, data_type: DataType, values: &Arc<Values>) -> Self {
        Self {
            name: format!("${}", at + 1),
            at,
            data_type,
            values: Arc::clone(values),
            // It differs from run to run, so no rule may compute it.
            signature: Signature::nullary(Volatility::Volatile),
        }
    }
}

impl PartialEq for Parameter {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && Arc::ptr_eq(&self.values, &other.values)
    }
}

impl Eq for Parameter {}

impl Hash for Parameter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.at.hash(state);
    }
}

impl ScalarUDFImpl for Parameter {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.values.0.read().get(self.at) {
            Some(value) => Ok(ColumnarValue::Scalar(value.clone())),
            None => internal_err!("{} has no value in this run", self.name),
        }
    }
}
