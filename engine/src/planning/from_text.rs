//! Columns of text that are cast to bytes or to an interval: read in PostgreSQL's forms, as literals are.
//!
//! In: a plan whose types are settled. Out: the same plan, with a function in place of such a cast. Literals are read where
//! they stand, by `bytea` and `literals`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::rewrite::Scope;
use super::{bytea, literals};

/// `expr` with texts that are cast to bytes or to an interval read as PostgreSQL reads them.
pub(super) fn read(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let (inner, field, is_lenient) = match &expr {
            Expr::Cast(Cast { expr, field }) => (expr, field, false),
            Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
            _ => return Ok(Transformed::no(expr)),
        };
        let is_text = || {
            scope
                .type_of(inner)
                .is_some_and(|data_type| data_type.is_string())
        };
        let Some(function) = FUNCTIONS
            .iter()
            .find(|function| {
                function.0.to == *field.data_type() && function.0.is_lenient == is_lenient
            })
            .filter(|_| is_text())
        else {
            return Ok(Transformed::no(expr));
        };
        let text = inner.as_ref().clone();
        let call = ScalarFunction::new_udf(Arc::clone(&function.1), vec![text]);
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    })
}

static FUNCTIONS: LazyLock<Vec<(FromText, Arc<ScalarUDF>)>> = LazyLock::new(|| {
    let types = [
        DataType::Binary,
        DataType::Interval(IntervalUnit::MonthDayNano),
    ];
    let pairs = types
        .into_iter()
        .flat_map(|to| [(to.clone(), false), (to, true)]);
    pairs
        .map(|(to, is_lenient)| {
            let function = || FromText {
                to: to.clone(),
                is_lenient,
                signature: Signature::any(1, Volatility::Immutable),
            };
            (function(), Arc::new(ScalarUDF::from(function())))
        })
        .collect()
});

/// Text as a value of another type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FromText {
    to: DataType,
    /// Whether a text that is no such value becomes null.
    is_lenient: bool,
    signature: Signature,
}

impl ScalarUDFImpl for FromText {
    fn name(&self) -> &str {
        match (&self.to, self.is_lenient) {
            (DataType::Binary, false) => "bytea_of_text",
            (DataType::Binary, true) => "try_bytea_of_text",
            (_, false) => "interval_of_text",
            (_, true) => "try_interval_of_text",
        }
    }

    /// As its argument, which is how a cast is named.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match args {
            [text] => text.schema_name().to_string(),
            _ => self.name().to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(texts)] => Ok(ColumnarValue::Array(self.values(texts)?)),
            [ColumnarValue::Scalar(text)] => {
                let value = self.values(&text.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &value, 0,
                )?))
            }
            other => internal_err!("{} of {} arguments", self.name(), other.len()),
        }
    }
}

impl FromText {
    fn values(&self, texts: &ArrayRef) -> Result<ArrayRef> {
        let texts = cast(texts, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        if self.to == DataType::Binary {
            let mut values = BinaryBuilder::new();
            for text in texts {
                match text.map(bytea::bytes) {
                    None => values.append_null(),
                    Some(Some(bytes)) => values.append_value(bytes),
                    Some(None) if self.is_lenient => values.append_null(),
                    Some(None) => return Err(bytea::no_value(text.unwrap_or_default()).into()),
                }
            }
            return Ok(Arc::new(values.finish()));
        }
        let spelled: StringArray = texts
            .iter()
            .map(|text| {
                text.map(|text| literals::spelled_out(text).unwrap_or_else(|| text.to_owned()))
            })
            .collect();
        let options = CastOptions {
            safe: self.is_lenient,
            ..CastOptions::default()
        };
        Ok(cast_with_options(&spelled, &self.to, &options)?)
    }
}
