//! A small client of the PostgreSQL protocol: the simple protocol, answers as text.

use std::{fmt, io};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One connection.
#[derive(Debug)]
pub struct PostgresClient(BufReader<TcpStream>);

/// What a message with one statement gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostgresAnswer {
    /// Names of the columns, and the OIDs of their types; none for a command.
    pub columns: Option<Vec<(String, u32)>>,
    /// Values as text; none is null.
    pub rows: Vec<Vec<Option<String>>>,
    /// The command tag.
    pub tag: String,
}

/// An error that the server tells of. It is shown as [`Problem`](crate::Problem) is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresError {
    /// Its SQLSTATE.
    pub sqlstate: String,
    /// What it says.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the message's text, in characters from 1.
    pub character: Option<usize>,
    /// The same as line and column.
    pub position: Option<(usize, usize)>,
}

impl std::error::Error for PostgresError {}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sqlstate, self.message)?;
        if let Some((line, column)) = self.position {
            write!(f, " [line {line}, column {column}]")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " hint: {hint}")?;
        }
        Ok(())
    }
}

impl PostgresClient {
    /// Connects as anybody, which is the operator where nobody has to sign in.
    ///
    /// # Panics
    /// When the server does not let it.
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the door is open");
        let mut this = Self(BufReader::new(stream));
        let parameters = b"user\0somebody\0database\0weir\0\0";
        let mut start = (parameters.len() as i32 + 8).to_be_bytes().to_vec();
        start.extend_from_slice(&[0, 3, 0, 0]);
        start.extend_from_slice(parameters);
        this.0.write_all(&start).await.expect("the server reads");
        this.answer().await.expect("a connection starts");
        this
    }

    /// Sends one message and reads its answer.
    ///
    /// # Errors
    /// The error that the server told of.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn query(&mut self, sql: &str) -> Result<PostgresAnswer, PostgresError> {
        let mut message = vec![b'Q'];
        message.extend_from_slice(&(sql.len() as i32 + 5).to_be_bytes());
        message.extend_from_slice(sql.as_bytes());
        message.push(0);
        self.0.write_all(&message).await.expect("the server reads");
        self.answer().await.map_err(|mut error| {
            error.position = error.character.map(|character| {
                let before: String = sql.chars().take(character - 1).collect();
                let line = before.matches('\n').count() + 1;
                let last = before.rsplit('\n').next().unwrap_or_default();
                (line, last.chars().count() + 1)
            });
            error
        })
    }

    /// Reads messages up to `ReadyForQuery`.
    async fn answer(&mut self) -> Result<PostgresAnswer, PostgresError> {
        let mut answer = PostgresAnswer::default();
        let mut failed = None;
        loop {
            let (tag, body) = self.message().await.expect("the server answers");
            match tag {
                b'Z' => return failed.map_or(Ok(answer), Err),
                b'E' => failed = Some(error(&body)),
                b'T' => answer.columns = Some(columns(&body)),
                b'D' => answer.rows.push(row(&body)),
                b'C' => answer.tag = text(&body, &mut 0),
                _ => {}
            }
        }
    }

    async fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let tag = self.0.read_u8().await?;
        let length = self.0.read_i32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap_or(4) - 4];
        self.0.read_exact(&mut body).await?;
        Ok((tag, body))
    }
}

fn text(body: &[u8], at: &mut usize) -> String {
    let rest = &body[*at..];
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len());
    *at += end + 1;
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

fn number<const N: usize>(body: &[u8], at: &mut usize) -> i64 {
    let bytes: [u8; N] = body[*at..*at + N].try_into().expect("a message is whole");
    *at += N;
    bytes
        .iter()
        .fold(if bytes[0] & 0x80 == 0 { 0 } else { -1 }, |value, byte| {
            value << 8 | i64::from(*byte)
        })
}

fn error(body: &[u8]) -> PostgresError {
    let (mut at, mut sqlstate, mut message) = (0, String::new(), String::new());
    let (mut hint, mut character) = (None, None);
    while body.get(at).is_some_and(|code| *code != 0) {
        let code = body[at];
        at += 1;
        let value = text(body, &mut at);
        match code {
            b'C' => sqlstate = value,
            b'M' => message = value,
            b'H' => hint = Some(value),
            b'P' => character = value.parse().ok(),
            _ => {}
        }
    }
    PostgresError {
        sqlstate,
        message,
        hint,
        character,
        position: None,
    }
}

fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut at = 0;
    let count = number::<2>(body, &mut at);
    (0..count)
        .map(|_| {
            let name = text(body, &mut at);
            at += 6;
            let oid = number::<4>(body, &mut at);
            at += 8;
            (name, oid as u32)
        })
        .collect()
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let mut at = 0;
    let count = number::<2>(body, &mut at);
    (0..count)
        .map(|_| {
            let length = usize::try_from(number::<4>(body, &mut at)).ok()?;
            let value = &body[at..at + length];
            at += length;
            Some(String::from_utf8_lossy(value).into_owned())
        })
        .collect()
}
