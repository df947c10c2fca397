//! The simple protocol: one message with any number of statements, which are one transaction unless they say otherwise.

use arrow::datatypes::DataType;
use weir_engine::sql::{Parsed, Statement, statement};
use weir_engine::{ScalarValue, TransactionStatus};

use super::connection::{Connection, Outcome};
use super::portal::{Given, Rows};
use super::prepared::parse;
use super::value::{Format, describe};
use super::wire::Report;

impl Connection {
    /// Carries out the statements of a `Query` message.
    pub(super) async fn simple(&mut self, text: &str) -> Outcome<()> {
        // The unnamed ones of the other protocol end here.
        self.statements.remove("");
        self.portals.remove("");
        let statements = parse(text)?;
        if statements.is_empty() {
            self.wire.out.empty_query();
            return Ok(());
        }
        let is_several = statements.len() > 1;
        for parsed in &statements {
            let controls = matches!(parsed.statement, Statement::Transaction(_));
            if is_several
                && !controls
                && self.session.transaction_status() == TransactionStatus::Idle
            {
                self.session.begin_implicit();
            }
            self.stop = self.place.stop.begin();
            let running = self.run_statement(parsed, text, Vec::new(), Vec::new());
            let given = Box::pin(running).await?;
            self.give(given).await?;
        }
        self.end_implicit().await
    }

    /// Ends a transaction that several statements of one message, or of a pipeline, are.
    pub(super) async fn end_implicit(&mut self) -> Outcome<()> {
        let session = self.session.clone();
        self.keep_held().await?;
        let ending = async {
            let ended = Box::pin(session.end_implicit(true)).await;
            ended.map_err(Report::from)
        };
        self.guarded(ending).await?;
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.hold();
        }
        Ok(())
    }

    /// Sends what a statement gave, as text.
    async fn give(&mut self, given: Given) -> Outcome<()> {
        match given {
            Given::Done(tag) => {
                self.notices();
                self.wire.out.complete(&tag);
                Ok(())
            }
            Given::Rows(mut rows) => {
                let format = match rows.is_binary {
                    true => Format::Binary,
                    false => Format::Text,
                };
                let formats = vec![format; rows.schema.fields().len()];
                let fields = describe(&rows.schema, &formats);
                self.wire.out.row_description(&fields);
                self.give_all(&mut rows, &formats).await
            }
            Given::Sent => Ok(()),
        }
    }

    async fn give_all(&mut self, rows: &mut Rows, formats: &[Format]) -> Outcome<()> {
        if rows.is_live {
            // Nothing may have come yet, and the client waits for the columns.
            self.wire.flush().await?;
        }
        self.send_rows(rows, formats, None).await?;
        self.notices();
        self.wire.out.complete(&rows.complete());
        Ok(())
    }

    /// Carries out one statement, here what is about the connection, by the session all else.
    pub(super) async fn run_statement(
        &mut self,
        parsed: &Parsed,
        text: &str,
        values: Vec<ScalarValue>,
        hints: Vec<Option<DataType>>,
    ) -> Outcome<Given> {
        let statement = &parsed.statement;
        let is_control = matches!(statement, Statement::Transaction(_));
        if !is_control && self.session.transaction_status() == TransactionStatus::Failed {
            return Err(aborted().into());
        }
        match statement {
            Statement::Cursor(cursor) => self.cursor(cursor, text, values, hints).await,
            Statement::Prepared(prepared) => self.prepared(prepared, text).await,
            Statement::Copy(copy) if copy.target.is_none() => {
                self.copy_out(copy, parsed, text).await
            }
            Statement::CopyFrom(copy) if copy.source.is_none() => {
                self.copy_in(copy, parsed, text).await
            }
            Statement::Notification(word) => notification(word),
            Statement::Discard(what) => self.discard(what, parsed, text).await,
            Statement::Transaction(transaction) => {
                if ends(transaction) {
                    self.keep_held().await?;
                }
                let given = self.ask(parsed, text, values, hints).await?;
                let is_committed = matches!(transaction, statement::Transaction::Commit)
                    && matches!(&given, Given::Done(tag) if tag == "COMMIT");
                if is_committed {
                    self.hold();
                }
                self.forget_ended();
                Ok(given)
            }
            _ => self.ask(parsed, text, values, hints).await,
        }
    }

    async fn discard(&mut self, what: &str, parsed: &Parsed, text: &str) -> Outcome<Given> {
        if what == "ALL" && self.session.transaction_status() != TransactionStatus::Idle {
            let message = "DISCARD ALL cannot run inside a transaction block";
            return Err(Report::error("25001", message).into());
        }
        let given = self.ask(parsed, text, Vec::new(), Vec::new()).await?;
        if what == "ALL" {
            self.statements.clear();
            self.portals.clear();
            self.cursors.clear();
        }
        Ok(match given {
            // PostgreSQL says what.
            Given::Done(_) => Given::Done(format!("DISCARD {what}")),
            other => other,
        })
    }
}

/// Nobody is told of anything here: to stop listening is harmless, and all else would wait in vain.
fn notification(word: &str) -> Outcome<Given> {
    match word {
        "UNLISTEN" => Ok(Given::Done(word.to_owned())),
        _ => Err(Report::error("0A000", format!("{word} is not supported"))
            .with_hint("a live query tells of what happens: SELECT … EMIT CHANGES")
            .into()),
    }
}

/// Whether a statement ends a transaction.
pub(super) fn ends(transaction: &statement::Transaction) -> bool {
    matches!(
        transaction,
        statement::Transaction::Commit | statement::Transaction::Rollback
    )
}

/// What is said to all that comes in a transaction that has failed.
pub(super) fn aborted() -> Report {
    Report::error(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}
