//! From a logical plan to operators.
//!
//! The plan is one that DataFusion has analysed and optimised, and it is walked from the top. What treats rows one by one
//! becomes a [`Linear`] operator, as large as it can be; inner joins follow changes, as do the first rows of each key; what has keys is computed again for the keys that
//! changed; everything else is computed again as a whole.

mod asof;
mod closing;
mod input;
mod kernel;
mod key;
mod needed;
mod parts;
mod ranking;
mod walk;

pub(crate) use kernel::{Inputs, Kernel};
pub use key::unique_key;
pub(crate) use parts::UNORDERED;
pub(crate) use walk::{Planned, Restored, Walk};
