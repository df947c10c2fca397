//! Reading a batch where it lies.

use bytes::Bytes;
use weir_base::Offset;

use super::codec::Codec;
use super::header::{BatchHeader, CODEC, HEADER_BYTES, LENGTH_BASE, Malformed};
use super::{TOKEN_HEADER, varint};
use crate::{Error, IdempotencyToken, Result};

/// A stored batch whose checksum is right. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct BatchView {
    bytes: Bytes,
    header: BatchHeader,
}

/// A record of a [`BatchView`], borrowed from it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its number within the partition.
    pub offset: Offset,
    /// When it happened, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What it is about.
    pub key: Option<&'a [u8]>,
    /// What it says.
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

/// The records of a batch, in order of offset.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    header: BatchHeader,
    /// How many have been read.
    at: i32,
}

/// The headers of a record, in order; an idempotency token is not shown.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: i64,
    base_offset: Offset,
    record: u32,
}

/// A header as it is stored: its name need not be text.
type Header<'a> = (&'a [u8], Option<&'a [u8]>);

impl BatchView {
    /// Reads the batch at the front of `bytes`, and checks its checksum.
    ///
    /// # Errors
    /// [`Error::Batch`] when there is no whole batch with the right checksum.
    pub fn parse(bytes: Bytes) -> Result<Self> {
        let malformed = |base_offset| {
            move |reason| Error::Batch {
                base_offset,
                reason,
            }
        };
        let header = BatchHeader::parse(&bytes).map_err(malformed(Offset::ZERO))?;
        header
            .verify(&bytes)
            .map_err(malformed(header.base_offset))?;
        Ok(Self { bytes, header })
    }

    /// A batch that was checked before.
    pub(crate) fn checked(bytes: Bytes, header: BatchHeader) -> Self {
        Self { bytes, header }
    }

    /// All header fields.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The first record's offset.
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// The last record's offset.
    pub fn last_offset(&self) -> Offset {
        Offset(self.header.end_offset().0 - 1)
    }

    /// The offset after the last record's.
    pub fn end_offset(&self) -> Offset {
        self.header.end_offset()
    }

    /// How many records it holds.
    pub fn record_count(&self) -> usize {
        self.header.record_count.max(0) as usize
    }

    /// The largest timestamp of its records, in milliseconds since the epoch.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.header.max_timestamp_ms
    }

    /// Its size, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.header.total_bytes()
    }

    /// The stored bytes, as a Kafka client is served them.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The stored bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What its records are compressed with.
    ///
    /// # Errors
    /// [`Error::Batch`] for a codec that does not exist.
    pub fn codec(&self) -> Result<Option<Codec>> {
        Codec::of(self.header.attributes).map_err(|reason| self.malformed(reason))
    }

    /// The same batch with plain records. Its bytes are then not those that are stored, nor under their checksum.
    ///
    /// # Errors
    /// [`Error::Batch`] when the records do not decompress.
    pub fn decompressed(self) -> Result<Self> {
        let Some(codec) = self.codec()? else {
            return Ok(self);
        };
        let stored = self.bytes.get(..self.header.total_bytes());
        let stored = stored.unwrap_or_default();
        let (front, records) = stored
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| self.malformed(Malformed::CutOff))?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len().saturating_mul(4));
        bytes.extend_from_slice(front);
        codec
            .decompress(records, &mut bytes)
            .map_err(|reason| self.malformed(reason))?;
        let mut header = self.header;
        header.attributes &= !CODEC;
        header.length = i32::try_from(bytes.len() - LENGTH_BASE)
            .map_err(|_| self.malformed(Malformed::TooLarge))?;
        Ok(Self {
            bytes: bytes.into(),
            header,
        })
    }

    pub(super) fn malformed(&self, reason: Malformed) -> Error {
        Error::Batch {
            base_offset: self.header.base_offset,
            reason,
        }
    }

    /// The records, which must be plain (see [`Self::decompressed`]). After an error the iterator ends.
    pub fn records(&self) -> Records<'_> {
        Records {
            rest: self
                .bytes
                .get(HEADER_BYTES..self.header.total_bytes())
                .unwrap_or_default(),
            header: self.header,
            at: 0,
        }
    }

    /// Bounds of the timestamps of its records, in milliseconds since the epoch. Of compressed ones only the upper is known.
    ///
    /// # Errors
    /// [`Error::Batch`] when a record does not decode.
    pub fn time_bounds(&self) -> Result<(i64, i64)> {
        if self.header.is_compressed() {
            let known = self.header.is_log_append_time();
            let max = self.header.max_timestamp_ms;
            return Ok((if known { max } else { i64::MIN }, max));
        }
        let mut records = self.records();
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        while let Some(timestamp_ms) = records.next_timestamp_ms()? {
            min = min.min(timestamp_ms);
            max = max.max(timestamp_ms);
        }
        Ok((min, max))
    }

    /// The idempotency token that the batch was appended with.
    pub(crate) fn token(&self) -> Result<Option<IdempotencyToken>> {
        let stored = self.token_header()?.flatten();
        Ok(stored.and_then(IdempotencyToken::from_bytes))
    }

    /// The header that holds a token, if there is one: what is in it.
    pub(super) fn token_header(&self) -> Result<Option<Option<&[u8]>>> {
        if self.header.is_compressed() {
            // Who gives tokens does not compress.
            return Ok(None);
        }
        let Some(first) = self.records().next() else {
            return Ok(None);
        };
        let mut headers = first?.headers;
        while let Some((key, value)) = headers.take_next()? {
            if key == TOKEN_HEADER.as_bytes() {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl<'a> Record<'a> {
    /// Further names and values.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Self::decode).transpose()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.header.record_count - self.at).max(0) as usize;
        (0, Some(left))
    }
}

impl<'a> Records<'a> {
    /// The bytes that have not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next record's timestamp alone.
    fn next_timestamp_ms(&mut self) -> Result<Option<i64>> {
        self.step(|records, mut body| {
            let delta = varint::take(&mut body)?;
            Some(records.timestamp_ms(delta))
        })
    }

    /// Cuts the next record off and gives its body, less the attributes, to `read`.
    fn step<T>(&mut self, read: impl FnOnce(&Self, &'a [u8]) -> Option<T>) -> Result<Option<T>> {
        let last = self.header.record_count;
        if self.header.is_compressed() && self.at < last {
            self.at = last;
            return Err(self.malformed(Malformed::Attributes(self.header.attributes)));
        }
        if self.at >= last {
            if self.rest.is_empty() {
                return Ok(None);
            }
            self.rest = &[];
            return Err(self.malformed(Malformed::TrailingBytes));
        }
        let read = self.body().and_then(|body| read(self, body));
        match read {
            Some(read) => {
                self.at += 1;
                Ok(Some(read))
            }
            None => {
                let at = self.at as u32;
                (self.at, self.rest) = (last, &[]);
                Err(self.malformed(Malformed::Record(at)))
            }
        }
    }

    fn body(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(varint::take(&mut self.rest)?).ok()?;
        let (body, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        body.get(1..)
    }

    fn decode(&self, mut body: &'a [u8]) -> Option<Record<'a>> {
        let timestamp_delta = varint::take(&mut body)?;
        let offset_delta = varint::take(&mut body)?;
        if !(0..=i64::from(self.header.last_offset_delta)).contains(&offset_delta) {
            return None;
        }
        let key = take_field(&mut body)?;
        let value = take_field(&mut body)?;
        let headers = varint::take(&mut body)?;
        if headers < 0 {
            return None;
        }
        Some(Record {
            offset: Offset(self.header.base_offset.0.wrapping_add(offset_delta)),
            timestamp_ms: self.timestamp_ms(timestamp_delta),
            key,
            value,
            headers: Headers {
                rest: body,
                left: headers,
                base_offset: self.header.base_offset,
                record: self.at as u32,
            },
        })
    }

    fn timestamp_ms(&self, delta: i64) -> i64 {
        if self.header.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            self.header.base_timestamp_ms.wrapping_add(delta)
        }
    }

    fn malformed(&self, reason: Malformed) -> Error {
        Error::Batch {
            base_offset: self.header.base_offset,
            reason,
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, Option<&'a [u8]>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, value) = match self.take_next() {
                Ok(next) => next?,
                Err(error) => return Some(Err(error)),
            };
            if key != TOKEN_HEADER.as_bytes() {
                let Ok(key) = std::str::from_utf8(key) else {
                    return Some(Err(self.malformed()));
                };
                return Some(Ok((key, value)));
            }
        }
    }
}

impl<'a> Headers<'a> {
    fn take_next(&mut self) -> Result<Option<Header<'a>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let field = take_field(&mut self.rest)
            .flatten()
            .and_then(|key| Some((key, take_field(&mut self.rest)?)));
        match field {
            Some(field) => {
                self.left -= 1;
                Ok(Some(field))
            }
            None => Err(self.malformed()),
        }
    }

    fn malformed(&mut self) -> Error {
        self.left = 0;
        Error::Batch {
            base_offset: self.base_offset,
            reason: Malformed::Record(self.record),
        }
    }
}

/// Takes a nullable field off the front of `bytes`: length, then as many bytes. The outer `None` is an error.
fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint::take(bytes)?;
    if length == -1 {
        return Some(None);
    }
    let (field, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(field))
}
