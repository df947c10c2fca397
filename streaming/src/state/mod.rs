//! What operators remember between steps.

mod arrangement;
mod codec;
mod multiset;

pub(crate) use arrangement::{Arrangement, BatchKeys, Keys, prefix};
pub(crate) use codec::{RowBytes, RowCodec};
pub(crate) use multiset::Multiset;
