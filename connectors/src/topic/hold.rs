//! What a query holds of a topic: where it reads from and up to, and that nothing of it goes away meanwhile.

use weir_base::Offset;
use weir_topics::{Partition, Pin, Topic};

/// A topic as one query reads it: fixed ends, and the log kept from where it began. Clones hold for themselves.
#[derive(Debug, Clone)]
pub struct TopicHold {
    topic: Topic,
    starts: Vec<Offset>,
    ends: Vec<Offset>,
    /// By partition number; those that the topic got later have none.
    pins: Vec<Pin>,
}

impl TopicHold {
    /// Everything that is there now.
    pub fn now(topic: Topic) -> Self {
        // What open transactions have written is not decided. In this order: what is stable after the log was pinned is in the log, or in a history that is looked at after this.
        let pins: Vec<Pin> = topic.partitions().iter().map(Partition::pin).collect();
        let partitions = topic.partitions().iter();
        let ends = partitions.map(Partition::last_stable_offset).collect();
        Self {
            topic,
            starts: Vec::new(),
            ends,
            pins,
        }
    }

    /// Reads each partition up to these offsets.
    #[must_use]
    pub fn up_to(mut self, ends: Vec<Offset>) -> Self {
        self.ends = ends;
        self
    }

    /// Leaves out the rows of each partition before its offset in `starts`.
    #[must_use]
    pub fn starting_at(mut self, starts: Vec<Offset>) -> Self {
        self.starts = starts;
        self
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Where each partition is read from; from its first row on where there is no number.
    pub fn starts(&self) -> &[Offset] {
        &self.starts
    }

    /// The exclusive end of what is read of each partition.
    pub fn ends(&self) -> &[Offset] {
        &self.ends
    }

    /// The first offset that the log has of a partition, as long as this is held.
    pub fn log_start(&self, partition: &Partition) -> Offset {
        let pin = self.pins.get(partition.id().0 as usize);
        pin.map_or_else(|| partition.start_offset(), Pin::start)
    }

    /// Lets go of what lies before these offsets.
    pub fn advance(&mut self, to: &[Offset]) {
        for (pin, to) in self.pins.iter_mut().zip(to) {
            pin.advance(*to);
        }
    }
}
