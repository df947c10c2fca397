//! Settings of a session: what `SET` may change, within what bounds, and what each value does.
//!
//! The list is closed. A name that is not in it is an error, because a setting that is taken and ignored would lie.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion::execution::config::SessionConfig;
use weir_base::nearest::nearest;
use weir_base::{ByteSize, SqlState, parse_duration};
use weir_connectors::files::FileStores;

use crate::error::{Error, Result};
use crate::settings::Limits;
use crate::transaction::IDLE_IN_TRANSACTION;

/// One setting: its name, and what it is for.
struct Variable {
    name: &'static str,
    help: &'static str,
    default: fn(&Limits) -> String,
    /// Checks a value and gives it in its normal form.
    accept: fn(&str, &Limits) -> Result<String, String>,
}

const VARIABLES: &[Variable] = &[
    Variable {
        name: "application_name",
        help: "A name for logs.",
        default: |_| String::new(),
        accept: |value, _| {
            if value.len() <= 64 {
                Ok(value.to_owned())
            } else {
                Err("at most 64 bytes".into())
            }
        },
    },
    Variable {
        name: "batch_size",
        help: "Rows of a batch in execution, 128 to 131072.",
        default: |_| DEFAULT_BATCH_SIZE.to_string(),
        accept: |value, _| integer(value, 128, 131_072),
    },
    Variable {
        name: "client_encoding",
        help: "Always UTF8.",
        default: |_| "UTF8".into(),
        accept: |value, _| {
            // Case and punctuation do not count in the name of an encoding; some clients quote it.
            let letters = value.chars().filter(char::is_ascii_alphanumeric);
            let name: String = letters.collect();
            one_of(&name, &["UTF8", "UNICODE"]).map(|()| "UTF8".into())
        },
    },
    Variable {
        name: "datestyle",
        help: "Always ISO.",
        default: |_| "ISO, MDY".into(),
        accept: |value, _| {
            if value.to_uppercase().starts_with("ISO") {
                Ok("ISO, MDY".into())
            } else {
                Err("only ISO is supported".into())
            }
        },
    },
    Variable {
        name: "bytea_output",
        help: "Always hex.",
        default: |_| "hex".into(),
        accept: |value, _| one_of(value, &["hex"]).map(|()| "hex".into()),
    },
    Variable {
        name: "check_function_bodies",
        help: "Always off: there are no functions to check.",
        default: |_| "off".into(),
        accept: |value, _| boolean(value).map(|_| "off".into()),
    },
    Variable {
        name: "client_min_messages",
        help: "Always notice.",
        default: |_| "notice".into(),
        accept: |value, _| {
            let levels = [
                "notice", "warning", "error", "log", "debug", "debug1", "debug2", "debug3",
                "debug4", "debug5",
            ];
            one_of(value, &levels).map(|()| "notice".into())
        },
    },
    Variable {
        name: "default_transaction_isolation",
        help: "What a transaction is asked for; each sees one moment, whatever that is.",
        default: |_| "repeatable read".into(),
        accept: |value, _| {
            let levels = [
                "repeatable read",
                "read committed",
                "read uncommitted",
                "serializable",
            ];
            one_of(value, &levels).map(|()| value.trim().to_ascii_lowercase())
        },
    },
    Variable {
        name: "default_transaction_read_only",
        help: "Whether statements may only read, unless a transaction says otherwise.",
        default: |_| "off".into(),
        accept: |value, _| boolean(value).map(on_or_off),
    },
    Variable {
        name: "extra_float_digits",
        help: "Always 1 or more: floats are shown with the digits that read back as the same number.",
        default: |_| "1".into(),
        accept: |value, _| integer(value, 1, 3),
    },
    Variable {
        name: "idle_in_transaction_session_timeout",
        help: "How long a connection may be silent in a transaction, up to 10 minutes; 0 is these.",
        default: |_| "0".into(),
        accept: |value, _| {
            let timeout = parse_duration(value)?;
            if timeout > IDLE_IN_TRANSACTION {
                return Err("at most 10 minutes".into());
            }
            Ok(format!("{}ms", timeout.as_millis()))
        },
    },
    Variable {
        name: "integer_datetimes",
        help: "Always on.",
        default: |_| "on".into(),
        accept: |_, _| Err("it cannot be changed".into()),
    },
    Variable {
        name: "jit",
        help: "Always off: expressions are not compiled.",
        default: |_| "off".into(),
        accept: |value, _| boolean(value).map(|_| "off".into()),
    },
    Variable {
        name: "intervalstyle",
        help: "Always postgres.",
        default: |_| "postgres".into(),
        accept: |value, _| one_of(value, &["postgres"]).map(|()| "postgres".into()),
    },
    Variable {
        name: "lock_timeout",
        help: "Always 0: statements wait for one another as long as statement_timeout allows.",
        default: |_| "0".into(),
        accept: |value, _| match parse_duration(value)?.is_zero() {
            true => Ok("0".into()),
            false => Err("only 0 is supported; set statement_timeout".into()),
        },
    },
    Variable {
        name: "query_memory",
        help: "Memory of one query, up to the server's limit.",
        default: |limits| limits.query_memory.to_string(),
        accept: |value, limits| {
            let size: ByteSize = value.parse()?;
            if size.0 < 1 << 20 {
                Err("at least 1MB".into())
            } else if size > limits.query_memory {
                Err(format!("the server's limit is {}", limits.query_memory))
            } else {
                Ok(size.to_string())
            }
        },
    },
    Variable {
        name: "read_your_writes",
        help: "Whether a query of materialized views waits until they show all that was acknowledged before it.",
        default: |_| "off".into(),
        accept: |value, _| boolean(value).map(on_or_off),
    },
    Variable {
        name: "row_limit",
        help: "Rows of an answer, after which it is cut and says so; 0 is no limit.",
        default: |_| "0".into(),
        accept: |value, _| integer(value, 0, i64::MAX),
    },
    Variable {
        name: "search_path",
        help: "The schema of names that are given without one.",
        default: |_| "public".into(),
        accept: |value, _| {
            // As in PostgreSQL a list, of which the first that is not "$user" counts.
            value
                .split(',')
                .map(|name| name.trim().trim_matches('"'))
                .find(|name| !name.is_empty() && *name != "$user")
                .map(str::to_owned)
                .ok_or_else(|| "names no schema".into())
        },
    },
    Variable {
        name: "server_encoding",
        help: "Always UTF8.",
        default: |_| "UTF8".into(),
        accept: |_, _| Err("it cannot be changed".into()),
    },
    Variable {
        name: "server_version",
        help: "The version of PostgreSQL whose protocol and catalog clients find here.",
        default: |_| POSTGRES_VERSION.into(),
        accept: |_, _| Err("it cannot be changed".into()),
    },
    Variable {
        name: "server_version_num",
        help: "The same as a number.",
        default: |_| POSTGRES_VERSION_NUMBER.into(),
        accept: |_, _| Err("it cannot be changed".into()),
    },
    Variable {
        name: "standard_conforming_strings",
        help: "Always on.",
        default: |_| "on".into(),
        accept: |value, _| one_of(value, &["on", "true", "1"]).map(|_| "on".into()),
    },
    Variable {
        name: "statement_timeout",
        help: "Wall clock of a query, up to the server's limit; 0 is the server's limit.",
        default: |_| "0".into(),
        accept: |value, limits| {
            let timeout = parse_duration(value)?;
            if timeout > limits.query_timeout {
                return Err(format!(
                    "the server's limit is {} s",
                    limits.query_timeout.as_secs()
                ));
            }
            Ok(format!("{}ms", timeout.as_millis()))
        },
    },
    Variable {
        name: "target_partitions",
        help: "Parallelism of a plan, 1 to 64.",
        default: |limits| limits.threads.to_string(),
        accept: |value, _| integer(value, 1, 64),
    },
    Variable {
        name: "synchronous_commit",
        help: "Always on: what is acknowledged is on disk.",
        default: |_| "on".into(),
        accept: |value, _| {
            let stricter = [
                "on",
                "true",
                "yes",
                "1",
                "local",
                "remote_write",
                "remote_apply",
            ];
            one_of(value, &stricter).map(|()| "on".into())
        },
    },
    Variable {
        name: "timezone",
        help: "The zone in which timestamps with time zone are read and shown.",
        default: |_| "UTC".into(),
        accept: |value, _| zone(value),
    },
];

/// The version of PostgreSQL that Weir tells its clients, whose drivers choose their catalog queries by it.
pub(crate) const POSTGRES_VERSION: &str = "15.0";
const POSTGRES_VERSION_NUMBER: &str = "150000";

/// Rows of a batch in execution. Measured: larger batches cost fewer calls, until they leave the cache.
const DEFAULT_BATCH_SIZE: usize = 16_384;

fn integer(value: &str, least: i64, most: i64) -> Result<String, String> {
    match value.trim().parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
        _ => Err(format!("a whole number from {least} to {most}")),
    }
}

fn one_of(value: &str, accepted: &[&str]) -> Result<(), String> {
    if accepted
        .iter()
        .any(|accepted| accepted.eq_ignore_ascii_case(value.trim()))
    {
        Ok(())
    } else {
        Err(format!(
            "only {} is supported",
            accepted.first().copied().unwrap_or_default()
        ))
    }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "1" | "yes" | "t" | "y" => Ok(true),
        "off" | "false" | "0" | "no" | "f" | "n" => Ok(false),
        _ => Err("on or off".into()),
    }
}

fn on_or_off(value: bool) -> String {
    if value { "on" } else { "off" }.to_owned()
}

fn zone(value: &str) -> Result<String, String> {
    let value = value.trim();
    let value = if value.eq_ignore_ascii_case("utc") || value == "Z" {
        "UTC"
    } else {
        value
    };
    match value.parse::<arrow::array::timezone::Tz>() {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err("an IANA name such as Europe/Zurich, or an offset such as +02:00".into()),
    }
}

/// The values that a session has set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    own: BTreeMap<&'static str, String>,
    /// What the session began with, to which `RESET` leads back.
    brought: BTreeMap<&'static str, String>,
}

impl Variables {
    /// Sets a variable.
    ///
    /// # Errors
    /// 42704 when there is none of that name, 22023 when the value is not accepted.
    pub(crate) fn set(&mut self, name: &str, value: &str, limits: &Limits) -> Result<()> {
        let variable = find(name)?;
        let value = (variable.accept)(value, limits).map_err(|reason| {
            Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("setting {:?} cannot be {value:?}: {reason}", variable.name),
            )
            .with_hint(variable.help)
        })?;
        self.own.insert(variable.name, value);
        Ok(())
    }

    /// Takes a variable back to its default.
    ///
    /// # Errors
    /// 42704 when there is none of that name.
    pub(crate) fn reset(&mut self, name: &str) -> Result<()> {
        let name = find(name)?.name;
        match self.brought.get(name) {
            Some(value) => self.own.insert(name, value.clone()),
            None => self.own.remove(name),
        };
        Ok(())
    }

    /// What of the settings may make a difference to a plan: all but the client's name.
    pub(crate) fn settled(&self) -> Settled {
        let settings = self.own.iter();
        let settings = settings.filter(|(name, _)| **name != "application_name");
        Settled(
            settings
                .map(|(name, value)| (*name, value.clone()))
                .collect(),
        )
    }

    pub(crate) fn reset_all(&mut self) {
        self.own = self.brought.clone();
    }

    /// A variable's value.
    ///
    /// # Errors
    /// 42704 when there is none of that name.
    pub(crate) fn get(&self, name: &str, limits: &Limits) -> Result<String> {
        let variable = find(name)?;
        Ok(self
            .own
            .get(variable.name)
            .cloned()
            .unwrap_or_else(|| (variable.default)(limits)))
    }

    /// Name, value and meaning of every variable, in order of name.
    pub(crate) fn all(&self, limits: &Limits) -> Vec<(&'static str, String, &'static str)> {
        VARIABLES
            .iter()
            .map(|variable| {
                let value = self
                    .own
                    .get(variable.name)
                    .cloned()
                    .unwrap_or_else(|| (variable.default)(limits));
                (variable.name, value, variable.help)
            })
            .collect()
    }

    /// The same, with names without a schema in this one.
    pub(crate) fn in_schema(mut self, schema: &str) -> Self {
        self.own.insert("search_path", schema.to_owned());
        self
    }

    pub(crate) fn schema(&self) -> &str {
        self.own.get("search_path").map_or("public", String::as_str)
    }

    pub(crate) fn timeout(&self, limits: &Limits) -> Duration {
        self.own
            .get("statement_timeout")
            .and_then(|value| parse_duration(value).ok())
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(limits.query_timeout)
    }

    /// Whether a query waits for the views that it reads.
    pub(crate) fn reads_own_writes(&self) -> bool {
        self.own
            .get("read_your_writes")
            .is_some_and(|value| value == "on")
    }

    /// Makes the values of now those that `RESET` leads back to.
    pub(crate) fn keep_as_brought(&mut self) {
        self.brought = self.own.clone();
    }

    /// The value of a variable that is known to be there; empty for others.
    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name, &Limits::default()).unwrap_or_default()
    }

    /// Whether statements may only read.
    pub(crate) fn is_read_only(&self) -> bool {
        let set = self.own.get("default_transaction_read_only");
        set.is_some_and(|value| value == "on")
    }

    /// How long a connection may be silent in a transaction.
    pub(crate) fn idle_in_transaction(&self) -> Duration {
        let set = self.own.get("idle_in_transaction_session_timeout");
        let set = set.and_then(|value| parse_duration(value).ok());
        set.filter(|timeout| !timeout.is_zero())
            .unwrap_or(IDLE_IN_TRANSACTION)
    }

    pub(crate) fn row_limit(&self) -> Option<u64> {
        self.number("row_limit").filter(|limit| *limit > 0)
    }

    pub(crate) fn query_memory(&self, limits: &Limits) -> u64 {
        let set = self
            .own
            .get("query_memory")
            .and_then(|value| value.parse::<ByteSize>().ok());
        set.unwrap_or(limits.query_memory).0
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.own.get(name).and_then(|value| value.parse().ok())
    }

    /// DataFusion's configuration for this session.
    pub(crate) fn config(&self, limits: &Limits) -> SessionConfig {
        let number = |name, default| {
            self.number(name)
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(default)
        };
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema("weir", self.schema())
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false)
            .with_target_partitions(number("target_partitions", limits.threads))
            .with_batch_size(number("batch_size", DEFAULT_BATCH_SIZE));
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        options.sql_parser.support_varchar_with_length = true;
        options.sql_parser.map_string_types_to_utf8view = true;
        options.execution.time_zone = Some(
            self.own
                .get("timezone")
                .cloned()
                .unwrap_or_else(|| "+00:00".to_owned()),
        );
        // Measured on TPC-H by `weir-bench settings`: filters evaluated while decoding cost more than they save, and plain
        // text is as fast as views, while every reader of an answer would need the views converted.
        options.execution.parquet.pushdown_filters = false;
        options.execution.parquet.schema_force_view_types = false;
        config
    }
}

/// Settings, to tell whether others are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Settled(Vec<(&'static str, String)>);

/// DataFusion's configuration of a session that sets nothing: what a comparison in process has to use.
pub fn session_config(limits: &Limits) -> SessionConfig {
    FileStores::configure(Variables::default().config(limits))
}

fn find(name: &str) -> Result<&'static Variable> {
    let name = match name.to_lowercase().as_str() {
        "time zone" | "time_zone" => "timezone".to_owned(),
        other => other.to_owned(),
    };
    VARIABLES
        .iter()
        .find(|variable| variable.name == name)
        .ok_or_else(|| {
            let error = Error::invalid(
                SqlState::UNDEFINED_OBJECT,
                format!("there is no setting {name:?}"),
            );
            match nearest(&name, VARIABLES.iter().map(|variable| variable.name)) {
                Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                None => error.with_hint("SHOW ALL lists the settings"),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_kept_in_their_normal_form() {
        let limits = Limits::default();
        let mut variables = Variables::default();
        variables.set("TimeZone", "Europe/Zurich", &limits).unwrap();
        variables
            .set("search_path", "\"$user\", sales", &limits)
            .unwrap();
        variables.set("statement_timeout", "5s", &limits).unwrap();
        variables
            .set("client_encoding", "'utf-8'", &limits)
            .unwrap();
        assert_eq!(variables.get("timezone", &limits).unwrap(), "Europe/Zurich");
        assert_eq!(variables.schema(), "sales");
        assert_eq!(variables.timeout(&limits), Duration::from_secs(5));
        variables.reset_all();
        assert_eq!(variables.schema(), "public");
    }

    #[test]
    fn what_is_not_in_the_list_is_refused() {
        let limits = Limits::default();
        let mut variables = Variables::default();
        let wrong = variables.set("serch_path", "x", &limits).unwrap_err();
        assert_eq!(wrong.to_string(), "there is no setting \"serch_path\"");
        for (name, value) in [
            ("timezone", "Mars/Olympus"),
            ("batch_size", "1"),
            ("query_memory", "999GB"),
            ("statement_timeout", "9d"),
            ("client_encoding", "LATIN1"),
        ] {
            assert!(
                variables.set(name, value, &limits).is_err(),
                "{name} = {value:?} was accepted"
            );
        }
    }
}
