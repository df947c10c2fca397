//! `weir sql`: statements from a prompt, the command line, a file or standard input.

mod backslash;
mod catalog;
mod complete;
mod copy;
mod highlight;
mod lexer;
mod prompt;
mod script;
mod shell;
mod statement;

use std::path::PathBuf;
use std::time::Duration;

use weir_base::parse_duration;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::output::Format;
use crate::{client_runtime, terminal};
use shell::Shell;

/// Run SQL: at a prompt, or given with -c, -f or on standard input
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// Run these statements and leave; may be given several times
    #[arg(short, long = "command", value_name = "SQL", conflicts_with = "files")]
    commands: Vec<String>,

    /// Run the statements in this file and leave; - is standard input
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How rows are written
    #[arg(long, value_enum, env = "WEIR_FORMAT", default_value = "table")]
    format: Format,

    /// Write rows to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// One line a column
    #[arg(short = 'x', long)]
    expanded: bool,

    /// Print how long each statement took
    #[arg(long)]
    timing: bool,

    /// Go on with the next statement after one that failed (the exit code is still 1)
    #[arg(long)]
    keep_going: bool,

    /// Cancel a statement that takes longer, such as 30s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Which server.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server's address
    #[arg(long, env = "WEIR_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
}

/// Runs what the command line gives, else standard input, else a prompt.
pub(crate) fn run(args: Args) -> Result<()> {
    let runtime = client_runtime()?;
    let client = Client::new(&args.server.url)?;
    let interactive = args.commands.is_empty() && args.files.is_empty() && terminal::is_input();
    let mut shell = Shell::new(client, args.format, interactive);
    shell.set_expanded(args.expanded);
    shell.timing = args.timing;
    shell.keep_going = args.keep_going;
    shell.timeout = args.timeout;
    if let Some(path) = &args.output {
        shell.set_output(Some(path))?;
    }
    let binary = args.format.is_binary() && args.output.is_none();
    if binary && !interactive && terminal::is_output() {
        return Err(Error::Usage {
            message: "a binary format is not written to a terminal".into(),
            hint: Some("add --output FILE, or redirect".into()),
        });
    }
    runtime.block_on(shell.connect())?;
    let done = if interactive {
        prompt::run(&mut shell, &runtime)
    } else {
        runtime.block_on(batch(&mut shell, args.commands, args.files))
    };
    runtime.block_on(shell.disconnect());
    done
}

async fn batch(shell: &mut Shell, commands: Vec<String>, files: Vec<PathBuf>) -> Result<()> {
    for command in &commands {
        script::run(shell, command, None).await?;
    }
    for file in &files {
        script::run_file(shell, file).await?;
    }
    if commands.is_empty() && files.is_empty() {
        script::run_file(shell, std::path::Path::new("-")).await?;
    }
    shell.outcome()
}
