//! `GET /`: the console, for those who open the server in a browser, and the files that it is made of.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::problem::Problem;
use super::{Rest, path_problem};

/// The console.
#[utoipa::path(get, path = "/", tag = "operations", operation_id = "index",
    responses((status = 200, description = "The page.", content((String = "text/html")))))]
pub(crate) async fn index(
    State(rest): State<Arc<Rest>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    rest.console.respond("index.html", &headers)
}

/// The page's icon.
pub(crate) async fn icon(
    State(rest): State<Arc<Rest>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    rest.console.respond("icon.svg", &headers)
}

/// A file of the page. These are no part of the interface: they change with every version.
pub(crate) async fn asset(
    State(rest): State<Arc<Rest>>,
    file: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(file) = file.map_err(path_problem)?;
    rest.console.respond(&format!("assets/{file}"), &headers)
}
