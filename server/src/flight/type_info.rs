//! `GetXdbcTypeInfo`: the types that a column can be made with, in the words of JDBC and ODBC. Power BI loads no table
//! without it.

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

/// What is particular to a type.
#[derive(Default)]
struct Particular {
    size: Option<i32>,
    quoted: bool,
    parameters: &'static [&'static str],
    /// For numbers: whether they have no sign.
    unsigned: Option<bool>,
    scales: Option<(i32, i32)>,
    radix: Option<i32>,
    subcode: Option<XdbcDatetimeSubcode>,
    /// Of dates and times, the type that all of them have.
    group: Option<XdbcDataType>,
}

fn number(digits: i32) -> Particular {
    Particular {
        size: Some(digits),
        unsigned: Some(false),
        scales: Some((0, 0)),
        radix: Some(10),
        ..Particular::default()
    }
}

fn float(bits: i32) -> Particular {
    Particular {
        size: Some(bits),
        unsigned: Some(false),
        radix: Some(2),
        ..Particular::default()
    }
}

fn moment(characters: i32, subcode: XdbcDatetimeSubcode, digits: i32) -> Particular {
    Particular {
        size: Some(characters),
        quoted: true,
        scales: Some((0, digits)),
        subcode: Some(subcode),
        group: Some(XdbcDataType::XdbcDatetime),
        ..Particular::default()
    }
}

fn text() -> Particular {
    Particular {
        size: Some(i32::MAX),
        quoted: true,
        ..Particular::default()
    }
}

/// All types.
///
/// # Errors
/// Never for what is written here.
pub(super) fn describe() -> Result<XdbcTypeInfoData, FlightError> {
    use XdbcDataType as Xdbc;
    use XdbcDatetimeSubcode as Subcode;
    let numeric = Particular {
        size: Some(38),
        parameters: &["precision", "scale"],
        scales: Some((0, 38)),
        ..number(38)
    };
    let bits = Particular {
        size: Some(1),
        ..Particular::default()
    };
    let interval = Particular {
        group: Some(Xdbc::XdbcInterval),
        subcode: None,
        ..text()
    };
    let types = [
        ("BOOLEAN", Xdbc::XdbcBit, bits),
        ("TINYINT", Xdbc::XdbcTinyint, number(3)),
        ("SMALLINT", Xdbc::XdbcSmallint, number(5)),
        ("INTEGER", Xdbc::XdbcInteger, number(10)),
        ("BIGINT", Xdbc::XdbcBigint, number(19)),
        ("REAL", Xdbc::XdbcReal, float(24)),
        ("DOUBLE PRECISION", Xdbc::XdbcDouble, float(53)),
        ("NUMERIC", Xdbc::XdbcNumeric, numeric),
        ("TEXT", Xdbc::XdbcVarchar, text()),
        ("JSON", Xdbc::XdbcLongvarchar, text()),
        (
            "UUID",
            Xdbc::XdbcVarchar,
            Particular {
                size: Some(36),
                ..text()
            },
        ),
        ("BYTEA", Xdbc::XdbcVarbinary, text()),
        (
            "DATE",
            Xdbc::XdbcDate,
            moment(10, Subcode::XdbcSubcodeYear, 0),
        ),
        (
            "TIME",
            Xdbc::XdbcTime,
            moment(18, Subcode::XdbcSubcodeTime, 9),
        ),
        (
            "TIMESTAMP",
            Xdbc::XdbcTimestamp,
            moment(29, Subcode::XdbcSubcodeTimestamp, 9),
        ),
        (
            "TIMESTAMP WITH TIME ZONE",
            Xdbc::XdbcTimestamp,
            moment(35, Subcode::XdbcSubcodeTimestampWithTimezone, 9),
        ),
        ("INTERVAL", Xdbc::XdbcInterval, interval),
    ];
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, particular) in types {
        builder.append(info(name, data_type, &particular));
    }
    builder.build()
}

fn info(name: &str, data_type: XdbcDataType, particular: &Particular) -> XdbcTypeInfo {
    let quote = particular.quoted.then(|| "'".to_owned());
    let is_text = matches!(
        data_type,
        XdbcDataType::XdbcVarchar | XdbcDataType::XdbcLongvarchar
    );
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: particular.size,
        literal_prefix: quote.clone(),
        literal_suffix: quote,
        create_params: Some(
            particular
                .parameters
                .iter()
                .map(|&parameter| parameter.to_owned())
                .collect(),
        ),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: is_text,
        searchable: if is_text {
            Searchable::Full
        } else {
            Searchable::Basic
        },
        unsigned_attribute: particular.unsigned,
        fixed_prec_scale: false,
        auto_increment: particular.unsigned.map(|_| false),
        local_type_name: Some(name.to_owned()),
        minimum_scale: particular.scales.map(|(least, _)| least),
        maximum_scale: particular.scales.map(|(_, most)| most),
        sql_data_type: particular.group.unwrap_or(data_type),
        datetime_subcode: particular.subcode,
        num_prec_radix: particular.radix,
        interval_precision: None,
    }
}
