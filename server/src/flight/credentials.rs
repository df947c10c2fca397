//! What a client says of itself: in the headers of a call, or in the payload of a handshake. Pure.

use arrow_flight::BasicAuth;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use prost::Message;
use tonic::Status;

use super::status::unauthenticated;

/// Where clients of Flight's first way to log in put their token.
pub(crate) const TOKEN_HEADER: &str = "auth-token-bin";
/// The cookie that names a session, as other servers of Flight call it.
pub(crate) const SESSION_COOKIE: &str = "arrow_flight_session_id";

/// Who somebody says to be.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nothing was said.
    None,
    /// A user and a password.
    Password {
        user: String,
        password: String,
    },
    /// A token: one that a handshake gave, or one of a user's.
    Token(String),
}

impl Credentials {
    /// Those of a call's headers.
    ///
    /// # Errors
    /// When they are in no form that is understood.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Self, Status> {
        if let Some(value) = headers.get(TOKEN_HEADER) {
            let token = decode(value.as_bytes())
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(not_understood)?;
            return Ok(Self::Token(token));
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(Self::None);
        };
        let text = value.to_str().map_err(|_| not_understood())?;
        let (scheme, rest) = text.split_once(' ').ok_or_else(not_understood)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Token(rest.trim().to_owned()));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = decode(rest.trim().as_bytes())
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(not_understood)?;
            let (user, password) = pair.split_once(':').ok_or_else(not_understood)?;
            return Ok(Self::Password {
                user: user.to_owned(),
                password: password.to_owned(),
            });
        }
        Err(not_understood())
    }

    /// Those of a handshake's payload, where Flight's first way to log in has them.
    ///
    /// # Errors
    /// When it is no `BasicAuth` message.
    pub(crate) fn of_payload(payload: &[u8]) -> Result<Self, Status> {
        let given = BasicAuth::decode(payload).map_err(|_| not_understood())?;
        Ok(Self::Password {
            user: given.username,
            password: given.password,
        })
    }
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

/// Base64, which some clients pad and some do not.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64_STANDARD
        .decode(text)
        .or_else(|_| BASE64_STANDARD_NO_PAD.decode(text))
        .ok()
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

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn headers_and_payloads_are_read() {
        let of = |name, value| Credentials::of_headers(&headers(name, value)).ok();
        assert_eq!(
            of("authorization", "Basic YWRhOnM6M2NyM3Q="),
            Some(password("ada", "s:3cr3t"))
        );
        assert_eq!(
            of("authorization", "bearer abc"),
            Some(Credentials::Token("abc".to_owned()))
        );
        assert_eq!(
            of(TOKEN_HEADER, "YWJj"),
            Some(Credentials::Token("abc".to_owned()))
        );
        assert_eq!(of("x-other", "abc"), Some(Credentials::None));
        for bad in ["Digest x", "Basic !!", "Basic YWRh", "Bearer"] {
            assert_eq!(of("authorization", bad), None, "{bad}");
        }
        let payload = BasicAuth {
            username: "ada".to_owned(),
            password: "x".to_owned(),
        };
        assert!(Credentials::of_payload(&payload.encode_to_vec()) .ok() == Some(password("ada", "x")));
        assert!(Credentials::of_payload(b"\xff\xff\xff").is_err());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers("cookie", "a=1; arrow_flight_session_id=\"xyz\"; b=2");
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("xyz"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
