//! Columns as declared: from the statement's definitions to the catalog's.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::sql::sqlparser::ast;
use weir_base::SqlState;
use weir_catalog::{Check, Column, Logical};
use weir_sql::statement::{self, ColumnDef};

use super::{Execution, ident_position, normalized};
use crate::error::{Error, Result};
use crate::planning::{Planner, plan_expression};
use crate::rows;

impl Execution {
    /// The catalog's columns for declared ones, and the checks that their types imply.
    pub(super) fn columns(
        &self,
        planner: &Planner,
        declared: &[ColumnDef],
    ) -> Result<(Vec<Column>, Vec<Check>)> {
        let mut columns = Vec::with_capacity(declared.len());
        let mut checks = Vec::new();
        for definition in declared {
            let column = self.column(planner, definition)?;
            if let Some(length) = declared_length(&definition.data_type) {
                checks.push(Check {
                    name: format!("{}_length", column.name),
                    sql: format!(
                        "char_length({}) <= {length}",
                        weir_catalog::quote_ident(&column.name)
                    ),
                });
            }
            columns.push(column);
        }
        Ok((columns, checks))
    }

    fn column(&self, planner: &Planner, definition: &ColumnDef) -> Result<Column> {
        let name = normalized(&definition.name);
        let place = |error: Error| error.with_position(Some(definition.position));
        let field = planner.field_of(&definition.data_type).map_err(place)?;
        let mut column = Column::new(&name, field.data_type().clone(), &definition.sql_type);
        column.logical = Logical::of_field(&field);
        column.nullable = !definition.not_null;
        column.comment.clone_from(&definition.comment);
        if let Some(default) = &definition.default {
            let what = format!("the default of column {name:?}");
            let expr = plan_expression(
                &self.engine.base_state,
                default.expr.clone(),
                &DFSchema::empty(),
            )
            .map_err(|error| {
                let refers = error.message().contains("not found");
                if refers {
                    Error::invalid(
                        SqlState::INVALID_TABLE_DEFINITION,
                        format!("{what} cannot refer to columns"),
                    )
                } else {
                    error
                }
            })
            .map_err(place)?;
            rows::refuse_columns(&expr, &what).map_err(place)?;
            rows::evaluate(&self.engine, &default.sql, &column.data_type)
                .map_err(|error| error.in_context(&what))
                .map_err(place)?;
            column.default = Some(default.sql.clone());
        }
        Ok(column)
    }

    /// The catalog's checks for declared ones, each with a name, each tried on the columns.
    pub(super) fn checks(
        &self,
        relation: &str,
        columns: &[Column],
        implied: Vec<Check>,
        declared: &[statement::Check],
    ) -> Result<Vec<Check>> {
        let schema = schema_of(columns);
        let schema = DFSchema::try_from(schema.as_ref().clone())?;
        let given = |implied: &Check| {
            declared
                .iter()
                .any(|check| check.name.as_ref() == Some(&implied.name))
        };
        let mut checks: Vec<Check> = implied
            .into_iter()
            .filter(|implied| !given(implied))
            .collect();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for check in declared {
            let expr = plan_expression(&self.engine.base_state, check.expr.clone(), &schema)?;
            let data_type = datafusion::logical_expr::ExprSchemable::get_type(&expr, &schema)?;
            if !matches!(
                data_type,
                arrow::datatypes::DataType::Boolean | arrow::datatypes::DataType::Null
            ) {
                return Err(Error::invalid(
                    SqlState::DATATYPE_MISMATCH,
                    format!("CHECK ({}) is of type {data_type}, not BOOLEAN", check.sql),
                ));
            }
            if !crate::ingest::is_constant(&expr) {
                return Err(Error::invalid(
                    SqlState::INVALID_TABLE_DEFINITION,
                    format!("CHECK ({}) may give another answer each time", check.sql),
                )
                .with_hint("a check may depend on the row alone"));
            }
            let name = check.name.clone().unwrap_or_else(|| {
                let stem = match expr
                    .column_refs()
                    .into_iter()
                    .collect::<Vec<_>>()
                    .as_slice()
                {
                    [column] => format!("{relation}_{}_check", column.name),
                    _ => format!("{relation}_check"),
                };
                let count = taken.entry(stem.clone()).or_insert(0);
                *count += 1;
                if *count == 1 {
                    stem
                } else {
                    format!("{stem}{}", *count - 1)
                }
            });
            checks.push(Check {
                name,
                sql: check.sql.clone(),
            });
        }
        Ok(checks)
    }

    /// The names of key columns, each of which must be there.
    pub(super) fn key_columns(
        &self,
        columns: &mut [Column],
        key: &[ast::Ident],
    ) -> Result<Vec<String>> {
        key.iter()
            .map(|ident| {
                let name = normalized(ident);
                match columns.iter_mut().find(|column| column.name == name) {
                    Some(column) => {
                        column.nullable = false;
                        Ok(name)
                    }
                    None => Err(Error::invalid(
                        SqlState::UNDEFINED_COLUMN,
                        format!("column {name:?} of the key does not exist"),
                    )
                    .with_position(ident_position(ident))),
                }
            })
            .collect()
    }
}

/// The Arrow schema of columns.
pub(super) fn schema_of(columns: &[Column]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(Column::field).collect();
    std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
}

/// The length that a text type declares, which rows must keep to.
fn declared_length(data_type: &ast::DataType) -> Option<u64> {
    use ast::DataType as Type;
    let length = match data_type {
        Type::Varchar(length)
        | Type::CharacterVarying(length)
        | Type::CharVarying(length)
        | Type::Nvarchar(length)
        | Type::Char(length)
        | Type::Character(length) => length.as_ref()?,
        _ => return None,
    };
    match length {
        ast::CharacterLength::IntegerLength { length, .. } => Some(*length),
        ast::CharacterLength::Max => None,
    }
}
