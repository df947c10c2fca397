//! The jobs of views: how they are planned, where they go on, what their options say.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use weir_base::{ByteSize, Kind, Offset, Options, SqlState};
use weir_catalog::{Body, Entry, MaterializedView};
use weir_streaming::{Dataflow, Job, JobStore, OnRowError, Upkeep, ViewSink};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::memory::QueryPool;
use crate::planning::{Planner, Reading};
use crate::queries::Running;
use crate::rate;
use crate::security::OPERATOR;
use crate::settings::Limits;
use crate::variables::Variables;

/// What the `WITH` clause of a view says.
#[derive(Debug, Clone, Default)]
pub(crate) struct ViewOptions {
    /// `on_error = 'fail' | 'skip'`: what becomes of a row that cannot be computed.
    on_error: OnRowError,
    /// `memory = '256MB'`: the view's own bound, below the server's.
    memory: Option<ByteSize>,
    /// `rate = 10000`: how many rows it reads in a second at the most.
    rate: Option<NonZeroU64>,
}

impl ViewOptions {
    /// Reads them.
    ///
    /// # Errors
    /// When an option is unknown, or its value is not among those that it can have.
    pub(crate) fn read(
        given: impl IntoIterator<Item = (String, String)>,
        limits: &Limits,
    ) -> Result<Self> {
        let mut options = Options::new(given);
        let on_error: Option<String> = options.take("on_error")?;
        let memory: Option<ByteSize> = options.take("memory")?;
        let rate = rate::take(&mut options)?;
        options.finish()?;
        let on_error = match on_error.as_deref() {
            None | Some("fail") => OnRowError::Fail,
            Some("skip") => OnRowError::Skip(Arc::default()),
            Some(other) => {
                return Err(wrong(format!("on_error cannot be '{other}'")).with_hint(
                    "'fail' stops the view at a row that cannot be computed, 'skip' leaves it out and counts it",
                ));
            }
        };
        if let Some(memory) = memory
            && (memory > limits.view_memory || memory < VIEW_MEMORY_MIN)
        {
            return Err(
                wrong(format!("memory cannot be {memory}")).with_hint(format!(
                    "{VIEW_MEMORY_MIN} up to limits.view_memory, {}",
                    limits.view_memory
                )),
            );
        }
        Ok(Self {
            on_error,
            memory,
            rate,
        })
    }

    /// Those of a view that is there. The server's limit may have become lower since.
    fn of(view: &MaterializedView, limits: &Limits) -> Result<Self> {
        let least = Limits {
            view_memory: ByteSize(u64::MAX),
            ..limits.clone()
        };
        Self::read(view.options.clone(), &least)
    }

    /// The rows that it reads in a second at the most.
    pub(crate) fn rate(&self) -> Option<NonZeroU64> {
        self.rate
    }

    /// These, some of them changed: set, or given their defaults.
    ///
    /// # Errors
    /// When an option is unknown, its value is not among those that it can have, or it cannot change in a view that is there.
    pub(crate) fn changed(
        given: &BTreeMap<String, String>,
        changes: Vec<(String, Option<String>)>,
        limits: &Limits,
    ) -> Result<BTreeMap<String, String>> {
        let mut changed = given.clone();
        let mut set = BTreeMap::new();
        for (name, value) in changes {
            match value {
                Some(value) => {
                    set.insert(name.clone(), value.clone());
                    changed.insert(name, value);
                }
                None => {
                    let mut known = Options::new([(name.clone(), String::new())]);
                    for known_name in ["on_error", "memory", rate::RATE] {
                        known.take::<String>(known_name)?;
                    }
                    known.finish()?;
                    changed.remove(&name);
                }
            }
        }
        // What was there may be beyond a limit that has become lower since; it is bounded by that where it is used.
        Self::read(set, limits)?;
        let skips = |options: &BTreeMap<String, String>| {
            options
                .get("on_error")
                .is_some_and(|policy| policy == "skip")
        };
        if skips(given) != skips(&changed) {
            return Err(Error::unsupported(
                "option \"on_error\" cannot change in a view that is there: its rows would be those of one way up to a place, and then those of the other",
            )
            .with_hint("compute it again: CREATE OR REPLACE MATERIALIZED VIEW … WITH (on_error = …) AS …"));
        }
        Ok(changed)
    }

    fn memory(&self, limits: &Limits) -> usize {
        let memory = self
            .memory
            .map_or(limits.view_memory, |memory| memory.min(limits.view_memory));
        usize::try_from(memory.0).unwrap_or(usize::MAX)
    }
}

/// The least memory that a view can be given.
const VIEW_MEMORY_MIN: ByteSize = ByteSize(16 << 20);

fn wrong(message: String) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// What a view's job finds in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// What the last job of the same query left.
    AsItIs,
    /// What another job writes, until this one takes its place.
    Anothers,
}

/// The job of a view, at the beginning or where its last checkpoint was made.
pub(super) async fn job(engine: &Arc<Shared>, entry: &Entry, has: Table) -> Result<Job> {
    let Body::MaterializedView(view) = &entry.body else {
        return Err(Error::new(
            Kind::Internal,
            "only views that are kept have jobs",
        ));
    };
    let limits = &engine.settings.limits;
    let options = ViewOptions::of(view, limits)?;
    let memory = options.memory(limits);
    let planner = planner(engine, &view.view.sql, view.on_window_close, memory);
    let store = engine.checkpoints.of(entry.id.0, view.generation).await?;
    let table = engine.keyed_table(entry)?;
    let begin = async || {
        let dataflow = planner.dataflow(entry, &view.view, Some(store.clone()));
        let dataflow = dataflow.await?;
        Ok::<_, Error>(dataflow.on_row_error(options.on_error.clone()))
    };
    let mut dataflow = begin().await?;
    // One that came back from a copy may be ahead of a log that did not.
    let is_ahead = dataflow
        .restored_shown()
        .is_some_and(|shown| shown > table.stable_offset());
    let sink = if has == Table::Anothers {
        ViewSink::of_unknown(table, dataflow.only_grows())?
    } else if table.stable_offset() == Offset::ZERO && !is_ahead {
        ViewSink::new(table, dataflow.only_grows())?
    } else {
        // What came since the checkpoint may be in the table already: up to where it says.
        let written = table.written_from().await?;
        let goes_on = dataflow.is_restored() && !is_ahead;
        match written.filter(|written| goes_on && dataflow.reaches(written)) {
            Some(written) => {
                dataflow.go_to(&written).await?;
                ViewSink::new(table, dataflow.only_grows())?
            }
            None => {
                if dataflow.is_restored() {
                    store.clear().await?;
                    dataflow = begin().await?;
                }
                ViewSink::of_unknown(table, dataflow.only_grows())?
            }
        }
    };
    let job = Job::new(entry.id.0, dataflow, sink, upkeep(engine, memory));
    Ok(job.with_rate(options.rate))
}

/// When the state of a job is saved.
pub(crate) fn upkeep(engine: &Shared, memory: usize) -> Upkeep {
    Upkeep {
        clock: Arc::clone(&engine.clock),
        interval: engine.settings.checkpoint_interval,
        // The rest is for what a step needs.
        memory: memory / 2,
    }
}

/// A planner for a view, with a memory of its own. Names without a schema are in `public`.
pub(crate) fn planner(
    engine: &Arc<Shared>,
    sql: &str,
    on_window_close: bool,
    memory: usize,
) -> Planner {
    let pool = Arc::new(QueryPool::new(memory, Arc::clone(&engine.memory)));
    let running = Running::new(sql, OPERATOR, pool, engine.clock.now_ms());
    let planner = Planner::new(
        Arc::clone(engine),
        &running,
        engine.catalog.snapshot(),
        &Variables::default(),
        Reading::Live,
    );
    match on_window_close {
        true => planner.closing_windows(),
        false => planner,
    }
}

impl Planner {
    /// The operators of a view's query, whose rows have the view's columns.
    async fn dataflow(
        &self,
        entry: &Entry,
        view: &weir_catalog::View,
        store: Option<JobStore>,
    ) -> Result<Dataflow> {
        let plan = self.view_as_declared(entry, view).await?;
        let (_, dataflow) = self.followed(plan, store).await?;
        Ok(dataflow)
    }
}
