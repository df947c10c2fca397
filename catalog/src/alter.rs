//! `ALTER` and `COMMENT ON`: renames, columns, options and comments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_base::SqlState;

use crate::change::{check_definition, check_name, describe_all};
use crate::{
    Body, Change, Check, Column, DEFAULT_SCHEMA, Entry, Error, ObjectId, ObjectKind, ObjectName,
    Result, Snapshot, View, ident,
};

/// What `ALTER COLUMN` changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnChange {
    /// `SET DEFAULT`, with the expression as the user wrote it: for rows to come, and for stored ones that have no value.
    SetDefault(String),
    /// `DROP DEFAULT`.
    DropDefault,
    /// `SET NOT NULL`. The caller has made sure that no row is null there.
    SetNotNull,
    /// `DROP NOT NULL`.
    DropNotNull,
}

impl Snapshot {
    /// Plans a rename within the schema. `texts` are the new texts of views that go on reading it.
    ///
    /// # Errors
    /// [`Error::Dependants`] while anything else depends on it: queries are kept as texts, and would not find it any more.
    /// [`Error::Exists`] when the name is taken.
    pub fn rename(
        &self,
        id: ObjectId,
        to: &str,
        mut texts: BTreeMap<ObjectId, String>,
    ) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        if entry.kind() == ObjectKind::Schema && entry.name.name == DEFAULT_SCHEMA {
            return Err(Error::rule(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{DEFAULT_SCHEMA}\" cannot be renamed"),
                "it is the schema of names that give none",
            ));
        }
        let name = ObjectName::new(&entry.name.schema, to);
        let mut changes = self.move_to(entry, "rename", name, &texts)?;
        if changes.is_empty() {
            return Ok(changes);
        }
        for dependant in self.dependants(id) {
            let text = texts.remove(&dependant.id);
            let mut followed = dependant.as_ref().clone();
            if let (Some(text), Body::View(view)) = (text, &mut followed.body) {
                view.sql = text;
                changes.push(Change::Put(Arc::new(followed)));
            }
        }
        Ok(changes)
    }

    /// Plans the move of a relation to another schema.
    ///
    /// # Errors
    /// As [`Snapshot::rename`]; and [`Error::NotFound`] when there is no such schema.
    pub fn set_schema(&self, id: ObjectId, schema: &str) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        if !entry.kind().is_relation() {
            return Err(Error::rule(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{} lies in no schema", entry.describe()),
                None,
            ));
        }
        let name = ObjectName::new(schema, &entry.name.name);
        check_name(entry.kind(), &name)?;
        self.require(ObjectKind::Schema, &ObjectName::global(schema))?;
        self.move_to(entry, "move", name, &BTreeMap::new())
    }

    fn move_to(
        &self,
        entry: &Entry,
        verb: &'static str,
        name: ObjectName,
        followers: &BTreeMap<ObjectId, String>,
    ) -> Result<Vec<Change>> {
        if entry.name == name {
            return Ok(Vec::new());
        }
        self.refuse_dependants_but(verb, entry, followers)?;
        check_name(entry.kind(), &name)?;
        let taken = match entry.kind() {
            ObjectKind::Schema => self.schema(&name.name),
            _ => self.get(&name),
        };
        if let Some(taken) = taken {
            return Err(Error::Exists {
                kind: taken.kind(),
                name: taken.name.to_string(),
            });
        }
        let (old, new) = (entry.name.name.clone(), name.name.clone());
        self.changed(entry, |entry| {
            entry.name = name;
            rewrite_expressions(&mut entry.body, |sql| {
                ident::rename_qualifier(sql, &old, &new).into_owned()
            });
        })
    }

    /// Plans a rename of a column of a stream or table, also within its own checks, keys and watermark. The field of
    /// stored rows keeps its name.
    ///
    /// # Errors
    /// [`Error::Dependants`] while anything depends on the relation, [`Error::ColumnNotFound`], or a duplicate.
    pub fn rename_column(&self, id: ObjectId, from: &str, to: &str) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        refuse_unless_stored(entry)?;
        self.require_column(entry, from)?;
        if from == to {
            return Ok(Vec::new());
        }
        self.refuse_dependants("rename a column of", entry)?;
        let relation = entry.name.name.clone();
        let renamed = |name: &mut String| {
            if name == from {
                to.clone_into(name);
            }
        };
        self.changed(entry, |entry| {
            match &mut entry.body {
                Body::Stream(stream) => {
                    stream.key.iter_mut().for_each(renamed);
                    stream.key_columns.iter_mut().for_each(renamed);
                    if let Some(watermark) = &mut stream.watermark {
                        renamed(&mut watermark.column);
                    }
                }
                Body::Table(table) => table.primary_key.iter_mut().for_each(renamed),
                _ => {}
            }
            for column in columns_mut(&mut entry.body).into_iter().flatten() {
                renamed(&mut column.name);
            }
            rewrite_expressions(&mut entry.body, |sql| {
                ident::rename_column(sql, &relation, from, to).into_owned()
            });
        })
    }

    /// Plans a new last column of a stream or table. Its `source` is chosen here, so that it does not take up the stored
    /// values of another column, be it renamed or dropped. `checks` are those that were written beside it.
    ///
    /// The caller has made sure that the rows that are there satisfy them, and NOT NULL.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn add_column(
        &self,
        id: ObjectId,
        mut column: Column,
        checks: Vec<Check>,
        if_not_exists: bool,
    ) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        refuse_unless_stored(entry)?;
        if entry.column(&column.name).is_some() {
            if if_not_exists {
                return Ok(Vec::new());
            }
            return Err(Error::rule(
                SqlState::DUPLICATE_COLUMN,
                format!(
                    "column \"{}\" already exists in {}",
                    column.name,
                    entry.describe()
                ),
                "choose another name, or use ADD COLUMN IF NOT EXISTS",
            ));
        }
        column.source = free_source(entry, &column.name);
        self.changed(entry, |entry| {
            if let Some(columns) = columns_mut(&mut entry.body) {
                columns.push(column);
            }
            if let Some(present) = checks_mut(&mut entry.body) {
                present.extend(checks);
            }
        })
    }

    /// Plans the removal of a column of a stream or table.
    ///
    /// # Errors
    /// [`Error::Dependants`] while anything depends on the relation or a check, key or watermark of its own needs the
    /// column; [`Error::ColumnNotFound`].
    pub fn drop_column(&self, id: ObjectId, name: &str, if_exists: bool) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        refuse_unless_stored(entry)?;
        if if_exists && entry.column(name).is_none() {
            return Ok(Vec::new());
        }
        self.require_column(entry, name)?;
        self.refuse_dependants("drop a column of", entry)?;
        let needed_by = needed_by(entry, name);
        if !needed_by.is_empty() {
            return Err(Error::Dependants {
                verb: "drop column",
                object: format!("\"{name}\" of {}", entry.describe()),
                dependants: needed_by,
            });
        }
        self.changed(entry, |entry| {
            let mut gone = Vec::new();
            if let Some(columns) = columns_mut(&mut entry.body) {
                gone.extend(columns.extract_if(.., |column| column.name == name));
            }
            if let Some(retired) = retired_sources_mut(&mut entry.body) {
                retired.extend(gone.into_iter().map(|column| column.source));
            }
        })
    }

    /// Plans another default or nullability of a column of a stream or table.
    ///
    /// # Errors
    /// [`Error::ColumnNotFound`]; [`Error::Dependants`] when a column of the primary key is to become nullable.
    pub fn alter_column(
        &self,
        id: ObjectId,
        name: &str,
        change: ColumnChange,
    ) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        refuse_unless_stored(entry)?;
        self.require_column(entry, name)?;
        let in_key = entry.primary_key().iter().any(|key| key == name);
        if in_key && change == ColumnChange::DropNotNull {
            return Err(Error::rule(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("column \"{name}\" is in the primary key, and cannot be null"),
                None,
            ));
        }
        self.changed(entry, |entry| {
            let columns = columns_mut(&mut entry.body).into_iter().flatten();
            for column in columns.filter(|column| column.name == name) {
                match &change {
                    ColumnChange::SetDefault(sql) => column.default = Some(sql.clone()),
                    ColumnChange::DropDefault => column.default = None,
                    ColumnChange::SetNotNull => column.nullable = false,
                    ColumnChange::DropNotNull => column.nullable = true,
                }
            }
        })
    }

    /// Plans other `WITH` options for an object, in place of all that it has. The caller has validated them.
    ///
    /// # Errors
    /// When the object has no options.
    pub fn set_options(
        &self,
        id: ObjectId,
        options: BTreeMap<String, String>,
    ) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        let mut body = entry.body.clone();
        match &mut body {
            Body::Stream(stream) => stream.options = options,
            Body::Table(table) => table.options = options,
            Body::ExternalTable(table) => table.options = options,
            Body::Connection(connection) => connection.options = options,
            Body::MaterializedView(kept) => kept.options = options,
            Body::Sink(sink) => sink.options = options,
            Body::Schema | Body::View(_) => {
                return Err(Error::rule(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("{} has no options", entry.describe()),
                    None,
                ));
            }
        }
        self.changed(entry, |entry| entry.body = body)
    }

    /// Plans the comment of an object, or of one of its columns; `None` takes it away.
    ///
    /// # Errors
    /// [`Error::ColumnNotFound`].
    pub fn set_comment(
        &self,
        id: ObjectId,
        column: Option<&str>,
        comment: Option<String>,
    ) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        if let Some(column) = column {
            self.require_column(entry, column)?;
        }
        self.changed(entry, |entry| match column {
            None => entry.comment = comment,
            Some(name) => {
                let columns = columns_mut(&mut entry.body).into_iter().flatten();
                for column in columns.filter(|column| column.name == name) {
                    column.comment.clone_from(&comment);
                }
            }
        })
    }

    /// Plans that a materialized view keeps another query, with the same columns.
    ///
    /// # Errors
    /// When the object is none, and when one that it would depend on is not there.
    pub fn set_query(
        &self,
        id: ObjectId,
        query: &View,
        on_window_close: bool,
        options: Option<BTreeMap<String, String>>,
        depends_on: BTreeSet<ObjectId>,
    ) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        let mut body = entry.body.clone();
        let Body::MaterializedView(kept) = &mut body else {
            return Err(Error::rule(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{} keeps no query", entry.describe()),
                None,
            ));
        };
        kept.view.sql.clone_from(&query.sql);
        kept.view.default_schema.clone_from(&query.default_schema);
        kept.on_window_close = on_window_close;
        if let Some(options) = options {
            kept.options = options;
        }
        // The columns' names are those that the view has had.
        kept.view.named_columns = true;
        kept.generation += 1;
        self.changed(entry, |entry| {
            entry.body = body;
            entry.depends_on = depends_on;
        })
    }

    /// Plans that a materialized view or a sink stands still, or goes on.
    ///
    /// # Errors
    /// When the object is none.
    pub fn set_paused(&self, id: ObjectId, paused: bool) -> Result<Vec<Change>> {
        let entry = self.require_id(id)?;
        let mut body = entry.body.clone();
        match &mut body {
            Body::MaterializedView(kept) => kept.paused = paused,
            Body::Sink(sink) => sink.paused = paused,
            _ => {
                return Err(Error::rule(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("{} does not run", entry.describe()),
                    None,
                ));
            }
        }
        self.changed(entry, |entry| entry.body = body)
    }

    fn refuse_dependants(&self, verb: &'static str, entry: &Entry) -> Result<()> {
        self.refuse_dependants_but(verb, entry, &BTreeMap::new())
    }

    fn refuse_dependants_but(
        &self,
        verb: &'static str,
        entry: &Entry,
        followers: &BTreeMap<ObjectId, String>,
    ) -> Result<()> {
        let mut dependants = self.dependants(entry.id);
        dependants.retain(|dependant| !followers.contains_key(&dependant.id));
        if dependants.is_empty() {
            return Ok(());
        }
        Err(Error::Dependants {
            verb,
            object: entry.describe(),
            dependants: describe_all(dependants.into_iter().map(AsRef::as_ref)),
        })
    }

    fn changed(&self, entry: &Entry, change: impl FnOnce(&mut Entry)) -> Result<Vec<Change>> {
        let mut changed = entry.clone();
        change(&mut changed);
        check_definition(self, &changed)?;
        Ok(if changed == *entry {
            Vec::new()
        } else {
            vec![Change::Put(Arc::new(changed))]
        })
    }
}

fn refuse_unless_stored(entry: &Entry) -> Result<()> {
    if matches!(entry.body, Body::Stream(_) | Body::Table(_)) {
        return Ok(());
    }
    let hint = match entry.kind() {
        ObjectKind::ExternalTable | ObjectKind::View | ObjectKind::MaterializedView => {
            "use CREATE OR REPLACE with all its columns"
        }
        _ => "only streams and tables have columns to alter",
    };
    Err(Error::rule(
        SqlState::WRONG_OBJECT_TYPE,
        format!("the columns of {} cannot be altered", entry.describe()),
        hint,
    ))
}

fn columns_mut(body: &mut Body) -> Option<&mut Vec<Column>> {
    match body {
        Body::Schema | Body::Connection(_) => None,
        Body::Stream(stream) => Some(&mut stream.columns),
        Body::Table(table) => Some(&mut table.columns),
        Body::ExternalTable(table) => table.columns.as_mut(),
        Body::View(view) => Some(&mut view.columns),
        Body::MaterializedView(kept) => Some(&mut kept.view.columns),
        Body::Sink(sink) => Some(&mut sink.query.columns),
    }
}

fn checks_mut(body: &mut Body) -> Option<&mut Vec<Check>> {
    match body {
        Body::Stream(stream) => Some(&mut stream.checks),
        Body::Table(table) => Some(&mut table.checks),
        _ => None,
    }
}

fn retired_sources_mut(body: &mut Body) -> Option<&mut BTreeSet<String>> {
    match body {
        Body::Stream(stream) => Some(&mut stream.retired_sources),
        Body::Table(table) => Some(&mut table.retired_sources),
        _ => None,
    }
}

/// Rewrites the expressions over a relation's own columns: its checks and its watermark.
fn rewrite_expressions(body: &mut Body, rewrite: impl Fn(&str) -> String) {
    for check in checks_mut(body).into_iter().flatten() {
        check.sql = rewrite(&check.sql);
    }
    if let Body::Stream(stream) = body
        && let Some(watermark) = &mut stream.watermark
    {
        watermark.sql = rewrite(&watermark.sql);
    }
}

/// What of the relation itself needs the column.
fn needed_by(entry: &Entry, column: &str) -> Vec<String> {
    let mentions = |sql: &str| ident::mentions_column(sql, &entry.name.name, column);
    let mut needed_by: Vec<String> = entry
        .checks()
        .iter()
        .filter(|check| mentions(&check.sql))
        .map(|check| format!("constraint \"{}\"", check.name))
        .collect();
    if entry.primary_key().iter().any(|key| key == column) {
        needed_by.push("the primary key".to_owned());
    }
    if let Body::Stream(stream) = &entry.body {
        if stream.key.as_deref() == Some(column)
            || stream.key_columns.iter().any(|key| key == column)
        {
            needed_by.push("the key of its records".to_owned());
        }
        if let Some(watermark) = &stream.watermark
            && (watermark.column == column || mentions(&watermark.sql))
        {
            needed_by.push("the watermark".to_owned());
        }
    }
    needed_by
}

/// The column's own name as a field of stored rows, or `name~2`, … where rows have or had another column's values there.
fn free_source(entry: &Entry, name: &str) -> String {
    let retired = match &entry.body {
        Body::Stream(stream) => Some(&stream.retired_sources),
        Body::Table(table) => Some(&table.retired_sources),
        _ => None,
    };
    let is_taken = |source: &str| {
        retired.is_some_and(|retired| retired.contains(source))
            || entry.columns().iter().any(|column| column.source == source)
    };
    let mut source = name.to_owned();
    let mut number = 2_u64;
    while is_taken(&source) {
        source = format!("{name}~{number}");
        number += 1;
    }
    source
}
