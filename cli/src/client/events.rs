//! Server-sent events (the WHATWG HTML standard, section 9.2) as `weir tail` needs them.

use bytes::BytesMut;
use reqwest::Response;

use super::root_cause;
use crate::error::{Error, Result};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Its type; empty is `message`.
    pub(crate) kind: String,
    /// Its data, lines joined by a line feed.
    pub(crate) data: String,
    /// The id that was last given, a resume token.
    pub(crate) id: Option<String>,
}

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    response: Response,
    parser: Parser,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        Self {
            response,
            parser: Parser::default(),
        }
    }

    /// The next event, or nothing when the server ended the stream.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.parser.next() {
                return Ok(Some(event));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.parser.received.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                Err(error) => return Err(Error::Lost(root_cause(&error))),
            }
        }
    }

    /// Whether an event has already been received, so that there is no pause before the next.
    pub(crate) fn has_more(&self) -> bool {
        self.parser.received.windows(2).any(|two| two == b"\n\n")
    }
}

#[derive(Debug, Default)]
struct Parser {
    received: BytesMut,
    event: Event,
    has_data: bool,
    scanned: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Event> {
        loop {
            let Some(found) = self
                .received
                .get(self.scanned..)?
                .iter()
                .position(|byte| *byte == b'\n')
            else {
                self.scanned = self.received.len();
                return None;
            };
            let mut line = self.received.split_to(self.scanned + found + 1);
            self.scanned = 0;
            line.truncate(line.len() - 1);
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if let Some(event) = self.line(&String::from_utf8_lossy(&line)) {
                return Some(event);
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let id = self.event.id.clone();
            let event = std::mem::take(&mut self.event);
            self.event.id = id;
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" => self.event.id = Some(value.to_owned()),
            // A comment (an empty field name keeps the connection alive), `retry`, or what we do not know.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nid: bids:3\nevent: row\ndata: {\"a\":1}\n\n\
                          data: one\r\ndata:two\r\n\r\nid: bids:4\n\ndata\n\n";

    fn events(chunks: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            parser.received.extend_from_slice(chunk);
            while let Some(event) = parser.next() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let event = |kind: &str, data: &str, id: &str| Event {
            kind: kind.into(),
            data: data.into(),
            id: Some(id.into()),
        };
        let expected = vec![
            event("row", "{\"a\":1}", "bids:3"),
            event("", "one\ntwo", "bids:3"),
            event("", "", "bids:4"),
        ];
        assert_eq!(events(&[STREAM.as_bytes()]), expected);
        for at in 0..STREAM.len() {
            let (a, b) = STREAM.as_bytes().split_at(at);
            assert_eq!(events(&[a, b]), expected, "cut at {at}");
        }
    }
}
