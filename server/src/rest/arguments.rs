//! What a request carries besides its body: query arguments, headers that mean something to us.

use std::str::FromStr;

use axum::http::{HeaderMap, Uri};
use weir_base::{OptionError, Options};

use super::problem::Problem;

/// The arguments after `?`, taken one by one; what is left over is an error.
pub(crate) struct Arguments(Options);

impl Arguments {
    /// Reads them.
    ///
    /// # Errors
    /// When one is given twice.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()) {
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(Problem::invalid(format!("argument {key:?} is given twice")));
            }
            pairs.push((key.into_owned(), value.into_owned()));
        }
        Ok(Self(Options::new(pairs)))
    }

    /// Takes one out, if given.
    ///
    /// # Errors
    /// When it does not parse.
    pub(crate) fn take<T>(&mut self, key: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.0.take(key).map_err(problem)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When one is left over; names the nearest known one.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        self.0.finish().map_err(problem)
    }
}

fn problem(error: OptionError) -> Problem {
    let problem = Problem::invalid(error.to_string().replacen("option", "argument", 1));
    match error.hint() {
        Some(hint) => problem.with_hint(hint.replacen("options", "arguments", 1)),
        None => problem,
    }
}

/// A header's text.
///
/// # Errors
/// When it is given twice or is not ASCII.
pub(crate) fn header_text<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::invalid(format!("header {name} is given twice")));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| Problem::invalid(format!("header {name} is not plain ASCII")))
}

/// The media type of the body, in lower case and without parameters; refuses a charset other than UTF-8.
///
/// # Errors
/// As [`header_text`], and 415 for another charset.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = header_text(headers, "content-type")? else {
        return Ok(None);
    };
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or("").trim().to_lowercase();
    for parameter in parts {
        if let Some((key, value)) = parameter.split_once('=')
            && key.trim().eq_ignore_ascii_case("charset")
            && !matches!(
                value.trim().trim_matches('"').to_lowercase().as_str(),
                "utf-8" | "utf8" | "us-ascii"
            )
        {
            return Err(Problem::http(
                axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("charset {} is not understood", value.trim()),
            )
            .with_hint("send UTF-8"));
        }
    }
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_one_by_one() {
        let mut arguments =
            Arguments::of(&"/v1/sql?q=SELECT%201+%2B+1&fromat=csv".parse().unwrap()).unwrap();
        assert_eq!(
            arguments.take::<String>("q").unwrap().as_deref(),
            Some("SELECT 1 + 1")
        );
        assert_eq!(arguments.take::<String>("format").unwrap(), None);
        let json = arguments.finish().unwrap_err().to_json();
        assert!(json.contains("unknown argument \\\"fromat\\\""), "{json}");
        assert!(json.contains("did you mean \\\"format\\\"?"), "{json}");
        assert!(Arguments::of(&"/?a=1&a=2".parse().unwrap()).is_err());
    }

    #[test]
    fn only_utf_8_is_read() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", value.parse().unwrap());
            media_type(&headers)
        };
        assert_eq!(
            with("Text/CSV; charset=\"UTF-8\"").unwrap().as_deref(),
            Some("text/csv")
        );
        assert_eq!(with("text/csv; charset=latin1").unwrap_err().status(), 415);
        assert_eq!(media_type(&HeaderMap::new()).unwrap(), None);
    }
}
