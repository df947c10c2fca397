//! The dialect of queries and expressions: PostgreSQL's, with the few forms that streams need.

use std::any::TypeId;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Ident};
use datafusion_sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::Token;

/// The operator that stands between a table and its keys in `SESSION(t PARTITION BY k, …)`: a
/// [`BinaryOperator::Custom`] of this text, the table on its left.
pub const PARTITION_BY: &str = "PARTITION BY";

/// The dialect for DataFusion's planner, and for whoever else parses a piece of SQL.
pub fn dialect() -> WeirDialect {
    WeirDialect::new(true, u64::MAX)
}

/// PostgreSQL's dialect, and beside it:
///
/// - `TUMBLE(TABLE t, …)`: the word `TABLE` before an argument is read and dropped;
/// - `SESSION(t PARTITION BY k, …)`: an operator, see [`PARTITION_BY`];
/// - `t FOR SYSTEM_TIME AS OF e`, `t AT (…)`;
/// - `{'a': 1}` and `MAP {'a': 1}`, and `* EXCLUDE (a)`, `* REPLACE (e AS a)`, as DataFusion plans them.
#[derive(Debug)]
pub struct WeirDialect {
    /// Whether a table's name may be followed by a version. Where it is on, `AT`, `BEFORE`, `CHANGES`, `VERSION` and
    /// `TIMESTAMP` are no aliases, so the parser turns it on only for text that has such a clause.
    table_versions: bool,
    /// How many more expressions may be started. Where the parser is in doubt it tries one reading after the other, so that
    /// a wrong text that is nested n times can take it 2ⁿ steps to refuse.
    expressions_left: AtomicU64,
}

impl WeirDialect {
    pub(crate) fn new(table_versions: bool, expressions_max: u64) -> Self {
        Self {
            table_versions,
            expressions_left: AtomicU64::new(expressions_max),
        }
    }

    /// Counts one more expression.
    fn spend(&self) -> Result<(), ParserError> {
        let left = self.expressions_left.load(Ordering::Relaxed);
        if left == 0 {
            // The one error at which the parser tries nothing else.
            return Err(ParserError::RecursionLimitExceeded);
        }
        self.expressions_left.store(left - 1, Ordering::Relaxed);
        Ok(())
    }
}

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Binds weaker than `OR`, so that it takes all of what stands before it.
const PARTITION_BY_PRECEDENCE: u8 = 5;

/// Words that take a query in brackets, so that `TABLE t` after them is one.
const BEFORE_A_SUBQUERY: [Keyword; 6] = [
    Keyword::IN,
    Keyword::EXISTS,
    Keyword::ANY,
    Keyword::ALL,
    Keyword::SOME,
    Keyword::ARRAY,
];

/// Reserved words that start no expression. Else a comma too many, as in `SELECT a, FROM b`, makes FROM a column.
const NO_EXPRESSION: [Keyword; 24] = [
    Keyword::AND,
    Keyword::AS,
    Keyword::ASC,
    Keyword::DESC,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FROM,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::LIMIT,
    Keyword::ON,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::RETURNING,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::UNION,
    Keyword::USING,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WITH,
];

/// Reserved words that start an expression of their own form, and are no function's name if that form is not there.
const OWN_FORM: [Keyword; 6] = [
    Keyword::ARRAY,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::EXISTS,
    Keyword::NOT,
    Keyword::TRY_CAST,
];

impl Dialect for WeirDialect {
    /// The parser asks in many places whether it is in PostgreSQL; it is.
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Err(error) = self.spend() {
            return Some(Err(error));
        }
        let next = parser.peek_token_ref();
        if let Token::Word(word) = &next.token
            && word.quote_style.is_none()
            && NO_EXPRESSION.contains(&word.keyword)
            && !after_period(parser)
        {
            return Some(parser.expected_ref("an expression", next));
        }
        if !is_keyword(&parser.peek_token_ref().token, Keyword::TABLE) || !after_call(parser) {
            return None;
        }
        if !matches!(parser.peek_nth_token_ref(1).token, Token::Word(_)) {
            return None;
        }
        parser.advance_token();
        Some(parser.parse_object_name(false).map(|name| {
            let mut parts: Vec<Ident> = name
                .0
                .iter()
                .filter_map(|part| part.as_ident().cloned())
                .collect();
            match parts.len() {
                1 => Expr::Identifier(parts.remove(0)),
                _ => Expr::CompoundIdentifier(parts),
            }
        }))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if !parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
            return None;
        }
        Some(
            parser
                .parse_subexpr(PARTITION_BY_PRECEDENCE)
                .map(|keys| Expr::BinaryOp {
                    left: Box::new(expr.clone()),
                    op: BinaryOperator::Custom(PARTITION_BY.to_owned()),
                    right: Box::new(keys),
                }),
        )
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if is_keyword(&parser.peek_token_ref().token, Keyword::PARTITION)
            && is_keyword(&parser.peek_nth_token_ref(1).token, Keyword::BY)
        {
            return Some(Ok(PARTITION_BY_PRECEDENCE));
        }
        POSTGRES.get_next_precedence(parser)
    }

    /// `SELECT 1 FOR UPDATE` locks; it names no column FOR.
    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        *keyword != Keyword::FOR && POSTGRES.is_column_alias(keyword, parser)
    }

    fn supports_table_versioning(&self) -> bool {
        self.table_versions
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    /// `STRUCT<a INT>` as a type; as a call it is what it was.
    fn supports_struct_literal(&self) -> bool {
        true
    }

    /// `MAP<TEXT, INT>` as a type.
    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    /// `f(a: 1)` would make the parser read each argument twice, and nested calls 2ⁿ times.
    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        false
    }

    /// As above.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    /// A comment is a comment.
    fn supports_comment_optimizer_hint(&self) -> bool {
        false
    }

    // What follows is PostgreSQL's.

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }
    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRES.is_custom_operator_part(ch)
    }
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        OWN_FORM.contains(&keyword) || POSTGRES.is_reserved_for_identifier(keyword)
    }
    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn allow_extract_custom(&self) -> bool {
        true
    }
    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
    fn supports_explain_with_utility_options(&self) -> bool {
        true
    }
    fn supports_factorial_operator(&self) -> bool {
        true
    }
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }
    fn supports_empty_projections(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
    fn supports_string_escape_constant(&self) -> bool {
        true
    }
    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }
    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }
    fn supports_notnull_operator(&self) -> bool {
        true
    }
    fn supports_interval_options(&self) -> bool {
        true
    }
    fn supports_insert_table_alias(&self) -> bool {
        true
    }
    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }
}

/// Whether the parser stands at the first argument of a call, or behind `=>` in one.
fn after_call(parser: &Parser) -> bool {
    let mut before = before(parser);
    match before.next() {
        Some(Token::RArrow) => true,
        Some(Token::LParen) => match before.next() {
            Some(Token::Word(word)) => !BEFORE_A_SUBQUERY.contains(&word.keyword),
            _ => false,
        },
        _ => false,
    }
}

/// Whether the parser stands behind a period, where any word is a name.
fn after_period(parser: &Parser) -> bool {
    before(parser).next() == Some(&Token::Period)
}

/// The tokens before the parser's place, backwards.
fn before<'p>(parser: &'p Parser) -> impl Iterator<Item = &'p Token> {
    (0..parser.index())
        .rev()
        .map(|at| &parser.token_at(at).token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword && word.quote_style.is_none())
}
