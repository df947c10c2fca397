//! The OpenAPI document, made from the endpoints themselves.

use std::sync::OnceLock;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{
    Content, HeaderBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
    SchemaFormat, Type,
};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use super::schemas::{self, compatibility, ids, settings, subjects};
use super::{ingest, live, operations, page, problem, queries, query, sessions, statements};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "SQL over files, tables and live streams. Every failure is a problem document (RFC 9457) with an SQLSTATE.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        query::post, query::get, live::get,
        statements::submit, statements::get, statements::rows, statements::remove,
        sessions::open, sessions::close,
        ingest::post,
        queries::list, queries::get, queries::cancel,
        subjects::list, subjects::lookup, subjects::remove, subjects::versions, subjects::register,
        subjects::version, subjects::remove_version, subjects::text, subjects::referenced_by,
        ids::list, ids::types, ids::by_id, ids::text, ids::subjects, ids::versions, ids::by_guid,
        compatibility::check_all, compatibility::check_one,
        settings::level, settings::set_level, settings::unset_level,
        settings::subject_level, settings::set_subject_level, settings::unset_subject_level,
        settings::mode, settings::set_mode,
        settings::subject_mode, settings::set_subject_mode, settings::unset_subject_mode,
        operations::livez, operations::readyz, operations::metrics, operations::openapi, page::index,
    ),
    components(schemas(problem::ProblemDocument, problem::PositionDocument, schemas::RegistryFailure)),
    tags(
        (name = "sql", description = "Queries that are answered at once, and live ones."),
        (name = "statements", description = "Queries that are submitted, polled and fetched in pages."),
        (name = "sessions", description = "Settings that outlive a request."),
        (name = "ingest", description = "Rows into streams."),
        (name = "queries", description = "What runs."),
        (name = "schemas", description = "The schema registry, in the Confluent REST form."),
        (name = "operations", description = "For operators and their tools.")
    ),
    modifiers(&Failures)
)]
struct Document;

/// Bytes in the form that their media type names.
pub(crate) struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .description(Some("Bytes in the form that their media type names."));
        RefOr::T(Schema::Object(bytes.build()))
    }
}

impl ToSchema for Binary {}

/// The document as JSON.
pub fn openapi_json() -> &'static str {
    static JSON: OnceLock<String> = OnceLock::new();
    JSON.get_or_init(|| Document::openapi().to_pretty_json().unwrap_or_default())
}

/// Adds the failures that operations answer with, as references to one response a status.
struct Failures;

/// Statuses of failures, and what they mean.
const FAILURES: [(u16, &str); 16] = [
    (400, "The request is not valid."),
    (403, "It is not allowed."),
    (404, "Something that it names does not exist."),
    (405, "The resource does not take this method."),
    (406, "No format of the answer is acceptable."),
    (408, "The body took too long."),
    (409, "It collides with what exists."),
    (413, "The body is too large."),
    (415, "The body's type or compression is not understood."),
    (422, "A limit was reached; asking for less helps."),
    (426, "The resource speaks WebSocket."),
    (429, "Too much at once; try again later."),
    (431, "The head is too large."),
    (499, "It was cancelled."),
    (500, "An internal error, or damaged data."),
    (503, "It is not available now."),
];

fn tagged(operation: &Operation, tag: &str) -> bool {
    operation.tags.iter().flatten().any(|own| own == tag)
}

/// The failures that an operation answers with.
fn statuses(operation: &Operation) -> Vec<u16> {
    let tagged = |tag: &str| tagged(operation, tag);
    let mut statuses = vec![400, 403, 405, 431, 500, 503];
    if !tagged("operations") {
        statuses.push(404);
    }
    if tagged("sql") || tagged("statements") || tagged("ingest") {
        statuses.extend([406, 409, 422, 426, 429, 499]);
    }
    if tagged("schemas") {
        statuses.extend([409, 422, 429]);
    }
    if tagged("sessions") {
        statuses.push(429);
    }
    if operation.request_body.is_some() {
        statuses.extend([408, 413, 415]);
    }
    statuses
}

impl Modify for Failures {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for item in openapi.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.delete,
            ];
            for operation in operations.into_iter().flatten() {
                for status in statuses(operation) {
                    let form = if tagged(operation, "schemas") {
                        "RegistryFailure"
                    } else {
                        "Failure"
                    };
                    let reference = Ref::from_response_name(format!("{form}{status}"));
                    operation
                        .responses
                        .responses
                        .insert(status.to_string(), RefOr::Ref(reference));
                }
            }
        }
        let components = openapi.components.get_or_insert_default();
        for (status, description) in FAILURES {
            components.responses.insert(
                format!("Failure{status}"),
                RefOr::T(failure(
                    status,
                    description,
                    "Problem",
                    &["application/problem+json"],
                )),
            );
            components.responses.insert(
                format!("RegistryFailure{status}"),
                RefOr::T(failure(
                    status,
                    description,
                    "RegistryFailure",
                    &[schemas::MEDIA_TYPE, "application/problem+json"],
                )),
            );
        }
    }
}

fn failure(status: u16, description: &str, form: &str, media_types: &[&str]) -> Response {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(form))));
    let mut response = ResponseBuilder::new().description(description);
    for media_type in media_types {
        response = response.content(*media_type, content.clone());
    }
    if matches!(status, 429 | 503) {
        let seconds = HeaderBuilder::new()
            .schema(ObjectBuilder::new().schema_type(Type::Integer))
            .description(Some("Seconds to wait."))
            .build();
        return response.header("Retry-After", seconds).build();
    }
    response.build()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// An operation in a few lines: `?argument`, `^header`, `{path}`; `*` marks what is required.
    fn outline(path: &str, method: &str, operation: &Value) -> String {
        let star = |flag: &Value| {
            if flag.as_bool() == Some(true) {
                "*"
            } else {
                ""
            }
        };
        let mut lines = format!(
            "{} {path} ({})",
            method.to_uppercase(),
            operation["operationId"].as_str().unwrap()
        );
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            match parameter["in"].as_str().unwrap() {
                "query" => lines.push_str(&format!(" ?{name}{}", star(&parameter["required"]))),
                "header" => lines.push_str(&format!(" ^{name}{}", star(&parameter["required"]))),
                _ => assert!(path.contains(&format!("{{{name}}}"))),
            }
        }
        let types = |content: &Value| {
            content
                .as_object()
                .map(|types| types.keys().cloned().collect::<Vec<_>>().join(", "))
        };
        if let Some(types) = types(&operation["requestBody"]["content"]) {
            lines.push_str(&format!("\n  < {types}"));
        }
        let mut failures = Vec::new();
        for (status, response) in operation["responses"].as_object().unwrap() {
            let reference = response["$ref"].as_str().unwrap_or_default();
            if reference.ends_with(&format!("Failure{status}")) {
                failures.push(status.as_str());
            } else {
                let types = types(&response["content"]).unwrap_or_default();
                lines.push_str(&format!("\n  > {status} {types}"));
            }
        }
        lines.push_str(&format!("\n  ! {}\n", failures.join(" ")));
        lines
            .replace("  > 204 \n", "  > 204\n")
            .replace("  > 101 \n", "  > 101\n")
    }

    #[test]
    fn the_whole_interface() {
        let document: Value = serde_json::from_str(super::openapi_json()).unwrap();
        let mut shown = String::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                shown.push_str(&outline(path, method, operation));
            }
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let required: Vec<&str> = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let fields: Vec<String> = schema["properties"]
                .as_object()
                .into_iter()
                .flat_map(serde_json::Map::keys)
                .map(|field| {
                    format!(
                        "{field}{}",
                        if required.contains(&field.as_str()) {
                            "*"
                        } else {
                            ""
                        }
                    )
                })
                .collect();
            let values = schema["enum"].as_array().into_iter().flatten();
            let values: Vec<&str> = values.filter_map(Value::as_str).collect();
            let format = schema["format"].as_str().unwrap_or_default();
            let shape = [&fields.join(", "), &values.join(" | "), format].concat();
            shown.push_str(&format!("{name}: {shape}\n"));
        }
        insta::assert_snapshot!(shown, @r"
        GET / (index)
          > 200 text/html
          ! 400 403 405 431 500 503
        POST /compatibility/subjects/{subject}/versions (checkCompatibility) ?normalize ?verbose
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        POST /compatibility/subjects/{subject}/versions/{version} (checkCompatibilityWithVersion) ?normalize ?verbose
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        GET /config (getLevel)
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        PUT /config (setLevel)
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        DELETE /config (unsetLevel)
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /config/{subject} (getSubjectLevel) ?defaultToGlobal
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        PUT /config/{subject} (setSubjectLevel)
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        DELETE /config/{subject} (unsetSubjectLevel)
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /livez (livez)
          > 200 application/json
          ! 400 403 405 431 500 503
        GET /metrics (metrics)
          > 200 application/openmetrics-text
          ! 400 403 405 431 500 503
        GET /mode (getMode)
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        PUT /mode (setMode) ?force
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        GET /mode/{subject} (getSubjectMode) ?defaultToGlobal
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        PUT /mode/{subject} (setSubjectMode) ?force
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        DELETE /mode/{subject} (unsetSubjectMode)
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /openapi.json (openapi)
          > 200 application/json
          ! 400 403 405 431 500 503
        GET /readyz (readyz)
          > 200 application/json
          ! 400 403 405 431 500 503
        GET /schemas (listSchemas) ?subjectPrefix ?deleted ?latestOnly ?offset ?limit
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /schemas/guids/{guid} (getSchemaByGuid) ?format
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /schemas/ids/{id} (getSchema) ?subject ?format ?fetchMaxId
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /schemas/ids/{id}/schema (getSchemaText) ?subject ?format
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /schemas/ids/{id}/subjects (getSchemaSubjects) ?subject ?deleted ?offset ?limit
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /schemas/ids/{id}/versions (getSchemaVersions) ?subject ?deleted ?offset ?limit
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /schemas/types (listSchemaTypes)
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /subjects (listSubjects) ?subjectPrefix ?deleted ?deletedOnly ?offset ?limit
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        POST /subjects/{subject} (lookUpSchema) ?normalize ?deleted ?format
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        DELETE /subjects/{subject} (deleteSubject) ?permanent
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /subjects/{subject}/versions (listVersions) ?deleted ?deletedOnly ?offset ?limit
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        POST /subjects/{subject}/versions (registerSchema) ?normalize
          < application/json, application/vnd.schemaregistry.v1+json
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 408 409 413 415 422 429 431 500 503
        GET /subjects/{subject}/versions/{version} (getVersion) ?deleted ?format
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        DELETE /subjects/{subject}/versions/{version} (deleteVersion) ?permanent
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /subjects/{subject}/versions/{version}/referencedby (getReferencedBy) ?offset ?limit
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /subjects/{subject}/versions/{version}/schema (getVersionSchema) ?deleted ?format
          > 200 application/vnd.schemaregistry.v1+json, application/json
          ! 400 403 404 405 409 422 429 431 500 503
        GET /v1/live (live)
          > 101
          ! 400 403 404 405 406 409 422 426 429 431 499 500 503
        GET /v1/queries (listQueries)
          > 200 application/json
          ! 400 403 404 405 431 500 503
        GET /v1/queries/{id} (getQuery)
          > 200 application/json
          ! 400 403 404 405 431 500 503
        DELETE /v1/queries/{id} (cancelQuery)
          > 204
          ! 400 403 404 405 431 500 503
        POST /v1/sessions (openSession)
          > 201 application/json
          ! 400 403 404 405 429 431 500 503
        DELETE /v1/sessions/{session} (closeSession)
          > 204
          ! 400 403 404 405 429 431 500 503
        GET /v1/sql (query) ?q* ?format ?session ?timeout_ms ?row_limit ?parameters ?resume ?envelope ^Last-Event-ID
          > 200 application/json, application/vnd.apache.arrow.stream, application/x-ndjson, text/csv, application/vnd.apache.parquet, text/event-stream
          ! 400 403 404 405 406 409 422 426 429 431 499 500 503
        POST /v1/sql (execute) ?format ?session ?timeout_ms ?row_limit ?parameters ?resume ?envelope ^Last-Event-ID
          < application/json, application/sql, text/plain
          > 200 application/json, application/vnd.apache.arrow.stream, application/x-ndjson, text/csv, application/vnd.apache.parquet, text/event-stream
          ! 400 403 404 405 406 408 409 413 415 422 426 429 431 499 500 503
        POST /v1/statements (submit) ?session ?timeout_ms ?row_limit ?parameters
          < application/json, application/sql, text/plain
          > 202 application/json
          ! 400 403 404 405 406 408 409 413 415 422 426 429 431 499 500 503
        GET /v1/statements/{id} (getStatement) ?wait_ms
          > 200 application/json
          ! 400 403 404 405 406 409 422 426 429 431 499 500 503
        DELETE /v1/statements/{id} (removeStatement)
          > 204
          ! 400 403 404 405 406 409 422 426 429 431 499 500 503
        GET /v1/statements/{id}/rows (getStatementRows) ?offset ?limit ?format
          > 200 application/json, application/vnd.apache.arrow.stream, application/x-ndjson, text/csv, application/vnd.apache.parquet
          ! 400 403 404 405 406 409 422 426 429 431 499 500 503
        POST /v1/topics/{name}/records (ingest) ^Idempotency-Key
          < application/vnd.apache.arrow.stream, application/vnd.apache.parquet, application/x-ndjson, text/csv
          > 200 application/json
          ! 400 403 404 405 406 408 409 413 415 422 426 429 431 499 500 503
        Binary: binary
        Column: key, name*, nullable*, type*
        CompatibilityDocument: is_compatible*, messages
        Document: columns*, command, row_count*, rows*, truncated*
        EnvelopeName: changelog | upsert | debezium
        GivenLevel: compatibility*
        GivenSchema: id, references, schema*, schemaType, version
        HealthDocument: status*
        IdDocument: guid*, id*, version*
        IngestedDocument: duplicate*, partitions*, rows*
        LevelDocument: compatibilityLevel*
        ModeDocument: mode*
        PartitionDocument: base_offset*, end_offset*, partition*
        PlaceDocument: subject*, version*
        PositionDocument: column*, line*
        Problem: column, detail*, hint, instance, position, query_id, row, sqlstate*, status*, title*, type*
        ProgressDocument: bytes*, elapsed_ms*, rows*, spilled_bytes*
        QueriesDocument: queries*
        QueryDocument: envelope, parameters, query*, resume, row_limit, session, timeout_ms
        QueryInfoDocument: bytes*, elapsed_ms*, error, id*, live*, memory_bytes*, rows*, spilled_bytes*, sql*, started_at*, state*, user*
        ReferenceDocument: name*, subject*, version*
        RegistryFailure: error_code*, message*
        SchemaDocument: guid*, maxId, references, schema*, schemaType*
        SessionDocument: session*
        StatementDocument: columns, command, error, id*, progress*, query_id, row_count*, rows*, sql*, state*, truncated*
        VersionDocument: guid*, id*, references, schema*, schemaType*, subject*, version*
        ");
    }
}
