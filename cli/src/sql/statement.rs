//! One statement, from the request to the last row on the screen.

use std::time::{Duration, Instant};

use tokio::signal::ctrl_c;
use tokio::time::{MissedTickBehavior, interval};
use weir_sql::Statement;
use weir_sql::statement::{Explain, Query};

use super::shell::Shell;
use crate::client::{Answer, Command};
use crate::error::{Error, Result};
use crate::output::{Format, RowWriter, Sink};
use crate::progress::Progress;

/// How often progress is shown, and how long rows of a live query may be held back while more arrive.
const REFRESH: Duration = Duration::from_millis(100);

/// What is known of a statement before the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Nature {
    /// It answers until it is cancelled.
    live: bool,
    /// It may add or remove names.
    changes_names: bool,
}

/// Executes `sql` and writes its rows where the shell says.
pub(super) async fn run(shell: &mut Shell, sql: &str) -> Result<()> {
    let nature = nature(sql);
    shell.last = Some(sql.to_owned());
    let started = Instant::now();
    let mut done = execute(shell, sql, nature).await;
    if done
        .as_ref()
        .is_err_and(|error| shell.client.has_lost_session(error))
    {
        shell.connect().await?;
        eprintln!("NOTICE:  the session had ended; its settings and temporary tables are gone");
        done = execute(shell, sql, nature).await;
    }
    if nature.changes_names {
        shell.names_are_old = true;
    }
    if shell.timing {
        eprintln!("Time: {}", time(started.elapsed()));
    }
    done
}

/// Executes a query and writes its rows in `format` to `sink`; answers their number.
pub(super) async fn write_to(shell: &Shell, sql: &str, format: Format, sink: Sink) -> Result<u64> {
    let mut rows = Rows::start(shell, sql, nature(sql), true).await?;
    let mut writer = format.writer(&rows.answer.schema()?, shell.expanded(), sink)?;
    let copied = rows.copy(writer.as_mut()).await;
    end(writer, copied, rows.live)?;
    Ok(rows.count)
}

/// Ends the output. What broke off does not look whole: no closing bracket, no number of rows. But a live query has no
/// other end than Ctrl-C.
fn end(mut writer: Box<dyn RowWriter>, copied: Result<()>, live: bool) -> Result<()> {
    match copied {
        Ok(()) => writer.finish(),
        Err(Error::Interrupted) if live => writer.finish(),
        Err(error) => {
            writer.flush()?;
            Err(error)
        }
    }
}

async fn execute(shell: &Shell, sql: &str, nature: Nature) -> Result<()> {
    let progress = !nature.live && (shell.interactive || !shell.shows_rows());
    let mut rows = Rows::start(shell, sql, nature, progress).await?;
    let schema = rows.answer.schema()?;
    if let Some(command) = rows.answer.command().cloned() {
        let written = rows.drain().await?;
        rows.progress.clear();
        return shell.tell(&tag(&command, written));
    }
    if shell.format.is_binary() && shell.shows_rows() {
        return Err(Error::Usage {
            message: "a binary format is not written to a terminal".into(),
            hint: Some("\\o FILE sends rows to a file; \\format table shows them".into()),
        });
    }
    let mut writer = shell
        .format
        .writer(&schema, shell.expanded(), shell.sink()?)?;
    let copied = rows.copy(writer.as_mut()).await;
    rows.progress.clear();
    end(writer, copied, nature.live)
}

/// An answer that is being read.
struct Rows<'a> {
    shell: &'a Shell,
    answer: Answer,
    live: bool,
    progress: Progress,
    count: u64,
}

impl<'a> Rows<'a> {
    /// Sends the statement and waits for the columns.
    async fn start(shell: &'a Shell, sql: &str, nature: Nature, progress: bool) -> Result<Self> {
        let progress = Progress::new(progress, None);
        let mut tick = interval(REFRESH);
        let answer = {
            let sent = shell.client.execute(sql, shell.timeout);
            tokio::pin!(sent);
            loop {
                tokio::select! {
                    answer = &mut sent => break answer?,
                    // Dropping the request closes its connection, and that cancels the query.
                    _ = ctrl_c() => return Err(Error::Interrupted),
                    _ = tick.tick() => progress.update(0, 0),
                }
            }
        };
        Ok(Self {
            shell,
            answer,
            live: nature.live,
            progress,
            count: 0,
        })
    }

    /// Writes all rows; those of a live query are visible as soon as no more are on their way.
    async fn copy(&mut self, writer: &mut dyn RowWriter) -> Result<()> {
        let shows_rows = self.shell.shows_rows();
        let mut tick = interval(REFRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                biased;
                next = self.answer.next() => next?,
                _ = ctrl_c() => {
                    self.cancel().await;
                    return Err(Error::Interrupted);
                }
                _ = tick.tick() => {
                    self.progress.update(self.count, self.answer.bytes());
                    continue;
                }
            };
            let Some(batch) = next else { return Ok(()) };
            self.count += batch.num_rows() as u64;
            if shows_rows {
                self.progress.clear();
            }
            writer.write(&batch)?;
            if self.live {
                writer.flush()?;
            } else {
                self.progress.update(self.count, self.answer.bytes());
            }
        }
    }

    /// Reads a command's answer to its end. DML answers one row with the number of rows that it changed.
    async fn drain(&mut self) -> Result<Option<u64>> {
        use arrow::array::AsArray;
        use arrow::compute::cast;
        use arrow::datatypes::{DataType, UInt64Type};
        let mut changed = None;
        loop {
            let next = tokio::select! {
                next = self.answer.next() => next?,
                _ = ctrl_c() => {
                    self.cancel().await;
                    return Err(Error::Interrupted);
                }
            };
            let Some(batch) = next else {
                return Ok(changed);
            };
            if batch.num_rows() == 1 && batch.num_columns() == 1 {
                changed = cast(batch.column(0), &DataType::UInt64)
                    .ok()
                    .and_then(|counts| counts.as_primitive::<UInt64Type>().iter().next().flatten());
            }
        }
    }

    async fn cancel(&self) {
        if let Some(query_id) = self.answer.query_id() {
            self.shell.client.cancel(query_id).await;
        }
    }
}

/// What the parser says of a statement; one that does not parse is the server's to refuse.
fn nature(sql: &str) -> Nature {
    let Ok(parsed) = weir_sql::parse(sql) else {
        return Nature::default();
    };
    let mut nature = Nature::default();
    for parsed in parsed {
        match parsed.statement {
            Statement::Query(Query { emit: Some(_), .. }) | Statement::Subscribe(_) => {
                nature.live = true;
            }
            Statement::Query(_)
            | Statement::Show(_)
            | Statement::Describe(_)
            | Statement::Insert(_) => {}
            Statement::Explain(Explain { .. }) => {}
            _ => nature.changes_names = true,
        }
    }
    nature
}

/// As psql writes it: `INSERT 0 3` is `INSERT 3` here, for there are no object ids.
fn tag(command: &Command, counted: Option<u64>) -> String {
    match command.rows.or(counted) {
        Some(rows) => format!("{} {rows}", command.tag),
        None => command.tag.clone(),
    }
}

/// `12.345 ms`, and in minutes too when it is long.
fn time(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let ms = format!("{:.3} ms", seconds * 1_000.0);
    if seconds < 60.0 {
        ms
    } else {
        format!(
            "{ms} ({} min {:.1} s)",
            elapsed.as_secs() / 60,
            seconds % 60.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_statements_are_known() {
        let live = |sql: &str| nature(sql).live;
        assert!(live("SELECT * FROM bids EMIT CHANGES"));
        assert!(!live("SELECT 'EMIT CHANGES' FROM bids"));
        assert!(!live("SELEC 1"));
        assert!(nature("DROP STREAM bids").changes_names);
        assert!(!nature("SELECT 1").changes_names);
    }

    #[test]
    fn tags_and_times_are_short() {
        let command = |rows| Command {
            tag: "INSERT".into(),
            rows,
        };
        assert_eq!(tag(&command(Some(3)), None), "INSERT 3");
        assert_eq!(tag(&command(None), Some(4)), "INSERT 4");
        assert_eq!(tag(&command(None), None), "INSERT");
        assert_eq!(time(Duration::from_micros(12_345)), "12.345 ms");
        assert_eq!(time(Duration::from_secs(61)), "61000.000 ms (1 min 1.0 s)");
    }
}
