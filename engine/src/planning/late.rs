//! The late rows of a view whose windows close, as a relation: `v$late`.
//!
//! Which rows were late follows from the streams alone, so the relation is a query over them, and nothing has to be kept for it.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use weir_catalog::{Body, Entry, ObjectName, Snapshot};

use super::relations::leaves_out;
use super::{Planner, Text};
use crate::error::Result;
use crate::security::denied;

/// What the name of a view's late rows ends with.
const SUFFIX: &str = "$late";

/// The view whose late rows a name means, unless something else has that name.
pub(super) fn view_of_late_rows<'a>(
    snapshot: &'a Snapshot,
    name: &ObjectName,
) -> Option<&'a Arc<Entry>> {
    if snapshot.get(name).is_some() {
        return None;
    }
    let view = name.name.strip_suffix(SUFFIX)?;
    let entry = snapshot.get(&ObjectName::new(&name.schema, view))?;
    match &entry.body {
        Body::MaterializedView(view) if view.on_window_close => Some(entry),
        _ => None,
    }
}

impl Planner {
    /// The late rows that a name means, if it means some.
    pub(super) async fn late_rows(
        &self,
        name: &ObjectName,
        text: Text<'_>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let snapshot = self.snapshot_for(text);
        let Some(entry) = view_of_late_rows(snapshot, name).cloned() else {
            return Ok(None);
        };
        self.permit(&entry, text)?;
        let Body::MaterializedView(kept) = &entry.body else {
            return Ok(None);
        };
        let rights = self.rights_for(text);
        if !rights.policies_on(&entry).is_empty() {
            return Err(denied(format!(
                "permission denied for the late rows of {}: a policy hides rows or values of it from \"{}\"",
                entry.describe(),
                rights.principal().user()
            )));
        }
        let closing = self.also_closing(leaves_out(kept));
        // They are rows of the streams, which the view shows nobody: who reads them needs to read these.
        let plan = Box::pin(closing.view_read_by(rights, &kept.view)).await;
        let plan = plan.map_err(|error| error.in_context(&format!("view \"{}\"", entry.name)))?;
        let late = weir_streaming::late_rows(&plan)?;
        Ok(Some(Arc::new(ViewTable::new(late, None))))
    }

    /// A planner for the same statement, on the same offsets, in which windows close; and in which rows without a watermark are left
    /// out, or not.
    fn also_closing(&self, leaves_out: bool) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            snapshot: Arc::clone(&self.snapshot),
            state: self.state.clone(),
            runtime: Arc::clone(&self.runtime),
            variables: self.variables.clone(),
            reading: self.reading,
            stop: self.stop.clone(),
            running: self.running.clone(),
            rights: Arc::clone(&self.rights),
            visible: Arc::clone(&self.visible),
            expands_kept: self.expands_kept,
            closes_windows: true,
            leaves_out,
            tells_keys: self.tells_keys,
            is_reused: self.is_reused,
            parameter_types: Vec::new(),
            session: self.session.clone(),
            opened: Arc::clone(&self.opened),
            moment: Arc::clone(&self.moment),
        }
    }
}
