//! What DataFusion's SQL planner asks while it plans one statement: relations resolved beforehand, functions of the state.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::file_options::file_type::FileType;
use datafusion::common::{DFSchema, DataFusionError, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use weir_base::nearest::nearest;
use weir_catalog::{ObjectName, TEMPORARY_SCHEMA};

use super::types::SqlTypes;
use crate::functions::postgres::{statement_of, table_function};
use crate::system;

/// The relations of one statement and the functions of the session.
pub(crate) struct PlanContext<'a> {
    pub(crate) state: &'a SessionState,
    pub(crate) default_schema: &'a str,
    /// What the session's temporary relations lie in, which come first among `relations`.
    pub(crate) temporary_schema: Option<&'a str>,
    pub(crate) relations: &'a HashMap<ObjectName, Arc<dyn TableSource>>,
    pub(crate) relation_planners: Vec<Arc<dyn RelationPlanner>>,
    /// The zone in which timestamps with time zone are read and shown.
    pub(crate) time_zone: &'a str,
}

/// The catalog object that a table reference names.
///
/// # Errors
/// When it names another database.
pub(crate) fn object_name(reference: &TableReference, default_schema: &str) -> Result<ObjectName> {
    match reference.catalog() {
        None | Some("weir") => Ok(ObjectName::new(
            reference
                .schema()
                .unwrap_or_else(|| system::schema_of(reference.table(), default_schema)),
            reference.table(),
        )),
        Some(other) => Err(DataFusionError::Plan(format!(
            "database {other:?} not found: this server has one, \"weir\""
        ))),
    }
}

impl ContextProvider for PlanContext<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let is_bare = name.schema().is_none();
        let mut name = object_name(&name, self.default_schema)?;
        if let Some(schema) = self.temporary_schema {
            let own = ObjectName::new(schema, &name.name);
            let is_meant = match is_bare {
                true => self.relations.contains_key(&own),
                false => name.schema == TEMPORARY_SCHEMA,
            };
            if is_meant {
                name = own;
            }
        }
        self.relations
            .get(&name)
            .cloned()
            .ok_or_else(|| DataFusionError::Plan(format!("table '{name}' not found")))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        if args.is_empty()
            && let Ok(system) = statement_of(self.state.config_options())
            && let Some(table) = table_function(name, system)?
        {
            return Ok(provider_as_source(table));
        }
        let Some(function) = self.state.table_functions().get(name) else {
            let near = nearest(
                name,
                self.state.table_functions().keys().map(String::as_str),
            );
            let suggestion = near
                .map(|near| format!("\nDid you mean '{near}'?"))
                .unwrap_or_default();
            return Err(DataFusionError::Plan(format!(
                "table function '{name}' not found{suggestion}"
            )));
        };
        let args = simplified(self.state, args)?;
        let provider = function.create_table_provider_with_args(
            datafusion::catalog::TableFunctionArgs::new(&args, self.state),
        )?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(
            name, schema,
        ))))
    }

    fn get_file_type(&self, extension: &str) -> Result<Arc<dyn FileType>> {
        self.state
            .get_file_format_factory(extension)
            .map(datafusion::datasource::file_format::format_as_file_type)
            .ok_or_else(|| DataFusionError::Plan(format!("file format {extension:?} is not known")))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SqlTypes {
            time_zone: Arc::from(self.time_zone),
        }))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state
            .higher_order_functions()
            .keys()
            .cloned()
            .collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// Arguments with their constant parts computed.
fn simplified(state: &SessionState, args: Vec<Expr>) -> Result<Vec<Expr>> {
    let context = SimplifyContext::builder()
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let schema = DFSchema::empty();
    args.into_iter()
        .map(|arg| simplifier.simplify(simplifier.coerce(arg, &schema)?))
        .collect()
}
