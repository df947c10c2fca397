//! An answer put together without a copy of the records in it.
//!
//! The protocol's library writes a message into one buffer, byte by byte. [`Gather`] is such a buffer: when it is given the
//! bytes that stand for records, it takes the records. Those that are stored are not even read: where they lie is
//! kept, and they go from the page cache to the socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::LazyLock;

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::buf::ByteBufMut;
use weir_topics::StoredStretch;

/// Shorter pieces are copied: a piece costs more than that.
const COPY_BELOW: usize = 4096;
/// Less than this is read, and sent with what is around it: one system call, not three.
const READ_BELOW: u64 = 32 << 10;
/// More than this is read, too: nothing can stand for it.
const READ_ABOVE: u64 = 128 << 20;

/// As many bytes as there are of stored records, for the library to measure and to hand over. The memory is never touched, so
/// there is none behind it.
static STAND_IN: LazyLock<Bytes> = LazyLock::new(|| vec![0; READ_ABOVE as usize].into());

/// The records of one partition in an answer.
#[derive(Debug)]
pub(super) enum Records {
    Read(Bytes),
    /// Longer than [`READ_BELOW`].
    Stored {
        stretches: Vec<StoredStretch>,
        size: usize,
    },
}

/// A buffer that is written to.
#[derive(Debug)]
pub(super) struct Gather {
    /// What is taken without a copy, in the order in which it will come.
    records: VecDeque<Records>,
    done: VecDeque<Piece>,
    done_bytes: usize,
    tail: BytesMut,
}

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Piece {
    Memory(Chunks),
    Stored(StoredStretch),
}

/// Bytes in several places of the memory, one after the other.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes: bytes.len(),
            chunks: VecDeque::from([bytes]),
        }
    }
}

impl Records {
    pub(super) fn none() -> Self {
        Self::Read(Bytes::new())
    }

    /// Those of some stretches, which are read if there is little. Blocks on the disk.
    pub(super) fn stored(stretches: Vec<StoredStretch>) -> io::Result<Self> {
        let size: u64 = stretches.iter().map(StoredStretch::size_bytes).sum();
        if (READ_BELOW..=READ_ABOVE).contains(&size) {
            let size = size as usize;
            return Ok(Self::Stored { stretches, size });
        }
        if let [only] = stretches.as_slice() {
            return only.read().map(Self::Read);
        }
        let mut read = BytesMut::with_capacity(size as usize);
        for stretch in &stretches {
            read.extend_from_slice(&stretch.read()?);
        }
        Ok(Self::Read(read.freeze()))
    }

    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Read(bytes) => bytes.len(),
            Self::Stored { size, .. } => *size,
        }
    }

    /// What the protocol's library is given in their place.
    pub(super) fn stand_in(&self) -> Bytes {
        match self {
            Self::Read(bytes) => bytes.clone(),
            Self::Stored { size, .. } => STAND_IN.slice(..*size),
        }
    }

    /// Whether the library has been given these bytes for them.
    fn are(&self, bytes: &[u8]) -> bool {
        let is = |own: &[u8]| own.as_ptr() == bytes.as_ptr() && own.len() == bytes.len();
        match self {
            Self::Read(own) => is(own),
            Self::Stored { size, .. } => STAND_IN.get(..*size).is_some_and(is),
        }
    }
}

impl Gather {
    /// A buffer for a message of `bytes` that holds `records` in this order.
    pub(super) fn new(records: Vec<Records>, bytes: usize) -> Self {
        let mut records = VecDeque::from(records);
        records.retain(|records| records.size_bytes() >= COPY_BELOW);
        let taken: usize = records.iter().map(Records::size_bytes).sum();
        Self {
            records,
            done: VecDeque::new(),
            done_bytes: 0,
            tail: BytesMut::with_capacity(bytes.saturating_sub(taken)),
        }
    }

    /// All that was written, behind its length in four bytes.
    pub(super) fn into_frame(mut self) -> Option<VecDeque<Piece>> {
        self.cut();
        let length = i32::try_from(self.done_bytes).ok()?;
        let length = Bytes::copy_from_slice(&length.to_be_bytes());
        let mut front = Chunks::default();
        front.push(length);
        if let Some(Piece::Memory(first)) = self.done.front_mut() {
            first.chunks.drain(..).for_each(|chunk| front.push(chunk));
            self.done.pop_front();
        }
        self.done.push_front(Piece::Memory(front));
        Some(self.done)
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.push(tail);
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.done_bytes += bytes.len();
        match self.done.back_mut() {
            Some(Piece::Memory(chunks)) => chunks.push(bytes),
            _ => {
                let mut chunks = Chunks::default();
                chunks.push(bytes);
                self.done.push_back(Piece::Memory(chunks));
            }
        }
    }
}

impl Chunks {
    fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.chunks.push_back(bytes);
    }
}

// SAFETY: all but records is left to `BytesMut`.
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
        let next = self.records.pop_front_if(|records| records.are(bytes));
        match next {
            None => self.tail.put_slice(bytes),
            Some(Records::Read(bytes)) => {
                self.cut();
                self.push(bytes);
            }
            Some(Records::Stored { stretches, size }) => {
                self.cut();
                self.done_bytes += size;
                self.done.extend(stretches.into_iter().map(Piece::Stored));
            }
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

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = slices.len().min(self.chunks.len());
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(front) = self.chunks.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// All bytes of an answer that holds nothing stored.
    pub(crate) fn in_memory(frame: VecDeque<Piece>) -> Chunks {
        let mut all = Chunks::default();
        for piece in frame {
            match piece {
                Piece::Memory(chunks) => chunks.chunks.into_iter().for_each(|c| all.push(c)),
                Piece::Stored(stretch) => all.push(stretch.read().unwrap()),
            }
        }
        all
    }

    #[test]
    fn records_are_taken_and_all_bytes_are_in_order() {
        let large = Bytes::from(vec![7; 10_000]);
        let small = Bytes::from(vec![8; 10]);
        let records = [&small, &large].map(|bytes| Records::Read(bytes.clone()));
        let mut gather = Gather::new(records.into(), 0);
        gather.put_i32(1);
        gather.put_slice(&small);
        gather.put_slice(&large);
        let equal = large.to_vec();
        gather.put_slice(&equal);
        let offset = gather.offset();
        gather.put_u8(9);
        assert_eq!(gather.range(offset..offset + 1), [9]);
        let mut frame = in_memory(gather.into_frame().unwrap());
        let is_large = |chunk: &Bytes| chunk.as_ptr() == large.as_ptr();
        assert!(frame.chunks.iter().any(is_large));
        let mut expected = 20_015i32.to_be_bytes().to_vec();
        expected.extend([0, 0, 0, 1]);
        expected.extend([8; 10]);
        expected.extend([7; 10_000]);
        expected.extend([7; 10_000]);
        expected.push(9);
        assert_eq!(frame.remaining(), expected.len());
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(frame.chunks_vectored(&mut slices), 2);
        frame.advance(3);
        let rest = frame.copy_to_bytes(frame.remaining());
        assert_eq!(rest, expected[3..]);
    }
}
