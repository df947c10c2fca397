//! Transaction markers: the batches by which the log says how a producer's transaction has ended (KIP-98).
//!
//! A marker is a control batch of one record. Its key is version (i16, 0) and type (i16; 0 abort, 1 commit), its value is
//! version (i16, 0) and the coordinator's epoch (i32), all big-endian, as in Kafka's `ControlRecordType` and
//! `EndTransactionMarker`.

use super::builder::RecordRef;
use super::header::{BatchHeader, CONTROL, Malformed, TRANSACTIONAL};
use super::{BatchBuilder, BatchView, EncodedBatch};
use crate::{Error, Result};

const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// What it wrote is not to be seen by those who read only what is committed.
    Abort,
    /// What it wrote is there, all at once.
    Commit,
}

/// The end of a producer's transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch from here on: in transactions V2 (KIP-890), and when the producer was fenced, later than that of its records.
    pub epoch: i16,
    /// How the transaction ends.
    pub outcome: Outcome,
    /// The epoch of the coordinator that decided so.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The batch that says so.
    pub(crate) fn encode(&self, timestamp_ms: i64) -> Result<EncodedBatch> {
        let kind = match self.outcome {
            Outcome::Abort => ABORT,
            Outcome::Commit => COMMIT,
        };
        let mut builder = BatchBuilder::new();
        let (mut key, mut value) = (Vec::with_capacity(4), Vec::with_capacity(6));
        key.extend(VERSION.to_be_bytes());
        key.extend(kind.to_be_bytes());
        value.extend(VERSION.to_be_bytes());
        value.extend(self.coordinator_epoch.to_be_bytes());
        builder.push(RecordRef {
            timestamp_ms,
            key: Some(&key),
            value: Some(&value),
            ..RecordRef::default()
        })?;
        Ok(builder.build_with(|header| {
            header.attributes = TRANSACTIONAL | CONTROL;
            header.producer_id = self.producer_id;
            header.producer_epoch = self.epoch;
        }))
    }

    /// The marker in a control batch's only record.
    fn decode(header: &BatchHeader, key: &[u8], value: &[u8]) -> Option<Self> {
        let (_, key) = key.split_first_chunk::<2>()?;
        let (kind, _) = key.split_first_chunk()?;
        let outcome = match i16::from_be_bytes(*kind) {
            ABORT => Outcome::Abort,
            COMMIT => Outcome::Commit,
            _ => return None,
        };
        let (_, value) = value.split_first_chunk::<2>()?;
        let (coordinator_epoch, _) = value.split_first_chunk()?;
        Some(Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            outcome,
            coordinator_epoch: i32::from_be_bytes(*coordinator_epoch),
        })
    }
}

impl BatchView {
    /// The marker that the batch is; `None` when it holds records of a producer.
    ///
    /// # Errors
    /// [`Error::Batch`] when it is a control batch of a kind that is not known here.
    pub fn marker(&self) -> Result<Option<Marker>> {
        if !self.header().is_control() {
            return Ok(None);
        }
        let record = self.records().next().transpose()?;
        let marker = record.and_then(|record| {
            Marker::decode(
                self.header(),
                record.key.unwrap_or_default(),
                record.value.unwrap_or_default(),
            )
        });
        match marker {
            Some(marker) => Ok(Some(marker)),
            None => Err(Error::Batch {
                base_offset: self.base_offset(),
                reason: Malformed::Attributes(self.header().attributes),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back_and_looks_as_kafkas() {
        for (outcome, kind) in [(Outcome::Abort, 0), (Outcome::Commit, 1)] {
            let marker = Marker {
                producer_id: 7,
                epoch: 3,
                outcome,
                coordinator_epoch: 9,
            };
            let bytes = marker.encode(1_000).unwrap().as_bytes().to_vec();
            let view = BatchView::parse(bytes.into()).unwrap();
            let header = view.header();
            assert_eq!(header.attributes, 0b11_0000);
            assert_eq!(header.base_sequence, -1);
            assert_eq!((header.record_count, header.max_timestamp_ms), (1, 1_000));
            let record = view.records().next().unwrap().unwrap();
            assert_eq!(record.key, Some(&[0, 0, 0, kind][..]));
            assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 9][..]));
            assert_eq!(view.marker().unwrap(), Some(marker));
        }
    }
}
