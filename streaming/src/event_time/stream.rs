//! A stream whose rows tell how far event time has come.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use weir_connectors::topic::StreamTable;

use super::WATERMARK;
use super::exec::WatermarkExec;
use super::marking::{Marking, Reading};
use crate::operators::OnRowError;

/// A stream with its watermark's expression. Operators that follow it know its watermark at each step; a scan reads it once.
#[derive(Debug, Clone)]
pub struct WatermarkedStream {
    /// With hidden columns.
    stream: Arc<StreamTable>,
    watermark: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    on_error: OnRowError,
}

impl WatermarkedStream {
    /// `stream` has hidden columns; of its columns the first are shown, which are those of `schema`. `watermark` is over the
    /// columns of the stream, and gives a timestamp.
    pub fn new(
        stream: Arc<StreamTable>,
        schema: SchemaRef,
        watermark: Arc<dyn PhysicalExpr>,
    ) -> Self {
        Self {
            stream,
            watermark,
            schema,
            on_error: OnRowError::Fail,
        }
    }

    /// Says what becomes of rows whose watermark cannot be computed, where it is read once.
    #[must_use]
    pub fn with_on_row_error(self, on_error: OnRowError) -> Self {
        Self { on_error, ..self }
    }

    pub(crate) fn on_row_error(&self) -> &OnRowError {
        &self.on_error
    }

    pub(crate) fn stream(&self) -> &Arc<StreamTable> {
        &self.stream
    }

    pub(crate) fn watermark(&self) -> &Arc<dyn PhysicalExpr> {
        &self.watermark
    }

    /// The same with one more column: the watermark of a row's partition before the row.
    pub(crate) fn carrying(&self) -> Self {
        let mut fields = self.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(WATERMARK, watermark_type(), true)));
        Self {
            schema: Arc::new(Schema::new(fields)),
            ..self.clone()
        }
    }
}

/// The type of the watermark's column.
pub(super) fn watermark_type() -> DataType {
    DataType::Decimal128(38, 0)
}

#[async_trait]
impl TableProvider for WatermarkedStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(projection) => self.schema.project(projection)?,
            None => self.schema.as_ref().clone(),
        };
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let external = |error| DataFusionError::External(Box::new(error));
        let reading = Reading::of(self, names).map_err(external)?;
        // All of it, as rows that are asked for have their watermarks from those that are not.
        let input = self.stream.scan(state, Some(&reading.read), &[], None);
        let input = input.await?;
        let marking = Marking::new(self, &input.schema(), reading).map_err(external)?;
        let partitions = self.stream.topic().partitions().len();
        let plan = WatermarkExec::over(input, marking, partitions)?;
        Ok(Arc::new(plan))
    }
}
