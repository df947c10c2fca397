//! The lists behind functions that give rows: `pg_options_to_table` and `aclexplode`. `unnest` is put around them where they are
//! called (`planning::postgres`).

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StringViewBuilder, StructArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for kind in [Kind::Options, Kind::Rights] {
        state.register_udf(Arc::new(ScalarUDF::from(ListFunction {
            kind,
            signature: Signature::any(1, Volatility::Immutable),
        })))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// `name=value` as `option_name` and `option_value`.
    Options,
    /// Lists of rights, which no object has.
    Rights,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListFunction {
    kind: Kind,
    signature: Signature,
}

impl ListFunction {
    fn columns(&self) -> Fields {
        let text = |name| Field::new(name, DataType::Utf8View, true);
        let oid = |name| Field::new(name, DataType::UInt32, true);
        match self.kind {
            Kind::Options => Fields::from(vec![text("option_name"), text("option_value")]),
            Kind::Rights => Fields::from(vec![
                oid("grantor"),
                oid("grantee"),
                text("privilege_type"),
                Field::new("is_grantable", DataType::Boolean, true),
            ]),
        }
    }

    fn list_type(&self) -> DataType {
        DataType::new_list(DataType::Struct(self.columns()), true)
    }
}

impl ScalarUDFImpl for ListFunction {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Options => "option_pairs",
            Kind::Rights => "acl_items",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.list_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return plan_err!("{} takes one argument", self.name());
        };
        Ok(ColumnarValue::Array(match self.kind {
            Kind::Options => self.options(array)?,
            Kind::Rights => new_null_array(&self.list_type(), array.len()),
        }))
    }
}

impl ListFunction {
    fn options(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let texts = DataType::new_list(DataType::Utf8View, true);
        let list = arrow::compute::cast(array, &texts)?;
        let list: &ListArray = list.as_list();
        let mut names = StringViewBuilder::new();
        let mut values = StringViewBuilder::new();
        let mut lengths = Vec::with_capacity(list.len());
        for row in 0..list.len() {
            if list.is_null(row) {
                lengths.push(0);
                continue;
            }
            let options = list.value(row);
            lengths.push(options.len());
            for option in options.as_string_view() {
                let (name, value) = match option.and_then(|option| option.split_once('=')) {
                    Some((name, value)) => (Some(name), Some(value)),
                    None => (option, None),
                };
                names.append_option(name);
                values.append_option(value);
            }
        }
        let pairs: Vec<ArrayRef> = vec![Arc::new(names.finish()), Arc::new(values.finish())];
        let pairs = StructArray::try_new(self.columns(), pairs, None)?;
        let item = Field::new_list_field(DataType::Struct(self.columns()), true);
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(
            Arc::new(item),
            offsets,
            Arc::new(pairs),
            None,
        )?))
    }
}
