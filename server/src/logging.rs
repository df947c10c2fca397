//! Structured logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};
use crate::error::{Error, Result};

/// Sends the process's logs to standard error, as text or as a JSON object a line.
///
/// # Errors
/// When the level does not parse, or logging was set up before.
pub fn init_logging(settings: &LogSettings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|error| Error::Config {
        origin: "log.level".to_owned(),
        reason: format!("{:?} is not a log level: {error}", settings.level),
        hint: Some(
            "use error, warn, info, debug or trace, also by module: info,weir_engine=debug"
                .to_owned(),
        ),
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true);
    match settings.format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init(),
    }
    .map_err(|error| Error::Logging(error.to_string()))
}
