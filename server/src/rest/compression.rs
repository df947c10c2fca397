//! Compressed answers. Each piece is flushed where it must reach the client at once.

use std::io::Write;

use bytes::Bytes;

use super::negotiation::Coding;

/// A body's compressor.
pub(crate) enum Compressor {
    Identity,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// A compressor at its fastest level: the network is rarely slower than a better level.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub(crate) fn new(coding: Coding) -> std::io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::fast(),
            )),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        })
    }

    pub(crate) fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }

    /// Compresses `parts`. With `flush` all of it can be decompressed at once; otherwise some may be held back.
    ///
    /// # Errors
    /// As the codec.
    pub(crate) fn write(&mut self, parts: Vec<Bytes>, flush: bool) -> std::io::Result<Vec<Bytes>> {
        let compressed = match self {
            Self::Identity => return Ok(parts),
            Self::Gzip(encoder) => {
                parts.iter().try_for_each(|part| encoder.write_all(part))?;
                if flush {
                    encoder.flush()?;
                }
                std::mem::take(encoder.get_mut())
            }
            Self::Zstd(encoder) => {
                parts.iter().try_for_each(|part| encoder.write_all(part))?;
                if flush {
                    encoder.flush()?;
                }
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(if compressed.is_empty() {
            Vec::new()
        } else {
            vec![compressed.into()]
        })
    }

    /// Ends the compressed body. What was not ended does not decompress as whole.
    ///
    /// # Errors
    /// As the codec.
    pub(crate) fn finish(&mut self) -> std::io::Result<Vec<Bytes>> {
        let rest = match std::mem::replace(self, Self::Identity) {
            Self::Identity => return Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        Ok(vec![rest.into()])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn flushed_pieces_decompress_at_once_and_the_whole_at_the_end() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let mut compressor = Compressor::new(coding).unwrap();
            let mut sent = compressor
                .write(
                    vec![Bytes::from_static(b"one "), Bytes::from_static(b"two")],
                    true,
                )
                .unwrap()
                .concat();
            let mut partial = vec![0; 7];
            match coding {
                Coding::Gzip => flate2::bufread::GzDecoder::new(&sent[..])
                    .read_exact(&mut partial)
                    .unwrap(),
                _ => zstd::stream::read::Decoder::with_buffer(&sent[..])
                    .unwrap()
                    .read_exact(&mut partial)
                    .unwrap(),
            }
            assert_eq!(partial, b"one two");
            sent.extend(compressor.finish().unwrap().concat());
            let mut whole = Vec::new();
            match coding {
                Coding::Gzip => flate2::bufread::GzDecoder::new(&sent[..])
                    .read_to_end(&mut whole)
                    .unwrap(),
                _ => zstd::stream::read::Decoder::with_buffer(&sent[..])
                    .unwrap()
                    .read_to_end(&mut whole)
                    .unwrap(),
            };
            assert_eq!(whole, b"one two");
        }
    }
}
