//! The `weir` binary: the service itself, and the command line that speaks to one over REST.
//!
//! `serve` opens the engine and its front doors; every other command is a client of a running server and never touches
//! its files. Start at [`Command`]; each command is a module of its name. What comes back from a server goes through
//! [`client`], and is written by [`output`].

mod client;
mod config;
mod demo;
mod error;
mod load;
mod output;
mod progress;
mod serve;
mod sql;
mod tail;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{EXIT_CODES, Error, Result};

/// mimalloc: queries allocate and free many column buffers on many threads, where the system's allocator gives memory
/// back late.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Weir answers SQL over files, tables and live streams.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the service
    Serve(serve::Args),
    /// Run SQL: a prompt, a statement, a file
    Sql(sql::Args),
    /// Print a stream's rows as they come
    Tail(tail::Args),
    /// Append a file's rows to a stream
    Load(load::Args),
    /// Print the whole effective configuration
    Config(config::Args),
}

fn main() -> ExitCode {
    // Fail points that a test names in the variable FAILPOINTS; they hold until the process ends.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    #[cfg(feature = "failpoints")]
    abort_at_fail_points();
    // On a wrong command line clap prints what is wrong and exits with code 2.
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Sql(args) => sql::run(args),
        Command::Tail(args) => {
            client_runtime().and_then(|runtime| runtime.block_on(tail::run(args)))
        }
        Command::Load(args) => {
            client_runtime().and_then(|runtime| runtime.block_on(load::run(args)))
        }
        Command::Config(args) => config::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_closed_pipe() && !matches!(error, Error::Reported(_)) {
                eprintln!("{}", error.render());
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Makes a panic at a fail point the end of the process, as a crash is: nothing is unwound, flushed or answered.
#[cfg(feature = "failpoints")]
fn abort_at_fail_points() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        if panic
            .payload_as_str()
            .is_some_and(|message| message.starts_with("failpoint "))
        {
            std::process::abort();
        }
    }));
}

/// The runtime of a client command: one thread for the connection beside the one that reads and writes.
fn client_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::service(format!("no threads for the client: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
