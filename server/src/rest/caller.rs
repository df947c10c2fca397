//! Who sends a request: signed in by its `Authorization`, or the operator where nobody has to sign in.

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use weir_base::{Classify, Kind, SqlState};
use weir_engine::{Credentials, Error, Principal, Session};

use super::Rest;
use super::problem::Problem;

/// Routes that everybody may ask: they tell nothing of what is stored.
const OPEN_ROUTES: [&str; 6] = [
    "/",
    "/icon.svg",
    "/assets/{file}",
    "/livez",
    "/readyz",
    "/openapi.json",
];
/// Before a token among the protocols of a WebSocket, where a browser's page can set no header.
pub(crate) const BEARER_PROTOCOL: &str = "weir.bearer.";

/// Who sent a request, in its extensions.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Somebody who asked for what is open to everybody.
    Nobody,
    /// Whoever it is, where nobody has to sign in.
    Operator,
    /// Somebody who has signed in.
    User(Principal),
}

impl Caller {
    /// The one who sent a request with these extensions.
    ///
    /// # Errors
    /// 500 for a request that was not looked at.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Problem> {
        let caller = extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Kind::Internal, "a request without its sender"))
    }

    /// A session for this one request.
    ///
    /// # Errors
    /// 401 for who has not signed in.
    pub(crate) fn session(&self, rest: &Rest) -> Result<Session, Problem> {
        match self {
            Self::User(principal) => Ok(rest.engine.session_of(principal.clone())),
            Self::Operator => Ok(rest.engine.session()),
            Self::Nobody => Err(unauthorised(
                &HeaderMap::new(),
                "sign in: this server asks for credentials",
            )),
        }
    }

    /// Whether something that was made for `session` may be asked for by this one: by the same user, and by the same token, which
    /// may allow less than another.
    pub(crate) fn is_of(&self, session: &Session) -> bool {
        match self {
            Self::User(principal) => principal.is_same(session.principal()),
            Self::Operator => session.principal().is_operator(),
            Self::Nobody => false,
        }
    }
}

/// Finds out who sent a request to a route.
///
/// # Errors
/// 401 when there are no credentials or wrong ones; 429 after many wrong ones.
pub(crate) async fn identify(
    rest: &Rest,
    route: &str,
    method: &Method,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Caller, Problem> {
    if !rest.engine.requires_sign_in() {
        return Ok(Caller::Operator);
    }
    let is_open = OPEN_ROUTES.contains(&route) && *method == Method::GET;
    if is_open || *method == Method::OPTIONS {
        return Ok(Caller::Nobody);
    }
    let Some(credentials) = credentials(headers)? else {
        return Err(
            unauthorised(headers, "sign in: this server asks for credentials").with_hint(
                "send Authorization: Bearer TOKEN, or Basic with a user's name and password",
            ),
        );
    };
    let signed_in = rest.engine.sign_in(credentials, from).await;
    let principal = signed_in.map_err(|error| refused(headers, &error))?;
    Ok(Caller::User(principal))
}

/// Refuses what a user may not ask of a route, where the engine sees no statement.
///
/// # Errors
/// 403; 401 when the user may no longer sign in.
pub(crate) fn admit(
    rest: &Rest,
    caller: &Caller,
    route: &str,
    method: &Method,
) -> Result<(), Problem> {
    let Caller::User(_) = caller else {
        return Ok(());
    };
    let rights = caller.session(rest)?.rights()?;
    let allowed = match route {
        // It names topics.
        "/metrics" => rights.reads_everything(),
        _ if is_registry(route) && !reads_registry(route, method) => rights.defines_on_server(),
        _ => true,
    };
    if allowed {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Denied,
        format!("permission denied for {method} {route}"),
    )
    .with_sqlstate(SqlState::INSUFFICIENT_PRIVILEGE)
    .with_hint(match route {
        "/metrics" => "the role reader may ask for it",
        _ => "who changes the schema registry needs CREATE ON SERVER",
    }))
}

fn is_registry(route: &str) -> bool {
    [
        "/subjects",
        "/schemas",
        "/config",
        "/mode",
        "/compatibility",
    ]
    .iter()
    .any(|root| route.starts_with(root))
}

/// Looking a schema up, and asking whether one would fit, are posted because schemas are long.
fn reads_registry(route: &str, method: &Method) -> bool {
    let is_question = route == "/subjects/{subject}" || route.starts_with("/compatibility");
    matches!(*method, Method::GET | Method::HEAD) || (*method == Method::POST && is_question)
}

/// What the headers show, if they show something.
fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(token_protocol(headers).map(Credentials::token));
    };
    let malformed = || {
        unauthorised(headers, "the Authorization header is not understood")
            .with_hint("send Bearer TOKEN, or Basic and base64 of user:password")
    };
    let value = value.to_str().map_err(|_| malformed())?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(malformed)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credentials::token(rest)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = BASE64.decode(rest).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(malformed)?;
    let (user, password) = text.split_once(':').ok_or_else(malformed)?;
    Ok(Some(Credentials::password(user, password)))
}

/// The token among the protocols that a WebSocket offers.
fn token_protocol(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL))
}

fn refused(headers: &HeaderMap, error: &Error) -> Problem {
    match error.retry_after() {
        Some(after) => Problem::new(Kind::LimitExceeded, error.message())
            .with_sqlstate(error.sqlstate())
            .with_retry_after(after),
        None if error.kind() == Kind::Denied => {
            unauthorised(headers, error.message()).with_sqlstate(error.sqlstate())
        }
        None => Problem::from(error.clone()),
    }
}

fn unauthorised(headers: &HeaderMap, detail: &str) -> Problem {
    // A page that fetches shows a form of its own; offered Basic, its browser would come before it with another.
    let by_page = headers
        .get("sec-fetch-mode")
        .is_some_and(|mode| mode != "navigate");
    let ways = match by_page {
        true => "Bearer realm=\"weir\"",
        false => "Bearer realm=\"weir\", Basic realm=\"weir\", charset=\"UTF-8\"",
    };
    Problem::http(StatusCode::UNAUTHORIZED, detail)
        .with_sqlstate(SqlState::INVALID_AUTHORIZATION)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(ways))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let shown = credentials(&headers).ok()??;
        Some(match shown {
            Credentials::Token(token) => format!("token {}", token.expose()),
            Credentials::Password { user, password } => format!("{user} {}", password.expose()),
        })
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(shown("Bearer abc"), Some("token abc".into()));
        assert_eq!(shown("bearer  abc"), Some("token abc".into()));
        assert_eq!(shown("Basic YWRhOnBhOnNz"), Some("ada pa:ss".into()));
        for wrong in ["", "Basic", "Basic !!", "Basic YWRh", "Digest abc"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
        let mut headers = HeaderMap::new();
        assert!(credentials(&headers).unwrap().is_none());
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            "weir, weir.bearer.abc".parse().unwrap(),
        );
        assert!(
            matches!(credentials(&headers), Ok(Some(Credentials::Token(token))) if token.expose() == "abc")
        );
    }

    #[test]
    fn questions_to_the_registry_are_told_from_changes() {
        for (method, route, reads) in [
            (Method::GET, "/subjects", true),
            (Method::POST, "/subjects/{subject}", true),
            (Method::POST, "/subjects/{subject}/versions", false),
            (Method::DELETE, "/subjects/{subject}", false),
            (Method::PUT, "/config", false),
            (
                Method::POST,
                "/compatibility/subjects/{subject}/versions",
                true,
            ),
        ] {
            assert!(is_registry(route));
            assert_eq!(reads_registry(route, &method), reads, "{method} {route}");
        }
        assert!(!is_registry("/v1/sql"));
    }
}
