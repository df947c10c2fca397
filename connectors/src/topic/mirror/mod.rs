//! Tables that somebody else owns, as the changes in a topic tell of them.
//!
//! Each record says how the row of a key changed ([`Format::is_changelog`](super::Format::is_changelog)). What a reader at some offsets is
//! shown is the [`Newest`] row of each key before them: computed from the topic when it is asked for, and kept by nobody but a query that
//! goes on.

mod exec;
mod newest;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use weir_base::Kind;
use weir_topics::Topic;

use self::exec::NewestExec;
pub use self::newest::{Newest, Renewed};
use super::schema::{Hidden, RowSchema};
use super::stream::StreamTable;
use crate::{Error, Result};

/// A table whose rows are the newest of each key in a topic, over all of its partitions, up to fixed offsets.
#[derive(Debug)]
pub struct MirroredTable {
    changes: Arc<StreamTable>,
    rows: Arc<RowSchema>,
    schema: SchemaRef,
}

impl MirroredTable {
    /// The table that `changes` tells of: the records of `rows`, with hidden columns. `schema` is that of the table's own columns.
    ///
    /// # Errors
    /// When the records tell of no rows by key.
    pub fn new(changes: StreamTable, rows: Arc<RowSchema>, schema: SchemaRef) -> Result<Self> {
        if !rows.format().value.is_changelog() || rows.key().is_empty() {
            return Err(Error::new(
                Kind::Internal,
                "a table is mirrored whose records tell of no rows by key",
            ));
        }
        Ok(Self {
            changes: Arc::new(changes),
            rows,
            schema,
        })
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        self.changes.topic()
    }

    /// The columns that tell its rows apart.
    pub fn key(&self) -> &[usize] {
        self.rows.key()
    }

    /// The changes, in which [`Newest`] finds the rows.
    pub fn changes(&self) -> &Arc<StreamTable> {
        &self.changes
    }

    /// The columns of changes that are read for some of the table's: those, the key's, and what tells which change is newest.
    pub fn changes_of(&self, columns: &[usize]) -> Vec<usize> {
        let mut places: Vec<usize> = columns.iter().chain(self.key()).copied().collect();
        places.sort_unstable();
        places.dedup();
        // `_deleted` follows the table's columns, and the hidden ones follow it.
        let deleted = self.schema.fields().len();
        places.push(deleted);
        for hidden in [Hidden::Partition, Hidden::Offset, Hidden::Timestamp] {
            let place = Hidden::ALL.iter().position(|other| *other == hidden);
            places.extend(place.map(|place| deleted + 1 + place));
        }
        places
    }

    /// What of the table's columns [`Newest`] finds among changes with [these columns](Self::changes_of), and which of them are the key.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn rows_of(&self, columns: &[usize]) -> Result<(SchemaRef, Vec<usize>)> {
        let mut places: Vec<usize> = columns.iter().chain(self.key()).copied().collect();
        places.sort_unstable();
        places.dedup();
        let schema = self.schema.project(&places).map_err(|error| {
            Error::new(Kind::Internal, "columns cannot be read").with_source(error)
        })?;
        let key = self.key().iter();
        let key = key.filter_map(|key| places.iter().position(|place| place == key));
        Ok((Arc::new(schema), key.collect()))
    }
}

#[async_trait]
impl TableProvider for MirroredTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        // An older row that passes is not to be shown in the place of a newer one that does not.
        Ok(vec![
            TableProviderFilterPushDown::Unsupported;
            filters.len()
        ])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.schema.fields().len()).collect();
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let wanted = self.changes_of(&columns);
        let changes = self.changes.scan(state, Some(&wanted), &[], None).await?;
        let changes: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(changes));
        let (rows, key) = self.rows_of(&columns).map_err(DataFusionError::from)?;
        let places = columns.iter().filter_map(|column| {
            let name = self.schema.fields().get(*column)?.name();
            rows.fields().iter().position(|field| field.name() == name)
        });
        let places = places.collect();
        let schema = Arc::new(self.schema.project(&columns)?);
        Ok(Arc::new(NewestExec::new(
            changes,
            (rows, key),
            places,
            schema,
        )))
    }
}
