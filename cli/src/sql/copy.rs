//! `\copy`: rows between the server and a file beside this client.

use std::fs::File;
use std::io::BufWriter;

use super::backslash::CopyCommand;
use super::shell::Shell;
use super::statement;
use crate::error::{Error, Result};
use crate::load;
use crate::output::Format;

/// Copies.
pub(super) async fn run(shell: &mut Shell, command: CopyCommand) -> Result<()> {
    match command {
        CopyCommand::To {
            query,
            file,
            format,
        } => {
            let format = format
                .or_else(|| Format::of_file(&file))
                .unwrap_or(Format::Csv);
            let out = File::create(&file).map_err(|error| Error::file(&file, error))?;
            let sink = Box::new(BufWriter::with_capacity(1 << 16, out));
            let rows = statement::write_to(shell, &query, format, sink)
                .await
                .map_err(|error| match error {
                    Error::Output(source) => Error::file(&file, source),
                    error => error,
                })?;
            shell.tell(&format!("COPY {rows}"))
        }
        CopyCommand::From {
            stream,
            file,
            format,
        } => {
            let format = format.map(|name| name.parse()).transpose()?;
            let rows = load::file(&shell.client, &stream, &file, format).await?;
            shell.tell(&format!("COPY {rows}"))
        }
    }
}
