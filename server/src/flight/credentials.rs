//! What a client says of itself: in the headers of a call, or in the payload of a handshake. Pure.

use arrow_flight::BasicAuth;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use prost::Message;
use tonic::Status;
use weir_engine::Credentials;

use super::status::unauthenticated;

/// Where clients of Flight's first way to log in put their token.
pub(crate) const TOKEN_HEADER: &str = "auth-token-bin";
/// The cookie that names a session, as other servers of Flight call it.
pub(crate) const SESSION_COOKIE: &str = "arrow_flight_session_id";

/// The credentials in a call's headers, where there are any.
///
/// # Errors
/// When they are in no form that is understood.
pub(crate) fn in_headers(headers: &HeaderMap) -> Result<Option<Credentials>, Status> {
    if let Some(value) = headers.get(TOKEN_HEADER) {
        let token = decode(value.as_bytes()).ok_or_else(not_understood)?;
        return Ok(Some(Credentials::token(token)));
    }
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| not_understood())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(not_understood)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credentials::token(rest.trim())));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = decode(rest.trim().as_bytes()).ok_or_else(not_understood)?;
        let (user, password) = pair.split_once(':').ok_or_else(not_understood)?;
        return Ok(Some(Credentials::password(user, password)));
    }
    Err(not_understood())
}

/// The credentials in a handshake's payload, where Flight's first way to log in has them.
///
/// # Errors
/// When it is no `BasicAuth` message.
pub(crate) fn in_payload(payload: &[u8]) -> Result<Credentials, Status> {
    let given = BasicAuth::decode(payload).map_err(|_| not_understood())?;
    Ok(Credentials::password(given.username, given.password))
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// Text in base64, which some clients pad and some do not.
fn decode(text: &[u8]) -> Option<String> {
    let bytes = BASE64_STANDARD
        .decode(text)
        .or_else(|_| BASE64_STANDARD_NO_PAD.decode(text))
        .ok()?;
    String::from_utf8(bytes).ok()
}

fn not_understood() -> Status {
    unauthenticated(
        "the credentials are in no form that is understood",
        "send a Handshake, or a header authorization with Basic or Bearer",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    /// What was understood, in words: credentials do not show their secret.
    fn understood(found: Option<Credentials>) -> String {
        match found {
            None => "nothing".to_owned(),
            Some(Credentials::Token(secret)) => format!("token {}", secret.expose()),
            Some(Credentials::Password { user, password }) => {
                format!("{user} with {}", password.expose())
            }
        }
    }

    #[test]
    fn headers_and_payloads_are_read() {
        let of = |name, value| in_headers(&headers(name, value)).map(understood);
        for (name, value, expected) in [
            (
                "authorization",
                "Basic YWRhOnM6M2NyM3Q=",
                "ada with s:3cr3t",
            ),
            ("authorization", "bearer abc", "token abc"),
            (TOKEN_HEADER, "YWJj", "token abc"),
            ("x-other", "abc", "nothing"),
        ] {
            assert_eq!(of(name, value).unwrap(), expected);
        }
        for bad in ["Digest x", "Basic !!", "Basic YWRh", "Bearer"] {
            assert!(of("authorization", bad).is_err(), "{bad}");
        }
        let payload = BasicAuth {
            username: "ada".to_owned(),
            password: "x".to_owned(),
        };
        let read = in_payload(&payload.encode_to_vec()).unwrap();
        assert_eq!(understood(Some(read)), "ada with x");
        assert!(in_payload(b"\xff\xff\xff").is_err());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers("cookie", "a=1; arrow_flight_session_id=\"xyz\"; b=2");
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("xyz"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
