//! An answer put together without a copy of the records in it.
//!
//! The protocol's library writes a message into one buffer, byte by byte. [`Gather`] is such a buffer: when it is given bytes
//! that it knows as a piece, it takes the piece itself.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::buf::ByteBufMut;

/// Shorter pieces are copied: a piece costs more than that.
const COPY_BELOW: usize = 4096;

/// A buffer that is written to.
#[derive(Debug)]
pub(super) struct Gather {
    /// What may be taken without a copy.
    known: Vec<Bytes>,
    done: VecDeque<Bytes>,
    done_bytes: usize,
    tail: BytesMut,
}

/// What was written, in order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Gather {
    /// A buffer with room for what is not among `known`.
    pub(super) fn new(known: Vec<Bytes>, bytes: usize) -> Self {
        let pieces: usize = known.iter().map(Bytes::len).sum();
        Self {
            known,
            done: VecDeque::new(),
            done_bytes: 0,
            tail: BytesMut::with_capacity(bytes.saturating_sub(pieces)),
        }
    }

    /// All that was written, behind its length in four bytes.
    pub(super) fn into_frame(mut self) -> Option<Pieces> {
        self.cut();
        let length = i32::try_from(self.done_bytes).ok()?;
        let front = Bytes::copy_from_slice(&length.to_be_bytes());
        self.done.push_front(front);
        Some(Pieces {
            pieces: self.done,
            bytes: self.done_bytes + 4,
        })
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.done_bytes += self.tail.len();
            self.done.push_back(self.tail.split().freeze());
        }
    }
}

// SAFETY: what is not a known piece is left to `BytesMut`.
unsafe impl BufMut for Gather {
    fn remaining_mut(&self) -> usize {
        self.tail.remaining_mut()
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        // SAFETY: as the caller promises.
        unsafe { self.tail.advance_mut(count) }
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        self.tail.chunk_mut()
    }

    fn put_slice(&mut self, bytes: &[u8]) {
        let is_it = |known: &&Bytes| known.as_ptr() == bytes.as_ptr() && known.len() == bytes.len();
        match self.known.iter().find(is_it) {
            Some(known) if bytes.len() >= COPY_BELOW => {
                let known = known.clone();
                self.cut();
                self.done_bytes += known.len();
                self.done.push_back(known);
            }
            _ => self.tail.put_slice(bytes),
        }
    }
}

impl ByteBufMut for Gather {
    fn offset(&self) -> usize {
        self.done_bytes + self.tail.len()
    }

    /// Within what was written since the last piece.
    fn seek(&mut self, offset: usize) {
        self.tail.resize(offset.saturating_sub(self.done_bytes), 0);
    }

    fn range(&mut self, range: Range<usize>) -> &mut [u8] {
        let start = range.start.saturating_sub(self.done_bytes);
        let end = range.end.saturating_sub(self.done_bytes);
        self.tail.get_mut(start..end).unwrap_or_default()
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = slices.len().min(self.pieces.len());
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_pieces_are_taken_and_all_bytes_are_in_order() {
        let large = Bytes::from(vec![7; 10_000]);
        let small = Bytes::from(vec![8; 10]);
        let mut gather = Gather::new(vec![large.clone(), small.clone()], 0);
        gather.put_i32(1);
        gather.put_slice(&large);
        gather.put_slice(&small);
        let equal = large.to_vec();
        gather.put_slice(&equal);
        let offset = gather.offset();
        gather.put_u8(9);
        assert_eq!(gather.range(offset..offset + 1), [9]);
        let mut pieces = gather.into_frame().unwrap();
        assert!(
            pieces
                .pieces
                .iter()
                .any(|piece| piece.as_ptr() == large.as_ptr())
        );
        let mut expected = 20_015i32.to_be_bytes().to_vec();
        expected.extend([0, 0, 0, 1]);
        expected.extend([7; 10_000]);
        expected.extend([8; 10]);
        expected.extend([7; 10_000]);
        expected.push(9);
        assert_eq!(pieces.remaining(), expected.len());
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(pieces.chunks_vectored(&mut slices), 2);
        pieces.advance(3);
        let rest = pieces.copy_to_bytes(pieces.remaining());
        assert_eq!(rest, expected[3..]);
    }
}
