//! What a pass decides, record by record.

use bytes::Bytes;
use weir_base::Offset;

use super::*;
use crate::{BatchBuilder, RecordRef};

/// A batch of records (key, value) from `base` on.
fn batch(base: i64, records: &[(Option<&str>, Option<&str>)]) -> BatchView {
    let mut builder = BatchBuilder::new();
    for (key, value) in records {
        let record = RecordRef {
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            timestamp_ms: 5,
            ..RecordRef::default()
        };
        builder.push(record).unwrap();
    }
    let mut batch = builder.build();
    batch.place_at(Offset(base));
    BatchView::parse(Bytes::copy_from_slice(batch.as_bytes())).unwrap()
}

fn latest(bytes_max: usize, batches: &[&BatchView]) -> Latest {
    let mut latest = Latest::new(bytes_max);
    batches.iter().for_each(|batch| latest.note(batch));
    latest
}

fn pass(latest: &Latest, start: i64, end: i64, now_ms: i64) -> Pass<'_> {
    Pass {
        latest,
        start: Offset(start),
        end: Offset(end),
        now_ms,
        delete_retention_ms: 100,
    }
}

fn offsets(left: &Left) -> Vec<i64> {
    let Left::Part(left) = left else {
        return Vec::new();
    };
    left.records()
        .map(|record| record.unwrap().offset.0)
        .collect()
}

const V: Option<&str> = Some("v");

#[test]
fn the_last_record_of_each_key_stays_and_those_without() {
    let first = batch(0, &[(Some("a"), V), (Some("b"), V), (None, V)]);
    let second = batch(3, &[(Some("b"), V), (Some("a"), V), (Some("a"), V)]);
    let latest = latest(1 << 20, &[&first, &second]);
    let pass = pass(&latest, 0, 6, 0);
    assert_eq!(offsets(&pass.filter(&first).unwrap()), [2]);
    assert_eq!(offsets(&pass.filter(&second).unwrap()), [3, 5]);
    let unseen = batch(6, &[(Some("a"), V), (Some("c"), V)]);
    assert!(matches!(pass.filter(&unseen).unwrap(), Left::Whole));
}

#[test]
fn what_is_before_the_start_goes() {
    let first = batch(0, &[(Some("a"), V), (Some("b"), V), (None, V)]);
    let latest = latest(1 << 20, &[&first]);
    assert_eq!(
        offsets(&pass(&latest, 1, 3, 0).filter(&first).unwrap()),
        [1, 2]
    );
    assert!(matches!(
        pass(&latest, 3, 3, 0).filter(&first).unwrap(),
        Left::Nothing
    ));
}

#[test]
fn a_deletion_stays_for_its_time_after_it_was_seen() {
    let value = batch(0, &[(Some("a"), V)]);
    let deletion = batch(1, &[(Some("a"), None), (Some("b"), V)]);
    let latest = latest(1 << 20, &[&value, &deletion]);
    // Not yet looked up: it says nothing of when it goes.
    let early = pass(&latest, 0, 1, 1000);
    assert!(matches!(early.filter(&deletion).unwrap(), Left::Whole));
    assert!(matches!(early.filter(&value).unwrap(), Left::Nothing));
    let Left::Part(seen) = pass(&latest, 0, 3, 1000).filter(&deletion).unwrap() else {
        panic!("it does not say when it goes");
    };
    assert_eq!(seen.header().delete_horizon_ms(), Some(1100));
    let later = |now_ms| pass(&latest, 0, 3, now_ms).filter(&seen).unwrap();
    assert!(matches!(later(1099), Left::Whole));
    assert_eq!(offsets(&later(1100)), [2]);
}

#[test]
fn markers_are_left_alone() {
    let plain = batch(0, &[(Some("a"), V), (Some("a"), V)]);
    let mut bytes = plain.as_bytes().to_vec();
    bytes[22] |= 0x30;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = BatchView::parse(bytes.into()).unwrap();
    let latest = latest(1 << 20, &[&batch]);
    assert_eq!(latest.get(b"a"), None);
    assert!(matches!(
        pass(&latest, 9, 9, 0).filter(&batch).unwrap(),
        Left::Whole
    ));
}

#[test]
fn it_is_full_when_there_is_no_room_for_another_key() {
    let batch = batch(0, &[(Some("a"), V), (Some("b"), V)]);
    assert!(!latest(1000, &[&batch]).is_full());
    assert!(latest(100, &[&batch]).is_full());
    assert_eq!(latest(1, &[&batch]).get(b"b"), Some(Offset(1)));
}
