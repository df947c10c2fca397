//! A continuous query as a whole: operators over sources, and steps.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use weir_base::{Offset, OffsetVector, Origin, ResumeToken, TopicId};
use weir_connectors::topic::FollowedTable;
use weir_topics::{Pin, Topic};

use crate::checkpoint::{CopyProgress, Flight, JobStore, Manifest, Saving, Shelf};
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::event_time::{self, EventTime};
use crate::operators::{
    Boxed, Description, OnRowError, Operator, OperatorStatus, StateSize, Unique, measured, statuses,
};
use crate::planning::{Planned, Restored, Walk};
use crate::runtime::Positions;
pub(crate) use crate::sources::Ranges;
use crate::sources::{Read, STEP_ROWS, Sources, check_answer, gone};

/// The number of an operator that is put on top of a query's, which count from 0.
const UNIQUE: u16 = 0xfffe;

/// Operators that follow a query's sources, step by step.
///
/// After each step, the sum of all changes that were given is what the query gives over its sources up to
/// [`Dataflow::position`].
pub struct Dataflow {
    root: Boxed,
    sources: Sources,
    reads: Vec<Read>,
    event_time: EventTime,
    schema: SchemaRef,
    step_rows: i64,
    begun: bool,
    store: Option<JobStore>,
    /// What describes its state in a checkpoint.
    manifest: Manifest,
    /// The checkpoint that is being written.
    taken: Option<Taken>,
    /// Whether it moved since the last checkpoint was taken.
    moved: bool,
    on_error: OnRowError,
    /// What came into the tables that it reads since the last checkpoint must be there to be told again.
    pins: Vec<Pin>,
    /// What of its sources was gone when it began.
    gone: OffsetVector,
    /// Where its first step is to begin: what changes on the way there is not given.
    unseen_to: Option<OffsetVector>,
}

/// A checkpoint that is being written, and what holds when it is there.
struct Taken {
    flight: Flight,
    manifest: Manifest,
    pins: Vec<Pin>,
}

impl std::fmt::Debug for Dataflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataflow")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Dataflow {
    /// Plans a query, which DataFusion has analysed and optimised for one partition. Its streams are planned live, and its tables are
    /// [followed](weir_connectors::topic::FollowedTable).
    ///
    /// With a store it goes on from the checkpoint there, if that is of the same query and all that came since can be read.
    ///
    /// # Errors
    /// When a part of it cannot be planned, or nothing in it can change.
    pub async fn new(
        plan: &LogicalPlan,
        state: &SessionState,
        context: &Arc<TaskContext>,
        store: Option<JobStore>,
    ) -> Result<Self> {
        let text = described(plan)?;
        if let Some(store) = &store
            && let Some(found) = store.manifest()?
            && found.is_of(&text)
        {
            let restored = Restored {
                store: Some(store.clone()),
                position: Some(found.position.clone()),
            };
            let Planned {
                root,
                reads,
                event_time,
            } = Walk::over(plan, state, context, restored).await?;
            match Sources::new(reads.clone(), Some(&found.position)) {
                Ok(sources)
                    if found.reads(&reads)
                        && sources.is_whole()
                        && !(event_time.has_sources() && has_grown(&found.position, &reads)) =>
                {
                    return Ok(Self {
                        schema: Arc::clone(plan.schema().inner()),
                        root,
                        pins: sources.pins(),
                        sources,
                        gone: gone(&reads),
                        reads,
                        event_time,
                        step_rows: STEP_ROWS,
                        begun: true,
                        store: Some(store.clone()),
                        manifest: found,
                        taken: None,
                        moved: false,
                        on_error: OnRowError::Fail,
                        unseen_to: None,
                    });
                }
                _ => {
                    tracing::info!(position = %found.position, "what came since a checkpoint is gone: all is computed again");
                }
            }
        }
        if let Some(store) = &store {
            store.clear().await?;
        }
        let restored = Restored {
            store: store.clone(),
            position: None,
        };
        let Planned {
            root,
            reads,
            event_time,
        } = Walk::over(plan, state, context, restored).await?;
        let sources = Sources::new(reads.clone(), None)?;
        Ok(Self {
            schema: Arc::clone(plan.schema().inner()),
            root,
            manifest: Manifest::new(&text, &reads, sources.position(), 0),
            pins: match store {
                Some(_) => sources.pins(),
                None => Vec::new(),
            },
            sources,
            gone: gone(&reads),
            reads,
            event_time,
            step_rows: STEP_ROWS,
            begun: false,
            store,
            taken: None,
            moved: false,
            on_error: OnRowError::Fail,
            unseen_to: None,
        })
    }

    /// Plans a query over windows that close, which has been [made one](event_time::close_windows) and then analysed and optimised. Its
    /// rows only come.
    ///
    /// # Errors
    /// As [`Dataflow::new`], and when what it gives of a window would change after that has closed.
    pub async fn on_window_close(
        plan: &LogicalPlan,
        state: &SessionState,
        context: &Arc<TaskContext>,
        store: Option<JobStore>,
    ) -> Result<Self> {
        event_time::check(plan)?;
        let dataflow = Self::new(plan, state, context, store).await?;
        match dataflow.root.only_grows() {
            true => Ok(dataflow),
            false => Err(Error::Internal("rows of closed windows may go again")),
        }
    }

    /// How far event time has come, in milliseconds since 1970-01-01 00:00:00 UTC, if its windows wait for that and it is known.
    pub fn watermark_ms(&self) -> Option<i64> {
        let nanos = self.event_time.now().get()?;
        i64::try_from(nanos.div_euclid(1_000_000)).ok()
    }

    /// How many rows were late, each as often as it was in a window; none if it has no windows that close.
    pub fn late_rows(&self) -> Option<u64> {
        self.event_time.late_rows()
    }

    /// The schema of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What it reads.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.sources.topics()
    }

    /// Where it stands: what changed before is given, or is not to be.
    pub fn position(&self) -> OffsetVector {
        match &self.unseen_to {
            None => self.sources.position(),
            Some(position) => position.clone(),
        }
    }

    /// How many rows of its sources are there whose change it has yet to give.
    pub fn rows_behind(&self) -> u64 {
        match &self.unseen_to {
            None => self.sources.rows_behind(),
            Some(position) => self.sources.rows_after(position),
        }
    }

    /// Where it would stand if it had read all that is there.
    pub(crate) fn stable_position(&self) -> OffsetVector {
        self.sources.stable_position()
    }

    /// How many rows lie before where it stands: offsets, of all partitions.
    pub(crate) fn rows_read(&self) -> u64 {
        self.sources.rows_read()
    }

    /// Tells how the copies of its checkpoints do, where there are some.
    pub(crate) fn copies(&self) -> CopyProgress {
        let copies = self.store.as_ref().map(JobStore::copies);
        copies.unwrap_or_default()
    }

    /// Where the topic of the view ended that the state it went on from belongs to.
    pub fn restored_shown(&self) -> Option<Offset> {
        self.manifest.shown
    }

    /// What its state takes on the disk, in bytes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.store.as_ref().map_or(0, JobStore::disk_bytes)
    }

    /// Says what becomes of rows that cannot be computed.
    #[must_use]
    pub fn on_row_error(mut self, on_error: OnRowError) -> Self {
        if let OnRowError::Skip(skipped) = &on_error {
            skipped.fetch_add(self.manifest.skipped, Ordering::Relaxed);
        }
        on_row_error(self.root.as_mut(), &on_error);
        self.event_time.on_row_error(&on_error);
        self.on_error = on_error;
        self
    }

    /// How many rows were left out because they cannot be computed.
    pub fn rows_skipped(&self) -> u64 {
        match &self.on_error {
            OnRowError::Fail => 0,
            OnRowError::Skip(skipped) => skipped.load(Ordering::Relaxed),
        }
    }

    /// Lets a step take no more than so many rows.
    #[must_use]
    pub fn with_step_rows(mut self, rows: u32) -> Self {
        self.step_rows = i64::from(rows.max(1));
        self
    }

    /// Refuses rows that have the same values in some columns, which are named by their places. The dataflow must have taken no step.
    ///
    /// # Errors
    /// When there are no such columns, their values cannot be compared, or what a checkpoint has of them cannot be read.
    pub fn with_unique_key(self, key: Vec<usize>) -> Result<Self> {
        let shelf = Shelf::new(self.store.clone(), UNIQUE, self.begun);
        Ok(Self {
            root: measured(Unique::new(self.root, key, shelf)?),
            ..self
        })
    }

    /// As [`Dataflow::with_step_rows`].
    pub(crate) fn set_step_rows(&mut self, rows: i64) {
        self.step_rows = rows.max(1);
    }

    /// Whether its rows only come.
    pub fn only_grows(&self) -> bool {
        self.root.only_grows()
    }

    /// How to go on later where it stands.
    pub fn token(&self) -> ResumeToken {
        ResumeToken {
            position: self.position(),
            origin: Some(Origin {
                query: self.manifest.fingerprint(),
                gone: self.gone.clone(),
            }),
        }
    }

    /// Whether its sources have all that it takes to come to a position.
    pub fn reaches(&self, position: &OffsetVector) -> bool {
        Sources::new(self.reads.clone(), Some(position)).is_ok()
    }

    /// Goes to a position; what changes on the way is given to nobody.
    ///
    /// # Errors
    /// When the position does not belong to the query, and as [`Dataflow::step`].
    pub async fn go_to(&mut self, position: &OffsetVector) -> Result<()> {
        // Checks that it belongs to what is read.
        let there = Sources::new(self.reads.clone(), Some(position))?;
        // A watermark is what all rows before came to.
        if !self.event_time.has_sources() && remembers_nothing(self.root.as_ref()) {
            self.sources = there;
            self.begun = true;
            return Ok(());
        }
        if !self.begun {
            // What a table was there cannot be told from what it has become.
            there.check_whole()?;
        }
        while !self.is_at(position) {
            self.step_towards(position).await?;
        }
        Ok(())
    }

    /// Goes on where it stood: what changed until then is computed by the first step, and is not given again.
    ///
    /// # Errors
    /// When the token is that of another query, or rows that it was given for are no longer there.
    pub fn resume(&mut self, token: &ResumeToken) -> Result<()> {
        let Some(origin) = &token.origin else {
            let message = "it is a place in topics, and this query remembers rows";
            return Err(Error::WrongPosition(message.to_owned()));
        };
        if origin.query != self.manifest.fingerprint() {
            return Err(Error::WrongPosition(
                "it is that of another query".to_owned(),
            ));
        }
        // Checks that it belongs to what is read.
        Sources::new(self.reads.clone(), Some(&token.position))?;
        check_answer(&self.reads, &token.position, &origin.gone)?;
        if self.event_time.has_sources() && has_grown(&token.position, &self.reads) {
            let grown =
                "the topic has got more partitions, which hold windows open that had closed";
            return Err(Error::WrongPosition(grown.to_owned()));
        }
        self.unseen_to = Some(token.position.clone());
        Ok(())
    }

    /// Gives only what changes from now on.
    pub fn skip_history(&mut self) {
        self.unseen_to = Some(self.sources.stable_position());
    }

    /// Waits for rows, and takes a step through what is there, up to a bound. Before the first step there is nothing to wait for:
    /// some queries have rows where their sources have none.
    ///
    /// # Errors
    /// When a row cannot be read or computed, memory does not suffice, or a source was dropped. The query cannot go on then.
    pub async fn step(&mut self) -> Result<Delta> {
        if let Some(position) = self.unseen_to.take() {
            while !self.is_at(&position) {
                self.step_towards(&position).await?;
                // Whoever drops it is heard of between steps.
                tokio::task::yield_now().await;
            }
        }
        let ends = match self.begun {
            true => self.sources.next_ends(self.step_rows).await?,
            false => self.sources.ends(self.step_rows),
        };
        self.step_to_ends(ends).await
    }

    /// Takes a step to a position, if it is not there.
    ///
    /// # Errors
    /// As [`Dataflow::step`].
    pub async fn step_to(&mut self, position: &OffsetVector) -> Result<Delta> {
        let ends = self.sources.ends_at(position);
        self.step_to_ends(ends).await
    }

    /// Takes a bounded step that does not pass a position.
    ///
    /// # Errors
    /// As [`Dataflow::step`].
    pub(crate) async fn step_towards(&mut self, position: &OffsetVector) -> Result<Delta> {
        let ends = self.sources.ends_towards(position, self.step_rows);
        self.step_to_ends(ends).await
    }

    /// Whether a step to a position would go nowhere.
    pub(crate) fn is_at(&self, position: &OffsetVector) -> bool {
        let ends = self.sources.ends_at(position);
        self.begun && self.sources.is_at(&ends)
    }

    /// Waits for rows of topics that are not among `others`, or until a checkpoint is written.
    ///
    /// # Errors
    /// When a source was dropped, or has got more partitions.
    pub(crate) async fn ready_but(&mut self, others: &[TopicId]) -> Result<()> {
        let taken = &mut self.taken;
        let saved = async {
            match taken {
                Some(taken) => taken.flight.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = self.sources.ready_but(others) => ready,
            () = saved => Ok(()),
        }
    }

    /// The end of all that is there, but of some topics no more than what is shown.
    ///
    /// # Errors
    /// When a source has got more partitions.
    pub(crate) fn position_within(&self, shown: Option<&Positions>) -> Result<OffsetVector> {
        self.sources.check_grown()?;
        Ok(self.sources.position_within(shown))
    }

    /// What it reads, from where on.
    pub(crate) fn reads(&self) -> &[Read] {
        &self.reads
    }

    async fn step_to_ends(&mut self, ends: Vec<Vec<weir_base::Offset>>) -> Result<Delta> {
        let ranges = self.sources.ranges(&ends);
        self.begun = true;
        self.event_time.advance(&ranges).await?;
        let delta = self.root.step(&ranges).await?;
        self.moved |= !self.sources.is_at(&ends);
        self.sources.go_to(ends);
        delta.consolidated(&self.root.schema())
    }

    /// What its operators remember.
    pub fn state_size(&self) -> StateSize {
        state_size(self.root.as_ref())
    }

    /// Whether it went on from a checkpoint, or has made one.
    pub fn is_restored(&self) -> bool {
        self.begun && self.manifest.made_ms > 0
    }

    /// When the last checkpoint was made, in milliseconds since the epoch.
    pub fn checkpoint_ms(&self) -> Option<i64> {
        Some(self.manifest.made_ms).filter(|made| *made > 0)
    }

    /// Whether there is something that a checkpoint would save.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.store.is_some() && self.begun && self.moved
    }

    /// Takes a checkpoint of where it stands, if it has a store and moved since the last, and has it written while it goes on. One that
    /// is being written is waited for. Says whether there was anything to take.
    ///
    /// # Errors
    /// When it cannot be taken, or the one before it could not be written: then the last one that was written holds, and no other can be
    /// made by this dataflow.
    pub async fn begin_checkpoint(&mut self, now_ms: i64) -> Result<bool> {
        self.begin_checkpoint_of(now_ms, None).await
    }

    /// As [`Dataflow::begin_checkpoint`], of a view whose topic ends at `shown`.
    pub(crate) async fn begin_checkpoint_of(
        &mut self,
        now_ms: i64,
        shown: Option<Offset>,
    ) -> Result<bool> {
        self.end_checkpoint().await?;
        let Some(store) = &self.store else {
            return Ok(false);
        };
        // What has not begun has yet to give what does not change.
        if !self.begun || (!self.moved && self.manifest.made_ms > 0) {
            return Ok(false);
        }
        let mut saving = store.begin()?;
        let mut manifest = self.manifest.at(self.sources.position(), now_ms);
        manifest.skipped = self.rows_skipped();
        manifest.shown = shown;
        let launched =
            save(self.root.as_mut(), &mut saving).and_then(|()| saving.launch(&manifest));
        // What was taken is taken for saved.
        let flight = launched.inspect_err(|_| store.break_off())?;
        self.taken = Some(Taken {
            flight,
            manifest,
            pins: self.sources.pins(),
        });
        self.moved = false;
        Ok(true)
    }

    /// Waits for the checkpoint that is being written, if there is one.
    ///
    /// # Errors
    /// When it cannot be written: then the last one holds, and no other can be made by this dataflow.
    pub async fn end_checkpoint(&mut self) -> Result<()> {
        // It stays where it is until it has ended: whoever waits may be broken off.
        if let Some(taken) = &mut self.taken {
            taken.flight.ended().await;
        }
        let Some(taken) = self.taken.take() else {
            return Ok(());
        };
        taken.flight.landed().await?;
        self.manifest = taken.manifest;
        self.pins = taken.pins;
        Ok(())
    }

    /// Whether a checkpoint is being written, and whether that has ended.
    pub(crate) fn checkpoint_on_its_way(&self) -> Option<bool> {
        self.taken.as_ref().map(|taken| taken.flight.has_ended())
    }

    /// Takes a checkpoint, and waits until it is written.
    ///
    /// # Errors
    /// As [`Dataflow::begin_checkpoint`] and [`Dataflow::end_checkpoint`].
    pub async fn checkpoint(&mut self, now_ms: i64) -> Result<()> {
        self.begin_checkpoint(now_ms).await?;
        self.end_checkpoint().await
    }

    /// Lets go of state in memory that the last checkpoint has, also one that is being written; it is read again when it is needed.
    pub fn release(&mut self) {
        if self.store.as_ref().is_none_or(JobStore::is_broken) {
            return;
        }
        release(self.root.as_mut());
    }

    /// Its operators, and how they do.
    pub(crate) fn operators(&self) -> Vec<OperatorStatus> {
        statuses(self.root.as_ref())
    }

    /// Its operators, one a line, inputs below and further in.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        explain(self.root.as_ref(), 0, &mut text);
        text.truncate(text.trim_end().len());
        text
    }
}

/// All of a plan that decides what its operators are.
fn described(plan: &LogicalPlan) -> Result<String> {
    let mut text = plan.display_indent_schema().to_string();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            if let Some(table) = (provider.as_ref() as &dyn Any).downcast_ref::<FollowedTable>() {
                let (grows, key) = (table.only_grows(), table.key());
                let _ = write!(text, "\n{}: grows {grows}, key {key:?}", scan.table_name);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(text)
}

/// Whether a topic has more partitions than when it stood at a position.
fn has_grown(position: &OffsetVector, reads: &[Read]) -> bool {
    let mut topics = reads.iter().map(Read::topic);
    topics.any(|topic| {
        let then = position.topic(topic.name()).unwrap_or_default();
        then.len() < topic.partitions().len()
    })
}

/// Whether what comes next says all, whatever came before.
fn remembers_nothing(operator: &dyn Operator) -> bool {
    let mut inputs = operator.inputs().into_iter();
    !operator.remembers() && inputs.all(remembers_nothing)
}

fn state_size(operator: &dyn Operator) -> StateSize {
    let inputs = operator.inputs().into_iter().map(state_size);
    inputs.fold(operator.state(), std::ops::Add::add)
}

fn save(operator: &mut dyn Operator, saving: &mut Saving) -> Result<()> {
    operator.save(saving)?;
    let mut inputs = operator.inputs_mut().into_iter();
    inputs.try_for_each(|input| save(input.as_mut(), saving))
}

fn on_row_error(operator: &mut dyn Operator, on_error: &OnRowError) {
    operator.on_row_error(on_error);
    let inputs = operator.inputs_mut().into_iter();
    inputs.for_each(|input| on_row_error(input.as_mut(), on_error));
}

fn release(operator: &mut dyn Operator) {
    operator.release();
    let inputs = operator.inputs_mut().into_iter();
    inputs.for_each(|input| release(input.as_mut()));
}

fn explain(operator: &dyn Operator, depth: usize, text: &mut String) {
    let Description {
        name,
        detail,
        follows,
    } = operator.describe();
    let StateSize { rows, bytes, .. } = operator.state();
    let indent = "  ".repeat(depth);
    let _ = write!(text, "{indent}{name}: {detail} [{}", follows.as_str());
    if rows > 0 || bytes > 0 {
        let _ = write!(text, ", {rows} rows in {bytes} bytes");
    }
    text.push_str("]\n");
    for input in operator.inputs() {
        explain(input, depth + 1, text);
    }
}
