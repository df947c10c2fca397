//! `sum` of exact numbers that fails where its end overflows; DataFusion's wraps around. Of all other types it is
//! DataFusion's.

use std::sync::Arc;

use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator,
    ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};

use super::totals::{DistinctTotal, Long, Short, SlidingTotal, Summed, Total, Totals};

/// What `$exact` gives for a type whose sums are exact, `$other` for one whose sums are DataFusion's.
macro_rules! by_type {
    ($data_type:expr, $exact:ident, $other:expr) => {
        match $data_type {
            DataType::Int64 => $exact!(Short, Int64Type),
            DataType::UInt64 => $exact!(Short, UInt64Type),
            DataType::Decimal32(..) => $exact!(Short, Decimal32Type),
            DataType::Decimal64(..) => $exact!(Short, Decimal64Type),
            // A sum has ten digits more than its values, up to 38.
            DataType::Decimal128(..38, _) => $exact!(Short, Decimal128Type),
            DataType::Decimal128(..) => $exact!(Long, Decimal128Type),
            _ => $other,
        }
    };
}

/// DataFusion's `sum`, with accumulators of its own for exact numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sum(Arc<AggregateUDF>);

impl Default for Sum {
    fn default() -> Self {
        Self(sum_udaf())
    }
}

impl Sum {
    fn inner(&self) -> &dyn AggregateUDFImpl {
        self.0.inner().as_ref()
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.inner().signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner().return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = args.return_field.data_type();
        macro_rules! exact {
            ($width:ident, $value:ty) => {
                if args.is_distinct {
                    Ok(Box::new(DistinctTotal::<$value>::new(data_type)))
                } else {
                    Ok(Box::new(Total::<$width<$value>>::new(data_type)))
                }
            };
        }
        by_type!(data_type, exact, self.inner().accumulator(args))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return self.inner().state_fields(args);
        }
        let name = format_state_name(args.name, "sum");
        macro_rules! exact {
            ($width:ident, $value:ty) => {
                Ok(vec![Arc::new(Field::new(
                    name,
                    <$width<$value> as Summed>::STATE,
                    true,
                ))])
            };
        }
        by_type!(args.return_type(), exact, self.inner().state_fields(args))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = args.return_field.data_type();
        macro_rules! exact {
            ($width:ident, $value:ty) => {
                Ok(Box::new(Totals::<$width<$value>>::new(data_type)))
            };
        }
        by_type!(
            data_type,
            exact,
            self.inner().create_groups_accumulator(args)
        )
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // The same accumulator can give rows back.
        if args.is_distinct {
            return self.accumulator(args);
        }
        let data_type = args.return_field.data_type();
        macro_rules! exact {
            ($width:ident, $value:ty) => {
                Ok(Box::new(SlidingTotal::<$width<$value>>::new(data_type)))
            };
        }
        by_type!(
            data_type,
            exact,
            self.inner().create_sliding_accumulator(args)
        )
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner().order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner().documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner().set_monotonicity(data_type)
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner()
            .simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner().value_from_stats(statistics)
    }
}
