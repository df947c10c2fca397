//! Prepared statements, by message and by SQL: both kinds have one set of names, as in PostgreSQL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use weir_engine::sql::statement::{self, fold};
use weir_engine::sql::{Parsed, Statement, ast};
use weir_engine::{Description, Request, ScalarValue, sql};

use super::connection::{Connection, Outcome};
use super::failure;
use super::portal::{Given, given};
use super::value::{Format, PgType, parameter};
use super::wire::Report;

/// A statement that waits for values.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The whole text of the message, for places in it.
    pub(super) text: String,
    /// The statement; none in an empty text.
    pub(super) parsed: Option<Parsed>,
    /// OIDs of the parameters' types as the client gave them.
    pub(super) oids: Vec<u32>,
    /// Its place in the room for those that have a name.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// What it wants and gives, once that was asked for.
    description: Mutex<Option<Arc<Description>>>,
    /// The types of the columns that the client was told of before anything ran.
    promised: Mutex<Option<Vec<PgType>>>,
}

impl Prepared {
    /// A statement in a text, which has one or none.
    pub(super) fn new(text: String, oids: Vec<u32>) -> Result<Self, Report> {
        let mut parsed = parse(&text)?.into_iter();
        let first = parsed.next();
        if parsed.next().is_some() {
            return Err(Report::error(
                "42601",
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        Ok(Self::of(text, first, oids))
    }

    /// A statement that is parsed already.
    pub(super) fn of(text: String, parsed: Option<Parsed>, oids: Vec<u32>) -> Self {
        Self {
            text,
            parsed,
            oids,
            room: None,
            description: Mutex::default(),
            promised: Mutex::default(),
        }
    }

    /// The types that the statement is planned with.
    pub(super) fn hints(&self) -> Vec<Option<DataType>> {
        let types = self.oids.iter();
        types
            .map(|oid| PgType::of_oid(*oid).and_then(PgType::planned))
            .collect()
    }

    /// The type that a parameter is sent as, as far as the client has said it.
    pub(super) fn given_type(&self, at: usize) -> Option<PgType> {
        let oid = self.oids.get(at).copied().unwrap_or(0);
        PgType::of_oid(oid)
    }

    /// Notes what columns the client was told of.
    pub(super) fn promise(&self, types: Vec<PgType>) {
        *self.promised.lock() = Some(types);
    }

    /// Whether these are the columns that the client was told of, if it was.
    pub(super) fn keeps_promise(&self, types: &[PgType]) -> bool {
        let promised = self.promised.lock();
        promised.as_deref().is_none_or(|promised| promised == types)
    }
}

/// The statements in a text.
pub(super) fn parse(text: &str) -> Result<Vec<Parsed>, Report> {
    sql::parse(text).map_err(|error| {
        let error = weir_engine::Error::from_classified(&error);
        failure::report(&error, text, weir_base::Position { line: 1, column: 1 })
    })
}

impl Connection {
    /// What a prepared statement wants and gives.
    pub(super) async fn description(&mut self, prepared: &Prepared) -> Outcome<Arc<Description>> {
        if let Some(known) = prepared.description.lock().clone() {
            return Ok(known);
        }
        let Some(parsed) = &prepared.parsed else {
            let empty = Description::of_command("");
            return Ok(Arc::new(empty));
        };
        let description = match &parsed.statement {
            Statement::Cursor(statement::Cursor::Fetch { name, .. }) => {
                let mut description = Description::of_command("FETCH");
                if let Some(cursor) = self.cursors.get(&fold(name)) {
                    description.columns = Arc::clone(&cursor.schema);
                }
                // The cursor may be another when it runs.
                return Ok(Arc::new(description));
            }
            Statement::Prepared(statement::Prepared::Execute { name, .. }) => {
                let inner = self.statement(&fold(name))?;
                let inner = Box::pin(self.description(&inner)).await?;
                let mut description = Description::clone(&inner);
                description.parameters.clear();
                return Ok(Arc::new(description));
            }
            _ => {
                let session = self.session.clone();
                let hints = prepared.hints();
                let described = async { Box::pin(session.describe(&parsed.sql, &hints)).await };
                let described = self.guarded_report(described, prepared, parsed).await?;
                Arc::new(described)
            }
        };
        *prepared.description.lock() = Some(Arc::clone(&description));
        Ok(description)
    }

    async fn guarded_report<T>(
        &mut self,
        work: impl Future<Output = Result<T, weir_engine::Error>>,
        prepared: &Prepared,
        parsed: &Parsed,
    ) -> Outcome<T> {
        let work = async {
            let done = work.await;
            done.map_err(|error| failure::report(&error, &prepared.text, parsed.position))
        };
        self.guarded(work).await
    }

    /// The prepared statement of a name.
    pub(super) fn statement(&self, name: &str) -> Result<Arc<Prepared>, Report> {
        self.statements.get(name).cloned().ok_or_else(|| {
            Report::error(
                "26000",
                format!("prepared statement {name:?} does not exist"),
            )
        })
    }

    /// The OIDs that are told of a statement's parameters.
    pub(super) fn told_types(prepared: &Prepared, description: &Description) -> Vec<u32> {
        let types = description.parameters.iter().enumerate();
        types
            .map(|(at, inferred)| match prepared.oids.get(at) {
                Some(oid) if !PgType::is_open(*oid) => *oid,
                _ => PgType::of(inferred).oid(),
            })
            .collect()
    }

    /// Reads the values of a statement's parameters.
    pub(super) async fn values(
        &mut self,
        prepared: &Arc<Prepared>,
        formats: &[i16],
        values: &[Option<bytes::Bytes>],
    ) -> Outcome<Vec<ScalarValue>> {
        let formats = super::portal::formats(formats, values.len())?;
        // What comes in binary cannot be read without its type, nor can what may be an array.
        let is_open = |at: usize, format: &Format| {
            let is_braced = |value: &Option<bytes::Bytes>| {
                value
                    .as_ref()
                    .is_some_and(|value| value.first() == Some(&b'{'))
            };
            let may_be_array = || values.get(at).is_some_and(is_braced);
            prepared.given_type(at).is_none() && (*format == Format::Binary || may_be_array())
        };
        let needs_types = formats
            .iter()
            .enumerate()
            .any(|(at, format)| is_open(at, format) && values.get(at).is_some_and(Option::is_some));
        let inferred = match needs_types {
            true => Some(self.description(prepared).await?),
            false => None,
        };
        let mut read = Vec::with_capacity(values.len());
        for (at, (value, format)) in values.iter().zip(&formats).enumerate() {
            let oid = prepared.oids.get(at).copied().unwrap_or(0);
            let wanted = inferred
                .as_ref()
                .and_then(|inferred| inferred.parameters.get(at));
            let data_type = match prepared.given_type(at) {
                Some(data_type) => Some(data_type),
                None if !PgType::is_open(oid) && *format == Format::Binary => {
                    let message = format!(
                        "parameter ${} is of a type with OID {oid}, which is not known",
                        at + 1
                    );
                    return Err(Report::error("0A000", message).into());
                }
                // Other texts are read by the query, as it reads literals.
                None => wanted.map(PgType::of).filter(|data_type| {
                    *format == Format::Binary || matches!(data_type, PgType::Array(_))
                }),
            };
            let value = parameter(data_type, *format, value.as_deref()).map_err(|error| {
                let mut report = Report::from(error);
                report.context = Some(format!("parameter ${}", at + 1));
                report
            })?;
            let value = match wanted {
                Some(wanted) if !value.is_null() && value.data_type() != *wanted => {
                    value.cast_to(wanted).unwrap_or(value)
                }
                _ => value,
            };
            read.push(value);
        }
        Ok(read)
    }

    /// `PREPARE`, `EXECUTE` and `DEALLOCATE`.
    pub(super) async fn prepared(
        &mut self,
        statement: &statement::Prepared,
        text: &str,
    ) -> Outcome<Given> {
        match statement {
            statement::Prepared::Prepare {
                name,
                types,
                statement,
            } => {
                let name = fold(name);
                if self.statements.contains_key(&name) {
                    let message = format!("prepared statement {name:?} already exists");
                    return Err(Report::error("42P05", message).into());
                }
                self.check_room()?;
                let oids = types.iter().map(|data_type| self.oid_of(data_type));
                let oids = oids.collect::<Result<Vec<_>, _>>()?;
                let parsed = Parsed::clone(statement);
                let mut prepared = Prepared::of(text.to_owned(), Some(parsed), oids);
                prepared.room = self.room_for(&name, text.len())?;
                let prepared = Arc::new(prepared);
                self.description(&prepared).await?;
                self.statements.insert(name, prepared);
                Ok(Given::Done("PREPARE".to_owned()))
            }
            statement::Prepared::Execute { name, parameters } => {
                let prepared = self.statement(&fold(name))?;
                let description = self.description(&prepared).await?;
                if parameters.len() != description.parameters.len() {
                    let message = format!(
                        "wrong number of parameters for prepared statement {:?}: expected {}, got {}",
                        fold(name),
                        description.parameters.len(),
                        parameters.len()
                    );
                    return Err(Report::error("42601", message).into());
                }
                let values = self.evaluated(parameters, &description).await?;
                let Some(parsed) = &prepared.parsed else {
                    return Ok(Given::Done("EXECUTE".to_owned()));
                };
                Box::pin(self.run_statement(parsed, &prepared.text, values, prepared.hints())).await
            }
            statement::Prepared::Deallocate(None) => {
                self.statements.clear();
                Ok(Given::Done("DEALLOCATE ALL".to_owned()))
            }
            statement::Prepared::Deallocate(Some(name)) => {
                self.statement(&fold(name))?;
                self.statements.remove(&fold(name));
                Ok(Given::Done("DEALLOCATE".to_owned()))
            }
        }
    }

    /// The values of the expressions in `EXECUTE s (…)`, as the types of the parameters.
    async fn evaluated(
        &mut self,
        expressions: &[ast::Expr],
        description: &Description,
    ) -> Outcome<Vec<ScalarValue>> {
        if expressions.is_empty() {
            return Ok(vec![]);
        }
        let list: Vec<String> = expressions
            .iter()
            .enumerate()
            .map(|(at, expression)| format!("{expression} AS \"{}\"", at + 1))
            .collect();
        let request = Request::new(format!("SELECT {}", list.join(", ")));
        let session = self.session.clone();
        let answer = self.guarded(async {
            let answer = Box::pin(session.execute(request)).await;
            answer.map_err(Report::from)
        });
        let mut answer = answer.await?;
        let batch = self.next_batch(&mut answer.rows, false).await?;
        let batch = batch.ok_or_else(|| Report::error("XX000", "expressions gave no row"))?;
        let values = batch.columns().iter().zip(&description.parameters);
        let values = values.map(|(column, wanted)| {
            let value = ScalarValue::try_from_array(column, 0)?;
            match value.data_type() == *wanted {
                true => Ok(value),
                false => value.cast_to(wanted),
            }
        });
        values
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Report::error("22023", error.to_string()).into())
    }

    /// The OID of a type that `PREPARE` names.
    fn oid_of(&self, data_type: &ast::DataType) -> Result<u32, Report> {
        let field = self.session.type_of(data_type)?;
        Ok(PgType::of_field(&field).oid())
    }

    /// Has the session carry out a statement.
    pub(super) async fn ask(
        &mut self,
        parsed: &Parsed,
        text: &str,
        values: Vec<ScalarValue>,
        hints: Vec<Option<DataType>>,
    ) -> Outcome<Given> {
        let request = Request {
            parameters: values,
            hints,
            ..Request::new(parsed.sql.clone())
        };
        let session = self.session.clone();
        let asked = async {
            let answer = Box::pin(session.execute(request)).await;
            answer.map_err(|error| failure::report(&error, text, parsed.position))
        };
        let answer = self.guarded(asked).await?;
        Ok(given(answer, parsed.statement.tag()))
    }
}
