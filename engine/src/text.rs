//! The text of a statement: exactly one, and without secrets where it is shown.

use weir_base::SqlState;
use weir_sql::statement::{Access, TestedConnection};
use weir_sql::{Parsed, Statement};

use crate::error::{Error, Result};

/// Parses the one statement in `sql`.
///
/// # Errors
/// Where the syntax is wrong, when there is none, and at the second of several.
pub(crate) fn parse_one(sql: &str) -> Result<Parsed> {
    let mut parsed = weir_sql::parse(sql)
        .map_err(|error| Error::from_classified(&error))?
        .into_iter();
    let first = parsed.next().ok_or_else(|| {
        Error::invalid(SqlState::SYNTAX_ERROR, "there is no statement").with_hint("try SELECT 1")
    })?;
    match parsed.next() {
        None => Ok(first),
        Some(second) => Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            "only one statement can be sent at a time",
        )
        .with_position(Some(second.position))
        .with_hint("send each on its own")),
    }
}

/// The statement's text for lists and logs.
pub(crate) fn redacted(parsed: &Parsed) -> String {
    without_secrets(&parsed.statement).unwrap_or_else(|| parsed.sql.clone())
}

/// What is shown of a statement that has a secret in it.
fn without_secrets(statement: &Statement) -> Option<String> {
    match statement {
        Statement::CreateConnection(create) => {
            Some(format!("CREATE CONNECTION {} WITH (…)", create.name))
        }
        Statement::TestConnection(test) => match &test.connection {
            TestedConnection::New(_) => Some("TEST CONNECTION WITH (…)".to_owned()),
            TestedConnection::Named(_) => None,
        },
        Statement::Access(Access::CreateAccount(create)) => {
            let has_one = matches!(create.options.password, Some(Some(_)));
            has_one.then(|| format!("CREATE USER {} PASSWORD '***' …", create.name))
        }
        Statement::Access(Access::AlterAccount { name, options, .. }) => {
            let has_one = matches!(options.password, Some(Some(_)));
            has_one.then(|| format!("ALTER USER {name} PASSWORD '***' …"))
        }
        Statement::Prepared(weir_sql::statement::Prepared::Prepare { statement, .. }) => {
            without_secrets(&statement.statement)
        }
        Statement::Explain(explain) => {
            without_secrets(&explain.statement).map(|statement| format!("EXPLAIN {statement}"))
        }
        _ => None,
    }
}
