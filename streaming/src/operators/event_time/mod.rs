//! Operators of event time: rows with their watermarks, the late ones left out, and windows that wait until they close.

mod held;
mod needed;
mod on_time;
mod sessions;
mod source;
mod windows;

pub(crate) use needed::WhileOpen;
pub(crate) use on_time::{OnTime, TooLate};
pub(crate) use sessions::Sessions;
pub(crate) use source::WatermarkSource;
pub(crate) use windows::ClosingWindows;
