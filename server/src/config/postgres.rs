//! The bounds on PostgreSQL connections.

use std::time::Duration;

use weir_base::ByteSize;

/// The bounds on PostgreSQL connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Connections at once; further ones are told that there are too many.
    pub connections: usize,
    /// How long a connection may take from its first byte to its session.
    pub startup_timeout: Duration,
    /// Bytes of one message; a larger one closes its connection.
    pub message_bytes: ByteSize,
    /// Bytes of all large messages in memory at once; further ones are read when there is room.
    pub messages_bytes: ByteSize,
    /// Bytes of the rows of one `COPY … FROM STDIN`, which are written together.
    pub copy_bytes: ByteSize,
    /// Bytes on disk of the rows of one cursor, or of a portal that is read in parts.
    pub cursor_bytes: ByteSize,
    /// A connection that is silent for so long outside of a transaction is closed.
    pub idle: Duration,
    /// A connection that does not read its answers for so long is closed.
    pub stall: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connections: 1000,
            startup_timeout: Duration::from_secs(60),
            message_bytes: ByteSize(64 << 20),
            messages_bytes: ByteSize(512 << 20),
            copy_bytes: ByteSize(512 << 20),
            cursor_bytes: ByteSize(4 << 30),
            idle: Duration::from_secs(24 * 60 * 60),
            stall: Duration::from_secs(10 * 60),
        }
    }
}
