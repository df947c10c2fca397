//! The table of all settings, in the order in which `weir config` prints them.

use super::Config;
use super::value::{Given, Value};

/// One setting.
pub(super) struct Setting {
    /// Its key in `weir.toml`, dotted.
    pub(super) key: &'static str,
    /// What it means.
    pub(super) about: &'static str,
    /// Reads it.
    pub(super) set: fn(&mut Config, Given) -> Result<(), String>,
    /// Its value as TOML; `None` for "not set".
    pub(super) show: fn(&Config) -> Option<String>,
}

impl Setting {
    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("WEIR_{}", self.key.replace('.', "_").to_uppercase())
    }
}

// A macro, because a field cannot be passed to a function both to read and to write it.
macro_rules! setting {
    ($key:literal, $about:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            about: $about,
            set: |config, given| {
                config.$($field).+ = Value::read(given)?;
                Ok(())
            },
            show: |config| config.$($field).+.show(),
        }
    };
}

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "data_dir",
        "The folder of all data: catalog, topic log, scratch files.",
        data_dir
    ),
    setting!(
        "allow_paths",
        "Local folders that SQL may read and write. None unless you say so.",
        allow_paths
    ),
    setting!(
        "allow_locations",
        "Where locations on the network begin that SQL may name, such as s3://lake/open/ or https://data.example/. None allows all that are public.",
        allow_locations
    ),
    setting!(
        "allow_private_network",
        "Whether SQL may reach loopback, private and link-local addresses (a local object store, say).",
        allow_private_network
    ),
    setting!(
        "http",
        "Where REST listens: host:port (port 0 picks a free one), or off.",
        http
    ),
    setting!(
        "postgres",
        "Where the PostgreSQL protocol listens: host:port, or off.",
        postgres
    ),
    setting!(
        "flight",
        "Where Flight SQL listens: host:port, or off.",
        flight
    ),
    setting!(
        "kafka",
        "Where the Kafka protocol listens: host:port, or off.",
        kafka
    ),
    setting!(
        "shutdown_grace",
        "How long running requests may go on after SIGTERM.",
        shutdown_grace
    ),
    setting!(
        "dangerously_open_to_the_network",
        "Whether doors may listen where other machines reach them although nobody has to sign in, or all can be read on the way.",
        dangerously_open_to_the_network
    ),
    setting!(
        "auth.enabled",
        "Whether nobody gets in without credentials. The first start with it makes the user weir and prints its token, once.",
        auth
    ),
    setting!(
        "tls.enabled",
        "Whether doors speak TLS, and nothing else.",
        tls.enabled
    ),
    setting!(
        "tls.certificate",
        "The certificate chain, as PEM. Not set: one is made and kept in tls/certificate.pem of the data folder.",
        tls.certificate
    ),
    setting!("tls.key", "The key of the certificate, as PEM.", tls.key),
    setting!(
        "tls.names",
        "Names and addresses in a certificate that is made, besides localhost and where doors listen.",
        tls.names
    ),
    setting!(
        "topics.segment_bytes",
        "A segment file of the topic log that would grow past this is closed, and the next one begun.",
        segment_bytes
    ),
    setting!(
        "topics.upkeep_interval",
        "How often the topic log looks for what retention and compaction take.",
        upkeep_interval
    ),
    setting!(
        "history.location",
        "Where closed segments of streams are kept as Parquet: a folder of an object store, s3://bucket/folder/, that no other server uses. Not set: history in the data folder.",
        history.location
    ),
    setting!(
        "history.connection",
        "The connection, made by CREATE CONNECTION, that leads to history.location.",
        history.connection
    ),
    setting!(
        "history.interval",
        "How often closed segments are looked for.",
        history.interval
    ),
    setting!(
        "history.file_bytes",
        "Small segments go together into one Parquet file, up to so many bytes of log.",
        history.file_bytes
    ),
    setting!(
        "views.checkpoint_interval",
        "How often the state of a materialized view is saved; what came since is read again after a crash.",
        checkpoint_interval
    ),
    setting!(
        "views.checkpoint_location",
        "Where checkpoints of materialized views are copied to: a folder of an object store, s3://bucket/folder/, that no other server uses. Not set: no copies.",
        checkpoint_copies.location
    ),
    setting!(
        "views.checkpoint_connection",
        "The connection, made by CREATE CONNECTION, that leads to views.checkpoint_location.",
        checkpoint_copies.connection
    ),
    setting!(
        "limits.memory",
        "Memory that all queries share.",
        limits.memory
    ),
    setting!(
        "limits.query_memory",
        "Memory of one query; past it operators spill to disk.",
        limits.query_memory
    ),
    setting!(
        "limits.view_memory",
        "Memory of one materialized view; past half of it, what the view remembers goes to disk.",
        limits.view_memory
    ),
    setting!(
        "limits.decoded_rows",
        "Memory for rows of the ends of topics that queries have decoded; 0 keeps none.",
        limits.decoded_rows
    ),
    setting!(
        "limits.spill",
        "Disk that all queries together may spill to.",
        limits.spill
    ),
    setting!(
        "limits.query_timeout",
        "Wall clock of a bounded query, from its arrival to its last row.",
        limits.query_timeout
    ),
    setting!(
        "limits.result_rows",
        "Rows of one answer; none is no bound.",
        limits.result_rows
    ),
    setting!(
        "limits.result_bytes",
        "Bytes of one answer, as Arrow arrays; none is no bound.",
        limits.result_bytes
    ),
    setting!(
        "limits.concurrent_queries",
        "Queries that run at once; more wait.",
        limits.concurrent_queries
    ),
    setting!(
        "limits.queued_queries",
        "Queries that wait; more are refused with 429.",
        limits.queued_queries
    ),
    setting!(
        "limits.queue_wait",
        "How long a query waits before it is refused.",
        limits.queue_wait
    ),
    setting!(
        "limits.live_queries",
        "Live queries that run at once; more are refused.",
        limits.live_queries
    ),
    setting!(
        "limits.threads",
        "Threads that run queries.",
        limits.threads
    ),
    setting!(
        "rest.connections",
        "HTTP connections at once; further ones are answered 503.",
        rest.connections
    ),
    setting!(
        "rest.body_bytes",
        "Bytes of one request body, also after decompression.",
        rest.body_bytes
    ),
    setting!(
        "rest.bodies_bytes",
        "Bytes of all request bodies in memory at once; further ones are answered 429.",
        rest.bodies_bytes
    ),
    setting!(
        "rest.header_timeout",
        "How long a request's head may take, and how long a kept-alive connection may be idle.",
        rest.header_timeout
    ),
    setting!(
        "rest.body_timeout",
        "How long a request's body may take.",
        rest.body_timeout
    ),
    setting!(
        "rest.event_keep_alive",
        "How often a quiet event stream carries a comment, so that proxies keep it open.",
        rest.event_keep_alive
    ),
    setting!(
        "rest.websocket_send_timeout",
        "A WebSocket whose client does not take a message for so long is closed, and its queries end.",
        rest.websocket_send_timeout
    ),
    setting!("rest.sessions", "Sessions at once.", rest.sessions),
    setting!(
        "rest.session_idle",
        "A session unused for so long is closed.",
        rest.session_idle
    ),
    setting!(
        "rest.statements",
        "Submitted statements kept at once.",
        rest.statements
    ),
    setting!(
        "rest.statement_expiry",
        "An ended statement is kept for so long after it was last asked for.",
        rest.statement_expiry
    ),
    setting!(
        "rest.statement_bytes",
        "Bytes of one submitted statement's rows on disk.",
        rest.statement_bytes
    ),
    setting!(
        "rest.allow_origins",
        "Web pages' origins that may call this server from a browser, such as https://tools.example.",
        rest.allow_origins
    ),
    setting!(
        "rest.allow_hosts",
        "Names, besides localhost and addresses, by which browsers may call this server.",
        rest.allow_hosts
    ),
    setting!(
        "postgres_door.connections",
        "PostgreSQL connections at once; further ones are told that there are too many.",
        postgres_door.connections
    ),
    setting!(
        "postgres_door.startup_timeout",
        "How long a PostgreSQL connection may take to start.",
        postgres_door.startup_timeout
    ),
    setting!(
        "postgres_door.message_bytes",
        "Bytes of one message of the PostgreSQL protocol; a larger one closes its connection.",
        postgres_door.message_bytes
    ),
    setting!(
        "postgres_door.messages_bytes",
        "Bytes of all large messages in memory at once; further ones are read when there is room.",
        postgres_door.messages_bytes
    ),
    setting!(
        "postgres_door.copy_bytes",
        "Bytes of the rows of one COPY FROM STDIN, which are written together.",
        postgres_door.copy_bytes
    ),
    setting!(
        "postgres_door.cursor_bytes",
        "Bytes on disk of the rows of one cursor, or of a portal that is read in parts.",
        postgres_door.cursor_bytes
    ),
    setting!(
        "postgres_door.idle",
        "A PostgreSQL connection that is silent for so long outside of a transaction is closed.",
        postgres_door.idle
    ),
    setting!(
        "postgres_door.stall",
        "A PostgreSQL connection that does not read its answers for so long is closed.",
        postgres_door.stall
    ),
    setting!(
        "kafka_door.connections",
        "Kafka connections at once; further ones are closed.",
        kafka_door.connections
    ),
    setting!(
        "kafka_door.request_bytes",
        "Bytes of one request; a larger one closes its connection.",
        kafka_door.request_bytes
    ),
    setting!(
        "kafka_door.requests_bytes",
        "Bytes of all large requests in memory at once; further ones are read when there is room.",
        kafka_door.requests_bytes
    ),
    setting!(
        "kafka_door.idle",
        "A connection that is silent, or does not read its answers, for so long is closed.",
        kafka_door.idle
    ),
    setting!(
        "kafka_door.auto_create_topics",
        "Whether a client that asks about a topic that is not there makes it.",
        kafka_door.auto_create_topics
    ),
    setting!(
        "kafka_door.advertised",
        "Where clients are told to connect, as host:port; empty for where the door listens.",
        kafka_door.advertised
    ),
    setting!(
        "kafka_door.produce_rate",
        "Bytes a second that one client id may produce; faster clients are throttled.",
        kafka_door.produce_rate
    ),
    setting!(
        "kafka_door.fetch_rate",
        "Bytes a second that one client id may fetch; faster clients are throttled.",
        kafka_door.fetch_rate
    ),
    setting!(
        "flight_door.connections",
        "Flight connections at once; further ones are closed.",
        flight_door.connections
    ),
    setting!(
        "flight_door.streams",
        "Calls at once on one Flight connection.",
        flight_door.streams
    ),
    setting!(
        "flight_door.handshake_timeout",
        "How long a Flight connection may take to its first call, and a handshake to its message.",
        flight_door.handshake_timeout
    ),
    setting!(
        "flight_door.message_bytes",
        "Bytes of a message that rows are sent in; a single row may be larger.",
        flight_door.message_bytes
    ),
    setting!(
        "flight_door.upload_bytes",
        "Bytes of one upload by DoPut: rows that are ingested, or parameters.",
        flight_door.upload_bytes
    ),
    setting!(
        "flight_door.uploads_bytes",
        "Bytes of all uploads in memory at once; further ones are refused.",
        flight_door.uploads_bytes
    ),
    setting!(
        "flight_door.upload_timeout",
        "How long an upload may be silent.",
        flight_door.upload_timeout
    ),
    setting!(
        "flight_door.sessions",
        "Flight sessions at once.",
        flight_door.sessions
    ),
    setting!(
        "flight_door.session_idle",
        "A Flight session that no connection has and nobody used for so long is closed.",
        flight_door.session_idle
    ),
    setting!(
        "flight_door.tickets",
        "Answers that wait for their reader at once.",
        flight_door.tickets
    ),
    setting!(
        "flight_door.ticket_expiry",
        "An answer that nobody came to read for so long is cancelled.",
        flight_door.ticket_expiry
    ),
    setting!(
        "log.level",
        "The least level: error, warn, info, debug, trace; also info,weir_engine=debug.",
        log.level
    ),
    setting!("log.format", "text or json.", log.format),
];
