//! The REST door: what each endpoint promises, and what it answers to those who ask wrongly.

mod busy;
mod catalog;
mod compression;
mod disconnect;
mod failures;
mod formats;
mod ingest;
mod limits;
mod operations;
mod parameters;
mod policy;
mod problems;
mod round_trip;
mod schemas;
mod sessions;
mod statements;
