//! File formats and their options.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::config::{CsvOptions, JsonOptions};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use weir_base::Options;

use crate::{Error, Result};

/// A file format that Weir reads. All but Avro are also written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Values separated by commas or another character.
    Csv,
    /// JSON: one object a line, or one array of objects.
    Json,
    /// Apache Avro object containers.
    Avro,
    /// Arrow IPC, in its file and its stream form.
    Arrow,
}

const FORMATS: [Format; 5] = [
    Format::Parquet,
    Format::Csv,
    Format::Json,
    Format::Avro,
    Format::Arrow,
];

/// What names end with when a whole file is compressed.
const COMPRESSIONS: [(&str, CompressionTypeVariant); 6] = [
    (".gz", CompressionTypeVariant::GZIP),
    (".gzip", CompressionTypeVariant::GZIP),
    (".zst", CompressionTypeVariant::ZSTD),
    (".zstd", CompressionTypeVariant::ZSTD),
    (".bz2", CompressionTypeVariant::BZIP2),
    (".xz", CompressionTypeVariant::XZ),
];

impl Format {
    /// The format's name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Arrow => "arrow",
        }
    }

    /// What names of such files usually end with; the first one is what written files get.
    pub(crate) fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &[".parquet", ".parq", ".pq"],
            Self::Csv => &[".csv", ".tsv", ".txt", ".tbl", ".dat"],
            Self::Json => &[".json", ".ndjson", ".jsonl"],
            Self::Avro => &[".avro"],
            Self::Arrow => &[".arrow", ".arrows", ".feather", ".ipc"],
        }
    }

    /// Whether whole files of this format are compressed, as text is; the others compress within.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json)
    }

    /// The format and compression that a name's end tells.
    pub(crate) fn of_name(name: &str) -> Option<(Self, CompressionTypeVariant)> {
        let name = name.to_lowercase();
        let (stem, compression) = split_compression(&name);
        let format = FORMATS.into_iter().find(|format| {
            format
                .extensions()
                .iter()
                .any(|extension| stem.ends_with(extension))
        })?;
        let plain = compression == CompressionTypeVariant::UNCOMPRESSED;
        (plain || format.is_text()).then_some((format, compression))
    }
}

/// A name without the end that tells its compression.
pub(crate) fn split_compression(name: &str) -> (&str, CompressionTypeVariant) {
    COMPRESSIONS
        .into_iter()
        .find_map(|(end, compression)| Some((name.strip_suffix(end)?, compression)))
        .unwrap_or((name, CompressionTypeVariant::UNCOMPRESSED))
}

/// What the names of files that are compressed so end with.
pub(crate) fn compression_extension(compression: CompressionTypeVariant) -> &'static str {
    COMPRESSIONS
        .into_iter()
        .find_map(|(end, found)| (found == compression).then_some(end))
        .unwrap_or("")
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.to_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "csv" | "tsv" => Ok(Self::Csv),
            "json" | "ndjson" | "jsonl" => Ok(Self::Json),
            "avro" => Ok(Self::Avro),
            "arrow" | "ipc" | "feather" => Ok(Self::Arrow),
            _ => Err(format!(
                "{text:?} is not one of parquet, csv, json, avro, arrow"
            )),
        }
    }
}

/// How files of one format are read and written: every option of the format, taken and checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FormatOptions {
    pub(crate) format: Format,
    /// Of whole files. None: as their names tell.
    pub(crate) compression: Option<CompressionTypeVariant>,
    pub(crate) csv: CsvOptions,
    /// Whether JSON is one array. None: as the first character tells.
    pub(crate) array: Option<bool>,
    pub(crate) infer_rows: Option<usize>,
    compression_level: Option<u32>,
    codec: Option<String>,
    row_group_rows: Option<usize>,
    binary_as_string: Option<bool>,
}

impl FormatOptions {
    /// Takes the options of `format`. `named` is how the user named it: `tsv` is CSV with tabs.
    pub(crate) fn take(format: Format, named: &str, options: &mut Options) -> Result<Self> {
        let mut taken = Self {
            format,
            compression: None,
            csv: CsvOptions::default(),
            array: None,
            infer_rows: None,
            compression_level: None,
            codec: None,
            row_group_rows: None,
            binary_as_string: None,
        };
        match format {
            Format::Csv => {
                taken.take_text(options)?;
                taken.take_csv(named, options)?;
            }
            Format::Json => {
                taken.take_text(options)?;
                taken.array = options.take("array")?;
            }
            Format::Parquet => taken.take_parquet(options)?,
            Format::Avro | Format::Arrow => {}
        }
        Ok(taken)
    }

    fn take_text(&mut self, options: &mut Options) -> Result<()> {
        self.compression = options
            .take::<WholeFile>("compression")?
            .map(|whole| whole.0);
        self.compression_level = options.take("compression_level")?;
        self.infer_rows = options.take("infer_rows")?;
        if self.infer_rows == Some(0) {
            return Err(Error::invalid(
                "option \"infer_rows\": must be more than zero",
            ));
        }
        Ok(())
    }

    fn take_csv(&mut self, named: &str, options: &mut Options) -> Result<()> {
        let csv = &mut self.csv;
        let tabs = named.eq_ignore_ascii_case("tsv");
        csv.has_header = Some(options.take("header")?.unwrap_or(true));
        csv.delimiter = match options.take::<Character>("delimiter")? {
            Some(Character(delimiter)) => delimiter,
            None if tabs => b'\t',
            None => b',',
        };
        if let Some(Character(quote)) = options.take("quote")? {
            csv.quote = quote;
        }
        let mut character = |key: &str| -> Result<Option<u8>> {
            Ok(options.take::<Character>(key)?.map(|character| character.0))
        };
        csv.escape = character("escape")?;
        csv.comment = character("comment")?;
        csv.terminator = character("terminator")?;
        csv.newlines_in_values = Some(options.take("newlines_in_values")?.unwrap_or(false));
        csv.truncated_rows = options.take("truncated_rows")?;
        if let Some(null) = options.take::<String>("null")? {
            // Inference looks at this; the reader does not, so the table replaces the text itself.
            csv.null_regex = Some(format!("^({})?$", literal(&null)));
            csv.null_value = Some(null);
        }
        csv.double_quote = options.take("double_quote")?;
        csv.date_format = options.take("date_format")?;
        csv.timestamp_format = options.take("timestamp_format")?;
        csv.timestamp_tz_format.clone_from(&csv.timestamp_format);
        csv.datetime_format.clone_from(&csv.timestamp_format);
        csv.time_format = options.take("time_format")?;
        Ok(())
    }

    fn take_parquet(&mut self, options: &mut Options) -> Result<()> {
        self.codec = options.take::<String>("compression")?;
        self.compression_level = options.take("compression_level")?;
        let level = self.compression_level;
        self.codec = match self
            .codec
            .take()
            .map(|codec| codec.to_lowercase())
            .as_deref()
        {
            None if level.is_some() => Some(format!("zstd({})", level.unwrap_or(3))),
            None => None,
            Some("none" | "uncompressed") => Some("uncompressed".to_owned()),
            Some("snappy") => Some("snappy".to_owned()),
            Some("lz4" | "lz4_raw") => Some("lz4_raw".to_owned()),
            Some("zstd") => Some(format!("zstd({})", level.unwrap_or(3))),
            Some("gzip") => Some(format!("gzip({})", level.unwrap_or(6))),
            Some(codec) => {
                return Err(Error::invalid(format!(
                    "option \"compression\": {codec:?} is not one of zstd, snappy, gzip, lz4, none"
                )));
            }
        };
        let fits = |level: u32| match self.codec.as_deref() {
            Some(codec) if codec.starts_with("zstd") => (1..=22).contains(&level),
            Some(codec) if codec.starts_with("gzip") => level <= 9,
            _ => false,
        };
        if level.is_some_and(|level| !fits(level)) {
            return Err(Error::invalid(
                "option \"compression_level\": zstd takes 1 to 22, gzip 0 to 9, the others none",
            ));
        }
        self.row_group_rows = options.take("row_group_rows")?;
        if self.row_group_rows == Some(0) {
            return Err(Error::invalid(
                "option \"row_group_rows\": must be more than zero",
            ));
        }
        self.binary_as_string = options.take("binary_as_string")?;
        Ok(())
    }

    /// DataFusion's form of this, for files of one compression; `array` says whether JSON is an array.
    pub(crate) fn build(
        &self,
        session: &dyn Session,
        compression: CompressionTypeVariant,
        array: bool,
    ) -> Arc<dyn FileFormat> {
        match self.format {
            Format::Csv => {
                let mut csv = self.csv.clone();
                csv.compression = compression;
                csv.compression_level = self.compression_level;
                csv.schema_infer_max_rec = self.infer_rows;
                Arc::new(CsvFormat::default().with_options(csv))
            }
            Format::Json => {
                let json = JsonOptions {
                    compression,
                    compression_level: self.compression_level,
                    schema_infer_max_rec: self.infer_rows,
                    newline_delimited: !array,
                };
                Arc::new(JsonFormat::default().with_options(json))
            }
            Format::Parquet => {
                let mut parquet = session.default_table_options().parquet;
                if let Some(codec) = &self.codec {
                    parquet.global.compression = Some(codec.clone());
                }
                if let Some(rows) = self.row_group_rows {
                    parquet.global.max_row_group_size = rows;
                }
                if let Some(as_string) = self.binary_as_string {
                    parquet.global.binary_as_string = as_string;
                }
                Arc::new(ParquetFormat::default().with_options(parquet))
            }
            Format::Avro => Arc::new(AvroFormat),
            Format::Arrow => Arc::new(ArrowFormat),
        }
    }
}

/// `text` as a regular expression that matches nothing else.
fn literal(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let special = c.is_ascii_punctuation();
            special.then_some('\\').into_iter().chain([c])
        })
        .collect()
}

/// The compression of whole files.
struct WholeFile(CompressionTypeVariant);

impl FromStr for WholeFile {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.to_lowercase().as_str() {
            "gzip" | "gz" => Ok(Self(CompressionTypeVariant::GZIP)),
            "zstd" | "zst" => Ok(Self(CompressionTypeVariant::ZSTD)),
            "bzip2" | "bz2" => Ok(Self(CompressionTypeVariant::BZIP2)),
            "xz" => Ok(Self(CompressionTypeVariant::XZ)),
            "none" | "uncompressed" => Ok(Self(CompressionTypeVariant::UNCOMPRESSED)),
            _ => Err(format!("{text:?} is not one of gzip, zstd, bz2, xz, none")),
        }
    }
}

/// One character of ASCII.
struct Character(u8);

impl FromStr for Character {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.as_bytes()) {
            ("\\t" | "tab", _) => Ok(Self(b'\t')),
            ("\\n", _) => Ok(Self(b'\n')),
            ("\\r", _) => Ok(Self(b'\r')),
            (_, &[byte]) if byte.is_ascii() => Ok(Self(byte)),
            _ => Err(format!("{text:?} is not one character of ASCII")),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_base::Classify;

    use super::*;

    fn take(format: Format, named: &str, pairs: &[(&str, &str)]) -> Result<FormatOptions> {
        let mut options = Options::new(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let taken = FormatOptions::take(format, named, &mut options)?;
        options.finish()?;
        Ok(taken)
    }

    #[test]
    fn names_tell_format_and_compression() {
        use CompressionTypeVariant::{GZIP, UNCOMPRESSED, ZSTD};
        assert_eq!(Format::of_name("a/B.CSV.GZ"), Some((Format::Csv, GZIP)));
        assert_eq!(Format::of_name("x.jsonl.zst"), Some((Format::Json, ZSTD)));
        assert_eq!(
            Format::of_name("x.pq"),
            Some((Format::Parquet, UNCOMPRESSED))
        );
        assert_eq!(Format::of_name("x.parquet.gz"), None);
        assert_eq!(Format::of_name("x"), None);
    }

    #[test]
    fn options_are_those_of_the_format() {
        let csv = take(Format::Csv, "tsv", &[("null", "N/A"), ("header", "false")]).unwrap();
        assert_eq!(csv.csv.delimiter, b'\t');
        assert_eq!(csv.csv.null_regex.as_deref(), Some("^(N\\/A)?$"));
        let parquet = take(
            Format::Parquet,
            "parquet",
            &[("compression", "ZSTD"), ("compression_level", "9")],
        )
        .unwrap();
        assert_eq!(parquet.codec.as_deref(), Some("zstd(9)"));
        for (format, pairs, message) in [
            (
                Format::Parquet,
                &[("header", "true")][..],
                "unknown option \"header\"",
            ),
            (
                Format::Csv,
                &[("delimiter", "ab")],
                "option \"delimiter\": \"ab\" is not one character of ASCII",
            ),
            (
                Format::Csv,
                &[("compression", "rar")],
                "option \"compression\": \"rar\" is not one of gzip, zstd, bz2, xz, none",
            ),
            (
                Format::Parquet,
                &[("compression", "brotli")],
                "option \"compression\": \"brotli\" is not one of zstd, snappy, gzip, lz4, none",
            ),
            (
                Format::Parquet,
                &[("compression", "snappy"), ("compression_level", "3")],
                "option \"compression_level\": zstd takes 1 to 22, gzip 0 to 9, the others none",
            ),
            (Format::Json, &[("aray", "true")], "unknown option \"aray\""),
        ] {
            assert_eq!(
                take(format, format.name(), pairs).unwrap_err().to_string(),
                message
            );
        }
        assert_eq!(
            take(Format::Json, "json", &[("aray", "true")])
                .unwrap_err()
                .hint()
                .unwrap(),
            "did you mean \"array\"?"
        );
    }
}
