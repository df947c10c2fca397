//! `\d` and its kin, and `\watch`: statements that the shell writes itself.

use std::time::Duration;

use chrono::Local;
use tokio::signal::ctrl_c;
use tokio::time::sleep;

use super::backslash::Listed;
use super::shell::Shell;
use super::statement;
use crate::error::{Error, Result};

/// Everything that can be selected from, with its schema and kind.
pub(super) const RELATIONS: &str = "SELECT \"schema\", name, 'stream' AS kind FROM weir.streams \
     UNION ALL SELECT \"schema\", name, 'table' FROM weir.tables \
     UNION ALL SELECT \"schema\", name, 'external table' FROM weir.external_tables \
     UNION ALL SELECT \"schema\", name, 'view' FROM weir.views";

/// Lists relations, of one kind or all.
pub(super) async fn list(shell: &mut Shell, kind: Option<Listed>) -> Result<()> {
    let condition = match kind {
        None => "",
        Some(Listed::Tables) => " WHERE kind IN ('table', 'external table')",
        Some(Listed::Streams) => " WHERE kind = 'stream'",
        Some(Listed::Views) => " WHERE kind = 'view'",
    };
    let sql = format!("SELECT * FROM ({RELATIONS}) AS relations{condition} ORDER BY 1, 2");
    own(shell, &sql).await
}

/// A relation's columns, then the statement that made it, where there is one.
pub(super) async fn describe(shell: &mut Shell, name: &str) -> Result<()> {
    own(shell, &format!("DESCRIBE {name}")).await?;
    match shell.client.texts(&format!("SHOW CREATE {name}")).await {
        Ok(rows) => {
            let statement = rows.first().and_then(|row| row.last()?.clone());
            statement.map_or(Ok(()), |statement| shell.tell(&format!("{statement};")))
        }
        // A system table has columns, but nobody created it.
        Err(Error::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Runs `sql` again and again until Ctrl-C.
pub(super) async fn watch(shell: &mut Shell, sql: &str, interval: Duration) -> Result<()> {
    loop {
        let now = Local::now().format("%a %d %b %Y %H:%M:%S");
        shell.tell(&format!("{now} (every {interval:?})"))?;
        match statement::run(shell, sql).await {
            Err(Error::Interrupted) => return Ok(()),
            done => done?,
        }
        tokio::select! {
            () = sleep(interval) => {}
            _ = ctrl_c() => return Ok(()),
        }
    }
}

/// Runs a statement of the shell's own, which `\watch` and `\g` do not repeat.
async fn own(shell: &mut Shell, sql: &str) -> Result<()> {
    let last = shell.last.take();
    let done = statement::run(shell, sql).await;
    shell.last = last;
    done
}
