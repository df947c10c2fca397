//! An answer of the engine as an HTTP response.
//!
//! The headers wait for the first rows, and a moment for more of them, so that what fails before is an error status (a live
//! answer sends them at once). Then the body is pulled: nothing is read from the engine before the client has taken what was
//! encoded. A client that goes away drops the body, and with it the query.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::StreamExt;
use futures::future::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weir_base::{Kind, QueryId};
use weir_engine::AnswerKind;

use super::compression::Compressor;
use super::negotiation::{Coding, Format};
use super::problem::Problem;
use super::pump::{Pump, Rows, Stage, Work, keep_alive};
use super::sessions::InUse;
use super::steps::Steps;
use super::wanted::Wanted;
use crate::encode::{self, Output, Summary};

/// What all replies of a server share.
#[derive(Debug, Clone)]
pub(crate) struct Replies {
    /// Cancelled when the server drains: live answers end.
    pub(crate) drain: CancellationToken,
    /// Permits to encode on threads of their own.
    pub(crate) encoding: Arc<Semaphore>,
    pub(crate) event_keep_alive: Duration,
}

/// Everything about an answer except its rows.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) query_id: QueryId,
    pub(crate) schema: arrow::datatypes::SchemaRef,
    pub(crate) kind: AnswerKind,
    pub(crate) request_id: String,
    /// Keeps the session from expiring while the rows are read.
    pub(crate) in_use: Option<InUse>,
}

impl Replies {
    /// The response to an answer.
    ///
    /// # Errors
    /// What fails before the first rows, as a problem.
    pub(crate) async fn respond<R: Rows>(
        &self,
        head: Head,
        rows: R,
        wanted: &Wanted,
    ) -> Result<Response, Problem> {
        let live = head.kind == AnswerKind::Live;
        let format = wanted.format(if live { &Format::LIVE } else { &Format::ALL })?;
        if live && format == Format::Sse {
            self.respond_as(format, head, Steps::new(rows, true), wanted)
                .await
        } else {
            self.respond_as(format, head, rows, wanted).await
        }
    }

    async fn respond_as<R: Rows>(
        &self,
        format: Format,
        head: Head,
        mut rows: R,
        wanted: &Wanted,
    ) -> Result<Response, Problem> {
        let live = head.kind == AnswerKind::Live;
        let named = |problem: Problem| problem.with_query_id(head.query_id);
        // Event streams and live answers stay uncompressed: some proxies and readers hold compressed pieces back.
        let coding = if live || matches!(format, Format::Sse | Format::Parquet) {
            Coding::Identity
        } else {
            wanted.coding
        };
        let mut encoder = encode::encoder(format, &head.schema, &head.query_id.to_string())
            .map_err(|error| named(error.into()))?;
        let mut out = Output::default();
        encoder
            .begin(&mut out)
            .map_err(|error| named(error.into()))?;
        let compressor = Compressor::new(coding)
            .map_err(|error| named(Problem::new(Kind::Internal, error.to_string())))?;
        let first = if live {
            None
        } else {
            Some(
                rows.next()
                    .await
                    .transpose()
                    .map_err(|error| named(error.into()))?,
            )
        };
        let command = match &head.kind {
            AnswerKind::Command { tag, .. } => Some(tag.clone()),
            AnswerKind::Rows | AnswerKind::Live => None,
        };
        let mut pump = Pump {
            rows,
            work: Some(Work {
                encoder,
                compressor,
                out,
            }),
            ready: VecDeque::new(),
            part: None,
            summary: Summary {
                command: command.clone(),
                ..Summary::default()
            },
            stage: Stage::Rows,
            live,
            trailers: wanted.trailers,
            drain: self.drain.clone().cancelled_owned().boxed(),
            encoding: Arc::clone(&self.encoding),
            keep_alive: (format == Format::Sse).then(|| keep_alive(self.event_keep_alive)),
            query_id: head.query_id,
            request_id: head.request_id,
            _in_use: head.in_use,
        };
        // The first rows are encoded before the headers go out: a type that the format cannot hold is an error status.
        match first {
            None => pump
                .flush_begin()
                .map_err(|error| named(Problem::new(Kind::Internal, error.to_string())))?,
            Some(None) => pump
                .end()
                .await
                .map_err(|failure| named(failure.into_problem()))?,
            Some(Some(chunk)) => {
                pump.part = Some((chunk, 0));
                pump.gather_small()
                    .await
                    .map_err(|failure| named(failure.into_problem()))?;
            }
        }
        let mut response = Response::new(pump.into_body());
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        );
        headers.append(
            header::VARY,
            HeaderValue::from_static("accept, accept-encoding"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if coding != Coding::Identity {
            headers.insert(
                header::CONTENT_ENCODING,
                HeaderValue::from_static(coding.name()),
            );
        }
        if live || format == Format::Sse {
            // Tells nginx to pass on each piece at once.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        }
        if wanted.trailers {
            headers.insert(
                header::TRAILER,
                HeaderValue::from_static("weir-row-count, weir-truncated"),
            );
        }
        if let Ok(id) = HeaderValue::from_str(&head.query_id.to_string()) {
            headers.insert("weir-query-id", id);
        }
        if let Some(tag) = command.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
            headers.insert("weir-command", tag);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
