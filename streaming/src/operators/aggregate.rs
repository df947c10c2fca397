//! `GROUP BY` with a state for each group that is as small as the function needs.
//!
//! DataFusion's own accumulators hold the state. Where rows only come, any of a list of functions is taken. Where rows go
//! again, `count` and exact sums give them back, and `min` and `max` keep their values in order, each with how often it is there
//! (DataFusion's would forget the oldest value, whichever goes).

use std::collections::BTreeMap;
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

use super::{Boxed, Description, Follows, Operator};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::state::{Keys, RowCodec};

/// Functions whose accumulators can be asked again and again while rows come.
const GROWING: [&str; 13] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "stddev",
    "var",
    "approx_distinct",
];
/// What a group takes besides its key and its accumulators, about.
const GROUP_OVERHEAD: usize = 96;

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
    /// The smallest or the largest value.
    Extreme { is_max: bool },
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
            if !order_by.is_empty() || !GROWING.contains(&name.as_str()) {
                return Ok(None);
            }
            let arguments = function.expressions();
            let kind = match name.as_str() {
                _ if only_grows => Kind::Growing,
                "min" | "max" => Kind::Extreme {
                    is_max: name == "max",
                },
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
    /// Values by their encoding, with how often each is there.
    Values(BTreeMap<Vec<u8>, u64>),
}

struct Group {
    /// How many rows it has.
    rows: u64,
    states: Vec<State>,
    bytes: usize,
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
    schema: SchemaRef,
    detail: String,
    bytes: usize,
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
        reservation: MemoryReservation,
    ) -> Result<Self> {
        let key_count = schema.fields().len() - calls.len();
        let key_fields: Vec<_> = schema.fields().iter().take(key_count).cloned().collect();
        let value_codecs = calls.iter().map(|call| match call.kind {
            Kind::Extreme { .. } => {
                let field = call.function.field().as_ref().clone().with_nullable(true);
                let field = Field::new("value", field.data_type().clone(), true);
                RowCodec::new(&Arc::new(Schema::new(vec![field]))).map(Some)
            }
            _ => Ok(None),
        });
        Ok(Self {
            input,
            keys,
            key_codec: RowCodec::new(&Arc::new(Schema::new(key_fields)))?,
            has_keys: key_count > 0,
            value_codecs: value_codecs.collect::<Result<_>>()?,
            calls,
            groups: HashMap::new(),
            schema: Arc::clone(schema),
            detail,
            bytes: 0,
            reservation,
            has_run: false,
        })
    }

    fn new_group(&self) -> Result<Group> {
        let states = self.calls.iter().map(|call| {
            Ok(match call.kind {
                Kind::Growing => State::Accumulator(call.function.create_accumulator()?),
                Kind::Sliding => State::Accumulator(call.function.create_sliding_accumulator()?),
                Kind::Extreme { .. } => State::Values(BTreeMap::new()),
            })
        });
        Ok(Group {
            rows: 0,
            states: states.collect::<Result<_>>()?,
            bytes: 0,
        })
    }

    /// What the calls give in a group.
    fn values(&self, group: &mut Group) -> Result<Vec<ScalarValue>> {
        let calls = self.calls.iter().zip(&self.value_codecs);
        let states = group.states.iter_mut().zip(calls);
        states
            .map(|(state, (call, codec))| match (state, codec) {
                (State::Accumulator(accumulator), _) => Ok(accumulator.evaluate()?),
                (State::Values(values), Some(codec)) => {
                    let extreme = match call.kind {
                        Kind::Extreme { is_max: true } => values.keys().next_back(),
                        _ => values.keys().next(),
                    };
                    let Some(extreme) = extreme else {
                        let data_type = call.function.field().data_type().clone();
                        return Ok(ScalarValue::try_from(&data_type)?);
                    };
                    let decoded = codec.decode([extreme.as_slice()])?;
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
        let known = self.groups.remove(key);
        let mut group = match known {
            Some(group) => group,
            None => self.new_group()?,
        };
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
                    }
                }
                (State::Values(_), None) => return Err(Error::Internal("values without a form")),
            }
        }
        self.bytes -= group.bytes;
        if group.rows > 0 || !self.has_keys {
            group.bytes =
                key.len() + GROUP_OVERHEAD + group.states.iter().map(State::size).sum::<usize>();
            self.bytes += group.bytes;
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
            Self::Values(values) => values.len() * 64,
        }
    }
}

/// Counts values that are not null.
fn count(
    counts: &mut BTreeMap<Vec<u8>, u64>,
    values: &ArrayRef,
    codec: &RowCodec,
    comes: bool,
) -> Result<()> {
    let field = Field::new("value", values.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(values)])?;
    let mut row = 0;
    codec.each(&batch, |bytes| {
        let is_null = values.is_null(row);
        row += 1;
        if is_null {
        } else if comes {
            *counts.entry(bytes.to_vec()).or_insert(0) += 1;
        } else if let Some(count) = counts.get_mut(bytes) {
            *count -= 1;
            if *count == 0 {
                counts.remove(bytes);
            }
        }
    })
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
                        let values = self.values(&mut group)?;
                        self.groups.insert(key.clone(), group);
                        Some(values)
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
            state: (self.groups.len() as u64, self.bytes),
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.input.as_ref()]
    }
}
