//! Messages of the PostgreSQL protocol, version 3 (manual, chapter 55): cut off a connection, and written to one.

mod backend;
mod frontend;
mod stream;

pub(super) use backend::{FieldDescription, Out, Report, Severity, Status};
pub(super) use frontend::{Bind, Frontend, Malformed, Parse, Startup, Target, read, read_startup};
pub(super) use stream::{Closed, Frame, Large, Wire};
