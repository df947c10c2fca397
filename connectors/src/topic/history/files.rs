//! Reading history: the plan over Parquet files, which DataFusion prunes and reads.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::config::{ConfigOptions, TableParquetOptions};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, cast, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use object_store::ObjectMeta;
use weir_base::{Kind, PartitionId};

use super::kept::Guard;
use super::manifest::{DataFile, Shape};
use super::place::HistoryPlace;
use super::sections::Bounds;
use crate::topic::{Hidden, RowSchema};

/// A file to be read, or a part of one.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) partition: PartitionId,
    pub(super) file: DataFile,
    pub(super) meta: ObjectMeta,
    pub(super) range: Bounds,
    /// Keeps the file while somebody reads it.
    pub(super) guard: Guard,
}

impl Part {
    fn is_whole(&self) -> bool {
        self.range.start <= self.file.start && self.range.end >= self.file.end
    }
}

/// What is read of histories, and as what.
pub(super) struct Reading<'a> {
    pub(super) place: &'a HistoryPlace,
    pub(super) rows: &'a RowSchema,
    /// The name of the present shape.
    pub(super) shape: &'a str,
    /// Places in [`RowSchema::schema_with_hidden`].
    pub(super) projection: &'a [usize],
    pub(super) limit: Option<usize>,
    pub(super) runtime: &'a RuntimeEnv,
    pub(super) options: &'a ConfigOptions,
}

impl Reading<'_> {
    /// Plans over `files`, each with the columns of the projection, on up to `parts` threads. `shape` gives the shapes of
    /// files that are not of the present one.
    pub(super) fn plans(
        &self,
        files: Vec<Part>,
        parts: usize,
        shape: impl Fn(&str) -> Option<Shape>,
    ) -> DataFusionResult<Vec<Arc<dyn ExecutionPlan>>> {
        let present = self.rows.schema_with_hidden();
        let is_plain = |part: &Part| part.is_whole() && part.file.shape == self.shape;
        let (whole, others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_plain);
        let mut plans = Vec::new();
        if !whole.is_empty() {
            let projection = Some(self.projection.to_vec());
            plans.push(self.scan(whole, parts, &present, projection)?);
        }
        for part in others {
            let stored = match part.file.shape == self.shape {
                true => Shape::of(self.rows),
                false => shape(&part.file.shape).ok_or_else(|| {
                    let file = self.place.shown(&part.meta.location);
                    crate::Error::new(
                        Kind::Corrupt,
                        format!("nothing tells the columns of {file}"),
                    )
                })?,
            };
            plans.push(self.one(part, stored)?);
        }
        Ok(plans)
    }

    /// A plan over one file, of which only a part is wanted or whose columns are not the present ones.
    fn one(&self, part: Part, stored: Shape) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (range, is_whole) = (part.range, part.is_whole());
        let columns = self.projection.iter().map(|at| self.as_now(*at, &stored));
        let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
        let schema = Arc::new(stored.schema);
        let mut plan = self.scan(vec![part], 1, &schema, None)?;
        if !is_whole {
            let offset = || col(Hidden::Offset.name(), &schema);
            let from = binary(offset()?, Operator::GtEq, lit(range.start.0), &schema)?;
            let to = binary(offset()?, Operator::Lt, lit(range.end.0), &schema)?;
            let within = binary(from, Operator::And, to, &schema)?;
            plan = Arc::new(FilterExec::try_new(within, plan)?);
        }
        Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
    }

    /// A present column as an expression over a file of another shape: the column that was read from the same field, or what
    /// a row shows that does not have it.
    fn as_now(&self, at: usize, stored: &Shape) -> DataFusionResult<ProjectionExpr> {
        let schema = &stored.schema;
        let Some(column) = self.rows.columns().get(at) else {
            let hidden = at.checked_sub(self.rows.columns().len());
            let hidden = hidden.and_then(|at| Hidden::ALL.get(at)).ok_or_else(|| {
                crate::Error::new(Kind::Internal, format!("there is no column {at}"))
            })?;
            let column = col(hidden.name(), schema)?;
            return Ok(ProjectionExpr::new(column, hidden.name().to_owned()));
        };
        let wanted = column.field.data_type();
        let place = stored.sources.iter().position(|s| *s == column.source);
        let field = place.and_then(|place| schema.fields().get(place));
        let expr: Arc<dyn PhysicalExpr> = match field {
            Some(field) if field.data_type() == wanted => col(field.name(), schema)?,
            Some(field) => cast(col(field.name(), schema)?, schema, wanted.clone())?,
            None => lit(match &column.absent {
                Some(absent) => absent.clone(),
                None => ScalarValue::try_from(wanted)?,
            }),
        };
        Ok(ProjectionExpr::new(expr, column.field.name().clone()))
    }

    fn scan(
        &self,
        files: Vec<Part>,
        parts: usize,
        schema: &SchemaRef,
        projection: Option<Vec<usize>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let url = self.place.store_url()?;
        let footers = self.runtime.cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(self.place.store(), footers);
        let source = ParquetSource::new(TableSchema::from(Arc::clone(schema)))
            .with_table_parquet_options(TableParquetOptions {
                global: self.options.execution.parquet.clone(),
                ..TableParquetOptions::default()
            })
            .with_parquet_file_reader_factory(Arc::new(reader));
        let statistics = total(&files, schema);
        let files: Vec<PartitionedFile> = files
            .into_iter()
            .map(|part| {
                let statistics = Arc::new(of_file(&part, schema));
                PartitionedFile::new_from_meta(part.meta)
                    .with_statistics(statistics)
                    .with_extension(part.guard)
            })
            .collect();
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(FileGroup::new(files).split_files(parts.max(1)))
            .with_statistics(statistics)
            .with_projection_indices(projection)?
            .with_limit(self.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn total(files: &[Part], schema: &Schema) -> Statistics {
    let rows = files.iter().map(|part| part.file.rows).sum::<u64>();
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
    statistics
}

/// What is known of a file without opening it: by this whole files are passed over.
fn of_file(part: &Part, schema: &Schema) -> Statistics {
    let mut statistics = total(std::slice::from_ref(part), schema);
    let file = &part.file;
    if file.rows == 0 {
        return statistics;
    }
    let between = |min: ScalarValue, max: ScalarValue, exact: bool| {
        let value = |value| match exact {
            true => Precision::Exact(value),
            false => Precision::Inexact(value),
        };
        ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value: value(min),
            max_value: value(max),
            ..ColumnStatistics::new_unknown()
        }
    };
    for (field, column) in schema
        .fields()
        .iter()
        .zip(&mut statistics.column_statistics)
    {
        *column = match (Hidden::named(field.name()), field.data_type()) {
            (Some(Hidden::Partition), DataType::Int32) => {
                let number = ScalarValue::Int32(i32::try_from(part.partition.0).ok());
                between(number.clone(), number, true)
            }
            (Some(Hidden::Offset), _) => between(
                ScalarValue::Int64(Some(file.start.0)),
                ScalarValue::Int64(Some(file.end.0 - 1)),
                false,
            ),
            (Some(Hidden::Timestamp), DataType::Timestamp(_, zone)) => {
                let at = |ms| ScalarValue::TimestampMillisecond(Some(ms), zone.clone());
                between(at(file.min_timestamp_ms), at(file.max_timestamp_ms), true)
            }
            _ => continue,
        };
    }
    statistics
}
