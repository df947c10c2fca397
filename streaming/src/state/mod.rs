//! What operators remember between steps.

mod arrangement;
mod codec;
mod multiset;

pub(crate) use arrangement::{Arrangement, Keys, prefix};
pub(crate) use codec::RowCodec;
pub(crate) use multiset::Multiset;
