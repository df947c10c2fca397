//! Rows of PostgreSQL's relations, written by column name; of what a query does not read nothing is kept.

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_datafusion_err};

use super::super::System;
use crate::postgres::facts::{SystemColumn, SystemRelation};
use crate::postgres::values::{Value, array};
use crate::postgres::{Storage, facts};

/// Fills a relation.
pub(in crate::system) type Fill = fn(&System, &mut Rows) -> Result<()>;

/// The only rows that a scan has to give: those with a number in a column of type `oid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::system) struct Only {
    pub(super) column: &'static str,
    pub(super) oid: u32,
}

/// Rows of a relation, of the columns that are read.
pub(in crate::system) struct Rows {
    columns: &'static [SystemColumn],
    /// Of each column its values, where it is read.
    values: Vec<Option<Vec<Value>>>,
    only: Option<Only>,
    /// Where the columns of a row were found last time: rows of one table name the same columns in the same order.
    places: Vec<usize>,
    count: usize,
}

impl Rows {
    /// No rows yet; `projection` numbers the columns that are read, none means all, and rows that are not among `only` are left out.
    pub(in crate::system) fn new(
        relation: &'static SystemRelation,
        projection: Option<&[usize]>,
        only: Option<Only>,
    ) -> Self {
        let is_read = |at: usize| projection.is_none_or(|read| read.contains(&at));
        let columns = relation.columns.as_slice();
        Self {
            values: (0..columns.len())
                .map(|at| is_read(at).then(Vec::new))
                .collect(),
            columns,
            only,
            places: Vec::new(),
            count: 0,
        }
    }

    /// Whether a column is read: what costs more than a look is asked for only then.
    pub(in crate::system) fn wants(&self, name: &str) -> bool {
        let at = self.columns.iter().position(|column| column.name == name);
        at.and_then(|at| self.values.get(at))
            .is_some_and(Option::is_some)
    }

    /// Whether a row with this number in a column of type `oid` is read: where there are many rows, or one takes long to make, it is
    /// asked for first.
    pub(in crate::system) fn wants_row(&self, column: &str, oid: u32) -> bool {
        self.only
            .is_none_or(|only| only.column != column || only.oid == oid)
    }

    /// Adds a row. What it does not say is null, or zero, false or empty where the column is never null.
    pub(in crate::system) fn push<const N: usize>(
        &mut self,
        row: [(&'static str, Value); N],
    ) -> Result<()> {
        let is_read = row.iter().all(|(name, value)| match value {
            Value::Oid(oid) => self.wants_row(name, *oid),
            _ => true,
        });
        if !is_read {
            return Ok(());
        }
        for (number, (name, value)) in row.into_iter().enumerate() {
            let at = self.place(number, name)?;
            if let Some(Some(values)) = self.values.get_mut(at) {
                values.truncate(self.count);
                values.push(value);
            }
        }
        self.count += 1;
        for (values, column) in self.values.iter_mut().zip(self.columns) {
            if let Some(values) = values
                && values.len() < self.count
            {
                values.resize(self.count, absent(column));
            }
        }
        Ok(())
    }

    fn place(&mut self, number: usize, name: &'static str) -> Result<usize> {
        let is_here = |at: &usize| self.columns.get(*at).is_some_and(|it| it.name == name);
        if let Some(at) = self.places.get(number).copied().filter(is_here) {
            return Ok(at);
        }
        let at = self.columns.iter().position(|column| column.name == name);
        let at = at.ok_or_else(|| internal_datafusion_err!("no system column {name}"))?;
        if self.places.len() <= number {
            self.places.resize(number + 1, usize::MAX);
        }
        if let Some(place) = self.places.get_mut(number) {
            *place = at;
        }
        Ok(at)
    }

    /// The columns that are read, in the relation's order.
    pub(in crate::system) fn finish(self, relation: &SystemRelation) -> Result<RecordBatch> {
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (values, column) in self.values.into_iter().zip(self.columns) {
            if let Some(values) = values {
                fields.push(column.pg_type.field(column.name));
                arrays.push(array(column.pg_type.stored_as(), &values)?);
            }
        }
        debug_assert!(facts::relation(relation.schema, relation.name).is_some());
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let schema = arrow::datatypes::Schema::new(fields);
        Ok(RecordBatch::try_new_with_options(
            schema.into(),
            arrays,
            &options,
        )?)
    }
}

/// What a row that says nothing of a column has there.
fn absent(column: &SystemColumn) -> Value {
    if !column.not_null {
        return Value::Null;
    }
    match column.pg_type.stored_as() {
        Storage::Bool => Value::Bool(false),
        Storage::Int2 | Storage::Int4 | Storage::Int8 => Value::Int(0),
        Storage::Float4 | Storage::Float8 => Value::Float(0.0),
        Storage::Oid => Value::Oid(0),
        Storage::Text => Value::from(""),
        Storage::Int2List => Value::Ints(Vec::new()),
        Storage::OidList => Value::Oids(Vec::new()),
        _ => Value::Null,
    }
}
