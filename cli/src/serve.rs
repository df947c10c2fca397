//! `weir serve`: configuration, logs, engine, front doors, and an orderly end.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use weir_base::{Classify, Kind, SystemClock};
use weir_engine::{Engine, Secret};
use weir_server::{Config, Overrides, Running, Server};

use crate::demo::{self, Demo, Welcome};
use crate::error::{Error, Result, exit};

/// Start the service. Ctrl-C or SIGTERM lets running requests end and exits with 0; a second one exits at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Create example streams and tables, and write into them
    #[arg(long)]
    demo: bool,

    /// Rows a second that the demo writes, all its streams together
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    demo_rate: u32,
}

/// The flags that say how a service is configured.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// The file to read; without it weir.toml in the working folder, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The folder of all data [default: ./weir-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Where REST listens: host:port, port 0 picks one; or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,

    /// Where the PostgreSQL protocol listens: host:port, port 0 picks one; or off [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDRESS")]
    postgres: Option<String>,

    /// Where Flight SQL listens: host:port, port 0 picks one; or off [default: 127.0.0.1:8815]
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<String>,

    /// Where the Kafka protocol listens: host:port, port 0 picks one; or off [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDRESS")]
    kafka: Option<String>,

    /// Let nobody in without credentials; the first start makes an administrator's token and prints it once
    #[arg(long)]
    auth: bool,

    /// Speak TLS on all doors, with tls.certificate and tls.key, or with a certificate made at the first start
    #[arg(long)]
    tls: bool,

    /// Let doors listen where other machines reach them, even without --auth or --tls
    #[arg(long)]
    dangerously_open_to_the_network: bool,

    /// A folder that SQL may read and write; may be given several times
    #[arg(long = "allow-path", value_name = "DIR")]
    allow_paths: Vec<PathBuf>,

    /// error, warn, info, debug or trace, also by module: info,weir_engine=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// How logs are written to standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,

    /// Any other setting, as --set limits.memory=2GB; weir config lists them all
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

impl ConfigArgs {
    /// The flags as the server's configuration takes them.
    pub(crate) fn into_overrides(self) -> Overrides {
        Overrides {
            config: self.config,
            data_dir: self.data_dir,
            http: self.http,
            postgres: self.postgres,
            flight: self.flight,
            kafka: self.kafka,
            auth: self.auth,
            tls: self.tls,
            dangerously_open_to_the_network: self.dangerously_open_to_the_network,
            allow_paths: self.allow_paths,
            log_level: self.log_level,
            log_format: self.log_format,
            settings: self.settings,
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as KEY=VALUE, such as limits.memory=2GB".to_owned()),
    }
}

/// Serves until a signal comes.
pub(crate) fn run(args: Args) -> Result<()> {
    // This runtime accepts connections and encodes; queries have a runtime of their own in the engine.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("weir-door")
        // Statements of many levels are parsed here, above what a connection has on the stack by then.
        .thread_stack_size(8 << 20)
        .build()
        .map_err(|error| Error::service(format!("no threads for the service: {error}")))?;
    let done = runtime.block_on(serve(args));
    // What still blocks (a disk that hangs) does not keep the process.
    runtime.shutdown_background();
    done
}

async fn serve(args: Args) -> Result<()> {
    let mut config =
        Config::load(&args.config.into_overrides()).map_err(|error| service_error(&error))?;
    weir_server::init_logging(&config.log).map_err(|error| service_error(&error))?;
    raise_open_files();
    let mut signals = Signals::listen()?;
    let folder = if args.demo {
        let folder = demo::unpack(&config.data_dir)?;
        config.allow_paths.push(folder.clone());
        Some(folder)
    } else {
        None
    };
    let grace = config.shutdown_grace;
    let data_dir = config.data_dir.clone();
    let engine = Engine::open(config.engine_settings(), Arc::new(SystemClock))
        .await
        .map_err(|error| service_error(&error))?;
    let first_token = engine
        .first_token()
        .map_err(|error| service_error(&error))?;
    let running = match Server::start(&config, engine.clone()).await {
        Ok(running) => running,
        Err(error) => {
            engine.close().await;
            return Err(service_error(&error));
        }
    };
    let started = tokio::select! {
        started = announce(&engine, &running, first_token.as_ref(), folder, args.demo_rate, &data_dir) => Some(started),
        () = signals.next() => None,
    };
    let (demo, failure) = match started {
        Some(Ok(demo)) => {
            signals.next().await;
            (demo, None)
        }
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    info!("stopping: running requests may end");
    tokio::spawn(async move {
        signals.next().await;
        eprintln!("weir: stopped at once by a second signal");
        std::process::exit(i32::from(exit::FAILED));
    });
    if let Some(demo) = demo {
        demo.stop().await;
    }
    // Closes the engine too.
    running.stop(grace).await;
    info!("stopped");
    failure.map_or(Ok(()), Err)
}

/// Prints the open doors, and starts the demo if it is wanted.
async fn announce(
    engine: &Engine,
    running: &Running,
    first_token: Option<&Secret>,
    folder: Option<PathBuf>,
    rate: u32,
    data_dir: &std::path::Path,
) -> Result<Option<Demo>> {
    let url = running.url();
    if let Some(url) = &url {
        print(&format!("http {url}\n"))?;
    }
    if let Some(address) = running.postgres {
        print(&format!("postgres {address}\n"))?;
    }
    if let Some(address) = running.flight {
        print(&format!("flight {address}\n"))?;
    }
    if let Some(address) = running.kafka {
        print(&format!("kafka {address}\n"))?;
    }
    if let Some(token) = first_token {
        // For programs that start the server, a line of its own like the addresses.
        print(&format!("token {}\n", token.expose()))?;
        eprintln!(
            "weir: this token is an administrator's, and is not shown again: sign in with it as user weir, then CREATE USER"
        );
    }
    let Some(folder) = folder else {
        return Ok(None);
    };
    let demo = Demo::start(engine, &folder, rate).await?;
    if let Some(url) = &url {
        let weir = program();
        let welcome = Welcome {
            url,
            rate,
            data_dir,
            weir: &weir,
        };
        print(&welcome.render())?;
    }
    Ok(Some(demo))
}

/// Standard output may be a closed pipe; a service goes on without it.
fn print(text: &str) -> Result<()> {
    let mut out = stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// How to call this binary from the working folder.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else {
        return "weir".to_owned();
    };
    let called = std::env::args_os().next().map(PathBuf::from);
    if called.is_some_and(|called| called.components().count() == 1) {
        return "weir".to_owned();
    }
    let shown = std::env::current_dir()
        .ok()
        .and_then(|folder| Some(path.strip_prefix(folder).ok()?.to_owned()))
        .unwrap_or(path);
    shown.display().to_string()
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind: SignalKind| {
            signal(kind)
                .map_err(|error| Error::service(format!("signals cannot be listened for: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Segments and connections are files: raises the soft limit of open ones to the hard one.
fn raise_open_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to one `rlimit` that lives until they return.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && limit.rlim_cur < limit.rlim_max
        {
            limit.rlim_cur = limit.rlim_max.min(1 << 20);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// An error of the server or the engine. What the operator can put right on the command line is wrong usage.
pub(crate) fn service_error(error: &impl Classify) -> Error {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !message.contains(&said) {
            message = format!("{message}: {said}");
        }
        cause = error.source();
    }
    match error.kind() {
        Kind::Invalid | Kind::Denied => Error::Usage {
            message,
            hint: error.hint(),
        },
        _ => Error::Service {
            message,
            hint: error.hint(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_pairs() {
        assert_eq!(
            setting("limits.memory = 2GB"),
            Ok(("limits.memory".into(), "2GB".into()))
        );
        assert_eq!(setting("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(setting("limits.memory").is_err() && setting("=1").is_err());
    }
}
