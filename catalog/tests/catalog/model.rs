//! Any sequence of commits, with the catalog reopened in between, equals a naive model in memory.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weir_catalog::{Body, Change, IfExists, ObjectKind, ObjectName, Result, Snapshot};

use crate::build::*;

#[derive(Debug, Clone)]
enum Step {
    CreateSchema(String),
    CreateTable(ObjectName, IfExists),
    CreateView(ObjectName, Vec<ObjectName>, IfExists),
    Drop(ObjectName, bool),
    DropSchema(String, bool),
    Rename(ObjectName, String),
    SetSchema(ObjectName, String),
    AddColumn(ObjectName, String),
    DropColumn(ObjectName, String),
    RenameColumn(ObjectName, String, String),
    Comment(ObjectName, Option<String>),
    Reopen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    kind: ObjectKind,
    columns: Vec<String>,
    reads: BTreeSet<ObjectName>,
    comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Model {
    schemas: BTreeSet<String>,
    relations: BTreeMap<ObjectName, Known>,
}

impl Model {
    fn readers(&self, name: &ObjectName) -> BTreeSet<ObjectName> {
        let reads = |(_, known): &(&ObjectName, &Known)| known.reads.contains(name);
        let readers = self.relations.iter().filter(reads);
        readers.map(|(reader, _)| reader.clone()).collect()
    }

    fn all_readers(&self, name: &ObjectName) -> BTreeSet<ObjectName> {
        let mut all = self.readers(name);
        for reader in all.clone() {
            all.extend(self.all_readers(&reader));
        }
        all
    }

    /// Drops these and what reads them; or nothing when that would be more than these and `cascade` is not given.
    fn drop(&mut self, named: BTreeSet<ObjectName>, cascade: bool) -> bool {
        let mut doomed = named.clone();
        for name in &named {
            doomed.extend(self.all_readers(name));
        }
        let is_allowed = cascade || doomed == named;
        if is_allowed {
            self.relations.retain(|name, _| !doomed.contains(name));
        }
        is_allowed
    }

    fn create(&mut self, name: &ObjectName, new: Known, if_exists: IfExists) -> bool {
        if !self.schemas.contains(&name.schema)
            || new
                .reads
                .iter()
                .any(|read| !self.relations.contains_key(read))
        {
            return false;
        }
        if let Some(old) = self.relations.get(name) {
            if if_exists == IfExists::Refuse || old.kind != new.kind {
                return false;
            }
            if if_exists == IfExists::Keep {
                return true;
            }
            let readers = self.all_readers(name);
            let keeps_columns = new.columns.starts_with(&old.columns);
            let is_circle = new
                .reads
                .iter()
                .any(|read| read == name || readers.contains(read));
            if is_circle || (!readers.is_empty() && !keeps_columns) {
                return false;
            }
        }
        self.relations.insert(name.clone(), new);
        true
    }

    fn move_to(&mut self, from: &ObjectName, to: ObjectName) -> bool {
        if !self.relations.contains_key(from) || !self.schemas.contains(&to.schema) {
            return false;
        }
        if *from == to {
            return true;
        }
        if !self.readers(from).is_empty() || self.relations.contains_key(&to) {
            return false;
        }
        let known = self.relations.remove(from).unwrap();
        self.relations.insert(to, known);
        true
    }

    fn columns(&mut self, name: &ObjectName) -> Option<&mut Vec<String>> {
        let known = self.relations.get_mut(name)?;
        (known.kind == ObjectKind::Table).then_some(&mut known.columns)
    }

    /// Does the step; whether it is allowed.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::CreateSchema(name) => self.schemas.insert(name.clone()),
            Step::CreateTable(name, if_exists) => {
                let new = Known {
                    kind: ObjectKind::Table,
                    columns: vec!["id".to_owned(), "name".to_owned()],
                    reads: BTreeSet::new(),
                    comment: None,
                };
                self.create(name, new, *if_exists)
            }
            Step::CreateView(name, reads, if_exists) => {
                let new = Known {
                    kind: ObjectKind::View,
                    columns: vec!["x".to_owned()],
                    reads: reads.iter().cloned().collect(),
                    comment: None,
                };
                self.create(name, new, *if_exists)
            }
            Step::Drop(name, cascade) => {
                self.relations.contains_key(name)
                    && self.drop(BTreeSet::from([name.clone()]), *cascade)
            }
            Step::DropSchema(schema, cascade) => {
                if schema == "public" || !self.schemas.contains(schema) {
                    return false;
                }
                let inside: BTreeSet<_> = self
                    .relations
                    .keys()
                    .filter(|name| name.schema == *schema)
                    .cloned()
                    .collect();
                let is_allowed = (*cascade || inside.is_empty()) && self.drop(inside, *cascade);
                if is_allowed {
                    self.schemas.remove(schema);
                }
                is_allowed
            }
            Step::Rename(name, to) => self.move_to(name, ObjectName::new(&name.schema, to)),
            Step::SetSchema(name, to) => self.move_to(name, ObjectName::new(to, &name.name)),
            Step::AddColumn(name, column) => self.columns(name).is_some_and(|columns| {
                let is_new = !columns.contains(column);
                if is_new {
                    columns.push(column.clone());
                }
                is_new
            }),
            Step::DropColumn(name, column) => {
                let is_read = !self.readers(name).is_empty();
                self.columns(name).is_some_and(|columns| {
                    let is_allowed =
                        !is_read && columns.contains(column) && columns.first() != Some(column);
                    if is_allowed {
                        columns.retain(|other| other != column);
                    }
                    is_allowed
                })
            }
            Step::RenameColumn(name, from, to) => {
                let is_read = !self.readers(name).is_empty();
                self.columns(name).is_some_and(|columns| {
                    if !columns.contains(from) {
                        return false;
                    }
                    if from == to {
                        return true;
                    }
                    let is_allowed = !is_read && !columns.contains(to);
                    for column in columns
                        .iter_mut()
                        .filter(|column| is_allowed && *column == from)
                    {
                        column.clone_from(to);
                    }
                    is_allowed
                })
            }
            Step::Comment(name, comment) => match self.relations.get_mut(name) {
                Some(known) => {
                    known.comment.clone_from(comment);
                    true
                }
                None => false,
            },
            Step::Reopen => true,
        }
    }

    fn of(snapshot: &Snapshot) -> Self {
        let name_of = |id: &weir_catalog::ObjectId| snapshot.by_id(*id).unwrap().name.clone();
        Self {
            schemas: snapshot
                .schemas()
                .map(|schema| schema.name.name.clone())
                .collect(),
            relations: snapshot
                .relations()
                .map(|entry| {
                    let known = Known {
                        kind: entry.kind(),
                        columns: entry
                            .columns()
                            .iter()
                            .map(|column| column.name.clone())
                            .collect(),
                        reads: entry.depends_on.iter().map(name_of).collect(),
                        comment: entry.comment.clone(),
                    };
                    (entry.name.clone(), known)
                })
                .collect(),
        }
    }
}

fn plan(snapshot: &Snapshot, step: &Step) -> Result<Vec<Change>> {
    let id = |name: &ObjectName| snapshot.relation(name).map(|entry| entry.id);
    match step {
        Step::CreateSchema(name) => snapshot
            .create(schema(name), IfExists::Refuse)
            .map(|created| created.changes),
        Step::CreateTable(name, if_exists) => snapshot
            .create(table(snapshot, name.clone()), *if_exists)
            .map(|created| created.changes),
        Step::CreateView(name, reads, if_exists) => {
            let reads = reads.iter().map(id).collect::<Result<Vec<_>>>()?;
            snapshot
                .create(view(name.clone(), &reads), *if_exists)
                .map(|created| created.changes)
        }
        Step::Drop(name, cascade) => snapshot.remove(&[id(name)?], *cascade),
        Step::DropSchema(name, cascade) => {
            let schema = snapshot
                .require(ObjectKind::Schema, &ObjectName::global(name))?
                .id;
            snapshot.remove(&[schema], *cascade)
        }
        Step::Rename(name, to) => snapshot.rename(id(name)?, to, BTreeMap::new()),
        Step::SetSchema(name, to) => snapshot.set_schema(id(name)?, to),
        Step::AddColumn(name, column) => {
            snapshot.add_column(id(name)?, bigint(column), Vec::new(), false)
        }
        Step::DropColumn(name, column) => snapshot.drop_column(id(name)?, column, false),
        Step::RenameColumn(name, from, to) => snapshot.rename_column(id(name)?, from, to),
        Step::Comment(name, comment) => snapshot.set_comment(id(name)?, None, comment.clone()),
        Step::Reopen => Ok(Vec::new()),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let schema = || prop::sample::select(vec!["public", "s"]).prop_map(str::to_owned);
    let plain = || prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned);
    let column = || prop::sample::select(vec!["id", "name", "p", "q"]).prop_map(str::to_owned);
    let name = move || (schema(), plain()).prop_map(|(schema, name)| ObjectName::new(schema, name));
    let if_exists =
        || prop::sample::select(vec![IfExists::Refuse, IfExists::Keep, IfExists::Replace]);
    let step = prop_oneof![
        1 => schema().prop_map(Step::CreateSchema),
        4 => (name(), if_exists()).prop_map(|(name, if_exists)| Step::CreateTable(name, if_exists)),
        6 => (name(), prop::collection::vec(name(), 0..3), if_exists())
            .prop_map(|(name, reads, if_exists)| Step::CreateView(name, reads, if_exists)),
        2 => (name(), any::<bool>()).prop_map(|(name, cascade)| Step::Drop(name, cascade)),
        1 => (schema(), any::<bool>()).prop_map(|(name, cascade)| Step::DropSchema(name, cascade)),
        2 => (name(), plain()).prop_map(|(name, to)| Step::Rename(name, to)),
        1 => (name(), schema()).prop_map(|(name, to)| Step::SetSchema(name, to)),
        2 => (name(), column()).prop_map(|(name, column)| Step::AddColumn(name, column)),
        1 => (name(), column()).prop_map(|(name, column)| Step::DropColumn(name, column)),
        2 => (name(), column(), column()).prop_map(|(name, from, to)| Step::RenameColumn(name, from, to)),
        1 => (name(), prop::option::of("[a-z']{1,5}")).prop_map(|(name, comment)| Step::Comment(name, comment)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commits_equals_the_model(steps in steps()) {
        let mut scratch = Scratch::new();
        let mut model = Model { schemas: BTreeSet::from(["public".to_owned()]), ..Model::default() };
        for step in &steps {
            let before = scratch.snapshot();
            let outcome = plan(&before, step)
                .and_then(|changes| scratch.catalog.commit(before.version(), changes));
            let is_allowed = model.step(step);
            prop_assert_eq!(outcome.is_ok(), is_allowed, "{:?}: {:?}", step, outcome);
            if outcome.is_err() {
                prop_assert_eq!(&scratch.snapshot(), &before);
            }
            if matches!(step, Step::Reopen) {
                scratch = scratch.reopen();
                prop_assert_eq!(&scratch.snapshot(), &before);
            }
            prop_assert_eq!(Model::of(&scratch.snapshot()), model.clone(), "after {:?}", step);
        }
        let before = scratch.snapshot();
        let after = scratch.reopen().snapshot();
        prop_assert_eq!(&after, &before);
        for entry in after.relations() {
            // Stored values of one column are never another's.
            if let Body::Table(table) = &entry.body {
                let sources: BTreeSet<_> = table.columns.iter().map(|column| &column.source).collect();
                prop_assert_eq!(sources.len(), table.columns.len());
                prop_assert!(sources.is_disjoint(&table.retired_sources.iter().collect()));
            }
        }
    }
}
