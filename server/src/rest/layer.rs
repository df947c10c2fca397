//! What is around every request: its id, who may ask from a browser, metrics, logs, and the form of failures.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use uuid::Uuid;
use weir_base::{Kind, SqlState};

use super::Rest;
use super::caller::{self, Caller};
use super::problem::Problem;
use crate::connections::Peer;
use crate::in_flight::Tracked;

/// A request's id: the client's, if it sent a usable one.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The id of the request with these extensions.
    pub(crate) fn of(extensions: &Extensions) -> String {
        extensions
            .get::<Self>()
            .map_or_else(String::new, |id| id.0.clone())
    }

    fn read(headers: &HeaderMap) -> Self {
        let usable = |text: &&str| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
                })
        };
        let given = headers
            .get("x-request-id")
            .and_then(|value| value.to_str().ok())
            .filter(usable);
        Self(given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned))
    }
}

/// Wraps every request.
pub(crate) async fn around(
    State(rest): State<Arc<Rest>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let in_flight = rest.in_flight.enter();
    let id = RequestId::read(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let origin = request.headers().get(header::ORIGIN).cloned();
    request.extensions_mut().insert(id.clone());
    let from = request.extensions().get::<Peer>();
    let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let admitted = match admit(&rest, &route, &request) {
        Ok(()) if method == Method::OPTIONS && origin.is_some() => Ok(None),
        Ok(()) => known(&rest, &route, &method, request.headers(), from)
            .await
            .map(Some),
        Err(problem) => Err(problem),
    };
    let mut response = match admitted {
        Err(problem) => problem.into_response(),
        Ok(None) => preflight(),
        Ok(Some(caller)) => {
            match std::panic::AssertUnwindSafe(next.run(called_by(request, caller)))
                .catch_unwind()
                .await
            {
                Ok(response) => response,
                Err(panic) => Problem::new(
                    Kind::Internal,
                    format!("panic: {}", panic_text(panic.as_ref())),
                )
                .into_response(),
            }
        }
    };
    let status = response.status();
    finish_problem(&mut response, &id.0, &route);
    guard(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    if let Some(origin) = origin.filter(|origin| is_allowed_origin(&rest, origin)) {
        cross_origin(response.headers_mut(), origin);
    }
    tracing::debug!(request.id = %id.0, %method, route, status = status.as_u16(), ms = started.elapsed().as_secs_f64() * 1e3, "answered");
    rest.metrics
        .answered(&route, &method, status, started.elapsed());
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let counted = rest.metrics.bytes_out();
    response.map(|body| {
        Body::new(Tracked {
            body,
            counted,
            _in_flight: in_flight,
        })
    })
}

/// Who sent the request, where that one may ask for this route.
async fn known(
    rest: &Rest,
    route: &str,
    method: &Method,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Caller, Problem> {
    let caller = caller::identify(rest, route, method, headers, from).await?;
    caller::admit(rest, &caller, route, method)?;
    Ok(caller)
}

fn called_by(mut request: Request, caller: Caller) -> Request {
    request.extensions_mut().insert(caller);
    request
}

/// Refuses what a browser was tricked into, and new work on a server that stops.
fn admit(rest: &Rest, route: &str, request: &Request) -> Result<(), Problem> {
    if rest.draining.is_cancelled() && route.starts_with("/v1/") {
        return Err(
            Problem::new(Kind::Unavailable, "the server is shutting down")
                .with_sqlstate(SqlState::ADMIN_SHUTDOWN)
                .with_retry_after(std::time::Duration::from_secs(1))
                .with_header(header::CONNECTION, HeaderValue::from_static("close")),
        );
    }
    // A page that makes its own name resolve to this machine has that name in Host; only names that are ours pass.
    let host = host_of(request.headers(), request.uri());
    if let Some(host) = &host
        && !is_own_host(rest, host)
    {
        return Err(
            Problem::new(Kind::Denied, format!("this server is not called {host:?}"))
                .with_hint("use localhost or an address, or add the name to rest.allow_hosts"),
        );
    }
    // A page of another origin can send requests here from its reader's browser.
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let same = origin
            .to_str()
            .ok()
            .and_then(|text| text.split_once("://"))
            .map(|(_, authority)| authority);
        let own =
            host.is_some() && same.map(str::to_lowercase) == host.map(|host| host.to_lowercase());
        if !own && !is_allowed_origin(rest, origin) {
            return Err(Problem::new(
                Kind::Denied,
                format!(
                    "pages of {} may not call this server",
                    String::from_utf8_lossy(origin.as_bytes())
                ),
            )
            .with_hint("add the origin to rest.allow_origins"));
        }
    }
    Ok(())
}

fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => headers
            .get(header::HOST)
            .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
    }
}

fn is_own_host(rest: &Rest, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
    .to_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok()
        || rest
            .settings
            .allow_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(&name))
}

fn is_allowed_origin(rest: &Rest, origin: &HeaderValue) -> bool {
    rest.settings
        .allow_origins
        .iter()
        .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

/// Tells browsers what not to do with an answer: to guess what it is, to show it within another page, and to load into a page what
/// the page's own handler does not allow.
fn guard(headers: &mut HeaderMap) {
    let plain = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in plain {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        headers
            .entry(header::CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ));
    }
}

fn preflight() -> Response {
    let headers = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "accept, authorization, content-type, content-encoding, idempotency-key, last-event-id, x-request-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn cross_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "location, link, retry-after, weir-command, weir-query-id, x-request-id",
        ),
    );
}

/// Writes the document of a failed request, and logs what only the log may tell.
fn finish_problem(response: &mut Response, request_id: &str, route: &str) {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return;
    };
    match problem.finish(request_id) {
        Some(hidden) => {
            tracing::error!(request.id = %request_id, query.id = problem.query_id(), route, error = %hidden, "a request failed");
        }
        None => {
            tracing::debug!(request.id = %request_id, query.id = problem.query_id(), route, error = %problem.detail(), "a request was refused");
        }
    }
    *response.body_mut() = Body::from(problem.to_json());
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests;
