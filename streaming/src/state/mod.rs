//! What operators remember between steps.

mod arrangement;
mod codec;
mod multiset;

pub(crate) use arrangement::{Arrangement, BatchKeys, Keys, prefix};
pub(crate) use codec::{RowBytes, RowCodec, pack_onto, unpack};
pub(crate) use multiset::Multiset;

/// Lets go of what was not used since the last time, and if that is little, of all. `let_go` is told whether all is meant, and answers
/// how many of the bytes `before` are left.
pub(crate) fn release(before: usize, mut let_go: impl FnMut(bool) -> usize) {
    if let_go(false) > before / 2 {
        let_go(true);
    }
}
