//! Readings agree with a plain walk over all rows, however they are cut, and whatever index is at hand.

use proptest::prelude::*;
use weir_base::Offset;
use weir_topics::{Partition, TopicLog};

use crate::support::{batch, bids, files, open, read, run, scratch, small};

/// A row: offset, timestamp, value.
type Row = (i64, i64, String);

/// Batches of timestamps.
fn batches() -> impl Strategy<Value = Vec<Vec<i64>>> {
    let timestamp = prop_oneof![4 => 0..1000i64, 1 => any::<i64>()];
    proptest::collection::vec(proptest::collection::vec(timestamp, 1..12), 0..60)
}

async fn write(log: &TopicLog, batches: &[Vec<i64>]) -> (Partition, Vec<Row>) {
    let partition = bids(log).await;
    let mut rows: Vec<Row> = Vec::new();
    let mut last = None;
    for timestamps in batches {
        let from = rows.len();
        for timestamp in timestamps {
            rows.push((rows.len() as i64, *timestamp, format!("row {}", rows.len())));
        }
        let records = rows[from..].iter().map(|row| (row.1, row.2.as_str()));
        last = Some(partition.append(batch(records), None).unwrap());
    }
    if let Some(last) = last {
        last.durable().await.unwrap();
    }
    (partition, rows)
}

fn check(partition: &Partition, rows: &[Row], asks: &[(i64, i64, usize, i64, i64)]) {
    let end = Offset(rows.len() as i64);
    assert_eq!(partition.stable_offset(), end);
    let segments = partition.segments();
    assert!(
        segments
            .windows(2)
            .all(|two| two[0].end_offset == two[1].base_offset)
    );
    for segment in &segments {
        for row in &rows[segment.base_offset.0 as usize..segment.end_offset.0 as usize] {
            assert!(segment.min_timestamp_ms <= row.1 && row.1 <= segment.max_timestamp_ms);
        }
    }
    assert_eq!(
        partition.size_bytes(),
        segments.iter().map(|s| s.bytes).sum::<u64>()
    );
    for (from, length, bytes, min_ms, span) in asks.iter().copied() {
        let (from, to) = (Offset(from), Offset(from + length));
        let inside = |row: &&Row| from.0 <= row.0 && row.0 < to.0;
        let expected: Vec<_> = rows.iter().filter(inside).cloned().collect();
        assert_eq!(read(partition, from, to, bytes).unwrap(), expected);

        let ranges = partition.ranges(from, to, bytes as u64);
        assert!(ranges.windows(2).all(|two| two[0].end == two[1].start));
        match (ranges.first(), ranges.last()) {
            (Some(first), Some(last)) => {
                assert_eq!((first.start, last.end), (from, to.min(end)));
            }
            _ => assert!(expected.is_empty()),
        }

        let max_ms = min_ms.saturating_add(span);
        let in_time = partition.ranges_in_time(from, to, min_ms, max_ms);
        for row in expected
            .iter()
            .filter(|row| min_ms <= row.1 && row.1 <= max_ms)
        {
            let offset = Offset(row.0);
            assert!(
                in_time.iter().any(|range| range.contains(&offset)),
                "{row:?} pruned"
            );
        }
        assert!(
            in_time
                .iter()
                .all(|range| from <= range.start && range.end <= to.min(end))
        );

        let first = rows.iter().find(|row| row.1 >= min_ms);
        let first = first.map_or(end, |row| Offset(row.0));
        assert_eq!(partition.offset_for_time(min_ms).unwrap(), first);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn all_readings_agree_with_a_walk_over_the_rows(
        batches in batches(),
        asks in proptest::collection::vec((0..400i64, 0..200i64, 1..3000usize, -5..1005i64, 0..300i64), 8),
    ) {
        let dir = scratch();
        run(async {
            let log = open(small(dir.path())).await.unwrap();
            let (partition, rows) = write(&log, &batches).await;
            check(&partition, &rows, &asks);
            log.close().await.unwrap();
            drop((log, partition));

            let log = open(small(dir.path())).await.unwrap();
            check(&bids(&log).await, &rows, &asks);
            drop(log);

            // Without any index, they are made again.
            for index in files(dir.path(), ".index") {
                std::fs::remove_file(index).unwrap();
            }
            let log = open(small(dir.path())).await.unwrap();
            check(&bids(&log).await, &rows, &asks);
        });
    }
}

#[test]
fn ranges_are_of_about_the_size_asked_for() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let (partition, _) = write(&log, &vec![vec![0; 10]; 200]).await;
        let total = partition.size_bytes();
        let ranges = partition.ranges(Offset(0), Offset(2000), total / 8);
        assert!((7..=9).contains(&ranges.len()), "{ranges:?}");
        let whole = partition.ranges(Offset(0), Offset(5000), u64::MAX);
        assert_eq!(whole, [Offset(0)..Offset(2000)]);
        assert!(partition.ranges(Offset(2000), Offset(5000), 1).is_empty());
    });
}

#[test]
fn pruning_by_time_leaves_little() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let batches: Vec<_> = (0..200).map(|at| vec![at * 10; 10]).collect();
        let (partition, _) = write(&log, &batches).await;
        let ranges = partition.ranges_in_time(Offset(0), Offset(2000), 500, 519);
        let rows: i64 = ranges.iter().map(|range| range.end.0 - range.start.0).sum();
        assert!((20..=60).contains(&rows), "{ranges:?}");
    });
}

#[test]
fn a_reader_sees_only_what_is_stable() {
    let dir = scratch();
    run(async {
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        assert!(
            partition
                .read(Offset(0), Offset(9), 100)
                .unwrap()
                .batches
                .is_empty()
        );
        let mut watch = partition.watch();
        let writer = {
            let partition = partition.clone();
            std::thread::spawn(move || {
                for number in 0..300 {
                    let value = format!("row {number}");
                    let _appended = partition
                        .append(batch([(number, value.as_str())]), None)
                        .unwrap();
                }
            })
        };
        let mut seen = 0;
        while seen < 300 {
            watch.changed().await.unwrap();
            let stable = *watch.borrow_and_update();
            let rows = read(&partition, Offset(seen), stable, 500).unwrap();
            assert_eq!(rows.len() as i64, stable.0 - seen);
            for row in rows {
                assert_eq!(row, (seen, seen, format!("row {seen}")));
                seen += 1;
            }
        }
        writer.join().unwrap();
    });
}
