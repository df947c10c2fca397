//! Any frame that comes in on the Kafka port is read, or refused, without a panic.
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

use bytes::Bytes;
use kafka_protocol::messages::RequestKind;
use libfuzzer_sys::fuzz_target;

/// As in the server: address space that a frame only announces is given, and never touched (docs/known-defects.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fuzz_target!(|frame: &[u8]| {
    if let Ok(api::Request::Known(head, mut body)) = api::read(Bytes::copy_from_slice(frame)) {
        let _ = RequestKind::decode(head.api, &mut body, head.version);
    }
});
