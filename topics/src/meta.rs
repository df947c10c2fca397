//! A topic's folder, and what is written down about the topic: `<id>/topic.json`, and a folder a partition.
//!
//! A folder is made under an unfinished name, filled, synced, and then renamed: it is there whole or not at all. It is
//! removed the other way round. A start removes what has an unfinished name.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_base::{PartitionId, TopicId, TopicName};

use crate::{Error, Result, TopicConfig, TopicSpec, durable, faults};

const FILE_NAME: &str = "topic.json";
const VERSION: u32 = 1;

/// What is durable about a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicMeta {
    version: u32,
    pub(crate) id: TopicId,
    pub(crate) name: TopicName,
    pub(crate) spec: TopicSpec,
    pub(crate) created_at_ms: i64,
    /// Topics made before there was any have the default.
    #[serde(default)]
    pub(crate) config: TopicConfig,
}

impl TopicMeta {
    pub(crate) fn new(
        name: TopicName,
        spec: TopicSpec,
        config: TopicConfig,
        created_at_ms: i64,
    ) -> Self {
        Self {
            version: VERSION,
            id: TopicId::random(),
            name,
            spec,
            created_at_ms,
            config,
        }
    }

    /// The topic's folder in the log's.
    pub(crate) fn dir(&self, log: &Path) -> PathBuf {
        log.join(self.id.to_string())
    }

    /// The folder of one of its partitions.
    pub(crate) fn partition_dir(&self, log: &Path, partition: PartitionId) -> PathBuf {
        self.dir(log).join(partition.to_string())
    }

    /// Makes the topic's folder, whole and durable.
    pub(crate) fn create(&self, log: &Path) -> io::Result<()> {
        let unfinished = self.dir(log).with_added_extension(durable::UNFINISHED);
        let made = self.fill(&unfinished).and_then(|()| {
            fs::rename(&unfinished, self.dir(log))?;
            durable::sync_dir(log)
        });
        if made.is_err() {
            // The next start would remove it too.
            let _ = fs::remove_dir_all(&unfinished);
        }
        made
    }

    /// Writes it anew, in one step and durable on return. Partitions that it has more than before get their folders first.
    pub(crate) fn replace(&self, log: &Path, partitions_before: u32) -> io::Result<()> {
        let dir = self.dir(log);
        for partition in partitions_before..self.spec.partitions {
            let dir = self.partition_dir(log, PartitionId(partition));
            match fs::create_dir(&dir) {
                // An attempt that failed has left it, and nobody could write there.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        durable::sync_dir(&dir)?;
        faults::partitions()?;
        self.write(&dir)
    }

    /// Removes the topic's folder; gone for good on return, even if its files take longer.
    pub(crate) fn remove(&self, log: &Path) -> io::Result<()> {
        let unfinished = self.dir(log).with_added_extension(durable::UNFINISHED);
        fs::rename(self.dir(log), &unfinished)?;
        durable::sync_dir(log)?;
        if let Err(error) = fs::remove_dir_all(&unfinished) {
            tracing::warn!(topic = %self.name, %error, "cannot remove a deleted topic's files; the next start will");
        }
        Ok(())
    }

    /// All topics in the log's folder. What an earlier run did not finish is removed.
    pub(crate) fn read_all(log: &Path) -> Result<Vec<Self>> {
        let io = |error| Error::io("read", "the topic log's folder", error);
        let mut topics = Vec::new();
        for entry in fs::read_dir(log).map_err(io)? {
            let entry = entry.map_err(io)?;
            if !entry.file_type().map_err(io)?.is_dir() {
                continue;
            }
            if entry.path().extension() == Some(OsStr::new(durable::UNFINISHED)) {
                fs::remove_dir_all(entry.path()).map_err(io)?;
            } else if let Some(topic) = Self::read(&entry.path())? {
                topics.push(topic);
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// The topic in `dir`; `None` when the folder is none of ours.
    fn read(dir: &Path) -> Result<Option<Self>> {
        let folder = dir.file_name().unwrap_or_default().to_string_lossy();
        let bytes = match fs::read(dir.join(FILE_NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", format!("{folder}/{FILE_NAME}"), error)),
        };
        let corrupt = |reason: String| Error::Corrupt {
            place: format!("{folder}/{FILE_NAME}"),
            position: 0,
            reason,
        };
        let topic: Self =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if topic.version != VERSION {
            return Err(corrupt(format!(
                "version {} is not known here",
                topic.version
            )));
        }
        if topic.id.to_string() != folder {
            return Err(corrupt(format!("it is about another topic, {}", topic.id)));
        }
        topic
            .remove_unfinished(dir)
            .map_err(|error| Error::io("tidy up", folder, error))?;
        Ok(Some(topic))
    }

    fn fill(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)?;
        for partition in 0..self.spec.partitions {
            // Empty: the topic folder's sync makes it durable.
            fs::create_dir(dir.join(partition.to_string()))?;
        }
        self.write(dir)
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        durable::replace(&dir.join(FILE_NAME), &json, true)?;
        durable::sync_dir(dir)
    }

    /// Removes what a change that a crash cut short has left: an unfinished file, folders of partitions that were to come.
    fn remove_unfinished(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let number = path.file_name().and_then(OsStr::to_str);
            let number = number.and_then(|name| name.parse::<u32>().ok());
            if number.is_some_and(|number| number >= self.spec.partitions) {
                fs::remove_dir_all(&path)?;
            } else if path.extension() == Some(OsStr::new(durable::UNFINISHED)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
