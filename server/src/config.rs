//! The configuration: `weir.toml`, then the environment `WEIR_…`, then flags; each wins over the one before.
//!
//! All settings are rows of one table in [`settings`], which the file, the environment, `--set` and
//! [`Config::render`] read. A key that is not in it is an error that names the nearest one.

mod postgres;
mod settings;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_base::ByteSize;
use weir_base::nearest::nearest;
use weir_engine::{CopySettings, HistorySettings, Limits, Settings};

use crate::error::{Error, Result};
use crate::tls::TlsSettings;
pub use postgres::PostgresSettings;
use settings::{SETTINGS, Setting};
use value::Given;
pub use value::{Listen, LogFormat};

/// The whole effective configuration of `weir serve`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of all data.
    pub data_dir: PathBuf,
    /// Local folders that SQL may read and write.
    pub allow_paths: Vec<PathBuf>,
    /// Where locations on the network begin that SQL may name.
    pub allow_locations: Vec<String>,
    /// Whether SQL may reach loopback, private and link-local addresses.
    pub allow_private_network: bool,
    /// Where REST listens.
    pub http: Listen,
    /// Where the PostgreSQL protocol listens.
    pub postgres: Listen,
    /// Where Flight SQL listens.
    pub flight: Listen,
    /// Where the Kafka protocol listens.
    pub kafka: Listen,
    /// How long running requests may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// A segment of the topic log that would grow past this is closed.
    pub segment_bytes: ByteSize,
    /// How often the topic log looks for what retention and compaction take.
    pub upkeep_interval: Duration,
    /// Where closed segments of streams are kept as Parquet.
    pub history: HistorySettings,
    /// How often the state of each materialized view is saved.
    pub checkpoint_interval: Duration,
    /// Where checkpoints of materialized views are copied to.
    pub checkpoint_copies: CopySettings,
    /// Whether nobody gets in without credentials.
    pub auth: bool,
    /// How doors speak TLS.
    pub tls: TlsSettings,
    /// Whether doors may listen where other machines reach them, without credentials or without TLS.
    pub dangerously_open_to_the_network: bool,
    /// The bounds on queries.
    pub limits: Limits,
    /// The bounds on HTTP connections and what they keep on the server.
    pub rest: HttpSettings,
    /// The bounds on Kafka connections, and what topics are.
    pub kafka_door: KafkaSettings,
    /// The bounds on PostgreSQL connections.
    pub postgres_door: PostgresSettings,
    /// The bounds on Flight clients and what they keep on the server.
    pub flight_door: FlightSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    origins: BTreeMap<&'static str, String>,
}

/// The bounds on HTTP connections and what they keep on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Connections at once; further ones are answered 503.
    pub connections: usize,
    /// Bytes of one request body, also after decompression.
    pub body_bytes: ByteSize,
    /// Bytes of all request bodies in memory at once; further ones are answered 429.
    pub bodies_bytes: ByteSize,
    /// How long a request's head may take, and how long a kept-alive connection may be idle.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How often a quiet event stream carries a comment, so that proxies keep it open.
    pub event_keep_alive: Duration,
    /// A WebSocket whose client does not take a message for so long is closed.
    pub websocket_send_timeout: Duration,
    /// Sessions at once.
    pub sessions: usize,
    /// A session unused for so long is closed.
    pub session_idle: Duration,
    /// Submitted statements kept at once.
    pub statements: usize,
    /// An ended statement is kept for so long after it was last asked for.
    pub statement_expiry: Duration,
    /// Bytes of one submitted statement's rows on disk.
    pub statement_bytes: ByteSize,
    /// Web pages' origins that may call this server from a browser.
    pub allow_origins: Vec<String>,
    /// Names, besides localhost and addresses, by which browsers may call this server.
    pub allow_hosts: Vec<String>,
}

/// The bounds on Kafka connections, and what topics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Connections at once; further ones are closed.
    pub connections: usize,
    /// Bytes of one request; a larger one closes its connection.
    pub request_bytes: ByteSize,
    /// Bytes of all large requests in memory at once; further ones are read when there is room.
    pub requests_bytes: ByteSize,
    /// A connection that is silent, or does not read its answers, for so long is closed.
    pub idle: Duration,
    /// Whether a client that asks about a topic that is not there makes it.
    pub auto_create_topics: bool,
    /// Where clients are told to connect, as host:port; empty for where the door listens.
    pub advertised: String,
    /// Bytes a second that one client id may produce; `None` is no bound.
    pub produce_rate: Option<ByteSize>,
    /// Bytes a second that one client id may fetch; `None` is no bound.
    pub fetch_rate: Option<ByteSize>,
}

/// The bounds on Flight clients and what they keep on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightSettings {
    /// Connections at once; further ones are closed.
    pub connections: usize,
    /// Calls at once on one connection.
    pub streams: u32,
    /// How long a connection may take to its first call, and a handshake to its message.
    pub handshake_timeout: Duration,
    /// Bytes of a message that rows are sent in; a single row may be larger.
    pub message_bytes: ByteSize,
    /// Bytes of one upload: rows that are ingested, or parameters.
    pub upload_bytes: ByteSize,
    /// Bytes of all uploads in memory at once; further ones are refused.
    pub uploads_bytes: ByteSize,
    /// How long an upload may be silent.
    pub upload_timeout: Duration,
    /// Sessions at once.
    pub sessions: usize,
    /// A session that no connection has and nobody used for so long is closed.
    pub session_idle: Duration,
    /// Answers that wait for their reader at once.
    pub tickets: usize,
    /// An answer that nobody came to read for so long is cancelled.
    pub ticket_expiry: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least level, also by module: `info,weir_engine=debug`.
    pub level: String,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
}

/// What the command line says; everything that is given wins over file and environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`: the file to read; without it `weir.toml` in the working folder, if there is one.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--http`.
    pub http: Option<String>,
    /// `--postgres`.
    pub postgres: Option<String>,
    /// `--flight`.
    pub flight: Option<String>,
    /// `--kafka`.
    pub kafka: Option<String>,
    /// `--auth`.
    pub auth: bool,
    /// `--tls`.
    pub tls: bool,
    /// `--dangerously-open-to-the-network`.
    pub dangerously_open_to_the_network: bool,
    /// `--allow-path`, each replaces nothing and adds one folder.
    pub allow_paths: Vec<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--set KEY=VALUE` for any key of `weir.toml`, dotted.
    pub settings: Vec<(String, String)>,
}

/// Variables that begin with `WEIR_` and are not settings: the command line's own, those of the project's tests and
/// benchmarks, and those that Kubernetes sets in every container for a service called "weir".
fn is_foreign(variable: &str) -> bool {
    const NAMES: [&str; 8] = [
        "WEIR_CONFIG",
        "WEIR_URL",
        "WEIR_FORMAT",
        "WEIR_HISTORY",
        "WEIR_BIN",
        "WEIR_SEED",
        "WEIR_SOAK",
        "WEIR_PORT",
    ];
    const PREFIXES: [&str; 5] = [
        "WEIR_PORT_",
        "WEIR_SERVICE_",
        "WEIR_TEST_",
        "WEIR_SLT",
        "WEIR_BENCH_",
    ];
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./weir-data"),
            allow_paths: Vec::new(),
            allow_locations: Vec::new(),
            allow_private_network: false,
            http: Listen::At("127.0.0.1:8080".to_owned()),
            postgres: Listen::At("127.0.0.1:5433".to_owned()),
            flight: Listen::At("127.0.0.1:8815".to_owned()),
            kafka: Listen::At("127.0.0.1:9092".to_owned()),
            shutdown_grace: Duration::from_secs(30),
            segment_bytes: ByteSize(128 << 20),
            upkeep_interval: Duration::from_secs(5),
            checkpoint_interval: Duration::from_secs(10),
            checkpoint_copies: CopySettings::default(),
            history: HistorySettings::default(),
            auth: false,
            tls: TlsSettings::default(),
            dangerously_open_to_the_network: false,
            limits: Limits::default(),
            rest: HttpSettings::default(),
            kafka_door: KafkaSettings::default(),
            postgres_door: PostgresSettings::default(),
            flight_door: FlightSettings::default(),
            log: LogSettings::default(),
            origins: BTreeMap::new(),
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connections: 1000,
            body_bytes: ByteSize(64 << 20),
            bodies_bytes: ByteSize(512 << 20),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            event_keep_alive: Duration::from_secs(15),
            websocket_send_timeout: Duration::from_secs(60),
            sessions: 1000,
            session_idle: Duration::from_secs(30 * 60),
            statements: 200,
            statement_expiry: Duration::from_secs(60 * 60),
            statement_bytes: ByteSize(1 << 30),
            allow_origins: Vec::new(),
            allow_hosts: Vec::new(),
        }
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            connections: 1000,
            request_bytes: ByteSize(100 << 20),
            requests_bytes: ByteSize(512 << 20),
            idle: Duration::from_secs(10 * 60),
            auto_create_topics: true,
            advertised: String::new(),
            produce_rate: None,
            fetch_rate: None,
        }
    }
}

impl Default for FlightSettings {
    fn default() -> Self {
        Self {
            connections: 1000,
            streams: 250,
            handshake_timeout: Duration::from_secs(30),
            // What clients take that set nothing.
            message_bytes: ByteSize(4 << 20),
            upload_bytes: ByteSize(256 << 20),
            uploads_bytes: ByteSize(512 << 20),
            upload_timeout: Duration::from_secs(60),
            sessions: 1000,
            session_idle: Duration::from_secs(30 * 60),
            tickets: 100,
            ticket_expiry: Duration::from_secs(60),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Reads the file, this process's environment, and the command line.
    ///
    /// # Errors
    /// [`Error::Config`] names the first wrong key or value and where it stands.
    pub fn load(overrides: &Overrides) -> Result<Self> {
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self::from_sources(overrides, environment)
    }

    /// As [`Config::load`], with the environment given.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_sources(
        overrides: &Overrides,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter(|(key, _)| key.starts_with("WEIR_"))
            .collect();
        let mut config = Self::default();
        let named = overrides
            .config
            .clone()
            .or_else(|| environment.remove("WEIR_CONFIG").map(PathBuf::from));
        let standard = Path::new("weir.toml");
        if let Some(path) = named
            .as_deref()
            .or_else(|| standard.exists().then_some(standard))
        {
            config.read_file(path)?;
        }
        for (variable, text) in &environment {
            if is_foreign(variable) {
                continue;
            }
            let setting = SETTINGS
                .iter()
                .find(|setting| setting.variable() == *variable)
                .ok_or_else(|| {
                    let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
                    Error::Config {
                        origin: "environment".to_owned(),
                        reason: format!("unknown variable {variable}"),
                        hint: nearest(variable, names.iter().map(String::as_str))
                            .map(|name| format!("did you mean {name}?")),
                    }
                })?;
            config.set(
                setting,
                Given::One(text.clone()),
                &format!("environment {variable}"),
            )?;
        }
        config.apply(overrides)?;
        Ok(config)
    }

    /// The engine's part.
    pub fn engine_settings(&self) -> Settings {
        Settings {
            data_dir: self.data_dir.clone(),
            allow_paths: self.allow_paths.clone(),
            allow_locations: self.allow_locations.clone(),
            allow_private_network: self.allow_private_network,
            segment_bytes: self.segment_bytes,
            upkeep_interval: self.upkeep_interval,
            history: self.history.clone(),
            checkpoint_interval: self.checkpoint_interval,
            checkpoint_copies: self.checkpoint_copies.clone(),
            auth: self.auth,
            limits: self.limits.clone(),
        }
    }

    /// The whole effective configuration as a `weir.toml` with comments, each with where its value comes from.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# The effective configuration of weir. Saved as weir.toml it means the same.\n\
             # A key may also be given as environment variable (limits.memory is WEIR_LIMITS_MEMORY) or --set KEY=VALUE.\n",
        );
        let mut section = "";
        for setting in SETTINGS {
            let (table, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
            if table != section {
                text.push_str(&format!("\n[{table}]\n"));
                section = table;
            }
            text.push_str(&format!("\n# {}\n", setting.about));
            if let Some(origin) = self.origins.get(setting.key) {
                text.push_str(&format!("# Set by {origin}.\n"));
            }
            match (setting.show)(self) {
                Some(value) => text.push_str(&format!("{name} = {value}\n")),
                None => text.push_str(&format!("# {name} =\n")),
            }
        }
        text
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let origin = path.display().to_string();
        let fail = |reason: String| Error::Config {
            origin: origin.clone(),
            reason,
            hint: None,
        };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| fail(error.to_string()))?;
        self.read_table(&table, "", &origin)
    }

    fn read_table(&mut self, table: &toml::Table, prefix: &str, origin: &str) -> Result<()> {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            if let toml::Value::Table(inner) = value {
                let known = SETTINGS
                    .iter()
                    .any(|setting| setting.key.starts_with(&format!("{key}.")));
                if known {
                    self.read_table(inner, &key, origin)?;
                    continue;
                }
            }
            let setting = find(&key, origin)?;
            let given = Given::from_toml(value).map_err(|reason| Error::Config {
                origin: format!("{origin}, {key}"),
                reason,
                hint: None,
            })?;
            self.set(setting, given, &format!("{origin}, {key}"))?;
        }
        Ok(())
    }

    fn apply(&mut self, overrides: &Overrides) -> Result<()> {
        for (key, text) in &overrides.settings {
            let origin = format!("--set {key}");
            self.set(find(key, &origin)?, Given::One(text.clone()), &origin)?;
        }
        let data_dir = overrides
            .data_dir
            .as_ref()
            .map(|path| path.display().to_string());
        let flags = [
            ("data_dir", "--data-dir", &data_dir),
            ("http", "--http", &overrides.http),
            ("postgres", "--postgres", &overrides.postgres),
            ("flight", "--flight", &overrides.flight),
            ("kafka", "--kafka", &overrides.kafka),
            ("log.level", "--log-level", &overrides.log_level),
            ("log.format", "--log-format", &overrides.log_format),
        ];
        for (key, flag, text) in flags {
            if let Some(text) = text {
                self.set(find(key, flag)?, Given::One(text.clone()), flag)?;
            }
        }
        let switches = [
            ("auth.enabled", "--auth", overrides.auth),
            ("tls.enabled", "--tls", overrides.tls),
            (
                "dangerously_open_to_the_network",
                "--dangerously-open-to-the-network",
                overrides.dangerously_open_to_the_network,
            ),
        ];
        for (key, flag, is_given) in switches {
            if is_given {
                self.set(find(key, flag)?, Given::One("true".to_owned()), flag)?;
            }
        }
        if let Some(path) = &overrides.data_dir {
            self.data_dir.clone_from(path);
        }
        if !overrides.allow_paths.is_empty() {
            self.allow_paths
                .extend(overrides.allow_paths.iter().cloned());
            self.origins
                .insert("allow_paths", "--allow-path".to_owned());
        }
        Ok(())
    }

    fn set(&mut self, setting: &'static Setting, given: Given, origin: &str) -> Result<()> {
        (setting.set)(self, given).map_err(|reason| Error::Config {
            origin: origin.to_owned(),
            reason,
            hint: None,
        })?;
        self.origins.insert(setting.key, origin.to_owned());
        Ok(())
    }
}

fn find(key: &str, origin: &str) -> Result<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.key == key)
        .ok_or_else(|| Error::Config {
            origin: origin.to_owned(),
            reason: format!("unknown key {key:?}"),
            hint: nearest(key, SETTINGS.iter().map(|setting| setting.key))
                .map(|near| format!("did you mean {near:?}?"))
                .or_else(|| Some("weir config prints all keys".to_owned())),
        })
}

#[cfg(test)]
mod tests {
    use weir_base::Classify;

    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], overrides: Overrides) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.toml");
        std::fs::write(&path, file).unwrap();
        let overrides = Overrides {
            config: Some(path),
            ..overrides
        };
        let environment = environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Config::from_sources(&overrides, environment)
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_file() {
        let file = "http = \"127.0.0.1:1\"\n[limits]\nmemory = \"1GB\"\nquery_timeout = \"5min\"\n[rest]\nsessions = 7\n";
        let environment = [
            ("WEIR_HTTP", "127.0.0.1:2"),
            ("WEIR_LIMITS_MEMORY", "2GB"),
            ("PATH", "/bin"),
        ];
        let overrides = Overrides {
            http: Some("127.0.0.1:3".to_owned()),
            allow_paths: vec![PathBuf::from("/data, old")],
            ..Overrides::default()
        };
        let config = load(file, &environment, overrides).unwrap();
        assert_eq!(config.http, Listen::At("127.0.0.1:3".to_owned()));
        assert_eq!(config.limits.memory, ByteSize(2 << 30));
        assert_eq!(config.limits.query_timeout, Duration::from_secs(300));
        assert_eq!(config.rest.sessions, 7);
        assert_eq!(config.allow_paths, [PathBuf::from("/data, old")]);
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let hint = |result: Result<Config>| {
            let error = result.unwrap_err();
            (error.to_string(), error.hint())
        };
        let (message, help) = hint(load(
            "[limits]\nmemmory = \"1GB\"",
            &[],
            Overrides::default(),
        ));
        assert!(
            message.ends_with("weir.toml: unknown key \"limits.memmory\""),
            "{message}"
        );
        assert_eq!(help.as_deref(), Some("did you mean \"limits.memory\"?"));
        let (message, help) = hint(load("", &[("WEIR_DATADIR", "x")], Overrides::default()));
        assert_eq!(message, "environment: unknown variable WEIR_DATADIR");
        assert_eq!(help.as_deref(), Some("did you mean WEIR_DATA_DIR?"));
        let set = Overrides {
            settings: vec![("log.levle".to_owned(), "info".to_owned())],
            ..Overrides::default()
        };
        assert_eq!(
            hint(load("", &[], set)).1.as_deref(),
            Some("did you mean \"log.level\"?")
        );
        let (message, _) = hint(load("[limit]\nmemory = 1", &[], Overrides::default()));
        assert!(message.contains("unknown key \"limit\""), "{message}");
    }

    #[test]
    fn wrong_values_say_where_they_stand() {
        let error = load("[limits]\nmemory = \"lots\"", &[], Overrides::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("weir.toml, limits.memory: \"lots\" is not a size"),
            "{error}"
        );
        let error = load("http = 8080", &[], Overrides::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("is not an address"), "{error}");
        let error = load("", &[("WEIR_LOG_FORMAT", "xml")], Overrides::default())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "environment WEIR_LOG_FORMAT: \"xml\" is not a log format: use text or json"
        );
    }

    #[test]
    fn what_is_rendered_reads_back_the_same() {
        let overrides = Overrides {
            allow_paths: vec![PathBuf::from("/a \"b\""), PathBuf::from("/c,d")],
            settings: vec![("limits.result_rows".to_owned(), "1000".to_owned())],
            ..Overrides::default()
        };
        let first = Config::from_sources(&overrides, []).unwrap();
        let text = first.render();
        assert!(
            text.contains("# Set by --set limits.result_rows.\nresult_rows = 1000"),
            "{text}"
        );
        let second = load(&text, &[], Overrides::default()).unwrap();
        for setting in SETTINGS {
            assert_eq!(
                (setting.show)(&first),
                (setting.show)(&second),
                "{}",
                setting.key
            );
        }
    }

    #[test]
    fn kubernetes_service_variables_are_no_settings() {
        let environment = [
            ("WEIR_SERVICE_HOST", "10.0.0.1"),
            ("WEIR_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("WEIR_URL", "x"),
        ];
        assert!(load("", &environment, Overrides::default()).is_ok());
    }
}
