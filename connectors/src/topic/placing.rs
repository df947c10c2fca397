//! Putting records into batches, partition by partition.

use weir_base::PartitionId;
use weir_topics::{BatchBuilder, EncodedBatch, RecordRef};

use crate::Result;

/// The largest record batch that rows are put in: what a reader takes at least, and what Kafka's brokers and clients take by
/// default.
pub(super) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Collects records into batches. The same records give the same batches.
pub(super) struct Placing {
    room: usize,
    open: Vec<Option<BatchBuilder>>,
    full: Vec<(PartitionId, EncodedBatch)>,
}

impl Placing {
    /// For a topic of so many partitions; each batch begins with room for `room` bytes.
    pub(super) fn new(partitions: u32, room: usize) -> Self {
        let mut open = Vec::new();
        open.resize_with(partitions as usize, || None);
        Self {
            room,
            open,
            full: Vec::new(),
        }
    }

    /// Adds a record to a partition, behind those that it has got.
    pub(super) fn push(&mut self, partition: u32, record: RecordRef<'_>) -> Result<()> {
        let Some(slot) = self.open.get_mut(partition as usize) else {
            return Ok(());
        };
        let value_bytes = record.value.map_or(0, <[u8]>::len);
        let builder = match slot {
            Some(builder) if builder.size_bytes() + value_bytes <= BATCH_BYTES_MAX => builder,
            _ => {
                let fresh = BatchBuilder::with_capacity(self.room);
                if let Some(builder) = slot.replace(fresh) {
                    self.full.push((PartitionId(partition), builder.build()));
                }
                match slot {
                    Some(builder) => builder,
                    None => return Ok(()),
                }
            }
        };
        Ok(builder.push(record)?)
    }

    /// The batches, those of each partition in order.
    pub(super) fn finish(mut self) -> Vec<(PartitionId, EncodedBatch)> {
        for (partition, builder) in (0u32..).zip(self.open) {
            if let Some(builder) = builder {
                self.full.push((PartitionId(partition), builder.build()));
            }
        }
        self.full
    }
}
