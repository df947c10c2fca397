//! The parts of a walk that have to do with event time.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Aggregate, Expr, Join, LogicalPlan, LogicalPlanBuilder, TableScan, UserDefinedLogicalNodeCore,
};

use super::needed::{NeededUntil, joins_below};
use super::parts::{Parts, can_be_parted};
use super::{Inputs, Walk};
use crate::error::{Error, Result};
use crate::event_time::{
    EventSource, Reading, WINDOW_END, WatermarkedStream, WindowClose, Windows, as_window_close,
    carry, closing_below, is_by_window,
};
use crate::operators::{
    Boxed, ClosingWindows, Linear, OnTime, Sessions, TooLate, WatermarkSource, WhileOpen, measured,
    scan_of,
};
use crate::sources::{How, Read};

impl Walk<'_> {
    /// A stream that is read with its watermark.
    pub(super) async fn watermarked(
        &mut self,
        scan: &TableScan,
        stream: &WatermarkedStream,
    ) -> Result<Boxed> {
        let columns = scan.projected_schema.fields().iter();
        let reading = Reading::of(stream, columns.map(|field| field.name().as_str()))?;
        let source = provider_as_source(Arc::clone(stream.stream()) as _);
        let read = Some(reading.read.clone());
        let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, read)?.build()?;
        let kernel = self.kernel(&plan, Inputs::default()).await?;
        let node = scan_of(kernel.plan().as_ref());
        let node = node.ok_or(Error::Internal("a stream's plan has no scan"))?;
        let first = node.first_offsets();
        let topic = stream.stream().topic();
        Read::add(&mut self.reads, topic, first, How::Stream);
        let shelf = self.shelf();
        let source = EventSource::new(stream, kernel, reading, &shelf)?;
        let operator = WatermarkSource::of(&source, shelf);
        self.event_time.add(source);
        Ok(measured(operator))
    }

    /// The rows of windows that have closed.
    pub(super) async fn window_close(&mut self, windows: &WindowClose) -> Result<Boxed> {
        let (on_time, schema) = self.on_time(windows).await?;
        let end = place(&schema, windows.end())?;
        let now = self.event_time.now();
        let place_of_state = (self.shelf(), self.reservation());
        if *windows.windows() != Windows::Session {
            let detail = format!("rows wait until the watermark reaches {WAITS_FOR}");
            let waiting = ClosingWindows::new(on_time, end, None, now, place_of_state, detail)?;
            return Ok(measured(waiting));
        }
        let start = place(&schema, windows.start())?;
        let keys: Vec<Expr> = windows.keys().iter().cloned().map(Expr::Column).collect();
        let keys = self.keys(&schema, &keys)?;
        let columns = schema.columns().into_iter().enumerate();
        let columns = columns.filter(|(_, column)| !windows.keys().contains(column));
        let columns = columns.map(|(at, _)| at).collect();
        let detail = format!("sessions wait until the watermark passes {WAITS_FOR}");
        let bounds = [start, end];
        let sessions = Sessions::new(on_time, keys, bounds, columns, now, place_of_state, detail)?;
        Ok(measured(sessions))
    }

    /// The rows of windows that are not late, without their watermarks, and their schema.
    async fn on_time(&mut self, windows: &WindowClose) -> Result<(Boxed, DFSchemaRef)> {
        let schema = windows.input().schema();
        let watermark = windows.watermark();
        let (Some(end), Some(start), Some(watermark)) = (windows.end(), windows.start(), watermark)
        else {
            return Err(Error::Internal("a window does not know of the watermark"));
        };
        let too_late = match windows.windows() {
            Windows::Grid { .. } => TooLate::ReachedEnd {
                end: schema.index_of_column(end)?,
            },
            Windows::Session => TooLate::PassedTime {
                time: schema.index_of_column(start)?,
            },
        };
        let at = schema.index_of_column(watermark)?;
        // Another window may be over the same join.
        self.needed = joins_below(windows);
        let input = self.operator(windows.input()).await?;
        self.needed.clear();
        let late = Arc::clone(self.event_time.late());
        let on_time = OnTime::new(input, too_late, at, late, self.shelf())?;
        let rest = schema.iter().enumerate().filter(|(other, _)| *other != at);
        let rest = rest.map(|(_, (qualifier, field))| (qualifier.cloned(), Arc::clone(field)));
        let rest = DFSchema::new_with_metadata(rest.collect(), Default::default())?;
        Ok((measured(on_time), Arc::new(rest)))
    }

    /// An aggregation of the rows of windows, of which only what they have come to waits for the end; none when it cannot be put
    /// together from parts.
    pub(super) async fn closing_aggregate(
        &mut self,
        plan: &LogicalPlan,
        aggregate: &Aggregate,
    ) -> Result<Option<Boxed>> {
        let Some(windows) = closing_below(aggregate) else {
            return Ok(None);
        };
        if !is_by_window(plan) || !can_be_parted(aggregate) {
            return Ok(None);
        }
        let end = windows.end().cloned();
        let end = end.ok_or(Error::Internal("a window has no end"))?;
        let mut inputs = Inputs::default();
        let (input, end) = carry(&aggregate.input, WINDOW_END, &mut |plan| {
            let is_window = as_window_close(plan).is_some();
            Ok(is_window.then(|| (inputs.add(windows.schema()), end.clone())))
        })?;
        let mut keys = aggregate.group_expr.clone();
        let place_of_end = keys.len();
        keys.push(Expr::Column(end).alias(WINDOW_END));
        let parted = Aggregate::try_new(Arc::new(input), keys, aggregate.aggr_expr.clone())?;
        let kernel = self.kernel(&LogicalPlan::Aggregate(parted), inputs).await?;
        let Some(parts) = Parts::of(kernel, place_of_end)? else {
            return Ok(None);
        };
        let (on_time, _) = self.on_time(windows).await?;
        let detail = plan.display().to_string();
        let partial = Linear::new(vec![on_time], parts.partial, format!("parts of {detail}"));
        let waiting = ClosingWindows::new(
            measured(partial),
            place_of_end,
            Some(parts.reduce),
            self.event_time.now(),
            (self.shelf(), self.reservation()),
            format!("groups wait until the watermark reaches {WAITS_FOR}"),
        )?;
        let whole = Linear::by_window(vec![measured(waiting)], parts.whole, detail);
        Ok(Some(measured(whole)))
    }
}

impl Walk<'_> {
    /// Up to when a join needs the rows of each side, where it does not need them for ever.
    pub(super) fn needed_of(&mut self, join: &Join) -> Result<[Option<WhileOpen>; 2]> {
        let place = self.needed.iter().position(|(known, _)| known == join);
        let Some((_, sides)) = place.map(|at| self.needed.swap_remove(at)) else {
            return Ok([None, None]);
        };
        let [left, right] = sides;
        let now = self.event_time.now();
        let made = |until: Option<NeededUntil>, side: &LogicalPlan| {
            let until = until.map(|NeededUntil { time, nanos }| {
                let at = side.schema().index_of_column(&time)?;
                WhileOpen::new(side.schema().inner(), at, nanos, now.clone())
            });
            until.transpose()
        };
        Ok([made(left, &join.left)?, made(right, &join.right)?])
    }
}

const WAITS_FOR: &str = "the end of their window, and are freed then";

fn place(schema: &DFSchema, column: Option<&Column>) -> Result<usize> {
    let column = column.ok_or(Error::Internal("a window has no bounds"))?;
    Ok(schema.index_of_column(column)?)
}
