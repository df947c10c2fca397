//! The facts of a running engine, as one session sees them.

use std::sync::Arc;

use weir_catalog::{ObjectId, Privilege, Snapshot};
use weir_connectors::topic::HistoryFile;

use super::System;
use super::facts::{Facts, FunctionFacts, SettingFacts, TopicFacts, functions_of, topic_facts};
use super::groups::{GroupFacts, group_facts};
use crate::engine::Shared;
use crate::queries::QueryInfo;
use crate::security::Rights;
use crate::variables::Variables;
use crate::views::ViewStatus;

#[derive(Debug)]
struct EngineFacts {
    engine: Arc<Shared>,
    variables: Variables,
    catalog: Arc<Snapshot>,
    rights: Arc<Rights>,
}

impl System {
    /// What a session of `engine` with these rights sees on `catalog`, which has what is there for it.
    pub(crate) fn of(
        engine: &Arc<Shared>,
        catalog: &Arc<Snapshot>,
        variables: &Variables,
        rights: &Arc<Rights>,
    ) -> Self {
        Self {
            catalog: Arc::clone(catalog),
            facts: Arc::new(EngineFacts {
                engine: Arc::clone(engine),
                variables: variables.clone(),
                catalog: Arc::clone(catalog),
                rights: Arc::clone(rights),
            }),
            rights: Arc::clone(rights),
        }
    }
}

impl Facts for EngineFacts {
    fn topics(&self, with_segments: bool) -> Vec<TopicFacts> {
        let mut topics = topic_facts(&self.engine.log, with_segments);
        if !self.rights.is_admin() {
            topics.retain(|topic| !self.catalog.by_topic(topic.id).is_empty());
        }
        topics
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

    fn groups(&self) -> Vec<GroupFacts> {
        let mut groups = group_facts(&self.engine.log);
        if !self.rights.is_admin() {
            // As over the Kafka protocol: it is there for who may read all that is stored in every topic that it has committed offsets
            // of; what was dropped is no secret any more.
            let all = self.engine.catalog.snapshot();
            groups.retain(|group| {
                group.committed.iter().all(|committed| {
                    let mut entries = all.by_topic(committed.topic).iter();
                    entries.all(|entry| {
                        self.rights.allows(Privilege::Select, entry, &all)
                            && self.rights.policies_on(entry).is_empty()
                    })
                })
            });
        }
        groups
    }

    fn queries(&self) -> Vec<QueryInfo> {
        let mut queries = self.engine.queries.list();
        if !self.rights.is_admin() {
            let user = self.rights.principal().user();
            queries.retain(|query| query.user == user);
        }
        queries
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
}
