//! `weir tail`: a stream's rows as they come, over server-sent events, so that a lost connection goes on where it was.

use std::io::{BufWriter, Stdout, Write, stderr, stdout};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::signal::ctrl_c;
use tokio::time::sleep;
use weir_base::{Offset, OffsetVector, ResumeToken, TopicName};

use crate::client::{Client, Event, Problem};
use crate::error::{Error, Result};
use crate::output::{Expanded, Format, RowWriter};
use crate::sql::ServerArgs;
use crate::terminal;

/// Print a stream's rows as they are written to it, until Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// The stream: bids, or schema.bids
    stream: String,

    /// All rows from the first on
    #[arg(long, conflicts_with_all = ["last", "resume"])]
    from_start: bool,

    /// The last N rows that are there, then new ones
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "resume")]
    last: Option<u64>,

    /// Go on after the row where an earlier tail ended: the token that it printed
    #[arg(long, value_name = "TOKEN")]
    resume: Option<ResumeToken>,

    /// Stop after so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// How rows are written [default: table on a terminal, else ndjson]
    #[arg(long, value_enum)]
    format: Option<TailFormat>,
}

/// A format that can be read while it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TailFormat {
    /// A JSON object a line
    Ndjson,
    /// Aligned columns
    Table,
}

/// Between attempts to connect again.
const RETRY: Duration = Duration::from_secs(1);

/// Prints rows until Ctrl-C, or until `--limit`.
pub(crate) async fn run(args: Args) -> Result<()> {
    let client = Client::new(&args.server.url)?;
    let format = args.format.unwrap_or(if terminal::is_output() {
        TailFormat::Table
    } else {
        TailFormat::Ndjson
    });
    let start = match (args.resume, args.last) {
        (Some(token), _) => Some(token),
        (None, _) if args.from_start => None,
        (None, last) => Some(
            position(&client, &args.stream, last.unwrap_or(0))
                .await?
                .into(),
        ),
    };
    let mut tail = Tail {
        token: start.map(|start| start.to_string()),
        left: args.limit.unwrap_or(u64::MAX),
        printer: Printer::new(format),
    };
    let sql = format!("SELECT * FROM {} EMIT CHANGES", args.stream);
    let done = tokio::select! {
        done = tail.follow(&client, &sql) => done,
        _ = ctrl_c() => Ok(()),
    };
    let finished = tail.printer.finish();
    if let Some(token) = &tail.token {
        // Standard error may be gone too.
        let _ = writeln!(
            stderr(),
            "to go on: weir tail {} --resume '{token}'",
            args.stream
        );
    }
    done.and(finished)
}

/// Before the last `last` rows of a stream: a position that the live query goes on from.
async fn position(client: &Client, stream: &str, last: u64) -> Result<OffsetVector> {
    let (schema, name) = schema_and_name(stream);
    let ends = client
        .texts(&format!(
            "SELECT topic, start_offset, end_offset FROM weir.topics \
             WHERE \"schema\" = '{}' AND name = '{}' ORDER BY \"partition\"",
            schema.replace('\'', "''"),
            name.replace('\'', "''")
        ))
        .await?;
    let unclear = || Error::Protocol("weir.topics is not as expected".into());
    let topic = ends.first().and_then(|row| row.first()?.clone());
    let Some(topic) = topic else {
        return Err(Error::Refused(Box::new(Problem {
            status: 404,
            detail: Some(format!("there is no stream {stream}")),
            hint: Some(
                "weir sql -c 'SHOW STREAMS' lists all; a view is tailed with --from-start".into(),
            ),
            ..Problem::default()
        })));
    };
    let topic = TopicName::new(topic).map_err(|error| Error::Protocol(error.to_string()))?;
    let partitions = ends
        .iter()
        .map(|row| Some(number(row, 1)?..number(row, 2)?))
        .collect::<Option<Vec<Range<i64>>>>()
        .ok_or_else(unclear)?;
    let mut firsts: Vec<i64> = partitions.iter().map(|partition| partition.end).collect();
    if last > 0 && partitions.iter().any(|partition| !partition.is_empty()) {
        for row in client.texts(&newest(stream, &partitions, last)).await? {
            let (at, first) = number(&row, 0).zip(number(&row, 1)).ok_or_else(unclear)?;
            let at = usize::try_from(at).map_err(|_| unclear())?;
            *firsts.get_mut(at).ok_or_else(unclear)? = first;
        }
    }
    let mut vector = OffsetVector::new();
    vector.set(topic, firsts.into_iter().map(Offset).collect());
    Ok(vector)
}

/// The first offset in each partition of the newest `last` rows. Each partition is asked only for its own newest rows.
fn newest(stream: &str, partitions: &[Range<i64>], last: u64) -> String {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let parts: Vec<String> = partitions
        .iter()
        .enumerate()
        .filter(|(_, partition)| !partition.is_empty())
        .map(|(number, Range { start, end })| {
            let from = end.saturating_sub(last).max(*start);
            format!(
                "SELECT {number} AS p, _offset AS o, _timestamp AS t FROM {stream} \
                 WHERE _partition = {number} AND _offset >= {from} AND _offset < {end}"
            )
        })
        .collect();
    format!(
        "SELECT p, min(o) FROM (SELECT p, o FROM ({}) AS parts ORDER BY t DESC, o DESC LIMIT {last}) AS rows GROUP BY p",
        parts.join(" UNION ALL ")
    )
}

/// The name as the catalog has it, and its schema.
fn schema_and_name(stream: &str) -> (String, String) {
    let part = |text: &str| match text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_lowercase(),
    };
    // A dot in double quotes belongs to the name.
    let mut quoted = false;
    let dot = stream.char_indices().rev().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '.' && !quoted
    });
    match dot {
        Some((at, _)) => {
            let schema = stream.get(..at).unwrap_or_default();
            let schema = schema.rsplit('.').next().unwrap_or(schema);
            (part(schema), part(stream.get(at + 1..).unwrap_or_default()))
        }
        None => ("public".to_owned(), part(stream)),
    }
}

fn number(row: &[Option<String>], at: usize) -> Option<i64> {
    row.get(at)?.as_ref()?.parse().ok()
}

struct Tail {
    /// Where the last printed row stands.
    token: Option<String>,
    left: u64,
    printer: Printer,
}

impl Tail {
    /// Follows the query; connects again when the connection is lost after it once was there.
    async fn follow(&mut self, client: &Client, sql: &str) -> Result<()> {
        let mut connected = false;
        let mut lost = false;
        loop {
            match self.once(client, sql, &mut connected, &mut lost).await {
                Ok(()) => return Ok(()),
                Err(error) if connected && passes(&error) => {
                    if !std::mem::replace(&mut lost, true) {
                        eprintln!("{error}; trying again");
                    }
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn once(
        &mut self,
        client: &Client,
        sql: &str,
        connected: &mut bool,
        lost: &mut bool,
    ) -> Result<()> {
        let mut events = client.follow(sql, self.token.as_deref()).await?;
        *connected = true;
        if std::mem::take(lost) {
            eprintln!("connected again");
        }
        while self.left > 0 {
            let Some(event) = events.next().await? else {
                return Err(Error::Lost("the server ended the stream".into()));
            };
            match event.kind.as_str() {
                "" | "message" => self.rows(&event)?,
                "schema" => self.printer.schema(&event.data)?,
                "end" => return Err(Error::Lost("the server ended the stream".into())),
                "error" => {
                    let problem = Problem::from_event(&event.data);
                    return Err(Error::Refused(Box::new(problem)));
                }
                // A later server may say more.
                _ => {}
            }
            if !events.has_more() {
                self.printer.flush()?;
            }
        }
        self.printer.flush()
    }

    fn rows(&mut self, event: &Event) -> Result<()> {
        let rows: Vec<&RawValue> = serde_json::from_str(&event.data)
            .map_err(|error| Error::Protocol(error.to_string()))?;
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(rows.len());
        self.printer.rows(rows.get(..wanted).unwrap_or_default())?;
        self.left -= wanted as u64;
        // The id stands after all rows of the event: there is no token for the middle of one.
        self.token = event.id.clone().filter(|_| wanted == rows.len());
        Ok(())
    }
}

/// Whether another attempt may help.
fn passes(error: &Error) -> bool {
    match error {
        Error::Lost(_) | Error::Connect { .. } => true,
        Error::Refused(problem) => problem.is_passing(),
        _ => false,
    }
}

/// Prints JSON rows.
struct Printer {
    format: TailFormat,
    out: BufWriter<Stdout>,
    schema: SchemaRef,
    table: Option<Box<dyn RowWriter>>,
}

#[derive(Deserialize)]
struct SchemaEvent {
    columns: Vec<Column>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

impl Printer {
    fn new(format: TailFormat) -> Self {
        Self {
            format,
            out: BufWriter::new(stdout()),
            schema: Arc::new(Schema::empty()),
            table: None,
        }
    }

    fn schema(&mut self, event: &str) -> Result<()> {
        let event: SchemaEvent =
            serde_json::from_str(event).map_err(|error| Error::Protocol(error.to_string()))?;
        let fields: Vec<Field> = event
            .columns
            .into_iter()
            .map(|column| Field::new(column.name, DataType::Utf8, true))
            .collect();
        if self.table.is_none() {
            self.schema = Arc::new(Schema::new(fields));
        }
        Ok(())
    }

    fn rows(&mut self, rows: &[&RawValue]) -> Result<()> {
        match self.format {
            TailFormat::Ndjson => {
                for row in rows {
                    writeln!(self.out, "{}", row.get())?;
                }
                Ok(())
            }
            TailFormat::Table => {
                let batch = texts_of(&self.schema, rows)?;
                let table = match &mut self.table {
                    Some(table) => table,
                    None => self.table.insert(Format::Table.writer(
                        &self.schema,
                        Expanded::Off,
                        Box::new(BufWriter::new(stdout())),
                    )?),
                };
                table.write(&batch)
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.table {
            Some(table) => table.flush(),
            None => Ok(self.out.flush()?),
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.out.flush()?;
        self.table.take().map_or(Ok(()), RowWriter::finish)
    }
}

/// JSON objects as text columns.
fn texts_of(schema: &SchemaRef, rows: &[&RawValue]) -> Result<RecordBatch> {
    let wrong = |error: serde_json::Error| Error::Protocol(error.to_string());
    let rows: Vec<Map<String, Value>> = rows
        .iter()
        .map(|row| serde_json::from_str(row.get()).map_err(wrong))
        .collect::<Result<_>>()?;
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| {
            let values = rows.iter().map(|row| match row.get(field.name()) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            });
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    #[test]
    fn the_newest_rows_are_asked_for_by_partition() {
        assert_eq!(
            newest("bids", &[0..20, 4..4, 5..8], 10),
            "SELECT p, min(o) FROM (SELECT p, o FROM (\
             SELECT 0 AS p, _offset AS o, _timestamp AS t FROM bids WHERE _partition = 0 AND _offset >= 10 AND _offset < 20 \
             UNION ALL \
             SELECT 2 AS p, _offset AS o, _timestamp AS t FROM bids WHERE _partition = 2 AND _offset >= 5 AND _offset < 8\
             ) AS parts ORDER BY t DESC, o DESC LIMIT 10) AS rows GROUP BY p"
        );
    }

    #[test]
    fn names_are_looked_up_as_the_catalog_has_them() {
        let pair = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        assert_eq!(schema_and_name("Bids"), pair("public", "bids"));
        assert_eq!(schema_and_name("s.\"B.i\"\"ds\""), pair("s", "B.i\"ds"));
        assert_eq!(schema_and_name("weir.S.bids"), pair("s", "bids"));
    }

    #[test]
    fn json_rows_become_text_columns() {
        let schema: SchemaRef = Arc::new(Schema::new(
            ["a", "b"]
                .map(|name| Field::new(name, DataType::Utf8, true))
                .to_vec(),
        ));
        let rows: Vec<&RawValue> =
            serde_json::from_str(r#"[{"a":1,"b":"x"},{"a":null,"b":[1]},{}]"#).unwrap();
        let batch = texts_of(&schema, &rows).unwrap();
        let column = |at: usize| -> Vec<Option<String>> {
            let texts = batch.column(at).as_string::<i32>();
            texts.iter().map(|text| text.map(str::to_owned)).collect()
        };
        assert_eq!(column(0), [Some("1".into()), None, None]);
        assert_eq!(column(1), [Some("x".into()), Some("[1]".into()), None]);
    }
}
