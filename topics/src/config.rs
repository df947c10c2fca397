//! What the owner of a topic may choose about it, and change while it is in use.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const SEGMENT_BYTES_LIMIT: u64 = 2 << 30;

/// How a topic keeps its records. Plain data, checked where it is given; the names are those of Kafka's topic settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// A segment goes when its largest timestamp is so many milliseconds old; `None` keeps it for ever, and is the default.
    pub retention_ms: Option<u64>,
    /// The oldest segments of a partition go while it keeps so many bytes without them; `None` is no bound, and the default.
    pub retention_bytes: Option<u64>,
    /// What happens to old records. Default [`Cleanup::Delete`].
    pub cleanup: Cleanup,
    /// A segment that would grow past this is closed; `None` is the log's `segment_bytes_max`. At most 2 GiB.
    pub segment_bytes: Option<u64>,
    /// A segment is closed when its first batch was written so many milliseconds ago; `None` waits for its size.
    pub segment_ms: Option<u64>,
    /// `None`, the default: an append is acknowledged when it is synced. `Some`: when it is written, and a sync follows within
    /// so many milliseconds; what the system had not put on disk is lost when the machine, not merely the process, dies.
    pub flush_ms: Option<u64>,
    /// The largest batch that is taken, in bytes; `None` is the log's `batch_bytes_max`, which holds in any case.
    pub max_message_bytes: Option<u32>,
    /// Records younger than this are not compacted, by their segment's largest timestamp. Default 0.
    pub min_compaction_lag_ms: u64,
    /// How long compaction keeps the record that deletes a key, for readers on their way. Default 24 hours.
    pub delete_retention_ms: u64,
}

/// The configuration that holds now, shared by a topic's clones and its partitions.
#[derive(Debug, Clone)]
pub(crate) struct ConfigCell(Arc<RwLock<TopicConfig>>);

impl ConfigCell {
    pub(crate) fn new(config: TopicConfig) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    pub(crate) fn get(&self) -> TopicConfig {
        *self.0.read()
    }

    pub(crate) fn set(&self, config: TopicConfig) {
        *self.0.write() = config;
    }
}

/// What happens to old records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cleanup {
    /// Segments go by age and size.
    #[default]
    Delete,
    /// Of each key the last record stays; records must have keys.
    Compact,
    /// Both.
    Both,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            retention_ms: None,
            retention_bytes: None,
            cleanup: Cleanup::Delete,
            segment_bytes: None,
            segment_ms: None,
            flush_ms: None,
            max_message_bytes: None,
            min_compaction_lag_ms: 0,
            delete_retention_ms: DAY_MS,
        }
    }
}

impl Cleanup {
    /// Whether segments go by age and size.
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::Both)
    }

    /// Whether only the last record of each key stays.
    pub fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::Both)
    }
}

impl TopicConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        let wrong = |name, reason: &str| {
            Err(Error::Setting {
                name,
                reason: reason.to_owned(),
            })
        };
        if !(1..=SEGMENT_BYTES_LIMIT).contains(&self.segment_bytes.unwrap_or(1)) {
            return wrong("segment_bytes", "use 1 byte to 2 GiB");
        }
        if self.segment_ms == Some(0) {
            return wrong("segment_ms", "use 1 or more");
        }
        if self.max_message_bytes == Some(0) {
            return wrong("max_message_bytes", "use 1 or more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_what_is_missing_is_the_default() {
        let config = TopicConfig {
            retention_ms: Some(5),
            cleanup: Cleanup::Both,
            ..TopicConfig::default()
        };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TopicConfig>(&json).unwrap(), config);
        let empty: TopicConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, TopicConfig::default());
        assert!(serde_json::from_str::<TopicConfig>("{\"retention\": 5}").is_err());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let default = TopicConfig::default();
        assert!(default.check().is_ok());
        for wrong in [
            TopicConfig {
                segment_bytes: Some(0),
                ..default
            },
            TopicConfig {
                segment_bytes: Some(3 << 30),
                ..default
            },
            TopicConfig {
                segment_ms: Some(0),
                ..default
            },
            TopicConfig {
                max_message_bytes: Some(0),
                ..default
            },
        ] {
            assert!(matches!(wrong.check(), Err(Error::Setting { .. })));
        }
    }
}
