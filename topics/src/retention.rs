//! Which segments of a partition are too many: a decision, and no more.
//!
//! As in Kafka: by time, the oldest segment goes while its largest timestamp is older than `retention_ms`; by size, while the
//! partition would still have `retention_bytes` without it. The growing segment counts like the others: when it is to go, it
//! is closed first.

use weir_base::Offset;

use crate::{SegmentInfo, TopicConfig};

/// Where a partition should start, given its segments in order, where it starts now, and the time in milliseconds since the
/// epoch. It is never less than `start`.
pub(crate) fn retention(
    segments: &[SegmentInfo],
    config: &TopicConfig,
    start: Offset,
    now_ms: i64,
) -> Offset {
    if !config.cleanup.deletes() {
        return start;
    }
    // What is before the start has gone already, even if somebody holds its files.
    let gone = segments.partition_point(|segment| segment.end_offset <= start);
    let segments = segments.get(gone..).unwrap_or_default();
    let by_size = config.retention_bytes.map_or(start, |retention_bytes| {
        let all: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut excess = i128::from(all) - i128::from(retention_bytes);
        end_while(segments, start, |segment| {
            excess -= i128::from(segment.bytes);
            excess >= 0
        })
    });
    config.retention_ms.map_or(by_size, |retention_ms| {
        let oldest_ms = i128::from(now_ms) - i128::from(retention_ms);
        // After size, which may uncover what is old.
        let gone = segments.partition_point(|segment| segment.end_offset <= by_size);
        let left = segments.get(gone..).unwrap_or_default();
        end_while(left, by_size, |segment| {
            i128::from(segment.max_timestamp_ms) < oldest_ms
        })
    })
}

/// The end of the leading segments that go, or `start` if that is further on.
fn end_while(
    segments: &[SegmentInfo],
    start: Offset,
    mut goes: impl FnMut(&SegmentInfo) -> bool,
) -> Offset {
    let doomed = segments.iter().take_while(|segment| goes(segment));
    doomed
        .last()
        .map_or(start, |last| last.end_offset.max(start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Cleanup;

    /// Segments of ten offsets each, of (bytes, largest timestamp).
    fn segments(of: &[(u64, i64)]) -> Vec<SegmentInfo> {
        let numbered = of.iter().zip((0..).step_by(10));
        numbered
            .map(|((bytes, max_timestamp_ms), base)| SegmentInfo {
                base_offset: Offset(base),
                end_offset: Offset(base + 10),
                bytes: *bytes,
                min_timestamp_ms: 0,
                max_timestamp_ms: *max_timestamp_ms,
            })
            .collect()
    }

    fn config(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> TopicConfig {
        TopicConfig {
            retention_ms,
            retention_bytes,
            ..TopicConfig::default()
        }
    }

    #[test]
    fn the_oldest_go_by_their_largest_timestamp() {
        let found = segments(&[(5, 100), (5, 300), (5, 200), (5, 400)]);
        let at = |now_ms| retention(&found, &config(Some(50), None), Offset(0), now_ms).0;
        assert_eq!(at(150), 0, "as old as allowed");
        assert_eq!(at(151), 10);
        assert_eq!(at(300), 10, "the second holds the third");
        assert_eq!(at(351), 30);
        assert_eq!(at(451), 40, "and the one that grows");
        let none = |config| retention(&found, &config, Offset(3), i64::MAX).0;
        assert_eq!(none(config(None, None)), 3);
        assert_eq!(none(config(Some(u64::MAX), None)), 3);
        let compact = TopicConfig {
            cleanup: Cleanup::Compact,
            ..config(Some(0), Some(0))
        };
        assert_eq!(none(compact), 3);
    }

    #[test]
    fn the_oldest_go_while_enough_is_left() {
        let found = segments(&[(10, 0), (20, 0), (30, 0), (5, 0)]);
        let at = |bytes| retention(&found, &config(None, Some(bytes)), Offset(0), 0).0;
        assert_eq!(at(65), 0);
        assert_eq!(at(56), 0, "nine too many are less than the first");
        assert_eq!(at(55), 10);
        assert_eq!(at(36), 10);
        assert_eq!(at(35), 20);
        assert_eq!(at(0), 40);
    }

    proptest! {
        #[test]
        fn what_is_left_is_enough_and_young_or_behind_what_is(
            of in proptest::collection::vec((0..100u64, 0..1000i64), 0..20),
            retention_ms in proptest::option::of(0..1000u64),
            retention_bytes in proptest::option::of(0..2000u64),
            start in 0..250i64,
            now_ms in 0..2000i64,
        ) {
            let found = segments(&of);
            let config = config(retention_ms, retention_bytes);
            let to = retention(&found, &config, Offset(start), now_ms);
            prop_assert!(to.0 >= start);
            let there = found.iter().filter(|segment| segment.end_offset.0 > start);
            let (gone, left): (Vec<&SegmentInfo>, Vec<&SegmentInfo>) = there.partition(|segment| segment.end_offset <= to);
            let size: u64 = left.iter().map(|segment| segment.bytes).sum();
            let old = |segment: &SegmentInfo| {
                retention_ms.is_some_and(|ms| segment.max_timestamp_ms < now_ms - ms as i64)
            };
            if let Some(last) = gone.last() {
                prop_assert_eq!(to, last.end_offset);
                prop_assert!(old(last) || retention_bytes.is_some_and(|bytes| size >= bytes));
            }
            if let Some(first) = left.first() {
                prop_assert!(!old(first));
                prop_assert!(retention_bytes.is_none_or(|bytes| size < bytes + first.bytes));
            }
            prop_assert_eq!(retention(&found, &config, to, now_ms), to);
        }
    }
}
