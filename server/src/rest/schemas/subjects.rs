//! `/subjects`: their versions, looked up, registered and deleted.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Request as HttpRequest;
use axum::response::Response;
use weir_engine::registry::VersionRef;

use super::documents::{Format, GivenSchema, IdDocument, VersionDocument};
use super::{Asked, Rest, path, with_body};
use crate::rest::Problem;
use crate::rest::caller::Caller;

type Named = Result<Path<String>, PathRejection>;
type Versioned = Result<Path<(String, String)>, PathRejection>;

/// Lists subjects.
#[utoipa::path(get, path = "/subjects", tag = "schemas", operation_id = "listSubjects",
    params(
        ("subjectPrefix" = Option<String>, Query, description = "Only subjects that begin so."),
        ("deleted" = Option<bool>, Query, description = "Deleted ones as well."),
        ("deletedOnly" = Option<bool>, Query, description = "Only deleted ones."),
        ("offset" = Option<i64>, Query, description = "How many to leave out."),
        ("limit" = Option<i64>, Query, description = "How many at most; -1 for all."),
    ),
    responses((status = 200, description = "Names of subjects.", content((Vec<String> = "application/vnd.schemaregistry.v1+json"), (Vec<String> = "application/json")))))]
pub(crate) async fn list(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let prefix = asked.text("subjectPrefix")?.unwrap_or_default();
    let (deleted, page) = (asked.deleted()?, asked.page()?);
    let answering = asked.finish()?;
    let registry = caller.session(&rest)?.registry();
    answering.json(&page.of(registry.subjects(&prefix, deleted)))
}

/// Lists the versions of a subject.
#[utoipa::path(get, path = "/subjects/{subject}/versions", tag = "schemas", operation_id = "listVersions",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("deleted" = Option<bool>, Query, description = "Deleted ones as well."),
        ("deletedOnly" = Option<bool>, Query, description = "Only deleted ones."),
        ("offset" = Option<i64>, Query, description = "How many to leave out."),
        ("limit" = Option<i64>, Query, description = "How many at most; -1 for all."),
    ),
    responses((status = 200, description = "Numbers of versions.", content((Vec<u32> = "application/vnd.schemaregistry.v1+json"), (Vec<u32> = "application/json")))))]
pub(crate) async fn versions(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let subject = path(subject)?;
    let (deleted, page) = (asked.deleted()?, asked.page()?);
    let answering = asked.finish()?;
    let versions = caller
        .session(&rest)?
        .registry()
        .versions(&subject, deleted)?;
    answering.json(&page.of(versions))
}

/// Registers a schema as the next version of a subject, unless it is one already.
#[utoipa::path(post, path = "/subjects/{subject}/versions", tag = "schemas", operation_id = "registerSchema",
    params(
        ("subject" = String, Path, description = "The subject: of a topic's values `<topic>-value`."),
        ("normalize" = Option<bool>, Query, description = "Bring the schema into its normal form first."),
    ),
    request_body(content((GivenSchema = "application/vnd.schemaregistry.v1+json"), (GivenSchema = "application/json")), description = "The schema."),
    responses((status = 200, description = "What it is registered as.", content((IdDocument = "application/vnd.schemaregistry.v1+json"), (IdDocument = "application/json")))))]
pub(crate) async fn register(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let (mut asked, given) = with_body::<GivenSchema>(&rest, request).await?;
    let subject = path(subject)?;
    let normalize = asked.flag("normalize")?;
    let answering = asked.finish()?;
    let (id, version) = given.wanted()?;
    let session = caller.session(&rest)?;
    let registered = session.change_registry(move |registry| {
        let schema = given.definition(registry)?;
        registry.register(&subject, &schema, normalize, id, version)
    });
    let registered = registered.await?;
    answering.json(&IdDocument {
        id: registered.id.get(),
        version: registered.version.0,
        guid: registered.guid,
    })
}

/// Finds the version of a subject that has a schema.
#[utoipa::path(post, path = "/subjects/{subject}", tag = "schemas", operation_id = "lookUpSchema",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("normalize" = Option<bool>, Query, description = "Bring the schema into its normal form first."),
        ("deleted" = Option<bool>, Query, description = "Among deleted versions as well."),
        ("format" = Option<String>, Query, description = "`serialized`: a Protobuf file as a descriptor in base64."),
    ),
    request_body(content((GivenSchema = "application/vnd.schemaregistry.v1+json"), (GivenSchema = "application/json")), description = "The schema."),
    responses((status = 200, description = "The version.", content((VersionDocument = "application/vnd.schemaregistry.v1+json"), (VersionDocument = "application/json")))))]
pub(crate) async fn lookup(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let (mut asked, given) = with_body::<GivenSchema>(&rest, request).await?;
    let subject = path(subject)?;
    let (normalize, deleted) = (asked.flag("normalize")?, asked.deleted()?);
    let format = asked.format()?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let found = session.ask_registry(move |registry| {
        let schema = given.definition(registry)?;
        let found = registry.lookup(&subject, &schema, normalize, deleted)?;
        VersionDocument::new(&found, registry, format)
    });
    answering.json(&found.await?)
}

/// Deletes a subject: first it is hidden, then for good.
#[utoipa::path(delete, path = "/subjects/{subject}", tag = "schemas", operation_id = "deleteSubject",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("permanent" = Option<bool>, Query, description = "For good; it must have been deleted before."),
    ),
    responses((status = 200, description = "The versions that it had.", content((Vec<u32> = "application/vnd.schemaregistry.v1+json"), (Vec<u32> = "application/json")))))]
pub(crate) async fn remove(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let subject = path(subject)?;
    let permanent = asked.flag("permanent")?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let removed = session.change_registry(move |it| it.delete_subject(&subject, permanent));
    answering.json(&removed.await?)
}

/// Gives a version of a subject.
#[utoipa::path(get, path = "/subjects/{subject}/versions/{version}", tag = "schemas", operation_id = "getVersion",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("version" = String, Path, description = "A number, or `latest`."),
        ("deleted" = Option<bool>, Query, description = "A deleted one as well."),
        ("format" = Option<String>, Query, description = "`serialized`: a Protobuf file as a descriptor in base64."),
    ),
    responses((status = 200, description = "The version.", content((VersionDocument = "application/vnd.schemaregistry.v1+json"), (VersionDocument = "application/json")))))]
pub(crate) async fn version(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    place: Versioned,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let (subject, version) = path(place)?;
    let version: VersionRef = version.parse()?;
    let deleted = asked.deleted()?;
    let format = asked.format()?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let found = session.ask_registry(move |registry| {
        let found = registry.version(&subject, version, deleted)?;
        VersionDocument::new(&found, registry, format)
    });
    answering.json(&found.await?)
}

/// Gives only the text of a version's schema.
#[utoipa::path(get, path = "/subjects/{subject}/versions/{version}/schema", tag = "schemas", operation_id = "getVersionSchema",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("version" = String, Path, description = "A number, or `latest`."),
        ("deleted" = Option<bool>, Query, description = "A deleted one as well."),
        ("format" = Option<String>, Query, description = "`serialized`: a Protobuf file as a descriptor in base64."),
    ),
    responses((status = 200, description = "The schema.", content((String = "application/vnd.schemaregistry.v1+json"), (String = "application/json")))))]
pub(crate) async fn text(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    place: Versioned,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let (subject, version) = path(place)?;
    let version: VersionRef = version.parse()?;
    let deleted = asked.deleted()?;
    let format: Format = asked.format()?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let text = session.ask_registry(move |registry| {
        let found = registry.version(&subject, version, deleted)?;
        Ok(format.text(&found.schema, &*registry.parsed(found.id)?))
    });
    Ok(answering.text(text.await?))
}

/// Lists the ids of the schemas that refer to a version.
#[utoipa::path(get, path = "/subjects/{subject}/versions/{version}/referencedby", tag = "schemas", operation_id = "getReferencedBy",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("version" = String, Path, description = "A number, or `latest`."),
        ("offset" = Option<i64>, Query, description = "How many to leave out."),
        ("limit" = Option<i64>, Query, description = "How many at most; -1 for all."),
    ),
    responses((status = 200, description = "Ids of schemas.", content((Vec<u32> = "application/vnd.schemaregistry.v1+json"), (Vec<u32> = "application/json")))))]
pub(crate) async fn referenced_by(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    place: Versioned,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let (subject, version) = path(place)?;
    let version: VersionRef = version.parse()?;
    let page = asked.page()?;
    let answering = asked.finish()?;
    let registry = caller.session(&rest)?.registry();
    answering.json(&page.of(registry.referenced_by(&subject, version)?))
}

/// Deletes a version: first it is hidden, then for good.
#[utoipa::path(delete, path = "/subjects/{subject}/versions/{version}", tag = "schemas", operation_id = "deleteVersion",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("version" = String, Path, description = "A number, or `latest`."),
        ("permanent" = Option<bool>, Query, description = "For good; it must have been deleted before."),
    ),
    responses((status = 200, description = "The version.", content((u32 = "application/vnd.schemaregistry.v1+json"), (u32 = "application/json")))))]
pub(crate) async fn remove_version(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    place: Versioned,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let (subject, version) = path(place)?;
    let version: VersionRef = version.parse()?;
    let permanent = asked.flag("permanent")?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let removed =
        session.change_registry(move |it| it.delete_version(&subject, version, permanent));
    answering.json(&removed.await?)
}
