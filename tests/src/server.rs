//! A `weir serve` of the test's own: a child process on ports that the system picks, with a data folder that goes away.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::{binary, logs, process};

/// How long a start or stop may take: generous, since the build under test may be unoptimised and the machine busy.
const START_BOUND: Duration = Duration::from_secs(60);
const STOP_BOUND: Duration = Duration::from_secs(60);

/// How a server is to be started.
#[derive(Debug, Clone, Default)]
pub struct ServerBuilder {
    binary: Option<PathBuf>,
    data_dir: Option<Arc<Folder>>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    config: Option<String>,
    expected_logs: Vec<String>,
}

/// A data folder: the test's own until the last server on it is gone, or one that stays.
#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

impl ServerBuilder {
    /// Another binary than the one that was built beside the tests.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Runs on a folder that stays after the test.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(Arc::new(Folder::Kept(path.into())));
        self
    }

    /// One more command line argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Opens the Kafka door, too.
    #[must_use]
    pub fn kafka(self) -> Self {
        self.arg("--kafka").arg("127.0.0.1:0")
    }

    /// Opens the Flight door, too.
    #[must_use]
    pub fn flight(self) -> Self {
        self.arg("--flight").arg("127.0.0.1:0")
    }

    /// Opens the PostgreSQL door, too.
    #[must_use]
    pub fn postgres(self) -> Self {
        self.arg("--postgres").arg("127.0.0.1:0")
    }

    /// Lets queries read and write files below `path`.
    #[must_use]
    pub fn allow_path(self, path: impl Into<PathBuf>) -> Self {
        self.arg("--allow-path").arg(path.into())
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The text of `weir.toml`.
    #[must_use]
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.config = Some(toml.into());
        self
    }

    /// A log line at WARN or ERROR that holds `piece` is part of the test; any other fails it.
    #[must_use]
    pub fn expect_log(mut self, piece: impl Into<String>) -> Self {
        self.expected_logs.push(piece.into());
        self
    }

    /// Starts the server and waits until it says where it listens.
    ///
    /// # Panics
    /// When it does not start; the message holds its log.
    pub fn start(mut self) -> Server {
        let folder = self
            .data_dir
            .get_or_insert_with(|| {
                let folder = tempfile::Builder::new()
                    .prefix("weir-test-")
                    .tempdir()
                    .expect("a temporary folder can be made");
                Arc::new(Folder::Temporary(folder))
            })
            .clone();
        let mut command = self.command(folder.path());
        let started = Instant::now();
        let mut child = process::spawn(&mut command).expect("the weir binary can be run");
        let output = logs::Lines::collect(child.stdout.take().expect("stdout is piped"));
        let log = logs::Lines::collect(child.stderr.take().expect("stderr is piped"));
        let address = loop {
            let address = output.find(|line| line.strip_prefix("http ").map(str::to_owned));
            if let Some(address) = address {
                break address;
            }
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!(
                    "weir serve ended at its start with {}:\n{}\n{}",
                    process::describe(status),
                    output.finish().join("\n"),
                    log.finish().join("\n")
                );
            }
            if started.elapsed() > START_BOUND {
                let _ = child.kill();
                panic!(
                    "weir serve named no http address within {START_BOUND:?}:\n{}\n{}",
                    output.now().join("\n"),
                    log.now().join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Server {
            client: Client::new(address.trim()),
            builder: self,
            folder,
            child: Some(child),
            output,
            log,
            start_time: started.elapsed(),
        }
    }

    /// Runs the server where it must refuse to start, and gives how it ended and all that it said.
    ///
    /// # Panics
    /// When it starts to serve all the same.
    pub fn refused(self) -> (ExitStatus, String) {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let path = self
            .data_dir
            .as_ref()
            .map_or(folder.path(), |folder| folder.path())
            .to_owned();
        let mut child =
            process::spawn(&mut self.command(&path)).expect("the weir binary can be run");
        let output = logs::Lines::collect(child.stdout.take().expect("stdout is piped"));
        let log = logs::Lines::collect(child.stderr.take().expect("stderr is piped"));
        let status = process::wait(&mut child, START_BOUND, "a weir serve that must refuse");
        let said = [output.finish(), log.finish()].concat().join("\n");
        assert!(!said.contains("http http://"), "it served:\n{said}");
        (status, said)
    }

    fn command(&self, data_dir: &Path) -> Command {
        let mut command = Command::new(self.binary.clone().unwrap_or_else(binary::weir));
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir.join("data"))
            .current_dir(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.arguments.iter().any(|argument| argument == "--http") {
            command.args(["--http", "127.0.0.1:0"]);
        }
        if !self.arguments.iter().any(|argument| argument == "--kafka") {
            command.args(["--kafka", "off"]);
        }
        if !self.arguments.iter().any(|argument| argument == "--flight") {
            command.args(["--flight", "off"]);
        }
        if !self
            .arguments
            .iter()
            .any(|argument| argument == "--postgres")
        {
            command.args(["--postgres", "off"]);
        }
        if let Some(toml) = &self.config {
            let path = data_dir.join("weir.toml");
            std::fs::write(&path, toml).expect("the data folder is writable");
            command.arg("--config").arg(path);
        }
        command.args(&self.arguments);
        // What the tester has set for their own server is not for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running server. When it is dropped it is killed, and its log is checked.
#[derive(Debug)]
pub struct Server {
    client: Client,
    builder: ServerBuilder,
    folder: Arc<Folder>,
    child: Option<Child>,
    output: logs::Lines,
    log: logs::Lines,
    start_time: Duration,
}

impl Server {
    /// A server as a user gets it who sets nothing.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server that is to be started in some way.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its REST address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// Its host and port, for raw connections.
    pub fn address(&self) -> &str {
        self.url().trim_start_matches("http://")
    }

    /// Where its Kafka door listens, as host:port.
    ///
    /// # Panics
    /// When it does not say so in time.
    pub fn kafka(&self) -> String {
        self.door("kafka ")
    }

    /// Where its Flight door listens, as host:port.
    ///
    /// # Panics
    /// When it does not say so in time.
    pub fn flight(&self) -> String {
        self.door("flight ")
    }

    /// Where its PostgreSQL door listens, as host:port.
    ///
    /// # Panics
    /// When it does not say so in time.
    pub fn postgres(&self) -> String {
        self.door("postgres ")
    }

    fn door(&self, name: &str) -> String {
        let started = Instant::now();
        loop {
            let found = self
                .output
                .find(|line| line.strip_prefix(name).map(str::to_owned));
            if let Some(address) = found {
                return address.trim().to_owned();
            }
            assert!(started.elapsed() < START_BOUND, "no {name}door was named");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The administrator's token that it printed at its first start.
    ///
    /// # Panics
    /// When it does not print one in time.
    pub fn token(&self) -> String {
        let started = Instant::now();
        loop {
            let found = self
                .output
                .find(|line| line.strip_prefix("token ").map(str::to_owned));
            if let Some(token) = found {
                return token.trim().to_owned();
            }
            assert!(started.elapsed() < START_BOUND, "no token was printed");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A client of it with that token.
    pub fn admin(&self) -> Client {
        self.client().with_token(&self.token())
    }

    /// The folder that holds its data folder (`data`) and configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The time from the start of the process to the line that names its address.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.now()
    }

    /// What it wrote to its standard output so far.
    pub fn output(&self) -> Vec<String> {
        self.output.now()
    }

    /// Asks it to stop (SIGTERM), waits, and checks that it exits with 0 and logged nothing alarming.
    ///
    /// # Panics
    /// When it does not end in time, not with 0, or with unexpected warnings.
    pub fn stop(mut self) -> ServerBuilder {
        let mut child = self.child.take().expect("the server runs");
        process::signal(&child, libc::SIGTERM);
        let status = process::wait(&mut child, STOP_BOUND, "weir serve after SIGTERM");
        let log = self.log.finish();
        assert!(
            status.success(),
            "weir serve ended after SIGTERM with {}:\n{}",
            process::describe(status),
            log.join("\n")
        );
        self.check_log(&log);
        self.builder.clone()
    }

    /// Kills it (SIGKILL) at once. The builder starts another one on the same data folder.
    ///
    /// # Panics
    /// When it logged unexpected warnings.
    pub fn kill(mut self) -> ServerBuilder {
        let mut child = self.child.take().expect("the server runs");
        process::signal(&child, libc::SIGKILL);
        let _ = process::wait(&mut child, STOP_BOUND, "weir serve after SIGKILL");
        let log = self.log.finish();
        self.check_log(&log);
        self.builder.clone()
    }

    /// Waits until it ends by itself (at a fail point, in a binary that was built with the feature `failpoints`). The builder starts another one on the same data folder.
    ///
    /// # Panics
    /// When it goes on.
    pub fn wait_for_end(mut self) -> (ExitStatus, ServerBuilder) {
        let mut child = self.child.take().expect("the server runs");
        let what = "weir serve at its fail point (is the binary built with --features weir-cli/failpoints?)";
        let status = process::wait(&mut child, STOP_BOUND, what);
        (status, self.builder.clone())
    }

    /// Whether the process still runs.
    ///
    /// # Panics
    /// When it was waited for already.
    pub fn runs(&mut self) -> bool {
        let child = self.child.as_mut().expect("the server was started");
        matches!(child.try_wait(), Ok(None))
    }

    fn check_log(&self, log: &[String]) {
        let unexpected = logs::unexpected(log, &self.builder.expected_logs);
        assert!(
            unexpected.is_empty(),
            "the server logged what no test expects:\n{}",
            unexpected.join("\n")
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let _ = child.kill();
        let _ = child.wait();
        let log = self.log.finish();
        if std::thread::panicking() {
            let tail = log.len().saturating_sub(40);
            eprintln!("--- the server's log:\n{}\n---", log[tail..].join("\n"));
        } else {
            self.check_log(&log);
        }
    }
}

impl ServerBuilder {
    /// The same server without the environment variables that were set, on the same folder.
    #[must_use]
    pub fn without_env(mut self) -> Self {
        self.environment.clear();
        self
    }
}
