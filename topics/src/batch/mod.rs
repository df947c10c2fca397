//! Kafka record batches, version 2: what segments hold and, unchanged, what Kafka clients will be served.
//!
//! The format is that of the Kafka protocol guide, "Record Batch" (KIP-98), all numbers big-endian:
//!
//! | bytes | field | here |
//! |---|---|---|
//! | 0..8 | base offset | given when the batch is appended; not under the checksum |
//! | 8..12 | length of what follows | |
//! | 12..16 | partition leader epoch | 0: there is one leader; not under the checksum |
//! | 16 | magic | 2 |
//! | 17..21 | CRC-32C of everything from byte 21 | |
//! | 21..23 | attributes: codec, timestamp type, transactional, control, delete horizon | as the producer sent them; 0 in our own, but for [`Marker`]; the last is compaction's |
//! | 23..27 | last offset delta | |
//! | 27..35 | base timestamp | the first record's; with a delete horizon, that (KIP-534) |
//! | 35..43 | maximum timestamp | |
//! | 43..57 | producer id, producer epoch, base sequence | as the producer sent them; −1: none |
//! | 57..61 | number of records | |
//! | 61.. | records | |
//!
//! [`BatchBuilder`] writes one, [`BatchView`] reads one without copying.

mod builder;
mod codec;
mod encoded;
mod header;
mod marker;
mod rewrite;
mod varint;
mod view;

pub use builder::{BatchBuilder, RecordRef};
pub use codec::Codec;
pub use encoded::EncodedBatch;
pub(crate) use header::LENGTH_BASE;
pub use header::{BatchHeader, HEADER_BYTES, Malformed};
pub use marker::{Marker, Outcome};
pub(crate) use rewrite::Left;
pub use view::{BatchView, Headers, Record, Records};

/// The record header that carries an idempotency token: on a batch's first record, and hidden from readers here. Its value
/// is the token's fingerprint, eight bytes, and then its name.
pub const TOKEN_HEADER: &str = "weir-token";

#[cfg(test)]
mod tests;
