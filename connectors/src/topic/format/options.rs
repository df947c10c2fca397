//! What a stream's `WITH` clause says of its records' form.

use std::str::FromStr;
use std::sync::Arc;

use weir_base::Options;
use weir_schemas::SchemaKind;

use super::{CsvForm, Format, KeyFormat, Schemas, WriterSchema};
use crate::{Error, Result};

/// How a stream's records are encoded, and what becomes of those that are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordFormat {
    /// Of the values.
    pub value: Format,
    /// Of the keys, if columns are read from them.
    pub key: Option<KeyFormat>,
    /// What a record that cannot be decoded reads as.
    pub on_error: OnError,
}

/// What a reader makes of a record that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// A row of nulls, with the reason in `_error`.
    Null,
    /// No row.
    Skip,
    /// An error. Only those columns are decoded that are asked for.
    #[default]
    Fail,
    /// No row; a copy of the record goes to another topic.
    DeadLetter,
}

impl OnError {
    const ALL: [Self; 4] = [Self::Null, Self::Skip, Self::Fail, Self::DeadLetter];

    /// Its name in `WITH (on_error = '…')`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::DeadLetter => "dead_letter",
        }
    }

    /// Whether a record that cannot be decoded is no row.
    pub fn drops_rows(self) -> bool {
        matches!(self, Self::Skip | Self::DeadLetter)
    }
}

impl FromStr for OnError {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|policy| policy.name() == text);
        named.ok_or_else(|| format!("{text:?} is not one of 'null', 'skip', 'fail', 'dead_letter'"))
    }
}

impl RecordFormat {
    /// The options that [`RecordFormat::take`] knows, besides `format`.
    pub const OPTIONS: [&'static str; 9] = [
        "avro.schema",
        "csv.delimiter",
        "csv.null",
        "csv.quote",
        "key.format",
        "on_error",
        "protobuf.message",
        "protobuf.schema",
        "value.format",
    ];

    /// Takes a stream's options: `format` (JSON without one) and [`RecordFormat::OPTIONS`]. `has_key_columns` tells whether
    /// columns are read from keys; the key's format is text without the option. A record that cannot be decoded reads as nulls
    /// unless `on_error` says otherwise; one that should tell how a row changed is an error. Avro and Protobuf whose schema is no option have theirs in `schemas`; the subject `<topic>-value`
    /// has the one by which rows are written.
    ///
    /// # Errors
    /// When there is no such format, or an option has no such value or does not go with the others.
    pub fn take(
        options: &mut Options,
        has_key_columns: bool,
        schemas: &Arc<dyn Schemas>,
        topic: &str,
    ) -> Result<Self> {
        let registered = |message| WriterSchema::Registered {
            schemas: Arc::clone(schemas),
            subject: format!("{topic}-value"),
            message,
        };
        let name = options.take::<String>("format")?;
        let is_upsert = name.as_deref() == Some("upsert");
        let name = match options.take::<String>("value.format")? {
            None if is_upsert => None,
            Some(inner) if is_upsert && !Format::names_changelog(&inner) && inner != "raw" => {
                Some(inner)
            }
            Some(inner) if is_upsert => {
                return Err(Error::invalid(format!(
                    "option \"value.format\" names no format of rows: {inner:?}"
                ))
                .with_hint("use 'json', 'csv', 'avro' or 'protobuf'"));
            }
            Some(_) => {
                return Err(Error::invalid(
                    "option \"value.format\" is for the rows of format 'upsert'",
                )
                .with_hint("write format = '…'"));
            }
            None => name,
        };
        let value = match name.as_deref().unwrap_or("json") {
            "json" => Format::Json,
            "csv" => Format::Csv(csv(options)?),
            "arrow" if is_upsert => {
                return Err(Error::unsupported(
                    "values of format 'arrow' have any number of rows, and a key has one",
                ));
            }
            "arrow" => Format::Arrow,
            "debezium_json" => Format::Debezium(Vec::new()),
            "avro" => Format::Avro(match options.take("avro.schema")? {
                Some(text) => WriterSchema::given(SchemaKind::Avro, text, None)?,
                None => registered(None),
            }),
            "protobuf" => {
                let message = options.take::<String>("protobuf.message")?;
                Format::Protobuf(match options.take("protobuf.schema")? {
                    Some(text) => {
                        WriterSchema::given(SchemaKind::Protobuf, text, message.as_deref())?
                    }
                    None => registered(message),
                })
            }
            "raw" => Format::Raw,
            other => {
                return Err(
                    Error::unsupported(format!("format {other:?} is not supported yet"))
                        .with_hint(
                            "use 'json', 'csv', 'avro', 'protobuf', 'arrow', or 'raw' for values as they are; 'debezium_json' or 'upsert' for changes of rows",
                        ),
                );
            }
        };
        let value = match is_upsert {
            true => Format::Upsert(Box::new(value)),
            false => value,
        };
        // Debezium's envelopes have the key's columns, too.
        let has_key_columns = has_key_columns && !matches!(value, Format::Debezium(_));
        let key = options.take::<String>("key.format")?;
        let key = match key.as_deref() {
            None => has_key_columns.then(KeyFormat::default),
            Some(_) if !has_key_columns => {
                return Err(Error::invalid(
                    "option \"key.format\" is for columns that are read from keys",
                )
                .with_hint(match value {
                    Format::Debezium(_) => "leave it out: Debezium's values have all columns",
                    _ => "name them: \"key.columns\" = 'a, b'",
                }));
            }
            Some("text") => Some(KeyFormat::Text),
            Some("json") => Some(KeyFormat::Json),
            Some("raw") => Some(KeyFormat::Raw),
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "key format {other:?} is not supported yet"
                ))
                .with_hint("use 'text', 'json' or 'raw'"));
            }
        };
        let on_error = options.take::<OnError>("on_error")?;
        if value == Format::Raw && on_error.is_some() {
            return Err(
                Error::invalid("option \"on_error\" is not for raw values: none is wrong")
                    .with_hint("leave it out"),
            );
        }
        if value.is_changelog() && on_error == Some(OnError::Null) {
            return Err(Error::invalid(
                "a record that cannot be decoded is no row of nulls here: rows are told apart by their key",
            )
            .with_hint("use on_error = 'fail', 'skip' or 'dead_letter'"));
        }
        let without = match value.is_changelog() {
            true => OnError::Fail,
            false => OnError::Null,
        };
        Ok(Self {
            value,
            key,
            on_error: on_error.unwrap_or(without),
        })
    }
}

fn csv(options: &mut Options) -> Result<CsvForm> {
    let plain = CsvForm::default();
    let form = CsvForm {
        delimiter: byte(options, "csv.delimiter")?.unwrap_or(plain.delimiter),
        quote: byte(options, "csv.quote")?.unwrap_or(plain.quote),
        null: options.take("csv.null")?.unwrap_or(plain.null),
    };
    if form.delimiter == form.quote {
        return Err(Error::invalid(
            "options \"csv.delimiter\" and \"csv.quote\" must differ",
        ));
    }
    let special = [form.delimiter, form.quote, b'\n', b'\r'];
    if form.null.bytes().any(|byte| special.contains(&byte)) {
        return Err(Error::invalid(
            "option \"csv.null\" holds a delimiter, a quote or the end of a line",
        ));
    }
    Ok(form)
}

/// One character of ASCII, which does not end a line.
fn byte(options: &mut Options, key: &str) -> Result<Option<u8>> {
    let Some(text) = options.take::<String>(key)? else {
        return Ok(None);
    };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'\0') => Ok(Some(*byte)),
        b"\\t" => Ok(Some(b'\t')),
        _ => Err(Error::invalid(format!(
            "option {key:?} must be one character of ASCII, not {text:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::no_schemas;
    use super::*;

    fn take(pairs: &[(&str, &str)], has_key_columns: bool) -> Result<RecordFormat> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut options = Options::new(pairs);
        let format = RecordFormat::take(&mut options, has_key_columns, &no_schemas(), "t")?;
        options.finish()?;
        Ok(format)
    }

    #[test]
    fn a_stream_is_of_json_and_wrong_records_read_as_nulls() {
        let format = take(&[], false).unwrap();
        assert_eq!(format.value, Format::Json);
        assert_eq!((format.key, format.on_error), (None, OnError::Null));
        assert_eq!(take(&[], true).unwrap().key, Some(KeyFormat::Text));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (pairs, message) in [
            (
                &[("format", "thrift")][..],
                "format \"thrift\" is not supported yet",
            ),
            (
                &[("format", "avro"), ("avro.schema", "\"int\"")],
                "option \"avro.schema\": the writer's schema is no record",
            ),
            (
                &[("format", "avro"), ("avro.schema", "{")],
                "option \"avro.schema\": the schema is not JSON: EOF while parsing an object at line 1 column 1",
            ),
            (
                &[("format", "avro"), ("protobuf.message", "M")],
                "unknown option \"protobuf.message\"",
            ),
            (
                &[
                    ("format", "protobuf"),
                    ("protobuf.schema", "message A {}"),
                    ("protobuf.message", "B"),
                ],
                "option \"protobuf.message\": the schema has no message \"B\"",
            ),
            (
                &[("format", "json"), ("avro.schema", "x")],
                "unknown option \"avro.schema\"",
            ),
            (
                &[("on_error", "ignore")],
                "option \"on_error\": \"ignore\" is not one of 'null', 'skip', 'fail', 'dead_letter'",
            ),
            (
                &[("format", "raw"), ("on_error", "skip")],
                "option \"on_error\" is not for raw values: none is wrong",
            ),
            (
                &[("key.format", "json")],
                "option \"key.format\" is for columns that are read from keys",
            ),
            (&[("csv.null", "NULL")], "unknown option \"csv.null\""),
            (
                &[("format", "csv"), ("csv.delimiter", "\"")],
                "options \"csv.delimiter\" and \"csv.quote\" must differ",
            ),
            (
                &[("format", "csv"), ("csv.delimiter", "ä")],
                "option \"csv.delimiter\" must be one character of ASCII, not \"ä\"",
            ),
            (
                &[("format", "csv"), ("csv.null", "a,b")],
                "option \"csv.null\" holds a delimiter, a quote or the end of a line",
            ),
        ] {
            assert_eq!(take(pairs, false).unwrap_err().to_string(), message);
        }
    }
}
