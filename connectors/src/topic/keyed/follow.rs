//! Following a table: which rows came and which went between two offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::not_impl_err;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::{Kind, Offset};

use super::KeyedTable;
use super::state::Chunk;
use crate::{Error, Result};

/// A table for the plan of a query that follows its changes. It has no rows of its own.
#[derive(Debug, Clone)]
pub struct FollowedTable {
    table: KeyedTable,
    schema: SchemaRef,
    /// Columns that tell its rows apart.
    key: Option<Vec<usize>>,
    only_grows: bool,
}

/// Who follows a table. The versions of rows that it has yet to see stay in memory.
#[derive(Debug)]
pub struct TableFollower {
    table: KeyedTable,
    at: Arc<AtomicI64>,
}

/// What changed in a table. Each batch has the table's columns, and then the hidden ones.
#[derive(Debug, Default)]
pub struct TableChanges {
    /// Rows that are there and were not.
    pub added: Vec<RecordBatch>,
    /// Rows that were there and are not.
    pub removed: Vec<RecordBatch>,
}

impl FollowedTable {
    /// A table's changes, with the hidden columns or without.
    pub fn new(table: KeyedTable, with_hidden: bool) -> Self {
        let rows = table.schema();
        let schema = match with_hidden {
            true => rows.schema_with_hidden(),
            false => Arc::clone(rows.read_schema()),
        };
        let key = (!rows.key().is_empty()).then(|| rows.key().to_vec());
        Self {
            table,
            schema,
            key,
            only_grows: false,
        }
    }

    /// The same of a table whose rows never go, nor change: those of windows that have closed.
    #[must_use]
    pub fn that_only_grows(mut self) -> Self {
        self.only_grows = true;
        self
    }

    /// Whether its rows never go, nor change.
    pub fn only_grows(&self) -> bool {
        self.only_grows
    }

    /// The same of a table whose rows these columns tell apart, though they are not its primary key.
    #[must_use]
    pub fn with_key(mut self, key: Option<Vec<usize>>) -> Self {
        self.key = key;
        self
    }

    /// The columns that tell its rows apart, where some do; none where there is never more than one row.
    pub fn key(&self) -> Option<&[usize]> {
        self.key.as_deref()
    }

    /// The table.
    pub fn table(&self) -> &KeyedTable {
        &self.table
    }
}

#[async_trait]
impl TableProvider for FollowedTable {
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
        Ok(vec![
            TableProviderFilterPushDown::Unsupported;
            filters.len()
        ])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!("reading the rows of a table that is followed")
    }
}

impl KeyedTable {
    /// Follows the table from before its first row on.
    pub fn follow(&self) -> TableFollower {
        self.follow_from(Offset::ZERO)
    }

    /// Follows the table from an offset on: what it was there is known.
    pub fn follow_from(&self, at: Offset) -> TableFollower {
        // Where it begins, nothing needs to be kept.
        let at = if at == Offset::ZERO { i64::MAX } else { at.0 };
        let at = Arc::new(AtomicI64::new(at));
        let mut followers = self.0.followers.lock();
        followers.retain(|at| at.strong_count() > 0);
        followers.push(Arc::downgrade(&at));
        drop(followers);
        TableFollower {
            table: self.clone(),
            at,
        }
    }

    /// Before which offset no follower has anything to see.
    pub(super) fn followed_from(&self) -> Offset {
        let followers = self.0.followers.lock();
        let at = followers.iter().filter_map(std::sync::Weak::upgrade);
        let least = at.map(|at| at.load(Ordering::Acquire)).min();
        Offset(least.unwrap_or(i64::MAX))
    }
}

impl TableFollower {
    /// The table.
    pub fn table(&self) -> &KeyedTable {
        &self.table
    }

    /// What changed since the last time, up to `to`.
    ///
    /// # Errors
    /// When `to` is not durable yet, or records cannot be read.
    pub async fn changes(&self, to: Offset) -> Result<TableChanges> {
        let from = match self.at.load(Ordering::Acquire) {
            i64::MAX => Offset::ZERO,
            at => Offset(at),
        };
        if to <= from {
            return Ok(TableChanges::default());
        }
        let chunks = self.table.chunks_between(from, to).await?;
        let mut changes = TableChanges::default();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_still_from(from)) {
            for (wanted, into) in [
                (chunk.between(from, to), &mut changes.added),
                (chunk.between(to, from), &mut changes.removed),
            ] {
                if wanted.true_count() > 0 {
                    let rows = filter_record_batch(chunk.batch(), &wanted);
                    into.push(rows.map_err(|error| {
                        Error::new(Kind::Internal, "changes cannot be chosen").with_source(error)
                    })?);
                }
            }
        }
        self.at.store(to.0, Ordering::Release);
        Ok(changes)
    }
}

impl Chunk {
    /// The versions that a reader at `shown` is shown, and a reader at `hidden` is not.
    fn between(&self, hidden: Offset, shown: Offset) -> BooleanArray {
        let is_shown = |row: usize, at: Offset| self.is_visible(row, at);
        (0..self.rows())
            .map(|row| Some(is_shown(row, shown) && !is_shown(row, hidden)))
            .collect()
    }
}
