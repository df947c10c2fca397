//! A client of the REST door: as thin as a test wants it, and exact about what came back.

use std::fmt;

pub use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value, json};

/// The media types of the REST door.
pub mod media {
    /// Arrow IPC stream.
    pub const ARROW: &str = "application/vnd.apache.arrow.stream";
    /// One JSON document.
    pub const JSON: &str = "application/json";
    /// A JSON object a line.
    pub const NDJSON: &str = "application/x-ndjson";
    /// Comma-separated values with a header line.
    pub const CSV: &str = "text/csv";
    /// An Apache Parquet file.
    pub const PARQUET: &str = "application/vnd.apache.parquet";
    /// Server-sent events.
    pub const SSE: &str = "text/event-stream";
    /// RFC 9457.
    pub const PROBLEM: &str = "application/problem+json";
}

/// A client of one server, and of one session if it has one.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    session: Option<String>,
    /// What is sent as `Authorization`.
    authorization: Option<String>,
}

/// What a query answered, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Types of the columns, as the server names them.
    pub types: Vec<String>,
    /// A row is a list of values in the order of the columns.
    pub rows: Vec<Vec<Value>>,
    /// The number of rows that the server says it gave.
    pub row_count: u64,
    /// Whether a row limit cut the answer off.
    pub truncated: bool,
    /// The tag of a statement that gives no rows, such as `CREATE STREAM`.
    pub command: Option<String>,
}

/// An answer of RFC 9457, or any other answer that was not the wanted one.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// `Retry-After`, if given.
    pub retry_after: Option<String>,
    /// The document.
    pub body: Value,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sqlstate(), self.detail())?;
        if let Some((line, column)) = self.position() {
            write!(f, " [line {line}, column {column}]")?;
        }
        if let Some(hint) = self.hint() {
            write!(f, " hint: {hint}")?;
        }
        Ok(())
    }
}

impl Problem {
    /// `sqlstate`, or `-`.
    pub fn sqlstate(&self) -> &str {
        self.body["sqlstate"].as_str().unwrap_or("-")
    }

    /// `detail`, or the whole document.
    pub fn detail(&self) -> String {
        match self.body["detail"].as_str() {
            Some(detail) => detail.to_owned(),
            None => format!("status {}, {}", self.status, self.body),
        }
    }

    /// `hint`, if given.
    pub fn hint(&self) -> Option<&str> {
        self.body["hint"].as_str()
    }

    /// `position` as line and column.
    pub fn position(&self) -> Option<(u64, u64)> {
        let position = &self.body["position"];
        Some((position["line"].as_u64()?, position["column"].as_u64()?))
    }

    /// Reads the problem out of an answer.
    pub async fn of(response: Response) -> Self {
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let status = response.status().as_u16();
        let content_type = header("content-type").unwrap_or_default();
        let retry_after = header("retry-after");
        let text = response
            .text()
            .await
            .unwrap_or_else(|error| format!("the body broke off: {error}"));
        Self {
            status,
            content_type,
            retry_after,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }
}

impl Client {
    /// A client of the server at `url`, without a session.
    ///
    /// # Panics
    /// When the HTTP client cannot be built on this machine.
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .no_zstd()
            .build()
            .expect("an HTTP client can be built");
        Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            session: None,
            authorization: None,
        }
    }

    /// The same client, which trusts one more certificate.
    ///
    /// # Panics
    /// When that is none.
    #[must_use]
    pub fn trusting(self, pem: &str) -> Self {
        let certificate = reqwest::Certificate::from_pem(pem.as_bytes());
        let http = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .no_zstd()
            .add_root_certificate(certificate.expect("it is a certificate"))
            .build();
        Self {
            http: http.expect("an HTTP client can be built"),
            ..self
        }
    }

    /// The same client, signed in by a token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        self.with_authorization(format!("Bearer {token}"))
    }

    /// The same client, signed in by a password.
    #[must_use]
    pub fn with_password(self, user: &str, password: &str) -> Self {
        // As any client does it: the HTTP library makes the header.
        let request = self
            .http
            .get("http://localhost/")
            .basic_auth(user, Some(password));
        let request = request.build().expect("a request can be built");
        let header = request.headers().get(AUTHORIZATION);
        let value = header
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        self.with_authorization(value.to_owned())
    }

    /// The same client, which sends this as `Authorization`.
    #[must_use]
    pub fn with_authorization(self, value: impl Into<String>) -> Self {
        Self {
            authorization: Some(value.into()),
            session: None,
            ..self
        }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The HTTP client underneath.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Opens a session and gives a client that works in it.
    ///
    /// # Panics
    /// When the server does not open one.
    pub async fn open_session(&self) -> Self {
        let response = self.send(self.request(Method::POST, "/v1/sessions")).await;
        assert_eq!(response.status(), StatusCode::CREATED, "POST /v1/sessions");
        let body: Value = response.json().await.expect("a session is a JSON document");
        let session = body["session"].as_str().expect("a session has an id");
        Self {
            session: Some(session.to_owned()),
            ..self.clone()
        }
    }

    /// The id of the session that this client works in.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// A request to `path`, to be sent with [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn send(&self, request: RequestBuilder) -> Response {
        match request.send().await {
            Ok(response) => response,
            Err(error) => panic!("the server at {} did not answer: {error:?}", self.url),
        }
    }

    /// The request that runs `sql` and wants `accept`.
    pub fn query(&self, sql: &str, accept: &str) -> RequestBuilder {
        let mut body = json!({ "query": sql });
        if let Some(session) = &self.session {
            body["session"] = json!(session);
        }
        self.query_body(&body, accept)
    }

    /// The request that posts `body` to `/v1/sql` and wants `accept`.
    pub fn query_body(&self, body: &Value, accept: &str) -> RequestBuilder {
        self.request(Method::POST, "/v1/sql")
            .header(ACCEPT, accept)
            .json(body)
    }

    /// Runs `sql` and reads the whole answer as JSON.
    ///
    /// # Errors
    /// The problem that the server answered.
    pub async fn sql(&self, sql: &str) -> Result<Rows, Problem> {
        self.rows_of(self.query(sql, media::JSON)).await
    }

    /// Runs `sql` with parameters `$1`, `$2`, ….
    ///
    /// # Errors
    /// The problem that the server answered.
    pub async fn sql_with(&self, sql: &str, parameters: Value) -> Result<Rows, Problem> {
        let mut body = json!({ "query": sql, "parameters": parameters });
        if let Some(session) = &self.session {
            body["session"] = json!(session);
        }
        self.rows_of(self.query_body(&body, media::JSON)).await
    }

    /// As [`Client::sql`], but if the server cannot be reached or goes away in the answer, that is `None`.
    pub async fn try_sql(&self, sql: &str) -> Option<Result<Rows, Problem>> {
        let response = self.query(sql, media::JSON).send().await.ok()?;
        if !response.status().is_success() {
            return Some(Err(Problem::of(response).await));
        }
        let body: Value = response.json().await.ok()?;
        Some(Ok(Rows::from_json(&body)))
    }

    /// Runs statements that must succeed, one after the other.
    ///
    /// # Panics
    /// With the problem, when one does not.
    pub async fn run(&self, statements: &[&str]) {
        for sql in statements {
            if let Err(problem) = self.sql(sql).await {
                panic!("{sql}\n{problem}");
            }
        }
    }

    /// Runs a query that must succeed.
    ///
    /// # Panics
    /// With the problem, when it does not.
    pub async fn rows(&self, sql: &str) -> Rows {
        match self.sql(sql).await {
            Ok(rows) => rows,
            Err(problem) => panic!("{sql}\n{problem}"),
        }
    }

    /// Runs a query that must answer one value.
    ///
    /// # Panics
    /// With the answer, when it is anything else.
    pub async fn value(&self, sql: &str) -> Value {
        let rows = self.rows(sql).await;
        match rows.rows.as_slice() {
            [row] if row.len() == 1 => row[0].clone(),
            other => panic!("{sql}\nanswered not one value but {other:?}"),
        }
    }

    /// Runs a query that must answer one number.
    ///
    /// # Panics
    /// With the answer, when it is anything else.
    pub async fn number(&self, sql: &str) -> i64 {
        let value = self.value(sql).await;
        value
            .as_i64()
            .or_else(|| value.as_str()?.parse().ok())
            .unwrap_or_else(|| panic!("{sql}\nanswered {value}"))
    }

    /// Runs a query and gives the raw body, which must be complete.
    ///
    /// # Panics
    /// When the answer is a problem or breaks off.
    pub async fn body(&self, sql: &str, accept: &str) -> bytes::Bytes {
        let response = self.send(self.query(sql, accept)).await;
        if !response.status().is_success() {
            panic!("{sql}\n{}", Problem::of(response).await);
        }
        match response.bytes().await {
            Ok(body) => body,
            Err(error) => panic!("{sql}\nthe body broke off: {error:?}"),
        }
    }

    /// Writes NDJSON rows into a stream or table and gives the server's answer.
    ///
    /// # Errors
    /// The problem that the server answered.
    pub async fn ingest(&self, topic: &str, ndjson: impl Into<String>) -> Result<Value, Problem> {
        let request = self
            .request(Method::POST, &format!("/v1/topics/{topic}/records"))
            .header(CONTENT_TYPE, media::NDJSON)
            .body(ndjson.into());
        self.document_of(request).await
    }

    /// Sends a request whose answer is a JSON document.
    ///
    /// # Errors
    /// The problem that the server answered.
    pub async fn document_of(&self, request: RequestBuilder) -> Result<Value, Problem> {
        let response = self.send(request).await;
        if !response.status().is_success() {
            return Err(Problem::of(response).await);
        }
        let body = response.text().await.expect("a document arrives whole");
        Ok(if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
        })
    }

    /// Sends a request whose answer is rows as one JSON document.
    ///
    /// # Errors
    /// The problem that the server answered.
    pub async fn rows_of(&self, request: RequestBuilder) -> Result<Rows, Problem> {
        self.document_of(request)
            .await
            .map(|body| Rows::from_json(&body))
    }

    /// The running and recent queries, as `GET /v1/queries` lists them.
    ///
    /// # Panics
    /// When the server answers no list.
    pub async fn queries(&self) -> Vec<Map<String, Value>> {
        let body = self
            .document_of(self.request(Method::GET, "/v1/queries"))
            .await
            .expect("GET /v1/queries");
        let list = body["queries"].as_array().or(body.as_array());
        list.expect("a list of queries")
            .iter()
            .map(|query| query.as_object().expect("a query is an object").clone())
            .collect()
    }

    /// The queries whose text holds `piece` and that have come and not ended.
    pub async fn running(&self, piece: &str) -> Vec<Map<String, Value>> {
        self.in_state(piece, &["planning", "queued", "running"])
            .await
    }

    /// The queries whose text holds `piece` and whose state is one of `states`.
    pub async fn in_state(&self, piece: &str, states: &[&str]) -> Vec<Map<String, Value>> {
        let mut queries = self.queries().await;
        queries.retain(|query| {
            let text = |key: &str| query.get(key).and_then(Value::as_str).unwrap_or_default();
            let sql = query.get("sql").or_else(|| query.get("query"));
            let sql = sql.and_then(Value::as_str).unwrap_or_default();
            sql.contains(piece) && states.contains(&text("state"))
        });
        queries
    }
}

impl Rows {
    /// Reads the JSON document of an answer.
    ///
    /// # Panics
    /// When it has not the promised form.
    pub fn from_json(body: &Value) -> Self {
        let list = |key: &str| {
            body[key]
                .as_array()
                .unwrap_or_else(|| panic!("no list {key:?} in {body}"))
        };
        let column = |column: &Value, key: &str| {
            column[key]
                .as_str()
                .unwrap_or_else(|| panic!("a column without {key:?} in {body}"))
                .to_owned()
        };
        let columns: Vec<String> = list("columns").iter().map(|c| column(c, "name")).collect();
        let types = list("columns").iter().map(|c| column(c, "type")).collect();
        let rows = list("rows")
            .iter()
            .map(|row| {
                let row = row.as_object().expect("a row is an object");
                columns
                    .iter()
                    .map(|name| row.get(name).cloned().unwrap_or(Value::Null))
                    .collect()
            })
            .collect();
        Self {
            columns,
            types,
            rows,
            row_count: body["row_count"].as_u64().expect("row_count is a number"),
            truncated: body["truncated"].as_bool().expect("truncated is a boolean"),
            command: body["command"].as_str().map(str::to_owned),
        }
    }

    /// All values of one column.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn column(&self, name: &str) -> Vec<Value> {
        let at = self
            .columns
            .iter()
            .position(|column| column == name)
            .unwrap_or_else(|| panic!("no column {name:?} in {:?}", self.columns));
        self.rows.iter().map(|row| row[at].clone()).collect()
    }
}
