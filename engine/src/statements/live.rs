//! Live queries: `SELECT … EMIT CHANGES` and `SUBSCRIBE`, which are one read.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use weir_base::{Options, ResumeToken, SqlState};
use weir_sql::statement::{self, Emit, SqlExpr, Statement, SubscribeSource};
use weir_streaming::{Delta, LiveQuery, unique_key};

use super::Execution;
use super::materialized_view::check_repeatable;
use crate::admission::Admitted;
use crate::answer::Answer;
use crate::changelog::{Changelog, Envelope};
use crate::error::{Error, Result};
use crate::execution::{Bounds, run_live};
use crate::planning::{Planner, Reading, parameter_types, with_unknown_parameters};
use crate::queries::StopReason;

/// Where a live query starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// With what is there.
    History,
    /// With what changes from now on.
    Now,
    /// Where another has come to.
    At(ResumeToken),
}

impl Execution {
    pub(super) async fn subscribe(&self, subscribe: statement::Subscribe) -> Result<Answer> {
        if subscribe.up_to.is_some() {
            return Err(Error::unsupported(
                "SUBSCRIBE … UP TO is not supported: a live read has no end",
            )
            .with_hint(
                "query up to now with SELECT, or close the read when you have what you want",
            ));
        }
        let mut options = Options::new(subscribe.options);
        let snapshot = options.take::<bool>("snapshot")?;
        let envelope = options.take::<Envelope>("envelope")?;
        options.finish()?;
        let envelope = match (envelope, self.request.envelope) {
            (Some(own), Some(asked)) if own != asked => {
                return Err(Error::invalid(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!(
                        "the request asks for envelope '{}', and the statement for '{}'",
                        asked.name(),
                        own.name()
                    ),
                ));
            }
            (own, asked) => own.or(asked),
        };
        let start = start(snapshot.unwrap_or(true), subscribe.as_of.as_ref())?;
        match subscribe.source {
            SubscribeSource::Query(query) => {
                self.live(&query, Emit::Changes, start, envelope).await
            }
            SubscribeSource::Object(name) => {
                let parsed = crate::text::parse_one(&format!("SELECT * FROM {name}"))?;
                match parsed.statement {
                    Statement::Query(query) => {
                        let emit = Emit::Changes;
                        self.live(&query.query, emit, start, envelope).await
                    }
                    _ => Err(Error::invalid(
                        SqlState::SYNTAX_ERROR,
                        format!("cannot subscribe to {name}"),
                    )),
                }
            }
        }
    }

    /// Reads what a query gives, and how it changes. What the request resumes goes before `start`: it is further on.
    pub(super) async fn live(
        &self,
        query: &ast::Query,
        emit: Emit,
        start: Start,
        envelope: Option<Envelope>,
    ) -> Result<Answer> {
        let start = match &self.request.resume {
            Some(token) => Start::At(token.clone()),
            None => start,
        };
        let admitted = self.engine.admission.live()?;
        let (query, limit) = without_limit(query)?;
        let planner = self.planner(self.snapshot(), Reading::Live).telling_keys();
        let planner = match emit {
            Emit::Changes => planner,
            Emit::OnWindowClose => planner.closing_windows(),
        };
        let plan = planner.query(&query, &self.request.parameters).await?;
        check_repeatable(&plan, "a live query")?;
        let bounds = self.live_bounds(limit);
        self.end_with_token();
        let stateless = match planner.closes_windows() {
            true => None,
            false => planner.stateless(&plan).await?,
        };
        match stateless {
            Some(plan) => {
                let rows = self.rows_that_come(&planner, plan, start).await?;
                self.give_rows(rows, envelope, bounds, admitted)
            }
            None => {
                self.follow(&planner, plan, start, envelope, bounds, admitted)
                    .await
            }
        }
    }

    /// The types of a live query's parameters, and the columns of its answer where nothing is asked of its form.
    pub(super) async fn live_shape(
        &self,
        query: &ast::Query,
        emit: Emit,
    ) -> Result<(Vec<DataType>, SchemaRef)> {
        let (query, _) = without_limit(query)?;
        let planner = self.planner(self.snapshot(), Reading::Live).telling_keys();
        let planner = match emit {
            Emit::Changes => planner,
            Emit::OnWindowClose => planner.closing_windows(),
        };
        let plan = planner.unbound(&query).await?;
        let parameters = parameter_types(&plan, &self.request.hints)?;
        let plan = with_unknown_parameters(plan, &parameters)?;
        check_repeatable(&plan, "a live query")?;
        if !planner.closes_windows()
            && let Some(plan) = planner.stateless(&plan).await?
        {
            return Ok((parameters, plan.schema()));
        }
        let (plan, dataflow) = planner.followed(plan, None).await?;
        let plain = Arc::clone(dataflow.schema());
        if planner.closes_windows() {
            return Ok((parameters, plain));
        }
        let changes = Changelog::new(Envelope::Changelog, &plain, unique_key(&plan), false)?;
        Ok((parameters, Arc::clone(changes.schema())))
    }

    /// Ends the query when the token expires that its user signed in by.
    fn end_with_token(&self) {
        let Some(at_ms) = self.rights.expire_at_ms() else {
            return;
        };
        let left = at_ms.saturating_sub(self.engine.clock.now_ms());
        let left = std::time::Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            tokio::select! {
                () = running.stop.cancelled() => {}
                () = tokio::time::sleep(left) => running.stop_for(StopReason::Revoked),
            }
        });
    }

    /// The bounds of a live query, which ends after so many rows, if at all.
    fn live_bounds(&self, limit: Option<u64>) -> Bounds {
        Bounds {
            rows_max: None,
            bytes_max: None,
            ends_after: limit,
            ..self.bounds(None)
        }
    }

    /// A query whose rows only come, which needs to remember nothing.
    async fn rows_that_come(
        &self,
        planner: &Planner,
        plan: Arc<dyn ExecutionPlan>,
        start: Start,
    ) -> Result<LiveQuery> {
        let position = match start {
            Start::History => None,
            Start::Now => Some(planner.position()),
            Start::At(ResumeToken {
                position,
                origin: None,
            }) => Some(position),
            Start::At(_) => {
                let wrong = "it is that of another query".to_owned();
                return Err(weir_streaming::Error::WrongPosition(wrong).into());
            }
        };
        Ok(LiveQuery::new(plan, planner.task_context(), position).await?)
    }

    /// Gives rows as they come: as they are, unless the reader wants an envelope around them.
    fn give_rows(
        &self,
        rows: LiveQuery,
        envelope: Option<Envelope>,
        bounds: Bounds,
        admitted: Admitted,
    ) -> Result<Answer> {
        let plain = rows.schema();
        let changelog = envelope.map(|envelope| Changelog::new(envelope, &plain, None, true));
        let changelog = changelog.transpose()?;
        let schema = changelog.as_ref().map_or(&plain, Changelog::schema).clone();
        let clock = Arc::clone(&self.engine.clock);
        let steps = rows.into_stream().filter_map(move |step| {
            // One batch a step, as only the end of a step is a place to go on from.
            let given = step.map_err(Error::from).and_then(|step| {
                let batch = match &changelog {
                    None => one_batch(&plain, &step.batches)?,
                    Some(changelog) => {
                        changelog.encode(&Delta::of_plus(step.batches), clock.now_ms())?
                    }
                };
                Ok(batch.map(|batch| (batch, Some(step.position.into()))))
            });
            std::future::ready(given.transpose())
        });
        Ok(run_live(
            &self.engine,
            &self.running,
            schema,
            steps,
            bounds,
            admitted,
        ))
    }

    /// Runs a live query that must remember rows: its answer is how they change; where windows close, rows only come.
    async fn follow(
        &self,
        planner: &Planner,
        plan: LogicalPlan,
        start: Start,
        envelope: Option<Envelope>,
        bounds: Bounds,
        admitted: Admitted,
    ) -> Result<Answer> {
        let (plan, mut dataflow) = planner.followed(plan, None).await?;
        if dataflow.topics().next().is_none() {
            return Err(weir_streaming::Error::ReadsNoStream.into());
        }
        match start {
            Start::History => {}
            Start::Now => dataflow.skip_history(),
            Start::At(token) => dataflow.resume(&token)?,
        }
        let only_grows = planner.closes_windows();
        let plain = Arc::clone(dataflow.schema());
        let envelope = envelope.or((!only_grows).then_some(Envelope::Changelog));
        let changelog = envelope.map(|envelope| {
            let key = unique_key(&plan);
            Changelog::new(envelope, &plain, key, only_grows)
        });
        let changelog = changelog.transpose()?;
        let schema = changelog.as_ref().map_or(&plain, Changelog::schema).clone();
        let clock = Arc::clone(&self.engine.clock);
        let follower = Some((dataflow, changelog));
        let steps = futures::stream::unfold(follower, move |follower| {
            let (clock, plain) = (Arc::clone(&clock), Arc::clone(&plain));
            async move {
                let (mut dataflow, changelog) = follower?;
                loop {
                    let step = dataflow.step().await;
                    let batch = step
                        .map_err(Error::from)
                        .and_then(|delta| match &changelog {
                            Some(changelog) => changelog.encode(&delta, clock.now_ms()),
                            None => one_batch(&plain, &delta.plus),
                        });
                    match batch {
                        Err(error) => return Some((Err(error), None)),
                        Ok(None) => {}
                        Ok(Some(batch)) => {
                            let token = dataflow.token();
                            let given = Ok((batch, Some(token)));
                            return Some((given, Some((dataflow, changelog))));
                        }
                    }
                }
            }
        });
        Ok(run_live(
            &self.engine,
            &self.running,
            schema,
            steps,
            bounds,
            admitted,
        ))
    }
}

/// Where a `SUBSCRIBE` starts.
fn start(snapshot: bool, as_of: Option<&SqlExpr>) -> Result<Start> {
    let Some(as_of) = as_of else {
        return Ok(match snapshot {
            true => Start::History,
            false => Start::Now,
        });
    };
    if snapshot {
        return Err(Error::unsupported(
            "SUBSCRIBE … AS OF gives what changes from a position on, and not the rows up to it",
        )
        .with_hint("write WITH (snapshot = false) before AS OF; without AS OF all rows come, and then what changes"));
    }
    let token = match &as_of.expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(token) => Some(token),
            _ => None,
        },
        _ => None,
    };
    let Some(token) = token else {
        return Err(Error::unsupported(format!(
            "AS OF {} is no position: there is no one number for the moments of all topics",
            as_of.sql
        ))
        .with_hint("give the resume token of an earlier read: AS OF 'bids:2,5'"));
    };
    let token = token.parse::<ResumeToken>().map_err(|error| {
        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("AS OF: {error}"))
    })?;
    Ok(Start::At(token))
}

/// A step's rows; none where it has none.
fn one_batch(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    match rows.is_empty() {
        true => Ok(None),
        false => Ok(Some(concat_batches(schema, rows)?)),
    }
}

/// A query without its own `LIMIT`, which ends a live query after so many rows.
fn without_limit(query: &ast::Query) -> Result<(ast::Query, Option<u64>)> {
    let mut query = query.clone();
    let limit = match query.limit_clause.take() {
        None => None,
        Some(ast::LimitClause::LimitOffset {
            limit,
            offset: None,
            limit_by,
        }) if limit_by.is_empty() => limit,
        Some(_) => {
            return Err(Error::unsupported("a live query cannot have OFFSET")
                .with_hint("resume it from a token"));
        }
    };
    let limit = match limit {
        None => None,
        Some(ast::Expr::Value(value)) => match value.value {
            ast::Value::Number(number, _) => Some(number.parse::<u64>().map_err(|_| {
                Error::invalid(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("LIMIT {number} is not a number of rows"),
                )
            })?),
            _ => {
                return Err(Error::unsupported(
                    "the LIMIT of a live query must be a number",
                ));
            }
        },
        Some(_) => {
            return Err(Error::unsupported(
                "the LIMIT of a live query must be a number",
            ));
        }
    };
    if query.fetch.is_some() {
        return Err(Error::unsupported("a live query cannot have FETCH").with_hint("use LIMIT"));
    }
    Ok((query, limit))
}
