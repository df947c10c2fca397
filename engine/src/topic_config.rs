//! A topic's settings by the names that Kafka gives them, for `WITH (…)`, `ALTER … SET (…)` and Kafka's own requests.
//!
//! Meaning and units are those of Kafka's topic configuration; -1 stands for "without a bound" where Kafka has it so. The
//! settings are the topic's own, durable with it.

use std::collections::BTreeMap;

use weir_base::{Options, SqlState};
use weir_topics::{Cleanup, TopicConfig};

use crate::error::{Error, Result};

/// One setting of a topic.
#[derive(Debug, Clone, Copy)]
pub struct TopicSetting {
    /// Its name, as Kafka has it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Its type.
    pub kind: SettingKind,
    read: fn(&TopicConfig) -> String,
    write: fn(&mut TopicConfig, &str) -> Option<()>,
    expects: &'static str,
}

/// What sort of value a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// A whole number of 64 bits.
    Long,
    /// A whole number of 32 bits.
    Int,
    /// Words, separated by commas.
    List,
}

/// All settings that a topic has.
pub const TOPIC_SETTINGS: [TopicSetting; 9] = [
    TopicSetting {
        name: "cleanup.policy",
        about: "delete: old segments go by retention; compact: of each key the last record stays",
        kind: SettingKind::List,
        read: |config| match config.cleanup {
            Cleanup::Delete => "delete".to_owned(),
            Cleanup::Compact => "compact".to_owned(),
            Cleanup::Both => "compact,delete".to_owned(),
        },
        write: |config, value| {
            let words: Vec<&str> = value.split(',').map(str::trim).collect();
            config.cleanup = match words.as_slice() {
                ["delete"] => Cleanup::Delete,
                ["compact"] => Cleanup::Compact,
                ["compact", "delete"] | ["delete", "compact"] => Cleanup::Both,
                _ => return None,
            };
            Some(())
        },
        expects: "delete, compact, or both with a comma",
    },
    TopicSetting {
        name: "retention.ms",
        about: "a segment goes when its newest record is so old; -1 keeps it for ever",
        kind: SettingKind::Long,
        read: |config| bound(config.retention_ms),
        write: |config, value| read_bound(value).map(|bound| config.retention_ms = bound),
        expects: "a number of milliseconds, or -1 for ever",
    },
    TopicSetting {
        name: "retention.bytes",
        about: "the oldest segments of a partition go while it has so many bytes without them; -1 is no bound",
        kind: SettingKind::Long,
        read: |config| bound(config.retention_bytes),
        write: |config, value| read_bound(value).map(|bound| config.retention_bytes = bound),
        expects: "a number of bytes, or -1 for no bound",
    },
    TopicSetting {
        name: "segment.bytes",
        about: "a segment that would grow past this is closed; -1 is the server's setting",
        kind: SettingKind::Int,
        read: |config| bound(config.segment_bytes),
        write: |config, value| read_bound(value).map(|bound| config.segment_bytes = bound),
        expects: "a number of bytes up to 2 GiB, or -1",
    },
    TopicSetting {
        name: "segment.ms",
        about: "a segment is closed when its first record is so old; -1 waits for its size",
        kind: SettingKind::Long,
        read: |config| bound(config.segment_ms),
        write: |config, value| read_bound(value).map(|bound| config.segment_ms = bound),
        expects: "a number of milliseconds, or -1",
    },
    TopicSetting {
        name: "flush.ms",
        about: "-1 acknowledges what is on disk; otherwise what is written, and it is on disk within so many milliseconds",
        kind: SettingKind::Long,
        read: |config| bound(config.flush_ms),
        write: |config, value| read_bound(value).map(|bound| config.flush_ms = bound),
        expects: "a number of milliseconds, or -1 to acknowledge what is on disk",
    },
    TopicSetting {
        name: "max.message.bytes",
        about: "the largest batch of records; -1 is the server's setting",
        kind: SettingKind::Int,
        read: |config| bound(config.max_message_bytes.map(u64::from)),
        write: |config, value| {
            let bytes = read_bound(value)?;
            config.max_message_bytes = bytes.map(u32::try_from).transpose().ok()?;
            Some(())
        },
        expects: "a number of bytes, or -1",
    },
    TopicSetting {
        name: "min.compaction.lag.ms",
        about: "records younger than this are not compacted",
        kind: SettingKind::Long,
        read: |config| config.min_compaction_lag_ms.to_string(),
        write: |config, value| {
            value
                .parse()
                .ok()
                .map(|lag| config.min_compaction_lag_ms = lag)
        },
        expects: "a number of milliseconds",
    },
    TopicSetting {
        name: "delete.retention.ms",
        about: "how long compaction keeps the record that deletes a key",
        kind: SettingKind::Long,
        read: |config| config.delete_retention_ms.to_string(),
        write: |config, value| {
            value
                .parse()
                .ok()
                .map(|kept| config.delete_retention_ms = kept)
        },
        expects: "a number of milliseconds",
    },
];

impl TopicSetting {
    /// The setting of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TOPIC_SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Its value in a configuration, as Kafka writes it.
    pub fn value(&self, config: &TopicConfig) -> String {
        (self.read)(config)
    }

    /// Whether it has its default there.
    pub fn is_default(&self, config: &TopicConfig) -> bool {
        self.value(config) == self.value(&TopicConfig::default())
    }

    /// Gives it a value.
    ///
    /// # Errors
    /// 22023 when it cannot have this value.
    pub fn set(&self, config: &mut TopicConfig, value: &str) -> Result<()> {
        let mut changed = *config;
        let read = (self.write)(&mut changed, value.trim());
        if read.is_none() || changed.check().is_err() {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("option {:?} cannot be {value:?}", self.name),
            )
            .with_hint(format!("give {}", self.expects)));
        }
        *config = changed;
        Ok(())
    }

    /// Gives it its default.
    pub fn reset(&self, config: &mut TopicConfig) {
        let default = self.value(&TopicConfig::default());
        // A default is a value that it can have.
        let _ = (self.write)(config, &default);
    }
}

/// Takes the options that are a topic's settings, over those of `config`.
pub(crate) fn take(options: &mut Options, mut config: TopicConfig) -> Result<TopicConfig> {
    for setting in &TOPIC_SETTINGS {
        if let Some(value) = options.take::<String>(setting.name)? {
            setting.set(&mut config, &value)?;
        }
    }
    Ok(config)
}

/// The settings that are not at their defaults, as options that [`take`] reads back.
pub(crate) fn as_options(config: &TopicConfig) -> BTreeMap<String, String> {
    TOPIC_SETTINGS
        .iter()
        .filter(|setting| !setting.is_default(config))
        .map(|setting| (setting.name.to_owned(), setting.value(config)))
        .collect()
}

fn bound(bound: Option<u64>) -> String {
    bound.map_or_else(|| "-1".to_owned(), |bound| bound.to_string())
}

fn read_bound(value: &str) -> Option<Option<u64>> {
    match value {
        "-1" => Some(None),
        value => value.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_back_and_refuses_nonsense() {
        let default = TopicConfig::default();
        for setting in &TOPIC_SETTINGS {
            let other = match setting.kind {
                SettingKind::List => "compact,delete",
                SettingKind::Int | SettingKind::Long => "4096",
            };
            let mut config = default;
            setting.set(&mut config, other).unwrap();
            assert_eq!(setting.value(&config), other);
            assert!(!setting.is_default(&config), "{}", setting.name);
            let mut again = Options::new(as_options(&config));
            assert_eq!(take(&mut again, default).unwrap(), config);
            again.finish().unwrap();
            for wrong in ["", "-2", "many", "1.5", "99999999999999999999"] {
                assert!(
                    setting.set(&mut config, wrong).is_err(),
                    "{} {wrong}",
                    setting.name
                );
            }
            assert_eq!(setting.value(&config), other, "what failed changes nothing");
            setting.reset(&mut config);
            assert_eq!(config, default);
        }
    }
}
