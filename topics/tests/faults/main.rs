//! What happens when the disk fails or the process dies at the worst of moments, by fail points.
//!
//! `cargo test -p weir-topics --features failpoints`

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod disk;
mod life;
mod transactions;
