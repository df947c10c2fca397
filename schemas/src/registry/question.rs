//! What can be asked of a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Entry, Mode, Registry, SchemaId, Subject, Version, VersionRef};
use crate::compatibility::violations;
use crate::{Code, Definition, Error, Level, Parsed, Result};

/// Which subjects and versions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deleted {
    /// Those that are not deleted.
    #[default]
    Hidden,
    /// All.
    Shown,
    /// Only deleted ones.
    Only,
}

/// A version of a subject with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: Version,
    /// The number of the schema.
    pub id: SchemaId,
    /// The schema.
    pub schema: Definition,
    /// The schema's identity as a UUID.
    pub guid: String,
}

/// A schema by its number.
#[derive(Debug, Clone)]
pub struct Found {
    /// The number.
    pub id: SchemaId,
    /// The schema as it is given out.
    pub schema: Definition,
    /// The schema, understood.
    pub parsed: Arc<Parsed>,
    /// The schema's identity as a UUID.
    pub guid: String,
}

impl Deleted {
    fn shows(self, deleted: bool) -> bool {
        match self {
            Self::Hidden => !deleted,
            Self::Shown => true,
            Self::Only => deleted,
        }
    }
}

impl Registry {
    /// The names of subjects that begin with `prefix`, in order.
    pub fn subjects(&self, prefix: &str, deleted: Deleted) -> Vec<&str> {
        self.beginning_with(prefix)
            .filter(|(_, subject)| {
                !subject.versions.is_empty() && deleted.shows(subject.is_deleted())
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = (&String, &Arc<Subject>)> {
        self.subjects
            .range(prefix.to_owned()..)
            .take_while(move |(name, _)| name.starts_with(prefix))
    }

    /// The versions of a subject, in order.
    ///
    /// # Errors
    /// [`Code::SubjectNotFound`] when none is shown.
    pub fn versions(&self, subject: &str, deleted: Deleted) -> Result<Vec<Version>> {
        let found: Vec<Version> = self
            .subject(subject)?
            .versions
            .iter()
            .filter(|(_, entry)| deleted.shows(entry.deleted))
            .map(|(version, _)| *version)
            .collect();
        if found.is_empty() {
            return Err(no_subject(subject));
        }
        Ok(found)
    }

    /// A version of a subject.
    ///
    /// # Errors
    /// [`Code::SubjectNotFound`] or [`Code::VersionNotFound`].
    pub fn version(
        &self,
        subject: &str,
        version: VersionRef,
        deleted: Deleted,
    ) -> Result<Registered> {
        let (version, entry) = self.entry(subject, version, deleted)?;
        self.registered(subject, version, entry)
    }

    /// The latest schema of a subject, with its number; none when there is no such subject, or nothing in it.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub fn latest(&self, subject: &str) -> Result<Option<(SchemaId, Arc<Parsed>)>> {
        match self.entry(subject, VersionRef::Latest, Deleted::Hidden) {
            Ok((_, entry)) => Ok(Some((entry.id, self.parsed(entry.id)?))),
            Err(error) if matches!(error.code(), Code::SubjectNotFound | Code::VersionNotFound) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The version of a subject that has this schema.
    ///
    /// # Errors
    /// [`Code::SubjectNotFound`], or [`Code::SchemaNotFound`] when no version has it; what is wrong with the schema.
    pub fn lookup(
        &self,
        subject: &str,
        schema: &Definition,
        normalize: bool,
        deleted: Deleted,
    ) -> Result<Registered> {
        let versions = self.versions(subject, deleted)?;
        let (_, parsed) = self.prepare(schema, normalize)?;
        let id = self
            .by_fingerprint
            .get(&parsed.fingerprint(&schema.references));
        let owner = self.subject(subject)?;
        let found = versions.into_iter().rev().find_map(|version| {
            let entry = owner.versions.get(&version)?;
            (Some(&entry.id) == id).then_some((version, *entry))
        });
        let (version, entry) =
            found.ok_or_else(|| Error::new(Code::SchemaNotFound, "Schema not found"))?;
        self.registered(subject, version, entry)
    }

    /// The schema of that number.
    ///
    /// # Errors
    /// [`Code::SchemaNotFound`].
    pub fn schema(&self, id: SchemaId) -> Result<Found> {
        let parsed = self.parsed(id)?;
        let stored = self
            .schemas
            .get(&id)
            .ok_or_else(|| Error::new(Code::SchemaNotFound, format!("Schema {id} not found")))?;
        let guid = parsed.fingerprint(&stored.schema.references).guid();
        Ok(Found {
            id,
            schema: stored.schema.clone(),
            parsed,
            guid,
        })
    }

    /// The highest number of a schema; none in an empty registry.
    pub fn max_id(&self) -> Option<SchemaId> {
        self.schemas.keys().next_back().copied()
    }

    /// The schema of that identity.
    ///
    /// # Errors
    /// [`Code::SchemaNotFound`].
    pub fn schema_by_guid(&self, guid: &str) -> Result<Found> {
        let id = self
            .by_fingerprint
            .iter()
            .find(|(fingerprint, _)| fingerprint.guid().eq_ignore_ascii_case(guid))
            .map(|(_, id)| *id);
        let id =
            id.ok_or_else(|| Error::new(Code::SchemaNotFound, format!("Schema {guid} not found")))?;
        self.schema(id)
    }

    /// The subjects and versions that have the schema of that number.
    ///
    /// # Errors
    /// [`Code::SchemaNotFound`].
    pub fn versions_of(&self, id: SchemaId, deleted: Deleted) -> Result<Vec<(&str, Version)>> {
        self.parsed(id)?;
        let uses = self.uses(id);
        Ok(uses
            .filter(|(_, _, entry)| deleted.shows(entry.deleted))
            .map(|(subject, version, _)| (subject, version))
            .collect())
    }

    /// All versions of subjects that begin with `prefix`, or of each only the last.
    ///
    /// # Errors
    /// [`Code::Corrupt`] when a schema is not there.
    pub fn registered_all(
        &self,
        prefix: &str,
        deleted: Deleted,
        latest_only: bool,
    ) -> Result<Vec<Registered>> {
        let mut all = Vec::new();
        for (name, subject) in self.beginning_with(prefix) {
            let mut shown = subject
                .versions
                .iter()
                .filter(|(_, entry)| deleted.shows(entry.deleted));
            let last = if latest_only { shown.next_back() } else { None };
            let rest = if latest_only { None } else { Some(shown) };
            for (version, entry) in last.into_iter().chain(rest.into_iter().flatten()) {
                all.push(self.registered(name, *version, *entry)?);
            }
        }
        Ok(all)
    }

    /// The numbers of the schemas that refer to a version.
    ///
    /// # Errors
    /// [`Code::SubjectNotFound`] or [`Code::VersionNotFound`].
    pub fn referenced_by(&self, subject: &str, version: VersionRef) -> Result<Vec<SchemaId>> {
        let (version, _) = self.entry(subject, version, Deleted::Shown)?;
        let mut referrers = self.referrers(subject);
        Ok(referrers.remove(&version).unwrap_or_default())
    }

    /// How schemas of a subject may follow one another: what was set for it, else for all.
    pub fn level(&self, subject: Option<&str>) -> Level {
        let own = subject.and_then(|name| self.subjects.get(name)?.settings.level);
        own.or(self.settings.level).unwrap_or_default()
    }

    /// What was set for this subject itself.
    ///
    /// # Errors
    /// [`Code::LevelNotSet`].
    pub fn own_level(&self, subject: &str) -> Result<Level> {
        let own = self
            .subjects
            .get(subject)
            .and_then(|subject| subject.settings.level);
        own.ok_or_else(|| {
            Error::new(
                Code::LevelNotSet,
                format!("Subject '{subject}' does not have subject-level compatibility configured"),
            )
        })
    }

    /// What may be done with a subject: what was set for it, else for all.
    pub fn mode(&self, subject: Option<&str>) -> Mode {
        let own = subject.and_then(|name| self.subjects.get(name)?.settings.mode);
        own.or(self.settings.mode).unwrap_or_default()
    }

    /// What was set for this subject itself.
    ///
    /// # Errors
    /// [`Code::ModeNotSet`].
    pub fn own_mode(&self, subject: &str) -> Result<Mode> {
        let own = self
            .subjects
            .get(subject)
            .and_then(|subject| subject.settings.mode);
        own.ok_or_else(|| {
            Error::new(
                Code::ModeNotSet,
                format!("Subject '{subject}' does not have subject-level mode configured"),
            )
        })
    }

    /// Why a schema may not follow a version of a subject, or with none all those that its level asks for; empty when it may.
    ///
    /// # Errors
    /// [`Code::SubjectNotFound`], [`Code::VersionNotFound`], or what is wrong with the schema.
    pub fn check_compatible(
        &self,
        subject: &str,
        version: Option<VersionRef>,
        schema: &Definition,
        normalize: bool,
    ) -> Result<Vec<String>> {
        let (_, parsed) = self.prepare(schema, normalize)?;
        match version {
            Some(version) => {
                let (version, entry) = self.entry(subject, version, Deleted::Hidden)?;
                self.violations(subject, &parsed, &[(version, entry)])
            }
            None => {
                let earlier = self.earlier(subject);
                self.violations(subject, &parsed, &earlier)
            }
        }
    }

    /// The versions that a new one is compared with, the last one first.
    pub(super) fn earlier(&self, subject: &str) -> Vec<(Version, Entry)> {
        let Some(owner) = self.subjects.get(subject) else {
            return Vec::new();
        };
        let present = owner
            .versions
            .iter()
            .rev()
            .filter(|(_, entry)| !entry.deleted)
            .map(|(version, entry)| (*version, *entry));
        if self.level(Some(subject)).is_transitive() {
            present.collect()
        } else {
            present.take(1).collect()
        }
    }

    pub(super) fn violations(
        &self,
        subject: &str,
        new: &Parsed,
        earlier: &[(Version, Entry)],
    ) -> Result<Vec<String>> {
        let level = self.level(Some(subject));
        let mut said = Vec::new();
        if level == Level::None {
            return Ok(said);
        }
        for (version, entry) in earlier {
            let reasons = violations(level, new, &*self.parsed(entry.id)?);
            if !reasons.is_empty() {
                said.extend(reasons);
                said.push(format!("{{oldSchemaVersion: {version}}}"));
            }
        }
        if !said.is_empty() {
            said.push(format!("{{compatibility: '{level}'}}"));
        }
        Ok(said)
    }

    /// A schema as it would be kept, and understood.
    pub(super) fn prepare(
        &self,
        schema: &Definition,
        normalize: bool,
    ) -> Result<(Definition, Parsed)> {
        let parsed = self.parse(schema)?;
        if !normalize {
            let text = parsed.kept_text(&schema.text);
            return Ok((
                Definition {
                    text,
                    ..schema.clone()
                },
                parsed,
            ));
        }
        let schema = Definition {
            text: parsed.normalized(),
            ..schema.clone()
        };
        let parsed = self.parse(&schema)?;
        Ok((schema, parsed))
    }

    pub(super) fn subject(&self, name: &str) -> Result<&Arc<Subject>> {
        self.subjects
            .get(name)
            .filter(|subject| !subject.versions.is_empty())
            .ok_or_else(|| no_subject(name))
    }

    pub(super) fn entry(
        &self,
        subject: &str,
        version: VersionRef,
        deleted: Deleted,
    ) -> Result<(Version, Entry)> {
        let owner = self.subject(subject)?;
        let mut shown = owner
            .versions
            .iter()
            .filter(|(_, entry)| deleted.shows(entry.deleted))
            .map(|(version, entry)| (*version, *entry));
        let found = match version {
            VersionRef::Latest => shown.next_back(),
            VersionRef::Number(wanted) => shown.find(|(version, _)| *version == wanted),
        };
        match (found, version) {
            (Some(found), _) => Ok(found),
            (None, _) if deleted == Deleted::Hidden && owner.is_deleted() => {
                Err(no_subject(subject))
            }
            (None, VersionRef::Latest) => Err(no_subject(subject)),
            (None, VersionRef::Number(version)) => Err(Error::new(
                Code::VersionNotFound,
                format!("Version {version} not found."),
            )),
        }
    }

    /// The schemas that refer to a version of a subject and are themselves a version that is not deleted, by that version.
    pub(super) fn referrers(&self, subject: &str) -> BTreeMap<Version, Vec<SchemaId>> {
        let used: BTreeSet<SchemaId> = self
            .entries()
            .filter(|(_, _, entry)| !entry.deleted)
            .map(|(_, _, entry)| entry.id)
            .collect();
        let mut referrers: BTreeMap<Version, Vec<SchemaId>> = BTreeMap::new();
        for id in used {
            let Some(stored) = self.schemas.get(&id) else {
                continue;
            };
            let references = stored.schema.references.iter();
            let versions: BTreeSet<Version> = references
                .filter(|reference| reference.subject == subject)
                .map(|reference| reference.version)
                .collect();
            for version in versions {
                referrers.entry(version).or_default().push(id);
            }
        }
        referrers
    }

    pub(super) fn registered(
        &self,
        subject: &str,
        version: Version,
        entry: Entry,
    ) -> Result<Registered> {
        let found = self.schema(entry.id)?;
        Ok(Registered {
            subject: subject.to_owned(),
            version,
            id: entry.id,
            schema: found.schema,
            guid: found.guid,
        })
    }
}

impl Subject {
    pub(super) fn is_deleted(&self) -> bool {
        self.versions.values().all(|entry| entry.deleted)
    }
}

pub(super) fn no_subject(name: &str) -> Error {
    Error::new(
        Code::SubjectNotFound,
        format!("Subject '{name}' not found."),
    )
}
