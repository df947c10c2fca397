//! Rows of the hot tail, kept as they were decoded, within a budget of memory.
//!
//! Queries that look at the end of a topic again and again decode it once. What is kept is cut where reads were cut: a
//! [`Piece`] holds the rows of a range of offsets, for one set of columns, which is a [`Track`]. A lookup may begin and end
//! anywhere within a piece.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use parking_lot::Mutex;
use weir_base::{Offset, PartitionId, TopicId};

use super::Scan;
use crate::topic::bounds::Interval;
use crate::{Error, Result};

/// Less than this, as it is stored, is decoded again each time: it costs little, and many small pieces cost more.
const STORED_BYTES_MIN: usize = 64 << 10;

/// Decoded rows, at most so many bytes of them. When there is no room, the track that was used longest ago gives up its
/// oldest offsets; a track alone gives up its own, so that what stays is the end of the topic however often all of it is read.
#[derive(Debug)]
pub struct DecodedRows {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    tracks: HashMap<TrackKey, Track>,
    bytes: usize,
    uses: u64,
}

/// One set of columns of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TrackKey {
    topic: TopicId,
    partition: PartitionId,
    /// Of the row schema.
    fingerprint: Arc<str>,
    projection: Arc<[usize]>,
}

#[derive(Debug, Default)]
struct Track {
    /// By first offset; they do not overlap.
    pieces: BTreeMap<Offset, Arc<Piece>>,
    used: u64,
}

/// The rows of a range of offsets, in order.
#[derive(Debug)]
pub(super) struct Piece {
    end: Offset,
    batches: Vec<DecodedBatch>,
    bytes: usize,
}

#[derive(Debug)]
struct DecodedBatch {
    rows: RecordBatch,
    places: Places,
}

/// Of each row its record's offset and timestamp.
#[derive(Debug, Default)]
pub(super) struct Places {
    offsets: Vec<i64>,
    timestamps_ms: Vec<i64>,
}

/// A piece that is being decoded.
#[derive(Debug, Default)]
pub(super) struct Filling {
    batches: Vec<DecodedBatch>,
    places: Places,
}

/// What is known of a range of offsets.
pub(super) enum Found {
    /// Its rows up to the piece's end.
    Piece(Arc<Piece>),
    /// Nothing up to this offset.
    NothingTo(Offset),
}

impl DecodedRows {
    /// Room for `bytes_max` bytes of rows; with none, nothing is kept.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    /// Bytes that are kept.
    pub fn size_bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// What is kept of `[from, to)`.
    pub(super) fn find(&self, key: &TrackKey, from: Offset, to: Offset) -> Found {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        let Some(track) = kept.tracks.get_mut(key) else {
            return Found::NothingTo(to);
        };
        track.used = now;
        let before = track.pieces.range(..=from).next_back();
        if let Some((_, piece)) = before.filter(|(_, piece)| piece.end > from) {
            return Found::Piece(Arc::clone(piece));
        }
        let next = track.pieces.range(from..to).next();
        Found::NothingTo(next.map_or(to, |(start, _)| *start))
    }

    /// Keeps the rows of `range`, if there is room and nothing of it is kept.
    pub(super) fn keep(&self, key: &TrackKey, range: Range<Offset>, filling: Filling) {
        let piece = Piece::new(range.end, filling.batches);
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        let track = kept.tracks.entry(key.clone()).or_default();
        track.used = now;
        let overlapping = track.pieces.range(..range.end).next_back();
        if overlapping.is_some_and(|(_, other)| other.end > range.start) {
            return;
        }
        while kept.bytes + piece.bytes > self.bytes_max {
            if !kept.give_up(key, range.start) {
                kept.tracks.retain(|_, track| !track.pieces.is_empty());
                return;
            }
        }
        kept.bytes += piece.bytes;
        let track = kept.tracks.entry(key.clone()).or_default();
        track.used = now;
        track.pieces.insert(range.start, Arc::new(piece));
    }
}

impl Kept {
    /// Makes some room for a piece of `key` that begins at `start`; says whether there was something to give up.
    fn give_up(&mut self, key: &TrackKey, start: Offset) -> bool {
        let filled = self.tracks.iter_mut();
        let filled = filled.filter(|(_, track)| !track.pieces.is_empty());
        let Some((oldest, track)) = filled.min_by_key(|(_, track)| track.used) else {
            return false;
        };
        if oldest == key
            && track
                .pieces
                .first_key_value()
                .is_some_and(|(at, _)| *at > start)
        {
            return false;
        }
        let gone = track.pieces.pop_first();
        let is_empty = track.pieces.is_empty();
        let oldest = oldest.clone();
        self.bytes -= gone.map_or(0, |(_, piece)| piece.bytes);
        if is_empty {
            self.tracks.remove(&oldest);
        }
        true
    }
}

impl TrackKey {
    /// What a scan reads of a partition, if its rows may be kept: what compaction leaves of a range is not always the same.
    pub(super) fn of(scan: &Scan, partition: PartitionId) -> Option<Self> {
        let is_kept = scan.decoded.is_some()
            && !scan.projection.is_empty()
            && !scan.topic.config().cleanup.compacts();
        is_kept.then(|| Self {
            topic: scan.topic.id(),
            partition,
            fingerprint: scan.rows.fingerprint().into(),
            projection: scan.projection.as_slice().into(),
        })
    }
}

impl Piece {
    fn new(end: Offset, batches: Vec<DecodedBatch>) -> Self {
        let bytes = batches
            .iter()
            .map(|batch| batch.rows.get_array_memory_size() + batch.places.size_bytes());
        Self {
            end,
            bytes: bytes.sum::<usize>() + size_of::<Self>(),
            batches,
        }
    }

    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// Its rows of `[from, to)` whose records have such a time.
    pub(super) fn rows(
        &self,
        from: Offset,
        to: Offset,
        time: Interval,
    ) -> Result<Vec<RecordBatch>> {
        let mut found = Vec::new();
        for batch in &self.batches {
            let Places {
                offsets,
                timestamps_ms,
            } = &batch.places;
            let first = offsets.partition_point(|offset| *offset < from.0);
            let after = offsets.partition_point(|offset| *offset < to.0);
            if first >= after {
                continue;
            }
            let rows = batch.rows.slice(first, after - first);
            if time == Interval::ALL {
                found.push(rows);
                continue;
            }
            let times = timestamps_ms.get(first..after).unwrap_or_default();
            let wanted = times.iter().map(|at| Some(time.contains(*at)));
            let rows = filter_record_batch(&rows, &wanted.collect::<BooleanArray>());
            let rows = rows.map_err(|error| {
                Error::new(weir_base::Kind::Internal, "rows cannot be chosen").with_source(error)
            })?;
            if rows.num_rows() > 0 {
                found.push(rows);
            }
        }
        Ok(found)
    }
}

impl Places {
    fn size_bytes(&self) -> usize {
        (self.offsets.capacity() + self.timestamps_ms.capacity()) * size_of::<i64>()
    }
}

impl Filling {
    /// One to be kept, if as much is worth it.
    pub(super) fn of(stored_bytes: usize) -> Option<Self> {
        (stored_bytes >= STORED_BYTES_MIN).then(Self::default)
    }

    /// Takes note of a record that has given rows, so that there are `rows` since the last batch.
    pub(super) fn record(&mut self, offset: Offset, timestamp_ms: i64, rows: usize) {
        self.places.offsets.resize(rows, offset.0);
        self.places.timestamps_ms.resize(rows, timestamp_ms);
    }

    /// Takes the batch of those rows.
    pub(super) fn batch(&mut self, rows: &RecordBatch) {
        self.batches.push(DecodedBatch {
            rows: rows.clone(),
            places: std::mem::take(&mut self.places),
        });
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn key(projection: usize) -> TrackKey {
        TrackKey {
            topic: TopicId(uuid::Uuid::from_u128(7)),
            partition: PartitionId(0),
            fingerprint: "columns".into(),
            projection: [projection].as_slice().into(),
        }
    }

    /// Rows whose one column is their offset.
    fn filling(range: Range<i64>) -> Filling {
        let mut filling = Filling::default();
        for (row, offset) in range.clone().enumerate() {
            filling.record(Offset(offset), offset * 10, row + 1);
        }
        let column = Arc::new(Int64Array::from_iter_values(range));
        let rows = RecordBatch::try_from_iter([("at", column as _)]).unwrap();
        filling.batch(&rows);
        filling
    }

    fn keep(decoded: &DecodedRows, key: &TrackKey, range: Range<i64>) {
        let offsets = Offset(range.start)..Offset(range.end);
        decoded.keep(key, offsets, filling(range));
    }

    fn values(batches: &[RecordBatch]) -> Vec<i64> {
        let columns = batches.iter().map(|batch| batch.column(0));
        columns
            .flat_map(|column| column.as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn a_lookup_may_begin_and_end_within_a_piece() {
        let decoded = DecodedRows::new(1 << 20);
        let key = key(0);
        keep(&decoded, &key, 10..20);
        keep(&decoded, &key, 15..25);
        let found = decoded.find(&key, Offset(12), Offset(99));
        let Found::Piece(piece) = found else {
            panic!("it is kept")
        };
        assert_eq!(piece.end(), Offset(20));
        let some = piece.rows(Offset(12), Offset(15), Interval::ALL).unwrap();
        assert_eq!(values(&some), [12, 13, 14]);
        let time = Interval { min: 131, max: 150 };
        let some = piece.rows(Offset(0), Offset(99), time).unwrap();
        assert_eq!(values(&some), [14, 15]);
        for (from, to, nothing_to) in [(5, 99, 10), (5, 8, 8), (20, 99, 99)] {
            let found = decoded.find(&key, Offset(from), Offset(to));
            let Found::NothingTo(end) = found else {
                panic!("nothing is kept from {from} on")
            };
            assert_eq!(end, Offset(nothing_to));
        }
    }

    #[test]
    fn the_end_stays_when_there_is_no_room() {
        let one = Piece::new(Offset(0), filling(0..10).batches).bytes;
        let decoded = DecodedRows::new(3 * one);
        let starts = |key: &TrackKey| -> Vec<i64> {
            let kept = decoded.kept.lock();
            let pieces = kept.tracks.get(key).map(|track| track.pieces.keys());
            pieces.into_iter().flatten().map(|at| at.0).collect()
        };
        // Twice through all of it: as much as there is room for stays, and it is the end.
        for _ in 0..2 {
            for from in (0..60).step_by(10) {
                keep(&decoded, &key(0), from..from + 10);
            }
            assert_eq!(starts(&key(0)), [30, 40, 50]);
        }
        keep(&decoded, &key(1), 0..10);
        assert_eq!((starts(&key(0)), starts(&key(1))), (vec![40, 50], vec![0]));
        decoded.find(&key(0), Offset(40), Offset(50));
        keep(&decoded, &key(0), 60..70);
        assert_eq!(
            (starts(&key(0)), starts(&key(1))),
            (vec![40, 50, 60], vec![])
        );
        assert_eq!(decoded.size_bytes(), 3 * one);
        let none = DecodedRows::new(0);
        keep(&none, &key(0), 0..10);
        assert_eq!(none.size_bytes(), 0);
        assert!(none.kept.lock().tracks.is_empty());
    }
}
