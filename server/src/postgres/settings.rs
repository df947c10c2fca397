//! Settings that a client is told of: at the start, and whenever they change.

use std::collections::BTreeMap;

use weir_engine::Session;

use super::wire::Out;

/// Settings of a session that clients are told of, by PostgreSQL's spelling and ours.
const REPORTED: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("DateStyle", "datestyle"),
    (
        "default_transaction_read_only",
        "default_transaction_read_only",
    ),
    ("IntervalStyle", "intervalstyle"),
    ("integer_datetimes", "integer_datetimes"),
    ("search_path", "search_path"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("TimeZone", "timezone"),
];

/// What the client knows.
#[derive(Debug, Default)]
pub(super) struct Reported(BTreeMap<&'static str, String>);

impl Reported {
    /// Tells of what is not as the client knows it.
    pub(super) fn tell(&mut self, session: &Session, out: &mut Out) {
        for (name, own) in REPORTED {
            // All are in the engine's list.
            let Ok(value) = session.setting(own) else {
                continue;
            };
            if self.0.get(name) != Some(&value) {
                out.parameter_status(name, &value);
                self.0.insert(*name, value);
            }
        }
    }

    /// Tells of something that the session itself does not know.
    pub(super) fn tell_fixed(out: &mut Out, name: &str, value: &str) {
        out.parameter_status(name, value);
    }
}

/// The settings in `options` of a start-up message: `-c name=value`, `--name=value`, spaces after a backslash kept.
///
/// # Errors
/// What does not read as one.
pub(super) fn of_options(options: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = vec![String::new()];
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                if let (Some(word), Some(next)) = (words.last_mut(), letters.next()) {
                    word.push(next);
                }
            }
            letter if letter.is_whitespace() => words.push(String::new()),
            letter => {
                if let Some(word) = words.last_mut() {
                    word.push(letter);
                }
            }
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => None,
        };
        let pair = setting
            .as_deref()
            .and_then(|setting| setting.split_once('='));
        let Some((name, value)) = pair else {
            return Err(word);
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_libpq_writes_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            of_options("-c statement_timeout=5s  --search_path=sales -cTimeZone=Europe/Zurich"),
            Ok(vec![
                pair("statement_timeout", "5s"),
                pair("search_path", "sales"),
                pair("TimeZone", "Europe/Zurich"),
            ])
        );
        assert_eq!(
            of_options("-c application_name=a\\ b"),
            Ok(vec![pair("application_name", "a b")])
        );
        assert_eq!(of_options("-x"), Err("-x".to_owned()));
        assert_eq!(of_options(""), Ok(vec![]));
    }
}
