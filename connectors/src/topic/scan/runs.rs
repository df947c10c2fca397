//! What a scan reads: runs of offsets, from the log or from history, shared out among readers.

use weir_base::{Offset, PartitionId};
use weir_topics::{Partition, Topic};

use super::Scan;
use crate::topic::bounds::{Bounds, Interval};
use crate::topic::history::{self, FilePart, Section};

/// The least that is worth an output partition of its own.
const PART_BYTES_MIN: u64 = 4 << 20;

/// Offsets of one partition that are read one after the other from one place.
#[derive(Debug, Clone)]
pub(super) enum Run {
    /// From the log.
    Log(Span),
    /// From a Parquet file.
    File(FilePart),
}

/// A run of offsets of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) partition: PartitionId,
    pub(super) from: Offset,
    pub(super) to: Offset,
}

impl Span {
    pub(super) fn len(self) -> u64 {
        self.to.0.saturating_sub(self.from.0).max(0).unsigned_abs()
    }
}

impl Run {
    /// The most rows that it can give.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Log(span) => span.len(),
            Self::File(part) => {
                let range = part.range.end.0.saturating_sub(part.range.start.0);
                range.max(0).unsigned_abs().min(part.file.rows)
            }
        }
    }
}

impl Scan {
    /// How many rows a run of the log gives, if that is known without a look at its records.
    pub(super) fn rows_of(&self, span: Span) -> Option<u64> {
        if self.bounds.timestamp != Interval::ALL || !self.rows.is_row_per_record() {
            return None;
        }
        let partition = self.topic.partition(span.partition).ok()?;
        partition.records_between(span.from, span.to)
    }

    /// How many rows a run gives, if that is known without a look at them.
    pub(super) fn rows(&self, run: &Run) -> Option<u64> {
        match run {
            Run::Log(span) => self.rows_of(*span),
            Run::File(part) => part.is_whole().then_some(part.file.rows),
        }
    }

    /// What has to be read of `[from, to)` of each partition, in order of offset.
    pub(super) fn runs(&self, from: &[Offset], to: &[Offset]) -> Vec<Run> {
        let mut runs = Vec::new();
        let hold = self.hold.read();
        for (at, (partition, to)) in self.topic.partitions().iter().zip(to).enumerate() {
            let id = partition.id();
            if !self.bounds.has_partition(id.0) {
                continue;
            }
            let from = from.get(at).copied().unwrap_or(Offset::ZERO);
            let from = from.max(Offset(self.bounds.offset.min));
            let to = (*to).min(Offset(self.bounds.offset.max.saturating_add(1)));
            let log_start = hold.log_start(partition);
            let range = history::Bounds {
                start: from,
                end: to,
            };
            match &self.history {
                None => self.log_runs(partition, range.start.max(log_start), to, &mut runs),
                Some(history) => {
                    for section in history.sections(id, log_start, &self.rows, range) {
                        match section {
                            Section::Log(range) => {
                                self.log_runs(partition, range.start, range.end, &mut runs);
                            }
                            Section::File { file, range } if may_pass(&self.bounds, file) => {
                                runs.push(Run::File(FilePart {
                                    partition: id,
                                    file: file.clone(),
                                    range,
                                }));
                            }
                            Section::File { .. } => {}
                        }
                    }
                }
            }
        }
        runs
    }

    fn log_runs(&self, partition: &Partition, from: Offset, to: Offset, runs: &mut Vec<Run>) {
        if from >= to {
            return;
        }
        let run = |from, to| {
            Run::Log(Span {
                partition: partition.id(),
                from,
                to,
            })
        };
        let Interval { min, max } = self.bounds.timestamp;
        if self.bounds.timestamp == Interval::ALL {
            runs.push(run(from, to));
        } else if min <= max {
            let ranges = partition.ranges_in_time(from, to, min, max);
            runs.extend(
                ranges
                    .into_iter()
                    .map(|range| run(range.start.max(from), range.end.min(to))),
            );
        }
    }
}

/// Whether a row of the file can be within the bounds, by what is known without opening it.
fn may_pass(bounds: &Bounds, file: &history::DataFile) -> bool {
    let Interval { min, max } = bounds.timestamp;
    min <= file.max_timestamp_ms && max >= file.min_timestamp_ms
}

/// Shares runs out among up to `parts` readers, neighbours together, so that each has about as many bytes.
pub(super) fn shared_out(topic: &Topic, runs: Vec<Run>, parts: usize) -> Vec<Vec<Run>> {
    let whole: u64 = runs.iter().map(Run::len).sum();
    if parts <= 1 || whole == 0 {
        return vec![runs];
    }
    // Offsets per byte are known for the topic as a whole only; that is near enough to share work out.
    let records: u64 = topic
        .partitions()
        .iter()
        .map(|partition| {
            (partition.next_offset().0 - partition.start_offset().0)
                .max(1)
                .unsigned_abs()
        })
        .sum();
    let bytes = (u128::from(topic.size_bytes()) * u128::from(whole) / u128::from(records)) as u64;
    let target = (bytes / parts as u64).max(PART_BYTES_MIN);
    let mut pieces = Vec::new();
    for run in runs {
        let span = match run {
            Run::File(_) => {
                pieces.push(run);
                continue;
            }
            Run::Log(span) => span,
        };
        let Ok(partition) = topic.partition(span.partition) else {
            continue;
        };
        // Smaller pieces than parts, so that the last part is not much larger or smaller than the others.
        let ranges = partition.ranges(span.from, span.to, (target / 4).max(1));
        pieces.extend(ranges.into_iter().map(|range| {
            Run::Log(Span {
                partition: span.partition,
                from: range.start.max(span.from),
                to: range.end.min(span.to),
            })
        }));
    }
    let parts = parts
        .min(usize::try_from(bytes / PART_BYTES_MIN).unwrap_or(parts))
        .max(1);
    let share = whole.div_ceil(parts as u64).max(1);
    let mut out: Vec<Vec<Run>> = Vec::new();
    let mut have = u64::MAX;
    for piece in pieces {
        if have >= share && out.len() < parts {
            out.push(Vec::new());
            have = 0;
        }
        have = have.saturating_add(piece.len());
        let Some(part) = out.last_mut() else { continue };
        match (part.last_mut(), piece) {
            (Some(Run::Log(last)), Run::Log(piece))
                if last.partition == piece.partition && last.to == piece.from =>
            {
                last.to = piece.to;
            }
            (_, piece) => part.push(piece),
        }
    }
    if out.is_empty() {
        vec![Vec::new()]
    } else {
        out
    }
}
