//! `weir config`: the whole effective configuration, as a `weir.toml` with comments.

use std::io::{Write, stdout};

use crate::error::Result;
use crate::serve::{ConfigArgs, service_error};

/// Print the configuration that `weir serve` with the same flags would use: weir.toml, environment and flags together
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Prints it.
pub(crate) fn run(args: Args) -> Result<()> {
    let config =
        weir_server::Config::load(&args.config.into_overrides()).map_err(|e| service_error(&e))?;
    stdout().write_all(config.render().as_bytes())?;
    Ok(())
}
