//! Options of a session: those of `SET`, by the same names, and two of the protocol's own, `catalog` and `schema`.

use std::collections::HashMap;

use arrow::array::Array;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::StreamExt;
use tonic::Status;
use weir_base::{Classify, Kind, SqlState};
use weir_engine::{Error, Request, quote_ident};

use super::protocol::{
    GetSessionOptionsResult, OptionError, OptionErrorValue, OptionValue, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};
use super::sessions::ClientSession;
use super::status::status;

/// The one database.
const DATABASE: &str = "weir";
/// Whether view types are sent as they are.
const VIEWS: &str = "flight.views";
/// What `schema` is called in SQL.
const SEARCH_PATH: &str = "search_path";
/// Options of one request.
const OPTIONS_MAX: usize = 100;

/// Sets options one by one; of each that was not set, the answer says why.
pub(super) async fn set(
    session: &ClientSession,
    request: SetSessionOptionsRequest,
) -> Result<SetSessionOptionsResult, Status> {
    if request.session_options.len() > OPTIONS_MAX {
        return Err(super::status::invalid(format!(
            "there are more than {OPTIONS_MAX} options"
        )));
    }
    let mut errors = HashMap::new();
    for (name, value) in request.session_options {
        if let Err(reason) = set_one(session, &name, value.value).await {
            let value = reason as i32;
            errors.insert(name, OptionError { value });
        }
    }
    Ok(SetSessionOptionsResult { errors })
}

async fn set_one(
    session: &ClientSession,
    name: &str,
    value: Option<OptionValue>,
) -> Result<(), OptionErrorValue> {
    match name {
        "catalog" => match value {
            None => Ok(()),
            Some(OptionValue::Text(database)) if database == DATABASE => Ok(()),
            Some(_) => Err(OptionErrorValue::InvalidValue),
        },
        VIEWS => match value {
            None => {
                session.set_views(false);
                Ok(())
            }
            Some(OptionValue::Bool(views)) => {
                session.set_views(views);
                Ok(())
            }
            Some(_) => Err(OptionErrorValue::InvalidValue),
        },
        "schema" => set_variable(session, SEARCH_PATH, value).await,
        name => set_variable(session, name, value).await,
    }
}

async fn set_variable(
    session: &ClientSession,
    name: &str,
    value: Option<OptionValue>,
) -> Result<(), OptionErrorValue> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(OptionErrorValue::InvalidName);
    }
    let sql = match value {
        None => format!("RESET {}", quote_ident(name)),
        Some(value) => {
            let text = match value {
                OptionValue::Text(text) => text,
                OptionValue::Bool(true) => "on".to_owned(),
                OptionValue::Bool(false) => "off".to_owned(),
                OptionValue::Int64(number) => number.to_string(),
                OptionValue::Double(number) => number.to_string(),
                OptionValue::Texts(list) => list.values.join(", "),
            };
            format!(
                "SET {} TO '{}'",
                quote_ident(name),
                text.replace('\'', "''")
            )
        }
    };
    let done = session.engine.execute(Request::new(sql)).await;
    done.map(drop).map_err(|error| reason(&error))
}

/// Why an option was not set, in the protocol's words.
fn reason(error: &Error) -> OptionErrorValue {
    match (error.sqlstate(), error.kind()) {
        (SqlState::UNDEFINED_OBJECT, _) => OptionErrorValue::InvalidName,
        (_, Kind::Invalid | Kind::NotFound) => OptionErrorValue::InvalidValue,
        _ => OptionErrorValue::Error,
    }
}

/// All options and their values.
pub(super) async fn get(session: &ClientSession) -> Result<GetSessionOptionsResult, Status> {
    let mut options = HashMap::from([
        ("catalog".to_owned(), SessionOptionValue::text(DATABASE)),
        (
            VIEWS.to_owned(),
            SessionOptionValue::bool(session.wants_views()),
        ),
    ]);
    let mut answer = session
        .engine
        .execute(Request::new("SHOW ALL"))
        .await
        .map_err(|error| status(&error))?;
    while let Some(chunk) = answer.rows.next().await {
        let batch = chunk.map_err(|error| status(&error))?.batch;
        let [names, values, ..] = batch.columns() else {
            continue;
        };
        let (names, values) = (texts(names)?, texts(values)?);
        for (name, value) in names.into_iter().zip(values) {
            if name == SEARCH_PATH {
                options.insert("schema".to_owned(), SessionOptionValue::text(&*value));
            }
            options.insert(name, SessionOptionValue::text(value));
        }
    }
    Ok(GetSessionOptionsResult {
        session_options: options,
    })
}

fn texts(column: &dyn Array) -> Result<Vec<String>, Status> {
    let texts = cast(column, &DataType::Utf8).map_err(|error| super::status::defect(&error))?;
    let texts = texts.as_any().downcast_ref::<arrow::array::StringArray>();
    Ok(texts
        .into_iter()
        .flatten()
        .map(|text| text.unwrap_or_default().to_owned())
        .collect())
}
