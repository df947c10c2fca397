//! Options that a user gave as `WITH (key = 'value', …)`: taken one by one, and what is left over is an error.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::nearest::nearest;

/// Key-value options. Keys are compared in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    given: BTreeMap<String, String>,
    known: Vec<String>,
}

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Its value does not parse.
    #[error("option {key:?}: {reason}")]
    Value {
        /// The option's key.
        key: String,
        /// Why the value is not valid.
        reason: String,
    },
    /// It is required and was not given.
    #[error("option {0:?} is required")]
    Missing(String),
    /// Nothing reads an option of this name.
    #[error("unknown option {key:?}")]
    Unknown {
        /// The option's key.
        key: String,
        /// The known key nearest to it.
        nearest: Option<String>,
        /// All known keys.
        known: Vec<String>,
    },
}

impl OptionError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean {nearest:?}?")),
            Self::Unknown { known, .. } if !known.is_empty() => {
                Some(format!("known options: {}", known.join(", ")))
            }
            _ => None,
        }
    }
}

impl Options {
    /// Options from pairs; a later pair of the same key wins.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            given: pairs
                .into_iter()
                .map(|(key, value)| (key.to_lowercase(), value))
                .collect(),
            known: Vec::new(),
        }
    }

    /// Takes an option out, if given.
    ///
    /// # Errors
    /// [`OptionError::Value`] when it does not parse as a `T`.
    pub fn take<T>(&mut self, key: &str) -> Result<Option<T>, OptionError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.known.push(key.to_owned());
        self.given
            .remove(key)
            .map(|value| value.parse::<T>())
            .transpose()
            .map_err(|reason| OptionError::Value {
                key: key.to_owned(),
                reason: reason.to_string(),
            })
    }

    /// Takes an option that must be given.
    ///
    /// # Errors
    /// [`OptionError::Missing`], or as [`Options::take`].
    pub fn require<T>(&mut self, key: &str) -> Result<T, OptionError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.take(key)?
            .ok_or_else(|| OptionError::Missing(key.to_owned()))
    }

    /// Takes all options whose key starts with `prefix`, with the prefix cut off.
    pub fn take_prefixed(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let keys: Vec<String> = self
            .given
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect();
        keys.into_iter()
            .filter_map(|key| {
                let value = self.given.remove(&key)?;
                Some((key[prefix.len()..].to_owned(), value))
            })
            .collect()
    }

    /// Ends the reading of options.
    ///
    /// # Errors
    /// [`OptionError::Unknown`] when one was given that nothing took.
    pub fn finish(self) -> Result<(), OptionError> {
        match self.given.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(OptionError::Unknown {
                nearest: nearest(&key, self.known.iter().map(String::as_str)).map(str::to_owned),
                key,
                known: self.known,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        Options::new(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn left_over_options_name_the_nearest_known_one() {
        let mut given = options(&[("Partitions", "4"), ("topik", "x")]);
        assert_eq!(given.take::<u32>("partitions"), Ok(Some(4)));
        assert_eq!(given.take::<String>("topic"), Ok(None));
        let error = given.finish().unwrap_err();
        assert_eq!(error.to_string(), "unknown option \"topik\"");
        assert_eq!(error.hint().as_deref(), Some("did you mean \"topic\"?"));
    }

    #[test]
    fn a_value_that_does_not_parse_names_its_key() {
        let error = options(&[("partitions", "four")])
            .take::<u32>("partitions")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "option \"partitions\": invalid digit found in string"
        );
    }

    #[test]
    fn a_required_option_must_be_there() {
        assert_eq!(
            options(&[]).require::<String>("type"),
            Err(OptionError::Missing("type".to_owned()))
        );
    }
}
