//! Any frame that comes in on the Kafka port is read, or refused, without a panic; and a request that was read is the same
//! request when it is written and read again.
//!
//! It takes the sources of the door's parser as they are, so that it is built without the engine behind it.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/kafka/api.rs"]
mod api;
#[path = "../../src/kafka/gather.rs"]
mod gather;

/// What the parser needs of the door's error codes.
mod code {
    pub(crate) const UNSUPPORTED_VERSION: i16 = 35;
}

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::RequestKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let Ok(api::Request::Known(head, mut body)) = api::read(Bytes::copy_from_slice(frame)) else {
        return;
    };
    let Ok(request) = RequestKind::decode(head.api, &mut body, head.version) else {
        return;
    };
    let mut written = BytesMut::new();
    request.encode(&mut written, head.version).expect("what was read can be written");
    let again = RequestKind::decode(head.api, &mut written.freeze(), head.version);
    assert_eq!(again.ok(), Some(request));
});
