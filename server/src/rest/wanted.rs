//! The form of an answer that a request asks for.

use axum::http::{HeaderMap, StatusCode, header};

use super::negotiation::{Coding, Format, choose, coding};
use super::problem::Problem;

/// What is asked for in headers and arguments about the form of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    explicit: Option<Format>,
    headers: HeaderMap,
    pub(super) coding: Coding,
    pub(super) trailers: bool,
}

impl Wanted {
    /// Reads `?format=` (which wins), `Accept`, `Accept-Encoding` and `TE`.
    ///
    /// # Errors
    /// 406 when none of `offered` is acceptable.
    pub(crate) fn of(
        headers: &HeaderMap,
        explicit: Option<String>,
        offered: &[Format],
    ) -> Result<Self, Problem> {
        let explicit = explicit
            .map(|text| {
                Format::named(&text)
                    .filter(|format| offered.contains(format))
                    .ok_or_else(|| {
                        Problem::invalid(format!("format {text:?} is not known"))
                            .with_hint(format!("known formats: {}", names(offered)))
                    })
            })
            .transpose()?;
        let accept: HeaderMap = headers
            .get_all(header::ACCEPT)
            .iter()
            .map(|value| (header::ACCEPT, value.clone()))
            .collect();
        let trailers = headers.get_all(header::TE).iter().any(|value| {
            value.to_str().is_ok_and(|text| {
                text.split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case("trailers"))
            })
        });
        let this = Self {
            explicit,
            headers: accept,
            coding: coding(headers),
            trailers,
        };
        this.format(offered)?;
        Ok(this)
    }

    /// The same wish, where a client that has no preference gets `format`.
    ///
    /// # Errors
    /// 406 when nothing that fits is acceptable.
    pub(crate) fn preferring(&self, format: Format) -> Result<Self, Problem> {
        let mut offered = vec![format];
        offered.extend(Format::PAGES.into_iter().filter(|other| *other != format));
        Ok(Self {
            explicit: Some(self.format(&offered)?),
            ..self.clone()
        })
    }

    /// The format among `offered`.
    ///
    /// # Errors
    /// 406 when none is acceptable.
    pub(crate) fn format(&self, offered: &[Format]) -> Result<Format, Problem> {
        let format = match self.explicit {
            Some(format) => offered.contains(&format).then_some(format),
            None => choose(&self.headers, offered),
        };
        format.ok_or_else(|| {
            let problem = Problem::http(
                StatusCode::NOT_ACCEPTABLE,
                "this answer cannot be given in a format that the request accepts",
            );
            if offered == Format::LIVE {
                problem.with_hint(format!(
                    "a live query never ends; ask for one of {}",
                    names(offered)
                ))
            } else {
                problem.with_hint(format!(
                    "say in Accept or ?format= one of {}",
                    names(offered)
                ))
            }
        })
    }
}

fn names(formats: &[Format]) -> String {
    formats
        .iter()
        .map(|format| format.name())
        .collect::<Vec<_>>()
        .join(", ")
}
