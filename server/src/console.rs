//! The console: the page at `/` of the HTTP door, and its files under `/assets/`.
//!
//! It is built from `web/` and lies in the binary. It has no rights of its own: all that it shows it asks for over REST, as
//! any other client would. What a file is called changes with its content, so that browsers may keep it for ever; the page
//! itself is asked for each time, and mostly answered by 304.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rust_embed::RustEmbed;

use crate::rest::Problem;

/// The page takes scripts, styles and pictures from this server alone, asks this server alone, and is shown in no frame.
/// Attributes of style are let in, since a browser sets some itself where a text is edited; sheets of style are not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Files whose names hold a hash of their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";
/// Codings of content, the shortest first, and what is behind the name of a file that is in it. The build of the console makes them.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Dist;

/// The files of the console, ready to be sent.
#[derive(Debug)]
pub(crate) struct Console {
    files: HashMap<String, File>,
}

#[derive(Debug)]
struct File {
    content: Bytes,
    /// The same in some codings.
    compressed: Vec<(&'static str, Bytes)>,
    etag: HeaderValue,
    media_type: &'static str,
}

impl Console {
    /// The files in the binary.
    pub(crate) fn new() -> Self {
        let is_compressed = |path: &str| CODINGS.iter().any(|(_, ending)| path.ends_with(ending));
        let named = Dist::iter().filter(|path| !is_compressed(path));
        let files = named.filter_map(|path| {
            let file = Dist::get(&path)?;
            let compressed = CODINGS.iter().filter_map(|(coding, ending)| {
                let compressed = Dist::get(&format!("{path}{ending}"))?;
                Some((*coding, Bytes::from(compressed.data.into_owned())))
            });
            let hash = file.metadata.sha256_hash();
            let tag: String = hash
                .iter()
                .take(12)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let file = File {
                compressed: compressed.collect(),
                content: Bytes::from(file.data.into_owned()),
                etag: HeaderValue::from_str(&format!("\"{tag}\"")).ok()?,
                media_type: media_type(&path),
            };
            Some((path.into_owned(), file))
        });
        Self {
            files: files.collect(),
        }
    }

    /// The file of this path, `index.html` for the page, as the request's headers want it.
    ///
    /// # Errors
    /// When there is no such file.
    pub(crate) fn respond(&self, path: &str, request: &HeaderMap) -> Result<Response, Problem> {
        let file = self.files.get(path).ok_or_else(|| {
            Problem::http(StatusCode::NOT_FOUND, "the console has no such file")
                .with_hint("reload the page: it may be that of another version")
        })?;
        let is_page = !path.starts_with("assets/");
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, file.etag.clone());
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(if is_page { ASK_AGAIN } else { FOR_EVER }),
        );
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        );
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        if is_known(request, &file.etag) {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(file.media_type),
        );
        let body = match file.compressed(request) {
            Some((coding, compressed)) => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
                compressed
            }
            None => file.content.clone(),
        };
        Ok((headers, Body::from(body)).into_response())
    }
}

impl File {
    /// The content in the best coding that the client takes, and which one that is.
    fn compressed(&self, request: &HeaderMap) -> Option<(&'static str, Bytes)> {
        let mut codings = self.compressed.iter();
        codings.find(|(coding, _)| takes(request, coding)).cloned()
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Whether the client says that it has the file. Whether it was compressed on its way makes no difference to what it is.
fn is_known(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let given = request.get_all(header::IF_NONE_MATCH).iter();
    given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || etag == tag)
}

/// Whether the client takes content in this coding.
fn takes(request: &HeaderMap, wanted: &str) -> bool {
    let given = request.get_all(header::ACCEPT_ENCODING).iter();
    given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            name.eq_ignore_ascii_case(wanted) && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let given = given.iter().cloned();
        given
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    fn page() -> String {
        let file = Dist::get("index.html").unwrap();
        String::from_utf8(file.data.into_owned()).unwrap()
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own_and_names_files_that_are_there() {
        let page = page();
        for tag in ["<style", "style=", "javascript:", " on"] {
            let inside = page.split('<').any(|element| {
                let element = format!("<{}", element.split('>').next().unwrap_or_default());
                element.contains(tag)
            });
            assert!(!inside, "{tag} in {page}");
        }
        assert!(!page.split("<script").skip(1).any(|script| {
            !script
                .split('>')
                .next()
                .unwrap_or_default()
                .contains("src=")
        }));
        let console = Console::new();
        let named: Vec<&str> = page
            .split('"')
            .filter_map(|piece| piece.strip_prefix("./"))
            .collect();
        assert!(named.len() >= 3, "{page}");
        for path in named {
            assert!(console.files.contains_key(path), "{path}");
        }
    }

    #[test]
    fn files_are_kept_by_browsers_and_the_page_is_asked_for_again() {
        let console = Console::new();
        let page = console.respond("index.html", &HeaderMap::new()).unwrap();
        assert_eq!(page.headers()[header::CACHE_CONTROL], ASK_AGAIN);
        assert_eq!(page.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let tag = page.headers()[header::ETAG].clone();
        let mut known = HeaderMap::new();
        known.insert(header::IF_NONE_MATCH, tag);
        let again = console.respond("index.html", &known).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let path = console
            .files
            .keys()
            .find(|path| path.starts_with("assets/"));
        let file = console.respond(path.unwrap(), &known).unwrap();
        assert_eq!(
            file.status(),
            StatusCode::OK,
            "another file has another tag"
        );
        assert_eq!(file.headers()[header::CACHE_CONTROL], FOR_EVER);
        assert!(console.respond("assets/none.js", &known).is_err());
        assert!(console.respond("../Cargo.toml", &known).is_err());
    }

    #[test]
    fn files_are_compressed_for_those_who_take_it() {
        let accepting = |value| headers(&[(header::ACCEPT_ENCODING, value)]);
        let takes_gzip = |value| takes(&accepting(value), "gzip");
        assert!(takes_gzip("gzip, deflate, br, zstd"));
        assert!(takes_gzip("br;q=1.0, GZIP;q=0.5"));
        assert!(!takes_gzip("gzip;q=0, br"));
        assert!(!takes_gzip("identity"));
        let console = Console::new();
        let script = console
            .files
            .keys()
            // A small script is not worth it.
            .find(|path| path.starts_with("assets/index-") && path.ends_with(".js"))
            .unwrap();
        let coding = |value| {
            let answer = console.respond(script, &accepting(value)).unwrap();
            let coding = answer.headers().get(header::CONTENT_ENCODING);
            coding.map(|coding| coding.to_str().unwrap().to_owned())
        };
        assert_eq!(coding("gzip, deflate, br, zstd").as_deref(), Some("br"));
        assert_eq!(coding("gzip, deflate").as_deref(), Some("gzip"));
        assert_eq!(coding("identity"), None);
        assert!(
            console
                .files
                .keys()
                .all(|path| CODINGS.iter().all(|(_, ending)| !path.ends_with(ending))),
            "what is compressed has no name of its own"
        );
    }

    #[test]
    fn all_files_are_less_than_300_kb_compressed() {
        let console = Console::new();
        let taken = |coding: &'static str| -> usize {
            let request = headers(&[(header::ACCEPT_ENCODING, coding)]);
            let sizes = console.files.values().map(|file| {
                let compressed = file.compressed(&request);
                compressed.map_or(file.content.len(), |(_, bytes)| bytes.len())
            });
            sizes.sum()
        };
        for (coding, _) in CODINGS {
            let bytes = taken(coding);
            assert!(
                bytes < 300 << 10,
                "the console has {bytes} bytes in {coding}"
            );
        }
    }
}
