//! What system tables show that the catalog does not have.

use std::fmt::Debug;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Documentation;
use weir_base::{Offset, PartitionId, TopicId, TopicName};
use weir_catalog::ObjectId;
use weir_connectors::topic::HistoryFile;
use weir_topics::{SegmentInfo, TopicLog};

use super::groups::GroupFacts;
use super::objects::Relation;
use crate::error::Result;
use crate::queries::QueryInfo;
use crate::views::ViewStatus;

/// Where system tables get what the catalog does not have. Each is asked for when a table that shows it is scanned.
pub(crate) trait Facts: Debug + Send + Sync {
    /// All topics of the embedded log; their segments only if asked for.
    fn topics(&self, with_segments: bool) -> Vec<TopicFacts>;
    /// The Parquet files of a stream's history, by partition and offset.
    fn history(&self, stream: ObjectId) -> Vec<HistoryFile>;
    /// Why the last try to convert a stream failed, if it did.
    fn history_failure(&self, stream: ObjectId) -> Option<String>;
    /// What a materialized view or a sink is doing.
    fn job(&self, id: ObjectId) -> Option<ViewStatus>;
    /// All consumer groups, in order of id.
    fn groups(&self) -> Vec<GroupFacts>;
    /// Queries that run or lately ran, in order of arrival.
    fn queries(&self) -> Vec<QueryInfo>;
    /// The session's settings, in order of name.
    fn settings(&self) -> Vec<SettingFacts>;
    /// The functions that SQL can call, in order of name.
    fn functions(&self) -> Vec<FunctionFacts>;
    /// Who asks, and when.
    fn session(&self) -> SessionFacts;
    /// The value of one of the session's settings.
    fn setting(&self, name: &str) -> Option<String>;
    /// Sets one of them, for the statements that follow.
    fn set(&self, name: &str, value: &str) -> Result<()>;
    /// Stops the query whose process number this is; whether there was one.
    fn cancel(&self, process: i32) -> bool;
    /// All users and roles.
    fn roles(&self) -> Vec<RoleFacts>;
    /// Whether a user is a member of a role, directly or by way of others.
    fn has_role(&self, user: &str, role: &str) -> bool;
    /// Whether a user may do this with a relation.
    fn may(&self, user: &str, right: Right, relation: Relation<'_>) -> bool;
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub(crate) struct SessionFacts {
    pub(crate) user: String,
    /// The schema of names that are given without one.
    pub(crate) schema: String,
    /// The number of the query where PostgreSQL has that of a process.
    pub(crate) process: i32,
    pub(crate) now_ms: i64,
    /// When the server started.
    pub(crate) started_ms: i64,
}

/// A user or a role.
#[derive(Debug, Clone)]
pub(crate) struct RoleFacts {
    pub(crate) name: String,
    pub(crate) is_admin: bool,
    pub(crate) may_sign_in: bool,
    pub(crate) valid_until_ms: Option<i64>,
    pub(crate) member_of: Vec<String>,
}

/// What may be done with a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Select,
    Insert,
    Update,
    Delete,
    /// What nobody can: `REFERENCES`, `TRIGGER`, and `TRUNCATE` of what is no table.
    Other,
}

/// A topic of the embedded log.
#[derive(Debug, Clone)]
pub(crate) struct TopicFacts {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<PartitionFacts>,
}

/// A partition of a topic. The end offset is exclusive, and that of what is durable.
#[derive(Debug, Clone)]
pub(crate) struct PartitionFacts {
    pub(crate) id: PartitionId,
    pub(crate) start_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) segments: Vec<SegmentInfo>,
}

/// A setting of the session.
#[derive(Debug, Clone)]
pub(crate) struct SettingFacts {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) description: String,
}

/// A function that SQL can call.
#[derive(Debug, Clone)]
pub(crate) struct FunctionFacts {
    pub(crate) name: String,
    /// `scalar`, `aggregate`, `window` or `table`.
    pub(crate) kind: &'static str,
    pub(crate) syntax: Option<String>,
    pub(crate) description: Option<String>,
}

impl TopicFacts {
    /// Records that are kept.
    pub(super) fn records(&self) -> i64 {
        let partitions = self.partitions.iter();
        partitions
            .map(|partition| {
                partition
                    .end_offset
                    .0
                    .saturating_sub(partition.start_offset.0)
            })
            .sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.partitions
            .iter()
            .map(|partition| partition.bytes)
            .sum()
    }
}

/// The facts of all topics of a log.
pub(crate) fn topic_facts(log: &TopicLog, with_segments: bool) -> Vec<TopicFacts> {
    let topics = log.topics();
    let facts = topics.iter().map(|topic| TopicFacts {
        name: topic.name().clone(),
        id: topic.id(),
        partitions: topic
            .partitions()
            .iter()
            .map(|partition| PartitionFacts {
                id: partition.id(),
                start_offset: partition.start_offset(),
                end_offset: partition.stable_offset(),
                bytes: partition.size_bytes(),
                segments: if with_segments {
                    partition.segments()
                } else {
                    Vec::new()
                },
            })
            .collect(),
    });
    facts.collect()
}

/// The functions that a planner's state knows, aliases included.
pub(crate) fn functions_of(state: &SessionState) -> Vec<FunctionFacts> {
    let function = |name: &String, kind, documentation: Option<&Documentation>| FunctionFacts {
        name: name.clone(),
        kind,
        syntax: documentation.map(|documentation| documentation.syntax_example.clone()),
        description: documentation.map(|documentation| documentation.description.trim().to_owned()),
    };
    let mut functions = Vec::new();
    for (name, udf) in state.scalar_functions() {
        functions.push(function(name, "scalar", udf.documentation()));
    }
    for (name, udf) in state.higher_order_functions() {
        functions.push(function(name, "scalar", udf.documentation()));
    }
    for (name, udf) in state.aggregate_functions() {
        functions.push(function(name, "aggregate", udf.documentation()));
    }
    for (name, udf) in state.window_functions() {
        functions.push(function(name, "window", udf.documentation()));
    }
    for name in state.table_functions().keys() {
        functions.push(function(name, "table", None));
    }
    functions.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    functions
}
