//! PostgreSQL's types, and which of them a column of an answer is.
//!
//! Where an Arrow type says less than the type of PostgreSQL (`oid` is a number, `name` is a text), the field is marked by the
//! name of an extension type, `weir.pg.` and the name.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use weir_catalog::{EXTENSION_NAME_KEY, Logical};

/// What the mark of a field begins with.
const MARK: &str = "weir.pg.";

/// One type of `pg_type`.
#[derive(Debug, PartialEq, Eq)]
pub struct Type {
    /// Its number, PostgreSQL's own.
    pub oid: u32,
    /// PostgreSQL's internal name: `int4`, `_text`.
    pub name: &'static str,
    /// Bytes of a value, -1 where that varies.
    pub len: i16,
    /// Whether a value is passed by itself.
    pub by_value: bool,
    /// `b` for a base type, `p` for a pseudo type.
    pub kind: char,
    /// What kind of values it has, in a letter.
    pub category: char,
    /// Whether it is preferred within its category.
    pub preferred: bool,
    /// What stands between the elements of its arrays.
    pub delimiter: char,
    /// The type of what it consists of, 0 for none.
    pub element: u32,
    /// The type of arrays of it, 0 for none.
    pub array: u32,
    /// The functions `typinput`, `typoutput`, `typreceive`, `typsend`, `typmodin`, `typmodout`, `typsubscript`, `typanalyze`.
    pub functions: [u32; 8],
    /// How values are aligned.
    pub align: char,
    /// How values are stored.
    pub storage: char,
    /// Its collation, 0 for none.
    pub collation: u32,
    /// SQL's name: `integer`, `text[]`.
    pub sql_name: &'static str,
}

/// A type with its modifier, as `atttypid` and `atttypmod` have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeRef {
    /// The type.
    pub pg_type: &'static Type,
    /// Digits of a number, digits of a second; -1 for none.
    pub modifier: i32,
}

/// How values of a type are kept in Arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Storage {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// Numbers of things: `oid`, `regclass`, `xid`.
    Oid,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    /// `int2vector` and arrays of `int2`.
    Int2List,
    Int4List,
    Int8List,
    /// `oidvector` and arrays of `oid`, `regtype`.
    OidList,
    Float4List,
    Float8List,
    BoolList,
    TextList,
}

struct Types {
    all: Vec<Type>,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<&'static str, usize>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let all: Vec<Type> = include_str!("data/types.txt")
        .lines()
        .filter_map(parse)
        .collect();
    let numbered = all.iter().enumerate();
    let by_oid = numbered.clone().map(|(at, it)| (it.oid, at)).collect();
    let by_name = numbered.map(|(at, it)| (it.name, at)).collect();
    Types {
        all,
        by_oid,
        by_name,
    }
});

/// One line of the table: a unit test holds that each can be read.
fn parse(line: &'static str) -> Option<Type> {
    let mut words = line.splitn(22, ' ');
    let mut word = || words.next();
    let letter = |word: &str| word.chars().next();
    Some(Type {
        oid: word()?.parse().ok()?,
        name: word()?,
        len: word()?.parse().ok()?,
        by_value: word()? == "t",
        kind: letter(word()?)?,
        category: letter(word()?)?,
        preferred: word()? == "t",
        delimiter: letter(word()?)?,
        element: word()?.parse().ok()?,
        array: word()?.parse().ok()?,
        functions: {
            let mut functions = [0; 8];
            for function in &mut functions {
                *function = word()?.parse().ok()?;
            }
            functions
        },
        align: letter(word()?)?,
        storage: letter(word()?)?,
        collation: word()?.parse().ok()?,
        sql_name: word()?,
    })
}

/// All types, in order of number.
pub(crate) fn all() -> &'static [Type] {
    &TYPES.all
}

/// The type of this number.
pub fn numbered(oid: u32) -> Option<&'static Type> {
    TYPES.by_oid.get(&oid).and_then(|at| TYPES.all.get(*at))
}

/// The type of this name: PostgreSQL's internal one.
pub fn named(name: &str) -> Option<&'static Type> {
    TYPES.by_name.get(name).and_then(|at| TYPES.all.get(*at))
}

/// The type of this name, which is in the table.
fn known(name: &str) -> &'static Type {
    static TEXT: Type = Type {
        oid: 25,
        name: "text",
        len: -1,
        by_value: false,
        kind: 'b',
        category: 'S',
        preferred: true,
        delimiter: ',',
        element: 0,
        array: 1009,
        functions: [46, 47, 2414, 2415, 0, 0, 0, 0],
        align: 'i',
        storage: 'x',
        collation: 100,
        sql_name: "text",
    };
    named(name).unwrap_or(&TEXT)
}

impl Type {
    /// How its values are kept.
    pub fn stored_as(&self) -> Storage {
        match self.name {
            "bool" => Storage::Bool,
            "int2" => Storage::Int2,
            "int4" => Storage::Int4,
            "int8" => Storage::Int8,
            "float4" => Storage::Float4,
            "float8" => Storage::Float8,
            "numeric" => Storage::Numeric,
            "oid" | "xid" | "cid" => Storage::Oid,
            name if name.starts_with("reg") => Storage::Oid,
            "bytea" => Storage::Bytes,
            "date" => Storage::Date,
            "time" => Storage::Time,
            "timestamp" => Storage::Timestamp,
            "timestamptz" => Storage::TimestampTz,
            "interval" => Storage::Interval,
            "int2vector" | "_int2" => Storage::Int2List,
            "_int4" => Storage::Int4List,
            "_int8" => Storage::Int8List,
            "oidvector" | "_oid" => Storage::OidList,
            name if name.starts_with("_reg") => Storage::OidList,
            "_float4" => Storage::Float4List,
            "_float8" => Storage::Float8List,
            "_bool" => Storage::BoolList,
            "anyarray" => Storage::TextList,
            name if name.starts_with('_') => Storage::TextList,
            _ => Storage::Text,
        }
    }

    /// Its Arrow type.
    pub fn arrow(&self) -> DataType {
        self.stored_as().arrow()
    }

    /// A nullable column of this type.
    pub fn field(&self, name: &str) -> Field {
        mark(Field::new(name, self.arrow(), true), self)
    }

    /// Whether its values are numbers that are written as names: `regclass` and its kin.
    pub fn is_reference(&self) -> bool {
        self.name.starts_with("reg") && self.element == 0
    }
}

impl Storage {
    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        let list = |item| DataType::new_list(item, true);
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric => DataType::Decimal128(38, 10),
            Self::Oid => DataType::UInt32,
            Self::Text => DataType::Utf8View,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(crate::planning::UTC.into()))
            }
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Int2List => list(DataType::Int16),
            Self::Int4List => list(DataType::Int32),
            Self::Int8List => list(DataType::Int64),
            Self::OidList => list(DataType::UInt32),
            Self::Float4List => list(DataType::Float32),
            Self::Float8List => list(DataType::Float64),
            Self::BoolList => list(DataType::Boolean),
            Self::TextList => list(DataType::Utf8View),
        }
    }
}

/// Marks a field as one of a type, where its Arrow type does not say so already.
pub(crate) fn mark(field: Field, pg_type: &Type) -> Field {
    let name = match pg_type.name {
        "json" => Logical::Json.extension_name().to_owned(),
        "uuid" => Logical::Uuid.extension_name().to_owned(),
        _ if of_arrow(field.data_type()).pg_type.oid == pg_type.oid => return field,
        name => format!("{MARK}{name}"),
    };
    let mut metadata = field.metadata().clone();
    metadata.insert(EXTENSION_NAME_KEY.to_owned(), name);
    field.with_metadata(metadata)
}

/// The type that a field is marked as; none where its Arrow type says all.
pub fn marked(field: &Field) -> Option<&'static Type> {
    let name = field.metadata().get(EXTENSION_NAME_KEY)?;
    named(name.strip_prefix(MARK)?)
}

/// The PostgreSQL type of a column of an answer or of a table.
pub fn type_of_field(field: &Field) -> TypeRef {
    let logical = |logical| match logical {
        Logical::Uuid => plain("uuid"),
        Logical::Json => plain("json"),
    };
    let marked = marked(field).map(|pg_type| TypeRef {
        pg_type,
        modifier: -1,
    });
    marked
        .or_else(|| Logical::of_field(field).map(logical))
        .unwrap_or_else(|| of_arrow(field.data_type()))
}

fn plain(name: &str) -> TypeRef {
    TypeRef {
        pg_type: known(name),
        modifier: -1,
    }
}

fn with_modifier(name: &str, modifier: i32) -> TypeRef {
    TypeRef {
        pg_type: known(name),
        modifier,
    }
}

/// Unsigned integers go up one size; what PostgreSQL has no name for is what it is sent as.
fn of_arrow(data_type: &DataType) -> TypeRef {
    match data_type {
        DataType::Boolean => plain("bool"),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => plain("int2"),
        DataType::UInt16 | DataType::Int32 => plain("int4"),
        DataType::UInt32 | DataType::Int64 => plain("int8"),
        DataType::UInt64 => numeric(20, 0),
        DataType::Float16 | DataType::Float32 => plain("float4"),
        DataType::Float64 => plain("float8"),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            numeric(i32::from(*precision), i32::from(*scale))
        }
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => plain("text"),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => plain("bytea"),
        DataType::Date32 | DataType::Date64 => plain("date"),
        DataType::Time32(unit) | DataType::Time64(unit) => timed("time", *unit),
        DataType::Timestamp(unit, None) => timed("timestamp", *unit),
        DataType::Timestamp(unit, Some(_)) => timed("timestamptz", *unit),
        DataType::Interval(_) | DataType::Duration(_) => plain("interval"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => array_of(type_of_field(item)),
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => plain("json"),
        DataType::Dictionary(_, value) => of_arrow(value),
        DataType::RunEndEncoded(_, values) => type_of_field(values),
    }
}

/// Arrays of arrays are of the same type there.
fn array_of(item: TypeRef) -> TypeRef {
    if item.pg_type.category == 'A' {
        return item;
    }
    match numbered(item.pg_type.array) {
        Some(pg_type) => TypeRef {
            pg_type,
            modifier: item.modifier,
        },
        None => plain("_text"),
    }
}

fn numeric(precision: i32, scale: i32) -> TypeRef {
    with_modifier("numeric", ((precision << 16) | scale) + 4)
}

/// PostgreSQL has six digits of a second and writes fewer as a modifier.
fn timed(name: &str, unit: TimeUnit) -> TypeRef {
    match unit {
        TimeUnit::Second => with_modifier(name, 0),
        TimeUnit::Millisecond => with_modifier(name, 3),
        TimeUnit::Microsecond | TimeUnit::Nanosecond => plain(name),
    }
}

/// What `format_type` says of a type and its modifier (none: the type alone). Numbers of no type are `???`, as there.
pub(crate) fn display_name(oid: u32, modifier: Option<i32>) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let Some(pg_type) = numbered(oid) else {
        return "???".to_owned();
    };
    let (base, suffix) = match pg_type.sql_name.strip_suffix("[]") {
        Some(base) => (base, "[]"),
        None => (pg_type.sql_name, ""),
    };
    // A character of unknown length is written by its internal name, as `character` alone would be of length 1.
    if base == "character" && modifier.is_some_and(|modifier| modifier < 0) {
        return format!("bpchar{suffix}");
    }
    let Some(modifier) = modifier.filter(|modifier| *modifier >= 0) else {
        return pg_type.sql_name.to_owned();
    };
    let shown = match base {
        "numeric" if modifier >= 4 => {
            let digits = modifier - 4;
            format!("numeric({},{})", digits >> 16, digits & 0xffff)
        }
        "character varying" | "character" if modifier >= 4 => format!("{base}({})", modifier - 4),
        "bit" | "bit varying" => format!("{base}({modifier})"),
        _ => match base.split_once(' ') {
            Some((word @ ("timestamp" | "time"), rest)) => format!("{word}({modifier}) {rest}"),
            _ => base.to_owned(),
        },
    };
    format!("{shown}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_type() {
        let lines = include_str!("data/types.txt").lines().count();
        assert_eq!(all().len(), lines);
        assert_eq!(known("text"), numbered(25).unwrap());
        for pg_type in all().iter().filter(|it| it.category == 'A') {
            assert!(numbered(pg_type.element).is_some(), "{}", pg_type.name);
        }
    }

    #[test]
    fn fields_have_types() {
        let of = |data_type| {
            let found = type_of_field(&Field::new("a", data_type, true));
            display_name(found.pg_type.oid, Some(found.modifier))
        };
        assert_eq!(of(DataType::Decimal128(12, 2)), "numeric(12,2)");
        assert_eq!(
            of(DataType::Timestamp(
                TimeUnit::Millisecond,
                Some("+00:00".into())
            )),
            "timestamp(3) with time zone"
        );
        assert_eq!(of(DataType::new_list(DataType::Int32, true)), "integer[]");
        let oid = known("oid").field("oid");
        assert_eq!(type_of_field(&oid).pg_type.name, "oid");
        let vector = known("int2vector").field("indkey");
        assert_eq!(type_of_field(&vector).pg_type.name, "int2vector");
        assert!(known("int8").field("n").metadata().is_empty());
    }
}
