//! Whether the session's user may do what a statement asks for.
//!
//! What a statement reads is asked for where its relations are opened, in `planning`; what it writes, makes, changes and drops
//! is asked for here, before anything is done. Whatever then becomes of a definition passes [`Execution::authorise_changes`],
//! on the very version of the catalog that it is committed on.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use weir_base::SqlState;
use weir_catalog::{Change, Entry, ObjectKind, ObjectName, Privilege, Snapshot};
use weir_sql::Statement;
use weir_sql::statement::{self, Prepared};

use super::alter::catalog_kind;
use super::{Execution, position_of};
use crate::error::{Error, Result};
use crate::planning::Planner;
use crate::security::denied;

impl Execution {
    /// Refuses what the user may not do.
    ///
    /// # Errors
    /// 42501 with object and privilege; for what is not there for the user, that it is not there.
    pub(crate) fn authorise(&self, statement: &Statement) -> Result<()> {
        if self.rights.is_admin() {
            return Ok(());
        }
        match statement {
            Statement::Insert(insert) => self.authorise_insert(insert),
            Statement::Update(update) => match update.as_ref() {
                ast::Statement::Update(update) => {
                    self.authorise_change(&update.table.relation, Privilege::Update)
                }
                _ => Ok(()),
            },
            Statement::Delete(delete) => match delete.as_ref() {
                ast::Statement::Delete(delete) => {
                    let (ast::FromTable::WithFromKeyword(from)
                    | ast::FromTable::WithoutKeyword(from)) = &delete.from;
                    from.iter().try_for_each(|from| {
                        self.authorise_change(&from.relation, Privilege::Delete)
                    })
                }
                _ => Ok(()),
            },
            Statement::Truncate(names) => names
                .iter()
                .try_for_each(|name| self.authorise_writing(name, &[Privilege::Delete]).map(drop)),
            Statement::CopyFrom(copy) => {
                if copy.source.is_some() {
                    self.rights
                        .require_on_server(Privilege::Files, "read files")?;
                }
                self.authorise_writing(&copy.table, &[Privilege::Insert])
                    .map(drop)
            }
            Statement::CreateStream(create) => self.authorise_creation(&create.name),
            Statement::CreateTable(create)
                if self.is_to_be_temporary(&create.name, create.temporary)? =>
            {
                Ok(())
            }
            Statement::CreateView(create)
                if self.is_to_be_temporary(&create.name, create.temporary)? =>
            {
                Ok(())
            }
            Statement::CreateTable(create) => self.authorise_creation(&create.name),
            Statement::CreateExternalTable(create) => self.authorise_creation(&create.name),
            Statement::CreateView(create) => self.authorise_creation(&create.name),
            Statement::CreateMaterializedView(create) => self.authorise_creation(&create.name),
            Statement::CreateSink(create) => {
                self.authorise_creation(&create.name)?;
                create
                    .into
                    .iter()
                    .try_for_each(|into| self.authorise_target(into))
            }
            Statement::CreateSchema(_) => self
                .rights
                .require_on_server(Privilege::Create, "create a schema"),
            Statement::CreateConnection(_) => self
                .rights
                .require_on_server(Privilege::Files, "create a connection"),
            Statement::TestConnection(_) => self
                .rights
                .require_on_server(Privilege::Files, "test a connection"),
            Statement::Drop(drop) => drop
                .names
                .iter()
                .try_for_each(|name| self.authorise_owner(Some(drop.kind), name, drop.if_exists)),
            Statement::Alter(alter) => {
                let kind = self.altered_kind(alter)?;
                self.authorise_owner(Some(kind), &alter.name, alter.if_exists)
            }
            Statement::CommentOn(comment) => {
                self.authorise_owner(comment.kind, &comment.name, false)
            }
            Statement::Explain(explain) => self.authorise(&explain.statement),
            Statement::Prepared(Prepared::Prepare { statement, .. }) => {
                self.authorise(&statement.statement)
            }
            // These read, or change the session alone; what KILL may stop, and who may change users, is asked for there.
            Statement::Query(_)
            | Statement::Copy(_)
            | Statement::Show(_)
            | Statement::Describe(_)
            | Statement::Set(_)
            | Statement::Reset(_)
            | Statement::KillQuery(_)
            | Statement::Flush
            | Statement::Subscribe(_)
            | Statement::Cursor(_)
            | Statement::Prepared(_)
            | Statement::Transaction(_)
            | Statement::Discard(_)
            | Statement::Notification(_)
            | Statement::Access(_) => Ok(()),
        }
    }

    fn authorise_insert(&self, insert: &statement::Insert) -> Result<()> {
        let ast::Statement::Insert(ast) = insert.insert.as_ref() else {
            return Ok(());
        };
        let ast::TableObject::TableName(target) = &ast.table else {
            return Ok(());
        };
        let mut privileges = vec![Privilege::Insert];
        let changes = match &ast.on {
            Some(ast::OnInsert::OnConflict(conflict)) => {
                !matches!(conflict.action, ast::OnConflictAction::DoNothing)
            }
            Some(_) => true,
            None => insert.upsert,
        };
        if changes {
            privileges.extend([Privilege::Update, Privilege::Select]);
        }
        if ast.returning.is_some() {
            privileges.push(Privilege::Select);
        }
        let entry = self.authorise_writing(target, &privileges)?;
        if privileges.contains(&Privilege::Select) {
            self.refuse_policed(&entry, "INSERT")?;
        }
        if insert.emit.is_some() {
            self.authorise_creation(target)?;
            self.authorise_target(target)?;
        }
        Ok(())
    }

    /// A sink's rows replace those of a table that have their keys, and it takes away what its query no longer has.
    fn authorise_target(&self, target: &ast::ObjectName) -> Result<()> {
        let entry = self.authorise_writing(target, &[Privilege::Insert])?;
        if !entry.primary_key().is_empty() {
            self.authorise_writing(target, &[Privilege::Update, Privilege::Delete])?;
        }
        Ok(())
    }

    /// `UPDATE` and `DELETE` find rows by looking at them.
    fn authorise_change(&self, relation: &ast::TableFactor, privilege: Privilege) -> Result<()> {
        let ast::TableFactor::Table { name, .. } = relation else {
            return Ok(());
        };
        self.authorise_writing(name, &[privilege, Privilege::Select])
            .map(drop)
    }

    fn authorise_writing(
        &self,
        name: &ast::ObjectName,
        privileges: &[Privilege],
    ) -> Result<Arc<Entry>> {
        let place = |error: Error| error.with_position(position_of(name));
        let snapshot = self.snapshot();
        let visible = self.rights.visible(&snapshot);
        let entry = visible
            .relation(&self.name(name)?)
            .map_err(|error| place(error.into()))?;
        for privilege in privileges {
            self.rights
                .require(*privilege, entry, &snapshot)
                .map_err(place)?;
        }
        if privileges
            .iter()
            .any(|privilege| matches!(privilege, Privilege::Update | Privilege::Delete))
        {
            self.refuse_policed(entry, "a change").map_err(place)?;
        }
        Ok(Arc::clone(entry))
    }

    /// Refuses to change rows, or to give out rows that were changed, by rules that are about reading.
    fn refuse_policed(&self, entry: &Entry, what: &str) -> Result<()> {
        if self.rights.policies_on(entry).is_empty() {
            return Ok(());
        }
        Err(denied(format!(
            "permission denied for {}: {what} would touch rows or values that a policy hides from \"{}\"",
            entry.describe(),
            self.rights.principal().user()
        )))
    }

    /// Refuses to keep the rows of a query from which a policy hides some: others would read them as they are.
    pub(super) fn refuse_policed_source(&self, planner: &Planner, what: &str) -> Result<()> {
        if !planner.is_policed() {
            return Ok(());
        }
        Err(denied(format!(
            "permission denied to create {what}: a policy hides rows or values of what it reads from \"{}\"",
            self.rights.principal().user()
        ))
        .with_hint("let the owner of what it reads create it"))
    }

    fn authorise_creation(&self, name: &ast::ObjectName) -> Result<()> {
        let name = self.new_name(name)?;
        self.authorise_creation_in(&name.schema, &self.snapshot())
    }

    fn authorise_creation_in(&self, schema: &str, snapshot: &Arc<Snapshot>) -> Result<()> {
        match snapshot.schema(schema) {
            Some(entry) => self.rights.require(Privilege::Create, entry, snapshot),
            None => self
                .rights
                .visible(snapshot)
                .require(ObjectKind::Schema, &ObjectName::global(schema))
                .map(|_| ())
                .map_err(Error::from),
        }
    }

    fn authorise_owner(
        &self,
        kind: Option<statement::ObjectKind>,
        name: &ast::ObjectName,
        if_exists: bool,
    ) -> Result<()> {
        let place = |error: Error| error.with_position(position_of(name));
        let snapshot = self.snapshot();
        let visible = self.rights.visible(&snapshot);
        let found = match kind {
            Some(kind) => visible.require(catalog_kind(kind)?, &self.object_name(kind, name)?),
            None => visible.relation(&self.name(name)?),
        };
        let entry = match found {
            Ok(entry) => entry,
            Err(weir_catalog::Error::NotFound { .. }) if if_exists => return Ok(()),
            Err(error) => return Err(place(error.into())),
        };
        self.rights.require_owner(entry, &snapshot).map_err(place)
    }

    /// Refuses to name a topic that belongs to streams of others: who has a topic reads and writes all of it.
    pub(super) fn authorise_topic(
        &self,
        topic: weir_base::TopicId,
        snapshot: &Arc<Snapshot>,
    ) -> Result<()> {
        for entry in snapshot.by_topic(topic) {
            if !self.rights.owns(entry) {
                let name = entry.topic().map_or("", |(name, _)| name.as_str());
                return Err(denied(format!(
                    "permission denied for topic \"{name}\": \"{}\" does not own its stream",
                    self.rights.principal().user()
                )));
            }
        }
        Ok(())
    }

    /// Refuses changes to definitions that the user may not make, on the version of the catalog that they are made on.
    pub(super) fn authorise_changes(
        &self,
        snapshot: &Arc<Snapshot>,
        changes: &[Change],
    ) -> Result<()> {
        if self.rights.is_admin() {
            return Ok(());
        }
        // A schema that is made in the same commit is the user's own.
        for change in changes {
            match change {
                Change::Put(entry) => {
                    let before = snapshot.by_id(entry.id);
                    if let Some(before) = before {
                        self.rights.require_owner(before, snapshot)?;
                    }
                    let is_new_there =
                        before.is_none_or(|before| before.name.schema != entry.name.schema);
                    if is_new_there && entry.kind().is_relation() {
                        self.authorise_creation_in(&entry.name.schema, snapshot)?;
                    }
                }
                Change::Remove(id) => {
                    if let Some(entry) = snapshot.by_id(*id) {
                        self.rights
                            .require_owner(entry, snapshot)
                            .map_err(|error| {
                                match self.rights.sees(entry, snapshot) {
                                    true => error,
                                    // Its name is none of the user's business.
                                    false => hidden_dependant(),
                                }
                            })?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn hidden_dependant() -> Error {
    denied(
        "permission denied: something else that depends on it would be dropped as well".to_owned(),
    )
    .with_sqlstate(SqlState::DEPENDENT_OBJECTS_STILL_EXIST)
}
