//! `/compatibility`: whether a schema may follow, without registering it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Request as HttpRequest;
use axum::response::Response;
use weir_engine::registry::VersionRef;

use super::documents::{CompatibilityDocument, GivenSchema};
use super::{Rest, path, with_body};
use crate::rest::Problem;
use crate::rest::caller::Caller;

/// Says whether a schema may follow those versions of a subject that its level asks for.
#[utoipa::path(post, path = "/compatibility/subjects/{subject}/versions", tag = "schemas", operation_id = "checkCompatibility",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("normalize" = Option<bool>, Query, description = "Bring the schema into its normal form first."),
        ("verbose" = Option<bool>, Query, description = "Say why not."),
    ),
    request_body(content((GivenSchema = "application/vnd.schemaregistry.v1+json"), (GivenSchema = "application/json")), description = "The schema."),
    responses((status = 200, description = "Whether it may.", content((CompatibilityDocument = "application/vnd.schemaregistry.v1+json"), (CompatibilityDocument = "application/json")))))]
pub(crate) async fn check_all(
    State(rest): State<Arc<Rest>>,
    subject: Result<Path<String>, PathRejection>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    check(
        &rest,
        subject.map(|Path(subject)| Path((subject, None))),
        request,
    )
    .await
}

/// Says whether a schema may follow a version of a subject.
#[utoipa::path(post, path = "/compatibility/subjects/{subject}/versions/{version}", tag = "schemas", operation_id = "checkCompatibilityWithVersion",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("version" = String, Path, description = "A number, or `latest`."),
        ("normalize" = Option<bool>, Query, description = "Bring the schema into its normal form first."),
        ("verbose" = Option<bool>, Query, description = "Say why not."),
    ),
    request_body(content((GivenSchema = "application/vnd.schemaregistry.v1+json"), (GivenSchema = "application/json")), description = "The schema."),
    responses((status = 200, description = "Whether it may.", content((CompatibilityDocument = "application/vnd.schemaregistry.v1+json"), (CompatibilityDocument = "application/json")))))]
pub(crate) async fn check_one(
    State(rest): State<Arc<Rest>>,
    place: Result<Path<(String, String)>, PathRejection>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let place = place.map(|Path((subject, version))| Path((subject, Some(version))));
    check(&rest, place, request).await
}

async fn check(
    rest: &Rest,
    place: Result<Path<(String, Option<String>)>, PathRejection>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions())?;
    let (mut asked, given) = with_body::<GivenSchema>(rest, request).await?;
    let (subject, version) = path(place)?;
    let version: Option<VersionRef> = version.map(|text| text.parse()).transpose()?;
    let (normalize, verbose) = (asked.flag("normalize")?, asked.flag("verbose")?);
    let answering = asked.finish()?;
    let session = caller.session(rest)?;
    let checked = session.ask_registry(move |registry| {
        let schema = given.definition(registry)?;
        registry.check_compatible(&subject, version, &schema, normalize)
    });
    let messages = checked.await?;
    answering.json(&CompatibilityDocument {
        is_compatible: messages.is_empty(),
        messages: verbose.then_some(messages),
    })
}
