//! Metadata of topics, making them and dropping them.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, TopicName,
};
use uuid::Uuid;
use weir_base::{Classify, Kind};
use weir_engine::TopicAccess;
use weir_topics::TopicConfig;

use super::{CLUSTER_ID, Kafka, LEADER_EPOCH, NODE, code, configs, text};

/// Partitions of a topic for which the client leaves the number to the broker.
const PARTITIONS_DEFAULT: u32 = 1;
/// The most that a topic can have, as in SQL.
const PARTITIONS_MAX: u32 = 1024;

impl Kafka {
    /// The broker and its topics. A topic that is not there is made if both client and configuration allow it.
    pub(super) async fn metadata(
        &self,
        request: MetadataRequest,
        version: i16,
    ) -> MetadataResponse {
        let may_create =
            self.settings.auto_create_topics && (version < 4 || request.allow_auto_topic_creation);
        let topics = match request.topics {
            // In version 0 no topic means all.
            Some(topics) if version > 0 || !topics.is_empty() => {
                let mut answers = Vec::with_capacity(topics.len());
                for topic in topics {
                    let id = topic.topic_id;
                    let (name, found) = match topic.name {
                        Some(name) => {
                            let found = self.found_or_made(&name, may_create).await;
                            (Some(name), found)
                        }
                        None => (None, self.identified(id)),
                    };
                    answers.push(match found {
                        Ok(access) => described(&access, version),
                        Err(code) => unknown(name, id, version, code),
                    });
                }
                answers
            }
            _ => {
                let topics = self.session.topics();
                topics
                    .iter()
                    .map(|access| described(access, version))
                    .collect()
            }
        };
        let broker = MetadataResponseBroker::default()
            .with_node_id(NODE)
            .with_host(self.host())
            .with_port(self.port.into());
        let mut response = MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_topics(topics);
        if version >= 1 {
            response.controller_id = NODE;
        }
        if version >= 2 {
            response.cluster_id = Some(text(CLUSTER_ID));
        }
        response
    }

    async fn found_or_made(&self, name: &str, may_create: bool) -> Result<TopicAccess, i16> {
        match self.named(name) {
            Err(code::UNKNOWN_TOPIC_OR_PARTITION) if may_create => {}
            other => return other,
        }
        if weir_base::TopicName::new(name).is_err() {
            return Err(code::INVALID_TOPIC);
        }
        match self
            .session
            .create_topic(name, PARTITIONS_DEFAULT, &TopicConfig::default())
            .await
        {
            Ok(access) => Ok(access),
            // Somebody else made it meanwhile, or a relation that is no topic has the name.
            Err(error) if error.kind() == Kind::Conflict => {
                self.named(name).map_err(|_| code::INVALID_TOPIC)
            }
            Err(error) => {
                tracing::info!(topic = name, %error, "a topic was not made");
                Err(code::of_engine(&error))
            }
        }
    }

    /// Makes topics, each with its stream.
    pub(super) async fn create_topics(
        &self,
        request: CreateTopicsRequest,
        version: i16,
    ) -> CreateTopicsResponse {
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut result = CreatableTopicResult::default().with_name(topic.name.clone());
            match self.create(&topic, request.validate_only).await {
                Ok((partitions, config, made)) => {
                    if version >= 7 {
                        result.topic_id = made.map_or_else(Uuid::nil, |made| made.topic().id().0);
                    }
                    if version >= 5 {
                        result.num_partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
                        result.replication_factor = 1;
                        result.configs = Some(configs::created(&config));
                    }
                }
                Err((code, message)) => {
                    result.error_code = code;
                    result.error_message = Some(text(&message));
                    if version >= 5 {
                        result.num_partitions = -1;
                        result.replication_factor = -1;
                    }
                }
            }
            results.push(result);
        }
        CreateTopicsResponse::default().with_topics(results)
    }

    async fn create(
        &self,
        topic: &CreatableTopic,
        validate_only: bool,
    ) -> Result<(u32, TopicConfig, Option<TopicAccess>), (i16, String)> {
        let refuse = |code: i16, message: &str| Err((code, message.to_owned()));
        if let Err(error) = weir_base::TopicName::new(topic.name.to_string()) {
            return refuse(code::INVALID_TOPIC, &error.to_string());
        }
        if self.named(&topic.name).is_ok() {
            let message = format!("topic \"{}\" exists already", topic.name.as_str());
            return refuse(code::TOPIC_ALREADY_EXISTS, &message);
        }
        if !topic.assignments.is_empty() {
            let message = "there is one broker: leave the assignment of replicas out";
            return refuse(code::INVALID_REPLICA_ASSIGNMENT, message);
        }
        if !matches!(topic.replication_factor, -1 | 1) {
            let message = "there is one broker: the replication factor is 1";
            return refuse(code::INVALID_REPLICATION_FACTOR, message);
        }
        let partitions = match topic.num_partitions {
            -1 => PARTITIONS_DEFAULT,
            number => u32::try_from(number)
                .ok()
                .filter(|number| (1..=PARTITIONS_MAX).contains(number))
                .ok_or_else(|| {
                    let message = format!("a topic has 1 to {PARTITIONS_MAX} partitions");
                    (code::INVALID_PARTITIONS, message)
                })?,
        };
        let config = configs::wanted(&topic.configs)?;
        if validate_only {
            return Ok((partitions, config, None));
        }
        let made = self
            .session
            .create_topic(&topic.name, partitions, &config)
            .await;
        let made = made.map_err(|error| {
            let code = match error.kind() {
                Kind::Conflict => code::TOPIC_ALREADY_EXISTS,
                _ => code::of_engine(&error),
            };
            (code, error.message().to_owned())
        })?;
        Ok((partitions, config, Some(made)))
    }

    /// Gives topics more partitions.
    pub(super) async fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            if let Err((code, message)) = self.grow(&topic, request.validate_only).await {
                result.error_code = code;
                result.error_message = Some(text(&message));
            }
            results.push(result);
        }
        CreatePartitionsResponse::default().with_results(results)
    }

    async fn grow(
        &self,
        topic: &CreatePartitionsTopic,
        validate_only: bool,
    ) -> Result<(), (i16, String)> {
        let refuse = |code: i16, message: String| Err((code, message));
        let name = topic.name.as_str();
        let access = match self.named(name) {
            Ok(access) => access,
            Err(code) => return refuse(code, format!("topic \"{name}\" does not exist")),
        };
        if topic
            .assignments
            .as_ref()
            .is_some_and(|given| !given.is_empty())
        {
            let message = "there is one broker: leave the assignment of replicas out";
            return refuse(code::INVALID_REPLICA_ASSIGNMENT, message.to_owned());
        }
        let now = access.topic().partitions().len();
        let wanted = u32::try_from(topic.count).unwrap_or(0);
        if wanted as usize <= now || wanted > PARTITIONS_MAX {
            let message = format!(
                "topic \"{name}\" has {now} partitions; it can have more, up to {PARTITIONS_MAX}"
            );
            return refuse(code::INVALID_PARTITIONS, message);
        }
        if validate_only {
            return Ok(());
        }
        let grown = self.session.add_partitions(name, wanted).await;
        grown.map_err(|error| (code::of_engine(&error), error.message().to_owned()))
    }

    /// Drops topics with their streams.
    pub(super) async fn delete_topics(
        &self,
        request: DeleteTopicsRequest,
        version: i16,
    ) -> DeleteTopicsResponse {
        let mut wanted: Vec<(Option<TopicName>, Uuid)> = Vec::new();
        if version >= 6 {
            let topics = request.topics.into_iter();
            wanted.extend(topics.map(|topic| (topic.name, topic.topic_id)));
        } else {
            let names = request.topic_names.into_iter();
            wanted.extend(names.map(|name| (Some(name), Uuid::nil())));
        }
        let mut responses = Vec::with_capacity(wanted.len());
        for (name, id) in wanted {
            let found = match &name {
                Some(name) => self.named(name),
                None => self.identified(id),
            };
            let mut result = DeletableTopicResult::default().with_name(name);
            if version >= 6 {
                result.topic_id = id;
            }
            let deleted = match found {
                Ok(access) => {
                    let name = access.topic().name().as_str().to_owned();
                    if version >= 6 {
                        result.topic_id = access.topic().id().0;
                    }
                    result.name = Some(text(&name).into());
                    let deleted = self.session.delete_topic(&name).await;
                    deleted.map_err(|error| match error.kind() {
                        Kind::NotFound => (code::UNKNOWN_TOPIC_OR_PARTITION, None),
                        Kind::Denied => (
                            code::TOPIC_AUTHORIZATION_FAILED,
                            Some(error.message().to_owned()),
                        ),
                        _ => (code::POLICY_VIOLATION, Some(error.message().to_owned())),
                    })
                }
                Err(code) => Err((code, None)),
            };
            if let Err((code, message)) = deleted {
                result.error_code = code;
                if version >= 5 {
                    result.error_message = message.as_deref().map(text);
                }
            }
            responses.push(result);
        }
        DeleteTopicsResponse::default().with_responses(responses)
    }
}

fn described(access: &TopicAccess, version: i16) -> MetadataResponseTopic {
    let topic = access.topic();
    let partitions = topic.partitions().iter().map(|partition| {
        let index = i32::try_from(partition.id().0).unwrap_or(i32::MAX);
        let mut described = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE]);
        if version >= 7 {
            described.leader_epoch = LEADER_EPOCH;
        }
        described
    });
    let mut described = MetadataResponseTopic::default()
        .with_name(Some(text(topic.name().as_str()).into()))
        .with_partitions(partitions.collect());
    if version >= 10 {
        described.topic_id = topic.id().0;
    }
    described
}

fn unknown(name: Option<TopicName>, id: Uuid, version: i16, code: i16) -> MetadataResponseTopic {
    let mut unknown = MetadataResponseTopic::default().with_error_code(code);
    // Only from version 12 on may the name be missing.
    unknown.name = match version {
        12.. => name,
        _ => Some(name.unwrap_or_default()),
    };
    if version >= 10 {
        unknown.topic_id = id;
    }
    unknown
}
