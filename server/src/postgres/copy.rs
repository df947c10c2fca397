//! What `COPY … TO STDOUT` and `COPY … FROM STDIN` have in common: the formats and their options (PostgreSQL manual, COPY).

use super::wire::Report;

/// The format of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CopyFormat {
    Text(Layout),
    Csv(Layout),
    Binary,
}

/// How the lines of text and CSV are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) delimiter: u8,
    pub(super) null: String,
    pub(super) header: bool,
    /// Whether the header's names must be those of the columns.
    pub(super) matches_header: bool,
    pub(super) quote: u8,
    pub(super) escape: u8,
    /// Columns that are always in quotes where they are not null; `None` is all.
    pub(super) force_quote: Columns,
    /// Columns whose text is never null.
    pub(super) force_not_null: Columns,
    /// Columns that are null also where the text of null is in quotes.
    pub(super) force_null: Columns,
}

/// A choice of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Columns {
    All,
    Named(Vec<String>),
}

impl Columns {
    /// Whether a column is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|named| named == name),
        }
    }

    fn of_text(text: &str) -> Self {
        let text = text.trim();
        if text == "*" {
            return Self::All;
        }
        let inner = text
            .strip_prefix('(')
            .and_then(|text| text.strip_suffix(')'));
        let names = inner.unwrap_or(text).split(',');
        let names = names.map(|name| name.trim().trim_matches('"').to_owned());
        Self::Named(names.filter(|name| !name.is_empty()).collect())
    }
}

/// The 11 bytes that a copy in binary begins with.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Reads the options of a copy. `writes` is one to the client.
///
/// # Errors
/// What is not known, not for this format, or not for this direction.
pub(super) fn options(
    format: Option<&str>,
    options: &[(String, String)],
    writes: bool,
) -> Result<CopyFormat, Report> {
    let wrong = |message: String| Report::error("22023", message);
    let is_csv = match format.unwrap_or("text") {
        "text" => false,
        "csv" => true,
        "binary" => {
            if let Some((name, _)) = options
                .iter()
                .find(|(name, _)| name != "encoding" && name != "freeze")
            {
                return Err(Report::error(
                    "42601",
                    format!("cannot specify {} in BINARY mode", name.to_uppercase()),
                ));
            }
            check_encoding(options)?;
            return Ok(CopyFormat::Binary);
        }
        other => {
            return Err(wrong(format!("COPY format {other:?} not recognized"))
                .with_hint("formats: text, csv, binary"));
        }
    };
    check_encoding(options)?;
    let mut layout = Layout {
        delimiter: if is_csv { b',' } else { b'\t' },
        null: if is_csv { "" } else { "\\N" }.to_owned(),
        header: false,
        matches_header: false,
        quote: b'"',
        escape: b'"',
        force_quote: Columns::Named(vec![]),
        force_not_null: Columns::Named(vec![]),
        force_null: Columns::Named(vec![]),
    };
    let mut escape = None;
    for (name, value) in options {
        let byte = || match value.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
            _ => Err(wrong(format!(
                "COPY {name} must be a single one-byte character"
            ))),
        };
        let csv_only = || match is_csv {
            true => Ok(()),
            false => Err(wrong(format!("COPY {name} is for CSV only"))),
        };
        match name.as_str() {
            "delimiter" => layout.delimiter = byte()?,
            "null" => {
                if value.contains(['\n', '\r']) {
                    return Err(wrong(
                        "COPY null representation cannot use newline or carriage return".to_owned(),
                    ));
                }
                layout.null.clone_from(value);
            }
            "header" => match value.to_ascii_lowercase().as_str() {
                "" | "true" | "on" | "1" => layout.header = true,
                "false" | "off" | "0" => layout.header = false,
                "match" if !writes => (layout.header, layout.matches_header) = (true, true),
                _ => {
                    return Err(wrong(format!(
                        "header is true, false or match, not {value:?}"
                    )));
                }
            },
            "quote" => {
                csv_only()?;
                layout.quote = byte()?;
            }
            "escape" => {
                csv_only()?;
                escape = Some(byte()?);
            }
            "force_quote" if writes => {
                csv_only()?;
                layout.force_quote = Columns::of_text(value);
            }
            "force_not_null" if !writes => {
                csv_only()?;
                layout.force_not_null = Columns::of_text(value);
            }
            "force_null" if !writes => {
                csv_only()?;
                layout.force_null = Columns::of_text(value);
            }
            "encoding" => {}
            // Rows are not frozen anywhere: it asks for nothing that could be seen.
            "freeze" if !writes => {}
            _ => {
                return Err(Report::error("42601", format!("option {name:?} not recognized"))
                    .with_hint("options: format, delimiter, null, header, quote, escape, force_quote, force_not_null, force_null, encoding"));
            }
        }
    }
    layout.escape = escape.unwrap_or(layout.quote);
    if is_csv && layout.delimiter == layout.quote {
        return Err(wrong(
            "COPY delimiter and quote must be different".to_owned(),
        ));
    }
    if !is_csv
        && (layout.delimiter == b'\\'
            || layout.delimiter.is_ascii_alphanumeric()
            || layout.delimiter == b'.')
    {
        return Err(wrong(format!(
            "COPY delimiter cannot be {:?}",
            char::from(layout.delimiter)
        )));
    }
    Ok(match is_csv {
        true => CopyFormat::Csv(layout),
        false => CopyFormat::Text(layout),
    })
}

fn check_encoding(options: &[(String, String)]) -> Result<(), Report> {
    match options.iter().find(|(name, _)| name == "encoding") {
        Some((_, value))
            if !["utf8", "utf-8", "unicode"].contains(&value.to_ascii_lowercase().as_str()) =>
        {
            Err(
                Report::error("0A000", format!("encoding {value:?} is not supported"))
                    .with_hint("this server speaks UTF8"),
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, given: &[(&str, &str)], writes: bool) -> Result<CopyFormat, String> {
        let given: Vec<(String, String)> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        options(Some(format), &given, writes).map_err(|report| report.message)
    }

    #[test]
    fn options_are_read_one_by_one() {
        let Ok(CopyFormat::Csv(layout)) = read(
            "csv",
            &[("delimiter", ";"), ("header", "true"), ("quote", "'")],
            true,
        ) else {
            panic!("no CSV");
        };
        assert_eq!(
            (layout.delimiter, layout.quote, layout.escape),
            (b';', b'\'', b'\'')
        );
        assert!(layout.header);
        assert_eq!(read("binary", &[], true), Ok(CopyFormat::Binary));
        for (format, option) in [
            ("text", ("quote", "'")),
            ("text", ("delimiter", "ab")),
            ("text", ("delimiter", "\\")),
            ("csv", ("force_null", "(a)")),
            ("csv", ("encoding", "latin1")),
            ("csv", ("colour", "red")),
            ("binary", ("header", "true")),
            ("xml", ("header", "true")),
        ] {
            assert!(
                read(format, &[option], true).is_err(),
                "{format} {option:?}"
            );
        }
    }
}
