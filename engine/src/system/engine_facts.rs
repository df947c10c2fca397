//! The facts of a running engine, as one session sees them.

use std::sync::Arc;

use weir_base::{QueryId, SqlState};
use weir_catalog::accounts::{ADMIN, PUBLIC};
use weir_catalog::{ObjectId, ObjectKind, Privilege, Snapshot};
use weir_connectors::topic::HistoryFile;

use super::facts::{
    Facts, FunctionFacts, Right, RoleFacts, SessionFacts, SettingFacts, TopicFacts, functions_of,
    topic_facts,
};
use super::groups::{GroupFacts, group_facts};
use super::objects::Relation;
use super::pg_catalog::process_number;
use super::{OWNER, System};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::queries::QueryInfo;
use crate::security::{Principal, Rights};
use crate::session::WeakSession;
use crate::variables::Variables;
use crate::views::ViewStatus;

#[derive(Debug)]
struct EngineFacts {
    engine: Arc<Shared>,
    variables: Variables,
    catalog: Arc<Snapshot>,
    rights: Arc<Rights>,
    asker: Asker,
}

/// The statement that asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker {
    /// Its session, whose settings a function may change.
    pub(crate) session: WeakSession,
    pub(crate) query: Option<QueryId>,
}

impl System {
    /// What a session of `engine` with these rights sees on `catalog`, which has what is there for it.
    pub(crate) fn of(
        engine: &Arc<Shared>,
        catalog: &Arc<Snapshot>,
        variables: &Variables,
        rights: &Arc<Rights>,
        asker: Asker,
    ) -> Self {
        Self {
            catalog: Arc::clone(catalog),
            facts: Arc::new(EngineFacts {
                engine: Arc::clone(engine),
                variables: variables.clone(),
                catalog: Arc::clone(catalog),
                rights: Arc::clone(rights),
                asker,
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

    fn session(&self) -> SessionFacts {
        SessionFacts {
            user: self.rights.principal().user().to_owned(),
            schema: self.variables.schema().to_owned(),
            process: self.asker.query.map_or(0, process_number),
            now_ms: self.engine.clock.now_ms(),
            started_ms: self.engine.started_ms,
        }
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.variables.get(name, &self.engine.settings.limits).ok()
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let session = self.asker.session.get().ok_or_else(|| {
            Error::invalid(
                SqlState("25P01"),
                "a setting can only be set by a statement of a session",
            )
        })?;
        let limits = &self.engine.settings.limits;
        session.change_variables(|variables| variables.set(name, value, limits))
    }

    fn cancel(&self, process: i32) -> bool {
        let mut found = self.queries().into_iter();
        found.any(|query| {
            process_number(query.id) == process && self.engine.queries.cancel(query.id)
        })
    }

    fn roles(&self) -> Vec<RoleFacts> {
        let accounts = self.rights.accounts();
        let admin = accounts.roles_of(ADMIN);
        let shown = accounts.all().filter(|account| {
            account.id != PUBLIC && (self.rights.is_admin() || self.rights.has_role(account.id))
        });
        let mut roles: Vec<RoleFacts> = shown
            .map(|account| RoleFacts {
                name: account.name.clone(),
                is_admin: admin.contains(&account.id)
                    || accounts.roles_of(account.id).contains(&ADMIN),
                may_sign_in: account.may_sign_in,
                valid_until_ms: account.valid_until_ms,
                member_of: account
                    .roles
                    .iter()
                    .filter_map(|role| Some(accounts.account(*role)?.name.clone()))
                    .collect(),
            })
            .collect();
        // The operator has no account where nobody signs in.
        if accounts.named(OWNER).is_none() {
            let operator = RoleFacts {
                name: OWNER.to_owned(),
                is_admin: true,
                may_sign_in: true,
                valid_until_ms: None,
                member_of: Vec::new(),
            };
            roles.insert(0, operator);
        }
        roles
    }

    fn has_role(&self, user: &str, role: &str) -> bool {
        let accounts = self.rights.accounts();
        let role = accounts.named(role).map(|role| role.id);
        let roles = accounts.named(user).map(|user| accounts.roles_of(user.id));
        match (roles, role) {
            (Some(roles), Some(role)) => roles.contains(&role),
            _ => user == OWNER,
        }
    }

    fn may(&self, user: &str, right: Right, relation: Relation<'_>) -> bool {
        if !can(right, relation) {
            return false;
        }
        let (Some(entry), Some(privilege)) = (relation.entry(), privilege(right)) else {
            return true;
        };
        if user == self.rights.principal().user() {
            return self.rights.allows(privilege, entry, &self.catalog);
        }
        let accounts = self.rights.accounts();
        let Some(account) = accounts.named(user) else {
            return user == OWNER;
        };
        let other = Principal::new(user, account.id, None, Vec::new());
        let now_ms = self.engine.clock.now_ms();
        Rights::of(&other, Arc::clone(accounts), now_ms)
            .is_ok_and(|rights| rights.allows(privilege, entry, &self.catalog))
    }
}

fn privilege(right: Right) -> Option<Privilege> {
    match right {
        Right::Select => Some(Privilege::Select),
        Right::Insert => Some(Privilege::Insert),
        Right::Update => Some(Privilege::Update),
        Right::Delete => Some(Privilege::Delete),
        Right::Other => None,
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
