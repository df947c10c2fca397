//! The schema registry, in the Confluent REST form: the serialisers of the Confluent clients take this server's own address
//! as their `schema.registry.url`.
//!
//! Failures look as those clients expect, `{"error_code": …, "message": …}`; [`in_registry_form`] sees to it. Everything else
//! about a request is as at the other endpoints.

pub(super) mod compatibility;
mod documents;
pub(super) mod ids;
pub(super) mod settings;
pub(super) mod subjects;

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_base::Kind;
use weir_engine::RegistryError;
use weir_engine::registry::{Code, Deleted, Error, SchemaId};

use documents::Format;
pub(super) use documents::RegistryFailure;

use super::Rest;
use super::arguments::{Arguments, header_text, media_type};
use super::path_problem;
use super::problem::Problem;

/// The media type of this form.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The routes, which begin at the root as in the registry that the clients know.
pub(super) fn router() -> Router<Arc<Rest>> {
    Router::new()
        .route("/subjects", get(subjects::list))
        .route(
            "/subjects/{subject}",
            post(subjects::lookup).delete(subjects::remove),
        )
        .route(
            "/subjects/{subject}/versions",
            get(subjects::versions).post(subjects::register),
        )
        .route(
            "/subjects/{subject}/versions/{version}",
            get(subjects::version).delete(subjects::remove_version),
        )
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(subjects::text),
        )
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(subjects::referenced_by),
        )
        .route("/schemas", get(ids::list))
        .route("/schemas/types", get(ids::types))
        .route("/schemas/ids/{id}", get(ids::by_id))
        .route("/schemas/ids/{id}/schema", get(ids::text))
        .route("/schemas/ids/{id}/subjects", get(ids::subjects))
        .route("/schemas/ids/{id}/versions", get(ids::versions))
        .route("/schemas/guids/{guid}", get(ids::by_guid))
        .route(
            "/compatibility/subjects/{subject}/versions",
            post(compatibility::check_all),
        )
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(compatibility::check_one),
        )
        .route(
            "/config",
            get(settings::level)
                .put(settings::set_level)
                .delete(settings::unset_level),
        )
        .route(
            "/config/{subject}",
            get(settings::subject_level)
                .put(settings::set_subject_level)
                .delete(settings::unset_subject_level),
        )
        .route("/mode", get(settings::mode).put(settings::set_mode))
        .route(
            "/mode/{subject}",
            get(settings::subject_mode)
                .put(settings::set_subject_mode)
                .delete(settings::unset_subject_mode),
        )
        .route_layer(map_response(in_registry_form))
}

/// Gives a failure the form that the clients of a schema registry read.
async fn in_registry_form(mut response: Response) -> Response {
    if let Some(problem) = response.extensions_mut().get_mut::<Problem>() {
        problem.speak_registry();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    }
    response
}

/// A request without its body: with what arguments, whose names count in any case of letters, and which media type its answer
/// has.
pub(crate) struct Asked {
    arguments: Arguments,
    media_type: &'static str,
}

impl Asked {
    fn of(parts: &Parts) -> Result<Self, Problem> {
        Ok(Self {
            arguments: Arguments::of(&parts.uri)?,
            media_type: answered_as(&parts.headers)?,
        })
    }

    /// Takes out an argument that is true or false, in any case of letters: Python writes `True`.
    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        let flag = self.arguments.take::<Flag>(&name.to_ascii_lowercase())?;
        Ok(flag.is_some_and(|flag| flag.0))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.arguments.take(&name.to_ascii_lowercase())
    }

    /// Takes out which deleted subjects and versions are wanted. The Python client has a spelling of its own.
    fn deleted(&mut self) -> Result<Deleted, Problem> {
        let also = self.flag("deleted")?;
        let only = self.flag("deletedOnly")? | self.flag("deleted_only")?;
        Ok(match (also, only) {
            (_, true) => Deleted::Only,
            (true, false) => Deleted::Shown,
            (false, false) => Deleted::Hidden,
        })
    }

    /// Takes out which part of a list is wanted. Clients write a limit of -1 for none.
    fn page(&mut self) -> Result<Page, Problem> {
        let offset: i64 = self.arguments.take("offset")?.unwrap_or(0);
        let limit: i64 = self.arguments.take("limit")?.unwrap_or(-1);
        Ok(Page {
            offset: usize::try_from(offset).unwrap_or(0),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }

    /// Takes out the form of schemas; that of references is always by subject and version.
    fn format(&mut self) -> Result<Format, Problem> {
        for name in ["referenceFormat", "reference_format"] {
            let of_references = self.text(name)?.unwrap_or_default();
            if !of_references.is_empty() {
                return Err(Problem::invalid(format!(
                    "the argument {name} is not supported; references are given by subject and version"
                )));
            }
        }
        Ok(self.arguments.take("format")?.unwrap_or_default())
    }

    /// Ends the reading of arguments; what is left over is refused.
    fn finish(self) -> Result<Answering, Problem> {
        self.arguments.finish()?;
        Ok(Answering(self.media_type))
    }
}

/// How the answer is written.
#[derive(Debug, Clone, Copy)]
struct Answering(&'static str);

impl Answering {
    fn json(self, answer: &impl Serialize) -> Result<Response, Problem> {
        let text = serde_json::to_string(answer)
            .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
        Ok(self.text(text))
    }

    /// A schema's own text, which is JSON only where the schema is.
    fn text(self, text: String) -> Response {
        ([(header::CONTENT_TYPE, self.0)], text).into_response()
    }
}

/// Part of a list.
#[derive(Debug, Clone, Copy)]
struct Page {
    offset: usize,
    limit: usize,
}

impl Page {
    fn of<T>(self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        all.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

struct Flag(bool);

impl FromStr for Flag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Self(true)),
            "false" | "" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

/// The plain type when only that is acceptable.
fn answered_as(headers: &HeaderMap) -> Result<&'static str, Problem> {
    let accept = header_text(headers, "accept")?.unwrap_or_default();
    let plain = accept.contains("application/json") && !accept.contains("vnd.schemaregistry");
    Ok(if plain {
        "application/json"
    } else {
        MEDIA_TYPE
    })
}

fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(path)| path).map_err(path_problem)
}

fn schema_id(text: &str) -> Result<SchemaId, Problem> {
    let id = text.parse().ok().and_then(SchemaId::new);
    id.ok_or_else(|| {
        Problem::from(Error::new(
            Code::SchemaNotFound,
            format!("Schema {text} not found"),
        ))
    })
}

/// Reads a request's arguments and its body, which is JSON.
async fn with_body<T: DeserializeOwned>(
    rest: &Rest,
    request: HttpRequest<Body>,
) -> Result<(Asked, T), Problem> {
    let (mut parts, body) = request.into_parts();
    let read = rest.bodies.read(&parts.headers, body).await?;
    let asked = Asked::from_request_parts(&mut parts, &()).await?;
    match media_type(&parts.headers)?.as_deref() {
        None
        | Some(
            "application/vnd.schemaregistry.v1+json"
            | "application/vnd.schemaregistry+json"
            | "application/json"
            | "application/octet-stream",
        ) => {}
        Some(other) => {
            return Err(Problem::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("content type {other:?} is not understood; send {MEDIA_TYPE}"),
            ));
        }
    }
    let body = serde_json::from_slice(&read.bytes).map_err(|error| {
        Problem::invalid(format!("the body is not what is expected here: {error}"))
    })?;
    Ok((asked, body))
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::registry(error.code(), error.to_string())
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Refused(refused) => refused.into(),
            RegistryError::Failed(failed) => failed.into(),
        }
    }
}
