//! `POST /v1/topics/{name}/records`: rows into a stream, all or none, durable when it answers.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request as HttpRequest, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use weir_engine::{Ingest, IngestFormat};

use super::arguments::{Arguments, header_text, media_type};
use super::body::discard;
use super::caller::Caller;
use super::openapi::Binary;
use super::problem::Problem;
use super::{Rest, path_problem};

/// What an ingest did. The rows are on disk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngestedDocument {
    /// Rows in the request.
    rows: u64,
    /// Where they are.
    partitions: Vec<PartitionDocument>,
    /// Whether an earlier request with the same key had already appended them.
    duplicate: bool,
}

/// The offsets that an ingest got in one partition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartitionDocument {
    /// The partition's number.
    partition: u32,
    /// Offset of the first row.
    base_offset: i64,
    /// Offset after the last row.
    end_offset: i64,
}

/// Appends rows to a stream, all or none.
#[utoipa::path(post, path = "/v1/topics/{name}/records", tag = "ingest", operation_id = "ingest",
    params(
        ("name" = String, Path, description = "The stream: bids, or schema.bids."),
        ("Idempotency-Key" = Option<String>, Header, max_length = 64, description = "A retry with the same key and body appends nothing and gets the first answer. The same key with another body is refused (409)."),
    ),
    request_body(content((String = "application/x-ndjson"), (String = "text/csv"), (Binary = "application/vnd.apache.arrow.stream"), (Binary = "application/vnd.apache.parquet")),
        description = "A JSON object a line, CSV with a header line, an Arrow stream or a Parquet file; also compressed with zstd or gzip."),
    responses((status = 200, description = "The rows are on disk.", body = IngestedDocument)))]
pub(crate) async fn post(
    State(rest): State<Arc<Rest>>,
    name: Result<Path<String>, PathRejection>,
    request: HttpRequest<Body>,
) -> Result<Json<IngestedDocument>, Problem> {
    let (parts, body) = request.into_parts();
    let (stream, format, idempotency_key) = match accept(name, &parts) {
        Ok(accepted) => accepted,
        Err(problem) => {
            discard(&parts.headers, body).await;
            return Err(problem);
        }
    };
    let caller = Caller::of(&parts.extensions)?;
    let body = rest.bodies.read(&parts.headers, body).await?;
    let ingested = caller
        .session(&rest)?
        .ingest(Ingest {
            stream,
            format,
            body: body.bytes.clone(),
            idempotency_key,
        })
        .await?;
    Ok(Json(IngestedDocument {
        rows: ingested.rows,
        partitions: ingested
            .partitions
            .iter()
            .map(|part| PartitionDocument {
                partition: part.partition,
                base_offset: part.base_offset,
                end_offset: part.end_offset,
            })
            .collect(),
        duplicate: ingested.duplicate,
    }))
}

/// What a request's head asks for: into which stream, in which format, under which key.
fn accept(
    name: Result<Path<String>, PathRejection>,
    parts: &Parts,
) -> Result<(String, IngestFormat, Option<String>), Problem> {
    let Path(stream) = name.map_err(path_problem)?;
    Arguments::of(&parts.uri)?.finish()?;
    let format = match media_type(&parts.headers)?.as_deref() {
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
            IngestFormat::Ndjson
        }
        Some("text/csv") => IngestFormat::Csv,
        Some("application/vnd.apache.arrow.stream") => IngestFormat::Arrow,
        Some("application/vnd.apache.parquet") => IngestFormat::Parquet,
        other => {
            let said = other.map_or_else(
                || "no content type is given".to_owned(),
                |other| format!("content type {other:?} is not understood"),
            );
            return Err(Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, said)
                .with_hint(
                    "send application/x-ndjson, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet",
                )
                .with_header(
                    header::ACCEPT,
                    HeaderValue::from_static(
                        "application/x-ndjson, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.parquet",
                    ),
                ));
        }
    };
    let idempotency_key = header_text(&parts.headers, "idempotency-key")?.map(str::to_owned);
    Ok((stream, format, idempotency_key))
}
