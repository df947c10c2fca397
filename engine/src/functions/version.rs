//! `version()`.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::variables::POSTGRES_VERSION;

/// `version()`, which begins as PostgreSQL's does: tools read the number behind that word.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Version(Signature);

impl Default for Version {
    fn default() -> Self {
        Self(Signature::nullary(Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Version {
    fn name(&self) -> &str {
        "version"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = format!(
            "PostgreSQL {POSTGRES_VERSION} (Weir {}) on {}-{}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH,
            std::env::consts::OS
        );
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(text))))
    }
}
