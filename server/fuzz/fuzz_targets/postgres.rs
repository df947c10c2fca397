//! Any message that comes in on the PostgreSQL port is read, or refused, without a panic.
//!
//! It takes the source of the door's parser as it is, so that it is built without the engine behind it.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/postgres/wire/frontend.rs"]
mod frontend;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    if let Some((tag, body)) = message.split_first() {
        let _ = frontend::read(*tag, Bytes::copy_from_slice(body));
    }
    let _ = frontend::read_startup(Bytes::copy_from_slice(message));
});
