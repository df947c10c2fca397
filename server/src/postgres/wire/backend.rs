//! What the server sends, into one buffer for each connection.

use super::super::value::PgType;

/// How a connection stands between statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Outside of a transaction.
    Idle,
    /// In a transaction.
    Transaction,
    /// In one that has failed.
    Failed,
}

/// How grave a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    /// The connection ends with it.
    Fatal,
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
        }
    }
}

/// An error or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) severity: Severity,
    pub(crate) sqlstate: &'static str,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// In characters of the statement's text, from 1.
    pub(crate) position: Option<usize>,
    /// Where in a copy or in a statement's own text it happened.
    pub(crate) context: Option<String>,
    /// The column that it is about.
    pub(crate) column: Option<String>,
}

impl Report {
    /// An error with nothing but its message.
    pub(crate) fn error(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            column: None,
        }
    }

    /// The same, with another weight.
    pub(crate) fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldDescription {
    pub(crate) name: String,
    pub(crate) data_type: PgType,
    /// What narrows the type; −1 for nothing.
    pub(crate) modifier: i32,
    /// 0 is text, 1 binary.
    pub(crate) format: i16,
}

/// Messages to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    buffer: Vec<u8>,
}

impl Out {
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets what is sent. A buffer that grew large is not kept.
    pub(crate) fn clear(&mut self) {
        const KEPT: usize = 256 << 10;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
    }

    /// Appends a message whose body `write` writes.
    pub(crate) fn message<E>(
        &mut self,
        tag: u8,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.buffer.len();
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&[0; 4]);
        let written = write(&mut self.buffer);
        if written.is_err() {
            self.buffer.truncate(start);
            return written;
        }
        set_length(&mut self.buffer, start + 1, start + 1);
        Ok(())
    }

    fn plain(&mut self, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let written: Result<(), std::convert::Infallible> = self.message(tag, |body| {
            write(body);
            Ok(())
        });
        written.unwrap_or_else(|never| match never {});
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.buffer.push(byte);
    }

    /// `AuthenticationOk`, and the questions before it.
    pub(crate) fn authentication(&mut self, kind: i32, data: &[u8]) {
        self.plain(b'R', |body| {
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(data);
        });
    }

    pub(crate) fn parameter_status(&mut self, name: &str, value: &str) {
        self.plain(b'S', |body| {
            text(body, name);
            text(body, value);
        });
    }

    pub(crate) fn backend_key(&mut self, process: i32, secret: &[u8]) {
        self.plain(b'K', |body| {
            body.extend_from_slice(&process.to_be_bytes());
            body.extend_from_slice(secret);
        });
    }

    /// `NegotiateProtocolVersion`: the newest minor version that is spoken, and options that are not known.
    pub(crate) fn negotiate(&mut self, minor: i32, unknown: &[&str]) {
        self.plain(b'v', |body| {
            body.extend_from_slice(&(3_i32 << 16 | minor).to_be_bytes());
            let count = i32::try_from(unknown.len()).unwrap_or(i32::MAX);
            body.extend_from_slice(&count.to_be_bytes());
            for name in unknown {
                text(body, name);
            }
        });
    }

    pub(crate) fn ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => b'I',
            Status::Transaction => b'T',
            Status::Failed => b'E',
        };
        self.plain(b'Z', |body| body.push(status));
    }

    pub(crate) fn report(&mut self, report: &Report) {
        let tag = match report.severity {
            Severity::Error | Severity::Fatal => b'E',
            Severity::Warning => b'N',
        };
        self.plain(tag, |body| {
            let position = report.position.map(|position| position.to_string());
            let word = Some(report.severity.word());
            for (code, value) in [
                (b'S', word),
                (b'V', word),
                (b'C', Some(report.sqlstate)),
                (b'M', Some(report.message.as_str())),
                (b'D', report.detail.as_deref()),
                (b'H', report.hint.as_deref()),
                (b'P', position.as_deref()),
                (b'W', report.context.as_deref()),
                (b'c', report.column.as_deref()),
            ] {
                if let Some(value) = value {
                    body.push(code);
                    text(body, value);
                }
            }
            body.push(0);
        });
    }

    pub(crate) fn complete(&mut self, tag: &str) {
        self.plain(b'C', |body| text(body, tag));
    }

    pub(crate) fn empty_query(&mut self) {
        self.plain(b'I', |_| {});
    }

    pub(crate) fn parse_complete(&mut self) {
        self.plain(b'1', |_| {});
    }

    pub(crate) fn bind_complete(&mut self) {
        self.plain(b'2', |_| {});
    }

    pub(crate) fn close_complete(&mut self) {
        self.plain(b'3', |_| {});
    }

    pub(crate) fn portal_suspended(&mut self) {
        self.plain(b's', |_| {});
    }

    pub(crate) fn no_data(&mut self) {
        self.plain(b'n', |_| {});
    }

    pub(crate) fn parameter_description(&mut self, types: &[u32]) {
        self.plain(b't', |body| {
            count(body, types.len());
            for data_type in types {
                body.extend_from_slice(&data_type.to_be_bytes());
            }
        });
    }

    pub(crate) fn row_description(&mut self, fields: &[FieldDescription]) {
        self.plain(b'T', |body| {
            count(body, fields.len());
            for field in fields {
                text(body, &field.name);
                // No table and no column of one: answers are of queries.
                body.extend_from_slice(&0_u32.to_be_bytes());
                body.extend_from_slice(&0_i16.to_be_bytes());
                body.extend_from_slice(&field.data_type.oid().to_be_bytes());
                body.extend_from_slice(&field.data_type.length().to_be_bytes());
                body.extend_from_slice(&field.modifier.to_be_bytes());
                body.extend_from_slice(&field.format.to_be_bytes());
            }
        });
    }

    /// `CopyInResponse` (`G`) or `CopyOutResponse` (`H`).
    pub(crate) fn copy_response(&mut self, tag: u8, columns: usize, is_binary: bool) {
        self.plain(tag, |body| {
            body.push(u8::from(is_binary));
            count(body, columns);
            for _ in 0..columns {
                body.extend_from_slice(&i16::from(is_binary).to_be_bytes());
            }
        });
    }

    pub(crate) fn copy_data(&mut self, data: &[u8]) {
        self.plain(b'd', |body| body.extend_from_slice(data));
    }

    pub(crate) fn copy_done(&mut self) {
        self.plain(b'c', |_| {});
    }
}

/// Writes at `at` how many bytes there are from `from` to the end.
pub(crate) fn set_length(buffer: &mut [u8], at: usize, from: usize) {
    let length = u32::try_from(buffer.len() - from).unwrap_or(u32::MAX);
    if let Some(place) = buffer.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

fn count(body: &mut Vec<u8>, count: usize) {
    body.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

/// Text and a zero byte; the protocol has no zero in text.
fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.bytes().map(|byte| if byte == 0 { b'?' } else { byte }));
    body.push(0);
}
