//! The topic log as its users see it.

#[path = "../support/mod.rs"]
mod support;

mod appending;
mod full_disk;
mod life;
mod model;
mod reading;
mod recovery;
mod topics;
mod upkeep;
