//! The extended protocol: statements are parsed, bound to values, described and executed by a message each, up to a `Sync`.
//!
//! What stands between two of these is one transaction. Most often that is one statement, which the next message tells: a
//! `Sync` follows it, and it needs no transaction.

use std::sync::Arc;

use arrow::datatypes::Schema;
use weir_engine::TransactionStatus;
use weir_engine::sql::{Statement, ast, statement};

use super::connection::{Connection, Outcome};
use super::portal::{Given, Portal, Rows, Source, State, formats};
use super::prepared::Prepared;
use super::simple::{aborted, ends};
use super::spooled::Spooled;
use super::value::{PgType, describe};
use super::wire::{Bind, Parse, Report, Target};

impl Connection {
    /// `Parse`.
    pub(super) async fn parse(&mut self, parse: Parse) -> Outcome<()> {
        let room = self.room_for(&parse.name, parse.sql.len())?;
        let mut prepared = Prepared::new(parse.sql, parse.types)?;
        prepared.room = room;
        self.refuse_in_failed(&prepared)?;
        let prepared = Arc::new(prepared);
        if parse.name.is_empty() {
            self.statements.remove("");
        } else {
            if self.statements.contains_key(&parse.name) {
                let message = format!("prepared statement {:?} already exists", parse.name);
                return Err(Report::error("42P05", message).into());
            }
            // What is wrong with a statement that is kept is said at once; of others, when they run.
            self.description(&prepared).await?;
        }
        self.check_room()?;
        self.statements.insert(parse.name, prepared);
        self.wire.out.parse_complete();
        Ok(())
    }

    /// `Bind`.
    pub(super) async fn bind(&mut self, bind: Bind) -> Outcome<()> {
        let prepared = self.statement(&bind.statement)?;
        self.refuse_in_failed(&prepared)?;
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&bind.portal) {
            let message = format!("cursor {:?} already exists", bind.portal);
            return Err(Report::error("42P03", message).into());
        }
        self.check_room()?;
        let bytes = bind.values.iter().flatten().map(bytes::Bytes::len).sum();
        let room = self.room_for(&bind.portal, bytes)?;
        let values = self.values(&prepared, &bind.formats, &bind.values).await?;
        let portal = Portal {
            statement: prepared,
            values,
            _room: room,
            formats: bind.result_formats,
            state: State::Bound,
            transaction: self.session.transaction_number(),
        };
        self.portals.insert(bind.portal, portal);
        self.wire.out.bind_complete();
        Ok(())
    }

    /// `Describe`.
    pub(super) async fn describe(&mut self, target: Target) -> Outcome<()> {
        match target {
            Target::Statement(name) => {
                let prepared = self.statement(&name)?;
                self.refuse_in_failed(&prepared)?;
                let description = self.description(&prepared).await?;
                let types = Self::told_types(&prepared, &description);
                self.wire.out.parameter_description(&types);
                if description.columns.fields().is_empty() {
                    self.wire.out.no_data();
                    return Ok(());
                }
                let fields = describe(&description.columns, &[]);
                prepared.promise(fields.iter().map(|field| field.data_type).collect());
                self.wire.out.row_description(&fields);
                Ok(())
            }
            Target::Portal(name) => self.describe_portal(&name).await,
        }
    }

    async fn describe_portal(&mut self, name: &str) -> Outcome<()> {
        let Some(mut portal) = self.portals.remove(name) else {
            // A cursor is a portal, too.
            let Some(cursor) = self.cursors.get(name) else {
                return Err(no_portal(name).into());
            };
            let formats = vec![cursor.format; cursor.schema.fields().len()];
            let fields = describe(&cursor.schema, &formats);
            self.wire.out.row_description(&fields);
            return Ok(());
        };
        let described = self.portal_columns(&mut portal).await;
        self.portals.insert(name.to_owned(), portal);
        described
    }

    /// Tells of a portal's columns. What only reads begins now: its plan tells them, and is made once.
    async fn portal_columns(&mut self, portal: &mut Portal) -> Outcome<()> {
        let prepared = Arc::clone(&portal.statement);
        self.refuse_in_failed(&prepared)?;
        if matches!(portal.state, State::Bound) && begins_early(&prepared) {
            self.begin(portal).await?;
        }
        let columns = match &portal.state {
            State::Open(rows) => Arc::clone(&rows.schema),
            _ if gives_no_rows(&prepared) => Arc::new(Schema::empty()),
            _ => Arc::clone(&self.description(&prepared).await?.columns),
        };
        if columns.fields().is_empty() {
            self.wire.out.no_data();
            return Ok(());
        }
        let formats = formats(&portal.formats, columns.fields().len())?;
        self.wire.out.row_description(&describe(&columns, &formats));
        Ok(())
    }

    /// Carries out a portal's statement up to its rows.
    async fn begin(&mut self, portal: &mut Portal) -> Outcome<Option<String>> {
        let prepared = Arc::clone(&portal.statement);
        let Some(parsed) = &prepared.parsed else {
            portal.state = State::Done;
            return Ok(None);
        };
        let values = std::mem::take(&mut portal.values);
        let hints = prepared.hints();
        let given = Box::pin(self.run_statement(parsed, &prepared.text, values, hints)).await?;
        Ok(match given {
            Given::Rows(rows) => {
                let fields = rows.schema.fields().iter();
                let types: Vec<PgType> = fields.map(|field| PgType::of_field(field)).collect();
                if !prepared.keeps_promise(&types) {
                    return Err(
                        Report::error("0A000", "cached plan must not change result type").into(),
                    );
                }
                portal.state = State::Open(rows);
                None
            }
            Given::Done(tag) => {
                portal.state = State::Done;
                Some(tag)
            }
            Given::Sent => {
                portal.state = State::Done;
                None
            }
        })
    }

    /// `Execute`.
    pub(super) async fn execute(&mut self, name: &str, rows_max: Option<u32>) -> Outcome<()> {
        let Some(mut portal) = self.portals.remove(name) else {
            return Err(no_portal(name).into());
        };
        let done = self.run_portal(&mut portal, rows_max).await;
        // A cursor's end, or that of a transaction, may have been the end of the portal.
        let number = self.session.transaction_number();
        if portal.outlives(number) || self.session.transaction_status() == TransactionStatus::Idle {
            portal.transaction = number;
            self.portals.insert(name.to_owned(), portal);
        }
        done
    }

    async fn run_portal(&mut self, portal: &mut Portal, rows_max: Option<u32>) -> Outcome<()> {
        let prepared = Arc::clone(&portal.statement);
        let Some(parsed) = &prepared.parsed else {
            self.wire.out.empty_query();
            return Ok(());
        };
        self.refuse_in_failed(&prepared)?;
        if matches!(portal.state, State::Bound) {
            let writes = !parsed.statement.reads_only();
            if writes
                && !is_own_block(&parsed.statement)
                && self.session.transaction_status() == TransactionStatus::Idle
                && self.wire.peek().await? != Some(b'S')
            {
                self.session.begin_implicit();
                portal.transaction = self.session.transaction_number();
            }
            if let Some(tag) = self.begin(portal).await? {
                self.notices();
                self.wire.out.complete(&tag);
                return Ok(());
            }
        }
        let State::Open(rows) = &mut portal.state else {
            // Carried out already: nothing is left of it.
            return match parsed.statement {
                Statement::Copy(_) | Statement::CopyFrom(_) => Ok(()),
                _ => {
                    let message = "portal cannot be run again: it has ended";
                    Err(Report::error("55000", message).into())
                }
            };
        };
        let formats = formats(&portal.formats, rows.schema.fields().len())?;
        let given = rows.given;
        let is_end = self
            .send_rows(rows, &formats, rows_max.map(u64::from))
            .await?;
        if is_end {
            self.notices();
            // Of a portal that was read in parts, each part tells its own count.
            let all = std::mem::replace(&mut rows.given, 0) - given;
            rows.given = all;
            self.wire.out.complete(&rows.complete());
            portal.state = State::Open(Box::new(rows.emptied()));
        } else {
            self.wire.out.portal_suspended();
            self.put_aside(portal)?;
        }
        Ok(())
    }

    /// Lets a query whose portal waits for its reader go on into a file, so that it holds up no others.
    fn put_aside(&self, portal: &mut Portal) -> Outcome<()> {
        let State::Open(rows) = &mut portal.state else {
            return Ok(());
        };
        if rows.is_live || !matches!(rows.source, Source::Stream { .. }) {
            return Ok(());
        }
        let source = std::mem::replace(&mut rows.source, Source::Ready(vec![]));
        if let Source::Stream { left, rows: stream } = source {
            let spooled = Spooled::start(
                self.door.engine.scratch_dir(),
                self.door.settings.cursor_bytes.0,
                left,
                *stream,
            )
            .map_err(Report::from)?;
            rows.source = Source::Spooled {
                spooled,
                at: 0,
                end: u64::MAX,
            };
        }
        Ok(())
    }

    /// `Close`. What is not there is closed.
    pub(super) fn close(&mut self, target: Target) {
        match target {
            Target::Statement(name) => {
                self.statements.remove(&name);
            }
            Target::Portal(name) => {
                if self.portals.remove(&name).is_none() {
                    self.cursors.remove(&name);
                }
            }
        }
        self.wire.out.close_complete();
    }

    /// `Sync`: the end of what was one transaction, unless one is open.
    pub(super) async fn sync(&mut self) -> Outcome<()> {
        let ended = match self.session.transaction_status() {
            TransactionStatus::Failed => {
                let session = self.session.clone();
                let ending = async {
                    let ended = Box::pin(session.end_implicit(false)).await;
                    ended.map_err(Report::from)
                };
                self.guarded(ending).await
            }
            _ => self.end_implicit().await,
        };
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.portals.clear();
        }
        ended
    }

    /// In a transaction that has failed only its end is taken.
    fn refuse_in_failed(&self, prepared: &Prepared) -> Outcome<()> {
        let is_end = prepared.parsed.as_ref().is_none_or(|parsed| {
            matches!(&parsed.statement, Statement::Transaction(transaction)
                if ends(transaction) || matches!(transaction, statement::Transaction::RollbackTo(_)))
        });
        if !is_end && self.session.transaction_status() == TransactionStatus::Failed {
            return Err(aborted().into());
        }
        Ok(())
    }
}

impl Rows {
    /// The same columns, and no rows: a portal at its end gives none, however often it is asked.
    fn emptied(&self) -> Self {
        Self {
            schema: Arc::clone(&self.schema),
            source: Source::Ready(vec![]),
            tag: self.tag.clone(),
            is_counted: self.is_counted,
            is_live: false,
            is_binary: self.is_binary,
            given: 0,
        }
    }
}

/// Whether a statement may begin when its columns are asked for: it changes nothing, and gives rows.
fn begins_early(prepared: &Prepared) -> bool {
    prepared.parsed.as_ref().is_some_and(|parsed| {
        matches!(
            parsed.statement,
            Statement::Query(_) | Statement::Show(_) | Statement::Describe(_)
        )
    })
}

/// Whether it is plain that a statement gives no rows, so that it need not be planned to tell its columns.
fn gives_no_rows(prepared: &Prepared) -> bool {
    prepared.parsed.as_ref().is_none_or(|parsed| match &parsed.statement {
        Statement::Query(_)
        | Statement::Show(_)
        | Statement::Describe(_)
        | Statement::Explain(_)
        | Statement::Subscribe(_)
        | Statement::Cursor(_)
        | Statement::Prepared(_) => false,
        Statement::Insert(insert) => {
            matches!(insert.insert.as_ref(), ast::Statement::Insert(insert) if insert.returning.is_none())
        }
        Statement::Update(update) => {
            matches!(update.as_ref(), ast::Statement::Update(update) if update.returning.is_none())
        }
        Statement::Delete(delete) => {
            matches!(delete.as_ref(), ast::Statement::Delete(delete) if delete.returning.is_none())
        }
        _ => true,
    })
}

/// Whether a statement is about transactions itself, or copies: these do not begin one.
fn is_own_block(statement: &Statement) -> bool {
    matches!(statement, Statement::Transaction(_) | Statement::Discard(_))
}

fn no_portal(name: &str) -> Report {
    Report::error("34000", format!("portal {name:?} does not exist"))
}
