//! The requests that are answered, in which versions, and how their frames begin and end.
//!
//! Floors are Kafka 4's (KIP-896). Produce is advertised from 0 although 3 is the first that is answered: librdkafka takes a
//! broker that does not say so for one that cannot take compressed batches (KAFKA-18659).

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::code;
use super::gather::{Gather, Piece, Records};

/// A whole frame with an answer.
pub(super) type Frame = VecDeque<Piece>;

/// The APIs that are answered: key, first and last version.
pub(super) const SUPPORTED: [(ApiKey, i16, i16); 34] = [
    (ApiKey::Produce, 3, 13),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 9),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::SaslHandshake, 0, 1),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 5),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 5),
    (ApiKey::TxnOffsetCommit, 0, 5),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::SaslAuthenticate, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
];

/// The rules of transactions that are offered (KIP-890).
const TRANSACTION_VERSION: i16 = 2;

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("a request of {0} bytes is shorter than its head")]
    Short(usize),
    #[error("API key {key} in version {version} is not answered here")]
    Unsupported { key: i16, version: i16 },
    #[error("a request of API {0:?} came before its client had signed in")]
    SignedOut(ApiKey),
    #[error("a request of API {api:?}, version {version}, does not decode: {reason}")]
    Malformed {
        api: ApiKey,
        version: i16,
        reason: String,
    },
    #[error("an answer of API {api:?}, version {version}, does not encode: {reason}")]
    Answer {
        api: ApiKey,
        version: i16,
        reason: String,
    },
}

/// What comes before a request's body.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) client_id: String,
}

/// What a frame holds.
pub(super) enum Request {
    /// A request in a version that is answered; its body follows.
    Known(Head, Bytes),
    /// An ApiVersions request in a version that is not: it is answered in version 0, so that the client learns which are.
    ApiVersionsTooNew { correlation_id: i32 },
}

/// Reads the head of a frame.
pub(super) fn read(mut frame: Bytes) -> Result<Request, Broken> {
    let bytes = frame.len();
    let mut front = frame.clone();
    let (Ok(key), Ok(version), Ok(correlation_id)) = (
        front.try_get_i16(),
        front.try_get_i16(),
        front.try_get_i32(),
    ) else {
        return Err(Broken::Short(bytes));
    };
    let unsupported = Broken::Unsupported { key, version };
    let Ok(api) = ApiKey::try_from(key) else {
        return Err(unsupported);
    };
    let answered = SUPPORTED
        .iter()
        .any(|(known, first, last)| *known == api && (*first..=*last).contains(&version));
    if !answered {
        return match api {
            ApiKey::ApiVersions => Ok(Request::ApiVersionsTooNew { correlation_id }),
            _ => Err(unsupported),
        };
    }
    let header = RequestHeader::decode(&mut frame, api.request_header_version(version));
    let header = header.map_err(|error| Broken::Malformed {
        api,
        version,
        reason: error.to_string(),
    })?;
    let head = Head {
        api,
        version,
        correlation_id,
        client_id: header
            .client_id
            .map_or_else(String::new, |id| id.to_string()),
    };
    Ok(Request::Known(head, frame))
}

/// The body of a request.
pub(super) fn body<T: Decodable>(head: &Head, mut body: Bytes) -> Result<T, Broken> {
    T::decode(&mut body, head.version).map_err(|error| Broken::Malformed {
        api: head.api,
        version: head.version,
        reason: error.to_string(),
    })
}

/// A whole frame with an answer: length, header, body.
pub(super) fn answer<T: Encodable>(head: &Head, body: &T) -> Result<Frame, Broken> {
    answer_with(head, body, Vec::new())
}

/// As [`answer`], where the body holds what stands for `records`, in this order.
pub(super) fn answer_with<T: Encodable>(
    head: &Head,
    body: &T,
    records: Vec<Records>,
) -> Result<Frame, Broken> {
    let failed = |reason: String| Broken::Answer {
        api: head.api,
        version: head.version,
        reason,
    };
    let header = ResponseHeader::default().with_correlation_id(head.correlation_id);
    let header_version = head.api.response_header_version(head.version);
    let size = body
        .compute_size(head.version)
        .map_err(|error| failed(error.to_string()))?;
    let mut frame = Gather::new(records, size + 16);
    header
        .encode(&mut frame, header_version)
        .and_then(|()| body.encode(&mut frame, head.version))
        .map_err(|error| failed(error.to_string()))?;
    frame
        .into_frame()
        .ok_or_else(|| failed("it is too large".to_owned()))
}

/// What is answered, and in which versions.
pub(super) fn versions(version: i16) -> ApiVersionsResponse {
    let keys = SUPPORTED.iter().map(|(api, first, last)| {
        let first = if *api == ApiKey::Produce { 0 } else { *first };
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(first)
            .with_max_version(*last)
    });
    let mut response = ApiVersionsResponse::default().with_api_keys(keys.collect());
    if version >= 3 {
        // By this clients follow the rules of KIP-890.
        let name = StrBytes::from_static_str("transaction.version");
        response.supported_features = vec![
            SupportedFeatureKey::default()
                .with_name(name.clone())
                .with_max_version(TRANSACTION_VERSION),
        ];
        response.finalized_features_epoch = 0;
        response.finalized_features = vec![
            FinalizedFeatureKey::default()
                .with_name(name)
                .with_min_version_level(TRANSACTION_VERSION)
                .with_max_version_level(TRANSACTION_VERSION),
        ];
    }
    response
}

/// The answer to an ApiVersions request of a version that is not known.
pub(super) fn versions_too_new(correlation_id: i32) -> Result<Frame, Broken> {
    let head = Head {
        api: ApiKey::ApiVersions,
        version: 0,
        correlation_id,
        client_id: String::new(),
    };
    answer(
        &head,
        &versions(0).with_error_code(code::UNSUPPORTED_VERSION),
    )
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::{MetadataRequest, RequestKind};
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::gather::tests::in_memory;

    fn frame(key: i16, version: i16, body: &[u8]) -> Bytes {
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(7);
        frame.put_slice(body);
        frame.freeze()
    }

    #[test]
    fn every_api_is_one_that_the_library_knows_in_those_versions() {
        for (api, first, last) in SUPPORTED {
            let valid = api.valid_versions();
            assert!(valid.min <= first && last <= valid.max, "{api:?}");
        }
        let keys = versions(4).api_keys;
        assert_eq!(keys[0].min_version, 0, "Produce");
        assert!(
            keys.windows(2)
                .all(|pair| pair[0].api_key < pair[1].api_key)
        );
    }

    #[test]
    fn a_client_without_a_name_is_answered() {
        let request = read(frame(3, 1, &[0xff, 0xff, 0, 0, 0, 0])).unwrap();
        let Request::Known(head, rest) = request else {
            panic!("it is known");
        };
        assert_eq!((head.client_id.as_str(), head.correlation_id), ("", 7));
        let metadata: MetadataRequest = body(&head, rest).unwrap();
        assert_eq!(metadata.topics.map(|topics| topics.len()), Some(0));
    }

    #[test]
    fn a_version_of_the_future_is_told_what_there_is() {
        let request = read(frame(18, 9, b"whatever")).unwrap();
        assert!(matches!(
            request,
            Request::ApiVersionsTooNew { correlation_id: 7 }
        ));
        let mut answer = in_memory(versions_too_new(7).unwrap());
        assert_eq!(answer.get_i32() as usize, answer.remaining());
        assert_eq!(answer.get_i32(), 7);
        assert_eq!(answer.get_i16(), 35);
        assert!(answer.get_i32() > 20);
        assert!(read(frame(0, 99, b"")).is_err());
        assert!(read(frame(999, 0, b"")).is_err());
        assert!(read(Bytes::from_static(b"abc")).is_err());
    }

    #[test]
    fn the_header_of_an_answer_about_versions_is_always_of_version_0() {
        let head = Head {
            api: ApiKey::ApiVersions,
            version: 4,
            correlation_id: 5,
            client_id: String::new(),
        };
        let mut frame = in_memory(answer(&head, &versions(4)).unwrap());
        frame.advance(8);
        let mut body = BytesMut::new();
        versions(4).encode(&mut body, 4).unwrap();
        assert_eq!(frame.copy_to_bytes(frame.remaining()), body);
    }

    /// As in the server: address space that a frame only announces is given, and never touched (docs/known-defects.md).
    #[global_allocator]
    static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

    /// Mostly small bytes, which make lengths and counts that fit.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => 0..4u8, 1 => any::<u8>()];
        proptest::collection::vec(byte, 0..120)
    }

    proptest! {
        // `server/fuzz` has the same, for longer.
        #[test]
        fn any_frame_is_read_or_refused(api in 0..SUPPORTED.len(), version in any::<i16>(), bytes in bytes()) {
            let (key, first, last) = SUPPORTED[api];
            let _ = read(Bytes::copy_from_slice(&bytes));
            let version = first + version.rem_euclid(last - first + 1);
            let request = read(frame(key as i16, version, &bytes));
            if let Ok(Request::Known(head, mut body)) = request {
                prop_assert_eq!((head.api, head.version), (key, version));
                let _ = RequestKind::decode(head.api, &mut body, head.version);
            }
        }
    }
}
