//! Functions and rules that every statement's planning starts from: DataFusion's, and what Weir does otherwise.

pub(crate) mod postgres;
mod sum;
mod totals;
mod version;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionConfig;

use crate::planning::decimals;
pub(crate) use version::POSTGRES_VERSION;

/// DataFusion's state with Weir's own functions and rules.
pub(crate) fn state(runtime: Arc<RuntimeEnv>, config: SessionConfig) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_runtime_env(runtime)
        .with_config(config)
        .with_analyzer_rule(Arc::new(decimals::Values))
        .build();
    state.register_expr_planner(Arc::new(decimals::Division))?;
    state.register_udf(Arc::new(ScalarUDF::from(version::Version::default())))?;
    postgres::register(&mut state)?;
    state.register_udaf(Arc::new(AggregateUDF::from(sum::Sum::default())))?;
    Ok(state)
}
