//! Tables of files from end to end: through DataFusion, on real folders and against servers on loopback.

mod folder;
mod reading;
mod remote;
mod writing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::provider_as_source;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use weir_base::{Classify, Kind};

use super::*;
use crate::{Error, Result};

/// A folder that is allowed, and a session over it.
struct House {
    root: TempDir,
    stores: FileStores,
    context: SessionContext,
}

impl House {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let stores = FileStores::new(FilePolicy {
            allow_paths: vec![root.path().to_owned()],
            allow_private_network: true,
            ..FilePolicy::default()
        })
        .unwrap();
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(stores.registry())
            .with_cache_manager(FileStores::caches())
            .build_arc()
            .unwrap();
        let config = FileStores::configure(SessionConfig::new().with_target_partitions(2));
        Self {
            root,
            stores,
            context: SessionContext::new_with_config_rt(config, runtime),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root.path().display())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = PathBuf::from(self.path(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        self.path(name)
    }

    async fn open(&self, table: &FileTable) -> Result<Arc<FileTableProvider>> {
        open_table(&self.stores, &self.context.state(), table, None).await
    }

    /// Opens a table under the name `t`.
    async fn table(&self, table: &FileTable) -> Arc<FileTableProvider> {
        let provider = self
            .open(table)
            .await
            .unwrap_or_else(|error| panic!("{error} {:?}", error.hint()));
        self.context.deregister_table("t").unwrap();
        self.context
            .register_table("t", Arc::clone(&provider) as _)
            .unwrap();
        provider
    }

    async fn rows(&self, sql: &str) -> String {
        let batches = self
            .context
            .sql(sql)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        show(&batches)
    }

    async fn copy(
        &self,
        sql: &str,
        to: CopyTo,
    ) -> std::result::Result<u64, datafusion::error::DataFusionError> {
        let input = self.context.sql(sql).await?.into_unoptimized_plan();
        let plan = copy_plan(&self.stores, input, &to, None)?;
        let batches = self
            .context
            .execute_logical_plan(plan)
            .await?
            .collect()
            .await?;
        Ok(written_rows(&batches))
    }

    async fn insert(
        &self,
        sql: &str,
        table: Arc<FileTableProvider>,
    ) -> std::result::Result<u64, datafusion::error::DataFusionError> {
        let input = self.context.sql(sql).await?.into_unoptimized_plan();
        let plan = LogicalPlanBuilder::insert_into(
            input,
            "t",
            provider_as_source(table),
            InsertOp::Append,
        )?
        .build()?;
        let batches = self
            .context
            .execute_logical_plan(plan)
            .await?
            .collect()
            .await?;
        Ok(written_rows(&batches))
    }

    /// The names of all files below a folder.
    fn files(&self, name: &str) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, found),
                    path => found.push(path.display().to_string()),
                }
            }
        }
        let mut found = Vec::new();
        walk(Path::new(&self.path(name)), &mut found);
        found.sort();
        found
    }
}

fn show(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn at(location: impl Into<String>) -> FileTable {
    FileTable {
        location: location.into(),
        ..FileTable::default()
    }
}

fn to(location: impl Into<String>, pairs: &[(&str, &str)]) -> CopyTo {
    CopyTo {
        location: location.into(),
        options: options(pairs),
        ..CopyTo::default()
    }
}

const SOURCE: &str = "SELECT * FROM (VALUES (1, 'one', 1.5, DATE '2024-01-01'), (2, NULL, -2.25, DATE '2024-02-29'), (3, 'thr,\"ee', NULL, NULL)) AS v(id, name, x, d)";
