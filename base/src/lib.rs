//! The words that every part of Weir shares: error kinds, identifiers, offsets, the clock, options and sizes.
//!
//! It is *not* a place for helpers: nothing here does I/O, knows Arrow, SQL or a protocol, and nothing that only one
//! crate needs belongs here. Start at [`Kind`], which says what a caller can do about an error, and at
//! [`OffsetVector`], the position that bounded and live queries agree on.

pub mod clock;
pub mod error;
pub mod ids;
pub mod nearest;
pub mod offsets;
pub mod options;
pub mod priority;
pub mod resume;
pub mod size;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Classify, Kind, Position, SqlState};
pub use ids::{PartitionId, QueryId, TopicId, TopicName};
pub use offsets::{Offset, OffsetVector};
pub use options::{OptionError, Options};
pub use priority::lower_priority;
pub use resume::{Origin, ResumeToken};
pub use size::{ByteSize, parse_duration};
