//! Functions that stand in `FROM`: `pg_get_keywords()`, `pg_timezone_names()`, `pg_show_all_settings()`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use weir_catalog::ObjectName;

use crate::system::{self, System};

/// The table that a function of this name and no arguments gives.
///
/// # Errors
/// When its rows cannot be made, which is a defect.
pub(crate) fn table_function(
    name: &str,
    system: &System,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let of_catalog = |table: &str| system::table(&ObjectName::new("pg_catalog", table), system);
    Ok(match name {
        "pg_get_keywords" => Some(system::keywords()?),
        "pg_timezone_names" => of_catalog("pg_timezone_names"),
        "pg_show_all_settings" => of_catalog("pg_settings"),
        "pg_lock_status" => of_catalog("pg_locks"),
        "pg_cursor" => of_catalog("pg_cursors"),
        "pg_prepared_statement" => of_catalog("pg_prepared_statements"),
        "pg_available_extensions" => of_catalog("pg_available_extensions"),
        _ => None,
    })
}
