//! `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints, and what `SET TRANSACTION` sets.

use weir_base::SqlState;
use weir_sql::statement;

use super::Execution;
use crate::answer::Answer;
use crate::error::Result;
use crate::transaction::Modes;

impl Execution {
    pub(super) async fn transaction(
        &self,
        transaction: statement::Transaction,
        tag: &str,
    ) -> Result<Answer> {
        let standing = self.session.standing();
        match transaction {
            statement::Transaction::Begin {
                read_only,
                isolation,
            } => {
                let modes = Modes {
                    read_only,
                    isolation: isolation
                        .or_else(|| Some(self.variables.text("default_transaction_isolation"))),
                };
                standing.begin(modes, self.session.variables(), false);
                Ok(self.done(tag))
            }
            statement::Transaction::Commit => {
                let (settings, committed) = standing.commit(&self.engine).await;
                if let Some(settings) = settings {
                    self.session
                        .change_variables(|variables| *variables = settings);
                }
                // One that has failed is taken back, and the tag says so.
                Ok(self.done(if committed? { tag } else { "ROLLBACK" }))
            }
            statement::Transaction::Rollback => {
                if let Some(settings) = standing.roll_back(&self.engine).await {
                    self.session
                        .change_variables(|variables| *variables = settings);
                }
                Ok(self.done(tag))
            }
            statement::Transaction::Set {
                read_only,
                isolation,
                session: true,
            } => {
                let limits = &self.engine.settings.limits;
                self.session.change_variables(|variables| {
                    if let Some(read_only) = read_only {
                        let value = if read_only { "on" } else { "off" };
                        variables.set("default_transaction_read_only", value, limits)?;
                    }
                    match isolation {
                        Some(level) => {
                            variables.set("default_transaction_isolation", &level, limits)
                        }
                        None => Ok(()),
                    }
                })?;
                Ok(self.done(tag))
            }
            statement::Transaction::Set {
                read_only,
                isolation,
                session: false,
            } => {
                let Some(open) = &self.transaction else {
                    standing.notice(
                        SqlState("25P01"),
                        "SET TRANSACTION can only be used in transaction blocks",
                    );
                    return Ok(self.done(tag));
                };
                open.set_modes(read_only, isolation)?;
                Ok(self.done(tag))
            }
            savepoint => {
                let done = standing.savepoint(&savepoint, self.session.variables())?;
                if let Some(steps) = done.temporary {
                    steps.undo(&self.engine).await;
                }
                for topic in done.topics {
                    self.engine.forget_topic(topic).await;
                }
                if let Some(settings) = done.settings {
                    self.session
                        .change_variables(|variables| *variables = settings);
                }
                Ok(self.done(tag))
            }
        }
    }
}
