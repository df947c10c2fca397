//! What topics are configured as: told, changed, and given when a topic is made.

use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::messages::create_topics_response::CreatableTopicConfigs;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use weir_base::{Classify, Kind};
use weir_engine::{SettingKind, TOPIC_SETTINGS, TopicSetting};
use weir_topics::TopicConfig;

use super::{Kafka, code, text};

/// A setting of every topic that cannot be changed.
struct Fixed {
    name: &'static str,
    value: &'static str,
    kind: i8,
}

const fn fixed(name: &'static str, value: &'static str, kind: i8) -> Fixed {
    Fixed { name, value, kind }
}

/// Types of KIP-569.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

const FIXED: [Fixed; 5] = [
    fixed("compression.type", "producer", STRING),
    fixed("message.timestamp.type", "CreateTime", STRING),
    fixed("min.insync.replicas", "1", INT),
    fixed("preallocate", "false", BOOLEAN),
    fixed("unclean.leader.election.enable", "false", BOOLEAN),
];

const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
/// Config sources of KIP-226: the topic's own, and what a topic has without being told.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;
/// Operations of KIP-339.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// A setting as it is told.
struct Told {
    name: &'static str,
    value: String,
    kind: i8,
    source: i8,
    read_only: bool,
    about: Option<&'static str>,
}

fn told(config: &TopicConfig) -> Vec<Told> {
    let own = TOPIC_SETTINGS.iter().map(|setting| Told {
        name: setting.name,
        value: setting.value(config),
        kind: match setting.kind {
            SettingKind::Int => INT,
            SettingKind::Long => LONG,
            SettingKind::List => LIST,
        },
        source: match setting.is_default(config) {
            true => SOURCE_DEFAULT,
            false => SOURCE_TOPIC,
        },
        read_only: false,
        about: Some(setting.about),
    });
    let fixed = FIXED.iter().map(|fixed| Told {
        name: fixed.name,
        value: fixed.value.to_owned(),
        kind: fixed.kind,
        source: SOURCE_DEFAULT,
        read_only: true,
        about: None,
    });
    let mut told: Vec<_> = own.chain(fixed).collect();
    told.sort_by_key(|told| told.name);
    told
}

/// What a new topic is told of itself.
pub(super) fn created(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let told = told(config).into_iter();
    told.map(|told| {
        CreatableTopicConfigs::default()
            .with_name(text(told.name))
            .with_value(Some(text(&told.value)))
            .with_read_only(told.read_only)
            .with_config_source(told.source)
    })
    .collect()
}

/// The configuration of a topic that is to be made.
///
/// # Errors
/// A code and a message when a setting is not known or cannot have its value.
pub(super) fn wanted(configs: &[CreatableTopicConfig]) -> Result<TopicConfig, (i16, String)> {
    let mut config = TopicConfig::default();
    for wanted in configs {
        change(&mut config, &wanted.name, SET, wanted.value.as_deref())?;
    }
    Ok(config)
}

/// Changes one setting as KIP-339 has it.
fn change(
    config: &mut TopicConfig,
    name: &str,
    operation: i8,
    value: Option<&str>,
) -> Result<(), (i16, String)> {
    let refuse = |message: String| Err((code::INVALID_CONFIG, message));
    if let Some(fixed) = FIXED.iter().find(|fixed| fixed.name == name) {
        return match (operation, value) {
            (SET, Some(value)) if value == fixed.value => Ok(()),
            (DELETE, _) => Ok(()),
            _ => refuse(format!(
                "config \"{name}\" is \"{}\" and cannot be changed",
                fixed.value
            )),
        };
    }
    let Some(setting) = TopicSetting::named(name) else {
        return refuse(format!("config \"{name}\" is not supported"));
    };
    let value = match operation {
        DELETE => {
            setting.reset(config);
            return Ok(());
        }
        SET => value.unwrap_or_default().to_owned(),
        APPEND | SUBTRACT if setting.kind == SettingKind::List => {
            let now = setting.value(config);
            let mut words: Vec<&str> = now.split(',').collect();
            let changed = value.unwrap_or_default().split(',').map(str::trim);
            for word in changed {
                words.retain(|other| *other != word);
                if operation == APPEND {
                    words.push(word);
                }
            }
            words.sort_unstable();
            words.join(",")
        }
        APPEND | SUBTRACT => return refuse(format!("config \"{name}\" is no list")),
        other => {
            let message = format!("{other} is no operation on a config");
            return Err((code::INVALID_REQUEST, message));
        }
    };
    let set = setting.set(config, &value);
    set.or_else(|error| refuse(error.message().to_owned()))
}

impl Kafka {
    /// What topics and the broker are configured as.
    pub(super) fn describe_configs(
        &self,
        request: &DescribeConfigsRequest,
        version: i16,
    ) -> DescribeConfigsResponse {
        let results = request.resources.iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let told = match resource.resource_type {
                RESOURCE_TOPIC => match self.named(&resource.resource_name) {
                    Ok(access) => told(&access.topic().config()),
                    Err(code) => return result.with_error_code(code),
                },
                RESOURCE_BROKER => Vec::new(),
                other => {
                    return result
                        .with_error_code(code::INVALID_REQUEST)
                        .with_error_message(Some(text(&no_configuration(other))));
                }
            };
            let wanted = resource.configuration_keys.as_ref();
            let is_wanted = |told: &Told| {
                wanted.is_none_or(|keys| keys.iter().any(|key| key.as_str() == told.name))
            };
            let configs = told.into_iter().filter(is_wanted).map(|told| {
                let mut described = DescribeConfigsResourceResult::default()
                    .with_name(text(told.name))
                    .with_value(Some(text(&told.value)))
                    .with_read_only(told.read_only)
                    .with_config_source(told.source);
                if version >= 3 {
                    described.config_type = told.kind;
                    if request.include_documentation {
                        described.documentation = told.about.map(text);
                    }
                }
                described
            });
            result.with_configs(configs.collect())
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    /// Changes what topics are configured as, each as a whole or not at all.
    pub(super) async fn alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let mut response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            if let Err((code, message)) = self.alter(resource, request.validate_only).await {
                response.error_code = code;
                response.error_message = Some(text(&message));
            }
            responses.push(response);
        }
        IncrementalAlterConfigsResponse::default().with_responses(responses)
    }

    async fn alter(
        &self,
        resource: &AlterConfigsResource,
        validate_only: bool,
    ) -> Result<(), (i16, String)> {
        if resource.resource_type != RESOURCE_TOPIC {
            let message = match resource.resource_type {
                RESOURCE_BROKER => "the broker is configured by weir.toml".to_owned(),
                other => no_configuration(other),
            };
            return Err((code::INVALID_REQUEST, message));
        }
        let name = resource.resource_name.as_str();
        let access = self.named(name);
        let access = access.map_err(|code| (code, format!("topic \"{name}\" does not exist")))?;
        let mut config = access.topic().config();
        for AlterableConfig {
            name,
            config_operation,
            value,
            ..
        } in &resource.configs
        {
            change(&mut config, name, *config_operation, value.as_deref())?;
        }
        if validate_only {
            return Ok(());
        }
        let configured = self.session.configure_topic(name, config).await;
        configured.map_err(|error| {
            let code = match error.kind() {
                Kind::Invalid => code::INVALID_CONFIG,
                _ => code::of_engine(&error),
            };
            (code, error.message().to_owned())
        })
    }
}

fn no_configuration(resource_type: i8) -> String {
    format!("resources of type {resource_type} have no configuration here")
}

#[cfg(test)]
mod tests {
    use weir_topics::Cleanup;

    use super::*;

    #[test]
    fn settings_are_set_deleted_and_lists_grow_and_shrink() {
        let mut config = TopicConfig::default();
        change(&mut config, "retention.ms", SET, Some("5")).unwrap();
        assert_eq!(config.retention_ms, Some(5));
        change(&mut config, "retention.ms", DELETE, None).unwrap();
        assert_eq!(config.retention_ms, None);
        change(&mut config, "cleanup.policy", APPEND, Some("compact")).unwrap();
        assert_eq!(config.cleanup, Cleanup::Both);
        change(&mut config, "cleanup.policy", SUBTRACT, Some("delete")).unwrap();
        assert_eq!(config.cleanup, Cleanup::Compact);
        change(&mut config, "min.insync.replicas", SET, Some("1")).unwrap();
        let before = config;
        for (name, operation, value, code) in [
            ("cleanup.policy", SUBTRACT, "compact", code::INVALID_CONFIG),
            ("retention.ms", APPEND, "5", code::INVALID_CONFIG),
            ("retention.ms", SET, "-5", code::INVALID_CONFIG),
            ("retention.ms", 9, "5", code::INVALID_REQUEST),
            ("min.insync.replicas", SET, "2", code::INVALID_CONFIG),
            ("no.such", SET, "2", code::INVALID_CONFIG),
        ] {
            let refused = change(&mut config, name, operation, Some(value));
            assert_eq!(refused.unwrap_err().0, code, "{name}");
        }
        assert_eq!(config, before);
    }
}
