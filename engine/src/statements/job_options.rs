//! `ALTER MATERIALIZED VIEW | SINK … SET | RESET`: what can change of a job that is there.

use weir_base::Options;
use weir_catalog::{Body, Change, Entry, MaterializedView, Sink, Snapshot};

use super::Execution;
use crate::error::{Error, Result};
use crate::rate::{self, RATE};
use crate::sinks;
use crate::views::{ViewOptions, ViewState};

/// What of a sink to files can change: files that are there stay as they are.
const ROLLOVER: [&str; 3] = ["rollover_rows", "rollover_bytes", "rollover_interval"];

impl Execution {
    /// The changes that give a view other options.
    pub(super) fn set_view_options(
        &self,
        snapshot: &Snapshot,
        entry: &Entry,
        kept: &MaterializedView,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Vec<Change>> {
        let limits = &self.engine.settings.limits;
        let options = ViewOptions::changed(&kept.options, changes, limits)?;
        let rate = rate::take(&mut Options::new(options.clone()))?;
        rate::check(snapshot, rate, entry.depends_on.iter().copied())?;
        Ok(snapshot.set_options(entry.id, options)?)
    }

    /// The changes that give a sink other options.
    pub(super) fn set_sink_options(
        &self,
        snapshot: &Snapshot,
        entry: &Entry,
        sink: &Sink,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Vec<Change>> {
        let is_to_files = sink.options.get("connector").map(String::as_str) == Some(sinks::FILES);
        let changeable = match is_to_files {
            true => [&[RATE][..], &ROLLOVER].concat(),
            false => vec![RATE],
        };
        let mut options = sink.options.clone();
        for (name, value) in changes {
            if !changeable.contains(&name.as_str()) {
                return Err(Error::unsupported(format!(
                    "option {name:?} of {} cannot be changed",
                    entry.describe()
                ))
                .with_hint(format!(
                    "these can: {}; for others, drop it and create it anew",
                    changeable.join(", ")
                )));
            }
            match value {
                Some(value) => options.insert(name, value),
                None => options.remove(&name),
            };
        }
        rate::take(&mut Options::new(options.clone()))?;
        let changes = snapshot.set_options(entry.id, options)?;
        if is_to_files
            && let Some(Change::Put(changed)) = changes.first()
            && let Body::Sink(sink) = &changed.body
        {
            sinks::files(&self.engine, changed, sink)?;
        }
        Ok(changes)
    }

    /// Lets the job of a view or sink, as it was, go on with the options that it has by now. One that stands still has them when it goes
    /// on.
    pub(super) async fn apply_job_options(&self, before: &Entry) -> Result<()> {
        let (engine, snapshot) = (&self.engine, self.snapshot());
        let Some(entry) = snapshot.by_id(before.id) else {
            return Ok(());
        };
        match &entry.body {
            Body::Sink(_) => engine.sinks.run(engine, entry).await,
            Body::MaterializedView(kept) if !kept.paused && before.body != entry.body => {
                let starting = Some(ViewState::Starting);
                engine.views.end(engine, &[entry.id], starting).await;
                engine
                    .views
                    .run(engine, std::slice::from_ref(entry))
                    .await?;
                // Whether it goes at its own pace decides how it is read.
                if rate::of(&before.body).is_some() != rate::of(&entry.body).is_some() {
                    for reader in snapshot.with_dependants(&[entry.id]) {
                        if let Body::Sink(_) = &reader.body {
                            engine.sinks.run(engine, reader).await;
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
