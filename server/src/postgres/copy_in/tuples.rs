//! The binary format of a copy: a signature, rows of values with their lengths, and a mark at the end.

use super::Builder;
use crate::postgres::copy::SIGNATURE;
use crate::postgres::wire::Report;

/// The most bytes of one row.
const ROW_BYTES_MAX: usize = 64 << 20;

/// Reads rows.
#[derive(Default)]
pub(super) struct Tuples {
    /// What is not read yet.
    bytes: Vec<u8>,
    has_begun: bool,
    has_ended: bool,
    rows: u64,
}

impl Tuples {
    /// Takes further bytes.
    pub(super) fn push(&mut self, bytes: &[u8], rows: &mut Builder) -> Result<(), Report> {
        if self.has_ended {
            return match bytes {
                [] => Ok(()),
                _ => Err(self.wrong(rows, "received copy data after EOF marker")),
            };
        }
        self.bytes.extend_from_slice(bytes);
        let mut at = 0;
        if !self.has_begun {
            let Some(length) = self.header(rows)? else {
                return Ok(());
            };
            at = length;
            self.has_begun = true;
        }
        while let Some(length) = self.row(at, rows)? {
            at += length;
            if self.has_ended {
                break;
            }
        }
        self.bytes.drain(..at.min(self.bytes.len()));
        if self.has_ended && !self.bytes.is_empty() {
            return Err(self.wrong(rows, "received copy data after EOF marker"));
        }
        if self.bytes.len() > ROW_BYTES_MAX {
            let message = format!("a row has more than {ROW_BYTES_MAX} bytes");
            return Err(rows.wrong("54000", message, self.rows + 1, None, None));
        }
        Ok(())
    }

    /// The end of the copy.
    pub(super) fn finish(self) -> Result<(), Report> {
        match self.has_ended || (self.has_begun && self.bytes.is_empty()) {
            true => Ok(()),
            false => Err(Report::error("22P04", "unexpected EOF in COPY data")),
        }
    }

    fn wrong(&self, rows: &Builder, message: &str) -> Report {
        rows.wrong("22P04", message, self.rows + 1, None, None)
    }

    /// The length of what comes before the first row, once all of it is there.
    fn header(&self, rows: &Builder) -> Result<Option<usize>, Report> {
        let known = self.bytes.len().min(SIGNATURE.len());
        if self.bytes.get(..known) != SIGNATURE.get(..known) {
            return Err(self.wrong(rows, "COPY file signature not recognized"));
        }
        let (Some(flags), Some(extension)) = (self.i32(11), self.i32(15)) else {
            return Ok(None);
        };
        // Bit 16 is for OIDs; the upper half is critical.
        if flags.cast_unsigned() >> 16 != 0 {
            return Err(self.wrong(rows, "unrecognized critical flags in COPY file header"));
        }
        let extension =
            usize::try_from(extension).map_err(|_| self.wrong(rows, "invalid COPY file header"))?;
        let length = 19_usize.saturating_add(extension);
        Ok((self.bytes.len() >= length).then_some(length))
    }

    /// Reads the row at a place, and says how long it is; none while it has not come whole.
    fn row(&mut self, start: usize, rows: &mut Builder) -> Result<Option<usize>, Report> {
        let Some(count) = self.i16(start) else {
            return Ok(None);
        };
        if count == -1 {
            self.has_ended = true;
            return Ok(Some(2));
        }
        let wanted = rows.schema().fields().len();
        if usize::try_from(count).ok() != Some(wanted) {
            let message = format!("row field count is {count}, expected {wanted}");
            return Err(self.wrong(rows, &message));
        }
        let mut values = Vec::with_capacity(wanted);
        let mut at = start + 2;
        for _ in 0..wanted {
            let Some(length) = self.i32(at) else {
                return Ok(None);
            };
            at += 4;
            if length == -1 {
                values.push(None);
                continue;
            }
            let length =
                usize::try_from(length).map_err(|_| self.wrong(rows, "invalid field size"))?;
            let Some(value) = self.bytes.get(at..at.saturating_add(length)) else {
                return Ok(None);
            };
            values.push(Some(value));
            at += length;
        }
        self.rows += 1;
        rows.binaries(self.rows, &values)?;
        Ok(Some(at - start))
    }

    fn i16(&self, at: usize) -> Option<i16> {
        let bytes = self.bytes.get(at..at + 2)?;
        Some(i16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn i32(&self, at: usize) -> Option<i32> {
        let bytes = self.bytes.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    }
}
