//! `/schemas`: schemas by their numbers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use weir_engine::registry::{Registry, SchemaKind};

use super::documents::{Format, PlaceDocument, SchemaDocument, VersionDocument};
use super::{Asked, Rest, path, schema_id};
use crate::rest::Problem;
use crate::rest::caller::Caller;

type Named = Result<Path<String>, PathRejection>;

/// Lists all versions of all subjects with their schemas.
#[utoipa::path(get, path = "/schemas", tag = "schemas", operation_id = "listSchemas",
    params(
        ("subjectPrefix" = Option<String>, Query, description = "Only subjects that begin so."),
        ("deleted" = Option<bool>, Query, description = "Deleted versions as well."),
        ("latestOnly" = Option<bool>, Query, description = "Of each subject only the last version."),
        ("offset" = Option<i64>, Query, description = "How many to leave out."),
        ("limit" = Option<i64>, Query, description = "How many at most; -1 for all."),
    ),
    responses((status = 200, description = "Versions.", content((Vec<VersionDocument> = "application/vnd.schemaregistry.v1+json"), (Vec<VersionDocument> = "application/json")))))]
pub(crate) async fn list(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let prefix = asked.text("subjectPrefix")?.unwrap_or_default();
    let latest_only = asked.flag("latestOnly")?;
    let (deleted, page) = (asked.deleted()?, asked.page()?);
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let listed = session.ask_registry(move |registry| {
        let all = registry.registered_all(&prefix, deleted, latest_only)?;
        let shown = page.of(&all).into_iter();
        shown
            .map(|version| VersionDocument::new(version, registry, Format::default()))
            .collect::<Result<Vec<_>, _>>()
    });
    answering.json(&listed.await?)
}

/// Lists the languages of schemas.
#[utoipa::path(get, path = "/schemas/types", tag = "schemas", operation_id = "listSchemaTypes",
    responses((status = 200, description = "Languages.", content((Vec<String> = "application/vnd.schemaregistry.v1+json"), (Vec<String> = "application/json")))))]
pub(crate) async fn types(asked: Asked) -> Result<Response, Problem> {
    asked
        .finish()?
        .json(&SchemaKind::ALL.map(SchemaKind::as_str))
}

/// Gives the schema of that id.
#[utoipa::path(get, path = "/schemas/ids/{id}", tag = "schemas", operation_id = "getSchema",
    params(
        ("id" = u32, Path, description = "The id."),
        ("subject" = Option<String>, Query, description = "A subject that has it; ids are the same in all."),
        ("format" = Option<String>, Query, description = "`serialized`: a Protobuf file as a descriptor in base64."),
        ("fetchMaxId" = Option<bool>, Query, description = "Say which id is the highest as well."),
    ),
    responses((status = 200, description = "The schema.", content((SchemaDocument = "application/vnd.schemaregistry.v1+json"), (SchemaDocument = "application/json")))))]
pub(crate) async fn by_id(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let id = schema_id(&path(id)?)?;
    let _any_subject = asked.text("subject")?;
    let fetch_max_id = asked.flag("fetchMaxId")?;
    let format = asked.format()?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let found = session.ask_registry(move |registry| {
        let max_id = fetch_max_id.then(|| registry.max_id()).flatten();
        let found = registry.schema(id)?;
        Ok(SchemaDocument::new(&found, format, max_id.map(u32::from)))
    });
    answering.json(&found.await?)
}

/// Gives the schema of that identity.
#[utoipa::path(get, path = "/schemas/guids/{guid}", tag = "schemas", operation_id = "getSchemaByGuid",
    params(
        ("guid" = String, Path, description = "The identity."),
        ("format" = Option<String>, Query, description = "`serialized`: a Protobuf file as a descriptor in base64."),
    ),
    responses((status = 200, description = "The schema.", content((SchemaDocument = "application/vnd.schemaregistry.v1+json"), (SchemaDocument = "application/json")))))]
pub(crate) async fn by_guid(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    guid: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let guid = path(guid)?;
    let format = asked.format()?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let found = session.ask_registry(move |registry| {
        let found = registry.schema_by_guid(&guid)?;
        Ok(SchemaDocument::new(&found, format, None))
    });
    answering.json(&found.await?)
}

/// Gives only the text of the schema of that id.
#[utoipa::path(get, path = "/schemas/ids/{id}/schema", tag = "schemas", operation_id = "getSchemaText",
    params(
        ("id" = u32, Path, description = "The id."),
        ("subject" = Option<String>, Query, description = "A subject that has it; ids are the same in all."),
        ("format" = Option<String>, Query, description = "`serialized`: a Protobuf file as a descriptor in base64."),
    ),
    responses((status = 200, description = "The schema.", content((String = "application/vnd.schemaregistry.v1+json"), (String = "application/json")))))]
pub(crate) async fn text(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let id = schema_id(&path(id)?)?;
    let _any_subject = asked.text("subject")?;
    let format = asked.format()?;
    let answering = asked.finish()?;
    let found = caller
        .session(&rest)?
        .ask_registry(move |it| it.schema(id))
        .await?;
    Ok(answering.text(format.text(&found.schema, &found.parsed)))
}

/// Lists the subjects that have the schema of that id.
#[utoipa::path(get, path = "/schemas/ids/{id}/subjects", tag = "schemas", operation_id = "getSchemaSubjects",
    params(
        ("id" = u32, Path, description = "The id."),
        ("subject" = Option<String>, Query, description = "Only this one."),
        ("deleted" = Option<bool>, Query, description = "Deleted versions as well."),
        ("offset" = Option<i64>, Query, description = "How many to leave out."),
        ("limit" = Option<i64>, Query, description = "How many at most; -1 for all."),
    ),
    responses((status = 200, description = "Names of subjects.", content((Vec<String> = "application/vnd.schemaregistry.v1+json"), (Vec<String> = "application/json")))))]
pub(crate) async fn subjects(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Named,
    asked: Asked,
) -> Result<Response, Problem> {
    let used = Used::of(id, asked)?;
    let registry = caller.session(&rest)?.registry();
    let mut subjects: Vec<String> = used.places(&registry)?.map(|it| it.subject).collect();
    subjects.dedup();
    used.answering.json(&used.page.of(subjects))
}

/// Lists the versions that have the schema of that id.
#[utoipa::path(get, path = "/schemas/ids/{id}/versions", tag = "schemas", operation_id = "getSchemaVersions",
    params(
        ("id" = u32, Path, description = "The id."),
        ("subject" = Option<String>, Query, description = "Only of this subject."),
        ("deleted" = Option<bool>, Query, description = "Deleted versions as well."),
        ("offset" = Option<i64>, Query, description = "How many to leave out."),
        ("limit" = Option<i64>, Query, description = "How many at most; -1 for all."),
    ),
    responses((status = 200, description = "Versions.", content((Vec<PlaceDocument> = "application/vnd.schemaregistry.v1+json"), (Vec<PlaceDocument> = "application/json")))))]
pub(crate) async fn versions(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    id: Named,
    asked: Asked,
) -> Result<Response, Problem> {
    let used = Used::of(id, asked)?;
    let registry = caller.session(&rest)?.registry();
    used.answering.json(&used.page.of(used.places(&registry)?))
}

/// Which uses of a schema are asked for.
struct Used {
    id: weir_engine::registry::SchemaId,
    subject: Option<String>,
    deleted: weir_engine::registry::Deleted,
    page: super::Page,
    answering: super::Answering,
}

impl Used {
    fn of(id: Named, mut asked: Asked) -> Result<Self, Problem> {
        Ok(Self {
            id: schema_id(&path(id)?)?,
            subject: asked.text("subject")?.filter(|name| !name.is_empty()),
            deleted: asked.deleted()?,
            page: asked.page()?,
            answering: asked.finish()?,
        })
    }

    fn places<'a>(
        &'a self,
        registry: &'a Registry,
    ) -> Result<impl Iterator<Item = PlaceDocument> + 'a, Problem> {
        let places = registry.versions_of(self.id, self.deleted)?;
        let wanted = |name: &str| self.subject.as_deref().is_none_or(|only| only == name);
        Ok(places
            .into_iter()
            .filter(move |(name, _)| wanted(name))
            .map(|(name, version)| PlaceDocument {
                subject: name.to_owned(),
                version: version.0,
            }))
    }
}
