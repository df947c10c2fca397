//! Which format and which compression a client gets (RFC 9110, 12.5).

use axum::http::{HeaderMap, HeaderName, header};
use utoipa::ToSchema;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Arrow,
    Json,
    Ndjson,
    Csv,
    Parquet,
    Sse,
}

impl Format {
    /// All formats; where a client has no preference, the first wins.
    pub(crate) const ALL: [Self; 6] = [
        Self::Arrow,
        Self::Json,
        Self::Ndjson,
        Self::Csv,
        Self::Parquet,
        Self::Sse,
    ];
    /// The formats that can go on without an end.
    pub(crate) const LIVE: [Self; 4] = [Self::Arrow, Self::Ndjson, Self::Csv, Self::Sse];
    /// The formats of a page of rows.
    pub(crate) const PAGES: [Self; 5] = [
        Self::Json,
        Self::Arrow,
        Self::Ndjson,
        Self::Csv,
        Self::Parquet,
    ];

    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Sse => "text/event-stream",
            other => other.media_types()[0],
        }
    }

    /// The media types that name it; the first is its own.
    fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Arrow => &["application/vnd.apache.arrow.stream"],
            Self::Json => &["application/json"],
            Self::Ndjson => &[
                "application/x-ndjson",
                "application/ndjson",
                "application/jsonl",
            ],
            Self::Csv => &["text/csv"],
            Self::Parquet => &["application/vnd.apache.parquet"],
            Self::Sse => &["text/event-stream"],
        }
    }

    /// Its name in `?format=`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Sse => "sse",
        }
    }

    /// The format of a name in `?format=`, or of its media type.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text || format.media_types().contains(&text.as_str()))
    }
}

/// [`Format`] as the interface's document names it.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)]
pub(crate) enum FormatName {
    Arrow,
    Json,
    Ndjson,
    Csv,
    Parquet,
    Sse,
}

/// The formats of a page of rows as the interface's document names them.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)]
pub(crate) enum PageFormatName {
    Json,
    Arrow,
    Ndjson,
    Csv,
    Parquet,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A range of an `Accept` header: `text/*;q=0.5`.
#[derive(Debug)]
struct Range<'a> {
    name: &'a str,
    /// Thousandths.
    weight: u16,
    place: usize,
}

/// How much a client likes a format: by weight, by how exactly it names it, by how early.
type Rank = (u16, usize, std::cmp::Reverse<usize>);

/// The format among `offered` that the client likes best, `None` when it accepts none of them. Of equals, the one that it
/// names most exactly wins, then the one that it names first, then the first of `offered`.
pub(crate) fn choose(headers: &HeaderMap, offered: &[Format]) -> Option<Format> {
    let lines = values(headers, &header::ACCEPT);
    let ranges = ranges(&lines);
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let mut best: Option<(Format, Rank)> = None;
    for format in offered {
        // The most exact range that covers a format decides its weight, also when that is 0.
        let decisive = ranges
            .iter()
            .filter_map(|range| Some((exactness(range.name, *format)?, range)))
            .max_by_key(|(exactness, range)| (*exactness, std::cmp::Reverse(range.place)));
        let Some((exactness, range)) = decisive.filter(|(_, range)| range.weight > 0) else {
            continue;
        };
        let rank = (range.weight, exactness, std::cmp::Reverse(range.place));
        if best.as_ref().is_none_or(|(_, other)| rank > *other) {
            best = Some((*format, rank));
        }
    }
    best.map(|(format, _)| format)
}

/// The compression that the client likes best; zstd before gzip where it does not care.
pub(crate) fn coding(headers: &HeaderMap) -> Coding {
    let lines = values(headers, &header::ACCEPT_ENCODING);
    let ranges = ranges(&lines);
    let weight = |coding: Coding| {
        let named = ranges.iter().find(|range| {
            range.name.eq_ignore_ascii_case(coding.name())
                || (coding == Coding::Gzip && range.name.eq_ignore_ascii_case("x-gzip"))
        });
        let other = ranges.iter().find(|range| range.name == "*");
        named.or(other).map_or(0, |range| range.weight)
    };
    let identity = ranges
        .iter()
        .find(|range| range.name.eq_ignore_ascii_case("identity"))
        .map_or(0, |range| range.weight);
    match (weight(Coding::Zstd), weight(Coding::Gzip)) {
        (zstd, gzip) if zstd > 0 && zstd >= gzip && zstd >= identity => Coding::Zstd,
        (_, gzip) if gzip > 0 && gzip >= identity => Coding::Gzip,
        _ => Coding::Identity,
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect()
}

/// How exactly `range` names `format`: 3 by its type, 2 by `text/*`, 1 by `*/*`.
fn exactness(range: &str, format: Format) -> Option<usize> {
    if range == "*/*" || range == "*" {
        return Some(1);
    }
    format
        .media_types()
        .iter()
        .filter_map(|media_type| {
            if range.eq_ignore_ascii_case(media_type) {
                return Some(3);
            }
            let (kind, _) = media_type.split_once('/')?;
            let (wanted, rest) = range.split_once('/')?;
            (rest == "*" && wanted.eq_ignore_ascii_case(kind)).then_some(2)
        })
        .max()
}

fn ranges<'a>(lines: &[&'a str]) -> Vec<Range<'a>> {
    lines
        .iter()
        .flat_map(|line| line.split(','))
        .enumerate()
        .filter_map(|(place, part)| {
            let mut parameters = part.split(';');
            let name = parameters.next()?.trim();
            let weight = parameters
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
                .map_or(Some(1000), |(_, value)| thousandths(value.trim()))?;
            (!name.is_empty()).then_some(Range {
                name,
                weight,
                place,
            })
        })
        .collect()
}

/// A weight between 0 and 1; a range whose weight is none of these is left out.
fn thousandths(text: &str) -> Option<u16> {
    let value: f32 = text.parse().ok()?;
    (0.0..=1.0)
        .contains(&value)
        .then_some((value * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn accept(values: &[&str]) -> Option<Format> {
        choose(&headers(header::ACCEPT, values), &Format::ALL)
    }

    #[test]
    fn the_best_liked_format_wins() {
        for (given, expected) in [
            ("", Some(Format::Arrow)),
            ("*/*", Some(Format::Arrow)),
            ("text/csv", Some(Format::Csv)),
            ("TEXT/CSV; charset=utf-8", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/json;q=0.5, text/csv;q=0.8", Some(Format::Csv)),
            ("application/json, text/plain, */*", Some(Format::Json)),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Some(Format::Arrow),
            ),
            (
                "application/x-ndjson;q=0.9, */*;q=0.1",
                Some(Format::Ndjson),
            ),
            ("application/ndjson", Some(Format::Ndjson)),
            (
                "application/vnd.apache.arrow.stream;q=0, */*",
                Some(Format::Json),
            ),
            ("application/vnd.apache.parquet", Some(Format::Parquet)),
            ("text/event-stream", Some(Format::Sse)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("application/json;q=0.000", None),
            ("application/json;q=2", Some(Format::Arrow)),
            (",,;,", Some(Format::Arrow)),
            ("\"weird", None),
        ] {
            assert_eq!(accept(&[given]), expected, "Accept: {given}");
        }
        assert_eq!(accept(&[]), Some(Format::Arrow));
        assert_eq!(accept(&["text/html", "text/csv"]), Some(Format::Csv));
    }

    #[test]
    fn a_live_answer_is_never_a_document() {
        let live = |given: &str| choose(&headers(header::ACCEPT, &[given]), &Format::LIVE);
        assert_eq!(live("application/json, */*"), Some(Format::Arrow));
        assert_eq!(live("application/json"), None);
        assert_eq!(
            live("application/json, application/x-ndjson;q=0.1"),
            Some(Format::Ndjson)
        );
    }

    #[test]
    fn formats_have_short_names() {
        for format in Format::ALL {
            assert_eq!(Format::named(format.name()), Some(format));
        }
        assert_eq!(Format::named("text/csv"), Some(Format::Csv));
        assert_eq!(Format::named("xml"), None);
    }

    #[test]
    fn compression_follows_the_weights() {
        for (given, expected) in [
            ("", Coding::Identity),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip", Coding::Gzip),
            ("gzip;q=1.0, zstd;q=0.5", Coding::Gzip),
            ("identity, gzip;q=0.5", Coding::Identity),
            ("*", Coding::Zstd),
            ("zstd;q=0, *", Coding::Gzip),
            ("br", Coding::Identity),
        ] {
            assert_eq!(
                coding(&headers(header::ACCEPT_ENCODING, &[given])),
                expected,
                "Accept-Encoding: {given}"
            );
        }
    }
}
