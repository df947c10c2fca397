//! `weir load`: a file's rows into a stream, in batches that are stored once however often they are sent.
//!
//! Batch *n* of load *id* has the key `id-n`. The server keeps keys for a while and answers a batch that it has with the
//! answer of the first time, so a batch whose answer was lost is simply sent again. The batches of a file are a function of
//! the file and the batch size, so a load that was cut off goes on with the same keys.

mod batches;
mod columns;
mod lines;
mod token;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::signal::ctrl_c;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use uuid::Uuid;
use weir_base::parse_duration;

use crate::client::{Client, Problem};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::sql::ServerArgs;
pub(crate) use batches::InputFormat;
use batches::{Batch, Input};
use token::Token;

/// Append the rows of an NDJSON, CSV, Arrow or Parquet file to a stream, in batches
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A load that is cut off prints a token; with --resume TOKEN it goes on there, and no row is stored twice.
With --id NAME a load can also be repeated as a whole: batches that are stored already are not stored again.")]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// The stream: bids, or schema.bids
    stream: String,

    /// The file; - is standard input
    file: PathBuf,

    /// The file's format, when its name does not tell
    #[arg(long, value_enum)]
    format: Option<InputFormat>,

    /// Rows a batch; each batch is stored whole or not at all
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch_rows: u32,

    /// A name for this load, so that repeating it stores nothing twice
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    id: Option<String>,

    /// Go on with a load that was cut off: the token that it printed
    #[arg(long, value_name = "TOKEN")]
    resume: Option<Token>,

    /// Try a batch again for so long while the server is busy or away
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    retry_for: Duration,
}

/// Batches read ahead of the one that is sent.
const READ_AHEAD: usize = 2;
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Loads, and says how much.
pub(crate) async fn run(args: Args) -> Result<()> {
    let client = Client::new(&args.server.url)?;
    let token = match (args.resume, args.id) {
        (Some(token), _) => token,
        (None, Some(id)) => Token::new(&id, args.batch_rows)?,
        (None, None) => Token::new(&Uuid::new_v4().simple().to_string(), args.batch_rows)?,
    };
    let input = Input::open(&args.file, args.format)?;
    let started = Instant::now();
    let mut load = Load {
        client: &client,
        stream: &args.stream,
        file: &args.file,
        token,
        retry_for: args.retry_for,
        counts: Counts::default(),
    };
    let done = load.run(input).await;
    let Load { counts, token, .. } = load;
    match done {
        Ok(()) => {
            println!("{}", counts.report(&args.stream, started.elapsed()));
            Ok(())
        }
        Err(error) => {
            eprintln!("{}", counts.report(&args.stream, started.elapsed()));
            if counts.rows > 0 && args.file != Path::new("-") {
                eprintln!(
                    "to go on: weir load {} {} --resume {token}",
                    args.stream,
                    args.file.display()
                );
            }
            Err(error)
        }
    }
}

/// Loads a file for `\copy`; answers the number of rows.
pub(crate) async fn file(
    client: &Client,
    stream: &str,
    file: &Path,
    format: Option<InputFormat>,
) -> Result<u64> {
    let mut load = Load {
        client,
        stream,
        file,
        token: Token::new(&Uuid::new_v4().simple().to_string(), 10_000)?,
        retry_for: Duration::from_secs(60),
        counts: Counts::default(),
    };
    load.run(Input::open(file, format)?).await?;
    Ok(load.counts.rows)
}

struct Load<'a> {
    client: &'a Client,
    stream: &'a str,
    file: &'a Path,
    /// The next batch to send.
    token: Token,
    retry_for: Duration,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    rows: u64,
    bytes: u64,
    duplicates: u64,
    skipped: u64,
}

impl Load<'_> {
    async fn run(&mut self, input: Input) -> Result<()> {
        let progress = Progress::new(true, input.size());
        let (batch_rows, first) = (self.token.batch_rows, self.token.next);
        let (sender, mut batches) = mpsc::channel::<Result<Batch>>(READ_AHEAD);
        let reader = tokio::task::spawn_blocking(move || {
            let mut number = 0;
            let read = input.read(batch_rows as usize, |batch| {
                number += 1;
                // Batches before the first wanted one are passed on empty: their rows are counted.
                let batch = if number <= first {
                    batch.without_body()
                } else {
                    batch
                };
                sender.blocking_send(Ok(batch)).is_ok()
            });
            if let Err(error) = read {
                // Whoever reads the batches may have left.
                let _ = sender.blocking_send(Err(error));
            }
        });
        let mut tick = interval(Duration::from_millis(100));
        let mut rows_before = 0;
        let done = loop {
            let batch = tokio::select! {
                batch = batches.recv() => batch,
                _ = ctrl_c() => break Err(Error::Interrupted),
                _ = tick.tick() => {
                    progress.update(self.counts.rows, self.counts.bytes);
                    continue;
                }
            };
            let batch = match batch {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => break Err(self.name_file(error)),
                None => break Ok(()),
            };
            let (rows, read_bytes) = (batch.rows, batch.read_bytes);
            if batch.body.is_empty() {
                self.counts.skipped += rows;
            } else {
                let sent = tokio::select! {
                    sent = self.send(&batch, rows_before, &progress) => sent,
                    _ = ctrl_c() => Err(Error::Interrupted),
                };
                match sent {
                    Ok(duplicate) => {
                        self.counts.rows += rows;
                        self.counts.duplicates += if duplicate { rows } else { 0 };
                        self.token.next += 1;
                    }
                    Err(error) => break Err(error),
                }
            }
            self.counts.bytes += read_bytes;
            rows_before += rows;
            progress.update(self.counts.rows, self.counts.bytes);
        };
        progress.clear();
        // Ends the reader, which then has nobody to send to.
        drop(batches);
        if done.is_ok() {
            reader.await.map_err(|error| {
                Error::Rows(format!("the file was not read to its end: {error}"))
            })?;
        }
        done
    }

    /// Sends a batch until it is stored; answers whether it had been stored before.
    async fn send(&self, batch: &Batch, rows_before: u64, progress: &Progress) -> Result<bool> {
        let key = self.token.key();
        let started = Instant::now();
        let mut pause = Duration::from_millis(200);
        let mut told = false;
        loop {
            let sent = self
                .client
                .ingest(self.stream, batch.content_type, batch.body.clone(), &key)
                .await;
            let error = match sent {
                Ok(stored) => return Ok(stored.duplicate),
                Err(error) => error,
            };
            let asked = match &error {
                // A server that was never there is not waited for.
                Error::Connect { .. } if self.counts.rows == 0 => return Err(error),
                Error::Lost(_) | Error::Connect { .. } => None,
                Error::Refused(problem) if problem.is_passing() => {
                    problem.retry_after_s.map(Duration::from_secs)
                }
                _ => return Err(self.explain(error, rows_before)),
            };
            let wait = asked.unwrap_or(pause);
            if started.elapsed() + wait > self.retry_for {
                return Err(error);
            }
            if !std::mem::replace(&mut told, true) {
                progress.clear();
                eprintln!("{error}; trying again");
            }
            sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Says which row of the file is wrong, where the server says which of the batch is.
    fn explain(&self, error: Error, rows_before: u64) -> Error {
        let Error::Refused(problem) = error else {
            return error;
        };
        let mut problem = *problem;
        if let Some(row) = problem.row {
            let (told, meant) = (format!("row {row}"), format!("row {}", rows_before + row));
            let detail = problem.to_string();
            let detail = match detail.strip_prefix(&told) {
                Some(rest) => format!("{meant}{rest}"),
                None => format!("{meant}: {detail}"),
            };
            problem.detail = Some(format!("{}: {detail}", self.file.display()));
        }
        if problem.status == 413 {
            problem.hint = Some("send smaller batches with --batch-rows".to_owned());
        }
        Error::Refused(Box::new(Problem {
            sql: None,
            ..problem
        }))
    }

    fn name_file(&self, error: Error) -> Error {
        match error {
            Error::Output(source) => Error::file(self.file, source),
            Error::Rows(reason) => Error::Rows(format!("{}: {reason}", self.file.display())),
            error => error,
        }
    }
}

impl Counts {
    /// `120,000 rows into bids in 1.2 s (100,000 rows/s)`.
    fn report(&self, stream: &str, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let mut text = format!(
            "{} rows into {stream} in {seconds:.1} s ({:.0} rows/s)",
            self.rows,
            self.rows as f64 / seconds
        );
        if self.skipped > 0 {
            text.push_str(&format!(", after {} stored earlier", self.skipped));
        }
        if self.duplicates > 0 {
            text.push_str(&format!(
                ", {} of them were stored already",
                self.duplicates
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_what_was_stored_before() {
        let counts = Counts {
            rows: 1_000,
            bytes: 1,
            duplicates: 10,
            skipped: 500,
        };
        assert_eq!(
            counts.report("bids", Duration::from_secs(2)),
            "1000 rows into bids in 2.0 s (500 rows/s), after 500 stored earlier, 10 of them were stored already"
        );
    }

    #[test]
    fn a_wrong_row_is_named_by_its_place_in_the_file() {
        let client = Client::new("http://127.0.0.1:1").unwrap();
        let load = Load {
            client: &client,
            stream: "bids",
            file: Path::new("b.csv"),
            token: Token::new("a", 10).unwrap(),
            retry_for: Duration::ZERO,
            counts: Counts::default(),
        };
        let problem = Problem {
            status: 400,
            detail: Some("row 3, column \"price\": not a number".into()),
            row: Some(3),
            column: Some("price".into()),
            ..Problem::default()
        };
        let error = load.explain(Error::Refused(Box::new(problem)), 20_000);
        assert_eq!(
            error.to_string(),
            "b.csv: row 20003, column \"price\": not a number"
        );
    }
}
