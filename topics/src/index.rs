//! The sparse index of a segment: where offsets lie, and what times.
//!
//! It is derived from the segment and never the only place where something is known: a file that is missing, torn or does
//! not fit its segment is made again by reading the segment. All numbers in it are little-endian:
//!
//! | what | bytes |
//! |---|---|
//! | magic `WIDX`, version | 4 + 4 |
//! | base offset, end offset, segment bytes | 8 + 8 + 8 |
//! | flags: 1, each offset is one plain record (since version 4; before, it always was) | 4 |
//! | minimum, maximum timestamp | 8 + 8 |
//! | number of entries, number of tokens (2³² − 1: not known) | 4 + 4 |
//! | entries: offset − base, position, minimum and maximum timestamp up to the next entry | 4 + 4 + 8 + 8 each |
//! | tokens that the partition knew at the end offset: length, name, base offset, records, fingerprint | 1 + n + 8 + 4 + 8 each |
//! | number of producers (only when the tokens are known) | 4 |
//! | producers: id, epoch, number of batches | 8 + 2 + 1 each |
//! | each producer's last batches: first sequence number, base offset, records | 4 + 8 + 4 each |
//! | of a producer without batches: the offset of the marker by which its epoch began | 8 |
//! | number of open transactions, of aborted ones (with the producers; since version 5: before, there were none) | 4 + 4 |
//! | open transactions: producer, epoch, first offset | 8 + 2 + 8 each |
//! | aborted transactions in order of marker: producer, first offset, marker's offset | 8 + 8 + 8 each |
//! | CRC-32C of all before | 4 |

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes};
use weir_base::Offset;

use crate::IdempotencyToken;
use crate::isolation::{Aborted, KnownTransactions, Open};
use crate::producers::{Producer, Sent};
use crate::remembered::Known;
use crate::segment::SavedIndex;
use crate::token::Fingerprint;
use crate::tokens::Written;

const MAGIC: &[u8; 4] = b"WIDX";
const VERSION: u32 = 5;
/// It has no transactions: they came later.
const VERSION_PLAIN: u32 = 4;
/// Besides, it has no flags: gaps came later.
const VERSION_DENSE: u32 = 3;
const DENSE: u32 = 1;
const HEADER_BYTES: usize = 60;
const ENTRY_BYTES: usize = 24;
/// Says that nothing is known of tokens, instead of their number.
const TOKENS_UNKNOWN: u32 = u32::MAX;

/// Where a segment's batches are, up to `end` and `bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    /// Whether each offset is one plain record: no gap, no transaction, no marker of one.
    pub(crate) dense: bool,
    /// `None` while there is no record.
    pub(crate) times: Option<Times>,
    entries: Vec<Entry>,
}

/// The smallest and the largest timestamp of some records, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
}

/// A batch as the index sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Indexed {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    pub(crate) times: Times,
    /// Whether each of its offsets is one plain record.
    pub(crate) plain: bool,
}

/// A stretch of a segment between two entries of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    pub(crate) times: Times,
}

/// 24 bytes, because a segment has thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    offset_delta: u32,
    position: u32,
    times: Times,
}

impl Times {
    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            min_ms: self.min_ms.min(other.min_ms),
            max_ms: self.max_ms.max(other.max_ms),
        }
    }

    pub(crate) fn overlap(self, other: Self) -> bool {
        self.min_ms <= other.max_ms && other.min_ms <= self.max_ms
    }
}

impl Index {
    pub(crate) fn new(base: Offset) -> Self {
        Self {
            base,
            end: base,
            bytes: 0,
            dense: true,
            times: None,
            entries: Vec::new(),
        }
    }

    /// Takes note of the batch that follows the last one. There is an entry at least every `interval` bytes and a batch.
    pub(crate) fn add(&mut self, batch: Indexed, interval: u32) {
        let joined = |times: Option<Times>| times.map_or(batch.times, |t| t.join(batch.times));
        let position = u32::try_from(self.bytes);
        let offset_delta = u32::try_from(batch.base.0 - self.base.0);
        match (self.entries.last_mut(), position, offset_delta) {
            // Past 4 GiB or 4 billion records the last entry grows: only the reader's way gets longer.
            (Some(last), Ok(position), Ok(_)) if position - last.position < interval => {
                last.times = last.times.join(batch.times);
            }
            (_, Ok(position), Ok(offset_delta)) => self.entries.push(Entry {
                offset_delta,
                position,
                times: batch.times,
            }),
            (Some(last), ..) => last.times = last.times.join(batch.times),
            (None, ..) => {}
        }
        self.times = Some(joined(self.times));
        self.dense &= batch.plain && batch.base == self.end;
        self.end = batch.end;
        self.bytes += batch.bytes;
    }

    /// Ends a segment at `end`, before which offsets may be missing.
    pub(crate) fn finish(&mut self, end: Offset) {
        self.dense &= self.end == end;
        self.end = end;
    }

    /// From which byte on to look for `offset`.
    pub(crate) fn position_of(&self, offset: Offset) -> u64 {
        let after = self.entries_up_to(offset);
        let entry = after.checked_sub(1).and_then(|at| self.entries.get(at));
        entry.map_or(0, |entry| u64::from(entry.position))
    }

    /// A byte at which, or before which, everything before `offset` has ended.
    pub(crate) fn position_past(&self, offset: Offset) -> u64 {
        let delta = offset.0 - self.base.0;
        let at = self
            .entries
            .partition_point(|entry| i64::from(entry.offset_delta) < delta);
        let entry = self.entries.get(at);
        entry.map_or(self.bytes, |entry| u64::from(entry.position))
    }

    /// The last place that is known at or before both the byte `position` and the offset `to`: a byte where a batch begins or
    /// the segment ends, and the offset there.
    pub(crate) fn furthest(&self, position: u64, to: Offset) -> Option<(u64, Offset)> {
        if self.bytes <= position && self.end <= to {
            return Some((self.bytes, self.end));
        }
        let delta = to.0 - self.base.0;
        let after = self.entries.partition_point(|entry| {
            u64::from(entry.position) <= position && i64::from(entry.offset_delta) <= delta
        });
        let entry = self.entries.get(after.checked_sub(1)?)?;
        Some((u64::from(entry.position), self.offset(entry)))
    }

    /// The stretches that overlap `[from, to)`, in order.
    pub(crate) fn stretches(&self, from: Offset, to: Offset) -> impl Iterator<Item = Stretch> {
        let first = self.entries_up_to(from).saturating_sub(1);
        let entries = self.entries.iter().enumerate().skip(first);
        entries
            .map(|(at, entry)| {
                let next = self.entries.get(at + 1);
                let position = next.map_or(self.bytes, |next| u64::from(next.position));
                Stretch {
                    base: self.offset(entry),
                    end: next.map_or(self.end, |next| self.offset(next)),
                    bytes: position - u64::from(entry.position),
                    times: entry.times,
                }
            })
            .skip_while(move |stretch| stretch.end <= from)
            .take_while(move |stretch| stretch.base < to)
    }

    /// The file's content: the index, and what the partition remembered at its end.
    pub(crate) fn encode(&self, known: Option<&Known>) -> Vec<u8> {
        let count = known.map_or(TOKENS_UNKNOWN, |known| known.tokens.len() as u32);
        let tokens = known.map_or(&[][..], |known| &known.tokens);
        let times = self.times.unwrap_or(Times {
            min_ms: i64::MAX,
            max_ms: i64::MIN,
        });
        let size = HEADER_BYTES + self.entries.len() * ENTRY_BYTES + tokens.len() * 85 + 4;
        let mut bytes = Vec::with_capacity(size);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_i64_le(self.base.0);
        bytes.put_i64_le(self.end.0);
        bytes.put_u64_le(self.bytes);
        bytes.put_u32_le(if self.dense { DENSE } else { 0 });
        bytes.put_i64_le(times.min_ms);
        bytes.put_i64_le(times.max_ms);
        bytes.put_u32_le(self.entries.len() as u32);
        bytes.put_u32_le(count);
        for entry in &self.entries {
            bytes.put_u32_le(entry.offset_delta);
            bytes.put_u32_le(entry.position);
            bytes.put_i64_le(entry.times.min_ms);
            bytes.put_i64_le(entry.times.max_ms);
        }
        for (name, written) in tokens {
            bytes.put_u8(name.len() as u8);
            bytes.put_slice(name);
            bytes.put_i64_le(written.base.0);
            bytes.put_u32_le(written.record_count);
            bytes.put_slice(&written.fingerprint.to_bytes());
        }
        if let Some(known) = known {
            put_producers(&mut bytes, &known.producers);
            put_transactions(&mut bytes, &known.transactions);
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.put_u32_le(crc);
        bytes
    }

    /// Reads [`Index::encode`] back; `None` when the bytes are not whole.
    pub(crate) fn decode(bytes: &[u8]) -> Option<SavedIndex> {
        let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) || !rest.starts_with(MAGIC) {
            return None;
        }
        rest = rest.get(MAGIC.len()..)?;
        let version = rest.try_get_u32_le().ok()?;
        if !(VERSION_DENSE..=VERSION).contains(&version) {
            return None;
        }
        let mut index = Self::new(Offset(rest.try_get_i64_le().ok()?));
        index.end = Offset(rest.try_get_i64_le().ok()?);
        index.bytes = rest.try_get_u64_le().ok()?;
        if version > VERSION_DENSE {
            index.dense = rest.try_get_u32_le().ok()? & DENSE != 0;
        }
        let times = take_times(&mut rest)?;
        index.times = (times.min_ms <= times.max_ms).then_some(times);
        let entries = rest.try_get_u32_le().ok()?;
        let tokens = rest.try_get_u32_le().ok()?;
        for _ in 0..entries {
            index.entries.push(Entry {
                offset_delta: rest.try_get_u32_le().ok()?,
                position: rest.try_get_u32_le().ok()?,
                times: take_times(&mut rest)?,
            });
        }
        let known = match tokens {
            TOKENS_UNKNOWN => None,
            tokens => {
                let tokens = (0..tokens).map(|_| take_token(&mut rest));
                let tokens = tokens.collect::<Option<_>>()?;
                let producers = rest.try_get_u32_le().ok()?;
                let producers = (0..producers).map(|_| take_producer(&mut rest));
                let producers = producers.collect::<Option<_>>()?;
                let transactions = match version > VERSION_PLAIN {
                    true => take_transactions(&mut rest)?,
                    false => KnownTransactions::default(),
                };
                Some(Known {
                    tokens,
                    producers,
                    transactions,
                })
            }
        };
        rest.is_empty().then_some((index, known))
    }

    fn entries_up_to(&self, offset: Offset) -> usize {
        let delta = offset.0 - self.base.0;
        self.entries
            .partition_point(|entry| i64::from(entry.offset_delta) <= delta)
    }

    fn offset(&self, entry: &Entry) -> Offset {
        Offset(self.base.0 + i64::from(entry.offset_delta))
    }
}

fn take_times(bytes: &mut &[u8]) -> Option<Times> {
    Some(Times {
        min_ms: bytes.try_get_i64_le().ok()?,
        max_ms: bytes.try_get_i64_le().ok()?,
    })
}

fn take_token(bytes: &mut &[u8]) -> Option<(Bytes, Written)> {
    let length = usize::from(bytes.try_get_u8().ok()?);
    let (name, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let token = IdempotencyToken::new(name).ok()?;
    let written = Written {
        base: Offset(bytes.try_get_i64_le().ok()?),
        record_count: bytes.try_get_u32_le().ok()?,
        fingerprint: {
            let (fingerprint, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Fingerprint::from_bytes(*fingerprint)
        },
    };
    Some((token.name().clone(), written))
}

fn put_producers(bytes: &mut Vec<u8>, producers: &[(i64, Producer)]) {
    bytes.put_u32_le(producers.len() as u32);
    for (id, producer) in producers {
        bytes.put_i64_le(*id);
        bytes.put_i16_le(producer.epoch);
        bytes.put_u8(producer.batches.len() as u8);
        for sent in &producer.batches {
            bytes.put_i32_le(sent.first);
            bytes.put_i64_le(sent.base.0);
            bytes.put_u32_le(sent.record_count);
        }
        if producer.batches.is_empty() {
            bytes.put_i64_le(producer.begun.unwrap_or_default().0);
        }
    }
}

fn take_producer(bytes: &mut &[u8]) -> Option<(i64, Producer)> {
    let id = bytes.try_get_i64_le().ok()?;
    let epoch = bytes.try_get_i16_le().ok()?;
    let batches = bytes.try_get_u8().ok()?;
    let batches = (0..batches).map(|_| {
        Some(Sent {
            first: bytes.try_get_i32_le().ok()?,
            base: Offset(bytes.try_get_i64_le().ok()?),
            record_count: bytes.try_get_u32_le().ok()?,
        })
    });
    let batches = batches.collect::<Option<VecDeque<_>>>()?;
    let begun = match batches.is_empty() {
        true => Some(Offset(bytes.try_get_i64_le().ok()?)),
        false => None,
    };
    let producer = Producer {
        epoch,
        begun,
        batches,
    };
    Some((id, producer))
}

fn put_transactions(bytes: &mut Vec<u8>, known: &KnownTransactions) {
    bytes.put_u32_le(known.open.len() as u32);
    bytes.put_u32_le(known.aborted.len() as u32);
    for (id, open) in &known.open {
        bytes.put_i64_le(*id);
        bytes.put_i16_le(open.epoch);
        bytes.put_i64_le(open.first.0);
    }
    for aborted in &known.aborted {
        bytes.put_i64_le(aborted.producer_id);
        bytes.put_i64_le(aborted.first_offset.0);
        bytes.put_i64_le(aborted.last_offset.0);
    }
}

fn take_transactions(bytes: &mut &[u8]) -> Option<KnownTransactions> {
    let open = bytes.try_get_u32_le().ok()?;
    let aborted = bytes.try_get_u32_le().ok()?;
    let open = (0..open).map(|_| {
        let id = bytes.try_get_i64_le().ok()?;
        let epoch = bytes.try_get_i16_le().ok()?;
        let first = Offset(bytes.try_get_i64_le().ok()?);
        Some((id, Open { epoch, first }))
    });
    let open = open.collect::<Option<_>>()?;
    let aborted = (0..aborted).map(|_| {
        Some(Aborted {
            producer_id: bytes.try_get_i64_le().ok()?,
            first_offset: Offset(bytes.try_get_i64_le().ok()?),
            last_offset: Offset(bytes.try_get_i64_le().ok()?),
        })
    });
    let aborted = aborted.collect::<Option<_>>()?;
    Some(KnownTransactions { open, aborted })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Batches of (records, bytes, time).
    fn index(batches: &[(i64, u64, i64)], interval: u32) -> (Index, Vec<(Offset, u64)>) {
        let mut index = Index::new(Offset(100));
        let mut positions = Vec::new();
        for (records, bytes, time) in batches {
            positions.push((index.end, index.bytes));
            let batch = Indexed {
                base: index.end,
                end: Offset(index.end.0 + records),
                bytes: *bytes,
                times: Times {
                    min_ms: *time,
                    max_ms: time + 5,
                },
                plain: true,
            };
            index.add(batch, interval);
        }
        (index, positions)
    }

    #[test]
    fn one_from_before_there_were_gaps_is_read() {
        let (index, _) = index(&[(3, 100, 5), (4, 200, 7)], 50);
        let mut bytes = index.encode(None);
        bytes[4..8].copy_from_slice(&VERSION_DENSE.to_le_bytes());
        bytes.drain(32..36);
        let body = bytes.len() - 4;
        let crc = crc32c::crc32c(&bytes[..body]);
        bytes[body..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Index::decode(&bytes), Some((index, None)));
    }

    #[test]
    fn it_knows_whether_an_offset_is_missing_or_no_plain_record() {
        let add = |index: &mut Index, base: i64, plain| {
            index.add(
                Indexed {
                    base: Offset(base),
                    end: Offset(base + 5),
                    bytes: 100,
                    times: Times {
                        min_ms: 0,
                        max_ms: 0,
                    },
                    plain,
                },
                10,
            );
        };
        let (dense, _) = index(&[(5, 100, 0)], 10);
        let mut whole = dense.clone();
        add(&mut whole, 105, true);
        whole.finish(Offset(110));
        assert!(whole.dense);
        let mut ends_early = dense.clone();
        ends_early.finish(Offset(106));
        assert!(!ends_early.dense && ends_early.end == Offset(106));
        for (base, plain) in [(106, true), (105, false)] {
            let mut other = dense.clone();
            add(&mut other, base, plain);
            assert!(!other.dense);
            assert_eq!(Index::decode(&other.encode(None)), Some((other, None)));
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_list_of_batches(
            batches in proptest::collection::vec((1..9i64, 61..500u64, 0..1000i64), 1..80),
            interval in 1..2000u32,
            from in 90..500i64,
            length in 0..200i64,
        ) {
            let (index, positions) = index(&batches, interval);
            let (from, to) = (Offset(from), Offset(from + length));
            let exact = positions.iter().rev().find(|(base, _)| *base <= from).map_or(0, |(_, at)| *at);
            let found = index.position_of(from);
            prop_assert!(found <= exact && exact - found < u64::from(interval) + 500);
            let past = index.position_past(to);
            let exact = positions.iter().find(|(base, _)| *base >= to).map_or(index.bytes, |(_, at)| *at);
            prop_assert!(past >= exact);

            let stretches: Vec<_> = index.stretches(from, to).collect();
            prop_assert!(stretches.windows(2).all(|pair| pair[0].end == pair[1].base));
            for (at, (base, _)) in positions.iter().enumerate() {
                let (records, _, time) = batches[at];
                if *base < to && base.0 + records > from.0 {
                    let inside = stretches.iter().any(|stretch| {
                        stretch.base <= *base
                            && base.0 + records <= stretch.end.0
                            && stretch.times.min_ms <= time
                            && time + 5 <= stretch.times.max_ms
                    });
                    prop_assert!(inside, "batch at {} is in no stretch of {:?}", base, stretches);
                }
            }
        }

        #[test]
        fn it_reads_back_as_written_and_notices_damage(
            batches in proptest::collection::vec((1..9i64, 61..500u64, any::<i32>()), 0..40),
            tokens in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..=64), 0..i64::MAX, any::<u32>(), any::<[u8; 8]>()), 0..9),
            producers in proptest::collection::vec(
                (any::<i64>(), any::<i16>(), proptest::collection::vec((any::<i32>(), any::<i64>(), any::<u32>()), 0..=5)),
                0..4,
            ),
            open in proptest::collection::vec((any::<i64>(), any::<i16>(), any::<i64>()), 0..4),
            aborted in proptest::collection::vec((any::<i64>(), any::<i64>(), any::<i64>()), 0..4),
            flip in any::<prop::sample::Index>(),
        ) {
            let batches: Vec<_> = batches.into_iter().map(|(n, b, t)| (n, b, i64::from(t))).collect();
            let (index, _) = index(&batches, 300);
            let tokens: Vec<_> = tokens
                .into_iter()
                .map(|(name, base, record_count, fingerprint)| {
                    let fingerprint = Fingerprint::from_bytes(fingerprint);
                    (Bytes::from(name), Written { base: Offset(base), record_count, fingerprint })
                })
                .collect();
            let producers = producers.into_iter().map(|(id, epoch, batches)| {
                let batches = batches.into_iter().map(|(first, base, record_count)| Sent {
                    first,
                    base: Offset(base),
                    record_count,
                });
                let batches: VecDeque<_> = batches.collect();
                let begun = batches.is_empty().then_some(Offset(id));
                (id, Producer { epoch, begun, batches })
            });
            let open = open.into_iter().map(|(id, epoch, first)| (id, Open { epoch, first: Offset(first) }));
            let aborted = aborted.into_iter().map(|(producer_id, first, last)| Aborted {
                producer_id,
                first_offset: Offset(first),
                last_offset: Offset(last),
            });
            let transactions = KnownTransactions { open: open.collect(), aborted: aborted.collect() };
            let known = Known { tokens, producers: producers.collect(), transactions };
            let unknown = index.encode(None);
            prop_assert_eq!(Index::decode(&unknown), Some((index.clone(), None)));
            let mut bytes = index.encode(Some(&known));
            prop_assert_eq!(Index::decode(&bytes), Some((index, Some(known))));
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x10;
            prop_assert_eq!(Index::decode(&bytes), None);
            bytes.truncate(at);
            prop_assert_eq!(Index::decode(&bytes), None);
        }
    }
}
