//! From a logical plan to operators.
//!
//! The plan is one that DataFusion has analysed and optimised, and it is walked from the top. What treats rows one by one
//! becomes a [`Linear`] operator, as large as it can be; inner joins follow changes; what has keys is computed again for the keys that
//! changed; everything else is computed again as a whole.

mod input;
mod kernel;
mod walk;

pub(crate) use kernel::{Inputs, Kernel};
pub(crate) use walk::{Planned, Restored, Walk};
