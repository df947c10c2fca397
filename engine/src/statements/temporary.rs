//! Temporary tables and views: which they are, and what becomes of changes of them.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tokio::sync::MutexGuard;
use weir_base::{Kind, SqlState, TopicName};
use weir_catalog::{Change, ObjectId, ObjectName, Snapshot, TEMPORARY_SCHEMA};

use super::{Execution, normalized, position_of};
use crate::error::{Error, Result};

impl Execution {
    /// Whether a statement that makes `name` makes something temporary, because it says so or by the schema that it names.
    ///
    /// # Errors
    /// 42P16 when it says so and names another schema.
    pub(super) fn is_to_be_temporary(&self, name: &ast::ObjectName, is_said: bool) -> Result<bool> {
        if let [_] = name.0.as_slice() {
            return Ok(is_said);
        }
        let schema = self.new_name(name)?.schema;
        let snapshot = self.snapshot();
        let is_named =
            schema == TEMPORARY_SCHEMA || snapshot.temporary_schema() == Some(schema.as_str());
        if is_said && !is_named {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                "cannot create temporary relation in non-temporary schema",
            )
            .with_position(position_of(name))
            .with_hint("leave the schema out"));
        }
        Ok(is_named)
    }

    /// The name of something that is made, for the session alone or for all.
    pub(super) fn name_of_new(
        &self,
        name: &ast::ObjectName,
        is_temporary: bool,
    ) -> Result<ObjectName> {
        if !is_temporary {
            return self.new_name(name);
        }
        let owner = self.session.principal().account();
        self.session.temporary().make_schema(&self.engine, owner);
        let last = name.0.last().and_then(|part| part.as_ident());
        let last = last.map(normalized).unwrap_or_default();
        let snapshot = self.snapshot();
        Ok(ObjectName::new(
            snapshot.meant_schema(TEMPORARY_SCHEMA),
            last,
        ))
    }

    /// The catalog to make something on: what is temporary has identities of its own.
    pub(super) fn snapshot_for_new(&self, name: &ObjectName) -> Arc<Snapshot> {
        let snapshot = self.snapshot();
        match snapshot.temporary_schema() == Some(name.schema.as_str()) {
            true => Arc::new(snapshot.numbering_from(self.engine.temporary_id())),
            false => snapshot,
        }
    }

    /// A topic for the rows of a temporary table, which nobody asks for by its name.
    pub(super) fn temporary_topic_name(&self, name: &ObjectName) -> Result<TopicName> {
        let number = self.engine.temporary_id();
        TopicName::new(format!("{}.{number}", name.schema))
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }

    /// Waits for the right to change what the names mean: what is temporary nobody else can define.
    pub(super) async fn may_change<'a>(
        &self,
        names: impl IntoIterator<Item = &'a ast::ObjectName>,
    ) -> Result<Option<MutexGuard<'_, ()>>> {
        let snapshot = self.snapshot();
        for name in names {
            let entry = self.name(name).ok();
            let entry = entry.and_then(|name| snapshot.get(&name));
            if !entry.is_some_and(|entry| entry.is_temporary()) {
                return self.may_define().await;
            }
        }
        Ok(None)
    }

    /// Makes changes of temporary objects. A transaction notes what there was before.
    pub(super) async fn define_temporary(&self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let temporary = self.session.temporary();
        let before = temporary.define(changes)?;
        match &self.transaction {
            Some(transaction) => transaction.defined_temporary(temporary, before),
            None => temporary.tidy(&self.engine).await,
        }
        Ok(())
    }

    /// Has a table that was made go at the end of its transaction, which is that of this statement where there is no other.
    pub(super) async fn drop_on_commit(&self, name: &ObjectName) {
        let temporary = self.session.temporary();
        temporary.drop_on_commit(name);
        if self.transaction.is_none() {
            temporary.commit();
            temporary.tidy(&self.engine).await;
        }
    }

    /// Refuses a temporary view whose text would find something else later: in a view a name without a schema is first that of what stays.
    pub(super) fn refuse_shadowed<'a>(
        &self,
        snapshot: &Snapshot,
        reads: impl IntoIterator<Item = &'a ObjectId>,
    ) -> Result<()> {
        for id in reads {
            if let Some(entry) = snapshot.by_id(*id).filter(|entry| entry.is_temporary()) {
                let name = ObjectName::new(self.variables.schema(), &entry.name.name);
                if let Some(other) = snapshot.get(&name) {
                    return Err(Error::unsupported(format!(
                        "a temporary view of {} is not supported while {} is there",
                        entry.describe(),
                        other.describe()
                    ))
                    .with_hint("give the temporary one another name"));
                }
            }
        }
        Ok(())
    }
}

/// Changes of temporary objects, and those of all others.
///
/// # Errors
/// When something that stays would depend on something temporary.
pub(super) fn apart(
    snapshot: &Snapshot,
    changes: Vec<Change>,
) -> Result<(Vec<Change>, Vec<Change>)> {
    let (temporary, others): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|change| match change {
            Change::Put(entry) => entry.is_temporary(),
            Change::Remove(id) => id.is_temporary(),
        });
    for change in &others {
        if let Change::Put(entry) = change
            && let Some(read) = entry.depends_on.iter().find(|id| id.is_temporary())
        {
            let read = snapshot.by_id(*read).map(|read| read.describe());
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!(
                    "{} would read {}, which goes with its session",
                    entry.describe(),
                    read.unwrap_or_default()
                ),
            )
            .with_hint("make it temporary, too: CREATE TEMPORARY VIEW"));
        }
    }
    Ok((temporary, others))
}
