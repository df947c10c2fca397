//! The facts of a running engine, as one session sees them.

use std::sync::Arc;

use weir_base::{QueryId, SqlState};
use weir_catalog::{ObjectId, ObjectKind, Snapshot};
use weir_connectors::topic::HistoryFile;

use super::facts::{
    Facts, FunctionFacts, Right, RoleFacts, SessionFacts, SettingFacts, TopicFacts, functions_of,
    topic_facts,
};
use super::objects::Relation;
use super::pg_catalog::process_number;
use super::{OWNER, System};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::queries::QueryInfo;
use crate::session::Session;
use crate::variables::Variables;
use crate::views::ViewStatus;

#[derive(Debug)]
struct EngineFacts {
    engine: Arc<Shared>,
    variables: Variables,
    /// The query that asks.
    query: Option<QueryId>,
    /// The session whose settings a function may change.
    session: Option<Session>,
}

impl System {
    /// What a session of `engine` sees on `catalog`.
    pub(crate) fn of(engine: &Arc<Shared>, catalog: &Arc<Snapshot>, variables: &Variables) -> Self {
        Self::of_query(engine, catalog, variables, None, None)
    }

    /// What a query of `session` sees.
    pub(crate) fn of_query(
        engine: &Arc<Shared>,
        catalog: &Arc<Snapshot>,
        variables: &Variables,
        query: Option<QueryId>,
        session: Option<Session>,
    ) -> Self {
        Self {
            catalog: Arc::clone(catalog),
            facts: Arc::new(EngineFacts {
                engine: Arc::clone(engine),
                variables: variables.clone(),
                query,
                session,
            }),
        }
    }
}

impl Facts for EngineFacts {
    fn topics(&self, with_segments: bool) -> Vec<TopicFacts> {
        topic_facts(&self.engine.log, with_segments)
    }

    fn history(&self, stream: ObjectId) -> Vec<HistoryFile> {
        self.engine.histories.files(stream)
    }

    fn history_failure(&self, stream: ObjectId) -> Option<String> {
        self.engine.histories.failure(stream)
    }

    fn job(&self, id: ObjectId) -> Option<ViewStatus> {
        let sinks = || self.engine.sinks.status(id);
        self.engine.views.status(id).or_else(sinks)
    }

    fn queries(&self) -> Vec<QueryInfo> {
        self.engine.queries.list()
    }

    fn settings(&self) -> Vec<SettingFacts> {
        let settings = self.variables.all(&self.engine.settings.limits);
        settings
            .into_iter()
            .map(|(name, value, description)| SettingFacts {
                name: name.to_owned(),
                value,
                description: description.to_owned(),
            })
            .collect()
    }

    fn functions(&self) -> Vec<FunctionFacts> {
        functions_of(&self.engine.base_state)
    }

    fn session(&self) -> SessionFacts {
        SessionFacts {
            user: OWNER.to_owned(),
            schema: self.variables.schema().to_owned(),
            process: self.query.map_or(0, process_number),
            now_ms: self.engine.clock.now_ms(),
            started_ms: self.engine.started_ms,
        }
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.variables.get(name, &self.engine.settings.limits).ok()
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let session = self.session.as_ref().ok_or_else(|| {
            Error::invalid(
                SqlState("25P01"),
                "a setting can only be set by a query of a session",
            )
        })?;
        let limits = &self.engine.settings.limits;
        session.change_variables(|variables| variables.set(name, value, limits))
    }

    fn cancel(&self, process: i32) -> bool {
        let queries = self.engine.queries.list().into_iter();
        let mut found = queries.filter(|query| process_number(query.id) == process);
        found.any(|query| self.engine.queries.cancel(query.id))
    }

    fn roles(&self) -> Vec<RoleFacts> {
        vec![RoleFacts {
            name: OWNER.to_owned(),
            is_admin: true,
            may_sign_in: true,
            valid_until_ms: None,
            member_of: Vec::new(),
        }]
    }

    fn has_role(&self, user: &str, role: &str) -> bool {
        user == role
    }

    fn may(&self, _user: &str, right: Right, relation: Relation<'_>) -> bool {
        can(right, relation)
    }
}

/// Whether this can be done with a relation at all.
fn can(right: Right, relation: Relation<'_>) -> bool {
    match right {
        Right::Select => true,
        Right::Insert => relation.entry().is_some_and(|entry| {
            !matches!(
                entry.kind(),
                ObjectKind::View | ObjectKind::MaterializedView
            )
        }),
        Right::Update | Right::Delete => relation
            .entry()
            .is_some_and(|entry| entry.kind() == ObjectKind::Table),
        Right::Other => false,
    }
}
