//! What operators remember between steps.

mod arrangement;
mod codec;

pub(crate) use arrangement::{Arrangement, Keys};
pub(crate) use codec::RowCodec;
