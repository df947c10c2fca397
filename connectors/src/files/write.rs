//! Writing files: the plan under `INSERT INTO` a table of files and `COPY … TO`.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, UInt64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileOutputMode, FileSinkConfig};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::{StreamExt, TryStreamExt};
use weir_base::SqlState;

use super::format::{Format, compression_extension};
use super::stage::{Stage, StagedStore};
use super::stores::{FileStores, Place, internal_url};
use super::table::internal;
use crate::{Error, Result};

/// Where and how rows are written.
pub(crate) struct Target {
    pub(crate) place: Place,
    /// Files with names of their own in a folder, or the one file that the place names.
    pub(crate) is_folder: bool,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) writes: Format,
    pub(crate) format: Arc<dyn FileFormat>,
    /// What the names of new files end with, without the first dot.
    pub(crate) extension: String,
}

/// What the names of new files end with.
pub(crate) fn extension(format: Format, compression: CompressionTypeVariant) -> String {
    let name = format.extensions().first().copied().unwrap_or_default();
    let end = if format.is_text() {
        compression_extension(compression)
    } else {
        ""
    };
    format!("{}{end}", name.trim_start_matches('.'))
}

/// A plan that writes the rows of `input` and answers their number (`count`, UInt64).
pub(crate) async fn plan(
    stores: &FileStores,
    session: &dyn Session,
    input: Arc<dyn ExecutionPlan>,
    target: Target,
) -> Result<Arc<dyn ExecutionPlan>> {
    if target.writes == Format::Avro {
        return Err(Error::unsupported("Avro files can be read, not written")
            .with_hint("write Parquet, CSV, JSON or Arrow"));
    }
    let host = stores.write_host();
    let input = match target.partitioned_by.is_empty() {
        true => input,
        false => Arc::new(PartitionKeysExec::new(input, &target.partitioned_by)?) as _,
    };
    let url = internal_url(&host, &target.place.path, target.is_folder, None)?;
    let url = ListingTableUrl::try_new(url, None).map_err(internal)?;
    let config = FileSinkConfig {
        original_url: target.place.shown.clone(),
        object_store_url: url.object_store(),
        file_group: Vec::new().into(),
        table_paths: vec![url],
        output_schema: input.schema(),
        table_partition_cols: target
            .partitioned_by
            .iter()
            .map(|name| (name.clone(), DataType::Utf8))
            .collect(),
        insert_op: InsertOp::Append,
        keep_partition_by_columns: false,
        file_extension: target.extension.clone(),
        file_output_mode: match target.is_folder {
            true => FileOutputMode::Directory,
            false => FileOutputMode::SingleFile,
        },
    };
    let sink = target
        .format
        .create_writer_physical_plan(input, session, config, None)
        .await
        .map_err(internal)?;
    Ok(Arc::new(FileWriteExec {
        properties: single(sink.schema()),
        sink,
        host,
        stores: stores.clone(),
        place: target.place,
        writes: target.writes,
    }))
}

fn single(schema: SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Final,
        Boundedness::Bounded,
    ))
}

/// Runs a sink of DataFusion into a stage, and commits the stage when it went through.
///
/// In: the sink's one row with the count. Out: the same.
struct FileWriteExec {
    sink: Arc<dyn ExecutionPlan>,
    host: String,
    stores: FileStores,
    place: Place,
    writes: Format,
    properties: Arc<PlanProperties>,
}

/// Keeps the stage findable while the sink runs.
struct Registered {
    stores: FileStores,
    host: String,
    stage: Arc<Stage>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.stores.deregister_write(&self.host);
    }
}

impl FileWriteExec {
    fn run(&self, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let stage = Stage::new(
            Arc::clone(&self.place.mount),
            &self.place.path,
            self.place.is_on_disk(),
            &self.place.shown,
        );
        self.stores
            .register_write(&self.host, Arc::new(StagedStore(Arc::clone(&stage))));
        let registered = Registered {
            stores: self.stores.clone(),
            host: self.host.clone(),
            stage,
        };
        let sink = Arc::clone(&self.sink);
        let written = async move {
            let stage = Arc::clone(&registered.stage);
            // The sink finds its store when it starts, so the registration lives as long as it runs.
            let counts: DataFusionResult<Vec<RecordBatch>> = match sink.execute(0, context) {
                Ok(rows) => rows.try_collect().await,
                Err(error) => Err(error),
            };
            drop(registered);
            let counts = match (stage.failure(), counts) {
                (Some(failure), _) => return Err(DataFusionError::from(failure)),
                (None, counts) => counts?,
            };
            stage.commit().await?;
            Ok(futures::stream::iter(counts.into_iter().map(Ok)))
        };
        let rows = futures::stream::once(written).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

impl fmt::Debug for FileWriteExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriteExec")
            .field("location", &self.place.shown)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for FileWriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FileWriteExec: location={}, format={}",
            self.place.shown, self.writes
        )
    }
}

impl ExecutionPlan for FileWriteExec {
    fn name(&self) -> &'static str {
        "FileWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.sink]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let sink = children.pop().ok_or_else(one_child)?;
        Ok(Arc::new(Self {
            sink,
            host: self.host.clone(),
            stores: self.stores.clone(),
            place: self.place.clone(),
            writes: self.writes,
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(
                "a write has one partition".into(),
            ));
        }
        self.run(context)
    }
}

fn one_child() -> DataFusionError {
    DataFusionError::Internal("a plan node has one child".into())
}

/// Turns partition columns into the text that names their folders, and refuses NULL, which no folder name can say.
///
/// In: rows. Out: the same rows with partition columns as text.
#[derive(Debug)]
struct PartitionKeysExec {
    input: Arc<dyn ExecutionPlan>,
    names: Arc<[String]>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl PartitionKeysExec {
    fn new(input: Arc<dyn ExecutionPlan>, names: &[String]) -> Result<Self> {
        let schema = keyed_schema(&input.schema(), names)?;
        Ok(Self {
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(Arc::clone(&schema)),
                Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
                input.pipeline_behavior(),
                input.boundedness(),
            )),
            input,
            names: names.into(),
            schema,
        })
    }
}

/// Refuses partition columns that are not there, or could name no folder.
pub(super) fn check_partition_columns(given: &SchemaRef, names: &[String]) -> Result<()> {
    match names.is_empty() {
        true => Ok(()),
        false => keyed_schema(given, names).map(|_| ()),
    }
}

/// The schema of rows whose partition columns have become text.
pub(super) fn keyed_schema(given: &SchemaRef, names: &[String]) -> Result<SchemaRef> {
    if let Some(missing) = names
        .iter()
        .find(|name| given.field_with_name(name).is_err())
    {
        let nearest = weir_base::nearest::nearest(
            missing,
            given.fields().iter().map(|field| field.name().as_str()),
        );
        let error = Error::invalid(format!(
            "column {missing:?} of PARTITIONED BY is not among the rows' columns"
        ))
        .with_sqlstate(SqlState::UNDEFINED_COLUMN);
        return Err(match nearest {
            Some(nearest) => error.with_hint(format!("did you mean {nearest:?}?")),
            None => error,
        });
    }
    if names.len() >= given.fields().len() {
        return Err(Error::invalid(
            "every column is a partition column, so the files would be empty",
        ));
    }
    let fields: Vec<Arc<Field>> = given
        .fields()
        .iter()
        .map(|field| match names.contains(field.name()) {
            true if is_nested(field.data_type()) => Err(Error::invalid(format!(
                "column {:?} is {}, and cannot name folders",
                field.name(),
                field.data_type()
            ))),
            true => Ok(Arc::new(Field::new(field.name(), DataType::Utf8, false))),
            false => Ok(Arc::clone(field)),
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(Schema::new_with_metadata(
        fields,
        given.metadata().clone(),
    )))
}

fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || data_type.is_binary()
}

pub(super) fn partition_keys(
    batch: &RecordBatch,
    names: &[String],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let columns = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            if !names.contains(field.name()) {
                return Ok(Arc::clone(column));
            }
            if column.null_count() > 0 {
                return Err(Error::invalid(format!(
                    "partition column {:?} is NULL in some row, which no folder can be named after",
                    field.name()
                ))
                .with_sqlstate(SqlState::NOT_NULL_VIOLATION)
                .with_hint("filter these rows out, or write coalesce(column, value)"));
            }
            cast(column, &DataType::Utf8).map_err(|error| internal(error.into()))
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| internal(error.into()))
}

impl DisplayAs for PartitionKeysExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionKeysExec: columns=[{}]", self.names.join(", "))
    }
}

impl ExecutionPlan for PartitionKeysExec {
    fn name(&self) -> &'static str {
        "PartitionKeysExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(one_child)?;
        Ok(Arc::new(Self::new(input, &self.names)?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let (names, schema) = (Arc::clone(&self.names), Arc::clone(&self.schema));
        let keyed = rows.map(move |batch| Ok(partition_keys(&batch?, &names, &schema)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            keyed,
        )))
    }
}

/// The number that a write answered.
pub fn written_rows(batches: &[RecordBatch]) -> u64 {
    batches
        .iter()
        .filter_map(|batch| batch.columns().first())
        .filter_map(|column| column.as_any().downcast_ref::<UInt64Array>())
        .flat_map(|counts| counts.values().iter())
        .sum()
}
