//! No code: the union of the features that the workspace asks of its dependencies.
//!
//! Cargo unites features over the packages that one command selects. Without this crate, `cargo test -p weir-sql` would
//! build a DataFusion of its own beside the one that `cargo build --workspace` builds: a quarter of an hour, and gigabytes.
//! Every crate that uses DataFusion depends on it, so that there is one set of dependencies, whatever is selected.
