//! A file as batches of rows, each ready to be sent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use bytes::Bytes;
use clap::ValueEnum;

use super::{columns, lines};
use crate::client::ARROW_STREAM;
use crate::error::{Error, Result};

/// Rows of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) rows: u64,
    /// Bytes of the file that were read for it, as far as that is known.
    pub(super) read_bytes: u64,
}

impl Batch {
    /// The same batch when it is not sent.
    pub(super) fn without_body(self) -> Self {
        Self {
            body: Bytes::new(),
            ..self
        }
    }
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// A JSON object a line
    Ndjson,
    /// RFC 4180 with a header line
    Csv,
    /// Arrow IPC, a stream or a file
    Arrow,
    /// Parquet
    Parquet,
}

impl FromStr for InputFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        <Self as ValueEnum>::from_str(name, true).map_err(|_| Error::Usage {
            message: format!("unknown format {name:?}"),
            hint: Some("files are loaded from ndjson, csv, arrow or parquet".into()),
        })
    }
}

/// A body is cut at so many bytes even when it has fewer rows than asked for.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;

/// An open file.
pub(super) struct Input {
    source: Source,
    format: InputFormat,
    size: Option<u64>,
}

enum Source {
    File(File),
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// Opens `path` (`-` is standard input); `.gz` and `.zst` are decompressed.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Usage`] when neither `format` nor the name tells what it is.
    pub(super) fn open(path: &Path, format: Option<InputFormat>) -> Result<Self> {
        let name = path.to_string_lossy().to_lowercase();
        let (name, compression) = match name.rsplit_once('.') {
            Some((rest, "gz")) => (rest.to_owned(), Some("gz")),
            Some((rest, "zst" | "zstd")) => (rest.to_owned(), Some("zst")),
            _ => (name, None),
        };
        let format = format
            .or_else(|| of_name(&name))
            .ok_or_else(|| Error::Usage {
                message: format!("{} does not tell its format", path.display()),
                hint: Some("add --format ndjson, csv, arrow or parquet".into()),
            })?;
        if path == Path::new("-") {
            return Ok(Self {
                source: Source::Stream(Box::new(std::io::stdin())),
                format,
                size: None,
            });
        }
        let file = File::open(path).map_err(|error| Error::file(path, error))?;
        let metadata = file.metadata().map_err(|error| Error::file(path, error))?;
        if metadata.is_dir() {
            return Err(Error::usage(format!("{} is a folder", path.display())));
        }
        let (source, size) = match compression {
            None => (
                Source::File(file),
                metadata.is_file().then_some(metadata.len()),
            ),
            Some("gz") => {
                let reader = flate2::read::MultiGzDecoder::new(file);
                (
                    Source::Stream(Box::new(reader) as Box<dyn Read + Send>),
                    None,
                )
            }
            Some(_) => {
                let reader = zstd::Decoder::new(file).map_err(|error| Error::file(path, error))?;
                (
                    Source::Stream(Box::new(reader) as Box<dyn Read + Send>),
                    None,
                )
            }
        };
        Ok(Self {
            source,
            format,
            size,
        })
    }

    /// Bytes of the file, where progress can be measured by them.
    pub(super) fn size(&self) -> Option<u64> {
        self.size.filter(|_| self.format != InputFormat::Parquet)
    }

    /// Hands all batches to `take`, in order, until it answers false.
    ///
    /// # Errors
    /// When the file cannot be read or is not what it should be.
    pub(super) fn read(self, rows: usize, take: impl FnMut(Batch) -> bool) -> Result<()> {
        let buffered = |source: Source| -> Box<dyn BufRead> {
            match source {
                Source::File(file) => Box::new(BufReader::with_capacity(1 << 18, file)),
                Source::Stream(stream) => Box::new(BufReader::with_capacity(1 << 18, stream)),
            }
        };
        match self.format {
            InputFormat::Ndjson => lines::ndjson(buffered(self.source), rows, take),
            InputFormat::Csv => lines::csv(buffered(self.source), rows, take),
            InputFormat::Arrow => match self.source {
                Source::File(file) => columns::arrow_file(file, rows, take),
                stream => columns::arrow_stream(buffered(stream), rows, take),
            },
            InputFormat::Parquet => match self.source {
                Source::File(file) => columns::parquet(file, rows, take),
                Source::Stream(mut stream) => {
                    // Parquet is read from its end.
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes)?;
                    columns::parquet(Bytes::from(bytes), rows, take)
                }
            },
        }
    }
}

/// Content types of bodies.
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const CSV: &str = "text/csv";
pub(super) const ARROW: &str = ARROW_STREAM;

fn of_name(name: &str) -> Option<InputFormat> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "ndjson" | "jsonl" | "json" => InputFormat::Ndjson,
        "csv" => InputFormat::Csv,
        "arrow" | "arrows" | "feather" | "ipc" => InputFormat::Arrow,
        "parquet" => InputFormat::Parquet,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(path: &Path) -> Vec<Batch> {
        let mut batches = Vec::new();
        let input = Input::open(path, None).unwrap();
        input
            .read(2, |batch| {
                batches.push(batch);
                true
            })
            .unwrap();
        batches
    }

    #[test]
    fn compressed_files_are_the_same_batches() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
        let plain = folder.path().join("a.ndjson");
        std::fs::write(&plain, text).unwrap();
        let gz = folder.path().join("a.ndjson.gz");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&gz).unwrap(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap();
        let zst = folder.path().join("a.JSONL.zst");
        std::fs::write(&zst, zstd::encode_all(&text[..], 1).unwrap()).unwrap();
        let expected = read(&plain);
        assert_eq!(
            expected.iter().map(|batch| batch.rows).collect::<Vec<_>>(),
            [2, 1]
        );
        assert_eq!(read(&gz), expected);
        assert_eq!(read(&zst), expected);
    }

    #[test]
    fn a_file_that_does_not_tell_its_format_is_refused() {
        for name in ["rows", "rows.gz", "rows.xls", "-"] {
            assert!(matches!(
                Input::open(Path::new(name), None),
                Err(Error::Usage { .. })
            ));
        }
        assert!(matches!(
            Input::open(Path::new("/nowhere/a.csv"), None),
            Err(Error::File { .. })
        ));
    }
}
