//! The catalog's promises, through its public face.

mod build;
mod durability;
mod model;
mod render;
mod rules;
