//! `SET`, `RESET`, `DISCARD`, `KILL QUERY`.

use weir_base::{Kind, QueryId, SqlState};
use weir_sql::statement;

use super::Execution;
use crate::answer::Answer;
use crate::error::{Error, Result};

impl Execution {
    pub(super) fn set(&self, set: &statement::Set) -> Result<Answer> {
        let limits = &self.engine.settings.limits;
        let is_of_transaction = matches!(
            set.name.as_str(),
            "transaction_isolation" | "transaction_read_only"
        );
        if is_of_transaction {
            return self.set_of_transaction(set);
        }
        if set.local && self.transaction.is_none() {
            self.session.standing().notice(
                SqlState("25P01"),
                "SET LOCAL can only be used in transaction blocks",
            );
            return Ok(self.done("SET"));
        }
        self.session
            .change_variables(|variables| variables.set(&set.name, &set.value, limits))?;
        if let Some(transaction) = self.transaction.as_ref().filter(|_| !set.local) {
            transaction
                .change_settings(|variables| variables.set(&set.name, &set.value, limits))?;
        }
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
        if let Some(transaction) = &self.transaction {
            let settings = self.session.variables();
            transaction.change_settings(|variables| *variables = settings);
        }
        Ok(self.done("RESET"))
    }

    /// `SET transaction_isolation = …`: as `SET TRANSACTION`.
    fn set_of_transaction(&self, set: &statement::Set) -> Result<Answer> {
        let Some(transaction) = &self.transaction else {
            self.session.standing().notice(
                SqlState("25P01"),
                "SET TRANSACTION can only be used in transaction blocks",
            );
            return Ok(self.done("SET"));
        };
        if set.name == "transaction_isolation" {
            transaction.set_modes(None, Some(set.value.to_lowercase()))?;
        } else {
            let read_only = matches!(
                set.value.to_lowercase().as_str(),
                "on" | "true" | "1" | "yes"
            );
            transaction.set_modes(Some(read_only), None)?;
        }
        Ok(self.done("SET"))
    }

    /// A session has settings and temporary objects; its plans are its door's, and there are no sequences.
    pub(super) async fn discard(&self, what: &str) -> Result<Answer> {
        if matches!(what, "ALL" | "TEMP") {
            let dropped = self.session.temporary().all_dropped();
            self.define_temporary(&dropped).await?;
        }
        if what == "ALL" {
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
