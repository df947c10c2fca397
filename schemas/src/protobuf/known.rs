//! Files that every schema may import without registering them: those of the Confluent clients. Google's come with protox.

use protox::file::{File, FileResolver};

const META: &str = r#"
syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#;

const DECIMAL: &str = r#"
syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
"#;

/// Finds the Confluent clients' own files.
pub(super) struct Confluent;

impl FileResolver for Confluent {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let source = match name {
            "confluent/meta.proto" => META,
            "confluent/type/decimal.proto" => DECIMAL,
            _ => return Err(protox::Error::file_not_found(name)),
        };
        File::from_source(name, source)
    }
}
