//! `GROUP BY` with a state for each group that is as small as the function needs.
//!
//! DataFusion's own accumulators hold the state. Where rows only come, any of a list of functions is taken. Where rows go
//! again, `count`, exact sums and averages of whole numbers give them back, and `min` and `max` keep their values in order, each
//! with how often it is there (DataFusion's would forget the oldest value, whichever goes).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{filter, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Accumulator, Expr};
use datafusion::physical_expr::aggregate::{
    AggregateFunctionExpr, LoweredAggregate, LoweredAggregateBuilder,
};
use datafusion::physical_plan::PhysicalExpr;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::HashMap;

use super::average::{self, WholeAverage};
use super::{Boxed, Description, Follows, Operator, StateSize};
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::planning::UNORDERED;
use crate::state::{Keys, Multiset, RowCodec, prefix, release};

/// What a group takes besides its key and its accumulators, about.
const GROUP_OVERHEAD: usize = 96;
/// What a value that is kept in order takes, about.
const VALUE_OVERHEAD: usize = 64;
/// Groups that are encoded at once for a checkpoint.
const SAVED_AT_ONCE: usize = 8192;
/// Behind a group's key in the store: that its accumulators follow. Behind other numbers are the values of the call before it.
const ACCUMULATORS: [u8; 2] = [0, 0];

/// The calls of an aggregation, if all can be followed.
pub(crate) struct Calls(Vec<Call>);

/// One aggregate function, called.
struct Call {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Rows are added.
    Growing,
    /// Rows are added and given back.
    Sliding,
    /// The average of whole numbers.
    Average,
    /// The smallest or the largest value.
    Extreme { is_max: bool },
    /// How many different values there are.
    Distinct,
}

impl Kind {
    /// Whether the values themselves are kept.
    fn keeps_values(self) -> bool {
        matches!(self, Self::Extreme { .. } | Self::Distinct)
    }
}

impl Calls {
    /// The calls of `expressions` over rows of `schema`, of which none goes if `only_grows`; none when one of them is beyond this
    /// operator.
    pub(crate) fn of(
        expressions: &[Expr],
        schema: &DFSchema,
        only_grows: bool,
        state: &SessionState,
    ) -> Result<Option<Self>> {
        let mut calls = Vec::with_capacity(expressions.len());
        for expression in expressions {
            let planning = PhysicalPlanningContext::default();
            let LoweredAggregate {
                aggregate: function,
                filter,
                order_bys: order_by,
            } = LoweredAggregateBuilder::new(
                expression,
                schema,
                schema.as_arrow(),
                state.execution_props(),
                &planning,
            )
            .build()?;
            let name = function.fun().name().to_owned();
            if !order_by.is_empty() || !UNORDERED.contains(&name.as_str()) {
                return Ok(None);
            }
            let mut arguments = function.expressions();
            let whole = average::whole_number(&arguments, schema.as_arrow());
            let kind = match name.as_str() {
                "count" if function.is_distinct() && arguments.len() == 1 => Kind::Distinct,
                // The same with and without.
                "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" if only_grows => {
                    Kind::Growing
                }
                "min" | "max" => Kind::Extreme {
                    is_max: name == "max",
                },
                _ if function.is_distinct() => return Ok(None),
                _ if only_grows => Kind::Growing,
                "avg" if whole.is_some() => {
                    arguments = whole.into_iter().collect();
                    Kind::Average
                }
                "count" | "sum"
                    if !function.field().data_type().is_floating()
                        && function
                            .create_sliding_accumulator()?
                            .supports_retract_batch() =>
                {
                    Kind::Sliding
                }
                _ => return Ok(None),
            };
            calls.push(Call {
                function,
                arguments,
                filter,
                kind,
            });
        }
        Ok(Some(Self(calls)))
    }
}

/// The state of one call in one group.
enum State {
    Accumulator(Box<dyn Accumulator>),
    /// Values by their encoding.
    Values(Multiset),
}

struct Group {
    /// How many rows it has.
    rows: u64,
    states: Vec<State>,
    bytes: usize,
    /// Whether the store has it.
    in_store: bool,
    /// Whether the store has it otherwise than it is.
    changed: bool,
    /// Touched since groups were let go the last time.
    used: bool,
}

/// Groups, and what they have come to.
pub(crate) struct Aggregate {
    input: Boxed,
    keys: Keys,
    /// The groups' own columns.
    key_codec: RowCodec,
    has_keys: bool,
    calls: Vec<Call>,
    /// For each call on whose values something depends in their order.
    value_codecs: Vec<Option<RowCodec>>,
    groups: HashMap<Vec<u8>, Group>,
    /// How many groups there are, those that are not in memory included.
    count: u64,
    shelf: Shelf,
    /// The states of all accumulators of a group, one after the other, as a row of the store.
    state_codec: RowCodec,
    /// Keys of groups that are not saved as they are.
    changed: Vec<Vec<u8>>,
    /// Whether the store has groups that are not in memory.
    is_partial: bool,
    schema: SchemaRef,
    detail: String,
    bytes: usize,
    unsaved: usize,
    reservation: MemoryReservation,
    has_run: bool,
}

impl Aggregate {
    /// `schema` has the columns of the groups, and then one for each call.
    pub(crate) fn new(
        input: Boxed,
        keys: Keys,
        Calls(calls): Calls,
        schema: &SchemaRef,
        detail: String,
        (shelf, reservation): (Shelf, MemoryReservation),
    ) -> Result<Self> {
        let key_count = schema.fields().len() - calls.len();
        let key_fields: Vec<_> = schema.fields().iter().take(key_count).cloned().collect();
        let values = calls.iter().map(|call| {
            let argument = call.arguments.first().filter(|_| call.kind.keeps_values());
            let Some(argument) = argument else {
                return Ok(None);
            };
            let field = Field::new("value", argument.data_type(&input.schema())?, true);
            RowCodec::new(&Arc::new(Schema::new(vec![field]))).map(Some)
        });
        let value_codecs = values.collect::<Result<_>>()?;
        let mut state_fields = Vec::new();
        for call in &calls {
            if let State::Accumulator(mut accumulator) = call.new_state()? {
                let states = accumulator.state()?.into_iter();
                state_fields.extend(states.map(|state| Field::new("", state.data_type(), true)));
            }
        }
        let count = shelf.get(&[])?;
        let count = count.and_then(|count| count.as_ref().try_into().ok());
        Ok(Self {
            input,
            keys,
            key_codec: RowCodec::new(&Arc::new(Schema::new(key_fields)))?,
            has_keys: key_count > 0,
            value_codecs,
            calls,
            groups: HashMap::new(),
            count: count.map_or(0, u64::from_le_bytes),
            is_partial: shelf.is_restored(),
            has_run: shelf.is_restored(),
            shelf,
            state_codec: RowCodec::new(&Arc::new(Schema::new(state_fields)))?,
            changed: Vec::new(),
            schema: Arc::clone(schema),
            detail,
            bytes: 0,
            unsaved: 0,
            reservation,
        })
    }

    fn new_group(&self) -> Result<Group> {
        let states = self.calls.iter().map(Call::new_state);
        Ok(Group {
            rows: 0,
            states: states.collect::<Result<_>>()?,
            bytes: 0,
            in_store: false,
            changed: false,
            used: true,
        })
    }

    /// Takes a group out of memory, or out of the store.
    fn take_out(&mut self, key: &[u8]) -> Result<Option<Group>> {
        match self.groups.remove(key) {
            None if self.is_partial => self.load(key),
            known => Ok(known),
        }
    }

    /// What the store has of a group.
    fn load(&self, key: &[u8]) -> Result<Option<Group>> {
        let prefix = prefix(key);
        let mut group = self.new_group()?;
        if self.value_codecs.iter().all(Option::is_none) {
            if let Some(saved) = self.shelf.get(&[&prefix, &ACCUMULATORS])? {
                self.restore(&mut group, &saved)?;
            }
        } else {
            self.shelf.scan(&[&prefix], |rest, saved| {
                let Some((place, value)) = rest.split_first_chunk() else {
                    return Err(Error::Internal("a group's state has no place"));
                };
                let call = usize::from(u16::from_be_bytes(*place));
                match call.checked_sub(1).map(|call| group.states.get_mut(call)) {
                    None => self.restore(&mut group, saved),
                    Some(Some(State::Values(values))) => values.load(value, saved),
                    Some(_) => Err(Error::Internal("a group has the state of no call")),
                }
            })?;
        }
        Ok(group.in_store.then_some(group))
    }

    /// Takes in the states of a group's accumulators, and how many rows it has.
    fn restore(&self, group: &mut Group, saved: &[u8]) -> Result<()> {
        let (rows, states) = saved
            .split_first_chunk()
            .ok_or(Error::Internal("a group's state is cut off"))?;
        group.rows = u64::from_le_bytes(*rows);
        group.in_store = true;
        let decoded = self.state_codec.decode([states])?;
        let columns = decoded.first().map_or(&[][..], RecordBatch::columns);
        let mut at = 0;
        for state in &mut group.states {
            if let State::Accumulator(accumulator) = state {
                let fields = accumulator.state()?.len();
                let states = columns.get(at..at + fields);
                let states = states.ok_or(Error::Internal("a group's state has too few parts"))?;
                accumulator.merge_batch(states)?;
                at += fields;
            }
        }
        Ok(())
    }

    /// Writes the groups of some keys.
    fn save_some(&mut self, keys: &[Vec<u8>], saving: &mut Saving) -> Result<()> {
        let fields = self.state_codec.schema().fields().len();
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(keys.len()); fields];
        let mut saved: Vec<(Vec<u8>, u64)> = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(group) = self.groups.get_mut(key) else {
                continue;
            };
            group.changed = false;
            let prefix = prefix(key);
            for (state, call) in group.states.iter_mut().zip(1u16..) {
                if let State::Values(values) = state {
                    let place = [&prefix[..], &call.to_be_bytes()].concat();
                    values.save(saving, &self.shelf, &place);
                }
            }
            if group.rows == 0 && self.has_keys {
                saving.remove(&self.shelf, &[&prefix, &ACCUMULATORS]);
                self.bytes -= group.bytes;
                self.groups.remove(key);
                continue;
            }
            group.in_store = true;
            let mut columns = columns.iter_mut();
            for state in &mut group.states {
                if let State::Accumulator(accumulator) = state {
                    for (state, column) in accumulator.state()?.into_iter().zip(&mut columns) {
                        column.push(state);
                    }
                }
            }
            saved.push((prefix, group.rows));
        }
        let columns = columns.into_iter().filter(|_| !saved.is_empty());
        let columns = columns.map(ScalarValue::iter_to_array);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = self.state_codec.encode_columns(&columns)?;
        for (at, (prefix, count)) in saved.iter().enumerate() {
            let value = [&count.to_le_bytes()[..], rows.get(at)].concat();
            saving.put(&self.shelf, &[prefix, &ACCUMULATORS], &value);
        }
        Ok(())
    }

    /// Lets go of groups that are saved: of all, or of those that were not used since the last time. Answers the bytes that are left.
    fn let_go(&mut self, all: bool) -> usize {
        let bytes = &mut self.bytes;
        self.groups.retain(|_, group| {
            let was_used = std::mem::take(&mut group.used);
            let goes = !group.changed && group.in_store && (all || !was_used);
            *bytes -= if goes { group.bytes } else { 0 };
            !goes
        });
        self.groups.shrink_to_fit();
        self.bytes
    }

    /// What the calls give in a group.
    fn values(&self, group: &mut Group) -> Result<Vec<ScalarValue>> {
        let calls = self.calls.iter().zip(&self.value_codecs);
        let states = group.states.iter_mut().zip(calls);
        states
            .map(|(state, (call, codec))| match (state, codec) {
                (State::Accumulator(accumulator), _) => Ok(accumulator.evaluate()?),
                (State::Values(values), Some(_)) if call.kind == Kind::Distinct => {
                    Ok(ScalarValue::Int64(i64::try_from(values.len()).ok()))
                }
                (State::Values(values), Some(codec)) => {
                    let extreme = match call.kind {
                        Kind::Extreme { is_max: true } => values.last(),
                        _ => values.first(),
                    };
                    let Some(extreme) = extreme else {
                        let data_type = call.function.field().data_type().clone();
                        return Ok(ScalarValue::try_from(&data_type)?);
                    };
                    let decoded = codec.decode([extreme])?;
                    let column = decoded.first().map(|batch| batch.column(0));
                    let column = column.ok_or(Error::Internal("a value has no column"))?;
                    Ok(ScalarValue::try_from_array(column, 0)?)
                }
                (State::Values(_), None) => Err(Error::Internal("values without a form")),
            })
            .collect()
    }

    /// Takes in the rows of a batch, which come or go. Of each group that it touches first, what it was is put into `before`.
    fn take_in(
        &mut self,
        batch: &RecordBatch,
        comes: bool,
        before: &mut HashMap<Vec<u8>, Option<Vec<ScalarValue>>>,
    ) -> Result<()> {
        let keys = self.keys.of(batch)?;
        // Rows of one group become neighbours.
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by(|a, b| keys.get(*a as usize).cmp(keys.get(*b as usize)));
        let places = UInt32Array::from(order.clone());
        let arguments = self.calls.iter().map(|call| {
            let evaluate = |argument: &Arc<dyn PhysicalExpr>| {
                let values = argument.evaluate(batch)?.into_array(batch.num_rows())?;
                Ok(take(&values, &places, None)?)
            };
            let values: Vec<ArrayRef> =
                call.arguments.iter().map(evaluate).collect::<Result<_>>()?;
            let filter = call.filter.as_ref().map(evaluate).transpose()?;
            Ok((values, filter))
        });
        let arguments: Vec<(Vec<ArrayRef>, Option<ArrayRef>)> = arguments.collect::<Result<_>>()?;
        let mut start = 0;
        while start < order.len() {
            let key = keys.get(order[start] as usize);
            let mut end = start + 1;
            while end < order.len() && keys.get(order[end] as usize) == key {
                end += 1;
            }
            self.take_group(key, start..end, comes, &arguments, before)?;
            start = end;
        }
        Ok(())
    }

    fn take_group(
        &mut self,
        key: &[u8],
        range: std::ops::Range<usize>,
        comes: bool,
        arguments: &[(Vec<ArrayRef>, Option<ArrayRef>)],
        before: &mut HashMap<Vec<u8>, Option<Vec<ScalarValue>>>,
    ) -> Result<()> {
        let mut group = match self.take_out(key)? {
            Some(group) => group,
            None => self.new_group()?,
        };
        let (was_there, bytes_before) = (group.rows > 0, group.bytes);
        if !before.contains_key(key) {
            let is_shown = group.rows > 0 || (!self.has_keys && self.has_run);
            let values = match is_shown {
                true => Some(self.values(&mut group)?),
                false => None,
            };
            before.insert(key.to_vec(), values);
        }
        let rows = range.len();
        group.rows = match comes {
            true => group.rows + rows as u64,
            false => group
                .rows
                .checked_sub(rows as u64)
                .ok_or(Error::Internal("a row goes that never came"))?,
        };
        let states = group
            .states
            .iter_mut()
            .zip(arguments)
            .zip(&self.value_codecs);
        for ((state, (values, mask)), codec) in states {
            let mut values: Vec<ArrayRef> = values
                .iter()
                .map(|values| values.slice(range.start, rows))
                .collect();
            if let Some(mask) = mask {
                let mask = mask.slice(range.start, rows);
                for values in &mut values {
                    *values = filter(values, mask.as_boolean())?;
                }
            }
            match (state, codec) {
                (State::Accumulator(accumulator), _) if comes => {
                    accumulator.update_batch(&values)?;
                }
                (State::Accumulator(accumulator), _) => accumulator.retract_batch(&values)?,
                (State::Values(counts), Some(codec)) => {
                    if let Some(values) = values.first() {
                        count(counts, values, codec, comes)?;
                        self.unsaved += values.len() * VALUE_OVERHEAD;
                    }
                }
                (State::Values(_), None) => return Err(Error::Internal("values without a form")),
            }
        }
        match (was_there, group.rows > 0) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
        self.bytes -= bytes_before;
        if group.rows > 0 || !self.has_keys || group.in_store {
            group.bytes =
                key.len() + GROUP_OVERHEAD + group.states.iter().map(State::size).sum::<usize>();
            self.bytes += group.bytes;
            group.used = true;
            if self.shelf.is_kept() && !std::mem::replace(&mut group.changed, true) {
                self.changed.push(key.to_vec());
                self.unsaved += group.bytes;
            }
            self.groups.insert(key.to_vec(), group);
        }
        Ok(())
    }

    /// Rows of groups with what their calls give.
    fn rows<'a>(
        &self,
        groups: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<ScalarValue>)>,
    ) -> Result<Vec<RecordBatch>> {
        let (keys, values): (Vec<_>, Vec<_>) = groups.unzip();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        if self.has_keys {
            let batches = self
                .key_codec
                .decode(keys.iter().map(|key| key.as_slice()))?;
            let schema = batches.first().map(RecordBatch::schema);
            let schema = schema.ok_or(Error::Internal("groups have no keys"))?;
            let all = arrow::compute::concat_batches(&schema, &batches)?;
            columns.extend(all.columns().iter().cloned());
        }
        for call in 0..self.calls.len() {
            let values = values.iter().filter_map(|values| values.get(call).cloned());
            columns.push(ScalarValue::iter_to_array(values)?);
        }
        Ok(vec![RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns,
        )?])
    }
}

impl State {
    fn size(&self) -> usize {
        match self {
            Self::Accumulator(accumulator) => accumulator.size(),
            Self::Values(values) => values.len() * VALUE_OVERHEAD,
        }
    }
}

impl Call {
    fn new_state(&self) -> Result<State> {
        Ok(match self.kind {
            Kind::Growing => State::Accumulator(self.function.create_accumulator()?),
            Kind::Sliding => State::Accumulator(self.function.create_sliding_accumulator()?),
            Kind::Average => State::Accumulator(Box::<WholeAverage>::default()),
            Kind::Extreme { .. } | Kind::Distinct => State::Values(Multiset::default()),
        })
    }
}

/// Counts values that are not null.
fn count(counts: &mut Multiset, values: &ArrayRef, codec: &RowCodec, comes: bool) -> Result<()> {
    let rows = codec.encode_columns(std::slice::from_ref(values))?;
    for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
        if comes {
            counts.add(rows.get(row));
        } else {
            counts.remove(rows.get(row))?;
        }
    }
    Ok(())
}

impl Operator for Aggregate {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let delta = self.input.step(ranges).await?;
            let mut before = HashMap::new();
            for batch in &delta.plus {
                self.take_in(batch, true, &mut before)?;
            }
            for batch in &delta.minus {
                self.take_in(batch, false, &mut before)?;
            }
            if !self.has_keys && !self.has_run {
                // All rows are one group, also where there is none.
                before.entry(Vec::new()).or_insert(None);
                if !self.groups.contains_key(&[][..]) {
                    let group = self.new_group()?;
                    self.groups.insert(Vec::new(), group);
                }
            }
            self.has_run = true;
            self.reservation.try_resize(self.bytes)?;
            let mut before: Vec<(Vec<u8>, Option<Vec<ScalarValue>>)> = before.into_iter().collect();
            before.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let mut after = Vec::with_capacity(before.len());
            for (key, was) in before {
                let is = match self.groups.remove(&key) {
                    None => None,
                    Some(mut group) => {
                        let is_shown = group.rows > 0 || !self.has_keys;
                        let values = is_shown.then(|| self.values(&mut group)).transpose()?;
                        self.groups.insert(key.clone(), group);
                        values
                    }
                };
                if was != is {
                    after.push((key, was, is));
                }
            }
            let went = after
                .iter()
                .filter_map(|(key, was, _)| Some((key, was.as_ref()?)));
            let minus = self.rows(went)?;
            let came = after
                .iter()
                .filter_map(|(key, _, is)| Some((key, is.as_ref()?)));
            Ok(Delta {
                plus: self.rows(came)?,
                minus,
            })
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        // Without calls, there are only keys: DISTINCT.
        self.calls.is_empty() && self.input.only_grows()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn describe(&self) -> Description {
        Description {
            name: "Aggregate",
            detail: self.detail.clone(),
            follows: Follows::Changes,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.input.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.input]
    }

    fn state(&self) -> StateSize {
        StateSize {
            rows: self.count,
            bytes: self.bytes,
            unsaved: self.unsaved,
        }
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        for keys in changed.chunks(SAVED_AT_ONCE) {
            self.save_some(keys, saving)?;
        }
        saving.put(&self.shelf, &[], &self.count.to_le_bytes());
        self.unsaved = 0;
        Ok(())
    }

    fn release(&mut self) {
        if !self.shelf.is_kept() {
            return;
        }
        self.is_partial = true;
        release(self.bytes, |all| self.let_go(all));
        self.reservation.resize(self.bytes);
    }
}
