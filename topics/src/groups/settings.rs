//! What may be chosen about groups, and the bounds that hold for all.

/// The smallest session timeout that is taken, in milliseconds.
pub const SESSION_TIMEOUT_MS_MIN: i32 = 1;
/// The largest session timeout that is taken, in milliseconds: half an hour, as Kafka's.
pub const SESSION_TIMEOUT_MS_MAX: i32 = 1_800_000;
/// The longest group id, in bytes.
pub const GROUP_ID_BYTES_MAX: usize = 1024;
/// The longest metadata of a committed offset, in bytes; Kafka's own default.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4096;

/// How many groups there are at most: so many with members, and so many with offsets.
pub(super) const GROUPS_MAX: usize = 65_536;
/// How many members a group has at most, those included that were only given an id.
pub(super) const GROUP_MEMBERS_MAX: usize = 10_000;
/// How many members all groups have together at most.
pub(super) const MEMBERS_MAX: usize = 100_000;
/// How much the members' protocols and assignments take up at most, in all groups together.
pub(super) const MEMBERS_BYTES_MAX: usize = 256 << 20;
/// How much all committed offsets take up at most, as a snapshot writes them.
pub(super) const OFFSETS_BYTES_MAX: u64 = 256 << 20;

/// How consumer groups work. Plain data.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// How long the first member of an empty group waits for others, in milliseconds. Each that comes extends it by as much,
    /// up to the rebalance timeout. Default 300; 0 waits for nobody.
    pub initial_delay_ms: u32,
    /// The topic of offsets is not written anew while it is smaller than this.
    pub(crate) compact_bytes_min: u64,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            initial_delay_ms: 300,
            compact_bytes_min: 8 << 20,
        }
    }
}
