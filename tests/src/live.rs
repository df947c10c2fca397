//! Readers of answers that do not end: NDJSON lines and server-sent events.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;
use serde_json::Value;

use crate::client::Problem;

/// How long a line that must come may take.
const LINE_BOUND: Duration = Duration::from_secs(60);

/// Lines of an endless body, one at a time: nothing is read ahead of what the test asks for, but for one piece.
pub struct Lines {
    body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: BytesMut,
}

/// How a body went on.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// A line, without its end.
    Line(String),
    /// The body ended as HTTP says a body ends.
    End,
    /// The connection was cut.
    Broken(String),
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// `id:`, the resume token.
    pub id: Option<String>,
    /// `event:`.
    pub event: Option<String>,
    /// `data:`, lines joined.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Lines {
    /// Reads the body of a successful answer.
    ///
    /// # Panics
    /// With the problem, when the answer is one.
    pub async fn of(response: Response) -> Self {
        if !response.status().is_success() {
            panic!("{}", Problem::of(response).await);
        }
        Self {
            body: response.bytes_stream().boxed(),
            buffer: BytesMut::new(),
        }
    }

    /// The next line, the end, or the break.
    ///
    /// # Panics
    /// When nothing comes for a long time.
    pub async fn next(&mut self) -> Next {
        match tokio::time::timeout(LINE_BOUND, self.advance()).await {
            Ok(next) => next,
            Err(_) => panic!("no line came within {LINE_BOUND:?}"),
        }
    }

    /// The next line, if one comes within `bound`.
    pub async fn next_within(&mut self, bound: Duration) -> Option<Next> {
        tokio::time::timeout(bound, self.advance()).await.ok()
    }

    async fn advance(&mut self) -> Next {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                let line = String::from_utf8_lossy(&line);
                return Next::Line(line.trim_end_matches('\r').to_owned());
            }
            match self.body.next().await {
                None if self.buffer.is_empty() => return Next::End,
                None => return Next::Broken(format!("a last line without end: {:?}", self.buffer)),
                Some(Err(error)) => return Next::Broken(format!("{error:?}")),
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
            }
        }
    }

    /// The next line, which must come.
    ///
    /// # Panics
    /// When the body ends or breaks instead.
    pub async fn line(&mut self) -> String {
        match self.next().await {
            Next::Line(line) => line,
            other => panic!("instead of a line: {other:?}"),
        }
    }

    /// The next line as JSON.
    ///
    /// # Panics
    /// When the body ends or breaks instead, or the line is not JSON.
    pub async fn json(&mut self) -> Value {
        loop {
            let line = self.line().await;
            // Empty lines keep a quiet connection open.
            if !line.is_empty() {
                return serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("{error}: {line:?}"));
            }
        }
    }

    /// The next server-sent event that carries data. Comments, which keep the connection open, are skipped.
    ///
    /// # Panics
    /// When the body ends or breaks instead, or nothing but comments comes for a long time.
    pub async fn event(&mut self) -> Event {
        match tokio::time::timeout(LINE_BOUND, self.next_event()).await {
            Ok(event) => event,
            Err(_) => panic!("no event came within {LINE_BOUND:?}"),
        }
    }

    async fn next_event(&mut self) -> Event {
        let mut event = Event::default();
        let mut data: Vec<String> = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                if data.is_empty() {
                    event = Event {
                        id: event.id,
                        ..Event::default()
                    };
                    continue;
                }
                event.data = data.join("\n");
                return event;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "id" => event.id = Some(value),
                "event" => event.event = Some(value),
                "data" => data.push(value),
                _ => {}
            }
        }
    }
}
