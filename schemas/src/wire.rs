//! What the Confluent serialisers write before a value: a zero byte, the schema's id in four bytes (big-endian), and for
//! Protobuf the path to the message within its file, as zigzag varints (a lone 0 for the first message).

use crate::SchemaId;

/// The byte that begins a framed value.
pub const MAGIC: u8 = 0;

/// The bytes before an Avro or JSON value.
pub const HEADER_BYTES: usize = 5;

/// No file nests messages deeper.
const PATH_MAX: usize = 64;

/// Why a value is not framed as the Confluent serialisers do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the header has.
    #[error("it is shorter than the five bytes of magic and schema id")]
    Short,
    /// Another first byte.
    #[error("it begins with byte {0} instead of the magic 0 of a value with a schema id")]
    Magic(u8),
    /// The id is 0 or past what the registry gives.
    #[error("schema id {0} is out of range")]
    Id(u32),
    /// The message path of a Protobuf value does not read.
    #[error("the path to its message does not read")]
    Path,
}

/// Splits a framed value into the id of its schema and what follows.
///
/// # Errors
/// [`FrameError`] when it is not framed.
pub fn split(value: &[u8]) -> Result<(SchemaId, &[u8]), FrameError> {
    match value {
        [MAGIC, a, b, c, d, rest @ ..] => {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            let id = SchemaId::new(id).ok_or(FrameError::Id(id))?;
            Ok((id, rest))
        }
        [MAGIC, ..] | [] => Err(FrameError::Short),
        [other, ..] => Err(FrameError::Magic(*other)),
    }
}

/// Splits what follows the id of a Protobuf value into the path to its message and the message's bytes.
///
/// # Errors
/// [`FrameError::Path`].
pub fn split_message_path(mut rest: &[u8]) -> Result<(Vec<u32>, &[u8]), FrameError> {
    let length = take_zigzag(&mut rest)?;
    if length == 0 {
        return Ok((vec![0], rest));
    }
    let length = usize::try_from(length).map_err(|_| FrameError::Path)?;
    if length > PATH_MAX {
        return Err(FrameError::Path);
    }
    let mut path = Vec::with_capacity(length);
    for _ in 0..length {
        let index = take_zigzag(&mut rest)?;
        path.push(u32::try_from(index).map_err(|_| FrameError::Path)?);
    }
    Ok((path, rest))
}

/// Writes the header of an Avro or JSON value.
pub fn put_header(id: SchemaId, to: &mut Vec<u8>) {
    to.push(MAGIC);
    to.extend_from_slice(&id.get().to_be_bytes());
}

/// Writes the path to a message, after the header.
pub fn put_message_path(path: &[u32], to: &mut Vec<u8>) {
    if path == [0] {
        to.push(0);
        return;
    }
    put_zigzag(path.len() as u64, to);
    for index in path {
        put_zigzag(u64::from(*index), to);
    }
}

fn take_zigzag(from: &mut &[u8]) -> Result<i64, FrameError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(FrameError::Path)?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(FrameError::Path)
}

fn put_zigzag(value: u64, to: &mut Vec<u8>) {
    let mut rest = value << 1;
    while rest >= 0x80 {
        to.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_headers_of_the_python_client() {
        let mut value = Vec::new();
        put_header(SchemaId::new(300).unwrap(), &mut value);
        put_message_path(&[0], &mut value);
        assert_eq!(value, [0, 0, 0, 1, 44, 0]);
        value.truncate(HEADER_BYTES);
        put_message_path(&[1, 0], &mut value);
        assert_eq!(value, [0, 0, 0, 1, 44, 4, 2, 0]);
    }

    #[test]
    fn what_is_not_framed_is_told_apart() {
        assert_eq!(split(b""), Err(FrameError::Short));
        assert_eq!(split(&[0, 0, 0, 1]), Err(FrameError::Short));
        assert_eq!(split(b"{\"a\": 1}"), Err(FrameError::Magic(b'{')));
        assert_eq!(split(&[0, 0, 0, 0, 0]), Err(FrameError::Id(0)));
        assert_eq!(split_message_path(&[]), Err(FrameError::Path));
        assert_eq!(split_message_path(&[1]), Err(FrameError::Path));
        assert_eq!(split_message_path(&[0xff; 11]), Err(FrameError::Path));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            id in 1..=i32::MAX as u32,
            path in prop::collection::vec(0..1_000_u32, 1..=PATH_MAX),
            body in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let id = SchemaId::new(id).unwrap();
            let mut value = Vec::new();
            put_header(id, &mut value);
            put_message_path(&path, &mut value);
            value.extend_from_slice(&body);
            let (read, rest) = split(&value).unwrap();
            prop_assert_eq!(read, id);
            prop_assert_eq!(split_message_path(rest).unwrap(), (path, body.as_slice()));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = split(&bytes);
            let _ = split_message_path(&bytes);
        }
    }
}
