//! Creating and dropping: from a statement's wish to the changes that fulfil it, or the rule that forbids it.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_base::SqlState;

use crate::accounts::AccountId;
use crate::secret::REDACTED;
use crate::{
    Body, Column, DEFAULT_SCHEMA, Entry, Error, HIDDEN_COLUMNS, ObjectId, ObjectKind, ObjectName,
    RESERVED_SCHEMAS, Result, Snapshot, render,
};

/// One step of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds an object, or takes the place of the one with its identity.
    Put(Arc<Entry>),
    /// Removes an object.
    Remove(ObjectId),
}

/// What a `CREATE` statement asks for.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// The name. That of a schema or connection is [`ObjectName::global`].
    pub name: ObjectName,
    /// What it is to be.
    pub body: Body,
    /// Its comment.
    pub comment: Option<String>,
    /// The statement as given. That of a connection is not kept, as it holds the secrets.
    pub sql: String,
    /// The relations that its query reads. The connection of an external table is found by itself.
    pub depends_on: BTreeSet<ObjectId>,
    /// Now, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Who creates it, and so owns it. What is replaced keeps its owner.
    pub owner: Option<AccountId>,
}

/// What to do when the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// `CREATE`: an error.
    Refuse,
    /// `CREATE … IF NOT EXISTS`: nothing, when it is of the same kind.
    Keep,
    /// `CREATE OR REPLACE`: the new one takes its place, when it is of the same kind.
    Replace,
}

/// What a `CREATE` statement comes to.
#[derive(Debug, Clone)]
pub struct Created {
    /// The object that has the name afterwards.
    pub id: ObjectId,
    /// What to commit; nothing when the object was there and is kept.
    pub changes: Vec<Change>,
    /// The object whose place is taken: its topic is to be deleted after the commit, unless another still has it.
    pub replaced: Option<Arc<Entry>>,
}

impl Snapshot {
    /// Plans a `CREATE`. A replacement keeps its identity and with it what depends on it, for which it must keep all
    /// columns that were there.
    ///
    /// # Errors
    /// When the name is taken or reserved, its schema does not exist, or the definition contradicts itself.
    pub fn create(&self, new: NewObject, if_exists: IfExists) -> Result<Created> {
        let kind = body_kind(&new.body);
        check_name(kind, &new.name)?;
        if kind.is_relation() {
            self.require(ObjectKind::Schema, &ObjectName::global(&new.name.schema))?;
        }
        let existing = match kind {
            ObjectKind::Schema => self.schema(&new.name.name),
            ObjectKind::Connection => self.connection(&new.name.name),
            _ => self.get(&new.name),
        };
        let replaced = match existing {
            Some(existing) if if_exists == IfExists::Refuse || existing.kind() != kind => {
                return Err(Error::Exists {
                    kind: existing.kind(),
                    name: existing.name.to_string(),
                });
            }
            Some(existing) if if_exists == IfExists::Keep => {
                return Ok(Created {
                    id: existing.id,
                    changes: Vec::new(),
                    replaced: None,
                });
            }
            existing => existing,
        };
        let mut entry = Entry {
            id: replaced.map_or(self.next_id(), |existing| existing.id),
            name: new.name,
            body: new.body,
            comment: new.comment,
            sql: new.sql,
            depends_on: new.depends_on,
            created_at_ms: new.created_at_ms,
            owner: replaced.map_or(new.owner, |existing| existing.owner),
        };
        match &entry.body {
            Body::ExternalTable(table) => {
                if let Some(connection) = &table.connection {
                    let name = ObjectName::global(connection);
                    let connection = self.require(ObjectKind::Connection, &name)?;
                    entry.depends_on.insert(connection.id);
                }
            }
            Body::Connection(_) => entry.sql = render::create_statement(&entry, self),
            _ => {}
        }
        check_definition(self, &entry)?;
        if let Some(replaced) = replaced {
            self.check_replacement(replaced, &entry)?;
        }
        Ok(Created {
            id: entry.id,
            changes: vec![Change::Put(Arc::new(entry))],
            replaced: replaced.cloned(),
        })
    }

    /// Plans a `DROP` of objects, and with `cascade` of what depends on them. The changes remove each object before what
    /// it depends on.
    ///
    /// # Errors
    /// [`Error::Dependants`] that names what depends on them, when that is not dropped as well.
    pub fn remove(&self, ids: &[ObjectId], cascade: bool) -> Result<Vec<Change>> {
        for id in ids {
            let entry = self.require_id(*id)?;
            if entry.kind() == ObjectKind::Schema && entry.name.name == DEFAULT_SCHEMA {
                return Err(Error::rule(
                    SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!("schema \"{DEFAULT_SCHEMA}\" cannot be dropped"),
                    "it is the schema of names that give none",
                ));
            }
        }
        let doomed = self.with_dependants(ids);
        let named: BTreeSet<ObjectId> = ids.iter().copied().collect();
        let others: Vec<&Entry> = doomed
            .iter()
            .map(AsRef::as_ref)
            .filter(|entry| !named.contains(&entry.id))
            .collect();
        if !cascade && !others.is_empty() {
            let objects = ids.iter().filter_map(|id| self.by_id(*id));
            let objects: Vec<_> = objects.map(|entry| entry.describe()).collect();
            return Err(Error::Dependants {
                verb: "drop",
                object: objects.join(", "),
                dependants: describe_all(others),
            });
        }
        Ok(doomed
            .into_iter()
            .map(|entry| Change::Remove(entry.id))
            .collect())
    }

    /// The version after these changes.
    ///
    /// # Errors
    /// When the outcome would not be consistent.
    pub fn apply(&self, changes: &[Change]) -> Result<Self> {
        let mut by_id: std::collections::BTreeMap<_, _> = self
            .entries()
            .map(|entry| (entry.id, entry.clone()))
            .collect();
        let mut next_id = self.next_id();
        for change in changes {
            match change {
                Change::Put(entry) => {
                    match by_id.get(&entry.id) {
                        Some(earlier) if earlier.kind() != entry.kind() => {
                            return Err(Error::Internal(format!(
                                "{} cannot become {}",
                                earlier.describe(),
                                entry.describe()
                            )));
                        }
                        None if entry.id < self.next_id() => {
                            return Err(Error::Internal(format!(
                                "{} has identity {}, which was given before",
                                entry.describe(),
                                entry.id
                            )));
                        }
                        _ => {}
                    }
                    next_id = next_id.max(ObjectId(entry.id.0 + 1));
                    by_id.insert(entry.id, entry.clone());
                }
                Change::Remove(id) => {
                    self.removable(*id, &by_id)?;
                    by_id.remove(id);
                }
            }
        }
        Self::build(self.version() + 1, next_id, by_id)
    }

    fn removable(
        &self,
        id: ObjectId,
        by_id: &std::collections::BTreeMap<ObjectId, Arc<Entry>>,
    ) -> Result<()> {
        if by_id.contains_key(&id) {
            Ok(())
        } else {
            self.require_id(id).map(|_| ())
        }
    }

    fn check_replacement(&self, old: &Entry, new: &Entry) -> Result<()> {
        let dependants = self.dependants(old.id);
        if dependants.is_empty() || !old.kind().is_relation() {
            return Ok(());
        }
        let keeps_columns = new.columns().len() >= old.columns().len()
            && old.columns().iter().zip(new.columns()).all(|(old, new)| {
                (&old.name, &old.data_type, old.logical) == (&new.name, &new.data_type, new.logical)
            });
        if keeps_columns {
            Ok(())
        } else {
            Err(Error::Dependants {
                verb: "change the columns of",
                object: old.describe(),
                dependants: describe_all(dependants.into_iter().map(AsRef::as_ref)),
            })
        }
    }
}

pub(crate) fn describe_all<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<String> {
    let mut described: Vec<String> = entries.into_iter().map(Entry::describe).collect();
    described.sort();
    described
}

fn body_kind(body: &Body) -> ObjectKind {
    match body {
        Body::Schema => ObjectKind::Schema,
        Body::Stream(_) => ObjectKind::Stream,
        Body::Table(_) => ObjectKind::Table,
        Body::ExternalTable(_) => ObjectKind::ExternalTable,
        Body::View(_) => ObjectKind::View,
        Body::MaterializedView(_) => ObjectKind::MaterializedView,
        Body::Sink(_) => ObjectKind::Sink,
        Body::Connection(_) => ObjectKind::Connection,
    }
}

/// Whether an object of this kind may have this name.
pub(crate) fn check_name(kind: ObjectKind, name: &ObjectName) -> Result<()> {
    /// As in PostgreSQL, where a longer one would be cut.
    const NAME_BYTES_MAX: usize = 63;
    if name.name.is_empty() {
        return Err(Error::rule(
            SqlState("42602"),
            format!("a {kind} must have a name"),
            None,
        ));
    }
    if name.name.len() > NAME_BYTES_MAX {
        return Err(Error::rule(
            SqlState("42622"),
            format!(
                "{kind} name \"{}\" is longer than {NAME_BYTES_MAX} bytes",
                name.name
            ),
            "choose a shorter name",
        ));
    }
    if kind.is_relation() {
        if RESERVED_SCHEMAS.contains(&name.schema.as_str()) {
            return Err(Error::rule(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("nothing can be created in schema \"{}\"", name.schema),
                "the server fills it; create it in public or in a schema of your own",
            ));
        }
    } else if !name.schema.is_empty() {
        return Err(Error::rule(
            SqlState("42602"),
            format!("the name of a {kind} has no schema: {}", name.sql()),
            "leave the schema out",
        ));
    }
    let is_reserved =
        RESERVED_SCHEMAS.contains(&name.name.as_str()) || name.name.starts_with("pg_");
    if kind == ObjectKind::Schema && is_reserved {
        return Err(Error::rule(
            SqlState("42939"),
            format!("schema name \"{}\" is reserved", name.name),
            "choose another name",
        ));
    }
    Ok(())
}

/// Whether a definition agrees with itself.
pub(crate) fn check_definition(snapshot: &Snapshot, entry: &Entry) -> Result<()> {
    let partition_columns: &[Column] = match &entry.body {
        Body::ExternalTable(table) => &table.partitioned_by,
        _ => &[],
    };
    let stores_rows = entry.topic().is_some();
    let mut names = BTreeSet::new();
    let mut sources = BTreeSet::new();
    for column in entry.columns().iter().chain(partition_columns) {
        if stores_rows && HIDDEN_COLUMNS.contains(&column.name.as_str()) {
            return Err(Error::rule(
                SqlState("42939"),
                format!("column name \"{}\" is reserved", column.name),
                "every stream and table has a hidden column of this name; choose another",
            ));
        }
        if !names.insert(&column.name) || (stores_rows && !sources.insert(&column.source)) {
            return Err(Error::rule(
                SqlState::DUPLICATE_COLUMN,
                format!(
                    "column \"{}\" is given twice in {}",
                    column.name,
                    entry.describe()
                ),
                None,
            ));
        }
    }
    let mut checks = BTreeSet::new();
    if let Some(twice) = entry
        .checks()
        .iter()
        .find(|check| !checks.insert(&check.name))
    {
        return Err(Error::rule(
            SqlState::DUPLICATE_OBJECT,
            format!(
                "constraint \"{}\" is given twice in {}",
                twice.name,
                entry.describe()
            ),
            "give each constraint a name of its own",
        ));
    }
    let mut key = BTreeSet::new();
    for column in entry.primary_key() {
        snapshot.require_column(entry, column)?;
        if !key.insert(column) {
            return Err(Error::rule(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{column}\" is twice in the primary key"),
                None,
            ));
        }
    }
    match &entry.body {
        Body::Stream(stream) => {
            if stream.partitions == 0 {
                return Err(Error::rule(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "a stream has at least one partition",
                    None,
                ));
            }
            let watermark = stream.watermark.as_ref().map(|watermark| &watermark.column);
            let key = stream.key.iter().chain(&stream.key_columns);
            for column in key.chain(watermark) {
                snapshot.require_column(entry, column)?;
            }
        }
        Body::Connection(connection) => {
            if let Some((key, _)) = connection
                .secrets
                .iter()
                .find(|(_, secret)| secret.expose() == REDACTED)
            {
                return Err(Error::rule(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!(
                        "option \"{key}\" is '{REDACTED}', which stands for a secret that is not shown"
                    ),
                    "write the secret itself",
                ));
            }
        }
        _ => {}
    }
    Ok(())
}
