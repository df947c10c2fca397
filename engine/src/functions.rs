//! Functions and rules that every statement's planning starts from: DataFusion's, and what Weir does otherwise.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionConfig;

use crate::planning::decimals;

/// The version of PostgreSQL that Weir tells its clients, whose drivers choose their catalog queries by it.
const POSTGRES_VERSION: &str = "16.0";

/// DataFusion's state with Weir's own functions and rules.
pub(crate) fn state(runtime: Arc<RuntimeEnv>, config: SessionConfig) -> Result<SessionState> {
    let mut builder = SessionStateBuilder::new_with_default_features()
        .with_runtime_env(runtime)
        .with_config(config);
    for rule in decimals::analyzer_rules() {
        builder = builder.with_analyzer_rule(rule);
    }
    let mut state = builder.build();
    state.register_expr_planner(Arc::new(decimals::Division))?;
    state.register_udf(Arc::new(ScalarUDF::from(Version::default())))?;
    Ok(state)
}

/// `version()`, which begins as PostgreSQL's does: tools read the number behind that word.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Version(Signature);

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
