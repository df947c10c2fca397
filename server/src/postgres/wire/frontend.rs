//! What clients send. Reading never trusts a length: what is short, long or no UTF-8 is [`Malformed`].

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};

/// A message that is not as the protocol says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It ends too early, or goes on after its end.
    #[error("a message of type {0:?} has the wrong length")]
    Length(char),
    /// Text that is no UTF-8.
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    Text,
    /// A message of a type that clients do not send.
    #[error("there is no message of type {0:?}")]
    Type(char),
    /// A start-up message for another protocol.
    #[error("unsupported frontend protocol {0}.{1}: this server speaks 3.0")]
    Protocol(u16, u16),
}

/// The first message of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Startup {
    /// It asks for TLS.
    Tls,
    /// It asks for encryption by GSSAPI.
    Gss,
    /// It wants the statement of another connection stopped.
    Cancel {
        /// The other connection's number.
        process: i32,
        /// What only its client knows.
        secret: Bytes,
    },
    /// It wants to begin.
    Begin {
        /// The protocol's minor version.
        minor: u16,
        /// `user`, `database`, and settings.
        parameters: BTreeMap<String, String>,
    },
}

/// A message after start-up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frontend {
    Query(String),
    Parse(Parse),
    Bind(Bind),
    Describe(Target),
    Close(Target),
    Execute {
        portal: String,
        /// At most so many rows; all if there is none.
        rows_max: Option<u32>,
    },
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    /// A password, or a step of SASL: what it is the question before it says.
    Password(Bytes),
    FunctionCall,
}

/// A statement to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parse {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// OIDs of the parameters' types as far as they are given; 0 leaves one open.
    pub(crate) types: Vec<u32>,
}

/// Values for a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    /// None: all text; one: of all; else one each. 0 is text, 1 binary.
    pub(crate) formats: Vec<i16>,
    pub(crate) values: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<i16>,
}

/// What is described or closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

/// Reads the body of a first message.
///
/// # Errors
/// When it is none.
pub(crate) fn read_startup(body: Bytes) -> Result<Startup, Malformed> {
    let mut body = Body { tag: 'S', body };
    let code = body.u32()?;
    let startup = match code {
        TLS => Startup::Tls,
        GSS => Startup::Gss,
        CANCEL => Startup::Cancel {
            process: body.i32()?,
            secret: body.rest(),
        },
        _ if code >> 16 == 3 => {
            let mut parameters = BTreeMap::new();
            loop {
                let name = body.text()?;
                if name.is_empty() {
                    break;
                }
                let value = body.text()?;
                parameters.insert(name, value);
            }
            Startup::Begin {
                minor: code as u16,
                parameters,
            }
        }
        _ => return Err(Malformed::Protocol((code >> 16) as u16, code as u16)),
    };
    body.finish()?;
    Ok(startup)
}

/// Reads a message.
///
/// # Errors
/// When it is not of the form of its type, or of no type.
pub(crate) fn read(tag: u8, body: Bytes) -> Result<Frontend, Malformed> {
    let mut body = Body {
        tag: char::from(tag),
        body,
    };
    let message = match tag {
        b'Q' => Frontend::Query(body.text()?),
        b'P' => Frontend::Parse(Parse {
            name: body.text()?,
            sql: body.text()?,
            types: body.list(4, Body::u32)?,
        }),
        b'B' => Frontend::Bind(Bind {
            portal: body.text()?,
            statement: body.text()?,
            formats: body.list(2, Body::i16)?,
            values: body.list(4, Body::value)?,
            result_formats: body.list(2, Body::i16)?,
        }),
        b'D' => Frontend::Describe(body.target()?),
        b'C' => Frontend::Close(body.target()?),
        b'E' => Frontend::Execute {
            portal: body.text()?,
            // Zero, and what is negative, is no limit.
            rows_max: u32::try_from(body.i32()?).ok().filter(|rows| *rows > 0),
        },
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'd' => Frontend::CopyData(body.rest()),
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(body.text()?),
        b'p' => Frontend::Password(body.rest()),
        b'F' => {
            body.rest();
            Frontend::FunctionCall
        }
        _ => return Err(Malformed::Type(body.tag)),
    };
    body.finish()?;
    Ok(message)
}

/// A message's body, read from its start.
struct Body {
    tag: char,
    body: Bytes,
}

impl Body {
    fn short(&self) -> Malformed {
        Malformed::Length(self.tag)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.body.try_get_u32().map_err(|_| self.short())
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.body.try_get_i32().map_err(|_| self.short())
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        self.body.try_get_i16().map_err(|_| self.short())
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.body)
    }

    /// Text up to a zero byte.
    fn text(&mut self) -> Result<String, Malformed> {
        let end = memchr::memchr(0, &self.body).ok_or_else(|| self.short())?;
        let text = self.body.split_to(end);
        self.body.advance(1);
        String::from_utf8(text.into()).map_err(|_| Malformed::Text)
    }

    /// A value of a parameter.
    fn value(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Ok(length) = usize::try_from(self.i32()?) else {
            return Ok(None);
        };
        if length > self.body.len() {
            return Err(self.short());
        }
        Ok(Some(self.body.split_to(length)))
    }

    /// A count, and so many things of `size` bytes or more.
    fn list<T>(
        &mut self,
        size: usize,
        item: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.body.try_get_u16().map_err(|_| self.short())?;
        let count = usize::from(count);
        if count * size > self.body.len() {
            return Err(self.short());
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn target(&mut self) -> Result<Target, Malformed> {
        let kind = self.body.try_get_u8().map_err(|_| self.short())?;
        let name = self.text()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            _ => Err(self.short()),
        }
    }

    fn finish(&self) -> Result<(), Malformed> {
        match self.body.is_empty() {
            true => Ok(()),
            false => Err(self.short()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Result<Frontend, Malformed> {
        read(tag, Bytes::copy_from_slice(body))
    }

    #[test]
    fn messages_are_read_as_the_manual_has_them() {
        assert_eq!(
            message(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            Ok(Frontend::Parse(Parse {
                name: "s".into(),
                sql: "SELECT $1".into(),
                types: vec![23],
            }))
        );
        let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        assert_eq!(
            message(b'B', bind),
            Ok(Frontend::Bind(Bind {
                portal: "p".into(),
                statement: "s".into(),
                formats: vec![1],
                values: vec![Some(Bytes::from_static(b"x")), None],
                result_formats: vec![],
            }))
        );
        assert_eq!(
            message(b'E', b"\0\0\0\0\x05"),
            Ok(Frontend::Execute {
                portal: String::new(),
                rows_max: Some(5),
            })
        );
    }

    #[test]
    fn what_is_short_or_long_is_refused() {
        assert_eq!(message(b'E', b"\0\0\0\0"), Err(Malformed::Length('E')));
        assert_eq!(message(b'S', b"x"), Err(Malformed::Length('S')));
        assert_eq!(message(b'Q', b"no end"), Err(Malformed::Length('Q')));
        assert_eq!(message(b'Q', b"\xff\0"), Err(Malformed::Text));
        assert_eq!(
            message(b'P', b"\0\0\xff\xff\0\0"),
            Err(Malformed::Length('P'))
        );
        assert_eq!(message(b'?', b""), Err(Malformed::Type('?')));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tag in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = message(tag, &body);
            let _ = read_startup(Bytes::from(body));
        }
    }
}
