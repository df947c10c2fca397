//! What tools ask about the cluster: its one broker, and who coordinates.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    FindCoordinatorResponse,
};

use super::{CLUSTER_ID, Kafka, NODE, code, text};

const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;
const ENDPOINT_BROKERS: i8 = 1;
/// KIP-919: a client that asks controllers is told that these are brokers.
const MISMATCHED_ENDPOINT_TYPE: i16 = 114;

impl Kafka {
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

    /// Who coordinates a group or a transactional id: the one broker.
    pub(super) fn find_coordinator(
        &self,
        request: &FindCoordinatorRequest,
        version: i16,
    ) -> FindCoordinatorResponse {
        let is_known = matches!(request.key_type, KEY_GROUP | KEY_TRANSACTION);
        let response = FindCoordinatorResponse::default();
        if version < 4 {
            return match is_known {
                true => response
                    .with_node_id(NODE)
                    .with_host(self.host())
                    .with_port(self.port.into()),
                false => response
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(code::INVALID_REQUEST),
            };
        }
        let coordinators = request.coordinator_keys.iter().map(|key| {
            let coordinator = Coordinator::default().with_key(key.clone());
            match is_known {
                true => coordinator
                    .with_node_id(NODE)
                    .with_host(self.host())
                    .with_port(self.port.into()),
                false => coordinator
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(code::INVALID_REQUEST),
            }
        });
        response.with_coordinators(coordinators.collect())
    }
}
