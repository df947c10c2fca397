//! What of a partition is converted next: a pure decision.

use weir_base::Offset;
use weir_topics::SegmentInfo;

use super::manifest::{DataFile, Manifest};

/// A run of offsets that was or will be converted into one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// The first offset.
    pub start: Offset,
    /// The exclusive end.
    pub end: Offset,
}

/// The next run to convert of a partition whose log has these segments, the last of which grows, and begins at `log_start`, perhaps
/// in the middle of the first; `end` is where rows are final. Closed segments behind the last file come first, small ones together up to `bytes_target`; then the first file that is not of the
/// present `shape`, if the log still has its records.
pub(super) fn next(
    manifest: &Manifest,
    segments: &[SegmentInfo],
    log_start: Offset,
    end: Offset,
    shape: &str,
    bytes_target: u64,
) -> Option<Conversion> {
    let (_, closed) = segments.split_last()?;
    let from = manifest.end().map_or(log_start, |end| end.max(log_start));
    let mut bytes = 0;
    let mut to = from;
    for segment in closed {
        if segment.end_offset <= from {
            continue;
        }
        if segment.end_offset > end || (bytes > 0 && bytes + segment.bytes > bytes_target) {
            break;
        }
        bytes += segment.bytes;
        to = segment.end_offset;
    }
    if from < to {
        return Some(Conversion {
            start: from,
            end: to,
        });
    }
    let mut files = manifest.files.iter();
    // Of the first file, rows may have been deleted.
    let has_all = |file: &DataFile| file.start.max(manifest.from) >= log_start;
    let other = files.find(|file| file.shape != shape && has_all(file))?;
    Some(Conversion {
        start: other.start.max(log_start),
        end: other.end,
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use weir_base::{PartitionId, TopicId};

    use super::super::manifest::Shape;
    use super::*;

    fn segments(ends: &[i64]) -> Vec<SegmentInfo> {
        let mut base = ends[0];
        let mut segments = Vec::new();
        for end in &ends[1..] {
            segments.push(SegmentInfo {
                base_offset: Offset(base),
                end_offset: Offset(*end),
                bytes: 10,
                min_timestamp_ms: 0,
                max_timestamp_ms: 0,
            });
            base = *end;
        }
        segments
    }

    fn manifest(files: &[(i64, i64, &str)]) -> Manifest {
        let mut manifest = Manifest::new(TopicId::random(), PartitionId(0));
        for (start, end, shape) in files {
            let file = DataFile {
                name: start.to_string(),
                start: Offset(*start),
                end: Offset(*end),
                rows: 1,
                bytes: 1,
                min_timestamp_ms: 0,
                max_timestamp_ms: 0,
                shape: (*shape).to_owned(),
            };
            let shape = Shape {
                schema: Schema::new(Vec::<Field>::new()),
                sources: vec![],
            };
            manifest = manifest.with(file, shape);
        }
        manifest
    }

    fn chosen(manifest: &Manifest, ends: &[i64], end: i64, target: u64) -> Option<(i64, i64)> {
        chosen_from(manifest, ends[0], ends, end, target)
    }

    fn chosen_from(
        manifest: &Manifest,
        start: i64,
        ends: &[i64],
        end: i64,
        target: u64,
    ) -> Option<(i64, i64)> {
        let (segments, start, end) = (segments(ends), Offset(start), Offset(end));
        let next = next(manifest, &segments, start, end, "new", target);
        next.map(|next| (next.start.0, next.end.0))
    }

    #[test]
    fn closed_segments_in_their_order_and_small_ones_together() {
        let none = manifest(&[]);
        assert_eq!(chosen(&none, &[0, 5], 5, 100), None, "it grows");
        assert_eq!(chosen(&none, &[0, 5, 9, 12], 12, 100), Some((0, 9)));
        assert_eq!(chosen(&none, &[0, 5, 9, 12], 12, 1), Some((0, 5)));
        assert_eq!(chosen(&none, &[0, 5, 9, 12], 7, 100), Some((0, 5)));
        assert_eq!(chosen(&none, &[3, 5, 9], 9, 100), Some((3, 5)));
        let some = manifest(&[(0, 5, "new")]);
        assert_eq!(chosen(&some, &[0, 5, 9, 12], 12, 100), Some((5, 9)));
        assert_eq!(
            chosen(&some, &[9, 11, 12], 12, 100),
            Some((9, 11)),
            "a hole"
        );
        assert_eq!(chosen(&some, &[0, 5, 9], 9, 100), None);
    }

    #[test]
    fn files_of_another_shape_are_made_again_while_the_log_has_them() {
        let some = manifest(&[(0, 5, "old"), (5, 9, "old")]);
        assert_eq!(chosen(&some, &[0, 5, 9, 12], 12, 100), Some((0, 5)));
        assert_eq!(chosen(&some, &[5, 9, 12], 12, 100), Some((5, 9)));
        assert_eq!(chosen(&some, &[7, 9, 12], 12, 100), None);
    }

    #[test]
    fn what_was_deleted_is_not_converted() {
        let ends = &[0, 5, 9, 12];
        assert_eq!(chosen_from(&manifest(&[]), 3, ends, 12, 1), Some((3, 5)));
        assert_eq!(chosen_from(&manifest(&[]), 5, ends, 12, 1), Some((5, 9)));
        assert_eq!(chosen_from(&manifest(&[]), 9, ends, 12, 1), None);
        let some = manifest(&[(0, 5, "old"), (5, 9, "new")]);
        assert_eq!(
            chosen_from(&some, 3, ends, 12, 1),
            None,
            "only Parquet has some"
        );
        let some = some.starting_at(Offset(3));
        assert_eq!(chosen_from(&some, 3, ends, 12, 1), Some((3, 5)));
    }
}
