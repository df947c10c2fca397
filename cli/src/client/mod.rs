//! The client of Weir's REST interface: statements in, Arrow batches out; rows in; live events.

mod answer;
mod events;
mod problem;

use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

pub(crate) use answer::{Answer, Command};
pub(crate) use events::{Event, Events};
pub(crate) use problem::Problem;

use crate::error::{Error, Result};

/// The media type of an Arrow IPC stream.
pub(crate) const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// The header that names the query of an answer.
const QUERY_ID: &str = "weir-query-id";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One server, and the session that this client has there.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    session: Option<String>,
}

/// What the server says of rows that it stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Stored {
    /// Rows of the request.
    pub(crate) rows: u64,
    /// Whether an earlier request with the same key had stored them.
    #[serde(default)]
    pub(crate) duplicate: bool,
}

impl Client {
    /// A client of the server at `url`; connects when first used.
    ///
    /// # Errors
    /// [`Error::Usage`] when `url` is no `http` or `https` address.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::Usage {
            message: format!("{url:?} is not a server's address: {reason}"),
            hint: Some("write it as http://host:port".into()),
        };
        let base = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(invalid("it must begin with http:// or https://"));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        if is_loopback(&base) {
            // Neither a proxy nor compression helps on the way to the same machine.
            builder = builder.no_proxy().no_gzip().no_zstd();
        }
        let http = builder
            .build()
            .map_err(|error| Error::service(format!("no HTTP client: {}", chain(&error))))?;
        Ok(Self {
            http,
            base,
            session: None,
        })
    }

    /// The server's address, without a password.
    pub(crate) fn address(&self) -> String {
        let mut shown = self.base.clone();
        // Neither fails on an http address.
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        shown.as_str().trim_end_matches('/').to_owned()
    }

    /// Opens a session, so that `SET` and temporary tables hold from one statement to the next.
    pub(crate) async fn open_session(&mut self) -> Result<()> {
        #[derive(Deserialize)]
        struct Opened {
            session: String,
        }
        let request = self.http.post(self.url(&["v1", "sessions"])?);
        let response = self.send(request).await?;
        let opened: Opened = self.json(response).await?;
        self.session = Some(opened.session);
        Ok(())
    }

    /// Whether `error` says that the server does not know this client's session any more: it expired, or the server
    /// was started again.
    pub(crate) fn has_lost_session(&self, error: &Error) -> bool {
        match (error, &self.session) {
            (Error::Refused(problem), Some(session)) => {
                problem.status == 404 && problem.to_string().contains(session.as_str())
            }
            _ => false,
        }
    }

    /// Ends the session. Best effort: an idle session ends by itself.
    pub(crate) async fn close_session(&mut self) {
        if let Some(session) = self.session.take()
            && let Ok(url) = self.url(&["v1", "sessions", &session])
        {
            let _ = self.http.delete(url).send().await;
        }
    }

    /// Executes one statement. The answer's rows are read from the connection as they are asked for.
    pub(crate) async fn execute(&self, sql: &str, timeout: Option<Duration>) -> Result<Answer> {
        let mut body = json!({ "query": sql });
        if let Some(session) = &self.session {
            body["session"] = Value::from(session.as_str());
        }
        if let Some(timeout) = timeout {
            body["timeout_ms"] =
                Value::from(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        let request = self
            .http
            .post(self.url(&["v1", "sql"])?)
            .header(ACCEPT, ARROW_STREAM)
            .json(&body);
        let response = self
            .send(request)
            .await
            .map_err(|error| with_sql(error, sql))?;
        Answer::begin(self.clone(), response).await
    }

    /// Executes a query that has few rows; answers all of them as texts.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut answer = self.execute(sql, None).await?;
        let mut rows = Vec::new();
        while let Some(batch) = answer.next().await? {
            let columns = batch
                .columns()
                .iter()
                .map(|column| cast(column, &DataType::Utf8))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let text = |column: &ArrayRef| {
                    let texts = column.as_string::<i32>();
                    texts.is_valid(row).then(|| texts.value(row).to_owned())
                };
                rows.push(columns.iter().map(text).collect());
            }
        }
        Ok(rows)
    }

    /// Follows a live query as server-sent events, after the event with the id `resume`.
    pub(crate) async fn follow(&self, sql: &str, resume: Option<&str>) -> Result<Events> {
        let mut request = self
            .http
            .post(self.url(&["v1", "sql"])?)
            .header(ACCEPT, EVENT_STREAM)
            .json(&json!({ "query": sql }));
        if let Some(resume) = resume {
            request = request.header("Last-Event-ID", resume);
        }
        let response = self
            .send(request)
            .await
            .map_err(|error| with_sql(error, sql))?;
        Ok(Events::new(response))
    }

    /// Appends rows to a stream: all, or none. When it returns, they are on the server's disk.
    pub(crate) async fn ingest(
        &self,
        stream: &str,
        content_type: &str,
        body: Bytes,
        key: &str,
    ) -> Result<Stored> {
        let request = self
            .http
            .post(self.url(&["v1", "topics", stream, "records"])?)
            .header(CONTENT_TYPE, content_type)
            .header("Idempotency-Key", key)
            .body(body);
        let response = self.send(request).await?;
        self.json(response).await
    }

    /// Asks the server to cancel a query. Best effort: the caller also drops the connection, which cancels too.
    pub(crate) async fn cancel(&self, query_id: &str) {
        if let Ok(url) = self.url(&["v1", "queries", query_id]) {
            let request = self.http.delete(url).timeout(Duration::from_secs(2));
            let _ = request.send().await;
        }
    }

    /// Why a query failed whose answer broke off, where the server still knows.
    async fn failure(&self, query_id: &str) -> Option<String> {
        let url = self.url(&["v1", "queries"]).ok()?;
        let request = self.http.get(url).timeout(Duration::from_secs(2));
        let listing: Value = request.send().await.ok()?.json().await.ok()?;
        let queries = listing
            .as_array()
            .or_else(|| listing["queries"].as_array())?;
        let query = queries
            .iter()
            .find(|query| query["query_id"] == query_id || query["id"] == query_id)?;
        let error = query["error"].as_str()?;
        Some(error.to_owned())
    }

    fn url(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::usage("the server's address cannot have a path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| {
            if error.is_connect() || error.is_timeout() {
                Error::Connect {
                    url: self.address(),
                    reason: root_cause(&error),
                }
            } else {
                Error::Lost(root_cause(&error))
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, response: Response) -> Result<T> {
        let body = response
            .bytes()
            .await
            .map_err(|error| Error::Lost(root_cause(&error)))?;
        serde_json::from_slice(&body).map_err(|error| Error::Protocol(error.to_string()))
    }
}

/// The error that an answer with an error status tells of.
async fn refusal(response: Response) -> Error {
    let status: StatusCode = response.status();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let query_id = header(QUERY_ID);
    let retry_after_s = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
    let body = response.bytes().await.unwrap_or_default();
    let mut problem = Problem::from_body(status.as_u16(), &body);
    problem.query_id = problem.query_id.or(query_id);
    problem.retry_after_s = retry_after_s;
    Error::Refused(Box::new(problem))
}

fn with_sql(error: Error, sql: &str) -> Error {
    match error {
        Error::Refused(mut problem) => {
            problem.sql = Some(sql.to_owned());
            Error::Refused(problem)
        }
        error => error,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The last cause of an error: what the system said, without the layers above.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for bad in ["localhost:8080", "ftp://localhost", "nonsense", ""] {
            assert!(
                matches!(Client::new(bad), Err(Error::Usage { .. })),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn the_shown_address_has_no_password() {
        let client = Client::new("https://ann:secret@weir.example/").unwrap();
        assert_eq!(client.address(), "https://weir.example");
    }

    #[test]
    fn a_session_that_expired_is_known_by_its_id() {
        let mut client = Client::new("http://localhost:1").unwrap();
        client.session = Some("11111111-2222".into());
        let refused = |status, detail: &str| {
            Error::Refused(Box::new(Problem {
                status,
                detail: Some(detail.into()),
                ..Problem::default()
            }))
        };
        assert!(client.has_lost_session(&refused(404, "there is no session \"11111111-2222\"")));
        assert!(!client.has_lost_session(&refused(404, "there is no table x")));
        assert!(!client.has_lost_session(&refused(400, "11111111-2222")));
    }

    #[test]
    fn names_in_paths_are_escaped() {
        let client = Client::new("http://localhost:1/base/").unwrap();
        let url = client.url(&["v1", "topics", "a/b?c", "records"]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://localhost:1/base/v1/topics/a%2Fb%3Fc/records"
        );
    }

    #[test]
    fn loopback_is_known() {
        for (url, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://weir.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
