//! `/config` and `/mode`: how schemas may follow one another, and what may be done; of all subjects or of one.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Request as HttpRequest;
use axum::response::Response;
use weir_engine::registry::{Level, Mode};

use super::documents::{GivenLevel, LevelDocument, ModeDocument, refuse_others};
use super::{Asked, Rest, path, with_body};
use crate::rest::Problem;
use crate::rest::caller::Caller;

type Named = Result<Path<String>, PathRejection>;

/// Tells how schemas may follow one another where a subject has no level of its own.
#[utoipa::path(get, path = "/config", tag = "schemas", operation_id = "getLevel",
    responses((status = 200, description = "The level.", content((LevelDocument = "application/vnd.schemaregistry.v1+json"), (LevelDocument = "application/json")))))]
pub(crate) async fn level(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    asked: Asked,
) -> Result<Response, Problem> {
    let level = caller.session(&rest)?.registry().level(None);
    asked.finish()?.json(&level_document(level))
}

/// Sets how schemas may follow one another where a subject has no level of its own.
#[utoipa::path(put, path = "/config", tag = "schemas", operation_id = "setLevel",
    request_body(content((GivenLevel = "application/vnd.schemaregistry.v1+json"), (GivenLevel = "application/json")), description = "The level."),
    responses((status = 200, description = "The level.", content((GivenLevel = "application/vnd.schemaregistry.v1+json"), (GivenLevel = "application/json")))))]
pub(crate) async fn set_level(
    State(rest): State<Arc<Rest>>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    change_level(&rest, None, request).await
}

/// Takes back the level for all subjects: it is BACKWARD again.
#[utoipa::path(delete, path = "/config", tag = "schemas", operation_id = "unsetLevel",
    responses((status = 200, description = "The level that held.", content((LevelDocument = "application/vnd.schemaregistry.v1+json"), (LevelDocument = "application/json")))))]
pub(crate) async fn unset_level(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    asked: Asked,
) -> Result<Response, Problem> {
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let before = session.change_registry(|registry| registry.set_level(None, None));
    answering.json(&level_document(before.await?))
}

/// Tells how the schemas of a subject may follow one another.
#[utoipa::path(get, path = "/config/{subject}", tag = "schemas", operation_id = "getSubjectLevel",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("defaultToGlobal" = Option<bool>, Query, description = "Tell the level of all where it has none of its own."),
    ),
    responses((status = 200, description = "The level.", content((LevelDocument = "application/vnd.schemaregistry.v1+json"), (LevelDocument = "application/json")))))]
pub(crate) async fn subject_level(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let subject = path(subject)?;
    let or_global = asked.flag("defaultToGlobal")?;
    let answering = asked.finish()?;
    let registry = caller.session(&rest)?.registry();
    let level = if or_global {
        registry.level(Some(&subject))
    } else {
        registry.own_level(&subject)?
    };
    answering.json(&level_document(level))
}

/// Sets how the schemas of a subject may follow one another.
#[utoipa::path(put, path = "/config/{subject}", tag = "schemas", operation_id = "setSubjectLevel",
    params(("subject" = String, Path, description = "The subject.")),
    request_body(content((GivenLevel = "application/vnd.schemaregistry.v1+json"), (GivenLevel = "application/json")), description = "The level."),
    responses((status = 200, description = "The level.", content((GivenLevel = "application/vnd.schemaregistry.v1+json"), (GivenLevel = "application/json")))))]
pub(crate) async fn set_subject_level(
    State(rest): State<Arc<Rest>>,
    subject: Named,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    change_level(&rest, Some(subject), request).await
}

/// Takes back the level of a subject.
#[utoipa::path(delete, path = "/config/{subject}", tag = "schemas", operation_id = "unsetSubjectLevel",
    params(("subject" = String, Path, description = "The subject.")),
    responses((status = 200, description = "The level that held.", content((LevelDocument = "application/vnd.schemaregistry.v1+json"), (LevelDocument = "application/json")))))]
pub(crate) async fn unset_subject_level(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    asked: Asked,
) -> Result<Response, Problem> {
    let subject = path(subject)?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let before = session.change_registry(move |it| it.set_level(Some(&subject), None));
    answering.json(&level_document(before.await?))
}

/// Tells what may be done where a subject has no mode of its own.
#[utoipa::path(get, path = "/mode", tag = "schemas", operation_id = "getMode",
    responses((status = 200, description = "The mode.", content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")))))]
pub(crate) async fn mode(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mode = caller.session(&rest)?.registry().mode(None);
    asked.finish()?.json(&mode_document(mode))
}

/// Sets what may be done where a subject has no mode of its own.
#[utoipa::path(put, path = "/mode", tag = "schemas", operation_id = "setMode",
    params(("force" = Option<bool>, Query, description = "IMPORT though there are schemas.")),
    request_body(content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")), description = "The mode."),
    responses((status = 200, description = "The mode.", content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")))))]
pub(crate) async fn set_mode(
    State(rest): State<Arc<Rest>>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    change_mode(&rest, None, request).await
}

/// Tells what may be done with a subject.
#[utoipa::path(get, path = "/mode/{subject}", tag = "schemas", operation_id = "getSubjectMode",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("defaultToGlobal" = Option<bool>, Query, description = "Tell the mode of all where it has none of its own."),
    ),
    responses((status = 200, description = "The mode.", content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")))))]
pub(crate) async fn subject_mode(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let subject = path(subject)?;
    let or_global = asked.flag("defaultToGlobal")?;
    let answering = asked.finish()?;
    let registry = caller.session(&rest)?.registry();
    let mode = if or_global {
        registry.mode(Some(&subject))
    } else {
        registry.own_mode(&subject)?
    };
    answering.json(&mode_document(mode))
}

/// Sets what may be done with a subject.
#[utoipa::path(put, path = "/mode/{subject}", tag = "schemas", operation_id = "setSubjectMode",
    params(
        ("subject" = String, Path, description = "The subject."),
        ("force" = Option<bool>, Query, description = "IMPORT though it has schemas."),
    ),
    request_body(content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")), description = "The mode."),
    responses((status = 200, description = "The mode.", content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")))))]
pub(crate) async fn set_subject_mode(
    State(rest): State<Arc<Rest>>,
    subject: Named,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    change_mode(&rest, Some(subject), request).await
}

/// Takes back the mode of a subject.
#[utoipa::path(delete, path = "/mode/{subject}", tag = "schemas", operation_id = "unsetSubjectMode",
    params(("subject" = String, Path, description = "The subject.")),
    responses((status = 200, description = "The mode that held.", content((ModeDocument = "application/vnd.schemaregistry.v1+json"), (ModeDocument = "application/json")))))]
pub(crate) async fn unset_subject_mode(
    State(rest): State<Arc<Rest>>,
    Extension(caller): Extension<Caller>,
    subject: Named,
    asked: Asked,
) -> Result<Response, Problem> {
    let subject = path(subject)?;
    let answering = asked.finish()?;
    let session = caller.session(&rest)?;
    let before = session.change_registry(move |it| it.set_mode(Some(&subject), None, false));
    answering.json(&mode_document(before.await?))
}

async fn change_level(
    rest: &Rest,
    subject: Option<Named>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions())?;
    let (asked, given) = with_body::<GivenLevel>(rest, request).await?;
    let subject = subject.map(path).transpose()?;
    let answering = asked.finish()?;
    refuse_others(&given.others)?;
    let level: Level = given.compatibility.parse()?;
    let session = caller.session(rest)?;
    let set = session.change_registry(move |it| it.set_level(subject.as_deref(), Some(level)));
    set.await?;
    answering.json(&GivenLevel {
        compatibility: level.as_str().to_owned(),
        others: Default::default(),
    })
}

async fn change_mode(
    rest: &Rest,
    subject: Option<Named>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions())?;
    let (mut asked, given) = with_body::<ModeDocument>(rest, request).await?;
    let subject = subject.map(path).transpose()?;
    let force = asked.flag("force")?;
    let answering = asked.finish()?;
    let mode: Mode = given.mode.parse()?;
    let session = caller.session(rest)?;
    let set = session.change_registry(move |it| it.set_mode(subject.as_deref(), Some(mode), force));
    set.await?;
    answering.json(&mode_document(mode))
}

fn level_document(level: Level) -> LevelDocument {
    LevelDocument {
        compatibility_level: level.as_str(),
    }
}

fn mode_document(mode: Mode) -> ModeDocument {
    ModeDocument {
        mode: mode.as_str().to_owned(),
    }
}
