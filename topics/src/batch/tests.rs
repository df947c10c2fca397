//! What a batch promises for all records.

use std::io::Write;

use bytes::Bytes;
use proptest::prelude::*;
use weir_base::Offset;

use super::*;
use crate::{Fingerprint, IdempotencyToken};

type OwnedHeaders = Vec<(String, Option<Vec<u8>>)>;

#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

fn field() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let timestamp = prop_oneof![any::<i64>(), 1_700_000_000_000..1_800_000_000_000i64];
    let headers = proptest::collection::vec((".{0,9}", field()), 0..3);
    let record = (timestamp, field(), field(), headers);
    let record = record.prop_map(|(timestamp_ms, key, value, headers)| Owned {
        timestamp_ms,
        key,
        value,
        headers,
    });
    proptest::collection::vec(record, 1..60)
}

fn build(records: &[Owned]) -> EncodedBatch {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let record = RecordRef {
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        builder.push(record).unwrap();
    }
    assert_eq!(builder.len(), records.len());
    let size = builder.size_bytes();
    let batch = builder.build();
    assert_eq!(batch.size_bytes(), size);
    batch
}

fn read(view: &BatchView) -> Vec<(i64, Owned)> {
    view.records()
        .map(|record| {
            let record = record.unwrap();
            let headers = record.headers().map(|header| {
                let (key, value) = header.unwrap();
                (key.to_owned(), value.map(<[u8]>::to_vec))
            });
            let owned = Owned {
                timestamp_ms: record.timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            };
            (record.offset.0, owned)
        })
        .collect()
}

fn view(batch: &EncodedBatch) -> BatchView {
    BatchView::parse(Bytes::copy_from_slice(batch.as_bytes())).unwrap()
}

proptest! {
    #[test]
    fn records_read_back_as_written(records in records(), base in 0..i64::MAX / 2) {
        let mut batch = build(&records);
        batch.place_at(Offset(base));
        let view = view(&batch);
        let expected: Vec<_> = (base..).zip(records.iter().cloned()).collect();
        prop_assert_eq!(read(&view), expected);
        prop_assert_eq!(view.base_offset(), Offset(base));
        prop_assert_eq!(view.end_offset(), Offset(base + records.len() as i64));
        let times = records.iter().map(|record| record.timestamp_ms);
        let bounds = (times.clone().min().unwrap(), times.max().unwrap());
        prop_assert_eq!(view.time_bounds().unwrap(), bounds);
        prop_assert_eq!((batch.min_timestamp_ms(), batch.max_timestamp_ms()), bounds);
        prop_assert_eq!(view.max_timestamp_ms(), bounds.1);
        prop_assert_eq!(view.token().unwrap(), None);
    }

    #[test]
    fn a_token_is_stored_and_not_shown(
        records in records(),
        name in proptest::collection::vec(any::<u8>(), 1..=64),
        content in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let token = IdempotencyToken::new(name).unwrap().standing_for(Fingerprint::of(&content));
        let batch = build(&records).with_token(&token).unwrap();
        let view = view(&batch);
        prop_assert_eq!(view.token().unwrap(), Some(token));
        prop_assert_eq!(view.size_bytes(), batch.size_bytes());
        let shown: Vec<_> = read(&view).into_iter().map(|(_, record)| record).collect();
        prop_assert_eq!(shown, records);
    }

    #[test]
    fn a_flipped_bit_is_noticed(records in records(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = build(&records).as_bytes().to_vec();
        // What the checksum does not cover, the log checks against its neighbours: base offset, epoch.
        let at = 16 + at.index(bytes.len() - 16);
        bytes[at] ^= 1 << bit;
        prop_assert!(BatchView::parse(bytes.into()).is_err());
    }

    #[test]
    fn a_batch_cut_short_is_noticed(records in records(), at in any::<prop::sample::Index>()) {
        let bytes = build(&records).as_bytes().to_vec();
        let cut = at.index(bytes.len());
        prop_assert!(BatchView::parse(Bytes::copy_from_slice(&bytes[..cut])).is_err());
    }

    #[test]
    fn no_bytes_panic(records in records(), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = build(&records).as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // As a reader that skipped the checksum would see it.
        if let Ok(header) = BatchHeader::parse(&bytes) {
            let view = BatchView::checked(bytes.into(), header);
            for record in view.records().flatten() {
                record.headers().for_each(drop);
            }
            let _ = (view.token(), view.time_bounds());
        }
    }

    // `topics/fuzz` has the same, for longer.
    #[test]
    fn any_records_behind_a_right_checksum_are_taken_or_refused(
        records in records(),
        attributes in any::<u8>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        let plain = build(&records);
        let mut body = body.unwrap_or_else(|| plain.as_bytes()[HEADER_BYTES..].to_vec());
        for (at, byte) in flips {
            if let Some(place) = (!body.is_empty()).then(|| at.index(body.len())) {
                body[place] = byte;
            }
        }
        let view = BatchView::parse(with_attributes(&plain, attributes, &body).into()).unwrap();
        let _ = (view.codec(), view.time_bounds(), view.marker(), view.token());
        let taken = EncodedBatch::from_view(view.clone());
        if let Ok(plain) = view.decompressed() {
            let mut read = Vec::new();
            for record in plain.records() {
                read.push(record.is_ok_and(|record| record.headers().all(|header| header.is_ok())));
            }
            if let Ok(taken) = taken && !plain.header().is_compressed() && read.iter().all(|is_ok| *is_ok) {
                prop_assert_eq!(taken.record_count() as usize, read.len());
            }
        }
    }

    #[test]
    fn compressed_records_are_kept_as_they_came_and_read_back(records in records(), codec in 0..5usize) {
        let plain = build(&records);
        let body = &plain.as_bytes()[HEADER_BYTES..];
        let (attributes, compressed) = match codec {
            0 => (1, gzip(body)),
            1 => (2, snap::raw::Encoder::new().compress_vec(body).unwrap()),
            2 => (2, xerial(body)),
            3 => (3, lz4(body)),
            _ => (4, zstd::encode_all(body, 1).unwrap()),
        };
        let bytes = with_attributes(&plain, attributes, &compressed);
        let taken = EncodedBatch::from_bytes(bytes.clone()).unwrap();
        prop_assert_eq!(taken.as_bytes(), &bytes);
        let stored = view(&taken);
        prop_assert!(stored.records().next().unwrap().is_err());
        prop_assert_eq!(stored.time_bounds().unwrap().1, plain.max_timestamp_ms());
        prop_assert_eq!(read(&stored.decompressed().unwrap()), read(&view(&plain)));
        // Damage is noticed by the codec, or gives other records; it never panics.
        let mut damaged = compressed;
        let at = records.len() % damaged.len();
        damaged[at] ^= 0x41;
        let bytes = with_attributes(&plain, attributes, &damaged);
        if let Ok(batch) = EncodedBatch::from_bytes(bytes)
            && let Ok(batch) = view(&batch).decompressed()
        {
            batch.records().for_each(drop);
        }
    }

    #[test]
    fn what_is_retained_is_what_it_was(
        records in records(),
        stays in proptest::collection::vec(any::<bool>(), 60),
        codec in 0..5usize,
        horizon_ms in proptest::option::of(any::<i64>()),
        base in 0..i64::MAX / 2,
    ) {
        let plain = build(&records);
        let body = &plain.as_bytes()[HEADER_BYTES..];
        let (attributes, body) = match codec {
            0 => (0, body.to_vec()),
            1 => (1, gzip(body)),
            2 => (2, xerial(body)),
            3 => (3, lz4(body)),
            _ => (4, zstd::encode_all(body, 1).unwrap()),
        };
        let bytes = with_attributes(&plain, attributes, &body);
        let mut batch = EncodedBatch::from_bytes(bytes).unwrap();
        batch.place_at(Offset(base));
        let stored = view(&batch);
        let keep = |record: &Record<'_>| stays[(record.offset.0 - base) as usize];
        let expected: Vec<_> = (base..)
            .zip(records.iter().cloned())
            .filter(|(offset, _)| stays[(offset - base) as usize])
            .collect();
        let deletes = expected.iter().any(|(_, r)| r.key.is_some() && r.value.is_none());
        let horizon_due = horizon_ms.filter(|_| deletes);
        match stored.retain(keep, horizon_ms).unwrap() {
            Left::Nothing => prop_assert!(expected.is_empty()),
            Left::Whole => {
                prop_assert_eq!(expected.len(), records.len());
                prop_assert_eq!(horizon_due, None);
            }
            Left::Part(left) => {
                prop_assert!(horizon_due.is_some() || expected.len() < records.len());
                prop_assert_eq!(left.header().delete_horizon_ms(), horizon_due);
                prop_assert_eq!(left.codec().unwrap(), stored.codec().unwrap());
                prop_assert_eq!(left.base_offset(), stored.base_offset());
                prop_assert_eq!(left.end_offset(), stored.end_offset());
                prop_assert_eq!(left.record_count(), expected.len());
                let latest = expected.iter().map(|(_, record)| record.timestamp_ms).max();
                prop_assert_eq!(Some(left.max_timestamp_ms()), latest);
                prop_assert_eq!(read(&left.clone().decompressed().unwrap()), expected.clone());
                // A second time it stays as it is, also under another horizon.
                let again = left.retain(|_| true, Some(1)).unwrap();
                let whole = matches!(again, Left::Whole);
                prop_assert!(whole || (horizon_ms.is_none() && deletes));
            }
        }
    }

    #[test]
    fn whether_all_records_have_keys_is_known(records in records(), compressed in any::<bool>()) {
        let all = records.iter().all(|record| record.key.is_some());
        let plain = build(&records);
        prop_assert_eq!(plain.has_keys().unwrap(), all);
        let body = &plain.as_bytes()[HEADER_BYTES..];
        let sent = match compressed {
            true => with_attributes(&plain, 3, &lz4(body)),
            false => plain.as_bytes().to_vec(),
        };
        prop_assert_eq!(EncodedBatch::from_bytes(sent).unwrap().has_keys().unwrap(), all);
    }

    #[test]
    fn a_producers_batch_is_taken_as_it_is(records in records()) {
        let batch = build(&records);
        let taken = EncodedBatch::from_bytes(batch.as_bytes().to_vec()).unwrap();
        prop_assert_eq!(taken.as_bytes(), batch.as_bytes());
        prop_assert_eq!(taken.record_count() as usize, records.len());
        prop_assert_eq!(taken.min_timestamp_ms(), batch.min_timestamp_ms());
    }
}

/// A batch with other attributes and records, as a producer would send it.
fn with_attributes(batch: &EncodedBatch, attributes: u8, records: &[u8]) -> Vec<u8> {
    let mut bytes = batch.as_bytes()[..HEADER_BYTES].to_vec();
    bytes.extend_from_slice(records);
    let length = (bytes.len() - LENGTH_BASE) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] |= attributes;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Snappy as xerial's Java library frames it, in blocks of 40 bytes.
fn xerial(bytes: &[u8]) -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in bytes.chunks(40) {
        let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    framed
}

#[test]
fn the_bytes_are_those_of_kafkas_own_format() {
    let mut builder = BatchBuilder::new();
    builder
        .push(RecordRef {
            timestamp_ms: 1000,
            key: Some(b"k"),
            value: Some(b"v"),
            headers: &[("h", None)],
        })
        .unwrap();
    builder
        .push(RecordRef {
            timestamp_ms: 999,
            ..RecordRef::default()
        })
        .unwrap();
    let mut batch = builder.build();
    batch.place_at(Offset(7));
    let bytes = batch.as_bytes();
    let records: &[u8] = &[
        // length 11, attributes, timestamp 0, offset 0, key "k", value "v", one header "h" of null
        22, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 1,
        // length 6, attributes, timestamp -1, offset 1, key null, value null, no header
        12, 0, 1, 2, 1, 1, 0,
    ];
    assert_eq!(bytes.len(), HEADER_BYTES + records.len());
    assert_eq!(&bytes[61..], records);
    assert_eq!(&bytes[..8], 7i64.to_be_bytes());
    assert_eq!(&bytes[8..12], (bytes.len() as i32 - 12).to_be_bytes());
    assert_eq!(&bytes[12..16], 0i32.to_be_bytes());
    assert_eq!(bytes[16], 2);
    assert_eq!(&bytes[17..21], crc32c::crc32c(&bytes[21..]).to_be_bytes());
    assert_eq!(&bytes[23..27], 1i32.to_be_bytes());
    assert_eq!(&bytes[35..43], 1000i64.to_be_bytes());
    assert_eq!(&bytes[57..61], 2i32.to_be_bytes());
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let mut builder = BatchBuilder::new();
    let reserved = RecordRef {
        headers: &[(TOKEN_HEADER, None)],
        ..RecordRef::default()
    };
    assert!(builder.push(reserved).is_err());
    assert!(builder.is_empty());
    assert!(IdempotencyToken::new("").is_err());
    assert!(IdempotencyToken::new([0; 65]).is_err());

    builder.push(RecordRef::default()).unwrap();
    let plain = builder.build();
    for (attributes, what) in [
        (0x07, "no codec"),
        (0x10, "transactional"),
        (0x20, "control"),
        (0x40, "a delete horizon"),
    ] {
        let bytes = with_attributes(&plain, attributes, &plain.as_bytes()[HEADER_BYTES..]);
        assert!(EncodedBatch::from_bytes(bytes).is_err(), "{what}");
    }
    let mut longer = plain.as_bytes().to_vec();
    longer.push(0);
    assert!(EncodedBatch::from_bytes(longer).is_err());
}

#[test]
fn a_snappy_block_that_announces_more_than_it_holds_is_refused_before_there_is_room_for_it() {
    let plain = build(&[Owned {
        timestamp_ms: 1,
        key: None,
        value: Some(vec![0; 1 << 20]),
        headers: vec![],
    }]);
    let body = &plain.as_bytes()[HEADER_BYTES..];
    let dense = snap::raw::Encoder::new().compress_vec(body).unwrap();
    let of = |body: &[u8]| {
        let view = BatchView::parse(with_attributes(&plain, 2, body).into()).unwrap();
        view.decompressed().map(|view| view.records().count())
    };
    assert_eq!(of(&dense).ok(), Some(1));
    // 200 MiB, by its length alone.
    assert!(of(&[0x80, 0x80, 0x80, 0x64]).is_err());
}
