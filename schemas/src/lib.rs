//! Schemas of records: Avro, Protobuf and JSON Schema, which of them can read which, and the registry that numbers them.
//!
//! It is pure: it neither stores, nor serves, nor decodes rows; its caller keeps the [`Record`]s that a [`Registry`] is made
//! of. The rules are those of the Confluent Schema Registry, so that its clients find what they know. Start at [`Registry`]
//! for what is registered, at [`Parsed`] for one schema, and at [`wire`] for what stands before a value.

pub mod avro;
pub mod compatibility;
pub mod definition;
pub mod error;
pub mod json;
pub mod protobuf;
pub mod registry;
pub mod text;
pub mod wire;

pub use avro::AvroReader;
pub use compatibility::{Incompatibility, Level};
pub use definition::{Definition, Fingerprint, Parsed, Reference, SchemaKind};
pub use error::{Code, Error, Result};
pub use protobuf::ProtobufReader;
pub use registry::{
    Change, Deleted, Found, Key, Mode, Planned, Record, Registered, Registry, SchemaId, Version,
    VersionRef,
};
pub use text::{Asked, DataError};
