//! A partition's part of a round of upkeep.

use super::Partition;
use crate::Result;
use crate::retention::retention;

impl Partition {
    /// Closes the last segment when it is due, moves the start by retention, compacts, and removes what nobody holds. Blocks on
    /// the disk. `now_ms` is the time in milliseconds since the epoch.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`](crate::Error::TopicNotFound) when the topic was deleted meanwhile; what else went wrong.
    pub(crate) fn maintain(&self, now_ms: i64) -> Result<()> {
        let done = self.maintain_existing(now_ms);
        done.or_else(|error| self.check_exists().and(Err(error)))
    }

    fn maintain_existing(&self, now_ms: i64) -> Result<()> {
        self.check_writable()?;
        let config = self.0.config.get();
        if let Some(segment_ms) = config.segment_ms {
            self.roll_if(|begun_ms| {
                let age_ms = i128::from(now_ms) - i128::from(begun_ms);
                age_ms >= i128::from(segment_ms)
            })?;
        }
        self.retain(now_ms)?;
        // Also what a pin or a start in the middle of a segment has held back.
        self.remove_doomed();
        if config.cleanup.compacts() {
            self.compact(now_ms)?;
        }
        Ok(())
    }

    /// Moves the start as retention says, and closes the last segment if nothing of it is left.
    fn retain(&self, now_ms: i64) -> Result<()> {
        let config = self.0.config.get();
        let bounded = config.retention_ms.is_some() || config.retention_bytes.is_some();
        if config.cleanup.deletes() && bounded {
            let segments = self.segments();
            let to = retention(&segments, &config, self.start_offset(), now_ms);
            let _upkeep = self.0.upkeep.lock();
            self.check_writable()?;
            // What came to the last segment meanwhile stays, and so does what is not decided: of a transaction that is committed
            // later, all is seen.
            self.move_start(to.min(self.last_stable_offset()))?;
        }
        let start = self.start_offset();
        self.roll_if(|_| start == self.stable_offset())
    }
}
