//! Any bytes that a producer sends as a record batch are taken or refused without a panic; and of a batch that is taken, every
//! record can be read, as many as it says.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_topics::{BatchView, EncodedBatch};

/// Where a batch has its length, its checksum, and from where on that counts.
const LENGTH: std::ops::Range<usize> = 8..12;
const CHECKSUM: std::ops::Range<usize> = 17..21;

/// The same with a length and a checksum that are right, so that what is behind them is reached.
fn repaired(batch: &[u8]) -> Option<Bytes> {
    let mut batch = batch.to_vec();
    let length = i32::try_from(batch.len().checked_sub(LENGTH.end)?).ok()?;
    batch.get_mut(LENGTH)?.copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(batch.get(CHECKSUM.end..)?);
    batch.get_mut(CHECKSUM)?.copy_from_slice(&checksum.to_be_bytes());
    Some(batch.into())
}

fn look(bytes: Bytes) {
    let Ok(view) = BatchView::parse(bytes) else {
        return;
    };
    let _ = (view.codec(), view.time_bounds(), view.marker());
    let taken = EncodedBatch::from_view(view.clone());
    let Ok(plain) = view.decompressed() else {
        return;
    };
    let mut records = 0;
    let mut is_whole = true;
    for record in plain.records() {
        match record {
            Ok(record) => is_whole &= record.headers().all(|header| header.is_ok()),
            Err(_) => is_whole = false,
        }
        records += 1;
    }
    if let Ok(taken) = taken
        && !plain.header().is_compressed()
        && is_whole
    {
        assert_eq!(taken.record_count() as usize, records);
    }
}

fuzz_target!(|batch: &[u8]| {
    look(Bytes::copy_from_slice(batch));
    if let Some(batch) = repaired(batch) {
        look(batch);
    }
});
