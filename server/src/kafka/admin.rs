//! What tools ask about the cluster: its one broker, what is configured, who coordinates.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::{CLUSTER_ID, Kafka, NODE, code, text};

/// What a topic is configured as, in Kafka's words. None can be changed yet.
pub(super) struct Config {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    /// KIP-569: 1 boolean, 2 string, 3 int, 5 long, 7 list.
    kind: i8,
}

const fn config(name: &'static str, value: &'static str, kind: i8) -> Config {
    Config { name, value, kind }
}

/// The configuration of every topic.
pub(super) const TOPIC_CONFIGS: [Config; 9] = [
    config("cleanup.policy", "delete", 7),
    config("compression.type", "producer", 2),
    config("flush.messages", "1", 5),
    config("message.timestamp.type", "CreateTime", 2),
    config("min.insync.replicas", "1", 3),
    config("preallocate", "false", 1),
    config("retention.bytes", "-1", 5),
    config("retention.ms", "-1", 5),
    config("unclean.leader.election.enable", "false", 1),
];

const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
/// Config source "default" of KIP-226.
const SOURCE_DEFAULT: i8 = 5;
const KEY_GROUP: i8 = 0;
const ENDPOINT_BROKERS: i8 = 1;
/// KIP-919: a client that asks controllers is told that these are brokers.
const MISMATCHED_ENDPOINT_TYPE: i16 = 114;

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
            let known: &[Config] = match resource.resource_type {
                RESOURCE_TOPIC => match self.named(&resource.resource_name) {
                    Ok(_) => &TOPIC_CONFIGS,
                    Err(code) => return result.with_error_code(code),
                },
                RESOURCE_BROKER => &[],
                other => {
                    let message = format!("resources of type {other} have no configuration here");
                    return result
                        .with_error_code(code::INVALID_REQUEST)
                        .with_error_message(Some(text(&message)));
                }
            };
            let wanted = resource.configuration_keys.as_ref();
            let is_wanted = |config: &&Config| {
                wanted.is_none_or(|keys| keys.iter().any(|key| key.as_str() == config.name))
            };
            let configs = known.iter().filter(is_wanted).map(|config| {
                let mut described = DescribeConfigsResourceResult::default()
                    .with_name(text(config.name))
                    .with_value(Some(text(config.value)))
                    .with_read_only(true)
                    .with_config_source(SOURCE_DEFAULT);
                if version >= 3 {
                    described.config_type = config.kind;
                }
                described
            });
            result.with_configs(configs.collect())
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    /// The cluster: one broker.
    pub(super) fn describe_cluster(
        &self,
        request: &DescribeClusterRequest,
        version: i16,
    ) -> DescribeClusterResponse {
        let mut response = DescribeClusterResponse::default().with_cluster_id(text(CLUSTER_ID));
        if version >= 1 {
            response.endpoint_type = ENDPOINT_BROKERS;
            if request.endpoint_type != ENDPOINT_BROKERS {
                return response.with_error_code(MISMATCHED_ENDPOINT_TYPE);
            }
        }
        let broker = DescribeClusterBroker::default()
            .with_broker_id(NODE)
            .with_host(self.host())
            .with_port(self.port.into());
        response.with_controller_id(NODE).with_brokers(vec![broker])
    }

    /// Who coordinates a group: the one broker. Nobody coordinates transactions yet.
    pub(super) fn find_coordinator(
        &self,
        request: &FindCoordinatorRequest,
        version: i16,
    ) -> FindCoordinatorResponse {
        let refusal = (request.key_type != KEY_GROUP).then(|| {
            (
                code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                text(code::NO_TRANSACTIONS),
            )
        });
        let response = FindCoordinatorResponse::default();
        if version < 4 {
            return match refusal {
                None => response
                    .with_node_id(NODE)
                    .with_host(self.host())
                    .with_port(self.port.into()),
                Some((code, message)) => {
                    let response = response
                        .with_node_id(BrokerId(-1))
                        .with_port(-1)
                        .with_error_code(code);
                    response.with_error_message(Some(message))
                }
            };
        }
        let coordinators = request.coordinator_keys.iter().map(|key| {
            let coordinator = Coordinator::default().with_key(key.clone());
            match &refusal {
                None => coordinator
                    .with_node_id(NODE)
                    .with_host(self.host())
                    .with_port(self.port.into()),
                Some((code, message)) => coordinator
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(*code)
                    .with_error_message(Some(message.clone())),
            }
        });
        response.with_coordinators(coordinators.collect())
    }
}
