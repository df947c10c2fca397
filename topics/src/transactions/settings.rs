//! What may be chosen about transactions, and the bounds that hold for all.

/// The longest transactional id, in bytes.
pub const TRANSACTIONAL_ID_BYTES_MAX: usize = 1024;

/// How many transactional ids there are at most.
pub(super) const TRANSACTIONS_MAX: usize = 65_536;
/// How much all of them take up at most, as a snapshot writes them.
pub(super) const TRANSACTIONS_BYTES_MAX: u64 = 64 << 20;
/// After so long it is tried again to end a transaction that could not be ended.
pub(super) const RETRY_MS: i64 = 1_000;

/// How transactions work. Plain data.
#[derive(Debug, Clone)]
pub struct TransactionSettings {
    /// The longest timeout that a producer may ask for, in milliseconds. Default 15 minutes, as Kafka's
    /// `transaction.max.timeout.ms`. For so long an open transaction can hold back readers of what is committed.
    pub timeout_ms_max: i32,
    /// A transactional id without a transaction is forgotten after so many milliseconds. Default 7 days, as Kafka's
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// The topic of transactions is not written anew while it is smaller than this.
    pub(crate) compact_bytes_min: u64,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            timeout_ms_max: 15 * 60 * 1000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1000,
            compact_bytes_min: 8 << 20,
        }
    }
}
