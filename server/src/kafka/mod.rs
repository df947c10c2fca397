//! The Kafka door: unmodified Kafka clients use the embedded log as their broker.
//!
//! It speaks the Kafka protocol as the one broker of a cluster of one, which leads every partition in epoch 0. Topics are
//! asked for and made through [`Session`](weir_engine::Session), like everything else; batches go to and from the log as they
//! are. What is answered, and in which versions, is in [`api`]; a request of another kind closes its connection.
//!
//! Requests of a connection are worked on as they come and answered in their order: many produce requests of one client
//! share the log's syncs.

mod admin;
mod api;
mod code;
mod configs;
mod connection;
mod fetch;
mod gather;
mod groups;
mod offsets;
mod produce;
mod quotas;
mod reserved;
mod sasl;
mod topics;
mod transactions;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, BrokerId, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weir_base::TopicId;
use weir_engine::{Engine, Principal, Session, TopicAccess};
use weir_topics::groups::Groups;
use weir_topics::transactions::Transactions;

use crate::config::KafkaSettings;
use api::Frame;
use api::{Broken, Head};
pub(crate) use connection::serve;
use gather::Records;
use produce::Turn;
use quotas::{Mute, Quotas, Use};

/// The one broker's number.
const NODE: BrokerId = BrokerId(0);
/// Nobody leads a partition after it.
const LEADER_EPOCH: i32 = 0;
/// What clients may compare clusters by.
const CLUSTER_ID: &str = "weir";

/// What answers requests: what all connections share, and the session of one user.
#[derive(Clone)]
pub(crate) struct Kafka {
    engine: Engine,
    session: Session,
    groups: Groups,
    transactions: Transactions,
    settings: Arc<KafkaSettings>,
    host: String,
    port: u16,
    close: CancellationToken,
    quotas: Arc<Quotas>,
    /// Permits for the bytes of large requests in memory, a permit a KiB.
    request_memory: Arc<Semaphore>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
struct Peer {
    address: String,
    ip: IpAddr,
    /// Its connection.
    mute: Mute,
}

impl Kafka {
    /// A door that clients reach at `host` and `port`.
    pub(crate) fn new(
        engine: Engine,
        settings: KafkaSettings,
        host: String,
        port: u16,
        close: CancellationToken,
    ) -> Arc<Self> {
        let permits = usize::try_from(settings.requests_bytes.0 >> 10).unwrap_or(usize::MAX);
        let session = engine.session();
        Arc::new(Self {
            engine,
            groups: session.groups(),
            transactions: session.transactions(),
            session,
            host,
            port,
            close,
            quotas: Arc::new(Quotas::new(settings.produce_rate, settings.fetch_rate)),
            request_memory: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            settings: Arc::new(settings),
        })
    }

    /// The same door for somebody who has signed in.
    fn for_user(&self, principal: Principal) -> Arc<Self> {
        Arc::new(Self {
            session: self.engine.session_of(principal),
            ..self.clone()
        })
    }

    /// Answers a request; none is owed to a producer that wants no acknowledgement.
    async fn answer(
        self: Arc<Self>,
        peer: Peer,
        head: Head,
        body: Bytes,
        turn: Turn,
    ) -> Result<Option<Frame>, Broken> {
        macro_rules! ask {
            ($handler:expr) => {{
                let request = api::body(&head, body)?;
                #[allow(clippy::redundant_closure_call)]
                let response = $handler(request).await;
                api::answer(&head, &response).map(Some)
            }};
        }
        let version = head.version;
        match head.api {
            ApiKey::Produce => {
                let bytes = body.len();
                let request = api::body(&head, body)?;
                let response = self.produce(request, version, turn).await;
                let throttle = self.quotas.count(Use::Produce, &head.client_id, bytes);
                peer.mute.during(throttle);
                response
                    .map(|response| {
                        let response = response.with_throttle_time_ms(millis(throttle));
                        api::answer(&head, &response)
                    })
                    .transpose()
            }
            ApiKey::Fetch => {
                let request = api::body(&head, body)?;
                let (response, records) = self.fetch(request, version).await;
                let bytes = records.iter().map(Records::size_bytes).sum();
                let throttle = self.quotas.count(Use::Fetch, &head.client_id, bytes);
                peer.mute.during(throttle);
                let response = response.with_throttle_time_ms(millis(throttle));
                api::answer_with(&head, &response, records).map(Some)
            }
            ApiKey::ListOffsets => ask!(async |request| self.list_offsets(request, version).await),
            ApiKey::OffsetForLeaderEpoch => ask!(async |request| self.end_of_epoch(request)),
            ApiKey::Metadata => ask!(async |request| self.metadata(request, version).await),
            ApiKey::CreateTopics => {
                ask!(async |request| self.create_topics(request, version).await)
            }
            ApiKey::DeleteTopics => {
                ask!(async |request| self.delete_topics(request, version).await)
            }
            ApiKey::CreatePartitions => {
                ask!(async |request| self.create_partitions(request).await)
            }
            ApiKey::DeleteRecords => ask!(async |request| self.delete_records(request).await),
            ApiKey::IncrementalAlterConfigs => {
                ask!(async |request| self.alter_configs(request).await)
            }
            ApiKey::DescribeConfigs => {
                ask!(async |request| self.describe_configs(&request, version))
            }
            ApiKey::DescribeCluster => {
                ask!(async |request| self.describe_cluster(&request, version))
            }
            ApiKey::FindCoordinator => {
                ask!(async |request| self.find_coordinator(&request, version))
            }
            ApiKey::JoinGroup => {
                let client_id = head.client_id.clone();
                ask!(async |request| self
                    .join_group(request, version, client_id, peer.address)
                    .await)
            }
            ApiKey::SyncGroup => ask!(async |request| self.sync_group(request, version).await),
            ApiKey::Heartbeat => ask!(async |request| self.heartbeat(&request)),
            ApiKey::LeaveGroup => ask!(async |request| self.leave_group(&request, version)),
            ApiKey::ListGroups => ask!(async |request| self.list_groups(&request, version)),
            ApiKey::DescribeGroups => ask!(async |request| self.describe_groups(&request, version)),
            ApiKey::DeleteGroups => ask!(async |request| self.delete_groups(request).await),
            ApiKey::OffsetCommit => ask!(async |request| self.offset_commit(request).await),
            ApiKey::OffsetFetch => ask!(async |request| self.offset_fetch(&request, version)),
            ApiKey::OffsetDelete => ask!(async |request| self.offset_delete(request).await),
            ApiKey::InitProducerId => {
                ask!(async |request| self.init_producer_id(&request, version).await)
            }
            ApiKey::AddPartitionsToTxn => {
                ask!(async |request| self.add_partitions_to_txn(request, version).await)
            }
            ApiKey::AddOffsetsToTxn => {
                ask!(async |request| self.add_offsets_to_txn(request, version).await)
            }
            ApiKey::TxnOffsetCommit => {
                ask!(async |request| self.txn_offset_commit(request, version).await)
            }
            ApiKey::EndTxn => ask!(async |request| self.end_txn(request, version).await),
            ApiKey::ListTransactions => ask!(async |request| self.list_transactions(&request)),
            ApiKey::DescribeTransactions => {
                ask!(async |request| self.describe_transactions(&request))
            }
            ApiKey::DescribeProducers => ask!(async |request| self.describe_producers(request)),
            // Whoever is here has signed in, or need not.
            ApiKey::SaslHandshake => {
                let _: SaslHandshakeRequest = api::body(&head, body)?;
                let response = SaslHandshakeResponse::default();
                api::answer(&head, &response.with_error_code(code::ILLEGAL_SASL_STATE)).map(Some)
            }
            ApiKey::SaslAuthenticate => {
                let _: SaslAuthenticateRequest = api::body(&head, body)?;
                let response = SaslAuthenticateResponse::default();
                api::answer(&head, &response.with_error_code(code::ILLEGAL_SASL_STATE)).map(Some)
            }
            ApiKey::ApiVersions => {
                let _: ApiVersionsRequest = api::body(&head, body)?;
                api::answer(&head, &api::versions(version)).map(Some)
            }
            _ => Err(Broken::Unsupported {
                key: head.api as i16,
                version,
            }),
        }
    }

    fn host(&self) -> StrBytes {
        text(&self.host)
    }

    /// The topic that a request names, or the code that says why not.
    fn named(&self, name: &str) -> Result<TopicAccess, i16> {
        self.session
            .topic(name)
            .map_err(|_| code::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// As [`Self::named`], of one that the user may read.
    fn readable(&self, name: &str) -> Result<TopicAccess, i16> {
        self.named(name).and_then(may_read)
    }

    /// As [`Self::named`], of one that the user may write.
    fn writable(&self, name: &str) -> Result<TopicAccess, i16> {
        self.named(name).and_then(may_write)
    }

    /// Whether no topic has this identity any more.
    fn is_gone(&self, id: TopicId) -> bool {
        self.engine.topics().topic_by_id(id).is_none()
    }

    /// Whether the user may do everything.
    fn is_admin(&self) -> bool {
        self.session.rights().is_ok_and(|rights| rights.is_admin())
    }

    /// The topic of an identity, or the code that says why not.
    fn identified(&self, id: uuid::Uuid) -> Result<TopicAccess, i16> {
        self.session
            .topic_by_id(TopicId(id))
            .map_err(|_| code::UNKNOWN_TOPIC_ID)
    }
}

/// The topic, if its user may read it.
fn may_read(access: TopicAccess) -> Result<TopicAccess, i16> {
    match access.require_reading() {
        Ok(()) => Ok(access),
        Err(error) => Err(code::of_engine(&error)),
    }
}

/// The topic, if its user may write it.
fn may_write(access: TopicAccess) -> Result<TopicAccess, i16> {
    match access.require_writing() {
        Ok(()) => Ok(access),
        Err(error) => Err(code::of_engine(&error)),
    }
}

fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
