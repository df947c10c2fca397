//! What the tests over the real binary stand on: a server as a child process, a client of its REST door, and the
//! outside world (an S3 server, a proxy that misbehaves, Python's readers), the data and queries of benchmarks.
//!
//! It holds no test and no assertion about Weir's answers: those are in `tests/main.rs` and the modules beside it. It
//! links nothing of Weir, so that what is tested is what a user runs. Start at [`Server`].

pub mod binary;
pub mod client;
pub mod files;
pub mod foreign;
pub mod kafka;
pub mod live;
pub mod logs;
pub mod moto;
pub mod nexmark;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod python;
pub mod queries;
pub mod reference;
pub mod server;
pub mod wait;

pub use client::{Client, Problem, Rows};
pub use server::{Server, ServerBuilder};
pub use wait::eventually;
