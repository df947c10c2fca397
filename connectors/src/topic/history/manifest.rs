//! What is written down about a partition's history: which files there are, and which offsets they answer for.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use weir_base::{Offset, PartitionId, TopicId};

use crate::topic::RowSchema;

/// The manifest's name in a partition's folder. Readers of Hive layouts pass over names that begin with an underscore.
pub(super) const FILE_NAME: &str = "_manifest.json";
const VERSION: u32 = 1;

/// The history of one partition. Plain data, stored as JSON and replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    pub(super) topic_id: TopicId,
    pub(super) partition: PartitionId,
    /// How many files were ever named here: the next one's number, so that no name comes twice.
    pub(super) written: u64,
    /// Rows before it were deleted, also those of a file that has later ones.
    #[serde(default)]
    pub(super) from: Offset,
    /// The files, in order of offset, each beginning where the one before it ends.
    pub(super) files: Vec<DataFile>,
    /// What rows were when the files were written, by [`DataFile::shape`].
    pub(super) shapes: BTreeMap<String, Shape>,
}

/// One Parquet file of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataFile {
    /// Its name in the partition's folder.
    pub(crate) name: String,
    /// The first offset that it answers for.
    pub(crate) start: Offset,
    /// The exclusive end of the offsets that it answers for.
    pub(crate) end: Offset,
    /// How many rows it has: fewer than offsets where an offset is no row.
    pub(crate) rows: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// No row's timestamp is smaller; milliseconds since the epoch.
    pub(crate) min_timestamp_ms: i64,
    /// No row's timestamp is larger; milliseconds since the epoch.
    pub(crate) max_timestamp_ms: i64,
    /// What its rows are.
    pub(crate) shape: String,
}

/// The columns of files: as they are in the files, and the field of stored rows that each was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) schema: Schema,
    /// For each column of the schema that is not a hidden one, [`RowColumn::source`](crate::topic::RowColumn::source).
    pub(super) sources: Vec<String>,
}

/// What a partition's history cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Written by a later version.
    Version(u32),
    /// About another topic: the stream was replaced.
    AnotherTopic,
    /// Its files do not follow one another.
    Gap,
}

impl Manifest {
    pub(super) fn new(topic_id: TopicId, partition: PartitionId) -> Self {
        Self {
            version: VERSION,
            topic_id,
            partition,
            written: 0,
            from: Offset::ZERO,
            files: Vec::new(),
            shapes: BTreeMap::new(),
        }
    }

    /// The first offset that a file answers for; none without files.
    pub(super) fn start(&self) -> Option<Offset> {
        self.files.first().map(|file| file.start.max(self.from))
    }

    /// The exclusive end of what files answer for: from there on, the log does. None without files.
    pub(super) fn end(&self) -> Option<Offset> {
        self.files.last().map(|file| file.end)
    }

    /// Says what is wrong with a manifest that was read, if anything is.
    pub(super) fn check(&self, topic_id: TopicId) -> Result<(), Unusable> {
        if self.version != VERSION {
            return Err(Unusable::Version(self.version));
        }
        if self.topic_id != topic_id {
            return Err(Unusable::AnotherTopic);
        }
        let follow = self
            .files
            .iter()
            .zip(self.files.iter().skip(1))
            .all(|(one, next)| one.end == next.start);
        let whole = self
            .files
            .iter()
            .all(|file| file.start < file.end && self.shapes.contains_key(&file.shape));
        if follow && whole {
            Ok(())
        } else {
            Err(Unusable::Gap)
        }
    }

    /// The manifest with `file` behind its last one, or in the place of those that it answers for.
    ///
    /// A file that begins behind the last one's end follows offsets that are gone from the log: older files would leave a hole,
    /// so they go.
    pub(super) fn with(&self, file: DataFile, shape: Shape) -> Self {
        let mut next = self.clone();
        next.written += 1;
        next.shapes.insert(file.shape.clone(), shape);
        if next.end().is_some_and(|end| end < file.start) {
            next.files.clear();
        }
        let before = |other: &DataFile| other.end <= file.start;
        let after = |other: &DataFile| other.start >= file.end;
        next.files.retain(|other| before(other) || after(other));
        let at = next.files.partition_point(before);
        next.files.insert(at, file);
        next.without_unused_shapes()
    }

    /// The manifest without rows before `start`, and without the files that have no others.
    pub(super) fn starting_at(&self, start: Offset) -> Self {
        let mut next = self.clone();
        next.from = next.from.max(start);
        next.files.retain(|file| file.end > start);
        next.without_unused_shapes()
    }

    /// The files that are in the one and not in the other.
    pub(super) fn files_not_in<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = &'a DataFile> {
        let kept = |file: &DataFile| other.files.iter().any(|kept| kept.name == file.name);
        self.files.iter().filter(move |file| !kept(file))
    }

    fn without_unused_shapes(mut self) -> Self {
        let files = &self.files;
        self.shapes
            .retain(|shape, _| files.iter().any(|file| file.shape == *shape));
        self
    }
}

impl Shape {
    /// The shape of rows as they are read now.
    pub(super) fn of(rows: &RowSchema) -> Self {
        Self {
            schema: rows.schema_with_hidden().as_ref().clone(),
            sources: rows
                .columns()
                .iter()
                .map(|column| column.source.clone())
                .collect(),
        }
    }
}

/// Which old files a partition can do without, oldest first: where it then starts. The rule is that of the log: what is older
/// than `retention_ms`, and the oldest as long as the rest, `log_bytes` of it in the log, is `retention_bytes` or more.
pub(super) fn retained_from(
    files: &[DataFile],
    log_bytes: u64,
    now_ms: i64,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
) -> Option<Offset> {
    let in_files: u64 = files.iter().map(|file| file.bytes).sum();
    let mut bytes = in_files.saturating_add(log_bytes);
    let mut start = None;
    for file in files {
        let too_old = retention_ms.is_some_and(|most| {
            let age = i128::from(now_ms) - i128::from(file.max_timestamp_ms);
            age > i128::from(most)
        });
        bytes -= file.bytes;
        let too_many = retention_bytes.is_some_and(|most| bytes >= most);
        if !too_old && !too_many {
            break;
        }
        start = Some(file.end);
    }
    start
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;

    fn file(start: i64, end: i64) -> DataFile {
        DataFile {
            name: format!("{start}-{end}.parquet"),
            start: Offset(start),
            end: Offset(end),
            rows: (end - start).unsigned_abs(),
            bytes: 10,
            min_timestamp_ms: start,
            max_timestamp_ms: end,
            shape: "a".to_owned(),
        }
    }

    fn shape() -> Shape {
        Shape {
            schema: Schema::new(Vec::<Field>::new()),
            sources: vec![],
        }
    }

    fn of(files: &[(i64, i64)]) -> Manifest {
        let empty = Manifest::new(TopicId::random(), PartitionId(0));
        files.iter().fold(empty, |all, (start, end)| {
            all.with(file(*start, *end), shape())
        })
    }

    fn ranges(manifest: &Manifest) -> Vec<(i64, i64)> {
        let files = manifest.files.iter();
        files.map(|file| (file.start.0, file.end.0)).collect()
    }

    #[test]
    fn a_file_follows_replaces_or_begins_anew() {
        let two = of(&[(0, 10), (10, 20)]);
        assert_eq!(ranges(&two), [(0, 10), (10, 20)]);
        assert_eq!(ranges(&two.with(file(0, 20), shape())), [(0, 20)]);
        let renewed = DataFile {
            name: "again".to_owned(),
            ..file(0, 10)
        };
        let renewed = two.with(renewed, shape());
        assert_eq!(ranges(&renewed), [(0, 10), (10, 20)]);
        let gone: Vec<_> = two.files_not_in(&renewed).map(|file| &file.name).collect();
        assert_eq!(gone, ["0-10.parquet"]);
        assert_eq!(ranges(&two.with(file(30, 40), shape())), [(30, 40)]);
        assert_eq!(ranges(&two.starting_at(Offset(10))), [(10, 20)]);
        assert_eq!(ranges(&two.starting_at(Offset(11))), [(10, 20)]);
    }

    #[test]
    fn what_cannot_be_trusted_is_said() {
        let mut manifest = of(&[(0, 10), (10, 20)]);
        assert_eq!(manifest.check(manifest.topic_id), Ok(()));
        let other = TopicId::random();
        assert_eq!(manifest.check(other), Err(Unusable::AnotherTopic));
        manifest.files.remove(0);
        manifest.files.insert(0, file(0, 9));
        assert_eq!(manifest.check(manifest.topic_id), Err(Unusable::Gap));
        manifest.version = 2;
        assert_eq!(manifest.check(manifest.topic_id), Err(Unusable::Version(2)));
    }

    proptest! {
        /// Files always follow one another, whatever is written in whatever order from where the log begins.
        #[test]
        fn there_is_never_a_hole(steps in prop::collection::vec((0..20i64, 1..10i64), 1..30)) {
            let mut manifest = of(&[]);
            for (start, len) in steps {
                // Conversions begin where a file begins, where the last one ends, or behind it.
                let begins: Vec<i64> = manifest.files.iter().map(|file| file.start.0).collect();
                let last = manifest.end().map_or(0, |end| end.0);
                let at = begins.get(start as usize).copied().unwrap_or(last + start % 3);
                let whole = manifest.files.iter().map(|file| file.end.0).find(|end| *end > at);
                let end = whole.unwrap_or(at + len);
                manifest = manifest.with(file(at, end), shape());
                prop_assert_eq!(manifest.check(manifest.topic_id), Ok(()));
            }
        }
    }

    #[test]
    fn retention_takes_the_oldest() {
        let files = [file(0, 10), file(10, 20), file(20, 30)];
        assert_eq!(retained_from(&files, 0, 100, None, None), None);
        assert_eq!(
            retained_from(&files, 0, 100, Some(85), None),
            Some(Offset(10))
        );
        assert_eq!(
            retained_from(&files, 0, 100, Some(0), None),
            Some(Offset(30))
        );
        assert_eq!(
            retained_from(&files, 0, 100, None, Some(20)),
            Some(Offset(10))
        );
        assert_eq!(retained_from(&files, 0, 100, None, Some(21)), None);
        assert_eq!(
            retained_from(&files, 20, 100, None, Some(20)),
            Some(Offset(30))
        );
        assert_eq!(retained_from(&files, 0, i64::MIN, Some(0), None), None);
    }
}
