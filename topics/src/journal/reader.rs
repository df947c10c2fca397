//! Reading the values of an internal topic's records: little-endian fields, one after another.

use std::fmt;

use uuid::Uuid;
use weir_base::{PartitionId, TopicId};

/// A partition of a topic.
pub(crate) type Place = (TopicId, PartitionId);

/// Why a value does not say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Version(u8),
    Kind(u8),
    CutOff,
    Text,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} is not known here"),
            Self::Kind(kind) => write!(f, "kind {kind} is not known here"),
            Self::CutOff => f.write_str("it is cut off"),
            Self::Text => f.write_str("a text is not UTF-8"),
        }
    }
}

/// Writes a partition as [`Reader::place`] reads it.
pub(crate) fn put_place(value: &mut Vec<u8>, (topic, partition): &Place) {
    value.extend(topic.0.as_bytes());
    value.extend(partition.0.to_le_bytes());
}

/// Writes a text of at most 65,535 bytes as [`Reader::text`] reads it.
pub(crate) fn put_text(value: &mut Vec<u8>, text: &str) {
    value.extend((text.len() as u16).to_le_bytes());
    value.extend(text.as_bytes());
}

/// What is left of a value.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unreadable::CutOff)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Unreadable> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Unreadable> {
        self.take().map(i16::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Unreadable> {
        self.take().map(i32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Unreadable> {
        self.take().map(i64::from_le_bytes)
    }

    pub(crate) fn place(&mut self) -> Result<Place, Unreadable> {
        let topic = TopicId(Uuid::from_bytes(self.take()?));
        Ok((topic, PartitionId(self.u32()?)))
    }

    pub(crate) fn text(&mut self) -> Result<String, Unreadable> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (text, rest) = self.0.split_at_checked(length).ok_or(Unreadable::CutOff)?;
        self.0 = rest;
        let text = std::str::from_utf8(text).map_err(|_| Unreadable::Text)?;
        Ok(text.to_owned())
    }
}
