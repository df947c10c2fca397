//! After a crash: all that was acknowledged, nothing that is torn, and damage is named and never skipped.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use weir_base::{Classify, Kind, Offset, SqlState};
use weir_topics::{Error, LogSettings};

use crate::support::{batch, bids, files, one, open, read, run, scratch, small, values};

/// Appends batches of so many rows as one group, and waits. The rows are numbered on from `from`.
async fn write(settings: LogSettings, sizes: &[usize], from: usize) -> usize {
    let log = open(settings).await.unwrap();
    let partition = bids(&log).await;
    let mut next = from;
    let mut last = None;
    for size in sizes {
        let rows: Vec<_> = (next..next + size)
            .map(|row| format!("row {row}"))
            .collect();
        let records = rows.iter().map(|row| (0, row.as_str()));
        last = Some(partition.append(batch(records), None).unwrap());
        next += size;
    }
    if let Some(last) = last {
        last.durable().await.unwrap();
    }
    next
}

/// The small files of the partition, by which a process that died earlier would be known.
fn derived(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = files(dir, ".index");
    found.extend(files(dir, "stable"));
    found
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn prefix(rows: usize) -> Vec<String> {
    (0..rows).map(|row| format!("row {row}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_write_torn_at_any_byte_leaves_what_was_acknowledged(
        acknowledged in proptest::collection::vec(1..20usize, 0..40),
        torn in proptest::collection::vec(1..20usize, 1..8),
        cut in any::<prop::sample::Index>(),
        garbage in proptest::option::of((any::<u8>(), 1..300usize)),
        small_segments in any::<bool>(),
    ) {
        let dir = scratch();
        let settings = if small_segments { small(dir.path()) } else { LogSettings::new(dir.path()) };
        run(async {
            let rows = write(settings.clone(), &acknowledged, 0).await;
            let before = derived(dir.path());
            let last = files(dir.path(), ".log").pop();
            let kept = last.as_ref().map_or(0, |last| fs::metadata(last).unwrap().len());

            // As if the process had died while it wrote these, in a segment that does not roll.
            let roomy = LogSettings { segment_bytes_max: 1 << 20, ..settings.clone() };
            write(roomy, &torn, rows).await;
            for path in files(dir.path(), ".index").into_iter().chain(files(dir.path(), "stable")) {
                fs::remove_file(path).unwrap();
            }
            for (path, bytes) in before {
                fs::write(path, bytes).unwrap();
            }
            let last = last.unwrap_or_else(|| files(dir.path(), ".log").pop().unwrap());
            let mut bytes = fs::read(&last).unwrap();
            bytes.truncate(kept as usize + cut.index(bytes.len() - kept as usize + 1));
            let whole = whole_rows(&bytes, kept as usize, &torn);
            if let Some((byte, length)) = garbage {
                bytes.resize(bytes.len() + length, byte);
            }
            fs::write(&last, bytes).unwrap();

            // Twice: the repair is lasting, and appending goes on after it.
            for extra in 0..2 {
                let log = open(settings.clone()).await.unwrap();
                let partition = bids(&log).await;
                assert_eq!(values(&partition), prefix(rows + whole + extra));
                let next = format!("row {}", rows + whole + extra);
                partition.append(one(&next), None).unwrap().durable().await.unwrap();
            }
        });
    }

    #[test]
    fn acknowledged_rows_that_are_gone_or_damaged_are_an_error(
        sizes in proptest::collection::vec(1..20usize, 1..40),
        at in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        clean in any::<bool>(),
    ) {
        let dir = scratch();
        run(async {
            let rows = write(small(dir.path()), &sizes, 0).await;
            if clean {
                let log = open(small(dir.path())).await.unwrap();
                log.close().await.unwrap();
            }
            let segments = files(dir.path(), ".log");
            let total: usize = segments.iter().map(|path| fs::metadata(path).unwrap().len() as usize).sum();
            let mut at = at.index(total);
            let damaged = segments.iter().find(|path| {
                let length = fs::metadata(path).unwrap().len() as usize;
                if at < length { true } else { at -= length; false }
            });
            let damaged = damaged.unwrap();
            let mut bytes = fs::read(damaged).unwrap();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 0x20;
            }
            fs::write(damaged, bytes).unwrap();

            // Found at the start or by the reader, but never passed over.
            let found = match open(small(dir.path())).await {
                Err(error) => Err(error),
                Ok(log) => {
                    let partition = bids(&log).await;
                    assert_eq!(partition.stable_offset(), Offset(rows as i64));
                    read(&partition, Offset(0), Offset(rows as i64), 500)
                }
            };
            match found {
                Err(error) => {
                    assert_eq!(error.sqlstate(), SqlState::DATA_CORRUPTED, "{error}");
                    let segment = damaged.file_name().unwrap().to_str().unwrap();
                    let place = format!("topic \"bids\" partition 0 segment {segment} is damaged at byte ");
                    // A segment cut to nothing between others shows as a gap before the next.
                    assert!(error.to_string().starts_with(&place), "{error}, not {place}");
                }
                // The leader epoch is not under the checksum, and nobody reads it.
                Ok(read) => {
                    assert!(!cut);
                    let read: Vec<_> = read.into_iter().map(|(_, _, value)| value).collect();
                    assert_eq!(read, prefix(rows));
                }
            }
        });
    }

    #[test]
    fn rows_survive_restarts_of_any_kind(
        rounds in proptest::collection::vec((proptest::collection::vec(1..30usize, 0..12), any::<bool>()), 1..8),
    ) {
        let dir = scratch();
        run(async {
            let mut rows = 0;
            for (sizes, clean) in rounds {
                rows = write(small(dir.path()), &sizes, rows).await;
                let log = open(small(dir.path())).await.unwrap();
                assert_eq!(values(&bids(&log).await), prefix(rows));
                if clean {
                    log.close().await.unwrap();
                }
            }
        });
    }
}

/// How many rows of the batches of these sizes are whole in `bytes` from `at` on.
fn whole_rows(bytes: &[u8], mut at: usize, sizes: &[usize]) -> usize {
    let mut rows = 0;
    for size in sizes {
        let Some(length) = bytes.get(at + 8..at + 12) else {
            break;
        };
        let length = i32::from_be_bytes(length.try_into().unwrap()) as usize;
        at += 12 + length;
        if at > bytes.len() {
            break;
        }
        rows += size;
    }
    rows
}

#[test]
fn a_damaged_batch_costs_only_those_who_read_it() {
    let dir = scratch();
    run(async {
        let rows = write(small(dir.path()), &[5; 60], 0).await as i64;
        let segments = files(dir.path(), ".log");
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        let second = partition.segments()[1];
        let mut bytes = fs::read(&segments[1]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&segments[1], bytes).unwrap();

        let error = read(&partition, Offset(0), Offset(rows), 500).unwrap_err();
        assert!(matches!(error, Error::Corrupt { position, .. } if position <= middle as u64));
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("its checksum is"), "{error}");
        let before = read(&partition, Offset(0), second.base_offset, 500).unwrap();
        let after = read(&partition, second.end_offset, Offset(rows), 500).unwrap();
        assert_eq!(before.len() as i64, second.base_offset.0);
        assert_eq!(after.len() as i64, rows - second.end_offset.0);
    });
}

#[test]
fn a_start_after_a_clean_stop_reads_no_segment() {
    let dir = scratch();
    run(async {
        write(small(dir.path()), &[5; 100], 0).await;
        let log = open(small(dir.path())).await.unwrap();
        log.close().await.unwrap();
        drop(log);
        // Nobody looks at the bytes of any segment until they are read.
        for path in files(dir.path(), ".log") {
            let length = fs::metadata(&path).unwrap().len() as usize;
            fs::write(&path, vec![0xff; length]).unwrap();
        }
        let log = open(small(dir.path())).await.unwrap();
        let partition = bids(&log).await;
        assert_eq!(partition.stable_offset(), Offset(500));
        assert!(partition.segments().iter().all(|s| s.max_timestamp_ms == 0));
        assert!(read(&partition, Offset(0), Offset(9), 100).is_err());
    });
}

#[test]
fn a_later_write_behind_the_broken_bytes_is_damage_even_without_a_mark() {
    let dir = scratch();
    run(async {
        let settings = LogSettings {
            group_bytes_max: 500,
            ..LogSettings::new(dir.path())
        };
        write(settings.clone(), &[5; 60], 0).await;
        fs::remove_file(&files(dir.path(), "stable")[0]).unwrap();
        let segment = &files(dir.path(), ".log")[0];
        let mut bytes = fs::read(segment).unwrap();
        bytes[200] ^= 1;
        fs::write(segment, bytes).unwrap();
        let error = open(settings).await.unwrap_err();
        assert!(
            error.to_string().contains("whole batches follow"),
            "{error}"
        );
    });
}
