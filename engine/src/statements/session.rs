//! `SET`, `RESET`, `DISCARD`, `KILL QUERY`.

use weir_base::{Kind, QueryId, SqlState};
use weir_sql::statement;

use super::Execution;
use crate::answer::Answer;
use crate::error::{Error, Result};

impl Execution {
    pub(super) fn set(&self, set: &statement::Set) -> Result<Answer> {
        if set.local {
            return Err(Error::unsupported(
                "SET LOCAL needs transactions, which are not supported yet",
            )
            .with_hint("use SET"));
        }
        let limits = &self.engine.settings.limits;
        self.session
            .change_variables(|variables| variables.set(&set.name, &set.value, limits))?;
        Ok(self.done("SET"))
    }

    pub(super) fn reset(&self, reset: &statement::Reset) -> Result<Answer> {
        self.session.change_variables(|variables| match reset {
            statement::Reset::All => {
                variables.reset_all();
                Ok(())
            }
            statement::Reset::Name(name) => variables.reset(name),
        })?;
        Ok(self.done("RESET"))
    }

    /// A session has settings only; there are no plans, sequences or temporary tables to discard.
    pub(super) fn discard(&self, what: &str) -> Result<Answer> {
        if what.eq_ignore_ascii_case("all") {
            self.session
                .change_variables(crate::variables::Variables::reset_all);
        }
        Ok(self.done("DISCARD"))
    }

    pub(super) fn kill_query(&self, id: &str) -> Result<Answer> {
        let query: QueryId = id.parse().map_err(|_| {
            Error::invalid(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("{id:?} is not the id of a query"),
            )
            .with_hint("SHOW QUERIES lists them")
        })?;
        // Those of others are not there for who is no admin.
        let is_known =
            self.engine.queries.user_of(query).is_some_and(|user| {
                self.rights.is_admin() || user == self.rights.principal().user()
            });
        if !is_known || !self.engine.queries.cancel(query) {
            return Err(
                Error::new(Kind::NotFound, format!("no query {id} is running"))
                    .with_hint("SHOW QUERIES lists them"),
            );
        }
        Ok(self.done("KILL QUERY"))
    }
}
