//! A table of files as DataFusion sees it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::{Column, DFSchema, SchemaExt, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::Result as DataFusionResult;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, cast, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::format::{Format, FormatOptions};
use super::listing::Filter;
use super::stores::{FileStores, Place};
use super::table::{internal, without};
use super::write::{self, Target};
use crate::{Error, Result};

/// A table of files: a `ListingTable` whose writes are seen all at once or not at all.
pub struct FileTableProvider {
    schema: SchemaRef,
    listing: ListingTable,
    nulls: Option<Nulls>,
    partitions: Vec<FieldRef>,
    place: Place,
    stores: FileStores,
    format: FormatOptions,
    compression: CompressionTypeVariant,
    array: bool,
}

/// All that is known of a table of files once it was looked at.
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) filter: Filter,
    pub(crate) file_schema: SchemaRef,
    pub(crate) partitions: Vec<FieldRef>,
    pub(crate) format: FormatOptions,
    pub(crate) compression: CompressionTypeVariant,
    pub(crate) array: bool,
}

impl FileTableProvider {
    pub(crate) fn new(stores: &FileStores, session: &dyn Session, found: Found) -> Result<Self> {
        let filter = found.place.is_folder.then_some(&found.filter);
        let url = ListingTableUrl::try_new(found.place.url(filter)?, None).map_err(internal)?;
        let format = found.format.build(session, found.compression, found.array);
        let partitions = found.partitions.iter();
        let listing_options = ListingOptions::new(format)
            // Which files are meant, the filter in the URL says.
            .with_file_extension("")
            .with_table_partition_cols(
                partitions
                    .map(|field| (field.name().clone(), field.data_type().clone()))
                    .collect(),
            );
        let nulls = Nulls::of(&found.format, &found.file_schema);
        let listed = nulls.as_ref().map_or(found.file_schema, Nulls::as_text);
        let config = ListingTableConfig::new(url)
            .with_listing_options(listing_options)
            .with_schema(listed);
        let caches = &session.runtime_env().cache_manager;
        let listing = ListingTable::try_new(config)
            .map_err(internal)?
            .with_cache(caches.get_file_statistic_cache());
        Ok(Self {
            schema: match &nulls {
                None => listing.schema(),
                Some(nulls) => with_partitions(&nulls.typed, &found.partitions),
            },
            nulls,
            listing,
            partitions: found.partitions,
            place: found.place,
            stores: stores.clone(),
            format: found.format,
            compression: found.compression,
            array: found.array,
        })
    }

    /// The columns that the files hold, without those that their folders give.
    pub fn file_columns(&self) -> SchemaRef {
        without(&self.schema, &self.partitions)
    }

    /// The columns that folders give, in the order of the folders.
    pub fn partition_columns(&self) -> &[FieldRef] {
        &self.partitions
    }

    /// The location as the user wrote it, without secrets.
    pub fn location(&self) -> &str {
        &self.place.shown
    }

    /// The files' format.
    pub fn format(&self) -> Format {
        self.format.format
    }

    /// Reads the files' columns as text, and gives them their types once the text that means NULL is gone.
    async fn scan_text(
        &self,
        session: &dyn Session,
        nulls: &Nulls,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let is_partition = |name: &str| self.partitions.iter().any(|part| part.name() == name);
        let filters: Vec<Expr> = filters
            .iter()
            .filter(|filter| {
                filter
                    .column_refs()
                    .iter()
                    .all(|column| is_partition(&column.name))
            })
            .cloned()
            .collect();
        let text = self
            .listing
            .scan(session, projection, &filters, limit)
            .await?;
        let given = DFSchema::try_from(text.schema().as_ref().clone())?;
        let columns = text
            .schema()
            .fields()
            .iter()
            .map(|field| {
                let mut column = Expr::Column(Column::new_unqualified(field.name()));
                if !is_partition(field.name()) {
                    let typed = nulls.typed.field_with_name(field.name())?;
                    let text = nullif(column, lit(nulls.null.as_str()));
                    column = cast(text, typed.data_type().clone());
                }
                let column = session.create_physical_expr(column, &given)?;
                Ok(ProjectionExpr::new(column, field.name().clone()))
            })
            .collect::<DataFusionResult<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, text)?))
    }

    fn insert(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Target> {
        let refuse = |why: &str| Err(Error::unsupported(format!("{}: {why}", self.place.shown)));
        if insert_op != InsertOp::Append {
            return refuse("rows can be added to a table of files, not replaced");
        }
        if self.place.glob.is_some() {
            return refuse(
                "rows cannot be inserted where the location is a pattern; name the folder",
            );
        }
        if !self.place.is_folder {
            return refuse(
                "rows cannot be inserted into a single file; make the table of a folder",
            );
        }
        if self.array {
            return refuse("rows cannot be added to files that are JSON arrays");
        }
        self.schema()
            .logically_equivalent_names_and_types(&input.schema())
            .map_err(internal)?;
        Ok(Target {
            place: self.place.clone(),
            is_folder: true,
            partitioned_by: self
                .partitions
                .iter()
                .map(|field| field.name().clone())
                .collect(),
            format: self.format.build(session, self.compression, false),
            extension: write::extension(self.format.format, self.compression),
            writes: self.format.format,
        })
    }
}

impl fmt::Debug for FileTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTableProvider")
            .field("location", &self.place.shown)
            .field("format", &self.format.format)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for FileTableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match &self.nulls {
            None => self.listing.scan(session, projection, filters, limit).await,
            Some(nulls) => {
                self.scan_text(session, nulls, projection, filters, limit)
                    .await
            }
        }
    }

    async fn scan_with_args<'a>(
        &self,
        session: &dyn Session,
        args: ScanArgs<'a>,
    ) -> DataFusionResult<ScanResult> {
        if self.nulls.is_none() {
            return self.listing.scan_with_args(session, args).await;
        }
        let projection = args.projection().map(<[usize]>::to_vec);
        let filters = args.filters().unwrap_or_default();
        let plan = self
            .scan(session, projection.as_ref(), filters, args.limit())
            .await?;
        Ok(plan.into())
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        self.listing.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.listing.statistics()
    }

    async fn insert_into(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let target = self.insert(session, Arc::clone(&input), insert_op)?;
        Ok(write::plan(&self.stores, session, input, target).await?)
    }
}

/// A text that means NULL in CSV, and the columns' types: DataFusion's reader knows no such text.
struct Nulls {
    null: String,
    typed: SchemaRef,
}

impl Nulls {
    fn of(format: &FormatOptions, schema: &SchemaRef) -> Option<Self> {
        let null = format
            .csv
            .null_value
            .clone()
            .filter(|null| !null.is_empty())?;
        // Any column may hold the text, whatever was declared.
        let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
        let fields: Vec<Field> = schema.fields().iter().map(nullable).collect();
        let typed = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        (format.format == Format::Csv).then_some(Self { null, typed })
    }

    fn as_text(&self) -> SchemaRef {
        let as_text = |field: &FieldRef| Field::new(field.name(), DataType::Utf8View, true);
        let fields: Vec<Field> = self.typed.fields().iter().map(as_text).collect();
        Arc::new(Schema::new(fields))
    }
}

fn with_partitions(schema: &SchemaRef, partitions: &[FieldRef]) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().chain(partitions).cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
