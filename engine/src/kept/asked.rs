//! What is asked for, as far as it tells one plan from another.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use weir_catalog::AccountId;
use weir_catalog::accounts::TokenId;
use weir_sql::literals::{self, Literal, LiteralValue};

use crate::request::Request;
use crate::security::Principal;
use crate::variables::{Settled, Variables};

/// Longer texts are not kept.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// What a plan is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The text, without the literals that are parameters of the plan.
    sql: String,
    /// Of the parameters' values, and as the client said them.
    types: (Vec<DataType>, Vec<Option<DataType>>),
    settings: Settled,
    reader: (Option<AccountId>, Option<TokenId>),
}

/// A request whose plan may be kept.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(super) key: Key,
    literals: Literals,
}

/// What is known of the literals of a text that brings no parameters.
#[derive(Debug, Clone)]
enum Literals {
    /// Nothing is to be known: it has parameters, or no literals that can be some.
    Closed,
    /// Which of them can be parameters. Texts that differ in literals alone have the same `form`.
    Unknown { form: String, all: Vec<Literal> },
    /// Those in whose places the plan has parameters have these values.
    Open {
        form: String,
        all: Vec<Literal>,
        is_open: Arc<[bool]>,
        values: Vec<ScalarValue>,
    },
}

impl Asked {
    /// What a request asks for; none where more than its text and its values says it. `can_be_open` tells of the literals of a text in this
    /// form which can be parameters, where that is known.
    pub(super) fn of(
        request: &Request,
        variables: &Variables,
        principal: &Principal,
        can_be_open: impl FnOnce(&str) -> Option<Arc<[bool]>>,
    ) -> Option<Self> {
        let is_plain =
            request.copied.is_none() && request.resume.is_none() && request.envelope.is_none();
        if !is_plain || request.sql.len() > TEXT_BYTES_MAX {
            return None;
        }
        if !is_query(&request.sql) {
            return None;
        }
        let (sql, literals) = match request.parameters.is_empty() {
            true => opened(&request.sql, can_be_open),
            false => (request.sql.clone(), Literals::Closed),
        };
        let types = request.parameters.iter();
        let key = Key {
            sql,
            types: (
                types.map(ScalarValue::data_type).collect(),
                request.hints.clone(),
            ),
            settings: variables.settled(),
            reader: (principal.account(), principal.token()),
        };
        Some(Self { key, literals })
    }

    /// The values that its plan is run with.
    pub(crate) fn values<'a>(&'a self, request: &'a Request) -> &'a [ScalarValue] {
        match &self.literals {
            Literals::Open { values, .. } => values,
            _ => &request.parameters,
        }
    }

    /// The query with parameters in the places of its literals, where its plan has them there.
    pub(crate) fn opened(&self, query: &ast::Query) -> Option<ast::Query> {
        let Literals::Open { all, is_open, .. } = &self.literals else {
            return None;
        };
        let mut query = query.clone();
        literals::open(&mut query, all, |at| is_open.get(at) == Some(&true));
        Some(query)
    }

    /// The form of the text, and which of its literals can be parameters, if those of the parameters with these numbers cannot.
    pub(super) fn without(&self, parameters: &[usize]) -> Option<(String, Vec<bool>)> {
        let Literals::Open { form, is_open, .. } = &self.literals else {
            return None;
        };
        let mut number = 0;
        let is_open = is_open.iter().map(|is_open| {
            let stays = *is_open && !parameters.contains(&number);
            number += usize::from(*is_open);
            stays
        });
        Some((form.clone(), is_open.collect()))
    }

    /// The form of the text, and which of its literals can be parameters, where that is not known yet.
    pub(super) fn learnt(&self, query: &ast::Query) -> Option<(String, Vec<bool>)> {
        let Literals::Unknown { form, all } = &self.literals else {
            return None;
        };
        let is_open = literals::open(&mut query.clone(), all, |_| true);
        Some((form.clone(), is_open))
    }

    /// Whether it has to be parsed before its key is known.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.literals, Literals::Unknown { .. })
    }
}

/// Whether a text begins as a query does. Of others nothing is remembered: they change something, or have secrets.
fn is_query(sql: &str) -> bool {
    let sql = sql.trim_ascii_start();
    let begins = |word: &str| {
        let start = sql.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    begins("SELECT") || begins("WITH")
}

fn opened(sql: &str, can_be_open: impl FnOnce(&str) -> Option<Arc<[bool]>>) -> (String, Literals) {
    let all = literals::literals(sql);
    if all.is_empty() {
        return (sql.to_owned(), Literals::Closed);
    }
    let form = literals::without(sql, &all, |_| true);
    let Some(known) = can_be_open(&form) else {
        return (sql.to_owned(), Literals::Unknown { form, all });
    };
    let is_open = |at: usize| known.get(at) == Some(&true);
    let values = all.iter().enumerate().filter(|(at, _)| is_open(*at));
    let values: Vec<_> = values.map(|(_, literal)| value(literal)).collect();
    match values.is_empty() {
        true => (sql.to_owned(), Literals::Closed),
        false => (
            literals::without(sql, &all, is_open),
            Literals::Open {
                form,
                all,
                is_open: Arc::clone(&known),
                values,
            },
        ),
    }
}

fn value(literal: &Literal) -> ScalarValue {
    match &literal.value {
        LiteralValue::Integer(number) => ScalarValue::Int64(Some(*number)),
        LiteralValue::Text(text) => ScalarValue::Utf8View(Some(text.clone())),
    }
}
