//! How values of settings are read and shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use weir_base::{ByteSize, parse_duration};

/// Where a front door listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// It is closed.
    Off,
    /// At `host:port`; port 0 picks a free one.
    At(String),
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let valid = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if valid {
            Ok(Self::At(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is not an address: write host:port, such as 127.0.0.1:8080, or off"
            ))
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => f.write_str(address),
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is not a log format: use text or json")),
        }
    }
}

/// A value as it was given.
#[derive(Debug, Clone)]
pub(super) enum Given {
    One(String),
    Many(Vec<String>),
}

impl Given {
    pub(super) fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Array(values) => values
                .iter()
                .map(scalar)
                .collect::<Result<_, _>>()
                .map(Self::Many),
            value => scalar(value).map(Self::One),
        }
    }

    fn one(self) -> Result<String, String> {
        match self {
            Self::One(text) => Ok(text),
            Self::Many(_) => Err("one value is expected, not a list".to_owned()),
        }
    }

    /// A list; in one text, elements are separated by commas.
    fn many(self) -> Vec<String> {
        match self {
            Self::One(text) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            Self::Many(texts) => texts,
        }
    }
}

fn scalar(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(format!(
            "a value of type {} is not expected here",
            other.type_str()
        )),
    }
}

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// Reads it.
    fn read(given: Given) -> Result<Self, String>;
    /// As TOML; `None` for "not set".
    fn show(&self) -> Option<String>;
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for bool {
    fn read(given: Given) -> Result<Self, String> {
        let text = given.one()?;
        text.parse()
            .map_err(|_| format!("{text:?} is neither true nor false"))
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for usize {
    fn read(given: Given) -> Result<Self, String> {
        let text = given.one()?;
        match text.parse() {
            Ok(0) | Err(_) => Err(format!("{text:?} is not a number from 1")),
            Ok(number) => Ok(number),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for u32 {
    fn read(given: Given) -> Result<Self, String> {
        let text = given.one()?;
        match text.parse() {
            Ok(0) | Err(_) => Err(format!("{text:?} is not a number from 1")),
            Ok(number) => Ok(number),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Option<u64> {
    fn read(given: Given) -> Result<Self, String> {
        let text = given.one()?;
        match text.as_str() {
            "none" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| format!("{text:?} is not a number, nor none")),
        }
    }
    fn show(&self) -> Option<String> {
        self.map(|number| number.to_string())
    }
}

impl Value for ByteSize {
    fn read(given: Given) -> Result<Self, String> {
        given.one()?.parse()
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for Option<ByteSize> {
    fn read(given: Given) -> Result<Self, String> {
        match given.one()?.as_str() {
            "none" => Ok(None),
            text => text.parse().map(Some),
        }
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Value::show)
    }
}

impl Value for Duration {
    fn read(given: Given) -> Result<Self, String> {
        parse_duration(&given.one()?)
    }
    fn show(&self) -> Option<String> {
        let ms = self.as_millis();
        let text = match ms {
            ms if ms % 60_000 == 0 && ms > 0 => format!("{}min", ms / 60_000),
            ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
            ms => format!("{ms}ms"),
        };
        Some(quoted(&text))
    }
}

impl Value for String {
    fn read(given: Given) -> Result<Self, String> {
        given.one()
    }
    fn show(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Value for Option<String> {
    fn read(given: Given) -> Result<Self, String> {
        String::read(given).map(|text| (!text.is_empty()).then_some(text))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Value::show)
    }
}

impl Value for PathBuf {
    fn read(given: Given) -> Result<Self, String> {
        match given.one()?.as_str() {
            "" => Err("a folder is expected".to_owned()),
            text => Ok(Self::from(text)),
        }
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.display().to_string()))
    }
}

impl Value for Option<PathBuf> {
    fn read(given: Given) -> Result<Self, String> {
        Option::<String>::read(given).map(|text| text.map(PathBuf::from))
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Value::show)
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(given: Given) -> Result<Self, String> {
        given
            .many()
            .into_iter()
            .map(|text| T::read(Given::One(text)))
            .collect()
    }
    fn show(&self) -> Option<String> {
        let parts: Vec<String> = self.iter().filter_map(Value::show).collect();
        Some(format!("[{}]", parts.join(", ")))
    }
}

impl Value for Listen {
    fn read(given: Given) -> Result<Self, String> {
        given.one()?.parse()
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for LogFormat {
    fn read(given: Given) -> Result<Self, String> {
        given.one()?.parse()
    }
    fn show(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}
