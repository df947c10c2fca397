//! Functions and rules that every statement's planning starts from: DataFusion's, and what Weir does otherwise.
//!
//! Functions of PostgreSQL are [`define::Definition`]s, a folder or file for each subject. Those whose names nobody writes are
//! what `planning/postgres` writes other forms as.

mod arrays;
mod clock;
mod dates;
mod define;
pub(crate) mod json;
mod numbers;
mod only_row;
mod patterns;
pub(crate) mod postgres;
pub(crate) mod read_moment;
mod regexes;
mod series;
pub(crate) mod shown;
mod sum;
mod texts;
mod totals;
mod version;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::common::{Result, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ScalarUDF};
use datafusion::prelude::SessionConfig;
use weir_streaming::AsOfPlanner;

use self::define::Definition;
pub(crate) use self::only_row::OnlyRow;
use crate::planning::{Operators, decimals};

/// DataFusion's state with Weir's own functions and rules.
pub(crate) fn state(runtime: Arc<RuntimeEnv>, config: SessionConfig) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_runtime_env(runtime)
        .with_config(config)
        .with_analyzer_rule(Arc::new(decimals::Values))
        .with_query_planner(Arc::new(AsOfPlanner))
        .build();
    state.register_expr_planner(Arc::new(Operators))?;
    state.register_expr_planner(Arc::new(decimals::Division))?;
    state.register_udf(Arc::new(ScalarUDF::from(version::Version::default())))?;
    postgres::register(&mut state)?;
    state.register_udaf(Arc::new(AggregateUDF::from(sum::Sum::default())))?;
    for function in OWN.values() {
        state.register_udf(Arc::clone(function))?;
    }
    Ok(state)
}

/// A call of one of our functions, or of DataFusion's of lists.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match OWN.get(name).or_else(|| OF_LISTS.get(name)) {
        Some(function) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::clone(function),
            args,
        ))),
        None => internal_err!("no function {name}"),
    }
}

/// Whether a function compares its first argument with the items of its second: `x = ANY (array)` and its kin.
pub(crate) fn is_quantified(name: &str) -> bool {
    arrays::QUANTIFIED
        .iter()
        .any(|definition| definition.name == name)
}

type Functions = HashMap<String, Arc<ScalarUDF>>;

static OWN: LazyLock<Functions> = LazyLock::new(|| {
    const ALL: [&[Definition]; 9] = [
        &arrays::QUANTIFIED,
        &arrays::FUNCTIONS,
        &dates::FUNCTIONS,
        &numbers::FUNCTIONS,
        &patterns::FUNCTIONS,
        &regexes::FUNCTIONS,
        &series::FUNCTIONS,
        &shown::FUNCTIONS,
        &texts::FUNCTIONS,
    ];
    ALL.into_iter()
        .flatten()
        .chain(json::functions())
        .map(|definition| {
            let function = define::udf(definition);
            (function.name().to_owned(), Arc::new(function))
        })
        .collect()
});

static OF_LISTS: LazyLock<Functions> = LazyLock::new(|| {
    let functions = datafusion::functions_nested::all_default_nested_functions();
    functions
        .into_iter()
        .map(|function| (function.name().to_owned(), function))
        .collect()
});
