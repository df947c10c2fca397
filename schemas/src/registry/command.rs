//! What changes a registry. Each command gives the changes that would carry it out, and what to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::question::no_subject;
use super::{
    Change, Deleted, Key, Mode, Record, Registered, Registry, SCHEMAS_MAX, SUBJECTS_MAX, SchemaId,
    Settings, VERSIONS_MAX, Version, VersionRef,
};
use crate::{Code, Definition, Error, Level, Result};

/// The longest name of a subject, in bytes. A topic's name has at most 249, and `-value` follows.
const SUBJECT_BYTES_MAX: usize = 512;

/// What a command would change, and what it answers once that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned<T> {
    /// The changes, all or none; none when everything is as it should be already.
    pub changes: Vec<Change>,
    /// The answer.
    pub answer: T,
}

impl Registry {
    /// Registers a schema as the next version of a subject. One that is a version already is not registered again. An id or a
    /// version can be asked for in mode `IMPORT`, where compatibility is not checked.
    ///
    /// # Errors
    /// [`Code::InvalidSchema`], [`Code::Incompatible`], [`Code::NotPermitted`] by the subject's mode, [`Code::IdTaken`],
    /// [`Code::InvalidSubject`], or [`Code::LimitExceeded`].
    pub fn register(
        &self,
        subject: &str,
        schema: &Definition,
        normalize: bool,
        id: Option<SchemaId>,
        version: Option<Version>,
    ) -> Result<Planned<Registered>> {
        check_subject(subject)?;
        let (schema, parsed) = self.prepare(schema, normalize)?;
        let fingerprint = parsed.fingerprint(&schema.references);
        let known = self.by_fingerprint.get(&fingerprint).copied();
        let owner = self.subjects.get(subject);
        let versions = owner.map(|owner| &owner.versions);
        let present = versions.into_iter().flatten().rev().find(|(own, entry)| {
            !entry.deleted
                && Some(entry.id) == known
                && version.is_none_or(|version| version == **own)
        });
        if let Some((version, entry)) = present
            && id.is_none_or(|id| id == entry.id)
        {
            return Ok(Planned {
                changes: Vec::new(),
                answer: self.registered(subject, *version, *entry)?,
            });
        }
        self.check_mode(subject, id.is_some() || version.is_some())?;
        let imports = self.mode(Some(subject)) == Mode::Import;
        if !imports {
            let said = self.violations(subject, &parsed, &self.earlier(subject))?;
            if !said.is_empty() {
                return Err(Error::new(
                    Code::Incompatible,
                    format!(
                        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]",
                        said.join(", ")
                    ),
                ));
            }
        }
        let last = versions.and_then(|versions| versions.keys().next_back());
        let next = last.map_or(1, |last| last.0.saturating_add(1));
        let version = version.unwrap_or(Version(next));
        self.check_room(subject)?;
        if versions.is_some_and(|versions| versions.contains_key(&version)) {
            return Err(Error::new(
                Code::NotPermitted,
                format!("version {version} of subject '{subject}' is another schema"),
            ));
        }
        let mut changes = Vec::new();
        let id = self.numbered(&schema, known, id, &mut changes)?;
        changes.push(Change::Put(Record::Version {
            subject: subject.to_owned(),
            version,
            id,
            deleted: false,
        }));
        let schema = match self.schemas.get(&id) {
            Some(stored) => stored.schema.clone(),
            None => schema,
        };
        let answer = Registered {
            subject: subject.to_owned(),
            version,
            id,
            schema,
            guid: fingerprint.guid(),
        };
        Ok(Planned { changes, answer })
    }

    /// The number of a schema, with the changes that give it one.
    fn numbered(
        &self,
        schema: &Definition,
        known: Option<SchemaId>,
        wanted: Option<SchemaId>,
        changes: &mut Vec<Change>,
    ) -> Result<SchemaId> {
        match (known, wanted) {
            (Some(known), None) => return Ok(known),
            (Some(known), Some(wanted)) if known == wanted => return Ok(known),
            (Some(known), Some(_)) => {
                return Err(Error::new(
                    Code::IdTaken,
                    format!("the schema has the id {known} already"),
                ));
            }
            (None, Some(wanted)) if self.schemas.contains_key(&wanted) => {
                return Err(Error::new(
                    Code::IdTaken,
                    format!("another schema has the id {wanted}"),
                ));
            }
            (None, _) => {}
        }
        if self.schemas.len() >= SCHEMAS_MAX {
            return Err(Error::new(
                Code::LimitExceeded,
                format!("there are {SCHEMAS_MAX} schemas, which is all that there may be"),
            ));
        }
        let id = wanted.unwrap_or(self.next_id);
        if id >= self.next_id {
            let next = SchemaId::new(id.get() + 1).ok_or_else(|| {
                Error::new(Code::LimitExceeded, "there are no more ids for schemas")
            })?;
            changes.push(Change::Put(Record::NextId(next)));
        }
        changes.push(Change::Put(Record::Schema {
            id,
            schema: schema.clone(),
        }));
        Ok(id)
    }

    /// Deletes a version: it is hidden, and what has its id still reads. With `permanent`, one that is hidden is gone.
    ///
    /// # Errors
    /// [`Code::VersionNotFound`] and its like, [`Code::ReferenceExists`], or [`Code::NotPermitted`].
    pub fn delete_version(
        &self,
        subject: &str,
        version: VersionRef,
        permanent: bool,
    ) -> Result<Planned<Version>> {
        let shown = if permanent && version != VersionRef::Latest {
            Deleted::Shown
        } else {
            Deleted::Hidden
        };
        let found = self.entry(subject, version, shown);
        let (version, entry) = match (found, version) {
            (Err(error), VersionRef::Number(number)) => {
                // It may be deleted already, which is another error.
                let hidden = self.entry(subject, version, Deleted::Only);
                return Err(match hidden {
                    Ok(_) => Error::new(
                        Code::VersionSoftDeleted,
                        format!(
                            "Subject '{subject}' Version {number} was soft deleted. Set permanent=true to delete permanently"
                        ),
                    ),
                    Err(_) => error,
                });
            }
            (found, _) => found?,
        };
        if permanent && !entry.deleted {
            return Err(Error::new(
                Code::VersionNotSoftDeleted,
                format!(
                    "Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
                ),
            ));
        }
        self.check_mode(subject, false)?;
        Ok(Planned {
            changes: self.deletion(subject, &[version], permanent)?,
            answer: version,
        })
    }

    /// Deletes a subject with all its versions: they are hidden. With `permanent`, a hidden subject is gone.
    ///
    /// # Errors
    /// As [`Registry::delete_version`], for the subject.
    pub fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Planned<Vec<Version>>> {
        let owner = self.subject(subject)?;
        let is_deleted = owner.is_deleted();
        if is_deleted && !permanent {
            return Err(Error::new(
                Code::SubjectSoftDeleted,
                format!(
                    "Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"
                ),
            ));
        }
        if permanent && !is_deleted {
            return Err(Error::new(
                Code::SubjectNotSoftDeleted,
                format!(
                    "Subject '{subject}' was not deleted first before being permanently deleted"
                ),
            ));
        }
        self.check_mode(subject, false)?;
        let versions: Vec<Version> = owner
            .versions
            .iter()
            .filter(|(_, entry)| entry.deleted == permanent)
            .map(|(version, _)| *version)
            .collect();
        let mut changes = self.deletion(subject, &versions, permanent)?;
        // What was set for it goes with it.
        if !owner.settings.is_empty() {
            changes.push(Change::Remove(Key::Settings(Some(subject.to_owned()))));
        }
        Ok(Planned {
            changes,
            answer: versions,
        })
    }

    fn deletion(
        &self,
        subject: &str,
        versions: &[Version],
        permanent: bool,
    ) -> Result<Vec<Change>> {
        let owner = self.subject(subject)?;
        let mut changes = Vec::new();
        let mut gone = BTreeMap::new();
        let referrers = self.referrers(subject);
        for version in versions {
            let Some(entry) = owner.versions.get(version) else {
                continue;
            };
            if let Some(by) = referrers.get(version) {
                let by: Vec<String> = by.iter().map(ToString::to_string).collect();
                return Err(Error::new(
                    Code::ReferenceExists,
                    format!(
                        "One or more references exist to the schema {{subject={subject}, version={version}}}: the schemas with the ids {}",
                        by.join(", ")
                    ),
                ));
            }
            if permanent {
                changes.push(Change::Remove(Key::Version(subject.to_owned(), *version)));
                gone.insert(*version, entry.id);
            } else {
                changes.push(Change::Put(Record::Version {
                    subject: subject.to_owned(),
                    version: *version,
                    id: entry.id,
                    deleted: true,
                }));
            }
        }
        // A schema that no version has is gone as well.
        let mut ids: BTreeSet<SchemaId> = gone.values().copied().collect();
        if !ids.is_empty() {
            for (name, version, entry) in self.entries() {
                if name != subject || !gone.contains_key(&version) {
                    ids.remove(&entry.id);
                }
            }
        }
        changes.extend(ids.into_iter().map(|id| Change::Remove(Key::Schema(id))));
        Ok(changes)
    }

    /// Sets how schemas may follow one another, of a subject or of all; with none, takes back what was set. Answers with
    /// what held before.
    ///
    /// # Errors
    /// [`Code::InvalidSubject`], [`Code::SubjectNotFound`] when there is nothing to take back, or [`Code::LimitExceeded`].
    pub fn set_level(&self, subject: Option<&str>, level: Option<Level>) -> Result<Planned<Level>> {
        let before = self.level(subject);
        let own = self.own_settings(subject);
        if level.is_none() && subject.is_some() && own.level.is_none() {
            return Err(no_subject(subject.unwrap_or_default()));
        }
        Ok(Planned {
            changes: self.set(subject, Settings { level, ..own })?,
            answer: before,
        })
    }

    /// Sets what may be done with a subject or with all; with none, takes back what was set. Answers with what held before.
    /// A subject that has versions is set to `IMPORT` only with `force`.
    ///
    /// # Errors
    /// As [`Registry::set_level`], and [`Code::NotPermitted`].
    pub fn set_mode(
        &self,
        subject: Option<&str>,
        mode: Option<Mode>,
        force: bool,
    ) -> Result<Planned<Mode>> {
        let before = self.mode(subject);
        let own = self.own_settings(subject);
        if mode.is_none() && subject.is_some() && own.mode.is_none() {
            return Err(no_subject(subject.unwrap_or_default()));
        }
        if mode == Some(Mode::Import) && before != Mode::Import && !force {
            let has_versions = match subject {
                Some(name) => self.versions(name, Deleted::Hidden).is_ok(),
                None => !self.subjects("", Deleted::Hidden).is_empty(),
            };
            if has_versions {
                return Err(Error::new(
                    Code::NotPermitted,
                    "Cannot import since found existing subjects; force=true does it all the same",
                ));
            }
        }
        Ok(Planned {
            changes: self.set(subject, Settings { mode, ..own })?,
            answer: before,
        })
    }

    fn own_settings(&self, subject: Option<&str>) -> Settings {
        match subject {
            None => self.settings,
            Some(name) => self
                .subjects
                .get(name)
                .map_or_else(Settings::default, |subject| subject.settings),
        }
    }

    fn set(&self, subject: Option<&str>, settings: Settings) -> Result<Vec<Change>> {
        if let Some(subject) = subject {
            check_subject(subject)?;
            self.check_room(subject)?;
        }
        let subject = subject.map(str::to_owned);
        Ok(vec![if settings.is_empty() {
            Change::Remove(Key::Settings(subject))
        } else {
            Change::Put(Record::Settings {
                subject,
                level: settings.level,
                mode: settings.mode,
            })
        }])
    }

    fn check_mode(&self, subject: &str, imports: bool) -> Result<()> {
        match self.mode(Some(subject)) {
            Mode::ReadOnly => Err(Error::new(
                Code::NotPermitted,
                format!("Subject '{subject}' is in read-only mode"),
            )),
            Mode::ReadWrite if imports => Err(Error::new(
                Code::NotPermitted,
                format!(
                    "Subject '{subject}' is not in import mode, which an id or a version needs"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn check_room(&self, subject: &str) -> Result<()> {
        let message = match self.subjects.get(subject) {
            None if self.subjects.len() >= SUBJECTS_MAX => {
                format!("there are {SUBJECTS_MAX} subjects, which is all that there may be")
            }
            Some(owner) if owner.versions.len() >= VERSIONS_MAX => format!(
                "subject '{subject}' has {VERSIONS_MAX} versions, which is all that it may have"
            ),
            _ => return Ok(()),
        };
        Err(Error::new(Code::LimitExceeded, message))
    }
}

fn check_subject(name: &str) -> Result<()> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name.len() > SUBJECT_BYTES_MAX {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "has control characters"
    } else if name.starts_with(":.") {
        "names a context, and there are none"
    } else if matches!(name, "__GLOBAL" | "__EMPTY") {
        "is reserved"
    } else {
        return Ok(());
    };
    Err(Error::new(
        Code::InvalidSubject,
        format!("The specified subject '{name}' is not valid: it {wrong}"),
    ))
}
