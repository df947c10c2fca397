//! The registry: subjects, their versions, and one number for each schema.
//!
//! A [`Registry`] is one state, immutable and cheap to hold. Commands ([`Registry::register`], …) are pure: they give the
//! [`Change`]s that would make the next state, which the caller stores and then applies. Questions read the state.

mod command;
mod question;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

pub use command::Planned;
pub use question::{Deleted, Found, Registered};
pub use record::{Change, Key, Mode, Record, SchemaId, Version, VersionRef};

use crate::definition::Resolved;
use crate::{Code, Definition, Error, Fingerprint, Level, Parsed, Reference, Result};

/// The most subjects that a registry has.
pub const SUBJECTS_MAX: usize = 10_000;

/// The most versions that a subject has, deleted ones counted.
pub const VERSIONS_MAX: usize = 1_000;

/// The most schemas that a registry has.
pub const SCHEMAS_MAX: usize = 50_000;

/// The most references that lead from one schema to another to another.
const REFERENCE_DEPTH_MAX: usize = 32;

/// One state of the registry.
#[derive(Debug, Clone)]
pub struct Registry {
    schemas: BTreeMap<SchemaId, Arc<Stored>>,
    by_fingerprint: BTreeMap<Fingerprint, SchemaId>,
    subjects: BTreeMap<String, Arc<Subject>>,
    /// What was set for all subjects.
    settings: Settings,
    next_id: SchemaId,
}

/// A schema of the registry.
#[derive(Debug)]
struct Stored {
    schema: Definition,
    /// What it refers to, which can be resolved only in the state that it was read in, and never changes.
    understood: OnceLock<Result<Arc<Parsed>>>,
}

#[derive(Debug, Clone, Default)]
struct Subject {
    versions: BTreeMap<Version, Entry>,
    settings: Settings,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: SchemaId,
    deleted: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    level: Option<Level>,
    mode: Option<Mode>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            schemas: BTreeMap::new(),
            by_fingerprint: BTreeMap::new(),
            subjects: BTreeMap::new(),
            settings: Settings::default(),
            next_id: SchemaId::FIRST,
        }
    }
}

impl Registry {
    /// The state that these records make.
    ///
    /// # Errors
    /// [`Code::Corrupt`] when they contradict each other.
    pub fn load(records: impl IntoIterator<Item = Record>) -> Result<Self> {
        let changes: Vec<Change> = records.into_iter().map(Change::Put).collect();
        Self::default().apply(&changes)
    }

    /// The state after these changes.
    ///
    /// # Errors
    /// [`Code::Corrupt`] when the outcome would not be consistent: a version without its schema, or a number given twice.
    pub fn apply(&self, changes: &[Change]) -> Result<Self> {
        let mut next = self.clone();
        for change in changes {
            match change {
                Change::Put(record) => next.put(record.clone()),
                Change::Remove(key) => next.remove(key),
            }
        }
        next.check(changes)?;
        Ok(next)
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Schema { id, schema } => {
                self.schemas.insert(id, Arc::new(Stored::new(schema)));
            }
            Record::Version {
                subject,
                version,
                id,
                deleted,
            } => {
                let subject = self.subjects.entry(subject).or_default();
                let entry = Entry { id, deleted };
                Arc::make_mut(subject).versions.insert(version, entry);
            }
            Record::Settings {
                subject,
                level,
                mode,
            } => {
                let settings = Settings { level, mode };
                match subject {
                    None => self.settings = settings,
                    Some(name) => {
                        Arc::make_mut(self.subjects.entry(name).or_default()).settings = settings;
                    }
                }
            }
            Record::NextId(id) => self.next_id = id,
        }
    }

    fn remove(&mut self, key: &Key) {
        match key {
            Key::Schema(id) => {
                self.schemas.remove(id);
                self.by_fingerprint.retain(|_, known| known != id);
            }
            Key::Version(name, version) => self.change(name, |subject| {
                subject.versions.remove(version);
            }),
            Key::Settings(None) => self.settings = Settings::default(),
            Key::Settings(Some(name)) => {
                self.change(name, |subject| subject.settings = Settings::default());
            }
            Key::NextId => self.next_id = SchemaId::FIRST,
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Subject)) {
        let Some(subject) = self.subjects.get_mut(name) else {
            return;
        };
        let subject = Arc::make_mut(subject);
        change(subject);
        if subject.versions.is_empty() && subject.settings.is_empty() {
            self.subjects.remove(name);
        }
    }

    /// Whether what the changes touched is consistent, and what was added can be found by its fingerprint.
    fn check(&mut self, changes: &[Change]) -> Result<()> {
        let corrupt = |message: String| Err(Error::new(Code::Corrupt, message));
        for change in changes {
            match change {
                Change::Put(Record::Schema { id, schema }) => {
                    if *id >= self.next_id {
                        return corrupt(format!("schema {id} has a number that is still to give"));
                    }
                    let parsed = self.parsed(*id)?;
                    let fingerprint = parsed.fingerprint(&schema.references);
                    let known = *self.by_fingerprint.entry(fingerprint).or_insert(*id);
                    if known != *id {
                        return corrupt(format!("schemas {known} and {id} are one"));
                    }
                }
                Change::Put(Record::Version {
                    subject,
                    version,
                    id,
                    ..
                }) if !self.schemas.contains_key(id) => {
                    return corrupt(format!(
                        "version {version} of subject {subject:?} has schema {id}, which is not there"
                    ));
                }
                Change::Remove(Key::Schema(id)) if self.uses(*id).next().is_some() => {
                    return corrupt(format!("schema {id} is removed and still in use"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All versions that have this schema, deleted ones too.
    fn uses(&self, id: SchemaId) -> impl Iterator<Item = (&str, Version, Entry)> {
        self.entries().filter(move |(_, _, entry)| entry.id == id)
    }

    fn entries(&self) -> impl Iterator<Item = (&str, Version, Entry)> {
        self.subjects.iter().flat_map(|(name, subject)| {
            let versions = subject.versions.iter();
            versions.map(move |(version, entry)| (name.as_str(), *version, *entry))
        })
    }

    /// The schema of that number, understood.
    ///
    /// # Errors
    /// [`Code::SchemaNotFound`], or what is wrong with it.
    pub fn parsed(&self, id: SchemaId) -> Result<Arc<Parsed>> {
        self.parsed_within(id, 0)
    }

    fn parsed_within(&self, id: SchemaId, depth: usize) -> Result<Arc<Parsed>> {
        let stored = self
            .schemas
            .get(&id)
            .ok_or_else(|| Error::new(Code::SchemaNotFound, format!("Schema {id} not found")))?;
        if let Some(known) = stored.understood.get() {
            return known.clone();
        }
        let parsed = self.parse_within(&stored.schema, depth).map(Arc::new);
        Ok(Arc::clone(
            stored
                .understood
                .get_or_init(|| parsed)
                .as_ref()
                .map_err(Clone::clone)?,
        ))
    }

    /// Reads a schema with what it refers to.
    ///
    /// # Errors
    /// [`Code::InvalidSchema`] says what is wrong with it; so does a reference that is not registered.
    pub fn parse(&self, schema: &Definition) -> Result<Parsed> {
        self.parse_within(schema, 0)
    }

    fn parse_within(&self, schema: &Definition, depth: usize) -> Result<Parsed> {
        if schema.references.len() > crate::definition::REFERENCES_MAX {
            return Err(Error::new(
                Code::LimitExceeded,
                format!(
                    "the schema has {} references, at most {} are taken",
                    schema.references.len(),
                    crate::definition::REFERENCES_MAX
                ),
            ));
        }
        if depth > REFERENCE_DEPTH_MAX {
            return Err(Error::invalid(format!(
                "references lead past {REFERENCE_DEPTH_MAX} schemas"
            )));
        }
        let mut references = Vec::with_capacity(schema.references.len());
        for reference in &schema.references {
            let id = self.referred(reference)?;
            references.push(Resolved {
                name: reference.name.clone(),
                parsed: self.parsed_within(id, depth + 1)?,
            });
        }
        schema.parse(&references)
    }

    fn referred(&self, reference: &Reference) -> Result<SchemaId> {
        let subject = self.subjects.get(&reference.subject);
        let entry = subject.and_then(|subject| subject.versions.get(&reference.version));
        entry.map(|entry| entry.id).ok_or_else(|| {
            Error::invalid(format!(
                "no schema is registered for the reference {:?}: subject {:?}, version {}",
                reference.name, reference.subject, reference.version
            ))
        })
    }
}

impl Stored {
    fn new(schema: Definition) -> Self {
        Self {
            schema,
            understood: OnceLock::new(),
        }
    }
}

impl Settings {
    fn is_empty(self) -> bool {
        self.level.is_none() && self.mode.is_none()
    }
}
