//! Files in `FROM` and `COPY`: external tables, `read_parquet('…')` and its kin, and locations written as names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::sql::sqlparser::ast;
use weir_base::SqlState;
use weir_catalog::{Body, ExternalTable, ObjectKind, ObjectName, Privilege, Snapshot};
use weir_connectors::files::{self, ConnectionSpec, CopyTo, FileTable};
use weir_sql::statement;

use super::Planner;
use crate::error::{Error, Result};
use crate::security::Rights;
use crate::statements::{ident_position, normalized, position_of};

/// Calls of file functions in a statement, opened, by their text.
#[derive(Debug, Default)]
pub(crate) struct Calls(HashMap<String, Opened>);

#[derive(Clone)]
struct Opened {
    name: String,
    source: Arc<dyn TableSource>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Calls {
    /// Opens those of `factors` that are file functions.
    pub(super) async fn open(
        planner: &Planner,
        factors: &[ast::TableFactor],
        rights: &Rights,
    ) -> Result<Self> {
        let mut calls = HashMap::new();
        for factor in factors {
            let ast::TableFactor::Table {
                name,
                args: Some(args),
                ..
            } = factor
            else {
                continue;
            };
            let Some(function) =
                function_name(name).filter(|function| files::is_function(function))
            else {
                continue;
            };
            let (positional, named) = arguments(&args.args)?;
            let place = |error: Error| error.with_position(position_of(name));
            let table = files::function_table(&function, &positional, named)
                .map_err(Error::from)
                .map_err(place)?;
            planner
                .permit_files(rights, table.connection(), "read files")
                .map_err(place)?;
            let connection = planner.connection(table.connection()).map_err(place)?;
            let provider = files::open_table(
                &planner.engine.stores,
                &planner.state,
                &table,
                connection.as_ref(),
            )
            .await
            .map_err(Error::from)
            .map_err(place)?;
            calls.insert(
                key(name, args),
                Opened {
                    name: function,
                    source: Planner::source(provider),
                },
            );
        }
        Ok(Self(calls))
    }
}

impl RelationPlanner for Calls {
    fn plan_relation(
        &self,
        relation: ast::TableFactor,
        _context: &mut dyn RelationPlannerContext,
    ) -> datafusion::common::Result<RelationPlanning> {
        let ast::TableFactor::Table {
            name,
            args: Some(args),
            alias,
            ..
        } = &relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(opened) = self.0.get(&key(name, args)) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan =
            LogicalPlanBuilder::scan(opened.name.as_str(), Arc::clone(&opened.source), None)?
                .build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation {
            plan,
            alias: alias.clone(),
        })))
    }
}

fn key(name: &ast::ObjectName, args: &ast::TableFunctionArgs) -> String {
    let args: Vec<_> = args.args.iter().map(ToString::to_string).collect();
    format!("{name}({})", args.join(", "))
}

fn function_name(name: &ast::ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(normalized),
        _ => None,
    }
}

/// Names and values of arguments.
type Named = Vec<(String, String)>;

/// Positional and named arguments as text; each must be a constant.
fn arguments(args: &[ast::FunctionArg]) -> Result<(Vec<String>, Named)> {
    let mut positional = Vec::new();
    let mut named = Vec::new();
    for arg in args {
        match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::BinaryOp {
                left,
                op: ast::BinaryOperator::Eq,
                right,
            })) => {
                named.push((argument_name(left)?, constant(right)?));
            }
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => {
                positional.push(constant(expr)?);
            }
            ast::FunctionArg::Named {
                name,
                arg: ast::FunctionArgExpr::Expr(expr),
                ..
            } => {
                named.push((normalized(name), constant(expr)?));
            }
            ast::FunctionArg::ExprNamed {
                name,
                arg: ast::FunctionArgExpr::Expr(expr),
                ..
            } => {
                named.push((argument_name(name)?, constant(expr)?));
            }
            other => {
                return Err(Error::invalid(
                    SqlState::SYNTAX_ERROR,
                    format!("argument {other} is not a constant"),
                ));
            }
        }
    }
    Ok((positional, named))
}

fn argument_name(expr: &ast::Expr) -> Result<String> {
    match expr {
        ast::Expr::Identifier(ident) => Ok(normalized(ident)),
        other => Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            format!("{other} is not the name of an option"),
        )),
    }
}

fn constant(expr: &ast::Expr) -> Result<String> {
    if let ast::Expr::Value(value) = expr {
        match &value.value {
            ast::Value::Boolean(value) => return Ok(value.to_string()),
            ast::Value::Number(number, _) => return Ok(number.clone()),
            other => {
                if let Some(text) = other.clone().into_string() {
                    return Ok(text);
                }
            }
        }
    }
    let place = match expr {
        ast::Expr::Identifier(ident) => ident_position(ident),
        _ => None,
    };
    Err(Error::invalid(
        SqlState::SYNTAX_ERROR,
        format!("argument {expr} is not a constant"),
    )
    .with_hint("write text in single quotes")
    .with_position(place))
}

/// Whether a name that the catalog does not have may mean a file: it is a path, a URL, or ends as files do.
pub(super) fn looks_like_a_file(object: &ObjectName) -> bool {
    object.name.contains('/') || files::format_of_location(&object.name).is_some()
}

/// Opens a location that stands where a name may: `FROM 'data/trips.parquet'`.
pub(super) async fn open_path(planner: &Planner, location: &str) -> Result<Arc<dyn TableProvider>> {
    let table = FileTable {
        location: location.to_owned(),
        ..FileTable::default()
    };
    Ok(files::open_table(&planner.engine.stores, &planner.state, &table, None).await?)
}

/// Opens an external table of the catalog.
pub(crate) async fn open_definition(
    planner: &Planner,
    table: &ExternalTable,
) -> Result<Arc<dyn TableProvider>> {
    let connection = planner.connection(table.connection.as_deref())?;
    let definition = FileTable {
        location: table.location.clone(),
        format: Some(table.format.clone()),
        columns: table.columns.as_ref().map(|columns| {
            let fields: Vec<_> = columns.iter().map(weir_catalog::Column::field).collect();
            Arc::new(arrow::datatypes::Schema::new(fields)) as arrow::datatypes::SchemaRef
        }),
        partitioned_by: table
            .partitioned_by
            .iter()
            .map(|column| (column.name.clone(), Some(column.data_type.clone())))
            .collect(),
        options: table.options.clone(),
    };
    Ok(files::open_table(
        &planner.engine.stores,
        &planner.state,
        &definition,
        connection.as_ref(),
    )
    .await?)
}

/// The plan of a `COPY … TO`.
pub(crate) fn copy_plan(
    planner: &Planner,
    input: LogicalPlan,
    target: &str,
    copy: &statement::Copy,
) -> Result<LogicalPlan> {
    let to = CopyTo {
        location: target.to_owned(),
        format: copy.format.clone(),
        partitioned_by: copy.partitioned_by.clone(),
        options: copy.options.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    planner.permit_files(&planner.rights, to.connection(), "write files")?;
    let connection = planner.connection(to.connection())?;
    Ok(files::copy_plan(
        &planner.engine.stores,
        input,
        &to,
        connection.as_ref(),
    )?)
}

impl Planner {
    /// Refuses who may not use files: through a connection its USAGE is needed, and otherwise FILES on the server.
    pub(crate) fn permit_files(
        &self,
        rights: &Rights,
        connection: Option<&str>,
        doing: &str,
    ) -> Result<()> {
        let Some(name) = connection else {
            return rights.require_on_server(Privilege::Files, doing);
        };
        match self.snapshot.connection(name) {
            Some(entry) => rights.require(Privilege::Usage, entry, &self.snapshot),
            // That it is not there is said where it is looked for; its neighbours are not named to who may not see them.
            None => rights
                .visible(&self.snapshot)
                .require(ObjectKind::Connection, &ObjectName::global(name))
                .map(|_| ())
                .map_err(Error::from),
        }
    }

    fn connection(&self, name: Option<&str>) -> Result<Option<ConnectionSpec>> {
        name.map(|name| connection(&self.snapshot, name))
            .transpose()
    }
}

/// The connection of a name, secrets included.
pub(crate) fn connection(snapshot: &Snapshot, name: &str) -> Result<ConnectionSpec> {
    let entry = snapshot.require(ObjectKind::Connection, &ObjectName::global(name))?;
    let Body::Connection(connection) = &entry.body else {
        return Err(Error::invalid(
            SqlState::WRONG_OBJECT_TYPE,
            format!("{} is no connection", entry.describe()),
        ));
    };
    let mut options = connection.options.clone();
    options.extend(
        connection
            .secrets
            .iter()
            .map(|(key, secret)| (key.clone(), secret.expose().to_owned())),
    );
    Ok(ConnectionSpec {
        name: name.to_owned(),
        kind: connection.kind.clone(),
        options,
    })
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
