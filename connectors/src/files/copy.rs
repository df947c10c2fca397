//! `COPY (query) TO 'location'`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::{Kind, Options};

use super::connection::ConnectionSpec;
use super::format::{Format, FormatOptions};
use super::stores::{FileStores, Place};
use super::table::{find, internal};
use super::write::{self, Target};
use crate::{Error, Result};

/// Where a `COPY` goes, as the statement says it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CopyTo {
    /// A file, or a folder: one that exists, or that ends with a slash, or that is partitioned.
    pub location: String,
    /// The format's name. None: as the location's name tells.
    pub format: Option<String>,
    /// Columns whose values name folders (`day=2024-01-01/`) and are not in the files.
    pub partitioned_by: Vec<String>,
    /// Options of the format, and: `single_file` (true or false), `if_exists` (`replace`, `error`, `append`),
    /// `connection`, which is resolved by the caller.
    pub options: BTreeMap<String, String>,
}

impl CopyTo {
    /// The connection that the options name.
    pub fn connection(&self) -> Option<&str> {
        self.options
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("connection"))
            .map(|(_, name)| name.as_str())
    }
}

/// The plan of a `COPY`: it writes the rows of `input`, all or none, and answers their number (`count`, UInt64).
///
/// The result is seen when the last row is written: a file under a temporary name is renamed, uploads to an object store
/// are completed. After a failure or a cancellation nothing is left.
///
/// # Errors
/// What is wrong with location, format or options; denied by the policy.
pub fn copy_plan(
    stores: &FileStores,
    input: LogicalPlan,
    to: &CopyTo,
    connection: Option<&ConnectionSpec>,
) -> Result<LogicalPlan> {
    let schema = Arc::clone(input.schema().inner());
    let target = Arc::new(CopyTarget::new(stores, schema, to, connection)?);
    LogicalPlanBuilder::insert_into(input, "copy", provider_as_source(target), InsertOp::Append)
        .and_then(LogicalPlanBuilder::build)
        .map_err(internal)
}

/// What happens when there is something at the location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfExists {
    Replace,
    Error,
    Append,
}

impl FromStr for IfExists {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.to_lowercase().as_str() {
            "replace" => Ok(Self::Replace),
            "error" => Ok(Self::Error),
            "append" => Ok(Self::Append),
            _ => Err(format!("{text:?} is not one of replace, error, append")),
        }
    }
}

/// A place that rows are inserted into and never read from.
struct CopyTarget {
    stores: FileStores,
    schema: SchemaRef,
    place: Place,
    is_folder: bool,
    partitioned_by: Vec<String>,
    format: FormatOptions,
    compression: CompressionTypeVariant,
    if_exists: IfExists,
}

impl CopyTarget {
    fn new(
        stores: &FileStores,
        schema: SchemaRef,
        to: &CopyTo,
        connection: Option<&ConnectionSpec>,
    ) -> Result<Self> {
        let mut options = Options::new(to.options.clone());
        options.take::<String>("connection")?;
        let told = Format::of_name(to.location.split(['?', '#']).next().unwrap_or_default());
        let named = match (&to.format, options.take::<String>("format")?) {
            (Some(one), Some(other)) if !one.eq_ignore_ascii_case(&other) => {
                return Err(Error::invalid(format!(
                    "the format is given twice: {one} and {other}"
                )));
            }
            (Some(named), _) => named.clone(),
            (None, Some(named)) => named,
            (None, None) => told
                .map(
                    |(format, _)| match to.location.to_lowercase().contains(".tsv") {
                        true => "tsv".to_owned(),
                        false => format.name().to_owned(),
                    },
                )
                .ok_or_else(|| {
                    Error::invalid(format!("the name {:?} does not tell a format", to.location))
                        .with_hint("add STORED AS PARQUET, CSV, JSON or ARROW")
                })?,
        };
        let format: Format = named
            .parse()
            .map_err(|reason| Error::invalid(format!("format {reason}")))?;
        let single_file = options.take::<bool>("single_file")?;
        let if_exists = options.take::<IfExists>("if_exists")?;
        let format_options = FormatOptions::take(format, &named, &mut options)?;
        options.finish()?;
        if format_options.array == Some(true) {
            return Err(
                Error::unsupported("JSON is written one object a line, not as an array")
                    .with_hint("leave out array = 'true'"),
            );
        }
        let place = stores.resolve(&to.location, connection)?;
        if place.glob.is_some() {
            return Err(Error::invalid("COPY cannot write to a pattern"));
        }
        if place.is_web() {
            return Err(
                Error::unsupported("files of a web server can be read, not written")
                    .with_hint("write to a local folder, or to an s3, gcs or azure connection"),
            );
        }
        let is_folder = match (
            single_file,
            place.is_folder || !to.partitioned_by.is_empty(),
        ) {
            (Some(true), true) => {
                return Err(Error::invalid(format!(
                    "{} is a folder, so it cannot be a single file",
                    place.shown
                )));
            }
            (Some(false), _) | (None, true) => true,
            (Some(true) | None, false) => false,
        };
        let if_exists = match (if_exists, is_folder) {
            (None, true) => IfExists::Error,
            (None, false) => IfExists::Replace,
            (Some(IfExists::Replace), true) => {
                return Err(
                    Error::unsupported("the files of a folder cannot be replaced at once")
                        .with_hint("use if_exists = 'append', or write to another folder"),
                );
            }
            (Some(IfExists::Append), false) => {
                return Err(Error::unsupported("rows cannot be appended to a file")
                    .with_hint("end the location with a slash to add files to a folder"));
            }
            (Some(chosen), _) => chosen,
        };
        let compression = match format.is_text() {
            false => CompressionTypeVariant::UNCOMPRESSED,
            true => format_options
                .compression
                .or(told
                    .map(|(_, compression)| compression)
                    .filter(|_| !is_folder))
                .unwrap_or(CompressionTypeVariant::UNCOMPRESSED),
        };
        Ok(Self {
            stores: stores.clone(),
            schema,
            place: Place { is_folder, ..place },
            is_folder,
            partitioned_by: to.partitioned_by.clone(),
            format: format_options,
            compression,
            if_exists,
        })
    }

    async fn plan(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.if_exists == IfExists::Error && !find(&self.place).await?.is_empty() {
            let error = Error::new(
                Kind::Conflict,
                format!("{} holds files already", self.place.shown),
            );
            return Err(match self.is_folder {
                true => error.with_hint("if_exists = 'append' adds files to those that are there"),
                false => error.with_hint("if_exists = 'replace' replaces the file"),
            });
        }
        let target = Target {
            place: self.place.clone(),
            is_folder: self.is_folder,
            partitioned_by: self.partitioned_by.clone(),
            writes: self.format.format,
            format: self.format.build(session, self.compression, false),
            extension: write::extension(self.format.format, self.compression),
        };
        write::plan(&self.stores, session, input, target).await
    }
}

impl fmt::Debug for CopyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyTarget")
            .field("location", &self.place.shown)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for CopyTarget {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(
            "the target of COPY is not read".into(),
        ))
    }

    async fn insert_into(
        &self,
        session: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        _: InsertOp,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self.plan(session, input).await?)
    }
}
