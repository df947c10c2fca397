//! One version of the whole catalog.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use weir_base::nearest::nearest;
use weir_base::{SqlState, TopicId, TopicName};

use crate::{Body, Entry, Error, ObjectId, ObjectKind, ObjectName, Result};

/// The schema that always exists, and in which unqualified names lie.
pub const DEFAULT_SCHEMA: &str = "public";

/// Schemas that the server itself fills.
pub const RESERVED_SCHEMAS: [&str; 3] = ["information_schema", "pg_catalog", "weir"];

/// Columns that every stream and table has besides its own, not shown by `SELECT *`.
pub const HIDDEN_COLUMNS: [&str; 6] = [
    "_partition",
    "_offset",
    "_timestamp",
    "_key",
    "_headers",
    "_error",
];

/// One version of the whole catalog: immutable, and consistent in itself (every dependency exists and none is circular,
/// every relation's schema exists, no name is taken twice, nor a topic but by streams that share it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    version: u64,
    pub(crate) next_id: ObjectId,
    pub(crate) by_id: BTreeMap<ObjectId, Arc<Entry>>,
    pub(crate) relations: BTreeMap<ObjectName, Arc<Entry>>,
    pub(crate) schemas: BTreeMap<String, Arc<Entry>>,
    connections: BTreeMap<String, Arc<Entry>>,
    pub(crate) dependants: BTreeMap<ObjectId, BTreeSet<ObjectId>>,
    /// What is stored in each topic, in order of identity.
    pub(crate) by_topic: HashMap<TopicId, Vec<Arc<Entry>>>,
    /// The schema of one session's own objects, which are no part of the version itself.
    pub(crate) temporary_schema: Option<String>,
}

impl Snapshot {
    /// The first version, number 0, in which the schema `public` exists and nothing else.
    pub fn initial() -> Self {
        let public = Arc::new(Entry {
            id: ObjectId(1),
            name: ObjectName::global(DEFAULT_SCHEMA),
            body: Body::Schema,
            comment: None,
            sql: format!("CREATE SCHEMA {DEFAULT_SCHEMA}"),
            depends_on: BTreeSet::new(),
            created_at_ms: 0,
            owner: None,
        });
        Self {
            version: 0,
            next_id: ObjectId(2),
            by_id: BTreeMap::from([(public.id, Arc::clone(&public))]),
            relations: BTreeMap::new(),
            schemas: BTreeMap::from([(DEFAULT_SCHEMA.to_owned(), public)]),
            connections: BTreeMap::new(),
            dependants: BTreeMap::new(),
            by_topic: HashMap::new(),
            temporary_schema: None,
        }
    }

    /// The version's number: 0 for an empty catalog, one more with each commit.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The identity that the next new object gets.
    pub fn next_id(&self) -> ObjectId {
        self.next_id
    }

    /// The relation of this name; with the schema `""`, the connection of this name.
    pub fn get(&self, name: &ObjectName) -> Option<&Arc<Entry>> {
        if name.schema.is_empty() {
            self.connection(&name.name)
        } else {
            self.relations.get(name)
        }
    }

    /// The object of this identity.
    pub fn by_id(&self, id: ObjectId) -> Option<&Arc<Entry>> {
        self.by_id.get(&id)
    }

    /// The streams over a topic, or the table that it is the changelog of; the oldest first.
    pub fn by_topic(&self, topic: TopicId) -> &[Arc<Entry>] {
        self.by_topic.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// The schema of this name.
    pub fn schema(&self, name: &str) -> Option<&Arc<Entry>> {
        self.schemas.get(name)
    }

    /// The connection of this name.
    pub fn connection(&self, name: &str) -> Option<&Arc<Entry>> {
        self.connections.get(name)
    }

    /// All relations (streams, tables, external tables, views), in order of schema and name. Sinks, which share their names, are
    /// not among them: nothing can be read from one.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let named = self.relations.values();
        named.filter(|entry| entry.kind() != ObjectKind::Sink)
    }

    /// All sinks, in order of schema and name.
    pub fn sinks(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let named = self.relations.values();
        named.filter(|entry| entry.kind() == ObjectKind::Sink)
    }

    /// All relations of one schema, in order of name.
    pub fn relations_in<'a>(&'a self, schema: &'a str) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.relations
            .range(ObjectName::new(schema, "")..)
            .take_while(move |(name, _)| name.schema == schema)
            .map(|(_, entry)| entry)
            .filter(|entry| entry.kind() != ObjectKind::Sink)
    }

    /// All schemas that are not reserved, in order of name.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.schemas.values()
    }

    /// All connections, in order of name.
    pub fn connections(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.connections.values()
    }

    /// All objects: schemas, then connections, then relations, then sinks, each in order of name.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.schemas()
            .chain(self.connections())
            .chain(self.relations())
            .chain(self.sinks())
    }

    /// All objects of one kind, in order of name.
    pub fn of_kind(&self, kind: ObjectKind) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries().filter(move |entry| entry.kind() == kind)
    }

    /// This version with some of its objects alone, for somebody for whom the others are not there: to look things up, not to
    /// change them. What is left may depend on what is not.
    pub fn filtered(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let mut filtered = self.clone();
        filtered.by_id.retain(|_, entry| keep(entry));
        let kept = |entry: &Arc<Entry>| filtered.by_id.contains_key(&entry.id);
        filtered.relations.retain(|_, entry| kept(entry));
        filtered.schemas.retain(|_, entry| kept(entry));
        filtered.connections.retain(|_, entry| kept(entry));
        for entries in filtered.by_topic.values_mut() {
            entries.retain(kept);
        }
        filtered
    }

    /// What directly depends on an object: of a schema, that is all that lies in it.
    pub fn dependants(&self, id: ObjectId) -> Vec<&Arc<Entry>> {
        self.dependants
            .get(&id)
            .into_iter()
            .flatten()
            .filter_map(|id| self.by_id.get(id))
            .collect()
    }

    /// What could not be without these objects: they themselves, and what directly or indirectly depends on them. Each
    /// comes before what it depends on.
    pub fn with_dependants(&self, ids: &[ObjectId]) -> Vec<&Arc<Entry>> {
        // Depth first with an explicit stack: chains of views may be deep.
        let mut finished: Vec<ObjectId> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut stack: Vec<(ObjectId, bool)> = ids.iter().rev().map(|id| (*id, false)).collect();
        while let Some((id, is_done)) = stack.pop() {
            if is_done {
                finished.push(id);
            } else if seen.insert(id) {
                stack.push((id, true));
                let below = self.dependants.get(&id).into_iter().flatten().rev();
                stack.extend(below.map(|id| (*id, false)));
            }
        }
        finished
            .into_iter()
            .filter_map(|id| self.by_id.get(&id))
            .collect()
    }

    /// The relation, or the sink, of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`] that names the nearest one.
    pub fn relation(&self, name: &ObjectName) -> Result<&Arc<Entry>> {
        self.relations
            .get(name)
            .ok_or_else(|| self.relation_not_found("relation", name))
    }

    /// The object of this kind and name. Schemas and connections are found by `name.name` alone.
    ///
    /// # Errors
    /// [`Error::NotFound`] that names the nearest one, or [`Error::WrongKind`].
    pub fn require(&self, kind: ObjectKind, name: &ObjectName) -> Result<&Arc<Entry>> {
        match kind {
            ObjectKind::Schema => self.require_schema(&name.name),
            ObjectKind::Connection => {
                self.connections
                    .get(&name.name)
                    .ok_or_else(|| Error::NotFound {
                        what: kind.to_string(),
                        name: name.name.clone(),
                        hint: did_you_mean(&name.name, self.connections.keys().map(String::as_str)),
                        sqlstate: SqlState::UNDEFINED_OBJECT,
                    })
            }
            _ => {
                let entry = self
                    .relations
                    .get(name)
                    .ok_or_else(|| self.relation_not_found(&kind.to_string(), name))?;
                if entry.kind() == kind {
                    Ok(entry)
                } else {
                    Err(Error::WrongKind {
                        name: name.to_string(),
                        found: entry.kind(),
                        wanted: kind,
                    })
                }
            }
        }
    }

    /// The object of this identity, which the caller has from this or an earlier version.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it has been dropped since.
    pub fn require_id(&self, id: ObjectId) -> Result<&Arc<Entry>> {
        self.by_id.get(&id).ok_or_else(|| Error::NotFound {
            what: "object".to_owned(),
            name: id.to_string(),
            hint: Some("it was dropped meanwhile".to_owned()),
            sqlstate: SqlState::UNDEFINED_OBJECT,
        })
    }

    fn require_schema(&self, name: &str) -> Result<&Arc<Entry>> {
        self.schemas.get(name).ok_or_else(|| Error::NotFound {
            what: "schema".to_owned(),
            name: name.to_owned(),
            hint: did_you_mean(name, self.schemas.keys().map(String::as_str)),
            sqlstate: SqlState::INVALID_SCHEMA_NAME,
        })
    }

    fn relation_not_found(&self, what: &str, name: &ObjectName) -> Error {
        if !RESERVED_SCHEMAS.contains(&name.schema.as_str())
            && let Err(error) = self.require_schema(&name.schema)
        {
            return error;
        }
        let here = self.relations_in(&name.schema).map(|entry| &entry.name);
        let elsewhere = || {
            let mut others = self
                .relations
                .keys()
                .filter(|other| other.name == name.name);
            others.next().map(ToString::to_string)
        };
        let nearest = nearest(&name.name, here.map(|name| name.name.as_str()))
            .map(|near| ObjectName::new(&name.schema, near).to_string())
            .or_else(elsewhere);
        Error::NotFound {
            what: what.to_owned(),
            name: name.to_string(),
            hint: nearest.map(|nearest| format!("did you mean \"{nearest}\"?")),
            sqlstate: SqlState::UNDEFINED_TABLE,
        }
    }

    /// The column of a relation.
    ///
    /// # Errors
    /// [`Error::ColumnNotFound`] that names the nearest one.
    pub fn require_column<'a>(&self, entry: &'a Entry, name: &str) -> Result<&'a crate::Column> {
        entry.column(name).ok_or_else(|| Error::ColumnNotFound {
            column: name.to_owned(),
            relation: entry.describe(),
            nearest: nearest(
                name,
                entry.columns().iter().map(|column| column.name.as_str()),
            )
            .map(str::to_owned),
        })
    }

    /// A topic name for a new relation: `bids` for `public.bids`, `s.bids` for `s.bids`; `_` for characters that topic
    /// names cannot have; and a suffix where a topic of that name is in use by another relation (one renamed since, or the
    /// one that is being replaced).
    ///
    /// # Errors
    /// None that a name can cause.
    pub fn free_topic_name(&self, name: &ObjectName) -> Result<TopicName> {
        const NAME_LENGTH_MAX: usize = 200;
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut wanted: String = name
            .to_string()
            .chars()
            .map(|c| if is_legal(c) { c } else { '_' })
            .take(NAME_LENGTH_MAX)
            .collect();
        if matches!(wanted.as_str(), "" | "." | "..") {
            wanted.push('_');
        }
        let taken: BTreeSet<&str> = self
            .relations()
            .filter_map(|entry| entry.topic())
            .map(|(topic, _)| topic.as_str())
            .collect();
        let mut candidate = wanted.clone();
        let mut number = self.next_id.0;
        while taken.contains(candidate.as_str()) {
            candidate = format!("{wanted}-{number}");
            number += 1;
        }
        TopicName::new(candidate).map_err(|error| Error::Internal(error.to_string()))
    }

    /// A version made of these objects.
    ///
    /// # Errors
    /// When they are not consistent; the message says in what way.
    pub(crate) fn build(
        version: u64,
        next_id: ObjectId,
        by_id: BTreeMap<ObjectId, Arc<Entry>>,
    ) -> Result<Self> {
        let mut snapshot = Self {
            version,
            next_id,
            by_id,
            relations: BTreeMap::new(),
            schemas: BTreeMap::new(),
            connections: BTreeMap::new(),
            dependants: BTreeMap::new(),
            by_topic: HashMap::new(),
            temporary_schema: None,
        };
        snapshot.index_names()?;
        snapshot.index_dependants()?;
        snapshot.index_topics()?;
        snapshot.check_circles()?;
        Ok(snapshot)
    }

    fn index_names(&mut self) -> Result<()> {
        for entry in self.by_id.values() {
            let name = entry.name.name.clone();
            let earlier = match entry.kind() {
                ObjectKind::Schema => self.schemas.insert(name, entry.clone()),
                ObjectKind::Connection => self.connections.insert(name, entry.clone()),
                _ => self.relations.insert(entry.name.clone(), entry.clone()),
            };
            if let Some(earlier) = earlier {
                return Err(Error::Exists {
                    kind: earlier.kind(),
                    name: earlier.name.to_string(),
                });
            }
        }
        if self.schemas.contains_key(DEFAULT_SCHEMA) {
            Ok(())
        } else {
            Err(Error::rule(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("schema \"{DEFAULT_SCHEMA}\" must exist"),
                None,
            ))
        }
    }

    fn index_dependants(&mut self) -> Result<()> {
        for entry in self.by_id.values() {
            for needed in &entry.depends_on {
                if !self.by_id.contains_key(needed) {
                    return Err(Error::rule(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "{} depends on an object that does not exist",
                            entry.describe()
                        ),
                        "it was dropped meanwhile: run the statement again",
                    ));
                }
                self.dependants.entry(*needed).or_default().insert(entry.id);
            }
            if entry.kind().is_relation() {
                let schema = self.require_schema(&entry.name.schema)?.id;
                self.dependants.entry(schema).or_default().insert(entry.id);
            }
        }
        Ok(())
    }

    /// Streams may share a topic; a table's is its own.
    fn index_topics(&mut self) -> Result<()> {
        let mut by_name: BTreeMap<&TopicName, &Entry> = BTreeMap::new();
        for entry in self.by_id.values() {
            let Some((topic, id)) = entry.topic() else {
                continue;
            };
            if let Some(earlier) = by_name.insert(topic, entry) {
                let is_shared = earlier.topic() == Some((topic, id))
                    && earlier.kind() == ObjectKind::Stream
                    && entry.kind() == ObjectKind::Stream;
                if !is_shared {
                    return Err(Error::rule(
                        SqlState::DUPLICATE_OBJECT,
                        format!(
                            "topic \"{topic}\" of {} is in use by {}",
                            entry.describe(),
                            earlier.describe()
                        ),
                        "choose another name",
                    ));
                }
            }
            self.by_topic.entry(id).or_default().push(Arc::clone(entry));
        }
        Ok(())
    }

    /// Takes away what nothing left depends on, until nothing is left or only circles are.
    fn check_circles(&self) -> Result<()> {
        let mut users: BTreeMap<ObjectId, usize> = self
            .by_id
            .keys()
            .map(|id| (*id, self.dependants.get(id).map_or(0, BTreeSet::len)))
            .collect();
        let mut free: Vec<ObjectId> = users
            .iter()
            .filter(|(_, users)| **users == 0)
            .map(|(id, _)| *id)
            .collect();
        while let Some(id) = free.pop() {
            users.remove(&id);
            let Some(entry) = self.by_id.get(&id) else {
                continue;
            };
            let schema = self
                .schemas
                .get(&entry.name.schema)
                .map(|schema| &schema.id);
            let schema = schema.filter(|_| entry.kind().is_relation());
            for needed in entry.depends_on.iter().chain(schema) {
                if let Some(count) = users.get_mut(needed) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(*needed);
                    }
                }
            }
        }
        match users.keys().find_map(|id| {
            let entry = self.by_id.get(id)?;
            entry.kind().is_relation().then_some(entry)
        }) {
            None => Ok(()),
            Some(entry) => Err(Error::rule(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("{} would depend on itself", entry.describe()),
                None,
            )),
        }
    }
}

fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|nearest| format!("did you mean \"{nearest}\"?"))
}
