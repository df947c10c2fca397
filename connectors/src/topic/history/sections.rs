//! Which part of a partition is read from where: a pure decision over what is there.

use std::ops::Range;

use weir_base::Offset;

use super::manifest::{DataFile, Manifest};

/// A run of offsets of a partition, and where its rows are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section<'a> {
    /// The rows of `range` in a Parquet file, which may answer for more.
    File {
        /// The file.
        file: &'a DataFile,
        /// The part of it.
        range: Bounds,
    },
    /// Records of the log.
    Log(Bounds),
}

/// Offsets from `start` on, before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The first offset.
    pub(crate) start: Offset,
    /// The exclusive end.
    pub(crate) end: Offset,
}

impl From<Range<Offset>> for Bounds {
    fn from(range: Range<Offset>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// The first offset that can be read, of a partition whose log begins at `log_start`.
pub(super) fn first_offset(manifest: &Manifest, log_start: Offset) -> Offset {
    match (manifest.start(), manifest.end()) {
        // Behind a hole in the log nothing older counts: it is as old as what is gone.
        (Some(start), Some(end)) if end >= log_start => start.min(log_start),
        _ => log_start,
    }
}

/// How `[from, to)` is read: in order of offset, without a seam, each offset once.
///
/// A file is read where its rows are of the present `shape`. Another one is read only where the log no longer has its records.
pub(super) fn sections<'a>(
    manifest: &'a Manifest,
    log_start: Offset,
    shape: &str,
    from: Offset,
    to: Offset,
) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    let mut at = from.max(first_offset(manifest, log_start));
    let push_log = |sections: &mut Vec<Section<'a>>, range: Range<Offset>| {
        if range.start >= range.end {
            return;
        }
        match sections.last_mut() {
            Some(Section::Log(last)) if last.end == range.start => last.end = range.end,
            _ => sections.push(Section::Log(range.into())),
        }
    };
    for file in &manifest.files {
        if at >= to {
            break;
        }
        if file.end <= at {
            continue;
        }
        if at < file.start {
            push_log(&mut sections, at..file.start.min(to));
            at = file.start.min(to);
        }
        let end = file.end.min(to);
        if at >= end {
            break;
        }
        // The part of a file of another shape that the log still has.
        let in_file = match file.shape == shape {
            true => end,
            false => end.min(log_start).max(at),
        };
        if at < in_file {
            sections.push(Section::File {
                file,
                range: (at..in_file).into(),
            });
        }
        push_log(&mut sections, in_file..end);
        at = end;
    }
    push_log(&mut sections, at..to);
    sections
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;
    use weir_base::{PartitionId, TopicId};

    use super::super::manifest::Shape;
    use super::*;

    fn manifest(first: i64, files: &[(i64, bool)]) -> Manifest {
        let mut at = first;
        let mut manifest = Manifest::new(TopicId::random(), PartitionId(0));
        for (len, is_new) in files {
            let file = DataFile {
                name: format!("{at}.parquet"),
                start: Offset(at),
                end: Offset(at + len),
                rows: len.unsigned_abs(),
                bytes: 1,
                min_timestamp_ms: 0,
                max_timestamp_ms: 0,
                shape: if *is_new { "new" } else { "old" }.to_owned(),
            };
            at += len;
            let shape = Shape {
                schema: Schema::new(Vec::<Field>::new()),
                sources: vec![],
            };
            manifest = manifest.with(file, shape);
        }
        manifest
    }

    proptest! {
        /// Every offset that is there is read once and in order; none comes from the log that the log no longer has; what the log
        /// still has does not come from a file of another shape.
        #[test]
        fn without_a_seam(
            first in 0..5i64,
            files in prop::collection::vec((1..10i64, any::<bool>()), 0..8),
            log_start in 0..60i64,
            from in 0..60i64,
            len in 0..60i64,
        ) {
            let manifest = manifest(first, &files);
            let (from, to) = (Offset(from), Offset(from + len));
            let log_start = Offset(log_start);
            let mut at = from.max(first_offset(&manifest, log_start));
            let mut sources: BTreeMap<i64, bool> = BTreeMap::new();
            for section in sections(&manifest, log_start, "new", from, to) {
                let range = match section {
                    Section::Log(range) => {
                        prop_assert!(range.start >= log_start);
                        range
                    }
                    Section::File { file, range } => {
                        prop_assert!(file.start <= range.start && range.end <= file.end);
                        prop_assert!(file.shape == "new" || range.end <= log_start);
                        range
                    }
                };
                prop_assert_eq!(range.start, at);
                prop_assert!(range.start < range.end);
                at = range.end;
                for offset in range.start.0..range.end.0 {
                    sources.insert(offset, true);
                }
            }
            if from.max(first_offset(&manifest, log_start)) < to {
                prop_assert_eq!(at, to);
            } else {
                prop_assert!(sources.is_empty());
            }
        }
    }

    #[test]
    fn what_is_behind_a_hole_is_gone() {
        let manifest = manifest(0, &[(10, true)]);
        assert_eq!(first_offset(&manifest, Offset(10)), Offset(0));
        assert_eq!(first_offset(&manifest, Offset(11)), Offset(11));
        let read = sections(&manifest, Offset(11), "new", Offset(0), Offset(20));
        assert_eq!(read, [Section::Log((Offset(11)..Offset(20)).into())]);
    }
}
