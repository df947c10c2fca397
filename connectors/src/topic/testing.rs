//! A log in a folder that goes away, for this module's tests.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use weir_base::{Clock, ManualClock, TopicName};
use weir_topics::{LogSettings, Topic, TopicConfig, TopicLog, TopicSpec};

use super::{RowColumn, RowSchema};

/// A log, its clock and the folder that it is in.
pub(super) struct TestLog {
    pub(super) log: TopicLog,
    pub(super) clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

impl TestLog {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(1_000));
        let log = open(&dir, &clock).await;
        Self { log, clock, dir }
    }

    /// A topic that is made now.
    pub(super) async fn topic(&self, partitions: u32, owned: bool) -> Topic {
        let name = TopicName::new(format!("t{}", self.log.topics().len())).unwrap();
        self.log
            .create_topic(
                &name,
                TopicSpec { partitions, owned },
                TopicConfig::default(),
            )
            .await
            .unwrap()
    }

    /// Closes the log and opens it again; topics are to be asked for anew.
    pub(super) async fn reopen(self) -> Self {
        let Self { log, clock, dir } = self;
        log.close().await.unwrap();
        drop(log);
        let log = open(&dir, &clock).await;
        Self { log, clock, dir }
    }
}

async fn open(dir: &tempfile::TempDir, clock: &Arc<ManualClock>) -> TopicLog {
    let mut settings = LogSettings::new(dir.path());
    // Small, so that tests have several segments and index entries.
    settings.segment_bytes_max = 4096;
    settings.index_interval_bytes = 256;
    TopicLog::open(settings, Arc::clone(clock) as Arc<dyn Clock>)
        .await
        .unwrap()
}

/// Columns `id BIGINT NOT NULL`, `name TEXT`, `price DOUBLE PRECISION`; the first is the key if asked for.
pub(super) fn items(keyed: bool) -> Arc<RowSchema> {
    let columns = vec![
        RowColumn::new(Field::new("id", DataType::Int64, false)),
        RowColumn::new(Field::new("name", DataType::Utf8View, true)),
        RowColumn::new(Field::new("price", DataType::Float64, true)),
    ];
    Arc::new(RowSchema::new(columns, if keyed { vec![0] } else { vec![] }).unwrap())
}

/// What a query gives over a table that it calls `t`.
pub(super) async fn query(table: Arc<dyn TableProvider>, sql: &str) -> Vec<RecordBatch> {
    let config = SessionConfig::new()
        .with_target_partitions(3)
        .with_batch_size(7);
    let context = SessionContext::new_with_config(config);
    context.register_table("t", table).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// The plan of a query over a table that it calls `t`, as text.
pub(super) async fn plan(table: Arc<dyn TableProvider>, sql: &str) -> String {
    let config = SessionConfig::new().with_target_partitions(3);
    let context = SessionContext::new_with_config(config);
    context.register_table("t", table).unwrap();
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    datafusion::physical_plan::displayable(plan.as_ref())
        .indent(false)
        .to_string()
}
